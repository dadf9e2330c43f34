use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, SystemTime};

use oci_spec::image::{Descriptor, MediaType};
use serde_json::json;

use super::*;
use crate::document::{Document, sha256_of};
use crate::image::{Blob, Image, ImageIndex};

fn image(layer: &[u8]) -> Image {
    let rootfs = json!({"type": "layers", "diff_ids": [sha256_of(layer)]});
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": rootfs});
    let config = Document::new(MediaType::ImageConfig, &config);
    Image::assemble(config, vec![Blob::bytes(MediaType::ImageLayer, layer)], &BTreeMap::new())
}

fn scratch() -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path().join("store")).unwrap();
    (dir, layout)
}

#[test]
fn an_image_is_read_back_by_its_tag() {
    let (_dir, layout) = scratch();
    let image = image(b"layer");
    layout.write_image(&image).unwrap();
    layout.tag("v1", image.manifest.descriptor()).unwrap();

    let again = Layout::open(layout.dir()).unwrap();
    let read = again.read_image(&again.resolve("v1").unwrap()).unwrap();
    assert_eq!(read.manifest.bytes(), image.manifest.bytes());
    read.validate().unwrap();
    let error = again.resolve("v2").unwrap_err().to_string();
    assert!(error.ends_with("has no tag `v2`; it has the tags `v1`"), "{error}");
}

#[test]
fn a_tag_moves_and_the_old_image_becomes_garbage() {
    let (_dir, layout) = scratch();
    let (old, new) = (image(b"old"), image(b"new"));
    for image in [&old, &new] {
        layout.write_image(image).unwrap();
        layout.tag("latest", image.manifest.descriptor()).unwrap();
    }
    assert_eq!(layout.tags().unwrap().len(), 1);
    assert_eq!(layout.resolve("latest").unwrap().digest(), new.manifest.digest());

    assert_eq!(layout.gc(SystemTime::UNIX_EPOCH).unwrap(), 0, "what is young stays");
    fs_err::write(layout.dir().join(".lapstrake-left"), b"123").unwrap();
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
    assert!(layout.gc(later).unwrap() > 3);
    assert!(!layout.has_blob(old.manifest.digest()));
    assert!(!layout.has_blob(old.layers[0].descriptor.digest()));
    assert!(!layout.dir().join(".lapstrake-left").exists());
    layout.read_image(&layout.resolve("latest").unwrap()).unwrap().validate().unwrap();
}

#[test]
fn a_flipped_byte_is_found() {
    let (_dir, layout) = scratch();
    let image = image(b"layer");
    layout.write_image(&image).unwrap();
    let descriptor = image.layers[0].descriptor.clone();
    layout.open_blob_verified(&descriptor).unwrap();
    for (digest, bytes) in [(descriptor.digest(), &b"lAyer"[..]), (image.manifest.digest(), b"{}")] {
        fs_err::write(layout.blob_path(digest), bytes).unwrap();
    }
    assert!(matches!(layout.open_blob_verified(&descriptor), Err(LayoutError::Corrupt { .. })));
    let manifest = image.manifest.descriptor();
    assert!(matches!(layout.read_document(manifest), Err(LayoutError::Corrupt { .. })));
    let gone = Descriptor::new(MediaType::ImageLayer, 1, sha256_of(b"?"));
    assert!(matches!(layout.open_blob_verified(&gone), Err(LayoutError::MissingBlob { .. })));
}

#[test]
fn a_blob_that_is_not_what_names_it_is_not_stored() {
    let (_dir, layout) = scratch();
    let descriptor = Descriptor::new(MediaType::ImageLayer, 5, sha256_of(b"layer"));
    let mut wrong = &b"lAyer"[..];
    assert!(matches!(layout.store_blob(&mut wrong, &descriptor), Err(LayoutError::Corrupt { .. })));
    let mut short = &b"laye"[..];
    assert!(matches!(layout.store_blob(&mut short, &descriptor), Err(LayoutError::Corrupt { .. })));
    assert!(!layout.has_blob(descriptor.digest()));
    layout.store_blob(&mut &b"layer"[..], &descriptor).unwrap();
    assert!(layout.has_blob(descriptor.digest()));
    let left = fs_err::read_dir(layout.dir()).unwrap();
    assert!(
        left.map(|e| e.unwrap().file_name()).all(|name| !name.to_string_lossy().starts_with(".lapstrake-"))
    );
}

