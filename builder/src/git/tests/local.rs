//! Repositories of this machine, friendly and hostile ones.

use super::*;

/// Fetches from a directory through its shadow.
fn fetch(bench: &Bench, directory: &Path, revision: &str) -> Result<Fetched, String> {
    let shadow = bench.scratch.path().join("shadow.git");
    let _ = fs_err::remove_dir_all(&shadow);
    let local = LocalRepository::open(directory).map_err(|error| error.to_string())?;
    let shadow = local.shadow(&bench.git, &shadow).map_err(|error| error.to_string())?;
    bench.fetch(&shadow.remote, revision).map_err(|error| error.to_string())
}

fn refusal(bench: &Bench, directory: &Path) -> String {
    fetch(bench, directory, "HEAD").unwrap_err()
}

#[test]
fn checkouts_bare_repositories_and_worktrees_are_read() {
    let (bench, written) = (Bench::new(), Written::new());
    let first = written.commit("a", "1");
    written.git(&["branch", "side"]);
    written.git(&["pack-refs", "--all"]);
    let second = written.commit("a", "2");
    let places = tempfile::tempdir().unwrap();
    let place = |name: &str| places.path().join(name);
    written.git(&["clone", "--quiet", "--bare", ".", place("bare").to_str().unwrap()]);
    written.git(&["worktree", "add", "--quiet", place("tree").to_str().unwrap(), "side"]);
    for (directory, head) in
        [(written.directory.path().to_owned(), &second), (place("bare"), &second), (place("tree"), &first)]
    {
        let id = |revision| fetch(&bench, &directory, revision).unwrap().commit.id.to_string();
        assert_eq!((&id("HEAD"), &id("side")), (head, &first), "{}", directory.display());
    }
}

#[test]
fn shallow_clones_and_other_formats_are_read() {
    let (bench, written) = (Bench::new(), Written::new());
    written.commit("a", "1");
    let second = written.commit("a", "2");
    let places = tempfile::tempdir().unwrap();
    let shallow = places.path().join("shallow");
    let url = format!("file://{}", written.directory.path().display());
    written.git(&["clone", "--quiet", "--depth=1", &url, shallow.to_str().unwrap()]);
    assert_eq!(fetch(&bench, &shallow, "HEAD").unwrap().commit.id.as_str(), second);

    let sha256 = Written::with(&["--object-format=sha256"]);
    let commit = sha256.commit("a", "1");
    assert_eq!(fetch(&bench, sha256.directory.path(), "main").unwrap().commit.id.as_str(), commit);
    assert_eq!(fetch(&bench, sha256.directory.path(), &commit).unwrap().commit.id.as_str(), commit);
}

#[test]
fn what_is_no_repository_is_answered_with_the_one_around_it() {
    let (bench, written) = (Bench::new(), Written::new());
    written.commit("web/a", "1");
    let inside = written.directory.path().join("web");
    let error = LocalRepository::open(&inside).err().unwrap();
    let LocalError::None { around, .. } = &error else { panic!("{error}") };
    assert_eq!(around.as_deref(), Some(fs_err::canonicalize(written.directory.path()).unwrap().as_path()));
    assert!(refusal(&bench, bench.scratch.path()).contains("is no git repository"));
}

#[test]
fn the_settings_and_hooks_of_a_repository_run_nothing() {
    let (bench, written) = (Bench::new(), Written::new());
    written.commit("a", "1");
    let proof = bench.scratch.path().join("proof");
    let run = format!("touch {}; false", proof.display());
    let git = written.directory.path().join(".git");
    let settings = format!(
        "[uploadpack]\n\tpackObjectsHook = \"{run}\"\n[core]\n\tfsmonitor = \"{run}\"\n\thooksPath = hooks\n\tsshCommand = \"{run}\"\n\talternateRefsCommand = \"{run}\"\n[extensions]\n\tpartialClone = evil\n[remote \"evil\"]\n\tpromisor = true\n\turl = \"ext::sh -c '{run}'\"\n\tuploadpack = \"{run}\"\n[include]\n\tpath = /dev/zero\n"
    );
    let config = git.join("config");
    let before = fs_err::read_to_string(&config).unwrap();
    fs_err::write(&config, format!("{before}{settings}")).unwrap();
    for hook in ["post-checkout", "reference-transaction", "pre-receive"] {
        let hook = git.join("hooks").join(hook);
        fs_err::write(&hook, format!("#!/bin/sh\n{run}\n")).unwrap();
        fs_err::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    fetch(&bench, written.directory.path(), "main").unwrap();
    assert!(!proof.exists());
}

#[test]
fn a_repository_cannot_lead_into_another_one() {
    let (bench, other) = (Bench::new(), Written::new());
    other.commit("secret", "1");
    let secret = other.directory.path().join(".git");

    let by_file = tempfile::tempdir().unwrap();
    fs_err::write(by_file.path().join(".git"), format!("gitdir: {}\n", secret.display())).unwrap();
    assert!(refusal(&bench, by_file.path()).contains("does not know this checkout"));

    let by_link = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&secret, by_link.path().join(".git")).unwrap();
    assert!(refusal(&bench, by_link.path()).contains("neither a directory nor a file"));

    for name in ["objects", "objects/pack", "refs", "refs/heads/main", "HEAD"] {
        let hostile = Written::new();
        hostile.commit("a", "1");
        let path = hostile.directory.path().join(".git").join(name);
        let gone = if path.is_dir() { fs_err::remove_dir_all(&path) } else { fs_err::remove_file(&path) };
        gone.unwrap();
        std::os::unix::fs::symlink(secret.join(name), &path).unwrap();
        assert!(fetch(&bench, hostile.directory.path(), "HEAD").is_err(), "{name}");
    }

    let borrows = Written::new();
    borrows.commit("a", "1");
    let alternates = borrows.directory.path().join(".git/objects/info/alternates");
    fs_err::write(alternates, format!("{}\n", secret.join("objects").display())).unwrap();
    assert!(refusal(&bench, borrows.directory.path()).contains("borrows objects"));
}

