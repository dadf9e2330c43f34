//! How an app is started: from its `Procfile`, from what its framework and its dependencies tell, or as a script.

use crate::command_line::quoted;
use crate::detect::files::Files;
use crate::detect::procfile::{self, Procfile};
use crate::detect::{Decided, DetectError, Finding};

use super::django::Django;
use super::installation::Installation;
use super::names::{Dependencies, is_module};
use super::project::Project;
use super::server::{self, Target, for_production};
use super::source_text::statements;
use super::web::{self, WebApp};

/// Scripts that are started where nothing else tells.
pub(super) const SCRIPTS: &[&str] = &["main.py", "app.py", "server.py"];

/// What is known of an app before it is asked how it starts.
pub(super) struct App<'a, 't> {
    pub(super) files: &'a Files<'t>,
    pub(super) project: Option<&'a Project>,
    pub(super) dependencies: &'a Dependencies,
    pub(super) installation: &'a Installation,
    pub(super) django: Option<&'a Django>,
}

/// How the app is started.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) command: Option<Decided>,
    /// Where a command was looked for, in order.
    pub(super) sought: Vec<String>,
    /// What else decided something.
    pub(super) findings: Vec<Finding>,
    pub(super) notes: Vec<String>,
}

impl Start {
    /// Finds the start command. The first of these counts: `Procfile`, Django, another web framework, the project's one
    /// command, its `__main__` module, a script of a usual name.
    pub(super) fn find(app: &App<'_, '_>) -> Result<Self, DetectError> {
        let mut start = Self::default();
        start.by_procfile(app)?;
        start.by_django(app);
        let apps = match start.command {
            None => web::find(app.files, app.project, app.installation.has_project, app.dependencies)?,
            Some(_) => Vec::new(),
        };
        start.by_framework(app, &apps);
        start.by_project(app);
        start.by_script(app, &apps)?;
        Ok(start)
    }

    fn by_procfile(&mut self, app: &App<'_, '_>) -> Result<(), DetectError> {
        self.sought.push(format!("`web` in `{}`", app.files.name(procfile::FILE_NAME)));
        if let Some(procfile) = Procfile::read(app.files)? {
            self.notes.extend(procfile.notes());
            self.command = procfile.web;
        }
        Ok(())
    }

    fn by_django(&mut self, app: &App<'_, '_>) {
        self.sought.push("`manage.py` of Django".to_owned());
        let Some(django) = app.django.filter(|_| self.command.is_none()) else { return };
        let (command, server) = django.start(app.dependencies);
        self.command = Some(django.because.decides(command));
        match server {
            Some(server) => self.findings.push(server.clone()),
            None => self.notes.push(for_development("gunicorn")),
        }
    }

    fn by_framework(&mut self, app: &App<'_, '_>, apps: &[WebApp]) {
        self.sought.push(
            "an app of FastAPI, Starlette, Flask or the like in `main.py`, `app.py` and other usual modules"
                .to_owned(),
        );
        let Some((first, others)) = apps.split_first() else { return };
        let name = format!("{}:{}", first.module, first.object);
        let target = Target { app: &name, is_factory: first.is_factory };
        let interface = first.framework.interface;
        let command = if let Some((command, server)) = for_production(target, interface, app.dependencies) {
            self.findings.push(server.clone());
            command
        } else if let Some(command) = server::of_framework(first, target) {
            self.notes.push(for_development(server::usual(interface)));
            command
        } else {
            let known = server::known(interface);
            self.sought.push(format!("a server for `{name}` among the dependencies: {known}"));
            return;
        };
        let command = match &first.directory {
            Some(directory) => format!("cd {directory} && exec {command}"),
            None => command,
        };
        for other in others.iter().filter(|other| !other.is_factory) {
            self.notes.push(format!(
                "{}: not started, because {}; `--command` chooses another",
                other.because, first.because
            ));
        }
        self.command = Some(first.because.decides(command));
    }

    fn by_project(&mut self, app: &App<'_, '_>) {
        self.sought.push("one command of `[project.scripts]`".to_owned());
        let Some(project) = app.project.filter(|_| self.command.is_none() && app.installation.has_project)
        else {
            return;
        };
        match project.scripts.as_slice() {
            [] => {}
            [script] => {
                let says = format!("`{}` is the project's only command", script.value);
                let because = Finding::new(&project.file, says).at(script.at.start);
                self.command = Some(because.decides(quoted(&script.value)));
            }
            several => {
                let names = several.iter().map(|script| format!("`{}`", script.value)).collect::<Vec<_>>();
                self.notes.push(format!(
                    "{}: several commands, and nothing tells which is the app: {}",
                    project.file,
                    names.join(", ")
                ));
            }
        }
        if self.command.is_none()
            && let Some(module) = project.module().filter(|module| is_module(module))
        {
            let places = ["", "src/"].map(|place| format!("{place}{module}/__main__.py"));
            if let Some(place) = places.iter().find(|place| app.files.has(place)) {
                let because = Finding::new(app.files.name(place), "is what the project's module starts");
                self.command = Some(because.decides(format!("python3 -m {module}")));
            }
        }
    }

    /// Starts a script. One that only makes a web app would end at once.
    fn by_script(&mut self, app: &App<'_, '_>, apps: &[WebApp]) -> Result<(), DetectError> {
        self.sought.extend(SCRIPTS.iter().map(|name| format!("`{name}`")));
        if self.command.is_some() {
            return Ok(());
        }
        for name in SCRIPTS {
            let Some(text) = app.files.text(name)? else { continue };
            let runs =
                statements(&text.text).iter().any(|statement| statement.text.starts_with("if __name__ =="));
            if runs || apps.iter().all(|web| web.because.file != text.file) {
                let because = Finding::new(text.file, "is a script of a usual name");
                self.command = Some(because.decides(format!("python3 {name}")));
                return Ok(());
            }
        }
        Ok(())
    }
}

fn for_development(server: &str) -> String {
    format!(
        "the server of the framework itself is for development: add `{server}` to the dependencies for another"
    )
}
