//! `lint`, `schema` and `init` through the binary: formats, exit codes, kinds of sources, and what is not touched.

use std::path::{Path, PathBuf};

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::{copy_tree, tar_of};
use lapstrake_fixtures::web::{Page, Site, Web};
use serde_json::Value;

use crate::harness::{Lapstrake, Outcome, Repository, workspace};

const GOOD: &str = "\
version: 1.0
runtime: python3
build:
  commands:
    build:
      - pip3 install -r requirements.txt
run:
  command: python3 app.py
";

/// An app in a scratch directory, and the binary with a data directory that is not there.
struct Project {
    scratch: tempfile::TempDir,
    lapstrake: Lapstrake,
}

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let scratch = workspace::scratch();
        for (path, text) in files {
            let path = scratch.path().join("app").join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        // Nothing answers there: whoever asks a registry or a mirror would fail.
        let dead = "http://127.0.0.1:9/";
        let lapstrake = Lapstrake::new()
            .with_data(scratch.path().join("data"))
            .with("LAPSTRAKE_DEBIAN_MIRROR", dead)
            .with("LAPSTRAKE_NPM_REGISTRY", dead)
            .with("LAPSTRAKE_PYTHON_INDEX", dead)
            .with("HTTPS_PROXY", dead)
            .with("http_proxy", dead);
        Self { scratch, lapstrake }
    }

    fn path(&self) -> PathBuf {
        self.scratch.path().join("app")
    }

    fn run(&self, command: &str, options: &[&str]) -> Outcome {
        let path = self.path();
        let words: Vec<&str> =
            [command, path.to_str().unwrap()].into_iter().chain(options.iter().copied()).collect();
        let outcome = self.lapstrake.run(words);
        assert!(!self.scratch.path().join("data").exists(), "a data directory was written");
        outcome
    }
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.stdout))
}

#[test]
fn a_good_app_file_is_clean_in_every_format() {
    let project = Project::new(&[("apprunner.yaml", GOOD)]);
    let outcome = project.run("lint", &["--deny-warnings"]).expect(0);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("apprunner.yaml has no problems\n", ""));
    let found = json(&project.run("lint", &["--format", "json"]).expect(0));
    assert_eq!((&found["schema"], &found["errors"]), (&Value::from(1), &Value::from(0)));
    let found = json(&project.run("lint", &["--format", "sarif"]).expect(0));
    assert_eq!(found["runs"][0]["results"].as_array().map(Vec::len), Some(0));
}

#[test]
fn every_problem_is_printed_with_its_place_and_fails_the_command() {
    let text = GOOD
        .replace("run:\n", "run:\n  runtime-version: latest\n")
        .replace("command: python3", "comand: python3");
    let project = Project::new(&[("apprunner.yaml", &text)]);
    let outcome = project.run("lint", &[]).expect(2);
    for part in [
        "apprunner.yaml:8:20: error: `latest` is not a version",
        "8 |   runtime-version: latest\n  |                    ^^^^^^",
        "apprunner.yaml:9:3: error: unknown key `comand`",
        "hint: write `command`",
    ] {
        assert!(outcome.stdout.contains(part), "{part}\n{}", outcome.stdout);
    }
    assert_eq!(outcome.stderr, "error: apprunner.yaml has 2 errors\n");
    let found = json(&project.run("lint", &["--format", "json"]).expect(2));
    assert_eq!(found["diagnostics"][1]["rule"], "app-file/misspelt-key");
    assert_eq!(found["diagnostics"][1]["line"], 9);
    let found = json(&project.run("lint", &["--format", "sarif"]).expect(2));
    assert_eq!(found["runs"][0]["results"][0]["ruleId"], "app-file/runtime-version");
}

#[test]
fn warnings_fail_only_where_they_are_denied() {
    let project = Project::new(&[("apprunner.yaml", &GOOD.replace("1.0", "1"))]);
    let outcome = project.run("lint", &[]).expect(0);
    assert!(outcome.stdout.contains("apprunner.yaml:1:10: warning: "), "{}", outcome.stdout);
    let outcome = project.run("lint", &["--deny-warnings"]).expect(2);
    assert_eq!(outcome.stderr, "error: apprunner.yaml has 1 warning\n");
}

