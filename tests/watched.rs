//! `watch`: a branch is built when something in scope was pushed, once, whatever happens in between.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::copy_tree;
use lapstrake_fixtures::web::{Site, Web};
use serde_json::Value;

use crate::harness::{Lapstrake, Registry, Repository, Watching, tools, workspace};

/// A repository with an app in `web`, a registry, and a place for the state.
struct Bench {
    repository: Repository,
    registry: Registry,
    scratch: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let repository = Repository::new();
        copy_tree(&App::named("plain-python").directory(), &repository.path().join("web")).unwrap();
        repository.commit();
        Self { repository, registry: Registry::start(), scratch: workspace::scratch() }
    }

    /// The same with one build command.
    fn with_command(command: &str) -> Self {
        let bench = Self::new();
        bench.set_command(command);
        bench
    }

    fn set_command(&self, command: &str) -> String {
        let text = format!(
            "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n      - {command}\n\
             run:\n  command: python3 server.py\n"
        );
        self.repository.commit_file("web/apprunner.yaml", &text)
    }

    fn push(&self, file: &str, content: &str) -> String {
        self.repository.commit_file(file, content)
    }

    fn state_file(&self) -> PathBuf {
        self.scratch.path().join("state.json")
    }

    fn state(&self) -> Value {
        serde_json::from_slice(&fs_err::read(self.state_file()).unwrap()).unwrap()
    }

    fn target(&self) -> String {
        self.registry.reference("team/app:1")
    }

    fn url(&self) -> String {
        format!("git+file://{}", self.repository.name())
    }

    /// Starts a watch of `main`, with more arguments.
    fn watch(&self, more: &[&str]) -> Watching {
        self.watch_branch("main", &self.target(), more)
    }

    fn watch_branch(&self, branch: &str, target: &str, more: &[&str]) -> Watching {
        let (url, state) = (self.url(), self.state_file());
        let fixed = [&url, "--branch", branch, "--source-dir", "web", "-t", target];
        let state = ["--state", state.to_str().unwrap()];
        Watching::start(&Lapstrake::new(), &[&fixed[..], &state, more].concat())
    }

    /// Looks once; returns the exit code, the results, and what was said.
    fn once(&self, more: &[&str]) -> (Option<i32>, Vec<String>, String) {
        let mut watching = self.watch(&[&["--once"], more].concat());
        let code = watching.end();
        std::thread::sleep(Duration::from_millis(100));
        let results = watching.results();
        (code, results, watching.news().join("\n"))
    }

    /// What the registry holds under the tag.
    fn tagged(&self) -> String {
        let image = format!("docker://{}", self.target());
        let arguments = ["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &image];
        let digest = tools::run("skopeo", arguments);
        format!("{}/team/app@{}", self.registry.host(), digest.trim())
    }
}

fn short(commit: &str) -> &str {
    &commit[..12]
}

#[test]
fn only_pushes_in_scope_are_built() {
    let bench = Bench::new();
    let mut watching = bench.watch(&["--also", "libs/**"]);
    watching.wait_for("nothing was built yet");
    let first = watching.result();
    assert_eq!(first, bench.tagged());
    watching.wait_for("was built already");

    let readme = bench.push("README.md", "hello");
    watching.wait_for(&format!("{} changes nothing in scope", short(&readme)));
    assert_eq!(watching.results(), Vec::<String>::new());

    let web = bench.push("web/more.txt", "hello");
    watching.wait_for(&format!("{}: 1 path in scope changed", short(&web)));
    let second = watching.result();
    assert_eq!(second, bench.tagged());
    assert_ne!(first, second);

    let shared = bench.push("libs/x.py", "hello");
    watching.wait_for(&format!("building {}", short(&shared)));
    watching.result();

    // What was passed over is not lost: it comes with the next push in scope.
    bench.push("docs/x", "1");
    let last = bench.push("web/more.txt", "again");
    watching.wait_for(&format!("built {}", short(&last)));
    assert_eq!(watching.result(), bench.tagged());
    assert_eq!(bench.state()["built"]["commit"], last.as_str());
    assert_eq!(watching.stop("TERM").0, Some(143));
}

