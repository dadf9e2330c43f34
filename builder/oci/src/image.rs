//! Images as values: documents and the places of their blobs.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest, ImageConfiguration, ImageManifest, MediaType, Platform};
use serde_json::json;

use crate::document::{Document, DocumentError, Hasher, require_sha256};

/// Where the bytes of a blob are.
#[derive(Clone, Debug)]
pub enum BlobSource {
    /// In a file, all of it.
    File(PathBuf),
    /// In memory.
    Bytes(Vec<u8>),
    /// In a registry's repository only: it is mounted or copied from there.
    Mounted {
        /// A reference into the repository that has it.
        from: Reference,
    },
}

/// A blob of an image, such as a layer.
#[derive(Clone, Debug)]
pub struct Blob {
    /// What names it.
    pub descriptor: Descriptor,
    /// Where its bytes are.
    pub source: BlobSource,
    /// Repositories that are known to have it, from which a registry may mount it.
    pub mount_from: Vec<Reference>,
}

impl Blob {
    /// A blob in a file.
    #[must_use]
    pub fn file(descriptor: Descriptor, path: impl Into<PathBuf>) -> Self {
        Self { descriptor, source: BlobSource::File(path.into()), mount_from: Vec::new() }
    }

    /// A blob in memory, described here.
    #[must_use]
    pub fn bytes(media_type: MediaType, bytes: impl Into<Vec<u8>>) -> Self {
        let document = Document::from_bytes(media_type, bytes);
        let descriptor = document.descriptor().clone();
        Self { descriptor, source: BlobSource::Bytes(document.bytes().to_vec()), mount_from: Vec::new() }
    }

    /// Checks that the bytes are the ones that the descriptor names; a mounted blob has none to check.
    fn validate(&self) -> Result<(), ValidateError> {
        let digest = self.descriptor.digest();
        require_sha256(digest)?;
        let (found, size) = match &self.source {
            BlobSource::Mounted { .. } => return Ok(()),
            BlobSource::Bytes(bytes) => hash(&bytes[..]),
            BlobSource::File(path) => fs_err::File::open(path).and_then(hash_file),
        }
        .map_err(|source| ValidateError::Read { digest: digest.clone(), source })?;
        if size != self.descriptor.size() {
            let expected = self.descriptor.size();
            return Err(DocumentError::Size { digest: digest.clone(), expected, found: size }.into());
        }
        if found != *digest {
            return Err(DocumentError::Digest { expected: digest.clone(), found }.into());
        }
        Ok(())
    }
}

fn hash_file(file: fs_err::File) -> std::io::Result<(Digest, u64)> {
    hash(file)
}

fn hash(mut reader: impl Read) -> std::io::Result<(Digest, u64)> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// One image: its two documents and its layers, lowest first.
#[derive(Clone, Debug)]
pub struct Image {
    /// The manifest.
    pub manifest: Document,
    /// The config.
    pub config: Document,
    /// The layers, as the manifest lists them.
    pub layers: Vec<Blob>,
}

/// Images by platform under one name.
#[derive(Clone, Debug)]
pub struct ImageIndex {
    /// The image index.
    pub document: Document,
    /// The images that it lists, in its order.
    pub images: Vec<Image>,
}

/// Why an image contradicts itself.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// A document or a blob is not what its descriptor says.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The manifest names another config.
    #[error("the manifest names config `{expected}`, but the image has `{found}`")]
    Config {
        /// What the manifest says.
        expected: Digest,
        /// What the image has.
        found: Digest,
    },
    /// The manifest lists other layers, or another number of them.
    #[error("the manifest lists layer {position} as `{expected}`, but the image has `{found}`")]
    Layer {
        /// Counted from 1, lowest first.
        position: usize,
        /// What the manifest says; `nothing` when it lists fewer.
        expected: String,
        /// What the image has; `nothing` when it has fewer.
        found: String,
    },
    /// The config's `rootfs.diff_ids` does not have one entry for every layer.
    #[error("the config has {diff_ids} diff_ids for {layers} layers")]
    DiffIds {
        /// How many the config has.
        diff_ids: usize,
        /// How many layers the manifest has.
        layers: usize,
    },
    /// An index lists other manifests than the images have.
    #[error("the index lists `{expected}` where the image has manifest `{found}`")]
    Index {
        /// What the index says; `nothing` when it lists fewer.
        expected: String,
        /// What the images have; `nothing` when there are fewer.
        found: String,
    },
    /// A blob cannot be read.
    #[error("blob `{digest}` cannot be read")]
    Read {
        /// What names it.
        digest: Digest,
        /// The cause.
        source: std::io::Error,
    },
}

