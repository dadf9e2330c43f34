//! Layers by the trees that they were packed from.

use std::io;
use std::path::{Path, PathBuf};

use lapstrake_oci::document::HashingReader;
use lapstrake_oci::layer::{Compression, FORMAT, PackedLayer};
use oci_spec::image::{Descriptor, Digest, MediaType};
use serde::{Deserialize, Serialize};

use super::{Cache, Key, Kind};

/// What a layer is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerKey(Key);

impl LayerKey {
    /// The key of the layer that a tree becomes, with the time of its entries in seconds since 1970.
    #[must_use]
    pub fn new(tree: &Digest, compression: Compression, mtime: i64) -> Self {
        let compression = compression.to_string();
        Self(Key::of(&[
            b"layer",
            &FORMAT.to_le_bytes(),
            compression.as_bytes(),
            &mtime.to_le_bytes(),
            tree.as_ref().as_bytes(),
        ]))
    }

    /// Its hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// A layer that was packed before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeptLayer {
    media_type: MediaType,
    digest: Digest,
    size: u64,
    /// The digest of the tar archive.
    pub diff_id: Digest,
    /// How many entries it has.
    pub files: u64,
}

impl KeptLayer {
    /// What is known of a layer that was just packed.
    #[must_use]
    pub fn of(layer: &PackedLayer) -> Self {
        Self {
            media_type: layer.descriptor.media_type().clone(),
            digest: layer.descriptor.digest().clone(),
            size: layer.descriptor.size(),
            diff_id: layer.diff_id.clone(),
            files: layer.files,
        }
    }

    /// What names its blob.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.clone(), self.size, self.digest.clone())
    }
}

impl Cache {
    /// Whether no layer was ever kept, so that it is not worth while to ask for one.
    #[must_use]
    pub fn has_no_layers(&self) -> bool {
        self.is_empty(Kind::Layers)
    }

    /// The layer of a key and the file of its blob, which has the right size at least.
    #[must_use]
    pub fn layer(&self, key: &LayerKey) -> Option<(KeptLayer, PathBuf)> {
        let kept: KeptLayer = self.value(&key.0)?;
        let blob = self.blob(&kept.digest);
        let found = fs_err::symlink_metadata(&blob).ok()?;
        if !found.is_file() || found.len() != kept.size {
            return None;
        }
        self.note_use(&blob);
        Some((kept, blob))
    }

    /// Whether a kept blob has the bytes that it should have. One that has not is removed.
    #[must_use]
    pub fn is_sound(&self, layer: &KeptLayer) -> bool {
        let path = self.blob(&layer.digest);
        let sound = digest_of(&path).is_ok_and(|found| found == layer.digest);
        if !sound {
            let _ = fs_err::remove_file(&path);
        }
        sound
    }

    /// Keeps a layer, and returns the file of its blob. `blob` is moved, or copied from another file system.
    pub fn keep_layer(&self, key: &LayerKey, layer: &KeptLayer, blob: &Path) -> io::Result<PathBuf> {
        let path = self.keep_blob(layer, blob)?;
        self.keep_value(&key.0, layer)?;
        Ok(path)
    }

    /// Keeps the blob of a layer alone.
    pub fn keep_blob(&self, layer: &KeptLayer, blob: &Path) -> io::Result<PathBuf> {
        self.room(Kind::Blobs)?;
        let path = self.blob(&layer.digest);
        super::make_way(&path)?;
        if fs_err::rename(blob, &path).is_err() {
            let mut copy = self.unfinished()?;
            io::copy(&mut fs_err::File::open(blob)?, &mut copy)?;
            copy.persist(&path).map_err(|failed| failed.error)?;
        }
        Ok(path)
    }

    /// The file of a layer's blob, if it is there and has the right bytes.
    #[must_use]
    pub fn sound_blob(&self, layer: &KeptLayer) -> Option<PathBuf> {
        let path = self.blob(&layer.digest);
        if !path.is_file() || !self.is_sound(layer) {
            return None;
        }
        self.note_use(&path);
        Some(path)
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.path(Kind::Blobs, digest.digest())
    }
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut reader = HashingReader::new(fs_err::File::open(path)?);
    io::copy(&mut reader, &mut io::sink())?;
    Ok(reader.finish().0)
}

#[cfg(test)]
mod tests {
    use lapstrake_oci::layer::{PackOptions, pack};
    use lapstrake_oci::tree::{FileTree, Node, TreePath, tree_digest};

    use super::*;

    fn kept(cache: &Cache, scratch: &Path, text: &str) -> (LayerKey, KeptLayer) {
        let tree =
            FileTree::from_iter([(TreePath::new("f").unwrap(), Node::file(text.as_bytes().to_vec(), 0o644))]);
        let packed = pack(&tree, &PackOptions::new(0), scratch).unwrap();
        let key = LayerKey::new(&tree_digest(&tree).unwrap(), Compression::default(), 0);
        let layer = KeptLayer::of(&packed);
        cache.keep_layer(&key, &layer, packed.blob.path()).unwrap();
        (key, layer)
    }

    #[test]
    fn a_layer_is_found_by_its_tree_and_by_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::of(dir.path());
        assert!(cache.has_no_layers());
        let (key, layer) = kept(&cache, dir.path(), "one");
        assert!(!cache.has_no_layers());
        let (found, blob) = cache.layer(&key).unwrap();
        assert_eq!(found, layer);
        assert_eq!(digest_of(&blob).unwrap(), layer.digest);
        let tree = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
        let digest = Digest::try_from(tree).unwrap();
        let keys = [
            LayerKey::new(&digest, Compression::Gzip(1), 0),
            LayerKey::new(&digest, Compression::Gzip(2), 0),
            LayerKey::new(&digest, Compression::Zstd(1), 0),
            LayerKey::new(&digest, Compression::Gzip(1), 1),
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(keys[..at].iter().all(|other| other != one));
            assert_eq!(cache.layer(one), None);
        }
    }

    #[test]
    fn a_damaged_layer_is_found_out_and_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::of(dir.path());
        let (key, layer) = kept(&cache, dir.path(), "one");
        assert!(cache.is_sound(&layer));
        let (_, blob) = cache.layer(&key).unwrap();
        let mut bytes = fs_err::read(&blob).unwrap();
        bytes[20] ^= 1;
        fs_err::write(&blob, &bytes).unwrap();
        assert!(cache.layer(&key).is_some() && !cache.is_sound(&layer));
        assert_eq!(cache.layer(&key), None);
        kept(&cache, dir.path(), "one");
        fs_err::write(&blob, &bytes[1..]).unwrap();
        assert_eq!(cache.layer(&key), None);
        fs_err::remove_file(&blob).unwrap();
        for place in [&blob, &cache.path(Kind::Layers, key.as_str())] {
            let _ = fs_err::remove_file(place);
            fs_err::create_dir_all(place.join("other")).unwrap();
            assert_eq!(cache.layer(&key), None);
            kept(&cache, dir.path(), "one");
            assert!(cache.layer(&key).is_some_and(|(layer, _)| cache.is_sound(&layer)));
        }
        for damaged in ["", "{}", "[1]", "{\"mediaType\": 7"] {
            fs_err::write(cache.path(Kind::Layers, key.as_str()), damaged).unwrap();
            assert_eq!(cache.layer(&key), None);
        }
    }
}
