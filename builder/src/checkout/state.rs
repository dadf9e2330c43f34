//! From a repository and the files beside it to what is known of the checkout.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lapstrake_oci::tree::{Node, TreePath};

use super::compare::{is_same, is_written_so};
use super::config::value;
use super::listing::{Lister, Tracked, below};
use super::object::Kind;
use super::place::{CONFIG, Place};
use super::refs::head;
use super::store::Store;
use super::{Checkout, CheckoutError, Files, Known, RepositoryUrl};
use crate::git::{Commit, ObjectId};
use crate::source::{Filter, in_parallel};

/// How many submodules may lie in one another.
const NESTED: usize = 8;

/// What is known of a directory of a checkout; none when the repository has no commit, or its commit no such directory.
pub(super) fn known(root: &Path, place: &Place, files: &Files<'_>) -> Result<Option<Known>, CheckoutError> {
    let Some(id) = head(place)? else { return Ok(None) };
    let mut store = Store::new(&place.common);
    let commit = commit(&mut store, &id)?;
    let Some(tree) = below(&mut store, &commit.tree, &place.below)? else { return Ok(None) };
    let mut comparison =
        Comparison { root, files, filter: files.rules.map(Filter::new), tracked: BTreeSet::new() };
    let is_same = comparison.is_same(&mut store, &tree, None, 0)?;
    let config = place.common.read("config", CONFIG)?.unwrap_or_default();
    let origin = value(&config, "remote", Some("origin"), "url");
    let checkout = Checkout {
        commit: commit.id,
        time: commit.time,
        repository: origin.as_deref().and_then(RepositoryUrl::parse),
        dirty: !is_same,
    };
    Ok(Some(Known { checkout, tracked: comparison.tracked }))
}

fn commit(store: &mut Store<'_>, id: &ObjectId) -> Result<Commit, CheckoutError> {
    let bytes = store.read(id, Kind::Commit)?;
    Commit::parse(id.clone(), &bytes).map_err(|_| CheckoutError::Malformed { what: format!("commit {id}") })
}

struct Comparison<'c> {
    root: &'c Path,
    files: &'c Files<'c>,
    filter: Option<Filter<'c>>,
    tracked: BTreeSet<TreePath>,
}

impl Comparison<'_> {
    /// Whether the source has the files of a tree below a directory of it; none for the top.
    fn is_same(
        &mut self,
        store: &mut Store<'_>,
        tree: &ObjectId,
        directory: Option<&TreePath>,
        depth: usize,
    ) -> Result<bool, CheckoutError> {
        let mut found = BTreeMap::new();
        let files = self.files;
        let mut lister = Lister {
            store,
            filter: self.filter.as_mut(),
            is_aside: &|path| files.aside.get(path).is_some(),
            found: &mut found,
        };
        lister.list(tree, directory)?;
        self.tracked.extend(found.keys().cloned());
        if !self.has_files(store, &found)? {
            return Ok(false);
        }
        for (path, tracked) in &found {
            let Tracked::Submodule { id } = tracked else { continue };
            if !self.has_submodule(path, id, depth)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn node(&self, path: &TreePath) -> Option<&Node> {
        self.files.tree.get(path).or_else(|| self.files.aside.get(path))
    }

    fn has_files(
        &self,
        store: &mut Store<'_>,
        found: &BTreeMap<TreePath, Tracked>,
    ) -> Result<bool, CheckoutError> {
        let mut wanted = Vec::new();
        for (path, tracked) in found {
            let (id, is_executable) = match tracked {
                Tracked::File { id, is_executable } => (id, Some(*is_executable)),
                Tracked::Symlink { id } => (id, None),
                Tracked::Directory | Tracked::Submodule { .. } => continue,
            };
            let Some(node) = self.node(path) else { return Ok(false) };
            wanted.push((path, node, id, is_executable));
        }
        let same = in_parallel(&wanted, |(path, node, id, is_executable)| {
            is_same(node, id, *is_executable)
                .map_err(|source| CheckoutError::Read { path: path.to_string(), source })
        })?;
        let others = wanted.iter().zip(same).filter(|(_, is_same)| !is_same);
        for ((_, node, id, is_executable), _) in others {
            let Some(is_executable) = is_executable else { return Ok(false) };
            if !is_written_so(node, id, *is_executable, store)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a submodule is at its commit, or was not checked out.
    fn has_submodule(&mut self, path: &TreePath, id: &ObjectId, depth: usize) -> Result<bool, CheckoutError> {
        let is_empty = !self.files.tree.iter().any(|(other, _)| other != path && other.is_within(path));
        if is_empty {
            return Ok(true);
        }
        let top = path.below(self.root);
        let Some(place) = Place::at(&top, Vec::new())? else { return Ok(false) };
        if depth >= NESTED || head(&place)?.as_ref() != Some(id) {
            return Ok(false);
        }
        let mut store = Store::new(&place.common);
        let tree = commit(&mut store, id)?.tree;
        self.is_same(&mut store, &tree, Some(path), depth + 1)
    }
}
