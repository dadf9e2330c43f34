//! What an app file means for the image: flow, start, port, secrets, and the words of every class of failure.

use std::path::PathBuf;

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::copy_tree;
use serde_json::{Value, json};

use crate::harness::{Container, Image, Lapstrake, Outcome, Registry, container, workspace};

/// A source that a test writes, and where its image and its report go.
struct Source {
    scratch: tempfile::TempDir,
}

impl Source {
    fn new(files: &[(&str, &str)]) -> Self {
        let source = Self { scratch: workspace::scratch() };
        fs_err::create_dir(source.path()).unwrap();
        source.write(files);
        source
    }

    /// A copy of a sample app with some files of its own.
    fn copy(name: &str, files: &[(&str, &str)]) -> Self {
        let source = Self { scratch: workspace::scratch() };
        copy_tree(&App::named(name).directory(), &source.path()).unwrap();
        source.write(files);
        source
    }

    fn write(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = self.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
    }

    fn path(&self) -> PathBuf {
        self.scratch.path().join("source")
    }

    fn layout(&self) -> PathBuf {
        self.scratch.path().join("layout")
    }

    fn run(&self, command: &str, more: &[&str]) -> Outcome {
        let path = self.path();
        let mut arguments = vec![command, path.to_str().unwrap()];
        arguments.extend(more);
        Lapstrake::new().run(arguments)
    }

    /// Builds to a layout, with a report, whatever comes of it.
    fn build(&self, more: &[&str]) -> (Outcome, Value) {
        let output = format!("oci:{}:app", self.layout().display());
        let report = self.scratch.path().join("report.json");
        let mut arguments = vec!["--output", &output, "--metadata-file", report.to_str().unwrap()];
        arguments.extend(more);
        let outcome = self.run("build", &arguments);
        let report = serde_json::from_slice(&fs_err::read(report).unwrap()).unwrap();
        (outcome, report)
    }

    /// The image, whose layers are read where this source lives.
    fn image(&self, more: &[&str]) -> Image {
        self.build(more).0.expect(0);
        Image::open(&self.layout(), Some("app"))
    }

    /// The failure of a build that must not come off: its words, and the same in the report.
    fn failure(&self, code: i32, class: &str, more: &[&str]) -> String {
        let (outcome, report) = self.build(more);
        let stderr = outcome.expect(code).stderr;
        assert_eq!(report["success"], false);
        assert_eq!(
            (&report["failure"]["class"], &report["failure"]["exitCode"]),
            (&json!(class), &json!(code))
        );
        let message = report["failure"]["message"].as_str().unwrap();
        assert!(stderr.contains(message), "the report says `{message}`, and standard error {stderr}");
        assert!(!self.layout().join("index.json").exists(), "something was written");
        stderr
    }
}

/// An app file for Python with these build commands and lines below `run:`.
fn python(build: &[&str], run: &str) -> String {
    let items: Vec<String> = build.iter().map(|command| format!("\n      - {command}")).collect();
    let items = items.concat();
    let items = if items.is_empty() { " []".to_owned() } else { items };
    format!("version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:{items}\nrun:\n{run}")
}

fn lines(image: &Image, path: &str) -> Option<usize> {
    let files = image.files();
    let file = files.get(path)?;
    Some(String::from_utf8(file.bytes.clone()).unwrap().lines().count())
}

// row 7, row 8
#[test]
fn the_build_runs_once_or_twice_and_what_it_left_outside_of_app_is_kept_or_not() {
    let build = ["mkdir -p /opt && echo built >> /opt/build.txt", "echo built >> build.txt"];
    let run = "  pre-run:\n    - cp /opt/build.txt seen.txt || touch seen.txt\n    - mkdir -p /opt && echo ran >> /opt/pre-run.txt\n  command: python3 -V\n";
    let source = Source::new(&[("apprunner.yaml", &python(&build, run))]);
    for (options, outside, below, seen) in [
        (&[][..], Some(1), 1, 1),
        (&["--repeat-build"], Some(2), 2, 2),
        (&["--keep", "app"], None, 1, 0),
        // The managed service's original build.
        (&["--keep", "app", "--repeat-build"], Some(1), 2, 1),
    ] {
        let image = source.image(options);
        assert_eq!(lines(&image, "opt/build.txt"), outside, "{options:?}");
        assert_eq!(lines(&image, "app/build.txt"), Some(below), "{options:?}");
        assert_eq!(lines(&image, "app/seen.txt"), Some(seen), "{options:?}");
        assert_eq!(lines(&image, "opt/pre-run.txt"), Some(1), "{options:?}");
        fs_err::remove_dir_all(source.layout()).unwrap();
    }
    let plan = source.run("plan", &["--keep", "app", "--repeat-build"]).expect(0).stdout;
    assert!(plan.contains("[Build] run again on the tree of the image"), "{plan}");
    assert!(plan.contains("only what lies below /app"), "{plan}");
}

