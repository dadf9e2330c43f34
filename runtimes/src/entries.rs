//! The shipped state of the catalog: which entries exist, with their build numbers and the locks of their layers.
//!
//! It is written by `catalog update` and part of the program, so that the same program has the same revision, the same
//! ids and the same build numbers on every machine.

use std::collections::BTreeMap;

use jiff::civil::Date;
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

use crate::canonical::pretty_json;

/// The state of the catalog after an update.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Entries {
    /// The revision's number; 0 before the first.
    pub revision: u32,
    /// When the revision was made, in RFC 3339.
    pub created: String,
    /// All entries ever made, oldest first.
    pub entries: Vec<EntryRecord>,
}

/// One entry and the locks that it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EntryRecord {
    /// `python3-3.13.5-2`.
    pub id: String,
    /// The runtime, `python3`.
    pub runtime: String,
    /// The version of the language.
    pub version: String,
    /// Our counter for that version.
    pub build: u32,
    /// The line of the recipe, `3.13`.
    pub line: String,
    /// The day it was made.
    pub released: Date,
    /// The revision that first held it.
    pub added_in: u32,
    /// The operating system below.
    pub os: String,
    /// The version as its packager writes it.
    pub vendor_version: String,
    /// The entry that it takes the place of.
    pub replaces: Option<String>,
    /// What is different from that entry.
    pub changes: Vec<PackageChange>,
    /// For each platform and image kind the locks of its layers, lowest first.
    pub platforms: BTreeMap<String, BTreeMap<String, Vec<LockRef>>>,
}

/// A package that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageChange {
    /// The package.
    pub package: String,
    /// Its source package.
    pub source: String,
    /// The version it had; none if it is new.
    pub from: Option<String>,
    /// The version it has; none if it is gone.
    pub to: Option<String>,
}

/// A lock in exactly one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockRef {
    /// The role of the layer in the image.
    pub role: String,
    /// The name of the lock.
    pub lock: String,
    /// The digest of what the layer is made of ([`Lock::content_digest`](crate::lock::Lock::content_digest)).
    pub content: Digest,
}

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the catalog's state `entries.json` is not understood")]
pub struct EntriesError {
    /// What the parser says.
    #[from]
    source: serde_json::Error,
}

impl Entries {
    /// Reads the state.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntriesError> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The file: sorted keys and line breaks.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        pretty_json(self)
    }

    /// The newest entry of a line.
    #[must_use]
    pub fn newest(&self, runtime: &str, line: &str) -> Option<&EntryRecord> {
        self.entries.iter().rev().find(|entry| entry.runtime == runtime && entry.line == line)
    }

    /// The highest build number of a version, over all lines.
    #[must_use]
    pub fn last_build(&self, runtime: &str, version: &str) -> u32 {
        let same = self.entries.iter().filter(|entry| entry.runtime == runtime && entry.version == version);
        same.map(|entry| entry.build).max().unwrap_or(0)
    }
}
