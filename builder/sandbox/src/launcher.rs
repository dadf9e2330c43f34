//! The hidden mode of the program: from a fresh process of the caller's to process 1 of the sandbox.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::exit;

use rustix::fs::{CWD, Mode};
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};
use rustix::process::{
    DumpableBehavior, Signal, WaitOptions, set_dumpable_behavior, set_parent_process_death_signal, waitpid,
};
use rustix::thread::{CapabilitySet, UnshareFlags};

use crate::descendants;
use crate::error::Feature;
use crate::gvisor::{self, Split};
use crate::inside;
use crate::owner;
use crate::spec::{Isolation, MountKind, Network, Spec};
use crate::sys::{self, Closing, Fork};
use crate::wire::{self, Report};

/// The first argument that asks for the hidden mode.
pub(crate) const HIDDEN_MODE: &str = "--become-lapstrake-sandbox--";

/// Becomes the sandbox when this process was started for that, and does not return then.
///
/// Must be the first thing `main` does: the sandbox is started by executing the program again, because making
/// user namespaces takes a process with one thread, and because what the caller has in memory stays away from it.
pub fn enter_if_asked() {
    if std::env::args_os().nth(1).is_some_and(|word| word == HIDDEN_MODE) {
        exit(launch());
    }
}

/// Why the set-up stopped.
pub(crate) enum Stop {
    Unavailable { feature: Feature, reason: String },
    Setup { what: String, reason: String },
}

impl Stop {
    /// A feature that the kernel refused.
    pub(crate) fn lacking<E: ToString>(feature: Feature) -> impl Fn(E) -> Self {
        move |error| Self::Unavailable { feature, reason: error.to_string() }
    }

    /// A path or value that does not work.
    pub(crate) fn with<E: ToString>(what: impl ToString) -> impl Fn(E) -> Self {
        move |error| Self::Setup { what: what.to_string(), reason: error.to_string() }
    }

    pub(crate) fn report(self) -> Report {
        match self {
            Self::Unavailable { feature, reason } => Report::Unavailable { feature, reason },
            Self::Setup { what, reason } => Report::Setup { what, reason },
        }
    }
}

/// The directories outside, as mounts that no place in the file system tree shows yet.
pub(crate) struct Sources {
    pub(crate) lower: Vec<OwnedFd>,
    pub(crate) scratch: OwnedFd,
    pub(crate) temporary: OwnedFd,
    pub(crate) mounts: Vec<MountSource>,
    /// gVisor's program, where the steps run on its kernel.
    pub(crate) runsc: Option<OwnedFd>,
}

/// The source of one more mount, and its scratch directory if it is an overlay.
pub(crate) struct MountSource {
    pub(crate) tree: OwnedFd,
    pub(crate) scratch: Option<OwnedFd>,
}

fn launch() -> i32 {
    // The caller's caller may have left descriptors open that lead out of the sandbox.
    let taken = sys::close_from(3, Closing::Now).and_then(|()| sys::take_stdin());
    let Ok(control) = taken else { return 125 };
    let control = UnixStream::from(control);
    // The modes of what steps make do not depend on who called.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let Ok(Some((spec, proxy))) = wire::receive_set_up(&control) else { return 125 };
    let entered = match spec.isolation {
        Isolation::Strict | Isolation::Gvisor => enter_namespaces(&control, &spec),
        Isolation::Chroot | Isolation::Landlock | Isolation::Host => enter_shared(&control, &spec, proxy),
    };
    match entered {
        Ok(code) => code,
        Err(stop) => {
            // The caller may be gone; there is nobody else to tell.
            let _ = wire::send(&control, &stop.report(), None);
            1
        }
    }
}

/// Forks the process that locks itself in and runs the steps, and stays to end all that it leaves behind: without a
/// process namespace the kernel does not.
fn enter_shared(control: &UnixStream, spec: &Spec, proxy: Option<u16>) -> Result<i32, Stop> {
    give_streams(spec).map_err(Stop::with("standard streams"))?;
    inside::make_devices(spec)?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(Stop::lacking(Feature::Namespaces))?;
    match sys::fork().map_err(Stop::lacking(Feature::Namespaces))? {
        Fork::Child => {
            die_with_parent()?;
            inside::run_shared(control, spec, proxy)
        }
        Fork::Parent(first) => {
            let code = descendants::watch(control, first, spec.limits.memory);
            descendants::end_all();
            Ok(code)
        }
    }
}

