//! What build commands work on, as a value: `/app`, what they changed elsewhere, and `/tmp`.
//!
//! A state lies on a disk only while commands run on it. One that is made of results of earlier builds knows its files
//! by their digests; their bytes may be on another machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use lapstrake_oci::document::Hasher;
use lapstrake_oci::tree::{
    Content, ContentDigest, FileTree, Kind, Node, Owner, TreeDigestError, TreePath, tree_digest,
};
use oci_spec::image::Digest;

use crate::changes::{self, Recorded};
use crate::failure::{Exit, Failure};
use crate::needs::KnownFacts;
use crate::source::in_git;

/// What build commands work on. Paths of `/app` and `/tmp` are relative to those.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// `/app`, with a repository's own files.
    pub app: FileTree,
    /// What was changed outside of `/app` and `/tmp`, over the layers of the build image.
    pub outside: Recorded,
    /// `/tmp`.
    pub temporary: FileTree,
    /// What the files are that commands have made, by their paths in the image.
    pub facts: KnownFacts,
}

impl State {
    /// A source before the first command.
    #[must_use]
    pub fn of_source(source: FileTree) -> Self {
        let usual = |(path, node): (TreePath, Node)| {
            let mode = usual_mode(&node);
            (path, Node { mode, owner: Owner::default(), ..node })
        };
        Self { app: source.into_iter().map(usual).collect(), ..Self::default() }
    }

    /// The same without what was changed outside of `/app`.
    #[must_use]
    pub fn app_alone(self) -> Self {
        let facts =
            self.facts.into_iter().filter(|(path, _)| path.components().next() == Some(b"app")).collect();
        Self { app: self.app, facts, ..Self::default() }
    }

    /// Everything about `/app` but the contents of files, a line for each path. What git names by its own means, and
    /// differently in every clone, is left out: whoever reads anything of it has read all of it.
    #[must_use]
    pub fn names(&self) -> Vec<Vec<u8>> {
        let named = self.app.iter().filter(|(path, _)| !is_object_of_git(path));
        named.map(|(path, node)| line(path, node)).collect()
    }

    /// A digest of everything outside of `/app`.
    pub fn outside_digest(&self) -> Result<Digest, TreeDigestError> {
        let mut hasher = Hasher::default();
        for tree in [&self.outside.tree, &self.temporary] {
            hasher.update(tree_digest(tree)?.as_ref().as_bytes());
        }
        for path in &self.outside.opaque {
            hasher.update(path.as_bytes());
            hasher.update(b"\0");
        }
        Ok(hasher.finish().0)
    }

    /// A digest of all of `/app`.
    pub fn app_digest(&self) -> Result<Digest, TreeDigestError> {
        tree_digest(&self.app)
    }

    /// A digest of the files of git in `/app`.
    pub fn git_digest(&self) -> Result<Digest, TreeDigestError> {
        tree_digest(
            &self
                .app
                .iter()
                .filter(|(path, _)| in_git(path))
                .map(|(path, node)| (path.clone(), node.clone()))
                .collect(),
        )
    }

    /// The content of a file of `/app`, whatever name of it is asked for.
    #[must_use]
    pub fn content(&self, path: &TreePath) -> Option<&Content> {
        match &self.app.get(path)?.kind {
            Kind::File(content) => Some(content),
            Kind::Hardlink(target) => match &self.app.get(target)?.kind {
                Kind::File(content) => Some(content),
                _ => None,
            },
            _ => None,
        }
    }

    /// All trees.
    #[must_use]
    pub fn trees(&self) -> [&FileTree; 3] {
        [&self.app, &self.outside.tree, &self.temporary]
    }

    /// Takes contents that have come to this machine.
    pub fn bring(&mut self, here: &BTreeMap<ContentDigest, Content>) {
        for tree in [&mut self.app, &mut self.outside.tree, &mut self.temporary] {
            bring(tree, here);
        }
    }

    /// What of it becomes the app's part of an image, below `/app`.
    pub fn app_of_image(&self, owner: Owner) -> Result<FileTree, Failure> {
        let (kept, _) = self.app.clone().partition(|path, _| !changes::is_left_out_of_app(path));
        let ours = |cause| Failure::because(Exit::Ours, "could not place the source in the image", cause);
        let root = TreePath::new("app").map_err(ours)?;
        let mut nodes = vec![(root.clone(), Node { owner, ..Node::directory() })];
        for (path, mut node) in kept {
            if let Kind::Hardlink(target) = &node.kind {
                node.kind = Kind::Hardlink(root.join(target.as_bytes()).map_err(ours)?);
            }
            node.mode = usual_mode(&node);
            nodes.push((root.join(path.as_bytes()).map_err(ours)?, Node { owner, ..node }));
        }
        Ok(nodes.into_iter().collect())
    }

    /// What was changed elsewhere, with the modes that files of an image have.
    #[must_use]
    pub fn outside_of_image(&self) -> Recorded {
        let usual = |(path, node): (&TreePath, &Node)| {
            (path.clone(), Node { mode: usual_mode(node), ..node.clone() })
        };
        Recorded { tree: self.outside.tree.iter().map(usual).collect(), opaque: self.outside.opaque.clone() }
    }
}

/// The contents of a tree whose bytes are not on this machine.
#[must_use]
pub fn missing(trees: &[&FileTree]) -> BTreeSet<ContentDigest> {
    let contents = trees.iter().flat_map(|tree| tree.iter()).filter_map(|(_, node)| match &node.kind {
        Kind::File(content) if !content.is_here() => content.known_digest(),
        _ => None,
    });
    contents.collect()
}

/// Takes contents that have come to this machine.
pub fn bring(tree: &mut FileTree, here: &BTreeMap<ContentDigest, Content>) {
    let paths: Vec<TreePath> = tree.iter().map(|(path, _)| path.clone()).collect();
    for path in paths {
        let Some(Kind::File(content)) = tree.get_mut(&path).map(|node| &mut node.kind) else { continue };
        if !content.is_here()
            && let Some(brought) = content.known_digest().and_then(|digest| here.get(&digest))
        {
            *content = brought.clone();
        }
    }
}

/// The mode that a file of an image has, whatever the umask of who made it was.
fn usual_mode(node: &Node) -> u32 {
    match node.kind {
        Kind::Symlink(_) => 0o777,
        Kind::File(_) | Kind::Hardlink(_) if node.mode & 0o100 == 0 => 0o644,
        _ => 0o755,
    }
}

fn is_object_of_git(path: &TreePath) -> bool {
    let mut parts = path.components().skip_while(|part| *part != b".git").skip(1);
    matches!(parts.next(), Some(b"objects" | b"logs")) && parts.next().is_some()
}

fn line(path: &TreePath, node: &Node) -> Vec<u8> {
    let (kind, target): (&str, &[u8]) = match &node.kind {
        Kind::Directory => ("d", b""),
        Kind::File(_) => ("f", b""),
        Kind::Symlink(target) => ("l", target),
        Kind::Hardlink(target) => ("h", target.as_bytes()),
        Kind::Whiteout => ("w", b""),
    };
    let mut line = format!("{kind} {:o} ", node.mode).into_bytes();
    line.extend_from_slice(path.as_bytes());
    if !target.is_empty() {
        line.push(0);
        line.extend_from_slice(target);
    }
    line
}

/// A digest of contents could not be had.
#[must_use]
pub fn unreadable(cause: &TreeDigestError) -> io::Error {
    io::Error::new(cause.source.kind(), format!("{}: {}", cause.path, cause.source))
}
