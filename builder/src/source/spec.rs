//! What the user calls the source.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

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

/// Opens an archive; nothing where a directory is.
pub(crate) fn open_archive(path: &Path) -> Result<Option<File>, SourceError> {
    match open(path)? {
        Opened::Directory => Ok(None),
        Opened::Archive(file) => Ok(Some(file)),
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
