//! What an app of Node.js needs.

mod entry;
mod framework;
mod install;
mod literal;
mod lock;
mod manager;
mod named;
mod package;
mod project;
mod releases;
mod script;
mod start;
#[cfg(test)]
mod tests;
mod version;

use crate::app_file::{DEFAULT_PORT, Position};
use crate::command_line::quoted;

use super::files::Files;
use super::{DetectError, Detected, Finding, Language, VersionWish};

use framework::{Framework, Output};
use install::Work;
use manager::{Kind, Manager};
use package::join;
use project::Project;
use start::{Needs, STATIC_SERVER, STATIC_SERVER_HOME, Search, Start};

/// The files that tell of an app of Node.js.
pub(super) const EVIDENCE: &[&str] = &["package.json"];

/// Finds out what the app needs; none when it is not of Node.js.
pub(super) fn detect(files: &Files<'_>) -> Result<Option<Detected>, DetectError> {
    let Some(project) = Project::read(files)? else { return Ok(None) };
    let manager = Manager::of(files, &project)?;
    let version = version::version(files, &project)?;
    let framework = Framework::of(files, &project)?;
    // npm and yarn put programs of a workspace's packages at its root, or not, as versions allow.
    let has_programs = manager.kind == Kind::Pnpm || !project.is_member();
    let search = Search { files, project: &project, framework: framework.as_ref(), has_programs };
    let start = search.start()?;

    let mut answer = Answer::new(&project);
    answer.tell_runtime(&version);
    answer.tell_manager(&manager);
    answer.tell_framework(framework.as_ref());
    answer.build(&project, &manager, framework.as_ref(), start.as_ref());
    if let Some(start) = start {
        answer.tell_port(files, &project, framework.as_ref(), &start)?;
        answer.start(&project, &manager, start);
    } else {
        answer.tell_sought(&project);
    }
    Ok(Some(answer.detected))
}

/// What the files say of the version: the one that counts.
pub(super) fn versions(files: &Files<'_>) -> Result<Vec<VersionWish>, DetectError> {
    let Some(project) = Project::read(files)? else {
        return Ok(version::without_package(files)?.into_iter().collect());
    };
    Ok(version::version(files, &project)?.wish.into_iter().collect())
}

struct Answer {
    detected: Detected,
}

impl Answer {
    fn new(project: &Project) -> Self {
        let first = project.app.finding(&[], "an app of Node.js");
        let detected = Detected {
            language: Language::Node,
            version: None,
            build: Vec::new(),
            build_env: Vec::new(),
            run_env: vec![("NODE_ENV".to_owned(), first.decides("production"))],
            start: None,
            start_sought: Vec::new(),
            port: DEFAULT_PORT,
            findings: vec![first],
            notes: Vec::new(),
        };
        let mut answer = Self { detected };
        if let Some(root) = &project.root {
            let directory = project.in_root(&project.app);
            answer.find(root.finding(&["workspaces"], format!("the workspace of `{directory}`")));
            if !project.app.directory.is_empty() {
                let note = format!(
                    "`{directory}` is the one package of the workspace that starts, so it is the app; another is named by `--source-dir`"
                );
                answer.detected.notes.push(note);
            }
        }
        answer
    }

    fn find(&mut self, finding: Finding) {
        if !self.detected.findings.contains(&finding) {
            self.detected.findings.push(finding);
        }
    }

    fn tell_runtime(&mut self, version: &version::Version) {
        self.detected.version.clone_from(&version.wish);
        self.detected.notes.extend(version.notes.clone());
        if let Some(wish) = &version.wish {
            self.find(wish.because().clone());
        }
    }

    fn tell_manager(&mut self, manager: &Manager) {
        manager.findings.iter().for_each(|finding| self.find(finding.clone()));
        self.detected.notes.extend(manager.notes.clone());
        self.detected.build_env.extend(manager.env.clone());
    }

    fn tell_framework(&mut self, framework: Option<&Framework>) {
        let Some(framework) = framework else { return };
        self.find(framework.because.clone());
        let decided = |(name, value): &(&str, &str)| ((*name).to_owned(), framework.because.decides(*value));
        self.detected.build_env.extend(framework.build_env.iter().map(decided));
        self.detected.run_env.extend(framework.run_env.iter().map(decided));
    }

    fn build(
        &mut self,
        project: &Project,
        manager: &Manager,
        framework: Option<&Framework>,
        start: Option<&Start>,
    ) {
        let is_served = |start: &Start| framework.is_some_and(|framework| uses_output(framework, start));
        let is_used = start.is_none_or(is_served);
        let after: Vec<String> = framework.map(|framework| framework.after.clone()).unwrap_or_default();
        let work = Work {
            project,
            manager,
            is_plug_and_play: manager.yarn.is_plug_and_play && start.is_none_or(can_plug_and_play),
            build: framework.filter(|_| is_used).and_then(|framework| framework.build),
            after: &after,
            needs: start.map_or(Needs::Production, |start| start.needs),
        };
        if manager.kind == Kind::Berry {
            self.yarn_env(&work);
        }
        let (commands, notes) = work.commands();
        for (text, because) in commands {
            self.find(because.clone());
            self.detected.build.push(because.decides(text));
        }
        self.detected.notes.extend(notes);
        if let Some(framework) = framework.filter(|_| is_used) {
            self.detected.notes.extend(framework.notes.clone());
        }
        if let Some(start) = start.filter(|start| start.serves.is_some()) {
            let install = format!(
                "npm install --prefix {STATIC_SERVER_HOME} --no-package-lock --no-save {STATIC_SERVER}"
            );
            self.detected.build.push(start.because.decides(install));
        }
    }

