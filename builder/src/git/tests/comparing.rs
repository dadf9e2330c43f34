//! Commits are resolved and compared without their files, and without a say of the repository's own settings.

use std::os::unix::fs::PermissionsExt;

use super::*;

impl Written {
    fn at(directory: tempfile::TempDir) -> Self {
        Self { directory }
    }

    /// A clone of the last commits.
    fn shallow(&self, depth: u32) -> Self {
        let clone = tempfile::tempdir().unwrap();
        let (from, to) =
            (format!("file://{}", self.directory.path().display()), clone.path().to_str().unwrap());
        self.git(&["clone", "--quiet", &format!("--depth={depth}"), &from, to]);
        Self::at(clone)
    }
}

impl Bench {
    fn resolve(&self, written: &Written, text: &str) -> Result<String, GitError> {
        let _ = fs_err::remove_dir_all(self.place());
        let repository = self.git.repository(self.place()).unwrap();
        let found = repository.resolve(&written.remote(), &text.parse().unwrap())?;
        Ok(found.to_string())
    }

    fn changed(&self, written: &Written, from: &str, to: &str) -> Result<Vec<String>, GitError> {
        let _ = fs_err::remove_dir_all(self.place());
        let repository = self.git.repository(self.place()).unwrap();
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        let ids = repository.fetch_trees(&written.remote(), &[&from, &to])?;
        let paths = repository.changed_paths(&ids[0], &ids[1])?;
        Ok(paths.into_iter().map(|path| String::from_utf8(path).unwrap()).collect())
    }
}

#[test]
fn a_commit_is_found_by_every_name_that_a_person_may_use() {
    let (bench, written) = (Bench::new(), Written::new());
    let first = written.commit("a", "1");
    written.git(&["tag", "-a", "-m", "x", "v1"]);
    let second = written.commit("a", "2");
    written.git(&["update-ref", "refs/remotes/origin/main", &second]);
    let third = written.commit("a", "3");
    // As CI systems check out: no branch leads to this commit.
    written.git(&["checkout", "--quiet", "--detach"]);
    let detached = written.commit("a", "4");
    for (text, expected) in [
        ("HEAD", &detached),
        ("HEAD~1", &third),
        ("HEAD^", &third),
        ("HEAD~3", &first),
        ("main", &third),
        ("main~1", &second),
        ("refs/heads/main", &third),
        ("origin/main", &second),
        ("v1", &first),
        (&first, &first),
        (&first[..8], &first),
        (&detached[..8], &detached),
        (&format!("{}~1", &third[..9]), &second),
        (&format!("{third}^"), &second),
    ] {
        assert_eq!(bench.resolve(&written, text).unwrap(), **expected, "{text}");
    }
    let error = bench.resolve(&written, "mian").unwrap_err();
    assert!(error.to_string().contains("no branch, tag or commit `mian`"), "{error}");
    assert!(error.hint().unwrap().contains("`main`"));
    let error = bench.resolve(&written, "HEAD~9").unwrap_err();
    assert!(matches!(error, GitError::NoSuchCommit { shallow: false, .. }), "{error}");
    assert!(matches!(bench.resolve(&written, "abcdef0"), Err(GitError::NoSuchCommit { .. })));
}

