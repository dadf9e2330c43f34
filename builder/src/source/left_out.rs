//! How the ignore file of a source is found, and what becomes of the paths that it leaves out.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use lapstrake_oci::tree::{FileTree, Kind, Node, TreePath};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

use super::ReadOptions;
use super::error::SourceError;
use super::ignore::{Filter, Rules, Verdict};
use super::path::printable;

/// The names of ignore files; the first that is there counts alone.
pub const IGNORE_FILES: [&str; 2] = [".lapstrakeignore", ".dockerignore"];
/// The largest ignore file that is read.
const LIMIT: u64 = 1 << 20;

/// What an ignore file left out of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The name of the ignore file.
    pub file: &'static str,
    /// How many paths; a directory that went with everything in it counts once.
    pub paths: usize,
}

/// The ignore file of a source.
#[derive(Debug)]
pub(super) struct IgnoreFile {
    pub(super) name: &'static str,
    pub(super) rules: Rules,
}

impl IgnoreFile {
    /// The one of a directory.
    pub(super) fn of_directory(root: &Path) -> Result<Option<Self>, SourceError> {
        for name in IGNORE_FILES {
            let failed = |source: io::Error| SourceError::Read {
                path: printable(root.join(name).as_os_str().as_encoded_bytes()),
                source,
            };
            let flags =
                OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
            let file = match openat(CWD, root.join(name), flags, Mode::empty()) {
                Ok(file) => file,
                Err(rustix::io::Errno::NOENT) => continue,
                Err(rustix::io::Errno::LOOP) => return Err(not_read(name, "it is a symbolic link")),
                Err(cause) => return Err(failed(cause.into())),
            };
            let status = fstat(&file).map_err(|cause| failed(cause.into()))?;
            if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
                return Err(not_read(name, "it is not a regular file"));
            }
            return Self::read(name, File::from(file)).map(Some);
        }
        Ok(None)
    }

    /// The one of a tree.
    pub(super) fn of_tree(tree: &FileTree) -> Result<Option<Self>, SourceError> {
        for name in IGNORE_FILES {
            let node = TreePath::new(name).ok().and_then(|path| tree.get(&path));
            let content = match node.map(|node| &node.kind) {
                None => continue,
                Some(Kind::File(content)) => Some(content),
                Some(Kind::Hardlink(target)) => match tree.get(target).map(|node| &node.kind) {
                    Some(Kind::File(content)) => Some(content),
                    _ => None,
                },
                Some(Kind::Symlink(_)) => return Err(not_read(name, "it is a symbolic link")),
                Some(_) => None,
            };
            let content = content.ok_or_else(|| not_read(name, "it is not a regular file"))?;
            let opened =
                content.open().map_err(|source| SourceError::Read { path: name.to_owned(), source })?;
            return Self::read(name, opened).map(Some);
        }
        Ok(None)
    }

    fn read(name: &'static str, file: impl Read) -> Result<Self, SourceError> {
        let mut bytes = Vec::new();
        file.take(LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| SourceError::Read { path: name.to_owned(), source })?;
        if bytes.len() as u64 > LIMIT {
            return Err(not_read(name, "it has more than 1 MiB"));
        }
        let rules = Rules::parse(&bytes).map_err(|cause| SourceError::Ignore { file: name, cause })?;
        Ok(Self { name, rules })
    }
}

fn not_read(file: &'static str, reason: &'static str) -> SourceError {
    SourceError::IgnoreFile { file, reason }
}

/// What is left of a tree.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) tree: FileTree,
    pub(super) aside: FileTree,
    pub(super) left_out: Option<LeftOut>,
}

/// Takes out of a tree that has been read what its ignore file leaves out. What is read all the same is put aside.
pub(super) fn leave_out(tree: FileTree, options: &ReadOptions) -> Result<Kept, SourceError> {
    let Some(ignore) = IgnoreFile::of_tree(&tree)? else { return Ok(Kept { tree, ..Kept::default() }) };
    let gone = gone(&tree, &ignore)?;
    let (mut tree, left_out) = tree.partition(|path, _| !gone.paths.contains(path));
    let emptied = prune(&mut tree, &gone.hollow);
    let mut aside = FileTree::new();
    for path in options.aside.iter().chain(&TreePath::new(ignore.name)) {
        if let Some(node) = whole_file(&left_out, path) {
            aside.insert(path.clone(), node.clone());
        }
    }
    let left_out = Some(LeftOut { file: ignore.name, paths: gone.count + emptied });
    Ok(Kept { tree, aside, left_out })
}

