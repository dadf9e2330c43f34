//! How the app is started: by its `Procfile`, its scripts, what its framework builds, or the file that it names.

use crate::command_line::{self, CommandLine, quoted};
use crate::detect::files::Files;
use crate::detect::procfile::{self, Procfile};
use crate::detect::{DetectError, Finding};

use super::entry;
use super::framework::{Framework, Output};
use super::package::{Package, join};
use super::project::Project;
use super::script::{self, Simple};

/// The static server, and every package that it needs, as they were when it was last looked at.
pub(super) const STATIC_SERVER: &str = "sirv-cli@3.0.1 @polka/url@1.0.0-next.29 console-clear@1.1.1 get-port@5.1.1 \
    kleur@4.1.5 local-access@1.1.0 mri@1.2.0 mrmime@2.0.1 sade@1.8.1 semiver@1.1.0 sirv@3.0.2 tinydate@1.3.0 totalist@3.0.1";
/// Where the static server is installed.
pub(super) const STATIC_SERVER_HOME: &str = "/opt/static";

/// Programs by names that are not those of their packages.
const PROGRAMS: &[(&str, &str)] = &[
    ("nest", "@nestjs/cli"),
    ("ng", "@angular/cli"),
    ("react-router-serve", "@react-router/serve"),
    ("remix-serve", "@remix-run/serve"),
    ("tsc", "typescript"),
    ("strapi", "@strapi/strapi"),
    ("medusa", "@medusajs/cli"),
    ("fastify", "fastify-cli"),
    ("keystone", "@keystone-6/core"),
    ("payload", "payload"),
];

/// What of the app's packages has to be in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Those for production.
    Production,
    /// Those for development too.
    Everything,
    /// None: what was built has everything in it.
    Nothing,
}

/// A start command.
#[derive(Debug)]
pub(super) struct Start {
    /// The command, for the app's directory.
    pub(super) text: String,
    /// What decided it.
    pub(super) because: Finding,
    /// Variables of it.
    pub(super) env: Vec<(String, String)>,
    /// What it needs in the image.
    pub(super) needs: Needs,
    /// Whether it starts a program of a package, which is found in `node_modules` only.
    pub(super) uses_programs: bool,
    /// The directory of built files that it serves.
    pub(super) serves: Option<String>,
    /// The file of the app that it starts, for a look at its port.
    pub(super) entry: Option<String>,
    /// What should be known.
    pub(super) notes: Vec<String>,
}

impl Start {
    /// A command as it stands, which needs nothing particular.
    pub(super) fn as_given(text: &str, because: Finding) -> Self {
        Self {
            text: text.to_owned(),
            because,
            env: Vec::new(),
            needs: Needs::Production,
            uses_programs: false,
            serves: None,
            entry: None,
            notes: Vec::new(),
        }
    }
}

/// Where a start command is looked for.
pub(super) struct Search<'a, 't> {
    pub(super) files: &'a Files<'t>,
    pub(super) project: &'a Project,
    pub(super) framework: Option<&'a Framework>,
    /// Whether programs of packages lie in the app's own `node_modules`.
    pub(super) has_programs: bool,
}

/// The places that are looked at, for the message that there is no start command.
pub(super) const SOUGHT: [&str; 5] = [
    "`web` in `Procfile`",
    "the script `start` in `package.json`",
    "a framework among the dependencies",
    "`main` in `package.json`",
    "`server.js`, `index.js` or `app.js`",
];

impl Search<'_, '_> {
    /// Finds the start command; none when nothing tells it.
    pub(super) fn start(&self) -> Result<Option<Start>, DetectError> {
        if let Some(start) = self.of_procfile()? {
            return Ok(Some(start));
        }
        let app = &self.project.app;
        let script =
            if self.is_nest() && app.script("start:prod").is_some() { "start:prod" } else { "start" };
        if let Some(start) = self.of_script(script) {
            return Ok(Some(start));
        }
        if let Some(framework) = self.framework {
            return Ok(Some(self.of_framework(framework)));
        }
        entry::of_file(self.files, self.app())
    }

    fn is_nest(&self) -> bool {
        self.project.app.depends_on("@nestjs/core")
    }

    fn app(&self) -> &Package {
        &self.project.app
    }

    fn script_text(&self, name: &str) -> Option<&str> {
        self.app().script(name)
    }

    fn of_procfile(&self) -> Result<Option<Start>, DetectError> {
        let name = join(&self.app().directory, procfile::FILE_NAME);
        let Some(procfile) = Procfile::read_at(self.files, &name)? else { return Ok(None) };
        let notes = procfile.notes();
        let Some(web) = procfile.web else { return Ok(None) };
        let mut start = match script::simple(&web.text, &|name| self.script_text(name)) {
            Some(found) => self.of_simple(&found, web.because.clone(), None),
            None => None,
        }
        .unwrap_or_else(|| Start::as_given(&web.text, web.because.clone()));
        start.notes.extend(notes);
        Ok(Some(start))
    }

