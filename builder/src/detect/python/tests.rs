//! Whole apps, and what is made of them.

use lapstrake_oci::tree::TreePath;

use super::*;
use crate::detect::files::tests::tree;

fn found(all: &[(&str, &str)]) -> Detected {
    detect(&Files::new(&tree(all), None)).unwrap().unwrap()
}

fn commands(found: &Detected) -> Vec<&str> {
    found.build.iter().map(|decided| decided.text.as_str()).collect()
}

fn start(found: &Detected) -> Option<&str> {
    found.start.as_ref().map(|decided| decided.text.as_str())
}

fn env(found: &[(String, Decided)]) -> Vec<String> {
    found.iter().map(|(name, decided)| format!("{name}={}", decided.text)).collect()
}

const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n";
const FASTAPI: &str = "from fastapi import FastAPI\napp = FastAPI()\n";
const VENV_PATH: &str = "PATH=/app/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[test]
fn an_app_of_flask_with_requirements_is_understood() {
    let found = found(&[
        ("requirements.txt", "flask\ngunicorn==27.0.1\n"),
        ("app.py", FLASK),
        (".python-version", "3.13\n"),
    ]);
    assert_eq!(commands(&found), ["pip3 install -r requirements.txt"]);
    assert_eq!(start(&found), Some("gunicorn --bind 0.0.0.0:$PORT app:app"));
    assert!(
        found.build_env.is_empty() && found.run_env.is_empty() && found.notes.is_empty(),
        "{:?}",
        found.notes
    );
    let findings: Vec<_> = found.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        findings,
        [
            "requirements.txt: lists the packages of a Python app",
            ".python-version:1:1: asks for Python 3.13",
            "app.py:2:1: `app` is an app of Flask",
            "requirements.txt:2:1: `gunicorn` is a dependency",
        ]
    );
}

#[test]
fn an_app_locked_by_uv_is_installed_by_it_and_started_from_its_environment() {
    let project = "[project]\nname = 'greeter'\nrequires-python = '>=3.12'\ndependencies = ['fastapi', 'uvicorn']\n[build-system]\n";
    let found = found(&[
        ("uv.lock", ""),
        ("pyproject.toml", project),
        ("src/greeter/__init__.py", ""),
        ("src/greeter/main.py", FASTAPI),
    ]);
    let install = tools::UV.install(None, "").0;
    assert_eq!(commands(&found), [install.as_str(), "/tmp/uv/bin/uv sync --frozen --no-dev"]);
    assert_eq!(
        env(&found.build_env),
        ["UV_PYTHON=python3", "UV_PYTHON_DOWNLOADS=never", "UV_LINK_MODE=copy"]
    );
    assert_eq!(env(&found.run_env), ["VIRTUAL_ENV=/app/.venv", VENV_PATH]);
    assert_eq!(start(&found), Some("uvicorn --host 0.0.0.0 --port $PORT greeter.main:app"));
    assert!(matches!(found.version, Some(VersionWish::Range { text, .. }) if text == ">=3.12"));
}

#[test]
fn an_app_locked_by_poetry_is_installed_by_it() {
    let project = "[tool.poetry]\nname = 'shop'\n[tool.poetry.dependencies]\npython = '^3.11'\nflask = '*'\ngunicorn = '*'\n";
    let factory = "from flask import Flask\ndef create_app():\n    return Flask(__name__)\n";
    let with = found(&[("poetry.lock", ""), ("pyproject.toml", project), ("shop/__init__.py", factory)]);
    assert_eq!(commands(&with)[1], "/tmp/poetry/bin/poetry install --only main --no-interaction");
    assert_eq!(start(&with), Some("gunicorn --bind 0.0.0.0:$PORT 'shop:create_app()'"));
    let without = found(&[("poetry.lock", ""), ("pyproject.toml", project), ("app.py", FLASK)]);
    assert_eq!(
        commands(&without)[1],
        "/tmp/poetry/bin/poetry install --only main --no-interaction --no-root"
    );
    assert_eq!(
        without.notes,
        ["`pyproject.toml` names a package that is not there: only its dependencies are installed"]
    );
    let old = project.replace("name = 'shop'", "name = 'shop'\nrequires-poetry = '<2'");
    let old = found(&[("poetry.lock", ""), ("pyproject.toml", &old)]);
    assert!(commands(&old)[0].ends_with("pip install 'poetry<2'"), "{:?}", commands(&old));
}

