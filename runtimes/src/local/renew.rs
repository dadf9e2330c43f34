//! A locked file is gone: its entry's layers are locked anew, into a new build number.

use std::collections::BTreeSet;

use super::guard::Guard;
use super::{Context, LocalCatalog, LocalError, describe, record};
use crate::definitions::Definitions;
use crate::entries::{EntryRecord, LockRef};
use crate::fetch::{FetchError, Fetcher};
use crate::lock::Lock;
use crate::progress::{Event, Progress};
use crate::update::{Tools, number, plans, relock};

impl LocalCatalog {
    /// The entry that takes the place of one that cannot be made; all entries with the same layers move with it.
    pub(super) fn renew(
        &mut self,
        entry: &EntryRecord,
        gone: FetchError,
        context: &Context<'_>,
        fetcher: &Fetcher,
    ) -> Result<EntryRecord, LocalError> {
        let _guard = Guard::wait(&self.data.join("catalog.lock"))?;
        self.state.reload()?;
        let before = self.state.definitions().clone();
        // Another process may have met the same gap a moment ago.
        if let Some(newer) =
            before.entries.newest(&entry.runtime, &entry.line).filter(|newest| newest.id != entry.id)
            && newer.build > entry.build
        {
            let newer = newer.clone();
            self.describe()?;
            return Ok(newer);
        }
        let tools = Tools { fetcher, machine: context.machine, progress: context.progress, now: context.now };
        let after = relocked(&before, entry, tools, &gone)?;
        let renewed =
            after.entries.newest(&entry.runtime, &entry.line).filter(|newest| newest.id != entry.id);
        // The index still names the file that the mirror does not have: nothing can be done here.
        let renewed = renewed.cloned().ok_or(gone)?;
        self.state.add(after)?;
        self.describe()?;
        Ok(renewed)
    }

    /// Makes the catalog's value anew from entries that changed.
    fn describe(&mut self) -> Result<(), LocalError> {
        let mut catalog = describe::catalog(self.state.definitions())?;
        record::overlay(&mut catalog, &self.layout)?;
        self.catalog = catalog;
        Ok(())
    }
}

fn relocked(
    before: &Definitions,
    entry: &EntryRecord,
    tools: Tools<'_>,
    gone: &FetchError,
) -> Result<Definitions, LocalError> {
    let fail = |error| LocalError::Renew(Box::new(error));
    let names: BTreeSet<&str> = refs(entry).map(|at| at.lock.as_str()).collect();
    let mut plans = plans(&before.recipes).map_err(|error| fail(error.into()))?;
    plans.retain(|plan| {
        plan.arches.iter().any(|arch| names.contains(plan.layer.lock_name(&plan.os.name, *arch).as_str()))
    });
    let locks = relock(before, &plans, tools).map_err(fail)?;
    let mut after = before.clone();
    for lock in locks {
        let name = lock.name();
        if let Some(old) = before.locks.get(&name) {
            if old.content_digest() == lock.content_digest() {
                continue;
            }
            tell(&name, old, &lock, gone, tools.progress);
        }
        after.locks.insert(name, lock);
    }
    after.entries = number(before, &after, tools.now).map_err(|error| fail(error.into()))?.entries;
    Ok(after)
}

fn refs(entry: &EntryRecord) -> impl Iterator<Item = &LockRef> {
    entry.platforms.values().flat_map(|images| images.values()).flatten()
}

/// Says package by package what is different.
fn tell(layer: &str, old: &Lock, new: &Lock, gone: &FetchError, progress: &dyn Progress) {
    let label = match gone {
        FetchError::Gone { artifact, .. } => artifact.as_str(),
        _ => "",
    };
    let (old, new) = (old.versions(), new.versions());
    let names: BTreeSet<&&str> = old.keys().chain(new.keys()).collect();
    for package in names {
        let (from, to) = (old.get(*package).copied(), new.get(*package).copied());
        if from != to {
            let gone = from.is_some_and(|version| label == format!("{package} {version}"));
            progress.event(&Event::Relocked { layer, package, from, to, gone });
        }
    }
}
