//! Runs `git` on repositories of other people: lists references, fetches one commit into a repository of our own, and
//! reads objects from there. Nothing is ever checked out.
//!
//! Whatever is fetched is hostile. The repository that it goes into has our settings alone, no hooks and no templates;
//! only the transport that the address names is allowed; nothing asks on a terminal; every run is bounded in time,
//! output and disk, and ends with its children. For the rest the caller's environment holds, so that credential
//! helpers, ssh agents, proxies and authorities work as they do for the caller's own git.

mod environment;
mod error;
mod local;
mod object;
mod process;
mod refs;
mod remote;
mod repository;
mod revision;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::{GitError, Why};
pub use local::{LocalError, LocalRepository, Shadow};
pub use object::{Commit, ObjectId};
pub use refs::Refs;
pub use remote::{Login, Remote, RemoteError, Transport};
pub use repository::{Expression, Fetched, Repository, TreeEntry};
pub use revision::{Revision, RevisionError};
pub use tree::{CommittedFile, FileKind};

use crate::context::{Context, Stop};

/// How much a run of git may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GitLimits {
    /// The time of one run.
    pub time: Duration,
    /// Bytes that a fetch may write.
    pub disk: u64,
    /// Bytes of a listing.
    pub listing: u64,
}

impl Default for GitLimits {
    fn default() -> Self {
        Self { time: Duration::from_mins(15), disk: 2 << 30, listing: 64 << 20 }
    }
}

/// The git of this machine, and how it is run.
#[derive(Clone)]
pub struct Git {
    env: BTreeMap<String, String>,
    stop: Stop,
    limits: GitLimits,
}

impl Git {
    /// Git as the caller has it. Nothing runs yet.
    #[must_use]
    pub fn new(context: &Context) -> Self {
        let env = environment::of_caller(&context.env);
        Self { env, stop: context.stop.clone(), limits: GitLimits::default() }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: GitLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same that trusts the authorities of this PEM bundle, and no others.
    #[must_use]
    pub fn with_authorities(mut self, bundle: &Path) -> Self {
        self.env.insert("GIT_SSL_CAINFO".to_owned(), bundle.display().to_string());
        self
    }

    /// A new and empty repository in a directory that does not exist yet.
    pub fn repository(&self, directory: impl Into<PathBuf>) -> Result<Repository<'_>, GitError> {
        Repository::create(self, directory.into())
    }
}
