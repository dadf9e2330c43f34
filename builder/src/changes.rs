//! From what the build commands changed to what reaches the image.
//!
//! The changes outside of `/app` come in as an overlay recorded them over the build layers. What goes out is a tree of
//! what an image has on top of the run layers. Paths are relative to the root of the image.

use std::collections::BTreeSet;

use lapstrake_oci::tree::{FileTree, Kind, Node, Owner, TreePath};

/// The user and group that an app runs as, and that own `/app`, unless the runtime or the user of this program says
/// otherwise.
pub const APP_OWNER: Owner = Owner { uid: 1000, gid: 1000 };

/// What an overlay recorded.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// New and changed paths, and whiteouts for paths that are gone.
    pub tree: FileTree,
    /// Directories that hide everything below them in lower layers.
    pub opaque: BTreeSet<TreePath>,
}

impl Recorded {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty() && self.opaque.is_empty()
    }
}

/// The paths of a stack of layers, as one tree without contents.
pub type Listing = std::collections::BTreeMap<TreePath, Entry>;

/// What a path of a lower layer is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// What of the changes outside `/app` reaches the image.
///
/// `build` and `run` list the layers that the commands ran on and those that the image has. A path that only the build
/// layers have is theirs, and a change to it is left out; a whiteout is kept only for a path that the run layers have.
#[must_use]
pub fn kept(recorded: Recorded, build: &Listing, run: &Listing) -> FileTree {
    let mut hidden = BTreeSet::new();
    for directory in &recorded.opaque {
        for (path, _) in run.range(directory.clone()..).take_while(|(path, _)| path.is_within(directory)) {
            if path != directory
                && recorded.tree.get(path).is_none()
                && path.parent().as_ref() == Some(directory)
            {
                hidden.insert(path.clone());
            }
        }
    }
    let (changed, _) = recorded
        .tree
        .partition(|path, node| !is_left_out(path) && is_of_the_image(node, build.get(path), run.get(path)));
    // Only a directory that something kept lies in is worth an entry, when the build layers have it as well.
    let is_of_the_toolchain =
        |path: &TreePath, node: &Node| matches!(node.kind, Kind::Directory) && build.contains_key(path);
    let (directories, mut tree) = changed.partition(is_of_the_toolchain);
    for path in hidden.into_iter().filter(|path| !is_left_out(path)) {
        tree.insert(path, Node { kind: Kind::Whiteout, mode: 0, owner: Owner::default() });
    }
    let used: Vec<_> = directories
        .into_iter()
        .filter(|(directory, _)| tree.iter().any(|(path, _)| path.is_within(directory)))
        .collect();
    tree.extend(used);
    tree
}

/// Whether a change is one of the image: not of a directory that it has anyway, and not of the toolchain.
fn is_of_the_image(node: &Node, in_build: Option<&Entry>, in_run: Option<&Entry>) -> bool {
    match &node.kind {
        Kind::Whiteout => in_run.is_some(),
        Kind::Directory => in_run != Some(&Entry::Directory),
        Kind::File(_) | Kind::Symlink(_) | Kind::Hardlink(_) => in_build.is_none() || in_run.is_some(),
    }
}

/// Whether a path belongs to the user of the app.
#[must_use]
pub fn is_of_app(path: &TreePath) -> bool {
    let parts: Vec<&[u8]> = path.components().take(2).collect();
    matches!(parts.as_slice(), [b"app", ..] | [b"home", b"app"])
}

/// Places whose content is temporary, a cache, or the machine's.
#[must_use]
pub fn is_left_out(path: &TreePath) -> bool {
    let parts: Vec<&[u8]> = path.components().collect();
    let temporary = match parts.as_slice() {
        [b"tmp" | b"run" | b"proc" | b"sys" | b"dev" | b"app", ..]
        | [b"var", b"tmp" | b"cache" | b"log", ..]
        | [b"etc", b"hosts" | b"resolv.conf" | b"hostname"] => true,
        [b"root", cache, ..] | [b"home", _, cache, ..] => is_cache(cache),
        _ => false,
    };
    temporary || is_left_out_of_app(path)
}

fn is_cache(name: &[u8]) -> bool {
    matches!(
        name,
        b".cache" | b".npm" | b".yarn" | b".pnpm-store" | b".node-gyp" | b".python_history" | b".wget-hsts"
    )
}

/// What stays out of the image although commands may see it: a repository's own files, whether `.git` is a directory,
/// or a file or link that leads to one, and byte code, which differs from run to run.
#[must_use]
pub fn is_left_out_of_app(path: &TreePath) -> bool {
    let parts: Vec<&[u8]> = path.components().collect();
    parts.iter().any(|part| matches!(*part, b".git" | b"__pycache__"))
        || parts.first() == Some(&b".pnpm-store".as_slice())
        || parts.windows(2).any(|pair| is_installers_own(pair[0], pair[1]))
}