/// Makes the namespaces and forks process 1; returns the exit code of the launcher.
fn enter_namespaces(control: &UnixStream, spec: &Spec) -> Result<i32, Stop> {
    // Root reaches directories that the build uid cannot traverse, so it opens them while it still is root. Anyone
    // else, root of a container included, may make such mounts only inside the new user namespace.
    let early = if may_mount() { Some(open_sources(spec)?) } else { None };
    give_streams(spec).map_err(Stop::with("standard streams"))?;
    let mapper = match spec.isolation {
        Isolation::Gvisor => match gvisor::split(spec, early.is_some())? {
            Split::Launcher(mapper) => Some(mapper),
            Split::Ended(code) => return Ok(code),
        },
        _ => None,
    };
    owner::leave_root(spec.build_uid).map_err(Stop::lacking(Feature::LeaveRoot))?;
    // A change of user makes /proc/self root's; the id maps are written through it.
    set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(Stop::lacking(Feature::UserNamespace))?;
    make_namespaces(spec, mapper)?;
    // From here on nobody inside can read this program's memory, descriptors or environment through /proc.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(Stop::lacking(Feature::UserNamespace))?;
    let sources = match early {
        Some(sources) => sources,
        None => open_sources(spec)?,
    };
    die_with_parent()?;
    match sys::fork().map_err(Stop::lacking(Feature::Namespaces))? {
        Fork::Child => {
            die_with_parent()?;
            inside::run(control, spec, sources)
        }
        Fork::Parent(init) => {
            drop(sources);
            // Process 1 is only reaped after everything in its namespace is gone: this is the caller's proof.
            let status = rustix::io::retry_on_intr(|| waitpid(Some(init), WaitOptions::empty()))
                .map_err(Stop::lacking(Feature::Namespaces))?;
            Ok(status.and_then(|(_, status)| status.exit_status()).unwrap_or(124))
        }
    }
}

fn may_mount() -> bool {
    let capabilities = rustix::thread::capabilities(None);
    rustix::process::geteuid().is_root()
        && capabilities.is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

pub(crate) fn die_with_parent() -> Result<(), Stop> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(Stop::lacking(Feature::Namespaces))
}

/// Lets the build user reopen its standard streams, as in `> /dev/stderr`.
fn give_streams(spec: &Spec) -> rustix::io::Result<()> {
    if rustix::process::geteuid().is_root() {
        let uid = Some(rustix::fs::Uid::from_raw(spec.build_uid));
        rustix::fs::fchown(std::io::stdout(), uid, None)?;
        rustix::fs::fchown(std::io::stderr(), uid, None)?;
    }
    Ok(())
}

fn make_namespaces(spec: &Spec, mapper: Option<gvisor::Mapper>) -> Result<(), Stop> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    sys::unshare(UnshareFlags::NEWUSER).map_err(explained(Feature::UserNamespace))?;
    if let Some(mapper) = mapper {
        mapper.map()?;
    } else {
        let map = |file: &str, text: String| {
            std::fs::write(file, text).map_err(Stop::lacking(Feature::UserNamespace))
        };
        map("/proc/self/setgroups", "deny".to_owned())?;
        map("/proc/self/uid_map", format!("{} {} 1", spec.identity.uid, uid.as_raw()))?;
        map("/proc/self/gid_map", format!("{} {} 1", spec.identity.gid, gid.as_raw()))?;
    }
    let mut flags = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    if !matches!(spec.network, Network::Host) {
        flags |= UnshareFlags::NEWNET;
    }
    sys::unshare(flags).map_err(explained(Feature::Namespaces))
}

/// Settings by which distributions forbid user namespaces, and the value that does.
const FORBIDDING: [(&str, &str); 3] = [
    ("kernel/unprivileged_userns_clone", "0"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ("user/max_user_namespaces", "0"),
];

/// The kernel's error, and the setting of this machine that is behind it if one is.
fn explained(feature: Feature) -> impl Fn(std::io::Error) -> Stop {
    move |error| {
        let setting = FORBIDDING.iter().find(|(name, forbids)| {
            std::fs::read_to_string(format!("/proc/sys/{name}")).is_ok_and(|value| value.trim() == *forbids)
        });
        let reason = match setting {
            Some((name, value)) => format!("{error} (`{} = {value}`)", name.replace('/', ".")),
            None => error.to_string(),
        };
        Stop::lacking(feature)(reason)
    }
}

fn open_sources(spec: &Spec) -> Result<Sources, Stop> {
    let scratch = &spec.root.scratch;
    let plain = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let locked = plain | MountAttrFlags::MOUNT_ATTR_RDONLY;
    let mounts = spec.mounts.iter().map(|mount| {
        let flags = if mount.kind == MountKind::Writable { plain } else { locked };
        let scratch = match &mount.kind {
            MountKind::Overlay { scratch } => Some(detached(scratch, plain)?),
            MountKind::ReadOnly | MountKind::Writable => None,
        };
        Ok(MountSource { tree: detached(&mount.source, flags)?, scratch })
    });
    Ok(Sources {
        lower: spec.root.lower.iter().map(|path| detached(path, locked)).collect::<Result<_, _>>()?,
        scratch: detached(scratch, plain)?,
        temporary: detached(&scratch.join("tmp"), plain)?,
        mounts: mounts.collect::<Result<_, _>>()?,
        runsc: match spec.isolation {
            Isolation::Gvisor => Some(detached(&gvisor::program()?, locked)?),
            _ => None,
        },
    })
}

/// A mount of a path that stands nowhere yet and shares nothing with the one it comes from.
fn detached(path: &Path, attributes: MountAttrFlags) -> Result<OwnedFd, Stop> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, path, flags).map_err(|errno| match errno {
        rustix::io::Errno::NOSYS | rustix::io::Errno::PERM => Stop::lacking(Feature::MountApi)(errno),
        errno => Stop::with(path.display())(errno),
    })?;
    sys::set_mount_attributes(std::os::fd::AsFd::as_fd(&tree), attributes)
        .map_err(Stop::lacking(Feature::MountApi))?;
    Ok(tree)
}
