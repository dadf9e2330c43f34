//! Whole images on their way into layouts and from one registry to another.

use super::*;
use crate::destination::{LayoutDestination, Shipment};
use crate::layout::{Layout, LayoutError};

fn two_platforms() -> ImageIndex {
    let shared = layer("shared", 200_000);
    let images = vec![
        image_of("amd64", vec![shared.clone(), layer("x", 10)]),
        image_of("arm64", vec![shared, layer("y", 10)]),
    ];
    ImageIndex::assemble(images, &BTreeMap::new()).unwrap()
}

fn served_index() -> (Server, Reference, ImageIndex) {
    let server = Server::start();
    let index = two_platforms();
    let target = reference(&server, "app:1");
    let client = client();
    push(&index, &client.destination(&target, &[]).unwrap(), &mut |_| {}).unwrap();
    server.clear_log();
    (server, target, index)
}

#[test]
fn an_index_is_pulled_with_its_images_and_what_is_there_is_not_fetched_again() {
    let (server, target, index) = served_index();
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path().join("layout")).unwrap();
    let client = client();
    let top = client.manifest(&target).unwrap();
    let report = client.pull(&target, top.clone(), &layout, Some("1"), &mut |_| {}).unwrap();
    assert_eq!(report.totals().uploaded, 5);
    let found = layout.read_index_of_images(&layout.resolve("1").unwrap()).unwrap();
    found.validate().unwrap();
    assert_eq!(found.document.bytes(), index.document.bytes());

    server.clear_log();
    let report = client.pull(&target, top, &layout, Some("2"), &mut |_| {}).unwrap();
    assert_eq!((report.totals().present, report.transfer.bytes_sent), (5, 0));
    assert!(requests(&server, "GET", "/blobs/").is_empty());
    assert_eq!(layout.tags().unwrap().len(), 2);
}

#[test]
fn one_platform_is_pulled_by_the_callers_choice() {
    let (_server, target, index) = served_index();
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path().join("layout")).unwrap();
    let client = client();
    let parsed: oci_spec::image::ImageIndex = client.manifest(&target).unwrap().parse().unwrap();
    let arm = client.manifest_of(&target, &parsed.manifests()[1]).unwrap();
    client.pull(&target, arm, &layout, Some("arm"), &mut |_| {}).unwrap();
    let image = layout.read_image(&layout.resolve("arm").unwrap()).unwrap();
    assert_eq!(image.manifest.bytes(), index.images[1].manifest.bytes());
    assert!(!layout.has_blob(index.images[0].manifest.digest()));
}

#[test]
fn reg_s07_a_blob_that_arrives_wrong_leaves_no_trace_in_the_layout() {
    let (server, target, _) = served_index();
    server.fault(Fault::on("GET", "/blobs/", Act::FlipByte).always());
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path().join("layout")).unwrap();
    let client = client();
    let top = client.manifest(&target).unwrap();
    let error = registry_error(client.pull(&target, top, &layout, Some("1"), &mut |_| {}).unwrap_err());
    assert_eq!(error.class(), Class::Mismatch);
    assert!(matches!(layout.resolve("1"), Err(LayoutError::UnknownTag { .. })));
    let blobs = fs_err::read_dir(dir.path().join("layout/blobs/sha256")).unwrap().count();
    assert_eq!(blobs, 0);
    let left = fs_err::read_dir(dir.path().join("layout")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".lapstrake-")), "{left:?}");
}

#[test]
fn a_layout_is_pushed_whole_with_nested_indexes_and_artifacts() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path().join("layout")).unwrap();
    let inner = two_platforms();
    layout.write_index(&inner).unwrap();
    let artifact_config =
        Document::from_bytes(MediaType::from("application/vnd.oci.empty.v1+json"), b"{}".to_vec());
    let data = Document::from_bytes(MediaType::from("application/vnd.example+json"), b"[1]".to_vec());
    layout.write_document(&artifact_config).unwrap();
    layout.write_document(&data).unwrap();
    let artifact = json!({
        "schemaVersion": 2, "mediaType": MediaType::ImageManifest,
        "artifactType": "application/vnd.example",
        "config": artifact_config.descriptor(), "layers": [data.descriptor()],
    });
    let artifact = Document::new(MediaType::ImageManifest, &artifact);
    layout.write_document(&artifact).unwrap();
    let outer = json!({
        "schemaVersion": 2, "mediaType": MediaType::ImageIndex,
        "manifests": [inner.document.descriptor(), artifact.descriptor()],
    });
    let outer = Document::new(MediaType::ImageIndex, &outer);
    layout.write_document(&outer).unwrap();
    layout.tag("all", outer.descriptor()).unwrap();

    let server = Server::start();
    let target = reference(&server, "catalog:r1");
    let shipment = Shipment::from_layout(&layout, &layout.resolve("all").unwrap()).unwrap();
    let client = client();
    push(shipment, &client.destination(&target, &[]).unwrap(), &mut |_| {}).unwrap();
    assert_eq!(server.manifest("catalog", "r1").unwrap(), outer.bytes());
    assert_eq!(server.tags("catalog"), ["r1"]);
    assert_eq!(server.manifest("catalog", artifact.digest().as_ref()).unwrap(), artifact.bytes());

    let back = Layout::create(dir.path().join("back")).unwrap();
    client.pull(&target, client.manifest(&target).unwrap(), &back, Some("all"), &mut |_| {}).unwrap();
    let count = |layout: &Layout| layout.walk(&layout.resolve("all").unwrap()).unwrap().len();
    assert_eq!(count(&back), count(&layout));
}

