//! What to say where no file tells what an app needs.

use std::collections::BTreeSet;
use std::fmt;

use lapstrake_oci::tree::{FileTree, Kind, TreePath};

use super::{Language, node, python};

/// How many other directories are named.
const NAMED: usize = 5;

/// Directories that hold other people's projects.
const FOREIGN: &[&[u8]] =
    &[b"node_modules", b"site-packages", b"vendor", b"dist", b"build", b"tests", b"test"];

/// Files of languages that there are no runtimes for.
const OTHER_LANGUAGES: &[(&str, &str)] = &[
    ("Cargo.toml", "Rust"),
    ("Gemfile", "Ruby"),
    ("build.gradle", "Java"),
    ("build.gradle.kts", "Java"),
    ("composer.json", "PHP"),
    ("deno.json", "Deno"),
    ("go.mod", "Go"),
    ("mix.exs", "Elixir"),
    ("pom.xml", "Java"),
];

/// No file tells what the app needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NothingDetected {
    /// Where it was looked, relative to the root of the source; empty for the root itself.
    pub directory: String,
    /// The files that were looked for.
    pub looked_for: Vec<&'static str>,
    /// Such files in other directories, relative to the root of the source, outermost first.
    pub elsewhere: Vec<String>,
    /// A file of a language without a runtime, and the language.
    pub other_language: Option<(&'static str, &'static str)>,
}

impl NothingDetected {
    /// Says what to do.
    #[must_use]
    pub fn hint(&self) -> String {
        let directories: Vec<&str> = self
            .elsewhere
            .iter()
            .map(|path| path.rsplit_once('/').map_or("/", |(directory, _)| directory))
            .collect();
        match (directories.as_slice(), self.other_language) {
            ([first, ..], _) => {
                let found = self.elsewhere.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>();
                format!("there is {}: name its directory with `--source-dir {first}`", found.join(", "))
            }
            ([], Some((file, language))) => {
                format!(
                    "`{file}` is of {language}, which there is no runtime for: there are Python and Node.js"
                )
            }
            ([], None) => "write an `apprunner.yaml`, or say it with `--runtime` and `--command`".to_owned(),
        }
    }
}

impl fmt::Display for NothingDetected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing tells how to build the app in ")?;
        match self.directory.as_str() {
            "" => f.write_str("the root of the source")?,
            directory => write!(f, "`{directory}`")?,
        }
        let names = self.looked_for.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
        write!(f, ": looked for {}", names.join(", "))
    }
}

impl std::error::Error for NothingDetected {}

/// Says what was looked for, and where else there is something of the kind.
pub(super) fn nothing(
    tree: &FileTree,
    directory: Option<&TreePath>,
    wanted: Option<Language>,
) -> NothingDetected {
    let languages = [(Language::Python, python::EVIDENCE), (Language::Node, node::EVIDENCE)];
    let of_wanted = languages.iter().filter(|(language, _)| wanted.is_none_or(|wanted| wanted == *language));
    let evidence: Vec<&'static str> = of_wanted.flat_map(|(_, names)| names.iter().copied()).collect();
    let mut looked_for = vec![crate::app_file::FILE_NAME];
    looked_for.extend(&evidence);
    let other = |&(file, _): &&(&str, &str)| {
        let path = directory.map_or_else(|| TreePath::new(file), |directory| directory.join(file));
        path.is_ok_and(|path| tree.get(&path).is_some())
    };
    NothingDetected {
        directory: directory.map(ToString::to_string).unwrap_or_default(),
        looked_for,
        elsewhere: elsewhere(tree, directory, &evidence),
        other_language: OTHER_LANGUAGES.iter().find(other).copied(),
    }
}

/// The evidence in other directories, one file for each directory. A lone script is none.
fn elsewhere(tree: &FileTree, directory: Option<&TreePath>, evidence: &[&str]) -> Vec<String> {
    let mut found: Vec<(usize, &TreePath)> = Vec::new();
    let mut directories: BTreeSet<Option<TreePath>> = BTreeSet::new();
    for (path, node) in tree.iter() {
        let name = path.name();
        let is_evidence = evidence.iter().any(|known| known.as_bytes() == name) && !name.ends_with(b".py");
        let is_file = matches!(node.kind, Kind::File(_));
        let is_foreign = path.components().any(|part| FOREIGN.contains(&part) || part.starts_with(b"."));
        let parent = path.parent();
        if is_evidence && is_file && !is_foreign && parent.as_ref() != directory && directories.insert(parent)
        {
            found.push((path.components().count(), path));
        }
    }
    found.sort();
    found.into_iter().take(NAMED).map(|(_, path)| path.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::tree;
    use super::*;

    #[test]
    fn what_was_looked_for_and_where_else_it_is_are_named() {
        let tree = tree(&[
            ("README.md", ""),
            ("services/deep/api/pyproject.toml", ""),
            ("backend/requirements.txt", ""),
            ("backend/pyproject.toml", ""),
            ("node_modules/x/package.json", ""),
            (".github/requirements.txt", ""),
        ]);
        let found = nothing(&tree, None, None);
        assert_eq!(found.elsewhere, ["backend/pyproject.toml", "services/deep/api/pyproject.toml"]);
        let text = found.to_string();
        let expected =
            "nothing tells how to build the app in the root of the source: looked for `apprunner.yaml`, ";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("`requirements.txt`") && text.contains("`package.json`"), "{text}");
        assert_eq!(
            found.hint(),
            "there is `backend/pyproject.toml`, `services/deep/api/pyproject.toml`: name its directory with \
             `--source-dir backend`"
        );
    }

    #[test]
    fn the_root_is_named_from_below_and_only_the_wanted_language_is_looked_for() {
        let tree = tree(&[("package.json", "{}"), ("docs/index.md", "")]);
        let docs = TreePath::new("docs").unwrap();
        let found = nothing(&tree, Some(&docs), Some(Language::Node));
        assert_eq!(
            found.to_string(),
            "nothing tells how to build the app in `docs`: looked for `apprunner.yaml`, `package.json`"
        );
        assert_eq!(found.hint(), "there is `package.json`: name its directory with `--source-dir /`");
        assert!(nothing(&tree, Some(&docs), Some(Language::Python)).elsewhere.is_empty());
    }

    #[test]
    fn a_language_without_a_runtime_is_said() {
        let found = nothing(&tree(&[("go.mod", "")]), None, None);
        assert_eq!(
            found.hint(),
            "`go.mod` is of Go, which there is no runtime for: there are Python and Node.js"
        );
        let found = nothing(&tree(&[("README.md", "")]), None, None);
        assert_eq!(found.hint(), "write an `apprunner.yaml`, or say it with `--runtime` and `--command`");
    }
}
