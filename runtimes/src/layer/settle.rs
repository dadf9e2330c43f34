//! The last step: parents, and directories that belong to a layer below.

use std::collections::BTreeSet;

use lapstrake_oci::tree::{FileTree, Kind, Node, TreePath};

/// Adds missing parents, and lets the layers below decide on the directories that they have: a layer that
/// repeated `/tmp` with its own mode would change it for everyone. Such directories stay only as parents.
pub(super) fn settle(mut tree: FileTree, lower: &[&FileTree]) -> FileTree {
    tree.fill_parents();
    let parents: BTreeSet<TreePath> = tree
        .iter()
        .filter(|(path, node)| !is_repeated(path, node, lower))
        .flat_map(|(path, _)| std::iter::successors(path.parent(), TreePath::parent))
        .collect();
    tree.retain(|path, node| parents.contains(path) || !is_repeated(path, node, lower));
    for path in parents {
        if let Some(below) = directory(lower, &path)
            && let Some(node) = tree.get_mut(&path)
        {
            node.mode = below.mode;
            node.owner = below.owner;
        }
    }
    tree
}

fn is_repeated(path: &TreePath, node: &Node, lower: &[&FileTree]) -> bool {
    matches!(node.kind, Kind::Directory) && directory(lower, path).is_some()
}

fn directory<'a>(lower: &[&'a FileTree], path: &TreePath) -> Option<&'a Node> {
    lower.iter().rev().find_map(|tree| tree.get(path)).filter(|node| matches!(node.kind, Kind::Directory))
}
