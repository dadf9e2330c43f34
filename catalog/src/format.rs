//! The document `catalog.json`: strict in, canonical out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::entry_id::is_runtime_name;
use crate::revision::SCHEMA;
use crate::version::numbers;
use crate::{
    Catalog, Entry, EntryId, ImageKind, ImageRecord, PlatformKey, PlatformRecord, Record, Status,
    UpstreamSource,
};

/// The largest document that is read.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;
/// The most entries that a document may have.
pub const MAX_ENTRIES: usize = 100_000;

/// Why a document is not a catalog.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The document is larger than any catalog.
    #[error("catalog has {found} bytes; at most {limit} are read")]
    TooLarge {
        /// Its size.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The document has a form that there never was.
    #[error("catalog has schema {found}; the first one is {SCHEMA}")]
    Schema {
        /// Its schema.
        found: u64,
    },
    /// A field that the form of the document does not have.
    #[error("catalog has an unknown field `{path}`")]
    Unknown {
        /// Where it is, as in `entries.0.runtime`.
        path: String,
    },
    /// The text is not the JSON of a catalog.
    #[error("catalog is not understood")]
    Json {
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A fact contradicts another.
    #[error("catalog is not consistent: {0}")]
    Inconsistent(Inconsistency),
}

/// A fact of a catalog that contradicts another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistency {
    /// Too many entries.
    #[error("{found} entries; at most {MAX_ENTRIES} are read")]
    TooManyEntries {
        /// How many there are.
        found: usize,
    },
    /// The revision number, the ones before and the digest of the previous one do not fit together.
    #[error("revision {revision} does not follow from its earlier revisions")]
    History {
        /// The number of the revision.
        revision: u64,
    },
    /// A runtime's name, default or alias is malformed or used twice.
    #[error("runtime `{runtime}`: `{text}` is no valid name or version, or is used twice")]
    Runtime {
        /// The runtime.
        runtime: String,
        /// The text at fault.
        text: String,
    },
    /// An entry's name differs from its parts.
    #[error("entry `{id}`: its runtime, version or build differ from its name")]
    Id {
        /// The entry.
        id: EntryId,
    },
    /// Two entries have one name.
    #[error("entry `{id}` is there twice")]
    DuplicateEntry {
        /// The entry.
        id: EntryId,
    },
    /// An entry names a runtime, system or entry that the catalog does not have.
    #[error("entry `{id}` names `{text}`, which the catalog does not have")]
    Unknown {
        /// The entry.
        id: EntryId,
        /// What it names.
        text: String,
    },
    /// An entry says that it was added by a later revision.
    #[error("entry `{id}` was added in revision {added_in}, which is still to come")]
    AddedLater {
        /// The entry.
        id: EntryId,
        /// The revision.
        added_in: u64,
    },
    /// An entry is revoked without a reason, or has a reason without being revoked.
    #[error("entry `{id}`: status `revoked` and the field `revoked` belong together")]
    Revocation {
        /// The entry.
        id: EntryId,
    },
    /// An entry lacks what its record promises.
    #[error("entry `{id}` on {platform} lacks what a {record} record has")]
    Incomplete {
        /// The entry.
        id: EntryId,
        /// The platform.
        platform: PlatformKey,
        /// The kind of record.
        record: &'static str,
    },
    /// An entry exists on no platform.
    #[error("entry `{id}` has no platform")]
    NoPlatform {
        /// The entry.
        id: EntryId,
    },
    /// Two entries are the same bytes.
    #[error("entries `{first}` and `{second}` have the same layers on {platform}")]
    SameLayers {
        /// The one.
        first: Box<EntryId>,
        /// The other.
        second: Box<EntryId>,
        /// The platform.
        platform: PlatformKey,
    },
}

