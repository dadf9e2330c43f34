//! What a user brings: a directory, a tar archive, or a tar archive on standard input.
//!
//! A source is hostile until it has been read. [`read`] turns it into a [`FileTree`] of plain directories, files and
//! links that stay inside, and refuses everything else by entry and rule: nothing is skipped, nothing guessed. What
//! the source's own ignore file leaves out is no part of the tree; in a directory it is not even looked at.
//! Reading never writes below a path that the source names; contents are spooled into one unnamed file.
//! [`materialise()`] writes a tree below a directory, for build commands.

mod address;
mod app_dir;
mod archive;
mod commit;
mod compression;
mod digest;
mod directory;
mod error;
mod glance;
mod ignore;
mod left_out;
mod limits;
mod links;
mod materialise;
mod parallel;
mod path;
mod rule;
mod spec;
mod spool;
mod tar;
pub mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use lapstrake_oci::tree::{FileTree, Kind, TreePath};

use crate::cache::Cache;
use crate::checkout::Checkout;

pub use address::{
    AddressError, ArchiveAddress, CodeHost, CodeHostError, CodeHosts, GitAddress, GitPlace, SourceAddress,
};
pub use app_dir::{AppDirError, app_dir, app_path};
pub(crate) use commit::read as read_commit;
pub use compression::Compression;
pub(crate) use compression::stored_limit;
pub use digest::SourceDigest;
pub use error::{Fault, SourceError};
pub use glance::{glance, glance_below};
pub use ignore::{Exhausted, IgnoreError, Reason};
pub(crate) use ignore::{Filter, Rules, Verdict};
pub use left_out::{IGNORE_FILES, LeftOut, ignored};
pub use limits::Limits;
pub use materialise::{MaterialiseError, MaterialiseOptions, Modes, materialise};
pub(crate) use parallel::{in_parallel, in_parallel_by};
pub(crate) use path::in_git;
pub use rule::Rule;
pub use spec::SourceSpec;
pub(crate) use spec::open_archive;

/// A source that has been read.
#[derive(Debug)]
pub struct Source {
    /// Its directories, files and links, owned by root, with modes 0755 and 0644 only.
    pub tree: FileTree,
    /// Files that the ignore file leaves out and that were to be read all the same, itself among them.
    pub aside: FileTree,
    /// What the ignore file left out, when there is one.
    pub left_out: Option<LeftOut>,
    /// The modification times of the source's own files, in seconds since 1970, for tools such as `make`.
    pub times: BTreeMap<TreePath, i64>,
    /// What the source is known by: of an archive the digest of its bytes, of a directory that of its tree, in
    /// which `.git` and times have no part.
    pub digest: SourceDigest,
    /// The newest modification time of a file, `.git` aside; 0 when there is none.
    pub newest_mtime: i64,
    /// The commit that it was taken from, where it is known.
    pub checkout: Option<Checkout>,
    /// What was read.
    pub kind: SourceKind,
    /// What the user should know although it was accepted.
    pub warnings: Vec<Warning>,
}

/// What a source was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A directory of the file system.
    Directory,
    /// A tar archive.
    Archive(Compression),
    /// A commit of a git repository.
    Commit,
}

/// How a source is read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// How much is read at most.
    pub limits: Limits,
    /// What happens to a symbolic link that leads out of the source.
    pub symlinks: SymlinkPolicy,
    /// Whether `.git` is part of the tree.
    pub git: GitPolicy,
    /// Files that are read even when the ignore file leaves them out; they are not part of the tree then.
    pub aside: Vec<TreePath>,
    /// Where it is kept which files were read before; none to read all of them.
    pub stamps: Option<StampsAt>,
    /// The directory in which an archive's contents are spooled, in a file without a name.
    pub scratch: PathBuf,
    /// Who reads an archive.
    pub reader: Reader,
}

/// Who reads archives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reader {
    /// This process.
    #[default]
    Here,
    /// A process that is locked in. For programs that call [`worker::become_if_asked`] first of all.
    Worker,
}

impl ReadOptions {
    /// The defaults: outward links refused, `.git` kept.
    #[must_use]
    pub fn new(scratch: impl Into<PathBuf>) -> Self {
        Self {
            limits: Limits::default(),
            symlinks: SymlinkPolicy::Refuse,
            git: GitPolicy::Keep,
            aside: Vec::new(),
            stamps: None,
            scratch: scratch.into(),
            reader: Reader::Here,
        }
    }
}

/// Where stamps of files are kept, and the time.
#[derive(Clone, Debug)]
pub struct StampsAt {
    /// The cache.
    pub cache: Cache,
    /// Before the first file is read.
    pub now: Timestamp,
}

