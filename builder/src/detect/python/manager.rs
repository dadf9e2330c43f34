//! Which package manager installs an app's dependencies, and how.

use crate::app_file::Located;
use crate::command_line::quoted;
use crate::detect::files::Files;
use crate::detect::{Decided, DetectError, Finding};

use super::names::Dependencies;
use super::pipfile::{self, Pipfile};
use super::project::{self, Project};
use super::tools::{PDM, PIPENV, POETRY, Tool, UV};
use super::{requirements, setup, workspace};

/// What installs the dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manager {
    Uv,
    Poetry,
    Pdm,
    Pipenv,
    /// pip, from `requirements.txt`.
    Requirements,
    /// pip, from the project itself.
    Project,
    /// pip, from the dependencies that the project lists: it is no package.
    Listed,
}

/// A manager and the file that tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) manager: Manager,
    pub(super) because: Finding,
    /// Whether exact versions are written down.
    is_locked: bool,
    /// The command that would choose this one where another is taken.
    instead: String,
}

/// The files that may tell how an app is installed.
pub(super) struct Sources {
    pub(super) project: Option<Project>,
    pub(super) pipfile: Option<Pipfile>,
}

/// How dependencies are installed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Installation {
    pub(super) commands: Vec<Decided>,
    pub(super) env: Vec<(String, Decided)>,
    /// The directory of the virtual environment, relative to that of the app; none when packages go to the runtime's own.
    pub(super) venv: Option<String>,
    /// Whether the project itself is installed, so that its modules and commands are there.
    pub(super) has_project: bool,
    pub(super) notes: Vec<String>,
}

/// Everything that could install the dependencies, in the order in which it is taken.
///
/// A lock file with its tool is what the project works with; `requirements.txt` beside one is mostly written from it.
pub(super) fn choices(files: &Files<'_>, sources: &Sources) -> Vec<Choice> {
    let is_project = sources.project.as_ref().is_some_and(|project| project.is_project);
    let poetry = sources.project.as_ref().is_some_and(|project| project.is_poetry);
    let builds = sources.project.as_ref().is_some_and(Project::is_built);
    let uv_lock = workspace::uv_lock(files);
    let mut found = Vec::new();
    let mut add = |is_there: bool, manager, file: &str, is_locked, says: &str, instead: &str| {
        if is_there {
            let because = Finding::new(files.name(file), says);
            found.push(Choice { manager, because, is_locked, instead: instead.to_owned() });
        }
    };
    let locked = "lists every package of a Python app";
    let lists = "lists the packages of a Python app";
    let has = |name: &str| files.has(name);
    add(
        uv_lock.is_some() && is_project,
        Manager::Uv,
        uv_lock.as_deref().unwrap_or("uv.lock"),
        true,
        locked,
        "uv sync --frozen --no-dev",
    );
    add(
        has("poetry.lock") && is_project,
        Manager::Poetry,
        "poetry.lock",
        true,
        locked,
        "poetry install --only main",
    );
    add(has("pdm.lock") && is_project, Manager::Pdm, "pdm.lock", true, locked, "pdm install --check --prod");
    add(
        has("Pipfile.lock") && sources.pipfile.is_some(),
        Manager::Pipenv,
        "Pipfile.lock",
        true,
        locked,
        "pipenv install --deploy",
    );
    add(
        has("requirements.txt"),
        Manager::Requirements,
        "requirements.txt",
        true,
        lists,
        "pip3 install -r requirements.txt",
    );
    add(
        sources.pipfile.is_some() && !has("Pipfile.lock"),
        Manager::Pipenv,
        pipfile::FILE_NAME,
        false,
        lists,
        "pipenv install",
    );
    add(poetry && !builds, Manager::Poetry, project::FILE_NAME, false, lists, "poetry install --only main");
    let is_package = has("setup.py") || has("setup.cfg");
    let manager = if builds || is_package { Manager::Project } else { Manager::Listed };
    add(is_project && (builds || !poetry), manager, project::FILE_NAME, false, lists, "pip3 install .");
    add(
        is_package && !is_project,
        Manager::Project,
        if has("setup.py") { "setup.py" } else { "setup.cfg" },
        false,
        "describes a Python package",
        "pip3 install .",
    );
    found
}

/// What should be known of the choices that were not taken, and of files that cannot be used.
pub(super) fn notes(files: &Files<'_>, choices: &[Choice]) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some((taken, others)) = choices.split_first() {
        for other in others
            .iter()
            .filter(|other| other.because.file != taken.because.file && (other.is_locked || !taken.is_locked))
        {
            notes.push(format!(
                "`{}` and `{}` both list packages: the first was taken; `--build-command '{}'` takes the other",
                taken.because.file, other.because.file, other.instead
            ));
        }
    }
    let lone = [
        ("poetry.lock", project::FILE_NAME),
        ("pdm.lock", project::FILE_NAME),
        ("uv.lock", project::FILE_NAME),
        ("Pipfile.lock", pipfile::FILE_NAME),
    ];
    for (lock, of) in lone {
        if files.has(lock) && !choices.iter().any(|choice| choice.because.file == files.name(lock)) {
            notes.push(format!(
                "`{}` is not used: there is no project in `{}`",
                files.name(lock),
                files.name(of)
            ));
        }
    }
    notes
}

