//! The runner against repositories of this machine.

mod comparing;
mod local;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;

/// A repository that a test writes to as a person would.
struct Written {
    directory: tempfile::TempDir,
}

impl Written {
    fn new() -> Self {
        Self::with(&[])
    }

    /// A repository of another format.
    fn with(options: &[&str]) -> Self {
        let written = Self { directory: tempfile::tempdir().unwrap() };
        written.git(&[&["init", "--quiet", "--initial-branch=main"], options, &["."]].concat());
        written
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Tester", "-c", "user.email=tester@example.com"])
            .args(arguments)
            .current_dir(self.directory.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_COMMITTER_DATE", "1700000000 +0100")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits one file with some content and returns the commit's name.
    fn commit(&self, file: &str, content: &str) -> String {
        let path = self.directory.path().join(file);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "-m", "a change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn remote(&self) -> Remote {
        Remote::directory(self.directory.path()).unwrap()
    }
}

/// Git as a caller with an empty home has it, and a place for its repository.
struct Bench {
    git: Git,
    scratch: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let path = std::env::var_os("PATH").unwrap().into_string().unwrap();
        let caller =
            BTreeMap::from([("PATH".to_owned(), path), ("GIT_CONFIG_NOSYSTEM".to_owned(), "1".to_owned())]);
        let git =
            Git { env: environment::of_caller(&caller), stop: Stop::default(), limits: GitLimits::default() };
        Self { git, scratch: tempfile::tempdir().unwrap() }
    }

    fn place(&self) -> PathBuf {
        self.scratch.path().join("repository.git")
    }

    fn fetch(&self, remote: &Remote, revision: &str) -> Result<Fetched, GitError> {
        let _ = fs_err::remove_dir_all(self.place());
        self.git.repository(self.place()).unwrap().fetch(remote, &revision.parse().unwrap())
    }
}

// row 45, row 46
#[test]
fn branches_tags_and_commits_are_fetched_by_every_name() {
    let (bench, written) = (Bench::new(), Written::new());
    let first = written.commit("a", "1");
    written.git(&["tag", "light"]);
    written.git(&["tag", "-a", "-m", "x", "heavy"]);
    written.git(&["branch", "feature/x"]);
    let second = written.commit("a", "2");
    for (revision, commit, name) in [
        ("HEAD", &second, None),
        ("main", &second, Some("refs/heads/main")),
        ("feature/x", &first, Some("refs/heads/feature/x")),
        ("light", &first, Some("refs/tags/light")),
        ("heavy", &first, Some("refs/tags/heavy")),
        ("refs/heads/main", &second, Some("refs/heads/main")),
        (first.as_str(), &first, None),
        (&second[..10], &second, None),
    ] {
        let fetched = bench.fetch(&written.remote(), revision).unwrap();
        assert_eq!(fetched.commit.id.as_str(), commit, "{revision}");
        assert_eq!((fetched.name.as_deref(), fetched.note), (name, None), "{revision}");
        assert_eq!(fetched.commit.time, 1_700_000_000);
    }
}

#[test]
fn only_what_was_asked_for_is_fetched() {
    let (bench, written) = (Bench::new(), Written::new());
    let first = written.commit("a", "1");
    let second = written.commit("a", "2");
    let repository = bench.git.repository(bench.place()).unwrap();
    repository.fetch(&written.remote(), &Revision::Head).unwrap();
    assert!(repository.commit(&second.parse().unwrap()).is_ok());
    assert!(repository.commit(&first.parse().unwrap()).is_err());
}

#[test]
fn a_commit_that_nothing_names_is_found_by_its_first_digits() {
    let (bench, written) = (Bench::new(), Written::new());
    let first = written.commit("a", "1");
    written.commit("a", "2");
    let repository = bench.git.repository(bench.place()).unwrap();
    let fetched = repository.fetch(&written.remote(), &first[..8].parse().unwrap()).unwrap();
    assert_eq!(fetched.commit.id.as_str(), first);
    assert!(fetched.note.unwrap().contains("was fetched to find"));
    // Its files are here as well.
    assert_eq!(repository.paths(&fetched.commit.id).unwrap(), [b"a"]);
}

#[test]
fn what_is_not_there_is_answered_with_what_is() {
    let (bench, written) = (Bench::new(), Written::new());
    written.commit("a", "1");
    written.git(&["tag", "v1.0"]);
    for wanted in ["mian", "refs/heads/mian", "0000000", &"0".repeat(40)] {
        let error = bench.fetch(&written.remote(), wanted).unwrap_err();
        assert_eq!(error.exit().code(), 2, "{error}");
        let GitError::NoSuchRevision { near, .. } = &error else { panic!("{error}") };
        assert!(wanted.len() == 40 || near.contains(&"`main`".to_owned()), "{error}");
    }
    let gone = Remote::directory(&bench.scratch.path().join("gone")).unwrap();
    let error = bench.fetch(&gone, "main").unwrap_err();
    assert!(matches!(error, GitError::Failed { why: Why::NoRepository, .. }), "{error}");
}

#[test]
fn a_name_of_two_commits_is_not_guessed() {
    let (bench, written) = (Bench::new(), Written::new());
    written.commit("a", "1");
    written.git(&["tag", "twice"]);
    assert!(written.commit("a", "2").len() == 40);
    written.git(&["branch", "twice"]);
    let error = bench.fetch(&written.remote(), "twice").unwrap_err();
    assert_eq!(error.exit().code(), 2);
    assert_eq!(error.hint().unwrap(), "name one of them in full: `refs/heads/twice`");
    assert!(bench.fetch(&written.remote(), "refs/tags/twice").is_ok());
}

#[test]
fn a_tag_of_a_file_is_no_commit() {
    let (bench, written) = (Bench::new(), Written::new());
    written.commit("a", "1");
    written.git(&["tag", "blob", "HEAD:a"]);
    assert!(matches!(bench.fetch(&written.remote(), "blob"), Err(GitError::NoSuchRevision { .. })));
}

#[test]
fn the_paths_that_differ_between_two_commits_are_listed() {
    let (bench, written) = (Bench::new(), Written::new());
    let first = written.commit("web/a", "1");
    written.commit("web/b", "1");
    let second = written.commit("größe\n", "1");
    let repository = bench.git.repository(bench.place()).unwrap();
    let from = repository.fetch(&written.remote(), &first.parse().unwrap()).unwrap().commit;
    let to = repository.fetch(&written.remote(), &second.parse().unwrap()).unwrap().commit;
    let paths = repository.changed_paths(&from.id, &to.id).unwrap();
    assert_eq!(paths, ["größe\n".as_bytes(), b"web/b"]);
    assert!(repository.changed_paths(&from.id, &from.id).unwrap().is_empty());
}

#[test]
fn the_references_of_a_remote_are_listed() {
    let (bench, written) = (Bench::new(), Written::new());
    let first = written.commit("a", "1");
    written.git(&["tag", "v1"]);
    written.git(&["update-ref", "refs/pull/1/head", "HEAD"]);
    let repository = bench.git.repository(bench.place()).unwrap();
    let refs = repository.refs(&written.remote()).unwrap();
    assert_eq!(refs.head.as_ref().unwrap().as_str(), first);
    assert_eq!(refs.head_name.as_deref(), Some("refs/heads/main"));
    assert!(refs.names.contains_key("refs/pull/1/head"));
    let refs = repository.branches_and_tags(&written.remote()).unwrap();
    assert_eq!(refs.names.keys().collect::<Vec<_>>(), ["refs/heads/main", "refs/tags/v1"]);
}

#[test]
fn a_repository_that_is_too_large_is_given_up() {
    let (bench, written) = (Bench::new(), Written::new());
    written.commit("a", &"0123456789abcdef".repeat(1 << 10));
    let limits = GitLimits { disk: 0, ..GitLimits::default() };
    let git = bench.git.clone().with_limits(limits);
    // Git may be done before it is looked at for the first time; what it then wrote is measured all the same.
    let error = git.repository(bench.place()).unwrap().fetch(&written.remote(), &Revision::Head).unwrap_err();
    assert!(matches!(error, GitError::TooLarge { .. }), "{error}");
    assert_eq!(error.exit().code(), 5);
}

/// A git whose transport waits for ever, in a process of its own.
fn waiting(bench: &Bench) -> (Git, Remote, PathBuf) {
    let pid = bench.scratch.path().join("pid");
    let script = bench.scratch.path().join("wait");
    fs_err::write(&script, format!("#!/bin/sh\necho $$ > {}\nexec sleep 60\n", pid.display())).unwrap();
    let mut git = bench.git.clone();
    git.env.insert("GIT_SSH_COMMAND".to_owned(), format!("sh {}", script.display()));
    (git, Remote::parse("ssh://host.example/x").unwrap(), pid)
}

/// Whether a process goes on although it was killed: dying takes a moment.
fn goes_on(pid: &Path) -> bool {
    let pid = fs_err::read_to_string(pid).unwrap();
    let program = Path::new("/proc").join(pid.trim()).join("exe");
    let lives = |_| {
        std::thread::sleep(Duration::from_millis(20));
        program.exists()
    };
    (0..100).all(lives)
}

#[test]
fn a_silent_server_is_given_up_and_no_process_is_left() {
    let bench = Bench::new();
    let (git, remote, pid) = waiting(&bench);
    let git = git.with_limits(GitLimits { time: Duration::from_secs(2), ..GitLimits::default() });
    let error = git.repository(bench.place()).unwrap().refs(&remote).unwrap_err();
    assert!(matches!(error, GitError::TooSlow { .. }), "{error}");
    assert_eq!(error.exit().code(), 75);
    assert!(!goes_on(&pid));
}

#[test]
fn a_request_to_stop_ends_git_and_its_children() {
    let bench = Bench::new();
    let (git, remote, pid) = waiting(&bench);
    let stop = git.stop.flag();
    let wait = pid.clone();
    std::thread::spawn(move || {
        while fs_err::read(&wait).unwrap_or_default().is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::SeqCst);
    });
    let error = git.repository(bench.place()).unwrap().refs(&remote).unwrap_err();
    assert!(matches!(error, GitError::Stopped), "{error}");
    assert!(!goes_on(&pid));
}

#[test]
fn a_transport_that_was_not_asked_for_is_not_used() {
    let bench = Bench::new();
    let mut git = bench.git.clone();
    let config = bench.scratch.path().join("config");
    fs_err::write(&config, "[url \"ext::sh -c id \"]\n\tinsteadOf = https://host.example/\n").unwrap();
    git.env.insert("GIT_CONFIG_GLOBAL".to_owned(), config.display().to_string());
    let remote = Remote::parse("https://host.example/x").unwrap();
    let error = git.repository(bench.place()).unwrap().refs(&remote).unwrap_err();
    assert!(error.to_string().contains("transport 'ext' not allowed"), "{error}");
}
