//! The digest of a source: the same for the same files, whoever has them, wherever and whenever.
//!
//! Of a directory it is known only once every file has been read. Whoever builds reads them anyway, for a layer or for
//! the commands, so that the digest waits until somebody asks for it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lapstrake_oci::document::Hasher;
use lapstrake_oci::tree::{Content, FileTree, Kind};
use oci_spec::image::Digest;
use serde::{Serialize, Serializer};

use super::parallel::in_parallel;
use super::path::in_git;
use crate::cache::StampsKeeper;

/// The digest of a source. Copies of it are computed once for all.
#[derive(Clone)]
pub struct SourceDigest(Arc<State>);

struct State {
    known: OnceLock<Digest>,
    unread: Mutex<Option<Unread>>,
}

/// A directory whose files have not all been read.
struct Unread {
    /// Everything but the contents.
    structure: Digest,
    /// The contents, in the order of their paths.
    contents: Vec<Content>,
    stamps: Option<StampsKeeper>,
}

impl SourceDigest {
    /// Of a directory: kind, path, execute bit, target and content of every path but `.git`, since a clone has other bytes
    /// there than the next, though both have the same files. `stamps` are kept once all contents are known.
    pub(super) fn of_tree(tree: &FileTree, stamps: Option<StampsKeeper>) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(b"lapstrake source tree 2\0");
        let mut contents = Vec::new();
        for (path, node) in tree.iter().filter(|(path, _)| !in_git(path)) {
            let (kind, value): (u8, &[u8]) = match &node.kind {
                Kind::Directory => (b'd', b""),
                Kind::File(content) => {
                    contents.push(content.clone());
                    (if node.mode & 0o111 == 0 { b'f' } else { b'x' }, b"")
                }
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
        let unread = Unread { structure: hasher.finish().0, contents, stamps };
        Self(Arc::new(State { known: OnceLock::new(), unread: Mutex::new(Some(unread)) }))
    }

    /// The digest; what has not been read so far is read now, with all cores.
    pub fn get(&self) -> io::Result<Digest> {
        if let Some(known) = self.0.known.get() {
            return Ok(known.clone());
        }
        let mut unread = self.0.unread.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have computed it meanwhile.
        let Some(all) = unread.take() else {
            return self.0.known.get().cloned().ok_or_else(|| io::Error::other("a file could not be read"));
        };
        let digest = all.read()?;
        Ok(self.0.known.get_or_init(|| digest).clone())
    }
}

impl Unread {
    fn read(self) -> io::Result<Digest> {
        let contents = in_parallel(&self.contents, |content| {
            content.digest().map_err(|cause| io::Error::new(cause.kind(), format!("{content}: {cause}")))
        })?;
        // Without them the files are read again: no reason to fail.
        if let Some(stamps) = self.stamps {
            let _ = stamps.keep();
        }
        let mut hasher = Hasher::default();
        hasher.update(self.structure.as_ref().as_bytes());
        for content in contents {
            hasher.update(&content.0);
        }
        Ok(hasher.finish().0)
    }
}

impl From<Digest> for SourceDigest {
    fn from(digest: Digest) -> Self {
        Self(Arc::new(State { known: OnceLock::from(digest), unread: Mutex::new(None) }))
    }
}

/// Two sources are equal where their digests are, and known to be.
impl PartialEq for SourceDigest {
    fn eq(&self, other: &Self) -> bool {
        matches!((self.get(), other.get()), (Ok(left), Ok(right)) if left == right)
    }
}

impl fmt::Display for SourceDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Ok(digest) => digest.fmt(f),
            Err(cause) => cause.fmt(f),
        }
    }
}

impl fmt::Debug for SourceDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SourceDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use lapstrake_oci::tree::{Node, TreePath};

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
        let digests: Vec<_> =
            trees.iter().map(|tree| SourceDigest::of_tree(tree, None).get().unwrap().to_string()).collect();
        let mut unique = digests.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), digests.len());
        let with_git = tree(&[("a", file(b"1", 0o644)), (".git/index", file(b"x", 0o644))]);
        assert_eq!(SourceDigest::of_tree(&with_git, None).get().unwrap().to_string(), digests[1]);
    }
}
