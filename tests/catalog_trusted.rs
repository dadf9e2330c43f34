//! What a published catalog has to prove before it is used: signatures, that it did not go back, and that it is fresh.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::fleet::{AS_OF, CATALOG, Fleet};
use lapstrake_fixtures::registry::digest_of;
use serde_json::Value;

use crate::harness::{Keys, Lapstrake, Outcome, Registry, tools, workspace};

/// A registry server with the small catalog of a fleet, and keys.
struct Bench {
    registry: Registry,
    scratch: tempfile::TempDir,
    lapstrake: Lapstrake,
    /// How many commands were not given a catalog because it cannot be trusted.
    refused: Cell<usize>,
}

impl Bench {
    fn new() -> Self {
        let (registry, scratch) = (Registry::start(), workspace::scratch());
        Fleet::new(0).store_below(&registry.storage()).unwrap();
        let lapstrake = Lapstrake::new().with_data(scratch.path().join("data"));
        Self { registry, scratch, lapstrake, refused: Cell::new(0) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The catalog in a layout, under its own name: there new revisions of it are made.
    fn pulled(&self) -> String {
        let layout = format!("oci:{}", self.path("pulled").display());
        self.catalog(&["pull", &self.registry.reference(CATALOG), &layout]).expect(0);
        self.catalog(&["promote", &layout, "r1"]).expect(0);
        layout
    }

    fn catalog(&self, words: &[&str]) -> Outcome {
        let outcome = self.lapstrake.run([&["catalog"], words].concat());
        self.refused.set(self.refused.get() + usize::from(outcome.code == Some(5)));
        outcome
    }

    /// Resolves a runtime, as a build does before anything else.
    fn resolve(&self, reference: &str, more: &[&str]) -> Outcome {
        self.catalog(&[&["resolve", "python3", "3.13", "--catalog", reference], more].concat())
    }

    fn ed25519(&self, name: &str) -> Keys {
        Keys::ed25519(self.scratch.path(), name)
    }
}

/// Lets a tag of a layout name what another one names.
fn retag(layout: &str, tag: &str, like: &str) {
    let file = Path::new(layout.strip_prefix("oci:").unwrap()).join("index.json");
    let mut index: Value = serde_json::from_str(&fs_err::read_to_string(&file).unwrap()).unwrap();
    let manifests = index["manifests"].as_array_mut().unwrap();
    let is = |item: &Value, tag: &str| item["annotations"]["org.opencontainers.image.ref.name"] == tag;
    let mut new = manifests.iter().find(|item| is(item, like)).unwrap().clone();
    new["annotations"]["org.opencontainers.image.ref.name"] = tag.into();
    manifests.retain(|item| !is(item, tag));
    manifests.push(new);
    fs_err::write(&file, index.to_string()).unwrap();
}

/// Changes the document of a catalog whose only revision is in a layout, and all that names it.
fn rewrite(layout: &Path, change: &dyn Fn(&str) -> String) {
    let blobs = layout.join("blobs/sha256");
    let of = |digest: &str| digest.rsplit(':').next().unwrap().to_owned();
    let read = |digest: &str| fs_err::read_to_string(blobs.join(of(digest))).unwrap();
    let keep = |text: &str| {
        let digest = digest_of(text.as_bytes());
        fs_err::write(blobs.join(of(&digest)), text).unwrap();
        digest
    };
    let file = layout.join("index.json");
    let text = fs_err::read_to_string(&file).unwrap();
    let find = |value: &Value| value["digest"].as_str().unwrap().to_owned();
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let top = find(&parsed(&text)["manifests"][0]);
    let index = read(&top);
    let manifest_digest = find(&parsed(&index)["manifests"][0]);
    let manifest = read(&manifest_digest);
    let json_digest = find(&parsed(&manifest)["layers"][0]);
    // Sizes change as well: each document names the one below by digest and size.
    let renamed = |text: &str, old: &str, new: &str, size: usize| {
        let old_size = read(old).len();
        let text = text.replace(old, new);
        let at = text.find(new).unwrap();
        let (from, to) = (text[..at].rfind('{').unwrap(), at + text[at..].find('}').unwrap());
        let inner = text[from..to].replace(&format!("\"size\":{old_size}"), &format!("\"size\":{size}"));
        format!("{}{inner}{}", &text[..from], &text[to..])
    };
    let new = change(&read(&json_digest));
    let manifest = renamed(&manifest, &json_digest, &keep(&new), new.len());
    let index = renamed(&index, &manifest_digest, &keep(&manifest), manifest.len());
    let top_digest = keep(&index);
    let mut document = parsed(&text);
    for item in document["manifests"].as_array_mut().unwrap() {
        item["digest"] = top_digest.as_str().into();
        item["size"] = index.len().into();
    }
    fs_err::write(&file, document.to_string()).unwrap();
}

#[test]
fn a_signed_catalog_is_accepted_and_others_are_refused() {
    let bench = Bench::new();
    let layout = bench.pulled();
    let (first, second) = (bench.ed25519("first"), Keys::p256(bench.scratch.path(), "second"));
    let latest = format!("{layout}:latest");
    let said = bench.resolve(&latest, &["--catalog-key", &first.public]).expect(5).stderr;
    assert!(said.contains("is signed by nobody"), "{said}");
    let signed =
        bench.catalog(&["sign", &layout, "--revision", "r1", "--key", &first.private]).expect(0).stdout;
    assert!(signed.starts_with("r1 sha256:"), "{signed}");
    bench.resolve(&latest, &["--catalog-key", &first.public]).expect(0);
    bench.catalog(&["verify", &layout, "--key", &first.public]).expect(0);
    // Another key's signature, and too few of them.
    let said = bench.resolve(&latest, &["--catalog-key", &second.public]).expect(5).stderr;
    assert!(said.contains("are not accepted") && said.contains("0 of the keys have signed"), "{said}");
    let both = ["--catalog-key", &first.public, "--catalog-key", &second.public, "--catalog-threshold", "2"];
    bench.resolve(&latest, &both).expect(5);
    // A second signature, with a key from the environment, leaves the first one where it is.
    let key = fs_err::read_to_string(&second.private).unwrap();
    let by_variable = Lapstrake::new().with_data(bench.path("data")).with("SIGNING", &key);
    by_variable.run(["catalog", "sign", &layout, "--revision", "r1", "--key", "env://SIGNING"]).expect(0);
    bench.resolve(&latest, &both).expect(0);
    let said = bench.catalog(&[
        "verify",
        &layout,
        "--key",
        &first.public,
        "--key",
        &second.public,
        "--threshold",
        "2",
    ]);
    assert!(said.expect(0).stdout.contains("signatures: 2; signed by "));
    let said =
        bench.catalog(&["verify", &layout, "--threshold", "2", "--key", &first.public]).expect(2).stderr;
    assert!(said.contains("1 different keys cannot give 2 signatures"), "{said}");
    // What is signed is one revision: the next one is not.
    bench.catalog(&["renew", &layout]).expect(0);
    bench.resolve(&format!("{layout}:candidate"), &["--catalog-key", &first.public]).expect(5);
    bench.catalog(&["renew", &layout, "--sign-key", &first.private]).expect(0);
    bench.resolve(&format!("{layout}:candidate"), &["--catalog-key", &first.public]).expect(0);
    // The signature of one revision proves nothing of another one.
    let digest = |tag: &str| {
        let log =
            bench.catalog(&["sign", &layout, "--revision", tag, "--key", &second.private]).expect(0).stdout;
        log.split(' ').nth(1).unwrap().replacen("sha256:", "sha256-", 1) + ".sig"
    };
    let (of_first, of_second) = (digest("r1"), digest("r2"));
    retag(&layout, &of_second, &of_first);
    let said = bench.resolve(&format!("{layout}:r2"), &["--catalog-key", &first.public]).expect(5).stderr;
    assert!(said.contains("what was signed is revision 1"), "{said}");
    // The local catalog is nobody's.
    let said = bench.catalog(&["resolve", "python3", "--catalog-key", &first.public]).expect(5).stderr;
    assert!(said.contains("the local catalog is signed by nobody"), "{said}");
    println!("figure CAT-01: {} refusals for wrong, too few or no signatures", bench.refused.get());
}

#[test]
fn signatures_are_kept_by_registries_and_mirrored() {
    let bench = Bench::new();
    let (layout, key) = (bench.pulled(), bench.ed25519("key"));
    bench.catalog(&["sign", &layout, "--revision", "r1", "--key", &key.private]).expect(0);
    let mirror = bench.registry.reference("mirror/runtimes");
    bench.catalog(&["mirror", &layout, &mirror]).expect(0);
    let said = bench.catalog(&["verify", &mirror, "--key", &key.public]).expect(0).stdout;
    assert!(said.contains("signatures: 1; signed by "), "{said}");
    // Where other tools look for it.
    let digest = said.split_whitespace().nth(1).unwrap().trim_end_matches(':');
    let image = format!("docker://{mirror}:{}.sig", digest.replacen(':', "-", 1));
    let raw = tools::run("skopeo", ["inspect", "--tls-verify=false", "--raw", &image]);
    let manifest: Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(manifest["artifactType"], "application/vnd.lapstrake.catalog.signature.v1");
    assert_eq!(manifest["subject"]["digest"], digest);
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.dsse.envelope.v1+json");
    // A second signer in the registry; mirroring again takes none of them away.
    let other = bench.ed25519("other");
    bench.catalog(&["sign", &mirror, "--revision", "latest", "--key", &other.private]).expect(0);
    bench.catalog(&["mirror", &layout, &mirror]).expect(0);
    let both = ["--key", &key.public, "--key", &other.public, "--threshold", "2"];
    bench.catalog(&[&["verify", &mirror][..], &both].concat()).expect(0);
    // An audit that asks for a signature gets it, or says so.
    let policy = bench.path("policy.toml");
    fs_err::write(&policy, "require_signed = true\n").unwrap();
    let latest = format!("{mirror}:latest");
    let image = bench.registry.reference("catalog/runtimes:latest");
    let audit = |more: &[&str]| {
        let words = [
            "audit",
            "image",
            &image,
            "--catalog",
            &latest,
            "--policy",
            policy.to_str().unwrap(),
            "--as-of",
            AS_OF,
            "--format",
            "json",
        ];
        bench.lapstrake.run([&words[..], more].concat())
    };
    let found = |outcome: &Outcome| {
        serde_json::from_str::<Value>(&outcome.stdout).unwrap()["catalogFindings"].as_array().unwrap().len()
    };
    assert_eq!(found(&audit(&[])), 1);
    let signed = audit(&["--catalog-key", &key.public]);
    assert_eq!(found(&signed), 0, "{signed:?}");
    assert!(
        audit(&["--catalog-key", &bench.ed25519("third").public]).expect(5).stderr.contains("not accepted")
    );
}

#[test]
fn a_catalog_that_goes_back_or_is_rewritten_is_refused() {
    let bench = Bench::new();
    let layout = bench.pulled();
    let latest = format!("{layout}:latest");
    bench.catalog(&["renew", &layout]).expect(0);
    bench.catalog(&["promote", &layout, "r2"]).expect(0);
    bench.resolve(&latest, &[]).expect(0);
    bench.resolve(&format!("{layout}:r1"), &[]).expect(0);
    retag(&layout, "latest", "r1");
    let said = bench.resolve(&latest, &[]).expect(5).stderr;
    assert!(said.contains("is revision 1, and revision 2 was seen there before"), "{said}");
    bench.resolve(&latest, &["--allow-rollback"]).expect(0);
    // Looking is not using: the list says what is wrong.
    let listed = bench.catalog(&["list", "--catalog", &latest]).expect(0);
    assert!(listed.stderr.contains("revision 2 was seen before, and this is 1"), "{listed:?}");
    let elsewhere = Lapstrake::new().with_data(bench.path("elsewhere"));
    let resolve = |more: &[&str]| {
        elsewhere.run([&["catalog", "resolve", "python3", "--catalog", &latest], more].concat())
    };
    let said = resolve(&["--min-revision", "2"]).expect(5).stderr;
    assert!(said.contains("the catalog is revision 1, and at least 2 is asked for"), "{said}");
    resolve(&["--min-revision", "1"]).expect(0);
    // Another revision 2, made from the first one.
    let other = format!("oci:{}", bench.path("other").display());
    bench.catalog(&["pull", &bench.registry.reference(CATALOG), &other]).expect(0);
    bench.catalog(&["renew", &other, "--valid-days", "7"]).expect(0);
    let said = bench.resolve(&format!("{other}:r2"), &[]).expect(5).stderr;
    assert!(said.contains("was rewritten: it was seen as"), "{said}");
    println!("figure CAT-01: {} refusals of a catalog that went back or was rewritten", bench.refused.get());
}

#[test]
fn a_revision_that_the_newest_one_does_not_know_is_refused_without_a_memory() {
    let bench = Bench::new();
    let (layout, other) = (bench.pulled(), format!("oci:{}", bench.path("other").display()));
    bench.catalog(&["pull", &layout, &other]).expect(0);
    bench.catalog(&["renew", &layout]).expect(0);
    bench.catalog(&["renew", &other, "--valid-days", "7"]).expect(0);
    bench.catalog(&["renew", &layout]).expect(0);
    bench.catalog(&["promote", &layout, "r3"]).expect(0);
    bench.resolve(&format!("{layout}:r2"), &[]).expect(0);
    // The other second revision, by its digest, in the same repository.
    let (there, here) = (bench.path("other").join("blobs/sha256"), bench.path("pulled").join("blobs/sha256"));
    for blob in fs_err::read_dir(there).unwrap().map(|entry| entry.unwrap()) {
        if !here.join(blob.file_name()).exists() {
            fs_err::copy(blob.path(), here.join(blob.file_name())).unwrap();
        }
    }
    let of_other = fs_err::read_to_string(bench.path("other").join("index.json")).unwrap();
    let of_other: Value = serde_json::from_str(&of_other).unwrap();
    let second = of_other["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["annotations"]["org.opencontainers.image.ref.name"] == "r2")
        .unwrap();
    let file = bench.path("pulled").join("index.json");
    let mut index: Value = serde_json::from_str(&fs_err::read_to_string(&file).unwrap()).unwrap();
    let mut second = second.clone();
    second["annotations"]["org.opencontainers.image.ref.name"] = "fork".into();
    index["manifests"].as_array_mut().unwrap().push(second);
    fs_err::write(&file, index.to_string()).unwrap();
    let fresh = Lapstrake::new().with_data(bench.path("fresh"));
    let said =
        fresh.run(["catalog", "resolve", "python3", "--catalog", &format!("{layout}:fork")]).expect(5).stderr;
    assert!(said.contains("revision 2 of the catalog was rewritten: revision 3 knows it as"), "{said}");
    fresh
        .run(["catalog", "resolve", "python3", "--catalog", &format!("{layout}:fork"), "--offline"])
        .expect(0);
}

#[test]
fn a_catalog_that_is_no_longer_fresh_is_refused() {
    let bench = Bench::new();
    let layout = bench.pulled();
    bench.catalog(&["renew", &layout, "--valid-days", "0"]).expect(0);
    let candidate = format!("{layout}:candidate");
    let said = bench.resolve(&candidate, &[]).expect(5).stderr;
    assert!(said.contains("counted as fresh until") && said.contains("--allow-expired-catalog"), "{said}");
    bench.resolve(&candidate, &["--allow-expired-catalog"]).expect(0);
    assert!(
        bench.catalog(&["list", "--catalog", &candidate]).expect(0).stderr.contains("counted as fresh until")
    );
    // A pin to it counts as long as what everybody gets is fresh.
    bench.catalog(&["renew", &layout]).expect(0);
    bench.catalog(&["promote", &layout, "r3"]).expect(0);
    bench.resolve(&format!("{layout}:r2"), &[]).expect(0);
    bench.resolve(&format!("{layout}:r2"), &["--offline"]).expect(5);
}

#[test]
fn what_was_revoked_since_stops_a_build_that_is_pinned() {
    let bench = Bench::new();
    let layout = bench.pulled();
    let revoke = ["revoke", &layout, "python3-3.13.5-2", "--reason", "its key leaked", "--severity", "high"];
    bench.catalog(&revoke).expect(0);
    bench.resolve(&format!("{layout}:r1"), &[]).expect(0);
    bench.catalog(&["promote", &layout, "r2"]).expect(0);
    let pinned = format!("{layout}:r1");
    let said = bench.resolve(&pinned, &[]).expect(2).stderr;
    assert!(
        said.contains(
            "`python3-3.13.5-2` was revoked in revision 2, after the one that is pinned: its key leaked"
        ),
        "{said}"
    );
    bench.resolve(&pinned, &["--offline"]).expect(0);
    let permitted = ["--allow-revoked", "python3-3.13.5-2", "--reason", "until monday"];
    bench.resolve(&pinned, &permitted).expect(0);
    bench.resolve(&pinned, &permitted[..2]).expect(2);
    // The plan of a build says what the image would.
    let source = App::named("plain-python").directory();
    let plan = |more: &[&str]| {
        let words = ["plan", source.to_str().unwrap(), "--catalog", &pinned, "--format", "json"];
        bench.lapstrake.run([&words[..], more].concat())
    };
    plan(&[]).expect(2);
    let json = |outcome: Outcome| serde_json::from_str::<Value>(&outcome.expect(0).stdout).unwrap();
    let taken = json(plan(&permitted));
    let overrides = &taken["runtime"]["overrides"][0];
    assert_eq!(overrides, "python3-3.13.5-2 was taken by permission although it is revoked: until monday");
    assert_eq!(
        (&taken["runtime"]["isChecked"], &json(plan(&["--offline"]))["runtime"]["isChecked"]),
        (&true.into(), &false.into())
    );
}

#[test]
fn a_catalog_of_a_later_schema_is_read_with_a_notice_and_not_changed() {
    let bench = Bench::new();
    let layout = bench.path("later");
    bench
        .catalog(&["pull", &bench.registry.reference(CATALOG), &format!("oci:{}", layout.display())])
        .expect(0);
    rewrite(&layout, &|text| text.replacen("\"schema\":1", "\"novel\":{\"x\":1},\"schema\":2", 1));
    let reference = format!("oci:{}:latest", layout.display());
    let resolved = bench.resolve(&reference, &[]).expect(0);
    assert!(
        resolved
            .stderr
            .contains("the catalog has schema 2, of which this program leaves aside what it does not know"),
        "{resolved:?}"
    );
    let said = bench.catalog(&["renew", &format!("oci:{}", layout.display())]).expect(2).stderr;
    assert!(said.contains("only a newer release of this program can change"), "{said}");
}
