//! A tag that moves to another minor line of Python, which compiled packages do not survive.

use lapstrake_catalog::EntryId;
use lapstrake_oci::document::Document;
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};

use crate::assemble::RUNTIME_ID;
use crate::plan::RuntimeChoice;

/// An entry of Python whose minor the request left to the catalog, so that it changes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenMinor(EntryId);

impl OpenMinor {
    /// The chosen entry, if it is one of Python and the request fixes no more than its major.
    #[must_use]
    pub fn of(choice: &RuntimeChoice) -> Option<Self> {
        let mut words = choice.request.split(' ');
        let is_python =
            words.next() == Some(choice.entry.runtime()) && choice.entry.runtime().starts_with("python");
        let is_open = words.next().is_none_or(|lock| !lock.contains('.'));
        (is_python && is_open).then(|| Self(choice.entry.clone()))
    }

    /// What to say where the image before had another minor.
    #[must_use]
    pub fn warning(&self, name: &str, before: &EntryId) -> Option<String> {
        let (old, new) = (before.version(), self.0.version());
        let line = |version: lapstrake_catalog::Version| format!("{}.{}", version.major, version.minor);
        let has_moved = before.runtime() == self.0.runtime() && line(old) != line(new);
        has_moved.then(|| {
            format!(
                "{name} had Python {} and gets {}: packages with compiled parts have to be built for it, and `--runtime-version {}` stays with the old one",
                line(old),
                line(new),
                line(old),
            )
        })
    }
}

/// The entry that an image was built on, as its manifest says; of an index, that of its first image.
#[must_use]
pub fn entry_of(document: &Document, read: impl Fn(&Descriptor) -> Option<Document>) -> Option<EntryId> {
    let is_index = matches!(document.media_type(), MediaType::ImageIndex);
    let manifest: ImageManifest = if is_index {
        let index: ImageIndex = document.parse().ok()?;
        read(index.manifests().first()?)?.parse().ok()?
    } else {
        document.parse().ok()?
    };
    manifest.annotations().as_ref()?.get(RUNTIME_ID)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(request: &str, entry: &str) -> RuntimeChoice {
        RuntimeChoice {
            request: request.to_owned(),
            entry: entry.parse().unwrap(),
            reason: String::new(),
            catalog: "local".to_owned(),
            revision: 1,
            run_image: lapstrake_catalog::ImageKind::Run,
            build_image: lapstrake_catalog::ImageKind::BuildFull,
            overrides: Vec::new(),
            revision_digest: None,
            is_checked: true,
        }
    }

    #[test]
    fn the_minor_is_open_where_python_is_asked_for_by_its_major_alone() {
        for request in ["python3", "python3 3"] {
            assert!(OpenMinor::of(&choice(request, "python3-3.13.5-1")).is_some(), "{request}");
        }
        for (request, entry) in [
            ("python3 3.13", "python3-3.13.5-1"),
            ("python313", "python3-3.13.5-1"),
            ("python313 3", "python3-3.13.5-1"),
            ("nodejs22", "nodejs22-22.14.0-1"),
        ] {
            assert_eq!(OpenMinor::of(&choice(request, entry)), None, "{request}");
        }
    }

    // lock moved
    #[test]
    fn another_minor_than_before_is_warned_about_and_another_patch_is_not() {
        let open = OpenMinor::of(&choice("python3", "python3-3.13.5-1")).unwrap();
        let before = |entry: &str| open.warning("app:1", &entry.parse().unwrap());
        assert!(before("python3-3.11.14-1").unwrap().starts_with("app:1 had Python 3.11 and gets 3.13: "));
        assert_eq!((before("python3-3.13.4-2"), before("nodejs22-22.14.0-1")), (None, None));
    }

    #[test]
    fn the_entry_stands_in_the_manifest_of_an_image_or_of_the_first_of_an_index() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let descriptor = |kind: MediaType| serde_json::json!({ "mediaType": kind.to_string(), "digest": digest, "size": 2 });
        let manifest = |annotations: serde_json::Value| {
            let value = serde_json::json!({
                "schemaVersion": 2,
                "mediaType": MediaType::ImageManifest.to_string(),
                "config": descriptor(MediaType::ImageConfig),
                "layers": [],
                "annotations": annotations,
            });
            Document::new(MediaType::ImageManifest, &value)
        };
        let image = manifest(serde_json::json!({ RUNTIME_ID: "python3-3.11.14-1" }));
        let index = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageIndex.to_string(),
            "manifests": [descriptor(MediaType::ImageManifest)],
        });
        let index = Document::new(MediaType::ImageIndex, &index);
        let entry = "python3-3.11.14-1".parse().ok();
        assert_eq!(entry_of(&image, |_| panic!("an image has no other")), entry);
        assert_eq!(entry_of(&index, |_| Some(image.clone())), entry);
        assert_eq!(entry_of(&index, |_| None), None);
        assert_eq!(entry_of(&manifest(serde_json::json!({})), |_| None), None);
        assert_eq!(entry_of(&Document::from_bytes(MediaType::ImageManifest, b"{}".to_vec()), |_| None), None);
    }
}
