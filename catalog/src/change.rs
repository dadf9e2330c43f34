//! From one revision to the next.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci_spec::image::Digest;

use crate::entry_id::EntryIdError;
use crate::format::Inconsistency;
use crate::record::Images;
use crate::{
    Catalog, Date, Entry, EntryId, ImageKind, OsRecord, PackageChange, PastRevision, PlatformKey,
    PlatformRecord, Record, Revocation, RuntimeRecord, Status, Upstream, UpstreamSource, Version,
};

/// What a new revision adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When the revision is made.
    pub created: Timestamp,
    /// Until when it counts as fresh.
    pub valid_until: Timestamp,
    /// The tool that makes it.
    pub tool: String,
    /// The digest of the previous revision's image index; none before the first one and in a local catalog.
    pub previous: Option<Digest>,
    /// Runtimes that are new or changed.
    pub runtimes: BTreeMap<String, RuntimeRecord>,
    /// Operating systems that are new or changed.
    pub oses: BTreeMap<String, OsRecord>,
    /// New entries.
    pub entries: Vec<NewEntry>,
    /// What becomes of entries that are there.
    pub edits: Vec<Edit>,
}

/// What becomes of an entry that is there: nothing but its status ever changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It counts as deprecated from a day on.
    Deprecate {
        /// The entry.
        id: EntryId,
        /// The day.
        on: Date,
    },
    /// It must not be used.
    Revoke {
        /// The entry.
        id: EntryId,
        /// Since when and why.
        revocation: Revocation,
    },
}

/// An entry before it has a build number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// The runtime.
    pub runtime: String,
    /// The language version.
    pub version: Version,
    /// The build number that its images name; the next one where they name none.
    pub build: Option<u32>,
    /// Its status: `preview` or `active`.
    pub status: Status,
    /// The day of its release.
    pub released: Date,
    /// What the language's makers and the distribution say of it.
    pub upstream: Upstream,
    /// The operating system below.
    pub os: String,
    /// Entries of one ABI can take each other's place under an app.
    pub abi: String,
    /// Versions of the tools that come with it.
    pub tools: BTreeMap<String, String>,
    /// What it is on each platform.
    pub platforms: BTreeMap<PlatformKey, PlatformRecord>,
    /// Package URLs.
    pub purl: Vec<String>,
    /// The CPE name.
    pub cpe: Option<String>,
    /// SPDX expressions.
    pub licenses: Vec<String>,
    /// What changed against the build before.
    pub changes: Vec<PackageChange>,
    /// Where the language's binary came from.
    pub source: UpstreamSource,
}

/// Why a revision cannot follow.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The parts of a new entry make no name.
    #[error("a new entry cannot be named")]
    Name {
        /// Why.
        #[source]
        source: EntryIdError,
    },
    /// What the program does not know would be lost.
    #[error("the catalog has schema {schema}, which only a newer release of this program can change")]
    Newer {
        /// The schema.
        schema: u32,
    },
    /// A new build would have the locks of the one before.
    #[error("`{id}` has these locks already: a build number comes only where bytes change")]
    Unchanged {
        /// The entry that has them.
        id: EntryId,
    },
    /// A new build has a number that is taken, or lower than one that is.
    #[error("build {build} of {runtime} {version} cannot follow build {newest}")]
    BuildTaken {
        /// The runtime.
        runtime: String,
        /// The version.
        version: Version,
        /// The number.
        build: u32,
        /// The newest build that there is.
        newest: u32,
    },
    /// An entry that is to change is not there.
    #[error("the catalog has no entry `{id}`")]
    NoEntry {
        /// The entry.
        id: EntryId,
    },
    /// A revoked entry stays so.
    #[error("`{id}` is revoked already, and stays so")]
    RevokedAlready {
        /// The entry.
        id: EntryId,
    },
    /// The catalog would contradict itself.
    #[error("the new revision would not be consistent")]
    Inconsistent {
        /// How.
        #[source]
        source: Inconsistency,
    },
    /// Images are recorded for something that the catalog does not have.
    #[error("the catalog has no `{id}` on {platform}")]
    UnknownRelease {
        /// The entry.
        id: EntryId,
        /// The platform.
        platform: PlatformKey,
    },
    /// Images are recorded in a catalog that is published, where nothing is made later.
    #[error("`{catalog}` is published: the images of its entries are fixed")]
    Published {
        /// Its name.
        catalog: String,
    },
    /// The bytes behind an entry would change.
    #[error("image `{kind}` of `{id}` on {platform} is recorded already, with other layers")]
    ImageChanged {
        /// The entry.
        id: EntryId,
        /// The platform.
        platform: PlatformKey,
        /// The kind of image.
        kind: ImageKind,
    },
}

