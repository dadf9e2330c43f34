//! How much a build may use, and how that is set.

use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

use crate::image_size::Size;
use crate::source::{self, Rule};

/// What a source may be, and what commands may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// What is read of a source at most.
    pub source: source::Limits,
    /// What commands use at most: those of the build, of all of them together, and an app that is run.
    pub commands: lapstrake_sandbox::Limits,
}

impl Limits {
    /// The defaults, with the limits that were set; of one that was set twice the last.
    #[must_use]
    pub fn with(given: &[Limit]) -> Self {
        let mut limits = Self::default();
        for limit in given {
            (limit.name.set)(&mut limits, limit.value);
        }
        limits
    }
}

/// One limit that was set, as `NAME=VALUE`.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    name: &'static Name,
    value: u64,
}

/// What a limit is called and how it is written.
#[derive(Debug)]
struct Name {
    text: &'static str,
    unit: Unit,
    /// In bytes, seconds or as a number.
    set: fn(&mut Limits, u64),
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    Bytes,
    Number,
    Time,
}

/// All limits that can be set. A path's and a name's are those of file systems, and stay.
const NAMES: [Name; 11] = [
    Name { text: "archive-size", unit: Unit::Bytes, set: |all, n| all.source.compressed = n },
    Name { text: "archive-ratio", unit: Unit::Number, set: |all, n| all.source.ratio = n },
    Name { text: "source-size", unit: Unit::Bytes, set: |all, n| all.source.expanded = n },
    Name { text: "source-entries", unit: Unit::Number, set: |all, n| all.source.entries = n },
    Name {
        text: "source-depth",
        unit: Unit::Number,
        set: |all, n| all.source.depth = usize::try_from(n).unwrap_or(usize::MAX),
    },
    Name { text: "pax-header", unit: Unit::Bytes, set: |all, n| all.source.pax = n },
    Name {
        text: "build-time",
        unit: Unit::Time,
        set: |all, n| all.commands.time = Some(Duration::from_secs(n)),
    },
    Name { text: "build-memory", unit: Unit::Bytes, set: |all, n| all.commands.memory = n },
    Name { text: "build-processes", unit: Unit::Number, set: |all, n| all.commands.processes = n },
    Name {
        text: "build-disk",
        unit: Unit::Bytes,
        set: |all, n| {
            all.commands.disk = n;
            // One file may be all that is written.
            all.commands.file_size = n;
        },
    },
    Name { text: "build-log", unit: Unit::Bytes, set: |all, n| all.commands.log = n },
];

/// A text that sets no limit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// It has no `=`, or names no limit.
    #[error("`{0}` is no limit: expected NAME=VALUE, with one of the names {known}", known = known())]
    Unknown(String),
    /// The value is none of what the limit counts.
    #[error("`{value}` is no value for `{name}`: expected {expected}, and more than nothing")]
    Value {
        /// The limit.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it counts.
        expected: &'static str,
    },
}

fn known() -> String {
    NAMES.iter().map(|name| format!("`{}`", name.text)).collect::<Vec<_>>().join(", ")
}

impl Unit {
    fn read(self, text: &str) -> Option<u64> {
        let value = match self {
            Self::Bytes => text.parse::<Size>().ok()?.bytes(),
            Self::Number => text.parse().ok()?,
            Self::Time => u64::try_from(text.parse::<SignedDuration>().ok()?.as_secs()).ok()?,
        };
        (value > 0).then_some(value)
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Bytes => "a size such as `500MB` or `3GiB`",
            Self::Number => "a whole number",
            Self::Time => "a length of time such as `90s`, `45m` or `2h`",
        }
    }
}

impl FromStr for Limit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let (given, value) = text.split_once('=').ok_or_else(|| LimitError::Unknown(text.to_owned()))?;
        let name = NAMES.iter().find(|name| name.text == given);
        let name = name.ok_or_else(|| LimitError::Unknown(text.to_owned()))?;
        let read = name.unit.read(value).ok_or_else(|| LimitError::Value {
            name: name.text,
            value: value.to_owned(),
            expected: name.unit.expected(),
        })?;
        Ok(Self { name, value: read })
    }
}

/// Which limit a source that breaks a rule has exceeded, if it can be set.
#[must_use]
pub fn exceeded_by_source(rule: &Rule) -> Option<&'static str> {
    match rule {
        Rule::CompressedSize { .. } => Some("archive-size"),
        Rule::ExpandedSize { .. } | Rule::DirectorySize { .. } => Some("source-size"),
        Rule::Ratio { .. } => Some("archive-ratio"),
        Rule::Entries { .. } => Some("source-entries"),
        Rule::Depth { .. } => Some("source-depth"),
        Rule::ExtendedSize { .. } => Some("pax-header"),
        _ => None,
    }
}

/// How a limit is moved.
#[must_use]
pub fn how_to_set(name: &str) -> String {
    format!("`--limit {name}=…` sets the limit")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> Limits {
        Limits::with(&texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Limit>>())
    }

    #[test]
    fn each_limit_has_a_name_and_moves_nothing_else() {
        let defaults = Limits::default();
        let source = |change: fn(&mut source::Limits)| {
            let mut limits = defaults.clone();
            change(&mut limits.source);
            limits
        };
        let commands = |change: fn(&mut lapstrake_sandbox::Limits)| {
            let mut limits = defaults.clone();
            change(&mut limits.commands);
            limits
        };
        let cases = [
            ("archive-size=1GiB", source(|all| all.compressed = 1 << 30)),
            ("archive-ratio=1000", source(|all| all.ratio = 1000)),
            ("source-size=5GB", source(|all| all.expanded = 5_000_000_000)),
            ("source-entries=500000", source(|all| all.entries = 500_000)),
            ("source-depth=7", source(|all| all.depth = 7)),
            ("pax-header=1MiB", source(|all| all.pax = 1 << 20)),
            ("build-time=2h", commands(|all| all.time = Some(Duration::from_hours(2)))),
            ("build-memory=8GiB", commands(|all| all.memory = 8 << 30)),
            ("build-processes=10", commands(|all| all.processes = 10)),
            ("build-log=1MB", commands(|all| all.log = 1_000_000)),
            (
                "build-disk=20GiB",
                commands(|all| {
                    all.disk = 20 << 30;
                    all.file_size = 20 << 30;
                }),
            ),
        ];
        assert_eq!(cases.len(), NAMES.len());
        for (text, expected) in cases {
            assert_eq!(set(&[text]), expected, "{text}");
        }
        assert_eq!(set(&["build-time=90s", "build-time=45m"]).commands.time, Some(Duration::from_mins(45)));
        assert_eq!(set(&[]), defaults);
    }

    #[test]
    fn what_sets_no_limit_is_refused_with_what_would() {
        for text in ["", "build-time", "build=1", "=1", "Build-time=1h", "path=5"] {
            assert_eq!(text.parse::<Limit>().unwrap_err(), LimitError::Unknown(text.to_owned()));
        }
        for text in [
            "build-time=0s",
            "build-time=-5m",
            "build-time=soon",
            "build-time=",
            "build-processes=0",
            "build-processes=1.5",
            "build-processes=-1",
            "build-memory=0",
            "build-memory=much",
            "archive-ratio=200:1",
        ] {
            let error = text.parse::<Limit>().unwrap_err();
            assert!(matches!(error, LimitError::Value { .. }), "{text}: {error}");
        }
        let error = "build-time=soon".parse::<Limit>().unwrap_err().to_string();
        let expected = "`soon` is no value for `build-time`: expected a length of time such as `90s`, `45m` or `2h`, and more than nothing";
        assert_eq!(error, expected);
    }
}
