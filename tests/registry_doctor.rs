//! What `registry doctor` finds out of registries, real ones and odd ones.

use std::collections::BTreeMap;

use lapstrake_fixtures::registry::{
    Auth, Chunks, Fault, Location, Mount, Registry as Server, Settings, Status,
};
use serde_json::Value;

use crate::harness::{Lapstrake, Outcome, Registry, workspace};

/// Asks about a repository, and returns the findings by their names; those that were not tried are null.
fn ask(reference: &str, more: &[&str], code: i32) -> (BTreeMap<String, Value>, Value) {
    let outcome = doctor(reference, &[&["--format", "json"], more].concat()).expect(code);
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let findings = document["findings"].as_array().unwrap().iter();
    let by_name =
        |finding: &Value| (finding["capability"].as_str().unwrap().to_owned(), finding["found"].clone());
    (findings.map(by_name).collect(), document)
}

fn doctor(reference: &str, more: &[&str]) -> Outcome {
    Lapstrake::new().run(["registry", "doctor", reference].iter().chain(more))
}

fn detail<'a>(document: &'a Value, capability: &str) -> &'a str {
    let findings = document["findings"].as_array().unwrap();
    let finding = findings.iter().find(|it| it["capability"] == capability).unwrap();
    finding["detail"].as_str().unwrap()
}

/// The capabilities that have this answer.
fn that_are(findings: &BTreeMap<String, Value>, answer: &Value) -> Vec<String> {
    findings.iter().filter(|(_, found)| *found == answer).map(|(name, _)| name.clone()).collect()
}

fn odd(settings: Settings) -> Server {
    Server::with(settings)
}

/// What a repository of a real registry names: manifests, tags, and blobs.
fn links(registry: &Registry, repository: &str) -> Vec<String> {
    let root = registry.storage().join("docker/registry/v2/repositories").join(repository);
    let walk = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap);
    let links =
        walk.filter(|entry| entry.file_name() == "link").map(|entry| entry.path().display().to_string());
    // A tag has two: where it points now, and where it has pointed.
    links.filter(|path| !path.contains("/tags/") || path.contains("/current/")).collect()
}

#[test]
fn a_real_registry_is_found_to_be_what_it_is_and_left_as_it_was() {
    let registry = Registry::start();
    let scratch = workspace::scratch();
    let image = super::registry_faults::image(7, &[40_000]);
    let from = super::registry_faults::layout_of(&image, &scratch.path().join("layout"));
    let other = registry.reference("other/app:1");
    Lapstrake::new().run(["push", &from, "--tag", &other]).expect(0);

    let (findings, document) = ask(&registry.reference("team/app:1"), &[], 0);
    assert_eq!(that_are(&findings, &Value::Null), ["mount-from"]);
    // Debian's registry is older than the referrers API.
    assert_eq!(that_are(&findings, &false.into()), ["chunk-min-length", "referrers"], "{document:#}");
    assert_eq!(detail(&document, "authentication"), "none is asked for");
    assert_eq!(detail(&document, "upload-location"), "absolute, with a query");
    assert_eq!(detail(&document, "reached"), "over plain http");
    assert_eq!((&document["pushable"], &document["left"]), (&true.into(), &Value::Array(Vec::new())));
    assert_eq!(links(&registry, "other/app").len(), 4, "a manifest, its tag, its layer and its config");
    assert_eq!(links(&registry, "team/app"), Vec::<String>::new(), "everything that was written is deleted");

    let (findings, document) = ask(&registry.reference("team/app"), &["--mount-from", &other], 0);
    assert_eq!(findings["mount-from"], true, "{document:#}");
    let left = document["left"].as_array().unwrap();
    assert!(left.len() == 1 && left[0].as_str().unwrap().contains("mounted from"), "{left:?}");

    let text = doctor(&registry.reference("team/app"), &[]).expect(0).stdout;
    assert!(text.starts_with(&format!("registry {}, repository team/app\n", registry.host())), "{text}");
    assert!(text.contains("yes  tag-moves         a tag can be written again\n"), "{text}");
    assert!(text.ends_with("an image can be pushed\n"), "{text}");
    assert_eq!(text.lines().count(), 21, "{text}");
}

#[test]
fn a_registry_that_can_everything_is_found_to_and_what_is_written_is_named_after_the_probe() {
    let server = odd(Settings { auth: Auth::Token, ..Settings::default() });
    let scratch = workspace::scratch();
    let logins = scratch.path().join("logins.json");
    fs_err::write(
        &logins,
        format!("{{\"auths\":{{\"{}\":{{\"auth\":\"dXNlcjpwYXNzd29yZA==\"}}}}}}", server.host()),
    )
    .unwrap();
    let logins = logins.to_str().unwrap();
    let reference = format!("{}/app", server.host());
    let (findings, document) = ask(&reference, &["--authfile", logins], 0);
    assert_eq!(that_are(&findings, &false.into()), ["chunk-min-length"], "{document:#}");
    assert_eq!(
        detail(&document, "authentication"),
        format!("tokens of http://{}/token; there are credentials", server.host())
    );
    let tagged = server.log().into_iter().filter(|it| it.method == "PUT" && it.path.contains("/manifests/"));
    let names: Vec<String> = tagged.map(|it| it.path.rsplit('/').next().unwrap().to_owned()).collect();
    assert!(
        names.iter().all(|it| it.starts_with("lapstrake-doctor-") || it.starts_with("sha256:")),
        "{names:?}"
    );
    assert!(server.tags("app").is_empty());
    assert_eq!(server.open_uploads(), 0);
    let large = server.log().into_iter().map(|request| request.body).max();
    assert!(large < Some(4096), "{large:?}");

    let (findings, document) = ask(&reference, &["--authfile", "/nonexistent"], 3);
    assert_eq!(
        (&findings["authentication"], &findings["push"]),
        (&false.into(), &false.into()),
        "{document:#}"
    );
    assert_eq!(document["pushable"], false);
    let text = doctor(&reference, &["--authfile", "/nonexistent"]).expect(3);
    assert!(text.stdout.ends_with("an image cannot be pushed\n"), "{}", text.stdout);
    assert!(text.stderr.contains("hint: credentials: `/nonexistent` does not exist"), "{}", text.stderr);
}

