//! From new packages to images on them: locks are resolved anew, become a revision, and images are moved to what a rebuild
//! would give.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::copy_tree;
use lapstrake_fixtures::registry::digest_of;
use serde_json::{Value, json};

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
    fn publish(&self, platform: &str, recipes: &[&str], more: &[&str]) -> Outcome {
        let layout = self.scratch.path().join(format!("layout-{}", recipes.len()));
        let layout = layout.to_str().unwrap();
        let entries: &[&str] = if all_apps() { &["nodejs24@24"] } else { &[] };
        let words =
            ["catalog", "build", "python3@3.13", "nodejs22@22", "--platform", platform, "--layout", layout];
        self.run(&[&words[..], entries, recipes].concat()).expect(0);
        let published =
            self.run(&[&["catalog", "publish", layout, &self.catalog], recipes, more].concat()).expect(0);
        fs_err::remove_dir_all(layout).unwrap();
        published
    }
}

/// Whether every sample app on these entries is moved, and not two of them.
fn all_apps() -> bool {
    std::env::var_os("LAPSTRAKE_TEST_ALL_REBASES").is_some()
}

/// The digest that a reference names.
fn digest(reference: &str) -> String {
    let raw =
        tools::run("skopeo", ["inspect", "--tls-verify=false", "--raw", &format!("docker://{reference}")]);
    digest_of(raw.as_bytes())
}

#[test]
fn an_update_becomes_a_revision_and_a_rebase_to_it_is_the_rebuild() {
    let registry = Registry::start();
    let catalog = registry.reference("catalog/runtimes");
    let scratch = workspace::scratch();
    let bench = Bench { lapstrake: Lapstrake::new().apart(scratch.path()), registry, scratch, catalog };
    let plain = App::named("plain-python").directory();
    let said = bench.run(&["plan", plain.to_str().unwrap(), "--format", "json"]).expect(0).stdout;
    let said: Value = serde_json::from_str(&said).unwrap();
    let platform = said["platforms"][0].as_str().unwrap();
    let recipes = changed_recipes(bench.scratch.path());
    let recipes = recipes.to_str().unwrap();

    let updated = bench.run(&["catalog", "update", "--recipes", recipes]).expect(0);
    assert!(updated.stdout.lines().any(|line| line == "python3-3.13.5-2"), "{updated:?}");

    let first = bench.publish(platform, &[], &[]);
    assert!(
        first.stdout.starts_with("r1 ") && first.stderr.contains("new in r1: python3-3.13.5-1"),
        "{first:?}"
    );
    bench.run(&["catalog", "promote", &bench.catalog, "r1"]).expect(0);
    let second = bench.publish(platform, &["--recipes", recipes], &["--artifacts"]);
    assert!(
        second.stdout.starts_with("r2 ") && second.stderr.contains("new in r2: python3-3.13.5-2"),
        "{second:?}"
    );
    bench.run(&["catalog", "verify", &bench.catalog, "--revision", "r2"]).expect(0);
    let rebuild = ["--rebuild", "python3-3.13.5-2", "--kind", "run"];
    let verify = ["catalog", "verify", &bench.catalog, "--revision", "r2"];
    let again = bench.run(&[&verify[..], &rebuild, &["--recipes", recipes]].concat()).expect(0).stdout;
    assert!(again.contains("python3-3.13.5-2 ") && again.contains("made again, and equal"), "{again}");
    without_mirrors(&bench, recipes);
    let diff = bench.run(&["catalog", "diff", &bench.catalog, "r1", "r2"]).expect(0).stdout;
    assert!(diff.contains("python3-3.13.5-2"), "{diff}");

    let (old, new) = (format!("{}:latest", bench.catalog), format!("{}:candidate", bench.catalog));
    let more: &[&str] = if all_apps() {
        &["django", "plain-node", "plain-python", "sdist-compile", "sveltekit", "typescript"]
    } else {
        &[]
    };
    for app in ["flask", "express"].iter().chain(more) {
        let source = App::named(app).directory();
        let build = |catalog: &str, name: &str| {
            let tag = bench.registry.reference(name);
            bench.run(&["build", source.to_str().unwrap(), "--catalog", catalog, "--tag", &tag]).expect(0);
            tag
        };
        let (moved, expected) =
            (build(&old, &format!("team/{app}:1")), build(&new, &format!("team/{app}-rebuilt:1")));
        assert_ne!(digest(&moved), digest(&expected));
        if *app == "flask" {
            without_label(&bench, &moved, &bench.registry.reference("team/unlabelled:1"));
        }
        let before = bench.registry.requests().len();
        let done = bench.run(&["rebase", &moved, "--catalog", &new, "--smoke"]).expect(0);
        assert!(done.stderr.contains("answers on its port"), "{done:?}");
        assert_eq!(digest(&moved), digest(&expected), "{app}");
        let sent = bench.registry.requests().split_off(before);
        let uploads = sent.iter().filter(|it| it.starts_with("PUT") && it.contains("/blobs/uploads/"));
        assert_eq!(uploads.count(), 1, "one config and no layer: {sent:#?}");
        if !more.contains(app) {
            in_a_layout(&bench, &old, &new, &source);
        }
    }
    what_an_app_needs_is_not_taken_away(&bench, platform);
}

