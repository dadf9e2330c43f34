//! Images that others have made as entries of a published catalog: revisions and copies of it, where publishing stops,
//! and what is refused.

use lapstrake_fixtures::fleet::{Fleet, Planted};
use lapstrake_fixtures::registry::{Fault, Registry as Double};
use serde_json::{Value, json};

use crate::harness::{Lapstrake, Outcome, Registry, workspace};

const REPOSITORY: &str = "shared/runtimes";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Images with tiny layers, each different from all others.
struct Images(Vec<Planted>);

impl Images {
    fn of(fleet: Fleet) -> Self {
        Self(fleet.images.into_iter().filter(|image| image.case == "current Python").collect())
    }

    fn reference(&self, at: usize, host: &str) -> String {
        format!("{host}/{}@{}", self.0[at].repository, self.0[at].digest)
    }
}

/// The arguments that make an image the next build of `python3` 3.13.5.
fn import<'a>(repository: &'a str, image: &'a str) -> Vec<&'a str> {
    let words =
        ["catalog", "import", repository, "python3", "3.13.5", image, "--language", "python", "--abi"];
    let more = ["debian13/cp313", "--os", "debian13", "--suite", "trixie", "--glibc", "2.41"];
    [&words[..], &more].concat()
}

struct Bench {
    lapstrake: Lapstrake,
    scratch: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let scratch = workspace::scratch();
        Self { lapstrake: Lapstrake::new().with_data(scratch.path().join("data")), scratch }
    }

    fn layout(&self, name: &str) -> String {
        format!("oci:{}", self.scratch.path().join(name).display())
    }

    fn run(&self, words: &[&str]) -> Outcome {
        self.lapstrake.run(words)
    }

    fn catalog(&self, words: &[&str]) -> Outcome {
        self.run(&[&["catalog"], words].concat())
    }

    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.catalog(&[words, &["--format", "json"]].concat()).expect(0).stdout)
            .unwrap()
    }
}

/// A registry server with images, of which the first two are builds 1 and 2 of one version in a catalog.
fn two_builds(bench: &Bench, registry: &Registry) -> (String, Images) {
    let fleet = Fleet::new(12);
    fleet.store_below(&registry.storage()).unwrap();
    let images = Images::of(fleet);
    let repository = registry.reference(REPOSITORY);
    for at in 0..2 {
        let image = images.reference(at, &registry.host());
        let done = bench.run(&import(&repository, &image)).expect(0);
        assert!(done.stderr.contains(&format!("new in r{0}: python3-3.13.5-{0}", at + 1)), "{done:?}");
    }
    (repository, images)
}

