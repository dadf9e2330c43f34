//! A file tree as a value: sorted paths to directories, files and links.
//!
//! A path that is absolute, empty or leaves the tree cannot be made, so a tree that would escape its root
//! cannot exist. What a file holds is a [`Content`], read only when the tree is packed into a layer.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

mod content;
mod digest;

pub use content::{ChangedWhileRead, Content, ContentDigest, ContentDigestError, ContentHasher, Place};
pub use digest::{TreeDigestError, tree_digest};

/// A relative path inside a tree: components without `.`, `..`, NUL or empty names, joined by `/`.
///
/// Paths sort by component, so that a directory is followed by everything in it (`a`, `a/b`, `a-b`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TreePath(Vec<u8>);

/// Why bytes are no [`TreePath`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{path}` is not a path inside a tree: {reason}")]
pub struct TreePathError {
    /// The rejected path, made printable.
    pub path: String,
    /// The rule it breaks.
    pub reason: &'static str,
}

impl TreePath {
    /// Parses a path. One trailing slash and leading `./` are dropped; everything else must be exact.
    pub fn new(path: impl AsRef<[u8]>) -> Result<Self, TreePathError> {
        let given = path.as_ref();
        let fail = |reason| TreePathError { path: given.escape_ascii().to_string(), reason };
        let mut rest = given;
        while let Some(shorter) = rest.strip_prefix(b"./") {
            rest = shorter;
        }
        let rest = rest.strip_suffix(b"/").unwrap_or(rest);
        if rest.is_empty() {
            return Err(fail("it is empty"));
        }
        if rest.starts_with(b"/") {
            return Err(fail("it is absolute"));
        }
        if rest.contains(&0) {
            return Err(fail("it contains a NUL byte"));
        }
        for component in rest.split(|byte| *byte == b'/') {
            match component {
                b"" => return Err(fail("it has an empty component")),
                b"." => return Err(fail("it has a `.` component")),
                b".." => return Err(fail("it has a `..` component")),
                _ => {}
            }
        }
        Ok(Self(rest.to_vec()))
    }

    /// The bytes of the path, without a leading or trailing slash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/')
    }

    /// The last component.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or(&self.0)
    }

    /// The directory that holds this path; none for a path of one component.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let slash = self.0.iter().rposition(|byte| *byte == b'/')?;
        Some(Self(self.0[..slash].to_vec()))
    }

    /// This path with one more component or relative path below it.
    pub fn join(&self, below: impl AsRef<[u8]>) -> Result<Self, TreePathError> {
        let mut joined = self.0.clone();
        joined.push(b'/');
        joined.extend_from_slice(below.as_ref());
        Self::new(joined)
    }

    /// Whether this is `ancestor` or lies below it.
    #[must_use]
    pub fn is_within(&self, ancestor: &Self) -> bool {
        self.0.strip_prefix(ancestor.0.as_slice()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// The path below a root directory of the file system.
    #[must_use]
    pub fn below(&self, root: &Path) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        root.join(std::ffi::OsStr::from_bytes(&self.0))
    }
}

impl Ord for TreePath {
    /// By component: as bytes, but with the slash before everything else. No path holds a NUL.
    fn cmp(&self, other: &Self) -> Ordering {
        let (left, right) = (self.0.as_slice(), other.0.as_slice());
        let words = left.chunks_exact(8).zip(right.chunks_exact(8)).take_while(|(left, right)| left == right);
        let start = 8 * words.count();
        let rest = left[start..].iter().zip(&right[start..]).take_while(|(left, right)| left == right);
        let same = start + rest.count();
        let next = |path: &[u8]| path.get(same).map(|byte| if *byte == b'/' { 0 } else { *byte });
        next(left).cmp(&next(right))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.0))
    }
}

/// Bytes that build commands or strangers chose, as a text that cannot steer a terminal: as they are, or escaped
/// where they are no text, or one with control characters or with marks that turn what stands around them.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| c.is_control() || turns(c)) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// Who owns a node, by number; a layer never holds names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Owner {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

/// What a path is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link, with its target exactly as stored.
    Symlink(Vec<u8>),
    /// Another name of a regular file of the same tree.
    Hardlink(TreePath),
    /// A path of a lower layer that is gone (image-spec, layer.md, "Whiteouts"). The node's path is that of the
    /// file that is deleted, without the `.wh.` prefix.
    Whiteout,
}

