use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use lapstrake_fixtures::registry::{
    Act, Auth, Fault, Location, Mount, Registry as Server, Request, Settings, digest_of,
};
use oci_spec::image::MediaType;
use serde_json::json;

use super::*;
use crate::destination::{Progress, PushError, PushReport, Shipment, push};
use crate::image::{BlobSource, Image, ImageIndex};
use crate::reference::parse;

mod faults;
mod files;
mod following;
mod listing;
mod probing;
mod pulling;
mod quirks;
mod reading;
mod real;
mod resuming;
mod security;
mod tls;
mod uploads;

/// Options with waits that a test can bear.
fn options() -> Options {
    Options {
        retry: RetryPolicy {
            shortest: Duration::from_millis(1),
            longest: Duration::from_millis(20),
            ..RetryPolicy::default()
        },
        timeouts: Timeouts { connect: Duration::from_secs(5), silence: Duration::from_secs(5) },
        ..Options::default()
    }
}

fn client() -> Client {
    Client::new(options()).unwrap()
}

fn logged_in(server: &Server) -> Client {
    Client::new(logged_in_options(server)).unwrap()
}

fn logged_in_options(server: &Server) -> Options {
    let login = Login::Password { user: "user".into(), password: Secret::new("password") };
    let credentials = Credentials::none().with_login(server.host(), login);
    Options { credentials, ..options() }
}

fn reference(server: &Server, rest: &str) -> Reference {
    parse(&format!("{}/{rest}", server.host())).unwrap()
}

/// Bytes that differ by name and do not repeat.
fn bytes(name: &str, size: usize) -> Vec<u8> {
    let mut state =
        name.bytes().fold(7_u64, |state, byte| state.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..size).map(|_| next()).collect()
}

fn layer(name: &str, size: usize) -> Blob {
    Blob::bytes(MediaType::ImageLayerGzip, bytes(name, size))
}

fn image_of(architecture: &str, layers: Vec<Blob>) -> Image {
    let ids: Vec<_> = layers.iter().map(|layer| layer.descriptor.digest().clone()).collect();
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": ids },
    });
    let config = Document::new(MediaType::ImageConfig, &config);
    Image::assemble(config, layers, &BTreeMap::new())
}

fn image(layers: Vec<Blob>) -> Image {
    image_of("amd64", layers)
}

fn push_to(client: &Client, image: &Image, target: &Reference) -> Result<PushReport, PushError> {
    let destination = client.destination_for(target, &image.layers).unwrap();
    push(image, &destination, &mut |_| {})
}

fn registry_error(error: PushError) -> RegistryError {
    let PushError::Registry(error) = error else {
        panic!("{error}");
    };
    error
}

fn requests(server: &Server, method: &str, part: &str) -> Vec<Request> {
    let log = server.log().into_iter();
    log.filter(|request| request.method == method && request.path.contains(part)).collect()
}

/// Checks by the server's own means that an image is there, whole.
fn assert_stored(server: &Server, repository: &str, tag: &str, image: &Image) {
    let stored = server.manifest(repository, tag).expect("the tag is there");
    assert_eq!(stored, image.manifest.bytes());
    let named = image.layers.iter().map(|layer| &layer.descriptor).chain([image.config.descriptor()]);
    for descriptor in named {
        let blob = server.blob(repository, descriptor.digest().as_ref()).expect("the blob is there");
        assert_eq!(digest_of(&blob), descriptor.digest().to_string());
    }
}

#[test]
fn an_image_is_pushed_whole_and_its_manifest_last() {
    let server = Server::start();
    let image = image(vec![layer("a", 300_000), layer("b", 10)]);
    let report = push_to(&client(), &image, &reference(&server, "team/app:1")).unwrap();
    assert_stored(&server, "team/app", "1", &image);
    assert_eq!(report.digest, *image.manifest.digest());
    let totals = report.totals();
    assert_eq!((totals.uploaded, totals.mounted, totals.present), (3, 0, 0));
    assert_eq!(report.transfer.bytes_sent, totals.uploaded_bytes + image.manifest.descriptor().size());
    let log = server.log();
    assert_eq!(report.transfer.requests, log.len() as u64);
    let last = log.last().unwrap();
    assert_eq!((last.method.as_str(), last.path.as_str()), ("PUT", "/v2/team/app/manifests/1"));
    assert!(
        log[..log.len() - 1]
            .iter()
            .all(|request| request.method != "PUT" || request.path.contains("/blobs/"))
    );
}

