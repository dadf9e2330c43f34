//! Drops what an image has no use for.

use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use lapstrake_oci::tree::{FileTree, Kind, Node, TreePath};

use super::LayerRules;

/// Documentation goes; copyright files stay, since licences ask for them, and so do the links by which a package
/// shares those of another.
const DOCUMENTATION: &str = "usr/share/doc/**";
const COPYRIGHT: [&str; 2] = ["usr/share/doc/*/copyright", "usr/share/doc/*"];

/// A pattern that is no glob.
#[derive(Debug, thiserror::Error)]
#[error("`{glob}` is no glob")]
pub struct GlobError {
    /// The pattern.
    pub glob: String,
    /// What is wrong with it.
    pub source: globset::Error,
}

pub(super) struct Filter {
    prune: GlobSet,
    keep: GlobSet,
}

impl Filter {
    pub(super) fn new(rules: &LayerRules) -> Result<Self, GlobError> {
        let prune = rules.prune.iter().map(String::as_str).chain([DOCUMENTATION]);
        let keep = rules.keep.iter().map(String::as_str).chain(COPYRIGHT);
        Ok(Self { prune: globs(prune)?, keep: globs(keep)? })
    }

    /// The tree without what is pruned; a hard link whose file is pruned becomes a file itself.
    pub(super) fn apply(&self, tree: FileTree) -> FileTree {
        let mut dropped: BTreeMap<TreePath, Node> = BTreeMap::new();
        let mut kept = FileTree::new();
        for (path, node) in tree {
            let gone = self.names(&path) && (is_directory(&node) || !self.keep.is_match(text(&path)));
            if gone {
                dropped.insert(path, node);
            } else {
                kept.insert(path, node);
            }
        }
        let needed: BTreeSet<TreePath> = kept.iter().flat_map(|(path, _)| ancestors(path)).collect();
        dropped.retain(|path, node| {
            let parent = is_directory(node) && needed.contains(path);
            if parent {
                kept.insert(path.clone(), node.clone());
            }
            !parent
        });
        relink(&mut kept, &dropped);
        kept
    }

    /// Whether a pattern names the path or a directory above it.
    fn names(&self, path: &TreePath) -> bool {
        self.prune.is_match(text(path)) || ancestors(path).any(|above| self.prune.is_match(text(&above)))
    }
}

fn relink(kept: &mut FileTree, dropped: &BTreeMap<TreePath, Node>) {
    let mut moved: BTreeMap<TreePath, TreePath> = BTreeMap::new();
    let links: Vec<(TreePath, TreePath)> = kept
        .iter()
        .filter_map(|(path, node)| match &node.kind {
            Kind::Hardlink(target) if dropped.contains_key(target) => Some((path.clone(), target.clone())),
            _ => None,
        })
        .collect();
    for (path, target) in links {
        // The first of several links takes the bytes, so that the others still share them.
        if let Some(first) = moved.get(&target) {
            if let Some(node) = kept.get_mut(&path) {
                node.kind = Kind::Hardlink(first.clone());
            }
        } else {
            kept.insert(path.clone(), dropped[&target].clone());
            moved.insert(target, path);
        }
    }
}

fn is_directory(node: &Node) -> bool {
    matches!(node.kind, Kind::Directory)
}

fn ancestors(path: &TreePath) -> impl Iterator<Item = TreePath> {
    std::iter::successors(path.parent(), TreePath::parent)
}

fn text(path: &TreePath) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt;
    std::path::Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()))
}

fn globs<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<GlobSet, GlobError> {
    let bad = |glob: &str| {
        let glob = glob.to_owned();
        move |source| GlobError { glob, source }
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(GlobBuilder::new(pattern).literal_separator(true).build().map_err(bad(pattern))?);
    }
    set.build().map_err(bad("all of them together"))
}
