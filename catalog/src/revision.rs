//! One immutable state of the whole catalog.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

use crate::{Date, Entry, EntryId, LOCAL, Revocation};

/// The schema of the document that this crate reads and writes.
pub const SCHEMA: u32 = 1;

/// One revision of a catalog: the document `catalog.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Catalog {
    /// The form of the document: [`SCHEMA`], or a later one that was read as far as it is known.
    pub schema: u32,
    /// The canonical repository, which a mirror keeps; [`LOCAL`] if unpublished.
    pub name: String,
    /// The number of the revision, from 1.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it counts as fresh.
    pub valid_until: Timestamp,
    /// The digest of the revision before; absent in the first one and in a local catalog.
    pub previous: Option<Digest>,
    /// All earlier revisions, newest first.
    pub revisions: Vec<PastRevision>,
    /// The tool that made it.
    pub tool: String,
    /// What the maintainers advise.
    #[serde(default)]
    pub policy_hints: PolicyHints,
    /// The runtimes, by name.
    #[serde(deserialize_with = "crate::unique::map")]
    pub runtimes: BTreeMap<String, RuntimeRecord>,
    /// The operating systems, by name.
    #[serde(deserialize_with = "crate::unique::map")]
    pub oses: BTreeMap<String, OsRecord>,
    /// Every entry ever published.
    pub entries: Vec<Entry>,
    /// What a later revision has revoked. It is no part of this one, but of what is known when it is used.
    #[serde(skip)]
    pub later: BTreeMap<EntryId, LaterRevocation>,
}

/// A revocation that a revision does not have yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaterRevocation {
    /// The revision that says so.
    pub revision: u64,
    /// What it says.
    pub revocation: Revocation,
}

impl Catalog {
    /// Makes an empty catalog of revision 0, from which [`Catalog::next`] makes the first one.
    #[must_use]
    pub fn empty(name: &str) -> Self {
        Self {
            schema: SCHEMA,
            name: name.to_owned(),
            revision: 0,
            created: Timestamp::UNIX_EPOCH,
            valid_until: Timestamp::UNIX_EPOCH,
            previous: None,
            revisions: Vec::new(),
            tool: String::new(),
            policy_hints: PolicyHints::default(),
            runtimes: BTreeMap::new(),
            oses: BTreeMap::new(),
            entries: Vec::new(),
            later: BTreeMap::new(),
        }
    }

    /// Tells whether the catalog is unpublished, so that layers are made on the spot.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.name == LOCAL
    }

    /// Learns what a later revision has revoked since.
    pub fn learn(&mut self, later: &Self) {
        for entry in &later.entries {
            let Some(revocation) = entry.revoked.as_ref() else { continue };
            if self.entry(&entry.id).is_some_and(|known| known.revoked.is_none()) {
                let (revision, revocation) = (later.revision, revocation.clone());
                self.later.insert(entry.id.clone(), LaterRevocation { revision, revocation });
            }
        }
    }

    /// Why an entry must not be used, by this revision or a later one.
    #[must_use]
    pub fn revocation<'c>(&'c self, entry: &'c Entry) -> Option<&'c Revocation> {
        let later = self.later.get(&entry.id).map(|later| &later.revocation);
        entry.revoked.as_ref().or(later)
    }

    /// Returns the entry of this name.
    #[must_use]
    pub fn entry(&self, id: &EntryId) -> Option<&Entry> {
        self.entries.iter().find(|entry| &entry.id == id)
    }
}

/// An earlier revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRevision {
    /// Its number.
    pub revision: u64,
    /// The digest of its image index.
    pub digest: Digest,
    /// When it was made.
    pub created: Timestamp,
}

/// What the maintainers of a catalog advise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyHints {
    /// How many days before its end of life an entry counts as deprecated.
    pub deprecated_notice_days: u16,
}

impl Default for PolicyHints {
    fn default() -> Self {
        Self { deprecated_notice_days: 90 }
    }
}

/// A runtime's name and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeRecord {
    /// The language: `python`, `node`.
    pub language: String,
    /// What a request means that leaves the minor open, as in `3.13`.
    pub default: String,
    /// The form of its versions, for people.
    pub grammar: String,
    /// Names of lines, and what each fixes: `python311` is `3.11`.
    #[serde(default, deserialize_with = "crate::unique::map")]
    pub aliases: BTreeMap<String, String>,
    /// The runtime to move to when this one ends.
    pub successor: Option<String>,
}

/// An operating system, with names and dates as its distribution gives them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OsRecord {
    /// The distribution's suite.
    pub suite: String,
    /// The version of its C library.
    pub glibc: String,
    /// When its regular support ends.
    pub os_eol: Option<Date>,
    /// When its long-term support ends.
    pub os_lts: Option<Date>,
}
