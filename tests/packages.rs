//! Packages that apps install: what their lock files hold, and what becomes of a build whose index does not serve.

mod index;
mod unserved;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use self::index::{Index, Serves, hash};
use crate::harness::package_index::npm_package;
use crate::harness::{Image, Lapstrake, Outcome, workspace};

/// An app with one build command, and what builds it.
struct App {
    scratch: tempfile::TempDir,
    lapstrake: Lapstrake,
}

impl App {
    fn new(runtime: &str, command: &str, files: &[(&str, &str)], index: &Index) -> Self {
        let scratch = workspace::scratch();
        let lapstrake = Lapstrake::new()
            .with("LAPSTRAKE_PYTHON_INDEX", index.python())
            .with("LAPSTRAKE_NPM_REGISTRY", index.npm());
        let app = Self { scratch, lapstrake };
        fs_err::create_dir(app.source()).unwrap();
        let text = format!(
            "version: 1.0\nruntime: {runtime}\nbuild:\n  commands:\n    build:\n      - {command}\nrun:\n  command: ./start\n"
        );
        for (name, text) in files.iter().chain(&[("apprunner.yaml", text.as_str()), ("start", "#!/bin/sh\n")])
        {
            fs_err::write(app.source().join(name), text).unwrap();
        }
        app
    }

    /// One that pip installs from these requirements.
    fn pip(requirements: &str, index: &Index) -> Self {
        let command = "pip3 install --no-cache-dir -r requirements.txt";
        Self::new("python3", command, &[("requirements.txt", requirements)], index)
    }

    fn source(&self) -> PathBuf {
        self.scratch.path().join("app")
    }

    fn run(&self, command: &str, options: &[&str]) -> Outcome {
        let source = self.source();
        let words: Vec<&str> =
            [command, source.to_str().unwrap()].into_iter().chain(options.iter().copied()).collect();
        self.lapstrake.run(words)
    }

    fn build(&self, options: &[&str]) -> Outcome {
        let layout = format!("oci:{}", self.scratch.path().join("layout").display());
        let report = self.report_path();
        let common =
            ["--progress", "plain", "--output", &layout, "--metadata-file", report.to_str().unwrap()];
        self.run("build", &[&common[..], options].concat())
    }

    fn report_path(&self) -> PathBuf {
        self.scratch.path().join("report.json")
    }

