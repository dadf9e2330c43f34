//! Stamps of source files: what a file was when its content was read, so that it need not be read again.
//!
//! As git's index does it: a file of the same size, times and inode has the same content, unless it was changed so soon
//! after it was read that its times could not tell. Such files are left out and read the next time.

use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::Timestamp;
use lapstrake_oci::tree::{Content, ContentDigest, TreePath};

use super::{Cache, Key, Kind};

/// What the file begins with.
const MAGIC: &[u8] = b"lapstrake stamps 1\n";
/// File systems may keep times no finer than this, in seconds.
const COARSE: i64 = 2;
/// The bytes of a stamp.
const STAMP: usize = 48;

/// What a file was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    inode: u64,
    device: u64,
    /// Modification and status change, in nanoseconds since 1970.
    modified: i64,
    changed: i64,
    mode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let time = |seconds: i64, nanoseconds: i64| {
            seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
        };
        Self {
            size: metadata.len(),
            inode: metadata.ino(),
            device: metadata.dev(),
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
            mode: u64::from(metadata.mode()),
        }
    }

    fn to_bytes(self) -> [u8; STAMP] {
        let mut bytes = [0; STAMP];
        let fields = [
            self.size.to_le_bytes(),
            self.inode.to_le_bytes(),
            self.device.to_le_bytes(),
            self.modified.to_le_bytes(),
            self.changed.to_le_bytes(),
            self.mode.to_le_bytes(),
        ];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field);
        }
        bytes
    }
}

/// The stamps of a directory as they were kept, sorted by path: paths, stamps and digests in one buffer.
#[derive(Default)]
struct Stamps {
    bytes: Vec<u8>,
    /// Where each record begins: the length of the path in four bytes, the path, the stamp, the digest.
    records: Vec<usize>,
}

impl Stamps {
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let body = bytes.len().checked_sub(32)?;
        if !bytes.starts_with(MAGIC) || ContentDigest::of(&bytes[..body]).0 != bytes[body..] {
            return None;
        }
        let (mut records, mut at) = (Vec::new(), MAGIC.len());
        while at < body {
            let length = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
            records.push(at);
            at += 4 + length + STAMP + 32;
        }
        (at == body).then_some(Self { bytes, records })
    }

    fn path(&self, record: usize) -> &[u8] {
        let length = &self.bytes[record..record + 4];
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        &self.bytes[record + 4..record + 4 + length]
    }

    fn find(&self, path: &[u8], stamp: Stamp) -> Option<ContentDigest> {
        let at = self.records.binary_search_by(|record| self.path(*record).cmp(path)).ok()?;
        let rest = self.records[at] + 4 + path.len();
        let (known, digest) = self.bytes[rest..rest + STAMP + 32].split_at(STAMP);
        (known == stamp.to_bytes()).then(|| ContentDigest(digest.try_into().unwrap_or_default()))
    }
}

/// The stamps of one directory, while it is read.
pub struct StampsKeeper {
    cache: Cache,
    key: Key,
    before: Stamps,
    /// When the reading began, in nanoseconds since 1970, less what times may be wrong by.
    begun: i64,
    seen: Vec<Seen>,
    /// Paths and stamps of all that was seen, one after the other.
    bytes: Vec<u8>,
    /// How many of them were known before.
    known: usize,
}

/// A file that was seen.
struct Seen {
    /// Where its path begins and ends; the stamp follows.
    path: (usize, usize),
    content: Content,
    /// Whether it was left alone for long enough.
    is_settled: bool,
}

impl StampsKeeper {
    /// Looks for the stamps of a directory, named by its canonical path.
    #[must_use]
    pub fn open(cache: Cache, root: &Path, now: Timestamp) -> Self {
        let key = Key::of(&[b"stamps", root.as_os_str().as_bytes()]);
        let before = cache.read(Kind::Stamps, key.as_str()).and_then(Stamps::parse).unwrap_or_default();
        let begun = (now.as_second() - COARSE).saturating_mul(1_000_000_000);
        Self { cache, key, before, begun, seen: Vec::new(), bytes: Vec::new(), known: 0 }
    }