impl Image {
    /// Puts a config and layers together under a new manifest.
    #[must_use]
    pub fn assemble(config: Document, layers: Vec<Blob>, annotations: &BTreeMap<String, String>) -> Self {
        let descriptors: Vec<_> = layers.iter().map(|layer| &layer.descriptor).collect();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest,
            "config": config.descriptor(),
            "layers": descriptors,
        });
        if !annotations.is_empty() {
            manifest["annotations"] = json!(annotations);
        }
        Self { manifest: Document::new(MediaType::ImageManifest, &manifest), config, layers }
    }

    /// The platform that the config names.
    pub fn platform(&self) -> Result<Platform, DocumentError> {
        let config: ImageConfiguration = self.config.parse()?;
        let mut platform = Platform::default();
        platform.set_architecture(config.architecture().clone());
        platform.set_os(config.os().clone());
        platform.set_variant(config.variant().clone());
        Ok(platform)
    }

    /// Checks that manifest, config, layers and the bytes of the layers belong together.
    pub fn validate(&self) -> Result<(), ValidateError> {
        let manifest: ImageManifest = self.manifest.parse()?;
        let config: ImageConfiguration = self.config.parse()?;
        if manifest.config().digest() != self.config.digest() {
            let expected = manifest.config().digest().clone();
            return Err(ValidateError::Config { expected, found: self.config.digest().clone() });
        }
        let listed = manifest.layers().iter().map(Descriptor::digest);
        let present = self.layers.iter().map(|layer| layer.descriptor.digest());
        if let Some((position, expected, found)) = first_difference(listed, present) {
            return Err(ValidateError::Layer { position, expected, found });
        }
        let (diff_ids, layers) = (config.rootfs().diff_ids().len(), self.layers.len());
        if diff_ids != layers {
            return Err(ValidateError::DiffIds { diff_ids, layers });
        }
        self.layers.iter().try_for_each(Blob::validate)
    }
}

impl ImageIndex {
    /// Puts images under one index, each with the platform that its config names.
    pub fn assemble(
        images: Vec<Image>,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, DocumentError> {
        let mut manifests = Vec::new();
        for image in &images {
            let mut descriptor = image.manifest.descriptor().clone();
            descriptor.set_platform(Some(image.platform()?));
            manifests.push(descriptor);
        }
        let mut index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageIndex,
            "manifests": manifests,
        });
        if !annotations.is_empty() {
            index["annotations"] = json!(annotations);
        }
        Ok(Self { document: Document::new(MediaType::ImageIndex, &index), images })
    }

    /// Checks the index against its images, and every image.
    pub fn validate(&self) -> Result<(), ValidateError> {
        let index: oci_spec::image::ImageIndex = self.document.parse()?;
        let listed = index.manifests().iter().map(Descriptor::digest);
        let present = self.images.iter().map(|image| image.manifest.digest());
        if let Some((_, expected, found)) = first_difference(listed, present) {
            return Err(ValidateError::Index { expected, found });
        }
        self.images.iter().try_for_each(Image::validate)
    }
}

/// The first place, counted from 1, where two lists of digests differ.
fn first_difference<'a>(
    mut left: impl Iterator<Item = &'a Digest>,
    mut right: impl Iterator<Item = &'a Digest>,
) -> Option<(usize, String, String)> {
    let name = |digest: Option<&Digest>| digest.map_or_else(|| "nothing".to_owned(), Digest::to_string);
    for position in 1.. {
        match (left.next(), right.next()) {
            (None, None) => return None,
            (one, other) if one == other => {}
            (one, other) => return Some((position, name(one), name(other))),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(diff_ids: usize) -> Document {
        let ids: Vec<_> =
            (0..diff_ids).map(|n| crate::document::sha256_of(&[u8::try_from(n).unwrap()])).collect();
        let value = json!({
            "architecture": "arm64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": ids},
        });
        Document::new(MediaType::ImageConfig, &value)
    }

    fn image() -> Image {
        let layers = vec![Blob::bytes(MediaType::ImageLayerGzip, b"lower".to_vec())];
        Image::assemble(config(1), layers, &BTreeMap::from([("a".to_owned(), "b".to_owned())]))
    }

    #[test]
    fn an_assembled_image_is_valid() {
        image().validate().unwrap();
        let index = ImageIndex::assemble(vec![image()], &BTreeMap::new()).unwrap();
        index.validate().unwrap();
        let parsed: oci_spec::image::ImageIndex = index.document.parse().unwrap();
        let platform = parsed.manifests()[0].platform().as_ref().unwrap();
        assert_eq!(platform.architecture().to_string(), "arm64");
    }

    #[test]
    fn an_image_that_contradicts_itself_is_refused() {
        let mut other_config = image();
        other_config.config = config(2);
        assert!(matches!(other_config.validate(), Err(ValidateError::Config { .. })));

        let mut fewer_layers = image();
        fewer_layers.layers.clear();
        assert!(matches!(fewer_layers.validate(), Err(ValidateError::Layer { position: 1, .. })));

        let layers = vec![Blob::bytes(MediaType::ImageLayerGzip, b"lower".to_vec())];
        let more_ids = Image::assemble(config(2), layers, &BTreeMap::new());
        assert!(matches!(more_ids.validate(), Err(ValidateError::DiffIds { diff_ids: 2, layers: 1 })));

        let mut flipped = image();
        flipped.layers[0].source = BlobSource::Bytes(b"lOwer".to_vec());
        assert!(matches!(flipped.validate(), Err(ValidateError::Document(DocumentError::Digest { .. }))));
    }

    #[test]
    fn an_index_of_other_images_is_refused() {
        let mut index = ImageIndex::assemble(vec![image()], &BTreeMap::new()).unwrap();
        index.images.push(image());
        assert!(matches!(index.validate(), Err(ValidateError::Index { .. })));
    }
}
