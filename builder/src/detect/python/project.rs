//! What an app's `pyproject.toml` says of it.

use crate::app_file::Located;
use crate::detect::Finding;
use crate::detect::files::Files;
use crate::detect::toml_file::TomlFile;

use super::constraint::to_specifiers;
use super::names::{Dependencies, normal};
use super::tools::{POETRY, Tool, UV};

/// The name of the file.
pub(super) const FILE_NAME: &str = "pyproject.toml";

/// What `pyproject.toml` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Project {
    /// The file, relative to the root of the source.
    pub(super) file: String,
    /// The name, if there is one.
    pub(super) name: Option<String>,
    /// The range of Python versions, as PEP 440 specifiers.
    pub(super) requires_python: Option<Located<String>>,
    /// The packages that it depends on, without groups for development.
    pub(super) dependencies: Dependencies,
    /// Its requirements as they are written, of the standard's table.
    pub(super) requirements: Vec<String>,
    /// The commands that it installs, in the order of the file.
    pub(super) scripts: Vec<Located<String>>,
    /// The versions of uv and of Poetry that it may be used with.
    uv_version: Option<Located<String>>,
    poetry_version: Option<Located<String>>,
    facts: Vec<Fact>,
}

/// What `pyproject.toml` says by having a table or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// It describes a project, and not only the settings of some tools.
    Project,
    /// Poetry's own table describes the project.
    Poetry,
    /// It says how it is built, so that it is a package that is installed.
    BuildSystem,
    /// The tool of the lock file is told not to install the project itself.
    NoPackage,
    /// Packages are named, so that their directories need not have the project's name.
    NamedPackages,
    /// It is the root of a uv workspace.
    Workspace,
}

impl Project {
    /// Gathers what a file says.
    pub(super) fn new(toml: &TomlFile<'_>) -> Self {
        let poetry = |key| ["tool", "poetry", key];
        let of_poetry = toml.text(&poetry("name"));
        let scripts = match toml.keys(&["project", "scripts"]) {
            found if found.is_empty() => toml.keys(&poetry("scripts")),
            found => found,
        };
        Self {
            file: toml.file().to_owned(),
            name: toml.text(&["project", "name"]).or(of_poetry).map(|name| name.value),
            requires_python: requires_python(toml),
            dependencies: dependencies(toml),
            requirements: toml
                .texts(&["project", "dependencies"])
                .into_iter()
                .map(|text| text.value)
                .collect(),
            scripts,
            uv_version: toml.text(&["tool", "uv", "required-version"]),
            poetry_version: toml.text(&poetry("requires-poetry")),
            facts: facts(toml),
        }
    }

    /// Whether the file says this.
    pub(super) fn says(&self, fact: Fact) -> bool {
        self.facts.contains(&fact)
    }

    /// Whether it is a package that can be built, and not only a list of dependencies.
    pub(super) fn is_built(&self) -> bool {
        self.says(Fact::BuildSystem) || (!self.says(Fact::Poetry) && !self.scripts.is_empty())
    }

    /// The versions of a tool that it may be used with.
    pub(super) fn version_of(&self, tool: Tool) -> Option<&Located<String>> {
        match tool {
            UV => self.uv_version.as_ref(),
            POETRY => self.poetry_version.as_ref(),
            _ => None,
        }
    }

    /// The name of the project as modules have it.
    pub(super) fn module(&self) -> Option<String> {
        self.name.as_deref().map(|name| normal(name).replace('-', "_"))
    }

    /// Whether a module of the project's name lies where build tools look for it.
    pub(super) fn has_module(&self, files: &Files<'_>) -> bool {
        self.module().is_some_and(|module| {
            ["", "src/"].iter().any(|place| {
                files.has_directory(&format!("{place}{module}")) || files.has(&format!("{place}{module}.py"))
            })
        })
    }
}

fn facts(toml: &TomlFile<'_>) -> Vec<Fact> {
    let poetry = |key| ["tool", "poetry", key];
    let is_poetry = toml.has(&poetry("dependencies")) || toml.text(&poetry("name")).is_some();
    let package = [["tool", "uv", "package"], poetry("package-mode"), ["tool", "pdm", "distribution"]];
    let facts = [
        (Fact::Project, toml.has(&["project"]) || is_poetry),
        (Fact::Poetry, is_poetry),
        (Fact::BuildSystem, toml.has(&["build-system"])),
        (Fact::NoPackage, package.iter().any(|key| toml.flag(key) == Some(false))),
        (Fact::NamedPackages, toml.has(&poetry("packages"))),
        (Fact::Workspace, toml.has(&["tool", "uv", "workspace"])),
    ];
    facts.into_iter().filter(|(_, is_said)| *is_said).map(|(fact, _)| fact).collect()
}

