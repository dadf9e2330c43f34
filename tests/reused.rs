//! Nothing is done twice: what an earlier build made, on this machine or on another one, is taken.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Image, Lapstrake, Outcome, Registry, tools, workspace};

/// A registry with a catalog, an app without commands, and machines that build it.
pub(crate) struct Scene {
    scratch: tempfile::TempDir,
    pub(crate) registry: Registry,
    catalog: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let (scratch, registry) = (workspace::scratch(), Registry::start());
        let lapstrake = Lapstrake::new();
        lapstrake.run(["catalog", "build", "python3"]).expect(0);
        let catalog = registry.reference("runtimes/catalog:latest");
        let local = format!("oci:{}:latest", lapstrake.data().join("catalog").display());
        lapstrake.run(["push", &local, "--tag", &catalog]).expect(0);
        let scene = Self { scratch, registry, catalog };
        scene.write("apprunner.yaml", "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build: []\nrun:\n  command: python3 main.py\n");
        scene.write("main.py", "print('one')\n");
        scene.write("web/node_modules/left/index.js", &"module.exports = 1;\n".repeat(9000));
        // Files that were written a moment ago may change once more without a trace.
        tools::run(
            "find",
            [
                scene.app().as_os_str(),
                "-exec".as_ref(),
                "touch".as_ref(),
                "-d".as_ref(),
                "2026-01-02".as_ref(),
                "{}".as_ref(),
                "+".as_ref(),
            ],
        );
        scene
    }

    pub(crate) fn app(&self) -> PathBuf {
        self.scratch.path().join("app")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.app().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    /// A machine with a disk of its own.
    pub(crate) fn machine(&self, name: &str) -> Lapstrake {
        Lapstrake::new().with_data(self.scratch.path().join(name)).with("LAPSTRAKE_NO_CACHE", "false")
    }

    pub(crate) fn build(&self, machine: &Lapstrake, source: &Path, repository: &str, more: &[&str]) -> Built {
        let before = self.registry.requests().len();
        let file = self.scratch.path().join("report.json");
        let reference = self.registry.reference(repository);
        let words = ["build", source.to_str().unwrap(), "--catalog", &self.catalog, "--tag", &reference];
        let words =
            words.into_iter().chain(["--metadata-file", file.to_str().unwrap()]).chain(more.iter().copied());
        let outcome = machine.run(words).expect(0);
        let report: Value = serde_json::from_slice(&fs_err::read(&file).unwrap()).unwrap();
        Built { outcome, report, requests: self.registry.requests().split_off(before) }
    }
}

pub(crate) struct Built {
    pub(crate) outcome: Outcome,
    pub(crate) report: Value,
    pub(crate) requests: Vec<String>,
}

impl Built {
    pub(crate) fn digest(&self) -> String {
        self.report["digest"].as_str().unwrap().to_owned()
    }

    /// Role, origin and what became of each layer of the app at the destination.
    pub(crate) fn layers(&self) -> Vec<(String, String)> {
        let layers = self.report["images"][0]["layers"].as_array().unwrap().iter();
        let own = layers.filter(|layer| matches!(layer["role"].as_str(), Some("dependencies" | "app")));
        own.map(|layer| {
            (layer["role"].as_str().unwrap().to_owned(), layer["origin"].as_str().unwrap().to_owned())
        })
        .collect()
    }

    fn blob_of(&self, role: &str) -> String {
        let layers = self.report["images"][0]["layers"].as_array().unwrap().iter();
        let mut digests = layers.filter(|layer| layer["role"] == role).map(|layer| &layer["digest"]);
        digests.next().unwrap().as_str().unwrap().to_owned()
    }

    pub(crate) fn became(&self, role: &str) -> &str {
        self.report["pushes"][0]["blobs"][self.blob_of(role)].as_str().unwrap()
    }

    fn writes(&self) -> usize {
        self.requests
            .iter()
            .filter(|request| !request.starts_with("GET") && !request.starts_with("HEAD"))
            .count()
    }
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(role, origin)| ((*role).to_owned(), (*origin).to_owned())).collect()
}