/// When no mirror has anything any more, the revision that keeps its packages can be made again, and no other one.
fn without_mirrors(bench: &Bench, recipes: &str) {
    let verify = |name: &str, id: &str, more: &[&str]| {
        let data = bench.scratch.path().join(name);
        let mut lapstrake = Lapstrake::new().with_data(&data);
        for mirror in ["DEBIAN_MIRROR", "DEBIAN_SECURITY_MIRROR", "NPM_REGISTRY", "PYTHON_INDEX"] {
            lapstrake = lapstrake.with(&format!("LAPSTRAKE_{mirror}"), "http://127.0.0.1:9/");
        }
        let words = ["catalog", "verify", &bench.catalog, "--rebuild", id, "--kind", "run"];
        let outcome = lapstrake.run([&words[..], more].concat());
        fs_err::remove_dir_all(data).unwrap();
        outcome
    };
    let more = ["--revision", "r2", "--recipes", recipes];
    let again = verify("no-mirrors", "python3-3.13.5-2", &more).expect(0);
    assert!(again.stdout.contains("made again, and equal"), "{again:?}");
    assert!(again.stderr.contains("come from the catalog"), "{again:?}");
    let failed = verify("nothing-at-all", "python3-3.13.5-1", &["--revision", "r1"]);
    assert!(matches!(failed.code, Some(3 | 75)), "{failed:?}");
}