impl Catalog {
    /// Makes the revision that follows this one: the number rises by one, and each new entry gets the next
    /// build number of its version.
    ///
    /// In a published catalog an entry that is replaced shrinks to a short record.
    pub fn next(&self, change: Change) -> Result<Self, ChangeError> {
        if self.is_newer() {
            return Err(ChangeError::Newer { schema: self.schema });
        }
        let mut next = Self {
            revision: self.revision + 1,
            created: change.created,
            valid_until: change.valid_until,
            tool: change.tool,
            later: BTreeMap::new(),
            ..self.clone()
        };
        if let Some(digest) = &change.previous {
            let past =
                PastRevision { revision: self.revision, digest: digest.clone(), created: self.created };
            next.revisions.insert(0, past);
        }
        next.previous = change.previous;
        next.runtimes.extend(change.runtimes);
        next.oses.extend(change.oses);
        for entry in change.entries {
            next.add(entry)?;
        }
        for edit in change.edits {
            next.edit(edit)?;
        }
        next.entries.sort_by(|a, b| a.id.cmp(&b.id));
        next.check().map_err(|source| ChangeError::Inconsistent { source })?;
        Ok(next)
    }

    /// Returns the newest build of a version.
    #[must_use]
    pub fn newest_build(&self, runtime: &str, version: Version) -> Option<&Entry> {
        let of_version =
            self.entries.iter().filter(|entry| entry.runtime == runtime && entry.version == version);
        of_version.max_by_key(|entry| entry.build)
    }

    /// Records images that were assembled for an entry of a local catalog.
    ///
    /// The number of the revision stays: what was there stays as it was, and only what was unknown is filled in.
    pub fn with_images(
        &self,
        id: &EntryId,
        platform: &PlatformKey,
        images: Images,
    ) -> Result<Self, ChangeError> {
        if !self.is_local() {
            return Err(ChangeError::Published { catalog: self.name.clone() });
        }
        let mut catalog = self.clone();
        let entry = catalog.entries.iter_mut().find(|entry| &entry.id == id);
        let record = entry.and_then(|entry| entry.platforms.get_mut(platform));
        let (id, platform) = (id.clone(), platform.clone());
        let Some(record) = record else { return Err(ChangeError::UnknownRelease { id, platform }) };
        for (kind, image) in images {
            if record.images.get(&kind).is_some_and(|recorded| recorded.diff_ids() != image.diff_ids()) {
                return Err(ChangeError::ImageChanged { id, platform, kind });
            }
            record.images.insert(kind, image);
        }
        catalog.check().map_err(|source| ChangeError::Inconsistent { source })?;
        Ok(catalog)
    }

    fn add(&mut self, new: NewEntry) -> Result<(), ChangeError> {
        let before = self.newest_build(&new.runtime, new.version);
        if let Some(entry) = before.filter(|entry| has_same_locks(entry, &new)) {
            return Err(ChangeError::Unchanged { id: entry.id.clone() });
        }
        let replaces = before.map(|entry| entry.id.clone());
        let newest = replaces.as_ref().map_or(0, EntryId::build);
        let build = new.build.unwrap_or(newest + 1);
        if build <= newest {
            let (runtime, version) = (new.runtime, new.version);
            return Err(ChangeError::BuildTaken { runtime, version, build, newest });
        }
        let id =
            EntryId::new(&new.runtime, new.version, build).map_err(|source| ChangeError::Name { source })?;
        if let Some(replaced) = replaces.as_ref().filter(|_| !self.is_local()) {
            self.shorten(replaced);
        }
        self.entries.push(Entry {
            id,
            runtime: new.runtime,
            version: new.version,
            build,
            record: Record::Full,
            status: new.status,
            released: new.released,
            added_in: self.revision,
            deprecated_on: None,
            eol_on: None,
            block_on: None,
            upstream: new.upstream,
            os: new.os,
            abi: new.abi,
            rebaseable: true,
            replaces,
            tools: new.tools,
            revoked: None,
            platforms: new.platforms,
            purl: new.purl,
            cpe: new.cpe,
            licenses: new.licenses,
            changes: new.changes,
            source: new.source,
        });
        Ok(())
    }

    fn edit(&mut self, edit: Edit) -> Result<(), ChangeError> {
        let (Edit::Deprecate { id, .. } | Edit::Revoke { id, .. }) = &edit;
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == *id) else {
            return Err(ChangeError::NoEntry { id: id.clone() });
        };
        match edit {
            _ if entry.revoked.is_some() => return Err(ChangeError::RevokedAlready { id: entry.id.clone() }),
            Edit::Deprecate { on, .. } => entry.deprecated_on = Some(on),
            Edit::Revoke { revocation, .. } => {
                entry.status = Status::Revoked;
                entry.revoked = Some(revocation);
            }
        }
        Ok(())
    }

    fn shorten(&mut self, id: &EntryId) {
        for entry in &mut self.entries {
            if &entry.id == id {
                *entry = entry.clone().shortened();
            }
        }
    }
}

fn has_same_locks(entry: &Entry, new: &NewEntry) -> bool {
    let locks = |platforms: &BTreeMap<PlatformKey, PlatformRecord>| -> Option<Vec<(PlatformKey, Digest)>> {
        platforms.iter().map(|(key, record)| Some((key.clone(), record.lock.clone()?))).collect()
    };
    locks(&entry.platforms).is_some_and(|ours| locks(&new.platforms) == Some(ours))
}

mod follows;
#[cfg(test)]
mod tests;

pub use follows::Broken;