#[test]
fn every_revision_follows_from_the_one_before_and_says_what_it_changes() {
    let (bench, registry) = (Bench::new(), Registry::start());
    let (repository, _) = two_builds(&bench, &registry);
    let (old, new) = ("python3-3.13.5-1", "python3-3.13.5-2");
    bench.catalog(&["deprecate", &repository, old, "--on", "2027-01-01"]).expect(0);
    let revoke =
        ["revoke", &repository, old, "--reason", "it leaks", "--severity", "high", "--replacement", new];
    let dry = bench.catalog(&[&revoke[..], &["--dry-run"]].concat()).expect(0);
    assert!(dry.stdout.starts_with("r4 "), "{dry:?}");
    let revoked = bench.catalog(&revoke).expect(0);
    assert!(revoked.stdout.starts_with("r4 "), "a dry run published something: {revoked:?}");
    bench.catalog(&revoke).expect(2);
    bench.catalog(&["renew", &repository, "--valid-days", "30"]).expect(0);
    // Nobody gets it before it is promoted.
    bench.catalog(&["verify", &repository]).expect(3);
    bench.catalog(&["promote", &repository, "r5"]).expect(0);
    let verified = bench.catalog(&["verify", &repository]).expect(0);
    assert!(verified.stdout.contains("follow from each other: 5;"), "{verified:?}");
    assert!(verified.stdout.contains("catalog names: 2"), "{verified:?}");
    bench.catalog(&["promote", &repository, "r4"]).expect(2);
    // Nothing can be made again of what somebody else has made, and nobody says that it was.
    let again = bench.catalog(&["verify", &repository, "--rebuild"]).expect(0);
    assert!(!again.stdout.contains("made again") && again.stderr.contains("was imported"), "{again:?}");
    bench.catalog(&["verify", &repository, "--rebuild", new]).expect(2);

    let log = bench.json(&["log", &repository, old]);
    let numbers: Vec<u64> =
        log.as_array().unwrap().iter().map(|it| it["revision"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [4, 3, 1]);
    let diff = bench.json(&["diff", &repository, "r1", "r5"]);
    let what: Vec<&str> =
        diff["entries"].as_array().unwrap().iter().map(|it| it["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["revoked", "added"]);
    bench.catalog(&["diff", &repository, "r5", "r1"]).expect(2);
    let latest = format!("{repository}:latest");
    let resolved =
        bench.json(&["resolve", "python3", "3.13.5", "--platform", "linux/amd64", "--catalog", &latest]);
    assert_eq!(resolved["id"], new);
    let refused =
        bench.catalog(&["resolve", "python3", "3.13.5-1", "--platform", "linux/amd64", "--catalog", &latest]);
    assert!(refused.expect(2).stderr.contains("it leaks"));
}

#[test]
fn copies_have_the_same_digests_and_a_copy_in_a_layout_is_verified_alone() {
    let (bench, registry) = (Bench::new(), Registry::start());
    let (repository, _) = two_builds(&bench, &registry);
    bench.catalog(&["promote", &repository, "r2"]).expect(0);
    let layout = bench.layout("copy");
    let pulled = bench.catalog(&["pull", &repository, &layout]).expect(0);
    let mirror = registry.reference("mirror/runtimes");
    let before = registry.requests().len();
    let mirrored = bench.catalog(&["mirror", &repository, &mirror]).expect(0);
    assert_eq!(mirrored.stdout, pulled.stdout);
    let sent = registry.requests().split_off(before);
    let of_layers = |line: &&String| line.contains("mount=") && line.ends_with(" 201");
    assert!(sent.iter().filter(of_layers).count() > 0, "nothing was mounted: {sent:#?}");
    let fetched = |line: &&String| line.starts_with("GET") && line.contains("/mirror/runtimes/blobs/");
    assert_eq!(sent.iter().filter(fetched).count(), 0, "{sent:#?}");
    // From the layout to another registry, where nothing can be mounted.
    let other = Registry::start();
    let second = other.reference("far/runtimes");
    assert_eq!(bench.catalog(&["mirror", &layout, &second]).expect(0).stdout, pulled.stdout);
    drop(registry);
    for copy in [&layout, &second] {
        let verified = bench.catalog(&["verify", copy]).expect(0);
        assert!(verified.stdout.contains("follow from each other: 2;"), "{verified:?}");
    }
    // One byte of a config differs.
    let blobs = bench.scratch.path().join("copy/blobs/sha256");
    let config = fs_err::read_dir(&blobs)
        .unwrap()
        .map(|file| file.unwrap().path())
        .find(|path| fs_err::read(path).unwrap().windows(10).any(|window| window == b"\"diff_ids\""));
    let config = config.unwrap();
    let bytes = fs_err::read(&config).unwrap();
    fs_err::write(&config, [&bytes[..bytes.len() - 1], b"]"].concat()).unwrap();
    bench.catalog(&["verify", &layout]).expect(5);
    fs_err::write(&config, bytes).unwrap();
    bench.catalog(&["verify", &layout]).expect(0);
    // A blob that is gone from under the images is found by whoever reads the layers.
    let read = bench.catalog(&["verify", &layout, "--layers"]).expect(0);
    assert!(
        read.stdout.contains("layers that were read and have the diffIDs that the catalog names: 4"),
        "{read:?}"
    );
    let is_layer = |path: &std::path::PathBuf| fs_err::read(path).unwrap().starts_with(&[0x1f, 0x8b]);
    let layer = fs_err::read_dir(&blobs).unwrap().map(|file| file.unwrap().path()).find(is_layer).unwrap();
    let bytes = fs_err::read(&layer).unwrap();
    let mut flipped = bytes.clone();
    flipped[20] ^= 1;
    fs_err::write(&layer, flipped).unwrap();
    bench.catalog(&["verify", &layout]).expect(0);
    bench.catalog(&["verify", &layout, "--layers"]).expect(5);
    fs_err::write(&layer, bytes).unwrap();
    // What is not there is not made by looking at it.
    let nowhere = bench.layout("nowhere");
    bench.catalog(&["verify", &nowhere]).expect(2);
    assert!(!bench.scratch.path().join("nowhere").exists());
}

/// Everything that a tag leads to is there.
fn assert_whole(registry: &Double, tag: &str) {
    let top = registry.manifest(REPOSITORY, tag).unwrap();
    let mut todo = vec![serde_json::from_slice::<Value>(&top).unwrap()];
    while let Some(document) = todo.pop() {
        for child in document["manifests"].as_array().into_iter().flatten() {
            let bytes = registry.manifest(REPOSITORY, child["digest"].as_str().unwrap()).unwrap();
            todo.push(serde_json::from_slice(&bytes).unwrap());
        }
        for blob in document["layers"].as_array().into_iter().flatten().chain(document.get("config")) {
            assert!(registry.blob(REPOSITORY, blob["digest"].as_str().unwrap()).is_some(), "{tag}: {blob}");
        }
    }
}

#[test]
fn wherever_publishing_stops_every_tag_is_whole_and_the_next_run_ends_it() {
    let bench = Bench::new();
    let fleet = Fleet::new(12);
    // A request is refused for good, which is how a process that dies looks to a registry.
    for method in ["POST", "PUT"] {
        let mut stopped = 0;
        loop {
            let registry = Double::start();
            fleet.store_in(&registry);
            let images = Images::of(Fleet::new(12));
            let repository = format!("{}/{REPOSITORY}", registry.host());
            let words = |at| images.reference(at, registry.host());
            bench.run(&import(&repository, &words(0))).expect(0);
            let first = registry.manifest(REPOSITORY, "r1").unwrap();
            registry.fault(Fault::status(method, REPOSITORY, 403).after(stopped).always());
            let outcome = bench.run(&import(&repository, &words(1)));
            for tag in registry.tags(REPOSITORY) {
                assert_whole(&registry, &tag);
            }
            if outcome.code == Some(0) {
                break;
            }
            assert_eq!(outcome.code, Some(3), "{outcome:?}");
            assert_eq!(registry.manifest(REPOSITORY, "r1").unwrap(), first);
            registry.heal();
            bench.run(&import(&repository, &words(1))).expect(0);
            let tags = registry.tags(REPOSITORY);
            assert_eq!(tags, ["candidate", "r1", "r2"], "{method} {stopped}");
            let at = |tag: &str| registry.manifest(REPOSITORY, tag).unwrap();
            assert_eq!(at("r2"), at("candidate"), "{method} {stopped}");
            assert_whole(&registry, "r2");
            stopped += 1;
        }
        // Blobs and manifests, rN and candidate at the least.
        assert!(stopped >= 3, "{method}: {stopped}");
    }
}

#[test]
fn a_rewritten_revision_is_refused_by_whoever_meets_it() {
    let (bench, registry) = (Bench::new(), Double::start());
    Fleet::new(12).store_in(&registry);
    let images = Images::of(Fleet::new(12));
    let repository = format!("{}/{REPOSITORY}", registry.host());
    for at in 0..2 {
        bench.run(&import(&repository, &images.reference(at, registry.host()))).expect(0);
    }
    bench.catalog(&["promote", &repository, "r2"]).expect(0);
    let layout = bench.layout("copy");
    bench.catalog(&["pull", &repository, &layout]).expect(0);
    // Another catalog altogether under the same numbers.
    let other = format!("{}/other/runtimes", registry.host());
    bench.run(&import(&other, &images.reference(2, registry.host()))).expect(0);
    let rewritten = registry.manifest("other/runtimes", "r1").unwrap();
    let older = registry.manifest(REPOSITORY, "r1").unwrap();
    for (tag, rewritten, command) in [
        ("r1", &rewritten, vec!["verify", &repository]),
        ("r1", &rewritten, vec!["renew", &repository]),
        ("r2", &older, vec!["renew", &repository]),
    ] {
        let good = registry.manifest(REPOSITORY, tag).unwrap();
        registry.add_manifest(REPOSITORY, tag, INDEX, rewritten);
        let refused = bench.catalog(&command).expect(5);
        assert!(refused.stderr.contains(tag), "{refused:?}");
        registry.add_manifest(REPOSITORY, tag, INDEX, &good);
        bench.catalog(&["verify", &repository]).expect(0);
    }
    let refused = bench.catalog(&["pull", &other, &layout]).expect(5);
    assert!(refused.stderr.contains("was rewritten"), "{refused:?}");
    bench.catalog(&["verify", &layout]).expect(0);
}

#[test]
fn what_is_no_entry_is_refused_and_nothing_is_published() {
    let (bench, registry) = (Bench::new(), Double::start());
    Fleet::new(12).store_in(&registry);
    let images = Images::of(Fleet::new(12));
    let repository = format!("{}/{REPOSITORY}", registry.host());
    let good = images.reference(0, registry.host());
    let tagged = good.split('@').next().unwrap().to_owned() + ":v0";
    bench.run(&import(&repository, &tagged)).expect(2);
    for (at, bad) in [(3, "../../etc"), (3, "Python"), (4, "3.13"), (4, "../3.13.5")] {
        let mut words = import(&repository, &good);
        words[at] = bad;
        bench.run(&words).expect(2);
    }
    // A layer that is not what the config says, and one that is compressed otherwise.
    let held = &Fleet::new(12).repositories[&images.0[0].repository];
    let manifest: Value = serde_json::from_slice(&held.manifests[&images.0[0].digest].bytes).unwrap();
    let layer = manifest["layers"][0].clone();
    let mut zstd = layer.clone();
    zstd["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+zstd");
    let wrong = images.0[1].digest.as_str();
    for (layers, diff_ids, code, words) in [
        (vec![layer.clone()], vec![wrong], 5, "diffID"),
        (vec![layer.clone()], vec![wrong, wrong], 5, "contradicts itself"),
        (vec![zstd], vec![wrong], 2, "only gzip"),
    ] {
        let image = plant(&registry, &images.0[0].repository, &layers, &diff_ids);
        let image = format!("{}/{}@{image}", registry.host(), images.0[0].repository);
        let refused = bench.run(&import(&repository, &image)).expect(code);
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    assert_eq!(registry.tags(REPOSITORY), Vec::<String>::new());
    bench.run(&import(&repository, &good)).expect(0);
    // The same layers are no second entry, under whatever name.
    let again = bench.run(&import(&repository, &good)).expect(0);
    assert!(again.stdout.contains("has it already"), "{again:?}");
    let mut words = import(&repository, &good);
    words[3] = "python4";
    let refused = bench.run(&words).expect(2);
    assert!(refused.stderr.contains("same layers"), "{refused:?}");
    for id in ["../x", "python3-3.13.5-9"] {
        bench.catalog(&["deprecate", &repository, id, "--on", "2027-01-01"]).expect(2);
    }
    bench.catalog(&["deprecate", &repository, "python3-3.13.5-1", "--on", "2027-02-30"]).expect(2);
    assert_eq!(registry.tags(REPOSITORY), ["candidate", "r1"]);
    assert_eq!(LAYER, layer["mediaType"]);
}

/// Puts an image of these layers into a registry, whose config says what it is told to.
fn plant(registry: &Double, repository: &str, layers: &[Value], diff_ids: &[&str]) -> String {
    let config = json!({"architecture": "amd64", "os": "linux", "config": {},
                        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = config.to_string();
    let digest = registry.add_blob(repository, config.as_bytes());
    let config = json!({"mediaType": CONFIG, "digest": digest, "size": config.len()});
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
    let bytes = manifest.to_string();
    let digest = lapstrake_fixtures::registry::digest_of(bytes.as_bytes());
    registry.add_manifest(repository, &digest, MANIFEST, bytes.as_bytes());
    digest
}

/// A catalog of so many entries, as its parts lie in a registry.
fn plant_large(registry: &Double, entries: usize) -> (usize, usize) {
    let fleet = Fleet::new(0);
    let held = &fleet.repositories[lapstrake_fixtures::fleet::CATALOG];
    let json = held.blobs.values().find(|blob| blob.media_type.contains("lapstrake.catalog")).unwrap();
    let mut catalog: Value = serde_json::from_slice(&json.bytes).unwrap();
    let all = catalog["entries"].as_array().unwrap();
    let whole = all.iter().find(|it| it["id"] == "python3-3.13.5-2").unwrap().clone();
    let many: Vec<Value> = (0..entries).map(|number| numbered(&whole, number)).collect();
    catalog["entries"] = Value::Array(many);
    let bytes = catalog.to_string();
    let blob = json!({"mediaType": json.media_type, "digest": registry.add_blob(REPOSITORY, bytes.as_bytes()), "size": bytes.len()});
    let config = registry.add_blob(REPOSITORY, b"{}");
    let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2});
    let artifact = "application/vnd.lapstrake.catalog.v1";
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact,
                          "config": config, "layers": [blob]})
    .to_string();
    let digest = lapstrake_fixtures::registry::digest_of(manifest.as_bytes());
    registry.add_manifest(REPOSITORY, &digest, MANIFEST, manifest.as_bytes());
    let of_catalog =
        json!({"mediaType": MANIFEST, "artifactType": artifact, "digest": digest, "size": manifest.len()});
    // As many images, and what their descriptors say.
    let images = (0..entries).map(|number| {
        json!({"mediaType": MANIFEST, "size": 1000, "platform": {"os": "linux", "architecture": "amd64"},
               "digest": lapstrake_fixtures::registry::digest_of(format!("image {number}").as_bytes()),
               "annotations": {"dev.lapstrake.runtime.id": format!("python3-3.13.{number}-1"), "dev.lapstrake.image.kind": "run"}})
    });
    let manifests: Vec<Value> = std::iter::once(of_catalog).chain(images).collect();
    let index =
        json!({"schemaVersion": 2, "mediaType": INDEX, "artifactType": artifact, "manifests": manifests});
    let index = index.to_string();
    registry.add_manifest(REPOSITORY, "latest", INDEX, index.as_bytes());
    (bytes.len(), index.len())
}

/// An entry with another number, and with layers of its own.
fn numbered(like: &Value, number: usize) -> Value {
    let mut entry = like.clone();
    entry["id"] = json!(format!("python3-3.13.{number}-1"));
    entry["version"] = json!(format!("3.13.{number}"));
    entry["build"] = json!(1);
    entry["replaces"] = Value::Null;
    for record in entry["platforms"].as_object_mut().unwrap().values_mut() {
        for layer in record["run"]["layers"].as_array_mut().unwrap() {
            let own = format!("{} {number}", layer["diffId"]);
            layer["diffId"] = json!(lapstrake_fixtures::registry::digest_of(own.as_bytes()));
        }
    }
    entry
}

/// Figures of a large catalog. They are asserted only of an optimised program, and only where they are asked for.
#[test]
fn a_catalog_of_five_thousand_entries_is_read_and_answers_fast() {
    use lapstrake_catalog::{Catalog, Permissions, Request};
    let asked = std::env::var_os("LAPSTRAKE_TEST_LARGE").is_some();
    // What is always tested is that a catalog larger than any other document is read at all.
    let (registry, entries) = (Double::start(), if asked { 5000 } else { 2500 });
    let (json, index) = plant_large(&registry, entries);
    assert!(json > 4 << 20, "{json}");
    let latest = format!("{}/{REPOSITORY}:latest", registry.host());
    let bench = Bench::new();
    let start = std::time::Instant::now();
    let answer =
        bench.json(&["resolve", "python3", "3.13", "--platform", "linux/amd64", "--catalog", &latest]);
    let whole = start.elapsed();
    assert_eq!(answer["id"], format!("python3-3.13.{}-1", entries - 1));
    // The catalog without its images is enough to look and to resolve; a registry takes no such thing.
    let repository = format!("{}/{REPOSITORY}", registry.host());
    let layout = format!("oci:{}", bench.scratch.path().join("documents").display());
    let pull = ["pull", &repository, &layout, "--revision", "latest", "--without-images"];
    let start = std::time::Instant::now();
    bench.catalog(&pull).expect(0);
    let pulled = start.elapsed();
    let here = format!("{layout}:r1");
    let again = ["resolve", "python3", "3.13", "--platform", "linux/amd64", "--catalog", &here];
    assert_eq!(bench.json(&again), answer);
    let elsewhere = format!("{repository}-2");
    bench.catalog(&["mirror", &repository, &elsewhere, "--revision", "latest", "--without-images"]).expect(2);
    if !asked {
        return;
    }
    let top: Value = serde_json::from_slice(&registry.manifest(REPOSITORY, "latest").unwrap()).unwrap();
    let manifest = registry.manifest(REPOSITORY, top["manifests"][0]["digest"].as_str().unwrap()).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let bytes = registry.blob(REPOSITORY, manifest["layers"][0]["digest"].as_str().unwrap()).unwrap();
    let start = std::time::Instant::now();
    let catalog = Catalog::parse(&bytes).unwrap();
    let parse = start.elapsed();
    let request = Request::new("python3").with_version("3.13".parse().unwrap());
    let start = std::time::Instant::now();
    let date = "2026-11-23".parse().unwrap();
    catalog.resolve(&request, &["linux/amd64".parse().unwrap()], date, &Permissions::default()).unwrap();
    let resolve = start.elapsed();
    println!(
        "{entries} entries: catalog.json {json} bytes, index {index} bytes; the command {whole:?}, pulled in {pulled:?}, parsing {parse:?}, resolving {resolve:?}"
    );
    if !cfg!(debug_assertions) {
        assert!(resolve.as_millis() < 10 && whole.as_millis() < 1000, "{resolve:?} {whole:?}");
        assert!(pulled.as_millis() < 1000, "{pulled:?}");
    }
}