/// What package managers of Node.js write for their own next run, with the time and the registry in it, and the caches
/// that tools keep among packages. No app reads them, and they would make every build of an app another one.
fn is_installers_own(directory: &[u8], name: &[u8]) -> bool {
    match directory {
        b"node_modules" => matches!(
            name,
            b".cache"
                | b".modules.yaml"
                | b".pnpm-task-run-state-v1"
                | b".pnpm-workspace-state.json"
                | b".pnpm-workspace-state-v1.json"
                | b".vite"
                | b".vite-temp"
                | b".yarn-integrity"
                | b".yarn-state.yml"
        ),
        b".yarn" => matches!(name, b"build-state.yml" | b"install-state.gz"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn file() -> Node {
        Node::file(b"x".to_vec(), 0o644)
    }

    fn tree(nodes: Vec<(&str, Node)>) -> FileTree {
        let mut tree = FileTree::new();
        tree.extend(nodes.into_iter().map(|(at, node)| (path(at), node)));
        tree
    }

    fn names(tree: &FileTree) -> Vec<String> {
        tree.iter().map(|(path, _)| path.to_string()).collect()
    }

    fn listing(paths: &[(&str, Entry)]) -> Listing {
        paths.iter().map(|(at, entry)| (path(at), *entry)).collect()
    }

    fn whiteout() -> Node {
        Node { kind: Kind::Whiteout, mode: 0, owner: Owner::default() }
    }

    #[test]
    fn installed_packages_are_kept_and_temporary_places_are_not() {
        let recorded = Recorded {
            tree: tree(vec![
                ("usr", Node::directory()),
                ("usr/lib", Node::directory()),
                ("usr/lib/flask", Node::directory()),
                ("usr/lib/flask/app.py", file()),
                ("usr/lib/flask/__pycache__", Node::directory()),
                ("usr/lib/flask/__pycache__/app.pyc", file()),
                ("tmp/x", file()),
                ("home/app/.cache/pip/x", file()),
                ("home/app/.local/bin/x", file()),
                ("etc/resolv.conf", file()),
                ("opt/tool/.git", Node::directory()),
                ("opt/tool/.git/HEAD", file()),
                ("opt/tool/sub/.git", file()),
            ]),
            ..Recorded::default()
        };
        let lower = listing(&[("usr", Entry::Directory), ("usr/lib", Entry::Directory)]);
        let kept = kept(recorded, &lower, &lower);
        assert_eq!(names(&kept), ["home/app/.local/bin/x", "usr/lib/flask", "usr/lib/flask/app.py"]);
        let owner = Owner { uid: 2, gid: 3 };
        let trees = crate::layering::app_trees(FileTree::new(), kept, owner);
        let owner_of = |at: &str| trees.0[0].tree.get(&path(at)).unwrap().owner;
        assert_eq!(owner_of("home/app/.local/bin/x"), owner);
        assert_eq!(owner_of("usr/lib/flask/app.py"), Owner::default());
    }

    #[test]
    fn a_change_to_the_toolchain_is_left_out() {
        let recorded = Recorded {
            tree: tree(vec![
                ("usr/pip", Node::directory()),
                ("usr/pip/main.py", file()),
                ("usr/pip/old.py", whiteout()),
                ("usr/site", Node::directory()),
                ("usr/site/new.py", file()),
            ]),
            ..Recorded::default()
        };
        let build = listing(&[
            ("usr/pip", Entry::Directory),
            ("usr/pip/main.py", Entry::Other),
            ("usr/pip/old.py", Entry::Other),
            ("usr/site", Entry::Directory),
        ]);
        assert_eq!(names(&kept(recorded, &build, &listing(&[]))), ["usr/site", "usr/site/new.py"]);
    }

    #[test]
    fn a_whiteout_is_kept_for_what_the_image_has() {
        let recorded = Recorded {
            tree: tree(vec![("usr/a", whiteout()), ("usr/b", whiteout())]),
            ..Recorded::default()
        };
        let run = listing(&[("usr/a", Entry::Other)]);
        assert_eq!(names(&kept(recorded, &run, &run)), ["usr/a"]);
    }

    #[test]
    fn a_replaced_directory_hides_what_it_held() {
        let recorded = Recorded {
            tree: tree(vec![("usr/d", Node::directory()), ("usr/d/new", file())]),
            opaque: [path("usr/d")].into(),
        };
        let run = listing(&[
            ("usr/d", Entry::Directory),
            ("usr/d/old", Entry::Directory),
            ("usr/d/old/x", Entry::Other),
        ]);
        let kept = kept(recorded, &run, &run);
        assert_eq!(names(&kept), ["usr/d/new", "usr/d/old"]);
        assert!(matches!(kept.get(&path("usr/d/old")).unwrap().kind, Kind::Whiteout));
    }

    #[test]
    fn what_installers_note_for_themselves_is_left_out_and_what_apps_load_is_not() {
        for out in [
            ".git/HEAD",
            ".pnpm-store/v10/files",
            ".yarn/install-state.gz",
            "node_modules/.cache/babel/x.json",
            "node_modules/.modules.yaml",
            "node_modules/.yarn-integrity",
            "packages/api/node_modules/.cache",
        ] {
            assert!(is_left_out_of_app(&path(out)), "{out}");
        }
        for kept in [
            ".cache/x",
            ".modules.yaml",
            ".yarn/cache/x.zip",
            "node_modules/.bin/next",
            "node_modules/.package-lock.json",
            "node_modules/.pnpm/lock.yaml",
            "node_modules/.prisma/client/index.js",
            "packages/.pnpm-store",
        ] {
            assert!(!is_left_out_of_app(&path(kept)), "{kept}");
        }
    }
}
