//! Layer blob -> entries, of layers by any tool.
//!
//! Reading is strict: what could be understood in two ways, or leaves the root, is refused by name. Memory is
//! bounded: long names and PAX headers have a limit, contents are streamed.

use std::fs::File;
use std::io::{self, BufReader, Read};

use oci_spec::image::{Digest, MediaType};

use super::decode::tar_stream;
use super::records::{Overrides, number, text};
use crate::document::HashingReader;
use crate::tree::{Owner, TreePath, TreePathError};

/// The most bytes of a PAX header or of a long name.
const EXTENSION_LIMIT: u64 = 1 << 20;

/// The longest path. Linux takes no longer one, and what is not a path to anybody only serves to fill memory.
const PATH_LIMIT: usize = 4096;

/// What a layer may hold at most, so that a bomb is found before it fills a disk.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Entries.
    pub entries: u64,
    /// Bytes of the uncompressed tar.
    pub uncompressed: u64,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self { entries: 4_000_000, uncompressed: 64 << 30 }
    }
}

/// What an entry of a layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file, whose bytes the reader gives until the next entry is asked for.
    File,
    /// A symbolic link with its target.
    Symlink(Vec<u8>),
    /// Another name of a file.
    Hardlink(TreePath),
    /// The path, of a lower layer, is gone.
    Whiteout,
    /// Everything that lower layers have in the directory of this entry is gone.
    Opaque,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
}

/// An entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerEntry {
    /// Where it is. That of a whiteout is the path that is gone; that of an opaque marker is the marker's own.
    pub path: TreePath,
    /// What it is.
    pub kind: EntryKind,
    /// The permission bits.
    pub mode: u32,
    /// Who owns it.
    pub owner: Owner,
    /// How long the content of a file is.
    pub size: u64,
    /// The modification time in seconds since 1970.
    pub mtime: i64,
}

/// Why a layer cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The media type is not that of a layer.
    #[error("`{media_type}` is not the media type of a layer that can be read")]
    MediaType {
        /// The media type.
        media_type: MediaType,
    },
    /// The blob is not compressed as its media type says.
    #[error("a layer of media type `{media_type}` is encoded in another way")]
    Encoding {
        /// The media type.
        media_type: MediaType,
    },
    /// The blob cannot be read or decompressed.
    #[error("the layer cannot be read")]
    Stream {
        /// The cause.
        source: io::Error,
    },
    /// The tar stream breaks a rule of the format.
    #[error("entry {entry} of the layer is malformed: {reason}")]
    Malformed {
        /// Counted from 1.
        entry: u64,
        /// The rule.
        reason: &'static str,
    },
    /// A path leaves the root or is no path.
    #[error("entry {entry} of the layer has a path that is refused")]
    Path {
        /// Counted from 1.
        entry: u64,
        /// Which, and why.
        source: TreePathError,
    },
    /// The layer is larger than a limit.
    #[error("the layer has more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

/// Reads the entries of a layer blob one after the other; it is itself the reader of the current file's bytes.
pub struct LayerReader {
    tar: BufReader<HashingReader<Box<dyn Read + Send>>>,
    limits: ReadLimits,
    entries: u64,
    position: u64,
    body: u64,
    padding: u64,
}

impl LayerReader {
    /// Opens a blob, decompressing as its media type says.
    pub fn open(file: File, media_type: &MediaType, limits: ReadLimits) -> Result<Self, ReadError> {
        Ok(Self::new(tar_stream(file, media_type)?, limits))
    }

    /// Reads a plain tar stream.
    #[must_use]
    pub fn new(tar: Box<dyn Read + Send>, limits: ReadLimits) -> Self {
        let tar = BufReader::with_capacity(1 << 17, HashingReader::new(tar));
        Self { tar, limits, entries: 0, position: 0, body: 0, padding: 0 }
    }

