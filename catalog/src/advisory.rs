//! Known vulnerabilities, from files that others publish: OSV records, and the data of Debian's security tracker.

mod debian;
mod osv;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// Where a package comes from, which decides how its versions are compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ecosystem {
    /// A suite of Debian, by its name as in `trixie`.
    Debian(String),
    /// The Python index.
    PyPi,
    /// The npm registry.
    Npm,
}

/// A package that an entry is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Where it comes from.
    pub ecosystem: Ecosystem,
    /// Its name.
    pub name: String,
    /// The source package that it was built from; its own name where there are none.
    pub source: String,
    /// Its version.
    pub version: String,
}

/// A known vulnerability of a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Vulnerability {
    /// Its name, as in `CVE-2026-1234`.
    pub id: String,
    /// The package.
    pub package: String,
    /// The package's version.
    pub version: String,
    /// The version that fixes it, where there is one.
    pub fixed: Option<String>,
}

impl fmt::Display for Vulnerability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} {}", self.id, self.package, self.version)?;
        match &self.fixed {
            Some(fixed) => write!(f, ", fixed in {fixed}"),
            None => f.write_str(", not fixed yet"),
        }
    }
}

/// Why advisories cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdvisoryError {
    /// It is no JSON.
    #[error("the advisories are no JSON, at line {line}")]
    Json {
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// It is JSON, but of neither kind.
    #[error("`{name}` is neither an OSV record nor data of Debian's security tracker")]
    Unknown {
        /// What is at fault.
        name: String,
    },
}

/// Advisories from one or several files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advisories {
    osv: Vec<osv::Record>,
    /// By source package, then by the name of the advisory.
    debian: BTreeMap<String, BTreeMap<String, debian::Issue>>,
}

impl Advisories {
    /// Reads advisories: one OSV record, a list of them, one on each line, or the security tracker's JSON. Nothing that is
    /// not understood is passed over.
    pub fn parse(text: &str) -> Result<Self, AdvisoryError> {
        if text.trim().is_empty() {
            return Err(AdvisoryError::Unknown { name: "an empty file".to_owned() });
        }
        let mut advisories = Self::default();
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Array(records)) => {
                records
                    .into_iter()
                    .enumerate()
                    .try_for_each(|(at, record)| advisories.add_osv(record, &format!("record {}", at + 1)))?;
            }
            Ok(record) if is_osv(&record) => advisories.add_osv(record, "the record")?,
            Ok(value) => advisories.debian = debian::parse(value)?,
            Err(whole) => {
                for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                    let line_number = at + 1;
                    let record = serde_json::from_str(line).map_err(|source| {
                        // A single document that is broken is not a list of lines.
                        if line_number == 1 {
                            AdvisoryError::Json { line: whole.line(), source }
                        } else {
                            AdvisoryError::Json { line: line_number, source }
                        }
                    })?;
                    advisories.add_osv(record, &format!("line {line_number}"))?;
                }
            }
        }
        Ok(advisories)
    }

    /// Adds those of another file.
    pub fn merge(&mut self, other: Self) {
        self.osv.extend(other.osv);
        for (package, issues) in other.debian {
            self.debian.entry(package).or_default().extend(issues);
        }
    }

    fn add_osv(&mut self, record: Value, name: &str) -> Result<(), AdvisoryError> {
        let unknown = || AdvisoryError::Unknown { name: name.to_owned() };
        if !is_osv(&record) {
            return Err(unknown());
        }
        self.osv.push(serde_json::from_value(record).map_err(|_| unknown())?);
        Ok(())
    }

    /// What is known of a package, each once, by name.
    #[must_use]
    pub fn of(&self, package: &Package) -> Vec<Vulnerability> {
        let mut found: Vec<Vulnerability> =
            self.osv.iter().filter_map(|record| record.hits(package)).collect();
        if let Ecosystem::Debian(suite) = &package.ecosystem {
            let issues = self.debian.get(&package.source).into_iter().flatten();
            found.extend(issues.filter_map(|(id, issue)| issue.hits(id, suite, package)));
        }
        found.sort();
        found.dedup_by(|a, b| a.id == b.id);
        found
    }
}

fn is_osv(value: &Value) -> bool {
    value.get("id").is_some_and(Value::is_string)
        && value.get("affected").is_none_or(Value::is_array)
        && (value.get("affected").is_some() || value.get("modified").is_some())
}

fn vulnerability(id: &str, package: &Package, fixed: Option<&str>) -> Vulnerability {
    Vulnerability {
        id: id.to_owned(),
        package: package.name.clone(),
        version: package.version.clone(),
        fixed: fixed.map(str::to_owned),
    }
}
