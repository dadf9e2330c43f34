//! Published catalogs: revisions that follow from each other, in a registry and in a layout, and what is refused.

use std::path::{Path, PathBuf};

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::fleet::{CATALOG, Fleet};
use lapstrake_fixtures::registry::{Fault, Registry as Double};
use serde_json::Value;

use crate::harness::{Lapstrake, Outcome, Registry, tools, workspace};

/// A registry server with the small catalog of a fleet.
struct Bench {
    registry: Registry,
    scratch: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { registry: Registry::start(), scratch: workspace::scratch() };
        Fleet::new(0).store_below(&bench.registry.storage()).unwrap();
        bench
    }

    /// The repository of the catalog. Its own name is another one, so new revisions are made in a mirror by layout.
    fn repository(&self) -> String {
        self.registry.reference(CATALOG)
    }

    fn catalog(&self, words: &[&str]) -> Outcome {
        Lapstrake::new().with_data(self.scratch.path().join("data")).run([&["catalog"], words].concat())
    }

    /// A layout with a copy of the catalog.
    fn pulled(&self) -> String {
        let layout = format!("oci:{}", self.scratch.path().join("pulled").display());
        self.catalog(&["pull", &self.repository(), &layout]).expect(0);
        layout
    }

    fn digest_of(&self, tag: &str) -> String {
        let image = format!("docker://{}:{tag}", self.repository());
        lapstrake_fixtures::registry::digest_of(
            tools::run("skopeo", ["inspect", "--tls-verify=false", "--raw", &image]).as_bytes(),
        )
    }
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[test]
fn a_catalog_is_published_promoted_and_built_from_and_nothing_is_published_twice() {
    let (registry, scratch, lapstrake) = (Registry::start(), workspace::scratch(), Lapstrake::new());
    let layout = scratch.path().join("layout");
    let source = App::named("plain-python").directory();
    let host = json(&lapstrake.run(["plan", source.to_str().unwrap(), "--format", "json"]).expect(0));
    let platform = host["platforms"][0].as_str().unwrap();
    let made =
        ["catalog", "build", "python3@3.13", "--platform", platform, "--layout", layout.to_str().unwrap()];
    lapstrake.run(made).expect(0);
    let repository = registry.reference("catalog/runtimes");
    let publish = || lapstrake.run(["catalog", "publish", layout.to_str().unwrap(), &repository]).expect(0);
    let tried =
        lapstrake.run(["catalog", "publish", layout.to_str().unwrap(), &repository, "--dry-run"]).expect(0);
    assert!(tried.stdout.starts_with("r1 sha256:") && registry.repositories().is_empty(), "{tried:?}");
    let first = publish();
    assert!(
        first.stdout.starts_with("r1 sha256:") && first.stderr.contains("new in r1: python3-"),
        "{first:?}"
    );
    let before = registry.requests().len();
    assert!(publish().stdout.ends_with(" has all of these entries\n"));
    assert!(!registry.requests().split_off(before).iter().any(|request| request.starts_with('P')));
    let latest = format!("{repository}:latest");
    lapstrake.run(["catalog", "list", "--catalog", &latest]).expect(3);
    lapstrake.run(["catalog", "promote", &repository, "r1"]).expect(0);
    lapstrake.run(["catalog", "verify", &repository]).expect(0);
    let id = format!(
        "python3-{}",
        first.stderr.split("new in r1: python3-").nth(1).unwrap().lines().next().unwrap()
    );
    let rebuild = ["catalog", "verify", &repository, "--rebuild", &id, "--kind", "run"];
    let again = lapstrake.run(rebuild).expect(0).stdout;
    assert!(again.contains(&format!("{id} {platform} run: made again, and equal")), "{again}");
    let absent = ["catalog", "verify", &repository, "--rebuild", "python3-9.9.9-1"];
    lapstrake.run(absent).expect(2);
    let app = registry.reference("team/app:1");
    lapstrake.run(["build", source.to_str().unwrap(), "--catalog", &latest, "--tag", &app]).expect(0);
    let audit = lapstrake.run(["audit", "image", &app, "--catalog", &latest, "--format", "json"]).expect(0);
    assert_eq!(json(&audit)["rows"][0]["evidence"], "layers");
    advisories_are_compared_with_the_locks(&lapstrake, &app, &latest, scratch.path());
    layers_go_from_registry_to_registry(&latest, source.to_str().unwrap(), &app, scratch.path());
    // Every entry brings its locks and its packages, as artifacts that other tools list.
    let raw = tools::run("skopeo", ["inspect", "--tls-verify=false", "--raw", &format!("docker://{latest}")]);
    let index: Value = serde_json::from_str(&raw).unwrap();
    let of_entry = index["manifests"].as_array().unwrap().iter().find(|it| {
        it["artifactType"] == "application/vnd.lapstrake.catalog.entry.v1"
            && it["annotations"]["dev.lapstrake.runtime.id"] == id.as_str()
    });
    let name = format!("docker://{repository}@{}", of_entry.unwrap()["digest"].as_str().unwrap());
    let raw = tools::run("skopeo", ["inspect", "--tls-verify=false", "--raw", &name]);
    let of_entry: Value = serde_json::from_str(&raw).unwrap();
    let manifests = of_entry["manifests"].as_array().unwrap();
    let evidence =
        manifests.iter().find(|it| it["artifactType"] == "application/vnd.lapstrake.evidence.v1").unwrap();
    let name = format!("docker://{repository}@{}", evidence["digest"].as_str().unwrap());
    let manifest: Value =
        serde_json::from_str(&tools::run("skopeo", ["inspect", "--tls-verify=false", "--raw", &name]))
            .unwrap();
    let types: Vec<&str> =
        manifest["layers"].as_array().unwrap().iter().map(|it| it["mediaType"].as_str().unwrap()).collect();
    assert_eq!(types, ["application/vnd.lapstrake.locks.v1+json", "application/spdx+json"]);
}