/// A tree without what its ignore file leaves out, but with one file all the same.
pub(super) fn without(tree: FileTree, all_the_same: &TreePath) -> Result<FileTree, SourceError> {
    let Some(ignore) = IgnoreFile::of_tree(&tree)? else { return Ok(tree) };
    let gone = gone(&tree, &ignore)?;
    let (mut kept, _) = tree.partition(|path, _| path == all_the_same || !gone.paths.contains(path));
    prune(&mut kept, &gone.hollow);
    Ok(kept)
}

/// Which of some files an ignore file keeps out of a source, wherever they are.
pub fn ignored<'p>(
    file: &'static str,
    patterns: &[u8],
    paths: impl IntoIterator<Item = &'p TreePath>,
) -> Result<BTreeSet<TreePath>, SourceError> {
    let ignore = IgnoreFile::read(file, patterns)?;
    let mut filter = Filter::new(&ignore.rules);
    let mut found = BTreeSet::new();
    for path in paths {
        let bytes = path.as_bytes();
        let above = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut steps = above.map(|(end, _)| (&bytes[..end], true)).chain([(bytes, false)]);
        let out = steps.try_fold(false, |out, (step, is_directory)| {
            let verdict = filter.verdict(step, is_directory)?;
            let whole = out || verdict == Verdict::LeaveOutWhole;
            Ok(whole || (!is_directory && verdict == Verdict::LeaveOut))
        });
        if out.map_err(|cause| SourceError::Patterns { file, cause })? {
            found.insert(path.clone());
        }
    }
    Ok(found)
}

/// A file, under whichever of its names it is stored.
fn whole_file<'t>(tree: &'t FileTree, path: &TreePath) -> Option<&'t Node> {
    let node = tree.get(path)?;
    match &node.kind {
        Kind::Hardlink(target) => tree.get(target),
        _ => Some(node),
    }
}

#[derive(Default)]
struct Gone {
    paths: BTreeSet<TreePath>,
    /// Directories that stay only when something in them does.
    hollow: BTreeSet<TreePath>,
    count: usize,
}

fn gone(tree: &FileTree, ignore: &IgnoreFile) -> Result<Gone, SourceError> {
    let mut filter = Filter::new(&ignore.rules);
    let mut gone = Gone::default();
    let mut whole: Option<&TreePath> = None;
    for (path, node) in tree.iter() {
        if whole.is_some_and(|whole| path.is_within(whole)) {
            gone.paths.insert(path.clone());
            continue;
        }
        let is_directory = matches!(node.kind, Kind::Directory);
        let verdict = filter.verdict(path.as_bytes(), is_directory);
        match verdict.map_err(|cause| SourceError::Patterns { file: ignore.name, cause })? {
            Verdict::Keep => continue,
            Verdict::LeaveOut if is_directory => {
                gone.hollow.insert(path.clone());
                continue;
            }
            Verdict::LeaveOut => {}
            Verdict::LeaveOutWhole => whole = Some(path),
        }
        gone.paths.insert(path.clone());
        gone.count += 1;
    }
    Ok(gone)
}

/// Takes out the hollow directories in which nothing stays, and says how many there were.
pub(super) fn prune(tree: &mut FileTree, hollow: &BTreeSet<TreePath>) -> usize {
    if hollow.is_empty() {
        return 0;
    }
    let paths: Vec<TreePath> = tree.iter().map(|(path, _)| path.clone()).collect();
    let mut below: Option<&TreePath> = None;
    let mut emptied = 0;
    for path in paths.iter().rev() {
        if hollow.contains(path) && !below.is_some_and(|below| below.is_within(path)) {
            tree.remove(path);
            emptied += 1;
        } else {
            below = Some(path);
        }
    }
    emptied
}

#[cfg(test)]
mod tests;
