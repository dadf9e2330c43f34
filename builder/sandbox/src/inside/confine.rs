//! Process 1 gives up every privilege, and with it every process it will ever start.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, NetPort, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::filter::{self, Sockets};
use crate::error::Feature;
use crate::launcher::Stop;
use crate::spec::{Limits, Spec};

/// Devices of the machine that only make or swallow bytes, for steps that have no `/dev` of their own.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Locks this process in; returns what this kernel cannot do.
pub(super) fn lock_in(spec: &Spec) -> Result<Vec<String>, Stop> {
    limit(&spec.limits).map_err(Stop::with("limits"))?;
    drop_bounding().and_then(|()| drop_capabilities()).map_err(Stop::lacking(Feature::UserNamespace))?;
    set_no_new_privs(true).map_err(Stop::lacking(Feature::Seccomp))?;
    let status = restrict(None, None).map_err(Stop::lacking(Feature::Landlock))?;
    filter::install(Sockets::OfNamespace).map_err(Stop::lacking(Feature::Seccomp))?;
    Ok(notice(&status).into_iter().collect())
}

/// Locks this process in where it shares the machine's processes and network: Landlock is the first line then, so that
/// what the steps may connect to must be enforced. `ports` are the TCP ports that they may; all when none is given.
/// `root` is the directory that the steps take for the root, where it was not entered.
pub(super) fn lock_in_shared(
    spec: &Spec,
    ports: Option<&[u16]>,
    root: Option<&Path>,
) -> Result<Vec<String>, Stop> {
    limit(&spec.limits).map_err(Stop::with("limits"))?;
    drop_capabilities().map_err(Stop::lacking(Feature::LeaveRoot))?;
    set_no_new_privs(true).map_err(Stop::lacking(Feature::Seccomp))?;
    let status = restrict(ports, root).map_err(Stop::lacking(Feature::Landlock))?;
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else {
        return Err(Stop::lacking(Feature::Landlock)("this kernel has no landlock"));
    };
    if ports.is_some() && effective_abi < ABI::V4 {
        return Err(Stop::lacking(Feature::LandlockNetwork)(format!(
            "this kernel's landlock ({effective_abi:?}) knows no TCP ports; Linux 6.7 is the first that does"
        )));
    }
    let sockets = Sockets::Shared {
        // Servers of the machine listen on abstract sockets, which no directory hides; on sockets in directories, too,
        // which only another root directory does.
        unix: effective_abi >= ABI::V6 && root.is_none(),
        tcp_only: ports.is_some(),
        traces: cfg!(target_arch = "x86_64"),
    };
    filter::install(sockets).map_err(Stop::lacking(Feature::Seccomp))?;
    Ok(Vec::new())
}

/// Holds this process to what the steps may use up, and to nothing else.
pub(super) fn hold_to_limits(spec: &Spec) -> Result<(), Stop> {
    limit(&spec.limits).map_err(Stop::with("limits"))?;
    // Without it an ordinary user may not filter calls, be it only to have them shown to a tracer.
    set_no_new_privs(true).map_err(Stop::lacking(Feature::Seccomp))
}

/// Takes from steps whose paths are led by a tracer what would go past it.
pub(super) fn lead_past_nothing() -> Result<(), Box<dyn std::error::Error>> {
    filter::install_absent()
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

/// Takes all capabilities from the bounding set.
pub(super) fn drop_bounding() -> rustix::io::Result<()> {
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        // The kernel refuses numbers that it does not know.
        if capability_is_in_bounding_set(capability).unwrap_or(false) {
            remove_capability_from_bounding_set(capability)?;
        }
    }
    Ok(())
}

fn drop_capabilities() -> rustix::io::Result<()> {
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

/// The second line behind the mounts: no device nodes (and with them no forged whiteouts), no device controls outside
/// `/dev`, nothing written in `/proc` but what belongs to processes, no signal and no abstract socket to the outside.
fn restrict(ports: Option<&[u16]>, root: Option<&Path>) -> Result<RestrictionStatus, landlock::RulesetError> {
    let all = AccessFs::from_all(ABI::V5);
    let everywhere = all & !AccessFs::MakeChar & !AccessFs::MakeBlock & !AccessFs::IoctlDev;
    let rule = |path: &Path, access| PathFd::new(path).map(|fd| PathBeneath::new(fd, access));
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?;
    if ports.is_some() {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
    }
    let mut ruleset = ruleset.create()?;
    let mut rules = vec![(PathBuf::from("/dev"), AccessFs::IoctlDev.into())];
    match root {
        None => rules.push((PathBuf::from("/"), everywhere)),
        Some(root) => {
            rules.push((root.to_owned(), everywhere));
            rules.push((PathBuf::from("/proc"), AccessFs::ReadFile | AccessFs::ReadDir));
            let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
            rules.extend(DEVICES.map(|name| (Path::new("/dev").join(name), device)));
        }
    }
    for (path, access) in rules {
        // What is not there needs no rule: nothing is allowed without one.
        if let Ok(rule) = rule(&path, access) {
            ruleset = ruleset.add_rule(rule)?;
        }
    }
    for &port in ports.unwrap_or_default() {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    ruleset.restrict_self()
}

fn notice(status: &RestrictionStatus) -> Option<String> {
    match status.ruleset {
        RulesetStatus::FullyEnforced => None,
        RulesetStatus::PartiallyEnforced => {
            Some("this kernel's landlock lacks some of the rights that are restricted".to_owned())
        }
        RulesetStatus::NotEnforced => Some("this kernel has no landlock".to_owned()),
    }
}
