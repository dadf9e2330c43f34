//! What of a source never reaches an image, and what an image says of the commit that it was made of.

use std::path::{Path, PathBuf};
use std::process::Command;

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::{copy_tree, tar_of};
use serde_json::Value;

use crate::harness::{Image, Lapstrake, workspace};

/// A Python app that keeps a list of what its build commands saw.
const APP_FILE: &str = "version: 1.0
runtime: python3
build:
  commands:
    build:
      - find . > /tmp/all && sort /tmp/all > seen
      - echo \"$SOURCE_COMMIT\" > commit
      - stat -c %Y server.py > time
run:
  command: python3 server.py
";

const REPOSITORY: &str = "https://user:secret@git.example.com/team/app.git";

struct Scene {
    scratch: tempfile::TempDir,
}

impl Scene {
    /// The plain Python app, with some files more.
    fn new(files: &[(&str, &str)]) -> Self {
        let scene = Self { scratch: workspace::scratch() };
        copy_tree(&App::named("plain-python").directory(), &scene.app()).unwrap();
        for (path, text) in files {
            scene.write(path, text);
        }
        scene
    }

    fn app(&self) -> PathBuf {
        self.scratch.path().join("app")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.app().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
            .args(arguments)
            .current_dir(self.app())
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .envs([("GIT_AUTHOR_DATE", "1700000000 +0000"), ("GIT_COMMITTER_DATE", "1700000000 +0000")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self) -> String {
        self.git(&["init", "--quiet"]);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message=one"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn build(&self, source: &Path, options: &[&str]) -> Image {
        let layout = tempfile::tempdir_in(self.scratch.path()).unwrap().keep();
        let output = format!("oci:{}", layout.display());
        let arguments = ["build", source.to_str().unwrap(), "--output", &output];
        let digest = Lapstrake::new().run(arguments.iter().chain(options)).expect(0).digest();
        let image = Image::open(&layout, None);
        assert_eq!(image.digest, digest);
        image.check();
        image
    }
}

/// The files of the image below `/app`.
fn app_files(image: &Image) -> Vec<String> {
    image.files().keys().filter_map(|path| path.strip_prefix("app/")).map(str::to_owned).collect()
}

fn text(image: &Image, path: &str) -> String {
    String::from_utf8(image.files()[path].bytes.clone()).unwrap()
}

fn label(image: &Image, name: &str) -> Value {
    let name = format!("org.opencontainers.image.{name}");
    assert_eq!(image.config["config"]["Labels"][&name], image.manifest["annotations"][&name]);
    image.config["config"]["Labels"][&name].clone()
}

// row 31
#[test]
fn what_the_ignore_file_leaves_out_reaches_neither_the_commands_nor_the_image() {
    let scene = Scene::new(&[
        ("apprunner.yaml", APP_FILE),
        (".dockerignore", "# everything but the server\n*\n!server.py\n!docs/README.md\n"),
        (".env", "SECRET=1"),
        ("docs/README.md", "read me"),
        ("docs/draft.md", "draft"),
        ("node_modules/a/index.js", "a"),
    ]);
    let expected = ["commit", "docs", "docs/README.md", "seen", "server.py", "time"];
    let archive = scene.scratch.path().join("app.tar");
    fs_err::write(&archive, tar_of(&scene.app(), "").unwrap()).unwrap();
    let images = [scene.app(), archive].map(|source| scene.build(&source, &[]));
    for image in &images {
        assert_eq!(app_files(image), expected);
        assert_eq!(text(image, "app/seen"), ".\n./docs\n./docs/README.md\n./server.py\n");
    }
    let but_time = |image: &Image| {
        let files = image.files().into_iter().filter(|(path, _)| path != "app/time");
        files.collect::<Vec<_>>()
    };
    assert_eq!(but_time(&images[0]), but_time(&images[1]));

    scene.write(".lapstrakeignore", "[\n");
    let refused = Lapstrake::new().run(["plan", scene.app().to_str().unwrap()]).expect(2);
    assert!(refused.stderr.contains(".lapstrakeignore:1: the pattern `[` is refused"), "{}", refused.stderr);
}

// row 31
#[test]
fn a_repositorys_own_files_never_enter_an_image() {
    let files = [("sub/.git", "gitdir: ../elsewhere\n"), ("other/.git/HEAD", "ref: refs/heads/main\n")];
    let with_commands =
        APP_FILE.replace("    build:\n", "    build:\n      - git init --quiet new\n      - test -d .git\n");
    for (app_file, keep) in
        [(None, "all"), (Some(with_commands.as_str()), "all"), (Some(&with_commands), "app")]
    {
        let scene = Scene::new(&files);
        if let Some(text) = app_file {
            scene.write("apprunner.yaml", text);
        }
        scene.git(&["init", "--quiet"]);
        let image = scene.build(&scene.app(), &["--keep", keep]);
        let found: Vec<_> =
            image.files().into_keys().filter(|path| path.split('/').any(|name| name == ".git")).collect();
        assert_eq!(found, [""; 0], "{keep}");
        assert!(app_files(&image).contains(&"server.py".to_owned()));
    }
}

// row 35, row 36
#[test]
fn two_checkouts_of_a_commit_give_one_image_that_names_it() {
    let scene = Scene::new(&[("apprunner.yaml", APP_FILE)]);
    let commit = scene.commit();
    let clone = |name: &str, time: &str| {
        let path = scene.scratch.path().join(name);
        scene.git(&["clone", "--quiet", ".", path.to_str().unwrap()]);
        let status =
            Command::new("git").args(["remote", "set-url", "origin", REPOSITORY]).current_dir(&path).status();
        assert!(status.unwrap().success());
        let server = path.join("server.py");
        assert!(Command::new("touch").args(["-d", time]).arg(&server).status().unwrap().success());
        path
    };
    let (one, other) = (clone("one", "2001-02-03"), clone("deeper/two", "2020-10-10"));
    let image = scene.build(&one, &["--commit-env"]);
    let again = scene.build(&other, &["--commit-env"]);
    assert_eq!(again.config, image.config);
    assert_eq!(again.digest, image.digest);
    assert_eq!(label(&image, "revision"), commit.as_str());
    assert_eq!(label(&image, "source"), "https://git.example.com/team/app.git");
    assert_eq!(label(&image, "created"), "2023-11-14T22:13:20Z");
    assert_eq!(image.config["created"], "2023-11-14T22:13:20Z");
    // What commands are told is the same from one commit to the next.
    assert_eq!(text(&image, "app/time"), "315619200\n");
    assert_eq!((text(&image, "app/commit"), &image.env()["SOURCE_COMMIT"]), (format!("{commit}\n"), &commit));

    fs_err::write(other.join("server.py"), "# changed\n").unwrap();
    let dirty = scene.build(&other, &[]);
    assert_eq!(label(&dirty, "revision"), format!("{commit}-dirty"));
    assert_ne!(label(&dirty, "created"), label(&image, "created"));
    assert_eq!((text(&dirty, "app/commit"), dirty.env().get("SOURCE_COMMIT")), ("\n".to_owned(), None));
}

#[test]
fn the_plan_says_what_was_left_out_and_which_commit_it_is() {
    let scene = Scene::new(&[(".dockerignore", "big\n*.log\n"), ("big/a", ""), ("big/b", ""), ("x.log", "")]);
    let commit = scene.commit();
    let source = scene.app().display().to_string();
    let plan: Value =
        serde_json::from_str(&Lapstrake::new().run(["plan", &source, "--format", "json"]).expect(0).stdout)
            .unwrap();
    assert_eq!(plan["source"]["ignoreFile"], ".dockerignore");
    assert_eq!(plan["source"]["leftOut"], 2);
    assert_eq!(plan["source"]["checkout"]["commit"], commit.as_str());
    let shown = Lapstrake::new().run(["plan", &source, "--commit-env"]).expect(0).stdout;
    for line in [
        format!("commit       {commit}\n"),
        "ignore file  .dockerignore, 2 paths left out\n".to_owned(),
        format!("run env      SOURCE_COMMIT={commit} (--commit-env)\n"),
    ] {
        assert!(shown.contains(&line), "{line}{shown}");
    }
}
