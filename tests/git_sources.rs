//! Git repositories as sources: every way to name one, what of it is read, and what is refused.

use std::path::Path;

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::copy_tree;
use lapstrake_fixtures::web::{Site, Web};
use serde_json::Value;

use crate::harness::{Image, Lapstrake, Outcome, Repository, workspace};

/// A repository with an app at its top.
fn project() -> Repository {
    let repository = Repository::new();
    copy_tree(&App::named("plain-python").directory(), repository.path()).unwrap();
    repository
}

/// A server with the repositories of a directory, and in it a copy of one.
struct Served {
    web: Web,
    root: tempfile::TempDir,
}

impl Served {
    fn new(repository: &Repository) -> Self {
        let root = workspace::scratch();
        let copy = root.path().join("team/app.git");
        repository.git(["clone", "--quiet", "--mirror", ".", copy.to_str().unwrap()]);
        Self { web: Web::start(Site::repositories(root.path())), root }
    }

    fn url(&self) -> String {
        format!("git+{}", self.web.url("/team/app.git"))
    }
}

fn plan(source: &str, more: &[&str]) -> Outcome {
    let command = ["plan", "--format", "json", source];
    Lapstrake::new().run(command.iter().chain(more))
}

fn planned(source: &str, more: &[&str]) -> Value {
    let outcome = plan(source, more).expect(0);
    serde_json::from_str(&outcome.stdout).unwrap()
}

fn commit_of(plan: &Value) -> &str {
    plan["source"]["checkout"]["commit"].as_str().unwrap()
}

fn layers(source: &str, more: &[&str]) -> Vec<String> {
    image(source, more).1.layers()
}

/// Builds to a layout, which lives as long as the first value.
fn image(source: &str, more: &[&str]) -> (tempfile::TempDir, Image) {
    let scratch = workspace::scratch();
    let layout = scratch.path().join("layout");
    let output = format!("oci:{}", layout.display());
    let arguments = ["build", source, "--output", &output];
    let outcome = Lapstrake::new().run(arguments.iter().chain(more)).expect(0);
    let image = Image::open(&layout, None);
    assert_eq!(image.digest, outcome.digest());
    (scratch, image)
}

#[test]
fn row_46_a_branch_a_tag_and_a_commit_of_any_git_remote_are_sources() {
    let repository = project();
    let first = repository.commit();
    repository.git(["tag", "light"]);
    repository.git(["tag", "-a", "-m", "x", "heavy"]);
    repository.git(["branch", "feature/x"]);
    let second = repository.commit_file("more", "2");
    let served = Served::new(&repository);
    for (reference, commit) in [
        ("", &second),
        ("#main", &second),
        ("#HEAD", &second),
        ("#feature/x", &first),
        ("#refs/heads/feature/x", &first),
        ("#light", &first),
        ("#heavy", &first),
        (&format!("#{first}"), &first),
        (&format!("#{}", &first[..8]), &first),
        (&format!("#{}", &second[..8]), &second),
    ] {
        let plan = planned(&format!("{}{reference}", served.url()), &[]);
        assert_eq!(commit_of(&plan), commit, "{reference}");
        assert_eq!(plan["source"]["kind"], "git commit");
        let repository = served.url().replace("git+", "");
        assert_eq!(plan["source"]["checkout"]["repository"], repository);
        assert_eq!(plan["source"]["checkout"]["dirty"], false);
    }
}

#[test]
fn only_one_commit_is_fetched_and_no_more_is_asked_for_than_is_needed() {
    let repository = project();
    repository.commit_file("large", &"0123456789abcdef".repeat(1 << 16));
    repository.git(["rm", "--quiet", "large"]);
    repository.commit();
    let served = Served::new(&repository);
    planned(&served.url(), &[]);
    let log = served.web.log();
    let paths: Vec<&str> = log.iter().map(|request| request.path.as_str()).collect();
    let expected =
        ["/team/app.git/info/refs", "/team/app.git/git-upload-pack", "/team/app.git/git-upload-pack"];
    assert_eq!(paths, expected);
    assert!(log.iter().all(|request| request.authorization.is_none()));
}

#[test]
fn a_server_that_gives_no_single_commits_gives_its_history() {
    let repository = project();
    let first = repository.commit();
    let second = repository.commit_file("more", "2");
    let served = Served::new(&repository);
    served.web.change(|site| site.old_protocol = true);
    let outcome = plan(&format!("{}#{first}", served.url()), &[]).expect(0);
    assert_eq!(commit_of(&serde_json::from_str(&outcome.stdout).unwrap()), first);
    assert!(outcome.stderr.contains("gives no single commits, so its whole history was fetched"));
    let outcome = plan(&format!("{}#{second}", served.url()), &[]).expect(0);
    assert!(!outcome.stderr.contains("whole history"), "{}", outcome.stderr);
}

