//! Every sample app, all the way: built, pushed to a registry, pulled by another tool, checked, unpacked, started by
//! another runtime, and asked for its page.

use lapstrake_fixtures::apps::App;
use serde_json::Value;

use crate::harness::{Container, Image, Lapstrake, Registry, container, schema, tools, workspace};

/// What is left of the way: the image as pulled, and the page.
pub(crate) struct Answer {
    pub(crate) image: Image,
    pub(crate) body: String,
    _scratch: tempfile::TempDir,
}

/// The arguments of a build of an app.
pub(crate) fn build_arguments(lapstrake: &Lapstrake, app: &App) -> Vec<String> {
    let source = lapstrake.reachable(&app.directory());
    let mut arguments = vec!["build".to_owned(), source.display().to_string()];
    if let Some(directory) = app.source_dir {
        arguments.extend(["--source-dir".to_owned(), directory.to_owned()]);
    }
    arguments
}

/// Goes the whole way with the app called `name`.
pub(crate) fn answer(lapstrake: &Lapstrake, name: &str) -> Answer {
    let app = App::named(name);
    let registry = Registry::start();
    let scratch = workspace::scratch();
    let reference = registry.reference(&format!("apps/{name}:1"));

    let mut arguments = build_arguments(lapstrake, &app);
    arguments.extend(["--tag".to_owned(), reference.clone()]);
    let outcome = lapstrake.run(arguments).expect(0);
    let digest = outcome.digest();
    assert_eq!(outcome.stdout, format!("{}@{digest}\n", registry.reference(&format!("apps/{name}"))));

    let layout = scratch.path().join("layout");
    pull(&reference, &layout);
    let image = Image::open(&layout, Some("app"));
    assert_eq!(image.digest, digest);
    image.check();
    schema::check_layout(&layout, Some("app"));
    check_config(&app, &image.config["config"]);

    let bundle = scratch.path().join("bundle");
    container::unpack(&layout, "app", &bundle);
    let mut container = Container::start(&bundle);
    let body = container.get(app.port, "/");
    assert!(body.contains(app.answer), "`{}` is not in {body}", app.answer);
    println!("figure SBX-19: {name}");
    Answer { image, body, _scratch: scratch }
}

/// Copies an image from a registry to a layout, as `app`, with skopeo.
pub(crate) fn pull(reference: &str, layout: &std::path::Path) {
    let from = format!("docker://{reference}");
    let to = format!("oci:{}:app", layout.display());
    tools::run("skopeo", ["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", &from, &to]);
}

fn check_config(app: &App, config: &Value) {
    let directory = app.source_dir.map_or("/app".to_owned(), |directory| format!("/app/{directory}"));
    assert_eq!(config["WorkingDir"], directory.as_str());
    assert!(config["ExposedPorts"][format!("{}/tcp", app.port)].is_object(), "{config}");
    assert!(config["Env"].as_array().unwrap().contains(&format!("PORT={}", app.port).into()), "{config}");
    let user = config["User"].as_str().unwrap();
    assert!(!user.is_empty() && !user.starts_with('0') && !user.starts_with("root"), "runs as `{user}`");
}

// row 25
#[test]
fn django_answers_with_a_note_that_a_migration_wrote_and_a_hashed_static_file() {
    let answer = answer(&Lapstrake::new(), "django");
    assert!(answer.body.contains("written by a migration"), "{}", answer.body);
    assert!(answer.body.contains("href=/static/style.536155f296b9.css"), "{}", answer.body);
    let files = answer.image.files();
    assert!(files.contains_key("app/staticfiles/style.536155f296b9.css"));
    assert!(
        !files.keys().any(|path| path.ends_with(".sqlite3")),
        "the database of the build is in the image"
    );
}

// row 12, key run.network.env, port variables, start npm
#[test]
fn express_answers_on_the_port_of_a_variable_that_the_app_file_names() {
    let answer = answer(&Lapstrake::new(), "express");
    assert_eq!(answer.image.env()["APP_PORT"], "3000");
    assert_eq!(answer.image.config["config"]["Cmd"], serde_json::json!(["npm", "start"]));
}

#[test]
fn fastapi_answers_from_a_virtual_environment_with_a_compiled_wheel() {
    let answer = answer(&Lapstrake::new(), "fastapi");
    assert!(answer.body.contains("\"pydantic_core\":\"2.50.5\""), "{}", answer.body);
}