#[test]
fn a_fifo_in_a_repository_is_not_waited_for() {
    let (bench, written) = (Bench::new(), Written::new());
    written.commit("a", "1");
    let head = written.directory.path().join(".git/HEAD");
    fs_err::remove_file(&head).unwrap();
    assert!(Command::new("mkfifo").arg(&head).status().unwrap().success());
    assert!(refusal(&bench, written.directory.path()).contains("no regular file"));
}

#[test]
fn files_are_handed_over_as_they_were_committed() {
    let (bench, written) = (Bench::new(), Written::new());
    let at = |name: &str| written.directory.path().join(name);
    fs_err::write(at(".gitattributes"), "* text eol=crlf export-subst\nhidden export-ignore\n").unwrap();
    fs_err::write(at("run"), "$Format:%H$\n").unwrap();
    fs_err::set_permissions(at("run"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("run", at("link")).unwrap();
    let commit = written.commit("hidden", "same\n");
    let repository = bench.git.repository(bench.place()).unwrap();
    repository.fetch(&written.remote(), &Revision::Head).unwrap();
    let mut files = Vec::new();
    let take = |file| -> Result<(), GitError> {
        files.push(file);
        Ok(())
    };
    repository.files(&commit.parse().unwrap(), 4096, take).unwrap();
    let ids: Vec<&ObjectId> = files.iter().map(|file| &file.id).collect();
    let mut found = Vec::new();
    repository
        .contents(&ids, |_, size, content| -> Result<(), GitError> {
            let mut text = String::new();
            content.read_to_string(&mut text).unwrap();
            assert_eq!(text.len() as u64, size);
            found.push(text);
            Ok(())
        })
        .unwrap();
    let found: Vec<(FileKind, &[u8], &str)> = files
        .iter()
        .zip(&found)
        .map(|(file, text)| (file.kind, file.path.as_slice(), text.as_str()))
        .collect();
    let plain = FileKind::File { executable: false };
    assert_eq!(
        found,
        [
            (plain, &b".gitattributes"[..], "* text eol=crlf export-subst\nhidden export-ignore\n"),
            (plain, b"hidden", "same\n"),
            (FileKind::Symlink, b"link", "run"),
            (FileKind::File { executable: true }, b"run", "$Format:%H$\n"),
        ]
    );
}

#[test]
fn contents_that_nobody_reads_are_skipped_and_what_is_missing_is_named() {
    let (bench, written) = (Bench::new(), Written::new());
    written.commit("a", &"x".repeat(300_000));
    written.commit("b", "y");
    let repository = bench.git.repository(bench.place()).unwrap();
    repository.fetch(&written.remote(), &Revision::Head).unwrap();
    let id = |name: &str| written.git(&["rev-parse", &format!("HEAD:{name}")]).parse::<ObjectId>().unwrap();
    let mut sizes = Vec::new();
    let mut take = |_: &ObjectId, size, _: &mut dyn std::io::Read| -> Result<(), GitError> {
        sizes.push(size);
        Ok(())
    };
    repository.contents(&[&id("a"), &id("b")], &mut take).unwrap();
    let missing = "0".repeat(40).parse().unwrap();
    let error = repository.contents(&[&missing], &mut take).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    assert_eq!(sizes, [300_000, 1]);
}
