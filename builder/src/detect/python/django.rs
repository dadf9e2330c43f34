//! What a Django project needs: its server, and its static files.

use crate::app_file::Position;
use crate::command_line::quoted;
use crate::detect::files::Files;
use crate::detect::{DetectError, Finding};

use super::names::{Dependencies, is_module};
use super::server::{Target, for_production};
use super::source_text::{Statement, statements};
use super::web::Interface;

/// A Django project.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Django {
    /// The directory of `manage.py`; empty for that of the app.
    pub(super) directory: String,
    /// What tells that it is one.
    pub(super) because: Finding,
    /// The object for WSGI servers, as `module:name`.
    wsgi: Option<String>,
    /// The object for ASGI servers.
    asgi: Option<String>,
    /// Whether the settings name an app for ASGI servers, so that those come first.
    prefers_asgi: bool,
    /// What says where static files are gathered.
    pub(super) static_root: Option<Finding>,
}

impl Django {
    /// Finds the project: `manage.py` in the app's directory, or in one that lies directly in it.
    pub(super) fn find(files: &Files<'_>) -> Result<Option<Self>, DetectError> {
        let below = files.names_in("").into_iter().filter(|name| !name.starts_with('.'));
        for directory in std::iter::once(String::new()).chain(below) {
            let Some(text) = files.text(&join(&directory, "manage.py"))? else { continue };
            let named = text
                .text
                .lines()
                .enumerate()
                .find_map(|(number, line)| Some((number + 1, settings_module(line)?)));
            if let Some((line, module)) = named {
                let because =
                    Finding::new(text.file, format!("the settings of a Django project are `{module}`"));
                let because = because.at(Position { line, column: 1 });
                return Self::of_settings(files, directory, because, &module).map(Some);
            }
        }
        Ok(None)
    }

    fn of_settings(
        files: &Files<'_>,
        directory: String,
        because: Finding,
        module: &str,
    ) -> Result<Self, DetectError> {
        let settings = Settings::read(files, &directory, module)?;
        let package = module.split('.').next().unwrap_or(module);
        let object = |setting: &str, file: &str| {
            let named = settings.string(setting).filter(|path| is_module(path));
            let named =
                named.and_then(|path| path.rsplit_once('.').map(|(module, name)| format!("{module}:{name}")));
            let is_there = files.has(&join(&directory, &format!("{package}/{file}.py")));
            named.or_else(|| is_there.then(|| format!("{package}.{file}:application")))
        };
        Ok(Self {
            wsgi: object("WSGI_APPLICATION", "wsgi"),
            asgi: object("ASGI_APPLICATION", "asgi"),
            prefers_asgi: settings.string("ASGI_APPLICATION").is_some(),
            static_root: settings.finding("STATIC_ROOT", "static files are gathered in `STATIC_ROOT`"),
            directory,
            because,
        })
    }

    /// The command that gathers static files, run by this Python.
    pub(super) fn collect_static(&self, python: &str) -> String {
        format!("{python} {} collectstatic --noinput", quoted(&join(&self.directory, "manage.py")))
    }