// row 50
#[test]
fn what_is_pushed_during_a_build_is_built_afterwards_exactly_once() {
    let bench = Bench::with_command("echo the command runs; sleep 3");
    let mut watching = bench.watch(&[]);
    watching.wait_for("] the command runs");
    let superseded = bench.push("web/a", "1");
    let newest = bench.push("web/a", "2");
    watching.result();
    watching.wait_for(&format!("building {}", short(&newest)));
    assert_eq!(watching.result(), bench.tagged());
    watching.wait_for(&format!("{} was built already", short(&newest)));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(watching.results(), Vec::<String>::new());
    watching.news();
    let said = watching.said.join("\n");
    assert_eq!(said.matches("building ").count(), 2, "{said}");
    assert!(!said.contains(short(&superseded)), "{said}");
}

#[test]
fn a_watch_that_was_killed_goes_on_where_it_was() {
    let bench = Bench::with_command("echo the command runs; sleep 3");
    let mut watching = bench.watch(&[]);
    watching.wait_for("] the command runs");
    // In the middle of a build: it is begun again.
    assert_eq!(watching.stop("KILL").0, None);
    assert!(!bench.state_file().exists());
    let mut watching = bench.watch(&[]);
    let first = watching.result();
    watching.wait_for("was built already");
    // Between builds: nothing is built again.
    watching.stop("KILL");
    let built = bench.state();
    let mut watching = bench.watch(&[]);
    watching.wait_for("was built last");
    watching.wait_for("was built already");
    assert_eq!(watching.results(), Vec::<String>::new());
    watching.stop("KILL");
    assert_eq!(bench.state(), built);
    // And what was pushed while nobody looked is built.
    bench.push("web/a", "1");
    let mut watching = bench.watch(&[]);
    let second = watching.result();
    assert_eq!(second, bench.tagged());
    assert_ne!(first, second);
}

#[test]
fn two_watches_of_one_target_never_run_at_a_time() {
    let bench = Bench::new();
    let mut first = bench.watch(&[]);
    first.result();
    let mut other = Bench::new();
    other.registry = Registry::start();
    // Another repository and another state file, but the same reference among its own.
    let target = bench.target();
    let mut second = other.watch(&["-t", &target]);
    let line = second.wait_for("error: ");
    assert_eq!(line, format!("error: `{target}` is being watched already, by process {}", first.pid()));
    second.wait_for("hint: only one watch");
    assert_eq!(second.end(), Some(75));
    // The same state file for another reference.
    let mut third = bench.watch_branch("main", &bench.registry.reference("other/app:1"), &[]);
    third.wait_for("is being watched already");
    assert_eq!(third.end(), Some(75));
    // The lock goes with its process, however that ends.
    first.stop("KILL");
    let mut again = bench.watch(&[]);
    again.wait_for("was built already");
}

#[test]
fn looking_once_builds_what_is_due_and_ends() {
    let bench = Bench::new();
    let (code, results, _) = bench.once(&[]);
    assert_eq!((code, results), (Some(0), vec![bench.tagged()]));
    let (code, results, said) = bench.once(&[]);
    assert_eq!((code, results.len()), (Some(0), 0));
    assert!(said.contains("was built already"), "{said}");
    bench.push("README.md", "hello");
    let (code, results, said) = bench.once(&[]);
    assert_eq!((code, results.len()), (Some(0), 0));
    assert!(said.contains("changes nothing in scope"), "{said}");
    bench.push("web/a", "1");
    assert_eq!(bench.once(&[]).1, [bench.tagged()]);
}

#[test]
fn row_50_what_was_pushed_before_a_crash_is_built_once_more_and_is_the_same() {
    let bench = Bench::new();
    let first = bench.once(&[]).1;
    bench.push("web/a", "1");
    let before = fs_err::read(bench.state_file()).unwrap();
    let second = bench.once(&[]).1;
    assert_ne!(first, second);
    // A crash between the push and the writing of the state leaves the state as it was.
    fs_err::write(bench.state_file(), before).unwrap();
    let (code, results, said) = bench.once(&[]);
    assert_eq!((code, &results), (Some(0), &second), "{said}");
    assert_eq!(second, [bench.tagged()]);
    assert!(bench.once(&[]).2.contains("was built already"));
}

