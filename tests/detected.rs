//! Every sample app without an app file, all the way and without an option: detected, built, pushed to a registry,
//! pulled by another tool, checked, unpacked, started by another runtime, and asked for its page.

use lapstrake_fixtures::detected::App;

use crate::apps::pull;
use crate::harness::{Container, Image, Lapstrake, Registry, container, schema, workspace};

/// What is left of the way: the image as pulled, and the page.
struct Answer {
    app: App,
    image: Image,
    body: String,
    stderr: String,
    _scratch: tempfile::TempDir,
}

fn arguments(app: &App, source: &std::path::Path, output: &[&str]) -> Vec<String> {
    let mut arguments = vec!["build".to_owned(), source.display().to_string()];
    if let Some(directory) = app.source_dir {
        arguments.extend(["--source-dir".to_owned(), directory.to_owned()]);
    }
    arguments.extend(output.iter().map(ToString::to_string));
    arguments
}

/// The binary; every copy of an app has its own times otherwise.
fn lapstrake() -> Lapstrake {
    Lapstrake::new().with("SOURCE_DATE_EPOCH", "1700000000")
}

/// Goes the whole way with the app called `name`.
fn answer(name: &str) -> Answer {
    let app = App::named(name);
    let registry = Registry::start();
    let scratch = workspace::scratch();
    let source = scratch.path().join("source");
    app.lay_out(&source).unwrap();
    let reference = registry.reference(&format!("detected/{name}:1"));
    let outcome = lapstrake().run(arguments(&app, &source, &["--tag", &reference])).expect(0);

    let layout = scratch.path().join("layout");
    pull(&reference, &layout);
    let image = Image::open(&layout, Some("app"));
    assert_eq!(image.digest, outcome.digest());
    image.check();
    schema::check_layout(&layout, Some("app"));
    check_layers(&app, &image);

    let bundle = scratch.path().join("bundle");
    container::unpack(&layout, "app", &bundle);
    let mut container = Container::start(&bundle);
    let body = container.get(image.env()["PORT"].parse().unwrap(), "/");
    assert!(body.contains(app.answer), "`{}` is not in {body}", app.answer);
    Answer { app, image, body, stderr: outcome.stderr, _scratch: scratch }
}

/// The dependencies are in a layer of their own, and neither installers nor packages for development in any.
fn check_layers(app: &App, image: &Image) {
    let layers = image.layers().len();
    let holds = |place: usize| image.entries(place).iter().any(|entry| entry.path == app.dependency);
    let holding: Vec<usize> = (0..layers).filter(|place| holds(*place)).collect();
    assert_eq!(holding, [layers - 2], "layers of {layers} that hold `{}`", app.dependency);
    let files = image.files();
    let is_absent = |path: &&String| path.split('/').any(|part| app.absent.contains(&part));
    assert_eq!(files.keys().find(is_absent), None);
}

impl Answer {
    /// Builds the app once more, at another place and time, and expects the same digest.
    fn built_again(&self) {
        let scratch = workspace::scratch();
        let source = scratch.path().join("elsewhere/deeper");
        self.app.lay_out(&source).unwrap();
        let output = format!("oci:{}:app", scratch.path().join("layout").display());
        let again = lapstrake().run(arguments(&self.app, &source, &["--output", &output])).expect(0);
        assert_eq!(again.digest(), self.image.digest, "{}", self.app.name);
    }
}

#[test]
fn python_with_requirements_takes_the_newest_patch_of_the_line_that_runtime_txt_names() {
    let answer = answer("python-pip");
    let expected = "the catalog has no Python 3.13.4; ";
    assert!(answer.stderr.contains(expected), "{}", answer.stderr);
}

#[test]
fn python_with_uv_answers_from_its_own_package_below_src_and_has_one_digest() {
    let answer = answer("python-uv");
    assert_eq!(answer.image.env()["VIRTUAL_ENV"], "/app/.venv");
    let files = answer.image.files();
    assert!(files.contains_key("app/src/greeter/main.py"));
    assert!(!files.keys().any(|path| path.ends_with("/uv_cache.json")));
    answer.built_again();
}

#[test]
fn python_with_poetry_answers_from_a_function_that_makes_the_app_and_has_one_digest() {
    let answer = answer("python-poetry");
    let command = "exec gunicorn --bind 0.0.0.0:$PORT 'poetry_app:create_app()'";
    assert_eq!(answer.image.config["config"]["Cmd"], serde_json::json!(["/bin/sh", "-c", command]));
    answer.built_again();
}

#[test]
fn python_with_pipenv_answers_and_has_one_digest() {
    answer("python-pipenv").built_again();
}

#[test]
fn python_with_pdm_answers_and_has_one_digest() {
    let answer = answer("python-pdm");
    assert!(!answer.image.files().keys().any(|path| path.starts_with("home/app/.local")));
    answer.built_again();
}

#[test]
fn a_python_package_of_the_standard_is_installed() {
    answer("python-pep621");
}

#[test]
fn a_python_package_with_setup_py_is_installed_and_its_script_started() {
    let answer = answer("python-setup-py");
    assert_eq!(answer.image.config["config"]["Cmd"], serde_json::json!(["python3", "server.py"]));
}

