//! Process 1 gives up every privilege, and with it every process it will ever start.

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::filter;
use crate::error::Feature;
use crate::launcher::Stop;
use crate::spec::{Limits, Spec};

/// Locks this process in; returns what this kernel cannot do.
pub(super) fn lock_in(spec: &Spec) -> Result<Vec<String>, Stop> {
    limit(&spec.limits).map_err(Stop::with("limits"))?;
    drop_capabilities().map_err(Stop::lacking(Feature::UserNamespace))?;
    set_no_new_privs(true).map_err(Stop::lacking(Feature::Seccomp))?;
    let notices = restrict_files().map_err(Stop::lacking(Feature::Landlock))?;
    filter::install().map_err(Stop::lacking(Feature::Seccomp))?;
    Ok(notices.into_iter().collect())
}

fn limit(limits: &Limits) -> rustix::io::Result<()> {
    let set = |resource, wanted: u64| {
        // Nobody can raise a hard limit that the caller was started with.
        let most = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let value = Some(wanted.min(most));
        setrlimit(resource, Rlimit { current: value, maximum: value })
    };
    set(Resource::Core, 0)?;
    set(Resource::Nproc, limits.processes)?;
    set(Resource::Nofile, limits.open_files)?;
    set(Resource::Fsize, limits.file_size)?;
    // A hard stop for one process that allocates faster than anyone measures. The exact limit is another's work, and
    // address space would be the wrong measure: runtimes reserve far more of it than they ever use.
    set(Resource::Data, limits.memory.saturating_mul(2))
}

fn drop_capabilities() -> rustix::io::Result<()> {
    clear_ambient_capability_set()?;
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        // The kernel refuses numbers that it does not know.
        if capability_is_in_bounding_set(capability).unwrap_or(false) {
            remove_capability_from_bounding_set(capability)?;
        }
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

/// The second line behind the mounts: no device nodes (and with them no forged whiteouts), no device controls outside
/// `/dev`, nothing written in `/proc` but what belongs to processes, no signal and no abstract socket to the outside.
fn restrict_files() -> Result<Option<String>, landlock::RulesetError> {
    let all = AccessFs::from_all(ABI::V5);
    let everywhere = all & !AccessFs::MakeChar & !AccessFs::MakeBlock & !AccessFs::IoctlDev;
    let rule = |path: &str, access| PathFd::new(path).map(|fd| PathBeneath::new(fd, access));
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?;
    if let Ok(root) = rule("/", everywhere) {
        ruleset = ruleset.add_rule(root)?;
    }
    if let Ok(devices) = rule("/dev", AccessFs::IoctlDev.into()) {
        ruleset = ruleset.add_rule(devices)?;
    }
    let status = ruleset.restrict_self()?.ruleset;
    Ok(match status {
        RulesetStatus::FullyEnforced => None,
        RulesetStatus::PartiallyEnforced => {
            Some("this kernel's landlock lacks some of the rights that are restricted".to_owned())
        }
        RulesetStatus::NotEnforced => Some("this kernel has no landlock".to_owned()),
    })
}
