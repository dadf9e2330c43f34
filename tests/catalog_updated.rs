//! From new packages to images on them: locks are resolved anew, become a revision, and images are moved to what a rebuild
//! would give.

use std::path::{Path, PathBuf};

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::copy_tree;
use serde_json::Value;

use crate::harness::{Lapstrake, Outcome, Registry, tools, workspace};

/// Recipes that prune one file more than the program's own, so that everything above the operating system has new builds.
fn changed_recipes(scratch: &Path) -> PathBuf {
    let recipes = scratch.join("runtimes");
    for part in ["recipes", "locks"] {
        copy_tree(&workspace::root().join("runtimes").join(part), &recipes.join(part)).unwrap();
    }
    let file = recipes.join("recipes/debian13.toml");
    let text = fs_err::read_to_string(&file).unwrap();
    let (before, after) =
        ("\"usr/share/man/**\",", "\"usr/share/man/**\",\n    \"usr/share/zoneinfo/Zulu\",");
    assert!(text.contains(before));
    fs_err::write(&file, text.replacen(before, after, 1)).unwrap();
    recipes
}

struct Bench {
    lapstrake: Lapstrake,
    registry: Registry,
    scratch: tempfile::TempDir,
    catalog: String,
}

impl Bench {
    fn run(&self, words: &[&str]) -> Outcome {
        self.lapstrake.run(words)
    }

    /// Builds a layout of entries and publishes it.
    fn publish(&self, platform: &str, recipes: &[&str]) -> Outcome {
        let layout = self.scratch.path().join(format!("layout-{}", recipes.len()));
        let layout = layout.to_str().unwrap();
        let entries = ["python3@3.13", "nodejs22@22", "--platform", platform, "--layout", layout];
        self.run(&[&["catalog", "build"], &entries[..], recipes].concat()).expect(0);
        let published =
            self.run(&[&["catalog", "publish", layout, &self.catalog], recipes].concat()).expect(0);
        fs_err::remove_dir_all(layout).unwrap();
        published
    }
}

/// The digest that a reference names.
fn digest(reference: &str) -> String {
    let raw =
        tools::run("skopeo", ["inspect", "--tls-verify=false", "--raw", &format!("docker://{reference}")]);
    lapstrake_fixtures::registry::digest_of(raw.as_bytes())
}

#[test]
fn an_update_becomes_a_revision_and_a_rebase_to_it_is_the_rebuild() {
    let registry = Registry::start();
    let catalog = registry.reference("catalog/runtimes");
    let bench = Bench { lapstrake: Lapstrake::new(), registry, scratch: workspace::scratch(), catalog };
    let plain = App::named("plain-python").directory();
    let said = bench.run(&["plan", plain.to_str().unwrap(), "--format", "json"]).expect(0).stdout;
    let said: Value = serde_json::from_str(&said).unwrap();
    let platform = said["platforms"][0].as_str().unwrap();
    let recipes = changed_recipes(bench.scratch.path());
    let recipes = recipes.to_str().unwrap();

    let updated = bench.run(&["catalog", "update", "--recipes", recipes]).expect(0);
    assert!(updated.stdout.lines().any(|line| line == "python3-3.13.5-2"), "{updated:?}");

    let first = bench.publish(platform, &[]);
    assert!(
        first.stdout.starts_with("r1 ") && first.stderr.contains("new in r1: python3-3.13.5-1"),
        "{first:?}"
    );
    bench.run(&["catalog", "promote", &bench.catalog, "r1"]).expect(0);
    let second = bench.publish(platform, &["--recipes", recipes]);
    assert!(
        second.stdout.starts_with("r2 ") && second.stderr.contains("new in r2: python3-3.13.5-2"),
        "{second:?}"
    );
    bench.run(&["catalog", "verify", &bench.catalog, "--revision", "r2"]).expect(0);
    let rebuild = ["--rebuild", "python3-3.13.5-2", "--kind", "run"];
    let verify = ["catalog", "verify", &bench.catalog, "--revision", "r2"];
    let again = bench.run(&[&verify[..], &rebuild, &["--recipes", recipes]].concat()).expect(0).stdout;
    assert!(again.contains("python3-3.13.5-2 ") && again.contains("made again, and equal"), "{again}");
    let diff = bench.run(&["catalog", "diff", &bench.catalog, "r1", "r2"]).expect(0).stdout;
    assert!(diff.contains("python3-3.13.5-2"), "{diff}");

    let (old, new) = (format!("{}:latest", bench.catalog), format!("{}:candidate", bench.catalog));
    for app in ["flask", "express"] {
        let source = App::named(app).directory();
        let build = |catalog: &str, name: &str| {
            let tag = bench.registry.reference(name);
            bench.run(&["build", source.to_str().unwrap(), "--catalog", catalog, "--tag", &tag]).expect(0);
            tag
        };
        let (moved, expected) =
            (build(&old, &format!("team/{app}:1")), build(&new, &format!("team/{app}-rebuilt:1")));
        assert_ne!(digest(&moved), digest(&expected));
        let before = bench.registry.requests().len();
        let done = bench.run(&["rebase", &moved, "--catalog", &new, "--smoke"]).expect(0);
        assert!(done.stderr.contains("answers on its port"), "{done:?}");
        assert_eq!(digest(&moved), digest(&expected), "{app}");
        let sent = bench.registry.requests().split_off(before);
        let uploads = sent.iter().filter(|it| it.starts_with("PUT") && it.contains("/blobs/uploads/"));
        assert_eq!(uploads.count(), 1, "one config and no layer: {sent:#?}");
    }
}
