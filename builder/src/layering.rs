//! How the files of an app become layers.
//!
//! Dependencies lie apart from the app, and big parts of both apart from the rest: a change costs what it is in. The
//! split depends on names and sizes alone, so that it is the same from build to build and on every machine.

use std::collections::BTreeSet;
use std::fmt;

use lapstrake_oci::tree::{FileTree, Kind, Node, Owner, TreePath};

use crate::changes::is_of_app;

/// What is a layer of its own has at least so many bytes.
const BIG: u64 = 32 << 20;
/// How many big parts of the dependencies, and of the app, are layers of their own. Where there are more, only those that
/// have twice the size count, and so on: together with those of the runtime, layers stay far below the 127 that many
/// programs can mount.
const PARTS: usize = 6;

/// What a layer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What was installed: everything outside `/app`, and `node_modules`, `site-packages` and virtual environments in it.
    Dependencies,
    /// The rest of `/app`.
    App,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Dependencies, Self::App];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dependencies => "dependencies",
            Self::App => "app",
        }
    }
}

/// What becomes a layer.
pub struct LayerTree {
    /// What it holds.
    pub role: Role,
    /// The file or directory that it was made for; none for what is left.
    pub part: Option<TreePath>,
    /// The files.
    pub tree: FileTree,
}

impl LayerTree {
    /// Why it is a layer of its own.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match (self.role, &self.part) {
            (_, Some(_)) => "a big part, which stays while the rest changes",
            (Role::Dependencies, None) => "what was installed, which changes less often than the app",
            (Role::App, None) => "the rest of the app",
        }
    }
}

impl fmt::Display for LayerTree {
    /// The role and the part: `dependencies, app/node_modules/next`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.role.name())?;
        self.part.iter().try_for_each(|part| write!(f, ", {part}"))
    }
}

/// The trees that become the layers of an app, lowest first.
pub struct AppTrees(pub Vec<LayerTree>);

impl AppTrees {
    /// The files of each.
    #[must_use]
    pub fn trees(&self) -> Vec<&FileTree> {
        self.0.iter().map(|layer| &layer.tree).collect()
    }
}

/// Sorts the result of a build into the layers of the app. `/app` and the home directory belong to `owner`, who runs
/// the app; everything else to root.
#[must_use]
pub fn app_trees(app: FileTree, outside: FileTree, owner: Owner) -> AppTrees {
    let given = |(path, node): (TreePath, Node)| {
        let owner = if is_of_app(&path) { owner } else { Owner::default() };
        (path, Node { owner, ..node })
    };
    let app: FileTree = app.into_iter().map(given).collect();
    let mut homes = Homes::default();
    homes.find_in(&app, TreePath::new("app").ok().as_ref());
    let (mut dependencies, app) = app.partition(|path, node| {
        let is_above = matches!(node.kind, Kind::Directory) && homes.is_below(path);
        // Each directory appears once.
        is_above || homes.outermost.iter().any(|home| path.is_within(home))
    });
    homes.find_in(&outside, None);
    dependencies.extend(outside.into_iter().map(given));
    let mut layers = split(Role::Dependencies, dependencies, &homes);
    layers.extend(split(Role::App, app, &homes));
    AppTrees(layers)
}

/// What installers fill.
#[derive(Default)]
pub struct Homes {
    /// The outermost directories, and the files by which yarn's Plug'n'Play finds its packages.
    outermost: Vec<TreePath>,
    /// Directories that pip has installed packages into, known by what it notes of each of them there.
    of_pip: BTreeSet<TreePath>,
}

impl Homes {
    /// Finds those of a tree. `root` is the directory of the app itself, which holds the app even where pip has filled it.
    pub fn find_in(&mut self, tree: &FileTree, root: Option<&TreePath>) {
        for (path, node) in tree.iter() {
            let home = match (&node.kind, path.name()) {
                (Kind::Directory, b"node_modules" | b"site-packages") => Some(path.clone()),
                (Kind::Directory, b"cache" | b"unplugged") if is_in(path, b".yarn") => Some(path.clone()),
                (Kind::File(_), b".pnp.cjs" | b".pnp.js" | b".pnp.loader.mjs" | b".pnp.data.json") => {
                    Some(path.clone())
                }
                (Kind::File(_), b"pyvenv.cfg") => path.parent(),
                (Kind::File(_), b"METADATA") => {
                    let home = installed_into(path).filter(|home| Some(home) != root);
                    self.of_pip.extend(home.clone());
                    home
                }
                _ => None,
            };
            if let Some(home) = home
                && !self.outermost.iter().any(|outer| home.is_within(outer))
            {
                self.outermost.retain(|inner| !inner.is_within(&home));
                self.outermost.push(home);
            }
        }
    }

