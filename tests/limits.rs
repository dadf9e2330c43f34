//! What a source and its commands may use, and who the commands are: what is documented unless it is set.

use std::path::PathBuf;

use lapstrake_fixtures::registry::{Auth, Registry as Double, Settings};

use crate::harness::{Lapstrake, Outcome, tools, workspace};

/// An app with one build command.
struct App {
    scratch: tempfile::TempDir,
}

impl App {
    fn new(command: &str) -> Self {
        let scratch = workspace::scratch();
        let app = Self { scratch };
        fs_err::create_dir(app.source()).unwrap();
        let text = format!(
            "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n      - {command}\nrun:\n  command: python3 main.py\n"
        );
        fs_err::write(app.source().join("apprunner.yaml"), text).unwrap();
        fs_err::write(app.source().join("main.py"), "").unwrap();
        app
    }

    fn source(&self) -> PathBuf {
        self.scratch.path().join("source")
    }

    fn build(&self, lapstrake: &Lapstrake, more: &[&str]) -> Outcome {
        let source = self.source();
        let output = format!("oci:{}", self.scratch.path().join("layout").display());
        let build = ["build", source.to_str().unwrap(), "--output", &output, "--no-cache"];
        lapstrake.run(build.iter().chain(more))
    }
}

#[test]
fn a_source_beyond_a_limit_is_refused_with_the_option_that_moves_it() {
    let app = App::new("'true'");
    let machine = Lapstrake::new();
    fs_err::write(app.source().join("data"), [7; 5000]).unwrap();
    for (limit, option) in [("source-entries=2", "source-entries"), ("source-size=5kB", "source-size")] {
        let refused = app.build(&machine, &["--limit", limit]).expect(5);
        let hint = format!("`--limit {option}=…` sets the limit");
        assert!(refused.stderr.contains(&hint), "{}", refused.stderr);
    }
    let refused = app.build(&machine.clone().with("LAPSTRAKE_LIMIT", "build-time=1h,source-entries=2"), &[]);
    assert!(refused.expect(5).stderr.contains("more than 2 entries"));
    app.build(&machine, &["--limit", "source-entries=3", "--limit", "source-size=6kB"]).expect(0);
    let wrong = app.build(&machine, &["--limit", "source-entries=many"]).expect(2);
    assert!(wrong.stderr.contains("expected a whole number"), "{}", wrong.stderr);
}

#[test]
fn commands_beyond_a_limit_are_stopped_with_the_option_that_moves_it() {
    let machine = Lapstrake::new();
    let memory = "python3 -c \"b = bytearray(300 << 20); print(len(b))\"";
    let disk = "head -c 30000000 /dev/zero >zeros; sleep 5; rm zeros";
    let file = "head -c 30000000 /dev/zero >zeros; rm zeros";
    for (command, limit, cause) in [
        ("sleep 60", "build-time=2s", "exceeded the time limit of 2 s"),
        (memory, "build-memory=100MiB", "out of memory"),
        (disk, "build-disk=20MB", "zeros"),
    ] {
        let app = App::new(&format!("'{command}'"));
        let stopped = app.build(&machine, &["--limit", limit]);
        let is_stopped = stopped.code == Some(1) && stopped.stderr.contains(cause);
        // What a process cannot even ask for fails in its own words.
        assert!(is_stopped || limit.starts_with("build-memory"), "{limit}: {}", stopped.stderr);
        assert_eq!(stopped.code, Some(1), "{limit}: {}", stopped.stderr);
        if limit.starts_with("build-time") {
            assert!(stopped.stderr.contains("`--limit build-time=…` sets the limit"), "{}", stopped.stderr);
        }
    }
    for (command, limit) in [(memory, "build-memory=1GiB"), (file, "build-disk=80MB")] {
        App::new(&format!("'{command}'")).build(&machine, &["--limit", limit]).expect(0);
    }
}

#[test]
fn commands_run_under_the_user_that_was_named() {
    if !tools::is_root() {
        println!("skipped: an ordinary user's commands run under that user");
        return;
    }
    let app = App::new("cat /proc/self/uid_map");
    let machine = Lapstrake::new();
    for (given, outside) in [(&[][..], "65533"), (&["--build-uid", "54327"], "54327")] {
        let built = app.build(&machine, given).expect(0);
        let mapped = built.stderr.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let found = mapped.filter(|words| words.ends_with(&["1000", outside, "1"])).count();
        assert_eq!(found, 1, "{}", built.stderr);
    }
    app.build(&machine, &["--build-uid", "0"]).expect(2);
}

#[test]
fn a_token_service_without_tls_is_told_no_password_unless_its_host_was_allowed() {
    let app = App::new("'true'");
    let registry = Double::with(Settings { auth: Auth::Token, ..Settings::default() });
    // Its own address under a name that is none of loopback.
    let realm = format!("0.0.0.0:{}", registry.host().rsplit(':').next().unwrap());
    registry.change(|settings| settings.realm = Some(format!("http://{realm}/token")));
    let logins = app.scratch.path().join("auth.json");
    let login = r#"{"auths": {"HOST": {"auth": "dXNlcjpwYXNzd29yZA=="}}}"#.replace("HOST", registry.host());
    fs_err::write(&logins, login).unwrap();
    let machine = Lapstrake::new().with("LAPSTRAKE_AUTHFILE", &logins);
    let tag = format!("{}/team/app:1", registry.host());
    let refused = app.build(&machine, &["-t", &tag]);
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("`--realm-allow HOST` permits it"), "{}", refused.stderr);
    assert!(registry.log().iter().all(|request| !request.path.starts_with("/token")));
    let output = format!("oci:{}", app.scratch.path().join("layout").display());
    app.build(&machine, &["-t", &tag, "-o", &output, "--realm-allow", &realm]).expect(0);
    assert!(registry.tags("team/app").contains(&"1".to_owned()));
}
