//! Lock files in JSON: npm's and Pipenv's.

use serde_json::{Map, Value};

use super::{ComesFrom, Held, Malformed, Package, leads_out};

/// How many packages may stand in one file.
pub(super) const MOST: usize = 200_000;

/// How deep version 1 nests dependencies; npm itself hardly passes ten.
const DEEPEST: usize = 100;

/// Reads npm's lock file. Where it holds both `packages` and, for older programs, `dependencies`, the former counts.
pub(super) fn npm(text: &str) -> Result<Vec<Package>, Malformed> {
    let lock = object(text)?;
    let mut packages = Vec::new();
    match (map(&lock, "packages")?, map(&lock, "dependencies")?) {
        (Some(entries), _) if !entries.is_empty() => {
            for (path, entry) in entries {
                // The first one is the app itself; others outside of `node_modules` are packages of its workspace.
                if path.is_empty() {
                    continue;
                }
                let entry = as_map(entry, path)?;
                packages.push(by_path(path, entry));
            }
        }
        (_, Some(entries)) => by_name(entries, 0, &mut packages)?,
        _ => {}
    }
    if packages.len() > MOST {
        return Err(Malformed::new(0, format!("it has more than {MOST} packages")));
    }
    Ok(packages)
}

/// A package of version 2 or 3, by the path that it is installed at.
fn by_path(path: &str, entry: &Map<String, Value>) -> Package {
    let name = match path.rsplit_once("node_modules/") {
        Some((_, name)) => name,
        None => path.rsplit('/').next().unwrap_or(path),
    };
    let is_link = entry.get("link") == Some(&Value::Bool(true));
    let is_of_workspace = !path.contains("node_modules/");
    let is_inside = entry.get("inBundle") == Some(&Value::Bool(true));
    let from = match text(entry, "resolved") {
        // A link leads to another entry, or out of the source.
        Some(target) if is_link && !leads_out(target.trim_start_matches("file:"), 0) => ComesFrom::Source,
        Some(address) => address_of(address),
        None if is_of_workspace && !leads_out(path, 0) => ComesFrom::Source,
        None if is_of_workspace => ComesFrom::Address(path.to_owned()),
        // It lies in the package around it, whose hash holds it.
        None if is_inside => ComesFrom::Source,
        None => ComesFrom::Registry,
    };
    let alias_of = text(entry, "name").filter(|real| *real != name && !is_of_workspace);
    package(name, from, entry, alias_of.map(str::to_owned))
}

/// The packages of version 1, by name; those that only one of them uses stand inside of it.
fn by_name(entries: &Map<String, Value>, depth: usize, packages: &mut Vec<Package>) -> Result<(), Malformed> {
    if depth > DEEPEST {
        return Err(Malformed::new(0, format!("dependencies are nested more than {DEEPEST} levels deep")));
    }
    for (name, entry) in entries {
        let entry = as_map(entry, name)?;
        let version = text(entry, "version").unwrap_or_default();
        let alias_of = version.strip_prefix("npm:").and_then(|real| real.rsplit_once('@'));
        let is_bundled = entry.get("bundled") == Some(&Value::Bool(true));
        let from = match text(entry, "resolved") {
            Some(address) => address_of(address),
            // What is not from a registry has its address as its version.
            None if alias_of.is_none() && super::Place::of(version).is_some() => address_of(version),
            None if is_bundled => ComesFrom::Source,
            None => ComesFrom::Registry,
        };
        packages.push(package(name, from, entry, alias_of.map(|(real, _)| real.to_owned())));
        if let Some(inner) = map(entry, "dependencies")? {
            by_name(inner, depth + 1, packages)?;
        }
    }
    Ok(())
}

fn package(name: &str, from: ComesFrom, entry: &Map<String, Value>, alias_of: Option<String>) -> Package {
    let held = text(entry, "integrity").map_or(Held::ByNothing, Held::by_integrity);
    Package { name: name.to_owned(), line: 0, from, held, alias_of }
}

/// An address, or a file of the source.
pub(super) fn address_of(address: &str) -> ComesFrom {
    let path = address.strip_prefix("file:").or_else(|| address.strip_prefix("link:"));
    match path.map(|path| path.split('#').next().unwrap_or(path)) {
        Some(path) if !path.starts_with("//") && !leads_out(path, 0) => ComesFrom::Source,
        _ => ComesFrom::Address(address.to_owned()),
    }
}

/// Reads Pipenv's lock file.
pub(super) fn pipfile(text_: &str) -> Result<Vec<Package>, Malformed> {
    let lock = object(text_)?;
    let mut packages = Vec::new();
    for (group, _) in lock.iter().filter(|(group, _)| *group != "_meta") {
        for (name, entry) in map(&lock, group)?.into_iter().flatten() {
            let entry = as_map(entry, name)?;
            let hashes = entry.get("hashes").and_then(Value::as_array).into_iter().flatten();
            // Any of them will do for pip, so the weakest one counts.
            let held = hashes.map(|hash| hash.as_str().map_or(Held::ByNothing, Held::by_named)).min();
            let from = match (text(entry, "git"), text(entry, "file"), text(entry, "path")) {
                (Some(git), ..) if git.contains("://") => ComesFrom::Address(format!("git+{git}")),
                (Some(git), ..) => ComesFrom::Address(git.to_owned()),
                (_, Some(file), _) if file.contains("://") => ComesFrom::Address(file.to_owned()),
                (_, Some(path), _) | (.., Some(path)) if leads_out(path, 0) => {
                    ComesFrom::Address(path.to_owned())
                }
                (_, Some(_), _) | (.., Some(_)) => ComesFrom::Source,
                _ => ComesFrom::Registry,
            };
            let held = held.unwrap_or(Held::ByNothing);
            packages.push(Package { name: name.clone(), line: 0, from, held, alias_of: None });
        }
    }
    Ok(packages)
}

fn object(text: &str) -> Result<Map<String, Value>, Malformed> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let reason = message.rsplit_once(" at line ").map_or(message.as_str(), |(reason, _)| reason);
        Malformed::new(error.line(), format!("this is not JSON: {reason}"))
    })?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(Malformed::new(1, "this is not a JSON object")),
    }
}

fn map<'v>(of: &'v Map<String, Value>, key: &str) -> Result<Option<&'v Map<String, Value>>, Malformed> {
    of.get(key).map(|value| as_map(value, key)).transpose()
}

fn as_map<'v>(value: &'v Value, name: &str) -> Result<&'v Map<String, Value>, Malformed> {
    value.as_object().ok_or_else(|| Malformed::new(0, format!("`{name}` is not an object")))
}

fn text<'v>(of: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    of.get(key)?.as_str()
}
