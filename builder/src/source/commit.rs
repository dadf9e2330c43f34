//! From a commit to a tree: what was committed, byte for byte, by the rules that hold for every source.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use lapstrake_oci::tree::{Content, FileTree, Kind, Node, TreePath};

use super::digest::SourceDigest;
use super::error::SourceError;
use super::path::{entry_path, is_git_name, printable};
use super::rule::Rule;
use super::spool::{BUFFER, Spool};
use super::{ReadOptions, Source, SourceKind, Warning};
use super::{left_out, links};
use crate::git::{Commit, CommittedFile, FileKind, ObjectId, Repository};

/// A pointer of Git LFS begins so, and is short.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
const LFS_LONGEST: u64 = 1024;

/// Reads the files of a commit that was fetched. Nothing that the repository says changes them.
pub(crate) fn read(
    repository: &Repository<'_>,
    commit: &Commit,
    options: &ReadOptions,
) -> Result<Source, SourceError> {
    let mut listing = Listing::new(commit, options);
    repository.files(&commit.id, options.limits.path, |file| listing.add(file))?;
    let contents = spool(repository, &listing, options)?;
    listing.finish(&contents)
}

/// The files of a commit, not yet their contents.
struct Listing<'a> {
    commit: &'a Commit,
    options: &'a ReadOptions,
    files: BTreeMap<TreePath, CommittedFile>,
    size: u64,
}

impl<'a> Listing<'a> {
    fn new(commit: &'a Commit, options: &'a ReadOptions) -> Self {
        Self { commit, options, files: BTreeMap::new(), size: 0 }
    }

    fn add(&mut self, file: CommittedFile) -> Result<(), SourceError> {
        let limits = &self.options.limits;
        let refused = |rule| self.refused(&file.path, rule);
        let path = entry_path(&file.path, limits)
            .and_then(|path| path.ok_or(Rule::Path { reason: "it is empty" }))
            .map_err(refused)?;
        if path.components().any(is_git_name) {
            return Err(refused(Rule::GitName));
        }
        if file.kind == FileKind::Symlink && file.size > limits.path as u64 {
            return Err(refused(Rule::PathLength { limit: limits.path }));
        }
        self.size = self.size.saturating_add(file.size);
        if self.size > limits.expanded {
            return Err(self.whole(Rule::DirectorySize { limit: limits.expanded }));
        }
        if self.files.len() as u64 >= limits.entries {
            return Err(self.whole(Rule::Entries { limit: limits.entries }));
        }
        match self.files.insert(path, file) {
            None => Ok(()),
            Some(file) => Err(self.refused(&file.path, Rule::Twice)),
        }
    }

    fn refused(&self, path: &[u8], rule: Rule) -> SourceError {
        SourceError::Commit { commit: self.commit.id.clone(), path: Some(printable(path)), rule }
    }

    fn whole(&self, rule: Rule) -> SourceError {
        SourceError::Commit { commit: self.commit.id.clone(), path: None, rule }
    }

    /// The objects whose contents are needed, each once.
    fn objects(&self) -> Vec<&ObjectId> {
        let files = self.files.values().filter(|file| file.kind != FileKind::Submodule);
        let objects: BTreeSet<&ObjectId> = files.map(|file| &file.id).collect();
        objects.into_iter().collect()
    }

    fn finish(self, contents: &BTreeMap<ObjectId, Content>) -> Result<Source, SourceError> {
        let mut tree = FileTree::new();
        let mut warnings = Vec::new();
        let mut pointers: Vec<&TreePath> = Vec::new();
        for (path, file) in &self.files {
            let content = || contents.get(&file.id).cloned().unwrap_or(Content::from(Vec::new()));
            let node = match file.kind {
                FileKind::File { executable } => {
                    let content = content();
                    if is_pointer(&content).map_err(|source| self.spooled(source))? {
                        pointers.push(path);
                    }
                    Node::file(content, if executable { 0o755 } else { 0o644 })
                }
                FileKind::Symlink => self.symlink(file, &content())?,
                FileKind::Submodule => {
                    warnings.push(Warning::Submodule { path: path.clone() });
                    Node::directory()
                }
            };
            tree.insert(path.clone(), node);
        }
        if let Some(first) = pointers.first() {
            warnings.push(Warning::LfsPointers { first: (*first).clone(), count: pointers.len() });
        }
        tree.fill_parents();
        self.check_nesting(&tree)?;
        self.complete(tree, warnings)
    }