#[test]
fn a_walk_reaches_everything_once_and_children_first() {
    let (_dir, layout) = scratch();
    let index = ImageIndex::assemble(vec![image(b"a"), image(b"b"), image(b"a")], &BTreeMap::new()).unwrap();
    layout.write_index(&index).unwrap();
    let outer = json!({"schemaVersion": 2, "manifests": [index.document.descriptor()]});
    let outer = Document::new(MediaType::ImageIndex, &outer);
    layout.write_document(&outer).unwrap();
    let reached = layout.walk(outer.descriptor()).unwrap();
    let kinds: Vec<_> = reached
        .iter()
        .map(|it| match it {
            Reached::Document(document) => {
                document.media_type().to_string().replace("application/vnd.oci.", "")
            }
            Reached::Blob(blob) => {
                blob.descriptor.media_type().to_string().replace("application/vnd.oci.", "")
            }
        })
        .collect();
    let (config, layer) = ("image.config.v1+json", "image.layer.v1.tar");
    let (manifest, index) = ("image.manifest.v1+json", "image.index.v1+json");
    assert_eq!(kinds, [config, layer, manifest, config, layer, manifest, index, index]);
}

#[test]
fn a_walk_names_the_blob_that_is_missing() {
    let (_dir, layout) = scratch();
    let image = image(b"layer");
    layout.write_image(&image).unwrap();
    fs_err::remove_file(layout.blob_path(image.layers[0].descriptor.digest())).unwrap();
    let error = layout.walk(image.manifest.descriptor()).unwrap_err();
    assert!(matches!(error, LayoutError::MissingBlob { .. }));
}

#[test]
fn reg_s12_indexes_nested_without_end_are_given_up() {
    let (_dir, layout) = scratch();
    let mut document = Document::new(MediaType::ImageIndex, &json!({"schemaVersion": 2, "manifests": []}));
    for _ in 0..20 {
        layout.write_document(&document).unwrap();
        let next = json!({"schemaVersion": 2, "manifests": [document.descriptor()]});
        document = Document::new(MediaType::ImageIndex, &next);
    }
    layout.write_document(&document).unwrap();
    assert!(matches!(layout.walk(document.descriptor()), Err(LayoutError::TooDeep { .. })));
}

#[test]
fn many_writers_at_once_lose_no_tag() {
    let (_dir, layout) = scratch();
    thread::scope(|scope| {
        for writer in 0..4u8 {
            let layout = &layout;
            scope.spawn(move || {
                for round in 0..5u8 {
                    let image = image(&[writer, round % 2]);
                    layout.write_image(&image).unwrap();
                    layout.tag(&format!("{writer}-{round}"), image.manifest.descriptor()).unwrap();
                }
            });
        }
    });
    let tags = layout.tags().unwrap();
    assert_eq!(tags.len(), 20);
    for (_, descriptor) in tags {
        layout.read_image(&descriptor).unwrap().validate().unwrap();
    }
}

#[test]
fn what_other_tools_wrote_into_the_index_stays() {
    let (_dir, layout) = scratch();
    let (one, two) = (image(b"one"), image(b"two"));
    layout.write_image(&one).unwrap();
    layout.write_image(&two).unwrap();
    let mut foreign = json!(one.manifest.descriptor());
    foreign["annotations"] = json!({"org.example.tool": "x", super::index::REF_NAME: "old"});
    foreign["x-unknown"] = json!(1);
    let index = json!({"schemaVersion": 2, "manifests": [foreign], "annotations": {"kept": "yes"}});
    fs_err::write(layout.dir().join("index.json"), serde_json::to_vec_pretty(&index).unwrap()).unwrap();
    layout.tag("new", two.manifest.descriptor()).unwrap();
    let bytes = fs_err::read(layout.dir().join("index.json")).unwrap();
    let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(read["annotations"]["kept"], "yes");
    assert_eq!(read["manifests"][0], foreign);
    assert_eq!(layout.tags().unwrap().len(), 2);
    assert!(layout.untag("old").unwrap());
    assert!(!layout.untag("old").unwrap());
    assert_eq!(layout.resolve_only().unwrap().digest(), two.manifest.digest());
}

#[test]
fn a_directory_that_is_no_layout_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join("precious"), b"x").unwrap();
    assert!(matches!(Layout::open(dir.path()), Err(LayoutError::NotALayout { .. })));
    assert!(matches!(Layout::create(dir.path()), Err(LayoutError::NotALayout { .. })));
    assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
    fs_err::write(dir.path().join("oci-layout"), br#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    let error = Layout::open(dir.path()).unwrap_err().to_string();
    assert!(error.ends_with("its version is `2.0.0` instead of `1.0.0`"), "{error}");
}

#[test]
fn a_packed_layer_is_adopted() {
    let (dir, layout) = scratch();
    let options = crate::layer::PackOptions::new(0);
    let layer = crate::layer::pack(&crate::tree::FileTree::new(), &options, dir.path()).unwrap();
    let blob = layout.adopt_layer(layer).unwrap();
    layout.open_blob_verified(&blob.descriptor).unwrap();
}