#[test]
fn a_second_build_of_the_same_reads_two_names_and_writes_nothing() {
    let scene = Scene::new();
    let (machine, app) = (scene.machine("one"), scene.app());
    let first = scene.build(&machine, &app, "team/app:1", &[]);
    assert_eq!(first.layers(), pairs(&[("dependencies", "built"), ("app", "built")]));
    let second = scene.build(&machine, &app, "team/app:1", &[]);
    assert_eq!((second.digest(), &second.outcome.stdout), (first.digest(), &first.outcome.stdout));
    assert_eq!(second.layers(), pairs(&[("dependencies", "cached"), ("app", "cached")]));
    assert_eq!(second.writes(), 0, "{:#?}", second.requests);
    let to_the_app = second.requests.iter().filter(|request| request.contains("/team/app/"));
    assert_eq!(to_the_app.count(), 1, "{:#?}", second.requests);
    for name in ["runtime", "sourceDigest", "isolation"] {
        assert_eq!(second.report[name], first.report[name], "{name}");
    }
    let anew = scene.build(&machine, &app, "team/app:1", &["--no-cache"]);
    assert_eq!(anew.digest(), first.digest());
    assert_eq!(anew.layers(), pairs(&[("dependencies", "built"), ("app", "built")]));
}

#[test]
fn one_changed_file_costs_the_layer_that_it_is_in() {
    let scene = Scene::new();
    let (machine, app) = (scene.machine("one"), scene.app());
    let first = scene.build(&machine, &app, "team/app:1", &[]);
    scene.write("main.py", "print('two')\n");
    let second = scene.build(&machine, &app, "team/app:1", &[]);
    assert_ne!(second.digest(), first.digest());
    assert_eq!(second.layers(), pairs(&[("dependencies", "cached"), ("app", "built")]));
    assert_eq!(second.blob_of("dependencies"), first.blob_of("dependencies"));
    assert_eq!((second.became("dependencies"), second.became("app")), ("present", "uploaded"));
    assert_eq!(scene.build(&scene.machine("two"), &app, "other:1", &[]).digest(), second.digest());
    scene.write("main.py", "print('one')\n");
    let back = scene.build(&machine, &app, "team/app:1", &["--no-cache"]);
    assert_eq!(back.blob_of("app"), first.blob_of("app"));
}

#[test]
fn an_archive_that_was_built_before_is_known_by_its_digest() {
    let scene = Scene::new();
    let machine = scene.machine("one");
    let archive = scene.scratch.path().join("app.tar.gz");
    tools::run(
        "tar",
        ["-C".as_ref(), scene.app().as_os_str(), "-czf".as_ref(), archive.as_os_str(), ".".as_ref()],
    );
    let first = scene.build(&machine, &archive, "team/app:1", &[]);
    let second = scene.build(&machine, &archive, "team/app:1", &[]);
    assert_eq!(second.digest(), first.digest());
    assert!(
        second.outcome.stderr.contains("is up to date: nothing has changed since"),
        "{}",
        second.outcome.stderr
    );
    assert_eq!(second.report["sourceDigest"], first.report["sourceDigest"]);
    let other_port = scene.build(&machine, &archive, "team/app:1", &["--port", "9000"]);
    assert_ne!(other_port.digest(), first.digest());
    // The tag points at another image now: what was known of the archive is not enough.
    let again = scene.build(&machine, &archive, "team/app:1", &[]);
    assert_eq!(again.digest(), first.digest());
    assert_eq!(again.layers(), pairs(&[("dependencies", "cached"), ("app", "cached")]));
}

#[test]
fn a_fresh_machine_finds_what_others_have_made_and_fetches_none_of_it() {
    let scene = Scene::new();
    let app = scene.app();
    let place = scene.registry.reference("team/cache");
    let cache = ["--cache", &place];
    let first = scene.build(&scene.machine("one"), &app, "team/app:1", &cache);
    assert_eq!(first.layers(), pairs(&[("dependencies", "built"), ("app", "built")]));

    let same = scene.build(&scene.machine("two"), &app, "team/app:1", &cache);
    assert_eq!((same.digest(), same.writes()), (first.digest(), 0), "{:#?}", same.requests);

    scene.write("main.py", "print('two')\n");
    let changed = scene.build(&scene.machine("three"), &app, "team/app:1", &cache);
    assert_eq!(changed.layers(), pairs(&[("dependencies", "cached"), ("app", "built")]));
    let fetched =
        |request: &&String| request.starts_with("GET") && request.contains(&first.blob_of("dependencies"));
    assert_eq!(changed.requests.iter().find(fetched), None);

    let elsewhere = scene.build(&scene.machine("four"), &app, "team/other:1", &cache);
    assert_eq!(elsewhere.digest(), changed.digest());
    assert_eq!((elsewhere.became("dependencies"), elsewhere.became("app")), ("mounted", "mounted"));
    assert_eq!(elsewhere.requests.iter().find(fetched), None);

    let anew = scene.build(&scene.machine("five"), &app, "team/sixth:1", &["--no-cache"]);
    assert_eq!(anew.digest(), changed.digest());
}

