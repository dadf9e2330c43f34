//! Which packages a set of wanted packages needs: a small resolver for empty systems.
//!
//! It takes the first alternative of a dependency that can be satisfied, and of a virtual package the provider with
//! the highest priority. That is enough, since a layer starts from nothing and never removes anything.

mod control;

use std::collections::{BTreeMap, BTreeSet};

pub use control::{ControlError, PackageInfo, parse};
pub use lapstrake_catalog::debian_version::compare;

use control::{Dependency, Relation};

/// The packages of some suites, the newest version of each.
#[derive(Debug, Default)]
pub struct Universe {
    packages: BTreeMap<String, PackageInfo>,
    providers: BTreeMap<String, Vec<String>>,
}

/// Why a set of packages is not complete.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ClosureError {
    /// A wanted package does not exist.
    #[error("no suite has the package `{package}`")]
    Unknown {
        /// The package.
        package: String,
    },
    /// A dependency cannot be satisfied.
    #[error("package `{package}` depends on `{dependency}`, which no suite has")]
    Unsatisfied {
        /// The package.
        package: String,
        /// The dependency as written.
        dependency: String,
    },
}

impl Universe {
    /// Adds the packages of a suite. A package that is there already is replaced only by a newer version, so that of
    /// equal versions the suite that came first counts.
    pub fn add(&mut self, packages: impl IntoIterator<Item = PackageInfo>) {
        for package in packages {
            match self.packages.get(&package.name) {
                Some(known) if compare(&known.version, &package.version).is_ge() => {}
                _ => {
                    self.packages.insert(package.name.clone(), package);
                }
            }
        }
        self.providers.clear();
        for package in self.packages.values() {
            for provided in &package.provides {
                self.providers.entry(provided.clone()).or_default().push(package.name.clone());
            }
        }
    }

    /// A package.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&PackageInfo> {
        self.packages.get(name)
    }

    /// The wanted packages and all that they need, by name, less those that are excluded or present below.
    pub fn closure(
        &self,
        wanted: &[String],
        excluded: &BTreeSet<String>,
        present: &BTreeSet<String>,
    ) -> Result<Vec<&PackageInfo>, ClosureError> {
        let mut chosen: BTreeMap<&str, &PackageInfo> = BTreeMap::new();
        let mut queue: Vec<&PackageInfo> = Vec::new();
        for name in wanted {
            let package = self.get(name).ok_or_else(|| ClosureError::Unknown { package: name.clone() })?;
            if !present.contains(name) && chosen.insert(&package.name, package).is_none() {
                queue.push(package);
            }
        }
        // All wanted packages are chosen before the first dependency is, so that they satisfy alternatives.
        let mut at = 0;
        while let Some(package) = queue.get(at).copied() {
            at += 1;
            for dependency in &package.depends {
                let done = |name: &str| chosen.contains_key(name) || present.contains(name);
                if let Some(next) = self.satisfy(package, dependency, excluded, &done)? {
                    chosen.insert(&next.name, next);
                    queue.push(next);
                }
            }
        }
        Ok(chosen.into_values().collect())
    }

    /// The package that a dependency adds; none if it is satisfied or excluded.
    fn satisfy(
        &self,
        package: &PackageInfo,
        dependency: &Dependency,
        excluded: &BTreeSet<String>,
        done: &dyn Fn(&str) -> bool,
    ) -> Result<Option<&PackageInfo>, ClosureError> {
        let names = |relation: &Relation| -> Vec<String> {
            let real = std::iter::once(relation.name.clone());
            real.chain(self.providers.get(&relation.name).into_iter().flatten().cloned()).collect()
        };
        if dependency.alternatives.iter().flat_map(names).any(|name| done(&name)) {
            return Ok(None);
        }
        for relation in &dependency.alternatives {
            if excluded.contains(&relation.name) {
                return Ok(None);
            }
            if let Some(found) = self.get(&relation.name).filter(|found| relation.allows(&found.version)) {
                return Ok(Some(found));
            }
            let providers = self.providers.get(&relation.name).into_iter().flatten();
            let providers: Vec<&PackageInfo> = providers.filter_map(|name| self.get(name)).collect();
            if providers.iter().any(|found| excluded.contains(&found.name)) {
                return Ok(None);
            }
            if let Some(found) =
                providers.into_iter().min_by_key(|found| (found.priority, found.name.clone()))
            {
                return Ok(Some(found));
            }
        }
        let dependency = dependency.text.clone();
        Err(ClosureError::Unsatisfied { package: package.name.clone(), dependency })
    }
}

#[cfg(test)]
mod tests;