#[test]
fn an_app_that_fails_waits_for_another_commit() {
    let bench = Bench::with_command("exit 7");
    let (code, results, _) = bench.once(&[]);
    assert_eq!((code, results.len()), (Some(1), 0));
    assert_eq!(bench.state()["failed"]["class"], "app-failed");
    let (code, _, said) = bench.once(&[]);
    assert_eq!(code, Some(0));
    assert!(said.contains("failed before; another commit is waited for"), "{said}");

    let mut watching = bench.watch(&[]);
    watching.wait_for("failed before; another commit is waited for");
    let broken = bench.push("web/apprunner.yaml", "version: 1.0\nruntime: pyton3\n");
    watching.wait_for(&format!("the build of {} failed; another commit is waited for", short(&broken)));
    assert_eq!(bench.state()["failed"]["class"], "not-understood");
    bench.set_command("true");
    assert_eq!(watching.result(), bench.tagged());
    assert!(bench.state().get("failed").is_none());
}

/// Passes connections to a port of this machine on to another one, for as long as the test runs.
fn forward(listener: TcpListener, to: String) {
    std::thread::spawn(move || {
        for from in listener.incoming() {
            let (mut from, mut to) = (from.unwrap(), TcpStream::connect(&to).unwrap());
            let (mut back, mut forth) = (to.try_clone().unwrap(), from.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut back, &mut forth);
                let _ = forth.shutdown(std::net::Shutdown::Write);
            });
        }
    });
}

#[test]
fn a_registry_that_is_away_for_a_while_gets_the_image_later() {
    let bench = Bench::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let mut watching = bench.watch_branch("main", &format!("{address}/team/app:1"), &[]);
    watching.wait_for("failed; it is tried again in");
    let failed = &bench.state()["failed"];
    assert_eq!((&failed["class"], &failed["failures"]), (&"transient".into(), &1.into()));
    forward(TcpListener::bind(address).unwrap(), bench.registry.host());
    watching.wait_for("the last try failed");
    let pushed = watching.result();
    assert_eq!(pushed.rsplit('@').next(), bench.tagged().rsplit('@').next());
    assert!(bench.state().get("failed").is_none());
}

#[test]
fn a_remote_that_is_away_is_waited_for_once_it_was_there() {
    let bench = Bench::new();
    let (there, away) = (bench.repository.path().join(".git"), bench.repository.path().join("away"));
    fs_err::rename(&there, &away).unwrap();
    let mut watching = bench.watch(&[]);
    watching.wait_for("is no git repository");
    assert_eq!(watching.end(), Some(2));
    fs_err::rename(&away, &there).unwrap();

    let mut watching = bench.watch(&[]);
    watching.result();
    fs_err::rename(&there, &away).unwrap();
    watching.wait_for("; looking again in");
    fs_err::rename(&away, &there).unwrap();
    bench.push("web/a", "1");
    watching.result();
}

#[test]
fn a_server_that_fails_for_a_while_is_asked_later_and_a_login_that_is_refused_ends_it() {
    let bench = Bench::new();
    let served = bench.scratch.path().join("served");
    bench.repository.push_to(&served, "team/app");
    let web = Web::start(Site::repositories(&served).private("x-access-token", "let-me-in"));
    let url = format!("git+{}", web.url("/team/app.git"));
    let state = bench.state_file();
    let target = bench.target();
    let arguments =
        [&url, "--branch", "main", "--source-dir", "web", "-t", &target, "--state", state.to_str().unwrap()];
    let watch =
        |token: &str| Watching::start(&Lapstrake::new().with("LAPSTRAKE_GIT_TOKEN", token), &arguments);

    let mut refused = watch("wrong");
    refused.wait_for("LAPSTRAKE_GIT_TOKEN");
    assert_eq!(refused.end(), Some(3));

    let mut watching = watch("let-me-in");
    assert_eq!(watching.result(), bench.tagged());
    assert_eq!(bench.state()["watched"]["remote"], web.url("/team/app.git"));
    web.change(|site| site.login = Some(("nobody".to_owned(), "else".to_owned())));
    watching.wait_for("; looking again in");
    bench.push("web/a", "1");
    bench.repository.push_to(&served, "team/app");
    web.change(|site| site.login = Some(("x-access-token".to_owned(), "let-me-in".to_owned())));
    assert_eq!(watching.result(), bench.tagged());
    assert!(!watching.said.join("\n").contains("let-me-in"));
}