impl Catalog {
    /// Reads a document, strictly: an unknown field, a duplicate key, a malformed name, date or digest, or a fact that
    /// contradicts another is an error.
    ///
    /// Of a later schema the fields are left aside that are not known; [`Catalog::is_newer`] tells it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.len() > MAX_BYTES {
            return Err(ParseError::TooLarge { found: bytes.len(), limit: MAX_BYTES });
        }
        let json = |source| ParseError::Json { source };
        let Schema { schema } = serde_json::from_slice(bytes).map_err(json)?;
        if schema < u64::from(SCHEMA) {
            return Err(ParseError::Schema { found: schema });
        }
        let mut unknown = None;
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let catalog: Self = serde_ignored::deserialize(&mut reader, |path| {
            // A value that may be absent has a step of its own in the path.
            unknown.get_or_insert_with(|| path.to_string().replace(".?", ""));
        })
        .map_err(json)?;
        reader.end().map_err(json)?;
        if let Some(path) = unknown.filter(|_| !catalog.is_newer()) {
            return Err(ParseError::Unknown { path });
        }
        catalog.check().map_err(ParseError::Inconsistent)?;
        Ok(catalog)
    }

    /// Tells whether the document has a later schema than this program knows, of which it reads what it knows.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        self.schema > SCHEMA
    }

    /// Writes the document canonically: sorted keys, no white space.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a catalog has text keys and whole numbers")]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut value = serde_json::to_value(self).expect("a catalog has text keys and whole numbers");
        // Maps keep insertion order as soon as any crate of the build turns `preserve_order` on.
        value.sort_all_objects();
        serde_json::to_vec(&value).expect("a JSON value can be written to memory")
    }

    /// Finds a fact that contradicts another.
    pub fn check(&self) -> Result<(), Inconsistency> {
        if self.entries.len() > MAX_ENTRIES {
            return Err(Inconsistency::TooManyEntries { found: self.entries.len() });
        }
        self.check_history()?;
        self.check_runtimes()?;
        let mut ids = BTreeSet::new();
        for entry in &self.entries {
            if !ids.insert(&entry.id) {
                return Err(Inconsistency::DuplicateEntry { id: entry.id.clone() });
            }
        }
        self.entries.iter().try_for_each(|entry| self.check_entry(entry, &ids))?;
        self.check_layers()
    }

    fn check_history(&self) -> Result<(), Inconsistency> {
        let numbers = self.revisions.iter().map(|past| past.revision).collect::<Vec<_>>();
        let descending = numbers.windows(2).all(|pair| pair[0] > pair[1]);
        let earlier = numbers.iter().all(|&number| 0 < number && number < self.revision);
        let chained = match self.revisions.first() {
            Some(last) => self.previous.as_ref() == Some(&last.digest) && last.revision + 1 == self.revision,
            None => self.previous.is_none() && (self.revision == 1 || self.is_local()),
        };
        let sound = self.revision > 0 && descending && earlier && chained;
        if sound { Ok(()) } else { Err(Inconsistency::History { revision: self.revision }) }
    }

    fn check_runtimes(&self) -> Result<(), Inconsistency> {
        let mut names = self.runtimes.keys().collect::<BTreeSet<_>>();
        for (runtime, record) in &self.runtimes {
            let fault =
                |text: &str| Inconsistency::Runtime { runtime: runtime.clone(), text: text.to_owned() };
            if !is_runtime_name(runtime) {
                return Err(fault(runtime));
            }
            for line in record.aliases.values().chain([&record.default]) {
                numbers(line).ok_or_else(|| fault(line))?;
            }
            for alias in record.aliases.keys() {
                if !is_runtime_name(alias) || !names.insert(alias) {
                    return Err(fault(alias));
                }
            }
        }
        Ok(())
    }

    fn check_entry(&self, entry: &Entry, ids: &BTreeSet<&EntryId>) -> Result<(), Inconsistency> {
        let id = &entry.id;
        let unknown = |text: &str| Inconsistency::Unknown { id: id.clone(), text: text.to_owned() };
        if (id.runtime(), id.version(), id.build()) != (entry.runtime.as_str(), entry.version, entry.build) {
            return Err(Inconsistency::Id { id: id.clone() });
        }
        if !self.runtimes.contains_key(&entry.runtime) {
            return Err(unknown(&entry.runtime));
        }
        if !self.oses.contains_key(&entry.os) {
            return Err(unknown(&entry.os));
        }
        if let Some(replaced) = entry.replaces.as_ref().filter(|replaced| !ids.contains(replaced)) {
            return Err(unknown(&replaced.to_string()));
        }
        if entry.added_in > self.revision {
            return Err(Inconsistency::AddedLater { id: id.clone(), added_in: entry.added_in });
        }
        if (entry.status == Status::Revoked) != entry.revoked.is_some() {
            return Err(Inconsistency::Revocation { id: id.clone() });
        }
        self.check_platforms(entry)
    }

    fn check_platforms(&self, entry: &Entry) -> Result<(), Inconsistency> {
        if entry.platforms.is_empty() {
            return Err(Inconsistency::NoPlatform { id: entry.id.clone() });
        }
        for (platform, record) in &entry.platforms {
            let manifests = record.images.values().all(|image| image.manifest.is_some());
            let layers = record.images.values().all(|image| !image.layers.is_empty());
            let run = record.images.contains_key(&ImageKind::Run);
            let (name, whole) = match entry.record {
                // There is no lock for an image that somebody else has made.
                Record::Full => {
                    let locked =
                        record.lock.is_some() || matches!(entry.source, UpstreamSource::Imported { .. });
                    ("full", layers && record.config.is_some() && locked)
                }
                Record::Short => ("short", run && manifests),
            };
            // Only a local catalog makes layers and manifests later.
            if !whole || !(self.is_local() || (run && manifests)) {
                let (id, platform) = (entry.id.clone(), platform.clone());
                return Err(Inconsistency::Incomplete { id, platform, record: name });
            }
        }
        Ok(())
    }

    /// An audit finds an image's entry by its layers alone, so they must name one entry. A local catalog may
    /// have made too few images of its entries yet to tell them apart.
    fn check_layers(&self) -> Result<(), Inconsistency> {
        if self.is_local() {
            return Ok(());
        }
        let mut seen = BTreeMap::new();
        for entry in &self.entries {
            for (platform, record) in &entry.platforms {
                if let Some(first) = seen.insert((platform, identity(record)), &entry.id) {
                    let (first, second) = (Box::new(first.clone()), Box::new(entry.id.clone()));
                    return Err(Inconsistency::SameLayers { first, second, platform: platform.clone() });
                }
            }
        }
        Ok(())
    }
}

/// Everything that an entry is made of on one platform.
fn identity(record: &PlatformRecord) -> Vec<(ImageKind, Vec<&str>)> {
    record.images.iter().map(|(kind, image)| (*kind, diff_ids(image))).collect()
}

fn diff_ids(image: &ImageRecord) -> Vec<&str> {
    image.diff_ids().into_iter().map(AsRef::as_ref).collect()
}

#[derive(Deserialize)]
struct Schema {
    schema: u64,
}

#[cfg(test)]
mod tests;
