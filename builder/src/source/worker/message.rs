//! What is said to a worker and by it, and the check of what it says.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;

use lapstrake_oci::tree::{Content, ContentDigest, FileTree, Kind, Node, Owner, Place, TreePath};
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

use super::super::compression::Compression;
use super::super::error::Fault;
use super::super::left_out::{IGNORE_FILES, LeftOut};
use super::super::limits::Limits;
use super::super::links::Outward;
use super::super::materialise::{MaterialiseOptions, Modes};
use super::super::path::entry_path;
use super::super::{GitPolicy, ReadOptions, Source, SourceKind, SymlinkPolicy, Warning};
use super::{MOST_FILES, WorkerError, is_given};

/// What a worker is to do, with the descriptors that come along.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Job {
    /// Read the archive of the first descriptor, with its contents into the second.
    Read { name: String, limits: Limits, keeps_outward_links: bool, excludes_git: bool, aside: Vec<Vec<u8>> },
    /// Write a tree below the first descriptor; the others hold the contents.
    Write { tree: TreeToWrite, options: WriteOptions },
}

impl Job {
    pub(super) fn read(name: &str, options: &ReadOptions) -> Self {
        Self::Read {
            name: name.to_owned(),
            limits: options.limits,
            keeps_outward_links: options.symlinks == SymlinkPolicy::KeepDangling,
            excludes_git: options.git == GitPolicy::Exclude,
            aside: options.aside.iter().map(|path| path.as_bytes().to_vec()).collect(),
        }
    }

    /// The name of the archive, and how it is read.
    pub(super) fn read_options(&self) -> Option<(String, ReadOptions)> {
        let Self::Read { name, limits, keeps_outward_links, excludes_git, aside } = self else {
            return None;
        };
        let symlinks = if *keeps_outward_links { SymlinkPolicy::KeepDangling } else { SymlinkPolicy::Refuse };
        let git = if *excludes_git { GitPolicy::Exclude } else { GitPolicy::Keep };
        let aside = aside.iter().map(TreePath::new).collect::<Result<_, _>>().ok()?;
        // Nothing is opened by a path, so that no scratch directory is needed.
        let options = ReadOptions { limits: *limits, symlinks, git, aside, ..ReadOptions::new("") };
        Some((name.clone(), options))
    }
}

/// What a worker says in the end.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The archive was read.
    Source(Box<Told>),
    /// It is refused, with the whole message.
    Refused { text: String, fault: ToldFault },
    /// It could not be read to its end.
    Read { path: String, error: ToldError },
    /// The contents could not be written.
    Spool { error: ToldError },
    /// The tree was written.
    Written,
    /// It was not, because of this path.
    Unwritten { path: String, text: String, error: Option<ToldError> },
    /// The worker could not lock itself in, and has done nothing.
    Unconfined(String),
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum ToldFault {
    NotUnderstood,
    Refused,
    Machine,
    Unconfined,
}

impl From<Fault> for ToldFault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotUnderstood => Self::NotUnderstood,
            Fault::Refused => Self::Refused,
            Fault::Machine => Self::Machine,
            Fault::Unconfined => Self::Unconfined,
        }
    }
}

impl From<ToldFault> for Fault {
    fn from(fault: ToldFault) -> Self {
        match fault {
            ToldFault::NotUnderstood => Self::NotUnderstood,
            ToldFault::Refused => Self::Refused,
            ToldFault::Machine => Self::Machine,
            ToldFault::Unconfined => Self::Unconfined,
        }
    }
}

/// An error of the kernel's, or the words of another one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ToldError {
    number: Option<i32>,
    text: String,
}

impl From<io::Error> for ToldError {
    fn from(error: io::Error) -> Self {
        Self { number: error.raw_os_error(), text: error.to_string() }
    }
}

impl From<ToldError> for io::Error {
    fn from(error: ToldError) -> Self {
        error.number.map_or_else(|| Self::other(error.text), Self::from_raw_os_error)
    }
}

/// A source that was read. Contents are ranges of the unnamed file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    tree: Vec<ToldNode>,
    aside: Vec<ToldNode>,
    /// The number of the ignore file, and how many paths it left out.
    left_out: Option<(usize, usize)>,
    times: Vec<(Vec<u8>, i64)>,
    digest: String,
    newest_mtime: i64,
    compression: u8,
    has_end_marker: bool,
    outward: Vec<Vec<u8>>,
}

