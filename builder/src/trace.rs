//! What commands have read, by access times.
//!
//! Files are laid out with an access time that is older than anything. The kernel renews it when a file is read, mapped
//! into memory or executed, under `relatime` at least the first time. What else may have gone into a result counts as
//! read, too: files that are gone, replaced or changed, since their old content may have been read before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use lapstrake_oci::tree::{FileTree, Kind, TreePath};
use lapstrake_sandbox::Isolation;
use rustix::fs::{AtFlags, CWD, Stat, Timespec, Timestamps, UTIME_OMIT, statat, utimensat};

/// The access time of a file that nobody has read, in seconds since 1970.
pub const UNREAD: i64 = 1;

/// File systems on which access times are kept as described, by the numbers of `statfs`: ext4, XFS, Btrfs, tmpfs, F2FS.
const KNOWN: [i64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0xf2f5_2010];

/// What tells whether a file is the one that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    inode: (u64, u64),
    changed: (i64, u64),
    size: i64,
}

/// The marks of the files of a tree on disk.
pub type Marks = BTreeMap<TreePath, Mark>;

/// Why it cannot be told what commands read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untraceable {
    /// The file system is none of those that are known to keep access times.
    #[error("the file system of the work directory is of an unknown kind ({0:#x})")]
    Unknown(i64),
    /// It was tried, and reading a file left no trace.
    #[error("access times are not kept in the work directory")]
    NotKept,
    /// Commands may read without a trace.
    #[error("nothing keeps commands from reading without a trace in isolation mode `host`")]
    NotHeld,
    /// Commands run on a kernel that may know files without reading them again.
    #[error("commands run on another kernel in isolation mode `gvisor`, which remembers files")]
    OtherKernel,
    /// It could not be tried.
    #[error("it could not be tried whether access times are kept: {0}")]
    Failed(String),
}

/// Finds out whether access times tell what was read, for files below a directory.
pub fn probe(directory: &Path) -> Result<(), Untraceable> {
    let failed = |cause: io::Error| Untraceable::Failed(cause.to_string());
    let kind = rustix::fs::statfs(directory).map_err(|cause| failed(cause.into()))?.f_type;
    #[expect(clippy::useless_conversion, reason = "the type differs from one architecture to another")]
    let kind = i64::from(kind);
    if !KNOWN.contains(&kind) {
        return Err(Untraceable::Unknown(kind));
    }
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    file.write_all(b"probe").map_err(failed)?;
    make_unread(file.path()).map_err(failed)?;
    let mut read = File::open(file.path()).map_err(failed)?;
    let mut byte = [0];
    read.read_exact(&mut byte).map_err(failed)?;
    let found = stat(file.path()).map_err(failed)?;
    if found.st_atime == UNREAD { Err(Untraceable::NotKept) } else { Ok(()) }
}

/// The same, for commands in an isolation mode.
pub fn probe_for(isolation: Isolation, directory: &Path) -> Result<(), Untraceable> {
    match isolation {
        Isolation::Host => Err(Untraceable::NotHeld),
        Isolation::Gvisor => Err(Untraceable::OtherKernel),
        _ => probe(directory),
    }
}

/// Takes the marks of the files of a tree below a directory.
pub fn marks(tree: &FileTree, below: &Path) -> io::Result<Marks> {
    files(tree).map(|path| Ok((path.clone(), mark(&stat(&path.below(below))?)))).collect()
}

/// Makes the files of a tree below a directory unread, and takes their marks.
pub fn begin(tree: &FileTree, below: &Path) -> io::Result<Marks> {
    for path in files(tree).map(|path| path.below(below)) {
        if stat(&path)?.st_atime != UNREAD {
            make_unread(&path)?;
        }
    }
    marks(tree, below)
}

