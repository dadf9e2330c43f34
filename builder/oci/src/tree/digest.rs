//! What a tree is known by: the same for the same paths, kinds, modes, owners and contents.

use std::io;

use oci_spec::image::Digest;

use super::{FileTree, Kind, TreePath};
use crate::document::Hasher;

/// Why a tree has no digest.
#[derive(Debug, thiserror::Error)]
#[error("the content of `{path}` cannot be read")]
pub struct TreeDigestError {
    /// The file.
    pub path: TreePath,
    /// Why not.
    pub source: io::Error,
}

/// The digest of everything in a tree that its layer is made of. Contents whose digest is not known are read.
pub fn tree_digest(tree: &FileTree) -> Result<Digest, TreeDigestError> {
    let mut hasher = Hasher::default();
    hasher.update(b"lapstrake tree 1\0");
    let mut record = Vec::new();
    for (path, node) in tree.iter() {
        record.clear();
        let content;
        let (kind, value): (u8, &[u8]) = match &node.kind {
            Kind::Directory => (b'd', b""),
            Kind::File(file) => {
                content = file.digest().map_err(|source| TreeDigestError { path: path.clone(), source })?;
                (b'f', &content.0)
            }
            Kind::Symlink(target) => (b'l', target),
            Kind::Hardlink(target) => (b'h', target.as_bytes()),
            Kind::Whiteout => (b'w', b""),
        };
        record.push(kind);
        for number in [node.mode, node.owner.uid, node.owner.gid] {
            record.extend_from_slice(&number.to_le_bytes());
        }
        for field in [path.as_bytes(), value] {
            // Lengths in front: no two trees may give the same bytes.
            record.extend_from_slice(&(field.len() as u64).to_le_bytes());
            record.extend_from_slice(field);
        }
        hasher.update(&record);
    }
    Ok(hasher.finish().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Node, Owner};

    #[test]
    fn every_property_of_a_node_is_in_the_digest() {
        let path = |text: &str| TreePath::new(text).unwrap();
        let file = |bytes: &[u8], mode| Node::file(bytes.to_vec(), mode);
        let node = |kind| Node { kind, ..Node::directory() };
        let alone = |at: &str, node| FileTree::from_iter([(path(at), node)]);
        let trees = [
            FileTree::new(),
            alone("a", file(b"1", 0o644)),
            alone("a", file(b"2", 0o644)),
            alone("a", file(b"1", 0o755)),
            alone("a", Node { owner: Owner { uid: 1, gid: 0 }, ..file(b"1", 0o644) }),
            alone("a", Node { owner: Owner { uid: 0, gid: 1 }, ..file(b"1", 0o644) }),
            alone("b", file(b"1", 0o644)),
            alone("a", Node::symlink("b")),
            alone("a", node(Kind::Hardlink(path("b")))),
            alone("a", node(Kind::Whiteout)),
            alone("a", Node::directory()),
            FileTree::from_iter([(path("a"), file(b"1", 0o644)), (path("b"), Node::directory())]),
        ];
        let digests: Vec<_> = trees.iter().map(|tree| tree_digest(tree).unwrap().to_string()).collect();
        let unique: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(unique.len(), trees.len());
        assert_eq!(tree_digest(&trees[1].clone()).unwrap().to_string(), digests[1]);
    }
}
