//! Documents (manifests, indexes, configs): canonical bytes, their digest, and bounded reading.
//!
//! `oci-spec` keeps annotations and labels in hash maps, whose order differs from run to run. So every document
//! that we write becomes a JSON value, has all its objects sorted, and only then becomes bytes. A document that
//! we read is kept as the bytes that arrived and is never serialised again.

use std::io::{self, Read, Write};

use oci_spec::image::{Descriptor, Digest, MediaType};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

/// The most bytes that a document may have. Registries refuse larger manifests, and so do we.
pub const DOCUMENT_LIMIT: u64 = 4 << 20;

/// Docker's image manifest, which we read but never write.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list, which we read but never write.
pub const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image config, which we read but never write.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's gzip layer, which we read but never write.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker's zstd layer, which we read but never write.
pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
/// Docker's uncompressed layer, which we read but never write.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// What a media type says that a blob is, for the types of OCI and of Docker's schema 2 alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentKind {
    /// The manifest of one image or artifact.
    Manifest,
    /// A list of manifests.
    Index,
}

impl DocumentKind {
    /// The kind of document that a media type names; none for configs, layers and everything else.
    #[must_use]
    pub fn of(media_type: &MediaType) -> Option<Self> {
        match media_type {
            MediaType::ImageManifest => Some(Self::Manifest),
            MediaType::ImageIndex => Some(Self::Index),
            other if other.as_ref() == DOCKER_MANIFEST => Some(Self::Manifest),
            other if other.as_ref() == DOCKER_MANIFEST_LIST => Some(Self::Index),
            _ => None,
        }
    }
}

/// Why bytes are not the document that was named.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The bytes are longer than any document may be.
    #[error("document `{digest}` has {size} bytes, more than the limit of {DOCUMENT_LIMIT}")]
    TooLarge {
        /// The digest that names it.
        digest: Digest,
        /// How long it is said to be.
        size: u64,
    },
    /// The bytes have another length than their descriptor says.
    #[error("`{digest}` has {found} bytes instead of {expected}")]
    Size {
        /// The digest that names it.
        digest: Digest,
        /// The length in the descriptor.
        expected: u64,
        /// The length found.
        found: u64,
    },
    /// The bytes hash to another digest.
    #[error("the bytes named `{expected}` have digest `{found}`")]
    Digest {
        /// The digest in the descriptor.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// The digest's algorithm is not one that we verify.
    #[error("digest `{digest}` is not a sha256 digest")]
    Algorithm {
        /// The digest.
        digest: Digest,
    },
    /// The bytes are not JSON of the expected shape.
    #[error("document `{digest}` ({media_type}) cannot be parsed")]
    Parse {
        /// The digest that names it.
        digest: Digest,
        /// The media type that was expected.
        media_type: MediaType,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The bytes cannot be read.
    #[error("document `{digest}` cannot be read")]
    Read {
        /// The digest that names it.
        digest: Digest,
        /// The cause.
        source: io::Error,
    },
}

/// The bytes of a document together with the descriptor that names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    bytes: Vec<u8>,
    descriptor: Descriptor,
}

impl Document {
    /// Serialises a value canonically.
    #[must_use]
    pub fn new(media_type: MediaType, value: &impl Serialize) -> Self {
        Self::from_bytes(media_type, canonical_json(value))
    }

    /// Takes bytes as they are.
    #[must_use]
    pub fn from_bytes(media_type: MediaType, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let descriptor = Descriptor::new(media_type, bytes.len() as u64, sha256_of(&bytes));
        Self { bytes, descriptor }
    }

    /// Takes bytes that a descriptor names, if they are the ones; the descriptor is kept with its annotations.
    pub fn verified(descriptor: &Descriptor, bytes: Vec<u8>) -> Result<Self, DocumentError> {
        let digest = descriptor.digest();
        require_sha256(digest)?;
        let found = bytes.len() as u64;
        if found != descriptor.size() {
            return Err(DocumentError::Size { digest: digest.clone(), expected: descriptor.size(), found });
        }
        let found = sha256_of(&bytes);
        if found != *digest {
            return Err(DocumentError::Digest { expected: digest.clone(), found });
        }
        Ok(Self { bytes, descriptor: descriptor.clone() })
    }

    /// Reads the bytes that a descriptor names, no more than it says, and verifies them.
    pub fn read(descriptor: &Descriptor, reader: impl Read) -> Result<Self, DocumentError> {
        let digest = descriptor.digest();
        let size = descriptor.size();
        if size > DOCUMENT_LIMIT {
            return Err(DocumentError::TooLarge { digest: digest.clone(), size });
        }
        Self::read_large(descriptor, reader)
    }

    /// The same for whoever has looked at the size that the descriptor says.
    pub fn read_large(descriptor: &Descriptor, reader: impl Read) -> Result<Self, DocumentError> {
        let (digest, size) = (descriptor.digest(), descriptor.size());
        let mut bytes = Vec::new();
        reader
            .take(size + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| DocumentError::Read { digest: digest.clone(), source })?;
        Self::verified(descriptor, bytes)
    }