/// A path, and what it is.
#[derive(Debug, Serialize, Deserialize)]
struct ToldNode {
    path: Vec<u8>,
    mode: u32,
    kind: ToldKind,
}

#[derive(Debug, Serialize, Deserialize)]
enum ToldKind {
    Directory,
    File(Range),
    Symlink(Vec<u8>),
    Hardlink(Vec<u8>),
}

/// A part of one of the files that a message is about.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Range {
    file: usize,
    offset: u64,
    len: u64,
    digest: Option<[u8; 32]>,
}

const COMPRESSIONS: [Compression; 4] =
    [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Xz];

impl Told {
    /// What is said of a source; why it cannot be said otherwise.
    pub(super) fn of(source: &Source) -> Result<Self, String> {
        let SourceKind::Archive(compression) = source.kind else { return Err("it is no archive".to_owned()) };
        let mut outward = Vec::new();
        let mut has_end_marker = true;
        for warning in &source.warnings {
            match warning {
                Warning::NoEndMarker => has_end_marker = false,
                Warning::OutwardLink { path, .. } => outward.push(path.as_bytes().to_vec()),
                other => return Err(format!("a warning of no archive: {other}")),
            }
        }
        let left_out = source.left_out.map(|left_out| {
            let number = IGNORE_FILES.iter().position(|name| *name == left_out.file).unwrap_or_default();
            (number, left_out.paths)
        });
        let digest = source.digest.get().map_err(|error| error.to_string())?;
        let compression = COMPRESSIONS.iter().position(|known| *known == compression).unwrap_or_default();
        Ok(Self {
            tree: nodes(&source.tree, &mut Vec::new()).ok_or("a content is elsewhere")?,
            aside: nodes(&source.aside, &mut Vec::new()).ok_or("a content is elsewhere")?,
            left_out,
            times: source.times.iter().map(|(path, time)| (path.as_bytes().to_vec(), *time)).collect(),
            digest: digest.to_string(),
            newest_mtime: source.newest_mtime,
            compression: u8::try_from(compression).unwrap_or_default(),
            has_end_marker,
            outward,
        })
    }

    /// The source, once it is certain that it is one that the rules permit.
    pub(super) fn into_source(self, spool: Arc<File>, options: &ReadOptions) -> Result<Source, WorkerError> {
        let nonsense = |text: &str| WorkerError::Nonsense(text.to_owned());
        let size = spool
            .metadata()
            .map_err(|source| WorkerError::Io { action: "measure what a worker wrote", source })?
            .len();
        let files = [spool];
        let check =
            |nodes: Vec<ToldNode>| tree(nodes, &files, size, &options.limits).map_err(WorkerError::Nonsense);
        let (tree, aside) = (check(self.tree)?, check(self.aside)?);
        let digest: Digest = self.digest.parse().map_err(|_| nonsense("a digest that is none"))?;
        let compression = COMPRESSIONS.get(usize::from(self.compression));
        let mut warnings = if self.has_end_marker { Vec::new() } else { vec![Warning::NoEndMarker] };
        for path in self.outward {
            let path = TreePath::new(path).map_err(|error| nonsense(&error.to_string()))?;
            let target = match tree.get(&path).map(|node| &node.kind) {
                Some(Kind::Symlink(target)) => target.clone(),
                _ => return Err(nonsense("an outward link that is no link")),
            };
            warnings.push(Warning::OutwardLink { path, target });
        }
        if options.symlinks == SymlinkPolicy::Refuse && leads_out(&tree) {
            return Err(nonsense("a link that leads out of the source"));
        }
        let left_out = self.left_out.map(|(number, paths)| {
            let file = IGNORE_FILES.get(number).copied();
            file.map(|file| LeftOut { file, paths }).ok_or_else(|| nonsense("an ignore file that is none"))
        });
        let times = self.times.into_iter().filter_map(|(path, time)| Some((TreePath::new(path).ok()?, time)));
        let times: BTreeMap<TreePath, i64> = times.collect();
        Ok(Source {
            tree,
            aside,
            left_out: left_out.transpose()?,
            times,
            digest: digest.into(),
            newest_mtime: self.newest_mtime,
            checkout: None,
            kind: SourceKind::Archive(*compression.ok_or_else(|| nonsense("an unknown compression"))?),
            warnings,
        })
    }
}

