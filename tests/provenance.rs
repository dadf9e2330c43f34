//! How an image was made, as it is stated, signed, attached and verified.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::{copy_tree, tar_of};
use lapstrake_fixtures::web::{Page, Site, Web};
use serde_json::Value;

use crate::harness::{Keys, Lapstrake, Outcome, Registry, tools, workspace};

/// A registry, a key, and a directory for the rest.
struct Bench {
    registry: Registry,
    scratch: tempfile::TempDir,
    keys: Keys,
    lapstrake: Lapstrake,
}

impl Bench {
    fn new() -> Self {
        let scratch = workspace::scratch();
        let keys = Keys::ed25519(scratch.path(), "key");
        Self { registry: Registry::start(), keys, scratch, lapstrake: Lapstrake::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn image(&self) -> String {
        self.registry.reference("team/app:1")
    }

    /// Builds, pushes, signs and attaches.
    fn build(&self, source: &str, more: &[&str]) -> Outcome {
        let image = self.image();
        let words = ["build", source, "--tag", &image, "--provenance-key", &self.keys.private];
        self.lapstrake.run([&words, more].concat())
    }

    fn verify(&self, more: &[&str]) -> Outcome {
        let image = self.image();
        self.lapstrake.run([&["verify", &image, "--key", &self.keys.public], more].concat())
    }

    /// The statement that is attached, once it was verified.
    fn statement(&self) -> Value {
        serde_json::from_str(&self.verify(&["--format", "json"]).expect(0).stdout).unwrap()
    }

    fn fetch(&self, path: &str) -> Value {
        let accept = "Accept: application/vnd.oci.image.manifest.v1+json";
        let url = format!("http://{}/v2/team/app/{path}", self.registry.host());
        serde_json::from_str(&tools::run("curl", ["-sSf", "-H", accept, &url])).unwrap()
    }
}

/// An app without a dependency and with one command.
fn plain(directory: &Path, more: &str) -> String {
    let app = directory.join("app");
    fs_err::create_dir_all(&app).unwrap();
    let text = format!(
        "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n      - echo built > built.txt\n{more}\
         run:\n  command: python3 -m http.server\n"
    );
    fs_err::write(app.join("apprunner.yaml"), text).unwrap();
    app.display().to_string()
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&fs_err::read(file).unwrap()).unwrap()
}

fn tag_of(digest: &str) -> String {
    format!("{}.att", digest.replace(':', "-"))
}

/// The sha256 digests of what has gone in, as a set.
fn materials(statement: &Value) -> BTreeSet<String> {
    let all = statement["predicate"]["buildDefinition"]["resolvedDependencies"].as_array().unwrap();
    all.iter().filter_map(|one| one["digest"]["sha256"].as_str()).map(|it| format!("sha256:{it}")).collect()
}

/// What other people's readers of such statements say; none where they cannot be had.
fn read_by_others(directory: &Path, statement: &Value) -> Option<String> {
    let packages = directory.join("packages");
    let into = packages.to_str().unwrap();
    let python = |words: &[&str]| {
        let run = tools::tool("python3").args(words).env("PYTHONPATH", into).output().unwrap();
        (
            run.status.success(),
            String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr),
        )
    };
    let install = ["-m", "pip", "install", "--quiet", "--target", into, "in-toto-attestation==0.9.3"];
    let (is_there, said) = python(&install);
    if !is_there {
        println!("skipped: in-toto-attestation cannot be installed: {said}");
        return None;
    }
    let file = directory.join("statement.json");
    fs_err::write(&file, statement.to_string()).unwrap();
    let script = "
import json, sys
from google.protobuf.json_format import Parse, ParseDict
import in_toto_attestation.v1.statement_pb2 as statement_pb
import in_toto_attestation.predicates.provenance.v1.provenance_pb2 as provenance_pb
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
text = open(sys.argv[1]).read()
statement = Statement.copy_from_pb(Parse(text, statement_pb.Statement()))
statement.validate()
# Fields that the schema does not have are refused.
provenance = ParseDict(json.loads(text)['predicate'], provenance_pb.Provenance())
assert provenance.run_details.builder.id and provenance.build_definition.build_type
for dependency in provenance.build_definition.resolved_dependencies:
    ResourceDescriptor.copy_from_pb(dependency).validate()
print('valid', len(provenance.build_definition.resolved_dependencies))
";
    let (is_valid, said) = python(&["-c", script, file.to_str().unwrap()]);
    Some(if is_valid { said.trim().to_owned() } else { format!("refused: {said}") })
}