#[test]
fn a_large_blob_is_asked_for_and_sent_in_one_piece_with_its_length() {
    let server = Server::start();
    push_to(&client(), &image(vec![layer("a", 3_000_000)]), &reference(&server, "app:1")).unwrap();
    let puts = requests(&server, "PUT", "/blobs/uploads/");
    let large = puts.iter().find(|put| put.body == 3_000_000).expect("one PUT carries the blob");
    assert_eq!(large.headers["content-length"], "3000000");
    assert!(!large.headers.contains_key("content-range") && !large.headers.contains_key("transfer-encoding"));
    assert_eq!(requests(&server, "HEAD", "/blobs/").len(), 1);
    assert!(requests(&server, "PATCH", "").is_empty());
}

#[test]
fn layers_in_files_are_streamed_and_progress_reaches_their_size() {
    let server = Server::start();
    let content = bytes("file", 2_000_000);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), &content).unwrap();
    let mut blob = Blob::bytes(MediaType::ImageLayerGzip, content);
    blob.source = BlobSource::File(file.path().to_owned());
    let image = image(vec![blob]);
    let client = client();
    let destination = client.destination(&reference(&server, "app:1"), &[]).unwrap();
    let (mut most, mut tagged) = (0, false);
    push(&image, &destination, &mut |event| match event {
        Progress::Blob { sent, .. } => most = most.max(sent),
        Progress::Tagged { .. } => tagged = true,
        Progress::Done { .. } => assert!(!tagged),
    })
    .unwrap();
    assert_eq!((most, tagged), (2_000_000, true));
    assert_stored(&server, "app", "1", &image);
}

#[test]
fn a_file_that_has_changed_its_size_is_not_sent() {
    let server = Server::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), b"short").unwrap();
    let mut blob = layer("a", 1000);
    blob.source = BlobSource::File(file.path().to_owned());
    let error =
        registry_error(push_to(&client(), &image(vec![blob]), &reference(&server, "app:1")).unwrap_err());
    assert_eq!(error.class(), Class::Mismatch);
    assert_eq!(server.manifest("app", "1"), None);
}

#[test]
fn a_second_push_of_the_same_image_takes_one_request() {
    let server = Server::start();
    let image = image(vec![layer("a", 300_000)]);
    let target = reference(&server, "app:1");
    push_to(&client(), &image, &target).unwrap();
    server.clear_log();
    let report = push_to(&client(), &image, &target).unwrap();
    assert!(report.up_to_date);
    assert_eq!(server.summary(), ["GET manifest"]);
}

#[test]
fn another_tag_of_the_same_image_takes_one_write() {
    let server = Server::start();
    let image = image(vec![layer("a", 300_000)]);
    let client = client();
    push_to(&client, &image, &reference(&server, "app:1")).unwrap();
    server.clear_log();
    push_to(&client, &image, &reference(&server, "app:2")).unwrap();
    assert_eq!(server.summary(), ["GET manifest", "HEAD manifest", "PUT manifest"]);
    assert_eq!(server.tags("app"), ["1", "2"]);
}

/// Five runtime layers in a catalog, a layer of dependencies, a small one of the app.
fn app_on_catalog(server: &Server) -> Image {
    let catalog = reference(server, "catalog/python:3.13");
    let mut layers = Vec::new();
    for name in ["base", "python", "npm", "ca", "tz"] {
        let mut blob = layer(name, 200_000);
        server.add_blob("catalog/python", &bytes(name, 200_000));
        blob.source = BlobSource::Mounted { from: catalog.clone() };
        layers.push(blob);
    }
    layers.extend([layer("dependencies", 400_000), layer("app", 4_000)]);
    image(layers)
}

#[test]
fn runtime_layers_are_mounted_and_a_push_needs_few_requests() {
    let server = Server::start();
    let image = app_on_catalog(&server);
    let report = push_to(&client(), &image, &reference(&server, "team/app:1")).unwrap();
    assert_stored(&server, "team/app", "1", &image);
    let totals = report.totals();
    assert_eq!((totals.mounted, totals.mounted_bytes), (5, 1_000_000));
    let config = image.config.descriptor().size();
    assert_eq!((totals.uploaded, totals.uploaded_bytes), (3, 404_000 + config));
    assert_eq!(report.transfer.bytes_sent, totals.uploaded_bytes + image.manifest.descriptor().size());
    let requests = server.log().len();
    assert_eq!(requests, 15, "{:#?}", server.summary());
}

#[test]
fn a_push_with_tokens_stays_below_seventeen_requests_to_the_registry_and_fetches_one_token() {
    let server = Server::with(Settings { auth: Auth::Token, ..Settings::default() });
    let image = app_on_catalog(&server);
    push_to(&logged_in(&server), &image, &reference(&server, "team/app:1")).unwrap();
    assert_stored(&server, "team/app", "1", &image);
    let tokens = requests(&server, "GET", "/token");
    assert_eq!(tokens.len(), 1);
    let scopes: Vec<_> = tokens[0].query.iter().filter(|(name, _)| name == "scope").map(|(_, v)| v).collect();
    assert_eq!(scopes, ["repository:team/app:pull,push", "repository:catalog/python:pull"]);
    assert_eq!(server.log().len() - tokens.len(), 16, "{:#?}", server.summary());
}

