//! What an app without an app file needs, as its own files tell.
//!
//! Detection is pure: it reads the tree of a source, runs nothing, and knows no catalog. Whatever it decides names the
//! file that decided it, and every command it makes up is plain text that could stand in an app file.

mod choice;
mod error;
pub(crate) mod files;
mod finding;
mod mismatch;
mod node;
mod nothing;
mod procfile;
mod python;
mod toml_file;
mod yaml;

use lapstrake_catalog::VersionRequest;
use lapstrake_oci::tree::{FileTree, TreePath};

pub use error::DetectError;
pub use finding::{Decided, Finding};
pub use mismatch::mismatches;
pub use nothing::NothingDetected;

use files::Files;
pub(crate) use python::requirements;

/// A language that apps are recognised in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Python.
    Python,
    /// Node.js.
    Node,
}

impl Language {
    /// The language of a runtime, as its name tells.
    #[must_use]
    pub fn of_runtime(name: &str) -> Option<Self> {
        match name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') {
            "python" => Some(Self::Python),
            "nodejs" => Some(Self::Node),
            _ => None,
        }
    }

    /// The language as people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::Node => "Node.js",
        }
    }

    /// The language as catalogs write it.
    #[must_use]
    pub fn in_catalog(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
        }
    }
}

/// What an app without an app file needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detected {
    /// The language of the app.
    pub language: Language,
    /// What a file says of the runtime's version.
    pub version: Option<VersionWish>,
    /// Build commands, for `/bin/sh -c` each.
    pub build: Vec<Decided>,
    /// Variables of the build commands.
    pub build_env: Vec<(String, Decided)>,
    /// Variables of the start command.
    pub run_env: Vec<(String, Decided)>,
    /// The start command, as `run.command` of an app file would have it; none where no file tells.
    pub start: Option<Decided>,
    /// The places where a start command was looked for, in order, for the message that there is none.
    pub start_sought: Vec<String>,
    /// The port that the app listens on.
    pub port: u16,
    /// Each file that decided something, in order, with what it decided.
    pub findings: Vec<Finding>,
    /// What else should be known: where two answers were possible, which was taken and how to choose the other.
    pub notes: Vec<String>,
}

/// What a file of the app says of the runtime's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionWish {
    /// A version or the beginning of one: `3.13`, `3.13.5`, `22`.
    Lock {
        /// The version.
        request: VersionRequest,
        /// What says so.
        because: Finding,
    },
    /// A range: of npm's syntax for Node.js, PEP 440 specifiers for Python.
    Range {
        /// The range, as it was written.
        text: String,
        /// What says so.
        because: Finding,
    },
}

impl VersionWish {
    /// What says so.
    #[must_use]
    pub fn because(&self) -> &Finding {
        match self {
            Self::Lock { because, .. } | Self::Range { because, .. } => because,
        }
    }
}

/// Finds out what the app in a directory of a source needs; none is the root of the source.
///
/// `wanted` is the language of the runtime that the user named, if any. Without it the app's files choose, and the
/// notes say so where they tell of both languages.
pub fn detect(
    tree: &FileTree,
    directory: Option<&TreePath>,
    wanted: Option<Language>,
) -> Result<Detected, DetectError> {
    let files = Files::new(tree, directory);
    let is_wanted = |language| wanted.is_none_or(|wanted| wanted == language);
    let python = if is_wanted(Language::Python) { python::detect(&files)? } else { None };
    let node = if is_wanted(Language::Node) { node::detect(&files)? } else { None };
    match (python, node) {
        (Some(python), Some(node)) => Ok(choice::choose(&files, python, node)?),
        (Some(found), None) | (None, Some(found)) => Ok(found),
        (None, None) => Err(DetectError::Nothing(nothing::nothing(tree, directory, wanted))),
    }
}
