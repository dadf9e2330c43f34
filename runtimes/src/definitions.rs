//! Recipes, locks and the shipped state of the catalog: what a program needs to know to make runtimes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::entries::{Entries, EntriesError};
use crate::lock::{Lock, LockError};
use crate::recipe::{RecipeError, Recipes};

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// The name of the file with the catalog's state, among the locks.
pub const ENTRIES: &str = "entries";

/// Recipes, locks and entries that belong together.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    /// What people want.
    pub recipes: Recipes,
    /// The exact files, by name of the lock.
    pub locks: BTreeMap<String, Lock>,
    /// The entries that have been made of them.
    pub entries: Entries,
}

/// Why definitions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionsError {
    /// A recipe is wrong.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A lock is wrong.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The catalog's state is wrong.
    #[error(transparent)]
    Entries(#[from] EntriesError),
    /// A file cannot be read.
    #[error("could not read the definitions in `{path}`")]
    Read {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Definitions {
    /// Those that the program was built with.
    pub fn embedded() -> Result<Self, DefinitionsError> {
        Self::parse(embedded::RECIPES.iter().copied(), embedded::LOCKS.iter().copied())
    }

    /// Those that the program was built with, but without the locks: what is needed to choose a runtime, and not to make
    /// one.
    pub fn outline() -> Result<Self, DefinitionsError> {
        let entries = embedded::LOCKS.iter().filter(|(name, _)| *name == ENTRIES);
        Self::parse(embedded::RECIPES.iter().copied(), entries.copied())
    }

    /// Those of a directory with `recipes/*.toml` and `locks/*.json`.
    pub fn load(directory: &Path) -> Result<Self, DefinitionsError> {
        let recipes = texts(&directory.join("recipes"), "toml")?;
        let locks = texts(&directory.join("locks"), "json")?;
        Self::parse(
            recipes.iter().map(|(name, text)| (name.as_str(), text.as_str())),
            locks.iter().map(|(name, text)| (name.as_str(), text.as_str())),
        )
    }

    fn parse<'a>(
        recipes: impl Iterator<Item = (&'a str, &'a str)>,
        locks: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, DefinitionsError> {
        let mut definitions = Self { recipes: Recipes::parse(recipes)?, ..Self::default() };
        for (name, text) in locks {
            if name == ENTRIES {
                definitions.entries = Entries::parse(text.as_bytes())?;
            } else {
                definitions.locks.insert(name.to_owned(), Lock::parse(name, text.as_bytes())?);
            }
        }
        Ok(definitions)
    }
}

/// The files of a folder with an extension, by stem; a folder that does not exist has none.
fn texts(folder: &Path, extension: &str) -> Result<Vec<(String, String)>, DefinitionsError> {
    let fail = |source| DefinitionsError::Read { path: folder.to_owned(), source };
    let entries = match fs_err::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(fail(cause)),
    };
    let mut texts = Vec::new();
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|found| found == extension) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            texts.push((stem, fs_err::read_to_string(&path).map_err(fail)?));
        }
    }
    texts.sort();
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_is_all_but_the_locks() {
        let (outline, whole) = (Definitions::outline().unwrap(), Definitions::embedded().unwrap());
        assert_eq!(outline.entries, whole.entries);
        assert!(outline.locks.is_empty() && !whole.locks.is_empty());
        assert_eq!(outline.recipes.lines().count(), whole.recipes.lines().count());
    }

    #[test]
    fn what_the_program_was_built_with_fits_together() {
        let definitions = Definitions::embedded().unwrap();
        for os in ["debian12", "debian13", "debian14"] {
            assert!(definitions.recipes.oses.contains_key(os), "{os}");
        }
        let lines: Vec<_> = definitions
            .recipes
            .lines()
            .map(|(runtime, line)| format!("{} {}", runtime.name, line.version))
            .collect();
        assert_eq!(
            lines,
            ["nodejs20 20", "nodejs22 22", "nodejs24 24", "python3 3.11", "python3 3.13", "python3 3.14"]
        );
    }
}
