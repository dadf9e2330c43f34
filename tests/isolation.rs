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
    /// The first, on a kernel without Landlock.
    BareDocker,
    /// The same, without filters of processes' own and without tracing.
    BarestDocker,
    /// The second, on a kernel without Landlock.
    BarePod,
}

/// Runs the binary in a place, as root or an ordinary user as it comes there.
fn run_in<'a>(lapstrake: &Lapstrake, place: Place, arguments: impl IntoIterator<Item = &'a str>) -> Outcome {
    let conditions = match place {
        Place::Machine => None,
        Place::Docker => Some("docker"),
        Place::Pod => Some("pod"),
        Place::BareDocker => Some("docker-bare"),
        Place::BarestDocker => Some("docker-barest"),
        Place::BarePod => Some("pod-bare"),
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
    if mode == "host" {
        arguments.push("--trust-source");
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
    let check = if mode == "gvisor" { "SBX-20" } else { "SBX-16" };
    println!("figure {check}: {} fixtures in mode {mode} with the digest of mode strict", apps.len());
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
fn sbx_20_commands_on_gvisors_kernel_build_the_same_images() {
    if !tools::is_root() {
        println!("skipped: the mode is for root");
        return;
    }
    let told = Lapstrake::new().run(["doctor", "--isolation", "gvisor"]);
    if told.code == Some(6) && told.stdout.contains("missing gVisor: ") {
        println!(
            "skipped: {}",
            told.stdout.lines().find(|line| line.contains("missing gVisor")).unwrap().trim()
        );
        return;
    }
    told.expect(0);
    let scratch = workspace::scratch();
    every_fixture_builds(&Lapstrake::new(), Place::Machine, "gvisor", scratch.path());
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

/// No other mode works in either place, and `host` makes the same images.
#[test]
fn sbx_16_where_nothing_isolates_source_that_is_trusted_is_built_in_mode_host() {
    if !tools::is_root() {
        println!("skipped: only root can take capabilities away and become another user");
        return;
    }
    let scratch = workspace::scratch();
    let root = Lapstrake::new();
    for app in chosen() {
        build(&root, app, Place::Machine, "strict", scratch.path());
    }
    let user = root.clone().for_user(ORDINARY, scratch.path());
    let app = App::named("phases").directory();
    for (who, place) in [(&root, Place::BareDocker), (&user, Place::BarePod)] {
        let (source, layout) = (who.reachable(&app), output(who, scratch.path(), "refused"));
        for mode in ["strict", "chroot", "landlock"] {
            let words = ["build", source.to_str().unwrap(), "--isolation", mode, "--output", &layout];
            let refused = run_in(who, place, words).expect(6);
            assert!(refused.stderr.contains("the sandbox needs `"), "{mode}: {}", refused.stderr);
            let told = run_in(who, place, ["doctor", "--isolation", mode]).expect(6);
            assert!(told.stderr.contains("--isolation host --trust-source` works here"), "{}", told.stderr);
        }
        let told = run_in(who, place, ["doctor", "--isolation", "host", "--trust-source"]).expect(0);
        assert!(told.stdout.contains("isolation host (chosen): works"), "{}", told.stdout);
        every_fixture_builds(who, place, "host", scratch.path());
    }
    // Without a tracer a program that asks which file it is gets no answer, which is said.
    let plain = App::named("phases");
    let [there, here] = [(Place::BarestDocker, "host"), (Place::Machine, "strict")]
        .map(|(place, mode)| build(&root, &plain, place, mode, scratch.path()));
    assert_eq!(there, here);
    let told = run_in(&root, Place::BarestDocker, ["doctor", "--isolation", "chroot"]).expect(6);
    assert!(told.stdout.contains("isolation host: works"), "{}", told.stdout);
}

#[test]
fn sbx_16_mode_host_has_to_be_asked_for_twice_and_is_recorded() {
    let scratch = workspace::scratch();
    let lapstrake = Lapstrake::new();
    let app = App::named("phases").directory();
    let (layout, report) = (output(&lapstrake, scratch.path(), "twice"), scratch.path().join("report.json"));
    let words =
        ["build", app.to_str().unwrap(), "--output", &layout, "--metadata-file", report.to_str().unwrap()];
    let run = |more: &[&str]| lapstrake.run(words.iter().chain(more));
    let alone = run(&["--isolation", "host"]).expect(2);
    assert!(alone.stderr.contains("it takes `--trust-source` as well"), "{}", alone.stderr);
    for more in [&["--trust-source"][..], &["--trust-source", "--isolation", "chroot"]] {
        let other = run(more).expect(2);
        assert!(other.stderr.contains("no meaning without `--isolation host`"), "{}", other.stderr);
    }
    let statement = scratch.path().join("statement.json");
    let more = ["--isolation", "host", "--trust-source", "--provenance-file", statement.to_str().unwrap()];
    let built = run(&more).expect(0);
    assert!(built.stderr.contains("nothing keeps the build commands from"), "{}", built.stderr);
    let report: serde_json::Value = serde_json::from_slice(&fs_err::read(&report).unwrap()).unwrap();
    assert_eq!(report["isolation"], "host");
    let statement: serde_json::Value = serde_json::from_slice(&fs_err::read(&statement).unwrap()).unwrap();
    let predicate = &statement["predicate"];
    assert_eq!(predicate["buildDefinition"]["internalParameters"]["fetchesRecorded"], false);
    assert!(predicate["runDetails"]["builder"]["id"].as_str().unwrap().ends_with("/host"), "{predicate}");
    assert!(!run(&[]).expect(0).stderr.contains("nothing keeps the build commands from"));
}

#[test]
fn sbx_16_where_no_command_runs_no_isolation_is_needed_and_none_is_claimed() {
    let scratch = workspace::scratch();
    let app = scratch.path().join("app");
    fs_err::create_dir(&app).unwrap();
    let file =
        "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build: []\nrun:\n  command: python3 -V\n";
    fs_err::write(app.join("apprunner.yaml"), file).unwrap();
    let lapstrake = Lapstrake::new();
    let (layout, report) = (output(&lapstrake, scratch.path(), "none"), scratch.path().join("report.json"));
    let words =
        ["build", app.to_str().unwrap(), "--output", &layout, "--metadata-file", report.to_str().unwrap()];
    let none: &[&str] = &[];
    for more in [none, &["--isolation", "host", "--trust-source"]] {
        let built = lapstrake.run(words.iter().chain(more)).expect(0);
        assert!(!built.stderr.contains("nothing keeps"), "{}", built.stderr);
        let report: serde_json::Value = serde_json::from_slice(&fs_err::read(&report).unwrap()).unwrap();
        assert_eq!(report["isolation"], "none-needed");
    }
}

/// The words of a command that looks for a secret in everything that shows processes, without naming it.
const SEARCH: &str = "env | grep -c 'planted-in-the-[e]nviron' || true; \
                      cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | grep -ac 'planted-in-the-[e]nviron' || true";

#[test]
fn sbx_03_mode_host_hands_no_environment_over_either() {
    if !tools::is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let scratch = workspace::scratch();
    let root = Lapstrake::new();
    build(&root, &App::named("phases"), Place::Machine, "strict", scratch.path());
    let user = root.clone().for_user(ORDINARY, scratch.path());
    let app = scratch.path().join("search");
    fs_err::create_dir(&app).unwrap();
    let file = format!(
        "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n      - |-\n        {SEARCH}\nrun:\n  command: python3 -V\n"
    );
    fs_err::write(app.join("apprunner.yaml"), file).unwrap();
    for who in [root, user] {
        let who = who.with("PLANTED", "planted-in-the-environ");
        let (source, layout) = (who.reachable(&app), output(&who, scratch.path(), "searched"));
        let words = ["build", source.to_str().unwrap(), "--output", &layout, "--isolation", "host"];
        let built = who.run(words.iter().chain(&["--trust-source", "--progress", "plain"])).expect(0);
        let found: Vec<&str> = built
            .stderr
            .lines()
            .filter_map(|line| line.strip_prefix("[Build] "))
            .filter(|line| *line == "0")
            .collect();
        assert_eq!(found.len(), 2, "{}", built.stderr);
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
