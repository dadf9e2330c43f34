//! What each package of a lock file has to be.

use std::collections::{BTreeMap, BTreeSet};

use lapstrake_sandbox::HostPort;

use super::{ComesFrom, Finding, Held, LockFile, Package, Place, shown};
use crate::app_file::Rule;

/// The hosts that packages may come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(BTreeSet<HostPort>);

impl Hosts {
    /// These hosts. Whether a package comes by http or by https is another question: their ports count as one.
    pub fn new(hosts: impl IntoIterator<Item = HostPort>) -> Self {
        let of_https = |host: HostPort| if host.port == 80 { HostPort { port: 443, ..host } } else { host };
        Self(hosts.into_iter().map(of_https).collect())
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &HostPort> {
        self.0.iter()
    }

    /// These, and the one that more than half of the packages come from. A lock file that was written for another
    /// registry than the one that is configured here names that one everywhere; what stands out is what comes from
    /// elsewhere than the rest.
    #[must_use]
    pub fn with_usual(&self, lock: &LockFile) -> Self {
        let places = lock.packages.iter().filter_map(|package| match &package.from {
            ComesFrom::Address(address) => Some(Place::of(address)?.host?),
            _ => None,
        });
        let mut counts: BTreeMap<HostPort, usize> = BTreeMap::new();
        for host in places {
            *counts.entry(host).or_default() += 1;
        }
        let all: usize = counts.values().sum();
        let usual = counts.into_iter().find(|(_, count)| count * 2 > all).map(|(host, _)| host);
        Self(self.0.iter().cloned().chain(usual).collect())
    }
}

/// Judges each package of a lock file; `hosts` are those that it may come from.
#[must_use]
pub fn judge(lock: &LockFile, hosts: &Hosts) -> Vec<Finding> {
    lock.packages.iter().flat_map(|package| of_package(&lock.file, package, hosts)).collect()
}

fn of_package(file: &str, package: &Package, hosts: &Hosts) -> Vec<Finding> {
    let mut rules = Vec::new();
    let address = match &package.from {
        ComesFrom::Source => return Vec::new(),
        ComesFrom::Registry => None,
        ComesFrom::Address(address) => Some(address),
    };
    if let Some(address) = address {
        let place = Place::of(address);
        let is_secure = place.as_ref().is_some_and(|place| place.scheme == "https");
        if !is_secure {
            rules.push(Rule::PackageScheme);
        }
        if let Some(place) = &place {
            let is_known = place.host.as_ref().is_none_or(|host| hosts.0.contains(host));
            if !is_known {
                rules.push(Rule::PackageHost);
            } else if let Some(found) = name_in(place) {
                rules.extend(misnamed(package, &found));
            }
        }
    }
    // What another protocol fetches has no hash of its bytes, and is found for its scheme.
    let is_archive = address.is_none_or(|address| address.starts_with("http"));
    match package.held {
        Held::ByNothing if !is_archive => {}
        Held::ByNothing => rules.push(Rule::PackageUnhashed),
        Held::Weakly => rules.push(Rule::PackageWeakHash),
        Held::Firmly => {}
    }
    // An alias without an address is declared all the same.
    if address.is_none() && package.alias_of.is_some() {
        rules.push(Rule::PackageAlias);
    }
    let finding = |rule| Finding {
        file: file.to_owned(),
        line: package.line,
        package: package.name.clone(),
        rule,
        url: address.map(|address| shown(address)),
    };
    rules.into_iter().map(finding).collect()
}

/// What is wrong with the name that an archive has at its registry.
fn misnamed(package: &Package, found: &str) -> Option<Rule> {
    let is_at_end = |name: &str| {
        found.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('/'))
            // `name` is not to be taken for the end of `@scope/name`.
            && (name.starts_with('@') || !found.rsplit('/').nth(1).is_some_and(|scope| scope.starts_with('@')))
    };
    match &package.alias_of {
        Some(real) if is_at_end(real) => Some(Rule::PackageAlias),
        None if is_at_end(&package.name) => None,
        _ => Some(Rule::PackageName),
    }
}

/// What stands before the archive in an address of a registry: `…/NAME/-/FILE`; none in addresses of another form. Steps
/// up the path have been taken by now.
fn name_in(place: &Place) -> Option<String> {
    if !matches!(place.scheme.as_str(), "http" | "https") {
        return None;
    }
    let (before, _) = place.path.split_once("/-/")?;
    let decoded = percent_encoding::percent_decode_str(before).decode_utf8_lossy();
    Some(decoded.trim_start_matches('/').to_owned())
}
