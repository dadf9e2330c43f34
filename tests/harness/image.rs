//! An image as its bytes in an image layout say it is, read without any code of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::gathered::Gathered;
use super::validated;

/// One image of an image layout.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    layout: PathBuf,
    /// The digest of the manifest.
    pub(crate) digest: String,
    /// The manifest.
    pub(crate) manifest: Value,
    /// The config.
    pub(crate) config: Value,
}

/// One entry of a layer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    /// Name, without a leading `./` or a trailing `/`.
    pub(crate) path: String,
    /// What it is, in the letters of tar.
    pub(crate) kind: tar::EntryType,
    /// Permissions.
    pub(crate) mode: u32,
    /// Time of change, unless it lies before 1970.
    pub(crate) mtime: Option<u64>,
    /// Content of a file.
    pub(crate) bytes: Vec<u8>,
}

impl Image {
    /// The image of ours that `tag` names, or the only one; it is validated in everything that its bytes show.
    pub(crate) fn open(layout: &Path, tag: Option<&str>) -> Self {
        let image = Self::open_foreign(layout, tag);
        image.checked()
    }

    /// The image that `tag` names, or the only one, when another tool made its layers or its documents.
    pub(crate) fn open_foreign(layout: &Path, tag: Option<&str>) -> Self {
        let descriptor = described(layout, tag);
        assert!(
            descriptor["mediaType"].as_str().is_some_and(|kind| kind.contains("manifest.v1")),
            "not an image: {descriptor}"
        );
        Self::of(layout, descriptor["digest"].as_str().unwrap())
    }

    /// The images of the index that `tag` names, by `os/architecture`.
    pub(crate) fn open_index(layout: &Path, tag: Option<&str>) -> BTreeMap<String, Self> {
        let descriptor = described(layout, tag);
        let index = document(layout, descriptor["digest"].as_str().unwrap());
        let images = index["manifests"].as_array().unwrap().iter();
        images
            .map(|entry| {
                let platform = &entry["platform"];
                let name =
                    [&platform["os"], &platform["architecture"]].map(|part| part.as_str().unwrap()).join("/");
                (name, Self::of(layout, entry["digest"].as_str().unwrap()).checked())
            })
            .collect()
    }

    /// Validates and gathers an image of ours that no test may open.
    pub(crate) fn built(layout: &Path, digest: &str) {
        Self::of(layout, digest).checked();
    }

    /// The same, validated; other people's tools judge it when all tests have ended.
    fn checked(self) -> Self {
        validated::check(&self.layout, &self.digest);
        if let Some(gathered) = Gathered::of_this_run() {
            gathered.add(&self.layout, &self);
        }
        self
    }

    fn of(layout: &Path, digest: &str) -> Self {
        let manifest = document(layout, digest);
        let config = document(layout, manifest["config"]["digest"].as_str().unwrap());
        Self { layout: layout.into(), digest: digest.into(), manifest, config }
    }

    /// The digests of the layers, lowest first.
    pub(crate) fn layers(&self) -> Vec<String> {
        let layers = self.manifest["layers"].as_array().unwrap().iter();
        layers.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
    }

    /// The bytes of one layer, without compression, checked against the diffID at its place.
    pub(crate) fn tar(&self, place: usize) -> Vec<u8> {
        let layer = &self.manifest["layers"][place];
        let blob = checked_blob(&self.layout, layer["digest"].as_str().unwrap());
        assert_eq!(blob.len() as u64, layer["size"].as_u64().unwrap());
        let kind = layer["mediaType"].as_str().unwrap();
        let mut tar = Vec::new();
        match kind.rsplit('+').next().unwrap() {
            "gzip" => {
                flate2::read::MultiGzDecoder::new(blob.as_slice()).read_to_end(&mut tar).unwrap();
            }
            "zstd" => tar = zstd::decode_all(blob.as_slice()).unwrap(),
            _ => tar = blob,
        }
        assert_eq!(digest_of(&tar), self.config["rootfs"]["diff_ids"][place].as_str().unwrap());
        tar
    }

