//! Scratch directories that are gone when the build ends, however it ends.
//!
//! A directory belongs to a process as long as its lock is held; the kernel drops the lock with the process. What a
//! killed build left behind is taken away by the next one.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::failure::Failure;

/// A scratch directory.
pub struct Scratch {
    path: PathBuf,
    lock: PathBuf,
    held: File,
}

impl Scratch {
    /// Makes a scratch directory below `parent`, and takes away those that no process holds.
    pub fn new(parent: &Path) -> Result<Self, Failure> {
        fs_err::create_dir_all(parent)
            .map_err(|cause| Failure::io("could not make the scratch directory", cause))?;
        reclaim(parent);
        let failed = |cause| Failure::io("could not make a scratch directory", cause);
        loop {
            // The lock is there before the directory and after it, so that no directory is ever without one.
            let begun = tempfile::Builder::new().prefix("build-").suffix(".lock").tempfile_in(parent);
            let (held, lock) = begun.map_err(failed)?.into_parts();
            // Another process may take it for a left-over before it is locked: then it holds the lock for as long as that
            // takes.
            flock(&held, FlockOperation::LockExclusive).map_err(|cause| failed(cause.into()))?;
            if !lock.is_file() {
                continue;
            }
            let lock = lock.keep().map_err(|cause| failed(cause.error))?;
            let path = lock.with_extension("");
            let scratch = Self { path, lock, held };
            fs_err::create_dir(&scratch.path).map_err(failed)?;
            return Ok(scratch);
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory in it.
    pub fn directory(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.path.join(name);
        fs_err::create_dir_all(&path)
            .map_err(|cause| Failure::io("could not make a scratch directory", cause))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.path, &self.lock);
        let _ = flock(&self.held, FlockOperation::Unlock);
    }
}

fn reclaim(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for lock in entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "lock"))
    {
        let Ok(held) = File::open(&lock) else { continue };
        if flock(&held, FlockOperation::NonBlockingLockExclusive).is_ok() {
            remove(&lock.with_extension(""), &lock);
        }
    }
}

/// Deletes a scratch directory and its lock, which is held. What cannot be deleted now keeps its lock, by which the next
/// build finds it and takes it away.
fn remove(directory: &Path, lock: &Path) {
    if lapstrake_oci::layer::remove_tree(directory).is_ok() {
        let _ = std::fs::remove_file(lock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_goes_with_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(parent.path()).unwrap();
        std::fs::write(scratch.path().join("file"), b"x").unwrap();
        drop(scratch);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_build_left_is_reclaimed_and_what_a_living_one_holds_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let living = Scratch::new(parent.path()).unwrap();
        std::fs::create_dir(parent.path().join("build-dead")).unwrap();
        std::fs::write(parent.path().join("build-dead.lock"), b"").unwrap();
        let second = Scratch::new(parent.path()).unwrap();
        assert!(living.path().is_dir() && second.path().is_dir());
        assert!(!parent.path().join("build-dead").exists());
    }

    #[test]
    fn what_cannot_be_deleted_is_left_to_the_next_build() {
        let parent = tempfile::tempdir().unwrap();
        let lock = parent.path().join("build-kept.lock");
        std::fs::write(&lock, b"").unwrap();
        // Nobody deletes what is in there.
        remove(Path::new("/proc/self/fdinfo"), &lock);
        assert!(lock.is_file());
        remove(&parent.path().join("build-kept"), &lock);
        assert!(!lock.exists());
    }

    #[test]
    fn any_number_of_builds_begin_at_once() {
        let parent = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        assert!(Scratch::new(parent.path()).unwrap().path().is_dir());
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
