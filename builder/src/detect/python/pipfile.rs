//! What a `Pipfile` says of an app.

use crate::app_file::Located;
use crate::detect::files::Files;
use crate::detect::toml_file::TomlFile;
use crate::detect::{DetectError, Finding};

use super::names::{Dependencies, normal};

/// The name of the file.
pub(super) const FILE_NAME: &str = "Pipfile";

/// What a `Pipfile` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pipfile {
    /// The file, relative to the root of the source.
    pub(super) file: String,
    /// The version of Python, the full one first.
    pub(super) python: Vec<Located<String>>,
    /// The packages that the app depends on, without those for development.
    pub(super) packages: Dependencies,
}

impl Pipfile {
    /// Whether it names the version of Python down to the patch.
    pub(super) fn has_full_version(&self) -> bool {
        self.python.iter().any(|version| version.value.split('.').count() > 2)
    }

    /// Reads the app's `Pipfile`; none when there is none.
    pub(super) fn read(files: &Files<'_>) -> Result<Option<Self>, DetectError> {
        let Some(text) = files.text(FILE_NAME)? else { return Ok(None) };
        let toml = TomlFile::parse(&text)?;
        let mut packages = Dependencies::default();
        for name in toml.keys(&["packages"]) {
            let extras = toml.texts(&["packages", &name.value, "extras"]);
            let place = Finding::new(toml.file(), "").at(name.at.start);
            packages.add_named(&name.value, extras.into_iter().map(|extra| normal(&extra.value)), &place);
        }
        let python = ["python_full_version", "python_version"].map(|key| toml.text(&["requires", key]));
        Ok(Some(Self { file: text.file.clone(), python: python.into_iter().flatten().collect(), packages }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::files::tests::tree;

    #[test]
    fn packages_and_the_version_of_python_are_read() {
        let text = "[packages]\nFlask = '*'\nfastapi = { extras = ['standard'], version = '*' }\n[dev-packages]\npytest = '*'\n\
                    [requires]\npython_version = '3.13'\npython_full_version = '3.13.5'\n";
        let found = Pipfile::read(&Files::new(&tree(&[(FILE_NAME, text)]), None)).unwrap().unwrap();
        assert_eq!(
            found.python.iter().map(|version| version.value.as_str()).collect::<Vec<_>>(),
            ["3.13.5", "3.13"]
        );
        assert_eq!(found.packages.get("flask").unwrap().to_string(), "Pipfile:2:1: `flask` is a dependency");
        assert!(found.packages.get("uvicorn").is_some() && found.packages.get("pytest").is_none());
    }

    #[test]
    fn a_broken_file_is_refused_at_its_place() {
        let tree = tree(&[(FILE_NAME, "[packages\n")]);
        let error = Pipfile::read(&Files::new(&tree, None)).unwrap_err().to_string();
        assert!(error.starts_with("Pipfile:1:10: error: this is not TOML: "), "{error}");
    }
}
