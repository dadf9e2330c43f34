//! Repositories that git made, read without git.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::source::{ReadOptions, Source, SourceSpec, Warning, read};

/// The time of every commit.
const TIME: i64 = 1_700_000_000;

/// A directory with a repository in it.
struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    /// A repository with one commit of a few files.
    fn new(options: &[&str]) -> Self {
        let scene = Self { directory: tempfile::tempdir().unwrap() };
        fs_err::create_dir(scene.at("")).unwrap();
        scene.git("", &[&["init", "--quiet", "--initial-branch=main"], options].concat());
        scene.write("main.py", "print('hello')\n");
        scene.write("web/index.js", "hello()\n");
        scene.write("web/run.sh", "#!/bin/sh\n");
        fs_err::set_permissions(scene.at("web/run.sh"), PermissionsExt::from_mode(0o755)).unwrap();
        symlink("index.js", scene.at("web/link.js")).unwrap();
        scene.git("", &["remote", "add", "origin", "https://user:secret@git.example.com/team/app.git"]);
        scene.commit("");
        scene
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join("app").join(path)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        fs_err::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs_err::write(self.at(path), text).unwrap();
    }

    fn git(&self, below: &str, arguments: &[&str]) -> String {
        let date = format!("{TIME} +0100");
        let output = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"])
            .args(arguments)
            .current_dir(self.at(below))
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH"))
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .envs([("GIT_AUTHOR_DATE", &date), ("GIT_COMMITTER_DATE", &date)])
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, below: &str) {
        self.git(below, &["add", "--all"]);
        self.git(below, &["commit", "--quiet", "--message=one"]);
    }

    fn source(&self, below: &str) -> Source {
        source(&self.at(below))
    }

    /// What is known, which has to be something.
    fn checkout(&self, below: &str) -> Checkout {
        let source = self.source(below);
        source.checkout.unwrap_or_else(|| panic!("nothing is known: {:?}", source.warnings))
    }

    fn expect_clean(&self, below: &str) {
        let checkout = self.checkout(below);
        assert_eq!(checkout.commit.as_str(), self.git(below, &["rev-parse", "HEAD"]));
        assert_eq!((checkout.dirty, checkout.time), (false, TIME));
    }
}

fn source(path: &Path) -> Source {
    let options = ReadOptions::new(std::env::temp_dir());
    read(&SourceSpec::Path(path.to_owned()), std::io::empty(), &options).unwrap()
}

