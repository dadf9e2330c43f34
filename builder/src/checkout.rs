//! The commit that a source was taken from: what becomes the standard labels of an image and its time.

mod commit_id;
mod repository_url;

use serde::Serialize;

pub use commit_id::{CommitId, CommitIdError};
pub use repository_url::RepositoryUrl;

/// The commit that a source was taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkout {
    /// The commit.
    pub commit: CommitId,
    /// When it was committed, in seconds since 1970.
    pub time: i64,
    /// Where its repository is kept, when that is known and no place on this machine.
    pub repository: Option<RepositoryUrl>,
    /// Whether a file of the commit was changed or is gone.
    pub dirty: bool,
}

impl Checkout {
    /// What the image says of it: the commit, marked when the files are not those of the commit.
    #[must_use]
    pub fn revision(&self) -> String {
        if self.dirty { format!("{}-dirty", self.commit) } else { self.commit.to_string() }
    }

    /// The time of the commit, when the files are those of the commit.
    #[must_use]
    pub fn clean_time(&self) -> Option<i64> {
        (!self.dirty).then_some(self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_said_and_lends_no_time() {
        let commit: CommitId = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let clean = Checkout { commit, time: 1_700_000_000, repository: None, dirty: false };
        assert_eq!(clean.revision(), "0123456789abcdef0123456789abcdef01234567");
        assert_eq!(clean.clean_time(), Some(1_700_000_000));
        let dirty = Checkout { dirty: true, ..clean };
        assert_eq!(dirty.revision(), "0123456789abcdef0123456789abcdef01234567-dirty");
        assert_eq!(dirty.clean_time(), None);
    }
}
