//! What an app of Python needs.

mod constraint;
mod django;
mod installation;
mod manager;
mod names;
mod pipfile;
mod project;
pub(crate) mod requirements;
mod server;
mod setup;
mod source_text;
mod start;
#[cfg(test)]
mod tests;
mod tools;
mod version;
mod web;
mod workspace;

use crate::app_file::DEFAULT_PORT;
use crate::plan::APP_ROOT;

use super::files::Files;
use super::toml_file::TomlFile;
use super::{Decided, DetectError, Detected, Finding, Language, VersionWish};

use django::Django;
use installation::{Installation, installation};
use manager::Sources;
use pipfile::Pipfile;
use project::Project;
use start::{App, Start};
use version::Versions;

/// The files that tell of an app of Python.
pub(super) const EVIDENCE: &[&str] = &[
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
    "setup.py",
    "setup.cfg",
    "manage.py",
    "main.py",
    "app.py",
    "server.py",
];

/// Where programs are looked for in images of Python, after those of a virtual environment.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Finds out what the app needs; none when it is not of Python.
pub(super) fn detect(files: &Files<'_>) -> Result<Option<Detected>, DetectError> {
    let sources = Sources { project: project(files)?, pipfile: Pipfile::read(files)? };
    let choices = manager::choices(files, &sources)?;
    let django = Django::find(files)?;
    let script = start::SCRIPTS.iter().find(|name| files.has(name));
    let script = script.map(|name| Finding::new(files.name(name), "is a script of Python"));
    let choice = choices.first();
    let because = choice.map(|choice| choice.because.clone());
    let Some(because) = because.or_else(|| django.as_ref().map(|django| django.because.clone())).or(script)
    else {
        return Ok(None);
    };
    let mut installation = choice.map(|choice| installation(files, &sources, choice)).unwrap_or_default();
    let required = manager::dependencies(files, &sources, choice.map(|choice| choice.manager))?;
    installation.has_project |= required.names_project;
    let start = Start::find(&App {
        files,
        project: sources.project.as_ref(),
        dependencies: &required.packages,
        installation: &installation,
        django: django.as_ref(),
    })?;
    let versions = Versions::read(files, sources.project.as_ref(), sources.pipfile.as_ref())?;
    let mut notes = manager::notes(files, &choices);
    if choice.is_none() {
        notes.push("no file lists packages, so none are installed: looked for `requirements.txt`, `pyproject.toml`, `Pipfile`, `setup.py`".to_owned());
    }
    Ok(Some(put_together(files, because, installation, django.as_ref(), versions, start, notes)))
}

/// What the files say of the version, in the order in which it counts.
pub(super) fn versions(files: &Files<'_>) -> Result<Vec<VersionWish>, DetectError> {
    Ok(Versions::read(files, project(files)?.as_ref(), Pipfile::read(files)?.as_ref())?.wishes)
}

fn project(files: &Files<'_>) -> Result<Option<Project>, DetectError> {
    let Some(text) = files.text(project::FILE_NAME)? else { return Ok(None) };
    Ok(Some(Project::new(&TomlFile::parse(&text)?)))
}

fn put_together(
    files: &Files<'_>,
    because: Finding,
    installation: Installation,
    django: Option<&Django>,
    versions: Versions,
    start: Start,
    mut notes: Vec<String>,
) -> Detected {
    let (version, of_version) = versions.decide();
    notes.extend(installation.notes);
    notes.extend(of_version);
    notes.extend(start.notes);
    let mut build = installation.commands;
    if let Some((django, static_root)) =
        django.and_then(|django| Some((django, django.static_root.as_ref()?)))
    {
        let python =
            installation.venv.as_ref().map_or("python3".to_owned(), |venv| format!("{venv}/bin/python3"));
        build.push(static_root.decides(django.collect_static(&python)));
    }
    let run_env = installation.venv.as_ref().map(|venv| in_venv(files, venv)).unwrap_or_default();
    let mut findings = vec![because];
    findings.extend(version.as_ref().map(|wish| wish.because().clone()));
    findings.extend(build.iter().chain(&start.command).map(|decided| decided.because.clone()));
    findings.extend(start.findings);
    let mut seen: Vec<Finding> = Vec::new();
    findings.retain(|finding| {
        !seen.contains(finding) && {
            seen.push(finding.clone());
            true
        }
    });
    Detected {
        language: Language::Python,
        version,
        build,
        build_env: installation.env,
        run_env,
        start: start.command,
        start_sought: start.sought,
        port: DEFAULT_PORT,
        findings,
        notes,
    }
}

/// The variables with which programs of a virtual environment are found, by a shell, a script or a `Procfile` as well.
fn in_venv(files: &Files<'_>, venv: &str) -> Vec<(String, Decided)> {
    let because = Finding::new(files.name(venv), "holds the packages");
    let place = format!("{APP_ROOT}/{}", files.name(venv));
    let path = format!("{place}/bin:{PATH}");
    [("VIRTUAL_ENV", place), ("PATH", path)]
        .map(|(name, value)| (name.to_owned(), because.decides(value)))
        .into()
}