fn leads_out(tree: &FileTree) -> bool {
    let mut outward = Outward::new(tree);
    tree.iter()
        .any(|(path, node)| matches!(node.kind, Kind::Symlink(_)) && !matches!(outward.find(path), Ok(None)))
}

/// The nodes of a tree, and the files that hold their contents; none when one is not in an open file.
fn nodes(tree: &FileTree, files: &mut Vec<Arc<File>>) -> Option<Vec<ToldNode>> {
    let node = |(path, node): (&TreePath, &Node)| {
        let kind = match &node.kind {
            Kind::Directory => ToldKind::Directory,
            Kind::File(content) => ToldKind::File(range(content, files)?),
            Kind::Symlink(target) => ToldKind::Symlink(target.clone()),
            Kind::Hardlink(target) => ToldKind::Hardlink(target.as_bytes().to_vec()),
            Kind::Whiteout => return None,
        };
        Some(ToldNode { path: path.as_bytes().to_vec(), mode: node.mode, kind })
    };
    tree.iter().map(node).collect()
}

fn range(content: &Content, files: &mut Vec<Arc<File>>) -> Option<Range> {
    let digest = content.known_digest().map(|digest| digest.0);
    let Place::Range { file, offset, len } = content.place() else { return None };
    let known = files.iter().position(|known| Arc::ptr_eq(known, file));
    let number = known.unwrap_or_else(|| {
        files.push(Arc::clone(file));
        files.len() - 1
    });
    Some(Range { file: number, offset: *offset, len: *len, digest })
}

/// The tree of nodes that somebody else named, held to the rules for archives; what is wrong with it otherwise.
fn tree(nodes: Vec<ToldNode>, files: &[Arc<File>], size: u64, limits: &Limits) -> Result<FileTree, String> {
    if nodes.len() as u64 > limits.entries.saturating_mul(2) {
        return Err("more paths than an archive may have".to_owned());
    }
    let mut tree = FileTree::new();
    let mut last: Option<TreePath> = None;
    for node in nodes {
        let path = entry_path(&node.path, limits).map_err(|rule| rule.to_string())?;
        let path = path.ok_or("a path that is the root")?;
        if last.is_some_and(|last| last >= path) {
            return Err("paths out of order".to_owned());
        }
        last = Some(path.clone());
        let parent = path.parent().map(|parent| tree.get(&parent).map(|node| &node.kind));
        if !matches!(parent, None | Some(None | Some(Kind::Directory))) {
            return Err("a path below something that is no directory".to_owned());
        }
        let kind = match node.kind {
            ToldKind::Directory => Kind::Directory,
            ToldKind::File(range) => Kind::File(content(range, files, size)?),
            ToldKind::Symlink(target) => Kind::Symlink(target),
            ToldKind::Hardlink(target) => {
                Kind::Hardlink(TreePath::new(target).map_err(|error| error.to_string())?)
            }
        };
        let mode = match (&kind, node.mode) {
            (Kind::Directory, 0o755) | (Kind::Symlink(_), _) | (_, 0o644 | 0o755) => node.mode,
            _ => return Err(format!("mode {:o}", node.mode)),
        };
        tree.insert(path, Node { kind, mode, owner: Owner::default() });
    }
    let is_file = |path: &TreePath| tree.get(path).is_some_and(|node| matches!(node.kind, Kind::File(_)));
    for (_, node) in tree.iter() {
        if let Kind::Hardlink(target) = &node.kind
            && !is_file(target)
        {
            return Err("a hard link to what is no file".to_owned());
        }
    }
    Ok(tree)
}

fn content(range: Range, files: &[Arc<File>], size: u64) -> Result<Content, String> {
    let file = files.get(range.file).ok_or("a file that was not passed")?;
    if range.offset.checked_add(range.len).is_none_or(|end| end > size) {
        return Err("bytes beyond the end of a file".to_owned());
    }
    let content = Content::range(Arc::clone(file), range.offset, range.len);
    if let Some(digest) = range.digest {
        content.know_digest(ContentDigest(digest));
    }
    Ok(content)
}

/// A tree whose contents are in open files.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TreeToWrite(Vec<ToldNode>);

