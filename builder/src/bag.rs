//! Contents of files, taken out of the layers that have them by what they are known by.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use lapstrake_oci::layer::{EntryKind, LayerReader, ReadError, ReadLimits};
use lapstrake_oci::tree::{Content, ContentDigest, ContentHasher, FileTree, Node, TreePath};
use oci_spec::image::Descriptor;

/// How much is copied at a time, in bytes.
const BUFFER: usize = 128 << 10;

/// Why contents cannot be taken out of a layer.
#[derive(Debug, thiserror::Error)]
pub enum BagError {
    /// A file cannot be read or written.
    #[error("a file cannot be read or written")]
    Io(#[from] io::Error),
    /// The layer cannot be read.
    #[error("a layer cannot be read")]
    Read(#[from] ReadError),
}

/// The wanted contents among those of a layer. They lie in a file of `scratch` that is gone with the last of them.
pub fn contents(
    blob: &Path,
    descriptor: &Descriptor,
    wanted: &BTreeSet<ContentDigest>,
    scratch: &Path,
) -> Result<BTreeMap<ContentDigest, Content>, BagError> {
    let mut reader = LayerReader::open(File::open(blob)?, descriptor.media_type(), ReadLimits::default())?;
    let mut spool = tempfile::tempfile_in(scratch)?;
    let (mut places, mut end) = (BTreeMap::new(), 0);
    let mut buffer = vec![0; BUFFER];
    while let Some(entry) = reader.next_entry()? {
        if entry.kind != EntryKind::File {
            continue;
        }
        let (mut hasher, mut len) = (ContentHasher::default(), 0);
        loop {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            spool.write_all(&buffer[..count])?;
            len += count as u64;
        }
        let digest = hasher.finish();
        if wanted.contains(&digest) && !places.contains_key(&digest) {
            places.insert(digest, (end, len));
            end += len;
        } else {
            spool.seek(SeekFrom::Start(end))?;
        }
    }
    let spool = Arc::new(spool);
    let content = |(digest, (offset, len)): (ContentDigest, (u64, u64))| {
        let content = Content::range(Arc::clone(&spool), offset, len);
        content.know_digest(digest);
        (digest, content)
    };
    Ok(places.into_iter().map(content).collect())
}

/// A tree of contents alone, each under its digest.
#[must_use]
pub fn tree(contents: &BTreeMap<ContentDigest, Content>) -> FileTree {
    let node = |(digest, content): (&ContentDigest, &Content)| {
        let path = TreePath::new(digest.to_string()).ok()?;
        Some((path, Node::file(content.clone(), 0o644)))
    };
    contents.iter().filter_map(node).collect()
}

#[cfg(test)]
mod tests {
    use lapstrake_oci::layer::{Compression, PackOptions, pack};

    use super::*;

    #[test]
    fn contents_are_found_by_their_digest_whatever_their_name() {
        let scratch = tempfile::tempdir().unwrap();
        let texts: [&[u8]; 4] = [b"", b"one", b"two", b"three"];
        let all = texts.map(|text| (ContentDigest::of(text), Content::from(text.to_vec())));
        let options = PackOptions::new(0).compression(Compression::Zstd(1));
        let layer = pack(&tree(&BTreeMap::from(all)), &options, scratch.path()).unwrap();
        let wanted = [b"two".as_slice(), b"", b"four"].map(ContentDigest::of).into();
        let found = contents(layer.blob.path(), &layer.descriptor, &wanted, scratch.path()).unwrap();
        let mut texts: Vec<_> = found.values().map(|content| content.read().unwrap()).collect();
        texts.sort();
        assert_eq!(texts, [b"".to_vec(), b"two".to_vec()]);
        assert!(found.iter().all(|(digest, content)| content.known_digest() == Some(*digest)));
    }
}
