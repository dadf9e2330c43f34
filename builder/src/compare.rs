//! Compares two commits of a repository through a scope: fetches their trees, and no file but the one that says what is
//! left out of a build.

mod ignore;

use std::path::Path;

use lapstrake_oci::tree::{TreePath, TreePathError};

use crate::app_file::FILE_NAME;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::git::{Git, GitError, ObjectId, Remote, Repository};
use crate::scope::{Changes, Scope};
use crate::source::SourceError;

/// Two commits, and what differs between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The earlier commit; all zeros where there is none.
    pub since: ObjectId,
    /// The later one.
    pub head: ObjectId,
    /// The ignore file by which paths were left out of the comparison.
    pub ignore_file: Option<&'static str>,
    /// What differs.
    pub changes: Changes,
}

/// Why two commits cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// Git did not give them.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Neither commit has the source directory.
    #[error("neither {since} nor {head} has the directory `{directory}`")]
    NoDirectory {
        /// The directory.
        directory: TreePath,
        /// The earlier commit.
        since: ObjectId,
        /// The later one.
        head: ObjectId,
    },
    /// A path that no source may have.
    #[error("the repository has a path that no source may have")]
    Path {
        /// What is wrong with it.
        source: TreePathError,
    },
    /// The ignore file is not understood.
    #[error("the ignore file of {head} is not understood")]
    Ignore {
        /// The later commit.
        head: ObjectId,
        /// What is wrong with it.
        source: Box<SourceError>,
    },
}

/// Compares two commits of a remote. Where `since` is all zeros, everything counts as changed.
pub fn compare(
    git: &Git,
    remote: &Remote,
    commits: [&ObjectId; 2],
    scope: &Scope,
    scratch: &Path,
) -> Result<Comparison, CompareError> {
    let repository = git.repository(scratch.join("compare.git"))?;
    let given: Vec<&ObjectId> = commits.into_iter().filter(|id| !id.is_null()).collect();
    let found = repository.fetch_trees(remote, &given)?;
    let [since, head] = match &found[..] {
        [since, head] => [since, head],
        [head] => [commits[0], head],
        _ => return Err(GitError::Malformed { what: "a list of commits".to_owned() }.into()),
    };
    require_directory(&repository, [since, head], scope)?;
    let names =
        if since.is_null() { repository.paths(head)? } else { repository.changed_paths(since, head)? };
    let paths = names.into_iter().map(TreePath::new).collect::<Result<Vec<TreePath>, _>>();
    let paths = paths.map_err(|source| CompareError::Path { source })?;
    let ignore = ignore::Ignore::of(&repository, remote, [since, head])?;
    let ignored = ignore
        .of_paths(&paths)
        .map_err(|source| CompareError::Ignore { head: head.clone(), source: Box::new(source) })?;
    // The app file is read although it may be left out.
    let app_file = scope.directory().map_or_else(|| TreePath::new(FILE_NAME), |place| place.join(FILE_NAME));
    let app_file = app_file.map_err(|source| CompareError::Path { source })?;
    let scope = scope.clone().with(ignore.files().into_iter().chain([app_file]));
    let mut changes = Changes::default();
    for path in paths {
        changes.add(path, &scope, |path| ignored.contains(path));
    }
    Ok(Comparison { since: since.clone(), head: head.clone(), ignore_file: ignore.name(), changes })
}

/// A directory that was misspelt would never change.
fn require_directory(
    repository: &Repository<'_>,
    commits: [&ObjectId; 2],
    scope: &Scope,
) -> Result<(), CompareError> {
    let Some(directory) = scope.directory() else { return Ok(()) };
    for commit in commits.into_iter().filter(|id| !id.is_null()) {
        if repository.entry(commit, directory.as_bytes())?.is_some_and(|entry| entry.kind == "tree") {
            return Ok(());
        }
    }
    let [since, head] = commits.map(ObjectId::clone);
    Err(CompareError::NoDirectory { directory: directory.clone(), since, head })
}

impl CompareError {
    /// Whether the repository was reached, and what is in it is the reason.
    #[must_use]
    pub fn is_about_content(&self) -> bool {
        match self {
            Self::Git(error) => error.exit() == Exit::Refused,
            Self::NoDirectory { .. } | Self::Path { .. } | Self::Ignore { .. } => true,
        }
    }

    /// The failure that a command ends with.
    #[must_use]
    pub fn into_failure(self, context: &Context) -> Failure {
        const WHAT: &str = "could not compare the commits";
        match self {
            // Only the signal says how the command ends.
            Self::Git(GitError::Stopped) => context.stop.failure(),
            Self::Git(error) => error.into_failure(WHAT),
            Self::NoDirectory { .. } => Failure::new(Exit::NotUnderstood, self.to_string())
                .hint("`--source-dir` names a directory from the root of the repository"),
            Self::Path { .. } => Failure::because(Exit::Refused, WHAT, self),
            Self::Ignore { .. } => Failure::because(Exit::NotUnderstood, WHAT, self),
        }
    }
}