#[test]
fn what_is_not_there_is_answered_with_what_is() {
    let repository = project();
    repository.commit();
    repository.git(["tag", "v1.0"]);
    let served = Served::new(&repository);
    let at = |reference: &str| plan(&format!("{}#{reference}", served.url()), &[]).expect(2).stderr;
    let said = at("mian");
    assert!(said.contains("has no branch, tag or commit `mian`"), "{said}");
    assert!(said.contains("hint: there are `main`, `v1.0`"), "{said}");
    assert!(at("1234567").contains("has no branch, tag or commit"));
    assert!(at(&"0".repeat(40)).contains("has no branch, tag or commit"));
    assert!(at("-x").contains("begins with `-`"));
    assert!(at("--upload-pack=id").contains("begins with `-`"));
    assert!(at("main~1").contains("names no branch, tag or commit"));
    let gone = format!("git+{}", served.web.url("/team/gone.git"));
    let said = plan(&gone, &[]).expect(2).stderr;
    assert!(said.contains("/team/gone.git/' not found") && said.contains("LAPSTRAKE_GIT_TOKEN"), "{said}");
    let host = served.web.host().to_owned();
    drop(served);
    let said = plan(&format!("git+http://{host}/x"), &[]).expect(75).stderr;
    assert!(said.contains("could not fetch the source"), "{said}");
}

#[test]
fn a_name_of_a_branch_and_of_a_tag_is_not_guessed() {
    let repository = project();
    let first = repository.commit();
    repository.git(["tag", "v1"]);
    let second = repository.commit_file("more", "2");
    repository.git(["branch", "v1"]);
    let served = Served::new(&repository);
    let said = plan(&format!("{}#v1", served.url()), &[]).expect(2).stderr;
    assert!(said.contains("name one of them in full: `refs/heads/v1`"), "{said}");
    assert_eq!(commit_of(&planned(&format!("{}#refs/tags/v1", served.url()), &[])), first);
    assert_eq!(commit_of(&planned(&format!("{}#refs/heads/v1", served.url()), &[])), second);
}

#[test]
fn row_47_the_directory_of_the_app_is_named_with_the_source_or_by_the_option() {
    let repository = Repository::new();
    copy_tree(&App::named("plain-python").directory(), &repository.path().join("apps/web")).unwrap();
    repository.commit_file("shared/lib.py", "x = 1\n");
    let served = Served::new(&repository);
    let named = format!("{}#main:apps/web", served.url());
    let by_name = planned(&named, &[]);
    assert_eq!(by_name["source"]["directory"], "apps/web");
    assert_eq!(by_name["origins"]["source-dir"], "SOURCE");
    assert_eq!(by_name["run"]["workingDir"], "/app/apps/web");
    let by_option = planned(&served.url(), &["--source-dir", "/apps/web/"]);
    assert_eq!(by_name["source"]["paths"], by_option["source"]["paths"]);
    assert_eq!(planned(&format!("{}#:apps/web", served.url()), &[])["source"]["directory"], "apps/web");
    planned(&named, &["--source-dir", "./apps/web"]);
    let said = plan(&named, &["--source-dir", "shared"]).expect(2).stderr;
    assert!(said.contains("`apps/web` in SOURCE and `shared` in `--source-dir`"), "{said}");
    plan(&format!("{}#main:nowhere", served.url()), &[]).expect(2);
    plan(&format!("{}#main:../x", served.url()), &[]).expect(2);
}

