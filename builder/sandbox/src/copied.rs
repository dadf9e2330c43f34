//! A root directory without mounts: the layers copied on top of each other, for where no overlay can be had.
//!
//! [`Copied::lay_out`] makes the copy, or goes on with the one of an earlier run on the same scratch directory, and
//! moves writable sources into it. Dropping the value moves them back. [`Copied::settle`] then writes what has changed
//! into `upper`, in the form that an overlay would have given it: new and changed files as second names of those in the
//! copy, and whiteouts.

mod record;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Stat, Timespec, Timestamps, lgetxattr, mknodat, renameat, statat, utimensat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::SandboxError;
use crate::owner;
use crate::spec::{Mount, MountKind, Spec};

/// The names by which steps open their output anew. Where no `/proc` leads to it, they are the pipes themselves.
const STREAMS: [&str; 2] = ["stdout", "stderr"];

/// Directories of the copy that are not part of the layers' root: what is in them is never a change.
const OWN: [&str; 4] = ["dev", "proc", "run", "tmp"];

/// What a path of the copy was when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    inode: u64,
    changed: (i64, i64),
    /// Whether a read-only layer has the path, so that its end must be recorded.
    is_lower: bool,
}

/// The paths of a copy, relative to its root, as bytes.
type Marks = BTreeMap<Vec<u8>, Mark>;

/// A copy that is ready for steps.
pub(crate) struct Copied<'spec> {
    spec: &'spec Spec,
    /// What was moved into the copy: where it came from, and where it is now.
    moved: Vec<(PathBuf, PathBuf)>,
    /// What was copied there to be read only, and the directories that were made for either.
    placed: Vec<PathBuf>,
    made: Vec<PathBuf>,
}

impl Drop for Copied<'_> {
    fn drop(&mut self) {
        for (source, place) in self.moved.drain(..).rev() {
            let moved = renameat(CWD, &place, CWD, &source);
            if moved == Err(Errno::ACCESS) {
                // Steps may have taken from the directory what its owner needs to move it.
                let _ = fs::set_permissions(&place, fs::Permissions::from_mode(0o755));
                // Where it fails, the caller finds nothing at the source and says so.
                let _ = renameat(CWD, &place, CWD, &source);
            }
        }
        // What cannot be removed shows as a change.
        for place in self.placed.iter().chain([&self.spec.root.copy().join("run")]) {
            let _ = remove(place);
        }
        for directory in self.made.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
    }
}

impl<'spec> Copied<'spec> {
    /// Makes the copy unless it is there, and moves into it what the steps may change.
    pub(crate) fn lay_out(spec: &'spec Spec) -> Result<Self, SandboxError> {
        let root = spec.root.copy();
        if !marks_file(spec).exists() {
            remove(&root).map_err(SandboxError::io("remove an unfinished copy of the root"))?;
            let marks = make(spec).map_err(SandboxError::io("copy the layers of the root"))?;
            let text = serde_json::to_vec(&marks.into_iter().collect::<Vec<_>>()).map_err(io::Error::other);
            text.and_then(|text| fs::write(marks_file(spec), text))
                .map_err(SandboxError::io("write down the copy of the root"))?;
        }
        let mut copied = Self { spec, moved: Vec::new(), placed: Vec::new(), made: Vec::new() };
        remove(&root.join("run")).map_err(SandboxError::io("empty `/run`"))?;
        for name in OWN {
            let made = owner::make_directory(&root.join(name), 0o755, spec.build_uid);
            made.map_err(SandboxError::io(format!("make `/{name}`")))?;
        }
        copied.bring(&spec.root.temporary(), Path::new("/tmp"))?;
        for mount in &spec.mounts {
            copied.mount(mount)?;
        }
        for file in &spec.files {
            copied.file(&file.target, &file.content)?;
        }
        Ok(copied)
    }

    fn mount(&mut self, mount: &Mount) -> Result<(), SandboxError> {
        match &mount.kind {
            MountKind::Writable => self.bring(&mount.source, &mount.target),
            MountKind::ReadOnly => {
                let place = self.place(&mount.target)?;
                self.placed.push(place.clone());
                copy_anything(&mount.source, &place).map_err(failed(&mount.target))
            }
            MountKind::Overlay { scratch } => {
                let view = scratch.join("copy");
                remove(&view).map_err(failed(&mount.target))?;
                fs::create_dir_all(scratch)
                    .and_then(|()| copy_anything(&mount.source, &view))
                    .and_then(|()| owner::give_tree(&view, self.spec.build_uid))
                    .map_err(failed(&mount.target))?;
                self.bring(&view, &mount.target)
            }
        }
    }

    /// Moves a file or directory to a path inside, from where it goes back in the end.
    fn bring(&mut self, source: &Path, target: &Path) -> Result<(), SandboxError> {
        let place = self.place(target)?;
        renameat(CWD, source, CWD, &place).map_err(|errno| failed(target)(errno.into()))?;
        self.moved.push((source.to_owned(), place));
        Ok(())
    }