// row 6
#[test]
fn pre_run_works_with_node_too_and_npm_is_there_for_it() {
    let text = "version: 1.0\nruntime: nodejs22\nbuild:\n  commands:\n    build: []\nrun:\n  pre-run:\n    - mkdir -p /opt && npm --version > /opt/npm.txt\n  command: node server.js\n";
    let source = Source::copy("plain-node", &[("apprunner.yaml", text)]);
    let image = source.image(&[]);
    assert_eq!(lines(&image, "opt/npm.txt"), Some(1));
    let has_npm = image.files().keys().any(|path| path.ends_with("node_modules/npm/package.json"));
    assert!(!has_npm, "npm is in an image that does not start with it");
}

// row 32, row 34, scope literal, start signals
#[test]
fn an_app_in_shell_form_gets_its_variables_and_ends_on_sigterm() {
    let text =
        python(&[], "  command: python3 server.py $GREETING\n  env:\n    - {name: GREETING, value: a b}\n");
    let source = Source::copy("plain-python", &[("apprunner.yaml", &text)]);
    let image = source.image(&[]);
    assert_eq!(image.config["config"]["Cmd"], json!(["/bin/sh", "-c", "exec python3 server.py $GREETING"]));
    let bundle = source.scratch.path().join("bundle");
    container::unpack(&source.layout(), "app", &bundle);
    let mut container = Container::start(&bundle);
    assert!(container.get(8080, "/").contains("hello from plain-python"));
    assert!(container.stop().as_secs() < 10, "the shell kept the signal from the app");
}

// row 32, row 33, start exec, start shell, start forced
#[test]
fn the_start_command_of_the_image_has_the_form_that_its_text_needs() {
    let cmd = |command: &str, more: &[&str]| {
        let source = Source::new(&[("apprunner.yaml", &python(&[], &format!("  command: {command}\n")))]);
        let mut arguments = vec!["--format", "json"];
        arguments.extend(more);
        let outcome = source.run("plan", &arguments).expect(0);
        let plan: Value = serde_json::from_str(&outcome.stdout).unwrap();
        (plan["run"]["cmd"].clone(), plan["start"].as_str().unwrap().to_owned(), outcome.stderr)
    };
    let shell = |line: &str| json!(["/bin/sh", "-c", line]);
    for (command, options, expected, reason) in [
        ("python3 'my app.py'", &[][..], json!(["python3", "my app.py"]), "nothing in it needs a shell"),
        ("python3 app.py $PORT", &[], shell("exec python3 app.py $PORT"), "`$PORT` needs a shell"),
        ("|\n    a\n    exec b", &[], shell("a\nexec b"), "the second line needs a shell"),
        (
            "[python3, my app.py, $PORT]",
            &[],
            json!(["python3", "my app.py", "$PORT"]),
            "it is a list, taken as given",
        ),
        (
            "python3 'my app.py' $PORT",
            &["--shell", "never"],
            json!(["python3", "'my", "app.py'", "$PORT"]),
            "the form was asked for",
        ),
        ("python3 app.py", &["--shell", "always"], shell("exec python3 app.py"), "the form was asked for"),
    ] {
        let (found, why, _) = cmd(command, options);
        assert_eq!((found, why.as_str()), (expected, reason), "{command}");
    }
    let (_, _, said) = cmd("python3 'my app.py' $PORT", &["--shell", "never"]);
    for literal in ["`$PORT`", "`'`"] {
        let warning = format!("warning: there is no shell: {literal} reaches the program as it is");
        assert!(said.contains(&warning), "{said}");
    }
}

