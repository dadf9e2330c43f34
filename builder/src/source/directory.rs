//! From a directory of the user's to a tree: looked at, not opened.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use lapstrake_oci::tree::{Content, FileTree, Kind, Node, TreePath};
use walkdir::{DirEntry, WalkDir};

use crate::cache::StampsKeeper;
use crate::checkout::{self, Files};

use super::digest::SourceDigest;
use super::error::SourceError;
use super::ignore::{Filter, Rules, Verdict};
use super::left_out::{IgnoreFile, LeftOut, prune};
use super::links;
use super::path::{entry_path, in_git, printable};
use super::rule::Rule;
use super::{GitPolicy, ReadOptions, Source, SourceKind, Warning};

/// Walks a directory without following links, and digests its files.
pub(super) fn read(root: &Path, options: &ReadOptions) -> Result<Source, SourceError> {
    // A link given as the source is meant; from here on none is followed.
    let root = fs_err::canonicalize(root).map_err(|source| failed(root, source))?;
    let ignore = IgnoreFile::of_directory(&root)?;
    let mut walk = Walk::new(&root, options, ignore.as_ref());
    let entries = WalkDir::new(&root).follow_links(false).follow_root_links(false).min_depth(1);
    let entries = entries.sort_by_file_name().into_iter();
    let git = options.git;
    let mut entries = entries.filter_entry(|entry| git == GitPolicy::Keep || entry.file_name() != ".git");
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|error| {
            let path = error.path().map_or_else(|| root.clone(), Path::to_owned);
            failed(&path, error.into())
        })?;
        if walk.visit(&entry)? == Next::PassOver {
            entries.skip_current_dir();
        }
    }
    walk.finish(ignore.as_ref().map(|ignore| &ignore.rules))
}

/// Finds out which commit the directory is a checkout of. Files of a clean checkout then have the time of the commit:
/// git writes them when it likes.
fn find_commit(root: &Path, rules: Option<&Rules>, source: &mut Source) {
    let files = Files { tree: &source.tree, aside: &source.aside, rules };
    match checkout::of_directory(root, &files) {
        Ok(None) => {}
        Ok(Some(known)) => {
            if let Some(time) = known.checkout.clean_time() {
                let tracked = known.tracked.into_iter().filter(|path| source.tree.get(path).is_some());
                source.times.extend(tracked.map(|path| (path, time)));
            }
            source.checkout = Some(known.checkout);
        }
        Err(cause) => {
            let reason = match std::error::Error::source(&cause) {
                Some(inner) => format!("{cause}: {inner}"),
                None => cause.to_string(),
            };
            source.warnings.push(Warning::NoCommit { reason: printable(reason.as_bytes()) });
        }
    }
}

/// What to do with what is in a directory.
#[derive(PartialEq, Eq)]
enum Next {
    LookInto,
    PassOver,
}

fn failed(path: &Path, source: io::Error) -> SourceError {
    SourceError::Read { path: printable(path.as_os_str().as_bytes()), source }
}

struct Walk<'a> {
    root: &'a Path,
    options: &'a ReadOptions,
    ignore: Option<Ignoring<'a>>,
    /// In the order of a tree, which is made of them at the end.
    nodes: Vec<(TreePath, Node)>,
    aside: FileTree,
    times: Vec<(TreePath, i64)>,
    size: u64,
    warnings: Vec<Warning>,
    stamps: Option<StampsKeeper>,
}

/// An ignore file at work.
struct Ignoring<'a> {
    filter: Filter<'a>,
    left_out: LeftOut,
    /// Directories that stay only when something in them does.
    hollow: BTreeSet<TreePath>,
}

impl<'a> Walk<'a> {
    fn new(root: &'a Path, options: &'a ReadOptions, ignore: Option<&'a IgnoreFile>) -> Self {
        let ignore = ignore.map(|ignore| Ignoring {
            filter: Filter::new(&ignore.rules),
            left_out: LeftOut { file: ignore.name, paths: 0 },
            hollow: BTreeSet::new(),
        });
        let stamps = options.stamps.as_ref();
        let stamps = stamps.map(|at| StampsKeeper::open(at.cache.clone(), root, at.now));
        Self {
            root,
            options,
            ignore,
            nodes: Vec::new(),
            aside: FileTree::new(),
            times: Vec::new(),
            size: 0,
            warnings: Vec::new(),
            stamps,
        }
    }

    fn visit(&mut self, entry: &DirEntry) -> Result<Next, SourceError> {
        match self.verdict(entry)? {
            Verdict::Keep => self.add(entry)?,
            Verdict::LeaveOut if entry.file_type().is_dir() => self.add_hollow(entry)?,
            Verdict::LeaveOut => self.put_aside(entry)?,
            Verdict::LeaveOutWhole => return Ok(Next::PassOver),
        }
        Ok(Next::LookInto)
    }

    fn verdict(&mut self, entry: &DirEntry) -> Result<Verdict, SourceError> {
        let Some(ignore) = &mut self.ignore else { return Ok(Verdict::Keep) };
        let is_directory = entry.file_type().is_dir();
        let relative = entry.path().strip_prefix(self.root).unwrap_or(entry.path());
        let verdict = ignore.filter.verdict(relative.as_os_str().as_bytes(), is_directory);
        let verdict = verdict.map_err(|cause| SourceError::Patterns { file: ignore.left_out.file, cause })?;
        ignore.left_out.paths += usize::from(verdict != Verdict::Keep);
        Ok(verdict)
    }

