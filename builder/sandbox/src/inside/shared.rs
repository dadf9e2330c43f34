//! The set-up without namespaces: a root directory that was laid out, entered with `chroot` by root, who then becomes
//! nobody in particular.

use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::confine;
use crate::error::Feature;
use crate::launcher::Stop;
use crate::owner;
use crate::spec::{Network, Spec};

/// The devices that only make or swallow bytes, with their numbers.
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Makes `/dev` in the root directory, in which steps make nothing. Only root may.
pub(crate) fn make_devices(spec: &Spec) -> Result<(), Stop> {
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
    let shm = owner::make_directory(&dev.join("shm"), 0o1777, spec.build_uid);
    shm.map_err(Stop::lacking(Feature::Devices))?;
    // A file system that is mounted without devices makes them, and does not open them.
    std::fs::File::open(dev.join("null")).map(drop).map_err(Stop::lacking(Feature::Devices))
}

/// Enters the root directory and gives up every privilege; returns what this kernel cannot do.
pub(super) fn set_up(spec: &Spec, proxy: Option<u16>) -> Result<Vec<String>, Stop> {
    rustix::process::setsid().map_err(Stop::lacking(Feature::Chroot))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(Stop::lacking(Feature::Chroot))?;
    if !rustix::process::geteuid().is_root() {
        return Err(Stop::lacking(Feature::Chroot)("only root can change the root directory"));
    }
    rustix::process::chroot(&spec.root.copy()).map_err(Stop::lacking(Feature::Chroot))?;
    rustix::process::chdir(Path::new("/")).map_err(Stop::lacking(Feature::Chroot))?;
    // While there is still the capability that it takes. Where it is missing, what stays in the set is of no use:
    // `no_new_privs` comes before any step.
    let _ = confine::drop_bounding();
    owner::leave_root(spec.build_uid).map_err(Stop::lacking(Feature::LeaveRoot))?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(Stop::lacking(Feature::LeaveRoot))?;
    let ports: Option<Vec<u16>> = match &spec.network {
        Network::Host => None,
        Network::None | Network::Proxy(_) => Some(proxy.into_iter().collect()),
        // This process connects to it on behalf of the caller.
        Network::Forward(forward) => Some(vec![forward.port]),
    };
    confine::lock_in_shared(spec, ports.as_deref())
}
