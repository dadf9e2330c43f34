//! The lock files of uv, Poetry and PDM, all of them lists of packages with their files in TOML.

use toml::{Table, Value};

use super::json::MOST;
use super::{ComesFrom, Held, Malformed, Package, leads_out};

/// Reads the packages.
pub(super) fn packages(text: &str) -> Result<Vec<Package>, Malformed> {
    let lock: Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let reason = format!("this is not TOML: {}", error.message().replace('\n', ", "));
        Malformed::new(before.matches('\n').count() + 1, reason)
    })?;
    let list = match lock.get("package") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= MOST => list,
        Some(Value::Array(_)) => return Err(Malformed::new(0, format!("it has more than {MOST} packages"))),
        Some(_) => return Err(Malformed::new(0, "`package` is not a list")),
    };
    // Poetry's older form has the files of all packages in one place.
    let files = lock.get("metadata").and_then(|metadata| metadata.get("files")?.as_table());
    let read = |package: &Value| {
        let malformed = || Malformed::new(0, "a package has no name");
        let name = package.get("name").and_then(Value::as_str).ok_or_else(malformed)?;
        Ok(Package {
            name: name.to_owned(),
            line: 0,
            from: place(package),
            held: held(package, files.and_then(|files| files.get(name))),
            alias_of: None,
        })
    };
    list.iter().map(read).collect()
}

/// What all files of a package are held by: any of them may be the one that is installed.
fn held(package: &Value, elsewhere: Option<&Value>) -> Held {
    let list = |value: Option<&'_ Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut files = list(package.get("files"));
    files.extend(list(elsewhere));
    files.extend(list(package.get("wheels")));
    files.extend(package.get("sdist").cloned());
    let hash =
        |file: &Value| file.get("hash").and_then(Value::as_str).map_or(Held::ByNothing, Held::by_named);
    files.iter().map(hash).min().unwrap_or(Held::ByNothing)
}

/// Where a package comes from, as uv and Poetry say in `source` and PDM in keys of the package itself.
fn place(package: &Value) -> ComesFrom {
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
    let local = |path: String| if leads_out(&path, 0) { ComesFrom::Address(path) } else { ComesFrom::Source };
    let git =
        |url: String| ComesFrom::Address(if url.starts_with("git+") { url } else { format!("git+{url}") });
    let of_pdm = || match (text(package, "git"), text(package, "path"), text(package, "url")) {
        (Some(url), ..) => git(url),
        (_, Some(path), _) => local(path),
        (.., Some(url)) => ComesFrom::Address(url),
        _ => ComesFrom::Registry,
    };
    let Some(source) = package.get("source") else { return of_pdm() };
    if let (Some(kind), Some(url)) = (text(source, "type"), text(source, "url")) {
        return match kind.as_str() {
            "git" => git(url),
            "directory" | "file" => local(url),
            // `url`, or `legacy`, which is an index of the project's own.
            _ => ComesFrom::Address(url),
        };
    }
    let inner = ["editable", "virtual", "directory", "path"].iter().find_map(|key| text(source, key));
    match (text(source, "git"), text(source, "url"), text(source, "registry"), inner) {
        (Some(url), ..) => git(url),
        (_, Some(url), ..) => ComesFrom::Address(url),
        (_, _, Some(url), _) if url.contains("://") => ComesFrom::Address(url),
        (_, _, Some(path), _) | (.., Some(path)) => local(path),
        _ => ComesFrom::Registry,
    }
}
