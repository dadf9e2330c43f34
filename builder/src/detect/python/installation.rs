//! How a package manager installs an app's dependencies: commands, variables, and where the packages are then.

use crate::command_line::quoted;
use crate::detect::files::Files;
use crate::detect::{Decided, Finding};

use super::manager::{Choice, Manager, Pins, Sources};
use super::pipfile::Pipfile;
use super::project::{FILE_NAME, Fact, Project};
use super::tools::{PDM, PIPENV, POETRY, Tool, UV};
use super::workspace;

/// The virtual environment of an app, relative to its directory.
const VENV: &str = ".venv";

/// How dependencies are installed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Installation {
    pub(super) commands: Vec<Decided>,
    pub(super) env: Vec<(String, Decided)>,
    /// The virtual environment, relative to the app's directory; none when packages go to the runtime's own.
    pub(super) venv: Option<String>,
    /// Whether the project itself is installed, so that its modules and commands are there.
    pub(super) has_project: bool,
    pub(super) notes: Vec<String>,
}

/// How the chosen manager installs.
pub(super) fn installation(files: &Files<'_>, sources: &Sources, choice: &Choice) -> Installation {
    let project = sources.project.as_ref();
    let work = Work { files, because: &choice.because, project, made: Installation::default() };
    let mut made = match choice.manager {
        Manager::Uv => work.uv(),
        Manager::Poetry => work.poetry(),
        Manager::Pdm => work.pdm(),
        Manager::Pipenv => {
            let has_full_version = sources.pipfile.as_ref().is_some_and(Pipfile::has_full_version);
            work.pipenv(choice.pins, has_full_version)
        }
        Manager::Requirements => work.pip("-r requirements.txt"),
        Manager::Project => Installation { has_project: true, ..work.pip(".") },
        Manager::Listed => work.listed(),
    };
    if choice.pins == Pins::None {
        made.notes.push(format!(
            "`{}` fixes no versions: another build may install others; a lock file makes builds repeatable",
            choice.because.file
        ));
    }
    made
}

struct Work<'a, 't> {
    files: &'a Files<'t>,
    because: &'a Finding,
    project: Option<&'a Project>,
    made: Installation,
}

impl Work<'_, '_> {
    fn uv(mut self) -> Installation {
        let lock = workspace::uv_lock(self.files).unwrap_or_default();
        self.made.has_project = self.is_package();
        self.tool(UV, &workspace::beside(&lock, VENV));
        self.run(format!("{} sync --frozen --no-dev", UV.program()));
        self.set(&[("UV_PYTHON", "python3"), ("UV_PYTHON_DOWNLOADS", "never"), ("UV_LINK_MODE", "copy")]);
        self.made
    }

    /// Poetry refuses a project whose package is not there; many use it for their dependencies alone.
    fn poetry(mut self) -> Installation {
        let root = self.project.filter(|project| !project.says(Fact::NoPackage));
        let has_module =
            |project: &Project| project.says(Fact::NamedPackages) || project.has_module(self.files);
        self.made.has_project = root.is_some_and(has_module);
        let mut install = format!("{} install --only main --no-interaction", POETRY.program());
        if root.is_some() && !self.made.has_project {
            install.push_str(" --no-root");
            let file = self.files.name(FILE_NAME);
            let note =
                format!("`{file}` names a package that is not there: only its dependencies are installed");
            self.made.notes.push(note);
        }
        self.tool(POETRY, VENV);
        self.run(install);
        self.set(&[("POETRY_VIRTUALENVS_IN_PROJECT", "true"), ("POETRY_VIRTUALENVS_OPTIONS_NO_PIP", "true")]);
        self.made
    }

    fn pdm(mut self) -> Installation {
        self.made.has_project = self.is_package();
        self.tool(PDM, VENV);
        self.run(format!("{} install --check --prod", PDM.program()));
        self.set(&[("PDM_CHECK_UPDATE", "false")]);
        // What a developer's machine had as Python is not here, and the log would be part of the image.
        self.set(&[("PDM_IGNORE_SAVED_PYTHON", "true"), ("PDM_LOG_DIR", "/tmp/pdm-log")]);
        self.made
    }

    fn pipenv(mut self, pins: Pins, has_full_version: bool) -> Installation {
        self.tool(PIPENV, VENV);
        // With `--deploy` it refuses every patch but the one that the file names.
        let install = match (pins, has_full_version) {
            (Pins::All, true) => "sync",
            (Pins::All, false) => "install --deploy",
            _ => "install",
        };
        self.run(format!("{} {install}", PIPENV.program()));
        self.set(&[("PIPENV_VENV_IN_PROJECT", "1"), ("PIPENV_NOSPIN", "1"), ("VIRTUALENV_NO_PIP", "1")]);
        self.made
    }

    fn pip(mut self, what: &str) -> Installation {
        self.run(format!("pip3 install {what}"));
        self.made
    }

    fn listed(self) -> Installation {
        let requirements = self.project.map(|project| project.requirements.as_slice()).unwrap_or_default();
        if requirements.is_empty() {
            return self.made;
        }
        let words: Vec<String> = requirements.iter().map(|requirement| quoted(requirement)).collect();
        self.pip(&words.join(" "))
    }

    fn is_package(&self) -> bool {
        self.project.is_some_and(|project| !project.says(Fact::NoPackage) && project.is_built())
    }

    fn run(&mut self, command: impl Into<String>) {
        self.made.commands.push(self.because.decides(command));
    }

    fn set(&mut self, variables: &[(&str, &str)]) {
        let decided = |(name, value): &(&str, &str)| ((*name).to_owned(), self.because.decides(*value));
        self.made.env.extend(variables.iter().map(decided));
    }

    /// Installs a tool where nothing reaches the image from, and has the virtual environment made anew.
    fn tool(&mut self, tool: Tool, venv: &str) {
        let asked = self.project.and_then(|project| Some((project, project.version_of(tool)?)));
        let file = asked.map(|(project, _)| project.file.as_str()).unwrap_or_default();
        let (command, note) = tool.install(asked.map(|(_, asked)| asked), file);
        self.made.notes.extend(note);
        if self.files.has_directory(venv) {
            // Its programs name the Python of the machine that it was made on.
            self.made.notes.push(format!("`{}` of the source is made anew", self.files.name(venv)));
            self.run(format!("rm -rf {venv}"));
        }
        self.run(command);
        self.made.venv = Some(venv.to_owned());
    }
}
