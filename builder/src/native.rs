//! What the files of an app need of the layers below: shared libraries and interpreters.
//!
//! Files made by build commands may need something that only the build layers have. That is found here, when the image
//! is assembled, instead of when the app starts. The same look tells whether an app is made for one architecture.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};

use lapstrake_oci::tree::{Content, FileTree, Kind, TreePath};
use object::elf::FileHeader64;
use object::read::elf::{Dyn, FileHeader};
use object::{Endianness, ReadCache, ReadRef};

use crate::changes::Listing;

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

/// Looks at every file of the trees that go on top of the layers listed in `run`.
pub fn inspect(trees: &[&FileTree], run: &Listing) -> io::Result<NativeCode> {
    let mut provided: BTreeSet<Vec<u8>> = run.keys().map(|path| path.name().to_vec()).collect();
    provided.extend(trees.iter().flat_map(|tree| tree.iter()).map(|(path, _)| path.name().to_vec()));
    let mut found = NativeCode::default();
    for (path, node) in trees.iter().flat_map(|tree| tree.iter()) {
        let Kind::File(content) = &node.kind else { continue };
        let mut head = [0; 256];
        let count = read_head(content, &mut head)?;
        if head[..count].starts_with(b"\x7fELF") {
            found.binaries.push(path.clone());
            let lacking = needed_libraries(content)
                .into_iter()
                .filter(|library| !provided.contains(library.as_bytes()));
            found.missing.extend(lacking.map(|needs| Missing { file: path.to_string(), needs }));
        } else if is_program(path)
            && let Some(interpreter) = interpreter(&head[..count])
            && !exists(&interpreter, trees, run)
        {
            found.missing.push(Missing { file: path.to_string(), needs: format!("/{interpreter}") });
        }
    }
    Ok(found)
}

fn read_head(content: &Content, head: &mut [u8]) -> io::Result<usize> {
    let mut reader = content.open()?;
    let mut count = 0;
    while count < head.len() {
        match reader.read(&mut head[count..])? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

/// The `DT_NEEDED` entries of a 64-bit ELF file; none when it is anything else or damaged, since a file that only looks
/// like ELF is the app's own business.
fn needed_libraries(content: &Content) -> Vec<String> {
    match content {
        Content::Path { path, .. } => {
            File::open(path).ok().map(|file| needed(&ReadCache::new(file))).unwrap_or_default()
        }
        Content::Bytes(bytes) => needed(&bytes[..]),
        Content::Range { .. } => content.read().map(|bytes| needed(&bytes[..])).unwrap_or_default(),
    }
}

fn needed<'data, R: ReadRef<'data>>(data: R) -> Vec<String> {
    let read = || -> object::Result<Vec<String>> {
        let header = FileHeader64::<Endianness>::parse(data)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, data)?;
        let Some((entries, link)) = sections.dynamic(endian, data)? else { return Ok(Vec::new()) };
        let strings = sections.strings(endian, data, link)?;
        let mut names = Vec::new();
        for entry in entries.iter().filter(|entry| entry.tag(endian) == object::elf::DT_NEEDED) {
            names.push(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned());
        }
        Ok(names)
    };
    read().unwrap_or_default()
}

/// Whether a path is where programs are looked for; scripts elsewhere are usually never started.
fn is_program(path: &TreePath) -> bool {
    path.parent().is_some_and(|parent| {
        parent.name() == b"bin" && !parent.components().any(|part| part == b"node_modules")
    })
}

fn interpreter(head: &[u8]) -> Option<String> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let word = std::str::from_utf8(line).ok()?.split_whitespace().next()?;
    word.strip_prefix('/').map(str::to_owned)
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
    use lapstrake_oci::tree::Node;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn this_program() -> Content {
        let path = std::env::current_exe().unwrap();
        let len = path.metadata().unwrap().len();
        Content::Path { path, len }
    }

    #[test]
    fn a_binary_that_lacks_its_libraries_is_named_with_them() {
        let mut tree = FileTree::new();
        tree.insert(path("app/tool"), Node::file(this_program(), 0o755));
        let found = inspect(&[&tree], &Listing::new()).unwrap();
        assert_eq!(found.binaries, [path("app/tool")]);
        assert!(found.missing.iter().any(|missing| missing.needs.starts_with("libc.so")), "{found:?}");

        let run: Listing = found
            .missing
            .iter()
            .map(|missing| (path(&format!("usr/lib/{}", missing.needs)), Entry::Other))
            .collect();
        assert_eq!(inspect(&[&tree], &run).unwrap().missing, []);
    }

    #[test]
    fn a_script_whose_interpreter_is_missing_is_named() {
        let mut tree = FileTree::new();
        tree.insert(path("usr/local/bin/x"), Node::file(b"#!/bin/bash -e\n".to_vec(), 0o755));
        tree.insert(path("app/scripts/x"), Node::file(b"#!/bin/zsh\n".to_vec(), 0o755));
        let found = inspect(&[&tree], &Listing::new()).unwrap();
        assert_eq!(found.missing, [Missing { file: "usr/local/bin/x".into(), needs: "/bin/bash".into() }]);
        let run = Listing::from([(path("usr/bin/bash"), Entry::Other)]);
        assert_eq!(inspect(&[&tree], &run).unwrap().missing, []);
    }

    #[test]
    fn plain_files_need_nothing() {
        let mut tree = FileTree::new();
        tree.insert(path("app/main.py"), Node::file(b"print()".to_vec(), 0o644));
        tree.insert(path("app/fake"), Node::file(b"\x7fELF".to_vec(), 0o644));
        let found = inspect(&[&tree], &Listing::new()).unwrap();
        assert_eq!((found.binaries.len(), found.missing.len()), (1, 0));
    }
}
