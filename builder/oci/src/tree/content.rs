//! The bytes of files: where they are, and the digest by which equal ones are known.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// How much is read at a time, in bytes.
const BUFFER: usize = 128 << 10;

/// The bytes of a file. Copies of it share what is known about its digest.
#[derive(Clone)]
pub struct Content {
    place: Place,
    digest: Arc<OnceLock<ContentDigest>>,
}

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub enum Place {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// A part of an open file, such as a member of an unpacked archive. Offsets and lengths in bytes.
    Range {
        /// The file that holds the bytes.
        file: Arc<File>,
        /// Where they begin.
        offset: u64,
        /// How many there are.
        len: u64,
    },
    /// A file of the file system, opened when it is read. It is opened without following a link.
    Path {
        /// Where it is.
        path: Arc<Path>,
        /// The length it had when the tree was made; a different one is an error when it is read.
        len: u64,
    },
    /// Not on this machine: the digest alone is known, and to read it is an error.
    Elsewhere {
        /// How many bytes there are.
        len: u64,
    },
}

impl Content {
    /// A part of an open file; offset and length in bytes.
    #[must_use]
    pub fn range(file: Arc<File>, offset: u64, len: u64) -> Self {
        Place::Range { file, offset, len }.into()
    }

    /// A file of the file system, and its length in bytes.
    #[must_use]
    pub fn path(path: impl AsRef<Path>, len: u64) -> Self {
        Place::Path { path: path.as_ref().into(), len }.into()
    }

    /// Bytes that are not here, by their digest and their length in bytes.
    #[must_use]
    pub fn elsewhere(digest: ContentDigest, len: u64) -> Self {
        let content = Self::from(Place::Elsewhere { len });
        content.know_digest(digest);
        content
    }

    /// Whether the bytes can be read.
    #[must_use]
    pub fn is_here(&self) -> bool {
        !matches!(self.place, Place::Elsewhere { .. })
    }

    /// Where the bytes are.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.place {
            Place::Bytes(bytes) => bytes.len() as u64,
            Place::Range { len, .. } | Place::Path { len, .. } | Place::Elsewhere { len } => *len,
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Opens the bytes for reading from the start.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(match &self.place {
            Place::Bytes(bytes) => Box::new(&bytes[..]),
            Place::Range { file, offset, len } => {
                Box::new(RangeReader { file, position: *offset, end: offset + len })
            }
            Place::Path { path, .. } => {
                use rustix::fs::{CWD, Mode, OFlags, openat};
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let file = openat(CWD, &**path, flags, Mode::empty()).map_err(|cause| {
                    io::Error::new(io::Error::from(cause).kind(), format!("{}: {cause}", path.display()))
                })?;
                Box::new(File::from(file))
            }
            Place::Elsewhere { .. } => return Err(io::Error::other("its bytes are not on this machine")),
        })
    }

    /// Reads all bytes into memory; for small files only.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads to the end, part by part. It fails when there is more or less than there was.
    pub fn each_part(&self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let length = self.len();
        let mut buffer = vec![0; usize::try_from(length + 1).map_or(BUFFER, |length| length.min(BUFFER))];
        let mut reader = self.open()?;
        let mut total = 0;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    total += count as u64;
                    take(&buffer[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if total == length { Ok(()) } else { Err(changed()) }
    }

    /// The digest of the bytes. They are read unless it is known.
    pub fn digest(&self) -> io::Result<ContentDigest> {
        if let Some(known) = self.known_digest() {
            return Ok(known);
        }
        let mut hasher = ContentHasher::default();
        self.each_part(|part| hasher.update(part))?;
        let digest = hasher.finish();
        self.settle_digest(digest).map(|()| digest)
    }

    /// Takes note of the digest of bytes that were read to their end. It fails when it was another one before.
    pub fn settle_digest(&self, digest: ContentDigest) -> io::Result<()> {
        if *self.digest.get_or_init(|| digest) == digest { Ok(()) } else { Err(changed()) }
    }

    /// The digest, where the bytes have been read or somebody knew it.
    #[must_use]
    pub fn known_digest(&self) -> Option<ContentDigest> {
        self.digest.get().copied()
    }

    /// Takes note of the digest of bytes that need not be read for it. What is known already stays.
    pub fn know_digest(&self, digest: ContentDigest) {
        let _ = self.digest.set(digest);
    }
}

impl From<Place> for Content {
    fn from(place: Place) -> Self {
        Self { place, digest: Arc::default() }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Place::Bytes(bytes.into()).into()
    }
}

/// Where it is, for messages.
impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Path { path, .. } => path.display().fmt(f),
            Place::Bytes(_) => f.write_str("a content in memory"),
            Place::Range { .. } => f.write_str("a part of an archive"),
            Place::Elsewhere { .. } => f.write_str("a content that is not on this machine"),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

/// What the bytes of a file are known by: their BLAKE3 hash. It stands in no document of an image.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentDigest(pub [u8; 32]);

impl ContentDigest {
    /// The digest of bytes in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).into())
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads what `Display` writes.
impl std::str::FromStr for ContentDigest {
    type Err = ContentDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        blake3::Hash::from_hex(text).map(|hash| Self(hash.into())).map_err(|_| ContentDigestError)
    }
}

/// A text that is no digest of 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no digest of 64 hexadecimal digits")]
pub struct ContentDigestError;

/// Makes a [`ContentDigest`] of bytes that come in parts.
#[derive(Clone, Default)]
pub struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes so far.
    #[must_use]
    pub fn finish(&self) -> ContentDigest {
        ContentDigest(self.0.finalize().into())
    }
}

/// A file is another one than it was when its tree was made; the inner error of an [`io::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it changed while it was read")]
pub struct ChangedWhileRead;

fn changed() -> io::Error {
    io::Error::other(ChangedWhileRead)
}

struct RangeReader<'a> {
    file: &'a File,
    position: u64,
    end: u64,
}

impl Read for RangeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..wanted], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_here_are_known_and_cannot_be_read() {
        let content = Content::elsewhere(ContentDigest::of(b"four"), 4);
        assert_eq!((content.len(), content.is_here()), (4, false));
        assert_eq!(content.digest().unwrap(), ContentDigest::of(b"four"));
        assert!(content.read().is_err() && content.each_part(|_| ()).is_err());
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = ContentDigest::of(b"x");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for text in ["", "00", &format!("{digest}0"), &digest.to_string().replace(|_| true, "g")] {
            assert_eq!(text.parse::<ContentDigest>(), Err(ContentDigestError), "{text}");
        }
    }
}
