//! The set-up without namespaces, in a root directory that was laid out: root enters it with `chroot` and then becomes
//! nobody in particular; an ordinary user stays where they are, and their steps take it for the root.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mknodat};

use super::tracer::Tracer;
use super::{Ready, confine};
use crate::error::Feature;
use crate::launcher::Stop;
use crate::owner;
use crate::spec::{Isolation, Network, Spec};

/// Why paths are led nowhere on other machines.
const ONE_ARCHITECTURE: &str = "for others than root this mode exists on x86_64 alone";

/// The devices that only make or swallow bytes, with their numbers.
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Makes `/dev` in the root directory. Root makes devices in it, and steps make nothing; an ordinary user's steps have
/// those of the machine.
pub(crate) fn make_devices(spec: &Spec) -> Result<(), Stop> {
    if spec.isolation == Isolation::Chroot && !rustix::process::geteuid().is_root() {
        return Err(Stop::lacking(Feature::Chroot)("only root can change the root directory"));
    }
    let shm = spec.root.copy().join("dev/shm");
    owner::make_directory(&shm, 0o1777, spec.build_uid).map_err(Stop::lacking(Feature::Devices))?;
    if !spec.isolation.enters_root() {
        return Ok(());
    }
    let dev = spec.root.copy().join("dev");
    rustix::fs::chown(&dev, Some(rustix::fs::Uid::ROOT), Some(rustix::fs::Gid::ROOT))
        .map_err(Stop::lacking(Feature::Devices))?;
    for (name, major, minor) in DEVICES {
        let place = dev.join(name);
        let made = mknodat(CWD, &place, FileType::CharacterDevice, Mode::empty(), makedev(major, minor));
        match made {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(Stop::lacking(Feature::Devices)(errno)),
        }
        // The mode of a new device depends on the umask.
        rustix::fs::chmod(&place, Mode::from_raw_mode(0o666)).map_err(Stop::lacking(Feature::Devices))?;
    }
    // A file system that is mounted without devices makes them, and does not open them.
    std::fs::File::open(dev.join("null")).map(drop).map_err(Stop::lacking(Feature::Devices))
}

/// Gives up every privilege, in a root directory that it has entered or in one that is only taken for the root.
pub(super) fn set_up(spec: &Spec, proxy: Option<u16>) -> Result<Ready, Stop> {
    rustix::process::setsid().map_err(Stop::lacking(Feature::Tracing))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(Stop::lacking(Feature::Tracing))?;
    let proc = rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(Stop::lacking(Feature::Proc))?;
    let root = spec.root.copy();
    let root = if spec.isolation.enters_root() {
        enter_root(spec)?;
        None
    } else if rustix::process::geteuid().is_root() {
        return Err(Stop::lacking(Feature::LeaveRoot)("this mode is for ordinary users; root has `chroot`"));
    } else {
        Some(root.as_path())
    };
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(Stop::lacking(Feature::LeaveRoot))?;
    if spec.isolation == Isolation::Host {
        return set_up_open(spec, proc, root);
    }
    let tracer = Tracer::new(proc, root).map_err(Stop::lacking(Feature::Tracing))?;
    if tracer.is_none() && root.is_some() {
        return Err(Stop::lacking(Feature::Tracing)(ONE_ARCHITECTURE));
    }
    let ports: Option<Vec<u16>> = match &spec.network {
        Network::Host => None,
        Network::None | Network::Proxy(_) => Some(proxy.into_iter().collect()),
        // This process connects to it on behalf of the caller.
        Network::Forward(forward) => Some(vec![forward.port]),
    };
    let notices = confine::lock_in_shared(spec, ports.as_deref(), root)?;
    Ok(Ready { proxy: None, notices, tracer, guest: None })
}

/// Leaves everything of the machine within reach. Paths of the steps are led where the root could not be entered; where it
/// could, a tracer is of use to programs that ask which file they are, and may be missing.
fn set_up_open(spec: &Spec, proc: OwnedFd, root: Option<&Path>) -> Result<Ready, Stop> {
    confine::hold_to_limits(spec)?;
    let mut notices = Vec::new();
    let tracer =
        match Tracer::new(proc, root).and_then(|tracer| Tracer::try_out(tracer.as_ref()).map(|()| tracer)) {
            Ok(None) if root.is_some() => return Err(Stop::lacking(Feature::Tracing)(ONE_ARCHITECTURE)),
            Ok(tracer) => tracer,
            Err(cause) if root.is_some() => return Err(Stop::lacking(Feature::Tracing)(cause)),
            Err(cause) => {
                let without = "programs that ask the kernel which file they are get no answer";
                notices.push(format!("{without}, since processes cannot be traced here: {cause}"));
                None
            }
        };
    if root.is_some() {
        confine::lead_past_nothing().map_err(Stop::lacking(Feature::Seccomp))?;
    }
    Ok(Ready { proxy: None, notices, tracer, guest: None })
}

/// Makes the copy of the layers the root directory of this process, who is nobody in particular from then on.
fn enter_root(spec: &Spec) -> Result<(), Stop> {
    rustix::process::chroot(spec.root.copy()).map_err(Stop::lacking(Feature::Chroot))?;
    rustix::process::chdir(Path::new("/")).map_err(Stop::lacking(Feature::Chroot))?;
    // While there is still the capability that it takes. Where it is missing, what stays in the set is of no use:
    // `no_new_privs` comes before any step.
    let _ = confine::drop_bounding();
    owner::leave_root(spec.build_uid).map_err(Stop::lacking(Feature::LeaveRoot))
}