// row 11, scope secrets, reference stored
#[test]
fn references_to_secrets_are_recorded_and_nothing_is_resolved() {
    let run = "  command: python3 -V\n  secrets:\n    - name: DB_PASSWORD\n      value-from: prod/db\n    - name: API_KEY\n      value-from: 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:api-AbCdEf:key::'\n";
    let source = Source::new(&[("apprunner.yaml", &python(&[], run))]);
    let (outcome, report) = source.build(&[]);
    outcome.expect(0);
    let expected = json!({
        "DB_PASSWORD": "prod/db",
        "API_KEY": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:api-AbCdEf:key::",
    });
    assert_eq!(report["secrets"], expected);
    let image = Image::open(&source.layout(), Some("app"));
    assert_eq!(image.config["config"]["Labels"]["dev.lapstrake.run.secrets"], "API_KEY,DB_PASSWORD");
    assert!(!image.config.to_string().contains("prod/db"), "a reference is in the config");
    assert!(!image.env().contains_key("DB_PASSWORD"));
}

// row 9, row 12, scope catalog, scope build-env, scope run-env, scope port, port default, port variables,
// port health
#[test]
fn build_commands_see_the_build_variables_alone_and_the_image_those_of_the_run() {
    let build = ["env > build.txt"];
    let run = "  pre-run:\n    - env > pre-run.txt\n  command: python3 -V\n  network:\n    port: 3000\n    env: APP_PORT\n  env:\n    - {name: RUN_WORD, value: keel}\n";
    let text =
        python(&build, run).replace("\nrun:\n", "\n  env:\n    - {name: BUILD_WORD, value: plank}\nrun:\n");
    let source = Source::new(&[("apprunner.yaml", &text)]);
    let image = source.image(&[]);
    let files = image.files();
    for name in ["app/build.txt", "app/pre-run.txt"] {
        let seen = String::from_utf8(files[name].bytes.clone()).unwrap();
        assert!(seen.contains("BUILD_WORD=plank") && seen.contains("LANG="), "{name}: {seen}");
        for absent in ["RUN_WORD=", "PORT=", "APP_PORT="] {
            assert!(!seen.lines().any(|line| line.starts_with(absent)), "{name}: {seen}");
        }
    }
    let env = image.env();
    assert_eq!(
        (env["PORT"].as_str(), env["APP_PORT"].as_str(), env["RUN_WORD"].as_str()),
        ("3000", "3000", "keel")
    );
    assert!(!env.contains_key("BUILD_WORD") && env.contains_key("LANG"));
    assert!(!image.config.to_string().contains("plank"));
    assert_eq!(image.config["config"]["ExposedPorts"], json!({ "3000/tcp": {} }));
    assert!(image.config["config"]["Healthcheck"].is_null());
}

// row 29, row 47
#[test]
fn the_whole_repository_is_in_the_image_and_commands_run_in_the_directory_of_the_app() {
    let text = python(&["pwd > where.txt", "test -f ../shared/lib.txt"], "  command: python3 -V\n");
    let source = Source::new(&[("web/apprunner.yaml", &text), ("shared/lib.txt", "x")]);
    let image = source.image(&["--source-dir", "/web"]);
    let files = image.files();
    assert_eq!(files["app/web/where.txt"].bytes, b"/app/web\n");
    assert!(files.contains_key("app/shared/lib.txt"));
    assert_eq!(image.config["config"]["WorkingDir"], "/app/web");
}

// error E1
#[test]
fn without_an_app_file_and_without_anything_that_tells_the_search_is_described() {
    let source = Source::new(&[("README", "nothing")]);
    let said = source.failure(2, "not-understood", &[]);
    assert!(said.contains("apprunner.yaml") && said.contains("requirements.txt"), "{said}");

    let source = Source::new(&[("apprunner.yml", &python(&[], "  command: a\n"))]);
    let said = source.failure(2, "not-understood", &[]);
    assert!(said.contains("`apprunner.yaml` not found in the root of the source"), "{said}");
    assert!(said.contains("hint: rename `apprunner.yml` to `apprunner.yaml`"), "{said}");

    let source = Source::new(&[("web/apprunner.yaml", &python(&[], "  command: a\n"))]);
    let said = source.failure(2, "not-understood", &[]);
    assert!(said.contains("hint: `web` has one: name it with `--source-dir`"), "{said}");
}

