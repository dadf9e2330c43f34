//! What to say where there is no app file.

use std::fmt;

use super::FILE_NAME;

/// There is no app file where one is expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{FILE_NAME}` not found in {}", place(source_dir))]
pub struct NotFound {
    /// Where it was looked for, relative to the root of the source; empty for the root itself.
    pub source_dir: String,
    /// What may have been meant, nearest first.
    pub near_misses: Vec<NearMiss>,
}

/// A file that may have been meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NearMiss {
    /// A file in the right place with a similar name.
    Name(String),
    /// A directory that holds an app file; empty for the root.
    Directory(String),
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "rename `{name}` to `{FILE_NAME}`"),
            Self::Directory(directory) => {
                write!(f, "{} has one: name it with `--source-dir`", place(directory))
            }
        }
    }
}

impl NotFound {
    /// Says what to do instead.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.near_misses.first().map(ToString::to_string)
    }

    /// Tells whether a file with a similar name lies in the right place, so that nothing must be guessed.
    #[must_use]
    pub fn is_misnamed(&self) -> bool {
        matches!(self.near_misses.first(), Some(NearMiss::Name(_)))
    }
}

fn place(directory: &str) -> String {
    if directory.is_empty() { "the root of the source".to_owned() } else { format!("`{directory}`") }
}

/// Looks through the paths of a source, relative to its root, for what may have been meant.
#[must_use]
pub fn not_found<'a>(source_dir: &str, paths: impl IntoIterator<Item = &'a str>) -> NotFound {
    let source_dir = source_dir.trim_matches('/');
    let near_miss = |path: &str| {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        if directory == source_dir && is_similar(name) {
            Some(NearMiss::Name(name.to_owned()))
        } else {
            (name == FILE_NAME).then(|| NearMiss::Directory(directory.to_owned()))
        }
    };
    let mut near_misses = paths.into_iter().filter_map(near_miss).collect::<Vec<_>>();
    near_misses.sort();
    NotFound { source_dir: source_dir.to_owned(), near_misses }
}

fn is_similar(name: &str) -> bool {
    let plain = name.to_ascii_lowercase().replace(['-', '_'], "");
    let stem = plain.trim_start_matches('.').strip_suffix(".yml").or_else(|| plain.strip_suffix(".yaml"));
    name != FILE_NAME && stem.is_some_and(|stem| stem.trim_start_matches('.') == "apprunner")
}

#[cfg(test)]
mod tests {
    use super::*;

    // quirk 4
    #[test]
    fn a_file_with_a_similar_name_is_named() {
        for name in ["apprunner.yml", "AppRunner.yaml", "app-runner.yaml", ".apprunner.yml"] {
            let found = not_found("", ["README.md", "web/apprunner.yaml", name]);
            assert_eq!(found.to_string(), "`apprunner.yaml` not found in the root of the source");
            assert_eq!(found.hint().unwrap(), format!("rename `{name}` to `apprunner.yaml`"));
            assert!(found.is_misnamed());
        }
    }

    #[test]
    fn another_directory_that_holds_one_is_named() {
        let found = not_found("/backend/", ["apprunner.yaml", "backend/app.py", "web/apprunner.yml"]);
        assert_eq!(found.to_string(), "`apprunner.yaml` not found in `backend`");
        assert_eq!(found.hint().unwrap(), "the root of the source has one: name it with `--source-dir`");
        let found = not_found("", ["backend/apprunner.yaml", "backend/apprunner.yml"]);
        assert_eq!(found.hint().unwrap(), "`backend` has one: name it with `--source-dir`");
        assert!(!found.is_misnamed());
    }

    #[test]
    fn without_a_near_miss_there_is_no_hint() {
        assert_eq!(not_found("", ["app.yaml", "runner.yml", "x/apprunner.yml"]).hint(), None);
    }
}
