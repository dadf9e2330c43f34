//! Options and variables that replace or add to single values of the app file, and where the plan says that each
//! value came from.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Image, Lapstrake, Outcome, workspace};

const FILE: &str = "\
version: 1.0
runtime: python3
build:
  commands:
    pre-build:
      - echo pre
    build:
      - echo one
      - echo two
  env:
    - name: MODE
      value: file
run:
  runtime-version: 3.13
  command: python3 server.py
  network:
    port: 8000
  env:
    - name: A
      value: file
    - name: B
      value: file
  secrets:
    - name: DB
      value-from: db-parameter
";

/// A source with an app file.
struct App {
    scratch: tempfile::TempDir,
}

impl App {
    fn new(text: &str) -> Self {
        let scratch = workspace::scratch();
        fs_err::create_dir(scratch.path().join("source")).unwrap();
        fs_err::write(scratch.path().join("source/apprunner.yaml"), text).unwrap();
        fs_err::write(scratch.path().join("source/server.py"), "").unwrap();
        Self { scratch }
    }

    fn source(&self) -> PathBuf {
        self.scratch.path().join("source")
    }

    fn run(&self, lapstrake: &Lapstrake, more: &[&str]) -> Outcome {
        let source = self.source();
        let mut arguments = vec!["plan", source.to_str().unwrap(), "--format", "json"];
        arguments.extend(more);
        lapstrake.run(arguments)
    }

    fn plan(&self, lapstrake: &Lapstrake, more: &[&str]) -> Value {
        serde_json::from_str(&self.run(lapstrake, more).expect(0).stdout).unwrap()
    }

    fn refusal(&self, more: &[&str]) -> String {
        let outcome = self.run(&Lapstrake::new(), more).expect(2);
        assert_eq!(outcome.stdout, "");
        outcome.stderr
    }
}

fn commands(plan: &Value) -> Vec<[&str; 3]> {
    let steps = plan["steps"].as_array().unwrap().iter();
    steps.map(|step| ["phase", "command", "origin"].map(|key| step[key].as_str().unwrap())).collect()
}

#[test]
fn an_option_for_the_port_counts_for_a_variable_that_repeats_it() {
    let variable = |port: &str| {
        FILE.replace("    - name: A\n", &format!("    - name: PORT\n      value: {port}\n    - name: A\n"))
    };
    let port =
        |text: &str, more: &[&str]| App::new(text).plan(&Lapstrake::new(), more)["run"]["port"].clone();
    assert_eq!(port(&variable("8000"), &["--port=9000"]), 9000);
    assert_eq!(port(&variable("9000"), &["--port=9000"]), 9000);
    let said = App::new(&variable("9000")).refusal(&[]);
    assert!(said.contains("`PORT` holds the port, which is 8000, and cannot be 9000"), "{said}");
}

// row 2, row 3, row 16, lock R8
#[test]
fn every_key_has_an_option_that_replaces_it_and_the_plan_says_so() {
    let app = App::new(FILE);
    let env_file = app.scratch.path().join("more.env");
    fs_err::write(&env_file, "# not this\n\nC=from a file\nA=lost\n").unwrap();
    let options = [
        "--runtime=python314",
        "--runtime-version=3.14",
        "--pre-build-command=echo other",
        "--build-command=echo three",
        "--build-command=echo four",
        "--post-build-command=echo post",
        "--pre-run-command=echo run",
        "--build-env=MODE=option",
        "--command=python3 -m http.server $PORT",
        "--port=9000",
        "--port-env=APP_PORT",
        "--env=A=option",
        "--env-file",
        env_file.to_str().unwrap(),
        "--run-secret=DB=other-parameter",
        "--user=2000:3000",
        "--label=team=web",
        "--annotation=note=x",
    ];
    let plan = app.plan(&Lapstrake::new(), &options);
    assert_eq!(plan["runtime"]["request"], "python314 3.14");
    assert_eq!(
        commands(&plan),
        [
            ["pre-build", "echo other", "--pre-build-command"],
            ["build", "echo three", "--build-command"],
            ["build", "echo four", "--build-command"],
            ["post-build", "echo post", "--post-build-command"],
            ["pre-run", "echo run", "--pre-run-command"],
        ]
    );
    assert_eq!(plan["buildEnv"], json!([["MODE", "option"]]));
    assert_eq!(plan["run"]["cmd"], json!(["/bin/sh", "-c", "exec python3 -m http.server $PORT"]));
    assert_eq!(plan["run"]["port"], 9000);
    let env = [["PORT", "9000"], ["APP_PORT", "9000"], ["A", "option"], ["B", "file"], ["C", "from a file"]];
    assert_eq!(plan["run"]["env"], json!(env));
    assert_eq!(plan["secrets"], json!({"DB": "other-parameter"}));
    assert_eq!(plan["run"]["user"], "2000:3000");
    assert_eq!(plan["run"]["labels"], json!({"team": "web"}));
    assert_eq!(plan["annotations"], json!({"note": "x"}));
    let expected = json!({
        "runtime": "--runtime",
        "runtime-version": "--runtime-version",
        "build-env.MODE": "--build-env",
        "command": "--command",
        "port": "--port",
        "port-env": "--port-env",
        "env.A": "--env",
        "env.B": "apprunner.yaml:22",
        "env.C": format!("{}:3", env_file.display()),
        "run-secret.DB": "--run-secret",
        "user": "--user",
        "label.team": "--label",
        "annotation.note": "--annotation",
    });
    assert_eq!(plan["origins"], expected);
}

