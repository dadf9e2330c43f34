//! The index of a suite: paragraphs of fields, one for each package.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::compare;

/// What an index says of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, or `all`.
    pub arch: String,
    /// The suite whose index it is.
    pub suite: String,
    /// Its path below the archive's base address.
    pub path: String,
    /// Its size.
    pub size: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// The source package.
    pub source: String,
    /// What must be there with it.
    pub(super) depends: Vec<Dependency>,
    /// Other names that it satisfies.
    pub(super) provides: Vec<String>,
    /// How usual it is: smaller is more so.
    pub(super) priority: u8,
}

/// One dependency: any of its alternatives will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) text: String,
    pub(super) alternatives: Vec<Relation>,
}

/// A package, perhaps with a condition on its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) name: String,
    condition: Option<(String, String)>,
}

/// An index that is not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the index of `{suite}` is not understood: `{package}` has no usable field `{field}`")]
pub struct ControlError {
    /// The suite.
    pub suite: String,
    /// The package.
    pub package: String,
    /// The field.
    pub field: &'static str,
}

/// Reads the index of a suite.
pub fn parse(suite: &str, text: &str) -> Result<Vec<PackageInfo>, ControlError> {
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    paragraphs.map(|paragraph| package(suite, &fields(paragraph))).collect()
}

fn fields(paragraph: &str) -> BTreeMap<&str, String> {
    let mut fields: BTreeMap<&str, String> = BTreeMap::new();
    let mut last = "";
    for line in paragraph.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some(value) = fields.get_mut(last) {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            last = name;
            fields.insert(name, value.trim().to_owned());
        }
    }
    fields
}

fn package(suite: &str, fields: &BTreeMap<&str, String>) -> Result<PackageInfo, ControlError> {
    let name = fields.get("Package").cloned().unwrap_or_default();
    let need = |field: &'static str| {
        let missing = || ControlError { suite: suite.to_owned(), package: name.clone(), field };
        fields.get(field).filter(|value| !value.is_empty()).cloned().ok_or_else(missing)
    };
    let size = need("Size")?.parse();
    let optional = |field: &str| fields.get(field).map(String::as_str).unwrap_or_default();
    let source = optional("Source").split_whitespace().next().unwrap_or(&name).to_owned();
    let depends = [optional("Pre-Depends"), optional("Depends")].into_iter().flat_map(dependencies).collect();
    Ok(PackageInfo {
        name: need("Package")?,
        version: need("Version")?,
        arch: need("Architecture")?,
        suite: suite.to_owned(),
        path: need("Filename")?,
        size: size.map_err(|_| ControlError {
            suite: suite.to_owned(),
            package: name.clone(),
            field: "Size",
        })?,
        sha256: need("SHA256")?,
        source,
        depends,
        provides: dependencies(optional("Provides")).flat_map(|d| d.alternatives).map(|r| r.name).collect(),
        priority: priority(optional("Priority")),
    })
}

fn priority(word: &str) -> u8 {
    match word {
        "required" => 0,
        "important" => 1,
        "standard" => 2,
        "optional" => 3,
        _ => 4,
    }
}

fn dependencies(text: &str) -> impl Iterator<Item = Dependency> + '_ {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| Dependency {
        text: part.to_owned(),
        alternatives: part.split('|').map(relation).collect(),
    })
}

/// `name:any (>= 1.0) [amd64]`
fn relation(text: &str) -> Relation {
    let text = text.split('[').next().unwrap_or_default().trim();
    let (name, condition) = match text.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim_end_matches(')').trim()),
        None => (text, ""),
    };
    let name = name.split(':').next().unwrap_or_default().to_owned();
    let at = condition.find(|c: char| !matches!(c, '<' | '>' | '=')).unwrap_or(condition.len());
    let (operator, version) = condition.split_at(at);
    let condition = (!operator.is_empty()).then(|| (operator.to_owned(), version.trim().to_owned()));
    Relation { name, condition }
}

impl Relation {
    pub(super) fn allows(&self, version: &str) -> bool {
        let Some((operator, wanted)) = &self.condition else { return true };
        let order = compare(version, wanted);
        match operator.as_str() {
            "<<" => order == Ordering::Less,
            "<=" | "<" => order != Ordering::Greater,
            ">=" | ">" => order != Ordering::Less,
            ">>" => order == Ordering::Greater,
            _ => order == Ordering::Equal,
        }
    }
}