#[test]
fn django_in_a_directory_of_its_own_answers_with_static_files_that_were_gathered() {
    let answer = answer("python-django");
    assert!(answer.body.contains("href=/static/style.536155f296b9.css"), "{}", answer.body);
    assert!(answer.image.files().contains_key("app/web/staticfiles/style.536155f296b9.css"));
}

#[test]
fn starlette_answers_on_the_line_that_python_version_names() {
    answer("python-starlette");
}

#[test]
fn a_procfile_starts_its_web_process_and_the_others_are_told() {
    let answer = answer("python-procfile");
    assert!(answer.stderr.contains("Procfile:2: `release` runs `python3 greetings.py`"), "{}", answer.stderr);
}

fn command(answer: &Answer) -> &serde_json::Value {
    &answer.image.config["config"]["Cmd"]
}

#[test]
fn node_with_npm_answers_without_npm_and_its_packages_for_development() {
    let answer = answer("node-npm");
    assert_eq!(command(&answer), &serde_json::json!(["node", "server.js"]));
    assert_eq!(
        (answer.image.env()["NODE_ENV"].as_str(), answer.image.env()["PORT"].as_str()),
        ("production", "8080")
    );
    let told = "package.json:6:13: `engines` asks for Node.js >=20 <24";
    assert!(answer.stderr.contains(told), "{}", answer.stderr);
}

#[test]
fn node_with_yarn_1_finds_yarn_in_its_build_loses_it_afterwards_and_has_one_digest() {
    let answer = answer("node-yarn1");
    assert!(answer.body.ends_with(", production\n"), "{}", answer.body);
    assert_eq!(command(&answer), &serde_json::json!(["node", "dist/server.js"]));
    answer.built_again();
}

#[test]
fn node_with_yarn_berry_answers_from_zip_files_without_those_for_development_and_has_one_digest() {
    let answer = answer("node-yarn-berry");
    let files = answer.image.files();
    let zips: Vec<&String> = files.keys().filter(|path| path.rsplit('.').next() == Some("zip")).collect();
    assert_eq!(zips.len(), 2, "{zips:?}");
    assert!(zips.iter().all(|path| path.starts_with("app/.yarn/cache/")));
    answer.built_again();
}

#[test]
fn the_one_app_of_a_pnpm_workspace_answers_with_a_package_that_was_built_before_it_and_has_one_digest() {
    let answer = answer("node-pnpm-workspace");
    let files = answer.image.files();
    assert!(files.contains_key("app/packages/greeting/dist/index.js"));
    assert_eq!(
        command(&answer),
        &serde_json::json!(["/bin/sh", "-c", "cd packages/api && exec node server.js"])
    );
    answer.built_again();
}

#[test]
fn nest_is_compiled_and_started_by_its_script_for_production() {
    let answer = answer("node-nest");
    assert_eq!(command(&answer), &serde_json::json!(["node", "dist/main"]));
}

#[test]
fn static_files_of_vite_are_served_for_every_path_and_without_what_built_them() {
    let answer = answer("node-vite-static");
    let files = answer.image.files();
    assert!(files.keys().any(|path| path.starts_with("app/dist/assets/index-")));
    assert!(!files.contains_key("app/node_modules"));
}

#[test]
fn a_procfile_counts_over_scripts_and_the_port_in_the_source_over_the_default() {
    let answer = answer("node-procfile");
    assert_eq!(answer.image.env()["PORT"], "4567");
    assert_eq!(command(&answer), &serde_json::json!(["node", "server.js", "by its Procfile"]));
    assert!(answer.stderr.contains("Procfile:2: `worker` runs `node worker.js`"), "{}", answer.stderr);
}

// row 20
#[test]
fn an_app_file_counts_over_files_of_other_tools_and_what_they_ask_for_is_told() {
    let scratch = workspace::scratch();
    let write = |name: &str, text: &str| fs_err::write(scratch.path().join(name), text).unwrap();
    let app_file = |runtime: &str| {
        format!("version: 1.0\nruntime: {runtime}\nbuild:\n  commands:\n    build: []\nrun:\n  command: x\n")
    };
    write("apprunner.yaml", &app_file("python311"));
    write(".python-version", "3.13\n");
    write("pyproject.toml", "[project]\nrequires-python = \">=3.12\"\n");
    write(".nvmrc", "20\n");
    let plan = || Lapstrake::new().run(["plan", scratch.path().to_str().unwrap()]).expect(0);
    let python = plan();
    for told in [
        ".python-version:1:1: asks for Python 3.13, but apprunner.yaml:2 gives python3-3.11.",
        "pyproject.toml:2:19: asks for Python `>=3.12`, but apprunner.yaml:2 gives python3-3.11.",
    ] {
        assert!(python.stderr.contains(told), "`{told}` is not in {}", python.stderr);
    }
    assert!(
        python.stdout.contains("python3-3.11.") && !python.stderr.contains(".nvmrc"),
        "{}",
        python.stderr
    );
    write("apprunner.yaml", &app_file("nodejs22"));
    let node = plan();
    let told = node.stderr.lines().find(|line| line.contains(".nvmrc:1:1: ")).unwrap_or_default();
    assert!(told.contains("but apprunner.yaml:2 gives nodejs22-22."), "{}", node.stderr);
}