    /// The start command, and what says that its server is there; none for the server for development.
    pub(super) fn start<'d>(&self, dependencies: &'d Dependencies) -> (String, Option<&'d Finding>) {
        let of = |app: &Option<String>, interface| {
            let target = Target { app: app.as_deref()?, is_factory: false };
            for_production(target, interface, dependencies)
        };
        let wsgi = || of(&self.wsgi, Interface::Wsgi);
        let asgi = || of(&self.asgi, Interface::Asgi);
        let found = if self.prefers_asgi { asgi().or_else(wsgi) } else { wsgi().or_else(asgi) };
        let (command, because) = match found {
            Some((command, because)) => (command, Some(because)),
            // Its process that watches the files would be the one that gets the signals.
            None => ("python3 manage.py runserver --noreload 0.0.0.0:$PORT".to_owned(), None),
        };
        match self.directory.as_str() {
            "" => (command, because),
            directory => (format!("cd {} && exec {command}", quoted(directory)), because),
        }
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// The module of a line such as `os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site.settings")`.
fn settings_module(line: &str) -> Option<String> {
    let (before, rest) = line.split_once("DJANGO_SETTINGS_MODULE")?;
    let mut parts = rest.split(['"', '\'']);
    // The rest of the string with the name, what is between the strings, and the other string.
    let module = parts.nth(2)?;
    (is_module(module) && !before.trim_start().starts_with('#')).then(|| module.to_owned())
}

/// The modules of the settings: the one that is named, and those that it takes everything from.
struct Settings(Vec<(String, Vec<Statement>)>);

impl Settings {
    fn read(files: &Files<'_>, directory: &str, module: &str) -> Result<Self, DetectError> {
        let mut read: Vec<(String, Vec<Statement>)> = Vec::new();
        let mut left = vec![module.to_owned()];
        // A chain of imports is short: the settings of one place, and those of all.
        while let Some(module) = left.pop().filter(|_| read.len() < 5) {
            let path = join(directory, &module.replace('.', "/"));
            let (name, package) = if files.has(&format!("{path}.py")) {
                let package = module.rsplit_once('.').map_or("", |(package, _)| package);
                (format!("{path}.py"), package.to_owned())
            } else {
                (format!("{path}/__init__.py"), module.clone())
            };
            let Some(text) = files.text(&name)? else { continue };
            let statements = statements(&text.text);
            left.extend(statements.iter().filter_map(|statement| imported(&statement.text, &package)));
            read.push((text.file, statements));
        }
        Ok(Self(read))
    }

    fn string(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .flat_map(|(_, statements)| statements)
            .find_map(|statement| statement.assigned_string(name))
    }

    fn finding(&self, name: &str, says: &str) -> Option<Finding> {
        self.0.iter().find_map(|(file, statements)| {
            let statement = statements.iter().find(|statement| statement.assigns(name))?;
            Some(Finding::new(file, says).at(Position { line: statement.line, column: 1 }))
        })
    }
}

/// The module of `from .base import *`.
fn imported(statement: &str, package: &str) -> Option<String> {
    let module = statement.strip_prefix("from ")?.strip_suffix(" import *")?.trim();
    match module.strip_prefix('.') {
        Some(below) if !below.starts_with('.') && !below.is_empty() => {
            Some(if package.is_empty() { below.to_owned() } else { format!("{package}.{below}") })
        }
        Some(_) => None,
        None => Some(module.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::files::tests::tree;

    const MANAGE: &str = "import os\n# os.environ['DJANGO_SETTINGS_MODULE'] = 'old.settings'\n\ndef main():\n    \
                          os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site.settings')\n";

    fn find(all: &[(&str, &str)]) -> Option<Django> {
        Django::find(&Files::new(&tree(all), None)).unwrap()
    }

    fn of(packages: &[&str]) -> Dependencies {
        let mut found = Dependencies::default();
        for package in packages {
            found.add(package, &Finding::new("requirements.txt", ""));
        }
        found
    }

    #[test]
    fn a_project_is_found_with_its_server_and_its_static_files() {
        let settings = "WSGI_APPLICATION = 'site.wsgi.application'\nSTATIC_ROOT = BASE / 'static'\n";
        let found = find(&[("manage.py", MANAGE), ("site/settings.py", settings)]).unwrap();
        assert_eq!(
            found.because.to_string(),
            "manage.py:5:1: the settings of a Django project are `site.settings`"
        );
        let expected = "site/settings.py:2:1: static files are gathered in `STATIC_ROOT`";
        assert_eq!(found.static_root.as_ref().unwrap().to_string(), expected);
        assert_eq!(found.collect_static("python3"), "python3 manage.py collectstatic --noinput");
        let (gunicorn, uvicorn) = (of(&["django", "gunicorn"]), of(&["django", "uvicorn"]));
        let (command, because) = found.start(&gunicorn);
        assert_eq!(command, "gunicorn --bind 0.0.0.0:$PORT site.wsgi:application");
        assert_eq!(because.unwrap().says, "`gunicorn` is a dependency");
        let own = ("python3 manage.py runserver --noreload 0.0.0.0:$PORT".to_owned(), None);
        assert_eq!(found.start(&uvicorn), own, "there is no app for it");
    }

    #[test]
    fn an_asgi_app_comes_first_where_the_settings_name_one() {
        let files =
            [("manage.py", MANAGE), ("site/settings.py", ""), ("site/asgi.py", ""), ("site/wsgi.py", "")];
        let found = find(&files).unwrap();
        let (both, wsgi) =
            (of(&["gunicorn", "uvicorn"]), "gunicorn --bind 0.0.0.0:$PORT site.wsgi:application");
        assert_eq!(found.start(&both).0, wsgi);
        let asgi = "uvicorn --host 0.0.0.0 --port $PORT site.asgi:application";
        assert_eq!(found.start(&of(&["uvicorn"])).0, asgi);
        let hostile = [("manage.py", MANAGE), ("site/settings.py", "WSGI_APPLICATION = 'x; touch y.z'\n")];
        assert!(find(&hostile).unwrap().wsgi.is_none());
        let named = [
            ("manage.py", MANAGE),
            ("site/settings.py", "ASGI_APPLICATION = 'site.asgi.application'\n"),
            ("site/wsgi.py", ""),
        ];
        assert_eq!(find(&named).unwrap().start(&both).0, asgi);
        assert_eq!(find(&named).unwrap().start(&of(&["gunicorn"])).0, wsgi);
    }

    #[test]
    fn settings_in_a_package_are_followed_to_what_they_take_everything_from() {
        let manage = MANAGE.replace("site.settings", "site.settings.production");
        let found = find(&[
            ("manage.py", &manage),
            ("site/settings/__init__.py", ""),
            ("site/settings/production.py", "from .base import *\nfrom decouple import *\nDEBUG = False\n"),
            ("site/settings/base.py", "from site.settings.production import *\nSTATIC_ROOT = 'x'\n"),
        ]);
        let static_root = found.unwrap().static_root.unwrap();
        assert!(static_root.to_string().starts_with("site/settings/base.py:2:1: "), "{static_root}");
    }

    #[test]
    fn a_project_in_a_directory_of_its_own_is_started_there() {
        let files = [
            ("README", ""),
            ("web/manage.py", MANAGE),
            ("web/site/settings.py", "STATIC_ROOT = 'x'\n"),
            ("web/site/wsgi.py", ""),
        ];
        let found = find(&files).unwrap();
        assert_eq!(
            found.collect_static(".venv/bin/python3"),
            ".venv/bin/python3 web/manage.py collectstatic --noinput"
        );
        let (command, _) = found.start(&of(&["gunicorn"]));
        assert_eq!(command, "cd web && exec gunicorn --bind 0.0.0.0:$PORT site.wsgi:application");
    }

    #[test]
    fn another_manage_py_is_no_project() {
        assert!(find(&[("manage.py", "import sys\n")]).is_none());
        assert!(find(&[("manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', name)\n")]).is_none());
        assert!(find(&[("a/b/manage.py", MANAGE), (".venv/manage.py", MANAGE)]).is_none());
    }
}
