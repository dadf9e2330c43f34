//! Says what the sandbox finds on this machine, by starting one.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::cgroup::Groups;
use crate::error::{Feature, SandboxError};
use crate::owner;
use crate::session;
use crate::spec::{Identity, Isolation, Limits, Network, Root, Spec};

/// Tries every feature; each is available or has a reason why not.
///
/// [`Feature::Landlock`] and [`Feature::Cgroup`] may be missing: the sandbox runs without them. `scratch` is a
/// directory for this alone, on the disk where builds will run; the caller removes it. Features that come after the
/// first missing one cannot be tried and are reported with its reason.
#[must_use]
pub fn probe(scratch: &Path, build_uid: u32) -> Vec<(Feature, Result<(), String>)> {
    let spec = Spec {
        isolation: Isolation::Strict,
        root: Root { lower: vec![scratch.join("lower")], scratch: scratch.join("scratch") },
        mounts: Vec::new(),
        files: Vec::new(),
        hostname: "probe".to_owned(),
        identity: Identity::default(),
        network: Network::None,
        limits: Limits::default(),
        build_uid,
    };
    let mut notices = Vec::new();
    let outcome = owner::make_directory(&spec.root.lower[0], 0o755, build_uid)
        .map_err(SandboxError::io("make the lower directory"))
        .and_then(|()| {
            session::run(&spec, &[], &AtomicBool::new(false), &mut |event| {
                if let crate::Event::Notice { text } = event {
                    notices.push(text);
                }
            })
        });
    let mut found = judge(outcome.map(drop), &notices);
    found.push((Feature::Cgroup, Groups::make(&spec.limits).map(drop)));
    found
}

/// The features in the order in which the set-up needs them.
const ORDER: [Feature; 10] = [
    Feature::LeaveRoot,
    Feature::UserNamespace,
    Feature::Namespaces,
    Feature::MountApi,
    Feature::Loopback,
    Feature::Overlay,
    Feature::Proc,
    Feature::Devices,
    Feature::PivotRoot,
    Feature::Seccomp,
];

fn judge(outcome: Result<(), SandboxError>, notices: &[String]) -> Vec<(Feature, Result<(), String>)> {
    let (first_missing, reason) = match outcome {
        Ok(()) => (ORDER.len(), String::new()),
        Err(SandboxError::Unavailable { feature, reason }) => {
            (ORDER.iter().position(|&tried| tried == feature).unwrap_or(0), reason)
        }
        Err(other) => (0, other.to_string()),
    };
    let mut found: Vec<_> = ORDER.iter().map(|&feature| (feature, Ok(()))).collect();
    for (_, result) in found.iter_mut().skip(first_missing) {
        *result = Err(reason.clone());
    }
    let landlock = match notices.first() {
        _ if first_missing < ORDER.len() => Err(reason),
        Some(notice) => Err(notice.clone()),
        None => Ok(()),
    };
    found.push((Feature::Landlock, landlock));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_missing_feature_has_its_reason() {
        let reason = || "Operation not permitted".to_owned();
        let missing = SandboxError::Unavailable { feature: Feature::Overlay, reason: reason() };
        let found = judge(Err(missing), &[]);
        assert!(found.contains(&(Feature::Loopback, Ok(()))));
        assert!(found.contains(&(Feature::Overlay, Err(reason()))));
        assert!(found.contains(&(Feature::Seccomp, Err(reason()))));
        assert!(found.contains(&(Feature::Landlock, Err(reason()))));
    }

    #[test]
    fn landlock_alone_may_be_missing() {
        let found = judge(Ok(()), &["this kernel has no landlock".to_owned()]);
        let missing: Vec<_> = found.iter().filter(|(_, result)| result.is_err()).collect();
        assert_eq!(missing, [&(Feature::Landlock, Err("this kernel has no landlock".to_owned()))]);
    }
}
