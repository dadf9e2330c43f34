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

/// Which packages a file names the exact versions of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pins {
    /// Every one that is installed.
    All,
    /// Those that whoever wrote it cared for.
    Some,
    /// Hardly any: the newest when the build runs are installed.
    None,
}

/// A manager and the file that tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) manager: Manager,
    pub(super) because: Finding,
    pub(super) pins: Pins,
}

/// The files that may tell how an app is installed.
pub(super) struct Sources {
    pub(super) project: Option<Project>,
    pub(super) pipfile: Option<Pipfile>,
}

/// Everything that could install the dependencies, in the order in which it is taken.
///
/// A lock file with its tool is what the project works with; `requirements.txt` beside one is mostly written from it.
pub(super) fn choices(files: &Files<'_>, sources: &Sources) -> Result<Vec<Choice>, DetectError> {
    let is_project = sources.project.as_ref().is_some_and(|project| project.says(Fact::Project));
    let poetry = sources.project.as_ref().is_some_and(|project| project.says(Fact::Poetry));
    let builds = sources.project.as_ref().is_some_and(Project::is_built);
    let setup = setup::package(files)?;
    let of_project = if builds || setup.is_some() { Manager::Project } else { Manager::Listed };
    let uv_lock = workspace::uv_lock(files);
    let locked = |lock: &str, is_described: bool| is_described && files.has(lock);
    let has_pipfile = sources.pipfile.is_some();
    let all = [
        (uv_lock.is_some() && is_project, Manager::Uv, uv_lock.as_deref().unwrap_or_default(), Pins::All),
        (locked("poetry.lock", is_project), Manager::Poetry, "poetry.lock", Pins::All),
        (locked("pdm.lock", is_project), Manager::Pdm, "pdm.lock", Pins::All),
        (locked("Pipfile.lock", has_pipfile), Manager::Pipenv, "Pipfile.lock", Pins::All),
        (files.has("requirements.txt"), Manager::Requirements, "requirements.txt", Pins::Some),
        (has_pipfile && !files.has("Pipfile.lock"), Manager::Pipenv, pipfile::FILE_NAME, Pins::None),
        (poetry && !builds, Manager::Poetry, project::FILE_NAME, Pins::None),
        (is_project && (builds || !poetry), of_project, project::FILE_NAME, Pins::None),
        (setup.is_some() && !is_project, Manager::Project, setup.unwrap_or_default(), Pins::None),
    ];
    let choice = |(_, manager, file, pins): (bool, Manager, &str, Pins)| {
        let says = match pins {
            Pins::All => "lists every package of a Python app",
            Pins::Some | Pins::None => "lists the packages of a Python app",
        };
        Choice { manager, because: Finding::new(files.name(file), says), pins }
    };
    Ok(all.into_iter().filter(|(is_there, ..)| *is_there).map(choice).collect())
}

/// What should be known of the choices that were not taken, and of files that cannot be used.
pub(super) fn notes(files: &Files<'_>, choices: &[Choice]) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some((taken, others)) = choices.split_first() {
        // The project file beside a lock file is where the lock comes from.
        let is_own = |other: &Choice| taken.manager.is_of_project() && other.manager.is_of_project();
        let is_lock = |other: &Choice| other.pins == Pins::All;
        for other in others.iter().filter(|other| !is_own(other) || is_lock(other)) {
            notes.push(format!(
                "`{0}` and `{1}` both list packages: the first was taken; the other is when `.lapstrakeignore` leaves `{0}` out",
                taken.because.file, other.because.file
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
