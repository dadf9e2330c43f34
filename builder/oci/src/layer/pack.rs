//! File tree -> layer, in one pass.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use oci_spec::image::{Descriptor, Digest};
use tempfile::NamedTempFile;

use super::block::{BlockWriter, Packed, SpoolError, Spooling, Stopped, spool};
use super::codec::Compression;
use super::entry::{WHITEOUT, ordered};
use super::growing::Growing;
use super::header::{Flag, Header};
use crate::tree::{Content, ContentHasher, FileTree, Kind, Node, Owner, Place, TreePath};

/// What besides the tree determines a layer's bytes, and how many threads make them (which does not).
#[derive(Clone, Copy, Debug)]
pub struct PackOptions {
    /// The modification time of every entry, in seconds since 1970.
    pub mtime: i64,
    /// The codec and its level.
    pub compression: Compression,
    /// How many threads compress.
    pub threads: NonZeroUsize,
}

impl PackOptions {
    /// Gzip at its default level, on all processors up to eight.
    #[must_use]
    pub fn new(mtime: i64) -> Self {
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let eight = NonZeroUsize::new(8).unwrap_or(NonZeroUsize::MIN);
        Self { mtime, compression: Compression::default(), threads: threads.min(eight) }
    }

    /// The same with another codec.
    #[must_use]
    pub fn compression(self, compression: Compression) -> Self {
        Self { compression, ..self }
    }
}

/// A layer in a temporary file, with both digests.
#[derive(Debug)]
pub struct PackedLayer {
    /// What names the blob.
    pub descriptor: Descriptor,
    /// The digest of the uncompressed tar, by which a layer is identified.
    pub diff_id: Digest,
    /// The length of the uncompressed tar.
    pub uncompressed: u64,
    /// How many entries the layer has.
    pub files: u64,
    /// The compressed bytes; the file goes when this is dropped.
    pub blob: NamedTempFile,
}

/// Why a tree cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file cannot be read.
    #[error("the content of `{path}` cannot be read")]
    Read {
        /// Its path in the tree.
        path: TreePath,
        /// The cause.
        source: io::Error,
    },
    /// A file is longer or shorter than it was when the tree was made.
    #[error("`{path}` changed while it was read: it had {expected} bytes and now has {found}")]
    Changed {
        /// Its path in the tree.
        path: TreePath,
        /// The length when the tree was made.
        expected: u64,
        /// How many bytes could be read, or that there were more.
        found: String,
    },
    /// A name would mean a whiteout to whoever unpacks the layer.
    #[error("`{path}` cannot be in a layer: names that begin with `.wh.` mean deletions")]
    ReservedName {
        /// Its path in the tree.
        path: TreePath,
    },
    /// Something lies below a path that is no directory.
    #[error("`{path}` lies below `{parent}`, which is not a directory")]
    NotADirectory {
        /// The path below.
        path: TreePath,
        /// The path above.
        parent: TreePath,
    },
    /// A hard link's target is no regular file of the same tree.
    #[error("`{path}` is a hard link to `{target}`, which is not a file of this layer")]
    DanglingHardlink {
        /// The link.
        path: TreePath,
        /// What it points to.
        target: TreePath,
    },
    /// A symbolic link's target is empty or contains NUL.
    #[error("`{path}` is a symbolic link to `{target}`, which is no path")]
    BadSymlink {
        /// The link.
        path: TreePath,
        /// What it points to, made printable.
        target: String,
    },
    /// The compressed bytes cannot be made or written.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// Packs a tree into a temporary file in `scratch`.
///
/// The dialect: ustar headers, PAX records only for what ustar cannot hold, one fixed time, numbers instead of
/// owners' names; entries as [`FileTree`] sorts them, whiteouts before their siblings, hard links last; two zero
/// blocks at the end. The stream is compressed in blocks of 1 MiB.
pub fn pack(tree: &FileTree, options: &PackOptions, scratch: &Path) -> Result<PackedLayer, PackError> {
    pack_watched(tree, options, scratch, &mut |_| {})
}

