//! One published runtime version in one build.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Date, EntryId, PlatformKey, PlatformRecord, Status, Version};

/// One `(runtime, version, build)` of the catalog, for all its platforms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The entry's name; `runtime`, `version` and `build` repeat its parts.
    pub id: EntryId,
    /// The runtime, as in `python3`.
    pub runtime: String,
    /// The language version.
    pub version: Version,
    /// Our counter for one language version: it rises when any byte below the app changes.
    pub build: u32,
    /// How much of the entry is recorded.
    pub record: Record,
    /// The stored status; see [`Catalog::status_at`](crate::Catalog::status_at) for the one that counts.
    pub status: Status,
    /// The day of its release.
    pub released: Date,
    /// The revision that first held it.
    pub added_in: u64,
    /// A maintainer's date of deprecation, earlier than the one that follows from the other dates.
    pub deprecated_on: Option<Date>,
    /// A maintainer's date of end of life.
    pub eol_on: Option<Date>,
    /// From this day not even a permission lets a build take it once it is end of life.
    pub block_on: Option<Date>,
    /// What the language's makers and the distribution say of it.
    pub upstream: Upstream,
    /// The operating system below, a key of [`crate::Catalog::oses`].
    pub os: String,
    /// Entries of one ABI can take each other's place under an app.
    pub abi: String,
    /// Whether apps may be rebased to or from it.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub rebaseable: bool,
    /// The entry before it with the same version.
    pub replaces: Option<EntryId>,
    /// Versions of the tools that come with it: `pip`, `npm`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "crate::unique::map")]
    pub tools: BTreeMap<String, String>,
    /// Why it must not be used, if so.
    pub revoked: Option<Revocation>,
    /// The images, by platform.
    #[serde(deserialize_with = "crate::unique::map")]
    pub platforms: BTreeMap<PlatformKey, PlatformRecord>,
    /// Package URLs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub purl: Vec<String>,
    /// The CPE name; information only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpe: Option<String>,
    /// SPDX expressions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
    /// What changed against `replaces`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<PackageChange>,
    /// Where the language's binary came from; the end of support depends on it.
    pub source: UpstreamSource,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

impl Entry {
    /// Tells whether all layers of every platform are known, so that images can be made of it.
    #[must_use]
    pub fn is_assembled(&self) -> bool {
        self.platforms.values().all(|platform| !platform.images.is_empty())
    }

    /// Returns what stays of an entry that was replaced.
    #[must_use]
    pub fn shortened(self) -> Self {
        let platforms =
            self.platforms.into_iter().map(|(key, platform)| (key, platform.shortened())).collect();
        Self {
            record: Record::Short,
            platforms,
            rebaseable: true,
            tools: BTreeMap::new(),
            purl: Vec::new(),
            cpe: None,
            licenses: Vec::new(),
            ..self
        }
    }
}

/// How much of an entry is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Record {
    /// Everything.
    Full,
    /// What a pinned build and an audit need of an entry that was replaced.
    Short,
}

/// What the language's makers and the distribution say of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upstream {
    /// The version as its makers write it.
    pub version: String,
    /// The version as the distribution or the repackager writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_version: Option<String>,
    /// The day on which its makers end its support.
    pub eol: Option<Date>,
}

/// Why an entry must not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Since when.
    pub date: Date,
    /// Why, in words.
    pub reason: String,
    /// How bad it is.
    pub severity: String,
    /// Names of advisories.
    #[serde(default)]
    pub advisories: Vec<String>,
    /// The entry to take instead.
    #[serde(default)]
    pub replacement: Option<EntryId>,
}

/// One package that changed between an entry and the one that it replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageChange {
    /// The package.
    pub package: String,
    /// The source package it is built from.
    #[serde(default)]
    pub source: Option<String>,
    /// The version before; absent when the package is new.
    pub from: Option<String>,
    /// The version now; absent when the package is gone.
    pub to: Option<String>,
    /// What the package's changelog says it fixes.
    #[serde(default)]
    pub cves: Vec<String>,
    /// A remark.
    #[serde(default)]
    pub note: Option<String>,
}

/// Where the language's binary came from, and how that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "origin", rename_all = "lowercase", try_from = "RawSource")]
pub enum UpstreamSource {
    /// A distribution's packages.
    Deb {
        /// How the packages were checked, as in `InRelease-gpg`.
        verified: String,
    },
    /// A package of the npm registry, made by a third party of the official binary.
    #[serde(rename_all = "camelCase")]
    Npm {
        /// The package.
        package: String,
        /// Its checksum, as in `sha512-…`.
        integrity: String,
        /// Who repacks the official binary.
        repackager: String,
        /// Whether the official signed checksums were compared.
        upstream_verified: bool,
    },
    /// An image that somebody else has made, taken as it is.
    Imported {
        /// The digest of its manifest or index.
        image: oci_spec::image::Digest,
        /// The repository that it was in; none if it was a layout.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
}

impl UpstreamSource {
    /// Tells whether the distribution patches the language for as long as it supports the suite.
    pub(crate) fn is_patched_by_distribution(&self) -> bool {
        matches!(self, Self::Deb { .. })
    }
}

/// The form in the document. It is read as a whole, so that fields which are not known are told from those that are.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSource {
    origin: String,
    verified: Option<String>,
    package: Option<String>,
    integrity: Option<String>,
    repackager: Option<String>,
    upstream_verified: Option<bool>,
    image: Option<oci_spec::image::Digest>,
    from: Option<String>,
}

/// A source that does not have what its origin promises.
#[derive(Debug, thiserror::Error)]
#[error("a source of origin `{origin}` does not have these fields")]
struct SourceError {
    origin: String,
}

impl TryFrom<RawSource> for UpstreamSource {
    type Error = SourceError;

    fn try_from(raw: RawSource) -> Result<Self, SourceError> {
        let RawSource { origin, verified, package, integrity, repackager, upstream_verified, image, from } =
            raw;
        let npm = (package, integrity, repackager, upstream_verified);
        match (origin.as_str(), verified, npm, image, from) {
            ("deb", Some(verified), (None, None, None, None), None, None) => Ok(Self::Deb { verified }),
            (
                "npm",
                None,
                (Some(package), Some(integrity), Some(repackager), Some(upstream_verified)),
                None,
                None,
            ) => Ok(Self::Npm { package, integrity, repackager, upstream_verified }),
            ("imported", None, (None, None, None, None), Some(image), from) => {
                Ok(Self::Imported { image, from })
            }
            _ => Err(SourceError { origin }),
        }
    }
}
