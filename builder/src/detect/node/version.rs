//! Which version of Node.js the files of an app ask for.

use lapstrake_catalog::{EnginesRange, VersionRequest};

use crate::app_file::Position;
use crate::detect::files::Files;
use crate::detect::{DetectError, Finding, VersionWish};

use super::package::{Package, join};
use super::project::Project;

/// Names of lines with long-term support.
const CODENAMES: &[(&str, u32)] = &[
    ("argon", 4),
    ("boron", 6),
    ("carbon", 8),
    ("dubnium", 10),
    ("erbium", 12),
    ("fermium", 14),
    ("gallium", 16),
    ("hydrogen", 18),
    ("iron", 20),
    ("jod", 22),
    ("krypton", 24),
];

/// Files whose whole content is a version, in the order in which they count.
const FILES: [&str; 2] = [".nvmrc", ".node-version"];

/// What was found of the version.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Version {
    /// What a file asks for.
    pub(super) wish: Option<VersionWish>,
    /// What else should be known.
    pub(super) notes: Vec<String>,
}

/// Reads what files say of the version.
///
/// A file that names one version says more than `engines`, which names all that work: `.nvmrc`, `.node-version`,
/// `.tool-versions`, `volta`, then `engines`. Of one kind the app's own count before those of the workspace that it is in.
pub(super) fn version(files: &Files<'_>, project: &Project) -> Result<Version, DetectError> {
    let mut found = Version::default();
    let mut asked: Vec<(String, Option<VersionWish>)> = Vec::new();
    for package in project.packages() {
        for name in FILES {
            if let Some(file) = files.text(&join(&package.directory, name))? {
                asked.extend(of_file(&file.file, &file.text, &mut found.notes));
            }
        }
        if let Some(file) = files.text(&join(&package.directory, ".tool-versions"))? {
            asked.extend(of_tool_versions(&file.file, &file.text, &mut found.notes));
        }
        asked.extend(of_volta(package, &mut found.notes));
    }
    for package in project.packages() {
        asked.extend(of_engines(package, &mut found.notes));
    }
    if let Some((first, wish)) = asked.first() {
        for (other, _) in asked.iter().skip(1).filter(|(_, other)| is_other(wish.as_ref(), other.as_ref())) {
            found.notes.push(format!(
                "{other}: not taken, because {first}; remove one of them, or choose with `--runtime-version`"
            ));
        }
    }
    found.wish = asked.into_iter().next().and_then(|(_, wish)| wish);
    Ok(found)
}

/// Reads what the files say of the version where there is no package.
pub(super) fn without_package(files: &Files<'_>) -> Result<Option<VersionWish>, DetectError> {
    for name in FILES {
        let found = files.text(name)?.and_then(|file| of_file(&file.file, &file.text, &mut Vec::new()));
        if let Some((_, Some(wish))) = found {
            return Ok(Some(wish));
        }
    }
    Ok(None)
}

/// Whether two files name different versions. A range beside a version is not another answer: it is checked against it.
fn is_other(taken: Option<&VersionWish>, other: Option<&VersionWish>) -> bool {
    match (taken, other) {
        (Some(VersionWish::Lock { request, .. }), Some(VersionWish::Lock { request: other, .. })) => {
            request != other
        }
        (Some(VersionWish::Range { text, .. }), Some(VersionWish::Range { text: other, .. })) => {
            text != other
        }
        (_, Some(VersionWish::Lock { .. })) => true,
        _ => false,
    }
}

/// The first line of a file that is neither empty nor a comment.
fn of_file(file: &str, text: &str, notes: &mut Vec<String>) -> Option<(String, Option<VersionWish>)> {
    let without_comment = |line: &'_ str| line.split('#').next().unwrap_or_default().trim().to_owned();
    let (number, word) = text.lines().map(without_comment).enumerate().find(|(_, line)| !line.is_empty())?;
    read(
        &word,
        Finding::new(file, format!("Node.js {word}")).at(Position { line: number + 1, column: 1 }),
        notes,
    )
}

/// The line `nodejs VERSION` of asdf and mise.
fn of_tool_versions(
    file: &str,
    text: &str,
    notes: &mut Vec<String>,
) -> Option<(String, Option<VersionWish>)> {
    for (number, line) in text.lines().enumerate() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        if let (Some("nodejs" | "node"), Some(word)) = (words.next(), words.next()) {
            let at = Position { line: number + 1, column: 1 };
            return read(word, Finding::new(file, format!("Node.js {word}")).at(at), notes);
        }
    }
    None
}

fn of_volta(package: &Package, notes: &mut Vec<String>) -> Option<(String, Option<VersionWish>)> {
    let word = package.text(&["volta", "node"])?;
    let because = package.finding(&["volta", "node"], format!("`volta` pins Node.js {word}"));
    read(word, because, notes)
}

fn of_engines(package: &Package, notes: &mut Vec<String>) -> Option<(String, Option<VersionWish>)> {
    let range = package.text(&["engines", "node"])?;
    let because = package.finding(&["engines", "node"], format!("`engines` asks for Node.js {range}"));
    if EnginesRange::parse(range).is_none() {
        notes.push(format!("{because}, which is not a range and is ignored"));
        return None;
    }
    let wish = VersionWish::Range { text: range.to_owned(), because: because.clone() };
    Some((because.to_string(), Some(wish)))
}

