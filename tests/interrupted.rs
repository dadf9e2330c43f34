//! A build that is stopped while a command runs leaves no process, no mount and no half of an image.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::copy_tree;
use lapstrake_fixtures::registry::{Act, Fault, Registry as Faulty};

use crate::harness::{Lapstrake, Registry, workspace};
use crate::registry_faults::{image, layout_of};

/// Waits until the build prints a line that contains `words`; all that came before is returned.
fn read_until(child: &mut Child, words: &str) -> String {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut text = String::new();
    for line in lines.by_ref() {
        text.push_str(&line.unwrap());
        text.push('\n');
        if text.contains(words) {
            // The pipe must be drained, or the build would wait for us.
            std::thread::spawn(move || lines.for_each(drop));
            return text;
        }
    }
    panic!("the build ended without `{words}`: {text}");
}

fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    panic!("the build did not end within 20 s");
}

/// The processes whose command line contains `words`, ours aside.
fn processes(words: &str) -> Vec<String> {
    let entries = fs_err::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_name() != std::process::id().to_string().as_str())
        .filter_map(|entry| fs_err::read_to_string(entry.path().join("cmdline")).ok())
        .filter(|line| line.contains(words))
        .collect()
}

fn interrupted_by(signal: &str, code: i32) {
    let scratch = workspace::scratch();
    let registry = Registry::start();
    let source = scratch.path().join("app");
    copy_tree(&App::named("plain-python").directory(), &source).unwrap();
    // The length of the sleep tells this command from those of other tests.
    let sleep = format!("sleep 3{}", std::process::id());
    let text = format!(
        "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n      \
         - echo the command runs; {sleep} & {sleep}\nrun:\n  command: python3 server.py\n"
    );
    fs_err::write(source.join("apprunner.yaml"), text).unwrap();
    let layout = scratch.path().join("layout");
    let report = scratch.path().join("report.json");
    let mut build = Lapstrake::new().start([
        "build",
        "--progress",
        "plain",
        source.to_str().unwrap(),
        "--tag",
        &registry.reference("interrupted/app:1"),
        "--output",
        &format!("oci:{}", layout.display()),
        "--metadata-file",
        report.to_str().unwrap(),
    ]);
    read_until(&mut build, "] the command runs");
    let begun = Instant::now();
    while processes(&sleep.replace(' ', "\0")).len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the command is not there to be stopped");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = build.id().to_string();
    assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    let status = wait(&mut build);
    assert_eq!(status.code(), Some(code), "{status}");
    assert_eq!(processes(&sleep.replace(' ', "\0")), Vec::<String>::new());
    assert!(!layout.exists());
    assert_eq!(registry.repositories(), Vec::<String>::new());
    assert_eq!(mounts(scratch.path()), Vec::<String>::new());
    assert_eq!(mounts(Lapstrake::new().data()), Vec::<String>::new());
    let report: serde_json::Value = serde_json::from_slice(&fs_err::read(&report).unwrap()).unwrap();
    assert_eq!(report["success"], false);
}

/// The mount points below a directory, as this process sees them.
fn mounts(directory: &Path) -> Vec<String> {
    let table = fs_err::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().filter(|line| line.contains(directory.to_str().unwrap())).map(str::to_owned).collect()
}

#[test]
fn a_build_that_gets_sigint_leaves_nothing() {
    interrupted_by("INT", 130);
}

#[test]
fn a_build_that_gets_sigterm_leaves_nothing() {
    interrupted_by("TERM", 143);
}

/// Stops a push while the registry says nothing of a blob that it was sent.
fn push_interrupted_by(signal: &str, code: i32) {
    let scratch = workspace::scratch();
    let layout = layout_of(&image(1, &[300_000, 2_000_000]), &scratch.path().join("layout"));
    let server = Faulty::start();
    server.fault(Fault::on("PUT", "/blobs/uploads/", Act::Stall(Duration::from_mins(1))).always());
    let tag = format!("{}/interrupted/push:1", server.host());
    let mut push = Lapstrake::new().start(["push", "--progress", "plain", &layout, "--tag", &tag]);
    let begun = Instant::now();
    while server.open_uploads() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(10), "no upload was begun");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = push.id().to_string();
    assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    let asked = Instant::now();
    let status = wait(&mut push);
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(code), "{status}");
    assert_eq!(server.open_uploads(), 0);
    assert_eq!(server.tags("interrupted/push"), Vec::<String>::new());
}

#[test]
fn a_push_that_gets_sigint_leaves_no_upload_behind() {
    push_interrupted_by("INT", 130);
}

#[test]
fn a_push_that_gets_sigterm_leaves_no_upload_behind() {
    push_interrupted_by("TERM", 143);
}

#[test]
fn a_build_that_is_killed_leaves_no_process() {
    let scratch = workspace::scratch();
    let source = scratch.path().join("app");
    copy_tree(&App::named("plain-python").directory(), &source).unwrap();
    let sleep = format!("sleep 4{}", std::process::id());
    let text = format!(
        "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n      \
         - echo the command runs; {sleep}\nrun:\n  command: python3 server.py\n"
    );
    fs_err::write(source.join("apprunner.yaml"), text).unwrap();
    let mut build = Lapstrake::new().start(["build", "--progress", "plain", source.to_str().unwrap()]);
    read_until(&mut build, "] the command runs");
    build.kill().unwrap();
    build.wait().unwrap();
    let start = Instant::now();
    while !processes(&sleep.replace(' ', "\0")).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(10), "the command outlived the build");
        std::thread::sleep(Duration::from_millis(50));
    }
}
