//! Where a value came from.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::app_file::Span;

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It stands in a file: the app file, or one of variables.
    File {
        /// The file's name.
        name: String,
        /// Where it stands.
        at: Span,
    },
    /// It was given on the command line, by this option.
    Flag(String),
    /// It was given by this variable of the caller's environment.
    Variable(String),
    /// A file of the source told it.
    Detected(String),
    /// Nobody said anything.
    Default,
}

impl<T> Set<T> {
    /// Puts a value and its origin together.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }

    /// Makes another value of it, which came from the same place.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Set<U> {
        Set { value: make(self.value), origin: self.origin }
    }
}

impl Origin {
    /// Tells whether the user of this command gave the value, rather than the source.
    #[must_use]
    pub fn is_given(&self) -> bool {
        matches!(self, Self::Flag(_) | Self::Variable(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, at } => write!(f, "{name}:{}", at.start.line),
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::Detected(by) => f.write_str(by),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
