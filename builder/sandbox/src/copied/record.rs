//! What steps have changed in a copy of the layers, recorded as an overlay would have.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, linkat, mkdirat, mknodat, openat2, renameat,
    statat, unlinkat,
};
use rustix::io::Errno;

use super::{Mark, Marks, OWN, is_within, mark, marks_file};
use crate::spec::Spec;

/// Two trees that are compared: the copy, which hostile commands wrote, and the changes so far.
struct Record<'a> {
    copy: OwnedFd,
    upper: OwnedFd,
    marks: &'a Marks,
    ours: &'a [Vec<u8>],
    /// Paths that the copy has.
    seen: BTreeSet<Vec<u8>>,
}

/// Records in `upper` what differs from the layers; `ours` are the places of mounts.
pub(super) fn record(spec: &Spec, ours: &[Vec<u8>]) -> io::Result<()> {
    let pairs: Vec<(Vec<u8>, Mark)> =
        serde_json::from_reader(io::BufReader::new(fs::File::open(marks_file(spec))?))?;
    let marks: Marks = pairs.into_iter().collect();
    let open = |path: &Path| rustix::fs::open(path, DIRECTORY, Mode::empty());
    let mut record = Record {
        copy: open(&spec.root.copy())?,
        upper: open(&spec.root.upper())?,
        marks: &marks,
        ours,
        seen: BTreeSet::new(),
    };
    record.changes()?;
    record.ends()
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

impl Record<'_> {
    /// Walks the copy one directory at a time and below its root, and gives what has changed a name in `upper`.
    fn changes(&mut self) -> io::Result<()> {
        let mut open: Vec<Vec<u8>> = vec![Vec::new()];
        while let Some(below) = open.pop() {
            let directory = open_below(&self.copy, &below)?;
            for name in names(&directory)? {
                let path = join(&below, &name);
                if self.is_ours(&path) {
                    continue;
                }
                let found = statat(&directory, OsStr::from_bytes(&name), AtFlags::SYMLINK_NOFOLLOW)?;
                let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
                let before = self.marks.get(&path);
                if before.is_none_or(|before| mark(&found, before.is_lower) != *before) {
                    self.change(&directory, &name, &path, &found)?;
                }
                self.seen.insert(path.clone());
                if is_directory {
                    open.push(path);
                }
            }
        }
        Ok(())
    }

    /// The places of mounts, and what the mode itself made.
    fn is_ours(&self, path: &[u8]) -> bool {
        OWN.iter().any(|own| own.as_bytes() == path) || self.ours.iter().any(|ours| ours == path)
    }

    fn change(&self, directory: &OwnedFd, name: &[u8], path: &[u8], found: &Stat) -> io::Result<()> {
        let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        let (parent, own_name) = self.parent(path)?;
        let there = statat(&parent, own_name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let is_same = there.as_ref().is_some_and(|there| {
            if is_directory {
                FileType::from_raw_mode(there.st_mode) == FileType::Directory
            } else {
                there.st_ino == found.st_ino
            }
        });
        if !is_same {
            if there.is_some() {
                remove_below(&parent, own_name)?;
            }
            if is_directory {
                mkdirat(&parent, own_name, Mode::from_raw_mode(0o755))?;
            } else {
                linkat(directory, OsStr::from_bytes(name), &parent, own_name, AtFlags::empty())?;
            }
        }
        if is_directory {
            let mode = Mode::from_raw_mode(found.st_mode & 0o7777);
            rustix::fs::chmodat(&parent, own_name, mode, AtFlags::empty())?;
        }
        Ok(())
    }

    /// The directory of `upper` in which a path has its name; made, with the modes of the copy, where it is missing.
    fn parent<'p>(&self, path: &'p [u8]) -> io::Result<(OwnedFd, &'p OsStr)> {
        let (parent, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&b""[..], path),
        };
        let mut made = Vec::new();
        for part in parent.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
            let above = open_below(&self.upper, &made)?;
            made = join(&made, part);
            let part = OsStr::from_bytes(part);
            match statat(&above, part, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(there) if FileType::from_raw_mode(there.st_mode) == FileType::Directory => continue,
                Ok(_) => remove_below(&above, part)?,
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
            mkdirat(&above, part, Mode::from_raw_mode(0o755))?;
        }
        Ok((open_below(&self.upper, &made)?, OsStr::from_bytes(name)))
    }

    /// Records what is gone: whiteouts for what a layer has, nothing at all for what none has.
    fn ends(&self) -> io::Result<()> {
        let mut gone: Vec<&[u8]> = Vec::new();
        for (path, before) in self.marks {
            let is_covered = gone.last().is_some_and(|above| is_within(path, above));
            if self.seen.contains(path) || is_covered || self.is_within_ours(path) {
                continue;
            }
            let (parent, name) = self.parent(path)?;
            if statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                remove_below(&parent, name)?;
            }
            if before.is_lower {
                mknodat(&parent, name, FileType::CharacterDevice, Mode::empty(), 0)?;
            }
            gone.push(path);
        }
        self.forget()
    }

    fn is_within_ours(&self, path: &[u8]) -> bool {
        OWN.iter().any(|own| is_within(path, own.as_bytes()))
            || self.ours.iter().any(|ours| is_within(path, ours))
    }

    /// Removes from `upper` what earlier steps made and later ones removed.
    fn forget(&self) -> io::Result<()> {
        let mut open: Vec<Vec<u8>> = vec![Vec::new()];
        while let Some(below) = open.pop() {
            let directory = open_below(&self.upper, &below)?;
            for name in names(&directory)? {
                let path = join(&below, &name);
                let found = statat(&directory, OsStr::from_bytes(&name), AtFlags::SYMLINK_NOFOLLOW)?;
                let kind = FileType::from_raw_mode(found.st_mode);
                let is_whiteout = kind == FileType::CharacterDevice && found.st_rdev == 0;
                if self.seen.contains(&path) {
                    if kind == FileType::Directory {
                        open.push(path);
                    }
                } else if !is_whiteout || !self.marks.contains_key(&path) {
                    remove_below(&directory, OsStr::from_bytes(&name))?;
                }
            }
        }
        Ok(())
    }
}

