//! Finds the web app in the modules of a source: the object that a server is given.

use crate::app_file::Position;
use crate::detect::files::Files;
use crate::detect::{DetectError, Finding};

use super::names::{Dependencies, is_module};
use super::project::Project;
use super::source_text::{Statement, statements};

/// The largest module that is looked at.
const MODULE_LIMIT: u64 = 1 << 20;

/// Names of modules in which apps are made, likeliest first.
const MODULES: &[&str] =
    &["main", "app", "asgi", "wsgi", "server", "api", "application", "web", "run", "index", "__init__"];

/// Directories in which such modules lie, beside the app's own.
const DIRECTORIES: &[&str] = &["", "app", "src", "src/app", "api", "server", "backend", "web"];

/// Names of functions that make an app.
const FACTORIES: &[&str] =
    &["create_app", "make_app", "build_app", "get_app", "get_application", "create_application"];

/// How a server speaks with an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interface {
    Wsgi,
    Asgi,
}

/// A framework that is recognised by the name of its class.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Framework {
    pub(super) name: &'static str,
    package: &'static str,
    class: &'static str,
    pub(super) interface: Interface,
}

/// The frameworks. One that builds on another comes before it, as both are dependencies.
const FRAMEWORKS: &[Framework] = &[
    Framework { name: "FastAPI", package: "fastapi", class: "FastAPI", interface: Interface::Asgi },
    Framework { name: "Litestar", package: "litestar", class: "Litestar", interface: Interface::Asgi },
    Framework { name: "Starlette", package: "starlette", class: "Starlette", interface: Interface::Asgi },
    Framework { name: "Quart", package: "quart", class: "Quart", interface: Interface::Asgi },
    Framework { name: "Flask", package: "flask", class: "Flask", interface: Interface::Wsgi },
    Framework { name: "Bottle", package: "bottle", class: "Bottle", interface: Interface::Wsgi },
];

/// A web app.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WebApp {
    pub(super) framework: &'static Framework,
    /// The module, as it is imported.
    pub(super) module: String,
    /// The name in it.
    pub(super) object: String,
    /// Whether the name is that of a function that makes the app.
    pub(super) is_factory: bool,
    /// The directory that modules are imported from, where it is not the working directory.
    pub(super) directory: Option<String>,
    /// What was found.
    pub(super) because: Finding,
}

/// Looks for the app. A second one, in another module, is told as well.
pub(super) fn find(
    files: &Files<'_>,
    project: Option<&Project>,
    has_project: bool,
    dependencies: &Dependencies,
) -> Result<Vec<WebApp>, DetectError> {
    let mut found: Vec<WebApp> = Vec::new();
    for directory in directories(files, project) {
        for module in MODULES {
            let path = join(&directory, &format!("{module}.py"));
            // The directory of the app itself is no package.
            if directory.is_empty() && *module == "__init__"
                || files.len(&path).is_none_or(|length| length > MODULE_LIMIT)
            {
                continue;
            }
            let Some(text) = files.text(&path)? else { continue };
            let seen = Module { statements: statements(&text.text), file: text.file, dependencies };
            if let Some((framework, object, is_factory, because)) = seen.app() {
                let (module, directory) = place(files, &seen.statements, &directory, module, has_project);
                let object = object.to_owned();
                found.push(WebApp { framework, module, object, is_factory, directory, because });
            }
        }
    }
    // An object says more than a function that makes one.
    found.sort_by_key(|app| app.is_factory);
    Ok(found)
}