#[test]
fn without_options_every_value_comes_from_its_line_or_is_the_default() {
    let plan = App::new(FILE).plan(&Lapstrake::new(), &[]);
    let origins = &plan["origins"];
    for (name, origin) in [
        ("runtime", "apprunner.yaml:2"),
        ("runtime-version", "apprunner.yaml:14"),
        ("command", "apprunner.yaml:15"),
        ("port", "apprunner.yaml:17"),
        ("env.A", "apprunner.yaml:20"),
        ("build-env.MODE", "apprunner.yaml:12"),
        ("run-secret.DB", "apprunner.yaml:25"),
        ("user", "default"),
    ] {
        assert_eq!(origins[name], origin, "{name}");
    }
    assert_eq!(
        commands(&plan),
        [
            ["pre-build", "echo pre", "apprunner.yaml:6"],
            ["build", "echo one", "apprunner.yaml:8"],
            ["build", "echo two", "apprunner.yaml:9"],
        ]
    );
}

#[test]
fn each_option_has_a_variable_and_the_option_wins() {
    let app = App::new(FILE);
    let env_file = app.scratch.path().join("more.env");
    fs_err::write(&env_file, "D=file").unwrap();
    let lapstrake = Lapstrake::new()
        .with("LAPSTRAKE_RUNTIME", "python3")
        .with("LAPSTRAKE_RUNTIME_VERSION", "3.14")
        .with("LAPSTRAKE_PRE_BUILD_COMMAND", "echo pre-variable")
        .with("LAPSTRAKE_BUILD_COMMAND", "echo five\necho six\n")
        .with("LAPSTRAKE_POST_BUILD_COMMAND", "echo post-variable")
        .with("LAPSTRAKE_PRE_RUN_COMMAND", "echo run-variable")
        .with("LAPSTRAKE_BUILD_ENV", "MODE=variable\nMORE=1")
        .with("LAPSTRAKE_COMMAND", "python3 other.py")
        .with("LAPSTRAKE_PORT", "7000")
        .with("LAPSTRAKE_PORT_ENV", "WEB_PORT")
        .with("LAPSTRAKE_ENV", "A=variable\nC=variable")
        .with("LAPSTRAKE_ENV_FILE", &env_file)
        .with("LAPSTRAKE_RUN_SECRET", "DB=variable-parameter")
        .with("LAPSTRAKE_USER", "5000")
        .with("LAPSTRAKE_LABEL", "a=b")
        .with("LAPSTRAKE_ANNOTATION", "c=d");
    let plan = app.plan(&lapstrake, &["--env=C=option", "--build-command=echo seven"]);
    assert_eq!(
        commands(&plan),
        [
            ["pre-build", "echo pre-variable", "LAPSTRAKE_PRE_BUILD_COMMAND"],
            ["build", "echo seven", "--build-command"],
            ["post-build", "echo post-variable", "LAPSTRAKE_POST_BUILD_COMMAND"],
            ["pre-run", "echo run-variable", "LAPSTRAKE_PRE_RUN_COMMAND"],
        ]
    );
    let expected = json!({
        "runtime": "LAPSTRAKE_RUNTIME",
        "runtime-version": "LAPSTRAKE_RUNTIME_VERSION",
        "build-env.MODE": "LAPSTRAKE_BUILD_ENV",
        "build-env.MORE": "LAPSTRAKE_BUILD_ENV",
        "command": "LAPSTRAKE_COMMAND",
        "port": "LAPSTRAKE_PORT",
        "port-env": "LAPSTRAKE_PORT_ENV",
        "env.A": "LAPSTRAKE_ENV",
        "env.B": "apprunner.yaml:22",
        "env.C": "--env",
        "env.D": format!("{}:1", env_file.display()),
        "run-secret.DB": "LAPSTRAKE_RUN_SECRET",
        "user": "LAPSTRAKE_USER",
        "label.a": "LAPSTRAKE_LABEL",
        "annotation.c": "LAPSTRAKE_ANNOTATION",
    });
    assert_eq!(plan["origins"], expected);
    assert_eq!(plan["run"]["user"], "5000:5000");
    let plan = app.plan(&lapstrake, &[]);
    assert_eq!(
        commands(&plan)[1..3],
        [["build", "echo five", "LAPSTRAKE_BUILD_COMMAND"], ["build", "echo six", "LAPSTRAKE_BUILD_COMMAND"],]
    );
}

