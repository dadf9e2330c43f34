//! Who stands behind the sandbox outside: never root.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// The user and group, outside, that own what the steps write, and must own what they are to change: the
/// unpacked lower directories and every writable mount.
///
/// `build_uid` (as user and as group) when called as root, the caller otherwise.
#[must_use]
pub fn outside_identity(build_uid: u32) -> (u32, u32) {
    if rustix::process::geteuid().is_root() {
        (build_uid, build_uid)
    } else {
        (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    }
}

/// Makes a directory for the outside identity, if there is none, and sets its mode whatever the caller's umask is.
pub(crate) fn make_directory(path: &Path, mode: u32, build_uid: u32) -> io::Result<()> {
    match fs::create_dir_all(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    give(path, build_uid)
}

/// Gives a path, or a link itself, to the outside identity.
pub(crate) fn give(path: &Path, build_uid: u32) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        rustix::fs::chownat(
            rustix::fs::CWD,
            path,
            Some(Uid::from_raw(build_uid)),
            Some(Gid::from_raw(build_uid)),
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )?;
    }
    Ok(())
}

/// Gives a tree that this program made to the outside identity.
pub(crate) fn give_tree(path: &Path, build_uid: u32) -> io::Result<()> {
    give(path, build_uid)?;
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give_tree(&entry?.path(), build_uid)?;
        }
    }
    Ok(())
}

/// Stops being root for good, and proves it.
///
/// Behind a user namespace of real root, files such as `/proc/sys/kernel/core_pattern` would stay writable and
/// process limits would not count.
pub(crate) fn leave_root(build_uid: u32) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() && !rustix::process::getuid().is_root() {
        return Ok(());
    }
    if build_uid == 0 || build_uid == u32::MAX {
        return Err(format!("the build uid must not be {build_uid}"));
    }
    let (uid, gid) = (Uid::from_raw(build_uid), Gid::from_raw(build_uid));
    let explain = |errno: rustix::io::Errno| format!("cannot become uid {build_uid}: {errno}");
    set_thread_groups(&[]).map_err(explain)?;
    set_thread_res_gid(gid, gid, gid).map_err(explain)?;
    set_thread_res_uid(uid, uid, uid).map_err(explain)?;
    if set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_ok() || rustix::process::getuid() != uid {
        return Err("root came back after it was given up".to_owned());
    }
    Ok(())
}
