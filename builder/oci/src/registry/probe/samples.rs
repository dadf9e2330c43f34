//! What is written to find out: tiny, valid, and like nothing that anybody else has.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

use oci_spec::image::MediaType;
use serde_json::json;

use crate::document::Document;
use crate::image::{Blob, BlobSource, Image};
use crate::layer::{Compression, PackError, PackOptions, pack};
use crate::tree::{FileTree, Node, TreePath};

/// What the tags begin with.
const TAG: &str = "lapstrake-doctor-";
/// The kind of artifact that refers to an image.
const ARTIFACT: &str = "application/vnd.lapstrake.doctor";

/// Everything that a probe writes.
pub struct Samples {
    stamp: String,
    /// The image that gets the tag first.
    pub(super) first: Image,
    /// The image that the tag is moved to; only its manifest differs.
    pub(super) second: Image,
    pub(super) zstd: Image,
    pub(super) index: Document,
    pub(super) referrer: Document,
    /// A blob that is sent in two chunks.
    pub(super) chunked: [Vec<u8>; 2],
}

impl Samples {
    /// Makes them. The stamp is part of every byte sequence and of the tag, so that two probes share nothing.
    pub fn new(stamp: &str, scratch: &Path) -> Result<Self, PackError> {
        let gzip = image(stamp, Compression::Gzip(1), scratch)?;
        let zstd = image(stamp, Compression::Zstd(3), scratch)?;
        let about =
            |text: &str| BTreeMap::from([("org.opencontainers.image.description".into(), text.into())]);
        let second = Image::assemble(gzip.config.clone(), gzip.layers.clone(), &about("second"));
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageIndex,
            "manifests": [gzip.manifest.descriptor()],
        });
        let referrer = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest,
            "artifactType": ARTIFACT,
            "config": gzip.config.descriptor(),
            "layers": [gzip.layers[0].descriptor],
            "subject": gzip.manifest.descriptor(),
        });
        let chunk = |name: &str| format!("{name} chunk of {TAG}{stamp}\n").into_bytes();
        Ok(Self {
            stamp: stamp.to_owned(),
            index: Document::new(MediaType::ImageIndex, &index),
            referrer: Document::new(MediaType::ImageManifest, &referrer),
            first: gzip,
            second,
            zstd,
            chunked: [chunk("first"), chunk("second")],
        })
    }

    /// The tag that is written.
    #[must_use]
    pub fn tag(&self) -> String {
        format!("{TAG}{}", self.stamp)
    }
}

/// An image of one file, which says what it is for.
fn image(stamp: &str, compression: Compression, scratch: &Path) -> Result<Image, PackError> {
    let name = format!("{TAG}{stamp}");
    let text =
        format!("`lapstrake registry doctor` wrote this to find out what the registry can do: {name}\n");
    let path = TreePath::new(&name).expect("a stamp is a name");
    let tree = FileTree::from_iter([(path.clone(), Node::file(text.into_bytes(), 0o644))]);
    let options = PackOptions { threads: NonZeroUsize::MIN, ..PackOptions::new(0).compression(compression) };
    let packed = pack(&tree, &options, scratch)?;
    let bytes = fs_err::read(packed.blob.path()).map_err(|error| PackError::Read { path, source: error })?;
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [packed.diff_id] },
    });
    let source = BlobSource::Bytes(bytes);
    let layer = Blob { descriptor: packed.descriptor, source, mount_from: Vec::new() };
    Ok(Image::assemble(Document::new(MediaType::ImageConfig, &config), vec![layer], &BTreeMap::new()))
}