    /// The script of this name; none when there is none, or when it serves the app to its developers.
    fn of_script(&self, name: &str) -> Option<Start> {
        let text = self.script_text(name)?;
        let because = self.app().finding(&["scripts", name], format!("the script `{name}` is `{text}`"));
        let found = script::simple(text, &|name| self.script_text(name));
        let hooks = [format!("pre{name}"), format!("post{name}")];
        let hook = hooks.iter().find(|hook| {
            self.script_text(hook)
                .is_some_and(|text| !script::is_only_build(text, &|name| self.script_text(name)))
        });
        if let (Some(found), None) = (&found, hook) {
            if self.is_replaced(found) {
                return None;
            }
            if let Some(start) = self.of_simple(found, because.clone(), Some(name)) {
                return Some(start);
            }
        }
        let why = match (hook, &found) {
            (Some(hook), _) => format!("has the hook `{hook}`"),
            (None, Some(_)) => "starts a program whose place is known to npm only".to_owned(),
            (None, None) => "is more than one command".to_owned(),
        };
        let command = if name == "start" { "npm start".to_owned() } else { format!("npm run {name}") };
        let mut start = Start::as_given(&command, because);
        start.uses_programs = true;
        start.notes.push(format!("the script `{name}` {why}, so npm starts it and is part of the image; a script that is one command makes a smaller image"));
        if let Some(manager) =
            ["pnpm", "yarn"].iter().find(|manager| text.split_whitespace().any(|word| word == **manager))
        {
            start.notes.push(format!("the script `{name}` calls `{manager}`, which is not in the image"));
        }
        if self.development_program(text).is_some() {
            start.needs = Needs::Everything;
        }
        Some(start)
    }

    /// Whether what the framework builds is served in another way than by this script.
    fn is_replaced(&self, found: &Simple) -> bool {
        let Some(framework) = self.framework else { return false };
        let is_server_of_whole = matches!(framework.output, Output::Whole(_))
            && found.words.first().is_some_and(|word| matches!(word.as_str(), "next" | "nuxt" | "nuxi"));
        let is_same =
            matches!(&framework.output, Output::Whole(start) if *start == found.text.replace("./", ""));
        script::is_for_development(&found.words) || is_server_of_whole || is_same
    }

    fn of_framework(&self, framework: &Framework) -> Start {
        let because = framework.because.clone();
        let mut start = match &framework.output {
            Output::Server(text) => {
                let words = text.split(' ').map(str::to_owned).collect();
                let simple = Simple { text: text.clone(), words, ..Simple::default() };
                self.of_simple(&simple, because.clone(), None).unwrap_or_else(|| {
                    let mut start = Start::as_given(&format!("npx --no-install {text}"), because);
                    start.uses_programs = true;
                    start
                })
            }
            Output::Whole(text) => Start { needs: Needs::Nothing, ..Start::as_given(text, because) },
            Output::Static(directory) => {
                let server = format!(
                    "node {STATIC_SERVER_HOME}/node_modules/sirv-cli/bin.js {} --single --etag",
                    quoted(directory)
                );
                let mut start = Start {
                    needs: Needs::Nothing,
                    serves: Some(directory.clone()),
                    ..Start::as_given(&server, because)
                };
                start.env.push(("HOST".to_owned(), "0.0.0.0".to_owned()));
                start.notes.push(format!("the files in `{directory}` are served by sirv, with `index.html` for paths that are no file; a script `start` or a `Procfile` names another server"));
                start
            }
        };
        if let Some(text) = self.script_text("start") {
            start.notes.push(format!(
                "the script `start` is `{text}` and is not used: `{}` starts what the build makes",
                start.text
            ));
        }
        start
    }

    /// One command of the app, where it can be started without a package manager.
    fn of_simple(&self, found: &Simple, because: Finding, script: Option<&str>) -> Option<Start> {
        let first = found.words.first()?.clone();
        let mut start = Start { env: found.env.clone(), ..Start::as_given(&found.text, because) };
        match base(&first) {
            "node" | "sh" | "bash" => {}
            "nodemon" if found.words.len() == 2 && found.words[1].contains('.') => {
                start.text = format!("node {}", quoted(&found.words[1]));
                start.notes.push(format!(
                    "`{}` starts the app anew whenever a file changes; `{}` is started",
                    found.text, start.text
                ));
            }
            _ if first.contains('/') => {}
            name => {
                let package = self.package_of(name)?;
                if !self.has_programs {
                    return None;
                }
                start.uses_programs = true;
                start.text = found.text.replacen(&first, &format!("node_modules/.bin/{first}"), 1);
                if !self.app().is_for_production(package) {
                    start.needs = Needs::Everything;
                    start.notes.push(format!("`{package}` starts the app, so packages for development stay in the image; move it to `dependencies`"));
                }
            }
        }
        if start.needs == Needs::Production {
            self.keep_what_is_loaded(found, &mut start);
        }
        start.entry = started_file(&start.text);
        let direct = script.is_some() || !found.through.is_empty();
        if direct && !start.because.says.contains("hook") {
            start.because.says.push_str("; it is one command, so no package manager starts it");
        }
        Some(start)
    }