    /// The entries of one layer.
    pub(crate) fn entries(&self, place: usize) -> Vec<Entry> {
        let tar = self.tar(place);
        let mut archive = tar::Archive::new(tar.as_slice());
        archive.entries().unwrap().map(|entry| read_entry(entry.unwrap())).collect()
    }

    /// Checks what the schemas cannot see: as many layers as diffIDs, every digest true, no path twice in a layer.
    pub(crate) fn check(&self) {
        let layers = self.layers();
        assert_eq!(layers.len(), self.config["rootfs"]["diff_ids"].as_array().unwrap().len());
        for place in 0..layers.len() {
            let mut seen = BTreeSet::new();
            for entry in self.entries(place) {
                assert!(seen.insert(entry.path.clone()), "`{}` is twice in layer {place}", entry.path);
            }
        }
    }

    /// The file system that the layers make: path to the topmost entry, whiteouts applied.
    pub(crate) fn files(&self) -> BTreeMap<String, Entry> {
        stacked((0..self.layers().len()).map(|place| self.entries(place)))
    }

    /// The variables of the config.
    pub(crate) fn env(&self) -> BTreeMap<String, String> {
        let variables = self.config["config"]["Env"].as_array().unwrap().iter();
        variables
            .map(|variable| variable.as_str().unwrap().split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

/// The file system that the entries of layers make, lowest layer first.
pub(crate) fn stacked(layers: impl Iterator<Item = Vec<Entry>>) -> BTreeMap<String, Entry> {
    let mut files = BTreeMap::new();
    for entries in layers {
        for entry in &entries {
            apply_whiteout(&mut files, &entry.path);
        }
        for entry in entries.into_iter().filter(|entry| !is_whiteout(&entry.path)) {
            files.insert(entry.path.clone(), entry);
        }
    }
    files
}

fn is_whiteout(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with(".wh."))
}

fn apply_whiteout(files: &mut BTreeMap<String, Entry>, path: &str) {
    let (parent, name) = path.rsplit_once('/').map_or(("", path), |(parent, name)| (parent, name));
    let Some(hidden) = name.strip_prefix(".wh.") else { return };
    let prefix = if parent.is_empty() { String::new() } else { format!("{parent}/") };
    if hidden == ".wh..opq" {
        files.retain(|path, _| !path.starts_with(&prefix));
    } else {
        let below = format!("{prefix}{hidden}/");
        files.retain(|path, _| *path != format!("{prefix}{hidden}") && !path.starts_with(&below));
    }
}

fn read_entry(mut entry: tar::Entry<'_, &[u8]>) -> Entry {
    let path = entry.path().unwrap().to_string_lossy().into_owned();
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).unwrap();
    Entry {
        path: path.trim_start_matches("./").trim_end_matches('/').to_owned(),
        kind: entry.header().entry_type(),
        mode: entry.header().mode().unwrap(),
        mtime: entry.header().mtime().ok(),
        bytes,
    }
}

/// The descriptor in `index.json` that `tag` names, or the only one.
pub(crate) fn described(layout: &Path, tag: Option<&str>) -> Value {
    let index: Value = serde_json::from_slice(&fs_err::read(layout.join("index.json")).unwrap()).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    let name = "org.opencontainers.image.ref.name";
    let found: Vec<&Value> = manifests
        .iter()
        .filter(|entry| tag.is_none_or(|tag| entry["annotations"][name].as_str() == Some(tag)))
        .collect();
    assert_eq!(found.len(), 1, "{tag:?} in {index}");
    found[0].clone()
}

/// A JSON blob of a layout, its digest checked.
pub(crate) fn document(layout: &Path, digest: &str) -> Value {
    serde_json::from_slice(&checked_blob(layout, digest)).unwrap()
}

fn checked_blob(layout: &Path, digest: &str) -> Vec<u8> {
    let bytes = fs_err::read(layout.join("blobs").join(digest.replace(':', "/"))).unwrap();
    assert_eq!(digest_of(&bytes), digest);
    bytes
}

/// `sha256:…` of some bytes.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}
