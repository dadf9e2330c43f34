//! Layer blob -> what is in it, for comparisons.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use oci_spec::image::{Digest, MediaType};

use super::read::{EntryKind, LayerEntry, LayerReader, ReadError, ReadLimits};
use crate::document::Hasher;
use crate::tree::TreePath;

/// An entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What the layer says about the path.
    pub entry: LayerEntry,
    /// The digest of the content of a file, when it was asked for.
    pub content: Option<Digest>,
}

/// Whether a listing has the digests of contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Skipped.
    Skip,
    /// Hashed.
    Hash,
}

/// What a layer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The entries by path; when a layer has a path twice, the last.
    pub entries: BTreeMap<TreePath, Listed>,
    /// The digest of the uncompressed layer.
    pub diff_id: Digest,
    /// Its length.
    pub uncompressed: u64,
}

/// Lists a layer blob.
pub fn list(blob: File, media_type: &MediaType, contents: Contents) -> Result<Listing, ReadError> {
    let mut reader = LayerReader::open(blob, media_type, ReadLimits::default())?;
    let mut entries = BTreeMap::new();
    while let Some(entry) = reader.next_entry()? {
        let hashed = contents == Contents::Hash && entry.kind == EntryKind::File;
        let content = if hashed { Some(hash(&mut reader)?) } else { None };
        entries.insert(entry.path.clone(), Listed { entry, content });
    }
    let (diff_id, uncompressed) = reader.finish()?;
    Ok(Listing { entries, diff_id, uncompressed })
}

fn hash(reader: &mut LayerReader) -> Result<Digest, ReadError> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer).map_err(|source| ReadError::Stream { source })? {
            0 => return Ok(hasher.finish().0),
            count => hasher.update(&buffer[..count]),
        }
    }
}