    /// Tells the content of a file its digest, if the file is what it was when it was read.
    pub fn see(&mut self, path: &TreePath, metadata: &Metadata, content: &Content) {
        let stamp = Stamp::of(metadata);
        if let Some(digest) = self.before.find(path.as_bytes(), stamp) {
            content.know_digest(digest);
            self.known += 1;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(path.as_bytes());
        let path = (start, self.bytes.len());
        self.bytes.extend_from_slice(&stamp.to_bytes());
        let is_settled = stamp.modified.max(stamp.changed) < self.begun;
        self.seen.push(Seen { path, content: content.clone(), is_settled });
    }

    /// Keeps the stamps of the files whose digests are known by now.
    pub fn keep(mut self) -> io::Result<()> {
        if self.known == self.seen.len() && self.known == self.before.records.len() {
            return Ok(());
        }
        self.before = Stamps::default();
        let path = |seen: &Seen| &self.bytes[seen.path.0..seen.path.1];
        self.seen.sort_unstable_by(|left, right| path(left).cmp(path(right)));
        let mut bytes = MAGIC.to_vec();
        for seen in self.seen.iter().filter(|seen| seen.is_settled) {
            let Some(digest) = seen.content.known_digest() else { continue };
            let length = u32::try_from(path(seen).len()).map_err(io::Error::other)?;
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&self.bytes[seen.path.0..seen.path.1 + STAMP]);
            bytes.extend_from_slice(&digest.0);
        }
        let sum = ContentDigest::of(&bytes);
        bytes.extend_from_slice(&sum.0);
        self.cache.write(Kind::Stamps, self.key.as_str(), &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later() -> Timestamp {
        Timestamp::from_second(4_000_000_000).unwrap()
    }

    fn content(file: &Path) -> (Metadata, Content) {
        let metadata = fs_err::symlink_metadata(file).unwrap();
        let content = Content::path(file, metadata.len());
        (metadata, content)
    }

    /// Reads a directory of two files, and says of which the digest was known.
    fn read(cache: &Cache, root: &Path, now: Timestamp) -> Vec<bool> {
        let mut stamps = StampsKeeper::open(cache.clone(), root, now);
        let known = ["a", "b"].map(|name| {
            let (metadata, content) = content(&root.join(name));
            stamps.see(&TreePath::new(name).unwrap(), &metadata, &content);
            let known = content.known_digest();
            let digest = content.digest().unwrap();
            assert_eq!(digest, ContentDigest::of(&fs_err::read(root.join(name)).unwrap()), "{name}");
            known.is_some()
        });
        stamps.keep().unwrap();
        known.to_vec()
    }

    #[test]
    fn a_file_that_is_what_it_was_is_known_and_another_is_read() {
        let (dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (cache, root) = (Cache::of(dir.path()), root.path());
        fs_err::write(root.join("a"), "one").unwrap();
        fs_err::write(root.join("b"), "two").unwrap();
        assert_eq!(read(&cache, root, later()), [false, false]);
        assert_eq!(read(&cache, root, later()), [true, true]);
        fs_err::write(root.join("a"), "ten").unwrap();
        assert_eq!(read(&cache, root, later()), [false, true]);
        // Same name, size and modification time, but another file.
        let time = fs_err::metadata(root.join("b")).unwrap().modified().unwrap();
        fs_err::write(root.join("c"), "2wo").unwrap();
        fs_err::rename(root.join("c"), root.join("b")).unwrap();
        std::fs::File::options().write(true).open(root.join("b")).unwrap().set_modified(time).unwrap();
        assert_eq!(read(&cache, root, later()), [true, false]);
    }

    #[test]
    fn a_file_that_was_changed_just_now_is_read_again() {
        let (dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (cache, root) = (Cache::of(dir.path()), root.path());
        fs_err::write(root.join("a"), "one").unwrap();
        fs_err::write(root.join("b"), "two").unwrap();
        let changed = fs_err::metadata(root.join("b")).unwrap().ctime();
        let now = Timestamp::from_second(changed + 1).unwrap();
        assert_eq!(read(&cache, root, now), [false, false]);
        assert_eq!(read(&cache, root, now), [false, false]);
    }

    #[test]
    fn damaged_stamps_are_not_believed() {
        let (dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (cache, root) = (Cache::of(dir.path()), root.path());
        fs_err::write(root.join("a"), "one").unwrap();
        fs_err::write(root.join("b"), "two").unwrap();
        read(&cache, root, later());
        let key = Key::of(&[b"stamps", root.as_os_str().as_bytes()]);
        let path = cache.path(Kind::Stamps, key.as_str());
        let whole = fs_err::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert!(Stamps::parse(bytes).is_none(), "{at}");
            assert!(Stamps::parse(whole[..at].to_vec()).is_none(), "{at}");
        }
        assert!(Stamps::parse(whole).is_some());
    }
}
