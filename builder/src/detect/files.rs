//! Reads the files of an app, by name, for detection: bounded, and only those of the source.

use std::ops::Range;

use lapstrake_oci::tree::{Content, FileTree, Kind, TreePath};

use crate::app_file::{Position, Span, decode};

use super::DetectError;

/// The largest file that is read; lock files of large apps have a few MiB.
const LIMIT: u64 = 16 << 20;

/// How many symbolic links are followed on the way to one file; the kernel's own limit.
const FOLLOWED: usize = 40;

/// The files of the app's directory.
///
/// Names are relative to that directory and may lead elsewhere in the source (`../shared/requirements.txt`). Symbolic
/// links are followed as installers follow them, but never out of the source: what lies outside is not there.
pub(crate) struct Files<'t> {
    tree: &'t FileTree,
    directory: Option<&'t TreePath>,
}

/// A file's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// The file, relative to the root of the source, as it is named in messages.
    pub(crate) file: String,
    /// What it holds.
    pub(crate) text: String,
}

impl Text {
    /// The place of a stretch of bytes.
    pub(super) fn span(&self, bytes: &Range<usize>) -> Span {
        Span { start: self.position(bytes.start), end: self.position(bytes.end) }
    }

    fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Position { line, column }
    }
}

impl<'t> Files<'t> {
    pub(crate) fn new(tree: &'t FileTree, directory: Option<&'t TreePath>) -> Self {
        Self { tree, directory }
    }

    /// The name of a file relative to the root of the source, for messages.
    pub(crate) fn name(&self, name: &str) -> String {
        match normal(self.directory, name) {
            Some(path) => {
                TreePath::new(path.join(&b'/')).map_or_else(|_| name.to_owned(), |path| path.to_string())
            }
            None => name.to_owned(),
        }
    }

    /// Tells whether there is a regular file of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.content(name).is_some()
    }

    /// Tells whether there is a directory of this name.
    pub(super) fn has_directory(&self, name: &str) -> bool {
        self.resolve(name)
            .is_some_and(|path| self.tree.get(&path).is_some_and(|node| matches!(node.kind, Kind::Directory)))
    }

    /// Reads a file as UTF-8; none when there is no such file.
    pub(crate) fn text(&self, name: &str) -> Result<Option<Text>, DetectError> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        let file = self.name(name);
        match decode(&file, &bytes) {
            Ok(text) => Ok(Some(Text { text: text.trim_start_matches('\u{feff}').to_owned(), file })),
            Err(diagnostic) => Err(DetectError::malformed(diagnostic, "")),
        }
    }

    /// Reads a file; none when there is no such file.
    pub(super) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, DetectError> {
        let Some(content) = self.content(name) else { return Ok(None) };
        if content.len() > LIMIT {
            let path = self.name(name);
            return Err(DetectError::TooLarge { path, found: content.len(), limit: LIMIT });
        }
        let failed = |source| DetectError::Unreadable { path: self.name(name), source };
        content.read().map(Some).map_err(failed)
    }

    /// The length of a file in bytes; none when there is no such file.
    pub(super) fn len(&self, name: &str) -> Option<u64> {
        self.content(name).map(Content::len)
    }

    /// The names of what lies directly in a directory, in order; nothing when there is no such directory.
    pub(super) fn names_in(&self, directory: &str) -> Vec<String> {
        let base = self.resolve(directory);
        let names = self.tree.iter().filter(|(path, _)| path.parent() == base).map(|(path, _)| path.name());
        let is_there = base.is_some() || self.is_root(directory);
        names.filter(|_| is_there).filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect()
    }

    /// The directories below one that hold a file of this name, relative to it, in order; empty for that one itself.
    pub(super) fn directories_with(&self, directory: &str, name: &str) -> Vec<String> {
        let base = self.resolve(directory);
        let is_there = base.is_some() || self.is_root(directory);
        let below = |path: &TreePath| {
            let parent = path.as_bytes().strip_suffix(name.as_bytes())?;
            let parent = String::from_utf8(parent.to_vec()).ok()?;
            let base = base.as_ref().map(|base| format!("{base}/")).unwrap_or_default();
            parent.strip_prefix(base.as_str()).map(|below| below.trim_end_matches('/').to_owned())
        };
        let named = self.tree.iter().filter(|(path, node)| {
            path.name() == name.as_bytes()
                && is_there
                && matches!(node.kind, Kind::File(_) | Kind::Hardlink(_))
        });
        named.filter_map(|(path, _)| below(path)).collect()
    }

    fn is_root(&self, directory: &str) -> bool {
        normal(self.directory, directory).is_some_and(|path| path.is_empty())
    }

    fn content(&self, name: &str) -> Option<&'t Content> {
        match &self.tree.get(&self.resolve(name)?)?.kind {
            Kind::File(content) => Some(content),
            Kind::Hardlink(target) => match &self.tree.get(target)?.kind {
                Kind::File(content) => Some(content),
                _ => None,
            },
            _ => None,
        }
    }

    /// The path that a name leads to inside the source, links followed; none when it leads out or nowhere, or is the
    /// root.
    fn resolve(&self, name: &str) -> Option<TreePath> {
        let mut left: Vec<Vec<u8>> = parts(name.as_bytes()).collect();
        left.extend(
            self.directory.into_iter().flat_map(|directory| parts(directory.as_bytes()).collect::<Vec<_>>()),
        );
        let mut at: Vec<Vec<u8>> = Vec::new();
        let mut followed = 0;
        while let Some(part) = left.pop() {
            if part == b".." {
                at.pop()?;
                continue;
            }
            at.push(part);
            let path = TreePath::new(at.join(&b'/')).ok()?;
            if let Kind::Symlink(target) = &self.tree.get(&path)?.kind {
                followed += 1;
                if target.starts_with(b"/") || followed > FOLLOWED {
                    return None;
                }
                at.pop();
                left.extend(parts(target));
            }
        }
        TreePath::new(at.join(&b'/')).ok().filter(|path| self.tree.get(path).is_some())
    }
}