    /// Whether a path lies in what an installer of Python's packages has filled.
    #[must_use]
    pub fn has_python(&self, path: &TreePath) -> bool {
        let is_named = path.components().any(|part| part == b"site-packages");
        is_named || self.of_pip.iter().any(|home| path.is_within(home))
    }

    /// Whether one of them is a path or lies below it.
    fn is_below(&self, path: &TreePath) -> bool {
        self.outermost.iter().chain(&self.of_pip).any(|home| home.is_within(path))
    }

    /// Whether an installer fills a directory with one package.
    fn is_package(&self, path: &TreePath) -> bool {
        let Some(parent) = path.parent() else { return false };
        let is_scope = |path: &TreePath| path.name().starts_with(b"@") || path.name() == b".pnpm";
        match parent.name() {
            b"node_modules" => !is_scope(path),
            b"site-packages" | b"dist-packages" => true,
            _ if is_scope(&parent) => parent.parent().is_some_and(|home| home.name() == b"node_modules"),
            _ => self.of_pip.contains(&parent),
        }
    }
}

fn is_in(path: &TreePath, directory: &[u8]) -> bool {
    path.parent().is_some_and(|parent| parent.name() == directory)
}

/// The directory that a package was installed into whose `NAME.dist-info/METADATA` this is (Recording Installed Packages,
/// "The .dist-info directory").
fn installed_into(metadata: &TreePath) -> Option<TreePath> {
    let info = metadata.parent()?;
    if info.name().ends_with(b".dist-info") { info.parent() } else { None }
}

/// Takes the big parts of a tree out of it.
fn split(role: Role, tree: FileTree, homes: &Homes) -> Vec<LayerTree> {
    let parts = big_parts(&tree, homes);
    let rest = parts.len();
    // The innermost come first.
    let place = |path: &TreePath| parts.iter().position(|part| path.is_within(part)).unwrap_or(rest);
    let mut trees = tree.divide(rest + 1, |path, _| place(path));
    let rest = trees.pop().unwrap_or_default();
    let mut layers: Vec<LayerTree> =
        parts.into_iter().zip(trees).map(|(part, tree)| LayerTree { role, part: Some(part), tree }).collect();
    // What lies on the way to a part is in it as well: no layer depends on which others there are.
    for (path, node) in rest.iter().filter(|(_, node)| matches!(node.kind, Kind::Directory)) {
        for layer in &mut layers {
            if layer.part.as_ref().is_some_and(|part| part.is_within(path)) {
                layer.tree.insert(path.clone(), node.clone());
            }
        }
    }
    layers.sort_by(|left, right| left.part.cmp(&right.part));
    let is_there = |path: &TreePath| layers.iter().any(|layer| layer.tree.get(path).is_some());
    let is_new = |(path, node): (&TreePath, &Node)| !matches!(node.kind, Kind::Directory) || !is_there(path);
    if rest.iter().any(is_new) {
        layers.push(LayerTree { role, part: None, tree: rest });
    }
    layers
}

/// The big parts of a tree, each before the one that it lies in.
fn big_parts(tree: &FileTree, homes: &Homes) -> Vec<TreePath> {
    let mut least = BIG;
    loop {
        let mut walk = Walk { homes, least, stack: Vec::new(), parts: Vec::new() };
        for (path, node) in tree.iter() {
            walk.enter(path, node);
        }
        walk.leave_all_but(0);
        if walk.parts.len() <= PARTS {
            return walk.parts;
        }
        // Sizes of what is not on this machine are what somebody said they are.
        let Some(more) = least.checked_mul(2) else { return Vec::new() };
        least = more;
    }
}

/// A walk through a tree in the order of its paths.
struct Walk<'t> {
    homes: &'t Homes,
    least: u64,
    /// The directories on the way.
    stack: Vec<Directory<'t>>,
    parts: Vec<TreePath>,
}

struct Directory<'t> {
    path: &'t TreePath,
    /// The bytes in it that belong to no part yet.
    bytes: u64,
    may_be_part: bool,
    /// Whether it is a package, or lies in one: those stay in one piece.
    is_whole: bool,
}

