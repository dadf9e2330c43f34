//! `rebase`: the image that a rebuild would give, without a build; whole fleets, planned, interrupted and taken back.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::fleet::{AS_OF, CATALOG, Fleet, Planted};
use serde_json::Value;

use crate::harness::{Lapstrake, Outcome, Registry, tools, workspace};

/// A registry server with a fleet.
struct Bench {
    registry: Registry,
    fleet: Fleet,
    scratch: tempfile::TempDir,
}

impl Bench {
    fn new(images: usize) -> Self {
        let bench =
            Self { registry: Registry::start(), fleet: Fleet::new(images), scratch: workspace::scratch() };
        bench.fleet.store_below(&bench.registry.storage()).unwrap();
        bench
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        let catalog = self.registry.reference(&format!("{CATALOG}:latest"));
        let fixed = ["--catalog", &catalog, "--as-of", AS_OF];
        ["rebase"].iter().chain(words).chain(&fixed).map(|word| (*word).to_owned()).collect()
    }

    fn lapstrake(&self) -> Lapstrake {
        Lapstrake::new().with_data(self.scratch.path().join("data"))
    }

    fn rebase(&self, words: &[&str]) -> Outcome {
        self.lapstrake().run(self.words(words))
    }

    fn of(&self, case: &str) -> (&Planted, String) {
        let image = self.fleet.images.iter().find(|image| image.case == case).unwrap();
        (image, format!("{}/{}:{}", self.registry.host(), image.repository, image.tag))
    }

