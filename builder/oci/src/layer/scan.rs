//! Directory on disk -> file tree, for a directory that hostile commands wrote.
//!
//! Nothing but directories is opened: a pipe cannot block, a device does nothing. Directories are opened one at a
//! time and below the root without links, so neither depth nor a descriptor limit stops the scan.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, openat2, readlinkat, statat};
use rustix::io::Errno;

use super::entry::WHITEOUT;
use super::marks::Marks;
use super::remove::entries;
use crate::tree::{Content, FileTree, Kind, Node, Owner, TreePath, printable};

/// Longer paths are refused: hardly any program could use them, and a tree of them fills memory.
const PATH_LIMIT: usize = 3072;

/// What becomes of permission bits. Setuid and setgid bits are never kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModePolicy {
    /// Directories become 0755, files 0755 if their owner may execute them and 0644 otherwise: the umask of
    /// whoever wrote them does not show.
    Normalise,
    /// Permission bits stay, and the sticky bit of directories.
    Keep,
}

/// What a tree may hold at most.
#[derive(Clone, Copy, Debug)]
pub struct ScanLimits {
    /// Paths.
    pub entries: u64,
    /// Bytes of all files, as long as they claim to be: a sparse file counts in full.
    pub bytes: u64,
}

impl Default for ScanLimits {
    fn default() -> Self {
        // As much as build commands may write: a sparse file takes no room, but the layer would have to be read.
        Self { entries: 1_000_000, bytes: 10 << 30 }
    }
}

/// How a directory becomes a tree.
pub struct ScanOptions<'a> {
    /// Who owns everything in the tree, whoever owns it on disk.
    pub owner: Owner,
    /// What becomes of permission bits.
    pub modes: ModePolicy,
    /// Paths that are left out, with everything below them.
    pub skip: &'a dyn Fn(&TreePath) -> bool,
    /// What the tree may hold at most.
    pub limits: ScanLimits,
}

impl ScanOptions<'_> {
    /// Everything, with normalised modes and one owner.
    #[must_use]
    pub fn new(owner: Owner) -> Self {
        Self { owner, modes: ModePolicy::Normalise, skip: &|_| false, limits: ScanLimits::default() }
    }
}

/// Something on disk that is not in the tree, because a layer has no place for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Where it is.
    pub path: TreePath,
    /// What it is: `socket`, `named pipe`, `device`.
    pub what: &'static str,
}

/// A scanned directory. The tree does not hold the directory itself.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The tree; its files are read from disk when they are packed.
    pub tree: FileTree,
    /// What was left out.
    pub dropped: Vec<Dropped>,
    /// Directories of an overlay's upper layer that hide everything which lower layers have in them. The root,
    /// which has no path, cannot be one.
    pub opaque: BTreeSet<TreePath>,
}

/// Why a directory cannot be scanned.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Something cannot be read.
    #[error("`{}` cannot be read", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Something has no place in a layer and must not be left out silently.
    #[error("`{path}` is refused: {reason}")]
    Refused {
        /// The path below the directory, made printable and cut where it is long.
        path: String,
        /// The rule.
        reason: &'static str,
    },
    /// There is more than a limit.
    #[error("`{}` holds more than {limit} {what}", dir.display())]
    Limit {
        /// The directory.
        dir: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

/// Scans a directory.
pub fn scan(dir: &Path, options: &ScanOptions<'_>) -> Result<Scan, ScanError> {
    Scanner::new(dir, options, Source::Plain)?.run()
}

/// Scans the upper directory of an overlay that was mounted with `userxattr`: what overlayfs wrote there as
/// deletions becomes whiteouts and opaque directories. The caller knows the lower layers, and keeps a whiteout only
/// for what they have.
pub fn scan_upper(dir: &Path, options: &ScanOptions<'_>) -> Result<Scan, ScanError> {
    Scanner::new(dir, options, Source::Upper)?.run()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Plain,
    Upper,
}

struct Scanner<'a> {
    dir: &'a Path,
    root: OwnedFd,
    options: &'a ScanOptions<'a>,
    source: Source,
    scan: Scan,
    entries: u64,
    bytes: u64,
    /// Files with several names, by device and inode.
    linked: BTreeMap<(u64, u64), Vec<TreePath>>,
}

impl<'a> Scanner<'a> {
    fn new(dir: &'a Path, options: &'a ScanOptions<'a>, source: Source) -> Result<Self, ScanError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(dir, flags, Mode::empty())
            .map_err(|cause| ScanError::Read { path: dir.to_owned(), source: cause.into() })?;
        let (scan, linked) = (Scan::default(), BTreeMap::new());
        Ok(Self { dir, root, options, source, scan, entries: 0, bytes: 0, linked })
    }

    fn run(mut self) -> Result<Scan, ScanError> {
        let mut waiting = vec![None];
        while let Some(directory) = waiting.pop() {
            self.directory(directory.as_ref(), &mut waiting)?;
        }
        self.join_links();
        self.scan.dropped.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(self.scan)
    }

    fn directory(
        &mut self,
        directory: Option<&TreePath>,
        waiting: &mut Vec<Option<TreePath>>,
    ) -> Result<(), ScanError> {
        let on_disk = directory.map_or_else(|| self.dir.to_owned(), |path| path.below(self.dir));
        let unreadable = |cause: Errno| ScanError::Read { path: on_disk.clone(), source: cause.into() };
        let opened = match directory {
            None => openat2(&self.root, ".", FLAGS, Mode::empty(), RESOLVE),
            Some(path) => openat2(&self.root, path.as_bytes(), FLAGS, Mode::empty(), RESOLVE),
        };
        let fd = opened.map_err(unreadable)?;
        let marks = self.marks(&on_disk)?;
        if let Some(reason) = marks.refused() {
            return Err(refused(directory.map_or(b".", TreePath::as_bytes), reason));
        }
        if marks.opaque
            && let Some(path) = directory
        {
            self.scan.opaque.insert(path.clone());
        }
        for (name, _) in entries(fd.as_fd()).map_err(unreadable)? {
            let path = join(directory, &name)?;
            if (self.options.skip)(&path) {
                continue;
            }
            self.count(1, 0)?;
            if self.entry(&fd, &path)? == FileType::Directory {
                waiting.push(Some(path));
            }
        }
        Ok(())
    }

