//! What the files of an app need of the layers below: shared libraries and interpreters.
//!
//! Files made by build commands may need something that only the build layers have. That is found here, when the image
//! is assembled, instead of when the app starts. The same look tells whether an app is made for one architecture.

use std::collections::BTreeSet;

use lapstrake_oci::tree::{FileTree, TreePath};

use crate::changes::Listing;
use crate::needs::{Fact, Facts};

/// What was found in the files of an app.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NativeCode {
    /// Files with machine code.
    pub binaries: Vec<TreePath>,
    /// What files need and the image lacks.
    pub missing: Vec<Missing>,
}

/// A need that the image does not meet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// The file.
    pub file: String,
    /// The shared library or interpreter.
    pub needs: String,
}

/// Looks at the files of the trees that go on top of the layers listed in `run`.
#[must_use]
pub fn inspect(facts: &Facts, trees: &[&FileTree], run: &Listing) -> NativeCode {
    let mut provided: BTreeSet<Vec<u8>> = run.keys().map(|path| path.name().to_vec()).collect();
    provided.extend(trees.iter().flat_map(|tree| tree.iter()).map(|(path, _)| path.name().to_vec()));
    let mut found = NativeCode::default();
    for (path, fact) in facts.iter() {
        match fact {
            Fact::Elf(elf) => {
                found.binaries.push(path.clone());
                let lacking = elf.needed.keys().filter(|library| !provided.contains(library.as_bytes()));
                found
                    .missing
                    .extend(lacking.map(|needs| Missing { file: path.to_string(), needs: needs.clone() }));
            }
            Fact::Script { interpreter, .. } if !exists(interpreter, trees, run) => {
                found.missing.push(Missing { file: path.to_string(), needs: format!("/{interpreter}") });
            }
            _ => {}
        }
    }
    found
}

/// Tells whether the image has this path, which is written without the slash before it.
pub(crate) fn exists(path: &str, trees: &[&FileTree], run: &Listing) -> bool {
    // The layers hold `/bin`, `/sbin` and `/lib` as links into `/usr`.
    let merged = ["bin/", "sbin/", "lib/", "lib64/"].iter().any(|top| path.starts_with(top));
    let candidates = [Some(path.to_owned()), merged.then(|| format!("usr/{path}"))];
    candidates
        .into_iter()
        .flatten()
        .filter_map(|path| TreePath::new(path).ok())
        .any(|path| run.contains_key(&path) || trees.iter().any(|tree| tree.get(&path).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Entry;
    use crate::needs::KnownFacts;
    use lapstrake_oci::tree::{Content, Node};

    fn inspect_tree(tree: &FileTree, run: &Listing) -> NativeCode {
        inspect(&Facts::of_trees(&[tree], &KnownFacts::new()).unwrap(), &[tree], run)
    }

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn this_program() -> Content {
        let path = std::env::current_exe().unwrap();
        let len = path.metadata().unwrap().len();
        Content::path(path, len)
    }

    #[test]
    fn a_binary_that_lacks_its_libraries_is_named_with_them() {
        let mut tree = FileTree::new();
        tree.insert(path("app/tool"), Node::file(this_program(), 0o755));
        let found = inspect_tree(&tree, &Listing::new());
        assert_eq!(found.binaries, [path("app/tool")]);
        assert!(found.missing.iter().any(|missing| missing.needs.starts_with("libc.so")), "{found:?}");

        let run: Listing = found
            .missing
            .iter()
            .map(|missing| (path(&format!("usr/lib/{}", missing.needs)), Entry::Other))
            .collect();
        assert_eq!(inspect_tree(&tree, &run).missing, []);
    }

    #[test]
    fn a_script_whose_interpreter_is_missing_is_named() {
        let mut tree = FileTree::new();
        tree.insert(path("usr/local/bin/x"), Node::file(b"#!/bin/bash -e\n".to_vec(), 0o755));
        tree.insert(path("app/scripts/x"), Node::file(b"#!/bin/zsh\n".to_vec(), 0o755));
        let found = inspect_tree(&tree, &Listing::new());
        assert_eq!(found.missing, [Missing { file: "usr/local/bin/x".into(), needs: "/bin/bash".into() }]);
        let run = Listing::from([(path("usr/bin/bash"), Entry::Other)]);
        assert_eq!(inspect_tree(&tree, &run).missing, []);
    }

    #[test]
    fn plain_files_need_nothing() {
        let mut tree = FileTree::new();
        tree.insert(path("app/main.py"), Node::file(b"print()".to_vec(), 0o644));
        tree.insert(path("app/fake"), Node::file(b"\x7fELF".to_vec(), 0o644));
        let found = inspect_tree(&tree, &Listing::new());
        assert_eq!((found.binaries.len(), found.missing.len()), (1, 0));
    }
}
