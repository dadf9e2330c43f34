//! The digest of a directory: the same for the same files, whoever has them, wherever and whenever.

use std::io;

use lapstrake_oci::document::Hasher;
use lapstrake_oci::tree::{FileTree, Kind, Node, TreePath};
use oci_spec::image::Digest;

use super::parallel::in_parallel;
use super::path::in_git;

/// Why a tree has no digest.
#[derive(Debug)]
pub(super) struct DigestError {
    pub(super) path: TreePath,
    pub(super) source: io::Error,
}

/// Digests kind, path, execute bit, target and content of every path but `.git`: a clone has other bytes there
/// than the next, though both have the same files.
pub(super) fn tree_digest(tree: &FileTree) -> Result<Digest, DigestError> {
    let nodes: Vec<_> = tree.iter().filter(|(path, _)| !in_git(path)).collect();
    let contents = content_digests(&nodes)?;
    let mut hasher = Hasher::default();
    hasher.update(b"lapstrake source tree 2\0");
    for ((path, node), content) in nodes.iter().zip(contents) {
        let (kind, value): (u8, &[u8]) = match &node.kind {
            Kind::Directory => (b'd', b""),
            Kind::File(_) if node.mode & 0o111 != 0 => (b'x', &content),
            Kind::File(_) => (b'f', &content),
            Kind::Symlink(target) => (b'l', target),
            Kind::Hardlink(target) => (b'h', target.as_bytes()),
            Kind::Whiteout => (b'w', b""),
        };
        hasher.update(&[kind]);
        for field in [path.as_bytes(), value] {
            // Lengths in front: no two trees may give the same bytes.
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field);
        }
    }
    Ok(hasher.finish().0)
}

/// Digests the files with all cores; reading them is what takes the time.
fn content_digests(nodes: &[(&TreePath, &Node)]) -> Result<Vec<[u8; 32]>, DigestError> {
    in_parallel(nodes, |(path, node)| match &node.kind {
        Kind::File(content) => match content.digest() {
            Ok(digest) => Ok(digest.0),
            Err(source) => Err(DigestError { path: (*path).clone(), source }),
        },
        _ => Ok([0; 32]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(nodes: &[(&str, Node)]) -> FileTree {
        let mut tree = FileTree::new();
        for (path, node) in nodes {
            tree.insert(TreePath::new(path).unwrap(), node.clone());
        }
        tree
    }

    #[test]
    fn every_property_of_a_file_but_git_is_in_the_digest() {
        let file = |bytes: &[u8], mode| Node::file(bytes.to_vec(), mode);
        let trees = [
            tree(&[]),
            tree(&[("a", file(b"1", 0o644))]),
            tree(&[("a", file(b"2", 0o644))]),
            tree(&[("a", file(b"1", 0o755))]),
            tree(&[("b", file(b"1", 0o644))]),
            tree(&[("a", Node::symlink("1"))]),
            tree(&[("a", Node::directory())]),
            tree(&[("a", file(b"1", 0o644)), ("b", Node::directory())]),
        ];
        let digests: Vec<_> = trees.iter().map(|tree| tree_digest(tree).unwrap().to_string()).collect();
        let mut unique = digests.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), digests.len());
        let with_git = tree(&[("a", file(b"1", 0o644)), (".git/index", file(b"x", 0o644))]);
        assert_eq!(tree_digest(&with_git).unwrap().to_string(), digests[1]);
    }
}