/// A path's kind, permission bits (at most `0o7777`) and owner.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// The permission bits. Symbolic links and whiteouts have none that matter.
    pub mode: u32,
    /// Who owns it.
    pub owner: Owner,
}

impl Node {
    /// A directory of root with mode 0755.
    #[must_use]
    pub fn directory() -> Self {
        Self { kind: Kind::Directory, mode: 0o755, owner: Owner::default() }
    }

    /// A regular file of root with the given permission bits.
    #[must_use]
    pub fn file(content: impl Into<Content>, mode: u32) -> Self {
        Self { kind: Kind::File(content.into()), mode, owner: Owner::default() }
    }

    /// A symbolic link of root.
    #[must_use]
    pub fn symlink(target: impl Into<Vec<u8>>) -> Self {
        Self { kind: Kind::Symlink(target.into()), mode: 0o777, owner: Owner::default() }
    }
}

/// A sorted map of paths to nodes.
#[derive(Clone, Debug, Default)]
pub struct FileTree {
    nodes: BTreeMap<TreePath, Node>,
}

impl FileTree {
    /// A tree without paths.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a node at a path, replacing what was there, and returns what was replaced.
    pub fn insert(&mut self, path: TreePath, node: Node) -> Option<Node> {
        self.nodes.insert(path, node)
    }

    /// Adds every missing parent of every path as a directory of root with mode 0755.
    pub fn fill_parents(&mut self) {
        let mut missing = Vec::new();
        for path in self.nodes.keys() {
            let mut parent = path.parent();
            while let Some(directory) = parent {
                if self.nodes.contains_key(&directory) {
                    break;
                }
                parent = directory.parent();
                missing.push(directory);
            }
        }
        for directory in missing {
            self.nodes.entry(directory).or_insert_with(Node::directory);
        }
    }

    /// The node at a path.
    #[must_use]
    pub fn get(&self, path: &TreePath) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The node at a path, to change it.
    pub fn get_mut(&mut self, path: &TreePath) -> Option<&mut Node> {
        self.nodes.get_mut(path)
    }

    /// Takes the node at a path out of the tree; what lies below it stays.
    pub fn remove(&mut self, path: &TreePath) -> Option<Node> {
        self.nodes.remove(path)
    }

    /// Keeps only the paths that pass.
    pub fn retain(&mut self, mut keep: impl FnMut(&TreePath, &Node) -> bool) {
        self.nodes.retain(|path, node| keep(path, node));
    }

    /// Splits the tree in two: the paths that pass, and the others.
    ///
    /// Where a hard link and its file come apart, the first link in the half without the file becomes a file with
    /// the same content, and the others there become links to it: a layer holds no link into another one.
    #[must_use]
    pub fn partition(self, mut passes: impl FnMut(&TreePath, &Node) -> bool) -> (Self, Self) {
        let mut halves = self.divide(2, |path, node| usize::from(!passes(path, node))).into_iter();
        (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
    }

    /// Splits the tree in `count` trees: `place` says into which each path goes. Hard links that would lead from one to
    /// another become files as with [`Self::partition`].
    ///
    /// # Panics
    ///
    /// When a place is not less than `count`.
    #[must_use]
    pub fn divide(self, count: usize, mut place: impl FnMut(&TreePath, &Node) -> usize) -> Vec<Self> {
        let mut parts: Vec<Vec<(TreePath, Node)>> = (0..count).map(|_| Vec::new()).collect();
        for (path, node) in self.nodes {
            parts[place(&path, &node)].push((path, node));
        }
        // A tree of what is in order already is made at once.
        let mut trees: Vec<Self> = parts.into_iter().map(Self::from_iter).collect();
        let linked = |to: &Self| -> BTreeMap<TreePath, Node> {
            let others = trees.iter().filter(|other| !std::ptr::eq(*other, to));
            others.flat_map(|other| other.files_linked_from(to)).collect()
        };
        let linked: Vec<_> = trees.iter().map(linked).collect();
        for (tree, files) in trees.iter_mut().zip(&linked) {
            tree.adopt(files);
        }
        trees
    }

    /// The files of this tree to which another tree has hard links.
    fn files_linked_from(&self, other: &Self) -> BTreeMap<TreePath, Node> {
        let targets = other.nodes.values().filter_map(|node| match &node.kind {
            Kind::Hardlink(target) => Some(target),
            _ => None,
        });
        targets.filter_map(|target| Some((target.clone(), self.get(target)?.clone()))).collect()
    }

    /// Turns the hard links to files of another tree into a file and links to it.
    fn adopt(&mut self, files: &BTreeMap<TreePath, Node>) {
        let mut adopted: BTreeMap<TreePath, TreePath> = BTreeMap::new();
        for (path, node) in &mut self.nodes {
            let Kind::Hardlink(target) = &node.kind else { continue };
            let Some(file) = files.get(target) else { continue };
            if let Some(first) = adopted.get(target) {
                node.kind = Kind::Hardlink(first.clone());
            } else {
                adopted.insert(target.clone(), path.clone());
                *node = file.clone();
            }
        }
    }

    /// All paths and nodes in order.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Node)> {
        self.nodes.iter()
    }

