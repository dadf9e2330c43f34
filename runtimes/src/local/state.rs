//! The program's definitions together with what was locked anew on this machine.
//!
//! Entries of this machine keep their ids for ever. When a later version of the program ships an entry under an id
//! that is taken here by other bytes, the shipped one gets the next free build number on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::LocalError;
use super::guard::{file_error, write};
use crate::canonical::pretty_json;
use crate::definitions::Definitions;
use crate::entries::{Entries, EntryRecord, LockRef};
use crate::lock::{Artifact, Lock};

/// Definitions, and every lock that is known by its content.
#[derive(Debug)]
pub(super) struct State {
    data: PathBuf,
    base: Definitions,
    definitions: Definitions,
    locks: BTreeMap<String, Lock>,
}

/// The file of what was made on this machine.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Own {
    /// The entries, each with the revision of the program's catalog that it came after.
    entries: Vec<OwnEntry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnEntry {
    after: u32,
    entry: EntryRecord,
}

impl State {
    pub(super) fn load(data: &Path, base: Definitions) -> Result<Self, LocalError> {
        let mut locks: BTreeMap<String, Lock> = BTreeMap::new();
        for lock in base.locks.values() {
            locks.insert(lock.content_digest().to_string(), lock.clone());
        }
        let own = read_own(data)?;
        for (path, lock) in read_locks(data)? {
            let lock = lock.map_err(|source| LocalError::Syntax { path, source })?;
            locks.insert(lock.content_digest().to_string(), lock);
        }
        let mut definitions = base.clone();
        definitions.entries = merge(&base.entries, &own.entries);
        let mut state = Self { data: data.to_owned(), base, definitions, locks };
        state.use_newest_locks();
        Ok(state)
    }

    pub(super) fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// The lock that an entry names.
    pub(super) fn lock(&self, at: &LockRef) -> Option<&Lock> {
        self.locks.get(at.content.as_ref())
    }

    /// Whether the layers of an entry need the npm registry, and the Python index.
    pub(super) fn needs(&self, entry: &EntryRecord) -> (bool, bool) {
        let refs = entry.platforms.values().flat_map(BTreeMap::values).flatten();
        let artifacts: Vec<_> =
            refs.filter_map(|at| self.lock(at)).flat_map(|lock| &lock.artifacts).collect();
        let npm = artifacts.iter().any(|artifact| matches!(artifact, Artifact::Npm(_)));
        let python = artifacts.iter().any(|artifact| matches!(artifact, Artifact::Wheel(_)));
        (npm, python)
    }

    /// Reads again what other processes have added.
    pub(super) fn reload(&mut self) -> Result<(), LocalError> {
        *self = Self::load(&self.data, self.base.clone())?;
        Ok(())
    }

    /// Adds entries that were made of other locks, and those locks. The caller holds the catalog's guard.
    pub(super) fn add(&mut self, after: Definitions) -> Result<(), LocalError> {
        for lock in after.locks.values() {
            let content = lock.content_digest();
            if !self.locks.contains_key(content.as_ref()) {
                let path = locks_folder(&self.data).join(format!("{}.json", content.digest()));
                write(&path, &lock.to_file())?;
                self.locks.insert(content.to_string(), lock.clone());
            }
        }
        let mut own = read_own(&self.data)?;
        let known: Vec<String> =
            self.definitions.entries.entries.iter().map(|entry| entry.id.clone()).collect();
        let new = after.entries.entries.iter().filter(|entry| !known.contains(&entry.id));
        let base = self.base.entries.revision;
        own.entries.extend(new.map(|entry| OwnEntry { after: base, entry: entry.clone() }));
        write(&own_file(&self.data), &pretty_json(&own))?;
        self.definitions = after;
        Ok(())
    }

    /// Makes the locks of the newest entries the current ones of their names.
    fn use_newest_locks(&mut self) {
        let entries = &self.definitions.entries.entries;
        let refs =
            entries.iter().flat_map(|entry| entry.platforms.values()).flat_map(BTreeMap::values).flatten();
        for at in refs {
            if let Some(lock) = self.locks.get(at.content.as_ref()) {
                self.definitions.locks.insert(at.lock.clone(), lock.clone());
            }
        }
    }
}

