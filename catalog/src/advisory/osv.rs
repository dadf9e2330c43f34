//! Records of the Open Source Vulnerability format (ossf.github.io/osv-schema, 1.x).

use std::cmp::Ordering;

use serde::Deserialize;

use super::{Ecosystem, Package, Vulnerability, vulnerability};
use crate::debian_version::compare as compare_debian;

/// One record, as far as it is needed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Record {
    id: String,
    #[serde(default)]
    aliases: Vec<String>,
    withdrawn: Option<String>,
    #[serde(default)]
    affected: Vec<Affected>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Affected {
    package: Option<Named>,
    #[serde(default)]
    ranges: Vec<Range>,
    #[serde(default)]
    versions: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Named {
    ecosystem: String,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Range {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Event {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
}

impl Record {
    /// Whether a package has it; the name is that of the CVE where there is one.
    pub(super) fn hits(&self, package: &Package) -> Option<Vulnerability> {
        if self.withdrawn.is_some() {
            return None;
        }
        let mut affected = self.affected.iter().filter(|affected| affected.is_about(package));
        let hit = affected.find_map(|affected| affected.hits(package))?;
        let cve = self.aliases.iter().find(|alias| alias.starts_with("CVE-"));
        Some(vulnerability(cve.unwrap_or(&self.id), package, hit.fixed))
    }
}

/// That a version is affected.
struct Hit<'a> {
    /// The version that fixes it, where there is one.
    fixed: Option<&'a str>,
}

impl Affected {
    fn is_about(&self, package: &Package) -> bool {
        let Some(named) = &self.package else { return false };
        match &package.ecosystem {
            Ecosystem::Debian(suite) => {
                let release = named.ecosystem.strip_prefix("Debian");
                let is_suite =
                    release.is_some_and(|release| release.is_empty() || is_release(&release[1..], suite));
                is_suite && named.name == package.source
            }
            Ecosystem::PyPi => named.ecosystem == "PyPI" && named.name.eq_ignore_ascii_case(&package.name),
            Ecosystem::Npm => named.ecosystem == "npm" && named.name == package.name,
        }
    }

    /// Whether it has the version, and which one fixes it.
    fn hits(&self, package: &Package) -> Option<Hit<'_>> {
        let order = |a: &str, b: &str| match package.ecosystem {
            Ecosystem::Debian(_) => compare_debian(a, b),
            Ecosystem::PyPi | Ecosystem::Npm => compare_numbers(a, b),
        };
        let in_range = self
            .ranges
            .iter()
            .filter(|range| range.kind != "GIT")
            .find_map(|range| range.holds(&package.version, &order));
        in_range.or_else(|| self.versions.contains(&package.version).then_some(Hit { fixed: None }))
    }
}

impl Range {
    /// Events are in the order of versions: each introduction lasts until the next fix.
    fn holds(&self, version: &str, order: &impl Fn(&str, &str) -> Ordering) -> Option<Hit<'_>> {
        let mut is_open = false;
        for event in &self.events {
            if let Some(introduced) = &event.introduced {
                is_open = introduced == "0" || order(version, introduced).is_ge();
            }
            if let Some(fixed) = event.fixed.as_ref().filter(|_| is_open) {
                if order(version, fixed).is_lt() {
                    return Some(Hit { fixed: Some(fixed) });
                }
                is_open = false;
            }
            if let Some(last) = event.last_affected.as_ref().filter(|_| is_open) {
                if order(version, last).is_le() {
                    return Some(Hit { fixed: None });
                }
                is_open = false;
            }
        }
        is_open.then_some(Hit { fixed: None })
    }
}

/// Debian's releases have numbers here and names in the catalog.
fn is_release(number: &str, suite: &str) -> bool {
    let known = [("11", "bullseye"), ("12", "bookworm"), ("13", "trixie"), ("14", "forky")];
    known.contains(&(number, suite)) || number == suite
}

/// The order of dotted numbers; what is no number sorts before the release of the same numbers, as `rc1` does.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> (Vec<u64>, bool) {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let numbers = text[..end].split('.').map(|part| part.parse().unwrap_or(0)).collect();
        (numbers, end == text.len())
    };
    let ((mut a, a_is_release), (mut b, b_is_release)) = (parts(a), parts(b));
    let length = a.len().max(b.len());
    a.resize(length, 0);
    b.resize(length, 0);
    a.cmp(&b).then(a_is_release.cmp(&b_is_release))
}

#[cfg(test)]
mod tests {
    use super::compare_numbers;

    #[test]
    fn dotted_numbers_are_compared_number_by_number() {
        assert!(compare_numbers("26.3", "26.10").is_lt());
        assert!(compare_numbers("10.9.9", "10.9").is_gt());
        assert!(compare_numbers("1.0", "1.0.0").is_eq());
        assert!(compare_numbers("2.0rc1", "2.0").is_lt());
    }
}
