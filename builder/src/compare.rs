//! Compares two commits of a repository through a scope: fetches their trees, and no file but those that say what is
//! left out of a build.

use std::path::Path;

use lapstrake_oci::tree::TreePath;

use crate::failure::{Exit, Failure};
use crate::git::{Git, GitError, ObjectId, Remote, Repository};
use crate::scope::{Changes, Scope};

/// Two commits, and what differs between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The earlier commit; all zeros where there is none.
    pub since: ObjectId,
    /// The later one.
    pub head: ObjectId,
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
    #[error("the repository has a path that no source may have: {source}")]
    Path {
        /// What is wrong with it.
        source: lapstrake_oci::tree::TreePathError,
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
    let paths =
        if since.is_null() { repository.paths(head)? } else { repository.changed_paths(since, head)? };
    require_directory(&repository, [since, head], scope)?;
    let mut changes = Changes::default();
    for path in paths {
        let path = TreePath::new(path).map_err(|source| CompareError::Path { source })?;
        changes.add(path, scope, |_| false);
    }
    Ok(Comparison { since: since.clone(), head: head.clone(), changes })
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
    /// The failure that a command ends with.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        const WHAT: &str = "could not compare the commits";
        match self {
            Self::Git(error) => error.into_failure(WHAT),
            Self::NoDirectory { .. } => Failure::new(Exit::NotUnderstood, self.to_string())
                .hint("`--source-dir` names a directory from the root of the repository"),
            Self::Path { .. } => Failure::because(Exit::Refused, WHAT, self),
        }
    }
}
