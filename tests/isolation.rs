//! Isolation where there are no user namespaces: the conditions of containers, made by `conditions/confined.py`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lapstrake_fixtures::apps::{ALL, App};
use lapstrake_fixtures::archive::copy_tree;

use crate::harness::{Lapstrake, Outcome, tools, workspace};

/// An ordinary user's id, to whom nothing belongs.
const ORDINARY: u32 = 54_322;

/// The apps that stand for all others where there is little time: commands of every phase, packages of Python, and a
/// compiler that wants to know where its own file is.
const FEW: [&str; 3] = ["phases", "flask", "typescript"];

/// A place in which a build runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// This machine.
    Machine,
    /// A container of root, with the rights that Docker gives by default.
    Docker,
    /// A container of an ordinary user.
    Pod,
}

/// Runs the binary in a place, as root or an ordinary user as it comes there.
fn run_in<'a>(lapstrake: &Lapstrake, place: Place, arguments: impl IntoIterator<Item = &'a str>) -> Outcome {
    let conditions = match place {
        Place::Machine => None,
        Place::Docker => Some("docker"),
        Place::Pod => Some("pod"),
    };
    let Some(conditions) = conditions else { return lapstrake.run(arguments) };
    // A user's own python may be where another user cannot go.
    let script = lapstrake.reachable_file(&workspace::root().join("tests/conditions/confined.py"));
    let before = ["/usr/bin/python3".into(), OsString::from(script), conditions.into()];
    lapstrake.clone().behind(before).run(arguments)
}

/// The digest of an app that is built in a place with a mode.
fn build(lapstrake: &Lapstrake, app: &App, place: Place, mode: &str, scratch: &Path) -> String {
    let source = lapstrake.reachable(&app.directory());
    let layout = output(lapstrake, scratch, &format!("{}-{mode}", app.name));
    let mut arguments = vec!["build", source.to_str().unwrap(), "--isolation", mode, "--output", &layout];
    if let Some(directory) = app.source_dir {
        arguments.extend(["--source-dir", directory]);
    }
    run_in(lapstrake, place, arguments).expect(0).digest()
}

fn output(lapstrake: &Lapstrake, scratch: &Path, name: &str) -> String {
    format!("oci:{}", lapstrake.writable(scratch).join(name).display())
}

fn chosen() -> Vec<&'static App> {
    let all = std::env::var_os("LAPSTRAKE_SECURITY_LONG").is_some();
    ALL.iter().filter(|app| all || FEW.contains(&app.name)).collect()
}

fn every_fixture_builds(lapstrake: &Lapstrake, place: Place, mode: &str, scratch: &Path) {
    let apps = chosen();
    for app in &apps {
        let there = build(lapstrake, app, place, mode, scratch);
        let here = build(lapstrake, app, Place::Machine, "strict", scratch);
        assert_eq!(there, here, "{} in mode {mode}", app.name);
    }
    println!("figure SBX-16: {} fixtures in mode {mode} with the digest of mode strict", apps.len());
}

#[test]
fn sbx_16_root_in_a_container_without_namespaces_builds_the_same_images_in_mode_chroot() {
    if !tools::is_root() {
        println!("skipped: only root can take capabilities away and keep some");
        return;
    }
    let scratch = workspace::scratch();
    every_fixture_builds(&Lapstrake::new(), Place::Docker, "chroot", scratch.path());
}

#[test]
fn sbx_16_an_ordinary_user_in_a_container_builds_the_same_images_in_mode_landlock() {
    if !tools::is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let scratch = workspace::scratch();
    let root = Lapstrake::new();
    for app in chosen() {
        // The runtime layers must be there to be copied along.
        build(&root, app, Place::Machine, "strict", scratch.path());
    }
    let user = root.for_user(ORDINARY, scratch.path());
    every_fixture_builds(&user, Place::Pod, "landlock", scratch.path());
}

#[test]
fn sbx_16_no_mode_is_taken_in_anothers_place_and_the_doctor_gives_the_same_reason() {
    if !tools::is_root() {
        println!("skipped: only root can take capabilities away and become another user");
        return;
    }
    let scratch = workspace::scratch();
    let root = Lapstrake::new();
    let user = root.clone().for_user(ORDINARY, scratch.path());
    let cases = [
        (&root, Place::Docker, "strict", "user namespace", "chroot"),
        (&root, Place::Machine, "landlock", "leaving root", "strict"),
        (&user, Place::Pod, "strict", "user namespace", "landlock"),
        (&user, Place::Pod, "chroot", "chroot", "landlock"),
    ];
    for (who, place, mode, missing, works) in cases {
        let source = who.reachable(&App::named("phases").directory());
        let layout = output(who, scratch.path(), "refused");
        let words = ["build", source.to_str().unwrap(), "--isolation", mode, "--output", &layout];
        let refused = run_in(who, place, words).expect(6);
        let reason = format!("the sandbox needs `{missing}`");
        assert!(refused.stderr.contains(&reason), "{mode}: {}", refused.stderr);
        assert!(!PathBuf::from(layout.trim_start_matches("oci:")).exists());
        let told = run_in(who, place, ["doctor", "--isolation", mode]).expect(6);
        let line = told.stdout.lines().find(|line| line.contains(&format!("missing {missing}: "))).unwrap();
        let why = line.split(": ").nth(1).unwrap();
        assert!(refused.stderr.contains(why), "{why:?} is not in {}", refused.stderr);
        assert!(told.stderr.contains(&format!("`--isolation {works}` works here")), "{}", told.stderr);
        run_in(who, place, ["doctor", "--isolation", works]).expect(0);
    }
}

#[test]
fn the_mode_is_part_of_the_report_and_of_what_is_kept_for_later_builds() {
    if !tools::is_root() {
        println!("skipped: the mode is for root");
        return;
    }
    let scratch = workspace::scratch();
    let lapstrake = Lapstrake::new().apart(scratch.path()).with("LAPSTRAKE_NO_CACHE", "false");
    let source = scratch.path().join("app");
    copy_tree(&App::named("phases").directory(), &source).unwrap();
    let report = scratch.path().join("report.json");
    let mut ran = Vec::new();
    for mode in ["strict", "chroot", "strict", "chroot"] {
        let layout = output(&lapstrake, scratch.path(), mode);
        let arguments = ["build", source.to_str().unwrap(), "--isolation", mode, "--output", &layout];
        let to = ["--metadata-file", report.to_str().unwrap()];
        lapstrake.run(arguments.into_iter().chain(to)).expect(0);
        let report: serde_json::Value = serde_json::from_slice(&fs_err::read(&report).unwrap()).unwrap();
        assert_eq!(report["isolation"], mode);
        let commands = report["commands"].as_array().unwrap();
        ran.push(commands.iter().any(|command| command["runs"] == true));
    }
    // What a weaker mode made is not taken by a stronger one, nor the other way round.
    assert_eq!(ran, [true, true, false, false]);
}