fn reason(source: &Source) -> &str {
    assert_eq!(source.checkout, None);
    match source.warnings.as_slice() {
        [Warning::NoCommit { reason }] => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_changed_is_said_and_lends_no_time() {
    let commit: ObjectId = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    let clean = Checkout { commit, time: TIME, repository: None, dirty: false };
    assert_eq!(clean.revision(), "0123456789abcdef0123456789abcdef01234567");
    assert_eq!(clean.clean_time(), Some(TIME));
    let dirty = Checkout { dirty: true, ..clean };
    assert_eq!(dirty.revision(), "0123456789abcdef0123456789abcdef01234567-dirty");
    assert_eq!(dirty.clean_time(), None);
}

#[test]
fn a_fresh_checkout_is_known_by_its_commit_and_has_its_time() {
    let scene = Scene::new(&[]);
    scene.expect_clean("");
    scene.expect_clean("web");
    let source = scene.source("");
    assert_eq!(source.checkout.unwrap().repository.unwrap().as_str(), "https://git.example.com/team/app.git");
    assert_eq!(source.newest_mtime, TIME);
    let times: Vec<i64> = source
        .times
        .iter()
        .filter(|(path, _)| !path.as_bytes().starts_with(b".git"))
        .map(|(_, time)| *time)
        .collect();
    assert_eq!(times, [TIME; 5]);
}

fn git_knows(options: &[&str]) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("git");
    command.args(["init", "--quiet"]).args(options).arg(directory.path());
    command.output().unwrap().status.success()
}

#[test]
fn every_form_of_a_repository_is_read() {
    for options in [&["--object-format=sha256"][..], &["--ref-format=reftable"]] {
        if !git_knows(options) {
            eprintln!("skipped: this git does not know {options:?}");
            continue;
        }
        let scene = Scene::new(options);
        scene.expect_clean("");
        for number in 0..12 {
            let lines: Vec<String> = (0..200).map(|line| format!("line {}", line * number)).collect();
            scene.write("web/index.js", lines.join("\n"));
            scene.write(&format!("many/{number}"), "x");
            scene.commit("");
        }
        scene.expect_clean("");
        scene.git("", &["gc", "--quiet"]);
        scene.git("", &["pack-refs", "--all"]);
        assert!(!scene.at(".git/objects/00").exists(), "everything is packed");
        scene.expect_clean("web");
        scene.git("", &["checkout", "--quiet", "--detach", "HEAD~5"]);
        scene.expect_clean("");
        scene.git("", &["checkout", "--quiet", "-b", "topic/one"]);
        scene.expect_clean("");
    }
    let scene = Scene::new(&[]);
    scene.git("", &["gc", "--quiet"]);
    scene.expect_clean("");
}

#[test]
fn only_a_change_to_what_the_commit_has_makes_a_checkout_dirty() {
    type Change = fn(&Scene);
    let changes: [(&str, Change, bool); 9] = [
        ("content", |scene| scene.write("main.py", "print('hallo')\n"), true),
        (
            "execute bit",
            |scene| {
                fs_err::set_permissions(scene.at("main.py"), PermissionsExt::from_mode(0o755)).unwrap();
            },
            true,
        ),
        ("missing", |scene| fs_err::remove_file(scene.at("web/index.js")).unwrap(), true),
        (
            "link",
            |scene| {
                fs_err::remove_file(scene.at("web/link.js")).unwrap();
                symlink("run.sh", scene.at("web/link.js")).unwrap();
            },
            true,
        ),
        (
            "kind",
            |scene| {
                fs_err::remove_file(scene.at("web/link.js")).unwrap();
                scene.write("web/link.js", "index.js");
            },
            true,
        ),
        (
            "staged",
            |scene| {
                scene.write("main.py", "staged");
                scene.git("", &["add", "main.py"]);
            },
            true,
        ),
        ("not tracked", |scene| scene.write("web/new.js", "new"), false),
        ("time", |scene| scene.write("main.py", "print('hello')\n"), false),
        ("line ends", |scene| scene.write("main.py", "print('hello')\r\n"), false),
    ];
    for (name, change, dirty) in changes {
        let scene = Scene::new(&[]);
        change(&scene);
        assert_eq!(scene.checkout("").dirty, dirty, "{name}");
    }
    let scene = Scene::new(&[]);
    scene.write("main.py", "changed");
    assert!(!scene.checkout("web").dirty, "a change beside the directory");
}

#[test]
fn what_the_ignore_file_leaves_out_may_change_but_not_the_ignore_file() {
    let scene = Scene::new(&[]);
    scene.write(".dockerignore", ".dockerignore\nweb\n");
    scene.commit("");
    scene.write("web/index.js", "changed");
    scene.expect_clean("");
    scene.write(".dockerignore", ".dockerignore\nweb\n# changed\n");
    assert!(scene.checkout("").dirty);
}

#[test]
fn a_file_that_lfs_keeps_is_compared_by_what_its_pointer_names() {
    let scene = Scene::new(&[]);
    let digest = object_digest(b"large");
    scene.write("big", format!("version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 5\n"));
    scene.commit("");
    scene.write("big", "large");
    scene.expect_clean("");
    scene.write("big", "lArge");
    assert!(scene.checkout("").dirty);
}

fn object_digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    reftable::hexadecimal(&sha2::Sha256::digest(bytes))
}

#[test]
fn nothing_is_known_of_what_no_commit_has() {
    let scene = Scene::new(&[]);
    scene.write("build/out.js", "x");
    let untracked = scene.source("build");
    assert_eq!((untracked.checkout, untracked.warnings.len()), (None, 0));
    let empty = Scene { directory: tempfile::tempdir().unwrap() };
    fs_err::create_dir(empty.at("")).unwrap();
    empty.git("", &["init", "--quiet"]);
    assert_eq!((empty.source("").checkout, empty.source("").warnings.len()), (None, 0));
    fs_err::remove_dir_all(empty.at(".git")).unwrap();
    assert_eq!(empty.source("").checkout, None);
}

#[test]
fn nothing_that_a_repository_names_is_run() {
    let scene = Scene::new(&[]);
    let ran = scene.directory.path().join("ran");
    let run = format!("touch {}; cat", ran.display());
    scene.write(".gitattributes", "* filter=evil diff=evil merge=evil working-tree-encoding=UTF-16\n");
    let hook = scene.directory.path().join("hook");
    fs_err::write(&hook, format!("#!/bin/sh\ntouch {}\n", ran.display())).unwrap();
    fs_err::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
    let hook = hook.display().to_string();
    for (key, value) in [
        ("core.fsmonitor", hook.as_str()),
        ("core.hooksPath", scene.directory.path().to_str().unwrap()),
        ("core.sshCommand", &hook),
        ("core.alternateRefsCommand", &hook),
        ("core.pager", &hook),
        ("filter.evil.clean", &run),
        ("filter.evil.smudge", &run),
        ("filter.evil.process", &hook),
        ("diff.evil.textconv", &hook),
        ("diff.external", &hook),
        ("credential.helper", &hook),
    ] {
        scene.git("", &["config", "--add", "-f", ".git/config", key, value]);
    }
    scene.write("main.py", "changed");
    assert!(scene.checkout("").dirty);
    assert!(!ran.exists());
    // The trap works: git itself falls into it.
    let _ = Command::new("git").arg("status").current_dir(scene.at("")).output().unwrap();
    assert!(ran.exists());
}

