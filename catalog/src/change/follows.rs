//! Whether one revision may follow another: a catalog only grows.

use oci_spec::image::Digest;

use crate::{Catalog, Entry, EntryId, Record, Status};

/// Why a revision does not follow from the one before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The number does not rise by one.
    #[error("revision {found} does not follow revision {previous}")]
    Number {
        /// The number of the one before.
        previous: u64,
        /// Its own.
        found: u64,
    },
    /// It is a revision of another catalog.
    #[error("revision {revision} is of the catalog `{found}`, and the one before of `{expected}`")]
    Name {
        /// The revision.
        revision: u64,
        /// The name in the one before.
        expected: String,
        /// The name in it.
        found: String,
    },
    /// It names another revision as the one before.
    #[error("revision {revision} does not name `{expected}` as the one before")]
    Previous {
        /// The revision.
        revision: u64,
        /// The digest of the one before.
        expected: Digest,
    },
    /// Its list of earlier revisions is not that of the one before with that one added.
    #[error("revision {revision} rewrites the list of earlier revisions")]
    History {
        /// The revision.
        revision: u64,
    },
    /// An entry is there no more.
    #[error("revision {revision} has lost `{id}`")]
    Gone {
        /// The revision.
        revision: u64,
        /// The entry.
        id: EntryId,
    },
    /// Something of an entry has changed that may not.
    #[error("revision {revision} changes what was published of `{id}`")]
    Changed {
        /// The revision.
        revision: u64,
        /// The entry.
        id: EntryId,
    },
    /// A revoked entry is taken back.
    #[error("revision {revision} takes the revocation of `{id}` back")]
    Unrevoked {
        /// The revision.
        revision: u64,
        /// The entry.
        id: EntryId,
    },
}

impl Catalog {
    /// Checks that this revision follows another, whose image index has the digest: the number rises by one, the history is
    /// kept, and of every entry only the status, its dates and the extent of its record have changed.
    pub fn follows(&self, previous: &Self, digest: &Digest) -> Result<(), Broken> {
        let revision = self.revision;
        if revision != previous.revision + 1 {
            return Err(Broken::Number { previous: previous.revision, found: revision });
        }
        if self.name != previous.name {
            let (expected, found) = (previous.name.clone(), self.name.clone());
            return Err(Broken::Name { revision, expected, found });
        }
        if self.previous.as_ref() != Some(digest) {
            return Err(Broken::Previous { revision, expected: digest.clone() });
        }
        let first = self.revisions.first();
        let names_previous =
            first.is_some_and(|past| (past.revision, &past.digest) == (previous.revision, digest));
        if !names_previous || self.revisions[1..] != previous.revisions[..] {
            return Err(Broken::History { revision });
        }
        previous.entries.iter().try_for_each(|entry| self.keeps(entry))
    }

    fn keeps(&self, old: &Entry) -> Result<(), Broken> {
        let (revision, id) = (self.revision, old.id.clone());
        let Some(new) = self.entry(&old.id) else { return Err(Broken::Gone { revision, id }) };
        if old.revoked.is_some() && new.revoked != old.revoked {
            return Err(Broken::Unrevoked { revision, id });
        }
        let (old, new) = match (old.record, new.record) {
            // As long as it is whole it is compared whole.
            (Record::Full, Record::Full) => (without_status(old), without_status(new)),
            _ => (without_status(old).shortened(), without_status(new).shortened()),
        };
        if old == new { Ok(()) } else { Err(Broken::Changed { revision, id }) }
    }
}

/// What of an entry never changes, and the extent of its record.
fn without_status(entry: &Entry) -> Entry {
    Entry {
        status: Status::Active,
        deprecated_on: None,
        eol_on: None,
        block_on: None,
        revoked: None,
        ..entry.clone()
    }
}