/// The shipped entries and those of this machine, in the order in which they came.
fn merge(base: &Entries, own: &[OwnEntry]) -> Entries {
    let mut merged = Entries { revision: base.revision, created: base.created.clone(), entries: Vec::new() };
    let mut shipped = base.entries.iter().peekable();
    for one in own {
        while let Some(entry) = shipped.next_if(|entry| entry.added_in <= one.after) {
            add_shipped(&mut merged, entry, own);
        }
        merged.revision = merged.revision.max(one.entry.added_in);
        merged.entries.push(one.entry.clone());
    }
    for entry in shipped {
        add_shipped(&mut merged, entry, own);
    }
    merged
}

fn add_shipped(merged: &mut Entries, entry: &EntryRecord, own: &[OwnEntry]) {
    let mut entry = entry.clone();
    let taken = |id: &str| own.iter().find(|one| one.entry.id == id);
    match taken(&entry.id) {
        // The same was locked here before it was shipped.
        Some(one) if one.entry.platforms == entry.platforms => return,
        Some(_) => {
            let same =
                |other: &&EntryRecord| other.runtime == entry.runtime && other.version == entry.version;
            let builds = own.iter().map(|one| &one.entry).chain(&merged.entries).filter(same);
            entry.build = builds.map(|other| other.build).max().unwrap_or(0) + 1;
            entry.id = format!("{}-{}-{}", entry.runtime, entry.version, entry.build);
        }
        None => {}
    }
    merged.entries.push(entry);
}

fn own_file(data: &Path) -> PathBuf {
    data.join("renewed/entries.json")
}

fn locks_folder(data: &Path) -> PathBuf {
    data.join("renewed/locks")
}

fn read_own(data: &Path) -> Result<Own, LocalError> {
    let path = own_file(data);
    match fs_err::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| LocalError::Syntax { path, source }),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(Own::default()),
        Err(cause) => Err(file_error(&path)(cause)),
    }
}

type ReadLock = (PathBuf, Result<Lock, serde_json::Error>);

fn read_locks(data: &Path) -> Result<Vec<ReadLock>, LocalError> {
    let folder = locks_folder(data);
    let entries = match fs_err::read_dir(&folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(file_error(&folder)(cause)),
    };
    let mut locks = Vec::new();
    for entry in entries {
        let path = entry.map_err(file_error(&folder))?.path();
        if path.extension().is_some_and(|end| end == "json") {
            let bytes = fs_err::read(&path).map_err(file_error(&path))?;
            locks.push((path, serde_json::from_slice(&bytes)));
        }
    }
    Ok(locks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, build: u32, added_in: u32, mark: &str) -> EntryRecord {
        EntryRecord {
            id: id.to_owned(),
            runtime: "python3".to_owned(),
            version: "3.13.5".to_owned(),
            build,
            line: "3.13".to_owned(),
            released: jiff::civil::date(2026, 11, 25),
            added_in,
            os: "debian13".to_owned(),
            vendor_version: "3.13.5-2".to_owned(),
            replaces: None,
            changes: Vec::new(),
            platforms: BTreeMap::from([(mark.to_owned(), BTreeMap::new())]),
        }
    }

    fn ids(entries: &Entries) -> Vec<&str> {
        entries.entries.iter().map(|entry| entry.id.as_str()).collect()
    }

    #[test]
    fn an_entry_of_this_machine_keeps_its_id_when_a_later_program_ships_another_under_it() {
        let base =
            |entries: Vec<EntryRecord>, revision| Entries { revision, created: String::new(), entries };
        let first = entry("python3-3.13.5-1", 1, 1, "a");
        let own = [OwnEntry { after: 1, entry: entry("python3-3.13.5-2", 2, 2, "own") }];
        let merged = merge(&base(vec![first.clone()], 1), &own);
        assert_eq!(ids(&merged), ["python3-3.13.5-1", "python3-3.13.5-2"]);
        assert_eq!(merged.revision, 2);
        let shipped = entry("python3-3.13.5-2", 2, 2, "shipped");
        let merged = merge(&base(vec![first.clone(), shipped], 2), &own);
        assert_eq!(ids(&merged), ["python3-3.13.5-1", "python3-3.13.5-2", "python3-3.13.5-3"]);
        assert_eq!(merged.entries[1], own[0].entry);
        assert_eq!(merged.newest("python3", "3.13").unwrap().build, 3);
        let same = EntryRecord { added_in: 2, ..own[0].entry.clone() };
        assert_eq!(ids(&merge(&base(vec![first, same], 2), &own)), ["python3-3.13.5-1", "python3-3.13.5-2"]);
    }
}