fn open_below(root: &OwnedFd, path: &[u8]) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    Ok(openat2(root, OsStr::from_bytes(path), DIRECTORY, Mode::empty(), BENEATH)?)
}

fn names(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// Removes a file, or a directory with all that is in it, without following anything. Directories are moved up before they
/// are emptied, so that neither depth nor the length of a path stops it, and modes are set aside.
pub(super) fn remove_below(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    let all = Mode::from_raw_mode(0o700);
    let mut waiting = vec![name.to_owned()];
    let mut moved: u64 = 0;
    while let Some(next) = waiting.pop() {
        // It is a directory, so that nothing is followed; where it is somebody else's the next call says so.
        let _ = rustix::fs::chmodat(parent, &next, all, AtFlags::empty());
        let directory = openat2(parent, &next, DIRECTORY, Mode::empty(), BENEATH)?;
        for inner in names(&directory)? {
            let inner = OsStr::from_bytes(&inner);
            match unlinkat(&directory, inner, AtFlags::empty()) {
                Ok(()) => {}
                Err(Errno::ISDIR | Errno::PERM) => {
                    let up = OsString::from(format!(".lapstrake-removed-{}-{moved}", std::process::id()));
                    moved += 1;
                    let _ = rustix::fs::chmodat(&directory, inner, all, AtFlags::empty());
                    renameat(&directory, inner, parent, &up)?;
                    waiting.push(up);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        unlinkat(parent, &next, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_tree_of_any_depth_and_modes_is_removed() {
        let ground = tempfile::tempdir().unwrap();
        let open = |path: &Path| rustix::fs::open(path, DIRECTORY, Mode::empty()).unwrap();
        let mut at = open(ground.path());
        for _ in 0..6000 {
            mkdirat(&at, "d", Mode::from_raw_mode(0o700)).unwrap();
            at = openat2(&at, "d", DIRECTORY, Mode::empty(), BENEATH).unwrap();
        }
        drop(at);
        fs::create_dir_all(ground.path().join("d/closed/inner")).unwrap();
        fs::write(ground.path().join("d/closed/inner/file"), "x").unwrap();
        std::os::unix::fs::symlink("/", ground.path().join("d/link")).unwrap();
        for path in ["d/closed/inner", "d/closed"] {
            fs::set_permissions(ground.path().join(path), fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove_below(&open(ground.path()), OsStr::new("d")).unwrap();
        assert_eq!(fs::read_dir(ground.path()).unwrap().count(), 0);
        assert!(Path::new("/etc").exists());
    }
}