#[test]
fn apps_locked_by_pdm_and_pipenv_are_installed_by_them() {
    let project = "[project]\nname = 'shop'\ndependencies = []\n[project.scripts]\nserve = 'shop:main'\n[build-system]\n";
    let pdm = found(&[("pdm.lock", ""), ("pyproject.toml", project), ("src/shop/__init__.py", "")]);
    assert_eq!(commands(&pdm)[1], "/tmp/pdm/bin/pdm install --check --prod");
    assert_eq!(start(&pdm), Some("serve"));
    let pipfile = "[packages]\nflask = '*'\n[requires]\npython_version = '3.13'\n";
    let pipenv = found(&[("Pipfile", pipfile), ("Pipfile.lock", "{}"), ("app.py", FLASK)]);
    assert_eq!(commands(&pipenv)[1], "/tmp/pipenv/bin/pipenv install --deploy");
    assert_eq!(start(&pipenv), Some("flask --app app:app run --host 0.0.0.0 --port $PORT"));
    assert_eq!(
        pipenv.notes,
        [
            "the server of the framework itself is for development: add `gunicorn` to the dependencies for another"
        ]
    );
    let full = "[requires]\npython_full_version = '3.13.4'\n";
    let full = found(&[("Pipfile", full), ("Pipfile.lock", "{}"), ("app.py", FLASK)]);
    assert_eq!(commands(&full)[1], "/tmp/pipenv/bin/pipenv sync");
    let unlocked = found(&[("Pipfile", pipfile), ("app.py", FLASK)]);
    assert_eq!(commands(&unlocked)[1], "/tmp/pipenv/bin/pipenv install");
    assert!(unlocked.notes[0].starts_with("`Pipfile` fixes no versions: "), "{:?}", unlocked.notes);
}

#[test]
fn a_project_without_a_lock_is_installed_by_pip() {
    let listed = "[project]\nname = 'x'\ndependencies = ['flask>=3', 'waitress']\n";
    let list = found(&[("pyproject.toml", listed), ("app.py", FLASK)]);
    assert_eq!(commands(&list), ["pip3 install 'flask>=3' waitress"]);
    assert_eq!(start(&list), Some("waitress-serve --listen=0.0.0.0:$PORT app:app"));
    let built = format!("{listed}[build-system]\nrequires = []\n");
    assert_eq!(commands(&found(&[("pyproject.toml", &built), ("app.py", FLASK)])), ["pip3 install ."]);
    let setup = found(&[("setup.py", "setup(install_requires=['flask', 'gunicorn'])"), ("app.py", FLASK)]);
    assert_eq!(commands(&setup), ["pip3 install ."]);
    assert_eq!(start(&setup), Some("gunicorn --bind 0.0.0.0:$PORT app:app"));
    let poetry = found(&[("pyproject.toml", "[tool.poetry.dependencies]\nflask = '*'\n"), ("app.py", FLASK)]);
    assert_eq!(commands(&poetry)[1], "/tmp/poetry/bin/poetry install --only main --no-interaction --no-root");
}

#[test]
fn of_several_files_with_packages_the_lock_counts_and_the_other_is_told() {
    let project = "[project]\nname = 'x'\ndependencies = []\n";
    let found = found(&[
        ("uv.lock", ""),
        ("requirements.txt", "-r gone.txt"),
        ("pyproject.toml", project),
        ("main.py", "print()"),
    ]);
    assert_eq!(commands(&found)[1], "/tmp/uv/bin/uv sync --frozen --no-dev");
    assert_eq!(
        found.notes,
        [
            "`uv.lock` and `requirements.txt` both list packages: the first was taken; the other is when `.lapstrakeignore` leaves \
          `uv.lock` out"
        ]
    );
}

#[test]
fn requirements_count_more_than_a_project_without_a_lock() {
    let project = "[project]\nname = 'x'\ndependencies = ['gunicorn']\n[build-system]\n";
    let files = [("pyproject.toml", project), ("src/x/app.py", FLASK), ("src/x/__init__.py", "")];
    let apart = found(&[&files[..], &[("requirements.txt", "flask\n")]].concat());
    assert_eq!(commands(&apart), ["pip3 install -r requirements.txt"]);
    assert_eq!(start(&apart), Some("cd src && exec flask --app x.app:app run --host 0.0.0.0 --port $PORT"));
    assert_eq!(
        apart.notes[0],
        "`requirements.txt` and `pyproject.toml` both list packages: the first was taken; the other is when \
         `.lapstrakeignore` leaves `requirements.txt` out"
    );
    // With the project come its dependencies and its modules.
    let with = found(&[&files[..], &[("requirements.txt", "flask\n-e .\n")]].concat());
    assert_eq!(start(&with), Some("gunicorn --bind 0.0.0.0:$PORT x.app:app"));
}

#[test]
fn a_lock_without_its_project_is_told_and_not_used() {
    let found = found(&[("poetry.lock", ""), ("requirements.txt", ""), ("main.py", "")]);
    assert_eq!(commands(&found), ["pip3 install -r requirements.txt"]);
    assert_eq!(found.notes, ["`poetry.lock` is not used: there is no project in `pyproject.toml`"]);
}

