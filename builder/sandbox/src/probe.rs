//! Says what the sandbox finds on this machine, by starting one.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::error::{Feature, SandboxError};
use crate::session;
use crate::spec::{Identity, Limits, Network, Root, Spec};

/// Tries every feature; each is available or has a reason why not.
///
/// `scratch` is a directory for this alone, on the disk where builds will run; the caller removes it.
/// Features that come after the first missing one cannot be tried and are reported with that reason.
#[must_use]
pub fn probe(scratch: &Path, build_uid: u32) -> Vec<(Feature, Result<(), String>)> {
    let spec = Spec {
        root: Root { lower: vec!["/".into()], scratch: scratch.to_owned() },
        mounts: Vec::new(),
        hostname: "probe".to_owned(),
        identity: Identity::default(),
        network: Network::None,
        limits: Limits::default(),
        build_uid,
    };
    let mut notices = Vec::new();
    let outcome = session::run(&spec, &[], &AtomicBool::new(false), &mut |event| {
        if let crate::Event::Notice { text } = event {
            notices.push(text);
        }
    });
    report(&outcome.map(|_| ()), &notices)
}

/// The features in the order in which the set-up needs them.
const ORDER: [Feature; 9] = [
    Feature::LeaveRoot,
    Feature::UserNamespace,
    Feature::Namespaces,
    Feature::MountApi,
    Feature::Loopback,
    Feature::Overlay,
    Feature::Proc,
    Feature::Devices,
    Feature::PivotRoot,
];

fn report(outcome: &Result<(), SandboxError>, notices: &[String]) -> Vec<(Feature, Result<(), String>)> {
    let mut features = ORDER.to_vec();
    features.push(Feature::Seccomp);
    let mut failed = None;
    let mut found = Vec::new();
    for feature in features {
        failed = failed.or_else(|| match outcome {
            Err(SandboxError::Unavailable { feature: missing, reason }) if *missing == feature => {
                Some(reason.clone())
            }
            Err(SandboxError::Unavailable { .. }) | Ok(()) => None,
            Err(other) => Some(other.to_string()),
        });
        found.push((feature, failed.clone().map_or(Ok(()), Err)));
    }
    let landlock = failed.or_else(|| notices.iter().find(|text| text.contains("landlock")).cloned());
    found.push((Feature::Landlock, landlock.map_or(Ok(()), Err)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_missing_feature_has_its_reason() {
        let missing = SandboxError::Unavailable {
            feature: Feature::Overlay,
            reason: "Operation not permitted".to_owned(),
        };
        let found = report(&Err(missing), &[]);
        let reason = Err("Operation not permitted".to_owned());
        assert!(found.contains(&(Feature::Loopback, Ok(()))));
        assert!(found.contains(&(Feature::Overlay, reason.clone())));
        assert!(found.contains(&(Feature::Seccomp, reason)));
    }
}
