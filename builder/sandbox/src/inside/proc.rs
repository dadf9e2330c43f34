//! An own `/proc`, without the files that tell about or change the whole machine.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::FileType;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsmount, fsopen, open_tree,
};

use super::root::{attach, clone_tree, resolve, tmpfs};
use crate::error::Feature;
use crate::launcher::Stop;
use crate::sys;

/// What containers usually do not show.
const HIDDEN: [&str; 12] = [
    "acpi",
    "asound",
    "bootconfig",
    "kallsyms",
    "kcore",
    "keys",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];

/// What they show and do not let anyone change.
const LOCKED: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// A detached `/proc` of this process namespace, all of it.
pub(super) fn plain() -> Result<OwnedFd, Stop> {
    let create = || -> rustix::io::Result<OwnedFd> {
        let filesystem = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(filesystem.as_fd())?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        fsmount(filesystem.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    create().map_err(Stop::lacking(Feature::Proc))
}

/// Mounts `/proc` of this process namespace.
pub(super) fn mount(root: &OwnedFd) -> Result<(), Stop> {
    attach(root, &plain()?, Path::new("/proc"))?;
    for name in LOCKED {
        lock(root, &Path::new("proc").join(name))?;
    }
    for name in HIDDEN {
        hide(root, &Path::new("proc").join(name))?;
    }
    Ok(())
}

fn lock(root: &OwnedFd, path: &Path) -> Result<(), Stop> {
    let Some(place) = find(root, path)? else { return Ok(()) };
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(&place, "", flags).map_err(Stop::lacking(Feature::Proc))?;
    sys::set_mount_attributes(tree.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY)
        .map_err(Stop::lacking(Feature::Proc))?;
    attach(root, &tree, path)
}

fn hide(root: &OwnedFd, path: &Path) -> Result<(), Stop> {
    let Some(place) = find(root, path)? else { return Ok(()) };
    let found = rustix::fs::fstat(&place).map_err(Stop::lacking(Feature::Proc))?;
    let cover = if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        let empty = tmpfs("555", "4096")?;
        sys::set_mount_attributes(empty.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY)
            .map_err(Stop::lacking(Feature::Proc))?;
        empty
    } else {
        clone_tree("/dev/null", MountAttrFlags::MOUNT_ATTR_RDONLY)?
    };
    attach(root, &cover, path)
}

/// Kernels differ in which of the files they have.
fn find(root: &OwnedFd, path: &Path) -> Result<Option<OwnedFd>, Stop> {
    match resolve(root, path) {
        Ok(place) => Ok(Some(place)),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(errno) => Err(Stop::lacking(Feature::Proc)(errno)),
    }
}
