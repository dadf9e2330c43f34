use lapstrake_catalog::{Catalog, Permissions};
use lapstrake_oci::tree::{FileTree, Node, TreePath};

use super::app_file;
use crate::app_file::{FILE_NAME, Rule, parse};
use crate::lint::detected::{decide, look};
use crate::lint::{AppText, Findings, Subject, lint};
use crate::runtime_choice::{Terms, choose};
use crate::settings::{AppSettings, Settings};

fn catalog() -> Catalog {
    crate::catalog::look_local(std::path::Path::new("/nonexistent")).unwrap()
}

fn tree(files: &[(&str, &str)]) -> FileTree {
    let mut tree = FileTree::new();
    for (path, text) in files {
        tree.insert(TreePath::new(path).unwrap(), Node::file(text.as_bytes().to_vec(), 0o644));
    }
    tree.fill_parents();
    tree
}

/// What a build does by these settings, without where each value came from.
fn decided(settings: &AppSettings, entry: &str) -> String {
    let steps: Vec<_> = settings.steps.iter().map(|step| (step.phase, &step.command)).collect();
    format!(
        "{entry} {steps:?} {:?} {:?} {} {:?}",
        settings.build_env.pairs(),
        settings.start.value,
        settings.port.value,
        settings.run_env.pairs(),
    )
}

/// Writes the app file of an app, and asserts that it is clean and means what detection decided.
fn written(tree: FileTree) -> String {
    let catalog = catalog();
    let platforms = ["linux/amd64".parse().unwrap()];
    let permissions = Permissions::default();
    let as_of = "2026-11-26".parse().unwrap();
    let terms = Terms { catalog: &catalog, platforms: &platforms, permissions: &permissions, as_of };
    let mut subject = Subject { tree, directory: None, file: None };
    let mut findings = Findings::default();
    let found = look(&subject, &mut findings).unwrap().unwrap_or_else(|| panic!("{findings:?}"));
    let decision = decide(&found, &subject, &terms, &mut findings).unwrap();
    let (chosen, engines) = decision.unwrap_or_else(|| panic!("{findings:?}"));
    let text = app_file(&found, &chosen);
    let by_detection = Settings::of_detected(&found).complete(&[]).unwrap();
    let expected = decided(&by_detection, &chosen.resolution.entry.id.to_string());

    let (file, problems) = parse(FILE_NAME, &text);
    let file = file.unwrap_or_else(|| panic!("{problems:?}\n{text}"));
    let by_file = Settings::of_file(&file, FILE_NAME).complete(&[]).unwrap();
    let again = choose(&by_file, &terms, engines.as_ref()).unwrap();
    assert_eq!(decided(&by_file, &again.resolution.entry.id.to_string()), expected, "{text}");

    let name = FILE_NAME.to_owned();
    subject.file = Some(AppText { name, bytes: text.clone().into_bytes(), is_named: false });
    let linted = lint(&subject, &terms).unwrap();
    // Where there is nothing to build, the file says so; a runtime may be one whose support ends soon.
    let is_known = |rule| matches!(rule, Rule::NothingToBuild | Rule::RuntimeStatus);
    let said: Vec<_> = linted.diagnostics.iter().filter(|found| !is_known(found.rule)).collect();
    assert!(said.is_empty(), "{said:?}\n{text}");
    text
}

#[test]
fn each_value_stands_with_the_file_that_decided_it() {
    let text = written(tree(&[
        ("requirements.txt", "flask\ngunicorn\n"),
        ("app.py", "from flask import Flask\napp = Flask(__name__)\n"),
        ("Procfile", "web: gunicorn --bind 0.0.0.0:8080 app:app\n"),
        (".python-version", "3.13\n"),
    ]));
    for line in [
        "version: 1.0",
        "runtime: python3",
        "  # .python-version:1:1: asks for Python 3.13",
        "  runtime-version: '3.13'",
        "  command: gunicorn --bind 0.0.0.0:8080 app:app",
        "    port: 8080",
        "  # secrets:",
        "    # pre-build:",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.contains("# Procfile:1:1: "), "{text}");
}

#[test]
fn apps_of_every_kind_are_decided_as_they_were_without_a_file() {
    let package = r#"{"scripts": {"start": "node server.js", "build": "tsc"}, "engines": {"node": "^22.1"}}"#;
    let apps: &[&[(&str, &str)]] = &[
        &[("main.py", "print('x')\n")],
        &[
            ("requirements.txt", "fastapi\nuvicorn\n"),
            ("main.py", "from fastapi import FastAPI\napp = FastAPI()\n"),
        ],
        &[
            (
                "pyproject.toml",
                "[project]\nname = 'a'\nversion = '1'\nrequires-python = '>=3.11,<3.12'\ndependencies = ['flask', 'gunicorn']\n",
            ),
            ("app.py", "from flask import Flask\napp = Flask(__name__)\n"),
        ],
        &[("package.json", package), ("server.js", "")],
        &[("package.json", r#"{"main": "index.js"}"#), ("index.js", ""), (".nvmrc", "22\n")],
        &[
            ("package.json", r#"{"scripts": {"start": "echo \"it's: #1\" && exec node ."}}"#),
            ("index.js", ""),
        ],
    ];
    for files in apps {
        written(tree(files));
    }
}

#[test]
fn the_apps_that_detection_is_tested_with_are_decided_as_they_were_without_a_file() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/detect");
    let app_file = TreePath::new(FILE_NAME).unwrap();
    let mut apps: Vec<_> = fs_err::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()).collect();
    apps.retain(|path| path.is_dir());
    assert!(apps.len() >= 12, "{apps:?}");
    for app in apps {
        written(crate::source::glance_below(&app, &app_file).unwrap());
    }
}