/// Packs a tree, and hands out the blob before its first byte is written, for whoever sends it meanwhile.
pub fn pack_watched(
    tree: &FileTree,
    options: &PackOptions,
    scratch: &Path,
    begun: &mut dyn FnMut(Growing),
) -> Result<PackedLayer, PackError> {
    let entries = ordered(tree)?;
    let spooling = Spooling { compression: options.compression, threads: options.threads, scratch };
    let (packed, ()) = spool(spooling, begun, |writer| {
        for (path, node) in &entries {
            match write_entry(writer, tree, path, node, options.mtime)? {
                Ok(()) => {}
                Err(error) => return Ok(Err(error)),
            }
        }
        writer.zeros(1024)?;
        Ok(Ok(()))
    })?;
    let Packed { descriptor, diff_id, uncompressed, blob } = packed;
    Ok(PackedLayer { descriptor, diff_id, uncompressed, files: entries.len() as u64, blob })
}

/// Why a stream cannot be compressed.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// The stream cannot be read.
    #[error("the layer cannot be read")]
    Read {
        /// The cause.
        source: io::Error,
    },
    /// The compressed bytes cannot be made or written.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// Compresses a tar stream as it is, so that its `diff_id` stays what it was.
pub fn compress(
    mut tar: impl Read,
    compression: Compression,
    threads: NonZeroUsize,
    scratch: &Path,
) -> Result<Packed, CompressError> {
    let spooling = Spooling { compression, threads, scratch };
    let (packed, ()) =
        spool(spooling, &mut |_| {}, |writer| match writer.copy(&mut tar, u64::MAX, |_| {}) {
            Ok(stopped_or_count) => stopped_or_count.map(|_| Ok(())),
            Err(source) => Ok(Err(CompressError::Read { source })),
        })?;
    Ok(packed)
}

type Written = Result<Result<(), PackError>, Stopped>;

fn write_entry(
    writer: &mut BlockWriter,
    tree: &FileTree,
    path: &TreePath,
    node: &Node,
    mtime: i64,
) -> Written {
    let mut name = path.as_bytes().to_vec();
    let mut header =
        Header { flag: Flag::File, path: &[], link: &[], mode: node.mode, owner: node.owner, size: 0, mtime };
    match &node.kind {
        Kind::File(content) => {
            header.path = &name;
            header.size = content.len();
            writer.write(&header.encode())?;
            return write_content(writer, path, content);
        }
        Kind::Directory => {
            name.push(b'/');
            header.flag = Flag::Directory;
        }
        Kind::Symlink(target) => {
            header.flag = Flag::Symlink;
            header.link = target;
            header.mode = 0o777;
        }
        Kind::Hardlink(target) => {
            header.flag = Flag::Hardlink;
            header.link = target.as_bytes();
            // Some readers apply a link's mode and owner to the file that it names.
            if let Some(file) = tree.get(target) {
                (header.mode, header.owner) = (file.mode, file.owner);
            }
        }
        Kind::Whiteout => {
            let start = name.len() - path.name().len();
            name.splice(start..start, WHITEOUT.iter().copied());
            header.mode = 0o644;
            header.owner = Owner::default();
        }
    }
    header.path = &name;
    writer.write(&header.encode()).map(Ok)
}

fn write_content(writer: &mut BlockWriter, path: &TreePath, content: &Content) -> Written {
    let expected = content.len();
    let unreadable = |source| PackError::Read { path: path.clone(), source };
    let mut reader = match content.open() {
        Ok(reader) => reader,
        Err(source) => return Ok(Err(unreadable(source))),
    };
    // What lies in a file of this program's own, or in memory, is what it was when it was hashed.
    let may_differ = content.known_digest().is_none() || matches!(content.place(), Place::Path { .. });
    let mut hasher = may_differ.then(ContentHasher::default);
    let hash = |bytes: &[u8]| hasher.iter_mut().for_each(|hasher| hasher.update(bytes));
    let copied = match writer.copy(&mut *reader, expected, hash) {
        Ok(copied) => copied?,
        Err(source) => return Ok(Err(unreadable(source))),
    };
    if copied < expected {
        let found = copied.to_string();
        return Ok(Err(PackError::Changed { path: path.clone(), expected, found }));
    }
    match reader.read(&mut [0]) {
        Ok(0) => {}
        Ok(_) => {
            let found = "more".to_owned();
            return Ok(Err(PackError::Changed { path: path.clone(), expected, found }));
        }
        Err(source) => return Ok(Err(unreadable(source))),
    }
    // A layer may be known by the digests of its contents: they must be those of the bytes that are in it.
    if let Some(Err(source)) = hasher.map(|hasher| content.settle_digest(hasher.finish())) {
        return Ok(Err(unreadable(source)));
    }
    let tail = expected % 512;
    let padding = if tail == 0 { 0 } else { 512 - tail };
    writer.zeros(usize::try_from(padding).unwrap_or(0)).map(Ok)
}