// validation runtime, lock R9, error E2
#[test]
fn an_unknown_runtime_or_version_is_refused_at_its_place_with_what_exists() {
    let file = python(&[], "  command: a\n  runtime-version: 3.10\n");
    let said = Source::new(&[("apprunner.yaml", &file)]).failure(2, "not-understood", &[]);
    assert!(
        said.contains("apprunner.yaml:8:20: error: the catalog has no version `3.10` of `python3`"),
        "{said}"
    );
    assert!(said.contains("8 |   runtime-version: 3.10\n  |                    ^^^^"), "{said}");
    assert!(said.contains("`3.13."), "{said}");

    let file = python(&[], "  command: a\n").replace("python3", "python3.11");
    let said = Source::new(&[("apprunner.yaml", &file)]).failure(2, "not-understood", &[]);
    assert!(
        said.contains("apprunner.yaml:2:10: error: runtime `python3.11` is not in the catalog"),
        "{said}"
    );
    assert!(said.contains("hint: did you mean `python311`?"), "{said}");

    let file = python(&[], "  command: a\n").replace("python3", "nodejs20");
    let said = Source::new(&[("apprunner.yaml", &file)]).failure(2, "not-understood", &[]);
    assert!(said.contains("is end of life since 2026-04-30"), "{said}");
    assert!(said.contains("move to `runtime: nodejs22`") && said.contains("--allow-eol nodejs20-"), "{said}");
}

// row 54, row 55, row 56, error E3
#[test]
fn a_failing_command_is_named_with_its_phase_its_number_its_line_and_both_streams() {
    let build = ["echo fine", "echo out; echo the-fault >&2; seq 100; exit 3"];
    let source = Source::new(&[("apprunner.yaml", &python(&build, "  command: a\n"))]);
    let said = source.failure(1, "app-failed", &[]);
    assert!(said.contains("[Build] $ echo fine\n[Build] fine\n"), "{said}");
    let line = "error: [Build] command 2 of 2 failed: exit code 3 (apprunner.yaml:7): `echo out; echo the-fault >&2; seq 100; exit 3`";
    assert!(said.contains(line), "{said}");
    let last = said.split("its last lines:").nth(1).unwrap();
    assert!(
        last.contains("\n  the-fault\n") && last.contains("\n  100\n") && !last.contains("\n  out\n"),
        "{said}"
    );

    let text = python(&["kill -9 $$"], "  command: a\n");
    let said = Source::new(&[("apprunner.yaml", &text)]).failure(1, "app-failed", &[]);
    assert!(said.contains("[Build] command 1 of 1 failed: ") && said.contains("signal 9"), "{said}");
}

#[test]
fn a_program_of_the_start_command_that_is_not_in_the_image_is_told_when_it_is_built() {
    let said = |start: &str| {
        let command = "mkdir -p bin && printf '#!/bin/sh\\n' > bin/serve && chmod +x bin/serve";
        let text = python(&[command], &format!("  command: {start}\n"));
        let (outcome, _) = Source::new(&[("apprunner.yaml", &text)]).build(&[]);
        outcome.expect(0).stderr
    };
    let warning = "warning: the start command names ";
    assert!(said("bash start.sh").contains(&format!("{warning}`bash`, which is not in the image")));
    assert!(said("python3 app.py && ./bin/sevre").contains(&format!("{warning}`./bin/sevre`")));
    assert!(!said("python3 -V && exec ./bin/serve").contains(warning));
}

