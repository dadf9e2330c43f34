//! Layer blob -> directory, for a directory that becomes a lower layer of an overlay.
//!
//! Everything happens relative to descriptors that the kernel resolved below the root, never through a link that
//! leads out. The blob is verified before anything is made, its `diff_id` when it has been read to the end.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, Digest};
use rustix::io::Errno;

use super::place::{Place, Resolve};
use super::read::{EntryKind, LayerEntry, LayerReader, ReadError, ReadLimits};
use super::remove::{entries, remove_at};
use crate::document::DocumentError;
use crate::layout::verify_file;
use crate::tree::{Owner, TreePath};

/// What a layer is unpacked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compose {
    /// Alone, into an empty directory. It must be a layer without whiteouts.
    Single,
    /// Alone, into an empty directory, as a lower layer of an overlay: whiteouts become what overlayfs takes for them.
    Overlay,
    /// On top of what earlier layers left in the directory: whiteouts delete, links of earlier layers are followed
    /// inside the root.
    Merge,
}

/// How a layer is unpacked.
#[derive(Clone, Copy, Debug)]
pub struct UnpackOptions {
    /// Who owns everything afterwards; nobody but the caller when there is none.
    pub owner: Option<Owner>,
    /// What the layer is unpacked for.
    pub compose: Compose,
    /// What the layer may hold at most.
    pub limits: ReadLimits,
}

impl UnpackOptions {
    /// Everything is the caller's.
    #[must_use]
    pub fn new(compose: Compose) -> Self {
        Self { owner: None, compose, limits: ReadLimits::default() }
    }
}

/// How much was unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// Entries.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
}

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The blob or the directory cannot be used.
    #[error("`{}` cannot be {action}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The blob is not what its descriptor says.
    #[error("the layer's blob is not the one that was named")]
    Blob {
        /// The difference.
        source: DocumentError,
    },
    /// The uncompressed layer is another one.
    #[error("the layer has diff_id `{found}` instead of `{expected}`")]
    DiffId {
        /// The `diff_id` that was expected.
        expected: Digest,
        /// The `diff_id` of what was read.
        found: Digest,
    },
    /// The layer cannot be read.
    #[error("layer `{digest}` cannot be unpacked")]
    Read {
        /// The digest of the blob.
        digest: Digest,
        /// The cause.
        source: ReadError,
    },
    /// The directory has something in it already.
    #[error("`{}` is not empty", dest.display())]
    NotEmpty {
        /// The directory.
        dest: PathBuf,
    },
    /// An entry is not unpacked here.
    #[error("`{path}` of layer `{digest}` is refused: {reason}")]
    Refused {
        /// The digest of the blob.
        digest: Digest,
        /// The entry.
        path: TreePath,
        /// The rule.
        reason: &'static str,
    },
    /// An entry cannot be made.
    #[error("`{path}` of layer `{digest}` cannot be made in `{}`", dest.display())]
    Entry {
        /// The digest of the blob.
        digest: Digest,
        /// The entry.
        path: TreePath,
        /// The directory.
        dest: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Unpacks a layer blob into `dest`, which is made if it is missing. On failure everything in `dest` is deleted
/// again, in every mode: half a layer is worth nothing.
pub fn unpack(
    blob: &Path,
    descriptor: &Descriptor,
    diff_id: &Digest,
    dest: &Path,
    options: &UnpackOptions,
) -> Result<Unpacked, UnpackError> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| UnpackError::Io { action, path, source }
    };
    let mut file = File::open(blob).map_err(io("read", blob))?;
    verify_file(&mut file, descriptor)
        .map_err(io("read", blob))?
        .map_err(|source| UnpackError::Blob { source })?;
    let made = !dest.exists();
    fs_err::create_dir_all(dest).map_err(io("made", dest))?;
    let resolve = if options.compose == Compose::Merge { Resolve::InRoot } else { Resolve::Plain };
    let place =
        Place::open(dest, resolve, options.owner).map_err(|cause| io("opened", dest)(cause.into()))?;
    if options.compose != Compose::Merge
        && !place.is_empty().map_err(|cause| io("read", dest)(cause.into()))?
    {
        return Err(UnpackError::NotEmpty { dest: dest.to_owned() });
    }
    let mut unpacking = Unpacking {
        digest: descriptor.digest(),
        dest,
        options,
        place,
        made: std::collections::BTreeSet::new(),
        directories: Vec::new(),
        done: Unpacked { entries: 0, bytes: 0 },
    };
    match unpacking.run(file, descriptor, diff_id) {
        Ok(()) => Ok(unpacking.done),
        Err(error) => {
            unpacking.place.clear();
            if made {
                let _ = fs_err::remove_dir(dest);
            }
            Err(error)
        }
    }
}

struct Unpacking<'a> {
    digest: &'a Digest,
    dest: &'a Path,
    options: &'a UnpackOptions,
    place: Place,
    /// What this layer has made, which its own whiteouts do not concern.
    made: std::collections::BTreeSet<TreePath>,
    /// Directories get their times at the end, for what is made in them changes those.
    directories: Vec<(TreePath, i64)>,
    done: Unpacked,
}

