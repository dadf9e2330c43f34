//! An own `/dev`: the devices that only make or swallow bytes, terminals of its own, and shared memory.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, mkdirat, openat, symlinkat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use super::root::{attach, clone_tree, resolve, tmpfs};
use crate::error::Feature;
use crate::launcher::Stop;

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// POSIX shared memory is memory, so it is kept small; browsers and databases in tests need some.
const SHM_SIZE: &str = "268435456";

/// Mounts `/dev`.
pub(super) fn mount(root: &OwnedFd) -> Result<(), Stop> {
    attach(root, &tmpfs("755", "1048576")?, Path::new("/dev"))?;
    let fail = || Stop::lacking::<rustix::io::Errno>(Feature::Devices);
    let dev = resolve(root, Path::new("dev")).map_err(fail())?;
    for name in DEVICES {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        openat(&dev, name, flags, Mode::from_raw_mode(0o666)).map_err(fail())?;
        let device = clone_tree(&format!("/dev/{name}"), MountAttrFlags::MOUNT_ATTR_NOSUID)?;
        attach(root, &device, &Path::new("/dev").join(name))?;
    }
    for (target, name) in LINKS {
        symlinkat(target, &dev, name).map_err(fail())?;
    }
    for name in ["shm", "pts"] {
        mkdirat(&dev, name, Mode::from_raw_mode(0o755)).map_err(fail())?;
    }
    attach(root, &tmpfs("1777", SHM_SIZE)?, Path::new("/dev/shm"))?;
    attach(root, &terminals().map_err(fail())?, Path::new("/dev/pts"))
}

fn terminals() -> rustix::io::Result<OwnedFd> {
    let filesystem = fsopen("devpts", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_flag(filesystem.as_fd(), "newinstance")?;
    fsconfig_set_string(filesystem.as_fd(), "ptmxmode", "0666")?;
    fsconfig_set_string(filesystem.as_fd(), "mode", "0620")?;
    fsconfig_create(filesystem.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(filesystem.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}
