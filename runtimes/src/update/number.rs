//! Gives build numbers: a new one only where the layers of an entry are made of something else.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::arch::Arch;
use crate::definitions::Definitions;
use crate::entries::{Entries, EntryRecord, LockRef, PackageChange};
use crate::lock::Artifact;
use crate::recipe::{LineRecipe, RuntimeRecipe};

/// Entries after an update.
#[derive(Debug, Clone)]
pub struct Numbered {
    /// All entries.
    pub entries: Entries,
    /// The ids of the new ones.
    pub new: Vec<String>,
}

/// Why an entry cannot be numbered.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NumberError {
    /// A layer has no lock.
    #[error("`{runtime}` {line} has no lock `{lock}`: run `catalog update`")]
    NoLock {
        /// The runtime.
        runtime: String,
        /// The line.
        line: String,
        /// The lock.
        lock: String,
    },
    /// The artifact that decides the version is in no layer.
    #[error("`{runtime}` {line} has no artifact `{artifact}`, whose version is that of the language")]
    NoVersion {
        /// The runtime.
        runtime: String,
        /// The line.
        line: String,
        /// The artifact.
        artifact: String,
    },
    /// The platforms of an entry differ in the version of the language.
    #[error("`{runtime}` {line} is {one} on one platform and {other} on another")]
    Versions {
        /// The runtime.
        runtime: String,
        /// The line.
        line: String,
        /// One version.
        one: String,
        /// The other.
        other: String,
    },
}

/// The entries that follow from `after`'s locks; `before` has those that the known entries were made of.
pub(crate) fn number(
    before: &Definitions,
    after: &Definitions,
    now: Timestamp,
) -> Result<Numbered, NumberError> {
    let mut entries = before.entries.clone();
    let mut new = Vec::new();
    for (runtime, line) in after.recipes.lines() {
        let candidate = Candidate::of(after, runtime, line)?;
        let newest = entries.newest(&runtime.name, &line.version);
        if newest.is_some_and(|entry| candidate.is(entry)) {
            continue;
        }
        let record = candidate.record(before, after, &entries, now);
        new.push(record.id.clone());
        entries.entries.push(record);
    }
    if !new.is_empty() {
        entries.revision += 1;
        entries.created = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    }
    Ok(Numbered { entries, new })
}

type Platforms = BTreeMap<String, BTreeMap<String, Vec<LockRef>>>;

/// An entry before it has a number.
struct Candidate<'a> {
    runtime: &'a RuntimeRecipe,
    line: &'a LineRecipe,
    version: String,
    vendor_version: String,
    platforms: Platforms,
}

impl<'a> Candidate<'a> {
    fn of(
        definitions: &Definitions,
        runtime: &'a RuntimeRecipe,
        line: &'a LineRecipe,
    ) -> Result<Self, NumberError> {
        let mut platforms = Platforms::new();
        let mut vendor_version: Option<String> = None;
        let named = || (runtime.name.clone(), line.version.clone());
        for platform in &line.platforms {
            let Ok(arch) = Arch::of_platform(platform) else { continue };
            let artifact = line.version_of.replace("{npm_arch}", arch.npm());
            let mut images = BTreeMap::new();
            let mut found = None;
            for (kind, roles) in &runtime.images {
                let mut refs = Vec::new();
                for layer in roles.iter().filter_map(|role| definitions.recipes.layer(line, role)) {
                    let name = layer.lock_name(&line.os, arch);
                    let Some(lock) = definitions.locks.get(&name) else {
                        let (runtime, line) = named();
                        return Err(NumberError::NoLock { runtime, line, lock: name });
                    };
                    found = found.or_else(|| lock.versions().get(artifact.as_str()).map(|v| (*v).to_owned()));
                    let content = lock.content_digest();
                    refs.push(LockRef { role: layer.role.clone(), lock: name, content });
                }
                images.insert(kind.clone(), refs);
            }
            platforms.insert(platform.clone(), images);
            let Some(found) = found else {
                let (runtime, line) = named();
                return Err(NumberError::NoVersion { runtime, line, artifact });
            };
            match &vendor_version {
                // Rebuilds for one architecture (`+b1`) differ in the rest.
                Some(one) if upstream(one) != upstream(&found) => {
                    let ((runtime, line), one) = (named(), one.clone());
                    return Err(NumberError::Versions { runtime, line, one, other: found });
                }
                Some(_) => {}
                None => vendor_version = Some(found),
            }
        }
        let vendor_version = vendor_version.unwrap_or_default();
        Ok(Self { runtime, line, version: upstream(&vendor_version).to_owned(), vendor_version, platforms })
    }

    fn is(&self, entry: &EntryRecord) -> bool {
        entry.version == self.version && entry.platforms == self.platforms
    }

    fn record(
        &self,
        before: &Definitions,
        after: &Definitions,
        entries: &Entries,
        now: Timestamp,
    ) -> EntryRecord {
        let build = entries.last_build(&self.runtime.name, &self.version) + 1;
        let same = |entry: &&EntryRecord| entry.runtime == self.runtime.name && entry.version == self.version;
        let replaces = entries.entries.iter().rev().find(same);
        EntryRecord {
            id: format!("{}-{}-{build}", self.runtime.name, self.version),
            runtime: self.runtime.name.clone(),
            version: self.version.clone(),
            build,
            line: self.line.version.clone(),
            released: TimeZone::UTC.to_datetime(now).date(),
            added_in: entries.revision + 1,
            os: self.line.os.clone(),
            vendor_version: self.vendor_version.clone(),
            replaces: replaces.map(|entry| entry.id.clone()),
            changes: replaces.map(|old| changes(before, old, after, &self.platforms)).unwrap_or_default(),
            platforms: self.platforms.clone(),
        }
    }
}

/// `1:3.13.5-2+deb13u5` is 3.13.5.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    version[..end].trim_end_matches('.')
}

/// What is different in the layers of an entry, package by package, each change once.
fn changes(
    before: &Definitions,
    old: &EntryRecord,
    after: &Definitions,
    new: &Platforms,
) -> Vec<PackageChange> {
    let (old, new) = (packages(before, &old.platforms), packages(after, new));
    let places: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let changes = places.into_iter().filter_map(|place| {
        let (from, to) = (old.get(place), new.get(place));
        let source = to.or(from).map(|(_, source)| source.clone()).unwrap_or_default();
        let (from, to) = (from.map(|p| p.0.clone()), to.map(|p| p.0.clone()));
        (from != to).then(|| PackageChange { package: place.1.clone(), source, from, to })
    });
    changes.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Version and source of each package in each lock that is still as the entry names it.
fn packages(
    definitions: &Definitions,
    platforms: &Platforms,
) -> BTreeMap<(String, String), (String, String)> {
    let refs = platforms.values().flat_map(BTreeMap::values).flatten();
    let current =
        |at: &LockRef| definitions.locks.get(&at.lock).filter(|lock| lock.content_digest() == at.content);
    let mut packages = BTreeMap::new();
    for lock in refs.filter_map(current) {
        for artifact in &lock.artifacts {
            let source = match artifact {
                Artifact::Deb(deb) => deb.source.clone(),
                other => other.name().to_owned(),
            };
            let place = (lock.name(), artifact.name().to_owned());
            packages.insert(place, (artifact.version().to_owned(), source));
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_language_is_the_upstream_part() {
        assert_eq!(upstream("3.13.5-2+deb13u5"), "3.13.5");
        assert_eq!(upstream("1:3.11.2-6"), "3.11.2");
        assert_eq!(upstream("22.23.3"), "22.23.3");
    }
}
