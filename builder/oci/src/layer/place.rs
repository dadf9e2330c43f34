//! A directory that a layer is unpacked into, and the system calls that do it.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, XattrFlags, chownat, fchmod, fchown,
    fsetxattr, futimens, linkat, mkdirat, mknodat, openat, openat2, statat, symlinkat, utimensat,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::remove::{entries, remove_at};
use crate::tree::{Owner, TreePath};

/// How the directories of a path are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolve {
    /// None of them may be a link.
    Plain,
    /// Links are followed, with the root as `/` and as the end of `..`.
    InRoot,
}

pub(super) struct Place {
    root: Rc<OwnedFd>,
    resolve: Resolve,
    /// Who owns what is made.
    owner: Option<Owner>,
    /// The last directory, for entries come directory by directory.
    last: Option<(TreePath, Rc<OwnedFd>)>,
}

/// How a directory that is no link is opened.
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

type Done = Result<(), Errno>;

impl Place {
    pub(super) fn open(dest: &Path, resolve: Resolve, owner: Option<Owner>) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = Rc::new(rustix::fs::open(dest, flags, Mode::empty())?);
        Ok(Self { root, resolve, owner, last: None })
    }

    pub(super) fn is_empty(&self) -> Result<bool, Errno> {
        Ok(entries(self.root.as_fd())?.is_empty())
    }

    /// Deletes everything, as far as that is possible.
    pub(super) fn clear(&mut self) {
        self.last = None;
        for (name, _) in entries(self.root.as_fd()).unwrap_or_default() {
            let _ = remove_at(self.root.as_fd(), &name);
        }
    }

    fn open_below(&self, path: &TreePath, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = match self.resolve {
            Resolve::Plain => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
            Resolve::InRoot => ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV,
        };
        let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(&self.root, path.as_bytes(), flags, Mode::empty(), resolve)
    }

    /// The directory that holds a path; it is made, with mode 0755, if the layer did not mention it.
    fn parent(&mut self, path: &TreePath) -> Result<Rc<OwnedFd>, Errno> {
        let Some(parent) = path.parent() else { return Ok(self.root.clone()) };
        if let Some((last, fd)) = &self.last
            && *last == parent
        {
            return Ok(fd.clone());
        }
        // Not by recursion, for a path may have two thousand components.
        let mut missing = Vec::new();
        let mut nearest = Some(parent.clone());
        let mut fd = loop {
            let Some(path) = nearest else { break self.root.clone() };
            match self.open_below(&path, OFlags::PATH) {
                Err(Errno::NOENT) => nearest = path.parent(),
                opened => break Rc::new(opened?),
            }
            missing.push(path);
        };
        for path in missing.iter().rev() {
            mkdirat(&fd, path.name(), Mode::RWXU)?;
            let made = openat(&fd, path.name(), DIRECTORY, Mode::empty())?;
            self.give(&made)?;
            fchmod(&made, Mode::from_raw_mode(0o755))?;
            fd = Rc::new(made);
        }
        self.last = Some((parent, fd.clone()));
        Ok(fd)
    }

    fn kind(&mut self, path: &TreePath) -> Result<Option<FileType>, Errno> {
        let parent = self.parent(path)?;
        match statat(&parent, path.name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(FileType::from_raw_mode(found.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    pub(super) fn exists(&mut self, path: &TreePath) -> Result<bool, Errno> {
        Ok(self.kind(path)?.is_some())
    }

    pub(super) fn has_directory(&mut self, path: &TreePath) -> Result<bool, Errno> {
        Ok(self.kind(path)? == Some(FileType::Directory))
    }

    /// Deletes a path, if it is there. A directory above it that is missing is not made.
    pub(super) fn remove(&mut self, path: &TreePath) -> Done {
        let parent = match path.parent() {
            Some(parent) => match self.open_below(&parent, OFlags::PATH) {
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
                opened => Rc::new(opened?),
            },
            None => self.root.clone(),
        };
        self.last = None;
        remove_at(parent.as_fd(), path.name())
    }

    /// A directory of the tree, or the root; none if there is no such directory.
    pub(super) fn open_directory(&self, path: Option<&TreePath>) -> Result<Option<OwnedFd>, Errno> {
        let Some(path) = path else { return Ok(Some(self.root.try_clone().map_err(|_| Errno::MFILE)?)) };
        match self.open_below(path, OFlags::RDONLY) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    /// Makes a directory, or gives the one that is there the mode. Its owner can always use it, for otherwise an
    /// unprivileged overlay could neither read it nor delete it again.
    pub(super) fn directory(&mut self, path: &TreePath, mode: u32) -> Done {
        let parent = self.parent(path)?;
        match mkdirat(&parent, path.name(), Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(cause) => return Err(cause),
        }
        let fd = Rc::new(openat(&parent, path.name(), DIRECTORY, Mode::empty())?);
        self.give(&fd)?;
        fchmod(&fd, Mode::from_raw_mode(mode & 0o1777 | 0o700))?;
        self.last = Some((path.clone(), fd));
        Ok(())
    }

    /// Makes an empty file that only we can use so far.
    pub(super) fn file(&mut self, path: &TreePath) -> Result<File, Errno> {
        let parent = self.parent(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(&parent, path.name(), flags, Mode::RUSR | Mode::WUSR)?))
    }

    /// Gives a file that has been written its owner, mode and time. Setuid and setgid bits are left out: in a
    /// directory of the caller they would lend out the caller's own rights.
    pub(super) fn finish_file(&self, file: &File, mode: u32, mtime: i64) -> Done {
        self.give(file)?;
        fchmod(file, Mode::from_raw_mode(mode & 0o777))?;
        futimens(file, &times(mtime))
    }

    pub(super) fn symlink(&mut self, path: &TreePath, target: &[u8], mtime: i64) -> Done {
        let parent = self.parent(path)?;
        symlinkat(target, &parent, path.name())?;
        if let Some(owner) = self.owner {
            let (uid, gid) = ids(owner);
            chownat(&parent, path.name(), uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        utimensat(&parent, path.name(), &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
    }

    pub(super) fn hardlink(&mut self, path: &TreePath, target: &TreePath) -> Done {
        let from = match target.parent() {
            Some(parent) => Rc::new(self.open_below(&parent, OFlags::PATH)?),
            None => self.root.clone(),
        };
        let parent = self.parent(path)?;
        // Without AT_SYMLINK_FOLLOW a link is linked itself.
        linkat(&from, target.name(), &parent, path.name(), AtFlags::empty())
    }

    /// What overlayfs takes for a whiteout.
    pub(super) fn overlay_whiteout(&mut self, path: &TreePath) -> Done {
        let parent = self.parent(path)?;
        mknodat(&parent, path.name(), FileType::CharacterDevice, Mode::empty(), 0)
    }

    /// Marks a directory so that overlayfs shows nothing of lower layers in it.
    pub(super) fn overlay_opaque(&mut self, path: Option<&TreePath>) -> Done {
        let Some(path) = path else { return fsetxattr(&self.root, OPAQUE, b"y", XattrFlags::empty()) };
        if !self.has_directory(path)? {
            self.directory(path, 0o755)?;
        }
        fsetxattr(self.open_below(path, OFlags::RDONLY)?, OPAQUE, b"y", XattrFlags::empty())
    }

    fn give(&self, fd: impl AsFd) -> Done {
        let Some(owner) = self.owner else { return Ok(()) };
        let (uid, gid) = ids(owner);
        fchown(fd, uid, gid)
    }

    pub(super) fn set_directory_time(&self, path: &TreePath, mtime: i64) -> Done {
        futimens(self.open_below(path, OFlags::RDONLY)?, &times(mtime))
    }
}

/// The mark of an opaque directory in an overlay that is mounted with `userxattr`.
const OPAQUE: &str = "user.overlay.opaque";

fn ids(owner: Owner) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
}

fn times(mtime: i64) -> Timestamps {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