    /// Packages that node loads before the app stay, even those for development: `node -r ts-node/register`.
    fn keep_what_is_loaded(&self, found: &Simple, start: &mut Start) {
        let mut words = found.words.iter();
        while let Some(word) = words.next() {
            let loaded = match word.as_str() {
                "-r" | "--require" | "--import" | "--loader" | "--experimental-loader" => {
                    words.next().map(String::as_str)
                }
                word => word
                    .split_once('=')
                    .filter(|(option, _)| {
                        matches!(*option, "--require" | "--import" | "--loader" | "--experimental-loader")
                    })
                    .map(|(_, loaded)| loaded),
            };
            let package = loaded
                .map(package_name)
                .filter(|name| self.app().depends_on(name) && !self.app().is_for_production(name));
            if let Some(package) = package {
                start.needs = Needs::Everything;
                start.notes.push(format!("`{package}` is loaded when the app starts, so packages for development stay in the image; move it to `dependencies`"));
            }
        }
    }

    /// The package that a program is of, if the app depends on it.
    fn package_of<'n>(&self, program: &'n str) -> Option<&'n str> {
        let named = PROGRAMS.iter().find(|(name, _)| *name == program).map(|(_, package)| *package);
        named.into_iter().chain([program]).find(|package| self.app().depends_on(package))
    }

    /// The first program of a package for development that a text starts.
    fn development_program(&self, text: &str) -> Option<String> {
        let programs = CommandLine::parse(text).ok()?.command.programs();
        programs.into_iter().find(|program| {
            self.package_of(program).is_some_and(|package| !self.app().is_for_production(package))
        })
    }
}

/// The file that a command of node starts.
fn started_file(text: &str) -> Option<String> {
    let mut words = command_line::words(text).ok()?.into_iter();
    words.next().filter(|program| base(program) == "node")?;
    words.find(|word| !word.starts_with('-'))
}

fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// The package that a name for `require` begins with.
fn package_name(name: &str) -> &str {
    let parts = if name.starts_with('@') { 2 } else { 1 };
    name.match_indices('/').nth(parts - 1).map_or(name, |(at, _)| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::files::tests::tree;

    fn find(files: &[(&str, &str)]) -> Option<Start> {
        let tree = tree(files);
        let files = Files::new(&tree, None);
        let project = Project::read(&files).unwrap().unwrap();
        let framework = Framework::of(&files, &project).unwrap();
        let search =
            Search { files: &files, project: &project, framework: framework.as_ref(), has_programs: true };
        search.start().unwrap()
    }

    fn package(text: &str) -> Start {
        find(&[("package.json", text)]).unwrap()
    }

    #[test]
    fn a_script_of_one_command_is_started_without_npm() {
        let start = package(
            r#"{"scripts": {"start": "NODE_ENV=production node --enable-source-maps dist/main.js"}}"#,
        );
        assert_eq!(start.text, "node --enable-source-maps dist/main.js");
        assert_eq!(start.env, [("NODE_ENV".to_owned(), "production".to_owned())]);
        assert_eq!((start.entry.as_deref(), start.needs), (Some("dist/main.js"), Needs::Production));
        assert!(
            start
                .because
                .to_string()
                .starts_with("package.json:1:23: the script `start` is `NODE_ENV=production"),
            "{}",
            start.because
        );
    }

    #[test]
    fn hooks_and_scripts_of_several_commands_are_started_by_npm() {
        let start = package(r#"{"scripts": {"start": "node x", "prestart": "node migrate"}}"#);
        assert_eq!(start.text, "npm start");
        assert!(start.notes[0].contains("has the hook `prestart`"), "{:?}", start.notes);
        let start = package(
            r#"{"scripts": {"start": "prisma migrate deploy && yarn serve", "serve": "node x"}, "devDependencies": {"prisma": "6"}}"#,
        );
        assert_eq!((start.text.as_str(), start.needs), ("npm start", Needs::Everything));
        assert!(start.notes[1].contains("calls `yarn`, which is not in the image"), "{:?}", start.notes);
        let start =
            package(r#"{"scripts": {"start": "node x", "prestart": "npm run build", "build": "tsc"}}"#);
        assert_eq!(start.text, "node x", "the build has been done");
    }

    #[test]
    fn programs_of_packages_are_started_by_their_path() {
        let start = package(r#"{"scripts": {"start": "next start"}, "dependencies": {"next": "16"}}"#);
        assert_eq!((start.text.as_str(), start.needs), ("node_modules/.bin/next start", Needs::Production));
        assert!(start.uses_programs);
        let start = package(r#"{"scripts": {"start": "tsx src/x.ts"}, "devDependencies": {"tsx": "4"}}"#);
        assert_eq!((start.text.as_str(), start.needs), ("node_modules/.bin/tsx src/x.ts", Needs::Everything));
        let start = package(r#"{"scripts": {"start": "unknown x"}}"#);
        assert_eq!(start.text, "npm start");
        let start = package(
            r#"{"scripts": {"start": "node --import tsx src/x.ts"}, "devDependencies": {"tsx": "4"}}"#,
        );
        assert_eq!((start.text.as_str(), start.needs), ("node --import tsx src/x.ts", Needs::Everything));
    }

    #[test]
    fn a_procfile_counts_before_scripts_and_may_call_them() {
        let package = (
            "package.json",
            r#"{"scripts": {"start": "node x", "web": "node y"}, "dependencies": {"next": "16"}}"#,
        );
        let text = |procfile| find(&[package, ("Procfile", procfile)]).unwrap().text;
        assert_eq!(text("web: npm run web\n"), "node y");
        assert_eq!(text("web: next start -p $PORT\n"), "node_modules/.bin/next start -p $PORT");
        assert_eq!(text("web: node a && node b\n"), "node a && node b");
        assert_eq!(text("worker: node w\n"), "node x");
    }

    #[test]
    fn what_serves_developers_gives_way_to_what_was_built() {
        let start = package(
            r#"{"scripts": {"start": "vite", "build": "vite build"}, "devDependencies": {"vite": "7"}}"#,
        );
        assert_eq!(start.text, "node /opt/static/node_modules/sirv-cli/bin.js dist --single --etag");
        assert_eq!((start.serves.as_deref(), start.needs), (Some("dist"), Needs::Nothing));
        let start = package(r#"{"scripts": {"start": "node server.js"}, "devDependencies": {"vite": "7"}}"#);
        assert_eq!((start.text.as_str(), start.serves), ("node server.js", None));
        let nest = r#"{"scripts": {"start": "nest start", "start:prod": "node dist/main"}, "dependencies": {"@nestjs/core": "11"}}"#;
        assert_eq!(package(nest).text, "node dist/main");
        let start = package(r#"{"dependencies": {"nuxt": "4"}}"#);
        assert_eq!((start.text.as_str(), start.needs), ("node .output/server/index.mjs", Needs::Nothing));
        let start = package(
            r#"{"scripts": {"start": "node ./.output/server/index.mjs"}, "dependencies": {"nuxt": "4"}}"#,
        );
        assert_eq!(start.needs, Needs::Nothing);
    }

    #[test]
    fn without_scripts_the_file_that_is_named_or_has_a_usual_name_is_started() {
        let main = ("package.json", r#"{"main": "./lib/web"}"#);
        assert_eq!(find(&[main, ("lib/web.js", "")]).unwrap().text, "node lib/web.js");
        let start = find(&[main, ("server.js", ""), ("index.js", "")]).unwrap();
        assert_eq!(
            (start.text.as_str(), start.because.to_string().as_str()),
            ("node server.js", "server.js: the file that is started")
        );
        let built = ("package.json", r#"{"main": "dist/x.js", "scripts": {"build": "tsc"}}"#);
        assert_eq!(find(&[built]).unwrap().text, "node dist/x.js");
        let compiled = ("package.json", r#"{"scripts": {"build": "tsc"}}"#);
        let files = [
            compiled,
            ("tsconfig.json", "{\"compilerOptions\": {\n // x\n \"outDir\": \"./out\"}}"),
            ("src/index.ts", ""),
        ];
        assert_eq!(find(&files).unwrap().text, "node out/index.js");
        assert!(find(&[main]).is_none());
    }

    #[test]
    fn a_program_that_starts_anew_on_changes_is_left_out() {
        let start =
            package(r#"{"scripts": {"start": "nodemon server.js"}, "devDependencies": {"nodemon": "3"}}"#);
        assert_eq!((start.text.as_str(), start.needs), ("node server.js", Needs::Production));
        assert_eq!(package_name("@a/b/c"), "@a/b");
        assert_eq!(package_name("ts-node/register"), "ts-node");
    }
}
