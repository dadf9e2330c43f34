//! Which package manager installs an app's dependencies, and how.

use crate::detect::files::Files;
use crate::detect::{DetectError, Finding};

use super::names::Dependencies;
use super::pipfile::{self, Pipfile};
use super::project::{self, Fact, Project};
use super::requirements::{self, Requirements};
use super::{setup, workspace};

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

impl Manager {
    /// Whether it installs what `pyproject.toml` lists.
    fn is_of_project(self) -> bool {
        !matches!(self, Self::Pipenv | Self::Requirements)
    }
}

/// A manager and the file that tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) manager: Manager,
    pub(super) because: Finding,
    /// Whether exact versions are written down.
    pub(super) is_locked: bool,
    /// The command that would choose this one where another is taken.
    instead: String,
}

/// The files that may tell how an app is installed.
pub(super) struct Sources {
    pub(super) project: Option<Project>,
    pub(super) pipfile: Option<Pipfile>,
}

/// Everything that could install the dependencies, in the order in which it is taken.
///
/// A lock file with its tool is what the project works with; `requirements.txt` beside one is mostly written from it.
pub(super) fn choices(files: &Files<'_>, sources: &Sources) -> Vec<Choice> {
    let is_project = sources.project.as_ref().is_some_and(|project| project.says(Fact::Project));
    let poetry = sources.project.as_ref().is_some_and(|project| project.says(Fact::Poetry));
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
        // The project file beside a lock file is where the lock comes from.
        let is_own = |other: &Choice| taken.manager.is_of_project() && other.manager.is_of_project();
        for other in others.iter().filter(|other| !is_own(other) || other.is_locked) {
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
) -> Result<Requirements, DetectError> {
    let of_project =
        || sources.project.as_ref().map(|project| project.dependencies.clone()).unwrap_or_default();
    let with_setup = |mut packages: Dependencies| {
        packages.extend(of_project());
        packages.extend(setup::read(files)?);
        Ok(packages)
    };
    let packages = match manager {
        Some(Manager::Requirements) => {
            let found = requirements::read(files, "requirements.txt")?;
            let packages = if found.names_project { with_setup(found.packages)? } else { found.packages };
            return Ok(Requirements { packages, ..found });
        }
        Some(Manager::Pipenv) => {
            sources.pipfile.as_ref().map(|pipfile| pipfile.packages.clone()).unwrap_or_default()
        }
        Some(Manager::Project) => with_setup(Dependencies::default())?,
        Some(Manager::Uv | Manager::Poetry | Manager::Pdm | Manager::Listed) => of_project(),
        None => Dependencies::default(),
    };
    Ok(Requirements { packages, names_project: false })
}