/// The same image in a layout becomes the same there, and stays another image's name.
fn in_a_layout(bench: &Bench, old: &str, new: &str, source: &Path) {
    let layout = bench.scratch.path().join("app-layout");
    let reference = format!("oci:{}:v1", layout.display());
    bench.run(&["build", source.to_str().unwrap(), "--catalog", old, "--output", &reference]).expect(0);
    let digest_in = |tag: &str| {
        let index: Value =
            serde_json::from_str(&fs_err::read_to_string(layout.join("index.json")).unwrap()).unwrap();
        let named = |it: &&Value| {
            let found = it["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap();
            found == tag || tag.ends_with('-') && found.starts_with(tag)
        };
        index["manifests"].as_array().unwrap().iter().find(named).unwrap()["digest"].clone()
    };
    let before = digest_in("v1");
    let moved = bench.run(&["rebase", &reference, "--catalog", new, "--smoke=/health"]).expect(0);
    assert!(moved.stderr.contains("answers on its port: "), "{moved:?}");
    let rebuilt = format!("oci:{}:rebuilt", layout.display());
    bench.run(&["build", source.to_str().unwrap(), "--catalog", new, "--output", &rebuilt]).expect(0);
    assert_eq!(digest_in("v1"), digest_in("rebuilt"));
    assert_eq!(digest_in("v1.before-"), before);
    bench.run(&["rebase", &reference, "--undo"]).expect(0);
    assert_eq!(digest_in("v1"), before);
    fs_err::remove_dir_all(layout).unwrap();
}

/// A runtime image of two layers that hold nothing that any app could use, pushed as `name`.
fn hollow(bench: &Bench, platform: &str, name: &str) -> String {
    let layout = bench.scratch.path().join("hollow");
    fs_err::create_dir_all(layout.join("blobs/sha256")).unwrap();
    fs_err::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let keep = |media_type: &str, bytes: &[u8]| {
        let digest = digest_of(bytes);
        fs_err::write(layout.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    };
    let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
    for content in ["os", "runtime"] {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, "etc/what", content.as_bytes()).unwrap();
        let archive = archive.into_inner().unwrap();
        diff_ids.push(digest_of(&archive));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&archive).unwrap();
        layers.push(keep("application/vnd.oci.image.layer.v1.tar+gzip", &encoder.finish().unwrap()));
    }
    let (os, architecture) = platform.split_once('/').unwrap();
    let config = json!({
        "os": os, "architecture": architecture, "config": {"Env": ["PATH=/usr/bin"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = keep("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers});
    let mut manifest = keep(media_type, manifest.to_string().as_bytes());
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "hollow"});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs_err::write(layout.join("index.json"), index.to_string()).unwrap();
    let tag = bench.registry.reference(name);
    let pushed = bench.run(&["push", &format!("oci:{}:hollow", layout.display()), "--tag", &tag]).expect(0);
    pushed.stdout.trim().to_owned()
}

/// An entry that says that it is like the one before it, and has nothing of it.
fn what_an_app_needs_is_not_taken_away(bench: &Bench, platform: &str) {
    let newest = format!("{}:candidate", bench.catalog);
    let show = ["catalog", "show", "python3@3.13", "--catalog", &newest, "--format", "json"];
    let entry: Value = serde_json::from_str(&bench.run(&show).expect(0).stdout).unwrap();
    let image = hollow(bench, platform, "base/hollow:1");
    let text = |key: &str| entry[key].as_str().unwrap();
    let import = ["catalog", "import", &bench.catalog, "python3", text("version"), &image];
    let like = ["--os", text("os"), "--abi", text("abi")];
    bench.run(&[&import[..], &like].concat()).expect(0);
    let flask = bench.registry.reference("team/flask:1");
    let before = digest(&flask);
    let said = bench.run(&["rebase", &flask, "--catalog", &newest]).expect(5).stderr;
    for part in [
        "_speedups.cpython-313",
        "` of `libc.so.6`, ",
        "needs `GLIBC_2.",
        "`python3-3.13.5-3` does not provide it",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // An image that does not say what it needs is read for it.
    let unlabelled = bench.registry.reference("team/unlabelled:1");
    let said = bench.run(&["rebase", &unlabelled, "--catalog", &newest]).expect(5).stderr;
    assert!(said.contains("_speedups.cpython-313") && said.contains("needs `GLIBC_2."), "{said}");
    let second = format!("{}:r2", bench.catalog);
    let done = bench.run(&["rebase", &unlabelled, "--catalog", &second]).expect(0);
    assert!(done.stderr.contains("python3-3.13.5-1 -> python3-3.13.5-2"), "{done:?}");
    // A script alone needs nothing that could be proven: the start shows it.
    let source = App::named("plain-python").directory();
    let plain = bench.registry.reference("team/plain:1");
    bench.run(&["build", source.to_str().unwrap(), "--catalog", &second, "--tag", &plain]).expect(0);
    let of_plain = digest(&plain);
    let said = bench.run(&["rebase", &plain, "--catalog", &newest, "--smoke"]).expect(5).stderr;
    assert!(said.contains("the moved image does not work, and no tag names it: it stopped"), "{said}");
    assert_eq!((digest(&flask), digest(&plain)), (before, of_plain));
}

/// A copy of an image whose config does not say what its app needs.
fn without_label(bench: &Bench, from: &str, to: &str) {
    let layout = bench.scratch.path().join("unlabelled");
    let place = format!("oci:{}:x", layout.display());
    tools::run("skopeo", ["copy", "-q", "--src-tls-verify=false", &format!("docker://{from}"), &place]);
    let read = |path: &Path| serde_json::from_str::<Value>(&fs_err::read_to_string(path).unwrap()).unwrap();
    let blob = |digest: &Value| layout.join("blobs").join(digest.as_str().unwrap().replace(':', "/"));
    let keep = |value: &Value| {
        let (text, mut descriptor) = (value.to_string(), json!({}));
        descriptor["digest"] = digest_of(text.as_bytes()).into();
        descriptor["size"] = text.len().into();
        fs_err::write(blob(&descriptor["digest"]), text).unwrap();
        descriptor
    };
    let mut index = read(&layout.join("index.json"));
    let mut manifest = read(&blob(&index["manifests"][0]["digest"]));
    let mut config = read(&blob(&manifest["config"]["digest"]));
    let labels = config["config"]["Labels"].as_object_mut().unwrap();
    assert!(labels.remove("dev.lapstrake.needs").is_some());
    let new = keep(&config);
    (manifest["config"]["digest"], manifest["config"]["size"]) = (new["digest"].clone(), new["size"].clone());
    let new = keep(&manifest);
    let item = &mut index["manifests"][0];
    (item["digest"], item["size"]) = (new["digest"].clone(), new["size"].clone());
    fs_err::write(layout.join("index.json"), index.to_string()).unwrap();
    bench.run(&["push", &place, "--tag", to]).expect(0);
}