/// What happens to a symbolic link that is absolute or leads out of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymlinkPolicy {
    /// The source is refused.
    Refuse,
    /// The link is kept as it is, never followed, and reported as a warning.
    KeepDangling,
}

/// Whether `.git` is part of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitPolicy {
    /// Build commands may ask git for a version.
    Keep,
    /// What goes straight into an image carries no history.
    Exclude,
}

/// What was accepted, but should be known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The archive ends without the two zero blocks that mark its end.
    NoEndMarker,
    /// A symbolic link that leads out of the source was kept.
    OutwardLink {
        /// The link.
        path: TreePath,
        /// Its target.
        target: Vec<u8>,
    },
    /// A socket or FIFO inside `.git` (git's own file monitor makes one) was left out.
    GitSocket {
        /// Where it is.
        path: TreePath,
    },
    /// The source looks like a checkout, but the commit is not known.
    NoCommit {
        /// Why not.
        reason: String,
    },
    /// A commit of another repository is not part of the source.
    Submodule {
        /// The directory that it would fill.
        path: TreePath,
    },
    /// Files are pointers of Git LFS, whose content is elsewhere.
    LfsPointers {
        /// The first one.
        first: TreePath,
        /// How many there are.
        count: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndMarker => f.write_str("the archive has no end marker: it may have been cut short"),
            Self::OutwardLink { path, target } => {
                write!(f, "the link `{path}` leads out of the source, to `{}`", path::printable(target))
            }
            Self::Submodule { path } => {
                write!(f, "`{path}` is a submodule, which is not fetched: the directory is empty")
            }
            Self::LfsPointers { first, count: 1 } => {
                write!(f, "`{first}` is a pointer of Git LFS: its content is not fetched")
            }
            Self::LfsPointers { first, count } => {
                write!(
                    f,
                    "{count} files are pointers of Git LFS, `{first}` first: their content is not fetched"
                )
            }
            Self::GitSocket { path } => write!(f, "`{path}` is a socket or FIFO and was left out"),
            Self::NoCommit { reason } => write!(f, "the image does not name its commit: {reason}"),
        }
    }
}

/// Reads a source. Standard input is read only when the source is `-`.
pub fn read(spec: &SourceSpec, stdin: impl Read, options: &ReadOptions) -> Result<Source, SourceError> {
    match spec {
        SourceSpec::Stdin if options.reader == Reader::Worker => worker::read_stream(stdin, "-", options),
        SourceSpec::Stdin => archive::read(stdin, "-", options),
        SourceSpec::Path(path) => match spec::open(path)? {
            spec::Opened::Directory => directory::read(path, options),
            spec::Opened::Archive(file) => read_archive(file, &path.display().to_string(), options),
        },
    }
}

/// Reads an archive from its first byte to its last.
pub(crate) fn read_archive(
    input: impl Read + AsFd,
    name: &str,
    options: &ReadOptions,
) -> Result<Source, SourceError> {
    match options.reader {
        Reader::Here => archive::read(input, name, options),
        Reader::Worker => worker::read(input, name, options),
    }
}

/// Writes a tree below a directory as [`materialise()`] does; by a worker where archives are read by one and the tree
/// comes out of one.
pub(crate) fn write(
    tree: &FileTree,
    below: &Path,
    options: &MaterialiseOptions,
    reader: Reader,
) -> Result<(), MaterialiseError> {
    let written = match reader {
        Reader::Here => None,
        Reader::Worker => worker::write(tree, below, options),
    };
    written.unwrap_or_else(|| materialise(tree, below, options))
}

/// What is done alike for every source once its tree is known.
fn finish(source: &mut Source, options: &ReadOptions) {
    if options.git == GitPolicy::Exclude {
        exclude_git(&mut source.tree);
        source.times.retain(|path, _| !path::in_git(path));
    }
    let files =
        source.tree.iter().filter(|(path, node)| matches!(node.kind, Kind::File(_)) && !path::in_git(path));
    source.newest_mtime = files.filter_map(|(path, _)| source.times.get(path).copied()).max().unwrap_or(0);
}

/// Takes `.git` out of a tree, wherever it is. A file outside that shared its bytes by a hard link keeps them.
pub fn exclude_git(tree: &mut FileTree) {
    let shared: Vec<_> = tree
        .iter()
        .filter_map(|(path, node)| match &node.kind {
            Kind::Hardlink(target) if !path::in_git(path) && path::in_git(target) => {
                Some((path.clone(), tree.get(target)?.clone()))
            }
            _ => None,
        })
        .collect();
    tree.extend(shared);
    tree.retain(|path, _| !path::in_git(path));
}
