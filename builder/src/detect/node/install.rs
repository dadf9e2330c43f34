//! The build commands: what puts the package manager in place, installs, builds, and takes away what only developers need.

use crate::command_line::quoted;
use crate::detect::Finding;

use super::manager::{Kind, Manager};
use super::package::{Package, join};
use super::project::Project;
use super::start::Needs;

/// What is to be done, and how packages are laid out.
pub(super) struct Work<'a> {
    pub(super) project: &'a Project,
    pub(super) manager: &'a Manager,
    /// Whether yarn keeps packages in zip files.
    pub(super) is_plug_and_play: bool,
    /// The program that builds the app where it has no script for that.
    pub(super) build: Option<&'static str>,
    /// Commands after the build, in the app's directory.
    pub(super) after: &'a [String],
    /// What the image needs of the packages.
    pub(super) needs: Needs,
}

/// A command and what decided it.
type Command = (String, Finding);

impl Work<'_> {
    /// The commands, in order, with what should be known of them.
    pub(super) fn commands(&self) -> (Vec<Command>, Vec<String>) {
        let mut notes = Vec::new();
        let mut commands: Vec<Command> = Vec::new();
        if let Some(setup) = &self.manager.setup {
            commands.push((setup.text.clone(), setup.because.clone()));
        }
        let builds = self.builds();
        let prunes = self.prune(&mut notes);
        let is_direct = builds.is_empty() && !self.has_install_scripts();
        let because = self.manager.because.clone();
        let direct = self.install_for_production().filter(|_| is_direct && prunes.is_some());
        if let Some(install) = direct {
            commands.push((install, because));
        } else if !self.installs() {
            commands.extend(builds);
        } else {
            commands.push((self.install(), because));
            commands.extend(builds);
            commands.extend(prunes);
        }
        (commands, notes)
    }

    /// Whether there is anything to install: an app may have nothing but its own files.
    fn installs(&self) -> bool {
        let is_something =
            |package: &Package| package.has_dependencies() || package.install_script().is_some();
        self.manager.is_locked || self.packages().any(is_something)
    }

    /// Runs a command in the directory of the lock file.
    fn in_root(&self, command: &str) -> String {
        in_directory(&self.project.root_directory, command)
    }

    /// pnpm's option that leaves out the packages of the workspace that the app does not need.
    fn filter(&self) -> String {
        if !self.project.is_member() {
            return String::new();
        }
        let selected = format!("{{./{}}}...", self.project.in_root(&self.project.app));
        format!(" --workspace-root --filter {}", quoted(&selected))
    }

    fn install(&self) -> String {
        let call = &self.manager.call;
        match (self.manager.kind, self.manager.is_locked) {
            (Kind::Npm, true) => self.in_root("npm ci"),
            (Kind::Npm, false) => self.in_root("npm install"),
            (Kind::Pnpm, true) => self.in_root(&format!("{call} install --frozen-lockfile{}", self.filter())),
            (Kind::Pnpm, false) => {
                self.in_root(&format!("{call} install --no-frozen-lockfile{}", self.filter()))
            }
            (Kind::Classic, true) => self.in_root(&format!("{call} install --frozen-lockfile")),
            (Kind::Classic, false) => self.in_root(&format!("{call} install")),
            (Kind::Berry, true) => self.in_root(&format!("{call} install --immutable")),
            (Kind::Berry, false) => self.in_root(&format!("{call} install --no-immutable")),
        }
    }

    /// One command that installs what production needs; none for managers that cannot do so from the lock file alone.
    fn install_for_production(&self) -> Option<String> {
        if self.manager.kind == Kind::Berry {
            return None;
        }
        let install = self.install();
        if !self.has_development() {
            return Some(install);
        }
        Some(match self.manager.kind {
            Kind::Npm => format!("{install} --omit=dev"),
            Kind::Pnpm => install.replace("lockfile", "lockfile --prod"),
            _ => format!("{install} --production"),
        })
    }

    /// Builds the packages of the workspace that the app needs, and the app.
    fn builds(&self) -> Vec<Command> {
        let call = &self.manager.call;
        let of_package = |package: &Package| {
            let script = package.script("build")?;
            let because = package.finding(&["scripts", "build"], format!("the script `build` is `{script}`"));
            Some((in_directory(&package.directory, &format!("{call} run build")), because))
        };
        let app = &self.project.app;
        let mut builds: Vec<Command> = self.project.needed().into_iter().filter_map(of_package).collect();
        let program = self.build.map(|program| {
            let command = match self.manager.kind {
                Kind::Npm => format!("npx --no-install {program}"),
                Kind::Pnpm => format!("{call} exec {program}"),
                Kind::Classic | Kind::Berry => format!("{call} run {program}"),
            };
            (
                in_directory(&app.directory, &command),
                app.finding(&[], format!("no script `build`, so `{program}` builds the app")),
            )
        });
        builds.extend(of_package(app).or(program));
        if let Some((_, because)) = builds.last().cloned() {
            builds.extend(
                self.after.iter().map(|command| (in_directory(&app.directory, command), because.clone())),
            );
        }
        builds
    }

    /// Whether an installation runs a script of the app or of its workspace, which may need what developers need.
    fn has_install_scripts(&self) -> bool {
        self.packages().any(|package| package.install_script().is_some())
    }

    fn has_development(&self) -> bool {
        self.packages().any(Package::has_development)
    }

    /// The packages of the source whose dependencies are installed. npm and yarn 1 install for a whole workspace.
    fn packages(&self) -> impl Iterator<Item = &Package> {
        let project = self.project;
        let is_all = !project.is_member() || matches!(self.manager.kind, Kind::Npm | Kind::Classic);
        let others = if is_all { project.members.iter().collect() } else { project.needed() };
        project.packages().chain(others)
    }

    /// Takes away what the image does not need; none when there is nothing to take away.
    fn prune(&self, notes: &mut Vec<String>) -> Option<Command> {
        match self.needs {
            Needs::Everything => None,
            Needs::Nothing => Some(self.remove()),
            Needs::Production => self.prune_development(notes),
        }
    }

    fn prune_development(&self, notes: &mut Vec<String>) -> Option<Command> {
        let because = self
            .packages()
            .find(|package| package.has_development())
            .map(|package| package.finding(&["devDependencies"], "packages that only developers need"));
        let call = &self.manager.call;
        let command = match self.manager.kind {
            Kind::Berry if self.focuses() => {
                let cache = if self.is_plug_and_play && !self.has_cache_below_app() {
                    "YARN_ENABLE_GLOBAL_CACHE=false "
                } else {
                    ""
                };
                let because = because.unwrap_or_else(|| self.manager.because.clone());
                return Some((self.focus(cache), because));
            }
            Kind::Berry => {
                notes.extend(because.map(|_| self.why_not_focused()));
                return None;
            }
            Kind::Npm => self.in_root("npm prune --omit=dev --ignore-scripts"),
            Kind::Pnpm => {
                let frozen = if self.manager.is_locked { " --frozen-lockfile" } else { "" };
                self.in_root(&format!(
                    "{call} install --prod{frozen} --offline --ignore-scripts{}",
                    self.filter()
                ))
            }
            Kind::Classic => {
                let frozen = if self.manager.is_locked { " --frozen-lockfile" } else { "" };
                self.in_root(&format!("{call} install --production{frozen} --offline --ignore-scripts"))
            }
        };
        because.map(|because| (command, because))
    }

    /// Whether yarn takes away what the app does not need.
    ///
    /// It runs the scripts of the app itself again when its packages change; those may need what is taken away.
    fn focuses(&self) -> bool {
        let has_more = self.has_development() || self.project.is_member();
        self.needs == Needs::Production
            && has_more
            && self.manager.yarn.can_focus
            && !self.has_install_scripts()
    }

    /// Whether yarn's cache is below `/app` from the beginning: an image with zip files has to have them. Where some are
    /// taken away, those that stay are copied at the end.
    pub(super) fn has_cache_below_app(&self) -> bool {
        let stays = self.is_plug_and_play && self.needs != Needs::Nothing && !self.focuses();
        self.manager.yarn.has_cache || stays
    }

    fn focus(&self, env: &str) -> String {
        // The root of a workspace starts what its packages have built, and needs what these need.
        let all = if self.project.is_member() || self.project.members.is_empty() { "" } else { " --all" };
        let command = format!("{env}{} workspaces focus{all} --production", self.manager.call);
        in_directory(&self.project.app.directory, &command)
    }

    fn why_not_focused(&self) -> String {
        let script = self.packages().find_map(|package| Some((package, package.install_script()?)));
        match script.filter(|_| self.manager.yarn.can_focus) {
            Some((package, script)) => format!("packages for development stay in the image: yarn would run the script `{script}` of `{}` again without them", package.file),
            None => "packages for development stay in the image: yarn before 4 takes them away only with the plugin `workspace-tools`".to_owned(),
        }
    }

    /// Takes all packages away: what was built has everything in it.
    fn remove(&self) -> Command {
        let mut directories: Vec<String> = Vec::new();
        let root = &self.project.root_directory;
        let places = std::iter::once(root).chain(self.packages().map(|package| &package.directory));
        for place in places {
            let directory = join(place, "node_modules");
            if !directories.contains(&directory) {
                directories.push(directory);
            }
        }
        if self.is_plug_and_play {
            directories.extend(
                [".pnp.cjs", ".pnp.loader.mjs", ".yarn/cache", ".yarn/unplugged"]
                    .map(|name| join(root, name)),
            );
        }
        let because = self.project.app.finding(&[], "what was built needs no packages");
        let words: Vec<String> = directories.iter().map(|directory| quoted(directory)).collect();
        (format!("rm -rf {}", words.join(" ")), because)
    }
}

/// Runs a command in another directory.
fn in_directory(directory: &str, command: &str) -> String {
    if directory.is_empty() { command.to_owned() } else { format!("cd {} && {command}", quoted(directory)) }
}
