//! Whole projects: what other files say, and what happens where there is no app file.

use std::path::Path;

use clap::Parser;

use super::*;
use crate::cli::{Cli, Command, LintArgs};
use crate::context::Context;

const SMALL: &str = "\
version: 1.0
runtime: nodejs22
build:
  commands:
    build:
      - npm ci
run:
  command: npm start
";

fn args(words: &[&str]) -> LintArgs {
    let cli = Cli::try_parse_from(["lapstrake", "lint"].iter().chain(words)).unwrap();
    let Command::Lint(args) = cli.command else { panic!("{words:?}") };
    args
}

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    root
}

fn lint_at(path: &Path, options: &[&str]) -> Findings {
    let words: Vec<&str> = [path.to_str().unwrap()].into_iter().chain(options.iter().copied()).collect();
    lint_with(&Subject::open(&args(&words), &Context::for_tests()).unwrap(), &catalog())
}

#[test]
fn an_engines_range_that_excludes_the_runtime_is_an_error_with_both_places() {
    let package = "{\n  \"engines\": { \"node\": \">=24\" }\n}\n";
    let root = project(&[("apprunner.yaml", SMALL), ("package.json", package)]);
    let found = lines(&lint_at(root.path(), &[]));
    let message = "apprunner.yaml:2:10 error runtime/engines-conflict no version of `nodejs22` satisfies \
                   `engines.node`, which asks for `>=24`, at package.json:2:24";
    assert!(found.len() == 1 && found[0].starts_with(message), "{found:?}");
}

#[test]
fn a_range_that_is_none_and_a_package_json_that_is_none_are_told_at_their_place() {
    let package = "{\"engines\": {\"node\": \"the newest\"}}";
    let root = project(&[("apprunner.yaml", SMALL), ("package.json", package)]);
    let found = lines(&lint_at(root.path(), &[]));
    assert!(
        found.len() == 1 && found[0].starts_with("package.json:1:22 warning runtime/engines-unreadable "),
        "{found:?}"
    );
    let text = lint_at(root.path(), &[]).to_text();
    assert!(
        text.contains("1 | {\"engines\": {\"node\": \"the newest\"}}\n  |                      ^^^^^^^^^^^^"),
        "{text}"
    );
    fs_err::write(root.path().join("package.json"), "{\n,}").unwrap();
    let found = lines(&lint_at(root.path(), &[]));
    assert!(
        found.len() == 1 && found[0].starts_with("package.json:2:1 error source/project-file "),
        "{found:?}"
    );
}

// row 20, quirk 25
#[test]
fn files_that_ask_for_another_version_are_warned_about_with_both_places() {
    let python = SMALL.replace("nodejs22", "python3\n").replace("npm start", "python3 app.py");
    let python = python.replace("run:", "run:\n  runtime-version: 3.11");
    let project_file = "[project]\nrequires-python = \">=3.12\"\n";
    let root = project(&[
        ("apprunner.yaml", &python),
        (".python-version", "# ours\n3.13\n"),
        ("runtime.txt", "python-3.11.9\n"),
        ("pyproject.toml", project_file),
        (".nvmrc", "20\n"),
    ]);
    let found: Vec<String> = lines(&lint_at(root.path(), &[]))
        .into_iter()
        .filter(|line| line.contains("version-mismatch"))
        .collect();
    let expected = [
        ".python-version:2:1 warning runtime/version-mismatch asks for Python 3.13, but apprunner.yaml:9:20 gives python3-3.11.",
        "pyproject.toml:2:19 warning runtime/version-mismatch asks for Python `>=3.12`, but apprunner.yaml:9:20 gives python3-3.11.",
    ];
    assert!(
        found.len() == 2 && found.iter().zip(expected).all(|(line, start)| line.starts_with(start)),
        "{found:?}"
    );
    let root = project(&[("apprunner.yaml", SMALL), (".nvmrc", "20\n"), (".python-version", "3.13\n")]);
    let found = lines(&lint_at(root.path(), &[]));
    let place = ".nvmrc:1:1 warning runtime/version-mismatch ";
    assert!(
        found.len() == 1 && found[0].starts_with(place) && found[0].contains("apprunner.yaml:2:10"),
        "{found:?}"
    );
    let root = project(&[("apprunner.yaml", &python), ("pyproject.toml", "[project\n")]);
    let found = lines(&lint_at(root.path(), &[]));
    assert!(
        found.iter().any(|line| line.starts_with("pyproject.toml:1:9 warning source/project-file ")),
        "{found:?}"
    );
}

#[test]
fn the_app_file_is_found_by_directory_by_option_and_by_its_own_path() {
    let faulty = SMALL.replace("npm start", "node \"a");
    let root = project(&[("services/api/apprunner.yaml", &faulty), ("services/other.txt", &faulty)]);
    let place = |path: &Path, options: &[&str]| lint_at(path, options).diagnostics[0].to_string();
    let message = "8:12: error: `\"` is not closed in the start command";
    let api = root.path().join("services/api");
    assert_eq!(place(&api, &[]), format!("apprunner.yaml:{message}"));
    assert_eq!(
        place(root.path(), &["--source-dir", "services/api"]),
        format!("services/api/apprunner.yaml:{message}")
    );
    let file = api.join("apprunner.yaml");
    assert_eq!(place(&file, &[]), format!("{}:{message}", file.display()));
    let other = root.path().join("services/other.txt");
    assert_eq!(place(&other, &[]), format!("{}:{message}", other.display()));
    assert_eq!(place(&api, &["--config", other.to_str().unwrap()]), format!("{}:{message}", other.display()));
}