/// The files that may have been read since their marks were taken.
pub fn read_since(marks: &Marks, below: &Path) -> io::Result<BTreeSet<TreePath>> {
    let mut read = BTreeSet::new();
    for (path, before) in marks {
        let was_read = match stat(&path.below(below)) {
            Ok(now) => mark(&now) != *before || now.st_atime != UNREAD,
            Err(cause) if is_gone(&cause) => true,
            Err(cause) => return Err(cause),
        };
        if was_read {
            read.insert(path.clone());
        }
    }
    Ok(read)
}

/// Whether a file still is the one that was marked.
#[must_use]
pub fn is_unchanged(path: &TreePath, below: &Path, marks: &Marks) -> bool {
    let Some(before) = marks.get(path) else { return false };
    stat(&path.below(below)).is_ok_and(|now| mark(&now) == *before)
}

fn files(tree: &FileTree) -> impl Iterator<Item = &TreePath> {
    let is_file = |kind: &Kind| matches!(kind, Kind::File(_) | Kind::Hardlink(_));
    tree.iter().filter(move |(_, node)| is_file(&node.kind)).map(|(path, _)| path)
}

fn stat(path: &Path) -> io::Result<Stat> {
    Ok(statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// A directory on the way may have become something else.
fn is_gone(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn mark(stat: &Stat) -> Mark {
    Mark {
        inode: (stat.st_dev, stat.st_ino),
        changed: (stat.st_ctime, stat.st_ctime_nsec),
        size: stat.st_size,
    }
}

fn make_unread(path: &Path) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: UNREAD, tv_nsec: 0 },
        last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lapstrake_oci::layer::{ScanOptions, scan};
    use lapstrake_oci::tree::Owner;

    use super::*;

    fn names(paths: &BTreeSet<TreePath>) -> Vec<String> {
        paths.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_read_copied_mapped_moved_changed_or_removed_is_known() {
        let dir = tempfile::tempdir().unwrap();
        if let Err(reason) = probe(dir.path()) {
            println!("skipped: {reason}");
            return;
        }
        let at = |name: &str| dir.path().join(name);
        let all =
            ["appended", "copied", "gone", "kept", "linked", "moved", "read", "replaced", "run", "touched"];
        for name in all {
            fs::write(at(name), "#!/bin/sh\n").unwrap();
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(at("run"), mode).unwrap();
        let tree = scan(dir.path(), &ScanOptions::new(Owner::default())).unwrap().tree;
        let marks = begin(&tree, dir.path()).unwrap();
        assert_eq!(names(&read_since(&marks, dir.path()).unwrap()), [""; 0]);
        fs_err::read(at("read")).unwrap();
        fs::copy(at("copied"), at("copy")).unwrap();
        fs::OpenOptions::new().append(true).open(at("appended")).unwrap().write_all(b"x").unwrap();
        fs::remove_file(at("gone")).unwrap();
        fs::rename(at("moved"), at("elsewhere")).unwrap();
        fs::rename(at("copy"), at("replaced")).unwrap();
        fs::hard_link(at("linked"), at("link")).unwrap();
        fs::metadata(at("kept")).unwrap();
        assert!(std::process::Command::new(at("run")).status().unwrap().success());
        File::open(at("touched")).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let expected =
            ["appended", "copied", "gone", "linked", "moved", "read", "replaced", "run", "touched"];
        assert_eq!(names(&read_since(&marks, dir.path()).unwrap()), expected);
        let path = |name: &str| TreePath::new(name).unwrap();
        assert!(is_unchanged(&path("read"), dir.path(), &marks));
        assert!(!is_unchanged(&path("appended"), dir.path(), &marks));
        assert!(!is_unchanged(&path("gone"), dir.path(), &marks));
    }

    #[test]
    fn a_file_system_that_keeps_no_access_times_is_not_trusted() {
        assert!(matches!(probe(Path::new("/proc")), Err(Untraceable::Unknown(_))));
        assert!(matches!(probe(Path::new("/no/such/place")), Err(Untraceable::Failed(_))));
    }
}