#[test]
fn a_branch_that_goes_is_waited_for_and_one_that_never_was_is_an_error() {
    let bench = Bench::new();
    let mut watching = bench.watch_branch("mian", &bench.target(), &[]);
    watching.wait_for("has no branch `mian`");
    watching.wait_for("hint: there are `main`");
    assert_eq!(watching.end(), Some(2));

    let mut watching = bench.watch(&[]);
    watching.result();
    bench.repository.git(["checkout", "--quiet", "-b", "other"]);
    bench.repository.git(["branch", "--quiet", "--delete", "--force", "main"]);
    watching.wait_for("has no branch `main`; it is waited for");
    bench.push("web/a", "1");
    bench.repository.git(["branch", "main"]);
    assert_eq!(watching.result(), bench.tagged());
    let waits = watching.said.iter().filter(|line| line.contains("it is waited for")).count();
    assert_eq!(waits, 1, "{:?}", watching.said);
}

#[test]
fn a_history_that_was_rewritten_is_built_and_said() {
    let bench = Bench::new();
    let mut watching = bench.watch(&[]);
    let first = watching.result();
    watching.wait_for("was built already");
    bench.repository.write("web/a", "1");
    bench.repository.git(["add", "--all"]);
    bench.repository.git(["commit", "--quiet", "--amend", "--message=rewritten"]);
    bench.repository.git(["reflog", "expire", "--expire=now", "--all"]);
    bench.repository.git(["gc", "--quiet", "--prune=now"]);
    watching.wait_for("the history of `main` was rewritten");
    let second = watching.result();
    assert_eq!(second, bench.tagged());
    assert_ne!(first, second);
}

#[test]
fn a_command_follows_each_build_and_its_failure_builds_nothing_again() {
    let bench = Bench::new();
    let seen = bench.scratch.path().join("seen");
    let command = format!(
        "echo noise; printf '%s %s %s %s\\n' \"$LAPSTRAKE_DIGEST\" \"$LAPSTRAKE_REFERENCE\" \"$LAPSTRAKE_COMMIT\" \
         \"$LAPSTRAKE_BRANCH\" >> '{}'; exit 3",
        seen.display()
    );
    let mut watching = bench.watch(&["--on-success", &command]);
    let reference = watching.result();
    watching.wait_for("[OnSuccess] noise");
    watching.wait_for("the command that follows a build failed: exit status: 3");
    watching.wait_for("was built already");
    assert_eq!(bench.state()["built"]["onSuccess"], "failed");
    let (_, digest) = reference.split_once('@').unwrap();
    let head = bench.repository.git(["rev-parse", "HEAD"]);
    assert_eq!(fs_err::read_to_string(&seen).unwrap(), format!("{digest} {reference} {head} main\n"));
    assert_eq!(watching.results(), Vec::<String>::new());
    watching.stop("TERM");

    let (code, results, _) = bench.once(&["--on-success", &command]);
    assert_eq!((code, results.len()), (Some(0), 0));
    assert_eq!(fs_err::read_to_string(&seen).unwrap().lines().count(), 1);
}

#[test]
fn a_following_command_that_was_cut_short_runs_again() {
    let bench = Bench::new();
    let seen = bench.scratch.path().join("seen");
    let command = format!("echo follows; sleep 2; echo done >> '{}'", seen.display());
    let mut watching = bench.watch(&["--on-success", &command]);
    watching.wait_for("[OnSuccess] follows");
    assert_eq!(bench.state()["built"]["onSuccess"], "pending");
    let (code, took) = watching.stop("TERM");
    assert_eq!(code, Some(143));
    assert!(took < Duration::from_secs(2), "{took:?}");
    std::thread::sleep(Duration::from_secs(3));
    assert!(!seen.exists());
    let (code, results, _) = bench.once(&["--on-success", &command]);
    assert_eq!((code, results.len()), (Some(0), 0));
    assert_eq!(bench.state()["built"]["onSuccess"], "done");
    assert_eq!(fs_err::read_to_string(&seen).unwrap(), "done\n");
}

