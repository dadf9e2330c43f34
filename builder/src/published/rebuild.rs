//! Whether the layers of a published entry come out of its locks again, byte by byte.

use std::collections::BTreeMap;
use std::path::Path;

use lapstrake_catalog::{
    Catalog, Entry, ImageKind, ImageRecord, PlatformKey, PlatformRecord, Record, UpstreamSource,
};
use lapstrake_oci::document::sha256_of;
use lapstrake_runtimes::definitions::Definitions;
use lapstrake_runtimes::evidence::evidence;
use lapstrake_runtimes::local::{LocalCatalog, ReadyImage, WhenGone};
use lapstrake_runtimes::store::Store;

use super::Repository;
use super::artifacts::fetch_artifacts;
use crate::catalog::{ensure, failure as local_failure};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::scratch::Scratch;

/// Which images are made again.
pub struct Again<'a> {
    /// The recipes and locks to make them from.
    pub definitions: &'a dyn Fn() -> Result<Definitions, Failure>,
    /// Only this entry; every one that is recorded in full by default.
    pub id: Option<&'a str>,
    /// Only these kinds of images; all of them where there are none.
    pub kinds: &'a [ImageKind],
}

impl Again<'_> {
    /// Makes the images again in an empty place, and compares the digests of their layers and manifests with what the
    /// catalog names. Returns the names of those that are equal; the first that is not is a failure.
    ///
    /// Files that are neither on this machine nor on a mirror any more come from the catalog, where it keeps them.
    pub fn compare(
        &self,
        repository: &Repository,
        catalog: &Catalog,
        context: &Context,
    ) -> Result<Vec<String>, Failure> {
        let (imported, entries): (Vec<_>, Vec<_>) =
            self.entries(catalog)?.into_iter().partition(|(entry, ..)| is_imported(entry));
        for (entry, platform, _) in imported {
            let what =
                format!("`{}` on {platform} was imported: there are no locks to make it from", entry.id);
            if self.id.is_some() {
                return Err(Failure::new(Exit::NotUnderstood, what));
            }
            context.report.note(&what);
        }
        let definitions = (self.definitions)()?;
        let store = Store::open(context.data_dir.join("artifacts"))
            .map_err(|cause| Failure::because(Exit::Ours, "could not open the store of packages", cause))?;
        for (entry, platform, record) in &entries {
            locks_are_the_same(entry, platform, record, &definitions)?;
            let fetched = fetch_artifacts(repository, record, &store)?;
            if fetched > 0 {
                context
                    .report
                    .note(&format!("{fetched} files of `{}` on {platform} come from the catalog", entry.id));
            }
        }
        let scratch = Scratch::new(&context.scratch_dir())?;
        let data = scratch.path().join("again");
        share_artifacts(&context.data_dir, &data)?;
        let mut local = LocalCatalog::open(&data, definitions)
            .map_err(|cause| local_failure(cause, "could not make the layers again"))?;
        let mut equal = Vec::new();
        for (entry, platform, record) in entries {
            let kinds: Vec<ImageKind> =
                record.images.keys().copied().filter(|kind| self.wants(*kind)).collect();
            let made = ensure(&mut local, &entry.id, platform, &kinds, WhenGone::Fail, context)?;
            for (kind, image) in record.images.iter().filter(|(kind, _)| self.wants(**kind)) {
                let name = format!("{} {platform} {kind}", entry.id);
                compare(&name, image, &made.images)?;
                equal.push(name);
            }
        }
        Ok(equal)
    }

    fn wants(&self, kind: ImageKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    fn entries<'c>(
        &self,
        catalog: &'c Catalog,
    ) -> Result<Vec<(&'c Entry, &'c PlatformKey, &'c PlatformRecord)>, Failure> {
        let is_wanted = |entry: &&Entry| match self.id {
            Some(id) => entry.id.to_string() == id,
            None => entry.record == Record::Full,
        };
        let entries: Vec<&Entry> = catalog.entries.iter().filter(is_wanted).collect();
        if let Some(id) = self.id.filter(|_| entries.is_empty()) {
            return Err(Failure::new(Exit::NotUnderstood, format!("the catalog has no entry `{id}`")));
        }
        if let Some(entry) = entries.iter().find(|entry| entry.record == Record::Short) {
            let what =
                format!("`{}` was replaced: its record in this revision has no locks any more", entry.id);
            let hint = format!("verify the revision that first held it: `--revision r{}`", entry.added_in);
            return Err(Failure::new(Exit::NotUnderstood, what).hint(hint));
        }
        let platforms = |entry: &'c Entry| {
            entry.platforms.iter().map(move |(platform, record)| (entry, platform, record))
        };
        Ok(entries.into_iter().flat_map(platforms).collect())
    }
}

fn is_imported(entry: &Entry) -> bool {
    matches!(entry.source, UpstreamSource::Imported { .. })
}

/// The locks at hand have to be those that the entry was made from.
fn locks_are_the_same(
    entry: &Entry,
    platform: &PlatformKey,
    record: &PlatformRecord,
    definitions: &Definitions,
) -> Result<(), Failure> {
    let found = evidence(definitions, &entry.id.to_string(), platform.as_str());
    let found = found.map(|evidence| sha256_of(&evidence.locks));
    if found.is_some() && found == record.lock {
        return Ok(());
    }
    let what = match found {
        Some(_) => format!("`{}` on {platform} was made from other locks than those at hand", entry.id),
        None => format!("there are no locks for `{}` on {platform} at hand", entry.id),
    };
    Err(Failure::new(Exit::Refused, what)
        .hint("name the recipes and locks that it was built with: `--recipes DIR`"))
}

/// Packages that are here already need not be fetched again: each is verified by its digest whenever it is used.
fn share_artifacts(from: &Path, to: &Path) -> Result<(), Failure> {
    let failed = |cause| Failure::io("could not prepare to make the layers again", cause);
    let store = from.join("artifacts");
    fs_err::create_dir_all(&store).map_err(failed)?;
    fs_err::create_dir_all(to).map_err(failed)?;
    let store = store.canonicalize().map_err(failed)?;
    fs_err::os::unix::fs::symlink(store, to.join("artifacts")).map_err(failed)
}

fn compare(name: &str, image: &ImageRecord, made: &BTreeMap<ImageKind, ReadyImage>) -> Result<(), Failure> {
    let differs = |what: String| Failure::new(Exit::Refused, format!("{name}: {what}"));
    let kind = name.rsplit(' ').next().unwrap_or_default();
    let made = made.iter().find(|(other, _)| other.as_str() == kind).map(|(_, made)| made);
    let made = made.ok_or_else(|| differs("it was not made".to_owned()))?;
    for (named, (layer, _)) in image.layers.iter().zip(&made.layers) {
        if named.diff_id != layer.diff_id {
            return Err(differs(format!(
                "the {} layer is `{}` and not `{}`",
                named.role, layer.diff_id, named.diff_id
            )));
        }
        if named.digest != layer.digest {
            let (found, expected) = (&layer.digest, &named.digest);
            return Err(differs(format!(
                "the {} layer is compressed to `{found}` and not `{expected}`",
                named.role
            )));
        }
    }
    if image.layers.len() != made.layers.len() || image.manifest != made.record.manifest {
        return Err(differs("it has another manifest".to_owned()));
    }
    Ok(())
}
