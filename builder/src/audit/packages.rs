//! The packages that entries are made of, as their locks name them.

use std::collections::BTreeMap;

use lapstrake_catalog::advisory::{Advisories, Ecosystem, Package, Vulnerability};
use lapstrake_catalog::{Catalog, EntryId, PlatformKey};
use lapstrake_runtimes::definitions::Definitions;
use lapstrake_runtimes::evidence::evidence;
use lapstrake_runtimes::lock::{Artifact, Lock};
use serde::Deserialize;

use crate::failure::{Exit, Failure};
use crate::remote_catalog::Place;

/// The document with the locks of an entry, as far as it is needed.
#[derive(Deserialize)]
struct Locks {
    images: BTreeMap<String, Vec<LockName>>,
    locks: BTreeMap<String, Lock>,
}

#[derive(Deserialize)]
struct LockName {
    lock: String,
}

/// Where the locks of a catalog's entries are.
pub enum LocksAt {
    /// In the program, for the local catalog.
    Here(Box<Definitions>),
    /// In the published catalog.
    Published(Place),
}

impl LocksAt {
    fn document(&self, id: &EntryId, platform: &PlatformKey) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::Here(definitions) => {
                Ok(evidence(definitions, &id.to_string(), platform.as_str()).map(|found| found.locks))
            }
            Self::Published(place) => {
                Ok(place.locks(id, platform)?.map(|document| document.bytes().to_vec()))
            }
        }
    }
}

/// What advisories say of the packages of entries. An entry without locks is an error: nothing could be said of it.
pub fn vulnerabilities(
    advisories: &Advisories,
    entries: &BTreeMap<EntryId, PlatformKey>,
    catalog: &Catalog,
    at: &LocksAt,
) -> Result<BTreeMap<EntryId, Vec<Vulnerability>>, Failure> {
    let mut known = BTreeMap::new();
    for (id, platform) in entries {
        let document = at.document(id, platform)?.ok_or_else(|| {
            Failure::new(Exit::Refused, format!("the catalog has no locks for `{id}` on {platform}"))
                .hint("advisories are compared with locks: publish them with `catalog publish`, or audit without `--advisories`")
        })?;
        let locks: Locks = serde_json::from_slice(&document).map_err(|cause| {
            Failure::because(Exit::Refused, format!("the locks of `{id}` are not understood"), cause)
        })?;
        let mut found: Vec<Vulnerability> =
            packages(&locks, catalog).iter().flat_map(|package| advisories.of(package)).collect();
        found.sort();
        found.dedup();
        known.insert(id.clone(), found);
    }
    Ok(known)
}

/// The packages of the image that apps are made on.
fn packages(locks: &Locks, catalog: &Catalog) -> Vec<Package> {
    let names = locks.images.get("run").into_iter().flatten();
    let of_run = names.filter_map(|name| locks.locks.get(&name.lock));
    of_run
        .flat_map(|lock| lock.artifacts.iter().map(move |artifact| package(lock, artifact, catalog)))
        .collect()
}

fn package(lock: &Lock, artifact: &Artifact, catalog: &Catalog) -> Package {
    let (name, version) = (artifact.name().to_owned(), artifact.version().to_owned());
    let (ecosystem, source) = match artifact {
        Artifact::Deb(deb) => {
            let suite = catalog.oses.get(&lock.os).map_or_else(|| lock.os.clone(), |os| os.suite.clone());
            (Ecosystem::Debian(suite), deb.source.clone())
        }
        Artifact::Npm(_) => (Ecosystem::Npm, name.clone()),
        Artifact::Wheel(_) => (Ecosystem::PyPi, name.clone()),
    };
    Package { ecosystem, name, source, version }
}
