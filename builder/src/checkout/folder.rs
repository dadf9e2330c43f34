//! A directory of a repository, read without following anything out of it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, statat};
use rustix::io::Errno;

use super::CheckoutError;

/// The most names that are read of a directory.
const NAMES: usize = 100_000;

/// An open directory.
pub(super) struct Folder {
    directory: OwnedFd,
    path: String,
}

impl Folder {
    /// Opens a directory that is no symbolic link itself.
    pub(super) fn open(path: &Path) -> Result<Self, CheckoutError> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let shown = crate::report::printable(&path.display().to_string());
        let directory = openat(CWD, path, flags, Mode::empty())
            .map_err(|cause| CheckoutError::Read { path: shown.clone(), source: cause.into() })?;
        Ok(Self { directory, path: shown })
    }

    /// Whether there is something of this name.
    pub(super) fn has(&self, name: &str) -> Result<bool, CheckoutError> {
        match statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(cause) => Err(self.failed(name, cause)),
        }
    }

    /// Opens a regular file below; none when it is not there.
    pub(super) fn file(&self, path: &str) -> Result<Option<File>, CheckoutError> {
        // A FIFO would otherwise block the open for ever.
        let file = match self.beneath(path, OFlags::NONBLOCK | OFlags::NOCTTY) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(cause) => return Err(self.failed(path, cause)),
        };
        let status = fstat(&file).map_err(|cause| self.failed(path, cause))?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => Ok(Some(File::from(file))),
            // A branch `a/b` makes a directory of what a branch `a` would be.
            FileType::Directory => Ok(None),
            _ => Err(CheckoutError::Malformed { what: format!("`{path}` of `{}`", self.path) }),
        }
    }

    /// Reads a file below; none when it is not there.
    pub(super) fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, CheckoutError> {
        let Some(file) = self.file(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| CheckoutError::Read { path: format!("{}/{path}", self.path), source })?;
        if bytes.len() as u64 > limit {
            return Err(CheckoutError::TooMuch { what: "a file of the repository" });
        }
        Ok(Some(bytes))
    }

    /// The names in a directory below; none when it is not there.
    pub(super) fn names(&self, path: &str) -> Result<Vec<String>, CheckoutError> {
        let directory = match self.beneath(path, OFlags::DIRECTORY) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(cause) => return Err(self.failed(path, cause)),
        };
        let mut names = Vec::new();
        for entry in Dir::new(directory).map_err(|cause| self.failed(path, cause))? {
            let entry = entry.map_err(|cause| self.failed(path, cause))?;
            names.extend(entry.file_name().to_str().ok().map(str::to_owned));
            if names.len() > NAMES {
                return Err(CheckoutError::TooMuch { what: "its directories" });
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn beneath(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.directory, path, flags | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    fn failed(&self, path: &str, cause: Errno) -> CheckoutError {
        let path = crate::report::printable(&format!("{}/{path}", self.path));
        CheckoutError::Read { path, source: io::Error::from(cause) }
    }
}