#[test]
fn prv_01_the_statement_is_in_toto_and_slsa_and_its_materials_are_complete() {
    let bench = Bench::new();
    let (report, file) = (bench.path("report.json"), bench.path("envelope.json"));
    let source = App::named("flask").directory().display().to_string();
    let files = ["--metadata-file", report.to_str().unwrap(), "--provenance-file", file.to_str().unwrap()];
    let digest = bench.build(&source, &files).expect(0).digest();
    let (report, statement) = (read(&report), bench.statement());

    // What is attached, and where.
    let attached = bench.fetch(&format!("manifests/{}", tag_of(&digest)));
    assert_eq!(attached["artifactType"], "application/vnd.in-toto+json");
    assert_eq!(attached["subject"]["digest"], digest.as_str());
    let layers = attached["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1);
    assert_eq!(layers[0]["mediaType"], "application/vnd.dsse.envelope.v1+json");
    assert_eq!(layers[0]["annotations"]["predicateType"], "https://slsa.dev/provenance/v1");
    let envelope = bench.fetch(&format!("blobs/{}", layers[0]["digest"].as_str().unwrap()));
    assert_eq!(envelope, read(&file));
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap(), statement);
    assert_eq!(
        report["provenance"]["attached"][0],
        format!("{}/team/app:{}", bench.registry.host(), tag_of(&digest))
    );

    // The forms.
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let subjects = statement["subject"].as_array().unwrap();
    assert_eq!(subjects.len(), 1);
    assert_eq!(subjects[0]["digest"]["sha256"], digest.strip_prefix("sha256:").unwrap());
    assert_eq!(subjects[0]["name"], format!("{}/team/app", bench.registry.host()));
    let builder = &statement["predicate"]["runDetails"]["builder"];
    assert_eq!(builder["id"], "https://lapstrake.dev/builder/strict");
    assert_eq!(report["provenance"]["builder"], builder["id"]);

    // Everything that went in: what the image has from the runtime, what commands ran in, what they fetched, the source.
    let materials = materials(&statement);
    let image = bench.fetch("manifests/1");
    let of_app: BTreeSet<&str> = report["images"][0]["layers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|layer| ["app", "dependencies"].contains(&layer["role"].as_str().unwrap()))
        .map(|layer| layer["digest"].as_str().unwrap())
        .collect();
    let runtime: Vec<&str> =
        image["layers"].as_array().unwrap().iter().map(|it| it["digest"].as_str().unwrap()).collect();
    let (mut expected, mut runtime_layers) = (0, 0);
    for digest in runtime.iter().filter(|digest| !of_app.contains(**digest)) {
        assert!(materials.contains(*digest), "{digest} of the image");
        runtime_layers += 1;
    }
    for kind in ["fetched", "buildLayers"] {
        for one in report[kind].as_array().unwrap() {
            assert!(materials.contains(one["digest"].as_str().unwrap()), "{kind}: {one}");
            expected += 1;
        }
    }
    assert!(runtime_layers > 0 && expected > 8, "{report}");
    assert!(of_app.iter().all(|digest| !materials.contains(*digest)), "what was made is no material");
    let source = &statement["predicate"]["buildDefinition"]["resolvedDependencies"][0];
    let digits = report["sourceDigest"].as_str().unwrap().rsplit(':').next().unwrap();
    assert_eq!(
        (source["name"].as_str(), source["digest"]["lapstrakeTree2"].as_str()),
        (Some("source"), Some(digits))
    );

    if let Some(said) = read_by_others(bench.scratch.path(), &statement) {
        let count =
            statement["predicate"]["buildDefinition"]["resolvedDependencies"].as_array().unwrap().len();
        assert_eq!(said, format!("valid {count}"));
        let broken = statement.to_string().replace("\"subject\"", "\"subjects\"");
        let broken = read_by_others(bench.scratch.path(), &serde_json::from_str(&broken).unwrap()).unwrap();
        assert!(broken.starts_with("refused"), "{broken}");
    }
    println!("figure PRV-01: {} materials by digest, none missing; subject {digest}", materials.len());
}

#[test]
fn prv_01_a_statement_says_the_same_of_the_same_build_and_two_keys_sign_one() {
    let mut bench = Bench::new();
    let source = plain(bench.scratch.path(), "");
    let digest = bench.build(&source, &[]).expect(0).digest();
    let tag = format!("manifests/{}", tag_of(&digest));
    let (attached, statement) = (bench.fetch(&tag), bench.statement());
    bench.build(&source, &[]).expect(0);
    assert_eq!(bench.fetch(&tag), attached, "nothing is added");
    let first = std::mem::replace(&mut bench.keys, Keys::p256(bench.scratch.path(), "other"));
    let refused = bench.verify(&[]).expect(5).stderr;
    assert!(
        refused.contains("is not accepted") && refused.contains("0 of the keys have signed"),
        "{refused}"
    );
    bench.build(&source, &[]).expect(0);
    assert_eq!(bench.statement(), statement);
    assert_eq!(bench.fetch(&tag)["layers"].as_array().unwrap().len(), 1, "one statement");
    bench.verify(&["--key", &first.public, "--threshold", "2"]).expect(0);
    let twice = bench.verify(&["--key", &bench.keys.public, "--threshold", "2"]);
    assert!(twice.expect(2).stderr.contains("cannot give 2 signatures"));
    // What the key said before is replaced, and what others said stays.
    bench.build(&source, &["--network", "none"]).expect(0);
    assert_eq!(
        bench.statement()["predicate"]["buildDefinition"]["externalParameters"]["network"]["mode"],
        "none"
    );
    let others = bench.lapstrake.run(["verify", &bench.image(), "--key", &first.public]);
    assert_eq!(bench.fetch(&tag)["layers"].as_array().unwrap().len(), 1);
    assert_eq!(others.code, Some(5), "the statement that both had signed was replaced: {}", others.stderr);
}

#[test]
fn prv_01_an_index_and_each_of_its_images_have_the_statement() {
    let bench = Bench::new();
    let source = App::named("plain-python").directory().display().to_string();
    let report = bench.path("report.json");
    let both = ["--platform", "linux/amd64,linux/arm64", "--metadata-file", report.to_str().unwrap()];
    let digest = bench.build(&source, &both).expect(0).digest();
    let (statement, report) = (bench.statement(), read(&report));
    let images: Vec<&str> =
        report["images"].as_array().unwrap().iter().map(|image| image["digest"].as_str().unwrap()).collect();
    let subjects: Vec<String> = statement["subject"]
        .as_array()
        .unwrap()
        .iter()
        .map(|subject| format!("sha256:{}", subject["digest"]["sha256"].as_str().unwrap()))
        .collect();
    assert_eq!(subjects, [&[digest.as_str()], &images[..]].concat());
    for image in &images {
        let by_digest = format!("{}/team/app@{image}", bench.registry.host());
        let words = ["verify", &by_digest, "--key", &bench.keys.public, "--format", "json"];
        let said = bench.lapstrake.run(words).expect(0).stdout;
        assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), statement);
        assert_eq!(bench.fetch(&format!("manifests/{}", tag_of(image)))["subject"]["digest"], *image);
    }
    // The layers below both images went in.
    let materials = materials(&statement);
    for image in report["images"].as_array().unwrap() {
        let runtime = image["layers"].as_array().unwrap().iter().filter(|layer| layer["role"] != "app");
        let missing: Vec<&Value> =
            runtime.filter(|layer| !materials.contains(layer["digest"].as_str().unwrap())).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

#[test]
fn prv_01_materials_are_complete_whatever_earlier_builds_have_kept() {
    let mut bench = Bench::new();
    let source = bench.path("source");
    copy_tree(&App::named("flask").directory(), &source).unwrap();
    let report = bench.path("report.json");
    bench.lapstrake = bench.lapstrake.apart(bench.scratch.path()).with("LAPSTRAKE_NO_CACHE", "false");
    let image = bench.image();
    let with_report = ["--metadata-file", report.to_str().unwrap()];
    // Downloads and the results of commands are kept.
    let first = ["build", source.to_str().unwrap(), "--tag", &image];
    let digest = bench.lapstrake.run(first).expect(0).digest();
    let mut statements = Vec::new();
    for runs in [true, false] {
        assert_eq!(bench.build(source.to_str().unwrap(), &with_report).expect(0).digest(), digest);
        let commands = read(&report)["commands"].as_array().unwrap().clone();
        assert!(commands.iter().any(|command| command["runs"] == true) == runs, "{commands:?}");
        statements.push(bench.statement());
    }
    assert_eq!(statements[0], statements[1]);
    let materials = materials(&statements[1]);
    let requirements = fs_err::read_to_string(source.join("requirements.txt")).unwrap();
    let hashes: Vec<&str> =
        requirements.split_whitespace().filter_map(|word| word.strip_prefix("--hash=")).collect();
    let packages = requirements.lines().filter(|line| line.contains("==")).count();
    // A package has hashes for other machines as well.
    assert!(hashes.iter().filter(|hash| materials.contains(**hash)).count() >= packages, "{materials:?}");
}

#[test]
fn prv_03_the_mode_and_every_override_are_stated() {
    let bench = Bench::new();
    let source = plain(bench.scratch.path(), "");
    let parameters =
        |statement: &Value| statement["predicate"]["buildDefinition"]["externalParameters"].clone();
    bench.build(&source, &[]).expect(0);
    let plainly = parameters(&bench.statement());
    assert_eq!(plainly["overrides"], serde_json::json!({}));
    assert_eq!(plainly["permissions"], serde_json::json!([]));
    assert_eq!(plainly["isolation"], "strict");
    assert_eq!(
        plainly["network"],
        serde_json::json!({"mode": "proxy", "allowHosts": [], "requireHashes": false})
    );
    assert_eq!(plainly["commands"][0]["origin"], "apprunner.yaml:6");

    let variables = bench.path("variables");
    fs_err::write(&variables, "FROM_FILE=1\n").unwrap();
    let mut bench = bench;
    bench.lapstrake = bench.lapstrake.with("LAPSTRAKE_PORT", "9000");
    let words = [
        "--isolation",
        "chroot",
        "--network",
        "open",
        "--allow-host",
        "files.example:8443",
        "--require-hashes",
        "--symlinks",
        "keep-dangling",
        "--runtime-version",
        "3.13",
        "--env",
        "MODE=a",
        "--build-command",
        "true",
        "--env-file",
        variables.to_str().unwrap(),
        "--builder-id",
        "https://ci.example.com/builders/7/",
    ];
    bench.build(&source, &words).expect(0);
    let statement = bench.statement();
    let changed = parameters(&statement);
    let expected = serde_json::json!({
        "env.FROM_FILE": "--env-file", "env.MODE": "--env", "port": "LAPSTRAKE_PORT",
        "runtime-version": "--runtime-version", "symlinks": "--symlinks=keep-dangling",
    });
    assert_eq!(changed["overrides"], expected);
    assert_eq!(changed["isolation"], "chroot");
    assert_eq!(
        changed["network"],
        serde_json::json!({"mode": "open", "allowHosts": ["files.example:8443"], "requireHashes": true})
    );
    assert_eq!(
        changed["commands"],
        serde_json::json!([{"phase": "build", "command": "true", "origin": "--build-command"}])
    );
    assert_eq!(
        statement["predicate"]["runDetails"]["builder"]["id"],
        "https://ci.example.com/builders/7/chroot"
    );
    assert_eq!(statement["predicate"]["buildDefinition"]["internalParameters"]["fetchesRecorded"], false);

    bench.verify(&["--builder", "https://ci.example.com/builders/7/chroot"]).expect(0);
    let strict = bench.verify(&["--builder", "https://ci.example.com/builders/7/strict"]).expect(5).stderr;
    assert!(strict.contains("it was built by `https://ci.example.com/builders/7/chroot`"), "{strict}");
    let shown = bench.verify(&[]).expect(0).stdout;
    assert!(shown.contains("override     port by LAPSTRAKE_PORT\n"), "{shown}");

    // Where no command runs, nothing has to be kept apart.
    let bare = bench.path("bare");
    fs_err::create_dir(&bare).unwrap();
    fs_err::write(
        bare.join("apprunner.yaml"),
        "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build: []\nrun:\n  command: python3 -m http.server\n",
    )
    .unwrap();
    bench.build(bare.to_str().unwrap(), &[]).expect(0);
    let id = bench.statement()["predicate"]["runDetails"]["builder"]["id"].clone();
    assert_eq!(id, "https://lapstrake.dev/builder/none-needed");
    println!("figure PRV-03: 3 modes and 6 overrides stated as they were given");
}

#[test]
fn prv_04_no_bit_of_an_envelope_can_change() {
    let bench = Bench::new();
    let source = plain(bench.scratch.path(), "");
    let file = bench.path("envelope.json");
    bench.build(&source, &["--provenance-file", file.to_str().unwrap()]).expect(0);
    let bytes = fs_err::read(&file).unwrap();
    let with = |bytes: &[u8]| {
        let changed = bench.path("changed.json");
        fs_err::write(&changed, bytes).unwrap();
        bench.verify(&["--provenance", changed.to_str().unwrap()])
    };
    with(&bytes).expect(0);
    // The name that a signature gives to its key counts for nothing, nor does the line feed at the end.
    let text = String::from_utf8(bytes.clone()).unwrap();
    let name = text.find("\"keyid\":\"").unwrap() + 9;
    let counts: Vec<usize> = (0..bytes.len() - 1).filter(|at| !(name..name + 64).contains(at)).collect();
    for flip in 0..100 {
        let mut changed = bytes.clone();
        let at = counts[flip * counts.len() / 100];
        changed[at] ^= 1 << (flip % 7);
        let outcome = with(&changed);
        assert_eq!(outcome.code, Some(5), "bit {} of byte {at}: {}", flip % 7, outcome.stderr);
    }
    let envelope: Value = serde_json::from_slice(&bytes).unwrap();
    let exchanged = |kind: &str, payload: Option<&[u8]>| {
        let mut changed = envelope.clone();
        changed["payloadType"] = kind.into();
        if let Some(payload) = payload {
            changed["payload"] = STANDARD.encode(payload).into();
        }
        with(changed.to_string().as_bytes()).expect(5);
    };
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    exchanged("application/vnd.lapstrake.catalog.statement.v1+json", None);
    exchanged("application/vnd.in-toto+json ", None);
    // What stands before the payload moved into the type, or into the payload: the signed bytes would be the same without
    // lengths.
    exchanged(&format!("application/vnd.in-toto+json {} ", payload.len()), None);
    exchanged("application/vnd.in-toto+json", Some(&[b" ", &payload[..]].concat()));
    exchanged(
        "application/vnd.in-toto+json",
        Some(&[format!("{} ", payload.len()).as_bytes(), &payload].concat()),
    );
    let other = Keys::ed25519(bench.scratch.path(), "other");
    let image = bench.image();
    bench.lapstrake.run(["verify", &image, "--key", &other.public]).expect(5);
    // It is about this image, and no other.
    let second = bench.path("second.json");
    let mut bench_of_other = Bench::new();
    bench_of_other.keys = Keys { private: bench.keys.private.clone(), public: bench.keys.public.clone() };
    let changed_source = plain(bench_of_other.scratch.path(), "      - echo more > more.txt\n");
    bench_of_other.build(&changed_source, &["--provenance-file", second.to_str().unwrap()]).expect(0);
    let refused = bench.verify(&["--provenance", second.to_str().unwrap()]).expect(5).stderr;
    assert!(refused.contains("it is about other images"), "{refused}");
    println!(
        "figure PRV-04: 100 of 100 bit flips refused, and 5 exchanges of type and payload, another key and another image"
    );
}

#[test]
fn an_image_without_provenance_is_told_from_one_with_another() {
    let bench = Bench::new();
    let source = plain(bench.scratch.path(), "");
    let image = bench.image();
    bench.lapstrake.run(["build", &source, "--tag", &image]).expect(0);
    let refused = bench.verify(&[]).expect(5).stderr;
    assert!(refused.contains("has no provenance") && refused.contains(".att"), "{refused}");
    let layout = format!("oci:{}", bench.path("layout").display());
    let nowhere = ["build", &source, "--output", &layout, "--provenance-key", &bench.keys.private];
    assert!(bench.lapstrake.run(nowhere).expect(2).stderr.contains("the image goes to none"));
    let unasked = ["build", &source, "--output", &layout, "--builder-id", "https://ci.example.com/"];
    assert!(bench.lapstrake.run(unasked).expect(2).stderr.contains("none is asked for"));
    // Without a key it is a statement that nobody has signed, and nobody takes it.
    let file = bench.path("statement.json");
    let unsigned = ["build", &source, "--output", &layout, "--provenance-file", file.to_str().unwrap()];
    let digest = bench.lapstrake.run(unsigned).expect(0).digest();
    let statement = read(&file);
    assert_eq!(statement["subject"][0]["name"], "_");
    assert_eq!(format!("sha256:{}", statement["subject"][0]["digest"]["sha256"].as_str().unwrap()), digest);
    bench.verify(&["--provenance", file.to_str().unwrap()]).expect(5);
}

#[test]
fn prv_05_nothing_of_the_machine_and_no_secret_is_stated() {
    let mut bench = Bench::new();
    let app = plain(bench.scratch.path(), "  env:\n    - name: COLOUR\n      value: value-of-the-file\n");
    let archive = tar_of(Path::new(&app), "app/").unwrap();
    let web = Web::start(Site::page("/app.tar", Page::Content("application/x-tar", archive)));
    let url =
        web.url("/app.tar?token=token-of-the-query").replace("://", "://name-of-the-user:word-of-the-user@");
    let config = bench.path("elsewhere.yaml");
    fs_err::copy(Path::new(&app).join("apprunner.yaml"), &config).unwrap();
    bench.lapstrake =
        bench.lapstrake.with("SECRET_ONE", "value-of-the-secret").with("USER", "name-of-the-caller");
    let command = "test \"$(cat /run/secrets/SECRET_ONE)\" = value-of-the-secret";
    let words = [
        "--secret",
        "id=SECRET_ONE",
        "--env",
        "MODE=value-of-the-option",
        "--build-env",
        "LEVEL=value-of-the-build",
        "--config",
        config.to_str().unwrap(),
        "--build-command",
        command,
    ];
    bench.build(&url, &words).expect(0);
    let statement = bench.statement();
    let text = statement.to_string();
    let host = tools::run("hostname", [] as [&str; 0]);
    let root = workspace::root().display().to_string();
    let home = std::env::home_dir().unwrap().display().to_string();
    for word in [
        "token-of-the-query",
        "name-of-the-user",
        "word-of-the-user",
        "value-of-the",
        "name-of-the-caller",
        host.trim(),
        bench.scratch.path().to_str().unwrap(),
        &root,
        &format!("{home}/"),
        bench.lapstrake.data().to_str().unwrap(),
    ] {
        assert!(!text.contains(word), "`{word}` in {text}");
    }
    let parameters = &statement["predicate"]["buildDefinition"]["externalParameters"];
    assert_eq!(parameters["source"]["uri"], web.url("/app.tar"));
    assert_eq!(parameters["appFile"], "elsewhere.yaml");
    assert_eq!(parameters["buildEnv"], serde_json::json!(["COLOUR", "LEVEL"]));
    assert_eq!(parameters["secrets"][0]["id"], "SECRET_ONE");
    assert!(parameters["commands"][0]["command"].as_str().unwrap().ends_with("= ***"), "{parameters}");
    println!("figure PRV-05: 10 of 10 planted words in no statement");
}
