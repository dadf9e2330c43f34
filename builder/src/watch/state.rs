//! What a watch remembers.

use jiff::Timestamp;
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

use crate::failure::Exit;
use crate::git::ObjectId;

/// The form of the state that this program writes.
pub(super) const SCHEMA: u32 = 1;

/// The state of a watch, as its file holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    /// The form of the file.
    pub schema: u32,
    /// What it is the state of.
    pub watched: Watched,
    /// What was built last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built: Option<Built>,
    /// What has failed since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failed>,
}

/// What is watched, and where its images go. Another branch, directory or target is another watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Watched {
    /// The address of the repository, without a login.
    pub remote: String,
    /// The branch.
    pub branch: String,
    /// The directory of the app, from the root of the repository; empty for the root itself.
    pub source_dir: String,
    /// The references that images are pushed to.
    pub targets: Vec<String>,
}

/// A commit that was built and pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Built {
    /// The commit.
    pub commit: ObjectId,
    /// The digest of the image.
    pub digest: Digest,
    /// Where it is.
    pub references: Vec<String>,
    /// When it was done.
    pub at: Timestamp,
    /// What became of the command that follows a build.
    pub on_success: OnSuccess,
}

/// What became of the command that follows a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnSuccess {
    /// There was none.
    None,
    /// It has not ended yet; when it was cut short it runs again.
    Pending,
    /// It ended well.
    Done,
    /// It failed. It is not repeated: the image is there, and the next build runs it again.
    Failed,
}

/// A commit whose build failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failed {
    /// The commit.
    pub commit: ObjectId,
    /// The class of the failure.
    pub class: Exit,
    /// What failed, in one short line.
    pub what: String,
    /// When.
    pub at: Timestamp,
    /// How often in a row.
    pub failures: u32,
    /// When it is tried again; without this, another commit is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}

impl State {
    /// A watch that has seen nothing yet.
    #[must_use]
    pub fn new(watched: Watched) -> Self {
        Self { schema: SCHEMA, watched, built: None, failed: None }
    }
}

impl Failed {
    /// Whether the same commit may be built later although nothing in it changes: what a registry, a mirror or this
    /// machine refused may have been put right since, the app itself has not.
    #[must_use]
    pub fn may_pass(class: Exit) -> bool {
        !matches!(class, Exit::AppFailed | Exit::NotUnderstood | Exit::Refused)
    }
}