#[test]
fn an_app_file_with_the_wrong_name_is_an_error_and_is_linted_all_the_same() {
    let faulty = SMALL.replace("npm start", "");
    let root = project(&[("apprunner.yml", &faulty), ("package.json", "{}")]);
    let found = lines(&lint_at(root.path(), &[]));
    let expected = "apprunner.yaml:1:1 error source/file-name `apprunner.yaml` not found in the root of the source \
                    -> rename `apprunner.yml` to `apprunner.yaml`";
    assert_eq!(found, [expected]);
    let file = root.path().join("apprunner.yml");
    let found = lines(&lint_at(&file, &[]));
    assert!(found[0].contains(":1:1 error source/file-name a build looks for `apprunner.yaml`"), "{found:?}");
    assert!(found.last().unwrap().contains(":8:3 error app-file/start-command "), "{found:?}");
    let named = lines(&lint_at(root.path(), &["--config", file.to_str().unwrap()]));
    assert!(named.iter().all(|line| !line.contains("source/file-name")), "{named:?}");
}

#[test]
fn another_directory_that_has_an_app_file_is_named() {
    let root = project(&[("backend/apprunner.yaml", SMALL), ("node_modules/x/apprunner.yaml", SMALL)]);
    let found = lines(&lint_at(root.path(), &[]));
    let expected = "apprunner.yaml:1:1 error source/nothing-found `apprunner.yaml` not found in the root of the source \
                    -> `backend` has one: name it with `--source-dir`";
    assert_eq!(found, [expected]);
}

#[test]
fn where_nothing_tells_what_the_app_is_that_is_the_problem() {
    let root = project(&[("README.md", "")]);
    let findings = lint_at(root.path(), &[]);
    let found = lines(&findings);
    assert!(
        found.len() == 1 && found[0].contains("source/nothing-found nothing tells how to build the app"),
        "{found:?}"
    );
    assert_eq!(findings.to_json()["file"], serde_json::Value::Null);
    assert_eq!(findings.outcome(Warnings::Allowed).unwrap_err().exit.code(), 2);
}

#[test]
fn a_version_out_of_support_is_refused_unless_it_is_permitted() {
    let subject = alone(SMALL.replace("nodejs22", "nodejs20").as_bytes());
    let catalog = catalog();
    let found = lines(&lint_with(&subject, &catalog));
    assert!(found.len() == 1 && found[0].contains(":2:10 error runtime/refused "), "{found:?}");
    let newest =
        catalog.entries.iter().filter(|entry| entry.runtime == "nodejs20").map(|entry| &entry.id).max();
    let permissions =
        Permissions { allow_eol: newest.cloned().into_iter().collect(), ..Permissions::default() };
    let platforms = ["linux/amd64".parse().unwrap()];
    let terms = Terms { catalog: &catalog, platforms: &platforms, permissions: &permissions, as_of: today() };
    let found = lines(&lint(&subject, &terms).unwrap());
    assert!(found.len() == 1 && found[0].contains(":2:10 warning runtime/status "), "{found:?}");
}

#[test]
fn a_directory_that_is_not_there_and_options_that_contradict_each_other_are_failures() {
    let root = project(&[("apprunner.yaml", SMALL)]);
    let file = root.path().join("apprunner.yaml");
    for (words, message) in [
        (vec!["/nonexistent/app"], "could not read the source"),
        (vec![root.path().to_str().unwrap(), "--source-dir", "api"], "`api` is no directory of the source"),
        (vec![file.to_str().unwrap(), "--source-dir", "api"], "`--source-dir` does not go with an app file"),
        (vec![root.path().to_str().unwrap(), "--config", "/nonexistent"], "could not read the app file"),
    ] {
        let failure = Subject::open(&args(&words), &Context::for_tests()).unwrap_err();
        assert!(failure.to_string().contains(message) && failure.exit.code() == 2, "{failure}");
    }
}

#[test]
fn a_directory_with_an_app_file_is_not_searched() {
    use std::os::unix::fs::PermissionsExt;
    let root = project(&[("apprunner.yaml", SMALL), ("node_modules/x/index.js", ""), ("src/a/b.js", "")]);
    for closed in ["node_modules", "src"] {
        fs_err::set_permissions(root.path().join(closed), PermissionsExt::from_mode(0o000)).unwrap();
    }
    let subject = Subject::open(&args(&[root.path().to_str().unwrap()]), &Context::for_tests()).unwrap();
    assert_eq!(subject.tree.len(), 3);
    for closed in ["node_modules", "src"] {
        fs_err::set_permissions(root.path().join(closed), PermissionsExt::from_mode(0o755)).unwrap();
    }
}
