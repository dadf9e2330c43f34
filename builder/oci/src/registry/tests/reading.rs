//! What comes from a registry is verified before anyone sees it.

use super::*;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn served(name: &str, size: usize) -> (Server, Descriptor, Reference) {
    let server = Server::start();
    server.add_blob("app", &bytes(name, size));
    let descriptor = layer(name, size).descriptor;
    let target = reference(&server, "app:1");
    (server, descriptor, target)
}

fn fetch(client: &Client, target: &Reference, descriptor: &Descriptor) -> Result<Vec<u8>, RegistryError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    client.fetch_blob(target, descriptor, file.path())?;
    Ok(fs_err::read(file.path()).unwrap())
}

#[test]
fn a_blob_is_fetched_whole() {
    let (_server, descriptor, target) = served("a", 1_000_000);
    assert_eq!(fetch(&client(), &target, &descriptor).unwrap(), bytes("a", 1_000_000));
}

#[test]
fn reg_s07_a_blob_that_arrives_wrong_is_fetched_once_more_and_then_refused() {
    let (server, descriptor, target) = served("a", 1_000);
    server.fault(Fault::on("GET", "/blobs/", Act::FlipByte));
    assert_eq!(fetch(&client(), &target, &descriptor).unwrap(), bytes("a", 1_000));

    server.fault(Fault::on("GET", "/blobs/", Act::FlipByte).always());
    server.clear_log();
    let error = fetch(&client(), &target, &descriptor).unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error}");
    let tries = requests(&server, "GET", "/blobs/").len();
    assert_eq!(tries, 2);
    println!("figure REG-S07: a blob that arrives wrong is refused after {tries} tries");
}

#[test]
fn reg_s07_a_blob_longer_or_shorter_than_announced_is_refused() {
    let (_server, descriptor, target) = served("a", 1_000);
    for size in [999, 1_001] {
        let wrong = Descriptor::new(MediaType::ImageLayerGzip, size, descriptor.digest().clone());
        let error = fetch(&client(), &target, &wrong).unwrap_err();
        assert!(matches!(error, RegistryError::SizeMismatch { .. }), "{error}");
    }
}

#[test]
fn a_download_that_breaks_off_is_begun_anew() {
    let (server, descriptor, target) = served("a", 500_000);
    server.fault(Fault::on("GET", "/blobs/", Act::CutAfter(100_000)).times(2));
    assert_eq!(fetch(&client(), &target, &descriptor).unwrap(), bytes("a", 500_000));
}

#[test]
fn reg_r05_a_download_that_only_drips_is_given_up() {
    let (server, descriptor, target) = served("a", 500_000);
    server.fault(Fault::on("GET", "/blobs/", Act::Drip(Duration::from_millis(50))));
    let timeouts = Timeouts { silence: Duration::from_secs(1), ..Timeouts::default() };
    let client = Client::new(Options { timeouts, ..options() }).unwrap();
    assert_eq!(fetch(&client, &target, &descriptor).unwrap(), bytes("a", 500_000));
    assert_eq!(requests(&server, "GET", "/blobs/").len(), 2);
}

#[test]
fn a_manifest_is_kept_as_the_bytes_that_arrived() {
    let server = Server::start();
    let manifest = b"{ \"schemaVersion\": 2,\n \"layers\": [] }";
    server.add_manifest("app", "1", OCI_MANIFEST, manifest);
    let document = client().manifest(&reference(&server, "app:1")).unwrap();
    assert_eq!(document.bytes(), manifest);
    assert_eq!(document.digest().to_string(), digest_of(manifest));
    let request = &requests(&server, "GET", "/manifests/")[0];
    assert!(request.headers["accept"].contains("docker.distribution.manifest.v2+json"));
}

#[test]
fn a_manifest_that_is_not_the_one_asked_for_is_refused() {
    let server = Server::start();
    let digest = server.add_manifest("app", "1", OCI_MANIFEST, br#"{"schemaVersion":2,"layers":[]}"#);
    let target = parse(&format!("{}/app@{digest}", server.host())).unwrap();
    client().manifest(&target).unwrap();
    server.fault(Fault::on("GET", "/manifests/", Act::FlipByte).always());
    let error = client().manifest(&target).unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error}");
    let error = client().manifest(&reference(&server, "app:1")).unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error}");
}