    fn select(&self) -> String {
        format!("{}/team-*/**", self.registry.host())
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    /// The digest of every tag, as the server's storage has it.
    fn tags(&self) -> BTreeMap<String, String> {
        let root = self.registry.storage().join("docker/registry/v2/repositories");
        let links =
            walkdir::WalkDir::new(&root).into_iter().map(Result::unwrap).map(walkdir::DirEntry::into_path);
        let links = links.filter(|path| path.ends_with("current/link"));
        let named = |path: PathBuf| {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            (name, fs_err::read_to_string(path).unwrap())
        };
        links.map(named).collect()
    }

    /// Bytes of blobs that were sent since then, by the requests that the server has logged.
    fn uploads(&self, since: usize) -> usize {
        let requests = self.registry.requests().split_off(since);
        requests
            .iter()
            .filter(|request| request.starts_with("PUT") && request.contains("/blobs/uploads/"))
            .count()
    }
}

fn manifest(reference: &str) -> Value {
    let raw =
        tools::run("skopeo", ["inspect", "--tls-verify=false", "--raw", &format!("docker://{reference}")]);
    serde_json::from_str(&raw).unwrap()
}

fn digest(reference: &str) -> String {
    let raw =
        tools::run("skopeo", ["inspect", "--tls-verify=false", "--raw", &format!("docker://{reference}")]);
    lapstrake_fixtures::registry::digest_of(raw.as_bytes())
}

#[test]
fn an_image_moves_to_the_newest_build_with_no_layer_byte_sent_and_back_again() {
    let bench = Bench::new(100);
    let (image, name) = bench.of("an older build");
    let tried = bench.rebase(&[&name, "--dry-run"]).expect(0);
    assert!(tried.stderr.contains("python3-3.13.5-1 -> python3-3.13.5-2"), "{tried:?}");
    assert_eq!(digest(&name), image.digest, "nothing was written");
    let before = bench.registry.requests().len();
    let moved = bench.rebase(&[&name]).expect(0);
    assert_eq!(moved.stdout, tried.stdout);
    // One upload: the config.
    assert_eq!(bench.uploads(before), 1);
    let repository = name.rsplit_once(':').unwrap().0;
    assert_eq!(moved.stdout.trim(), format!("{repository}@{}", digest(&name)));
    let audit = |code| {
        let catalog = bench.registry.reference(&format!("{CATALOG}:latest"));
        let words = [
            "audit",
            "image",
            &name,
            "--catalog",
            &catalog,
            "--as-of",
            AS_OF,
            "--fail-on",
            "note",
            "--format",
            "json",
        ];
        serde_json::from_str::<Value>(&bench.lapstrake().run(words).expect(code).stdout).unwrap()
    };
    let report = audit(0);
    assert_eq!(
        (&report["rows"][0]["entry"], &report["rows"][0]["evidence"]),
        (&"python3-3.13.5-2".into(), &"layers".into())
    );
    let annotations = &manifest(&name)["annotations"];
    assert_eq!(annotations["dev.lapstrake.runtime.id"], "python3-3.13.5-2");
    let base = annotations["org.opencontainers.image.base.name"].as_str().unwrap();
    assert_eq!(base, "registry.example.com/catalog/runtimes:python3-3.13.5-2");
    let again = bench.rebase(&[&name]).expect(0);
    assert!(again.stdout == moved.stdout && again.stderr.contains("is on its target already"), "{again:?}");
    bench.rebase(&[&name, "--undo"]).expect(0);
    assert_eq!(digest(&name), image.digest);
    audit(1);
    assert!(
        bench
            .rebase(&[&bench.of("current Python").1, "--undo"])
            .expect(2)
            .stderr
            .contains("no earlier image")
    );
}

#[test]
fn what_is_not_proven_or_does_not_fit_is_refused() {
    let bench = Bench::new(100);
    for (case, more, code, says) in [
        ("another builder's image", &[][..], 5, "no published entry has the lowest layers"),
        ("an older patch", &["--to", "nodejs24-24.21.0-1"], 5, "cannot take the place of `python3-3.13.4-1`"),
        ("an older patch", &["--to", "python3-9.9.9-1"], 2, "the catalog has no entry `python3-9.9.9-1`"),
        ("a language without support", &[], 5, "`nodejs20-20.20.2-1` is eol"),
        ("an older line", &["--to", "nodejs22-22.20.0-1"], 5, "`nodejs22-22.20.0-1` is revoked"),
        ("an older patch", &["--to", "python3-3.13.5-1"], 5, "it was replaced itself"),
        ("an older patch", &["--to", "../x"], 2, "--to"),
    ] {
        let (image, name) = bench.of(case);
        let outcome = bench.rebase(&[&[name.as_str()], more].concat()).expect(code);
        assert!(outcome.stderr.contains(says), "{case}: {}", outcome.stderr);
        assert_eq!(digest(&name), image.digest);
    }
    let (image, lies) = bench.of("a label that lies");
    assert!(
        bench.rebase(&[&lies]).expect(0).stderr.contains("is on its target already"),
        "layers prove, labels hint"
    );
    assert_eq!(digest(&lies), image.digest);
    let digest = format!("{}@{}", lies.rsplit_once(':').unwrap().0, image.digest);
    assert!(bench.rebase(&[&digest]).expect(2).stderr.contains("--tag TAG"));
}

#[test]
fn a_revoked_entry_gives_way_to_its_replacement_and_an_index_moves_as_a_whole() {
    let bench = Bench::new(100);
    let (_, revoked) = bench.of("a revoked entry");
    assert!(bench.rebase(&[&revoked]).expect(0).stderr.contains("nodejs22-22.20.0-1 -> nodejs22-22.23.3-1"));
    let (_, index) = bench.of("platforms on different entries");
    let before = manifest(&index);
    assert!(
        bench
            .rebase(&[&index])
            .expect(0)
            .stderr
            .contains("for linux/arm64: python3-3.13.5-1 -> python3-3.13.5-2")
    );
    let after = manifest(&index);
    assert_eq!(before["manifests"][0], after["manifests"][0], "what is on its target stays");
    assert_ne!(before["manifests"][1]["digest"], after["manifests"][1]["digest"]);
    assert_eq!(after["manifests"][1]["platform"]["architecture"], "arm64");
    tools::run(
        "skopeo",
        [
            "copy",
            "--all",
            "--src-tls-verify=false",
            &format!("docker://{index}"),
            &format!("dir:{}", bench.path("copy")),
        ],
    );
}

#[test]
fn a_fleet_is_moved_by_a_plan_that_survives_a_kill_and_serves_several_workers() {
    let images = if std::env::var_os("LAPSTRAKE_TEST_FLEET").is_some() { 1000 } else { 100 };
    let (undisturbed, killed) = (Bench::new(images), Bench::new(images));
    let planned = |bench: &Bench| {
        let plan = bench.path("plan.jsonl");
        bench.rebase(&["--select", &bench.select(), "--plan", &plan]).expect(0);
        plan
    };
    let plan = planned(&undisturbed);
    let lines = fs_err::read_to_string(&plan).unwrap().lines().count();
    let expected = undisturbed.fleet.images.iter().filter(|image| {
        matches!(
            image.case,
            "an older build" | "an older patch" | "a revoked entry" | "platforms on different entries"
        )
    });
    assert_eq!(lines, expected.count());
    let before = undisturbed.registry.requests().len();
    let started = Instant::now();
    let done = undisturbed.rebase(&["--plan", &plan]).expect(0);
    println!("{lines} images of {images} moved in {:?}", started.elapsed());
    assert_eq!(done.stdout.lines().count(), lines);
    assert_eq!(undisturbed.uploads(before), lines, "nothing but configs is sent, one for each image");

    let plan = planned(&killed);
    let mut worker = killed.lapstrake().start(killed.words(&["--plan", &plan]));
    let start = Instant::now();
    while killed.tags().len() < killed.fleet.images.len() + 5 {
        assert!(start.elapsed() < Duration::from_mins(1), "nothing is moved");
        std::thread::sleep(Duration::from_millis(2));
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    let workers: Vec<_> =
        (0..2).map(|_| killed.lapstrake().start(killed.words(&["--plan", &plan]))).collect();
    for worker in workers {
        let ended = worker.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    assert_eq!(killed.tags(), undisturbed.tags());
    let again = killed.rebase(&["--plan", &plan]).expect(0);
    assert_eq!(again.stdout, "");
}

#[test]
fn a_selection_is_narrowed_by_globs_and_shares_and_a_plan_by_what_has_changed() {
    let bench = Bench::new(200);
    let count = |more: &[&str]| {
        let outcome = bench.rebase(&[&["--select", &bench.select(), "--dry-run"], more].concat()).expect(0);
        outcome.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = count(&[]);
    let half = count(&["--canary", "50%"]);
    assert!(half.len() < all.len() && half.iter().all(|line| all.contains(line)), "{half:?}");
    assert_eq!(count(&["--canary", "100%"]), all);
    assert!(count(&["--tags", "v1"]).len() < all.len());
    for bad in [["--canary", "0%"], ["--canary", "all"], ["--tags", "["]] {
        bench.rebase(&[&["--select", &bench.select(), "--dry-run"], &bad[..]].concat()).expect(2);
    }
    let plan = bench.path("plan");
    bench.rebase(&["--select", &bench.select(), "--plan", &plan]).expect(0);
    let (_, moved) = bench.of("an older build");
    let (_, other) = bench.of("current Node.js");
    tools::run(
        "skopeo",
        [
            "copy",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            &format!("docker://{other}"),
            &format!("docker://{moved}"),
        ],
    );
    let done = bench.rebase(&["--plan", &plan]).expect(0);
    assert!(
        done.stderr.contains(&format!("`{moved}` is another image than when it was planned")),
        "{}",
        done.stderr
    );
    assert_eq!(done.stdout.lines().count(), all.len() - 1);
    fs_err::write(&plan, "{\"schema\":1}\n").unwrap();
    assert!(bench.rebase(&["--plan", &plan]).expect(2).stderr.contains("line 1 of the plan"));
}

/// An image layout with a copy of an image whose lowest layer has one file more.
fn changed_copy(reference: &str, layout: &Path) {
    let text = layout.display();
    tools::run(
        "skopeo",
        ["copy", "--src-tls-verify=false", &format!("docker://{reference}"), &format!("oci:{text}:changed")],
    );
    let blob = |digest: &Value| {
        layout.join("blobs/sha256").join(digest.as_str().unwrap().strip_prefix("sha256:").unwrap())
    };
    let read = |path: &Path| serde_json::from_slice::<Value>(&fs_err::read(path).unwrap()).unwrap();
    let keep = |bytes: &[u8]| {
        let digest = lapstrake_fixtures::registry::digest_of(bytes);
        fs_err::write(blob(&digest.clone().into()), bytes).unwrap();
        (Value::from(digest), Value::from(bytes.len()))
    };
    let mut index = read(&layout.join("index.json"));
    let mut manifest = read(&blob(&index["manifests"][0]["digest"]));
    let mut config = read(&blob(&manifest["config"]["digest"]));
    let mut archive = Vec::new();
    let packed = fs_err::read(blob(&manifest["layers"][0]["digest"])).unwrap();
    flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut archive).unwrap();
    // Behind the last file, before the two zero blocks.
    archive.truncate(
        archive
            .chunks(512)
            .rposition(|block| block.iter().any(|byte| *byte != 0))
            .map_or(0, |at| (at + 1) * 512),
    );
    let mut builder = tar::Builder::new(&mut archive);
    let mut header = tar::Header::new_ustar();
    header.set_size(3);
    header.set_mode(0o644);
    builder.append_data(&mut header, "usr/share/zz-newer", &b"2\n\n"[..]).unwrap();
    builder.finish().unwrap();
    drop(builder);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&archive).unwrap();
    let (digest, size) = keep(&encoder.finish().unwrap());
    (manifest["layers"][0]["digest"], manifest["layers"][0]["size"]) = (digest, size);
    config["rootfs"]["diff_ids"][0] = lapstrake_fixtures::registry::digest_of(&archive).into();
    let (digest, size) = keep(config.to_string().as_bytes());
    (manifest["config"]["digest"], manifest["config"]["size"]) = (digest, size);
    let (digest, size) = keep(manifest.to_string().as_bytes());
    (index["manifests"][0]["digest"], index["manifests"][0]["size"]) = (digest, size);
    fs_err::write(layout.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn a_rebase_is_the_rebuild() {
    let (registry, scratch, lapstrake) = (Registry::start(), workspace::scratch(), Lapstrake::new());
    let source = App::named("plain-python").directory();
    let source = source.to_str().unwrap();
    let plan: Value =
        serde_json::from_str(&lapstrake.run(["plan", source, "--format", "json"]).expect(0).stdout).unwrap();
    let platform = plan["platforms"][0].as_str().unwrap();
    let layout = scratch.path().join("catalog");
    let made =
        ["catalog", "build", "python3@3.13", "--platform", platform, "--layout", layout.to_str().unwrap()];
    lapstrake.run(made).expect(0);
    let repository = registry.reference("catalog/two");
    lapstrake.run(["catalog", "publish", layout.to_str().unwrap(), &repository]).expect(0);
    let first = format!("{repository}:r1");
    let show =
        lapstrake.run(["catalog", "show", "python3@3.13", "--catalog", &first, "--format", "json"]).expect(0);
    let entry: Value = serde_json::from_str(&show.stdout).unwrap();
    let manifest = entry["platforms"][platform]["run"]["manifest"].as_str().unwrap();
    changed_copy(&format!("{repository}@{manifest}"), &scratch.path().join("changed"));
    let base = registry.reference("base/python:2");
    let changed = format!("oci:{}:changed", scratch.path().join("changed").display());
    let pushed = lapstrake.run(["push", &changed, "--tag", &base]).expect(0).stdout;
    let (version, os, abi) =
        (entry["version"].as_str().unwrap(), entry["os"].as_str().unwrap(), entry["abi"].as_str().unwrap());
    let import = [
        "catalog",
        "import",
        &repository,
        "python3",
        version,
        pushed.trim(),
        "--language",
        "python",
        "--os",
        os,
        "--abi",
        abi,
    ];
    lapstrake.run(import).expect(0);

    let second = format!("{repository}:candidate");
    let on_foreign = lapstrake.clone().on_foreign_layers();
    let build = |catalog: &str, name: &str| {
        let tag = registry.reference(name);
        on_foreign.run(["build", source, "--catalog", catalog, "--tag", &tag]).expect(0);
        tag
    };
    let (moved, rebuilt) = (build(&first, "team/moved:1"), build(&second, "team/rebuilt:1"));
    assert_ne!(digest(&moved), digest(&rebuilt));
    let before = registry.requests().len();
    let done = lapstrake.run(["rebase", &moved, "--catalog", &second]).expect(0);
    assert!(done.stderr.contains(" -> python3-"), "{done:?}");
    assert_eq!(digest(&moved), digest(&rebuilt));
    let sent = registry.requests().split_off(before);
    let uploads: Vec<&String> = sent
        .iter()
        .filter(|request| request.starts_with("PUT") && request.contains("/blobs/uploads/"))
        .collect();
    assert_eq!(uploads.len(), 1, "one config and no layer: {sent:#?}");
}
