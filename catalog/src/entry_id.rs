//! The names of entries: `python3-3.13.5-2`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::version::{Version, number};

/// The name of an entry: its runtime, language version and build number.
///
/// Ordered by runtime, then version, then build, so the newest of a runtime is its last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryId {
    runtime: String,
    version: Version,
    build: u32,
}

/// A text that is not the name of an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an entry such as `python3-3.13.5-2`")]
pub struct EntryIdError {
    /// What was given.
    pub text: String,
}

impl EntryId {
    /// Makes a name of a runtime, a version and a build number above zero.
    pub fn new(runtime: &str, version: Version, build: u32) -> Result<Self, EntryIdError> {
        format!("{runtime}-{version}-{build}").parse()
    }

    /// Returns the runtime, as in `python3`.
    #[must_use]
    pub fn runtime(&self) -> &str {
        &self.runtime
    }

    /// Returns the language version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the build number.
    #[must_use]
    pub fn build(&self) -> u32 {
        self.build
    }
}

/// Tells whether a text is the name of a runtime: lower-case letters, then digits.
pub(crate) fn is_runtime_name(text: &str) -> bool {
    let line = text.trim_start_matches(|c: char| c.is_ascii_lowercase());
    line.len() < text.len() && number(line).is_some()
}

impl FromStr for EntryId {
    type Err = EntryIdError;

    fn from_str(text: &str) -> Result<Self, EntryIdError> {
        parse(text).ok_or_else(|| EntryIdError { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<EntryId> {
    let (rest, build) = text.rsplit_once('-')?;
    let (runtime, version) = rest.split_once('-')?;
    let build = u32::try_from(number(build)?).ok().filter(|&build| build > 0)?;
    let version = version.parse().ok()?;
    is_runtime_name(runtime).then(|| EntryId { runtime: runtime.to_owned(), version, build })
}

impl TryFrom<String> for EntryId {
    type Error = EntryIdError;

    fn try_from(text: String) -> Result<Self, EntryIdError> {
        text.parse()
    }
}

impl From<EntryId> for String {
    fn from(id: EntryId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.runtime, self.version, self.build)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_and_written_alike() {
        let id: EntryId = "python3-3.13.5-2".parse().unwrap();
        assert_eq!((id.runtime(), id.version().to_string(), id.build()), ("python3", "3.13.5".into(), 2));
        assert_eq!(id.to_string(), "python3-3.13.5-2");
    }

    #[test]
    fn ids_are_ordered_by_number_and_not_by_text() {
        let id = |text: &str| text.parse::<EntryId>().unwrap();
        assert!(id("python3-3.9.2-1") < id("python3-3.10.0-1"));
        assert!(id("python3-3.13.5-2") < id("python3-3.13.5-10"));
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in [
            "python3",
            "python3-3.13.5",
            "python3-3.13-1",
            "python3-3.13.5-0",
            "python3-3.13.5-01",
            "python-3.13.5-1",
            "Python3-3.13.5-1",
            "3-3.13.5-1",
            "python3-3.13.5-1-1",
            "python3-3.13.5-1 ",
            "-3.13.5-1",
            "",
        ] {
            assert_eq!(text.parse::<EntryId>(), Err(EntryIdError { text: text.to_owned() }));
        }
    }
}