#[test]
fn reg_r06_a_mount_that_the_registry_answers_with_an_upload_uses_that_upload() {
    for location in [Location::Relative, Location::Absolute, Location::WithQuery] {
        let server = Server::with(Settings { mount: Mount::Accepted, location, ..Settings::default() });
        let mut blob = layer("runtime", 50_000);
        blob.mount_from = vec![reference(&server, "catalog:1")];
        let image = image(vec![blob]);
        let report = push_to(&client(), &image, &reference(&server, "app:1")).unwrap();
        assert_stored(&server, "app", "1", &image);
        assert_eq!(report.totals().uploaded, 2);
        assert_eq!(requests(&server, "POST", "/blobs/uploads/").len(), 2, "{location:?}");
    }
}

#[test]
fn reg_r06_a_mount_that_is_refused_becomes_an_upload() {
    let server = Server::with(Settings { mount: Mount::Refused(405), ..Settings::default() });
    let mut blob = layer("runtime", 200_000);
    blob.mount_from = vec![reference(&server, "catalog:1")];
    let image = image(vec![blob]);
    let report = push_to(&client(), &image, &reference(&server, "app:1")).unwrap();
    assert_stored(&server, "app", "1", &image);
    assert_eq!(report.totals().uploaded, 2);
}

#[test]
fn reg_r06_a_source_that_may_not_be_read_costs_the_mount_and_not_the_push() {
    for strict_scopes in [false, true] {
        let denied = vec!["catalog".to_owned()];
        let server =
            Server::with(Settings { auth: Auth::Token, denied, strict_scopes, ..Settings::default() });
        server.add_blob("catalog", &bytes("runtime", 200_000));
        let mut blob = layer("runtime", 200_000);
        blob.mount_from = vec![reference(&server, "catalog:1")];
        let image = image(vec![blob]);
        let report = push_to(&logged_in(&server), &image, &reference(&server, "app:1")).unwrap();
        assert_stored(&server, "app", "1", &image);
        assert_eq!(report.totals().mounted, 0);
    }
}

#[test]
fn a_blob_of_another_registry_is_never_mounted_but_copied() {
    let source = Server::start();
    let target = Server::start();
    source.add_blob("catalog", &bytes("runtime", 200_000));
    let mut blob = layer("runtime", 200_000);
    blob.source = BlobSource::Mounted { from: reference(&source, "catalog:1") };
    let image = image(vec![blob]);
    push_to(&client(), &image, &reference(&target, "app:1")).unwrap();
    assert_stored(&target, "app", "1", &image);
    assert!(target.log().iter().all(|request| request.query.iter().all(|(name, _)| name != "mount")));
}

#[test]
fn an_index_is_pushed_children_first_and_only_the_index_gets_the_tag() {
    let server = Server::start();
    let shared = layer("shared", 1_000);
    let images = vec![
        image_of("amd64", vec![shared.clone(), layer("x", 10)]),
        image_of("arm64", vec![shared, layer("y", 10)]),
    ];
    let index = ImageIndex::assemble(images, &BTreeMap::new()).unwrap();
    let client = client();
    let destination = client.destination(&reference(&server, "app:1"), &[]).unwrap();
    let report = push(&index, &destination, &mut |_| {}).unwrap();
    assert_eq!(report.blobs.len(), 5);
    assert_eq!(server.manifest("app", "1").unwrap(), index.document.bytes());
    assert_eq!(server.tags("app"), ["1"]);
    let names: Vec<_> = requests(&server, "PUT", "/manifests/")
        .into_iter()
        .map(|put| put.path.rsplit('/').next().unwrap().to_owned())
        .collect();
    let child = |at: usize| index.images[at].manifest.digest().to_string();
    assert_eq!(names, [child(0), child(1), "1".to_owned()]);
}

#[test]
fn a_push_to_a_digest_that_is_not_the_images_is_refused() {
    let server = Server::start();
    let target = parse(&format!("{}/app@{}", server.host(), digest_of(b"other"))).unwrap();
    let error = push_to(&client(), &image(vec![layer("a", 10)]), &target).unwrap_err();
    assert!(matches!(error, PushError::OtherDigest { .. }), "{error}");
    assert!(requests(&server, "PUT", "/manifests/").is_empty());
}

