//! Layers as they lie in a registry or a layout, read for what their files are.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};

use lapstrake_oci::layer::{EntryKind, LayerReader, ReadError, ReadLimits};
use lapstrake_oci::tree::TreePath;
use object::ReadCache;
use oci_spec::image::{Digest, MediaType};

use super::elf::Elf;
use super::facts::{Facts, HEAD, read_head};

/// Files up to this size are read into memory, and others into a temporary file.
const IN_MEMORY: u64 = 16 << 20;

/// What the files of layers are, lowest first, and the digests of their archives.
pub fn of_layers(layers: Vec<(File, MediaType)>) -> Result<(Facts, Vec<Digest>), ReadError> {
    let mut facts = Facts::default();
    let read = layers.into_iter().map(|(blob, media_type)| read(blob, &media_type, &mut facts));
    let diff_ids = read.collect::<Result<_, _>>()?;
    Ok((facts, diff_ids))
}

fn read(blob: File, media_type: &MediaType, facts: &mut Facts) -> Result<Digest, ReadError> {
    let mut reader = LayerReader::open(blob, media_type, ReadLimits::default())?;
    // What a layer takes away is of those below it, wherever its entry stands.
    let mut new = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        match &entry.kind {
            EntryKind::Whiteout => facts.remove(&entry.path),
            EntryKind::Opaque => {
                if let Some(directory) = entry.path.parent() {
                    facts.remove(&directory);
                }
            }
            EntryKind::Symlink(target) => new.push((entry.path.clone(), New::Link(target.clone()))),
            EntryKind::File => {
                let (head, elf) =
                    content(&mut reader, entry.size).map_err(|source| ReadError::Stream { source })?;
                new.push((entry.path.clone(), New::File(head, elf)));
            }
            _ => new.push((entry.path.clone(), New::Name)),
        }
    }
    for (path, what) in new {
        take(facts, &path, what);
    }
    reader.finish().map(|(diff_id, _)| diff_id)
}

enum New {
    Link(Vec<u8>),
    File(Vec<u8>, Option<Elf>),
    Name,
}

fn take(facts: &mut Facts, path: &TreePath, what: New) {
    match what {
        New::Link(target) => facts.link(path, &target),
        New::File(head, elf) => facts.file(path, &head, || elf.unwrap_or_default()),
        New::Name => {}
    }
    facts.name(path);
}

/// The first bytes of the current file and, if it is ELF, what it needs and gives.
fn content(reader: &mut LayerReader, size: u64) -> std::io::Result<(Vec<u8>, Option<Elf>)> {
    let mut head = vec![0; HEAD];
    let count = read_head(reader, &mut head)?;
    head.truncate(count);
    if !head.starts_with(b"\x7fELF") {
        return Ok((head, None));
    }
    let elf = if size <= IN_MEMORY {
        let mut bytes = head.clone();
        reader.read_to_end(&mut bytes)?;
        Elf::read(&bytes[..])
    } else {
        let mut file = tempfile::tempfile()?;
        file.write_all(&head)?;
        std::io::copy(reader, &mut file)?;
        file.rewind()?;
        Elf::read(&ReadCache::new(file))
    };
    Ok((head, Some(elf)))
}