/// The components of a path, last one first, without those that say nothing.
fn parts(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.map(<[u8]>::to_vec).rev()
}

/// The components of a name by its letters alone; none when it leads out of the source.
fn normal(directory: Option<&TreePath>, name: &str) -> Option<Vec<Vec<u8>>> {
    if name.starts_with('/') {
        return None;
    }
    let mut at: Vec<Vec<u8>> =
        directory.map(|path| path.components().map(<[u8]>::to_vec).collect()).unwrap_or_default();
    for part in parts(name.as_bytes()).collect::<Vec<_>>().into_iter().rev() {
        if part == b".." {
            at.pop()?;
        } else {
            at.push(part);
        }
    }
    Some(at)
}

#[cfg(test)]
pub(super) mod tests {
    use lapstrake_oci::tree::Node;

    use super::*;

    /// A tree of files with these texts.
    pub(in crate::detect) fn tree(files: &[(&str, &str)]) -> FileTree {
        let mut tree = FileTree::new();
        for (path, text) in files {
            tree.insert(TreePath::new(path).unwrap(), Node::file(text.as_bytes().to_vec(), 0o644));
        }
        tree.fill_parents();
        tree
    }

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    #[test]
    fn a_file_is_found_below_the_directory_of_the_app_and_beside_it() {
        let tree = tree(&[("web/a.txt", "a"), ("b.txt", "b")]);
        let directory = path("web");
        let files = Files::new(&tree, Some(&directory));
        assert!(files.has("a.txt") && files.has("./a.txt") && !files.has("b.txt") && !files.has("web/a.txt"));
        let found = files.text("../b.txt").unwrap().unwrap();
        assert_eq!((found.file.as_str(), found.text.as_str()), ("b.txt", "b"));
        assert_eq!(files.name("x/../a.txt"), "web/a.txt");
        assert!(files.text("../../b.txt").unwrap().is_none(), "it leaves the source");
        assert!(!files.has(".."), "a directory is no file");
    }

    #[test]
    fn links_are_followed_inside_the_source_only() {
        let mut tree = tree(&[("shared/r.txt", "shared")]);
        for (at, target) in [
            ("web/r.txt", "../shared/r.txt"),
            ("web/all", "../shared"),
            ("web/out.txt", "../../r.txt"),
            ("web/absolute.txt", "/shared/r.txt"),
            ("web/loop", "loop"),
            ("web/gone", "nothing"),
        ] {
            tree.insert(path(at), Node::symlink(target));
        }
        tree.fill_parents();
        let directory = path("web");
        let files = Files::new(&tree, Some(&directory));
        assert_eq!(files.text("r.txt").unwrap().unwrap().text, "shared");
        assert_eq!(files.text("all/r.txt").unwrap().unwrap().file, "web/all/r.txt");
        for name in ["out.txt", "absolute.txt", "loop", "gone", "all"] {
            assert!(!files.has(name), "{name}");
        }
        assert!(files.has_directory("all") && !files.has_directory("r.txt"));
    }

    #[test]
    fn names_of_a_directory_are_those_directly_in_it() {
        let tree = tree(&[("web/src/app/main.py", ""), ("web/src/b.py", ""), ("c.py", "")]);
        let directory = path("web");
        assert_eq!(Files::new(&tree, Some(&directory)).names_in("src"), ["app", "b.py"]);
        assert_eq!(Files::new(&tree, Some(&directory)).names_in(""), ["src"]);
        assert_eq!(Files::new(&tree, None).names_in(""), ["c.py", "web"]);
        assert!(Files::new(&tree, None).names_in("nothing").is_empty());
        assert!(Files::new(&tree, None).names_in("../..").is_empty());
    }

    #[test]
    fn directories_are_found_by_a_file_in_them() {
        let tree = tree(&[
            ("web/a/x.json", ""),
            ("web/x.json", ""),
            ("web/b/c/x.json", ""),
            ("y/x.json", ""),
            ("web/ax.json", ""),
        ]);
        let (web, y) = (path("web"), path("y"));
        assert_eq!(Files::new(&tree, Some(&web)).directories_with("", "x.json"), ["a", "b/c", ""]);
        assert_eq!(Files::new(&tree, Some(&y)).directories_with("../web/b", "x.json"), ["c"]);
        assert_eq!(Files::new(&tree, Some(&y)).directories_with("..", "x.json").len(), 4);
        assert!(Files::new(&tree, None).directories_with("nothing", "x.json").is_empty());
    }

    #[test]
    fn a_byte_order_mark_is_dropped_and_what_is_no_text_is_an_error_with_its_place() {
        let mut tree = tree(&[("a.txt", "\u{feff}a")]);
        tree.insert(path("b.txt"), Node::file(b"x\n\xff".to_vec(), 0o644));
        let files = Files::new(&tree, None);
        assert_eq!(files.text("a.txt").unwrap().unwrap().text, "a");
        assert_eq!(files.text("b.txt").unwrap_err().to_string(), "b.txt:2:1: error: the file is not UTF-8");
    }

    #[test]
    fn a_file_past_the_limit_is_refused_by_size() {
        let mut tree = FileTree::new();
        let content = Content::path("/nowhere", LIMIT + 1);
        tree.insert(path("uv.lock"), Node::file(content, 0o644));
        let files = Files::new(&tree, None);
        let error = files.bytes("uv.lock").unwrap_err().to_string();
        assert_eq!(error, "`uv.lock` has 16777217 bytes, more than the limit of 16777216");
    }
}