#[test]
fn a_cache_that_is_not_there_or_damaged_is_done_without() {
    let scene = Scene::new();
    let (machine, app) = (scene.machine("one"), scene.app());
    let first = scene.build(&machine, &app, "team/app:1", &["--cache", "localhost:1/nobody/there"]);
    assert!(first.outcome.stderr.contains("going on without the cache"), "{}", first.outcome.stderr);

    let blob = first.blob_of("dependencies").replace("sha256:", "");
    let file = machine.data().join("cache/blobs").join(blob);
    let mut bytes = fs_err::read(&file).unwrap();
    bytes[40] ^= 1;
    fs_err::write(&file, bytes).unwrap();
    let second = scene.build(&machine, &app, "team/other:1", &[]);
    assert_eq!(second.digest(), first.digest());
    assert_eq!(second.layers(), pairs(&[("dependencies", "built"), ("app", "cached")]));

    let listed = machine.run(["cache", "ls", "--format", "json"]).expect(0);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let kinds: Vec<&str> =
        listed.as_array().unwrap().iter().map(|kept| kept["kind"].as_str().unwrap()).collect();
    for kind in ["blobs", "builds", "layers"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    let pruned = machine.run(["cache", "prune", "--max-size", "0", "--max-age", "0h"]).expect(0);
    let nothing =
        "0 entries, 0 B given up\n0 B of images in the local store that have lost their tags given up\n";
    assert_eq!(pruned.stdout, nothing, "what was of use within the hour stays");
    machine.run(["cache", "prune", "--max-age", "soon"]).expect(2);
    scene.build(&machine, &app, "team/third:1", &[]);
}

/// An app whose commands read some of its files, list others, and leave things in `/app`, elsewhere, and in `/tmp`.
const COMMANDS: &str = "version: 1.0
runtime: python3
build:
  commands:
    pre-build:
      - mkdir -p /opt/made && cat requirements.txt >/opt/made/packages && date +%s%N >/tmp/when
    build:
      - cat src/one.txt /opt/made/packages >built.txt && cp /tmp/when /opt/when
      - mv moved.txt elsewhere.txt && tr a-z A-Z <built.txt >upper.txt && echo more >>appended.txt
    post-build:
      - test -e upper.txt
run:
  command: python3 main.py
";

impl Scene {
    fn with_commands() -> Self {
        let scene = Self::new();
        scene.write("apprunner.yaml", COMMANDS);
        for name in ["requirements.txt", "src/one.txt", "src/two.txt", "moved.txt", "appended.txt"] {
            scene.write(name, &format!("{name}\n"));
        }
        scene
    }
}

impl Built {
    /// Which commands ran.
    pub(crate) fn ran(&self) -> Vec<bool> {
        self.report["commands"].as_array().unwrap().iter().map(|it| it["runs"].as_bool().unwrap()).collect()
    }

    fn reason(&self, index: usize) -> &str {
        self.report["commands"][index]["reason"].as_str().unwrap()
    }
}

#[test]
fn a_command_runs_again_only_when_something_that_it_read_has_changed() {
    let scene = Scene::with_commands();
    let (machine, app) = (scene.machine("one"), scene.app());
    let first = scene.build(&machine, &app, "team/app:1", &[]);
    assert_eq!(first.ran(), [true; 4]);
    assert_eq!(first.reason(0), "it has not run before");
    scene.write("src/two.txt", "nobody reads this");
    let unread = scene.build(&machine, &app, "team/app:1", &[]);
    // What comes after the build may look at everything.
    assert_eq!(unread.ran(), [false, false, false, true], "{}", unread.outcome.stderr);
    assert_ne!(unread.digest(), first.digest());
    assert_eq!(unread.blob_of("dependencies"), first.blob_of("dependencies"));
    scene.write("src/one.txt", "changed");
    let read = scene.build(&machine, &app, "team/app:1", &[]);
    assert_eq!(read.ran(), [false, true, true, true], "{}", read.outcome.stderr);
    assert_eq!(read.reason(1), "`src/one.txt` has changed");
    // The command that wrote the time of day did not run again, so the one that copies it finds the same.
    assert_eq!(read.blob_of("dependencies"), first.blob_of("dependencies"));
    scene.write("moved.txt", "a file that is moved goes into the result");
    assert_eq!(scene.build(&machine, &app, "team/app:1", &[]).ran(), [false, false, true, true]);
    scene.write("appended.txt", "so does one that is appended to");
    assert_eq!(scene.build(&machine, &app, "team/app:1", &[]).ran(), [false, false, true, true]);
    scene.write("src/three.txt", "new");
    let new = scene.build(&machine, &app, "team/app:1", &[]);
    assert_eq!((new.ran()[0], new.reason(0)), (true, "`src/three.txt` is new"));
    let anew = scene.build(&machine, &app, "team/app:1", &["--no-cache"]);
    assert_eq!(anew.ran(), [true; 4]);
}

#[test]
fn another_machine_takes_what_commands_made_from_the_registry() {
    let scene = Scene::with_commands();
    let app = scene.app();
    let cache = scene.registry.reference("team/cache");
    let cached = ["--cache", cache.as_str()];
    let first = scene.build(&scene.machine("one"), &app, "team/app:1", &cached);
    scene.write("src/two.txt", "nobody reads this");
    let second = scene.build(&scene.machine("two"), &app, "team/app:1", &cached);
    assert_eq!(second.ran()[..3], [false; 3], "{}", second.outcome.stderr);
    assert_eq!(second.blob_of("dependencies"), first.blob_of("dependencies"));
    scene.write("src/one.txt", "changed");
    let third = scene.build(&scene.machine("three"), &app, "team/app:1", &cached);
    assert_eq!(third.ran(), [false, true, true, true], "{}", third.outcome.stderr);
    assert_eq!(third.blob_of("dependencies"), first.blob_of("dependencies"));
}

#[test]
fn commands_run_again_where_what_they_made_is_gone() {
    let scene = Scene::with_commands();
    let (machine, app) = (scene.machine("one"), scene.app());
    let first = scene.build(&machine, &app, "team/app:1", &[]);
    fs_err::remove_dir_all(scene.scratch.path().join("one/cache/blobs")).unwrap();
    scene.write("src/one.txt", "changed");
    let second = scene.build(&machine, &app, "team/app:1", &[]);
    assert_eq!(second.ran(), [true; 4], "{}", second.outcome.stderr);
    assert!(second.outcome.stderr.contains("not to be had any more"), "{}", second.outcome.stderr);
    assert_ne!(second.digest(), first.digest());
}

/// As `npm prune` does with the notes of `npm ci`.
#[test]
fn what_a_command_made_is_kept_although_a_later_one_wrote_into_it() {
    let scene = Scene::new();
    let command = |text: &str| format!("      - {text}\n");
    let commands = [
        command("mkdir node_modules && echo all > node_modules/.notes.json"),
        command("printf 'fewer\\n' > node_modules/.notes.json"),
    ];
    scene.write(
        "apprunner.yaml",
        &format!(
            "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n{}run:\n  command: python3 main.py\n",
            commands.concat()
        ),
    );
    let (machine, app) = (scene.machine("one"), scene.app());
    let first = scene.build(&machine, &app, "team/app:1", &[]);
    assert_eq!(first.ran(), [true; 2]);
    // Another tag: nothing is up to date there, and the commands are asked about.
    let second = scene.build(&machine, &app, "team/app:2", &[]);
    assert_eq!(second.ran(), [false; 2], "{}", second.outcome.stderr);
    assert_eq!(second.digest(), first.digest());
}

/// Everything below a directory: paths, sizes, times and modes.
fn listing(directory: &Path) -> String {
    let format = "%p %y %s %T@ %C@ %m\n";
    let found = tools::run("find", [directory.as_os_str(), "-printf".as_ref(), format.as_ref()]);
    // A catalog that was read is kept there, too.
    let mut lines: Vec<&str> = found.lines().filter(|line| !line.contains("/documents")).collect();
    lines.sort_unstable();
    lines.join("\n")
}

impl Scene {
    /// What `plan --why` says of each command, without its reason where that is not asked for.
    fn why(&self, machine: &Lapstrake, more: &[&str]) -> Value {
        let app = self.app();
        let words = ["plan", app.to_str().unwrap(), "--catalog", &self.catalog, "--why", "--format", "json"];
        let outcome = machine.run(words.into_iter().chain(more.iter().copied())).expect(0);
        serde_json::from_str(&outcome.stdout).unwrap()
    }
}

#[test]
fn a_plan_says_which_commands_will_run_because_of_which_file_and_writes_nothing() {
    let scene = Scene::with_commands();
    let (machine, app) = (scene.machine("one"), scene.app());
    let plan = scene.why(&machine, &[]);
    assert_eq!(plan["why"][0]["reason"], "it has not run before");
    assert_eq!(
        plan["why"][1]["reason"],
        format!("it comes after `{}`, which runs", plan["why"][0]["commands"][0].as_str().unwrap())
    );
    assert_eq!(plan["layers"], Value::Null, "what commands make is not known before they run");
    scene.build(&machine, &app, "team/app:1", &[]);
    let before = listing(&machine.data().join("cache"));
    let plan = scene.why(&machine, &[]);
    for verdict in plan["why"].as_array().unwrap() {
        assert_eq!(
            (&verdict["runs"], &verdict["reason"]),
            (&false.into(), &"nothing that it read has changed".into())
        );
    }
    let roles: Vec<&Value> = plan["layers"].as_array().unwrap().iter().map(|layer| &layer["role"]).collect();
    assert_eq!(roles, ["dependencies", "app"]);
    scene.write("src/one.txt", "changed");
    let plan = scene.why(&machine, &[]);
    assert_eq!(plan["why"][1]["reason"], "`src/one.txt` has changed");
    assert!(listing(&machine.data().join("cache")) == before, "the plan has written something");
    let text =
        machine.run(["plan", app.to_str().unwrap(), "--catalog", &scene.catalog, "--why"]).expect(0).stdout;
    assert!(text.contains("why          [PreBuild] `mkdir -p /opt/made && "), "{text}");
    assert!(text.contains("runs: `src/one.txt` has changed"), "{text}");
    let built = scene.build(&machine, &app, "team/app:1", &[]);
    assert_eq!(built.ran()[..3], [false, true, true]);
    let commands = &built.report["commands"];
    assert_eq!(commands[1]["reason"], plan["why"][1]["reason"]);
    let took = [0, 1].map(|index| commands[index]["milliseconds"].is_u64());
    assert_eq!(took, [false, true], "only what runs takes time: {commands}");
}

#[test]
fn a_plan_looks_into_the_registrys_cache_and_leaves_it_as_it_is() {
    let scene = Scene::with_commands();
    let app = scene.app();
    let cache = scene.registry.reference("team/cache");
    let cached = ["--cache", cache.as_str()];
    scene.build(&scene.machine("one"), &app, "team/app:1", &cached);
    let fresh = scene.machine("two");
    let before = scene.registry.requests().len();
    let plan = scene.why(&fresh, &cached);
    let runs: Vec<&Value> = plan["why"].as_array().unwrap().iter().map(|verdict| &verdict["runs"]).collect();
    assert_eq!(runs, [false; 4]);
    let requests = scene.registry.requests().split_off(before);
    assert!(
        requests.iter().all(|request| request.starts_with("GET") || request.starts_with("HEAD")),
        "{requests:#?}"
    );
    let kept = fs_err::read_dir(fresh.data().join("cache")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(kept.collect::<Vec<_>>(), ["documents"]);
    let alone = scene.why(&fresh, &[]);
    assert_eq!(alone["why"][0]["reason"], "it has not run before");
}

#[test]
fn what_commands_made_before_one_that_failed_is_not_made_again() {
    let scene = Scene::with_commands();
    let (machine, app) = (scene.machine("one"), scene.app());
    scene.write(
        "apprunner.yaml",
        &COMMANDS.replace("cp /tmp/when /opt/when", "cp /tmp/when /opt/when && cat late.txt"),
    );
    let reference = scene.registry.reference("team/app:1");
    let cache = scene.registry.reference("team/cache");
    let words =
        ["build", app.to_str().unwrap(), "--catalog", &scene.catalog, "--tag", &reference, "--cache", &cache];
    let failed = machine.run(words).expect(1);
    assert!(failed.stderr.contains("late.txt"), "{}", failed.stderr);
    scene.write("apprunner.yaml", COMMANDS);
    let mended = scene.build(&machine, &app, "team/app:1", &["--cache", &cache]);
    // The app file is one of the files of the app, which nobody reads here.
    assert_eq!(mended.ran(), [false, true, true, true], "{}", mended.outcome.stderr);
    let elsewhere = scene.build(&scene.machine("two"), &app, "team/app:2", &["--cache", &cache]);
    assert_eq!(elsewhere.digest(), mended.digest());
    scene.write("src/two.txt", "nobody reads this");
    let elsewhere = scene.build(&scene.machine("three"), &app, "team/app:2", &["--cache", &cache]);
    assert_eq!(elsewhere.ran()[..3], [false; 3], "{}", elsewhere.outcome.stderr);
}

/// Commands without a clock or chance in them, which read, list, link, move, change and remove.
const RANDOM_COMMANDS: &str = "version: 1.0
runtime: python3
build:
  commands:
    pre-build:
      - mkdir -p /opt/made && cat src/a src/b >/opt/made/ab 2>/dev/null; ls src >/opt/made/names; true
    build:
      - sh -c 'for file in src/*; do if test -d \"$file\"; then ls \"$file\"; else cat \"$file\"; fi; done' >all.txt; true
      - test -x src/c && echo c >>runs.txt; readlink src/d >link.txt; cat src/d >>link.txt 2>/dev/null; true
      - mv src/e moved.txt 2>/dev/null; cp -r src/f copied 2>/dev/null; rm -rf src/g; ln src/h hard.txt 2>/dev/null; true
      - python3 -c \"import os; print([os.path.exists('src/' + name) for name in 'abcd'], os.path.exists('/opt/made/ab'))\" >seen.txt
run:
  command: python3 main.py
";

/// A random walk: each step is a number that the next one follows from, the same in every run.
struct Walk(u64);

impl Walk {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// Changes one of the files; few names and few contents, so that earlier states come back.
    fn step(&mut self, app: &Path) -> String {
        use std::os::unix::fs::PermissionsExt;
        let name = char::from(b'a' + u8::try_from(self.below(8)).unwrap());
        let path = app.join("src").join(name.to_string());
        let other = char::from(b'a' + u8::try_from(self.below(8)).unwrap());
        let text = format!("text {}\n", self.below(3));
        let clear = || {
            if fs_err::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
                fs_err::remove_dir_all(&path).unwrap();
            } else {
                let _ = fs_err::remove_file(&path);
            }
        };
        match self.below(7) {
            0 => {
                clear();
                format!("{name} is gone")
            }
            1 => {
                clear();
                std::os::unix::fs::symlink(other.to_string(), &path).unwrap();
                format!("{name} leads to {other}")
            }
            2 => {
                clear();
                fs_err::create_dir(&path).unwrap();
                fs_err::write(path.join("inner"), &text).unwrap();
                format!("{name} is a directory")
            }
            3 if path.is_file() && !path.is_symlink() => {
                let mode = fs_err::metadata(&path).unwrap().permissions().mode() ^ 0o111;
                fs_err::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
                format!("{name} has another mode")
            }
            _ => {
                clear();
                fs_err::write(&path, &text).unwrap();
                format!("{name} has {text:?}")
            }
        }
    }
}

#[test]
fn whatever_changes_what_is_taken_from_the_cache_is_what_would_be_made_anew() {
    let scene = Scene::new();
    scene.write("apprunner.yaml", RANDOM_COMMANDS);
    let app = scene.app();
    let (machine, anew) = (scene.machine("one"), scene.machine("two"));
    let given = |name: &str, usual: u64| {
        std::env::var_os(name).map_or(usual, |given| given.to_str().unwrap().parse().unwrap())
    };
    let steps = given("LAPSTRAKE_TEST_MUTATIONS", 16);
    let mut walk = Walk(given("LAPSTRAKE_TEST_SEED", 7));
    scene.write("src/a", "text 0\n");
    let mut history = Vec::new();
    let (mut ran, mut taken) = (0, 0);
    for _ in 0..steps {
        history.push(walk.step(&app));
        let planned = scene.why(&machine, &["--symlinks", "keep-dangling"]);
        let cached = scene.build(&machine, &app, "team/app:1", &["--symlinks", "keep-dangling"]);
        let fresh = scene.build(&anew, &app, "team/fresh:1", &["--symlinks", "keep-dangling", "--no-cache"]);
        assert_eq!(cached.digest(), fresh.digest(), "{history:#?}\n{}", cached.outcome.stderr);
        if cached.report["commands"].is_array() {
            ran += cached.ran().iter().filter(|runs| **runs).count();
            taken += cached.ran().iter().filter(|runs| !**runs).count();
            let foreseen =
                planned["why"].as_array().unwrap().iter().map(|verdict| verdict["runs"].as_bool().unwrap());
            for (foreseen, runs) in foreseen.zip(cached.ran()) {
                // What comes behind a command that runs may turn out to be known.
                assert!(foreseen || !runs, "{history:#?}\n{planned:#}\n{}", cached.outcome.stderr);
            }
        }
    }
    assert!(ran > 0 && taken > 0, "{ran} commands ran, {taken} did not");
}

/// Commands that tell what of the installers' caches they find, and leave something there.
const PACKAGES: &str = "version: 1.0
runtime: python3
build:
  commands:
    build:
      - cat $PIP_CACHE_DIR/left $UV_CACHE_DIR/left $npm_config_cache/left 2>/dev/null | tr -d '\\n' >found.txt; true
      - for kind in $PIP_CACHE_DIR $UV_CACHE_DIR $npm_config_cache; do mkdir -p $kind && echo left >>$kind/left; done
run:
  command: python3 main.py
";

#[test]
fn what_installers_download_is_kept_for_the_same_source_or_name_and_for_no_other() {
    let scene = Scene::new();
    scene.write("apprunner.yaml", PACKAGES);
    let machine = scene.machine("one");
    let other = scene.scratch.path().join("other");
    tools::run("cp", [Path::new("-r"), &scene.app(), &other]);
    // Each build is another one, so that the commands run.
    let mut count = 0;
    let mut found = |source: &Path, more: &[&str]| {
        count += 1;
        fs_err::write(source.join(format!("new{count}.txt")), "").unwrap();
        let layout = scene.scratch.path().join(format!("layout{count}"));
        let output = format!("oci:{}", layout.display());
        let words = ["build", source.to_str().unwrap(), "--catalog", &scene.catalog, "--output", &output];
        machine.run(words.into_iter().chain(more.iter().copied())).expect(0);
        let files = Image::open(&layout, None).files();
        String::from_utf8(files["app/found.txt"].bytes.clone()).unwrap()
    };
    assert_eq!(found(&scene.app(), &[]), "");
    assert_eq!(found(&scene.app(), &[]), "leftleftleft");
    assert_eq!(found(&other, &[]), "");
    assert_eq!(found(&other, &["--no-cache"]), "");
    assert_eq!(found(&scene.app(), &["--package-cache", "team"]), "");
    assert_eq!(found(&other, &["--package-cache", "team"]), "leftleftleft");
    let listed = machine.run(["cache", "ls"]).expect(0).stdout;
    assert_eq!(listed.lines().filter(|line| line.starts_with("packages ")).count(), 3, "{listed}");
}

#[test]
fn what_has_lost_its_tag_in_the_local_store_is_given_up_once_it_is_old() {
    let scene = Scene::new();
    let (machine, app) = (scene.machine("one"), scene.app());
    let build =
        || machine.run(["build", app.to_str().unwrap(), "--catalog", &scene.catalog]).expect(0).digest();
    let store = machine.data().join("store");
    let blobs = || fs_err::read_dir(store.join("blobs/sha256")).unwrap().count();
    build();
    let first = blobs();
    scene.write("main.py", "print('two')\n");
    let digest = build();
    assert!(blobs() > first);
    let prune = || machine.run(["cache", "prune"]).expect(0).stdout;
    assert!(prune().contains("\n0 B of images"), "what is young may be on its way to a tag");
    let old = ["-type", "f", "-exec", "touch", "-d", "2026-01-02", "{}", "+"];
    tools::run("find", std::iter::once(store.as_os_str()).chain(old.iter().map(AsRef::as_ref)));
    let told = prune();
    assert!(!told.contains("\n0 B of images") && blobs() == first, "{told}");
    assert_eq!(build(), digest);
    let image = format!("oci:{}:app", store.display());
    machine.run(["push", &image, "--tag", &scene.registry.reference("team/app:kept")]).expect(0);
}