/// The processes whose command line contains `words`.
fn processes(words: &str) -> usize {
    let entries = fs_err::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = entries.filter_map(|entry| fs_err::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(words)).count()
}

#[test]
fn a_signal_during_a_build_ends_it_cleanly_and_keeps_the_state() {
    // The length of the sleep tells this command from those of other tests.
    let sleep = format!("5{}", std::process::id());
    let bench = Bench::new();
    let mut watching = bench.watch(&[]);
    watching.result();
    let before = bench.state();
    bench.set_command(&format!("echo the command runs; sleep {sleep}"));
    watching.wait_for("] the command runs");
    let (code, took) = watching.stop("INT");
    assert_eq!(code, Some(130));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(processes(&format!("sleep\0{sleep}\0")), 0);
    assert_eq!(bench.state(), before);
}

#[test]
fn what_is_remembered_lies_in_the_data_directory_and_is_read_strictly() {
    let bench = Bench::new();
    let data = workspace::data().join("watch");
    let url = bench.url();
    let arguments = ["watch", &url, "--branch", "main", "--source-dir", "web", "--once", "-t"];
    let run = || Lapstrake::new().run(arguments.iter().copied().chain([bench.target().as_str()]));
    let states = || -> Vec<PathBuf> {
        let entries = fs_err::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
        let json = entries.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        json.filter(|path| fs_err::read_to_string(path).unwrap().contains(bench.repository.name())).collect()
    };
    let outcome = run().expect(0);
    assert_eq!(outcome.stdout, format!("{}\n", bench.tagged()));
    let [state] = &states()[..] else { panic!("{:?}", states()) };
    let kept: Value = serde_json::from_slice(&fs_err::read(state).unwrap()).unwrap();
    let head = bench.repository.git(["rev-parse", "HEAD"]);
    assert_eq!((&kept["schema"], &kept["built"]["commit"]), (&1.into(), &head.as_str().into()));
    assert_eq!(run().expect(0).stdout, "");

    let text = fs_err::read_to_string(state).unwrap();
    fs_err::write(state, &text[..text.len() / 2]).unwrap();
    let refused = run().expect(2);
    let name = state.display();
    assert!(refused.stderr.contains(&format!("`{name}` is not the state of a watch")), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: delete the file"), "{}", refused.stderr);
    remove(state);
}

fn remove(file: &Path) {
    fs_err::remove_file(file).unwrap();
    // Its lock stays for whoever watches the same reference.
    assert!(file.parent().unwrap().is_dir());
}

#[test]
fn what_is_not_understood_ends_a_watch_at_once() {
    let bench = Bench::new();
    let (url, target) = (bench.url(), bench.target());
    let outside = workspace::scratch();
    let at = format!("{url}#next");
    for (arguments, message) in [
        (&[url.as_str(), "-t", &target][..], "no branch is named"),
        (&[&url, "--branch", "main"], "--tag <REF>"),
        (&[&at, "--branch", "main", "-t", &target], "the source names `next`"),
        (&[&url, "--branch", "a..b", "-t", &target], "the branch is not understood"),
        (&[&url, "--branch", "main", "-t", "app"], "the registry is missing"),
        (&[&url, "--branch", "main", "-t", &target, "--also", "!x"], "`!x` is no glob"),
        (&[&url, "--branch", "main", "-t", &target, "--interval", "0"], "--interval"),
        (&[outside.path().to_str().unwrap(), "--branch", "main", "-t", &target], "is no git repository"),
    ] {
        let outcome = Lapstrake::new().run(["watch"].iter().chain(arguments)).expect(2);
        assert!(outcome.stderr.contains(message), "{arguments:?}: {}", outcome.stderr);
    }
}