#[test]
fn a_manifest_that_was_read_while_another_wrote_it_is_sent_again() {
    let server = Server::start();
    let body =
        br#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"}]}"#.to_vec();
    let disturbed = |times| {
        let act = Act::Answer { status: 400, headers: Vec::new(), body: body.clone() };
        server.fault(Fault::on("PUT", "/manifests/", act).times(times));
    };
    let image = image(vec![layer("a", 10)]);
    disturbed(2);
    push_to(&client(), &image, &reference(&server, "app:1")).unwrap();
    assert_stored(&server, "app", "1", &image);
    disturbed(4);
    let error = registry_error(push_to(&client(), &image, &reference(&server, "app:2")).unwrap_err());
    assert_eq!(error.class(), Class::Mismatch);
}

#[test]
fn an_immutable_tag_with_the_same_image_is_success_and_with_another_a_refusal() {
    let server = Server::with(Settings { immutable_tags: true, digest_header: false, ..Settings::default() });
    let target = reference(&server, "app:1");
    let first = image(vec![layer("a", 10)]);
    push_to(&client(), &first, &target).unwrap();
    push_to(&client(), &first, &target).unwrap();
    let error = registry_error(push_to(&client(), &image(vec![layer("b", 10)]), &target).unwrap_err());
    assert_eq!(error.class(), Class::Refused);
    let expected =
        format!("PUT http://{}/v2/app/manifests/1: 400 TAG_INVALID: the tag is immutable", server.host());
    assert_eq!(error.to_string(), expected);
    assert_stored(&server, "app", "1", &first);
}

#[test]
fn an_identity_token_is_exchanged() {
    let server = Server::with(Settings { auth: Auth::Token, ..Settings::default() });
    let login = Login::IdentityToken(Secret::new("identity"));
    let credentials = Credentials::none().with_login(server.host(), login);
    let client = Client::new(Options { credentials, ..options() }).unwrap();
    push_to(&client, &image(vec![layer("a", 10)]), &reference(&server, "app:1")).unwrap();
    assert_eq!(requests(&server, "POST", "/token").len(), 1);
}

#[test]
fn basic_authentication_asks_once() {
    let server = Server::with(Settings { auth: Auth::Basic, ..Settings::default() });
    push_to(&logged_in(&server), &image(vec![layer("a", 10)]), &reference(&server, "app:1")).unwrap();
    let refused = server.log().iter().filter(|request| request.status == 401).count();
    assert_eq!(refused, 1);
}

#[test]
fn reg_r04_parallel_blobs_share_one_token_even_when_it_runs_out() {
    let server = Server::with(Settings { auth: Auth::Token, ..Settings::default() });
    let client = logged_in(&server);
    let target = reference(&server, "app:1");
    push_to(&client, &image(vec![layer("first", 10)]), &target).unwrap();
    server.expire_tokens();
    server.clear_log();
    let layers = (0..12).map(|n| layer(&format!("layer {n}"), 10)).collect();
    push_to(&client, &image(layers), &target).unwrap();
    assert_eq!(requests(&server, "GET", "/token").len(), 1);
}

#[test]
fn wrong_credentials_are_said_to_be_so_and_where_they_came_from() {
    let server =
        Server::with(Settings { auth: Auth::Token, password: "other".into(), ..Settings::default() });
    let target = reference(&server, "app:1");
    let error =
        registry_error(push_to(&logged_in(&server), &image(vec![layer("a", 10)]), &target).unwrap_err());
    assert_eq!(error.class(), Class::Refused);
    let expected =
        format!("GET http://{}/token: 401 UNAUTHORIZED: incorrect username or password", server.host());
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.hints(), [AuthHint::Used { file: None, program: None }]);
    let sent = &requests(&server, "GET", "/token")[0].authorization.clone().unwrap();
    assert!(!format!("{error:?} {error}").contains(sent.trim_start_matches("Basic ")));
}

#[test]
fn without_credentials_the_places_that_were_searched_are_named() {
    let home = tempfile::tempdir().unwrap();
    let locations = Locations { home: Some(home.path().to_owned()), ..Locations::default() };
    let docker = home.path().join(".docker/config.json");
    fs_err::create_dir(home.path().join(".docker")).unwrap();
    fs_err::write(&docker, r#"{"auths":{"other.example":{"auth":"dTpw"}}}"#).unwrap();
    let server = Server::with(Settings { auth: Auth::Basic, ..Settings::default() });
    let credentials = Credentials::from_locations(&locations);
    let client = Client::new(Options { credentials, ..options() }).unwrap();
    let error = client.manifest(&reference(&server, "app:1")).unwrap_err();
    let podman = home.path().join(".config/containers/auth.json");
    assert_eq!(error.hints(), [AuthHint::NoFile(podman), AuthHint::NoEntry(docker)]);
    assert_eq!(requests(&server, "GET", "/manifests/").len(), 1);
}
