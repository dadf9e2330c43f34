//! The byte code of installed Python packages: compiled once, when they were installed, and not at every start of the app.
//!
//! Installers are told to leave it out, since what they write names times and differs from run to run. Once all commands
//! have run, the sources of packages are compiled as a command of this program's own, so that its result is kept and taken
//! like those of others.

use std::collections::BTreeSet;

use lapstrake_catalog::{Catalog, EntryId};
use lapstrake_oci::tree::{ContentDigest, FileTree, Kind, Node, TreePath};
use lapstrake_sandbox::MemoryFile;

use crate::layering::Homes;
use crate::origin::Origin;
use crate::state::State;
use crate::steps::{Phase, PlannedStep};

/// The program that the interpreter runs.
const DRIVER: &str = include_str!("bytecode/compile.py");
/// Where it is inside the sandbox.
const DRIVER_PATH: &str = "/run/build/bytecode.py";
/// Where the list of sources is.
const LIST_PATH: &str = "/run/build/sources";

/// What compiles the packages of an app.
pub struct Compiler {
    /// What Python calls its version in the names of files (PEP 3147): `cpython-313`.
    tag: String,
    /// The command that starts it.
    pub step: PlannedStep,
}

impl Compiler {
    /// That of a runtime; none unless it is one of Python.
    #[must_use]
    pub fn of(entry: &EntryId, catalog: &Catalog) -> Option<Self> {
        let entry = catalog.entry(entry)?;
        let language = &catalog.runtimes.get(&entry.runtime)?.language;
        let version = entry.version.to_string();
        let mut numbers = version.split('.');
        let (major, minor) = (numbers.next()?, numbers.next()?);
        // The form of what it writes is a part of the command: another driver is another command.
        let form = ContentDigest::of(DRIVER.as_bytes());
        let command = format!(
            "PYTHONHASHSEED=0 exec /usr/bin/python{major}.{minor} -s -S -B -X pycache_prefix=/run/build/none {DRIVER_PATH} {form}"
        );
        let step = PlannedStep { phase: Phase::PreRun, command, origin: Origin::Default };
        (language == "python").then(|| Self { tag: format!("cpython-{major}{minor}"), step })
    }

    /// The files that the command needs besides the sources.
    #[must_use]
    pub fn files(sources: &BTreeSet<TreePath>) -> Vec<MemoryFile> {
        let list: Vec<String> = sources.iter().map(|path| format!("/{path}")).collect();
        vec![
            MemoryFile { target: DRIVER_PATH.into(), content: DRIVER.as_bytes().to_vec() },
            MemoryFile { target: LIST_PATH.into(), content: list.join("\n").into_bytes() },
        ]
    }

    /// Puts the byte code of installed packages into the trees of an image, from which all byte code was left out: below
    /// `/app`, and elsewhere.
    pub fn add(&self, state: &State, app: &mut FileTree, outside: &mut FileTree) {
        for source in sources(state) {
            let Some(target) = self.target(&source) else { continue };
            let (tree, compiled) = match below_app(&target) {
                Some(below) => (&mut *app, state.app.get(&below)),
                None => (&mut *outside, state.outside.tree.get(&target)),
            };
            let (Some(compiled), Some(of_source)) = (compiled, tree.get(&source)) else { continue };
            let compiled = compiled.clone();
            if let (Kind::File(_), Some(directory)) = (&compiled.kind, target.parent()) {
                let owner = of_source.owner;
                let node = Node { owner, ..Node::directory() };
                tree.insert(directory, node);
                tree.insert(target, Node { owner, mode: 0o644, ..compiled });
            }
        }
    }

    /// `a/b.py` becomes `a/__pycache__/b.cpython-313.pyc` (PEP 3147).
    fn target(&self, source: &TreePath) -> Option<TreePath> {
        let stem = std::str::from_utf8(source.name().strip_suffix(b".py")?).ok()?;
        source.parent()?.join(format!("__pycache__/{stem}.{}.pyc", self.tag)).ok()
    }
}

