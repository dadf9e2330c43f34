//! Why detection gives no answer.

use std::io;

use crate::app_file::{Diagnostic, render};
use crate::failure::{Exit, Failure};

use super::NothingDetected;

/// Why detection gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// No file tells what the app needs.
    #[error(transparent)]
    Nothing(NothingDetected),
    /// A file that decides cannot be understood.
    #[error("{diagnostic}")]
    Malformed {
        /// What is wrong with it, and where.
        diagnostic: Box<Diagnostic>,
        /// The text of the file.
        text: String,
    },
    /// A file that decides is larger than any of its kind.
    #[error("`{path}` has {found} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The file, relative to the root of the source.
        path: String,
        /// Its size.
        found: u64,
        /// The largest size.
        limit: u64,
    },
    /// The bytes of a file could not be read.
    #[error("could not read `{path}`")]
    Unreadable {
        /// The file, relative to the root of the source.
        path: String,
        /// Why not.
        source: io::Error,
    },
}

impl DetectError {
    /// Makes the error of a file with a fault in its text.
    pub(super) fn malformed(diagnostic: Diagnostic, text: &str) -> Self {
        Self::Malformed { diagnostic: Box::new(diagnostic), text: text.to_owned() }
    }
}

impl From<DetectError> for Failure {
    fn from(error: DetectError) -> Self {
        match error {
            DetectError::Nothing(nothing) => {
                Self::new(Exit::NotUnderstood, nothing.to_string()).hint(nothing.hint())
            }
            DetectError::Malformed { diagnostic, text } => {
                Self::rendered(Exit::NotUnderstood, render(&diagnostic, &text).trim_end())
            }
            DetectError::TooLarge { .. } => Self::new(Exit::NotUnderstood, error.to_string()),
            DetectError::Unreadable { path, source } => Self::io(format!("could not read `{path}`"), source),
        }
    }
}
