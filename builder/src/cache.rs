//! What is kept from build to build, so that nothing is done twice: layers by the tree that they were packed from, the
//! stamps of source files, what build commands have read and made, what installers have downloaded, and the digests of
//! whole builds; on this machine and, where that is asked for, in a registry.
//!
//! Everything is a file of its own that appears whole or not at all, so that any number of builds share a cache without
//! a lock. Nothing of it decides what an image holds: what is missing or damaged is made again.

mod builds;
mod commands;
mod documents;
mod layers;
mod packages;
mod prune;
mod remote;
mod stamps;
mod values;

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use lapstrake_oci::document::Hasher;
use lapstrake_oci::unfinished;
use tempfile::NamedTempFile;

pub use builds::{BuildKey, KeptBuild, SourceMark};
pub use commands::{Circumstances, Made, ReadSet, ReadSets, Remembered, in_app};
pub use layers::{KeptLayer, LayerKey};
pub use packages::Packages;
pub use prune::{Kept, Limits, Pruned};
pub use remote::{NewValue, RemoteCache};
pub use stamps::StampsKeeper;
pub use values::{Paths, Value};

/// A cache directory.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
    /// Whether nothing of it may change.
    is_fixed: bool,
}

/// The kinds of entries, each in a directory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Compressed layers, by digest.
    Blobs,
    /// What whole builds have made, by key.
    Builds,
    /// Under which circumstances commands have run last.
    Circumstances,
    /// What commands have made, by key.
    Commands,
    /// Documents of catalogs, by digest.
    Documents,
    /// Descriptors of layers, by key.
    Layers,
    /// The paths of runtime images, by their layers.
    Paths,
    /// What commands have read, by circumstances.
    Reads,
    /// Stamps of source files, by directory.
    Stamps,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Blobs,
        Self::Builds,
        Self::Circumstances,
        Self::Commands,
        Self::Documents,
        Self::Layers,
        Self::Paths,
        Self::Reads,
        Self::Stamps,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Blobs => "blobs",
            Self::Builds => "builds",
            Self::Circumstances => "circumstances",
            Self::Commands => "commands",
            Self::Documents => "documents",
            Self::Layers => "layers",
            Self::Paths => "paths",
            Self::Reads => "reads",
            Self::Stamps => "stamps",
        }
    }
}

/// What an entry is found by: a hash over everything that it depends on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// A key of fields, the first of which says what it is a key of. No two lists of fields have the same one.
    #[must_use]
    pub fn of(fields: &[&[u8]]) -> Self {
        let mut hasher = Hasher::default();
        for field in fields {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field);
        }
        Self(hasher.finish().0.digest().to_owned())
    }

    /// Its hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Cache {
    /// The cache of a data directory. Nothing is made before something is kept.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        Self { dir: data_dir.join("cache"), is_fixed: false }
    }

    /// The cache of a data directory, of which nothing may change.
    #[must_use]
    pub fn to_look_at(data_dir: &Path) -> Self {
        Self { is_fixed: true, ..Self::of(data_dir) }
    }

    /// What keeps digests of secrets in this cache apart from those of others: 32 random bytes that stay on this machine.
    pub fn secret_key(&self) -> io::Result<[u8; 32]> {
        use std::os::unix::fs::DirBuilderExt;
        let path = self.dir.join("key");
        let mut key = [0; 32];
        if self.is_fixed && !path.is_file() {
            // Nothing was kept with any key.
            return Ok(key);
        }
        if !path.is_file() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
            fs_err::File::open("/dev/urandom")?.read_exact(&mut key)?;
            let mut file = unfinished::begin(&self.dir, TEMPORARY)?;
            file.write_all(&key)?;
            // Another process may have made one meanwhile, which then is the one.
            let _ = file.persist_noclobber(&path);
        }
        fs_err::File::open(&path)?.read_exact(&mut key)?;
        Ok(key)
    }

    /// Whether nothing of it may change.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.is_fixed
    }

    fn path(&self, kind: Kind, name: &str) -> PathBuf {
        self.dir.join(kind.name()).join(name)
    }

    /// Whether nothing of a kind was ever kept.
    fn is_empty(&self, kind: Kind) -> bool {
        match fs_err::read_dir(self.dir.join(kind.name())) {
            Ok(mut entries) => entries.next().is_none(),
            Err(_) => true,
        }
    }

    /// Reads an entry, and takes note that it was of use.
    fn read(&self, kind: Kind, name: &str) -> Option<Vec<u8>> {
        let path = self.path(kind, name);
        let bytes = fs_err::read(&path).ok()?;
        self.note_use(&path);
        Some(bytes)
    }

    /// Takes note that an entry was of use.
    fn note_use(&self, path: &Path) {
        if !self.is_fixed {
            touch(path);
        }
    }

    /// Writes an entry. It is a cache: nothing is lost if a loss of power takes it back.
    fn write(&self, kind: Kind, name: &str, bytes: &[u8]) -> io::Result<()> {
        let dir = self.room(kind)?;
        let mut file = self.unfinished()?;
        file.write_all(bytes)?;
        let path = dir.join(name);
        make_way(&path)?;
        file.persist(path).map_err(|failed| failed.error)?;
        Ok(())
    }

    /// A file in the making. All are in one place, which is short of other files, so that what killed builds left is
    /// found without a look at every entry.
    fn unfinished(&self) -> io::Result<NamedTempFile> {
        unfinished::sweep(&self.dir, TEMPORARY);
        unfinished::begin(&self.dir, TEMPORARY)
    }

    /// The directory of a kind, made if it is not there, for its owner alone.
    fn room(&self, kind: Kind) -> io::Result<PathBuf> {
        use std::os::unix::fs::DirBuilderExt;
        if self.is_fixed {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let dir = self.dir.join(kind.name());
        if !dir.is_dir() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        }
        Ok(dir)
    }
}

/// What the names of unfinished files begin with.
const TEMPORARY: &str = ".new-";

/// Removes a directory that is where an entry has to be, which is always a file: a rename would not replace it.
fn make_way(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => lapstrake_oci::layer::remove_tree(path),
        _ => Ok(()),
    }
}

/// Renews the time of a file, by which what is of no use any more is found.
fn touch(path: &Path) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    // In a cache that cannot be written, nothing is removed either.
    let _ = utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
}
