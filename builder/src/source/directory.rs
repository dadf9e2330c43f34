//! From a directory of the user's to a tree: looked at, not opened.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use lapstrake_oci::tree::{Content, FileTree, Kind, Node, TreePath};
use walkdir::{DirEntry, WalkDir};

use super::digest::tree_digest;
use super::error::SourceError;
use super::links::{Escape, Outward};
use super::path::{entry_path, in_git, printable};
use super::rule::Rule;
use super::{GitPolicy, ReadOptions, Source, SourceKind, SymlinkPolicy, Warning};

/// Walks a directory without following links, and digests its files.
pub(super) fn read(root: &Path, options: &ReadOptions) -> Result<Source, SourceError> {
    // A link given as the source is meant; from here on none is followed.
    let root = fs_err::canonicalize(root).map_err(|source| failed(root, source))?;
    let mut walk = Walk::new(&root, options);
    let entries = WalkDir::new(&root).follow_links(false).follow_root_links(false).min_depth(1).into_iter();
    let git = options.git;
    for entry in entries.filter_entry(|entry| git == GitPolicy::Keep || entry.file_name() != ".git") {
        let entry = entry.map_err(|error| {
            let path = error.path().map_or_else(|| root.clone(), Path::to_owned);
            failed(&path, error.into())
        })?;
        walk.visit(&entry)?;
    }
    walk.finish()
}

fn failed(path: &Path, source: io::Error) -> SourceError {
    SourceError::Read { path: printable(path.as_os_str().as_bytes()), source }
}

struct Walk<'a> {
    root: &'a Path,
    options: &'a ReadOptions,
    tree: FileTree,
    times: BTreeMap<TreePath, i64>,
    size: u64,
    warnings: Vec<Warning>,
}

impl<'a> Walk<'a> {
    fn new(root: &'a Path, options: &'a ReadOptions) -> Self {
        let (tree, times) = (FileTree::new(), BTreeMap::new());
        Self { root, options, tree, times, size: 0, warnings: Vec::new() }
    }

    fn visit(&mut self, entry: &DirEntry) -> Result<(), SourceError> {
        let limits = &self.options.limits;
        let refused =
            |rule| SourceError::Directory { path: printable(entry.path().as_os_str().as_bytes()), rule };
        let relative = entry.path().strip_prefix(self.root).unwrap_or(entry.path());
        let path = entry_path(relative.as_os_str().as_bytes(), limits)
            .and_then(|path| path.ok_or(Rule::Path { reason: "it is empty" }))
            .map_err(refused)?;
        let metadata = entry.metadata().map_err(|error| failed(entry.path(), error.into()))?;
        let Some(node) = self.node(entry.path(), &path, &metadata)? else { return Ok(()) };
        if let Kind::File(content) = &node.kind {
            self.size = self.size.saturating_add(content.len());
            if self.size > limits.expanded {
                return Err(self.whole(Rule::DirectorySize { limit: limits.expanded }));
            }
        }
        self.times.insert(path.clone(), metadata.mtime());
        self.tree.insert(path, node);
        if self.tree.len() as u64 > limits.entries {
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
            return Ok(Some(Node::file(Content::Path { path: at.to_owned(), len: metadata.len() }, mode)));
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

    fn finish(mut self) -> Result<Source, SourceError> {
        self.check_links()?;
        let digest =
            tree_digest(&self.tree).map_err(|error| failed(&error.path.below(self.root), error.source))?;
        let mut source = Source {
            tree: self.tree,
            times: self.times,
            digest,
            newest_mtime: 0,
            checkout: None,
            kind: SourceKind::Directory,
            warnings: self.warnings,
        };
        super::finish(&mut source, self.options);
        Ok(source)
    }

    fn check_links(&mut self) -> Result<(), SourceError> {
        let mut outward = Outward::new(&self.tree);
        for (path, _) in self.tree.iter() {
            match outward.find(path) {
                Ok(None) => {}
                Ok(Some(Escape { target })) if self.options.symlinks == SymlinkPolicy::KeepDangling => {
                    self.warnings.push(Warning::OutwardLink { path: path.clone(), target });
                }
                Ok(Some(Escape { target })) => {
                    return Err(SourceError::Directory {
                        path: printable(path.below(self.root).as_os_str().as_bytes()),
                        rule: Rule::OutwardLink { target: printable(&target) },
                    });
                }
                Err(rule) => return Err(self.whole(rule)),
            }
        }
        Ok(())
    }
}