/// The sources of installed packages, by their paths in the image: those in `/app` that pip has put there, or that lie in
/// a virtual environment, and those that were installed elsewhere.
#[must_use]
pub fn sources(state: &State) -> BTreeSet<TreePath> {
    let mut homes = Homes::default();
    homes.find_in(&state.app, None);
    let of_app = state.app.iter().filter(|(path, node)| {
        matches!(node.kind, Kind::File(_)) && is_source(path) && homes.has_python(path)
    });
    let of_app = of_app.filter_map(|(path, _)| TreePath::new([b"app/", path.as_bytes()].concat()).ok());
    let is_installed =
        |path: &TreePath| path.components().any(|part| matches!(part, b"site-packages" | b"dist-packages"));
    let elsewhere =
        state.outside.tree.iter().filter(|(path, node)| {
            matches!(node.kind, Kind::File(_)) && is_source(path) && is_installed(path)
        });
    of_app.chain(elsewhere.map(|(path, _)| path.clone())).collect()
}

/// Only names that Python can import, and that are a line each.
fn is_source(path: &TreePath) -> bool {
    let plain = |name: &[u8]| name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-.+@".contains(byte));
    path.name().ends_with(b".py") && path.components().all(plain)
}

fn below_app(path: &TreePath) -> Option<TreePath> {
    TreePath::new(path.as_bytes().strip_prefix(b"app/")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> FileTree {
        let file = |path: &&str| (TreePath::new(path).unwrap(), Node::file(b"x".to_vec(), 0o644));
        let mut tree: FileTree = paths.iter().map(file).collect();
        tree.fill_parents();
        tree
    }

    fn names<'a>(paths: impl IntoIterator<Item = &'a TreePath>) -> Vec<String> {
        paths.into_iter().map(ToString::to_string).collect()
    }

    fn state() -> State {
        let mut state = State::of_source(tree(&[
            "main.py",
            "__pycache__/main.cpython-313.pyc",
            ".venv/pyvenv.cfg",
            ".venv/lib/python3.13/site-packages/a/b.py",
            ".venv/lib/python3.13/site-packages/a/__pycache__/b.cpython-313.pyc",
            ".venv/lib/python3.13/site-packages/a/__pycache__/b.cpython-312.pyc",
            ".venv/lib/python3.13/site-packages/a/not python.py",
            "lib/c.py",
            "lib/c-1.dist-info/METADATA",
            "node_modules/gyp/x.py",
        ]));
        state.outside.tree = tree(&[
            "usr/lib/python3.13/site-packages/d.py",
            "usr/lib/python3.13/site-packages/__pycache__/d.cpython-313.pyc",
            "usr/bin/tool.py",
        ]);
        state
    }

    #[test]
    fn sources_are_those_of_packages() {
        let expected = [
            "app/.venv/lib/python3.13/site-packages/a/b.py",
            "app/lib/c.py",
            "usr/lib/python3.13/site-packages/d.py",
        ];
        assert_eq!(names(&sources(&state())), expected);
    }

    #[test]
    fn byte_code_of_a_source_that_is_in_the_image_is_too_and_no_other() {
        let step = PlannedStep { phase: Phase::PreRun, command: String::new(), origin: Origin::Default };
        let compiler = Compiler { tag: "cpython-313".to_owned(), step };
        let state = state();
        let mut app = tree(&["app/main.py", "app/.venv/lib/python3.13/site-packages/a/b.py"]);
        let mut outside = tree(&[]);
        compiler.add(&state, &mut app, &mut outside);
        let is_code = |path: &&TreePath| path.to_string().contains("__pycache__");
        let found = names(app.iter().map(|(path, _)| path).filter(is_code));
        let directory = "app/.venv/lib/python3.13/site-packages/a/__pycache__";
        assert_eq!(found, [directory.to_owned(), format!("{directory}/b.cpython-313.pyc")]);
        assert!(outside.is_empty());
        let mut outside = tree(&["usr/lib/python3.13/site-packages/d.py"]);
        compiler.add(&state, &mut app, &mut outside);
        assert!(
            names(outside.iter().map(|(path, _)| path))
                .iter()
                .any(|path| path.ends_with("d.cpython-313.pyc"))
        );
    }
}
