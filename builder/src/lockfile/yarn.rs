//! The lock files of yarn and pnpm.

use super::json::{MOST, address_of};
use super::yaml::{self, Entry, Node};
use super::{ComesFrom, Held, Malformed, Package, Place, leads_out};

/// Reads `yarn.lock` of the first yarn, which has a format of its own: patterns and a colon, and what they led to indented
/// by two spaces.
pub(super) fn classic(text: &str) -> Result<Vec<Package>, Malformed> {
    let mut packages: Vec<Package> = Vec::new();
    // Whether the package that is being read has a version, without which it is none.
    let mut has_version = true;
    for (index, line) in text.lines().enumerate() {
        let (number, line) = (index + 1, line.trim_end());
        let malformed = |reason: &str| Malformed::new(number, reason);
        if line.trim_start().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        if !line.starts_with(' ') {
            let patterns = line.strip_suffix(':').ok_or_else(|| malformed("no package begins here"))?;
            if !std::mem::replace(&mut has_version, false) {
                return Err(malformed("the package before it has no version"));
            }
            if packages.len() >= MOST {
                return Err(malformed("it has too many packages"));
            }
            let first = unquoted(patterns.split(", ").next().unwrap_or_default());
            let (name, range) = pattern(first).ok_or_else(|| malformed("a package has no `@`"))?;
            let alias_of =
                range.strip_prefix("npm:").map(|real| pattern(real).map_or(real, |(real, _)| real));
            let from = match address_of(range) {
                ComesFrom::Source => ComesFrom::Source,
                _ if range.starts_with("link:") => ComesFrom::Address(range.to_owned()),
                _ => ComesFrom::Registry,
            };
            packages.push(Package {
                name: name.to_owned(),
                line: number,
                from,
                held: Held::ByNothing,
                alias_of: alias_of.filter(|real| *real != name).map(str::to_owned),
            });
            continue;
        }
        let package = packages.last_mut().ok_or_else(|| malformed("it begins inside of a package"))?;
        // What lies deeper are its own dependencies.
        let Some(field) = line.strip_prefix("  ").filter(|field| !field.starts_with(' ')) else { continue };
        let (key, value) = field.split_once(' ').unwrap_or((field, ""));
        match key {
            "version" => has_version = true,
            "resolved" => resolved(package, unquoted(value)),
            "integrity" => package.held = package.held.max(Held::by_integrity(unquoted(value))),
            _ => {}
        }
    }
    if has_version { Ok(packages) } else { Err(Malformed::new(0, "the last package has no version")) }
}

/// The address of a package, which ends in the SHA-1 of an archive.
fn resolved(package: &mut Package, address: &str) {
    if let Some((_, digits)) = address.rsplit_once('#')
        && Place::of(address).is_some_and(|place| matches!(place.scheme.as_str(), "http" | "https"))
        && !is_repository(address)
    {
        package.held = package.held.max(Held::by_hex("sha1", digits));
    }
    package.from = address_of(address);
}

/// What is fetched by git ends in the commit, which looks like the SHA-1 of an archive.
fn is_repository(address: &str) -> bool {
    let path = address.split('#').next().unwrap_or_default();
    !(path.contains(".tgz") || path.contains(".tar"))
}

/// The name and the range of `NAME@RANGE`.
fn pattern(text: &str) -> Option<(&str, &str)> {
    let at = text.char_indices().skip(1).find(|(_, c)| *c == '@')?.0;
    Some((&text[..at], &text[at + 1..]))
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

/// Reads `yarn.lock` of yarn 2 and later.
pub(super) fn berry(text: &str) -> Result<Vec<Package>, Malformed> {
    let document = yaml::document(text)?;
    let entries = document.entries().iter().filter(|entry| entry.key != "__metadata");
    entries.map(of_berry).collect()
}

fn of_berry(entry: &Entry) -> Result<Package, Malformed> {
    let resolution = entry.value.text("resolution");
    let resolution = resolution.ok_or_else(|| Malformed::new(entry.line, "a package has no resolution"))?;
    let no_name = || Malformed::new(entry.line, "a resolution has no `@`");
    let (real, reference) = pattern(resolution).ok_or_else(no_name)?;
    let first = entry.key.split(", ").next().unwrap_or(&entry.key);
    let (name, _) = pattern(first).ok_or_else(no_name)?;
    let (protocol, rest) = reference.split_once(':').unwrap_or(("npm", reference));
    let from = match protocol {
        // An archive that is not where the registry has it is bound to the package.
        "npm" => match rest.split_once("::__archiveUrl=") {
            Some((_, url)) => ComesFrom::Address(percent_decoded(url)),
            None => ComesFrom::Registry,
        },
        "workspace" | "virtual" | "portal" | "link" | "file" => {
            let path = rest.split(['#', ':']).next().unwrap_or(rest);
            if leads_out(path, 0) { ComesFrom::Address(reference.to_owned()) } else { ComesFrom::Source }
        }
        // A patch lies in the source, or in yarn itself; what it is made of has an entry of its own.
        "patch" => ComesFrom::Source,
        _ => ComesFrom::Address(reference.to_owned()),
    };
    // With the version of the cache before it: `10c0/`.
    let checksum = entry.value.text("checksum").unwrap_or_default();
    let digits = checksum.rsplit('/').next().unwrap_or(checksum);
    let alias_of = (real != name).then(|| real.to_owned());
    let held = Held::by_hex("sha512", digits);
    Ok(Package { name: name.to_owned(), line: entry.line, from, held, alias_of })
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Reads pnpm's lock file.
pub(super) fn pnpm(text: &str) -> Result<Vec<Package>, Malformed> {
    let document = yaml::document(text)?;
    let packages = document.get("packages").map(Node::entries).unwrap_or_default();
    packages.iter().map(of_pnpm).collect()
}

fn of_pnpm(entry: &Entry) -> Result<Package, Malformed> {
    let resolution = entry.value.get("resolution");
    let resolution = resolution.ok_or_else(|| Malformed::new(entry.line, "a package has no resolution"))?;
    let key = entry.key.trim_start_matches('/');
    let name = entry.value.text("name").or_else(|| pattern(key).map(|(name, _)| name)).unwrap_or(key);
    let from = match (resolution.text("tarball"), resolution.text("repo"), resolution.text("directory")) {
        (Some(tarball), ..) => address_of(tarball),
        (_, Some(repository), _) => {
            ComesFrom::Address(format!("git+{}", repository.trim_start_matches("git+")))
        }
        (.., Some(directory)) if leads_out(directory, 0) => ComesFrom::Address(directory.to_owned()),
        (.., Some(_)) => ComesFrom::Source,
        _ => ComesFrom::Registry,
    };
    let held = resolution.text("integrity").map_or(Held::ByNothing, Held::by_integrity);
    Ok(Package { name: name.to_owned(), line: entry.line, from, held, alias_of: None })
}