    /// A place in the copy for something to be put on. Links of the layers are not followed: nobody would see where
    /// they lead.
    fn place(&mut self, target: &Path) -> Result<PathBuf, SandboxError> {
        let root = self.spec.root.copy();
        let relative = target.strip_prefix("/").unwrap_or(target);
        let place = root.join(relative);
        let parent = relative.parent().unwrap_or(Path::new(""));
        let mut at = root;
        for name in parent {
            at.push(name);
            match fs::symlink_metadata(&at) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Err(failed(target)(io::ErrorKind::NotADirectory.into())),
                Err(_) => {
                    owner::make_directory(&at, 0o755, self.spec.build_uid).map_err(failed(target))?;
                    self.made.push(at.clone());
                }
            }
        }
        match fs::symlink_metadata(&place) {
            // A mount covers what is there; this takes it away, and it is never a change.
            Ok(_) => remove(&place).map_err(failed(target))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(target)(error)),
        }
        Ok(place)
    }

    /// Writes a file that only the user of the steps may read. In this mode it lies on the disk of the scratch directory
    /// for as long as the steps run.
    fn file(&mut self, target: &Path, content: &[u8]) -> Result<(), SandboxError> {
        if !target.starts_with("/run") {
            return Err(SandboxError::Setup {
                what: target.display().to_string(),
                reason: "only `/run` has files of memory".to_owned(),
            });
        }
        let place = self.place(target)?;
        fs::write(&place, content)
            .and_then(|()| fs::set_permissions(&place, fs::Permissions::from_mode(0o400)))
            .and_then(|()| owner::give(&place, self.spec.build_uid))
            .map_err(failed(target))
    }

    /// Makes the pipes behind `/dev/stdout` and `/dev/stderr`; anyone inside may write to them and nobody else read.
    pub(crate) fn streams(&self) -> Result<[PathBuf; 2], SandboxError> {
        let dev = self.spec.root.copy().join("dev");
        let places = STREAMS.map(|name| dev.join(name));
        for place in &places {
            remove(place)
                .and_then(|()| Ok(mknodat(CWD, place, FileType::Fifo, Mode::empty(), 0)?))
                .and_then(|()| fs::set_permissions(place, fs::Permissions::from_mode(0o622)))
                .map_err(SandboxError::io("make the pipes of the output"))?;
        }
        Ok(places)
    }

    /// Takes back what was moved in, and records in `upper` what differs from the layers.
    pub(crate) fn settle(self) -> Result<(), SandboxError> {
        let spec = self.spec;
        drop(self);
        let ours: Vec<Vec<u8>> = spec
            .mounts
            .iter()
            .map(|mount| mount.target.strip_prefix("/").unwrap_or(&mount.target))
            .map(|target| target.as_os_str().as_bytes().to_vec())
            .collect();
        record::record(spec, &ours).map_err(SandboxError::io("find out what the steps have changed"))
    }
}

fn failed(target: &Path) -> impl FnOnce(io::Error) -> SandboxError {
    let what = target.display().to_string();
    move |error| SandboxError::Setup { what, reason: error.to_string() }
}

fn marks_file(spec: &Spec) -> PathBuf {
    spec.root.scratch.join("marks")
}

/// Copies all layers, the lowest first, and what is in `upper` last.
fn make(spec: &Spec) -> io::Result<Marks> {
    let root = spec.root.copy();
    owner::make_directory(&root, 0o755, spec.build_uid)?;
    let mut is_lower = BTreeMap::new();
    for (layer, below) in
        spec.root.lower.iter().rev().map(|layer| (layer.clone(), true)).chain([(spec.root.upper(), false)])
    {
        Layer { root: &root, from: &layer, is_lower: below, uid: spec.build_uid }.copy(&mut is_lower)?;
    }
    let mut marks = Marks::new();
    for (path, is_lower) in is_lower {
        let Ok(found) = statat(CWD, root.join(OsStr::from_bytes(&path)), AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        marks.insert(path, mark(&found, is_lower));
    }
    // A change within the same tick of the file system's clock would not show.
    thread::sleep(std::time::Duration::from_millis(12));
    Ok(marks)
}

fn mark(found: &Stat, is_lower: bool) -> Mark {
    #[expect(clippy::useless_conversion, reason = "the types differ from one architecture to another")]
    let changed = (i64::from(found.st_ctime), i64::try_from(found.st_ctime_nsec).unwrap_or_default());
    Mark { inode: found.st_ino, changed, is_lower }
}

/// One layer on its way into the copy.
struct Layer<'a> {
    root: &'a Path,
    from: &'a Path,
    is_lower: bool,
    uid: u32,
}