    /// The digests of the packages that were fetched.
    fn wheels(&self) -> Vec<String> {
        let report: Value = serde_json::from_slice(&fs_err::read(self.report_path()).unwrap()).unwrap();
        let fetched = report["fetched"].as_array().unwrap().iter();
        let wheels = fetched.filter(|one| one["url"].as_str().unwrap().contains("/files/"));
        wheels.map(|one| one["digest"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn sbx_19_install_scripts_run_as_the_build_user() {
    let index = Index::start(Serves::Well);
    let package = r#"{"name": "app", "version": "1.0.0", "dependencies": {"@team/greeting": "1.0.0"}}"#;
    let lock = json!({
        "name": "app",
        "version": "1.0.0",
        "lockfileVersion": 3,
        "packages": {
            "": {"name": "app", "version": "1.0.0", "dependencies": {"@team/greeting": "1.0.0"}},
            "node_modules/@team/greeting": {
                "version": "1.0.0",
                "resolved": format!("{}@team/greeting/-/greeting-1.0.0.tgz", index.npm()),
                "integrity": format!("sha512-{}", STANDARD.encode(Sha512::digest(npm_package()))),
                "hasInstallScript": true,
            },
        },
    });
    let lock = lock.to_string();
    let files = [("package.json", package), ("package-lock.json", lock.as_str())];
    let app = App::new("nodejs22", "npm ci", &files, &index);
    app.build(&[]).expect(0);
    let files = Image::open(&app.scratch.path().join("layout"), None).files();
    let said = &files["app/node_modules/@team/greeting/installed.txt"].bytes;
    assert_eq!(String::from_utf8_lossy(said), "hello from npm by 1000\n");
    println!("figure SBX-19: an install script of npm");
}

#[test]
fn sbx_19_a_package_from_a_git_repository_is_denied_where_its_host_is() {
    let index = Index::start(Serves::Well);
    // A public host that is not listed, and a private one.
    for (host, mode) in [("git.example", "registries"), ("169.254.169.254", "proxy")] {
        let command = format!("pip3 install --no-cache-dir 'x @ git+https://{host}/x.git'");
        let outcome = App::new("python3", &command, &[], &index).build(&["--network", mode]).expect(1);
        for text in ["CONNECT tunnel failed, response 403", &format!("network: `{host}:443` was refused")] {
            assert!(outcome.stderr.contains(text), "{text}: {}", outcome.stderr);
        }
        println!("figure SBX-19: git+https to {host} denied in mode {mode}");
    }
}

#[test]
fn net_04_a_wrong_hash_always_fails_and_other_bytes_are_on_record() {
    let index = Index::start(Serves::OtherBytes);
    let held = format!("greeting==1.0 --hash=sha256:{}\n", hash(0));
    let app = App::pip(&held, &index);
    let first = app.build(&[]).expect(0);
    assert!(!first.stderr.contains("warning: `greeting`"), "{}", first.stderr);
    assert_eq!(app.wheels(), [format!("sha256:{}", hash(0))]);
    // The same again, of which the index has other bytes by now.
    let second = app.build(&[]).expect(1);
    assert!(second.stderr.contains("DO NOT MATCH THE HASHES"), "{}", second.stderr);
    assert!(second.stderr.contains("greeting==1.0"), "{}", second.stderr);

    let loose = App::pip("greeting==1.0\n", &index);
    let mut seen = Vec::new();
    for edition in [2, 3] {
        let outcome = loose.build(&[]).expect(0);
        assert!(
            outcome.stderr.contains("requirements.txt:1:1: warning: `greeting` is held by no hash"),
            "{}",
            outcome.stderr
        );
        assert_eq!(loose.wheels(), [format!("sha256:{}", hash(edition))]);
        seen.extend(loose.wheels());
    }
    assert_ne!(seen[0], seen[1]);

    let index = Index::start(Serves::Well);
    let wrong = App::pip(&format!("greeting==1.0 --hash=sha256:{}\n", "ab".repeat(32)), &index);
    for options in [&[][..], &["--require-hashes"]] {
        let outcome = wrong.build(options).expect(1);
        assert!(outcome.stderr.contains("DO NOT MATCH THE HASHES"), "{}", outcome.stderr);
    }
    println!(
        "figure NET-04: 3 of 3 wrong hashes fail the build, 2 of 2 builds without a hash record what they got"
    );
}

#[test]
fn net_04_required_hashes_are_looked_for_before_any_command_runs() {
    let index = Index::start(Serves::Well);
    let held = format!("greeting==1.0 --hash=sha256:{}\n", hash(0));
    let weak = format!("old==1 --hash=md5:{}\n", "ab".repeat(16));
    for (requirements, names) in [
        ("greeting==1.0\n".to_owned(), &["requirements.txt:1: `greeting` is held by no hash"][..]),
        (format!("{held}other==2\n"), &["requirements.txt:2: `other` is held by no hash"]),
        (format!("{held}{weak}"), &["requirements.txt:2: `old` is held by MD5 or SHA-1 only"]),
        ("x @ git+ssh://me:hunter2@git.example/x.git\n".to_owned(), &["`git+ssh://git.example/x.git`"]),
        (format!("{held}-r more.txt\n"), &["more.txt:1: `third` is held by no hash"]),
    ] {
        let app = App::pip(&requirements, &index);
        fs_err::write(app.source().join("more.txt"), "third\n").unwrap();
        for command in ["build", "plan"] {
            let outcome = app.run(command, &["--require-hashes"]).expect(5);
            for name in names {
                assert!(outcome.stderr.contains(name), "{name}: {}", outcome.stderr);
            }
            assert!(outcome.stderr.contains("(packages/") && !outcome.stderr.contains("hunter2"));
            assert!(!outcome.stderr.contains("other` is held by no hash") || requirements.contains("other"));
        }
    }
    assert_eq!(index.asked(), [""; 0], "a command has run");
    // Some of many: without the option it is a warning that says what pip makes of it.
    let partly = App::pip(&format!("{held}other==2\n"), &index).run("plan", &[]).expect(0);
    assert!(partly.stderr.contains("pip refuses a file in which only some do"), "{}", partly.stderr);

    let app = App::pip(&held, &index);
    app.build(&["--require-hashes"]).expect(0);
    // What a command installs besides is pip's to refuse, whatever the app says.
    let besides = "PIP_REQUIRE_HASHES";
    let app =
        App::new("python3", "pip3 install --no-cache-dir greeting", &[("requirements.txt", &held)], &index);
    let outcome = app.build(&["--require-hashes", "--build-env", &format!("{besides}=0")]).expect(1);
    assert!(outcome.stderr.contains("--require-hashes mode"), "{}", outcome.stderr);
    app.build(&[]).expect(0);
}

const SHA1: &str = r#"{"name": "app", "lockfileVersion": 3, "packages": {"": {"name": "app"},
  "node_modules/old": {"version": "1.0.0", "resolved": "https://npm.example/old/-/old-1.0.0.tgz", "integrity": "sha1-1ZNEUixLxGSmWnMKxpUAf9tm3Yg="},
  "node_modules/ssh": {"version": "1.0.0", "resolved": "git+ssh://git@git.example/ssh.git#abc"},
  "node_modules/out": {"resolved": "file:../../out.tgz"},
  "node_modules/odd": {"version": "1.0.0", "resolved": "https://npm.example/other/-/odd-1.0.0.tgz", "integrity": "sha1-1ZNEUixLxGSmWnMKxpUAf9tm3Yg="}}}"#;

#[test]
fn net_05_lock_files_are_judged_before_anything_is_installed() {
    let index = Index::start(Serves::Well);
    let package = r#"{"name": "app", "dependencies": {"old": "1"}}"#;
    let files = [
        ("package.json", package),
        ("package-lock.json", SHA1),
        (".npmrc", "registry=https://npm.example/\n"),
    ];
    let app = App::new("nodejs22", "npm ci", &files, &index);
    let warned = app.run("plan", &[]).expect(0);
    for text in [
        "package-lock.json:1:1: warning: `odd` and `old` are held by MD5 or SHA-1 only",
        "warning: `out` and `ssh` come from places such as `file:../../out.tgz`, which is not https",
        "hint: only http and https lead out of the build",
        "warning: `odd` comes from `https://npm.example/other/-/odd-1.0.0.tgz`, which belongs to a package of another name",
        "warning: `ssh` comes from `git+ssh://git.example/ssh.git`, which is at none of the registries",
    ] {
        assert!(warned.stderr.contains(text), "{text}: {}", warned.stderr);
    }
    let refused = app.build(&["--require-hashes"]).expect(5);
    for text in [
        "package-lock.json: `old` is held by MD5 or SHA-1 only (packages/weak-hash)",
        "package-lock.json: `ssh` comes from `git+ssh://git.example/ssh.git`, which is not https (packages/scheme)",
        "package-lock.json: `out` comes from `file:../../out.tgz`",
    ] {
        assert!(refused.stderr.contains(text), "{text}: {}", refused.stderr);
    }
    let linted = app.run("lint", &["--format", "json"]).expect(0);
    let found: Value = serde_json::from_str(&linted.stdout).unwrap();
    let rules: Vec<&str> =
        found["diagnostics"].as_array().unwrap().iter().filter_map(|one| one["rule"].as_str()).collect();
    assert_eq!(rules, ["packages/scheme", "packages/host", "packages/weak-hash", "packages/name"]);
    // One that cannot be read is none that holds anything.
    fs_err::write(app.source().join("package-lock.json"), "{\n,").unwrap();
    let broken = "no lock file: this is not JSON";
    assert!(app.run("plan", &[]).expect(0).stderr.contains(broken));
    let refused = app.build(&["--require-hashes"]).expect(5);
    assert!(
        refused.stderr.contains("`package-lock.json` cannot be read as a lock file"),
        "{}",
        refused.stderr
    );
    fs_err::remove_file(app.source().join("package-lock.json")).unwrap();
    let refused = app.build(&["--require-hashes"]).expect(5);
    assert!(refused.stderr.contains("package.json: no lock file holds"), "{}", refused.stderr);
    assert_eq!(index.asked(), [""; 0], "a command has run");
}
