//! A look at a directory that does not read it: the names of what lies there, as far as somebody wants to know.
//!
//! A source is read whole when it is built. Whoever only asks what an app is about should not have to wait for all of
//! `node_modules` to be digested. What is refused in a source is not refused here, but left out: a build refuses it.

use std::collections::VecDeque;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lapstrake_oci::tree::{Content, FileTree, Kind, Node, TreePath};

use super::error::SourceError;
use super::left_out::without;
use super::limits::Limits;
use super::path::{entry_path, printable};

/// How many names are looked at. Repositories with more files of their own are rare, and a look must not take long.
const LIMIT: usize = 20_000;

/// Directories that tools fill, which say nothing of what the app's own files want.
const FILLED_BY_TOOLS: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    ".tox",
    ".venv",
    ".yarn",
    "__pycache__",
    "node_modules",
    "site-packages",
    "venv",
];

/// Looks at what lies directly in the root of a source and in the directories on the way to the app file.
pub fn glance(root: &Path, app_file: &TreePath) -> Result<FileTree, SourceError> {
    let root = canonical(root)?;
    let mut tree = FileTree::new();
    list(&root, None, &mut tree)?;
    let mut above: Vec<TreePath> = std::iter::successors(app_file.parent(), TreePath::parent).collect();
    while let Some(directory) = above.pop() {
        // A link is not followed: whoever asks for the app's directory is told that it is one.
        if !tree.get(&directory).is_some_and(|node| matches!(node.kind, Kind::Directory)) {
            break;
        }
        list(&root, Some(&directory), &mut tree)?;
    }
    without(tree, app_file)
}

/// Looks at everything but what tools fill, directories near the root first, up to a limit.
pub fn glance_below(root: &Path, app_file: &TreePath) -> Result<FileTree, SourceError> {
    without(below(root, LIMIT)?, app_file)
}

fn below(root: &Path, limit: usize) -> Result<FileTree, SourceError> {
    let root = canonical(root)?;
    let mut tree = FileTree::new();
    let mut queue = VecDeque::from([None]);
    while let Some(directory) = queue.pop_front() {
        let found = list(&root, directory.as_ref(), &mut tree)?;
        queue.extend(found.into_iter().filter(|path| !is_filled_by_tools(path)).map(Some));
        if tree.len() >= limit {
            break;
        }
    }
    Ok(tree)
}

fn canonical(root: &Path) -> Result<PathBuf, SourceError> {
    fs_err::canonicalize(root).map_err(|source| failed(root, source))
}

fn failed(path: &Path, source: std::io::Error) -> SourceError {
    SourceError::Read { path: printable(path.as_os_str().as_bytes()), source }
}

fn is_filled_by_tools(path: &TreePath) -> bool {
    FILLED_BY_TOOLS.iter().any(|name| name.as_bytes() == path.name())
}

/// Adds what lies directly in a directory, and returns the directories among it in order.
fn list(
    root: &Path,
    directory: Option<&TreePath>,
    tree: &mut FileTree,
) -> Result<Vec<TreePath>, SourceError> {
    let at = directory.map_or_else(|| root.to_owned(), |directory| directory.below(root));
    let mut directories = Vec::new();
    for entry in fs_err::read_dir(&at).map_err(|source| failed(&at, source))? {
        let entry = entry.map_err(|source| failed(&at, source))?;
        let name = entry.file_name();
        let joined = directory.map_or_else(|| TreePath::new(name.as_bytes()), |at| at.join(name.as_bytes()));
        let Ok(path) = joined else { continue };
        let is_acceptable = entry_path(path.as_bytes(), &Limits::default()).is_ok();
        let Some(node) = node(&entry).filter(|_| is_acceptable) else { continue };
        if matches!(node.kind, Kind::Directory) {
            directories.push(path.clone());
        }
        tree.insert(path, node);
    }
    directories.sort();
    Ok(directories)
}