/// The directories that are looked at: the usual ones, and those of the project's name.
fn directories(files: &Files<'_>, project: Option<&Project>) -> Vec<String> {
    let mut all: Vec<String> = DIRECTORIES.iter().map(ToString::to_string).collect();
    if let Some(module) = project.and_then(Project::module) {
        all.extend([format!("src/{module}"), module]);
    }
    // A package at the top of any other name comes last.
    let packages = files
        .names_in("")
        .into_iter()
        .chain(files.names_in("src").into_iter().map(|name| format!("src/{name}")));
    let is_package = |name: &String| {
        files.has(&join(name, "__init__.py")) && is_module(&name.replace('/', ".")) && !is_of_tests(name)
    };
    all.extend(packages.filter(is_package));
    let mut seen: Vec<String> = Vec::new();
    all.retain(|directory| {
        !seen.contains(directory) && {
            seen.push(directory.clone());
            true
        }
    });
    all
}

fn is_of_tests(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name);
    ["test", "tests", "docs", "examples", "migrations", "scripts"].contains(&name)
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// The module of a file, and the directory that it is imported from.
///
/// What lies in `src` is installed, or else it is imported from there, unless its own imports begin with `src`.
fn place(
    files: &Files<'_>,
    statements: &[Statement],
    directory: &str,
    module: &str,
    has_project: bool,
) -> (String, Option<String>) {
    let path = match module {
        "__init__" => directory.to_owned(),
        module => join(directory, module),
    };
    let dotted = |path: &str| path.replace('/', ".");
    let Some(below) = path.strip_prefix("src/") else { return (dotted(&path), None) };
    let imports_src = |statement: &Statement| {
        ["from src.", "from src ", "import src"].iter().any(|start| statement.text.starts_with(start))
    };
    if has_project && (below.contains('/') || module == "__init__") {
        return (dotted(below), None);
    }
    if files.has("src/__init__.py") || statements.iter().any(imports_src) {
        return (dotted(&path), None);
    }
    (dotted(below), Some("src".to_owned()))
}

/// A module that is looked at.
struct Module<'a> {
    statements: Vec<Statement>,
    file: String,
    dependencies: &'a Dependencies,
}