    /// How many paths there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no paths.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

impl IntoIterator for FileTree {
    type Item = (TreePath, Node);
    type IntoIter = std::collections::btree_map::IntoIter<TreePath, Node>;

    fn into_iter(self) -> Self::IntoIter {
        self.nodes.into_iter()
    }
}

impl FromIterator<(TreePath, Node)> for FileTree {
    fn from_iter<I: IntoIterator<Item = (TreePath, Node)>>(nodes: I) -> Self {
        Self { nodes: nodes.into_iter().collect() }
    }
}

impl Extend<(TreePath, Node)> for FileTree {
    fn extend<I: IntoIterator<Item = (TreePath, Node)>>(&mut self, nodes: I) {
        self.nodes.extend(nodes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leaves_the_tree_cannot_be_made() {
        for bad in ["", "/", "/a", "..", "a/../b", "a//b", "a/./b", "a\0b", "./"] {
            assert!(TreePath::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(TreePath::new("./a/b/").unwrap().to_string(), "a/b");
    }

    #[test]
    fn a_directory_is_followed_by_what_is_in_it() {
        let mut paths: Vec<_> =
            ["a-b", "a/b", "a", "a.c"].iter().map(|p| TreePath::new(p).unwrap()).collect();
        paths.sort();
        assert_eq!(paths.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "a/b", "a-b", "a.c"]);
    }

    proptest::proptest! {
        #[test]
        fn paths_sort_by_component(left in "[ab.\\-é]{1,2}(/[ab.\\-é]{1,2}){0,3}", right in "[ab.\\-é]{1,2}(/[ab.\\-é]{1,2}){0,3}") {
            if let (Ok(left), Ok(right)) = (TreePath::new(&left), TreePath::new(&right)) {
                proptest::prop_assert_eq!(left.cmp(&right), left.components().cmp(right.components()));
            }
        }
    }

    #[test]
    fn a_hard_link_that_loses_its_file_becomes_one() {
        let path = |text: &str| TreePath::new(text).unwrap();
        let link = |target: &str| Node { kind: Kind::Hardlink(path(target)), ..Node::directory() };
        let mut tree = FileTree::new();
        tree.insert(path("a/file"), Node::file(vec![1, 2], 0o640));
        for name in ["a/link", "b/one", "b/two"] {
            tree.insert(path(name), link("a/file"));
        }
        let (passing, rest) = tree.partition(|path, _| path.to_string().starts_with('a'));
        let kinds = |tree: &FileTree| -> Vec<String> {
            tree.iter().map(|(path, node)| format!("{path} {:?} {:o}", node.kind, node.mode)).collect()
        };
        assert_eq!(kinds(&passing), ["a/file File(Bytes([1, 2])) 640", "a/link Hardlink(\"a/file\") 755"]);
        assert_eq!(kinds(&rest), ["b/one File(Bytes([1, 2])) 640", "b/two Hardlink(\"b/one\") 755"]);
    }

    #[test]
    fn missing_parents_become_directories_of_root() {
        let mut tree = FileTree::new();
        tree.insert(TreePath::new("a/b/c").unwrap(), Node::file(vec![1], 0o644));
        tree.fill_parents();
        let paths: Vec<_> = tree.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c"]);
    }
}
