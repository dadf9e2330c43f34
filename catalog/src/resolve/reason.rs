//! What led to an entry, and what a user should know of it.

use std::fmt;

use super::Successor;
use crate::{Date, EntryId, Status};

/// One step from a request to an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The name is that of a line.
    Alias {
        /// The name.
        name: String,
        /// The runtime.
        runtime: String,
        /// The line.
        line: String,
    },
    /// The request leaves the minor open, and the catalog has a default for it.
    Default {
        /// The runtime.
        runtime: String,
        /// The default.
        version: String,
    },
    /// The version lock.
    Locked {
        /// Its text.
        version: String,
    },
    /// The range of `engines.node`.
    Engines {
        /// Its text.
        range: String,
    },
    /// The range of `requires-python`.
    RequiresPython {
        /// Its text.
        range: String,
    },
    /// The build number is pinned.
    Pinned {
        /// The entry.
        id: EntryId,
    },
    /// The entry was permitted by name.
    Permitted {
        /// The entry.
        id: EntryId,
        /// Why it needs a permission.
        status: Status,
    },
    /// The entry is the newest of the best status.
    Newest {
        /// The entry.
        id: EntryId,
        /// Its status.
        status: Status,
        /// How many entries fit the request.
        of: usize,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias { name, runtime, line } => write!(f, "`{name}` is the line {line} of `{runtime}`"),
            Self::Default { runtime, version } => {
                write!(f, "`{runtime}` means {version}, the catalog's default")
            }
            Self::Locked { version } => write!(f, "the version is locked to `{version}`"),
            Self::Engines { range } => write!(f, "`engines.node` asks for `{range}`"),
            Self::RequiresPython { range } => write!(f, "`requires-python` asks for `{range}`"),
            Self::Pinned { id } => write!(f, "`{id}` is pinned"),
            Self::Permitted { id, status } => write!(f, "`{id}` is {status}, and permitted by name"),
            Self::Newest { id, status, of: 1 } => {
                write!(f, "`{id}` is the only entry that fits, and is {status}")
            }
            Self::Newest { id, status, of } => {
                write!(f, "`{id}` is the newest {status} one of {of} that fit")
            }
        }
    }
}

/// What a user should know of the entry that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// It is for trial.
    Preview {
        /// The entry.
        id: EntryId,
    },
    /// Its support will end.
    Deprecated {
        /// The entry.
        id: EntryId,
        /// Since when.
        since: Option<Date>,
        /// When its support ends.
        eol: Option<Date>,
        /// What to move to.
        successor: Option<Successor>,
    },
    /// Its support has ended; it was taken by permission.
    EndOfLife {
        /// The entry.
        id: EntryId,
        /// Since when.
        since: Option<Date>,
        /// What to move to.
        successor: Option<Successor>,
    },
    /// It is revoked; it was taken by permission.
    Revoked {
        /// The entry.
        id: EntryId,
        /// Why it is revoked.
        reason: String,
        /// Why the user takes it.
        permission: String,
    },
    /// `engines.node` is not a range, and was ignored.
    EnginesUnreadable {
        /// Its text.
        text: String,
    },
    /// `requires-python` is not a range, and was ignored.
    RequiresPythonUnreadable {
        /// Its text.
        text: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preview { id } => write!(f, "`{id}` is a preview"),
            Self::Deprecated { id, since, eol, successor } => {
                write!(f, "`{id}` is deprecated")?;
                day(f, " since ", *since)?;
                day(f, ", its support ends on ", *eol)?;
                advice(f, successor.as_ref())
            }
            Self::EndOfLife { id, since, successor } => {
                write!(f, "`{id}` is end of life")?;
                day(f, " since ", *since)?;
                advice(f, successor.as_ref())
            }
            Self::Revoked { id, reason, permission } => {
                write!(f, "`{id}` is revoked ({reason}) and taken because: {permission}")
            }
            Self::EnginesUnreadable { text } => {
                write!(f, "`engines.node` is ignored: `{text}` is not a range")
            }
            Self::RequiresPythonUnreadable { text } => {
                write!(f, "`requires-python` is ignored: `{text}` is not a range")
            }
        }
    }
}

fn day(f: &mut fmt::Formatter<'_>, before: &str, date: Option<Date>) -> fmt::Result {
    date.map_or(Ok(()), |date| write!(f, "{before}{date}"))
}

fn advice(f: &mut fmt::Formatter<'_>, successor: Option<&Successor>) -> fmt::Result {
    successor.map_or(Ok(()), |successor| write!(f, "; move to {successor}"))
}
