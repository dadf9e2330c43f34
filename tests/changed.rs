//! `changed`: whether a build is due, as an exit code and as JSON.

use std::os::unix::fs::PermissionsExt;

use lapstrake_fixtures::web::{Site, Web};
use serde_json::{Value, json};

use crate::harness::{Lapstrake, Outcome, Repository, workspace};

fn changed(arguments: &[&str]) -> Outcome {
    let command = ["changed"];
    Lapstrake::new().run(command.iter().chain(arguments))
}

fn answer(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap()
}

/// What changed in `web` from the commit before to the last, or none when nothing did.
fn in_web(repository: &Repository, more: &[&str]) -> Option<Vec<String>> {
    let arguments = [repository.name(), "--since", "HEAD~1", "--source-dir", "web"];
    let outcome = changed(&[&arguments[..], more].concat());
    let answer = answer(&outcome);
    let due = answer["due"].as_bool().unwrap();
    outcome.expect(i32::from(!due));
    let paths = answer["changed"].as_array().unwrap().iter().map(|path| path.as_str().unwrap().to_owned());
    due.then(|| paths.collect())
}

#[test]
fn row_48_a_build_is_due_when_something_in_the_source_directory_changed_and_not_otherwise() {
    let repository = Repository::new();
    for file in ["web/main.py", "web/old.py", "web/moved.py", "api/main.py", "README.md", "webs/x"] {
        repository.write(file, file);
    }
    let first = repository.commit();
    let second = repository.commit_file("web/main.py", "other");
    let outcome = changed(&[repository.name(), "--since", &first, "--source-dir", "/web/"]).expect(0);
    let expected = json!({
        "due": true, "since": first, "head": second, "sourceDir": "web", "changed": ["web/main.py"],
        "ignoreFile": null, "more": 0, "ignored": 0, "others": 0,
    });
    assert_eq!(answer(&outcome), expected);
    assert_eq!(outcome.stderr, "");

    for file in ["api/main.py", "README.md", "webs/x", "web.py"] {
        repository.commit_file(file, "changed beside it");
        assert_eq!(in_web(&repository, &[]), None, "{file}");
    }
    // And without a source directory everything counts.
    changed(&[repository.name(), "--since", "HEAD~1"]).expect(0);
    changed(&[repository.name(), "--since", "HEAD"]).expect(1);

    fs_err::set_permissions(repository.path().join("web/main.py"), PermissionsExt::from_mode(0o755)).unwrap();
    repository.commit();
    assert_eq!(in_web(&repository, &[]), Some(vec!["web/main.py".to_owned()]), "a mode");
    repository.git(["rm", "--quiet", "web/old.py"]);
    repository.commit();
    assert_eq!(in_web(&repository, &[]), Some(vec!["web/old.py".to_owned()]), "a deletion");
    repository.git(["mv", "web/moved.py", "api/moved.py"]);
    repository.commit();
    assert_eq!(in_web(&repository, &[]), Some(vec!["web/moved.py".to_owned()]), "a file that left");
    repository.git(["mv", "api/moved.py", "web/back.py"]);
    repository.commit();
    assert_eq!(in_web(&repository, &[]), Some(vec!["web/back.py".to_owned()]), "a file that came");
    repository.commit();
    assert_eq!(in_web(&repository, &[]), None, "a commit without a change");
}

#[test]
fn row_49_shared_paths_make_a_build_due_as_well() {
    let repository = Repository::new();
    repository.write("web/main.py", "1");
    repository.commit();
    for (file, also, due) in [
        ("libs/common/a/b.py", "libs/common", true),
        ("libs/common/a/b.py", "libs/*/a", true),
        ("libs/other/a.py", "libs/common", false),
        ("pnpm-lock.yaml", "pnpm-lock.yaml", true),
        ("tools/pnpm-lock.yaml", "pnpm-lock.yaml", false),
        ("tools/pnpm-lock.yaml", "**/pnpm-lock.yaml", true),
    ] {
        repository.commit_file(file, &format!("{file} {also}"));
        let found = in_web(&repository, &["--also", "docs/**", "--also", also]);
        assert_eq!(found, due.then(|| vec![file.to_owned()]), "{file} {also}");
        assert_eq!(in_web(&repository, &[]), None, "{file}");
    }
}