// row 4
#[test]
fn an_option_names_another_app_file_and_the_directory_of_the_app() {
    let app = App::new("not an app file");
    let other = app.scratch.path().join("staging.yaml");
    fs_err::write(&other, FILE).unwrap();
    fs_err::create_dir(app.source().join("web")).unwrap();
    let plan = app.plan(&Lapstrake::new(), &["--config", other.to_str().unwrap(), "--source-dir", "web"]);
    assert_eq!(plan["run"]["workingDir"], "/app/web");
    assert_eq!(plan["origins"]["config"], "--config");
    assert_eq!(plan["origins"]["source-dir"], "--source-dir");
    assert_eq!(plan["origins"]["port"], format!("{}:17", other.display()));
    let by_variable = Lapstrake::new().with("LAPSTRAKE_CONFIG", &other).with("LAPSTRAKE_SOURCE_DIR", "web");
    let plan = app.plan(&by_variable, &[]);
    assert_eq!(plan["origins"]["config"], "LAPSTRAKE_CONFIG");
    assert_eq!(plan["origins"]["source-dir"], "LAPSTRAKE_SOURCE_DIR");
}

#[test]
fn a_file_may_leave_out_what_options_give() {
    let app = App::new("version: 1.0\n");
    let whole = ["--runtime=python3", "--build-command=true", "--command=python3 server.py"];
    assert_eq!(app.plan(&Lapstrake::new(), &whole)["run"]["port"], 8080);
    for left_out in 0..3 {
        let some: Vec<&str> =
            whole.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, option)| *option).collect();
        assert!(app.refusal(&some).contains("is missing"), "{some:?}");
    }
}

#[test]
fn without_an_app_file_and_anything_to_detect_options_alone_are_enough() {
    let app = App::new(FILE);
    fs_err::remove_file(app.source().join("apprunner.yaml")).unwrap();
    fs_err::rename(app.source().join("server.py"), app.source().join("run.txt")).unwrap();
    let plan = app.plan(&Lapstrake::new(), &["--runtime=python3", "--command=python3 run.txt"]);
    assert_eq!(plan["run"]["cmd"], json!(["python3", "run.txt"]));
    assert_eq!(plan["appFile"], Value::Null);
    for too_little in [&["--runtime=python3"][..], &["--command=python3 run.txt"], &[]] {
        let stderr = app.refusal(too_little);
        assert!(stderr.contains("looked for `apprunner.yaml`"), "{too_little:?}: {stderr}");
    }
}

// row 32
#[test]
fn a_start_command_gets_no_shell_when_none_is_wanted_and_one_when_it_is() {
    let app = App::new(&FILE.replace("python3 server.py", "python3 server.py --port $PORT"));
    let cmd = |shell: &str| app.plan(&Lapstrake::new(), &[shell])["run"]["cmd"].clone();
    assert_eq!(cmd("--shell=auto"), json!(["/bin/sh", "-c", "exec python3 server.py --port $PORT"]));
    assert_eq!(cmd("--shell=never"), json!(["python3", "server.py", "--port", "$PORT"]));
    let without = App::new(FILE);
    let plan = without.plan(&Lapstrake::new(), &["--shell=always"]);
    assert_eq!(plan["run"]["cmd"], json!(["/bin/sh", "-c", "exec python3 server.py"]));
}

