//! What decided something, and what it decided.

use std::fmt;

use crate::app_file::Position;

/// A file of the app that decided something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the root of the source.
    pub file: String,
    /// Where in it, if not the file as a whole.
    pub at: Option<Position>,
    /// What it says or what follows from it.
    pub says: String,
}

impl Finding {
    /// Makes a finding that is about a file as a whole.
    pub(super) fn new(file: impl Into<String>, says: impl Into<String>) -> Self {
        Self { file: file.into(), at: None, says: says.into() }
    }

    /// Adds the place in the file.
    pub(super) fn at(self, at: Position) -> Self {
        Self { at: Some(at), ..self }
    }

    /// Makes a decision that follows from the finding.
    pub(super) fn decides(&self, text: impl Into<String>) -> Decided {
        Decided { text: text.into(), because: self.clone() }
    }
}

impl fmt::Display for Finding {
    /// Writes the finding with its place: `requirements.txt:3:1: gunicorn is a dependency`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{}:{at}: {}", self.file, self.says),
            None => write!(f, "{}: {}", self.file, self.says),
        }
    }
}

/// A value and what decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The value, as an app file would have it.
    pub text: String,
    /// What decided it.
    pub because: Finding,
}