    /// Adds a directory that is left out, for what in it may stay.
    fn add_hollow(&mut self, entry: &DirEntry) -> Result<(), SourceError> {
        let path = self.path(entry)?;
        self.add(entry)?;
        if let Some(ignore) = &mut self.ignore {
            ignore.left_out.paths -= 1;
            ignore.hollow.insert(path);
        }
        Ok(())
    }

    fn put_aside(&mut self, entry: &DirEntry) -> Result<(), SourceError> {
        let relative = entry.path().strip_prefix(self.root).unwrap_or(entry.path());
        let is_named = |name: &[u8]| relative.as_os_str().as_bytes() == name;
        let is_ignore_file =
            self.ignore.as_ref().is_some_and(|ignore| is_named(ignore.left_out.file.as_bytes()));
        if !is_ignore_file && !self.options.aside.iter().any(|path| is_named(path.as_bytes())) {
            return Ok(());
        }
        let path = self.path(entry)?;
        let metadata = entry.metadata().map_err(|error| failed(entry.path(), error.into()))?;
        if let Some(node) = self.node(entry.path(), &path, &metadata)? {
            self.aside.insert(path, node);
        }
        Ok(())
    }

    fn path(&self, entry: &DirEntry) -> Result<TreePath, SourceError> {
        let relative = entry.path().strip_prefix(self.root).unwrap_or(entry.path());
        entry_path(relative.as_os_str().as_bytes(), &self.options.limits)
            .and_then(|path| path.ok_or(Rule::Path { reason: "it is empty" }))
            .map_err(|rule| SourceError::Directory {
                path: printable(entry.path().as_os_str().as_bytes()),
                rule,
            })
    }

    fn add(&mut self, entry: &DirEntry) -> Result<(), SourceError> {
        let limits = &self.options.limits;
        let path = self.path(entry)?;
        let metadata = entry.metadata().map_err(|error| failed(entry.path(), error.into()))?;
        let Some(node) = self.node(entry.path(), &path, &metadata)? else { return Ok(()) };
        if let Kind::File(content) = &node.kind {
            self.size = self.size.saturating_add(content.len());
            if self.size > limits.expanded {
                return Err(self.whole(Rule::DirectorySize { limit: limits.expanded }));
            }
        }
        self.times.push((path.clone(), metadata.mtime()));
        self.nodes.push((path, node));
        if self.nodes.len() as u64 > limits.entries {
            return Err(self.whole(Rule::Entries { limit: limits.entries }));
        }
        Ok(())
    }

    fn node(&mut self, at: &Path, path: &TreePath, metadata: &Metadata) -> Result<Option<Node>, SourceError> {
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Ok(Some(Node::directory()));
        }
        if kind.is_symlink() {
            let target: PathBuf = std::fs::read_link(at).map_err(|source| failed(at, source))?;
            return Ok(Some(Node::symlink(target.as_os_str().as_bytes())));
        }
        if kind.is_file() {
            let mode = if metadata.mode() & 0o111 != 0 { 0o755 } else { 0o644 };
            let content = Content::path(at, metadata.len());
            if let Some(stamps) = &mut self.stamps {
                stamps.see(path, metadata, &content);
            }
            return Ok(Some(Node::file(content, mode)));
        }
        if in_git(path) && (kind.is_socket() || kind.is_fifo()) {
            self.warnings.push(Warning::GitSocket { path: path.clone() });
            return Ok(None);
        }
        let kind = match () {
            () if kind.is_socket() => "socket",
            () if kind.is_fifo() => "FIFO",
            () if kind.is_block_device() => "block device",
            () => "character device",
        };
        Err(SourceError::Directory { path: printable(at.as_os_str().as_bytes()), rule: Rule::Type { kind } })
    }

    fn whole(&self, rule: Rule) -> SourceError {
        SourceError::Directory { path: printable(self.root.as_os_str().as_bytes()), rule }
    }

    fn finish(mut self, rules: Option<&Rules>) -> Result<Source, SourceError> {
        let mut tree = FileTree::from_iter(std::mem::take(&mut self.nodes));
        let mut times = BTreeMap::from_iter(std::mem::take(&mut self.times));
        let left_out = self.ignore.take().map(|ignore| {
            let emptied = prune(&mut tree, &ignore.hollow);
            times.retain(|path, _| tree.get(path).is_some());
            LeftOut { paths: ignore.left_out.paths + emptied, ..ignore.left_out }
        });
        self.check_links(&tree)?;
        let digest = SourceDigest::of_tree(&tree, self.stamps.take());
        let mut source = Source {
            tree,
            aside: self.aside,
            left_out,
            times,
            digest,
            newest_mtime: 0,
            checkout: None,
            kind: SourceKind::Directory,
            warnings: self.warnings,
        };
        find_commit(self.root, rules, &mut source);
        super::finish(&mut source, self.options);
        Ok(source)
    }

    fn check_links(&mut self, tree: &FileTree) -> Result<(), SourceError> {
        let kept = links::check(tree, self.options.symlinks).map_err(|(link, rule)| match link {
            Some(link) => {
                SourceError::Directory { path: printable(link.below(self.root).as_os_str().as_bytes()), rule }
            }
            None => self.whole(rule),
        })?;
        self.warnings.extend(kept);
        Ok(())
    }
}
