use std::collections::BTreeMap;

use oci_spec::image::MediaType;
use serde_json::json;

use super::*;
use crate::image::Image;

/// A destination that only writes down what it is given.
#[derive(Default)]
struct Journal {
    entries: Mutex<Vec<(&'static str, Digest)>>,
    fails_at: Option<Digest>,
}

impl Journal {
    fn note(&self, kind: &'static str, digest: &Digest) {
        self.entries.lock().unwrap().push((kind, digest.clone()));
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.entries.lock().unwrap().iter().map(|(kind, _)| *kind).collect()
    }
}

impl Destination for Journal {
    fn name(&self) -> String {
        "journal".into()
    }

    fn parallel(&self) -> usize {
        1
    }

    fn holds(&self, document: &Document) -> Result<bool, PushError> {
        Ok(self
            .entries
            .lock()
            .unwrap()
            .iter()
            .any(|(kind, digest)| *kind == "top" && digest == document.digest()))
    }

    fn put_blob(&self, blob: &Blob, _: &(dyn Fn(u64) + Sync)) -> Result<BlobOutcome, PushError> {
        let digest = blob.descriptor.digest();
        if self.fails_at.as_ref() == Some(digest) {
            return Err(PushError::OtherDigest {
                name: self.name(),
                expected: "a".into(),
                found: "b".into(),
            });
        }
        let config = *blob.descriptor.media_type() == MediaType::ImageConfig;
        self.note(if config { "config" } else { "layer" }, digest);
        Ok(BlobOutcome::Uploaded { bytes: blob.descriptor.size() })
    }

    fn put_manifest(&self, document: &Document) -> Result<(), PushError> {
        self.note("manifest", document.digest());
        Ok(())
    }

    fn put_top(&self, document: &Document, _: bool) -> Result<(), PushError> {
        self.note("top", document.digest());
        Ok(())
    }
}

fn image(architecture: &str, layers: &[&str]) -> Image {
    let config = Document::new(
        MediaType::ImageConfig,
        &json!({"architecture": architecture, "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": []}}),
    );
    let layers = layers.iter().map(|text| Blob::bytes(MediaType::ImageLayerGzip, text.as_bytes())).collect();
    Image::assemble(config, layers, &BTreeMap::new())
}

#[test]
fn a_manifest_is_written_after_everything_it_names() {
    let journal = Journal::default();
    push(&image("amd64", &["one", "two"]), &journal, &mut |_| {}).unwrap();
    assert_eq!(journal.kinds(), ["layer", "layer", "config", "top"]);
}

#[test]
fn an_index_comes_after_its_images_and_a_shared_layer_goes_once() {
    let index = ImageIndex::assemble(
        vec![image("amd64", &["shared", "one"]), image("arm64", &["shared", "two"])],
        &BTreeMap::new(),
    )
    .unwrap();
    let journal = Journal::default();
    let report = push(&index, &journal, &mut |_| {}).unwrap();
    let expected = ["layer", "layer", "layer", "config", "config", "manifest", "manifest", "top"];
    assert_eq!(journal.kinds(), expected);
    assert_eq!(report.digest, *index.document.digest());
}

#[test]
fn what_the_destination_holds_is_not_sent_again() {
    let journal = Journal::default();
    let image = image("amd64", &["one"]);
    push(&image, &journal, &mut |_| {}).unwrap();
    let report = push(&image, &journal, &mut |_| {}).unwrap();
    assert!(report.up_to_date);
    assert_eq!(journal.kinds(), ["layer", "config", "top", "top"]);
    assert_eq!((report.totals().present, report.totals().uploaded), (2, 0));
}

#[test]
fn after_a_failed_blob_nothing_that_names_it_is_written() {
    let image = image("amd64", &["one", "two"]);
    let fails_at = Some(image.layers[1].descriptor.digest().clone());
    let journal = Journal { fails_at, ..Journal::default() };
    push(&image, &journal, &mut |_| {}).unwrap_err();
    assert_eq!(journal.kinds(), ["layer"]);
}

#[test]
fn cac_03_a_blob_that_has_changed_in_a_layout_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let layout = crate::layout::Layout::create(dir.path().join("layout")).unwrap();
    let destination = LayoutDestination { layout: &layout, tag: Some("app"), client: None };
    let image = image("amd64", &["a layer of some bytes", "and another one"]);
    push(&image, &destination, &mut |_| {}).unwrap();
    let descriptors: Vec<_> = image
        .layers
        .iter()
        .map(|layer| &layer.descriptor)
        .chain([image.config.descriptor(), image.manifest.descriptor()])
        .collect();
    for flip in 0..64 {
        let descriptor = descriptors[flip % descriptors.len()];
        let path = layout.blob_path(descriptor.digest());
        let mut bytes = fs_err::read(&path).unwrap();
        let at = flip * 7 % bytes.len();
        bytes[at] ^= 1 << (flip % 8);
        fs_err::write(&path, bytes).unwrap();
        assert!(!layout.keep(descriptor));
        push(&image, &destination, &mut |_| {}).unwrap();
        for descriptor in &descriptors {
            layout.open_blob_verified(descriptor).unwrap();
        }
    }
    let report = push(&image, &destination, &mut |_| {}).unwrap();
    assert_eq!((report.totals().present, report.totals().uploaded), (3, 0));
    println!("figure CAC-03: 64 of 64 flips in the blobs of a layout found and made good");
}