impl Module<'_> {
    /// The app that the module has, or the function that makes it.
    fn app(&self) -> Option<(&'static Framework, &str, bool, Finding)> {
        self.object().or_else(|| self.factory())
    }

    fn object(&self) -> Option<(&'static Framework, &str, bool, Finding)> {
        self.statements.iter().find_map(|statement| {
            let assigned = statement.assigned_call()?;
            let framework = match FRAMEWORKS.iter().find(|framework| framework.class == assigned.callee) {
                None if FACTORIES.contains(&assigned.callee) => self.framework()?,
                found => found?,
            };
            let says = format!("`{}` is an app of {}", assigned.name, framework.name);
            Some((framework, assigned.name, false, self.finding(statement, says)))
        })
    }

    fn factory(&self) -> Option<(&'static Framework, &str, bool, Finding)> {
        self.statements.iter().find_map(|statement| {
            let name = statement.factory().filter(|name| FACTORIES.contains(name))?;
            let framework = self.framework()?;
            let says = format!("`{name}()` makes an app of {}", framework.name);
            Some((framework, name, true, self.finding(statement, says)))
        })
    }

    /// The framework that the module itself imports, or else the one that the app depends on.
    fn framework(&self) -> Option<&'static Framework> {
        let is_imported = |framework: &&Framework| {
            self.statements.iter().any(|statement| {
                let mut words = statement.text.split([' ', '.', ',']);
                matches!(words.next(), Some("from" | "import")) && words.any(|word| word == framework.package)
            })
        };
        let is_dependency = |framework: &&Framework| self.dependencies.get(framework.package).is_some();
        FRAMEWORKS.iter().find(is_imported).or_else(|| FRAMEWORKS.iter().find(is_dependency))
    }

    fn finding(&self, statement: &Statement, says: String) -> Finding {
        let at = Position { line: statement.line, column: statement.indent + 1 };
        Finding::new(&self.file, says).at(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::files::tests::tree;

    fn apps(all: &[(&str, &str)], has_project: bool) -> Vec<String> {
        let tree = tree(all);
        let mut dependencies = Dependencies::default();
        dependencies.add("flask", &Finding::new("requirements.txt", ""));
        let found = find(&Files::new(&tree, None), None, has_project, &dependencies).unwrap();
        let shown = |app: &WebApp| {
            let call = if app.is_factory { "()" } else { "" };
            let from =
                app.directory.as_ref().map(|directory| format!(" from {directory}")).unwrap_or_default();
            format!("{} {}:{}{call}{from}", app.framework.name, app.module, app.object)
        };
        found.iter().map(shown).collect()
    }

    const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n";
    const FACTORY: &str = "from flask import Flask\n\ndef create_app(config=None):\n    app = Flask(__name__)\n    return app\n";

    #[test]
    fn an_app_is_found_where_such_modules_lie() {
        for (path, expected) in [
            ("app.py", "Flask app:app"),
            ("wsgi.py", "Flask wsgi:app"),
            ("app/main.py", "Flask app.main:app"),
            ("app/__init__.py", "Flask app:app"),
            ("shop/__init__.py", "Flask shop:app"),
            ("src/main.py", "Flask main:app from src"),
            ("src/app/main.py", "Flask app.main:app from src"),
        ] {
            assert_eq!(apps(&[(path, FLASK)], false), [expected], "{path}");
        }
        for path in [
            "lib/app.py",
            "tests/__init__.py",
            "$(x)/__init__.py",
            ".venv/__init__.py",
            "other.py",
            "app/deep/main.py",
        ] {
            assert!(apps(&[(path, FLASK)], false).is_empty(), "{path}");
        }
    }

    #[test]
    fn modules_below_src_are_imported_as_the_project_does() {
        let package = [("src/shop/__init__.py", ""), ("src/shop/main.py", FLASK)];
        assert_eq!(apps(&package, true), ["Flask shop.main:app"], "the project is installed");
        assert_eq!(apps(&package, false), ["Flask shop.main:app from src"]);
        let text = format!("from src.settings import x\n{FLASK}");
        assert_eq!(apps(&[("src/main.py", &text)], false), ["Flask src.main:app"]);
        assert_eq!(apps(&[("src/__init__.py", ""), ("src/main.py", FLASK)], false), ["Flask src.main:app"]);
    }

    #[test]
    fn every_framework_is_known_by_its_class() {
        for (text, expected) in [
            ("import fastapi\napi = fastapi.FastAPI(title='x')\n", "FastAPI main:api"),
            ("app = Starlette(routes=[\n])\n", "Starlette main:app"),
            ("application: Flask = Flask('x')\n", "Flask main:application"),
            ("app = Litestar([])", "Litestar main:app"),
            ("app = bottle.Bottle()", "Bottle main:app"),
        ] {
            assert_eq!(apps(&[("main.py", text)], false), [expected], "{text}");
        }
        for text in [
            "'''\napp = Flask(1)\n'''",
            "# app = Flask(1)\n",
            "def f():\n    app = Flask(1)\n",
            "app = Celery()",
        ] {
            assert!(apps(&[("main.py", text)], false).is_empty(), "{text}");
        }
    }

    #[test]
    fn an_object_comes_before_a_function_that_makes_one() {
        assert_eq!(apps(&[("app.py", FACTORY)], false), ["Flask app:create_app()"]);
        let both = [
            ("shop/__init__.py", FACTORY),
            ("wsgi.py", "from shop import create_app\n\napp = create_app()\n"),
        ];
        assert_eq!(apps(&both, false), ["Flask wsgi:app", "Flask shop:create_app()"]);
        assert!(apps(&[("app.py", "def create_app(config):\n    return Flask(config)\n")], false).is_empty());
        let fastapi = [("main.py", "from fastapi import FastAPI\ndef create_app():\n    return FastAPI()\n")];
        assert_eq!(apps(&fastapi, false), ["FastAPI main:create_app()"], "its own import counts");
    }
}