#[test]
fn an_object_that_is_not_what_its_name_says_is_not_believed() {
    let scene = Scene::new(&[]);
    let object = |name: &str| {
        let (directory, file) = name.split_at(2);
        scene.at(&format!(".git/objects/{directory}/{file}"))
    };
    let first = scene.git("", &["rev-parse", "HEAD"]);
    scene.write("main.py", "other");
    scene.commit("");
    let second = scene.git("", &["rev-parse", "HEAD"]);
    fs_err::set_permissions(object(&first), PermissionsExt::from_mode(0o644)).unwrap();
    fs_err::copy(object(&second), object(&first)).unwrap();
    scene.write(".git/HEAD", format!("{first}\n"));
    assert_eq!(reason(&scene.source("")), format!("object {first} is malformed"));

    for bytes in [&b""[..], b"x", b"\x78\x9c\x4b"] {
        fs_err::write(object(&first), bytes).unwrap();
        assert_eq!(reason(&scene.source("")), format!("object {first} is malformed"));
    }
    fs_err::remove_file(object(&first)).unwrap();
    assert_eq!(reason(&scene.source("")), format!("object {first} is not in the repository"));
    scene.write(".git/objects/info/alternates", "/somewhere/objects\n");
    assert!(reason(&scene.source("")).ends_with("; objects that it borrows from another one are not read"));
    for head in ["ref: refs/../../secret\n", "ref: HEAD\n", "x\n", "ref: refs/heads/../../HEAD\n"] {
        scene.write(".git/HEAD", head);
        assert_eq!(scene.source("").checkout, None, "{head}");
    }
}

#[test]
fn a_damaged_pack_is_refused_and_nothing_makes_it_panic() {
    let scene = Scene::new(&[]);
    scene.git("", &["gc", "--quiet"]);
    for entry in fs_err::read_dir(scene.at(".git/objects/pack")).unwrap() {
        let path = entry.unwrap().path();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        if path.extension().is_none_or(|extension| extension != "pack" && extension != "idx") {
            continue;
        }
        let whole = fs_err::read(&path).unwrap();
        for at in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x41;
            fs_err::write(&path, &damaged).unwrap();
            // Either it does not matter, or nothing is said: never something else.
            if let Some(checkout) = scene.source("").checkout {
                assert_eq!((checkout.time, checkout.dirty), (TIME, false), "byte {at} of {}", path.display());
            }
        }
        for length in [0, 7, 100, whole.len() / 2] {
            fs_err::write(&path, &whole[..length]).unwrap();
            assert_eq!(scene.source("").checkout, None, "{length} bytes of {}", path.display());
        }
        fs_err::write(&path, &whole).unwrap();
    }
    scene.expect_clean("");
}

#[test]
fn worktrees_and_submodules_are_followed_and_nothing_else_is() {
    let scene = Scene::new(&[]);
    scene.git("", &["worktree", "add", "--quiet", "-b", "side", "../side"]);
    scene.expect_clean("../side");
    let repository = scene.at(".git").display().to_string();
    scene.git("", &["submodule", "--quiet", "add", &repository, "sub"]);
    scene.commit("");
    scene.expect_clean("");
    scene.expect_clean("sub");
    scene.write("sub/main.py", "changed");
    assert!(scene.checkout("").dirty && scene.checkout("sub").dirty);
    scene.git("sub", &["commit", "--quiet", "--all", "--message=two"]);
    assert!(scene.checkout("").dirty, "another commit than the one that was recorded");
    scene.git("", &["submodule", "--quiet", "deinit", "--force", "sub"]);
    scene.expect_clean("");

    let other = tempfile::tempdir().unwrap();
    let stolen = |text: &str| {
        fs_err::write(other.path().join(".git"), text).unwrap();
        reason(&source(other.path())).to_owned()
    };
    let not_its_own =
        "`.git` is not followed: it leads to a repository that does not name this directory as its own";
    assert_eq!(stolen(&format!("gitdir: {}\n", scene.at(".git").display())), not_its_own);
    assert_eq!(stolen(&format!("gitdir: {}\n", scene.at(".git/worktrees/side").display())), not_its_own);
    assert_eq!(stolen("gitdir: /nowhere/at/all\n"), "`.git` is not followed: what it leads to is not there");
    assert_eq!(stolen("x"), "`.git` is not followed: it leads nowhere");
    fs_err::remove_file(other.path().join(".git")).unwrap();
    symlink(scene.at(".git"), other.path().join(".git")).unwrap();
    let options = ReadOptions {
        symlinks: crate::source::SymlinkPolicy::KeepDangling,
        ..ReadOptions::new(std::env::temp_dir())
    };
    let kept = read(&SourceSpec::Path(other.path().to_owned()), std::io::empty(), &options).unwrap();
    let reasons: Vec<String> = kept.warnings.iter().map(ToString::to_string).collect();
    assert!(
        reasons.iter().any(|reason| reason.ends_with("`.git` is not followed: it is a symbolic link")),
        "{reasons:?}"
    );
}
