//! What is refused, with which words and which exit code; and that nothing is pushed or left behind.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::{copy_tree, hostile};
use serde_json::Value;

use crate::harness::image::digest_of;
use crate::harness::{Lapstrake, Outcome, Registry, workspace};

/// An attempt to build something bad, to three destinations, with a report.
struct Attempt {
    registry: Registry,
    scratch: tempfile::TempDir,
}

impl Attempt {
    fn new() -> Self {
        Self { registry: Registry::start(), scratch: workspace::scratch() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A copy of a sample app whose app file is `text`.
    fn app(&self, name: &str, text: &str) -> PathBuf {
        let source = self.path("source");
        copy_tree(&App::named(name).directory(), &source).unwrap();
        fs_err::write(source.join("apprunner.yaml"), text).unwrap();
        source
    }

    fn build(&self, source: &Path, more: &[&str]) -> Outcome {
        let reference = self.registry.reference("refused/app:1");
        let layout = format!("oci:{}", self.path("layout").display());
        let archive = format!("docker-archive:{}", self.path("archive.tar").display());
        let report = self.path("report.json");
        let mut arguments = vec!["build", source.to_str().unwrap(), "--tag", &reference, "--output", &layout];
        arguments.extend(["--output", &archive, "--metadata-file", report.to_str().unwrap()]);
        arguments.extend(more);
        Lapstrake::new().run(arguments)
    }

    /// Nothing on standard output, nothing pushed, nothing written but the report.
    fn left_nothing(&self, outcome: &Outcome) {
        assert_eq!(outcome.stdout, "");
        assert_eq!(self.registry.repositories(), Vec::<String>::new());
        assert!(!self.path("layout").exists() && !self.path("archive.tar").exists());
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&fs_err::read(self.path("report.json")).unwrap()).unwrap()
    }
}

const GOOD: &str = "\
version: 1.0
runtime: python3
build:
  commands:
    build:
      - true
run:
  command: python3 server.py
";

#[test]
fn broken_yaml_is_refused_with_file_line_and_column() {
    let attempt = Attempt::new();
    let source = attempt.app("plain-python", &GOOD.replace("      - true", "\t- true"));
    let outcome = attempt.build(&source, &[]).expect(2);
    assert!(outcome.stderr.contains("apprunner.yaml:6:1: error: "), "{}", outcome.stderr);
    attempt.left_nothing(&outcome);
}

// row 52
#[test]
fn every_mistake_of_an_app_file_is_named_in_one_run() {
    let attempt = Attempt::new();
    let text = GOOD.replace("version: 1.0", "version: 2.0").replace("  command: ", "  comand: ");
    let source = attempt.app("plain-python", &text);
    let outcome = attempt.build(&source, &[]).expect(2);
    assert!(outcome.stderr.contains("apprunner.yaml:1:10: error: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("apprunner.yaml:8:3: error: "), "{}", outcome.stderr);
    attempt.left_nothing(&outcome);
}

// quirk 24
#[test]
fn a_version_outside_the_line_is_refused_with_those_that_exist() {
    let attempt = Attempt::new();
    let text = GOOD.replace("run:\n", "run:\n  runtime-version: 3.8.16\n");
    let source = attempt.app("plain-python", &text);
    let outcome = attempt.build(&source, &[]).expect(2);
    assert!(outcome.stderr.contains("3.8.16") && outcome.stderr.contains("3.13"), "{}", outcome.stderr);
    attempt.left_nothing(&outcome);
}

// row 23, quirk 14
#[test]
fn an_end_of_life_runtime_is_refused_unless_it_is_permitted_by_name() {
    let attempt = Attempt::new();
    let text = GOOD.replace("python3\n", "nodejs20\n").replace("python3 server.py", "node server.js");
    let source = attempt.app("plain-node", &text);
    let outcome = attempt.build(&source, &[]).expect(2);
    assert!(outcome.stderr.contains("--allow-eol"), "{}", outcome.stderr);
    attempt.left_nothing(&outcome);
}

// quirk 4
#[test]
fn a_source_without_an_app_file_is_refused_with_a_hint_at_the_wrong_name() {
    let attempt = Attempt::new();
    let source = attempt.app("plain-python", GOOD);
    fs_err::rename(source.join("apprunner.yaml"), source.join("apprunner.yml")).unwrap();
    let outcome = attempt.build(&source, &[]).expect(2);
    assert!(outcome.stderr.contains("apprunner.yml"), "{}", outcome.stderr);
    attempt.left_nothing(&outcome);
}

#[test]
fn a_source_that_is_not_there_is_refused() {
    let attempt = Attempt::new();
    let source = attempt.path("nowhere");
    let outcome = attempt.build(&source, &[]).expect(2);
    assert!(outcome.stderr.contains(source.to_str().unwrap()), "{}", outcome.stderr);
    attempt.left_nothing(&outcome);
}

// validation source-directory
#[test]
fn a_source_directory_that_leaves_the_source_is_refused() {
    let attempt = Attempt::new();
    let source = attempt.app("plain-python", GOOD);
    let outcome = attempt.build(&source, &["--source-dir", "../source"]).expect(2);
    assert!(outcome.stderr.contains("../source"), "{}", outcome.stderr);
    attempt.left_nothing(&outcome);
}

#[test]
fn a_failing_command_is_named_with_its_phase_its_code_and_its_last_lines() {
    let attempt = Attempt::new();
    let command = "echo first words; echo last words >&2; exit 7";
    let source = attempt.app("plain-python", &GOOD.replace("- true", &format!("- '{command}'")));
    let outcome = attempt.build(&source, &[]).expect(1);
    let message = &outcome.stderr[outcome.stderr.rfind("error: ").unwrap()..];
    assert!(message.contains("[Build]"), "{message}");
    assert!(message.contains(command), "{message}");
    assert!(message.contains('7'), "{message}");
    assert!(outcome.stderr.contains("last words"), "{}", outcome.stderr);
    attempt.left_nothing(&outcome);
    let report = attempt.report();
    assert_eq!(report["success"], false);
    assert_eq!(report["failure"]["exitCode"], 1);
    assert!(report["failure"]["message"].as_str().unwrap().contains(command), "{report:#}");
}

#[test]
fn a_failing_post_build_command_fails_the_build_and_nothing_is_pushed() {
    let attempt = Attempt::new();
    let text = GOOD.replace("run:\n", "    post-build:\n      - 'false'\nrun:\n");
    let source = attempt.app("plain-python", &text);
    let outcome = attempt.build(&source, &[]).expect(1);
    assert!(outcome.stderr.contains("[PostBuild]"), "{}", outcome.stderr);
    attempt.left_nothing(&outcome);
}

#[test]
fn a_hostile_archive_is_refused_and_its_entry_is_named() {
    for archive in hostile() {
        let attempt = Attempt::new();
        let source = attempt.path("source.tar");
        fs_err::write(&source, &archive.bytes).unwrap();
        let outcome = attempt.build(&source, &[]).expect(5);
        assert!(outcome.stderr.contains(archive.entry), "{}: {}", archive.name, outcome.stderr);
        attempt.left_nothing(&outcome);
    }
}

/// What stray entries of the corpus aim at, with what is known of it.
fn surroundings(scratch: &Path) -> Vec<String> {
    let walk = walkdir::WalkDir::new(scratch).sort_by_file_name().into_iter().map(Result::unwrap);
    let mut seen: Vec<String> = walk
        .filter(|entry| !entry.path().ends_with("source.tar"))
        .map(|entry| {
            let data = entry.metadata().unwrap();
            let bytes = if data.is_file() { fs_err::read(entry.path()).unwrap() } else { Vec::new() };
            format!("{} {:o} {} {}", entry.path().display(), data.mode(), data.nlink(), digest_of(&bytes))
        })
        .collect();
    let passwd = fs_err::metadata("/etc/passwd").unwrap();
    seen.push(format!("/etc/passwd {} {}", passwd.nlink(), passwd.mtime()));
    let strays = fs_err::read_dir("/tmp").unwrap().map(|entry| entry.unwrap().path().display().to_string());
    seen.extend(strays.filter(|path| path.starts_with("/tmp/evil-")));
    seen
}

#[test]
fn every_hostile_archive_of_the_corpus_is_refused_and_touches_nothing() {
    let Some(corpus) = workspace::corpus("hostile-archives") else { return };
    let manifest = fs_err::read_to_string(corpus.join("MANIFEST.tsv")).unwrap();
    let mut refused = 0;
    for line in manifest.lines() {
        let mut columns = line.split('\t');
        let (Some(file), Some("R")) = (columns.next(), columns.next()) else { continue };
        let scratch = workspace::scratch();
        fs_err::write(scratch.path().join("canary"), "alive").unwrap();
        fs_err::create_dir_all(scratch.path().join("outside")).unwrap();
        fs_err::write(scratch.path().join("outside/canary"), "alive").unwrap();
        let before = surroundings(scratch.path());
        let source = scratch.path().join("source.tar");
        fs_err::copy(corpus.join(file), &source).unwrap();
        let outcome = Lapstrake::new().run(["build", source.to_str().unwrap()]);
        assert_eq!(surroundings(scratch.path()), before, "{line}");
        assert_eq!(outcome.code, Some(5), "{line}\n{}", outcome.stderr);
        assert_eq!(outcome.stdout, "", "{line}");
        refused += 1;
    }
    assert!(refused >= 40, "only {refused} archives of the corpus are to be refused");
}

#[test]
fn a_file_that_is_no_archive_is_refused() {
    let attempt = Attempt::new();
    let source = attempt.path("source.tar");
    fs_err::write(&source, vec![b'x'; 4096]).unwrap();
    let outcome = attempt.build(&source, &[]).expect(5);
    attempt.left_nothing(&outcome);
}

#[test]
fn an_unknown_option_is_refused() {
    let outcome = Lapstrake::new().run(["build", ".", "--no-such-option"]).expect(2);
    assert!(outcome.stderr.contains("--no-such-option"), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn a_destination_without_a_registry_is_refused_before_any_work() {
    let source = App::named("plain-python").directory();
    let outcome = Lapstrake::new().run(["build", source.to_str().unwrap(), "--tag", "team/app:1"]).expect(2);
    assert!(outcome.stderr.contains("team/app:1"), "{}", outcome.stderr);
}

#[test]
fn a_registry_that_nobody_answers_for_is_a_passing_fault() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let reference = format!("127.0.0.1:{port}/team/app:1");
    let source = App::named("plain-python").directory();
    let outcome = Lapstrake::new().run(["build", source.to_str().unwrap(), "--tag", &reference]).expect(75);
    assert!(outcome.stderr.contains(&reference), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
}