// row 1, row 7, row 37, row 43
#[test]
fn flask_answers_and_its_packages_lie_outside_the_app() {
    let answer = answer(&Lapstrake::new(), "flask");
    let files = answer.image.files();
    assert!(files.keys().any(|path| path.ends_with("/flask/app.py") && !path.starts_with("app/")));
    assert!(files.contains_key("app/templates/index.html"));
    assert_eq!(
        answer.image.config["config"]["Cmd"],
        serde_json::json!(["gunicorn", "--bind", "0.0.0.0:8080", "--workers", "1", "app:app"])
    );
}

// row 29, row 47
#[test]
fn a_service_of_a_monorepo_answers_with_a_library_from_beside_it() {
    let answer = answer(&Lapstrake::new(), "monorepo");
    assert_eq!(answer.image.env()["PYTHONPATH"], "/app/libraries");
    assert!(answer.image.files().contains_key("app/libraries/greeting/__init__.py"));
}

// row 5, row 6, row 9, key build.commands.pre-build, key build.commands.build,
// key build.commands.post-build, key build.env, key run.pre-run, key run.env, scope build-env,
// scope run-env
#[test]
fn each_phase_sees_what_it_should_and_leaves_what_it_should() {
    let answer = answer(&Lapstrake::new(), "phases");
    let found: Value = serde_json::from_str(&answer.body).unwrap();
    let expected = serde_json::json!({
        "pre-build.txt": ["pre-build saw plank"],
        "build.txt": ["pre-build saw plank", "build saw plank"],
        "pre-run.txt": ["pre-run saw plank"],
        "/opt/phases/build.txt": ["build, outside /app"],
        "/opt/phases/pre-run.txt": ["pre-run, outside /app"],
    });
    assert_eq!(found["files"], expected);
    let variables = serde_json::json!({ "APP_PORT": "8081", "PORT": "8081", "RUN_WORD": "keel" });
    assert_eq!(found["variables"], variables);
    assert_eq!(found["arguments"], serde_json::json!(["--words", "two words"]));
    assert_eq!(found["directory"], "/app");
    assert!(!answer.image.config.to_string().contains("plank"), "a build variable is in the config");
}

#[test]
fn plain_node_answers_without_any_build_command() {
    answer(&Lapstrake::new(), "plain-node");
}

#[test]
fn plain_python_answers_without_any_build_command() {
    answer(&Lapstrake::new(), "plain-python");
}

// row 28
#[test]
fn a_package_that_was_compiled_in_the_build_answers_and_the_compiler_stays_behind() {
    let answer = answer(&Lapstrake::new(), "sdist-compile");
    let files = answer.image.files();
    assert!(files.keys().any(|path| path.contains("/markupsafe/_speedups.cpython-313-")));
    let compiler = |path: &&String| path.rsplit('/').next().is_some_and(|name| name.starts_with("cc1"));
    assert_eq!(files.keys().find(compiler), None);
}

#[test]
fn sveltekit_answers_from_what_its_build_step_made() {
    let answer = answer(&Lapstrake::new(), "sveltekit");
    let files = answer.image.files();
    assert!(files.contains_key("app/build/index.js"));
    assert!(!files.keys().any(|path| path.starts_with("app/node_modules/")));
}

// row 25
#[test]
fn typescript_answers_from_compiled_javascript_without_the_compiler() {
    let answer = answer(&Lapstrake::new(), "typescript");
    let files = answer.image.files();
    assert!(files.contains_key("app/dist/server.js"));
    assert!(files.contains_key("app/node_modules/fastify/package.json"));
    assert!(!files.contains_key("app/node_modules/typescript/package.json"));
}

// start signals
#[test]
fn an_app_in_exec_form_and_one_behind_a_script_end_on_sigterm() {
    let scratch = workspace::scratch();
    for name in ["plain-python", "django"] {
        let app = App::named(name);
        let layout = scratch.path().join(name);
        let lapstrake = Lapstrake::new();
        let mut arguments = build_arguments(&lapstrake, &app);
        arguments.extend(["--output".to_owned(), format!("oci:{}:app", layout.display())]);
        lapstrake.run(arguments).expect(0);
        let bundle = scratch.path().join(format!("{name}-bundle"));
        container::unpack(&layout, "app", &bundle);
        let mut container = Container::start(&bundle);
        container.get(app.port, "/");
        assert!(container.stop().as_secs() < 10, "{name} took too long to end");
    }
}