#[test]
fn what_never_enters_a_build_does_not_make_it_due() {
    let repository = Repository::new();
    repository.write("web/main.py", "1");
    repository
        .write(".dockerignore", "**/docs\n!web/docs/kept\n**/*.md\n.dockerignore\nweb/apprunner.yaml\n");
    repository.commit();
    for file in ["web/docs/a", "web/README.md", "web/deep/docs/x/y"] {
        repository.commit_file(file, "1");
        assert_eq!(in_web(&repository, &[]), None, "{file}");
        repository.git(["rm", "--quiet", file]);
        repository.commit();
        assert_eq!(in_web(&repository, &[]), None, "{file}");
    }
    let outcome = changed(&[repository.name(), "--since", "HEAD~1"]).expect(1);
    let answer = answer(&outcome);
    assert_eq!((&answer["ignored"], &answer["ignoreFile"]), (&json!(1), &json!(".dockerignore")));
    // The app file is read all the same, exceptions are exceptions, and what the user listed counts.
    for file in ["web/apprunner.yaml", "web/docs/kept", "web/main.py"] {
        repository.commit_file(file, "2");
        assert_eq!(in_web(&repository, &[]), Some(vec![file.to_owned()]));
    }
    repository.commit_file("web/README.md", "3");
    assert_eq!(in_web(&repository, &["--also", "**/README.md"]), Some(vec!["web/README.md".to_owned()]));
    // What is left out is decided by the ignore file, so a change of it counts, wherever the source directory is.
    repository.commit_file(".dockerignore", "**/*.md\n");
    assert_eq!(in_web(&repository, &[]), Some(vec![".dockerignore".to_owned()]));
    repository.commit_file(".lapstrakeignore", "nothing\n");
    assert_eq!(in_web(&repository, &[]), Some(vec![".lapstrakeignore".to_owned()]));
    // It stands above the other one, which says nothing any more.
    repository.commit_file(".dockerignore", "web\n");
    assert_eq!(in_web(&repository, &[]), None);
    repository.commit_file("web/README.md", "4");
    assert_eq!(in_web(&repository, &[]), Some(vec!["web/README.md".to_owned()]));
    repository.commit_file(".lapstrakeignore", "a[\n");
    repository.commit_file("web/main.py", "5");
    let outcome = changed(&[repository.name(), "--since", "HEAD~1"]).expect(2);
    assert!(outcome.stderr.contains("`a[`"), "{}", outcome.stderr);
}

#[test]
fn both_commits_are_named_in_many_ways() {
    let repository = Repository::new();
    let first = repository.commit_file("a", "1");
    repository.git(["tag", "--annotate", "--message=x", "v1"]);
    let second = repository.commit_file("a", "2");
    repository.git(["branch", "next"]);
    let third = repository.commit_file("a", "3");
    for (source, since, expected) in [
        ("", "v1", [&first, &third]),
        ("", "HEAD^", [&second, &third]),
        ("", &first[..8], [&first, &third]),
        ("#next", "next~1", [&first, &second]),
        ("#v1", "main", [&third, &first]),
        (&format!("#{second}"), "refs/heads/main", [&third, &second]),
    ] {
        let outcome = changed(&[&format!("{}{source}", repository.name()), "--since", since]).expect(0);
        let answer = answer(&outcome);
        assert_eq!([&answer["since"], &answer["head"]], expected, "{source} {since}");
    }
}

#[test]
fn a_new_branch_whose_commit_before_is_all_zeros_is_due() {
    let repository = Repository::new();
    repository.write("README.md", "1");
    let only = repository.commit_file("web/main.py", "1");
    let zeros = "0".repeat(40);
    let outcome = changed(&[repository.name(), "--since", &zeros, "--source-dir", "web"]).expect(0);
    let answer = answer(&outcome);
    assert_eq!((&answer["since"], &answer["head"]), (&json!(zeros), &json!(only)));
    assert_eq!((&answer["changed"], &answer["others"]), (&json!(["web/main.py"]), &json!(1)));
}

#[test]
fn people_get_an_answer_too() {
    let repository = Repository::new();
    let first = repository.commit_file("web/a", "1");
    repository.write("api/a", "1");
    let second = repository.commit_file("web/b", "1");
    let arguments = [repository.name(), "--since", "HEAD~1", "--format", "text", "--source-dir"];
    let outcome = changed(&[&arguments[..], &["web"]].concat()).expect(0);
    assert_eq!(
        outcome.stdout,
        format!("due: 1 path in scope (`web`) changed from {first} to {second}\nweb/b\n")
    );
    repository.commit_file("api/a", "2");
    let outcome = changed(&[&arguments[..], &["web"]].concat()).expect(1);
    assert!(outcome.stdout.starts_with("not due: nothing in scope (`web`) changed"), "{}", outcome.stdout);
}

