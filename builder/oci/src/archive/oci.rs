//! `oci-archive`: a tar of an image layout.

use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::image::MediaType;
use serde_json::json;

use super::ArchiveError;
use super::output::Output;
use crate::document::{Document, canonical_json};
use crate::image::{Blob, Image, ImageIndex};
use crate::layout::REF_NAME;

/// What an archive is an archive of.
#[derive(Clone, Copy, Debug)]
pub enum Top<'a> {
    /// One image.
    Image(&'a Image),
    /// Images by platform.
    Index(&'a ImageIndex),
}

impl Top<'_> {
    /// The document that names everything else.
    #[must_use]
    pub fn document(&self) -> &Document {
        match self {
            Self::Image(image) => &image.manifest,
            Self::Index(index) => &index.document,
        }
    }

    fn images(&self) -> &[Image] {
        match self {
            Self::Image(image) => std::slice::from_ref(*image),
            Self::Index(index) => &index.images,
        }
    }

    /// Every blob once, by the name of its file.
    fn blobs(&self) -> BTreeMap<&str, Source<'_>> {
        let mut blobs = BTreeMap::new();
        for image in self.images() {
            for layer in &image.layers {
                blobs.insert(layer.descriptor.digest().digest(), Source::Blob(layer));
            }
            for document in [&image.config, &image.manifest] {
                blobs.insert(document.digest().digest(), Source::Document(document));
            }
        }
        let top = self.document();
        blobs.insert(top.digest().digest(), Source::Document(top));
        blobs
    }
}

enum Source<'a> {
    Blob(&'a Blob),
    Document(&'a Document),
}

/// Writes an `oci-archive`, whose image has a tag if one is given.
pub fn write_oci_archive(path: &Path, top: Top<'_>, tag: Option<&str>) -> Result<(), ArchiveError> {
    let mut entry = json!(top.document().descriptor());
    if let Some(tag) = tag {
        entry["annotations"][REF_NAME] = json!(tag);
    }
    let index = json!({"schemaVersion": 2, "mediaType": MediaType::ImageIndex, "manifests": [entry]});
    let mut output = Output::create(path)?;
    output.bytes("oci-layout", &canonical_json(&json!({"imageLayoutVersion": "1.0.0"})))?;
    output.bytes("index.json", &canonical_json(&index))?;
    output.directory("blobs/")?;
    output.directory("blobs/sha256/")?;
    for (digest, source) in top.blobs() {
        let name = format!("blobs/sha256/{digest}");
        match source {
            Source::Blob(blob) => output.blob(&name, blob)?,
            Source::Document(document) => output.bytes(&name, document.bytes())?,
        }
    }
    output.finish()
}