impl<'t> Walk<'t> {
    fn enter(&mut self, path: &'t TreePath, node: &Node) {
        let depth = self.stack.iter().take_while(|directory| path.is_within(directory.path)).count();
        self.leave_all_but(depth);
        let is_whole = self.stack.last().is_some_and(|above| above.is_whole);
        match &node.kind {
            Kind::Directory => {
                let is_package = !is_whole && self.homes.is_package(path);
                let may_be_part = !is_whole && path.parent().is_some() && !self.homes.is_below(path);
                self.stack.push(Directory { path, bytes: 0, may_be_part, is_whole: is_whole || is_package });
            }
            Kind::File(content) if content.len() >= self.least && !is_whole => self.parts.push(path.clone()),
            Kind::File(content) => {
                if let Some(above) = self.stack.last_mut() {
                    above.bytes = above.bytes.saturating_add(content.len());
                }
            }
            Kind::Symlink(_) | Kind::Hardlink(_) | Kind::Whiteout => {}
        }
    }

    fn leave_all_but(&mut self, depth: usize) {
        while self.stack.len() > depth {
            let Some(directory) = self.stack.pop() else { return };
            if directory.may_be_part && directory.bytes >= self.least {
                self.parts.push(directory.path.clone());
            } else if let Some(above) = self.stack.last_mut() {
                above.bytes = above.bytes.saturating_add(directory.bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lapstrake_oci::tree::{Content, ContentDigest};

    use super::*;
    use crate::changes::APP_OWNER;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn file() -> Node {
        Node::file(b"x".to_vec(), 0o644)
    }

    /// A file of so many MiB, whose bytes are nowhere.
    fn big(size: u64) -> Node {
        Node::file(Content::elsewhere(ContentDigest::of(b""), size << 20), 0o644)
    }

    fn tree(nodes: Vec<(&str, Node)>) -> FileTree {
        let mut tree = FileTree::new();
        tree.extend(nodes.into_iter().map(|(at, node)| (path(at), node)));
        tree.fill_parents();
        tree
    }

    fn names(tree: &FileTree) -> Vec<String> {
        tree.iter().map(|(path, _)| path.to_string()).collect()
    }

    fn shown(trees: &AppTrees) -> Vec<(String, usize)> {
        trees.0.iter().map(|layer| (layer.to_string(), layer.tree.len())).collect()
    }

    fn layers(nodes: Vec<(&str, Node)>) -> Vec<String> {
        let trees = app_trees(tree(nodes), FileTree::new(), APP_OWNER);
        trees.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sizes_that_cannot_be_do_not_stop_the_division() {
        let endless = || Node::file(Content::elsewhere(ContentDigest::of(b""), u64::MAX), 0o644);
        let names = ["app/a", "app/b", "app/c", "app/d", "app/e", "app/f", "app/g", "app/h"];
        assert_eq!(layers(names.map(|name| (name, endless())).to_vec()), ["app"]);
    }

    // row 41
    #[test]
    fn dependencies_in_app_go_to_the_lower_layer_and_each_directory_appears_once() {
        let app = tree(vec![
            ("app", Node::directory()),
            ("app/web", Node::directory()),
            ("app/web/index.js", file()),
            ("app/web/node_modules", Node::directory()),
            ("app/web/node_modules/x", Node::directory()),
            ("app/web/node_modules/x/node_modules", Node::directory()),
            ("app/venv", Node::directory()),
            ("app/venv/bin/python", file()),
            ("app/venv/pyvenv.cfg", file()),
        ]);
        let trees = app_trees(app, FileTree::new(), APP_OWNER);
        assert_eq!(shown(&trees), [("dependencies".to_owned(), 9), ("app".to_owned(), 1)]);
        assert!(trees.0[0].tree.iter().all(|(_, node)| node.owner == APP_OWNER));
    }

    #[test]
    fn what_plug_and_play_loads_goes_to_the_lower_layer() {
        let app = tree(vec![
            ("app", Node::directory()),
            ("app/.pnp.cjs", file()),
            ("app/.pnp.loader.mjs", file()),
            ("app/.yarn", Node::directory()),
            ("app/.yarn/cache", Node::directory()),
            ("app/.yarn/cache/x.zip", file()),
            ("app/.yarn/releases", Node::directory()),
            ("app/.yarn/releases/yarn.cjs", file()),
            ("app/.yarn/unplugged", Node::directory()),
            ("app/.yarn/unplugged/y", file()),
            ("app/cache", Node::directory()),
            ("app/cache/page.html", file()),
        ]);
        let trees = app_trees(app, FileTree::new(), APP_OWNER);
        assert_eq!(shown(&trees), [("dependencies".to_owned(), 8), ("app".to_owned(), 4)]);
        assert_eq!(
            names(&trees.0[1].tree),
            ["app/.yarn/releases", "app/.yarn/releases/yarn.cjs", "app/cache", "app/cache/page.html"]
        );
    }

    #[test]
    fn a_hard_link_across_layers_becomes_a_file() {
        let app = tree(vec![
            ("app/node_modules", Node::directory()),
            ("app/node_modules/a", Node { kind: Kind::Hardlink(path("app/z")), ..file() }),
            ("app/z", file()),
        ]);
        let trees = app_trees(app, FileTree::new(), APP_OWNER);
        assert!(matches!(trees.0[0].tree.get(&path("app/node_modules/a")).unwrap().kind, Kind::File(_)));
    }

    #[test]
    fn what_pip_was_told_to_fill_goes_to_the_lower_layer_and_an_app_that_it_fills_does_not() {
        let app = tree(vec![
            ("app/main.py", file()),
            ("app/lib/flask/app.py", file()),
            ("app/lib/flask-3.dist-info/METADATA", file()),
            ("app/deps/site-packages/x.py", file()),
            ("app/y-1.dist-info/METADATA", file()),
        ]);
        let trees = app_trees(app, FileTree::new(), APP_OWNER);
        assert_eq!(
            names(&trees.0[1].tree),
            ["app/main.py", "app/y-1.dist-info", "app/y-1.dist-info/METADATA"]
        );
    }

    #[test]
    fn big_packages_and_big_directories_are_layers_of_their_own() {
        let found = layers(vec![
            ("app/main.js", file()),
            ("app/models/a/weights", big(20)),
            ("app/models/b/weights", big(20)),
            ("app/models/huge", big(40)),
            ("app/node_modules/@next/swc/a/binary", big(33)),
            ("app/node_modules/@next/swc/b/binary", big(33)),
            ("app/node_modules/left/index.js", big(31)),
            ("app/node_modules/right/index.js", big(31)),
            ("app/venv/lib/python3.13/site-packages/torch/lib/a.so", big(90)),
            ("app/venv/pyvenv.cfg", file()),
        ]);
        assert_eq!(
            found,
            [
                "dependencies, app/node_modules/@next/swc",
                "dependencies, app/venv/lib/python3.13/site-packages/torch",
                "dependencies",
                "app, app/models",
                "app, app/models/huge",
                "app",
            ]
        );
    }

    #[test]
    fn a_part_has_the_directories_above_it_and_stays_as_it_is_when_others_come_and_go() {
        let nodes = |more: Vec<(&'static str, Node)>| {
            let some = vec![("app/data/x", big(40)), ("app/main.py", file())];
            app_trees(tree(some.into_iter().chain(more).collect()), FileTree::new(), APP_OWNER)
        };
        let (alone, beside) = (nodes(vec![]), nodes(vec![("app/assets/y", big(50)), ("app/data/z", file())]));
        assert_eq!(shown(&alone), [("app, app/data/x".to_owned(), 3), ("app".to_owned(), 3)]);
        let one = |trees: &AppTrees| {
            let layer = trees.0.iter().find(|layer| layer.to_string() == "app, app/data/x").unwrap();
            names(&layer.tree)
        };
        assert_eq!(one(&alone), ["app", "app/data", "app/data/x"]);
        assert_eq!(one(&beside), one(&alone));
    }

    #[test]
    fn where_nothing_is_left_there_is_no_layer_of_it() {
        assert_eq!(layers(vec![("app/data/x", big(40))]), ["app, app/data/x"]);
    }

    #[test]
    fn more_big_parts_than_the_budget_has_room_for_leave_the_biggest() {
        let names: Vec<String> = (0..9).map(|number| format!("app/data{number}/x")).collect();
        let nodes =
            names.iter().zip(0..).map(|(name, number)| (name.as_str(), big(40 + 10 * number))).collect();
        let parts = layers(nodes);
        assert_eq!(parts.len(), 1 + 6, "{parts:?}");
        assert_eq!(parts[0], "app, app/data3/x");
    }
}