    fn yarn_env(&mut self, work: &Work<'_>) {
        let because = work.manager.because.clone();
        let is_global = !work.has_cache_below_app();
        self.detected
            .build_env
            .push(("YARN_ENABLE_GLOBAL_CACHE".to_owned(), because.decides(is_global.to_string())));
        if work.manager.yarn.is_plug_and_play && !work.is_plug_and_play {
            self.detected.build_env.push(("YARN_NODE_LINKER".to_owned(), because.decides("node-modules")));
            self.detected.notes.push("the start command is a program of a package, so packages are installed into `node_modules`; a start command `node FILE` keeps Plug'n'Play".to_owned());
        }
    }

    fn start(&mut self, project: &Project, manager: &Manager, start: Start) {
        self.find(start.because.clone());
        let plugged =
            manager.yarn.is_plug_and_play && start.needs != Needs::Nothing && can_plug_and_play(&start);
        let text = if plugged { with_plug_and_play(project, &start) } else { start.text.clone() };
        let text = match project.app.directory.as_str() {
            "" => text,
            directory => format!("cd {} && exec {text}", quoted(directory)),
        };
        for (name, value) in &start.env {
            self.detected.run_env.retain(|(other, _)| other != name);
            self.detected.run_env.push((name.clone(), start.because.decides(value.as_str())));
        }
        self.detected.start = Some(start.because.decides(text));
        self.detected.notes.extend(start.notes);
    }

    /// Apps that listen on a number of their own are not reached by another.
    fn tell_port(
        &mut self,
        files: &Files<'_>,
        project: &Project,
        framework: Option<&Framework>,
        start: &Start,
    ) -> Result<(), DetectError> {
        let is_of_framework = framework.is_some_and(|framework| framework.because.says != "an app of NestJS");
        let Some(entry) = start.entry.as_deref().filter(|_| !is_of_framework) else { return Ok(()) };
        let stem = entry.rsplit('/').next().unwrap_or(entry);
        let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
        let names = [entry.to_owned(), format!("src/{stem}.ts"), format!("{stem}.ts")];
        let name = names.into_iter().map(|name| join(&project.app.directory, name.trim_start_matches("./")));
        let Some(name) = name.into_iter().find(|name| files.has(name)) else { return Ok(()) };
        let Some(found) = files.text(&name)? else { return Ok(()) };
        if let Some((port, line)) = literal::port(&found.text) {
            self.detected.port = port;
            self.find(
                Finding::new(&found.file, format!("the app listens on {port}"))
                    .at(Position { line, column: 1 }),
            );
            let note = format!(
                "{}:{line}: the app listens on {port} and asks no variable; with `process.env.PORT` it could be given another",
                found.file
            );
            self.detected.notes.push(note);
        }
        Ok(())
    }

    fn tell_sought(&mut self, project: &Project) {
        self.detected.start_sought = start::SOUGHT.iter().map(|place| (*place).to_owned()).collect();
        if !project.apps.is_empty() {
            let apps =
                project.apps.iter().map(|directory| format!("`{directory}`")).collect::<Vec<_>>().join(", ");
            self.detected.start_sought.push(format!(
                "one package of the workspace that starts (there are {apps}: name one with `--source-dir`)"
            ));
        }
    }
}

/// Whether a start command runs what the framework builds.
fn uses_output(framework: &Framework, start: &Start) -> bool {
    match &framework.output {
        Output::Static(_) => start.serves.is_some(),
        Output::Server(_) | Output::Whole(_) => true,
    }
}

/// Whether the start command can be told where the zip files are: it has to be one of node.
fn can_plug_and_play(start: &Start) -> bool {
    start.needs == Needs::Nothing
        || (start.entry.is_some() && !start.uses_programs && start.text.starts_with("node "))
}

/// Node is told where yarn's zip files are, as yarn itself does it.
fn with_plug_and_play(project: &Project, start: &Start) -> String {
    let directory = project.root().file.rsplit_once('/').map_or("", |(directory, _)| directory);
    let root = join("/app", directory);
    let is_module = project.packages().any(package::Package::is_module);
    let loader =
        if is_module { format!(" --experimental-loader {root}/.pnp.loader.mjs") } else { String::new() };
    start.text.replacen("node ", &format!("node --require {root}/.pnp.cjs{loader} "), 1)
}