    /// The bytes, exactly as hashed, stored and pushed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The descriptor that names the bytes.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The digest of the bytes.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        self.descriptor.digest()
    }

    /// The media type.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        self.descriptor.media_type()
    }

    /// Parses the bytes.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, DocumentError> {
        serde_json::from_slice(&self.bytes).map_err(|source| DocumentError::Parse {
            digest: self.digest().clone(),
            media_type: self.media_type().clone(),
            source,
        })
    }
}

/// Serialises a value as JSON with all keys sorted and no white space.
///
/// # Panics
///
/// When the value cannot be JSON, such as a map whose keys are no strings: no document type of ours is like that.
#[must_use]
pub fn canonical_json(value: &impl Serialize) -> Vec<u8> {
    let mut value = serde_json::to_value(value).expect("a document is a value that JSON can hold");
    // Objects are sorted by themselves only until some crate of the build turns on `preserve_order`.
    value.sort_all_objects();
    serde_json::to_vec(&value).expect("a JSON value can be written")
}

/// The sha256 digest of bytes in memory.
#[must_use]
pub fn sha256_of(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish().0
}

/// Refuses a digest that is not sha256, the one algorithm that we verify.
pub fn require_sha256(digest: &Digest) -> Result<(), DocumentError> {
    match digest.algorithm() {
        oci_spec::image::DigestAlgorithm::Sha256 => Ok(()),
        _ => Err(DocumentError::Algorithm { digest: digest.clone() }),
    }
}

/// A sha256 digest in the making, which also counts.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    sha256: Sha256,
    count: u64,
}

impl Hasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.count += bytes.len() as u64;
    }

    /// The digest and the number of bytes.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "64 hexadecimal digits always are a digest")]
    pub fn finish(self) -> (Digest, u64) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::from("sha256:");
        for byte in self.sha256.finalize() {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
        let digest = Digest::try_from(text).expect("`sha256:` and 64 hexadecimal digits are a digest");
        (digest, self.count)
    }
}

/// A writer that hashes what passes through it.
#[derive(Debug)]
pub struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> HashingWriter<W> {
    /// Hashes everything that is written to `inner` through this.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::default() }
    }

    /// The inner writer, the digest of what it was given, and how much that was.
    pub fn finish(self) -> (W, Digest, u64) {
        let (digest, count) = self.hasher.finish();
        (self.inner, digest, count)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A reader that hashes what passes through it.
#[derive(Debug)]
pub struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> HashingReader<R> {
    /// Hashes everything that is read from `inner` through this.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::default() }
    }

    /// The digest of what was read, and how much that was.
    pub fn finish(self) -> (Digest, u64) {
        self.hasher.finish()
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value = json!({"b": [{"z": 1, "a": 2}], "a": {"d": null, "c": "é\n"}});
        let expected = "{\"a\":{\"c\":\"é\\n\",\"d\":null},\"b\":[{\"a\":2,\"z\":1}]}";
        assert_eq!(String::from_utf8(canonical_json(&value)).unwrap(), expected);
    }

    #[test]
    fn one_manifest_is_one_digest_however_its_annotations_hash() {
        let make = || {
            let text = r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,
                "digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
                "annotations":{"a":"1","b":"2","c":"3","d":"4","e":"5"}}"#;
            let descriptor: Descriptor = serde_json::from_str(text).unwrap();
            Document::new(MediaType::ImageIndex, &descriptor).digest().clone()
        };
        let first = make();
        for _ in 0..16 {
            assert_eq!(make(), first);
        }
    }

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256_of(b"").to_string(), empty);
    }

    #[test]
    fn other_bytes_than_the_descriptor_names_are_refused() {
        let document = Document::new(MediaType::ImageConfig, &json!({"a": 1}));
        let descriptor = document.descriptor();
        assert_eq!(Document::read(descriptor, document.bytes()).unwrap(), document);
        let mut flipped = document.bytes().to_vec();
        flipped[2] ^= 1;
        assert!(matches!(Document::read(descriptor, &flipped[..]), Err(DocumentError::Digest { .. })));
        let mut longer = document.bytes().to_vec();
        longer.push(b' ');
        assert!(matches!(Document::read(descriptor, &longer[..]), Err(DocumentError::Size { .. })));
        let shorter = &document.bytes()[1..];
        assert!(matches!(Document::read(descriptor, shorter), Err(DocumentError::Size { .. })));
    }

    #[test]
    fn a_document_beyond_the_limit_is_not_read() {
        let descriptor = Descriptor::new(MediaType::ImageConfig, DOCUMENT_LIMIT + 1, sha256_of(b""));
        let result = Document::read(&descriptor, io::repeat(b' '));
        assert!(matches!(result, Err(DocumentError::TooLarge { .. })));
    }

    #[test]
    fn docker_types_are_read_as_what_they_are() {
        assert_eq!(DocumentKind::of(&MediaType::from(DOCKER_MANIFEST)), Some(DocumentKind::Manifest));
        assert_eq!(DocumentKind::of(&MediaType::from(DOCKER_MANIFEST_LIST)), Some(DocumentKind::Index));
        assert_eq!(DocumentKind::of(&MediaType::ImageConfig), None);
    }
}