// row 54, error E3
#[test]
fn every_phase_has_its_prefix_and_stops_at_the_first_command_that_fails() {
    let phases = |failing: &str| {
        let fail = |phase: &str| if phase == failing { "false" } else { "echo done" };
        let text = format!(
            "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    pre-build: [{}]\n    build: [{}]\n    post-build: [{}]\nrun:\n  pre-run: [{}, echo not-reached]\n  command: a\n",
            fail("PreBuild"),
            fail("Build"),
            fail("PostBuild"),
            fail("PreRun")
        );
        Source::new(&[("apprunner.yaml", &text)]).failure(1, "app-failed", &[])
    };
    let order = ["PreBuild", "Build", "PostBuild", "PreRun"];
    for (place, failing) in order.iter().enumerate() {
        let said = phases(failing);
        assert!(said.contains(&format!("error: [{failing}] command 1 of ")), "{said}");
        for before in &order[..place] {
            assert!(said.contains(&format!("[{before}] $ echo done\n[{before}] done\n")), "{said}");
        }
        for after in &order[place + 1..] {
            assert!(!said.contains(&format!("[{after}] ")), "{said}");
        }
        assert!(!said.contains("[PreRun] not-reached"), "{said}");
    }
}

// row 52, row 53, error E4
#[test]
fn a_file_that_is_wrong_in_many_ways_is_refused_at_once_and_before_any_work() {
    let text = "version: 2.0\nruntime: python3\nbuild:\n  comands:\n    build: [echo built]\nrun:\n  port: 80\n  command: node 'a\n";
    let said = Source::new(&[("apprunner.yaml", text)]).failure(2, "not-understood", &[]);
    for expected in [
        "apprunner.yaml:1:10: error: version `2.0` of the file's format is not known",
        "apprunner.yaml:4:3: error: unknown key `comands`",
        "hint: write `commands`",
        "apprunner.yaml:7:3: error: `port` does not belong here",
        "hint: it belongs to `run.network.port`",
        "apprunner.yaml:8:12: error: `'` is not closed in the start command",
    ] {
        assert!(said.contains(expected), "`{expected}` is not in {said}");
    }
    assert!(!said.contains("[Build]") && !said.contains("missing"), "{said}");
}

// error E6
#[test]
fn an_app_that_stops_is_reported_with_its_exit_code_and_its_output() {
    let text = python(&[], "  command: python3 -c 'import sys; print(\"the last words\"); sys.exit(4)'\n");
    let outcome = Source::new(&[("apprunner.yaml", &text)]).run("run", &["--port", "0"]);
    let said = outcome.expect(1).stderr;
    assert!(
        said.contains("[app] the last words") && said.contains("error: the app stopped: exit code 4"),
        "{said}"
    );
}

// row 19, quirk 25, engines 4, engines 5, error E7
#[test]
fn engines_that_contradict_the_app_file_are_refused_with_both_places() {
    let file = |run: &str| {
        format!(
            "version: 1.0\nruntime: nodejs22\nbuild:\n  commands:\n    build: []\nrun:\n  command: node .\n{run}"
        )
    };
    let package = "{\n  \"engines\": { \"node\": \">=24\" }\n}\n";
    let source = Source::new(&[("apprunner.yaml", &file("")), ("package.json", package)]);
    let said = source.failure(2, "not-understood", &[]);
    let expected = "apprunner.yaml:2:10: error: no version of `nodejs22` satisfies `engines.node`, which asks for `>=24`, at package.json:2:24";
    assert!(said.contains(expected), "{said}");
    assert!(said.contains("hint: `runtime: nodejs24` satisfies both"), "{said}");

    source.write(&[("apprunner.yaml", &file("  runtime-version: 22\n"))]);
    let said = source.failure(2, "not-understood", &[]);
    assert!(said.contains("apprunner.yaml:8:20: error: `nodejs22 22` gives `nodejs22-22."), "{said}");
    assert!(said.contains("but `engines.node` asks for `>=24`, at package.json:2:24"), "{said}");
}

// engines other
#[test]
fn a_package_json_beside_a_python_app_does_not_matter() {
    let text = python(&[], "  command: python3 -V\n");
    let source = Source::new(&[("apprunner.yaml", &text), ("package.json", "{ this is not JSON")]);
    source.run("plan", &[]).expect(0);
}

