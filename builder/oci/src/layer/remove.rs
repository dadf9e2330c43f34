//! Deletion of directory trees of any depth and with any modes.
//!
//! `std::fs::remove_dir_all` needs a descriptor for every level and gives up at depth 5,000 or so. Here every
//! subdirectory is first moved up into the directory that is being deleted, so nothing is ever deeper than two
//! levels and three descriptors are enough.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, chmodat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

/// What the directories that were moved up are called, with a number behind it.
const MOVED: &str = ".lapstrake-removed-";

/// Deletes a file, a link or a directory with everything in it, never through a link. That nothing is there is no
/// error. What another file system is mounted on is not deleted, which is an error.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let named = |cause: Errno| {
        let cause = io::Error::from(cause);
        io::Error::new(cause.kind(), format!("`{}` cannot be deleted: {cause}", path.display()))
    };
    let Some(name) = path.file_name() else { return Err(named(Errno::INVAL)) };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match rustix::fs::open(parent, flags, Mode::empty()) {
        Ok(parent) => parent,
        Err(Errno::NOENT) => return Ok(()),
        Err(cause) => return Err(named(cause)),
    };
    remove_at(parent.as_fd(), name.as_bytes()).map_err(named)
}

/// Deletes one name of a directory, and what is below it.
pub(super) fn remove_at(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Linux says EISDIR, POSIX and some file systems EPERM.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(cause) => return Err(cause),
    }
    let top = open_dir(parent, name)?;
    let mut moved = 0u64;
    let mut waiting = Vec::new();
    empty(top.as_fd(), top.as_fd(), &mut waiting, &mut moved)?;
    while let Some(name) = waiting.pop() {
        let dir = open_dir(top.as_fd(), &name)?;
        empty(dir.as_fd(), top.as_fd(), &mut waiting, &mut moved)?;
        unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Deletes the files of a directory and moves its subdirectories up into `top`, where they wait.
fn empty(
    dir: BorrowedFd<'_>,
    top: BorrowedFd<'_>,
    waiting: &mut Vec<Vec<u8>>,
    moved: &mut u64,
) -> Result<(), Errno> {
    for (name, kind) in entries(dir)? {
        if kind != FileType::Directory {
            unlinkat(dir, &name, AtFlags::empty())?;
        } else if rustix::fd::AsRawFd::as_raw_fd(&dir) == rustix::fd::AsRawFd::as_raw_fd(&top) {
            waiting.push(name);
        } else {
            waiting.push(move_up(dir, &name, top, moved)?);
        }
    }
    Ok(())
}

fn move_up(dir: BorrowedFd<'_>, name: &[u8], top: BorrowedFd<'_>, moved: &mut u64) -> Result<Vec<u8>, Errno> {
    loop {
        *moved += 1;
        let place = format!("{MOVED}{moved}").into_bytes();
        match renameat(dir, name, top, &place) {
            Ok(()) => return Ok(place),
            // The name was in the tree already.
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
            // Moving a directory changes its `..`, for which it must be writable.
            Err(Errno::ACCESS) => {
                chmodat(dir, name, Mode::RWXU, AtFlags::empty())?;
                renameat(dir, name, top, &place)?;
                return Ok(place);
            }
            Err(cause) => return Err(cause),
        }
    }
}

/// Opens a directory that can be read, searched and written, giving it that mode where its owner may.
fn open_dir(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || openat(parent, name, flags, Mode::empty());
    let dir = match open() {
        Err(Errno::ACCESS) => {
            chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open()?
        }
        opened => opened?,
    };
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&dir)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        // Root gets by without, and may not be the owner.
        let _ = rustix::fs::fchmod(&dir, Mode::RWXU);
    }
    Ok(dir)
}

/// All names in a directory. They are read before anything is changed, for a directory that changes while it is
/// read may leave names out.
pub(super) fn entries(dir: BorrowedFd<'_>) -> Result<Vec<(Vec<u8>, FileType)>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                FileType::from_raw_mode(statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
            }
            known => known,
        };
        names.push((name.to_vec(), kind));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A chain of directories, too deep for a path.
    fn deep(parent: &Path, depth: usize) {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let mut dir = rustix::fs::open(parent, flags, Mode::empty()).unwrap();
        for _ in 0..depth {
            rustix::fs::mkdirat(&dir, "d", Mode::RWXU).unwrap();
            dir = openat(&dir, "d", flags, Mode::empty()).unwrap();
        }
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs_err::create_dir(&top).unwrap();
        deep(&top, 2500);
        remove_tree(&top).unwrap();
        assert!(!top.exists());
        remove_tree(&top).unwrap();
    }

    #[test]
    fn modes_and_names_of_ours_do_not_stop_it() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        let inner = top.join("a/b/c");
        fs_err::create_dir_all(&inner).unwrap();
        fs_err::create_dir_all(top.join(format!("{MOVED}1/full"))).unwrap();
        fs_err::write(top.join(format!("{MOVED}2")), b"x").unwrap();
        fs_err::write(inner.join("file"), b"x").unwrap();
        for closed in [&inner, &top.join("a/b"), &top.join("a"), &top] {
            fs_err::set_permissions(closed, std::fs::Permissions::from_mode(0o0)).unwrap();
        }
        remove_tree(&top).unwrap();
        assert!(!top.exists());
    }

    #[test]
    fn links_are_deleted_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let canary = dir.path().join("canary");
        fs_err::create_dir(&canary).unwrap();
        fs_err::write(canary.join("file"), b"x").unwrap();
        let top = dir.path().join("top");
        fs_err::create_dir(&top).unwrap();
        std::os::unix::fs::symlink(&canary, top.join("link")).unwrap();
        std::os::unix::fs::symlink(&canary, dir.path().join("direct")).unwrap();
        remove_tree(&top).unwrap();
        remove_tree(&dir.path().join("direct")).unwrap();
        assert!(canary.join("file").exists());
        assert!(!dir.path().join("direct").is_symlink());
    }
}
