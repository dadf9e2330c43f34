//! What commands have left on disk, compared with what they found.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use lapstrake_oci::tree::{Content, ContentDigest, FileTree, Kind, Node, Place, TreePath};

use crate::cache::in_app;
use crate::failure::Failure;
use crate::needs::{Facts, KnownFacts};
use crate::python_records;
use crate::state::State;
use crate::trace::{self, Marks};

/// A tree as it was found on disk. What is as it was before has the content that it had.
pub(super) struct Observed {
    pub(super) tree: FileTree,
    /// The paths of the others.
    pub(super) changed: BTreeSet<TreePath>,
}

impl Observed {
    pub(super) fn new(
        mut scanned: FileTree,
        before: &FileTree,
        dir: &Path,
        marks: &Marks,
    ) -> Result<Self, Failure> {
        python_records::settle(&mut scanned)
            .map_err(|cause| Failure::io("could not read what the commands installed", cause))?;
        let mut changed = BTreeSet::new();
        let merge = |(path, node): (TreePath, Node)| {
            let same = before
                .get(&path)
                .filter(|other| other.mode == node.mode && is_same(&path, other, &node, dir, marks));
            if same.is_none() {
                changed.insert(path.clone());
            }
            let node = same.cloned().unwrap_or(node);
            (path, node)
        };
        let tree = scanned.into_iter().map(merge).collect();
        Ok(Self { tree, changed })
    }

    /// Gives files that have changed second names in `dir`, where later commands do not remove or replace them; those that
    /// later commands may well write into are copied.
    pub(super) fn hold(&mut self, dir: &Path) -> io::Result<()> {
        for (number, path) in self.changed.iter().enumerate() {
            let Some(Kind::File(content)) = self.tree.get_mut(path).map(|node| &mut node.kind) else {
                continue;
            };
            let Place::Path { path: place, len } = content.place() else { continue };
            if number == 0 || !dir.exists() {
                fs_err::create_dir_all(dir)?;
            }
            let held = dir.join(number.to_string());
            if may_be_written_into(path, *len) {
                fs_err::copy(place, &held)?;
            } else {
                fs_err::hard_link(place, &held)?;
            }
            *content = Content::path(held, *len);
        }
        Ok(())
    }

    /// The contents of the files that have changed.
    pub(super) fn contents(&self) -> Vec<Content> {
        let contents = self.changed.iter().filter_map(|path| match &self.tree.get(path)?.kind {
            Kind::File(content) => Some(content.clone()),
            _ => None,
        });
        contents.collect()
    }
}

/// Whether a file is likely to be written into by a later command: small files, but not those of an installed package. What
/// package managers note for themselves about all of them, such as `node_modules/.package-lock.json`, is none of these.
fn may_be_written_into(path: &TreePath, len: u64) -> bool {
    const SMALL: u64 = 1 << 20;
    let packages: [&[u8]; 3] = [b"node_modules", b"site-packages", b"dist-packages"];
    let mut below = path.components().skip_while(|part| !packages.contains(part)).skip(1);
    let (first, second) = (below.next(), below.next());
    let is_of_package = first.is_some() && second.is_some();
    len <= SMALL && !is_of_package
}

fn is_same(path: &TreePath, before: &Node, now: &Node, dir: &Path, marks: &Marks) -> bool {
    match (&before.kind, &now.kind) {
        (Kind::File(_), Kind::File(_)) => trace::is_unchanged(path, dir, marks),
        (Kind::Directory, Kind::Directory) | (Kind::Whiteout, Kind::Whiteout) => true,
        (Kind::Symlink(one), Kind::Symlink(other)) => one == other,
        (Kind::Hardlink(one), Kind::Hardlink(other)) => one == other,
        _ => false,
    }
}

/// What the files are that commands have made so far. Those that have changed are looked at.
pub(super) fn facts_after(before: &State, app: &Observed, outside: &Observed) -> io::Result<KnownFacts> {
    let files = |observed: &Observed| -> Vec<(TreePath, Node)> {
        let file = |path: &TreePath| {
            let node = observed.tree.get(path)?;
            matches!(node.kind, Kind::File(_)).then(|| (path.clone(), node.clone()))
        };
        observed.changed.iter().filter_map(file).collect()
    };
    let of_app = files(app).into_iter().filter_map(|(path, node)| Some((in_app(&path)?, node)));
    let changed: FileTree = of_app.chain(files(outside)).collect();
    let facts = Facts::of_trees(&[&changed], &KnownFacts::new())?;
    let is_there = |path: &TreePath| {
        let below = path.as_bytes().strip_prefix(b"app/").and_then(|below| TreePath::new(below).ok());
        let node = match below {
            Some(below) => app.tree.get(&below),
            None => outside.tree.get(path),
        };
        node.is_some_and(|node| matches!(node.kind, Kind::File(_)))
    };
    let mut after: KnownFacts = before
        .facts
        .iter()
        .filter(|(path, _)| is_there(path))
        .map(|(path, fact)| (path.clone(), fact.clone()))
        .collect();
    after.extend(changed.iter().map(|(path, _)| (path.clone(), facts.get(path).cloned())));
    Ok(after)
}

/// The contents of what commands have made, by digest.
pub(super) fn contents_of(after: &State, changed: &BTreeSet<TreePath>) -> BTreeMap<ContentDigest, Content> {
    let of_app = after.app.iter().filter(|(path, _)| changed.contains(*path));
    let others = after.outside.tree.iter().chain(after.temporary.iter());
    let contents = of_app.chain(others).filter_map(|(_, node)| match &node.kind {
        Kind::File(content) => Some((content.known_digest()?, content.clone())),
        _ => None,
    });
    contents.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_package_managers_are_copied_and_packages_are_not() {
        let copied = |path: &str, len| may_be_written_into(&TreePath::new(path).unwrap(), len);
        for path in [
            "package-lock.json",
            "dist/a/b.js",
            "node_modules/.package-lock.json",
            "a/node_modules/.yarn-integrity",
        ] {
            assert!(copied(path, 1000), "{path}");
            assert!(!copied(path, 2 << 20), "{path} when it is large");
        }
        for path in ["node_modules/left-pad/index.js", "lib/python3.13/site-packages/flask/app.py"] {
            assert!(!copied(path, 1000), "{path}");
        }
    }
}
