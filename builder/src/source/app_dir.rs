//! Which directory of the source holds the app.

use lapstrake_oci::tree::{FileTree, Kind, TreePath};

use super::path::printable;

/// Why `--source-dir` names no directory of the source.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no directory of the source: {reason}")]
pub struct AppDirError {
    /// What was given, made printable.
    pub given: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Finds the directory of the app: a path inside the source, with or without a leading slash. None is the root.
///
/// Symbolic links are not followed: what is built is what is named.
pub fn app_dir(tree: &FileTree, given: &str) -> Result<Option<TreePath>, AppDirError> {
    let fail = |reason| AppDirError { given: printable(given.as_bytes()), reason };
    let Some(path) = app_path(given)? else { return Ok(None) };
    match tree.get(&path).map(|node| &node.kind) {
        Some(Kind::Directory) => Ok(Some(path)),
        Some(Kind::Symlink(_)) => Err(fail("it is a symbolic link")),
        Some(_) => Err(fail("it is not a directory")),
        None => Err(fail("it does not exist")),
    }
}

/// The path that a user means by the directory of the app, whether or not it is there. None is the root.
pub fn app_path(given: &str) -> Result<Option<TreePath>, AppDirError> {
    let fail = |reason| AppDirError { given: printable(given.as_bytes()), reason };
    let mut names = Vec::new();
    for name in given.split('/').filter(|name| !name.is_empty() && *name != ".") {
        match name {
            ".." if names.pop().is_none() => return Err(fail("it leaves the source")),
            ".." => {}
            name => names.push(name),
        }
    }
    if names.is_empty() {
        return Ok(None);
    }
    TreePath::new(names.join("/")).map(Some).map_err(|error| fail(error.reason))
}

#[cfg(test)]
mod tests {
    use lapstrake_oci::tree::Node;

    use super::*;

    // validation source-directory
    #[test]
    fn a_directory_of_the_source_is_found_and_nothing_else() {
        let mut tree = FileTree::new();
        tree.insert(TreePath::new("apps/web/main.py").unwrap(), Node::file(vec![1], 0o644));
        tree.insert(TreePath::new("link").unwrap(), Node::symlink("apps"));
        tree.fill_parents();
        for root in ["", "/", ".", "./", "apps/.."] {
            assert_eq!(app_dir(&tree, root), Ok(None), "{root}");
        }
        for web in ["apps/web", "/apps/web/", "./apps//web", "apps/x/../web"] {
            assert_eq!(app_dir(&tree, web), Ok(Some(TreePath::new("apps/web").unwrap())), "{web}");
        }
        for (bad, reason) in [
            ("..", "it leaves the source"),
            ("/apps/../../etc", "it leaves the source"),
            ("api", "it does not exist"),
            ("apps/web/main.py", "it is not a directory"),
            ("link", "it is a symbolic link"),
            ("link/web", "it does not exist"),
        ] {
            assert_eq!(app_dir(&tree, bad).unwrap_err().reason, reason, "{bad}");
        }
    }
}