/// What the chosen manager's own file says that the app depends on.
pub(super) fn dependencies(
    files: &Files<'_>,
    sources: &Sources,
    manager: Option<Manager>,
) -> Result<Dependencies, DetectError> {
    let of_project =
        || sources.project.as_ref().map(|project| project.dependencies.clone()).unwrap_or_default();
    Ok(match manager {
        Some(Manager::Requirements) => requirements::read(files, "requirements.txt")?,
        Some(Manager::Pipenv) => {
            sources.pipfile.as_ref().map(|pipfile| pipfile.dependencies.clone()).unwrap_or_default()
        }
        Some(Manager::Project) => {
            let mut found = of_project();
            found.extend(setup::read(files)?);
            found
        }
        Some(Manager::Uv | Manager::Poetry | Manager::Pdm | Manager::Listed) => of_project(),
        None => Dependencies::default(),
    })
}

/// How the chosen manager installs.
pub(super) fn installation(files: &Files<'_>, sources: &Sources, choice: &Choice) -> Installation {
    let project = sources.project.as_ref();
    let is_package = project.is_some_and(|project| !project.is_no_package && project.is_built());
    let because = &choice.because;
    let mut made = Installation::default();
    match choice.manager {
        Manager::Uv => {
            let venv = workspace::beside(&workspace::uv_lock(files).unwrap_or_default(), ".venv");
            made.has_project = is_package;
            made.with_tool(
                files,
                UV,
                project.and_then(|project| Some((project, project.tool_version.as_ref()?))),
                because,
                &venv,
            );
            made.run(because, format!("{} sync --frozen --no-dev", UV.program()));
            made.set(
                because,
                &[("UV_PYTHON", "python3"), ("UV_PYTHON_DOWNLOADS", "never"), ("UV_LINK_MODE", "copy")],
            );
        }
        Manager::Poetry => {
            let root = project.filter(|project| !project.is_no_package);
            made.has_project =
                root.is_some_and(|project| project.names_packages || project.has_module(files));
            let no_root = if root.is_some() && !made.has_project { " --no-root" } else { "" };
            if !no_root.is_empty() {
                made.notes.push(format!(
                    "`{}` names a package that is not there: only its dependencies are installed",
                    files.name(project::FILE_NAME)
                ));
            }
            made.with_tool(
                files,
                POETRY,
                project.and_then(|project| Some((project, project.tool_version.as_ref()?))),
                because,
                ".venv",
            );
            made.run(because, format!("{} install --only main --no-interaction{no_root}", POETRY.program()));
            made.set(
                because,
                &[("POETRY_VIRTUALENVS_IN_PROJECT", "true"), ("POETRY_VIRTUALENVS_OPTIONS_NO_PIP", "true")],
            );
        }
        Manager::Pdm => {
            made.has_project = is_package;
            made.with_tool(files, PDM, None, because, ".venv");
            made.run(because, format!("{} install --check --prod", PDM.program()));
            // Its log would be part of the image, and what a developer's machine had as Python is not here.
            made.set(
                because,
                &[
                    ("PDM_CHECK_UPDATE", "false"),
                    ("PDM_IGNORE_SAVED_PYTHON", "true"),
                    ("PDM_LOG_DIR", "/tmp/pdm-log"),
                ],
            );
        }
        Manager::Pipenv => {
            made.with_tool(files, PIPENV, None, because, ".venv");
            let deploy = if choice.is_locked { " --deploy" } else { "" };
            made.run(because, format!("{} install{deploy}", PIPENV.program()));
            made.set(
                because,
                &[("PIPENV_VENV_IN_PROJECT", "1"), ("PIPENV_NOSPIN", "1"), ("VIRTUALENV_NO_PIP", "1")],
            );
        }
        Manager::Requirements => made.run(because, "pip3 install -r requirements.txt"),
        Manager::Project => {
            made.has_project = true;
            made.run(because, "pip3 install .");
        }
        Manager::Listed => {
            if let Some(project) = project.filter(|project| !project.requirements.is_empty()) {
                let words = project.requirements.iter().map(|requirement| quoted(requirement));
                made.run(because, format!("pip3 install {}", words.collect::<Vec<_>>().join(" ")));
            }
        }
    }
    if !choice.is_locked {
        made.notes.push(format!(
            "`{}` fixes no versions: another build may install others; a lock file makes builds repeatable",
            because.file
        ));
    }
    made
}

impl Installation {
    fn run(&mut self, because: &Finding, command: impl Into<String>) {
        self.commands.push(because.decides(command));
    }

    fn set(&mut self, because: &Finding, variables: &[(&str, &str)]) {
        self.env.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), because.decides(*value))));
    }

    /// Installs a tool where nothing reaches the image from, and has the virtual environment made anew.
    fn with_tool(
        &mut self,
        files: &Files<'_>,
        tool: Tool,
        asked: Option<(&Project, &Located<String>)>,
        because: &Finding,
        venv: &str,
    ) {
        let file = asked.map(|(project, _)| project.file.clone()).unwrap_or_default();
        let (command, note) = tool.install(asked.map(|(_, asked)| asked), &file);
        self.notes.extend(note);
        if files.has_directory(venv) {
            // Its programs name the Python of the machine that it was made on.
            self.notes.push(format!("`{}` of the source is made anew", files.name(venv)));
            self.run(because, format!("rm -rf {venv}"));
        }
        self.run(because, command);
        self.venv = Some(venv.to_owned());
    }
}