/// Reads one word: a version, the beginning of one, or a name for some. The names of the newest ask for nothing.
fn read(word: &str, because: Finding, notes: &mut Vec<String>) -> Option<(String, Option<VersionWish>)> {
    let lower = word.to_ascii_lowercase();
    let number = lower.strip_prefix('v').or_else(|| lower.strip_prefix("node-v")).unwrap_or(&lower);
    if let Ok(request) = number.parse::<VersionRequest>() {
        return Some((because.to_string(), Some(VersionWish::Lock { request, because })));
    }
    let range = match lower.strip_prefix("lts/") {
        Some("*") => any_long_term(),
        Some(name) => CODENAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map_or_else(String::new, |(_, line)| line.to_string()),
        None if lower == "lts" => any_long_term(),
        None if matches!(lower.as_str(), "node" | "stable" | "latest" | "current") => {
            return Some((because.to_string(), None));
        }
        None if EnginesRange::parse(word).is_some() => word.to_owned(),
        None => String::new(),
    };
    if range.is_empty() {
        notes.push(format!(
            "{because}, which is not a version and is ignored; choose with `--runtime-version`"
        ));
        return None;
    }
    Some((because.to_string(), Some(VersionWish::Range { text: range, because })))
}

/// Every line with long-term support: those with an even number.
fn any_long_term() -> String {
    let known = CODENAMES.iter().map(|(_, line)| *line);
    let newest = CODENAMES.last().map_or(0, |(_, line)| *line);
    // Lines that have no name here yet: this table ages more slowly than a catalog.
    let coming = (1..=8).map(|step| newest + 2 * step);
    known.chain(coming).map(|line| line.to_string()).collect::<Vec<_>>().join(" || ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::files::tests::tree;

    fn of(files: &[(&str, &str)]) -> Version {
        let mut all = vec![("package.json", "{}")];
        all.retain(|(name, _)| !files.iter().any(|(given, _)| given == name));
        all.extend(files);
        let tree = tree(&all);
        let files = Files::new(&tree, None);
        version(&files, &Project::read(&files).unwrap().unwrap()).unwrap()
    }

    fn said(version: &Version) -> String {
        match &version.wish {
            Some(VersionWish::Lock { request, because }) => format!("lock {request} {because}"),
            Some(VersionWish::Range { text, because }) => format!("range {text} {because}"),
            None => String::new(),
        }
    }

    #[test]
    fn each_form_that_the_tools_write_is_read() {
        for (text, expected) in [
            ("22\n", "lock 22 .nvmrc:1:1: Node.js 22"),
            ("v22.14.0", "lock 22.14.0 .nvmrc:1:1: Node.js v22.14.0"),
            ("# ours\n\n22.14 # old\n", "lock 22.14 .nvmrc:3:1: Node.js 22.14"),
            ("lts/jod", "range 22 .nvmrc:1:1: Node.js lts/jod"),
            ("lts/Krypton\r\n", "range 24 .nvmrc:1:1: Node.js lts/Krypton"),
            ("22.x", "range 22.x .nvmrc:1:1: Node.js 22.x"),
            ("node", ""),
            ("", ""),
        ] {
            let found = of(&[(".nvmrc", text)]);
            assert_eq!((said(&found).as_str(), found.notes.len()), (expected, 0), "{text}");
        }
        let any = said(&of(&[(".nvmrc", "lts/*")]));
        assert!(any.starts_with("range 4 || 6 ||") && any.contains("|| 24 || 26 ||"), "{any}");
    }

    #[test]
    fn a_version_of_the_workspace_counts_before_a_range_of_the_app() {
        let tree = tree(&[
            ("package.json", r#"{"workspaces": ["api"]}"#),
            (".nvmrc", "22"),
            ("api/package.json", r#"{"engines": {"node": ">=20"}}"#),
        ]);
        let directory = lapstrake_oci::tree::TreePath::new("api").unwrap();
        let files = Files::new(&tree, Some(&directory));
        let found = version(&files, &Project::read(&files).unwrap().unwrap()).unwrap();
        assert_eq!((said(&found).as_str(), found.notes.len()), ("lock 22 .nvmrc:1:1: Node.js 22", 0));
    }

    #[test]
    fn what_is_no_version_is_noted_and_ignored() {
        let found = of(&[(".nvmrc", "lts/quux"), ("package.json", r#"{"engines": {"node": "new"}}"#)]);
        assert_eq!(found.wish, None);
        assert_eq!(
            found.notes[0],
            ".nvmrc:1:1: Node.js lts/quux, which is not a version and is ignored; choose with `--runtime-version`"
        );
        assert_eq!(
            found.notes[1],
            "package.json:1:22: `engines` asks for Node.js new, which is not a range and is ignored"
        );
    }

    #[test]
    fn a_file_that_names_one_version_counts_before_a_range() {
        let package = ("package.json", r#"{"engines": {"node": ">=20"}, "volta": {"node": "20.19.0"}}"#);
        assert_eq!(said(&of(&[package])), "lock 20.19.0 package.json:1:49: `volta` pins Node.js 20.19.0");
        let found = of(&[package, (".node-version", "24"), (".tool-versions", "ruby 3\nnodejs 24\n")]);
        assert_eq!(said(&found), "lock 24 .node-version:1:1: Node.js 24");
        assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
        assert!(found.notes[0].starts_with("package.json:1:49: `volta` pins Node.js 20.19.0: not taken"));
        assert_eq!(
            said(&of(&[("package.json", r#"{"engines": {"node": ">=20"}}"#)])),
            "range >=20 package.json:1:22: `engines` asks for Node.js >=20"
        );
    }
}