    fn entry(&mut self, dir: &OwnedFd, path: &TreePath) -> Result<FileType, ScanError> {
        let unreadable = |cause: Errno| ScanError::Read { path: path.below(self.dir), source: cause.into() };
        let stat = statat(dir, path.name(), AtFlags::SYMLINK_NOFOLLOW).map_err(unreadable)?;
        let file_type = FileType::from_raw_mode(stat.st_mode);
        let kind = match file_type {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => {
                let target = readlinkat(dir, path.name(), Vec::new()).map_err(unreadable)?;
                Kind::Symlink(target.into_bytes())
            }
            FileType::RegularFile => self.file(path, &stat)?,
            FileType::CharacterDevice if self.source == Source::Upper && stat.st_rdev == 0 => Kind::Whiteout,
            FileType::CharacterDevice | FileType::BlockDevice => {
                return Ok(self.drop(path, "device", file_type));
            }
            FileType::Fifo => return Ok(self.drop(path, "named pipe", file_type)),
            _ => return Ok(self.drop(path, "socket", file_type)),
        };
        let mode = self.mode(file_type, stat.st_mode);
        self.scan.tree.insert(path.clone(), Node { kind, mode, owner: self.options.owner });
        Ok(file_type)
    }

    fn file(&mut self, path: &TreePath, stat: &Stat) -> Result<Kind, ScanError> {
        let on_disk = path.below(self.dir);
        let marks = self.marks(&on_disk)?;
        if let Some(reason) = marks.refused() {
            return Err(refused(path.as_bytes(), reason));
        }
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        if marks.whiteout && len == 0 {
            return Ok(Kind::Whiteout);
        }
        // Names of one file count once, for so they are stored.
        let names = self.linked.entry((stat.st_dev, stat.st_ino));
        let first = match names {
            _ if stat.st_nlink < 2 => true,
            std::collections::btree_map::Entry::Vacant(names) => {
                names.insert(vec![path.clone()]);
                true
            }
            std::collections::btree_map::Entry::Occupied(mut names) => {
                names.get_mut().push(path.clone());
                false
            }
        };
        if first {
            self.count(0, len)?;
        }
        Ok(Kind::File(Content::path(on_disk, len)))
    }

    fn marks(&self, on_disk: &Path) -> Result<Marks, ScanError> {
        match self.source {
            Source::Plain => Ok(Marks::default()),
            Source::Upper => Marks::read(on_disk)
                .map_err(|cause| ScanError::Read { path: on_disk.to_owned(), source: cause.into() }),
        }
    }

    fn mode(&self, file_type: FileType, mode: u32) -> u32 {
        match (self.options.modes, file_type) {
            (_, FileType::Symlink) => 0o777,
            (ModePolicy::Keep, FileType::Directory) => mode & 0o1777,
            (ModePolicy::Keep, _) => mode & 0o777,
            (ModePolicy::Normalise, FileType::Directory) => 0o755,
            (ModePolicy::Normalise, _) if mode & 0o100 != 0 => 0o755,
            (ModePolicy::Normalise, _) => 0o644,
        }
    }

    fn drop(&mut self, path: &TreePath, what: &'static str, file_type: FileType) -> FileType {
        self.scan.dropped.push(Dropped { path: path.clone(), what });
        file_type
    }

    fn count(&mut self, entries: u64, bytes: u64) -> Result<(), ScanError> {
        let limits = self.options.limits;
        let limit = |what, limit| ScanError::Limit { dir: self.dir.to_owned(), what, limit };
        self.entries += entries;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.entries > limits.entries {
            return Err(limit("paths", limits.entries));
        }
        if self.bytes > limits.bytes {
            return Err(limit("bytes", limits.bytes));
        }
        Ok(())
    }

    /// The first name of a file holds it, the others are links to that. Which is first must not depend on the order
    /// in which the directories were read.
    fn join_links(&mut self) {
        for names in std::mem::take(&mut self.linked).into_values() {
            let Some(first) = names.iter().min().cloned() else { continue };
            for other in names.into_iter().filter(|name| *name != first) {
                if let Some(node) = self.scan.tree.get_mut(&other) {
                    node.kind = Kind::Hardlink(first.clone());
                }
            }
        }
    }
}

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

fn join(directory: Option<&TreePath>, name: &[u8]) -> Result<TreePath, ScanError> {
    let whole = |directory: Option<&TreePath>| match directory {
        Some(directory) => [directory.as_bytes(), b"/", name].concat(),
        None => name.to_vec(),
    };
    if name.starts_with(WHITEOUT) {
        return Err(refused(&whole(directory), "names that begin with `.wh.` mean deletions in a layer"));
    }
    let bytes = whole(directory);
    if bytes.len() > PATH_LIMIT {
        return Err(refused(&bytes, "its path is longer than 3072 bytes"));
    }
    TreePath::new(&bytes).map_err(|error| refused(&bytes, error.reason))
}

fn refused(path: &[u8], reason: &'static str) -> ScanError {
    let shown = &path[..path.len().min(200)];
    let rest = if shown.len() < path.len() { "…" } else { "" };
    ScanError::Refused { path: printable(shown) + rest, reason }
}

#[cfg(test)]
mod tests;
