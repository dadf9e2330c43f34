//! Locks every layer anew against today's indexes, and gives new build numbers where something changed.
//!
//! The package archive's indexes are read through apt, which checks their signatures, in a tree of its own; so nothing
//! of the machine's own packages plays a part. Foreign architectures are metadata only.

mod apt;
mod number;
mod plan;
mod select;
mod signature;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

pub use apt::AptError;
pub(crate) use number::number;
pub use number::{NumberError, Numbered};
pub use plan::{LayerPlan, PlanError, plans, recipe_digest};

use crate::arch::Arch;
use crate::closure::{ClosureError, ControlError, Universe};
use crate::definitions::{Definitions, ENTRIES};
use crate::fetch::{FetchError, Fetcher};
use crate::lock::{Artifact, DebArtifact, LOCK_SCHEMA, Lock, LockedSuite};
use crate::mirrors::{Machine, MirrorsError};
use crate::progress::{Event, Progress};

/// What locking needs of the outside.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// Brings indexes and files.
    pub fetcher: &'a Fetcher,
    /// This machine, for apt's keyrings and the path to apt.
    pub machine: Machine<'a>,
    /// Hears of what happens.
    pub progress: &'a dyn Progress,
    /// The time that is recorded.
    pub now: Timestamp,
}

/// Why locks cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The recipes do not fit together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// apt cannot read the indexes.
    #[error(transparent)]
    Apt(#[from] AptError),
    /// An index is not understood.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A set of packages is not complete.
    #[error("layer `{lock}`")]
    Closure {
        /// The name of its lock.
        lock: String,
        /// What is missing.
        #[source]
        source: ClosureError,
    },
    /// It is not known where packages come from.
    #[error(transparent)]
    Mirrors(#[from] MirrorsError),
    /// A file cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// No version of a package is as the recipe wants it.
    #[error("no version of `{package}` begins with `{version}` on all of {platforms}")]
    NoVersion {
        /// The package, as the recipe names it.
        package: String,
        /// The version that is wanted.
        version: String,
        /// The platforms.
        platforms: String,
    },
    /// A registry's file does not have the digest that the registry says.
    #[error("`{package} {version}` does not have the digest `{expected}` that its index says")]
    Digest {
        /// The package.
        package: String,
        /// Its version.
        version: String,
        /// The digest of the index.
        expected: String,
    },
    /// An entry cannot be numbered.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// A lock cannot be written.
    #[error("could not write `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no such runtime.
    #[error("there is no recipe for the runtime `{runtime}`")]
    Runtime {
        /// The name that was asked for.
        runtime: String,
    },
}

/// What an update changed.
#[derive(Debug, Clone)]
pub struct Update {
    /// Recipes, locks and entries as they are now.
    pub definitions: Definitions,
    /// The names of the locks that are new or changed.
    pub changed: Vec<String>,
    /// The ids of the new entries.
    pub entries: Vec<String>,
}

/// Locks the layers of all runtimes, or of one, anew.
pub fn update(
    definitions: &Definitions,
    runtime: Option<&str>,
    tools: Tools<'_>,
) -> Result<Update, UpdateError> {
    let mut plans = plans(&definitions.recipes)?;
    if let Some(runtime) = runtime {
        if !definitions.recipes.runtimes.contains_key(runtime) {
            return Err(UpdateError::Runtime { runtime: runtime.to_owned() });
        }
        plans.retain(|plan| plan.runtimes.contains(runtime) || plan.layer.install.is_reference());
    }
    let locks = relock(definitions, &plans, tools)?;
    let mut updated = definitions.clone();
    let mut changed = Vec::new();
    for lock in locks {
        let name = lock.name();
        let same = updated.locks.get(&name).is_some_and(|old| old.content_digest() == lock.content_digest());
        if !same {
            updated.locks.insert(name.clone(), lock);
            changed.push(name);
        }
    }
    let numbered = number(definitions, &updated, tools.now)?;
    updated.entries = numbered.entries;
    Ok(Update { definitions: updated, changed, entries: numbered.new })
}

/// Locks some layers anew, whether or not they changed.
pub(crate) fn relock(
    definitions: &Definitions,
    plans: &[LayerPlan<'_>],
    tools: Tools<'_>,
) -> Result<Vec<Lock>, UpdateError> {
    let mut indexes: BTreeMap<(String, Arch), (Vec<LockedSuite>, Universe)> = BTreeMap::new();
    for plan in plans.iter().filter(|plan| !plan.layer.packages.is_empty()) {
        for arch in &plan.arches {
            let key = (plan.os.name.clone(), *arch);
            if let Entry::Vacant(place) = indexes.entry(key) {
                place.insert(apt::read(plan.os, *arch, tools)?);
            }
        }
    }
    let mut locks = Vec::new();
    for plan in plans {
        let selected = select::select(definitions, plan, tools)?;
        for (arch, others) in selected {
            let empty = (Vec::new(), Universe::default());
            let index = indexes.get(&(plan.os.name.clone(), arch)).unwrap_or(&empty);
            let mut lock = debs(plan, arch, index)?;
            lock.artifacts.extend(others);
            locks.push(lock);
        }
    }
    Ok(locks)
}

/// The lock of the Debian packages of a layer.
fn debs(plan: &LayerPlan<'_>, arch: Arch, index: &(Vec<LockedSuite>, Universe)) -> Result<Lock, UpdateError> {
    let (suites, universe) = index;
    let lock = plan.layer.lock_name(&plan.os.name, arch);
    let fail = |source| UpdateError::Closure { lock: lock.clone(), source };
    let excluded = plan.excluded();
    let packages = if plan.layer.install.is_reference() {
        let named =
            plan.layer.packages.iter().map(|name| {
                universe.get(name).ok_or_else(|| ClosureError::Unknown { package: name.clone() })
            });
        named.collect::<Result<Vec<_>, _>>().map_err(fail)?
    } else {
        let mut present = BTreeSet::new();
        for below in &plan.below {
            let excluded = plan.os.exclude.iter().chain(&below.exclude).cloned().collect();
            let packages = universe.closure(&below.packages, &excluded, &present).map_err(fail)?;
            present.extend(packages.into_iter().map(|package| package.name.clone()));
        }
        universe.closure(&plan.layer.packages, &excluded, &present).map_err(fail)?
    };
    let artifacts = packages.into_iter().map(|package| {
        Artifact::Deb(DebArtifact {
            name: package.name.clone(),
            version: package.version.clone(),
            arch: package.arch.clone(),
            suite: package.suite.clone(),
            path: package.path.clone(),
            size: package.size,
            sha256: package.sha256.clone(),
            source: package.source.clone(),
        })
    });
    Ok(Lock {
        lock: LOCK_SCHEMA,
        layer: plan.layer.name().to_owned(),
        os: plan.os.name.clone(),
        arch,
        recipe: plan.digest().to_string(),
        suites: if plan.layer.packages.is_empty() { Vec::new() } else { suites.clone() },
        wanted: plan.layer.packages.clone(),
        excluded: excluded.into_iter().collect(),
        artifacts: artifacts.collect(),
    })
}

impl Update {
    /// Writes the locks that changed, and the catalog's state, into a directory with `locks`.
    pub fn write(&self, directory: &Path) -> Result<(), UpdateError> {
        let locks = directory.join("locks");
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| UpdateError::Write { path, source }
        };
        fs_err::create_dir_all(&locks).map_err(fail(&locks))?;
        for name in &self.changed {
            let path = locks.join(format!("{name}.json"));
            fs_err::write(&path, self.definitions.locks[name].to_file()).map_err(fail(&path))?;
        }
        let path = locks.join(format!("{ENTRIES}.json"));
        fs_err::write(&path, self.definitions.entries.to_file()).map_err(fail(&path))
    }
}

impl Event<'_> {
    /// Tells a listener that an index is being read.
    fn index(name: &str, progress: &dyn Progress) {
        progress.event(&Event::IndexRead { name });
    }
}

#[cfg(test)]
mod tests;
