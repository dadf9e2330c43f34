//! Keeps two processes from doing the same work: a lock on a file.

use std::fs::File;
use std::path::{Path, PathBuf};

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