#[test]
fn what_the_catalog_and_other_files_say_is_told() {
    let project = Project::new(&[("apprunner.yaml", &GOOD.replace("python3\n", "nodejs20\n"))]);
    let outcome = project.run("lint", &[]).expect(2);
    assert!(
        outcome.stdout.contains("apprunner.yaml:2:10: error: ") && outcome.stdout.contains("--allow-eol")
    );
    let project = Project::new(&[("apprunner.yaml", GOOD), (".python-version", "3.11\n")]);
    let outcome = project.run("lint", &[]).expect(0);
    assert!(
        outcome
            .stdout
            .contains(".python-version:1:1: warning: asks for Python 3.11, but apprunner.yaml:2:10 gives")
    );
    let elsewhere = project.run("lint", &["--catalog", "oci:/nonexistent"]);
    assert_ne!(elsewhere.code, Some(0));
}

#[test]
fn an_app_file_an_archive_and_standard_input_are_linted_as_well() {
    let text = GOOD.replace("python3 app.py", "''");
    let project = Project::new(&[("apprunner.yaml", &text), ("web/apprunner.yaml", &text)]);
    let message = ":8:12: error: the start command is empty";
    let file = project.path().join("apprunner.yaml");
    let outcome = project.lapstrake.run(["lint", file.to_str().unwrap()]).expect(2);
    assert!(outcome.stdout.starts_with(&format!("{}{message}", file.display())), "{}", outcome.stdout);
    let outcome = project.lapstrake.run_with_input(["lint", "-"], &file).expect(2);
    assert!(outcome.stdout.starts_with(&format!("apprunner.yaml{message}")), "{}", outcome.stdout);
    let archive = project.scratch.path().join("app.tar");
    fs_err::write(&archive, tar_of(&project.path(), "./").unwrap()).unwrap();
    let words = ["lint", archive.to_str().unwrap(), "--source-dir", "web"];
    let outcome = project.lapstrake.run(words).expect(2);
    assert!(outcome.stdout.starts_with(&format!("web/apprunner.yaml{message}")), "{}", outcome.stdout);
    let outcome = project.lapstrake.run_with_input(["lint", "-"], &archive).expect(2);
    assert!(outcome.stdout.starts_with(&format!("apprunner.yaml{message}")), "{}", outcome.stdout);
}

#[test]
fn without_an_app_file_it_is_told_what_a_build_would_do() {
    let project = Project::new(&[("package.json", r#"{"scripts": {"start": "node ."}}"#), ("index.js", "")]);
    let outcome = project.run("lint", &[]).expect(0);
    assert!(outcome.stdout.contains("there is no apprunner.yaml: the files of a Node.js app decide"));
    assert!(outcome.stdout.contains("package.json"), "{}", outcome.stdout);
    assert_eq!(json(&project.run("lint", &["--format", "json"]).expect(0))["detected"]["language"], "node");
    let misnamed = Project::new(&[("apprunner.yml", GOOD), ("package.json", "{}")]);
    let outcome = misnamed.run("lint", &[]).expect(2);
    assert!(
        outcome.stdout.contains("hint: rename `apprunner.yml` to `apprunner.yaml`"),
        "{}",
        outcome.stdout
    );
    let empty = Project::new(&[("README.md", "")]);
    let outcome = empty.run("lint", &[]).expect(2);
    assert!(outcome.stdout.contains("nothing tells how to build the app"), "{}", outcome.stdout);
    assert_eq!(outcome.stderr, "error: the source has 1 error\n");
}

#[test]
fn the_sample_apps_are_without_errors() {
    let lapstrake = Lapstrake::new().with_data("/nonexistent/lapstrake");
    for name in ["flask", "django", "fastapi", "express", "typescript", "phases"] {
        let outcome = lapstrake.run(["lint", App::named(name).directory().to_str().unwrap()]).expect(0);
        assert!(outcome.stdout.starts_with("apprunner.yaml"), "{name}: {}", outcome.stdout);
    }
}

#[test]
fn the_schema_judges_app_files_as_an_editor_would() {
    let outcome = Lapstrake::new().with_data("/nonexistent/lapstrake").run(["schema"]).expect(0);
    let schema = json(&outcome);
    let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft7).build(&schema).unwrap();
    let mut file = serde_json::json!({
        "version": 1.0,
        "runtime": "nodejs22",
        "build": { "commands": { "build": ["npm ci"] } },
        "run": { "command": "npm start", "network": { "port": 3000 } },
    });
    assert!(validator.is_valid(&file));
    file["run"]["comand"] = "npm start".into();
    assert!(!validator.is_valid(&file));
}

/// The files in a directory, by name.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_app_file_is_written_once_and_is_clean() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::new(&[
        ("api/requirements.txt", "flask\ngunicorn\n"),
        ("api/app.py", "from flask import Flask\napp = Flask(__name__)\n"),
    ]);
    let options = ["--source-dir", "api"];
    let printed = project.run("init", &["--source-dir", "api", "--stdout"]).expect(0).stdout;
    let directory = project.path().join("api");
    assert_eq!(names(&directory), ["app.py", "requirements.txt"]);
    let outcome = project.run("init", &options).expect(0);
    assert_eq!(outcome.stdout, "");
    let file = directory.join("apprunner.yaml");
    assert_eq!(fs_err::read_to_string(&file).unwrap(), printed);
    assert_eq!(fs_err::metadata(&file).unwrap().permissions().mode() & 0o111, 0);
    assert!(
        printed.contains("# requirements.txt: ") || printed.contains("# api/requirements.txt"),
        "{printed}"
    );
    project.run("lint", &["--source-dir", "api", "--deny-warnings"]).expect(0);
    // What stands there is not replaced unless that is asked for.
    fs_err::write(&file, GOOD).unwrap();
    let outcome = project.run("init", &options).expect(2);
    assert!(
        outcome.stderr.contains("is there already") && outcome.stderr.contains("--force"),
        "{}",
        outcome.stderr
    );
    assert_eq!(fs_err::read_to_string(&file).unwrap(), GOOD);
    project.run("init", &["--source-dir", "api", "--force"]).expect(0);
    assert_eq!(fs_err::read_to_string(&file).unwrap(), printed);
    assert_eq!(names(&directory), ["app.py", "apprunner.yaml", "requirements.txt"]);
}