#[test]
fn a_repository_of_this_machine_is_read_as_it_was_committed() {
    let repository = project();
    let first = repository.commit();
    let second = repository.commit_file("more", "2");
    repository.write("more", "not committed");
    repository.write("new", "not committed");
    let path = repository.name();
    let worktree = workspace::scratch();
    let tree = worktree.path().join("tree");
    repository.git(["worktree", "add", "--quiet", "--detach", tree.to_str().unwrap(), &first]);
    for (source, commit) in [
        (format!("{path}#main"), &second),
        (format!("{path}#HEAD"), &second),
        (format!("{path}#{first}"), &first),
        (format!("{path}#{}", &first[..9]), &first),
        (format!("{path}/.git#main"), &second),
        (format!("git+file://{path}#main"), &second),
        (format!("{}#HEAD", tree.display()), &first),
    ] {
        let plan = planned(&source, &[]);
        assert_eq!(commit_of(&plan), commit, "{source}");
        assert_eq!(plan["source"]["checkout"]["repository"], Value::Null);
        // The app file, the program and what the second commit adds.
        assert_eq!(plan["source"]["paths"], if commit == &first { 2 } else { 3 }, "{source}");
    }
    repository.git(["remote", "add", "origin", "https://me:secret@git.example.com/team/app.git"]);
    let plan = planned(&format!("{path}#main"), &[]);
    assert_eq!(plan["source"]["checkout"]["repository"], "https://git.example.com/team/app.git");

    let said = plan_text(&format!("{path}#nowhere")).expect(2).stderr;
    assert!(said.contains(&format!("{path} has no branch, tag or commit `nowhere`")), "{said}");
    let inside = repository.path().join("inside");
    fs_err::create_dir(&inside).unwrap();
    let said = plan_text(&format!("{}#main", inside.display())).expect(2).stderr;
    assert!(said.contains(&format!("`{path}#REF:inside`")), "{said}");
}

fn plan_text(source: &str) -> Outcome {
    Lapstrake::new().run(["plan", source])
}

#[test]
fn a_directory_with_a_hash_in_its_name_is_a_directory() {
    let scratch = workspace::scratch();
    let directory = scratch.path().join("app#main");
    copy_tree(&App::named("plain-python").directory(), &directory).unwrap();
    let plan = planned(directory.to_str().unwrap(), &[]);
    assert_eq!(plan["source"]["kind"], "directory");
    fs_err::create_dir(scratch.path().join("app")).unwrap();
    assert_eq!(planned(directory.to_str().unwrap(), &[])["source"]["kind"], "directory");
}

#[test]
fn row_45_repositories_are_found_at_the_three_hosts_wherever_they_are() {
    let repository = project();
    let first = repository.commit();
    repository.git(["tag", "v1"]);
    let second = repository.commit_file("web/more", "2");
    let served = Served::new(&repository);
    let nested = served.root.path().join("team/sub/app.git");
    repository.git(["clone", "--quiet", "--mirror", ".", nested.to_str().unwrap()]);
    let base = served.web.url("");
    for (source, commit) in [
        ("github:team/app", &second),
        ("github:team/app@v1", &first),
        ("github:team/app@main#:web", &second),
        ("gitlab:team/sub/app@v1", &first),
        ("bitbucket:team/app#v1", &first),
    ] {
        let host = source.split(':').next().unwrap();
        let more =
            if source.contains('#') && source.ends_with("web") { &["--command", "x"][..] } else { &[] };
        let config = App::named("plain-python").directory().join("apprunner.yaml");
        let config = ["--config", config.to_str().unwrap()];
        let option = format!("--{host}-url");
        let arguments = [&[option.as_str(), &base][..], &config, more].concat();
        assert_eq!(commit_of(&planned(source, &arguments)), commit, "{source}");
        let variable = format!("LAPSTRAKE_{}_URL", host.to_uppercase());
        let by_variable = Lapstrake::new().with(&variable, &base);
        by_variable.run(["plan", source].iter().chain(&config).chain(more)).expect(0);
    }
    let said = plan("github:team/app", &["--github-url", "ssh://x"]).expect(2).stderr;
    assert!(said.contains("`--github-url` is refused"), "{said}");
    plan("github:team", &[]).expect(2);
}

#[test]
fn plain_http_is_for_this_machine_and_for_what_is_permitted() {
    let said = plan("git+http://git.example.com/team/app", &[]).expect(2).stderr;
    assert!(said.contains("--insecure-source git.example.com"), "{said}");
    let more = ["--insecure-source", "git.invalid"];
    let said = plan("git+http://git.invalid/team/app", &more).expect(75).stderr;
    assert!(said.contains("Could not resolve host"), "{said}");
}