impl TreeToWrite {
    /// The tree as it is said to a worker, and the files to pass along; none when a worker could not be given them.
    pub(super) fn new(tree: &FileTree) -> Option<(Self, Vec<Arc<File>>)> {
        if !is_given(tree) {
            return None;
        }
        let mut files = Vec::new();
        let nodes = nodes(tree, &mut files)?;
        (!files.is_empty() && files.len() <= MOST_FILES).then_some((Self(nodes), files))
    }

    /// The worker's side. What comes from its own program needs no check.
    pub(super) fn into_tree(self, files: &[Arc<File>]) -> Result<FileTree, String> {
        let mut tree = FileTree::new();
        for node in self.0 {
            let path = TreePath::new(&node.path).map_err(|error| error.to_string())?;
            let kind = match node.kind {
                ToldKind::Directory => Kind::Directory,
                ToldKind::File(range) => Kind::File(content(range, files, u64::MAX)?),
                ToldKind::Symlink(target) => Kind::Symlink(target),
                ToldKind::Hardlink(target) => {
                    Kind::Hardlink(TreePath::new(target).map_err(|error| error.to_string())?)
                }
            };
            tree.insert(path, Node { kind, mode: node.mode, owner: Owner::default() });
        }
        Ok(tree)
    }
}

/// How a tree is written.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct WriteOptions {
    owner: Option<(u32, u32)>,
    modified: Option<i64>,
    accessed: Option<i64>,
    has_modes_of_tree: bool,
}

impl From<MaterialiseOptions> for WriteOptions {
    fn from(options: MaterialiseOptions) -> Self {
        Self {
            owner: options.owner.map(|owner| (owner.uid, owner.gid)),
            modified: options.modified,
            accessed: options.accessed,
            has_modes_of_tree: options.modes == Modes::OfTree,
        }
    }
}

impl From<WriteOptions> for MaterialiseOptions {
    fn from(options: WriteOptions) -> Self {
        Self {
            owner: options.owner.map(|(uid, gid)| Owner { uid, gid }),
            modified: options.modified,
            accessed: options.accessed,
            modes: if options.has_modes_of_tree { Modes::OfTree } else { Modes::Usual },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(path: &str, kind: ToldKind) -> ToldNode {
        let mode = if matches!(kind, ToldKind::Directory) { 0o755 } else { 0o644 };
        ToldNode { path: path.into(), mode, kind }
    }

    fn file(offset: u64, len: u64) -> ToldKind {
        ToldKind::File(Range { file: 0, offset, len, digest: None })
    }

    fn checked(nodes: Vec<ToldNode>) -> Result<FileTree, String> {
        let spool = Arc::new(tempfile::tempfile().unwrap());
        tree(nodes, &[spool], 100, &Limits::default())
    }

    #[test]
    fn what_a_reader_may_find_is_taken() {
        let told = vec![
            node("a", ToldKind::Directory),
            node("a/file", file(0, 100)),
            node("a/link", ToldKind::Hardlink("a/file".into())),
            node("soft", ToldKind::Symlink("a".into())),
        ];
        assert_eq!(checked(told).unwrap().len(), 4);
    }

    #[test]
    fn what_no_reader_can_have_found_is_refused() {
        let directory = || node("a", ToldKind::Directory);
        let mut open = node("a", file(0, 1));
        open.mode = 0o4755;
        let cases = [
            ("leaves", vec![node("../x", file(0, 1))]),
            ("absolute", vec![node("/etc/passwd", file(0, 1))]),
            ("whiteout", vec![directory(), node("a/.wh.b", file(0, 1))]),
            ("beyond", vec![node("a", file(90, 11))]),
            ("overflow", vec![node("a", file(u64::MAX, 2))]),
            ("twice", vec![directory(), directory()]),
            ("order", vec![node("b", file(0, 1)), directory()]),
            ("below a link", vec![node("a", ToldKind::Symlink("/".into())), node("a/b", file(0, 1))]),
            ("hard link to a directory", vec![directory(), node("b", ToldKind::Hardlink("a".into()))]),
            ("hard link to nothing", vec![node("b", ToldKind::Hardlink("../../etc/shadow".into()))]),
            ("setuid", vec![open]),
            (
                "another file",
                vec![node("a", ToldKind::File(Range { file: 1, offset: 0, len: 0, digest: None }))],
            ),
        ];
        for (name, told) in cases {
            assert!(checked(told).is_err(), "{name}");
        }
    }
}
