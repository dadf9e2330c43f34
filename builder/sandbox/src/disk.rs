//! How much a sandbox has written: its scratch directories and writable mounts are measured while it runs.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, statat};
use rustix::io::Errno;

use crate::spec::{Mount, Spec};

/// What an empty file or a directory costs, so that a flood of them counts as well.
const LEAST: u64 = 1024;

/// Starts watching; the flag that it returns is set when the limit is exceeded, and `stop` ends it.
pub(crate) fn watch(spec: &Spec, stop: Arc<AtomicBool>) -> Arc<AtomicBool> {
    let exceeded = Arc::new(AtomicBool::new(false));
    let mut paths = vec![spec.root.upper(), spec.root.temporary()];
    if spec.isolation.has_namespaces() {
        paths.extend(spec.mounts.iter().filter_map(Mount::grows));
    } else {
        // What steps may change was moved in there.
        paths = vec![spec.root.copy()];
    }
    let (limit, flag) = (spec.limits.disk, Arc::clone(&exceeded));
    thread::spawn(move || {
        let before = Use::of(&paths);
        while !stop.load(Ordering::Relaxed) {
            let started = Instant::now();
            if Use::of(&paths).since(&before) > limit {
                flag.store(true, Ordering::Relaxed);
                return;
            }
            // A large tree must not keep a processor busy.
            let pause = (started.elapsed() * 10).max(Duration::from_millis(500));
            let end = Instant::now() + pause;
            while Instant::now() < end && !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(50));
            }
        }
    });
    exceeded
}

/// A measurement.
#[derive(Debug)]
struct Use {
    /// Bytes of all files that could be found.
    found: u64,
    /// Whether something could not be looked into: a directory without permissions, or one that lies too deep.
    hidden: bool,
    /// Bytes in use on the whole file system of the first path.
    whole: u64,
}

impl Use {
    fn of(paths: &[PathBuf]) -> Self {
        let mut measured = Self { found: 0, hidden: false, whole: whole(&paths[0]) };
        let mut open = paths.to_vec();
        while let Some(path) = open.pop() {
            measured.add(&path, &mut open);
        }
        measured
    }

    fn add(&mut self, path: &Path, open: &mut Vec<PathBuf>) {
        let directory = match open_quietly(path) {
            Ok(directory) => directory,
            Err(errno) => {
                // A mount's source may be a file, and a directory may be gone or a link since it was listed.
                self.hidden |= !matches!(errno, Errno::NOTDIR | Errno::NOENT | Errno::LOOP);
                return;
            }
        };
        let Ok(entries) = Dir::read_from(&directory) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let Ok(found) = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            self.found += (u64::try_from(found.st_blocks).unwrap_or(0) * 512).max(LEAST);
            if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
                open.push(path.join(OsStr::from_bytes(name.to_bytes())));
            }
        }
    }

    /// How much was added. Where a step hides files, the growth of the whole file system is held against it.
    fn since(&self, before: &Self) -> u64 {
        let found = self.found.saturating_sub(before.found);
        if self.hidden { found.max(self.whole.saturating_sub(before.whole)) } else { found }
    }
}

/// Opens a directory without a trace: access times tell which directories the steps have read.
fn open_quietly(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags | OFlags::NOATIME, Mode::empty()) {
        // Only its owner may hide an access, so what others own inside a writable mount is left out.
        Err(Errno::PERM) => Err(Errno::NOENT),
        other => other,
    }
}

fn whole(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |found| (found.f_blocks - found.f_bfree) * found.f_frsize)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn measuring_leaves_access_times_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        let old = fs::FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH);
        fs::File::open(directory.path()).unwrap().set_times(old).unwrap();
        Use::of(&[directory.path().to_owned()]);
        assert_eq!(fs::metadata(directory.path()).unwrap().atime(), 0);
    }

    #[test]
    fn what_lies_in_subdirectories_counts_and_holes_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let paths = [directory.path().to_owned()];
        let below = directory.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        let before = Use::of(&paths);
        fs::write(below.join("full"), vec![1; 1 << 20]).unwrap();
        fs::File::create(below.join("sparse")).unwrap().set_len(1 << 30).unwrap();
        let grown = Use::of(&paths).since(&before);
        assert!((1 << 20..2 << 20).contains(&grown), "{grown}");
    }

    #[test]
    fn where_something_is_hidden_the_whole_file_system_counts() {
        let before = Use { found: 10, hidden: false, whole: 1000 };
        let after = |hidden| Use { found: 11, hidden, whole: 3000 };
        assert_eq!((after(false).since(&before), after(true).since(&before)), (1, 2000));
    }
}
