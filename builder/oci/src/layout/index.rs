//! `index.json`: tags, kept as the JSON that other tools wrote wherever we do not change it.

use std::fs::File;
use std::io;

use oci_spec::image::{Descriptor, MediaType};
use serde_json::{Value, json};

use super::{Layout, LayoutError};
use crate::document::{DOCUMENT_LIMIT, canonical_json};

/// The annotation that holds a tag (image-spec, annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

impl Layout {
    /// All tags with what they name, in the order of `index.json`.
    pub fn tags(&self) -> Result<Vec<(String, Descriptor)>, LayoutError> {
        let tagged = |descriptor: Descriptor| Some((ref_name(&descriptor)?, descriptor));
        Ok(self.manifests()?.into_iter().filter_map(tagged).collect())
    }

    /// Everything that `index.json` lists, tagged or not.
    pub fn manifests(&self) -> Result<Vec<Descriptor>, LayoutError> {
        let list = self.read_index()?["manifests"].take();
        serde_json::from_value(list).map_err(|source| self.bad_index(source))
    }

    /// What a tag names.
    pub fn resolve(&self, tag: &str) -> Result<Descriptor, LayoutError> {
        let mut found = self.manifests()?;
        found.retain(|descriptor| ref_name(descriptor).as_deref() == Some(tag));
        match found.len() {
            0 => {
                let tags = self.describe_tags()?;
                Err(LayoutError::UnknownTag { dir: self.dir.clone(), tag: tag.to_owned(), tags })
            }
            1 => Ok(found.remove(0)),
            _ => Err(LayoutError::Ambiguous { dir: self.dir.clone(), tags: self.describe_tags()? }),
        }
    }

    /// The one manifest of a layout that has just one.
    pub fn resolve_only(&self) -> Result<Descriptor, LayoutError> {
        let mut found = self.manifests()?;
        match found.len() {
            1 => Ok(found.remove(0)),
            _ => Err(LayoutError::Ambiguous { dir: self.dir.clone(), tags: self.describe_tags()? }),
        }
    }

    /// Gives a manifest or index a tag, which it takes from whatever had it.
    pub fn tag(&self, name: &str, descriptor: &Descriptor) -> Result<(), LayoutError> {
        let mut entry = json!(descriptor);
        entry["annotations"][REF_NAME] = json!(name);
        self.update_index(|manifests| {
            let digest = json!(descriptor.digest());
            manifests.retain(|other| {
                let tag = other["annotations"].get(REF_NAME);
                let replaced = tag.is_none() && other["digest"] == digest;
                !replaced && tag.and_then(Value::as_str) != Some(name)
            });
            manifests.push(entry);
            Ok(())
        })
    }

    /// Takes a tag away, and says whether it was there.
    pub fn untag(&self, name: &str) -> Result<bool, LayoutError> {
        let mut was_there = false;
        self.update_index(|manifests| {
            let before = manifests.len();
            manifests.retain(|other| other["annotations"][REF_NAME].as_str() != Some(name));
            was_there = manifests.len() < before;
            Ok(())
        })?;
        Ok(was_there)
    }

    /// Changes the list of manifests while no other process does.
    pub(super) fn update_index(
        &self,
        change: impl FnOnce(&mut Vec<Value>) -> Result<(), LayoutError>,
    ) -> Result<(), LayoutError> {
        // `index.json` is replaced by a rename, so a lock on that file itself would hold nobody off.
        let path = self.dir.join("blobs");
        let lock = File::open(&path).map_err(LayoutError::io("opened", &path))?;
        lock.lock().map_err(LayoutError::io("locked", &path))?;
        let mut index = self.read_index()?;
        let before = index.clone();
        let mut manifests: Vec<Value> =
            serde_json::from_value(index["manifests"].take()).map_err(|source| self.bad_index(source))?;
        change(&mut manifests)?;
        index["manifests"] = Value::Array(manifests);
        let path = self.dir.join("index.json");
        if index != before || !path.exists() {
            self.write_file(&path, &canonical_json(&index))?;
        }
        Ok(())
    }

    fn read_index(&self) -> Result<Value, LayoutError> {
        let path = self.dir.join("index.json");
        let empty = || json!({"schemaVersion": 2, "mediaType": MediaType::ImageIndex, "manifests": []});
        // A store of many tags is no document that a registry has to take, so the limit is a wide one.
        let bytes = match fs_err::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(empty()),
            Ok(found) if found.len() > 16 * DOCUMENT_LIMIT => Err(io::Error::other("it is too large")),
            _ => fs_err::read(&path),
        }
        .map_err(LayoutError::io("read", &path))?;
        let index: Value = serde_json::from_slice(&bytes).map_err(|source| self.bad_index(source))?;
        // Parsed as the specification's type too, so that nothing else is taken for an index.
        serde_json::from_value::<oci_spec::image::ImageIndex>(index.clone())
            .map_err(|source| self.bad_index(source))?;
        Ok(index)
    }

    fn bad_index(&self, source: serde_json::Error) -> LayoutError {
        LayoutError::BadIndex { path: self.dir.join("index.json"), source }
    }

    fn describe_tags(&self) -> Result<String, LayoutError> {
        let tags: Vec<_> = self.tags()?.into_iter().take(20).map(|(tag, _)| format!("`{tag}`")).collect();
        Ok(if tags.is_empty() { "no tags".to_owned() } else { format!("the tags {}", tags.join(", ")) })
    }
}

fn ref_name(descriptor: &Descriptor) -> Option<String> {
    descriptor.annotations().as_ref()?.get(REF_NAME).cloned()
}
