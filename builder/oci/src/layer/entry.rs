//! The order of a tree's entries in a layer, and what a tree must not hold to be one.

use std::cmp::Ordering;

use super::pack::PackError;
use crate::tree::{FileTree, Kind, Node, TreePath};

/// What every name that means a whiteout begins with (image-spec, layer.md).
pub(super) const WHITEOUT: &[u8] = b".wh.";

/// The entries in the order of the layer: by component, with the whiteouts of a directory before what else it
/// holds, and hard links at the end, for their targets must be there before them.
pub(super) fn ordered(tree: &FileTree) -> Result<Vec<(&TreePath, &Node)>, PackError> {
    let mut entries = Vec::with_capacity(tree.len());
    let mut links = Vec::new();
    for (path, node) in tree.iter() {
        check(tree, path, node)?;
        if matches!(node.kind, Kind::Hardlink(_)) {
            links.push((path, node));
        } else {
            entries.push((path, node));
        }
    }
    // The tree is in order already, so a layer without whiteouts is sorted in one run over it.
    entries.sort_by(|left, right| compare(*left, *right));
    entries.extend(links);
    Ok(entries)
}

fn compare((left, left_node): (&TreePath, &Node), (right, right_node): (&TreePath, &Node)) -> Ordering {
    let whiteout = |node: &Node| matches!(node.kind, Kind::Whiteout);
    if !whiteout(left_node) && !whiteout(right_node) {
        return left.cmp(right);
    }
    ranked(left, whiteout(left_node)).cmp(ranked(right, whiteout(right_node)))
}

/// The components, each with its rank among its siblings: a whiteout comes first.
fn ranked(path: &TreePath, whiteout: bool) -> impl Iterator<Item = (bool, &[u8])> {
    let last = path.components().count() - 1;
    path.components().enumerate().map(move |(place, component)| (!(whiteout && place == last), component))
}

fn check(tree: &FileTree, path: &TreePath, node: &Node) -> Result<(), PackError> {
    if path.name().starts_with(WHITEOUT) {
        return Err(PackError::ReservedName { path: path.clone() });
    }
    if let Some(parent) = path.parent()
        && let Some(above) = tree.get(&parent)
        && !matches!(above.kind, Kind::Directory)
    {
        return Err(PackError::NotADirectory { path: path.clone(), parent });
    }
    match &node.kind {
        Kind::Hardlink(target) if !tree.get(target).is_some_and(|it| matches!(it.kind, Kind::File(_))) => {
            Err(PackError::DanglingHardlink { path: path.clone(), target: target.clone() })
        }
        Kind::Symlink(target) if target.is_empty() || target.contains(&0) => {
            Err(PackError::BadSymlink { path: path.clone(), target: target.escape_ascii().to_string() })
        }
        _ => Ok(()),
    }
}
