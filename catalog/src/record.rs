//! What an entry is on one platform: its images, made of layers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

/// The images of one platform, by kind.
pub type Images = BTreeMap<ImageKind, ImageRecord>;

/// The kinds of image that an entry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageKind {
    /// The lowest layers of an app image.
    Run,
    /// `run` with npm, for start commands that use it.
    RunNpm,
    /// `run` without a shell.
    RunMinimal,
    /// `run` with pip, or with npm and corepack.
    BuildLite,
    /// `build-lite` with a shell's tools, compilers, git and headers.
    BuildFull,
}

impl ImageKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Run, Self::RunNpm, Self::RunMinimal, Self::BuildLite, Self::BuildFull];

    /// Returns the name as the catalog writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::RunNpm => "run-npm",
            Self::RunMinimal => "run-minimal",
            Self::BuildLite => "build-lite",
            Self::BuildFull => "build-full",
        }
    }
}

impl fmt::Display for ImageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not a kind of image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a kind of image: expected `run`, `run-npm`, `run-minimal`, `build-lite` or `build-full`"
)]
pub struct ImageKindError {
    /// What was given.
    pub text: String,
}

impl FromStr for ImageKind {
    type Err = ImageKindError;

    fn from_str(text: &str) -> Result<Self, ImageKindError> {
        let kind = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        kind.ok_or_else(|| ImageKindError { text: text.to_owned() })
    }
}

/// What a layer is for: `os`, `runtime`, `pip`, `npm`, `cc`, …
///
/// Recipes name them, so the set is open: lower-case letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerRole(String);

/// A text that is not the role of a layer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the role of a layer: expected lower-case letters, digits and hyphens")]
pub struct LayerRoleError {
    /// What was given.
    pub text: String,
}

impl LayerRole {
    /// Returns the role as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LayerRole {
    type Err = LayerRoleError;

    fn from_str(text: &str) -> Result<Self, LayerRoleError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(LayerRoleError { text: text.to_owned() })
        }
    }
}

impl TryFrom<String> for LayerRole {
    type Error = LayerRoleError;

    fn try_from(text: String) -> Result<Self, LayerRoleError> {
        text.parse()
    }
}

impl From<LayerRole> for String {
    fn from(role: LayerRole) -> Self {
        role.0
    }
}

impl fmt::Display for LayerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerRecord {
    /// What the layer is for.
    pub role: LayerRole,
    /// The digest of the compressed blob.
    pub digest: Digest,
    /// The digest of the uncompressed tar: the layer's identity.
    pub diff_id: Digest,
    /// The size of the compressed blob in bytes.
    pub size: u64,
    /// The size of the uncompressed tar in bytes.
    pub uncompressed: u64,
    /// How many entries the tar has.
    pub files: u64,
}

/// One image: its manifest and its layers, lowest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageRecord {
    /// The digest of the image's manifest; absent in a local catalog until one is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
    /// The layers, lowest first; empty in a short record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerRecord>,
    /// All that a short record keeps of the layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "diffIds")]
    short_diff_ids: Vec<Digest>,
}

impl ImageRecord {
    /// Makes the record of an image from its layers, lowest first.
    #[must_use]
    pub fn new(manifest: Option<Digest>, layers: Vec<LayerRecord>) -> Self {
        Self { manifest, layers, short_diff_ids: Vec::new() }
    }

    /// Returns the layers' identities, lowest first, of a full and of a short record.
    #[must_use]
    pub fn diff_ids(&self) -> Vec<&Digest> {
        if self.layers.is_empty() {
            self.short_diff_ids.iter().collect()
        } else {
            self.layers.iter().map(|layer| &layer.diff_id).collect()
        }
    }

    /// Returns what stays of the image when its entry has been replaced.
    #[must_use]
    pub fn shortened(self) -> Self {
        let short_diff_ids = self.diff_ids().into_iter().cloned().collect();
        Self { manifest: self.manifest, layers: Vec::new(), short_diff_ids }
    }

    /// Tells whether the layers are given once: in full or as diffIDs.
    pub(crate) fn is_whole(&self) -> bool {
        self.layers.is_empty() != self.short_diff_ids.is_empty()
    }
}

/// The settings that a runtime gives to every image made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunConfig {
    /// Environment variables: `PATH`, `LANG`, …
    #[serde(deserialize_with = "crate::unique::map")]
    pub env: BTreeMap<String, String>,
    /// The user and group that the app runs as, as in `1000:1000`.
    pub user: String,
}

/// What an entry is on one platform.
///
/// A local catalog knows a platform from its lock before any layer is assembled: then `images` is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawPlatformRecord", into = "RawPlatformRecord")]
pub struct PlatformRecord {
    /// The images, by kind.
    pub images: Images,
    /// Settings of the runtime; absent in a short record.
    pub config: Option<RunConfig>,
    /// The digest of the document that holds the locks of all layers; absent in a short record.
    pub lock: Option<Digest>,
    /// The digest of the entry's SPDX document.
    pub sbom: Option<Digest>,
    /// The digest of the manifest whose layers are the artifacts themselves.
    pub artifacts: Option<Digest>,
}

impl PlatformRecord {
    /// Makes the record of a platform whose layers are not assembled yet.
    #[must_use]
    pub fn unassembled(config: RunConfig, lock: Digest) -> Self {
        Self { images: Images::new(), config: Some(config), lock: Some(lock), sbom: None, artifacts: None }
    }

    /// Returns what stays of the platform when its entry has been replaced.
    #[must_use]
    pub fn shortened(self) -> Self {
        let images = self.images.into_iter().map(|(kind, image)| (kind, image.shortened())).collect();
        Self { images, config: None, lock: None, sbom: None, artifacts: None }
    }
}

/// The form in the document, where the images stand beside the other facts.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawPlatformRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<ImageRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_npm: Option<ImageRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_minimal: Option<ImageRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_lite: Option<ImageRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_full: Option<ImageRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<RunConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sbom: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifacts: Option<Digest>,
}

/// An image that gives its layers twice or not at all.
#[derive(Debug, thiserror::Error)]
#[error("image `{kind}` needs either `layers` or `diffIds`")]
struct ImageNotWhole {
    kind: ImageKind,
}

impl TryFrom<RawPlatformRecord> for PlatformRecord {
    type Error = ImageNotWhole;

    fn try_from(raw: RawPlatformRecord) -> Result<Self, ImageNotWhole> {
        let images = [raw.run, raw.run_npm, raw.run_minimal, raw.build_lite, raw.build_full];
        let images: Images =
            ImageKind::ALL.into_iter().zip(images).filter_map(|(kind, image)| Some((kind, image?))).collect();
        if let Some((&kind, _)) = images.iter().find(|(_, image)| !image.is_whole()) {
            return Err(ImageNotWhole { kind });
        }
        Ok(Self { images, config: raw.config, lock: raw.lock, sbom: raw.sbom, artifacts: raw.artifacts })
    }
}

impl From<PlatformRecord> for RawPlatformRecord {
    fn from(record: PlatformRecord) -> Self {
        let mut images = record.images;
        let mut take = |kind| images.remove(&kind);
        Self {
            run: take(ImageKind::Run),
            run_npm: take(ImageKind::RunNpm),
            run_minimal: take(ImageKind::RunMinimal),
            build_lite: take(ImageKind::BuildLite),
            build_full: take(ImageKind::BuildFull),
            config: record.config,
            lock: record.lock,
            sbom: record.sbom,
            artifacts: record.artifacts,
        }
    }
}