    /// The next entry; none at the end of the archive. What was not read of the last one is skipped.
    pub fn next_entry(&mut self) -> Result<Option<LayerEntry>, ReadError> {
        let mut overrides = Overrides::default();
        loop {
            self.skip(self.body + self.padding)?;
            (self.body, self.padding) = (0, 0);
            let Some(header) = self.header()? else {
                return if overrides.is_empty() { Ok(None) } else { Err(self.malformed("it has no header")) };
            };
            let flag = header[156];
            match flag {
                b'x' | b'L' | b'K' => {
                    let bytes = self.extension(&header)?;
                    overrides.add(flag, &bytes).map_err(|reason| self.malformed(reason))?;
                }
                // A comment for the whole archive, as `git archive` writes it.
                b'g' => drop(self.extension(&header)?),
                _ => {
                    let overrides = std::mem::take(&mut overrides);
                    if let Some(entry) = self.entry(&header, overrides)? {
                        return Ok(Some(entry));
                    }
                }
            }
        }
    }

    /// How many bytes of the tar stream lie before what is read next.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Reads to the end of the stream and returns the digest and the length of all of it: the layer's `diff_id`.
    pub fn finish(mut self) -> Result<(Digest, u64), ReadError> {
        let mut total = self.position;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = self.tar.read(&mut buffer).map_err(|source| ReadError::Stream { source })?;
            total += count as u64;
            if total > self.limits.uncompressed {
                return Err(self.too_long());
            }
            if count == 0 {
                return Ok(self.tar.into_inner().finish());
            }
        }
    }

    /// The next header block; none at a block of zeros or at the end of the stream.
    fn header(&mut self) -> Result<Option<[u8; 512]>, ReadError> {
        let mut block = Vec::with_capacity(512);
        self.tar.by_ref().take(512).read_to_end(&mut block).map_err(|source| ReadError::Stream { source })?;
        self.position += block.len() as u64;
        if block.iter().all(|byte| *byte == 0) && (block.is_empty() || block.len() == 512) {
            return Ok(None);
        }
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ReadError::Limit { what: "entries", limit: self.limits.entries });
        }
        let block: [u8; 512] =
            block.try_into().map_err(|_| self.malformed("the layer ends in its header"))?;
        self.check_sum(&block)?;
        Ok(Some(block))
    }

    fn check_sum(&self, block: &[u8; 512]) -> Result<(), ReadError> {
        let sum = |from: &[u8]| from.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let expected = sum(&block[..148]) + 8 * u64::from(b' ') + sum(&block[156..]);
        match number(&block[148..156]) {
            Some(found) if found == expected => Ok(()),
            _ => Err(self.malformed("its checksum is wrong")),
        }
    }

    /// Makes the content of the current entry readable.
    fn start_body(&mut self, size: u64) -> Result<(), ReadError> {
        if size > self.limits.uncompressed || self.position > self.limits.uncompressed - size {
            return Err(self.too_long());
        }
        self.body = size;
        self.padding = size.next_multiple_of(512) - size;
        Ok(())
    }

    fn extension(&mut self, header: &[u8; 512]) -> Result<Vec<u8>, ReadError> {
        let size = number(&header[124..136]).ok_or_else(|| self.malformed("its size is no number"))?;
        if size > EXTENSION_LIMIT {
            return Err(ReadError::Limit { what: "bytes in one extended header", limit: EXTENSION_LIMIT });
        }
        self.start_body(size)?;
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(|source| ReadError::Stream { source })?;
        Ok(bytes)
    }

    /// The entry of a header; none for the root directory and for what only aufs understands.
    fn entry(&mut self, header: &[u8; 512], found: Overrides) -> Result<Option<LayerEntry>, ReadError> {
        let field = |range: std::ops::Range<usize>| number(&header[range]);
        let size =
            found.size.or_else(|| field(124..136)).ok_or_else(|| self.malformed("its size is no number"))?;
        let mode = field(100..108).ok_or_else(|| self.malformed("its mode is no number"))?;
        let id =
            |given: Option<u64>, range| given.or_else(|| field(range)).and_then(|id| u32::try_from(id).ok());
        let uid = id(found.uid, 108..116).ok_or_else(|| self.malformed("its owner is no number"))?;
        let gid = id(found.gid, 116..124).ok_or_else(|| self.malformed("its group is no number"))?;
        let mtime = field(136..148).and_then(|time| i64::try_from(time).ok()).unwrap_or(0);
        let mtime = found.mtime.unwrap_or(mtime);
        let name = found.path.unwrap_or_else(|| ustar_path(header));
        let link = found.link.unwrap_or_else(|| text(&header[157..257]).to_vec());

        let kind = match header[156] {
            b'5' => EntryKind::Directory,
            0 | b'0' | b'7' if name.ends_with(b"/") => EntryKind::Directory,
            0 | b'0' | b'7' => EntryKind::File,
            b'1' => EntryKind::Hardlink(self.path(&link)?),
            b'2' => EntryKind::Symlink(link),
            b'3' => EntryKind::CharacterDevice,
            b'4' => EntryKind::BlockDevice,
            b'6' => EntryKind::Fifo,
            b'S' => return Err(self.malformed("sparse files are not supported")),
            _ => return Err(self.malformed("its type is unknown")),
        };
        // Only files have content; some writers put a length into the headers of links all the same.
        let size = if kind == EntryKind::File { size } else { 0 };
        self.start_body(size)?;
        if kind == EntryKind::Directory && matches!(&name[..], b"." | b"./" | b"/") {
            return Ok(None);
        }
        let path = self.path(&name)?;
        let mode = u32::try_from(mode & 0o7777).unwrap_or(0);
        let entry = LayerEntry { path, kind, mode, owner: Owner { uid, gid }, size, mtime };
        self.as_whiteout(entry)
    }

    fn as_whiteout(&self, mut entry: LayerEntry) -> Result<Option<LayerEntry>, ReadError> {
        let Some(gone) = entry.path.name().strip_prefix(b".wh.") else { return Ok(Some(entry)) };
        if gone == b".wh..opq" {
            entry.kind = EntryKind::Opaque;
        } else if gone.starts_with(b".wh.") {
            return Ok(None);
        } else {
            let mut path = entry.path.parent().map_or_else(Vec::new, |dir| [dir.as_bytes(), b"/"].concat());
            path.extend_from_slice(gone);
            entry.path = self.path(&path)?;
            entry.kind = EntryKind::Whiteout;
        }
        Ok(Some(entry))
    }

    fn path(&self, bytes: &[u8]) -> Result<TreePath, ReadError> {
        if bytes.len() > PATH_LIMIT {
            return Err(self.malformed("its path is longer than 4096 bytes"));
        }
        TreePath::new(bytes).map_err(|source| ReadError::Path { entry: self.entries, source })
    }

    fn skip(&mut self, count: u64) -> Result<(), ReadError> {
        let skipped = io::copy(&mut self.tar.by_ref().take(count), &mut io::sink())
            .map_err(|source| ReadError::Stream { source })?;
        self.position += skipped;
        if skipped < count { Err(self.malformed("the layer ends in its content")) } else { Ok(()) }
    }

    fn malformed(&self, reason: &'static str) -> ReadError {
        ReadError::Malformed { entry: self.entries, reason }
    }

    fn too_long(&self) -> ReadError {
        ReadError::Limit { what: "uncompressed bytes", limit: self.limits.uncompressed }
    }
}

impl Read for LayerReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.body == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let wanted = usize::try_from(self.body).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.tar.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the layer ends in the content of a file",
            ));
        }
        self.body -= count as u64;
        self.position += count as u64;
        Ok(count)
    }
}

/// The path in ustar's prefix and name. Old formats use the place of the prefix for something else.
fn ustar_path(header: &[u8; 512]) -> Vec<u8> {
    let (prefix, name) = (text(&header[345..500]), text(&header[..100]));
    if prefix.is_empty() || &header[257..263] != b"ustar\0" {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}