/// An image for another registry gets its runtime layers from that of the catalog, through no disk of this machine.
fn layers_go_from_registry_to_registry(catalog: &str, source: &str, there: &str, scratch: &Path) {
    let (other, data) = (Registry::start(), scratch.join("streaming"));
    let app = other.reference("team/app:1");
    let lapstrake = Lapstrake::new().with_data(&data);
    let report = scratch.join("report.json");
    let words = ["build", source, "--catalog", catalog, "--tag", &app, "--metadata-file"];
    lapstrake.run(words.iter().chain(&[report.to_str().unwrap()])).expect(0);
    for place in ["fetched", "rootfs", "catalog", "artifacts"] {
        assert!(!data.join(place).exists(), "{place}");
    }
    let digest = |name: &str| {
        let image = format!("docker://{name}");
        tools::run("skopeo", ["inspect", "--tls-verify=false", "--raw", &image])
    };
    assert_eq!(digest(&app), digest(there));
    let report: Value = serde_json::from_str(&fs_err::read_to_string(&report).unwrap()).unwrap();
    assert_eq!((&report["catalog"]["revision"], &report["catalog"]["isChecked"]), (&1.into(), &true.into()));
    let layers = report["images"][0]["layers"].as_array().unwrap();
    let runtime: u64 = layers.iter().take(2).map(|layer| layer["size"].as_u64().unwrap()).sum();
    let sent = report["pushes"][0]["bytesSent"].as_u64().unwrap();
    assert!(sent > runtime && sent < runtime + 100_000, "{sent} bytes for layers of {runtime}");
    // Once it has them, nothing of them is sent again.
    let again = other.reference("team/second:1");
    let words = ["build", source, "--catalog", catalog, "--tag", &again, "--tag", &app, "--metadata-file"];
    let second = scratch.join("second.json");
    lapstrake.run(words.iter().chain(&[second.to_str().unwrap()])).expect(0);
    let second: Value = serde_json::from_str(&fs_err::read_to_string(&second).unwrap()).unwrap();
    assert_eq!(second["pushes"][1]["bytesSent"], 0);
}

/// Advisories about a package of the entry are found by the locks in the catalog, and others are not.
fn advisories_are_compared_with_the_locks(lapstrake: &Lapstrake, app: &str, catalog: &str, scratch: &Path) {
    let file = scratch.join("advisories.json");
    let audit = |text: &str, code: i32| {
        fs_err::write(&file, text).unwrap();
        let words = ["audit", "image", app, "--catalog", catalog, "--advisories", file.to_str().unwrap()];
        lapstrake.run(words.iter().chain(&["--fail-on", "warning"])).expect(code)
    };
    let of = |package: &str| {
        format!(
            "{{\"{package}\": {{\"CVE-2026-1\": {{\"releases\": {{\"trixie\": {{\"status\": \"open\"}}}}}}}}}}"
        )
    };
    assert!(audit(&of("openssl"), 1).stdout.contains("RT008 warning: advisories name CVE-2026-1"));
    audit(&of("not-in-there"), 0);
    assert!(audit("{\"openssl\": 1}", 2).stderr.contains("`openssl` is neither an OSV record"));
}