    fn symlink(&self, file: &CommittedFile, content: &Content) -> Result<Node, SourceError> {
        let target = content.read().map_err(|source| self.spooled(source))?;
        match () {
            () if target.is_empty() => Err(self.refused(&file.path, Rule::NoTarget)),
            () if target.contains(&0) => Err(self.refused(&file.path, Rule::Nul)),
            () => Ok(Node::symlink(target)),
        }
    }

    fn check_nesting(&self, tree: &FileTree) -> Result<(), SourceError> {
        for (path, file) in &self.files {
            let mut parent = path.parent();
            while let Some(directory) = parent {
                let is_directory =
                    tree.get(&directory).is_some_and(|node| matches!(node.kind, Kind::Directory));
                // Nothing of this commit lies in the empty directory of a submodule.
                if !is_directory || self.files.contains_key(&directory) {
                    return Err(self.refused(&file.path, Rule::BelowNoDirectory { ancestor: directory }));
                }
                parent = directory.parent();
            }
        }
        Ok(())
    }

    fn complete(&self, tree: FileTree, warnings: Vec<Warning>) -> Result<Source, SourceError> {
        let kept = left_out::leave_out(tree, self.options)?;
        let links = links::check(&kept.tree, self.options.symlinks).map_err(|(link, rule)| match link {
            Some(link) => self.refused(link.as_bytes(), rule),
            None => self.whole(rule),
        })?;
        let mut source = Source {
            digest: SourceDigest::of_tree(&kept.tree, None),
            times: kept.tree.iter().map(|(path, _)| (path.clone(), self.commit.time)).collect(),
            tree: kept.tree,
            aside: kept.aside,
            left_out: kept.left_out,
            newest_mtime: 0,
            checkout: None,
            kind: SourceKind::Commit,
            warnings: warnings.into_iter().chain(links).collect(),
        };
        super::finish(&mut source, self.options);
        Ok(source)
    }

    fn spooled(&self, source: io::Error) -> SourceError {
        SourceError::Spool { scratch: self.options.scratch.clone(), source }
    }
}

/// Keeps the contents of all objects.
fn spool(
    repository: &Repository<'_>,
    listing: &Listing<'_>,
    options: &ReadOptions,
) -> Result<BTreeMap<ObjectId, Content>, SourceError> {
    let failed = |source| listing.spooled(source);
    let mut spool = Spool::new(&options.scratch).map_err(failed)?;
    let mut contents = BTreeMap::new();
    let mut buffer = vec![0; BUFFER];
    let sizes: BTreeMap<&ObjectId, u64> = listing.files.values().map(|file| (&file.id, file.size)).collect();
    repository.contents(&listing.objects(), |id, size, content| -> Result<(), SourceError> {
        // What was counted is what is kept.
        if sizes.get(id) != Some(&size) {
            return Err(crate::git::GitError::Malformed { what: format!("object {id}") }.into());
        }
        loop {
            match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => spool.write(&buffer[..count]).map_err(failed)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        contents.insert(id.clone(), spool.end());
        Ok(())
    })?;
    spool.flush().map_err(failed)?;
    Ok(contents)
}

fn is_pointer(content: &Content) -> io::Result<bool> {
    if content.len() > LFS_LONGEST || content.len() < LFS.len() as u64 {
        return Ok(false);
    }
    Ok(content.read()?.starts_with(LFS))
}

#[cfg(test)]
mod tests;
