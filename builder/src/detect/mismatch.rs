//! Files of an app that ask for another version of the runtime than its app file gives.
//!
//! They do not choose over the app file; whoever reads both should know of it all the same.

use lapstrake_catalog::{RequiresPython, Version};
use lapstrake_oci::tree::{FileTree, TreePath};

use super::files::Files;
use super::{DetectError, Finding, Language, VersionWish, node, python};

/// The files in the directory of an app that ask for another version than this one, and what they ask for.
///
/// Patches are not compared: a runtime's are meant to move. `engines.node` is not among the files, as a conflict with it
/// is an error.
pub fn mismatches(
    tree: &FileTree,
    directory: Option<&TreePath>,
    language: Language,
    version: Version,
) -> Result<Vec<Finding>, DetectError> {
    let files = Files::new(tree, directory);
    let wishes = match language {
        Language::Python => python::versions(&files)?,
        Language::Node => node::versions(&files)?,
    };
    let others = wishes.into_iter().filter(|wish| !allows(wish, language, version));
    Ok(others.map(|wish| wish.because().clone()).collect())
}

fn allows(wish: &VersionWish, language: Language, version: Version) -> bool {
    match (wish, language) {
        (VersionWish::Lock { request, .. }, _) => {
            let line = match language {
                Language::Python => 2,
                Language::Node => 1,
            };
            let wanted = request.components();
            version.begins_with(&wanted[..wanted.len().min(line)])
        }
        (VersionWish::Range { text, .. }, Language::Python) => {
            RequiresPython::parse(text).is_none_or(|range| range.is_satisfied_by(version))
        }
        (VersionWish::Range { .. }, Language::Node) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::tree;
    use super::*;

    fn told(files: &[(&str, &str)], language: Language, version: &str) -> Vec<String> {
        let found = mismatches(&tree(files), None, language, version.parse().unwrap()).unwrap();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_file_of_python_that_asks_for_another_version_is_named() {
        let files = [
            (".python-version", "3.12\n"),
            ("runtime.txt", "python-3.13.2\n"),
            ("pyproject.toml", "[project]\nrequires-python = '>=3.14'\n"),
            ("Pipfile", "[requires]\npython_version = '3.11'\n"),
        ];
        assert_eq!(
            told(&files, Language::Python, "3.13.5"),
            [
                ".python-version:1:1: asks for Python 3.12",
                "Pipfile:2:18: asks for Python 3.11",
                "pyproject.toml:2:19: asks for Python `>=3.14`",
            ]
        );
        let agreeing =
            [(".python-version", "3.13.2\n"), ("pyproject.toml", "[project]\nrequires-python = '~=3.13'\n")];
        assert!(told(&agreeing, Language::Python, "3.13.5").is_empty());
        assert!(told(&files, Language::Node, "22.1.0").is_empty());
    }

    #[test]
    fn the_file_of_node_that_asks_for_another_line_is_named() {
        for name in [".nvmrc", ".node-version"] {
            let alone = told(&[(name, "20\n")], Language::Node, "22.14.0");
            assert!(alone[0].starts_with(&format!("{name}:1:1: ")), "{alone:?}");
            let files = [(name, "20.11.0\n"), ("package.json", "{\"engines\": {\"node\": \"18\"}}")];
            let found = told(&files, Language::Node, "22.14.0");
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&format!("{name}:1:1: ")), "{found:?}");
            assert!(told(&files, Language::Node, "20.20.2").is_empty());
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_said() {
        let tree = tree(&[("pyproject.toml", "[project\n")]);
        let said =
            mismatches(&tree, None, Language::Python, "3.13.5".parse().unwrap()).unwrap_err().to_string();
        assert!(said.starts_with("pyproject.toml:1:9: error: this is not TOML: "), "{said}");
    }
}