#[test]
fn what_differs_is_known_by_name_whatever_kind_of_difference_it_is() {
    let (bench, written) = (Bench::new(), Written::new());
    for file in ["same", "moved", "gone", "mode", "kind", "dir/deep", "ü n\t\"x"] {
        written.commit(file, file);
    }
    let before = written.commit("edited", "1");
    written.git(&["mv", "moved", "dir/new"]);
    written.git(&["rm", "--quiet", "gone", "kind"]);
    let path = |name: &str| written.directory.path().join(name);
    fs_err::set_permissions(path("mode"), PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("same", path("kind")).unwrap();
    fs_err::write(path("ü n\t\"x"), "other").unwrap();
    let after = written.commit("edited", "2");
    let expected = ["dir/new", "edited", "gone", "kind", "mode", "moved", "ü n\t\"x"];
    assert_eq!(bench.changed(&written, &before, &after).unwrap(), expected);
    assert_eq!(bench.changed(&written, &after, &before).unwrap(), expected);
    assert!(bench.changed(&written, &after, &after).unwrap().is_empty());
}

#[test]
fn no_file_is_fetched_but_one_that_is_asked_for() {
    let (bench, written) = (Bench::new(), Written::new());
    written.commit("dir/small", "small");
    // Nothing compresses this.
    let numbers: Vec<u32> = (0..60_000_u32).map(|number| number.wrapping_mul(2_654_435_761)).collect();
    let id: ObjectId = written.commit("large", &format!("{numbers:x?}")).parse().unwrap();
    let repository = bench.git.repository(bench.place()).unwrap();
    let remote = written.remote();
    repository.fetch_trees(&remote, &[&id]).unwrap();
    let files = walkdir::WalkDir::new(repository.directory()).into_iter().map(Result::unwrap);
    let size: u64 =
        files.filter(|file| file.file_type().is_file()).map(|file| file.metadata().unwrap().len()).sum();
    assert!(size < 20_000, "{size}");
    assert_eq!(repository.paths(&id).unwrap(), [b"dir/small".to_vec(), b"large".to_vec()]);
    assert_eq!(repository.entry(&id, b"dir").unwrap().unwrap().kind, "tree");
    assert_eq!(repository.entry(&id, b"d*").unwrap(), None);
    assert_eq!(repository.entry(&id, b":(top)dir").unwrap(), None);
    let small = repository.entry(&id, b"dir/small").unwrap().unwrap();
    assert_eq!(small.kind, "blob");
    assert_eq!(repository.file(&remote, &small.id).unwrap(), b"small");
}

#[test]
fn a_branch_is_its_own_and_no_other_whose_name_ends_alike() {
    let (bench, written) = (Bench::new(), Written::new());
    let first = written.commit("a", "1");
    written.git(&["update-ref", "refs/other/refs/heads/gone", &first]);
    written.git(&["branch", "x/main"]);
    let second = written.commit("a", "2");
    let repository = bench.git.repository(bench.place()).unwrap();
    let branch = |name: &str| repository.branch(&written.remote(), name).unwrap().map(|id| id.to_string());
    assert_eq!(branch("main"), Some(second));
    assert_eq!(branch("x/main"), Some(first));
    assert_eq!(branch("gone"), None);
}

#[test]
fn a_shallow_clone_says_that_it_lacks_the_commit() {
    let (bench, written) = (Bench::new(), Written::new());
    let first = written.commit("a", "1");
    let second = written.commit("b", "2");
    let third = written.commit("c", "3");
    let clone = written.shallow(2);
    assert_eq!(bench.resolve(&clone, "HEAD~1").unwrap(), second);
    assert_eq!(bench.changed(&clone, &second, &third).unwrap(), ["c"]);
    for error in [
        bench.resolve(&clone, "HEAD~2").unwrap_err(),
        bench.resolve(&clone, &first[..8]).unwrap_err(),
        bench.changed(&clone, &first, &third).unwrap_err(),
    ] {
        assert!(matches!(error, GitError::NoSuchCommit { shallow: true, .. }), "{error}");
        assert!(error.hint().unwrap().contains("git fetch --unshallow"));
    }
    let gone = bench.changed(&written, &"1".repeat(40), &third).unwrap_err();
    assert!(
        matches!(&gone, GitError::NoSuchCommit { shallow: false, wanted, .. } if *wanted == "1".repeat(40))
    );
}

#[test]
fn nothing_that_a_repository_says_of_itself_is_run() {
    let (bench, written) = (Bench::new(), Written::new());
    let first = written.commit("a", "1");
    let second = written.commit("b", "2");
    let canary = tempfile::tempdir().unwrap();
    let program = canary.path().join("program");
    let ran = canary.path().join("ran");
    fs_err::write(&program, format!("#!/bin/sh\ntouch '{}'\nexit 1\n", ran.display())).unwrap();
    fs_err::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let path = program.display();
    let config = format!(
        "[core]\n\trepositoryformatversion = 1\n\tfsmonitor = {path}\n\tsshCommand = {path}\n\tpager = {path}\n\
         \talternateRefsCommand = {path}\n\thooksPath = {hooks}\n\taskPass = {path}\n\tgitProxy = {path}\n\
         [uploadpack]\n\tpackObjectsHook = {path}\n[pack]\n\tpackObjectsHook = {path}\n\
         [remote \"origin\"]\n\turl = file:///nonexistent\n\tuploadpack = {path}\n\tpromisor = true\n\tpartialclonefilter = blob:none\n\
         [extensions]\n\tpartialClone = origin\n[credential]\n\thelper = !{path}\n[alias]\n\tupload-pack = !{path}\n\tpack-objects = !{path}\n",
        hooks = canary.path().display()
    );
    for hook in ["pre-upload", "post-upload", "pre-auto-gc", "reference-transaction", "post-index-change"] {
        fs_err::copy(&program, canary.path().join(hook)).unwrap();
    }
    fs_err::write(written.directory.path().join(".git/config"), config).unwrap();
    assert_eq!(bench.resolve(&written, "HEAD~1").unwrap(), first);
    assert_eq!(bench.changed(&written, &first, &second).unwrap(), ["b"]);
    // An object that is missing would be fetched by a program of the repository's choice.
    let missing = bench.changed(&written, &"1".repeat(40), &second);
    assert!(matches!(missing, Err(GitError::NoSuchCommit { .. })), "{missing:?}");
    bench.fetch(&written.remote(), "main").unwrap();
    assert!(!ran.exists());
}

#[test]
fn a_checkout_that_belongs_to_somebody_else_is_read_all_the_same() {
    let (bench, written) = (Bench::new(), Written::new());
    let first = written.commit("a", "1");
    let second = written.commit("b", "2");
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    for entry in walkdir::WalkDir::new(written.directory.path()) {
        std::os::unix::fs::lchown(entry.unwrap().path(), Some(12_345), Some(12_345)).unwrap();
    }
    assert_eq!(bench.resolve(&written, "HEAD~1").unwrap(), first);
    assert_eq!(bench.changed(&written, &first, &second).unwrap(), ["b"]);
}
