//! One `package.json`: what it says, and where.

use serde_json::Value;

use crate::detect::files::Files;
use crate::detect::{DetectError, Finding};
use crate::package_json::{self, FILE_NAME};

/// Where dependencies that an app has at run time are named.
const PRODUCTION: [&str; 3] = ["dependencies", "optionalDependencies", "peerDependencies"];
/// Where those are named that only its developers need.
const DEVELOPMENT: &str = "devDependencies";

/// A `package.json`.
#[derive(Clone, Debug)]
pub(super) struct Package {
    /// Where it lies, relative to the app's directory: empty for that directory itself.
    pub(super) directory: String,
    /// The file, relative to the root of the source.
    pub(super) file: String,
    text: String,
    value: Value,
}

/// Joins a directory, which may be empty, and a name.
pub(super) fn join(directory: &str, name: &str) -> String {
    match (directory, name) {
        ("", name) => name.to_owned(),
        (directory, "") => directory.to_owned(),
        (directory, name) => format!("{directory}/{name}"),
    }
}

impl Package {
    /// Reads the one of a directory; none when there is none.
    pub(super) fn read(files: &Files<'_>, directory: &str) -> Result<Option<Self>, DetectError> {
        let Some(found) = files.text(&join(directory, FILE_NAME))? else { return Ok(None) };
        let value = package_json::parse(&found.file, &found.text)
            .map_err(|diagnostic| DetectError::malformed(diagnostic, &found.text))?;
        Ok(Some(Self { directory: directory.to_owned(), file: found.file, text: found.text, value }))
    }

    /// The value at a path of keys.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.value, |value, key| value.get(key))
    }

    /// The text at a path of keys; empty text counts as none.
    pub(super) fn text(&self, path: &[&str]) -> Option<&str> {
        self.get(path).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
    }

    /// The text of a script.
    pub(super) fn script(&self, name: &str) -> Option<&str> {
        self.text(&["scripts", name])
    }

    /// The name of the package.
    pub(super) fn name(&self) -> Option<&str> {
        self.text(&["name"])
    }

    /// Makes a finding of the value at a path of keys.
    pub(super) fn finding(&self, path: &[&str], says: impl Into<String>) -> Finding {
        let finding = Finding::new(&self.file, says);
        match package_json::place(&self.text, path) {
            Some(at) if !path.is_empty() => finding.at(at.start),
            _ => finding,
        }
    }

    /// Makes a finding of the dependency of this name.
    pub(super) fn dependency_finding(&self, name: &str, says: impl Into<String>) -> Finding {
        let group = PRODUCTION.iter().chain([&DEVELOPMENT]).find(|group| self.get(&[group, name]).is_some());
        match group {
            Some(group) => self.finding(&[group, name], says),
            None => self.finding(&[], says),
        }
    }

    /// Whether it depends on a package, at run time or in development.
    pub(super) fn depends_on(&self, name: &str) -> bool {
        self.is_for_production(name) || self.get(&[DEVELOPMENT, name]).is_some()
    }

    /// Whether it depends on a package at run time.
    pub(super) fn is_for_production(&self, name: &str) -> bool {
        PRODUCTION.iter().any(|group| self.get(&[group, name]).is_some())
    }

    /// Whether it names packages that only developers need.
    pub(super) fn has_development(&self) -> bool {
        self.get(&[DEVELOPMENT]).and_then(Value::as_object).is_some_and(|group| !group.is_empty())
    }

    /// Whether it depends on anything.
    pub(super) fn has_dependencies(&self) -> bool {
        let any =
            |group: &&str| self.get(&[group]).and_then(Value::as_object).is_some_and(|all| !all.is_empty());
        PRODUCTION.iter().chain([&DEVELOPMENT]).any(any)
    }

    /// The names of all dependencies, at run time and in development.
    pub(super) fn dependencies(&self) -> impl Iterator<Item = &str> {
        let groups = PRODUCTION.iter().chain([&DEVELOPMENT]);
        groups
            .filter_map(|group| self.get(&[group])?.as_object())
            .flat_map(|group| group.keys().map(String::as_str))
    }

    /// The first script of the package itself that an installation runs.
    pub(super) fn install_script(&self) -> Option<&'static str> {
        let names =
            ["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"];
        names.into_iter().find(|name| self.script(name).is_some())
    }

    /// Whether its `.js` files are modules of ECMAScript.
    pub(super) fn is_module(&self) -> bool {
        self.text(&["type"]) == Some("module")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::detect::files::tests::tree;

    /// A package of this text, in the app's directory.
    pub(in crate::detect::node) fn package(text: &str) -> Package {
        let tree = tree(&[(FILE_NAME, text)]);
        Package::read(&Files::new(&tree, None), "").unwrap().unwrap()
    }

    #[test]
    fn what_it_depends_on_is_told_apart_by_when_it_is_needed() {
        let found = package(r#"{"dependencies": {"a": "1"}, "devDependencies": {"b": "1"}}"#);
        assert!(found.depends_on("a") && found.depends_on("b") && !found.depends_on("c"));
        assert!(found.is_for_production("a") && !found.is_for_production("b"));
        assert!(found.has_development() && !package(r#"{"devDependencies": {}}"#).has_development());
        assert_eq!(found.dependency_finding("b", "x").to_string(), "package.json:1:55: x");
        assert_eq!(found.dependency_finding("c", "x").to_string(), "package.json: x");
    }

    #[test]
    fn what_is_no_json_is_refused_at_its_place() {
        let tree = tree(&[(FILE_NAME, "{\n  \"a\": ,\n}")]);
        let error = Package::read(&Files::new(&tree, None), "").unwrap_err();
        assert_eq!(error.to_string(), "package.json:2:8: error: this is not JSON: expected value");
        assert!(Package::read(&Files::new(&tree, None), "sub").unwrap().is_none());
    }
}
