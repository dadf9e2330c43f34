//! Entries that are values of their own: JSON, compressed, behind a hash of it.

use std::io::{self, Read};

use lapstrake_oci::tree::{ContentDigest, TreePath};
use oci_spec::image::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Cache, KeptBuild, KeptLayer, Key, Kind, Made, ReadSets, Remembered};
use crate::changes::{Entry, Listing};

/// No value is longer, in bytes, once it is expanded.
const LARGEST: u64 = 512 << 20;
/// The length of the hash in front.
const HASH: usize = 32;

/// A value that is an entry of the cache.
pub trait Value: Serialize + DeserializeOwned {
    /// The kind of the entry.
    const KIND: Kind;
}

impl Value for KeptBuild {
    const KIND: Kind = Kind::Builds;
}

impl Value for KeptLayer {
    const KIND: Kind = Kind::Layers;
}

impl Value for ReadSets {
    const KIND: Kind = Kind::Reads;
}

impl Value for Made {
    const KIND: Kind = Kind::Commands;
}

impl Value for Remembered {
    const KIND: Kind = Kind::Circumstances;
}

impl Value for Paths {
    const KIND: Kind = Kind::Paths;
}

/// The paths of a stack of layers: each with whether it is a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths(Vec<(String, bool)>);

impl Paths {
    /// What the paths of an image are found by, given the diffIDs of its layers, lowest first.
    #[must_use]
    pub fn key(layers: &[Digest]) -> Key {
        let layers = layers.iter().map(|layer| layer.as_ref().as_bytes());
        Key::of(&std::iter::once(b"paths 1".as_slice()).chain(layers).collect::<Vec<_>>())
    }

    /// The paths of a listing; none when one is no text.
    #[must_use]
    pub fn of(listing: &Listing) -> Option<Self> {
        let path = |(path, entry): (&TreePath, &Entry)| {
            let text = std::str::from_utf8(path.as_bytes()).ok()?;
            Some((text.to_owned(), *entry == Entry::Directory))
        };
        listing.iter().map(path).collect::<Option<_>>().map(Self)
    }

    /// The listing; none when an entry is not what this program writes.
    #[must_use]
    pub fn listing(&self) -> Option<Listing> {
        let entry = |(path, is_directory): &(String, bool)| {
            let entry = if *is_directory { Entry::Directory } else { Entry::Other };
            Some((TreePath::new(path).ok()?, entry))
        };
        self.0.iter().map(entry).collect()
    }
}

impl Cache {
    /// The value of a key.
    #[must_use]
    pub fn value<T: Value>(&self, key: &Key) -> Option<T> {
        parse(&self.read(T::KIND, key.as_str())?)
    }

    /// Keeps a value.
    pub fn keep_value<T: Value>(&self, key: &Key, value: &T) -> io::Result<()> {
        self.write(T::KIND, key.as_str(), &render(value)?)
    }
}

/// The value that bytes hold, unless they are damaged.
#[must_use]
pub(super) fn parse<T: Value>(bytes: &[u8]) -> Option<T> {
    let (hash, packed) = bytes.split_at_checked(HASH)?;
    if ContentDigest::of(packed).0 != hash {
        return None;
    }
    let mut text = Vec::new();
    zstd::Decoder::with_buffer(packed).ok()?.take(LARGEST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// The bytes of a value.
pub(super) fn render<T: Value>(value: &T) -> io::Result<Vec<u8>> {
    let packed = zstd::bulk::compress(&serde_json::to_vec(value)?, 3)?;
    Ok([ContentDigest::of(&packed).0.as_slice(), &packed].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_was_kept_and_not_at_all_where_a_byte_differs() {
        let paths = Paths(vec![("a".into(), true), ("a/b".into(), false)]);
        assert_eq!(Paths::of(&paths.listing().unwrap()), Some(paths.clone()));
        let dir = tempfile::tempdir().unwrap();
        let (cache, key) = (Cache::of(dir.path()), Key::of(&[b"x"]));
        assert_eq!(cache.value::<Paths>(&key), None);
        cache.keep_value(&key, &paths).unwrap();
        assert_eq!(cache.value::<Paths>(&key), Some(paths.clone()));
        let whole = render(&paths).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert_eq!(parse::<Paths>(&bytes), None, "{at}");
            assert_eq!(parse::<Paths>(&whole[..at]), None, "{at}");
        }
    }

    #[test]
    fn a_path_outside_makes_no_listing() {
        assert_eq!(Paths(vec![("../x".into(), false)]).listing(), None);
    }
}