#[test]
fn reg_s06_answers_are_read_to_a_limit_only() {
    let server = Server::start();
    let mut manifest = br#"{"schemaVersion":2,"layers":[]}"#.to_vec();
    manifest.resize(5 * 1024 * 1024, b' ');
    server.add_manifest("app", "1", OCI_MANIFEST, &manifest);
    let error = client().manifest(&reference(&server, "app:1")).unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");

    let endless = Act::Answer { status: 404, headers: Vec::new(), body: vec![b'x'; 20_000_000] };
    server.fault(Fault::on("GET", "/manifests/", endless));
    let client = client();
    let error = client.manifest(&reference(&server, "app:1")).unwrap_err();
    assert!(error.to_string().ends_with("404: not found"), "{error}");
    let received = client.report().bytes_received;
    assert!(received < 4_000_000);
    println!("figure REG-S06: {received} bytes read of an error of 20,000,000");
}

#[test]
fn what_is_missing_is_none_and_not_an_error() {
    let (server, descriptor, target) = served("a", 10);
    assert_eq!(client().resolve(&target).unwrap(), None);
    assert!(client().has_blob(&target, descriptor.digest()).unwrap());
    assert!(!client().has_blob(&target, layer("b", 10).descriptor.digest()).unwrap());
    let error = client().manifest(&target).unwrap_err();
    let expected =
        format!("GET http://{}/v2/app/manifests/1: 404 MANIFEST_UNKNOWN: manifest unknown", server.host());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_tag_resolves_with_and_without_the_digest_header() {
    for digest_header in [true, false] {
        let server = Server::with(Settings { digest_header, ..Settings::default() });
        let digest = server.add_manifest("app", "1", OCI_MANIFEST, br#"{"schemaVersion":2,"layers":[]}"#);
        let found = client().resolve(&reference(&server, "app:1")).unwrap().unwrap();
        assert_eq!(found.to_string(), digest);
    }
}

#[test]
fn all_pages_of_the_tags_are_read() {
    let server = Server::with(Settings { page: 3, ..Settings::default() });
    let tags: Vec<String> = (0..10).map(|n| format!("v{n}")).collect();
    for tag in &tags {
        server.add_manifest("app", tag, OCI_MANIFEST, br#"{"schemaVersion":2,"layers":[]}"#);
    }
    assert_eq!(client().tags(&reference(&server, "app:1")).unwrap(), tags);
    assert_eq!(requests(&server, "GET", "/tags/list").len(), 4);
}

#[test]
fn reg_s09_only_sha256_digests_become_paths() {
    let (_server, _, target) = served("a", 10);
    let sha512: Digest = format!("sha512:{}", "a".repeat(128)).parse().unwrap();
    let descriptor = Descriptor::new(MediaType::ImageLayerGzip, 10_u64, sha512);
    let error = fetch(&client(), &target, &descriptor).unwrap_err();
    assert!(matches!(error, RegistryError::UnsupportedDigest { .. }), "{error}");
}

#[test]
fn what_a_tag_points_at_is_read_before_it_is_written_in_one_attempt() {
    let server = Server::start();
    let client = client();
    let destination = |name: &str| client.destination(&reference(&server, name), &[]).unwrap();
    assert!(destination("app:1").tagged().unwrap().is_none());
    let bytes = br#"{"schemaVersion":2,"layers":[]}"#;
    let digest = server.add_manifest("app", "1", OCI_MANIFEST, bytes);
    assert_eq!(destination("app:1").tagged().unwrap().unwrap().bytes(), bytes);
    let by_digest = format!("app@{digest}");
    assert!(destination(&by_digest).tagged().unwrap().is_none());

    let before = requests(&server, "GET", "/manifests/").len();
    let busy = Act::Answer { status: 503, headers: Vec::new(), body: Vec::new() };
    server.fault(Fault::on("GET", "/manifests/", busy).always());
    assert!(destination("app:1").tagged().is_err());
    assert_eq!(requests(&server, "GET", "/manifests/").len(), before + 1);
}