/// What an entry is; nothing if it is neither file, directory nor link, or went while it was looked at.
fn node(entry: &fs_err::DirEntry) -> Option<Node> {
    let kind = entry.file_type().ok()?;
    if kind.is_dir() {
        return Some(Node::directory());
    }
    if kind.is_symlink() {
        let target = fs_err::read_link(entry.path()).ok()?;
        return Some(Node::symlink(target.as_os_str().as_bytes()));
    }
    let metadata = kind.is_file().then(|| entry.metadata().ok()).flatten()?;
    let mode = if metadata.mode() & 0o111 != 0 { 0o755 } else { 0o644 };
    Some(Node::file(Content::path(entry.path(), metadata.len()), mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, paths: &[&str]) {
        for path in paths {
            let path = root.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "x").unwrap();
        }
    }

    fn paths(tree: &FileTree) -> Vec<String> {
        tree.iter().map(|(path, _)| path.to_string()).collect()
    }

    fn at(path: &str) -> TreePath {
        TreePath::new(path).unwrap()
    }

    #[test]
    fn only_the_directories_on_the_way_to_the_app_are_looked_at() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &["a", "apps/web/b", "apps/web/src/c", "apps/api/d", "node_modules/e"]);
        let tree = glance(root.path(), &at("app.yaml")).unwrap();
        assert_eq!(paths(&tree), ["a", "apps", "node_modules"]);
        let tree = glance(root.path(), &at("apps/web/app.yaml")).unwrap();
        let expected = ["a", "apps", "apps/api", "apps/web", "apps/web/b", "apps/web/src", "node_modules"];
        assert_eq!(paths(&tree), expected);
        for nowhere in ["a/app.yaml", "apps/nothing/x/app.yaml"] {
            assert!(glance(root.path(), &at(nowhere)).is_ok(), "{nowhere}");
        }
    }

    #[test]
    fn a_link_to_a_directory_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &["web/a"]);
        std::os::unix::fs::symlink("web", root.path().join("link")).unwrap();
        assert_eq!(paths(&glance(root.path(), &at("link/app.yaml")).unwrap()), ["link", "web"]);
        assert_eq!(paths(&below(root.path(), LIMIT).unwrap()), ["link", "web", "web/a"]);
    }

    #[test]
    fn what_tools_fill_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &["deep/deeper/a", "node_modules/x/package.json", ".git/HEAD", "web/node_modules/y", "b"],
        );
        let tree = glance_below(root.path(), &at("app.yaml")).unwrap();
        let expected =
            [".git", "b", "deep", "deep/deeper", "deep/deeper/a", "node_modules", "web", "web/node_modules"];
        assert_eq!(paths(&tree), expected);
    }

    #[test]
    fn what_the_ignore_file_leaves_out_is_left_out_but_for_the_app_file() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &["app.yaml", "package.json", "web/a", "web/b"]);
        fs_err::write(root.path().join(".dockerignore"), "*\n!web\nweb/b\n").unwrap();
        let near = glance(root.path(), &at("app.yaml")).unwrap();
        assert_eq!(paths(&near), ["app.yaml", "web"]);
        let below = glance_below(root.path(), &at("web/b")).unwrap();
        assert_eq!(paths(&below), ["web", "web/a", "web/b"]);
    }

    #[test]
    fn what_is_no_file_is_left_out_and_a_directory_that_is_not_there_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &["a"]);
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
        assert_eq!(paths(&glance(root.path(), &at("app.yaml")).unwrap()), ["a"]);
        assert!(glance(&root.path().join("nothing"), &at("app.yaml")).is_err());
    }

    #[test]
    fn a_look_ends_at_its_limit() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &["a", "b", "one/c", "one/d", "two/e"]);
        assert_eq!(paths(&below(root.path(), 5).unwrap()), ["a", "b", "one", "one/c", "one/d", "two"]);
        assert_eq!(below(root.path(), 100).unwrap().len(), 7);
    }
}
