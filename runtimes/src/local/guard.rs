//! Keeps two processes from doing the same work: a lock on a file.

use std::fs::File;
use std::path::{Path, PathBuf};

use lapstrake_oci::layer::remove_tree;
use rustix::fs::{FlockOperation, flock};

use super::LocalError;

/// Holds a lock until it is dropped.
#[derive(Debug)]
pub(super) struct Guard(#[expect(dead_code, reason = "the lock goes when the file is closed")] File);

impl Guard {
    /// Waits for the lock of a file, which is made if it is not there.
    pub(super) fn wait(path: &Path) -> Result<Self, LocalError> {
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent).map_err(file_error(parent))?;
        }
        let file =
            File::options().create(true).truncate(false).write(true).open(path).map_err(file_error(path))?;
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(rustix::io::Errno::INTR) => {}
                Err(cause) => return Err(file_error(path)(cause.into())),
            }
        }
    }
}

/// A directory for temporary files. It goes with this value; that of a process that was killed is found by its lock,
/// which nobody holds any more.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    _guard: Guard,
}

impl Scratch {
    /// A new one, in the file system of the data directory.
    pub(super) fn create(data: &Path) -> Result<Self, LocalError> {
        let parent = scratch_folder(data);
        // Whoever sweeps holds this, so that no directory is seen before it has been locked.
        let _gate = Guard::wait(&parent.join("gate"))?;
        let path =
            tempfile::Builder::new().prefix("work-").tempdir_in(&parent).map_err(file_error(&parent))?.keep();
        let guard = Guard::wait(&path.join("lock"))?;
        Ok(Self { path, _guard: guard })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what killed processes left.
    pub(super) fn sweep(data: &Path) -> Result<(), LocalError> {
        let parent = scratch_folder(data);
        if !parent.exists() {
            return Ok(());
        }
        let _gate = Guard::wait(&parent.join("gate"))?;
        for entry in fs_err::read_dir(&parent).map_err(file_error(&parent))? {
            let path = entry.map_err(file_error(&parent))?.path();
            if path.is_dir() && !is_held(&path.join("lock")) {
                remove_unless_gone(&path)?;
            }
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Unpacked directories may not be writable; what cannot be removed now is swept later.
        let _ = remove_tree(&self.path);
    }
}

/// Whoever held the lock until now may be deleting the directory at this moment.
fn remove_unless_gone(path: &Path) -> Result<(), LocalError> {
    match remove_tree(path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(file_error(path)),
    }
}

fn scratch_folder(data: &Path) -> PathBuf {
    data.join("scratch")
}

fn is_held(lock: &Path) -> bool {
    File::open(lock).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
}

/// An error of a file of the data directory.
pub(super) fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> LocalError {
    let path: PathBuf = path.to_owned();
    move |source| LocalError::File { path, source }
}

/// Writes a file so that others see all of it or nothing.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), LocalError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder).map_err(file_error(folder))?;
    let file = tempfile::NamedTempFile::new_in(folder).map_err(file_error(folder))?;
    fs_err::write(file.path(), bytes).map_err(file_error(path))?;
    file.as_file().sync_all().map_err(file_error(path))?;
    file.persist(path).map_err(|cause| file_error(path)(cause.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_swept_and_what_a_living_one_uses_is_not() {
        let data = tempfile::tempdir().unwrap();
        let living = Scratch::create(data.path()).unwrap();
        let dead = Scratch::create(data.path()).unwrap().path().to_owned();
        fs_err::create_dir_all(dead.join("rootfs/usr")).unwrap();
        fs_err::write(dead.join("lock"), "").unwrap();
        Scratch::sweep(data.path()).unwrap();
        assert!(living.path().exists() && !dead.exists());
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }
}