/// Why one entry was not made.
enum Stop {
    Refused(&'static str),
    Failed(io::Error),
}

impl From<Errno> for Stop {
    fn from(cause: Errno) -> Self {
        Self::Failed(cause.into())
    }
}

impl Unpacking<'_> {
    fn run(&mut self, file: File, descriptor: &Descriptor, diff_id: &Digest) -> Result<(), UnpackError> {
        let digest = self.digest;
        let unreadable = |source| UnpackError::Read { digest: digest.clone(), source };
        let mut reader =
            LayerReader::open(file, descriptor.media_type(), self.options.limits).map_err(unreadable)?;
        while let Some(entry) = reader.next_entry().map_err(unreadable)? {
            self.entry(&mut reader, &entry).map_err(|stop| self.describe(&entry.path, stop))?;
            self.done.entries += 1;
        }
        let (found, _) = reader.finish().map_err(unreadable)?;
        if found != *diff_id {
            return Err(UnpackError::DiffId { expected: diff_id.clone(), found });
        }
        for (path, mtime) in std::mem::take(&mut self.directories) {
            // A later entry may have replaced it.
            let _ = self.place.set_directory_time(&path, mtime);
        }
        Ok(())
    }

    fn describe(&self, path: &TreePath, stop: Stop) -> UnpackError {
        let (digest, path) = (self.digest.clone(), path.clone());
        match stop {
            Stop::Refused(reason) => UnpackError::Refused { digest, path, reason },
            Stop::Failed(source) => UnpackError::Entry { digest, path, dest: self.dest.to_owned(), source },
        }
    }

    fn entry(&mut self, reader: &mut LayerReader, entry: &LayerEntry) -> Result<(), Stop> {
        let path = &entry.path;
        match &entry.kind {
            EntryKind::Whiteout => return self.whiteout(path),
            EntryKind::Opaque => return self.opaque(path),
            EntryKind::CharacterDevice | EntryKind::BlockDevice => {
                return Err(Stop::Refused("it is a device"));
            }
            EntryKind::Fifo => return Err(Stop::Refused("it is a named pipe")),
            EntryKind::Directory => {
                if !self.place.has_directory(path)? {
                    self.make_room(path)?;
                }
                self.place.directory(path, entry.mode)?;
                self.directories.push((path.clone(), entry.mtime));
            }
            EntryKind::File => {
                self.make_room(path)?;
                let file = self.place.file(path)?;
                let written = io::copy(reader, &mut &file).map_err(Stop::Failed)?;
                self.done.bytes += written;
                self.place.finish_file(&file, entry.mode, entry.mtime)?;
            }
            EntryKind::Symlink(target) => {
                self.make_room(path)?;
                self.place.symlink(path, target, entry.mtime)?;
            }
            EntryKind::Hardlink(target) => {
                self.make_room(path)?;
                self.place.hardlink(path, target)?;
            }
        }
        if self.options.compose == Compose::Merge {
            self.made.insert(path.clone());
        }
        Ok(())
    }

    /// What stands where an entry goes is replaced if it is of an earlier layer.
    fn make_room(&mut self, path: &TreePath) -> Result<(), Stop> {
        match self.options.compose {
            Compose::Merge => Ok(self.place.remove(path)?),
            Compose::Single | Compose::Overlay if self.place.exists(path)? => {
                Err(Stop::Refused("the layer has it twice"))
            }
            Compose::Single | Compose::Overlay => Ok(()),
        }
    }

    fn whiteout(&mut self, path: &TreePath) -> Result<(), Stop> {
        match self.options.compose {
            Compose::Single => Err(Stop::Refused("it is a whiteout")),
            Compose::Overlay => {
                self.make_room(path)?;
                Ok(self.place.overlay_whiteout(path)?)
            }
            Compose::Merge => self.remove_lower(path),
        }
    }

    fn opaque(&mut self, marker: &TreePath) -> Result<(), Stop> {
        let directory = marker.parent();
        match self.options.compose {
            Compose::Single => Err(Stop::Refused("it is a whiteout")),
            Compose::Overlay => Ok(self.place.overlay_opaque(directory.as_ref())?),
            Compose::Merge => {
                let Some(dir) = self.place.open_directory(directory.as_ref())? else { return Ok(()) };
                for (name, _) in entries(rustix::fd::AsFd::as_fd(&dir))? {
                    let child = match &directory {
                        Some(directory) => directory.join(&name),
                        None => TreePath::new(&name),
                    };
                    let child =
                        child.map_err(|_| Stop::Refused("the directory holds a name that is no path"))?;
                    self.remove_lower(&child)?;
                }
                Ok(())
            }
        }
    }

    /// Deletes what earlier layers have at a path, and keeps what this one has made there.
    fn remove_lower(&mut self, path: &TreePath) -> Result<(), Stop> {
        if !self.made.range(path..).next().is_some_and(|made| made.is_within(path)) {
            return Ok(self.place.remove(path)?);
        }
        let Some(dir) = self.place.open_directory(Some(path))? else { return Ok(()) };
        for (name, _) in entries(rustix::fd::AsFd::as_fd(&dir))? {
            let child =
                path.join(&name).map_err(|_| Stop::Refused("the directory holds a name that is no path"))?;
            if self.made.range(&child..).next().is_some_and(|made| made.is_within(&child)) {
                self.remove_lower(&child)?;
            } else {
                remove_at(rustix::fd::AsFd::as_fd(&dir), &name)?;
            }
        }
        Ok(())
    }
}