#[test]
fn what_is_not_understood_is_never_an_answer() {
    let repository = Repository::new();
    repository.commit_file("web/a", "1");
    repository.commit_file("web/a", "2");
    let name = repository.name();
    let outside = workspace::scratch();
    let inside = format!("{name}/web");
    for (arguments, message) in [
        (&[name, "--since", "mian"][..], "no branch, tag or commit `mian`"),
        (&[name, "--since", "mian"], "hint: there are `main`"),
        (&[name, "--since", "HEAD~7"], "no commit `HEAD~7`"),
        (&[name, "--since", &"1".repeat(40)], "no commit `1111"),
        (&[name, "--since", "main..next"], "the commit is not understood"),
        (&[name, "--since", "--upload-pack=id"], "--upload-pack"),
        (&[name, "--since=--upload-pack=id"], "begins with `-`"),
        (&[name, "--since", "HEAD~1", "--source-dir", "wbe"], "has the directory `wbe`"),
        (&[name, "--since", "HEAD~1", "--source-dir", "web/a"], "has the directory `web/a`"),
        (&[name, "--since", "HEAD~1", "--source-dir", "../x"], "it leaves the source"),
        (&[name, "--since", "HEAD~1", "--also", "a["], "`a[` is no glob"),
        (&[&inside, "--since", "HEAD~1"], "hint: it lies in the repository"),
        (&[outside.path().to_str().unwrap(), "--since", "HEAD"], "is no git repository"),
        (&["/nonexistent/x", "--since", "HEAD"], "`/nonexistent/x` does not exist"),
        (&[name], "--since <REF>"),
    ] {
        let outcome = changed(arguments).expect(2);
        assert!(outcome.stderr.contains(message), "{arguments:?}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, "");
    }
}

#[test]
fn a_shallow_clone_says_how_to_get_what_it_lacks() {
    let repository = Repository::new();
    let first = repository.commit_file("a", "1");
    repository.commit_file("a", "2");
    let clone = workspace::scratch();
    let from = format!("file://{}", repository.name());
    repository.git(["clone", "--quiet", "--depth=1", &from, clone.path().to_str().unwrap()]);
    for since in ["HEAD~1", &first] {
        let outcome = changed(&[clone.path().to_str().unwrap(), "--since", since]).expect(2);
        assert!(outcome.stderr.contains("hint: the clone is shallow"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("git fetch --unshallow"), "{}", outcome.stderr);
    }
}

/// A server with the private repository `team/app`, into which this was pushed.
fn served(repository: &Repository, directory: &std::path::Path) -> Web {
    repository.push_to(directory, "team/app");
    Web::start(Site::repositories(directory).private("x-access-token", "let-me-in"))
}

#[test]
fn a_private_repository_of_a_server_is_compared_with_a_token_alone() {
    let repository = Repository::new();
    let directory = workspace::scratch();
    repository.write("README.md", "1");
    let first = repository.commit_file("web/a", "1");
    let second = repository.commit_file("web/a", "2");
    let server = served(&repository, directory.path());
    let base = server.url("/");
    let arguments =
        ["changed", "github:team/app@main", "--github-url", &base, "--since", &first, "--source-dir", "web"];
    let outcome = Lapstrake::new().with("LAPSTRAKE_GIT_TOKEN", "let-me-in").run(arguments).expect(0);
    let answer = answer(&outcome);
    assert_eq!((&answer["since"], &answer["head"]), (&json!(first), &json!(second)));
    assert_eq!(answer["changed"], json!(["web/a"]));
    let outcome = Lapstrake::new().with("GITHUB_TOKEN", "wrong").run(arguments).expect(3);
    assert!(outcome.stderr.contains("GITHUB_TOKEN"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("wrong"), "{}", outcome.stderr);
}

#[test]
fn a_server_that_gives_no_single_commits_is_asked_for_its_history() {
    let repository = Repository::new();
    let directory = workspace::scratch();
    let first = repository.commit_file("web/a", "1");
    repository.write(".dockerignore", "**/*.md\n");
    repository.commit_file("web/a", "2");
    repository.commit_file("web/b.md", "1");
    let server = served(&repository, directory.path());
    server.change(|site| site.old_protocol = true);
    let source = format!("git+{}", server.url("/team/app.git#main"));
    let run = |since: &str| {
        let arguments = ["changed", &source, "--since", since, "--source-dir", "web"];
        Lapstrake::new().with("LAPSTRAKE_GIT_TOKEN", "let-me-in").run(arguments)
    };
    let outcome = run(&first).expect(0);
    assert_eq!(answer(&outcome)["changed"], json!([".dockerignore", "web/a", "web/b.md"]));
    run("main~1").expect(1);
    run(&"1".repeat(40)).expect(2);
}

#[test]
fn a_repository_that_has_moved_is_found() {
    let repository = Repository::new();
    let directory = workspace::scratch();
    let first = repository.commit_file("web/a", "1");
    repository.commit_file("web/a", "2");
    let server = served(&repository, directory.path());
    server.change(|site| site.moved.push(("/old/".to_owned(), 301, "/team/".to_owned())));
    let source = format!("git+{}", server.url("/old/app.git"));
    let arguments = ["changed", &source, "--since", &first];
    let outcome = Lapstrake::new().with("LAPSTRAKE_GIT_TOKEN", "let-me-in").run(arguments).expect(0);
    assert!(outcome.stderr.contains("has moved to"), "{}", outcome.stderr);
}