#[test]
fn whatever_interrupts_a_publication_leaves_every_tag_on_a_whole_revision() {
    let (scratch, lapstrake) = (workspace::scratch(), Lapstrake::new());
    let layout = scratch.path().join("layout");
    let source = App::named("plain-python").directory();
    let host = json(&lapstrake.run(["plan", source.to_str().unwrap(), "--format", "json"]).expect(0));
    let platform = host["platforms"][0].as_str().unwrap();
    let made =
        ["catalog", "build", "python3@3.13", "--platform", platform, "--layout", layout.to_str().unwrap()];
    lapstrake.run(made).expect(0);
    for (path, expected) in [
        ("/blobs/uploads/", &[][..]),
        ("/manifests/sha256:", &[]),
        ("/manifests/r1", &[]),
        ("/manifests/candidate", &["r1"]),
    ] {
        let registry = Double::start();
        let repository = format!("{}/catalog/runtimes", registry.host());
        registry.fault(Fault::status(if path.contains("blobs") { "POST" } else { "PUT" }, path, 403));
        let publish = || lapstrake.run(["catalog", "publish", layout.to_str().unwrap(), &repository]);
        publish().expect(3);
        assert_eq!(registry.tags("catalog/runtimes"), expected, "{path}");
        publish().expect(0);
        assert_eq!(registry.tags("catalog/runtimes"), ["candidate", "r1"], "{path}");
        let tagged = |tag: &str| registry.manifest("catalog/runtimes", tag).unwrap();
        assert_eq!(tagged("candidate"), tagged("r1"));
        lapstrake.run(["catalog", "verify", &repository, "--revision", "candidate"]).expect(0);
    }
}

#[test]
fn revisions_deprecate_revoke_and_renew_and_the_history_tells_it() {
    let bench = Bench::new();
    let layout = bench.pulled();
    let made = bench.catalog(&["deprecate", &layout, "nodejs24-24.21.0-1", "--on", "2027-01-01"]).expect(0);
    assert!(made.stdout.starts_with("r2 sha256:"), "{made:?}");
    let revoke = [
        "revoke",
        &layout,
        "python3-3.13.4-1",
        "--reason",
        "a fault",
        "--severity",
        "high",
        "--advisory",
        "CVE-2026-1",
        "--replacement",
        "python3-3.13.5-2",
    ];
    bench.catalog(&revoke).expect(0);
    bench.catalog(&["renew", &layout, "--valid-days", "7"]).expect(0);
    bench.catalog(&["verify", &layout, "--revision", "r4"]).expect(0);
    let log = json(&bench.catalog(&["log", &layout, "--format", "json"]).expect(0));
    let what: Vec<&str> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["entries"][0]["what"].as_str().unwrap_or("nothing"))
        .collect();
    assert_eq!(what, ["nothing", "revoked", "status", "added"]);
    let of_one = bench.catalog(&["log", &layout, "python3-3.13.4-1"]).expect(0).stdout;
    assert!(
        of_one.contains("python3-3.13.4-1 is revoked: a fault") && !of_one.contains("nodejs24"),
        "{of_one}"
    );
    let diff = bench.catalog(&["diff", &layout, "r1", "r3"]).expect(0).stdout;
    assert_eq!(
        diff,
        "nodejs24-24.21.0-1 is deprecated from 2027-01-01 on\npython3-3.13.4-1 is revoked: a fault\n"
    );
    let fixes =
        bench.catalog(&["diff", &layout, "python3-3.13.5-1", "python3-3.13.5-2", "--cves"]).expect(0).stdout;
    assert_eq!(fixes, "libssl3t64 3.5.7-1~deb13u3 -> 3.5.9-1~deb13u1 fixes CVE-2026-1001, CVE-2026-1002\n");
    let reference = format!("{layout}:r4");
    let said = bench.catalog(&["resolve", "python3", "3.13.4", "--catalog", &reference]).expect(2).stderr;
    assert!(said.contains("python3-3.13.5-2"), "{said}");
    let answer =
        json(&bench.catalog(&["resolve", "python3", "--catalog", &reference, "--format", "json"]).expect(0));
    assert_eq!(answer["id"], "python3-3.13.5-2");
    bench.catalog(&revoke).expect(2);
    bench.catalog(&["deprecate", &layout, "python3-9.9.9-1", "--on", "2027-01-01"]).expect(2);
    bench.catalog(&["deprecate", &layout, "../x", "--on", "2027-01-01"]).expect(2);
    bench.catalog(&["diff", &layout, "r3", "r1"]).expect(2);
}

