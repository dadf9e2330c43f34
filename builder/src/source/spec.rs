//! What the user calls the source.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

use super::error::SourceError;

/// Where a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// A directory or an archive. Which of the two is decided by what is there, never by its name.
    Path(PathBuf),
    /// An archive on standard input.
    Stdin,
}

impl SourceSpec {
    /// Parses what a user typed: `-` or a path.
    pub fn parse(given: &str) -> Result<Self, SourceError> {
        let fail = |reason| Err(SourceError::NotUnderstood { given: given.to_owned(), reason });
        match given {
            "-" => Ok(Self::Stdin),
            "" => fail("it is empty"),
            _ if given.contains('\0') => fail("it contains a NUL byte"),
            // `https://host/app.tar.gz` would otherwise be reported as a file that does not exist.
            _ if given.contains("://") => fail("addresses are not fetched; pipe the archive to `-` instead"),
            path => Ok(Self::Path(path.into())),
        }
    }
}

impl FromStr for SourceSpec {
    type Err = SourceError;

    fn from_str(given: &str) -> Result<Self, SourceError> {
        Self::parse(given)
    }
}

pub(super) enum Opened {
    Directory,
    Archive(File),
}

pub(super) fn open(path: &Path) -> Result<Opened, SourceError> {
    // A FIFO that nobody writes to would otherwise block the open for ever.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let failed = |cause: rustix::io::Errno| match cause {
        rustix::io::Errno::NOENT => SourceError::NotFound { path: path.to_owned() },
        cause => SourceError::Read { path: path.display().to_string(), source: io::Error::from(cause) },
    };
    let file = openat(CWD, path, flags, Mode::empty()).map_err(failed)?;
    match FileType::from_raw_mode(fstat(&file).map_err(failed)?.st_mode) {
        FileType::Directory => Ok(Opened::Directory),
        FileType::RegularFile => Ok(Opened::Archive(File::from(file))),
        _ => Err(SourceError::NotUnderstood {
            given: path.display().to_string(),
            reason: "it is neither a directory nor a regular file; pipe it to `-` instead",
        }),
    }
}
