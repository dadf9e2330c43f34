//! Why a source was not read.

use std::io;
use std::path::PathBuf;

use super::ignore::{Exhausted, IgnoreError};
use super::rule::Rule;
use super::worker::WorkerError;
use crate::failure::Exit;
use crate::git::{GitError, ObjectId};

/// Why a source was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// What was given names no source.
    #[error("`{given}` is no source: {reason}")]
    NotUnderstood {
        /// What was given.
        given: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is nothing at the path.
    #[error("source `{}` does not exist", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// A file, a directory or the stream could not be read.
    #[error("could not read `{path}`")]
    Read {
        /// What was read, made printable.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The archive's contents could not be spooled.
    #[error("could not write a temporary file in `{}`", scratch.display())]
    Spool {
        /// The directory of the file.
        scratch: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// An archive is refused because of one entry.
    #[error("source archive `{archive}` is refused: entry {index}, `{entry}`: {rule}")]
    Entry {
        /// The archive, made printable.
        archive: String,
        /// The entry's number, counted from 1.
        index: u64,
        /// The entry's name, made printable.
        entry: String,
        /// The rule that it breaks.
        rule: Rule,
    },
    /// An archive is refused as a whole.
    #[error("source archive `{archive}` is refused: {rule}")]
    Archive {
        /// The archive, made printable.
        archive: String,
        /// The rule that it breaks.
        rule: Rule,
    },
    /// A directory is refused because of something in it.
    #[error("source directory is refused: `{path}`: {rule}")]
    Directory {
        /// What is refused, made printable.
        path: String,
        /// The rule that it breaks.
        rule: Rule,
    },
    /// A commit is refused because of something in it.
    #[error("commit {commit} is refused{}: {rule}", path.as_ref().map(|path| format!(": `{path}`")).unwrap_or_default())]
    Commit {
        /// The commit.
        commit: ObjectId,
        /// What is refused, made printable; none for all of it.
        path: Option<String>,
        /// The rule that it breaks.
        rule: Rule,
    },
    /// What the worker that read the archive said of it.
    #[error("{text}")]
    Told {
        /// The whole message.
        text: String,
        /// Whose fault it is.
        fault: Fault,
    },
    /// The archive was not read, because its worker failed.
    #[error("the process that reads the archive has failed")]
    Worker {
        /// How.
        source: WorkerError,
    },
    /// Git did not do what it was asked to.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The ignore file holds something that is no pattern.
    #[error("{file}:{}: {cause}", cause.line)]
    Ignore {
        /// The name of the ignore file.
        file: &'static str,
        /// What is wrong with which line.
        cause: IgnoreError,
    },
    /// The ignore file is not one that can be read.
    #[error("`{file}` is not read: {reason}")]
    IgnoreFile {
        /// The name of the ignore file.
        file: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// The patterns of the ignore file take too long.
    #[error("`{file}` is refused: {cause}")]
    Patterns {
        /// The name of the ignore file.
        file: &'static str,
        /// What was spent.
        cause: Exhausted,
    },
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What was named is not there, or cannot be read.
    NotUnderstood,
    /// It was read, and is malformed or hostile.
    Refused,
    /// The machine failed, such as by a full disk.
    Machine,
    /// The machine does not let a process lock itself in.
    Unconfined,
}

impl SourceError {
    /// Whose fault this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::NotUnderstood { .. }
            | Self::NotFound { .. }
            | Self::Ignore { .. }
            | Self::IgnoreFile { .. } => Fault::NotUnderstood,
            Self::Read { source, .. } => match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Fault::NotUnderstood,
                _ => Fault::Machine,
            },
            Self::Told { fault, .. } => *fault,
            // What an archive made its worker say cannot be.
            Self::Worker { source: WorkerError::Nonsense(_) }
            | Self::Entry { .. }
            | Self::Archive { .. }
            | Self::Directory { .. }
            | Self::Commit { .. }
            | Self::Patterns { .. } => Fault::Refused,
            Self::Worker { source: WorkerError::Unconfined(_) } => Fault::Unconfined,
            Self::Spool { .. } | Self::Worker { .. } => Fault::Machine,
            Self::Git(error) => match error.exit() {
                Exit::Refused => Fault::Refused,
                Exit::Ours | Exit::Transient | Exit::Interrupted => Fault::Machine,
                _ => Fault::NotUnderstood,
            },
        }
    }

    /// The rule that the source breaks, when it was refused.
    #[must_use]
    pub fn rule(&self) -> Option<&Rule> {
        match self {
            Self::Entry { rule, .. }
            | Self::Archive { rule, .. }
            | Self::Directory { rule, .. }
            | Self::Commit { rule, .. } => Some(rule),
            _ => None,
        }
    }
}