// lock R2, lock moved
#[test]
fn a_tag_that_moves_to_another_minor_of_python_is_warned_about() {
    let registry = Registry::start();
    let text = python(&[], "  command: python3 -V\n");
    let source = Source::new(&[("apprunner.yaml", &text)]);
    let reference = registry.reference("team/moving:1");
    let push = |more: &[&str]| {
        let mut arguments = vec!["--tag", &reference];
        arguments.extend(more);
        source.run("build", &arguments).expect(0).stderr
    };
    let warning = format!("warning: `{reference}` had Python 3.11 and gets 3.13: ");
    assert!(!push(&["--runtime-version", "3.11"]).contains("had Python"));
    assert!(push(&[]).contains(&warning));
    assert!(!push(&[]).contains("had Python"));
    assert!(!push(&["--runtime-version", "3.11"]).contains("had Python"), "the move was asked for");
}

// row 60
#[test]
fn an_image_that_is_larger_than_allowed_is_refused_with_the_size_of_each_layer() {
    let text = python(&[], "  command: python3 -V\n");
    let source = Source::new(&[("apprunner.yaml", &text)]);
    let (outcome, report) = source.build(&["--max-size", "3GB"]);
    let said = outcome.expect(0).stderr;
    let layers = report["images"][0]["layers"].as_array().unwrap();
    assert!(said.contains(&format!(" in {} layers: ", layers.len())), "{said}");
    fs_err::remove_dir_all(source.layout()).unwrap();

    let said = source.failure(1, "app-failed", &["--max-size", "1MB"]);
    assert!(said.contains("more than the limit of 1.00 MB: "), "{said}");
    for layer in layers {
        assert!(said.contains(&format!("{} ", layer["role"].as_str().unwrap())), "{said}");
    }
    let said = source.run("build", &["--max-size", "huge"]).expect(2).stderr;
    assert!(said.contains("`huge` is not a size"), "{said}");
}

// row 17, row 35, lock recorded
#[test]
fn the_report_and_the_labels_say_which_runtime_was_taken_and_why() {
    let text = python(&[], "  command: python3 -V\n  runtime-version: 3.13\n");
    let source = Source::new(&[("apprunner.yaml", &text)]);
    let (outcome, report) = source.build(&[]);
    let said = outcome.expect(0).stderr;
    let runtime = &report["runtime"];
    let entry = runtime["entry"].as_str().unwrap();
    assert!(entry.starts_with("python3-3.13."), "{runtime}");
    assert_eq!((&runtime["request"], &runtime["catalog"]), (&json!("python3 3.13"), &json!("local")));
    let why = "the version is locked to `3.13`";
    assert!(runtime["reason"].as_str().unwrap().contains(why) && said.contains(why), "{runtime}\n{said}");
    let image = Image::open(&source.layout(), Some("app"));
    let labels = &image.config["config"]["Labels"];
    assert_eq!(labels["dev.lapstrake.runtime.id"], entry);
    assert_eq!(labels["dev.lapstrake.runtime.request"], "python3 3.13");
    assert_eq!(labels["dev.lapstrake.catalog.revision"], runtime["revision"].to_string());
    // What the app needs of the layers below is said once: it may be long.
    let mut annotated = labels.as_object().unwrap().clone();
    assert_eq!(annotated.remove("dev.lapstrake.needs").unwrap(), r#"{"schema":1,"files":[]}"#);
    assert_eq!(image.manifest["annotations"], Value::from(annotated));
}

// row 21
#[test]
fn the_catalog_lists_its_entries_and_shows_one_with_its_packages() {
    let lapstrake = Lapstrake::new();
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_str(&lapstrake.run(arguments).expect(0).stdout).unwrap()
    };
    let list = lapstrake.run(["catalog", "list"]).expect(0).stdout;
    for words in ["python3-3.13.", "nodejs22-22.", "active", "2030-06-30"] {
        assert!(list.contains(words), "`{words}` is not in {list}");
    }
    let entries = json(&["catalog", "list", "--format", "json"]);
    assert!(entries.to_string().contains("nodejs24-24."), "{entries}");
    let shown = lapstrake.run(["catalog", "show", "python3@3.13", "--packages"]).expect(0).stdout;
    for words in ["python3-3.13.", "debian13", "libc6"] {
        assert!(shown.contains(words), "`{words}` is not in {shown}");
    }
    let refused = lapstrake.run(["catalog", "show", "python3@3.8"]).expect(2).stderr;
    assert!(refused.contains("3.8") && refused.contains("3.13"), "{refused}");
}