impl Layer<'_> {
    /// Layers are this program's own, so their paths are walked as they are.
    fn copy(&self, known: &mut BTreeMap<Vec<u8>, bool>) -> io::Result<()> {
        let mut open = vec![PathBuf::new()];
        let (mut directories, mut leaves) = (Vec::new(), Vec::new());
        while let Some(below) = open.pop() {
            for entry in fs::read_dir(self.from.join(&below))? {
                let entry = entry?;
                let path = below.join(entry.file_name());
                let (from, to) = (entry.path(), self.root.join(&path));
                let found = fs::symlink_metadata(&from)?;
                if is_whiteout(&from, &found)? {
                    remove(&to)?;
                    forget(known, path.as_os_str().as_bytes(), self.is_lower);
                    continue;
                }
                if found.is_dir() {
                    self.directory(&from, &to, &found)?;
                } else {
                    leaves.push((from.clone(), to.clone(), found.clone()));
                }
                let before = known.get(path.as_os_str().as_bytes()).copied().unwrap_or(false);
                known.insert(path.as_os_str().as_bytes().to_vec(), self.is_lower || before);
                if found.is_dir() {
                    open.push(path.clone());
                    directories.push((from, to));
                }
            }
        }
        self.leaves(&leaves)?;
        // What was put into a directory has changed its time.
        directories.iter().try_for_each(|(from, to)| keep_time(&fs::symlink_metadata(from)?, to))
    }

    fn directory(&self, from: &Path, to: &Path, found: &fs::Metadata) -> io::Result<()> {
        let is_opaque = attribute(from, "user.overlay.opaque")?.as_deref() == Some(b"y");
        let is_there = fs::symlink_metadata(to).is_ok_and(|there| there.is_dir());
        if is_opaque || !is_there {
            remove(to)?;
            fs::create_dir(to)?;
        }
        fs::set_permissions(to, found.permissions())?;
        owner::give(to, self.uid)
    }

    /// Copies files and links, on several processors: their directories are there.
    fn leaves(&self, leaves: &[(PathBuf, PathBuf, fs::Metadata)]) -> io::Result<()> {
        let workers = thread::available_parallelism().map_or(1, usize::from).min(8);
        let each = leaves.len().div_ceil(workers).max(1);
        let copy = |(from, to, found): &(PathBuf, PathBuf, fs::Metadata)| {
            remove(to)?;
            copy_leaf(from, to, found)?;
            owner::give(to, self.uid)
        };
        thread::scope(|scope| {
            let parts: Vec<_> =
                leaves.chunks(each).map(|part| scope.spawn(|| part.iter().try_for_each(copy))).collect();
            let ended = parts.into_iter().map(|part| part.join().unwrap_or(Err(io::ErrorKind::Other.into())));
            ended.collect()
        })
    }
}

/// What is below a path is gone from the layers so far; what a lower layer had must still be recorded as gone.
fn forget(known: &mut BTreeMap<Vec<u8>, bool>, path: &[u8], is_lower: bool) {
    if is_lower {
        let gone: Vec<Vec<u8>> = known
            .range(path.to_vec()..)
            .map(|(known, _)| known.clone())
            .take_while(|known| is_within(known, path))
            .collect();
        for path in gone {
            known.remove(&path);
        }
    }
}

fn is_within(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

fn is_whiteout(path: &Path, found: &fs::Metadata) -> io::Result<bool> {
    let kind = FileType::from_raw_mode(found.mode());
    Ok(kind == FileType::CharacterDevice && found.rdev() == 0
        || kind == FileType::RegularFile
            && found.len() == 0
            && attribute(path, "user.overlay.whiteout")?.is_some())
}

fn attribute(path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut value = [0; 16];
    match lgetxattr(path, name, &mut value) {
        Ok(length) => Ok(Some(value[..length].to_vec())),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Copies a file or link with its mode and time. Layers hold nothing else.
fn copy_leaf(from: &Path, to: &Path, found: &fs::Metadata) -> io::Result<()> {
    if found.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
    } else if found.is_file() {
        fs::copy(from, to)?;
    } else {
        return Err(io::Error::other(format!("`{}` is neither a file nor a directory", from.display())));
    }
    keep_time(found, to)
}

fn keep_time(found: &fs::Metadata, to: &Path) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: found.atime(), tv_nsec: found.atime_nsec() },
        last_modification: Timespec { tv_sec: found.mtime(), tv_nsec: found.mtime_nsec() },
    };
    Ok(utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Copies a file, or a directory with all that is in it.
fn copy_anything(from: &Path, to: &Path) -> io::Result<()> {
    let mut open = vec![(from.to_owned(), to.to_owned())];
    let mut directories = Vec::new();
    while let Some((from, to)) = open.pop() {
        let found = fs::symlink_metadata(&from)?;
        if !found.is_dir() {
            match FileType::from_raw_mode(found.mode()) {
                FileType::RegularFile | FileType::Symlink => copy_leaf(&from, &to, &found)?,
                // What else a command may have made is of no use to another one.
                _ => {}
            }
            continue;
        }
        fs::create_dir(&to)?;
        for entry in fs::read_dir(&from)? {
            let name = entry?.file_name();
            open.push((from.join(&name), to.join(name)));
        }
        directories.push((found, to));
    }
    for (found, to) in directories.iter().rev() {
        fs::set_permissions(to, found.permissions())?;
        keep_time(found, to)?;
    }
    Ok(())
}

/// Removes whatever is at a path, and whatever steps have put into it.
fn remove(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    match fs::File::open(parent) {
        Ok(parent) => record::remove_below(&parent.into(), name),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