fn requires_python(toml: &TomlFile<'_>) -> Option<Located<String>> {
    toml.text(&["project", "requires-python"]).or_else(|| {
        let constraint = toml.text(&["tool", "poetry", "dependencies", "python"])?;
        // What is no constraint stays as it is, and is told where the range is read.
        let value = to_specifiers(&constraint.value).unwrap_or(constraint.value);
        Some(Located { value, at: constraint.at })
    })
}

fn dependencies(toml: &TomlFile<'_>) -> Dependencies {
    let mut found = Dependencies::default();
    let place = |located: &Located<String>| Finding::new(toml.file(), "").at(located.at.start);
    for requirement in toml.texts(&["project", "dependencies"]) {
        found.add(&requirement.value, &place(&requirement));
    }
    let poetry = ["tool", "poetry", "dependencies"];
    for name in toml.keys(&poetry).into_iter().filter(|name| name.value != "python") {
        let setting = |key| [poetry[0], poetry[1], poetry[2], &name.value, key];
        if toml.flag(&setting("optional")) != Some(true) {
            let extras = toml.texts(&setting("extras")).into_iter().map(|extra| normal(&extra.value));
            found.add_named(&name.value, extras, &place(&name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::files::{Text, tests::tree};

    fn project(text: &str) -> Project {
        let text = Text { file: FILE_NAME.to_owned(), text: text.to_owned() };
        Project::new(&TomlFile::parse(&text).unwrap())
    }

    #[test]
    fn a_project_of_the_standard_is_read() {
        let found = project(
            "[build-system]\nrequires = []\n[project]\nname = 'My.App'\nrequires-python = '>=3.11'\n\
             dependencies = [\n  'Flask>=3',\n]\noptional-dependencies.x = ['gunicorn']\n[project.scripts]\nserve = 'a:b'\n\
             [dependency-groups]\ndev = ['pytest']\n[tool.uv]\nrequired-version = '>=0.5'\n",
        );
        assert_eq!(found.facts, [Fact::Project, Fact::BuildSystem]);
        assert_eq!(found.module().unwrap(), "my_app");
        assert_eq!(found.requires_python.as_ref().unwrap().value, ">=3.11");
        assert_eq!(
            found.dependencies.get("flask").unwrap().to_string(),
            "pyproject.toml:7:3: `flask` is a dependency"
        );
        assert!(found.dependencies.get("pytest").is_none() && found.dependencies.get("gunicorn").is_none());
        assert_eq!(found.scripts[0].value, "serve");
        assert!(found.version_of(POETRY).is_none());
        assert_eq!(found.version_of(UV).unwrap().value, ">=0.5");
    }

    #[test]
    fn a_project_of_poetry_is_read() {
        let found = project(
            "[tool.poetry]\nname = 'x'\npackage-mode = false\nrequires-poetry = '>=2'\n[tool.poetry.dependencies]\n\
             python = '^3.11'\nfastapi = { version = '*', extras = ['standard'] }\ngunicorn = { version = '*', optional = true }\n\
             [tool.poetry.group.dev.dependencies]\npytest = '*'\n[tool.poetry.scripts]\nb = 'x:b'\na = 'x:a'\n",
        );
        assert_eq!(found.facts, [Fact::Project, Fact::Poetry, Fact::NoPackage]);
        let python = found.requires_python.unwrap();
        assert_eq!((python.value.as_str(), python.at.start.to_string()), (">=3.11,<4", "6:10".to_owned()));
        let names = ["fastapi", "uvicorn", "gunicorn", "pytest", "python"];
        let known = names.map(|name| found.dependencies.get(name).is_some());
        assert_eq!(known, [true, true, false, false, false]);
        assert_eq!(found.scripts.iter().map(|script| script.value.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn settings_of_tools_alone_are_no_project() {
        let found = project("[tool.ruff]\nline-length = 100\n[build-system]\nrequires = []\n");
        assert_eq!((found.facts, found.name), (vec![Fact::BuildSystem], None));
    }

    #[test]
    fn a_module_of_the_projects_name_is_found_beside_and_below_src() {
        let found = project("[project]\nname = 'my-app'\n");
        for path in ["my_app/__init__.py", "src/my_app/main.py", "my_app.py", "src/my_app.py"] {
            assert!(found.has_module(&Files::new(&tree(&[(path, "")]), None)), "{path}");
        }
        for path in ["app.py", "my-app/__init__.py", "lib/my_app/__init__.py"] {
            assert!(!found.has_module(&Files::new(&tree(&[(path, "")]), None)), "{path}");
        }
    }
}