#[test]
fn where_nothing_is_found_no_app_file_is_written() {
    let project = Project::new(&[("README.md", "")]);
    let outcome = project.run("init", &[]).expect(2);
    assert!(outcome.stderr.contains("nothing tells how to build the app"), "{}", outcome.stderr);
    assert_eq!(names(&project.path()), ["README.md"]);
    let outcome = project.lapstrake.run(["init", "/nonexistent/app"]).expect(2);
    assert!(outcome.stderr.contains("is no directory"), "{}", outcome.stderr);
}

#[test]
fn a_source_that_is_elsewhere_is_linted() {
    let scratch = workspace::scratch();
    let app = scratch.path().join("files/api");
    fs_err::create_dir_all(&app).unwrap();
    fs_err::write(app.join("apprunner.yaml"), GOOD.replace("python3\n", "pyton3\n")).unwrap();
    let repository = Repository::new();
    copy_tree(&scratch.path().join("files"), repository.path()).unwrap();
    repository.commit();
    let archive = tar_of(&scratch.path().join("files"), "app-1.0/").unwrap();
    let web = Web::start(Site::page("/app.tar", Page::Content("application/x-tar", archive)));
    let lint = |source: &str, more: &[&str]| {
        let words = ["lint", source, "--format", "json"];
        Lapstrake::new().run(words.iter().chain(more))
    };
    let git = format!("git+file://{}", repository.name());
    for (source, more) in [
        (format!("{git}#main:api"), &[][..]),
        (format!("{git}#main"), &["--source-dir", "api"]),
        (web.url("/app.tar"), &["--source-dir", "api"]),
    ] {
        let found = json(&lint(&source, more).expect(2));
        let place = &found["diagnostics"][0];
        assert_eq!(
            (&place["file"], &place["line"]),
            (&"api/apprunner.yaml".into(), &2.into()),
            "{source}: {found}"
        );
        assert_eq!(found["errors"], 1, "{found}");
    }
    let wrong = "0".repeat(64);
    lint(&web.url("/app.tar"), &["--sha256", &wrong]).expect(5);
    let said = lint(scratch.path().to_str().unwrap(), &["--sha256", &wrong]).expect(2).stderr;
    assert!(said.contains("`--sha256` is for archives, not for a directory"), "{said}");
    let said = lint(&format!("{git}#main:api"), &["--source-dir", "web"]).expect(2).stderr;
    assert!(said.contains("`api` in SOURCE and `web`"), "{said}");
}
