//! A tree, written below a directory.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use lapstrake_oci::tree::{Content, ContentHasher, FileTree, Kind, Node, Owner, TreePath};
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT, Uid, fchmod, fchown,
    futimens, linkat, mkdirat, openat, openat2, symlinkat, utimensat,
};

const BUFFER: usize = 256 << 10;

/// How a tree is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct MaterialiseOptions {
    /// Who owns everything; whoever writes it when none is given.
    pub owner: Option<Owner>,
    /// The modification time of everything, in seconds since 1970; the time at which it was written when none is given.
    pub modified: Option<i64>,
    /// The access time of everything, in seconds since 1970.
    pub accessed: Option<i64>,
    /// What becomes of permission bits.
    pub modes: Modes,
}

/// What becomes of the permission bits of a tree that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Modes {
    /// Directories get mode 0755 and files 0644 or 0755.
    #[default]
    Usual,
    /// They are those of the tree.
    OfTree,
}

/// Why a tree was not written.
#[derive(Debug, thiserror::Error)]
pub enum MaterialiseError {
    /// A path could not be made.
    #[error("could not write `{path}` below `{}`", below.display())]
    Write {
        /// The path in the tree, or `.` for the directory itself.
        path: String,
        /// The directory.
        below: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file's bytes could not be read.
    #[error("could not read the content of `{path}`")]
    Content {
        /// The path in the tree.
        path: TreePath,
        /// Why not.
        source: io::Error,
    },
    /// A file has another length than when the tree was made.
    #[error("`{path}` has {found} bytes, but had {expected} when the source was read")]
    Changed {
        /// The path in the tree.
        path: TreePath,
        /// The length when the tree was made.
        expected: u64,
        /// The length now, or how far it was read.
        found: u64,
    },
}

/// Writes a tree below an existing directory in which none of its paths exist yet.
///
/// Modes are as the options say, whatever the umask is. Nothing is followed and nothing is
/// replaced, and symbolic links are made last, so that no path can lead out of the directory.
pub fn materialise(
    tree: &FileTree,
    below: &Path,
    options: &MaterialiseOptions,
) -> Result<(), MaterialiseError> {
    Writer::open(below, options)?.write(tree)
}

/// The same below an open directory, which messages call `below`.
pub(super) fn materialise_at(
    tree: &FileTree,
    root: &OwnedFd,
    below: &Path,
    options: &MaterialiseOptions,
) -> Result<(), MaterialiseError> {
    let root = root.try_clone().map_err(|source| MaterialiseError::Write {
        path: ".".into(),
        below: below.to_owned(),
        source,
    })?;
    Writer { below, root, options, parent: None, buffer: vec![0; BUFFER] }.write(tree)
}

struct Writer<'a> {
    below: &'a Path,
    root: OwnedFd,
    options: &'a MaterialiseOptions,
    /// The directory of the path that was written last: in path order it is mostly that of the next as well.
    parent: Option<(TreePath, OwnedFd)>,
    buffer: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn open(below: &'a Path, options: &'a MaterialiseOptions) -> Result<Self, MaterialiseError> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let root = openat(rustix::fs::CWD, below, flags, Mode::empty()).map_err(|cause| {
            MaterialiseError::Write { path: ".".into(), below: below.to_owned(), source: cause.into() }
        })?;
        Ok(Self { below, root, options, parent: None, buffer: vec![0; BUFFER] })
    }

    fn write(mut self, tree: &FileTree) -> Result<(), MaterialiseError> {
        for (path, node) in tree.iter() {
            match &node.kind {
                Kind::Directory => self.directory(path)?,
                Kind::File(content) => self.file(path, node, content)?,
                Kind::Hardlink(_) | Kind::Symlink(_) | Kind::Whiteout => {}
            }
        }
        for (path, node) in tree.iter() {
            if let Kind::Hardlink(target) = &node.kind {
                self.hardlink(path, target)?;
            }
        }
        for (path, node) in tree.iter() {
            if let Kind::Symlink(target) = &node.kind {
                self.symlink(path, target)?;
            }
        }
        let directories: Vec<_> =
            tree.iter().filter(|(_, node)| matches!(node.kind, Kind::Directory)).collect();
        // Whatever is made in a directory changes its time, and cannot be made in one that may not be written.
        for (path, node) in directories.into_iter().rev() {
            let directory = self.open_directory(path).map_err(|cause| self.failed(path, cause))?;
            if self.options.modes == Modes::OfTree {
                fchmod(&directory, Mode::from(node.mode)).map_err(|cause| self.failed(path, cause))?;
            }
            self.set_times(path, directory.as_fd())?;
        }
        Ok(())
    }

    fn directory(&mut self, path: &TreePath) -> Result<(), MaterialiseError> {
        let made = self.in_parent(path, |parent| mkdirat(parent, path.name(), Mode::from(0o755)));
        let directory =
            made.and_then(|()| self.open_directory(path)).map_err(|cause| self.failed(path, cause))?;
        self.set_owner(directory.as_fd(), 0o755).map_err(|cause| self.failed(path, cause))?;
        self.parent = Some((path.clone(), directory));
        Ok(())
    }

    fn file(&mut self, path: &TreePath, node: &Node, content: &Content) -> Result<(), MaterialiseError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = self.in_parent(path, |parent| openat(parent, path.name(), flags, Mode::from(0o600)));
        let mut file = File::from(made.map_err(|cause| self.failed(path, cause))?);
        self.copy(path, content, &mut file)?;
        let permissions = match self.options.modes {
            Modes::Usual if node.mode & 0o111 == 0 => 0o644,
            Modes::Usual => 0o755,
            Modes::OfTree => node.mode,
        };
        self.set_owner(file.as_fd(), permissions).map_err(|cause| self.failed(path, cause))?;
        self.set_times(path, file.as_fd())
    }

    fn copy(&mut self, path: &TreePath, content: &Content, file: &mut File) -> Result<(), MaterialiseError> {
        let failed = |source| MaterialiseError::Content { path: path.clone(), source };
        let mut reader = content.open().map_err(failed)?;
        let expected = content.len();
        let mut found = 0;
        let mut hasher = ContentHasher::default();
        loop {
            match reader.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => {
                    found += count as u64;
                    if found > expected {
                        break;
                    }
                    hasher.update(&self.buffer[..count]);
                    file.write_all(&self.buffer[..count]).map_err(|source| self.failed(path, source))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if found != expected {
            return Err(MaterialiseError::Changed { path: path.clone(), expected, found });
        }
        // The source is known by what the commands get.
        content.settle_digest(hasher.finish()).map_err(failed)
    }

    fn hardlink(&mut self, path: &TreePath, target: &TreePath) -> Result<(), MaterialiseError> {
        let from = match target.parent() {
            Some(parent) => self.open_directory(&parent),
            None => self.root.try_clone().map_err(|_| rustix::io::Errno::MFILE),
        };
        from.and_then(|from| {
            self.in_parent(path, |parent| linkat(&from, target.name(), parent, path.name(), AtFlags::empty()))
        })
        .map_err(|cause| self.failed(path, cause))
    }

    fn symlink(&mut self, path: &TreePath, target: &[u8]) -> Result<(), MaterialiseError> {
        let owner = self.options.owner;
        let times = self.times();
        self.in_parent(path, |parent| {
            symlinkat(target, parent, path.name())?;
            if let Some(owner) = owner {
                let (uid, gid) = ids(owner);
                rustix::fs::chownat(parent, path.name(), uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            times.map_or(Ok(()), |times| utimensat(parent, path.name(), &times, AtFlags::SYMLINK_NOFOLLOW))
        })
        .map_err(|cause| self.failed(path, cause))
    }

    fn in_parent<T>(
        &mut self,
        path: &TreePath,
        make: impl FnOnce(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> rustix::io::Result<T> {
        let Some(parent) = path.parent() else { return make(self.root.as_fd()) };
        if self.parent.as_ref().is_none_or(|(open, _)| *open != parent) {
            let directory = self.open_directory(&parent)?;
            self.parent = Some((parent, directory));
        }
        match &self.parent {
            Some((_, directory)) => make(directory.as_fd()),
            None => make(self.root.as_fd()),
        }
    }

    fn open_directory(&self, path: &TreePath) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve = ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV;
        openat2(&self.root, path.as_bytes(), flags, Mode::empty(), resolve)
    }

    fn set_owner(&self, file: BorrowedFd<'_>, mode: u32) -> rustix::io::Result<()> {
        if let Some(owner) = self.options.owner {
            let (uid, gid) = ids(owner);
            fchown(file, uid, gid)?;
        }
        // After the owner: a change of owner may clear bits of the mode.
        fchmod(file, Mode::from(mode))
    }

    fn set_times(&self, path: &TreePath, file: BorrowedFd<'_>) -> Result<(), MaterialiseError> {
        self.times().map_or(Ok(()), |times| futimens(file, &times)).map_err(|cause| self.failed(path, cause))
    }

    fn times(&self) -> Option<Timestamps> {
        let time = |seconds: Option<i64>| match seconds {
            Some(seconds) => Timespec { tv_sec: seconds, tv_nsec: 0 },
            None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        };
        let MaterialiseOptions { modified, accessed, .. } = *self.options;
        (modified.is_some() || accessed.is_some())
            .then(|| Timestamps { last_access: time(accessed), last_modification: time(modified) })
    }

    fn failed(&self, path: &TreePath, source: impl Into<io::Error>) -> MaterialiseError {
        MaterialiseError::Write {
            path: path.to_string(),
            below: self.below.to_owned(),
            source: source.into(),
        }
    }
}

fn ids(owner: Owner) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
}
