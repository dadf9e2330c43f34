//! The files of a commit, as far as they are part of a source.

use std::collections::BTreeMap;

use lapstrake_oci::tree::TreePath;

use super::CheckoutError;
use super::object::Kind;
use super::store::Store;
use crate::git::ObjectId;
use crate::source::{Filter, Limits, Verdict};

/// What a commit has at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tracked {
    File {
        id: ObjectId,
        is_executable: bool,
    },
    Symlink {
        id: ObjectId,
    },
    /// A commit of another repository.
    Submodule {
        id: ObjectId,
    },
    Directory,
}

/// The tree of a directory inside a commit; none when the commit has no such directory.
pub(super) fn below(
    store: &mut Store<'_>,
    root: &ObjectId,
    names: &[Vec<u8>],
) -> Result<Option<ObjectId>, CheckoutError> {
    let mut tree = root.clone();
    for name in names {
        let bytes = store.read(&tree, Kind::Tree)?;
        let found = entries(&bytes, &tree)?.into_iter().find(|entry| entry.name == name.as_slice());
        match found {
            Some(Entry { mode: b"40000" | b"040000", id, .. }) => tree = id,
            _ => return Ok(None),
        }
    }
    Ok(Some(tree))
}

/// Lists a tree and what is below it.
pub(super) struct Lister<'l, 's, 'f> {
    pub(super) store: &'l mut Store<'s>,
    /// What the ignore file leaves out, when there is one.
    pub(super) filter: Option<&'l mut Filter<'f>>,
    /// Files that count although the ignore file leaves them out.
    pub(super) is_aside: &'l dyn Fn(&TreePath) -> bool,
    pub(super) found: &'l mut BTreeMap<TreePath, Tracked>,
}

impl Lister<'_, '_, '_> {
    /// Lists a tree whose paths begin with a directory of the source; none for the top.
    pub(super) fn list(
        &mut self,
        tree: &ObjectId,
        directory: Option<&TreePath>,
    ) -> Result<(), CheckoutError> {
        let limits = Limits::default();
        if directory.is_some_and(|directory| directory.components().count() >= limits.depth) {
            return Err(CheckoutError::TooMuch { what: "its directories" });
        }
        let bytes = self.store.read(tree, Kind::Tree)?;
        for entry in entries(&bytes, tree)? {
            let path = match directory {
                Some(directory) => directory.join(entry.name),
                None => TreePath::new(entry.name),
            };
            self.add(path.map_err(|_| malformed(tree))?, &entry, tree)?;
            if self.found.len() as u64 > limits.entries {
                return Err(CheckoutError::TooMuch { what: "its files" });
            }
        }
        Ok(())
    }

    fn add(&mut self, path: TreePath, entry: &Entry<'_>, tree: &ObjectId) -> Result<(), CheckoutError> {
        let id = entry.id.clone();
        let tracked = match entry.mode {
            b"40000" | b"040000" => Tracked::Directory,
            b"120000" => Tracked::Symlink { id },
            b"160000" => Tracked::Submodule { id },
            [b'1', b'0', b'0', owner, ..] => Tracked::File { id, is_executable: owner & 1 != 0 },
            _ => return Err(malformed(tree)),
        };
        let is_directory = matches!(tracked, Tracked::Directory | Tracked::Submodule { .. });
        let verdict = match &mut self.filter {
            Some(filter) => filter
                .verdict(path.as_bytes(), is_directory)
                .map_err(|_| CheckoutError::TooMuch { what: "what the ignore file is matched against" })?,
            None => Verdict::Keep,
        };
        match verdict {
            Verdict::LeaveOutWhole => return Ok(()),
            Verdict::LeaveOut if !is_directory && !(self.is_aside)(&path) => return Ok(()),
            _ => {}
        }
        if tracked == Tracked::Directory {
            self.list(&entry.id, Some(&path))?;
        }
        self.found.insert(path, tracked);
        Ok(())
    }
}

/// An entry of a tree.
struct Entry<'t> {
    /// Octal digits.
    mode: &'t [u8],
    name: &'t [u8],
    id: ObjectId,
}

fn entries<'t>(tree: &'t [u8], id: &ObjectId) -> Result<Vec<Entry<'t>>, CheckoutError> {
    let length = id.as_str().len() / 2;
    let mut entries = Vec::new();
    let mut rest = tree;
    while !rest.is_empty() {
        let (entry, after) = entry(rest, length).ok_or_else(|| malformed(id))?;
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

fn entry(bytes: &[u8], id_length: usize) -> Option<(Entry<'_>, &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let (mode, rest) = (&bytes[..space], &bytes[space + 1..]);
    let end = rest.iter().position(|byte| *byte == 0)?;
    let (name, rest) = (&rest[..end], &rest[end + 1..]);
    let (id, rest) = rest.split_at_checked(id_length)?;
    let id = super::reftable::hexadecimal(id).parse().ok()?;
    let is_name = !name.is_empty() && !name.contains(&b'/');
    is_name.then_some((Entry { mode, name, id }, rest))
}

fn malformed(id: &ObjectId) -> CheckoutError {
    CheckoutError::Malformed { what: format!("tree {id}") }
}