#[test]
fn values_that_an_option_cannot_have_are_refused_with_its_name() {
    let app = App::new(FILE);
    for (options, expected) in [
        (&["--port=0"][..], "`--port`: port `0` is not a number from 1 to 65535"),
        (&["--port=http"], "`--port`: port `http`"),
        (&["--env=A"], "`--env`: it must be NAME=VALUE"),
        (&["--env==x"], "`--env`: it must be NAME=VALUE"),
        (&["--env=AWSAPPRUNNER_X=1"], "`--env`: `AWSAPPRUNNER_X` is reserved"),
        (
            &["--env=PORT=1"],
            "`--env`: `PORT` holds the port, which is 8000 (apprunner.yaml:17), and cannot be 1",
        ),
        (&["--run-secret=A=x"], "`A` is a variable (apprunner.yaml:20) and a secret (--run-secret)"),
        (&["--run-secret=PORT=x"], "`PORT` holds the port and cannot be a secret"),
        (&["--run-secret=X="], "`--run-secret`: `value-from` of a secret has 0 characters"),
        (&["--port-env=1x"], "`--port-env`: `1x` cannot be the name"),
        (&["--user=www-data"], "`--user`: `www-data` is no user"),
        (&["--runtime-version=latest"], "`--runtime-version`: "),
        (&["--runtime=ruby3"], "runtime `ruby3` is not in the catalog (--runtime)"),
        (&["--runtime=nodejs22"], "apprunner.yaml:14:20: error: "),
        (&["--command=a 'b"], "(--command)"),
        (&["--label=dev.lapstrake.x=1"], "`--label`: names that begin with `dev.lapstrake.`"),
        (
            &["--annotation=org.opencontainers.image.base.name=x"],
            "`--annotation`: names that begin with `org.opencontainers.image.base.`",
        ),
        (&["--env-file=absent.env"], "could not read the variables in `absent.env`"),
    ] {
        let stderr = app.refusal(options);
        assert!(stderr.contains(expected), "{options:?}: {stderr}");
    }
    let secret = app.refusal(&["--env", "NAME WITHOUT VALUE hunter2"]);
    assert!(!secret.contains("hunter2"), "{secret}");
}

#[test]
fn a_file_of_variables_is_refused_with_the_line() {
    let app = App::new(FILE);
    let env_file = app.scratch.path().join("bad.env");
    fs_err::write(&env_file, "\u{feff}GOOD=1\r\n# c\r\nBAD hunter2\r\n").unwrap();
    let stderr = app.refusal(&["--env-file", env_file.to_str().unwrap()]);
    assert!(stderr.contains("bad.env:3`: it must be NAME=VALUE") && !stderr.contains("hunter2"), "{stderr}");
}

// row 30, row 34, row 35
#[test]
fn what_options_give_is_in_the_image() {
    let app = App::new(
        &FILE
            .replace("    pre-build:\n      - echo pre\n", "")
            .replace("    build:\n      - echo one\n      - echo two\n", "    build: []\n"),
    );
    let source = app.source();
    let layout = app.scratch.path().join("layout");
    let output = format!("oci:{}:1", layout.display());
    Lapstrake::new()
        .run([
            "build",
            source.to_str().unwrap(),
            "--output",
            &output,
            "--env=A=option",
            "--port=9000",
            "--user=2000:3000",
            "--label=team=web",
            "--label=org.opencontainers.image.created=then",
            "--annotation=note=x",
            "--annotation=org.opencontainers.image.created=now",
        ])
        .expect(0);
    let image = Image::open(&layout, Some("1"));
    image.check();
    let config = &image.config["config"];
    assert_eq!(config["User"], "2000:3000");
    assert_eq!(config["Labels"]["team"], "web");
    // Both count before what would be there without them.
    assert_eq!(config["Labels"]["org.opencontainers.image.created"], "then");
    assert_eq!(image.manifest["annotations"]["org.opencontainers.image.created"], "now");
    assert_eq!(config["ExposedPorts"], json!({"9000/tcp": {}}));
    let env = image.env();
    assert_eq!(["A", "B", "PORT"].map(|name| env[name].as_str()), ["option", "file", "9000"]);
    assert_eq!(image.manifest["annotations"]["note"], "x");
    assert!(image.manifest["annotations"].get("team").is_none(), "a label is no annotation");
    assert_eq!(owner_of(&image, "app/server.py"), (2000, 3000));
    assert_ne!(owner_of(&image, "usr/bin/env"), (2000, 3000));
}

/// The owner of a path in the layers of an image.
fn owner_of(image: &Image, path: &str) -> (u64, u64) {
    for place in (0..image.layers().len()).rev() {
        let bytes = image.tar(place);
        let mut archive = tar::Archive::new(bytes.as_slice());
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            if entry.path().unwrap() == Path::new(path) {
                return (entry.header().uid().unwrap(), entry.header().gid().unwrap());
            }
        }
    }
    panic!("`{path}` is not in the image");
}
