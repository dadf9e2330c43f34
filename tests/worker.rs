//! Archives are read, and laid out for commands, by processes that are locked in.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use lapstrake_fixtures::apps::App;

use crate::harness::{Lapstrake, tools, workspace};

const WORKER: &str = "--become-lapstrake-worker--";

/// Waits for what `find` finds.
fn wait_for<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The directory in `/proc` of the worker of a build.
fn worker_of(build: &Child) -> PathBuf {
    let parent = format!("PPid:\t{}\n", build.id());
    wait_for("the worker", || {
        let entries = fs_err::read_dir("/proc").unwrap().filter_map(Result::ok).map(|entry| entry.path());
        let reads =
            |process: &PathBuf, name: &str| fs_err::read_to_string(process.join(name)).unwrap_or_default();
        entries
            .filter(|process| reads(process, "cmdline").contains(WORKER))
            .find(|process| reads(process, "status").contains(&parent))
    })
}

/// Starts to build an archive whose end does not come.
fn build_of_half_an_archive() -> (Child, std::process::ChildStdin) {
    let mut command = Lapstrake::new().with("SECRET_OF_THE_CALLER", "hunter2").command(["build", "-"]);
    let mut build =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = build.stdin.take().unwrap();
    stdin.write_all(&[0; 100]).unwrap();
    (build, stdin)
}

#[test]
fn src_01_an_archive_is_read_by_a_process_that_is_locked_in_and_ends_with_its_parent() {
    let (mut build, stdin) = build_of_half_an_archive();
    let worker = worker_of(&build);
    wait_for("the filter", || {
        let status = fs_err::read_to_string(worker.join("status")).unwrap();
        (status.contains("NoNewPrivs:\t1\n") && status.contains("Seccomp:\t2\n")).then_some(())
    });
    assert_eq!(fs_err::read_to_string(worker.join("environ")).unwrap(), "");
    let open: Vec<String> = fs_err::read_dir(worker.join("fd"))
        .unwrap()
        .map(|entry| fs_err::read_link(entry.unwrap().path()).unwrap().display().to_string())
        .collect();
    let is_expected = |place: &String| {
        place == "/dev/null"
            || place.starts_with("socket:")
            || place.starts_with("pipe:")
            || place.ends_with(" (deleted)")
    };
    assert!(open.iter().all(is_expected), "{open:?}");
    build.kill().unwrap();
    build.wait().unwrap();
    let begun = Instant::now();
    wait_for("the end of the worker", || {
        // What nobody has asked about yet keeps its entry, and nothing else.
        let status = fs_err::read_to_string(worker.join("status")).unwrap_or_default();
        (status.is_empty() || status.contains("State:\tZ")).then_some(())
    });
    assert!(begun.elapsed() < Duration::from_secs(1));
    drop(stdin);
}

#[test]
fn a_worker_that_is_killed_is_a_failure_and_no_archive() {
    let (mut build, stdin) = build_of_half_an_archive();
    let worker = worker_of(&build);
    tools::run("kill", ["-9", worker.file_name().unwrap().to_str().unwrap()]);
    assert_eq!(build.wait().unwrap().code(), Some(70));
    drop(stdin);
}

#[test]
fn an_archive_with_commands_takes_two_workers_and_a_directory_none() {
    let scratch = workspace::scratch();
    let source = App::named("phases").directory();
    let archive = scratch.path().join("app.tar");
    tools::run("tar", ["-C", source.to_str().unwrap(), "-cf", archive.to_str().unwrap(), "."]);
    let workers_for = |source: &str| {
        let log = scratch.path().join("log");
        let trace = ["strace", "-f", "-qq", "-s", "200", "-e", "trace=execve", "-o", log.to_str().unwrap()];
        let layout = format!("oci:{}", scratch.path().join("layout").display());
        let lapstrake = Lapstrake::new().behind(trace.map(Into::into));
        lapstrake.run(["build", source, "--output", &layout]).expect(0);
        fs_err::read_to_string(log).unwrap().lines().filter(|line| line.contains(WORKER)).count()
    };
    // What was read once is written anew for the part of the commands that begins without what the build left.
    assert!(workers_for(archive.to_str().unwrap()) >= 2);
    assert_eq!(workers_for(source.to_str().unwrap()), 0);
}