#[test]
fn latest_moves_forward_only_and_mirrors_keep_digests() {
    let bench = Bench::new();
    let layout = bench.pulled();
    bench.catalog(&["renew", &layout]).expect(0);
    bench.catalog(&["promote", &layout, "r2"]).expect(0);
    let said = bench.catalog(&["promote", &layout, "r1"]).expect(2).stderr;
    assert!(said.contains("`latest` is r2 already, and never goes back"), "{said}");
    bench.catalog(&["promote", &layout, "r9"]).expect(2);
    let mirror = bench.registry.reference("mirror/runtimes");
    let copied = bench.catalog(&["mirror", &layout, &mirror]).expect(0);
    assert_eq!(copied.stdout.lines().next().unwrap(), format!("r1 {}", bench.digest_of("r1")));
    bench.catalog(&["verify", &mirror]).expect(0);
    // What nobody here has locks of is not said to be equal.
    let said = bench.catalog(&["verify", &mirror, "--rebuild", "nodejs24-24.21.0-1"]).expect(5).stderr;
    assert!(said.contains("`nodejs24-24.21.0-1` on linux/amd64"), "{said}");
    let said = bench.catalog(&["renew", &mirror]).expect(2).stderr;
    assert!(said.contains("is a mirror of the catalog `registry.example.com/catalog/runtimes`"), "{said}");
    // From repository to repository of one registry nothing is sent.
    let before = bench.registry.requests().len();
    bench.catalog(&["mirror", &mirror, &bench.registry.reference("mirror/again")]).expect(0);
    let sent = bench.registry.requests().split_off(before);
    assert!(
        !sent.iter().any(|request| request.starts_with("PUT") && request.contains("/blobs/")),
        "{sent:#?}"
    );
}

#[test]
fn a_rewritten_revision_and_other_layers_are_refused() {
    let bench = Bench::new();
    let layout = bench.pulled();
    bench.catalog(&["renew", &layout]).expect(0);
    bench.catalog(&["verify", &layout, "--revision", "r2"]).expect(0);
    let directory = PathBuf::from(layout.strip_prefix("oci:").unwrap());
    let index = directory.join("index.json");
    let good = fs_err::read_to_string(&index).unwrap();
    // `r2` under the tag of the first revision.
    let mut document: Value = serde_json::from_str(&good).unwrap();
    for item in document["manifests"].as_array_mut().unwrap() {
        let tag = &mut item["annotations"]["org.opencontainers.image.ref.name"];
        *tag = match tag.as_str().unwrap() {
            "r1" => "other".into(),
            "r2" => "r1".into(),
            tag => tag.into(),
        };
    }
    fs_err::write(&index, document.to_string()).unwrap();
    let said = bench.catalog(&["verify", &layout, "--revision", "r1"]).expect(5).stderr;
    assert!(said.contains("names revision 2"), "{said}");
    fs_err::write(&index, good).unwrap();
    // One flipped byte in the catalog's own document.
    let blobs = fs_err::read_dir(directory.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    let is_catalog =
        |path: &PathBuf| fs_err::read_to_string(path).is_ok_and(|text| text.contains("policyHints"));
    let catalogs: Vec<PathBuf> = blobs.filter(is_catalog).collect();
    assert_eq!(catalogs.len(), 2);
    for path in &catalogs {
        let text = fs_err::read_to_string(path).unwrap();
        fs_err::write(path, text.replacen("2.41", "2.42", 1)).unwrap();
    }
    bench.catalog(&["verify", &layout, "--revision", "r2"]).expect(5);
    println!("figure CAT-02: refused with {} documents changed, and under another one's tag", catalogs.len());
}

#[test]
fn what_is_no_catalog_or_no_repository_is_refused() {
    let bench = Bench::new();
    let nothing = bench.registry.reference("nothing/here");
    for words in [
        &["verify", &nothing][..],
        &["log", &nothing],
        &["renew", "not-a-reference"],
        &["renew", &format!("{}:latest", bench.repository())],
    ] {
        let outcome = bench.catalog(words);
        assert!(matches!(outcome.code, Some(2 | 3)), "{words:?}: {outcome:?}");
    }
    let empty = bench.scratch.path().join("empty");
    let into = format!("oci:{}", bench.scratch.path().join("into").display());
    bench.catalog(&["publish", empty.to_str().unwrap(), &into]).expect(2);
}