#[test]
fn a_virtual_environment_of_the_source_is_made_anew() {
    let project = "[project]\nname = 'x'\ndependencies = []\n";
    let found =
        found(&[("uv.lock", ""), ("pyproject.toml", project), (".venv/pyvenv.cfg", ""), ("main.py", "")]);
    assert_eq!(commands(&found)[0], "rm -rf .venv");
    assert!(found.notes.contains(&"`.venv` of the source is made anew".to_owned()));
}

#[test]
fn static_files_of_django_are_gathered_by_the_python_that_has_django() {
    let manage = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site.settings')\n";
    let files =
        [("manage.py", manage), ("site/settings.py", "STATIC_ROOT = 'static'\n"), ("site/wsgi.py", "")];
    let pip = found(&[&files[..], &[("requirements.txt", "Django\ngunicorn\n")]].concat());
    assert_eq!(
        commands(&pip),
        ["pip3 install -r requirements.txt", "python3 manage.py collectstatic --noinput"]
    );
    assert_eq!(start(&pip), Some("gunicorn --bind 0.0.0.0:$PORT site.wsgi:application"));
    let locked = [
        ("Pipfile", "[packages]\ndjango = '*'\n"),
        ("Pipfile.lock", "{}"),
        ("Procfile", "web: daphne site.asgi:application\n"),
    ];
    let pipenv = found(&[&files[..], &locked].concat());
    assert_eq!(commands(&pipenv)[2], ".venv/bin/python3 manage.py collectstatic --noinput");
    assert_eq!(start(&pipenv), Some("daphne site.asgi:application"));
}

#[test]
fn without_a_server_or_a_script_the_places_are_told() {
    let nothing = found(&[("requirements.txt", "fastapi\n"), ("main.py", FASTAPI)]);
    assert_eq!(start(&nothing), None);
    let sought = nothing.start_sought.join("; ");
    assert!(
        sought.starts_with("`web` in `Procfile`; `manage.py` of Django; an app of FastAPI, "),
        "{sought}"
    );
    assert!(
        sought.contains("a server for `main:app` among the dependencies: `uvicorn`, `hypercorn`"),
        "{sought}"
    );
    assert!(sought.ends_with("`main.py`; `app.py`; `server.py`"), "{sought}");
    let runs = format!("{FASTAPI}if __name__ == '__main__':\n    run()\n");
    assert_eq!(
        start(&found(&[("requirements.txt", "fastapi\n"), ("main.py", &runs)])),
        Some("python3 main.py")
    );
}

#[test]
fn a_lone_script_is_an_app_without_packages() {
    let found = found(&[("server.py", "serve()")]);
    assert_eq!((commands(&found), start(&found)), (vec![], Some("python3 server.py")));
    assert_eq!(found.findings[0].to_string(), "server.py: is a script of Python");
    assert!(found.notes[0].starts_with("no file lists packages"), "{:?}", found.notes);
    let tools = [("setup.cfg", "[flake8]\n"), ("main.py", "")];
    assert!(commands(&super::detect(&Files::new(&tree(&tools), None)).unwrap().unwrap()).is_empty());
    let others = [("README.md", ""), ("tool.py", ""), ("pyproject.toml", "[tool.ruff]\n")];
    assert!(detect(&Files::new(&tree(&others), None)).unwrap().is_none());
}

#[test]
fn a_member_of_a_workspace_is_installed_into_the_environment_of_its_root() {
    let member = "[project]\nname = 'api'\ndependencies = ['flask', 'gunicorn']\n";
    let tree = tree(&[
        ("uv.lock", ""),
        ("pyproject.toml", "[tool.uv.workspace]\nmembers = ['services/*']\n"),
        ("services/api/pyproject.toml", member),
        ("services/api/app.py", FLASK),
    ]);
    let directory = TreePath::new("services/api").unwrap();
    let found = detect(&Files::new(&tree, Some(&directory))).unwrap().unwrap();
    assert_eq!(found.findings[0].file, "uv.lock");
    assert_eq!(env(&found.run_env)[0], "VIRTUAL_ENV=/app/.venv");
    assert_eq!(start(&found), Some("gunicorn --bind 0.0.0.0:$PORT app:app"));
}

#[test]
fn a_broken_project_file_is_refused_at_its_place() {
    let tree = tree(&[("pyproject.toml", "[project]\nname = \n"), ("main.py", "")]);
    let error = detect(&Files::new(&tree, None)).unwrap_err().to_string();
    assert!(error.starts_with("pyproject.toml:2:8: error: this is not TOML: "), "{error}");
}