#[test]
fn what_a_registry_cannot_is_told_and_does_not_keep_an_image_from_being_pushed() {
    let unsupported =
        ["application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.layer.v1.tar+zstd"];
    let server = odd(Settings {
        chunks: Chunks::Refused(405),
        mount: Mount::Accepted,
        location: Location::WithQuery,
        digest_header: false,
        immutable_tags: true,
        unsupported: unsupported.map(str::to_owned).to_vec(),
        referrers: false,
        delete: false,
        ..Settings::default()
    });
    let (findings, document) = ask(&format!("{}/app", server.host()), &[], 0);
    let cannot = [
        "chunk-min-length",
        "delete",
        "digest-header",
        "index",
        "mount-within",
        "referrers",
        "tag-moves",
        "upload-in-chunks",
        "zstd",
    ];
    assert_eq!(that_are(&findings, &false.into()), cannot, "{document:#}");
    assert_eq!(that_are(&findings, &Value::Null), ["mount-from", "upload-status"]);
    assert_eq!(detail(&document, "upload-in-chunks"), "405 UNSUPPORTED: no uploads in chunks");
    assert_eq!(detail(&document, "upload-location"), "relative, with a query");
    assert_eq!(detail(&document, "tag-moves"), "400 TAG_INVALID: the tag is immutable");
    assert_eq!(detail(&document, "referrers"), "404 page not found");
    // Two manifests with their tag, and the blobs.
    let left: Vec<&str> =
        document["left"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let count = |kind: &str| left.iter().filter(|it| it.starts_with(kind)).count();
    assert_eq!((count("manifest "), count("tag "), count("blob ")), (2, 1, 3), "{left:#?}");
    assert_eq!(server.tags("app").len(), 1);
}

#[test]
fn what_a_registry_makes_of_chunks_is_told_apart() {
    let detail_of = |settings: Settings, capability: &str| {
        let server = odd(settings);
        let (findings, document) = ask(&format!("{}/app", server.host()), &[], 0);
        (findings[capability].clone(), detail(&document, capability).to_owned())
    };
    let chunks = |chunks| Settings { chunks, ..Settings::default() };
    let no = Value::Bool(false);
    let (found, told) = detail_of(chunks(Chunks::Dropped), "upload-in-chunks");
    assert!(found == no && told.contains("and kept `0-0`"), "{told}");
    let (found, told) = detail_of(chunks(Chunks::FirstOnly), "upload-in-chunks");
    assert!(found == no && told.contains("and kept `0-"), "{told}");
    let large = chunks(Chunks::AtLeast { bytes: 5 << 20, status: 416 });
    assert_eq!(detail_of(large.clone(), "chunk-min-length"), (true.into(), "5242880 bytes".into()));
    let (found, told) = detail_of(large, "upload-in-chunks");
    assert!(
        found == Value::Null && told.starts_with("not tried: chunks have 5242880 bytes at least"),
        "{told}"
    );
    let small = chunks(Chunks::AtLeast { bytes: 10, status: 416 });
    assert_eq!(detail_of(small, "upload-in-chunks").0, true);
    let status = |status| Settings { status, ..Settings::default() };
    assert_eq!(detail_of(status(Status::Told), "upload-status").0, true);
    let (found, told) = detail_of(status(Status::Frozen), "upload-status");
    assert!(found == no && told.starts_with("`0-999` of "), "{told}");
    let (found, told) = detail_of(status(Status::Unknown), "upload-status");
    assert_eq!((found, told.as_str()), (no, "404 BLOB_UPLOAD_UNKNOWN: blob upload unknown to registry"));
}

#[test]
fn a_registry_that_does_not_take_an_image_is_told_by_the_exit_code() {
    let server = odd(Settings { missing: vec!["team/app".into()], ..Settings::default() });
    let outcome = doctor(&format!("{}/team/app", server.host()), &[]).expect(3);
    let said = format!("`{}` has no repository `team/app`: create it before the first push", server.host());
    assert!(outcome.stdout.contains(&said), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("an image cannot be pushed to"), "{}", outcome.stderr);

    let server = odd(Settings::default());
    server.fault(Fault::status("PUT", "/manifests/", 403).always());
    let (findings, document) = ask(&format!("{}/app", server.host()), &[], 3);
    assert_eq!(
        (&findings["upload-whole"], &findings["image"]),
        (&true.into(), &false.into()),
        "{document:#}"
    );
    assert_eq!(findings["tag-moves"], Value::Null);

    let gone = odd(Settings::default());
    let reference = format!("{}/app", gone.host());
    drop(gone);
    let (findings, document) = ask(&reference, &[], 75);
    assert_eq!(that_are(&findings, &false.into()), ["reached"], "{document:#}");
    assert_eq!(that_are(&findings, &Value::Null).len(), 18);
    doctor("not a reference", &[]).expect(2);
}