#[test]
fn a_commit_gives_the_image_that_its_files_give_and_a_clean_checkout_of_it() {
    let repository = project();
    // Nothing of this changes what is read.
    repository.write(".gitattributes", "* text eol=crlf\nhidden export-ignore\nident export-subst ident\n");
    repository.write("hidden", "here all the same\n");
    repository.write("ident", "$Format:%H$ $Id$\n");
    std::os::unix::fs::symlink("server.py", repository.path().join("link")).unwrap();
    let commit = repository.commit();
    let served = Served::new(&repository);
    let (scratch, image) = image(&served.url(), &[]);
    image.check();
    let labels = &image.config["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.revision"], commit);
    assert_eq!(labels["org.opencontainers.image.source"], served.web.url("/team/app.git"));
    let files = image.files();
    assert_eq!(files["app/hidden"].bytes, b"here all the same\n");
    assert_eq!(files["app/ident"].bytes, b"$Format:%H$ $Id$\n");
    assert!(files.keys().all(|path| path.split('/').all(|part| part != ".git")));

    // The very files, put where no git is.
    let exported = scratch.path().join("exported");
    fs_err::create_dir(&exported).unwrap();
    for name in ["apprunner.yaml", "server.py", ".gitattributes", "hidden", "ident"] {
        fs_err::copy(repository.path().join(name), exported.join(name)).unwrap();
    }
    std::os::unix::fs::symlink("server.py", exported.join("link")).unwrap();
    let directory = exported.to_str().unwrap();
    assert_eq!(layers(directory, &[]), image.layers());
    assert_eq!(planned(directory, &[])["source"]["digest"], planned(&served.url(), &[])["source"]["digest"]);

    // A checkout without conversions has the same files, and names the same commit and the same repository.
    let clone = scratch.path().join("clone");
    let url = served.web.url("/team/app.git");
    repository.git(["clone", "--quiet", "--no-checkout", &url, clone.to_str().unwrap()]);
    let in_clone = |arguments: &[&str]| {
        let output =
            std::process::Command::new("git").arg("-C").arg(&clone).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    fs_err::write(clone.join(".git/info/attributes"), "* -text -eol -ident -export-subst\n").unwrap();
    in_clone(&["checkout", "--quiet", "main"]);
    assert_eq!(self::image(clone.to_str().unwrap(), &[]).1.digest, image.digest);
}

#[test]
fn the_report_of_a_build_names_the_commit_and_the_repository() {
    let repository = project();
    let commit = repository.commit();
    let served = Served::new(&repository);
    let scratch = workspace::scratch();
    let report = scratch.path().join("report.json");
    let output = format!("oci:{}", scratch.path().join("layout").display());
    let arguments = ["build", &served.url(), "-o", &output, "--metadata-file", report.to_str().unwrap()];
    Lapstrake::new().run(arguments).expect(0);
    let report: Value = serde_json::from_slice(&fs_err::read(&report).unwrap()).unwrap();
    assert_eq!(report["checkout"]["commit"], commit);
    assert_eq!(report["checkout"]["repository"], served.web.url("/team/app.git"));
    let text = plan_text(&served.url()).expect(0).stdout;
    assert!(text.contains(&commit) && text.contains(&served.web.url("/team/app.git")), "{text}");
}