#[test]
fn within_a_registry_an_image_is_copied_by_mounts_and_between_two_by_way_of_a_file() {
    let (server, source, index) = served_index();
    let elsewhere = Server::start();
    let client = client();
    for (at, target) in
        [(&server, reference(&server, "copy:1")), (&elsewhere, reference(&elsewhere, "copy:1"))]
    {
        let shipment = client.shipment(&source, client.manifest(&source).unwrap()).unwrap();
        let destination = client.destination_for(&target, &shipment.blobs).unwrap();
        let report = push(shipment, &destination, &mut |_| {}).unwrap();
        assert_eq!(at.manifest("copy", "1").unwrap(), index.document.bytes());
        let mounted = if std::ptr::eq(at, &raw const server) { 5 } else { 0 };
        assert_eq!(report.totals().mounted, mounted);
    }
}

#[test]
fn a_layout_without_a_client_says_what_it_lacks() {
    let (_server, source, _) = served_index();
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path().join("layout")).unwrap();
    let client = client();
    let shipment = client.shipment(&source, client.manifest(&source).unwrap()).unwrap();
    let destination = LayoutDestination { layout: &layout, tag: Some("1"), client: None };
    let error = push(shipment, &destination, &mut |_| {}).unwrap_err();
    assert!(matches!(error, PushError::Layout(LayoutError::Elsewhere { .. })), "{error}");
}

#[test]
fn reg_s12_a_nest_of_indexes_that_is_too_deep_is_refused() {
    let server = Server::start();
    let mut below = two_platforms().images.swap_remove(0).manifest;
    server.add_manifest("app", "x", below.media_type().as_ref(), below.bytes());
    let depth = 12;
    println!("figure REG-S12: {depth} indexes one in another are refused");
    for _ in 0..depth {
        let index = json!({
            "schemaVersion": 2, "mediaType": MediaType::ImageIndex, "manifests": [below.descriptor()],
        });
        below = Document::new(MediaType::ImageIndex, &index);
        server.add_manifest("app", "deep", below.media_type().as_ref(), below.bytes());
    }
    let client = client();
    let target = reference(&server, "app:deep");
    let error = client.shipment(&target, client.manifest(&target).unwrap()).unwrap_err();
    assert_eq!(error.class(), Class::Malformed);
    assert!(error.to_string().contains("nested deeper than 8 levels"), "{error}");
}

/// Whatever a registry calls a blob, an image that names it so is none, and nothing is asked for or written under such a
/// name.
#[test]
fn reg_s09_a_digest_that_is_none_is_refused_wherever_it_stands() {
    let hex = "a".repeat(64);
    let digests = [
        "sha256:../../x".to_owned(),
        format!("sha256:../../{}", &hex[6..]),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{hex}a"),
        format!("sha256:{}/", &hex[1..]),
        format!("sha256:{}\0", &hex[1..]),
        format!("SHA256:{hex}"),
        format!("sha256{hex}"),
        format!("md5:{}", &hex[32..]),
        format!("sha512:{hex}{hex}"),
        format!(":{hex}"),
        "..".to_owned(),
        String::new(),
    ];
    for digest in &digests {
        for place in ["/config/digest", "/layers/0/digest"] {
            let (server, target, index) = served_index();
            let sound = server.manifest("app", index.images[0].manifest.digest().as_ref()).unwrap();
            let mut manifest: serde_json::Value = serde_json::from_slice(&sound).unwrap();
            *manifest.pointer_mut(place).unwrap() = digest.as_str().into();
            server.add_manifest(
                "app",
                "1",
                MediaType::ImageManifest.as_ref(),
                manifest.to_string().as_bytes(),
            );
            server.clear_log();
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::create(dir.path().join("a/layout")).unwrap();
            let before = below(dir.path());
            let client = client();
            let pulled = client
                .manifest(&target)
                .map(|top| client.pull(&target, top, &layout, Some("1"), &mut |_| {}));
            assert!(!matches!(pulled, Ok(Ok(_))), "{place}: {digest}");
            assert!(matches!(layout.resolve("1"), Err(LayoutError::UnknownTag { .. })));
            // Sound blobs that the image names beside it may have come.
            let named = |text: &str| digest.len() > 2 && text.contains(digest.trim_start_matches("sha256:"));
            let asked = server.log().into_iter().filter(|request| named(&request.path)).count();
            let strange = below(dir.path())
                .into_iter()
                .filter(|path| named(path) || !is_of_layout(path, &before))
                .count();
            assert_eq!((asked, strange), (0, 0), "{place}: {digest}");
        }
    }
    println!("figure REG-S09: {0} of {0} digests refused as that of a layer and of a config", digests.len());
}

/// All paths below a directory.
fn below(directory: &std::path::Path) -> std::collections::BTreeSet<String> {
    let entries = walkdir::WalkDir::new(directory).into_iter();
    entries.map(|entry| entry.unwrap().into_path().display().to_string()).collect()
}

/// Whether a path was there, or is that of a blob.
fn is_of_layout(path: &str, before: &std::collections::BTreeSet<String>) -> bool {
    let blob = path.rsplit_once("/blobs/sha256/").map(|(_, name)| name);
    before.contains(path)
        || blob.is_some_and(|name| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
