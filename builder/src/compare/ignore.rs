//! What the ignore file of two commits leaves out of a build in both.

use std::collections::BTreeSet;

use lapstrake_oci::tree::TreePath;

use crate::git::{GitError, ObjectId, Remote, Repository, TreeEntry};
use crate::source::{IGNORE_FILES, SourceError, ignored};

/// The ignore files of two commits.
pub(super) struct Ignore {
    /// Those that are in force in one commit or the other.
    found: BTreeSet<&'static str>,
    /// The one that is in force in both, and its patterns.
    shared: Option<(&'static str, Vec<u8>)>,
}

impl Ignore {
    /// Reads the ignore file of two commits, of which the earlier may be none. Where they do not have the same, nothing
    /// counts as left out: the ignore file itself differs then.
    pub(super) fn of(
        repository: &Repository<'_>,
        remote: &Remote,
        commits: [&ObjectId; 2],
    ) -> Result<Self, GitError> {
        let [since, head] = commits;
        let later = in_force(repository, head)?;
        let earlier = if since.is_null() { later.clone() } else { in_force(repository, since)? };
        let found = [&earlier, &later].into_iter().flatten().map(|(name, _)| *name).collect();
        let shared = match later {
            Some((name, entry)) if earlier.as_ref() == Some(&(name, entry.clone())) && is_file(&entry) => {
                Some((name, repository.file(remote, &entry.id)?))
            }
            _ => None,
        };
        Ok(Self { found, shared })
    }

    /// The ignore files, wherever they are in force.
    pub(super) fn files(&self) -> Vec<TreePath> {
        self.found.iter().filter_map(|name| TreePath::new(name).ok()).collect()
    }

    /// The name of the one by which paths are left out.
    pub(super) fn name(&self) -> Option<&'static str> {
        self.shared.as_ref().map(|(name, _)| *name)
    }

    /// Those of some paths that are left out.
    pub(super) fn of_paths(&self, paths: &[TreePath]) -> Result<BTreeSet<TreePath>, SourceError> {
        match &self.shared {
            Some((name, patterns)) => ignored(name, patterns, paths),
            None => Ok(BTreeSet::new()),
        }
    }
}

/// The first ignore file that a commit has.
fn in_force(
    repository: &Repository<'_>,
    commit: &ObjectId,
) -> Result<Option<(&'static str, TreeEntry)>, GitError> {
    for name in IGNORE_FILES {
        if let Some(entry) = repository.entry(commit, name.as_bytes())? {
            return Ok(Some((name, entry)));
        }
    }
    Ok(None)
}

/// Nothing else is read as an ignore file; a build refuses it.
fn is_file(entry: &TreeEntry) -> bool {
    matches!(entry.mode.as_str(), "100644" | "100755")
}
