//! Merges the trees of packages into one: canonical `/usr` paths, and no two packages with one file.

use std::collections::BTreeMap;
use std::io::{self, Read};

use lapstrake_oci::tree::{Content, FileTree, Kind, Node, TreePath};

/// Top-level directories that are links into `/usr` on every Debian since bookworm.
pub const MERGED: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32"];

/// Why trees cannot become one.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// Two packages have different things at one path.
    #[error("`{path}` is in both `{first}` and `{second}`, and they differ")]
    Conflict {
        /// The path after the `/usr` merge.
        path: TreePath,
        /// The package that came first.
        first: String,
        /// The package that came second.
        second: String,
    },
    /// The path of one package leads through a file or link.
    #[error("`{path}` of `{package}` lies below `{above}`, which is no directory")]
    Through {
        /// The path after the `/usr` merge.
        path: TreePath,
        /// The package that has it.
        package: String,
        /// The file or link above it.
        above: TreePath,
    },
    /// Two files could not be compared.
    #[error("could not compare the two files at `{path}`")]
    Compare {
        /// The path after the `/usr` merge.
        path: TreePath,
        /// What the system said.
        source: io::Error,
    },
}

/// The path of a packaged file in a file system whose `/bin`, `/lib` and so on are links into `/usr`.
///
/// The links themselves (`bin -> usr/bin`, as `base-files` has them) stay where they are.
///
/// # Panics
/// Never: a path with a directory in front of it is a path.
#[must_use]
pub fn canonical(path: &TreePath, kind: &Kind) -> TreePath {
    let top = path.components().next().unwrap_or_default();
    let alone = top.len() == path.as_bytes().len();
    let merged = MERGED.iter().any(|name| name.as_bytes() == top);
    if !merged || (alone && !matches!(kind, Kind::Directory)) {
        return path.clone();
    }
    TreePath::new([b"usr/", path.as_bytes()].concat()).expect("a longer good path is good")
}

/// A tree with `/usr` merged; the targets of hard links move along.
#[must_use]
pub fn merge_usr(tree: FileTree) -> FileTree {
    let mut merged = FileTree::new();
    for (path, mut node) in tree {
        if let Kind::Hardlink(target) = &mut node.kind {
            *target = canonical(target, &Kind::Directory);
        }
        merged.insert(canonical(&path, &node.kind), node);
    }
    merged
}

/// A tree that grows package by package and remembers where each path came from.
#[derive(Debug, Default)]
pub struct Merge {
    tree: FileTree,
    origins: BTreeMap<TreePath, String>,
}

impl Merge {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the files of a package. Directories may be shared (the first package decides on the mode), files
    /// and links only when they are identical.
    pub fn add(&mut self, package: &str, tree: FileTree) -> Result<(), MergeError> {
        for (path, node) in tree {
            if let Some(earlier) = self.tree.get(&path) {
                let compare = |source| MergeError::Compare { path: path.clone(), source };
                if !identical(earlier, &node).map_err(compare)? {
                    let first = self.origins[&path].clone();
                    return Err(MergeError::Conflict { path, first, second: package.to_owned() });
                }
                continue;
            }
            self.origins.insert(path.clone(), package.to_owned());
            self.tree.insert(path, node);
        }
        Ok(())
    }

    /// The merged tree, once no path leads through a file or a link, neither of this tree nor of `below`, the
    /// layers under it.
    pub fn finish(self, below: &[&FileTree]) -> Result<FileTree, MergeError> {
        for (path, package) in &self.origins {
            let mut parent = path.parent();
            while let Some(above) = parent {
                if is_no_directory(&self.tree, below, &above) {
                    return Err(MergeError::Through { path: path.clone(), package: package.clone(), above });
                }
                parent = above.parent();
            }
        }
        Ok(self.tree)
    }
}

fn is_no_directory(tree: &FileTree, below: &[&FileTree], path: &TreePath) -> bool {
    let node = tree.get(path).or_else(|| below.iter().rev().find_map(|tree| tree.get(path)));
    node.is_some_and(|node| !matches!(node.kind, Kind::Directory))
}

fn identical(one: &Node, other: &Node) -> io::Result<bool> {
    Ok(match (&one.kind, &other.kind) {
        (Kind::Directory, Kind::Directory) => true,
        (Kind::File(one_bytes), Kind::File(other_bytes)) => {
            one.mode == other.mode && same_bytes(one_bytes, other_bytes)?
        }
        (Kind::Symlink(one), Kind::Symlink(other)) => one == other,
        (Kind::Hardlink(one), Kind::Hardlink(other)) => one == other,
        _ => false,
    })
}

fn same_bytes(one: &Content, other: &Content) -> io::Result<bool> {
    if one.len() != other.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (one.open()?, other.open()?);
    let (mut a, mut b) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let count = left.read(&mut a)?;
        if count == 0 {
            return Ok(true);
        }
        right.read_exact(&mut b[..count])?;
        if a[..count] != b[..count] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests;
