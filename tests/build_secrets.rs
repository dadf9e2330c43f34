//! Secrets of the build: commands use them, and nothing that is left afterwards shows them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::apps::pull;
use crate::harness::{Image, Lapstrake, Outcome, PackageIndex, Registry, workspace};

/// One test's place: a source, a value that is nowhere else, a registry, and all that a build can leave.
struct Bench {
    scratch: tempfile::TempDir,
    registry: Registry,
    value: String,
}

impl Bench {
    fn new(name: &str) -> Self {
        let scratch = workspace::scratch();
        fs_err::create_dir(scratch.path().join("source")).unwrap();
        fs_err::write(scratch.path().join("source/server.py"), "").unwrap();
        // It looks different in every notation.
        let value = format!("{name}:s3cr3t/\"value\"+{}==", std::process::id());
        Self { scratch, registry: Registry::start(), value }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Writes the app file: the commands of each phase, one script each.
    fn commands(&self, phases: &[(&str, &str)]) {
        let list = |phase: &str, indent: &str| -> String {
            let scripts = phases.iter().filter(|(name, _)| *name == phase);
            let items: Vec<String> = scripts.map(|(_, script)| json!(script).to_string()).collect();
            format!("{indent}{phase}: [{}]\n", items.join(", "))
        };
        let build: String = ["pre-build", "build", "post-build"].map(|phase| list(phase, "      ")).concat();
        let run = format!("run:\n  command: python3 server.py\n{}", list("pre-run", "  "));
        let text = format!("version: 1.0\nruntime: python3\nbuild:\n  commands:\n{build}{run}");
        self.write("apprunner.yaml", &text);
    }

    fn write(&self, name: &str, text: &str) {
        fs_err::write(self.path("source").join(name), text).unwrap();
    }

    fn lapstrake(&self) -> Lapstrake {
        Lapstrake::new().with("TOKEN", &self.value)
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let layout = format!("oci:{}", self.path("layout").display());
        let (source, report) = (self.path("source"), self.path("report.json"));
        let reference = self.registry.reference("secret/app:1");
        let words = ["build", source.to_str().unwrap(), "--tag", &reference, "--output", &layout];
        let report = ["--metadata-file", report.to_str().unwrap()];
        words.iter().chain(&report).chain(more).map(|word| (*word).to_owned()).collect()
    }

    fn build(&self, more: &[&str]) -> Outcome {
        self.lapstrake().run(self.arguments(more))
    }

    fn report(&self) -> String {
        fs_err::read_to_string(self.path("report.json")).unwrap()
    }

    fn image(&self) -> Image {
        let layout = self.path("pulled");
        pull(&self.registry.reference("secret/app:1"), &layout);
        Image::open(&layout, Some("app"))
    }

    /// Nothing went anywhere, and the report says whose fault it was.
    fn went_nowhere(&self, outcome: &Outcome) {
        assert_eq!(outcome.stdout, "");
        assert_eq!(self.registry.repositories(), Vec::<String>::new());
        assert!(!self.path("layout").exists());
        let report: Value = serde_json::from_str(&self.report()).unwrap();
        assert_eq!(
            (report["success"].as_bool(), report["failure"]["class"].as_str()),
            (Some(false), Some("app-failed"))
        );
    }

    /// The notations of the value that a text could hold.
    fn notations(&self) -> Vec<String> {
        let quoted = json!(self.value).to_string();
        let digits: Vec<String> = self.value.bytes().map(|byte| format!("{byte:02x}")).collect();
        let hex = digits.concat();
        vec![self.value.clone(), quoted[1..quoted.len() - 1].to_owned(), STANDARD.encode(&self.value), hex]
    }

    fn shown_in(&self, text: &str) -> Vec<String> {
        self.notations().into_iter().filter(|notation| text.contains(notation)).collect()
    }

    /// Files below a directory that hold the value.
    fn kept_in(&self, directory: &Path) -> Vec<String> {
        let mut grep = Command::new("grep");
        grep.args(["--recursive", "--text", "--files-with-matches", "--fixed-strings", "--no-messages"]);
        for notation in self.notations() {
            grep.args(["--regexp", &notation]);
        }
        let output = grep.arg(directory).output().unwrap();
        // Other tests come and go in the data directory, so files that are gone are no failure.
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    fn left_no_trace(&self, outcome: &Outcome) {
        for text in [&outcome.stdout, &outcome.stderr, &self.report()] {
            assert_eq!(self.shown_in(text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(self.kept_in(Lapstrake::new().data()), Vec::<String>::new());
        assert_eq!(self.kept_in(self.scratch.path()), Vec::<String>::new());
    }
}

/// Everything of an image that somebody who pulls it can read.
fn texts(image: &Image) -> String {
    let layers =
        (0..image.layers().len()).map(|place| String::from_utf8_lossy(&image.tar(place)).into_owned());
    [image.manifest.to_string(), image.config.to_string()].into_iter().chain(layers).collect()
}

// row 10, reference build
#[test]
fn a_secret_is_used_as_a_file_and_as_a_variable_and_shows_nowhere() {
    let bench = Bench::new("used");
    bench.commands(&[(
        "build",
        "set -ex; test \"$(cat /run/secrets/TOKEN)\" = \"$TOKEN\"; stat -c '%a %u' /run/secrets/TOKEN
         ! echo x 2>/dev/null >/run/secrets/TOKEN
         echo \"the token is $TOKEN\"; echo \"$TOKEN\" >&2; base64 /run/secrets/TOKEN; env
         printf %s \"$TOKEN\" | sha256sum | cut -c1-64 >digest.txt",
    )]);
    let digest = crate::harness::image::digest_of(bench.value.as_bytes());
    for progress in ["plain", "json"] {
        let outcome = bench.build(&["--secret", "id=TOKEN,variable", "--progress", progress]).expect(0);
        assert!(outcome.stderr.contains("the token is ***"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("400 1000"), "{}", outcome.stderr);
        bench.left_no_trace(&outcome);
        let report: Value = serde_json::from_str(&bench.report()).unwrap();
        let phases = ["pre-build", "build", "post-build", "pre-run"];
        assert_eq!(report["buildSecrets"], json!([{"id": "TOKEN", "phases": phases, "variable": "TOKEN"}]));
        let image = bench.image();
        assert_eq!(bench.shown_in(&texts(&image)), Vec::<String>::new());
        assert!(!image.env().contains_key("TOKEN"));
        assert!(!image.files().keys().any(|path| path.starts_with("run/secrets")));
        let written = &image.files()["app/digest.txt"].bytes;
        assert_eq!(format!("sha256:{}", String::from_utf8_lossy(written).trim()), digest);
    }
    println!(
        "figure PRV-05: 0 of {} notations of a secret in the layers, the config, the log, the report, the registry and the \
         caches",
        bench.notations().len()
    );
}

#[test]
fn the_search_for_traces_finds_each() {
    let bench = Bench::new("planted");
    let data = bench.path("data");
    for (number, notation) in bench.notations().iter().enumerate() {
        fs_err::create_dir_all(&data).unwrap();
        let file = data.join(number.to_string());
        fs_err::write(&file, format!("\0x{notation}x")).unwrap();
        assert_eq!(bench.kept_in(&data), [file.to_str().unwrap()]);
        assert_eq!(bench.shown_in(&format!("x{notation}x")), std::slice::from_ref(notation));
        fs_err::remove_file(file).unwrap();
    }
    assert_eq!(bench.kept_in(&data), Vec::<String>::new());
}

// row 10, reference build
#[test]
fn only_the_commands_of_the_named_phases_see_a_secret() {
    let bench = Bench::new("phases");
    let script = |phase: &str| {
        format!(
            "for n in TOKEN OTHER; do [ -e /run/secrets/$n ] && echo {phase} file $n; done
             [ -n \"$TOKEN\" ] && echo {phase} variable TOKEN; [ -n \"$O\" ] && echo {phase} variable O; true"
        )
    };
    let phases = ["pre-build", "build", "post-build", "pre-run"];
    let mut scripts: Vec<(&str, String)> = phases.iter().map(|phase| (*phase, script(phase))).collect();
    // What one phase leaves running must not see what the next one has.
    let left =
        "(while sleep 0.1; do cat /run/secrets/TOKEN && echo pre-build saw it; done) 2>/dev/null & true";
    scripts.insert(1, ("pre-build", left.to_owned()));
    scripts.push(("build", "sleep 0.5; echo slept".to_owned()));
    bench.commands(&scripts.iter().map(|(phase, script)| (*phase, script.as_str())).collect::<Vec<_>>());
    let outcome = bench
        .lapstrake()
        .with("OTHER", "another-secret-value")
        .run(bench.arguments(&[
            "--secret",
            "id=TOKEN,variable,phases=build",
            "--secret",
            "id=OTHER,variable=O,phases=pre-run+post-build",
        ]))
        .expect(0);
    let said: Vec<&str> = outcome
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.split_once("] "))
        .map(|(_, text)| text)
        .filter(|text| !text.starts_with('$') && phases.iter().any(|phase| text.starts_with(phase)))
        .collect();
    let expected = [
        "build file TOKEN",
        "build variable TOKEN",
        "post-build file OTHER",
        "post-build variable O",
        "pre-run file OTHER",
        "pre-run variable O",
    ];
    assert_eq!(said, expected, "{}", outcome.stderr);
}

// row 10
#[test]
fn a_secret_in_what_the_image_would_hold_is_refused_with_the_name_of_the_file() {
    let bench = Bench::new("leaks");
    for (script, place) in [
        ("echo \"key: $TOKEN\" >config.yaml", "app/config.yaml holds secret `TOKEN`"),
        ("base64 -w0 /run/secrets/TOKEN >b64", "app/b64 holds secret `TOKEN` in base64"),
        (
            "cp /run/secrets/TOKEN $(python3 -c 'import site; print(site.getsitepackages()[0])')/t.py",
            "/t.py holds",
        ),
        (
            "python3 -c 'import os, json; json.dump(os.environ[\"TOKEN\"], open(\"x.json\", \"w\"))'",
            "app/x.json holds",
        ),
        ("ln -s \"/x/$TOKEN\" link", "app/link holds secret `TOKEN`"),
        (
            "mkdir -p node_modules/x; cat /run/secrets/TOKEN /dev/zero | head -c 9000000 >node_modules/x/big",
            "big holds",
        ),
    ] {
        bench.commands(&[("build", script)]);
        let outcome = bench.build(&["--secret", "id=TOKEN,variable"]).expect(1);
        assert!(outcome.stderr.contains(place), "{script}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("hint: "), "{}", outcome.stderr);
        bench.went_nowhere(&outcome);
        bench.left_no_trace(&outcome);
    }
    // The same is no harm where it is thrown away.
    bench.commands(&[
        ("build", "cp /run/secrets/TOKEN /tmp/x; cp /run/secrets/TOKEN removed; rm removed; cp /run/secrets/TOKEN .git"),
        ("post-build", "cp /run/secrets/TOKEN discarded"),
    ]);
    let outcome = bench.build(&["--secret", "id=TOKEN"]).expect(0);
    bench.left_no_trace(&outcome);
    assert_eq!(bench.shown_in(&texts(&bench.image())), Vec::<String>::new());
}

#[test]
fn a_secret_in_a_label_or_a_variable_of_the_image_is_refused() {
    let bench = Bench::new("documents");
    bench.commands(&[("build", "true")]);
    let label = format!("note={}", bench.value);
    let variable = format!("KEY={}", bench.value);
    for more in [["--label", &label], ["--annotation", &label], ["--env", &variable]] {
        let outcome = bench.build(&[&["--secret", "id=TOKEN"][..], &more].concat()).expect(1);
        assert!(outcome.stderr.contains("the image "), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("holds secret `TOKEN`"), "{}", outcome.stderr);
        bench.went_nowhere(&outcome);
        bench.left_no_trace(&outcome);
    }
}

#[test]
fn a_failing_command_that_prints_a_secret_leaves_no_trace() {
    let bench = Bench::new("failing");
    bench.commands(&[("build", "echo \"cannot log in with $TOKEN\" >&2; cat /run/secrets/TOKEN; exit 3")]);
    for progress in ["plain", "json"] {
        let outcome = bench.build(&["--secret", "id=TOKEN,variable", "--progress", progress]).expect(1);
        assert!(outcome.stderr.contains("cannot log in with ***"), "{}", outcome.stderr);
        bench.went_nowhere(&outcome);
        assert!(bench.report().contains("cannot log in with ***"), "{}", bench.report());
        bench.left_no_trace(&outcome);
    }
}

#[test]
fn a_build_that_is_killed_leaves_no_secret_and_no_process_shows_one() {
    let bench = Bench::new("killed");
    // The length of the sleep tells this command from those of other tests.
    let sleep = format!("sleep 5{}", std::process::id());
    bench.commands(&[(
        "build",
        &format!("cat /run/secrets/TOKEN >/dev/null && echo the command runs; {sleep}"),
    )]);
    let file = bench.path("token");
    fs_err::write(&file, format!("{}\n", bench.value)).unwrap();
    let secret = format!("id=TOKEN,src={}", file.display());
    let mut build = Lapstrake::new().start(bench.arguments(&["--secret", &secret, "--progress", "plain"]));
    let mut lines = BufReader::new(build.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("] the command runs")));
    wait_for("the command is not there to be looked at", || running(&sleep));
    assert_eq!(bench.shown_by_processes(), Vec::<String>::new());
    println!("figure PRV-05: 0 processes with a secret in their arguments or environment");
    build.kill().unwrap();
    build.wait().unwrap();
    wait_for("the command outlived the build", || !running(&sleep));
    fs_err::remove_file(file).unwrap();
    assert_eq!(bench.kept_in(Lapstrake::new().data()), Vec::<String>::new());
    assert_eq!(bench.kept_in(bench.scratch.path()), Vec::<String>::new());
    assert_eq!(bench.registry.repositories(), Vec::<String>::new());
}

impl Bench {
    /// Processes of this machine whose command line or environment has the value.
    fn shown_by_processes(&self) -> Vec<String> {
        let processes = fs_err::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let files = processes.flat_map(|process| [process.join("cmdline"), process.join("environ")]);
        let shows = |file: &PathBuf| {
            fs_err::read(file).is_ok_and(|bytes| !self.shown_in(&String::from_utf8_lossy(&bytes)).is_empty())
        };
        files.filter(shows).map(|file| file.display().to_string()).collect()
    }
}

fn wait_for(complaint: &str, happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(10), "{complaint}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a process runs that was started with these words.
fn running(command: &str) -> bool {
    let words = command.replace(' ', "\0");
    let mut processes = fs_err::read_dir("/proc").unwrap().flatten();
    processes.any(|entry| {
        fs_err::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.starts_with(&words))
    })
}

#[test]
fn a_process_that_shows_a_secret_is_found() {
    let bench = Bench::new("shown");
    let mut sleep = Command::new("sleep").arg("60").env("TOKEN", &bench.value).spawn().unwrap();
    let environment = format!("/proc/{}/environ", sleep.id());
    // The environment of a process is there a moment after the process.
    wait_for("the process is not found", || bench.shown_by_processes().contains(&environment));
    sleep.kill().unwrap();
    sleep.wait().unwrap();
}

#[test]
fn another_value_gives_another_image() {
    let bench = Bench::new("changed");
    bench.commands(&[("build", "sha256sum </run/secrets/TOKEN >digest.txt")]);
    let digest_with = |value: &str| {
        let lapstrake = Lapstrake::new().with("TOKEN", value);
        lapstrake.run(bench.arguments(&["--secret", "id=TOKEN"])).expect(0).digest()
    };
    let first = digest_with("the-first-value");
    assert_ne!(digest_with("the-second-value"), first);
    assert_eq!(digest_with("the-first-value"), first);
}

#[test]
fn a_plan_names_secrets_and_shows_no_value() {
    let bench = Bench::new("planned");
    bench.commands(&[("build", &format!("echo {}", bench.value))]);
    let source = bench.path("source");
    let lapstrake =
        bench.lapstrake().with("LAPSTRAKE_SECRET", "id=TOKEN,variable,phases=build\nid=o,env=TOKEN\n");
    let outcome = lapstrake.run(["plan", source.to_str().unwrap()]).expect(0);
    let line = |text: &str| outcome.stdout.lines().any(|line| line == text);
    assert!(
        line("build secret TOKEN for build: /run/secrets/TOKEN and variable TOKEN"),
        "{}",
        outcome.stdout
    );
    assert!(
        line("build secret o for pre-build, build, post-build, pre-run: /run/secrets/o"),
        "{}",
        outcome.stdout
    );
    assert_eq!(bench.shown_in(&outcome.stdout), Vec::<String>::new());
    let outcome = lapstrake.run(["plan", source.to_str().unwrap(), "--format", "json"]).expect(0);
    let plan: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(plan["buildSecrets"][0], json!({"id": "TOKEN", "phases": ["build"], "variable": "TOKEN"}));
    assert_eq!(bench.shown_in(&outcome.stdout), Vec::<String>::new());
}

#[test]
fn what_cannot_be_a_secret_is_refused_before_any_work() {
    let bench = Bench::new("refused");
    bench.commands(&[("build", "true")]);
    let missing = bench.path("missing");
    for (spec, words) in [
        ("id=MISSING".to_owned(), "hint: set `MISSING`, or say where the value is: `env=VAR` or `src=FILE`"),
        (format!("id=x,src={}", missing.display()), "cannot be read: No such file or directory"),
        ("id=TOKEN,target=/x".to_owned(), "unknown key; the keys are `id`, `env`, `src`"),
        ("id=../x,env=TOKEN".to_owned(), "`id` must be of letters"),
        (bench.value.clone(), "`--secret` number 1 is not understood"),
    ] {
        for command in ["build", "plan", "run"] {
            let source = bench.path("source");
            let outcome =
                bench.lapstrake().run([command, source.to_str().unwrap(), "--secret", &spec]).expect(2);
            assert!(outcome.stderr.contains(words), "{spec}: {}", outcome.stderr);
            assert_eq!(bench.shown_in(&outcome.stderr), Vec::<String>::new());
        }
    }
    let outcome = bench.lapstrake().run(["run", "oci:x", "--secret", "id=TOKEN"]).expect(2);
    assert!(outcome.stderr.contains("`--secret` is for build commands"), "{}", outcome.stderr);
}

#[test]
fn checklist_row_59_a_private_index_is_reached_with_a_secret_that_no_layer_holds() {
    let token = format!("row-59-token-{}", std::process::id());
    let index = PackageIndex::start(&token);
    let host = index.host();
    let mut bench = Bench { value: index.python_url(&token), ..Bench::new("pip") };
    bench.commands(&[(
        "build",
        "pip3 install --no-cache-dir greeting && python3 -c 'import greeting; print(greeting.TEXT)'",
    )]);
    let more =
        ["--network", "open", "--secret", "id=pip,env=TOKEN,variable=PIP_INDEX_URL", "--progress", "plain"];
    let outcome = bench.build(&more).expect(0);
    assert!(outcome.stderr.contains("] hello from pip"), "{}", outcome.stderr);
    let image = bench.image();
    assert!(image.files().keys().any(|path| path.ends_with("-packages/greeting.py")));

    let npm = Bench { value: token.clone(), ..Bench::new("npm") };
    npm.commands(&[("build", "npm install --no-package-lock && node -p 'require(\"@team/greeting\")'; env; cat /run/build/npmrc || true")]);
    npm.write(
        "apprunner.yaml",
        &fs_err::read_to_string(npm.path("source/apprunner.yaml"))
            .unwrap()
            .replace("python3\n", "nodejs22\n"),
    );
    npm.write(".npmrc", &format!("registry=http://{host}/npm/\n//{host}/npm/:_authToken=${{NPM_TOKEN}}\n"));
    npm.write(
        "package.json",
        r#"{"name": "app", "version": "1.0.0", "dependencies": {"@team/greeting": "1.0.0"}}"#,
    );
    let more =
        ["--network", "open", "--secret", "id=npm,env=TOKEN,variable=NPM_TOKEN", "--progress", "plain"];
    let npm_outcome = npm.build(&more).expect(0);
    assert!(npm_outcome.stderr.contains("] hello from npm"), "{}", npm_outcome.stderr);
    let npm_image = npm.image();
    assert!(npm_image.files().contains_key("app/node_modules/@team/greeting/index.js"));

    bench.value.clone_from(&token);
    for (bench, outcome, image) in [(&bench, &outcome, &image), (&npm, &npm_outcome, &npm_image)] {
        bench.left_no_trace(outcome);
        assert_eq!(bench.shown_in(&texts(image)), Vec::<String>::new());
    }
    for path in ["/simple/greeting/", "/files/greeting-1.0-py3-none-any.whl", "/npm/@team%2fgreeting"] {
        assert!(index.served().iter().any(|served| served == path), "{path}: {:?}", index.served());
    }
}

#[test]
fn a_login_of_this_machine_is_masked_and_no_image_holds_it() {
    let bench = Bench { value: format!("machine-password-{}", std::process::id()), ..Bench::new("machine") };
    let index = format!("http://robot:{}@127.0.0.1:9/simple/", bench.value);
    let lapstrake = bench.lapstrake().with("PIP_INDEX_URL", &index);
    bench
        .commands(&[("build", "echo \"$PIP_INDEX_URL\"; python3 -c 'import os; print(os.environ)'; exit 0")]);
    let outcome = lapstrake.run(bench.arguments(&["--progress", "plain"])).expect(0);
    assert!(outcome.stderr.contains("http://***@127.0.0.1:9/simple/"), "{}", outcome.stderr);
    bench.left_no_trace(&outcome);
    bench.commands(&[("build", "env >seen.txt")]);
    fs_err::remove_dir_all(bench.path("layout")).unwrap();
    let outcome = lapstrake.run(bench.arguments(&[])).expect(1);
    assert!(
        outcome.stderr.contains("app/seen.txt holds the login of the Python index"),
        "{}",
        outcome.stderr
    );
    assert!(!bench.path("layout").exists());
    bench.left_no_trace(&outcome);
}

// reference stored
#[test]
fn checklist_row_11_references_are_listed_and_only_their_names_are_in_the_image() {
    let bench = Bench::new("references");
    bench.commands(&[("build", "true")]);
    let text = fs_err::read_to_string(bench.path("source/apprunner.yaml")).unwrap();
    let secrets = "  secrets:\n    - name: Z_KEY\n      value-from: z-parameter\n    - name: DB\n      value-from: db-parameter\n";
    bench.write("apprunner.yaml", &format!("{text}{secrets}"));
    bench.build(&[]).expect(0);
    let report: Value = serde_json::from_str(&bench.report()).unwrap();
    assert_eq!(report["secrets"], json!({"DB": "db-parameter", "Z_KEY": "z-parameter"}));
    let image = bench.image();
    assert_eq!(image.config["config"]["Labels"]["dev.lapstrake.run.secrets"], "DB,Z_KEY");
    assert_eq!(image.manifest["annotations"]["dev.lapstrake.run.secrets"], "DB,Z_KEY");
    assert!(
        !image.config.to_string().contains("db-parameter")
            && !image.manifest.to_string().contains("db-parameter")
    );
    assert!(!image.env().contains_key("DB"));
}
