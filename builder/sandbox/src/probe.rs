//! Says what the sandbox finds on this machine, by starting one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::cgroup::Groups;
use crate::error::{Feature, SandboxError};
use crate::event::{Failure, Outcome, StepFailure};
use crate::owner;
use crate::session;
use crate::spec::{Identity, Isolation, Limits, Network, Root, Spec, Step};

/// Tries every feature that a mode needs; each is available or has a reason why not.
///
/// In [`Isolation::Strict`] [`Feature::Landlock`] may be missing, and in all modes [`Feature::Cgroup`] may: the sandbox
/// runs without them. `scratch` is a directory for this alone, on the disk where builds will run; the caller removes it.
/// Features that come after the first missing one cannot be tried and are reported with its reason.
#[must_use]
pub fn probe(isolation: Isolation, scratch: &Path, build_uid: u32) -> Vec<(Feature, Result<(), String>)> {
    let spec = Spec {
        isolation,
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
    // There is no program in an empty root, and to hear just that takes everything that starts one.
    let nothing = Step { argv: vec!["/nothing".to_owned()], env: BTreeMap::new(), cwd: "/".into() };
    let outcome = owner::make_directory(&spec.root.lower[0], 0o755, build_uid)
        .map_err(SandboxError::io("make the lower directory"))
        .and_then(|()| {
            session::run(&spec, &[nothing], &AtomicBool::new(false), &mut |event| {
                if let crate::Event::Notice { text } = event {
                    notices.push(text);
                }
            })
        });
    let mut found = judge(isolation, outcome.and_then(started), &notices);
    found.push((Feature::Cgroup, Groups::make(&spec.limits).map(drop)));
    found
}

/// Whether the step came as far as it could.
fn started(outcome: Outcome) -> Result<(), SandboxError> {
    let missing = std::io::Error::from_raw_os_error(libc::ENOENT).to_string();
    match outcome.result {
        Err(StepFailure { failure: Failure::NotStarted(reason), .. }) if reason.ends_with(&missing) => Ok(()),
        Err(StepFailure { failure, .. }) => {
            Err(SandboxError::Unavailable { feature: Feature::Tracing, reason: failure.to_string() })
        }
        Ok(()) => Err(SandboxError::Lost { status: "a program that is not there has run".to_owned() }),
    }
}

/// The features in the order in which the set-up of a mode needs them.
fn order(isolation: Isolation) -> &'static [Feature] {
    match isolation {
        Isolation::Strict => &[
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
        ],
        Isolation::Gvisor => &[
            Feature::Gvisor,
            Feature::LeaveRoot,
            Feature::UserNamespace,
            Feature::Namespaces,
            Feature::MountApi,
            Feature::Loopback,
            Feature::Overlay,
            Feature::Proc,
            Feature::PivotRoot,
            Feature::Tracing,
        ],
        Isolation::Chroot => &[
            Feature::Chroot,
            Feature::Devices,
            Feature::Proc,
            Feature::LeaveRoot,
            Feature::Landlock,
            Feature::LandlockNetwork,
            Feature::Seccomp,
            Feature::Tracing,
        ],
        Isolation::Landlock => &[
            Feature::Devices,
            Feature::Proc,
            Feature::LeaveRoot,
            Feature::Landlock,
            Feature::LandlockNetwork,
            Feature::Seccomp,
            Feature::Tracing,
        ],
        Isolation::Host if isolation.enters_root() => {
            &[Feature::Devices, Feature::Chroot, Feature::LeaveRoot]
        }
        Isolation::Host => &[Feature::Devices, Feature::Proc, Feature::Tracing, Feature::Seccomp],
    }
}

fn judge(
    isolation: Isolation,
    outcome: Result<(), SandboxError>,
    notices: &[String],
) -> Vec<(Feature, Result<(), String>)> {
    let order = order(isolation);
    let (first_missing, reason) = match outcome {
        Ok(()) => (order.len(), String::new()),
        Err(SandboxError::Unavailable { feature, reason }) => {
            (order.iter().position(|&tried| tried == feature).unwrap_or(0), reason)
        }
        Err(other) => (0, other.to_string()),
    };
    let mut found: Vec<_> = order.iter().map(|&feature| (feature, Ok(()))).collect();
    for (_, result) in found.iter_mut().skip(first_missing) {
        *result = Err(reason.clone());
    }
    if isolation == Isolation::Strict {
        let landlock = match notices.first() {
            _ if first_missing < order.len() => Err(reason),
            Some(notice) => Err(notice.clone()),
            None => Ok(()),
        };
        found.push((Feature::Landlock, landlock));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_missing_feature_has_its_reason() {
        let reason = || "Operation not permitted".to_owned();
        let missing = SandboxError::Unavailable { feature: Feature::Overlay, reason: reason() };
        let found = judge(Isolation::Strict, Err(missing), &[]);
        assert!(found.contains(&(Feature::Loopback, Ok(()))));
        assert!(found.contains(&(Feature::Overlay, Err(reason()))));
        assert!(found.contains(&(Feature::Seccomp, Err(reason()))));
        assert!(found.contains(&(Feature::Landlock, Err(reason()))));
    }

    #[test]
    fn landlock_alone_may_be_missing() {
        let found = judge(Isolation::Strict, Ok(()), &["this kernel has no landlock".to_owned()]);
        let missing: Vec<_> = found.iter().filter(|(_, result)| result.is_err()).collect();
        assert_eq!(missing, [&(Feature::Landlock, Err("this kernel has no landlock".to_owned()))]);
    }
}
