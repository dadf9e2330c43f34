//! The artifact store: files under the SHA-256 that a lock names, shared by all processes of a user.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::canonical::hex;

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
            .prefix(".fetch-")
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
