//! The artifact store: files under the SHA-256 that a lock names, shared by all processes of a user.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::canonical::hex;

/// How the names of unfinished transfers begin.
const PREFIX: &str = ".fetch-";

/// How long a transfer that is alive may write nothing: longer than any of its timeouts.
const STALE: Duration = Duration::from_mins(30);

/// A directory of artifacts.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("could not use the artifact store `{path}`")]
pub struct StoreError {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// What is stored under a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// The file, verified.
    File(PathBuf),
    /// Nothing.
    Absent,
    /// There was a file with other content; it has been removed.
    Damaged,
}

impl Store {
    /// Opens a store, and makes its directory if it is not there.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let directory = directory.into();
        let store = Self { directory };
        fs_err::create_dir_all(store.directory.join("sha256")).map_err(|source| store.fail(source))?;
        store.sweep().map_err(|source| store.fail(source))?;
        Ok(store)
    }

    /// Where a file is or would be.
    #[must_use]
    pub fn path(&self, sha256: &str) -> PathBuf {
        self.directory.join("sha256").join(sha256)
    }

    /// The file of a digest, after its bytes have been checked.
    pub fn verified(&self, sha256: &str) -> Result<Stored, StoreError> {
        let path = self.path(sha256);
        let file = match fs_err::File::open(&path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Stored::Absent),
            Err(source) => return Err(StoreError { path, source }),
        };
        if hash(file).map_err(|source| StoreError { path: path.clone(), source })? == sha256 {
            return Ok(Stored::File(path));
        }
        fs_err::remove_file(&path).map_err(|source| StoreError { path, source })?;
        Ok(Stored::Damaged)
    }

    /// A new file in the store's own file system, so that it can be moved into place.
    pub fn temporary(&self) -> Result<NamedTempFile, StoreError> {
        tempfile::Builder::new()
            .prefix(PREFIX)
            .tempfile_in(&self.directory)
            .map_err(|source| self.fail(source))
    }

    /// Moves a finished file, whose digest the caller has verified, into place.
    pub fn adopt(&self, file: NamedTempFile, sha256: &str) -> Result<PathBuf, StoreError> {
        let path = self.path(sha256);
        file.as_file().sync_all().map_err(|source| self.fail(source))?;
        file.persist(&path).map_err(|cause| StoreError { path: path.clone(), source: cause.error })?;
        Ok(path)
    }

    /// Removes transfers that were cut short. One that is alive writes to its file again and again, so that it is not
    /// much older than a file that is made now.
    fn sweep(&self) -> io::Result<()> {
        let mut transfers = Vec::new();
        for entry in fs_err::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)) {
                transfers.push(path);
            }
        }
        if transfers.is_empty() {
            return Ok(());
        }
        let now = tempfile::tempfile_in(&self.directory)?.metadata()?.modified()?;
        for path in transfers {
            let modified = fs_err::metadata(&path).and_then(|found| found.modified());
            if modified.is_ok_and(|then| now.duration_since(then).is_ok_and(|age| age > STALE)) {
                let _ = fs_err::remove_file(path);
            }
        }
        Ok(())
    }

    fn fail(&self, source: io::Error) -> StoreError {
        StoreError { path: self.directory.clone(), source }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

fn hash(mut file: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_transfer_that_was_cut_short_is_removed_and_one_that_is_alive_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let (alive, dead) = (store.temporary().unwrap(), store.temporary().unwrap());
        let past = alive.as_file().metadata().unwrap().modified().unwrap() - 2 * STALE;
        dead.as_file().set_modified(past).unwrap();
        Store::open(directory.path()).unwrap();
        assert!(alive.path().exists() && !dead.path().exists());
    }

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_file_whose_bytes_changed_is_not_given_out() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.verified(EMPTY).unwrap(), Stored::Absent);
        let path = store.adopt(store.temporary().unwrap(), EMPTY).unwrap();
        assert_eq!(store.verified(EMPTY).unwrap(), Stored::File(path.clone()));
        fs_err::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"x").unwrap();
        assert_eq!(store.verified(EMPTY).unwrap(), Stored::Damaged);
        assert!(!path.exists());
    }
}