#[test]
fn submodules_and_pointers_of_git_lfs_are_told_and_not_fetched() {
    let repository = project();
    repository.write("big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
    let commit = repository.commit();
    repository
        .write(".gitmodules", "[submodule \"lib\"]\n\tpath = lib\n\turl = https://git.example.com/lib.git\n");
    repository.git(["update-index", "--add", "--cacheinfo", &format!("160000,{commit},lib")]);
    repository.git(["add", ".gitmodules"]);
    repository.git(["commit", "--quiet", "-m", "x"]);
    let outcome = plan(&format!("{}#main", repository.name()), &[]).expect(0);
    assert!(outcome.stderr.contains("`lib` is a submodule, which is not fetched"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("`big.bin` is a pointer of Git LFS"), "{}", outcome.stderr);
}

/// Makes a commit of a tree that no working git would write, and a branch `hostile` for it.
fn hostile(repository: &Repository, entries: &[(&str, &str, &str)]) {
    let tree = tree(repository, entries);
    let commit = repository.git(["commit-tree", "-m", "hostile", &tree]);
    repository.git(["update-ref", "refs/heads/hostile", &commit]);
}

/// Writes a tree of (mode, name, object), checked by nobody.
fn tree(repository: &Repository, entries: &[(&str, &str, &str)]) -> String {
    let mut bytes = Vec::new();
    for (mode, name, object) in entries {
        bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        let digits = (0..object.len()).step_by(2);
        bytes.extend(digits.map(|at| u8::from_str_radix(&object[at..at + 2], 16).unwrap()));
    }
    let file = repository.path().join(".git/hostile-tree");
    fs_err::write(&file, bytes).unwrap();
    repository.git(["hash-object", "-w", "-t", "tree", "--literally", file.to_str().unwrap()])
}

fn blob(repository: &Repository, content: &str) -> String {
    let file = repository.path().join(".git/hostile-blob");
    fs_err::write(&file, content).unwrap();
    repository.git(["hash-object", "-w", file.to_str().unwrap()])
}

fn refused(repository: &Repository) -> String {
    let over_http = Served::new(repository);
    for source in [format!("{}#hostile", repository.name()), format!("{}#hostile", over_http.url())] {
        let said = plan(&source, &[]).expect(5).stderr;
        if source.starts_with("git+") {
            return said;
        }
    }
    unreachable!("the last source is of the server")
}

#[test]
fn a_commit_with_paths_that_no_commit_has_is_refused() {
    for (name, telling) in [
        (".git", "hasDotgit"),
        (".GIT", "hasDotgit"),
        ("git~1", "hasDotgit"),
        ("..", "hasDotdot"),
        (".", "hasDot"),
        ("a/b", "fullPathname"),
    ] {
        let repository = project();
        repository.commit();
        let file = blob(&repository, "x");
        hostile(&repository, &[("100644", name, &file)]);
        let said = refused(&repository);
        assert!(said.contains(telling), "{name}: {said}");
    }
    // With the caller's own leave of git's check there is still our own.
    let repository = project();
    repository.commit();
    let file = blob(&repository, "x");
    let inner = tree(&repository, &[("100644", "config", &file)]);
    hostile(&repository, &[("40000", ".GIT", &inner)]);
    let served = Served::new(&repository);
    let scratch = workspace::scratch();
    let config = scratch.path().join("config");
    fs_err::write(&config, "[fetch \"fsck\"]\n\thasDotgit = ignore\n").unwrap();
    let lapstrake = Lapstrake::new().with("GIT_CONFIG_GLOBAL", &config);
    let said = lapstrake.run(["plan", &format!("{}#hostile", served.url())]).expect(5).stderr;
    assert!(said.contains("`.GIT/config`: a commit cannot hold a repository's own directory"), "{said}");
}

#[test]
fn a_commit_with_links_out_of_it_or_deletions_is_refused() {
    for (mode, name, content, telling) in [
        ("120000", "link", "/etc/passwd", "leads out of the source, to `/etc/passwd`"),
        ("120000", "link", "../../x", "leads out of the source, to `../../x`"),
        ("100644", ".wh.server.py", "", "mean deletions in an image"),
        ("120000", "link", "", "a link without a target"),
    ] {
        let repository = project();
        repository.commit();
        let object = blob(&repository, content);
        hostile(&repository, &[(mode, name, &object)]);
        let said = refused(&repository);
        assert!(said.contains(telling), "{name} -> {content}: {said}");
    }
    let repository = project();
    std::os::unix::fs::symlink("/etc/passwd", repository.path().join("link")).unwrap();
    repository.commit();
    let source = format!("{}#main", repository.name());
    plan(&source, &[]).expect(5);
    let outcome = plan(&source, &["--symlinks", "keep-dangling"]).expect(0);
    assert!(outcome.stderr.contains("the link `link` leads out of the source"), "{}", outcome.stderr);
}

#[test]
fn a_few_objects_that_name_one_another_very_often_are_refused() {
    let repository = project();
    repository.commit();
    let mut inner = blob(&repository, "x");
    for level in 0..10 {
        let mode = if level == 0 { "100644" } else { "40000" };
        let names: Vec<String> = (0..10).map(|number| format!("f{number}")).collect();
        let entries: Vec<_> = names.iter().map(|name| (mode, name.as_str(), inner.as_str())).collect();
        inner = tree(&repository, &entries);
    }
    hostile(&repository, &[("40000", "d", &inner)]);
    let said = plan(&format!("{}#hostile", repository.name()), &[]).expect(5).stderr;
    assert!(said.contains("more than 200000 entries"), "{said}");
}

#[test]
fn nothing_of_a_repository_of_this_machine_is_run() {
    let repository = project();
    repository.commit();
    let proof = repository.path().join("proof");
    let run = format!("touch {}", proof.display());
    let config = repository.path().join(".git/config");
    let before = fs_err::read_to_string(&config).unwrap();
    let hostile = format!(
        "[uploadpack]\n\tpackObjectsHook = \"{run}\"\n[core]\n\tfsmonitor = \"{run}\"\n\tsshCommand = \"{run}\"\n\tpager = \"{run}\"\n[alias]\n\tupload-pack = \"!{run}\"\n"
    );
    fs_err::write(&config, before + &hostile).unwrap();
    planned(&format!("{}#main", repository.name()), &[]);
    assert!(!Path::new(&proof).exists());
}
