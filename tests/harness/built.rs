//! Brings what builds have made to where the images of a run of the tests are gathered, whether the test looks at it or
//! not.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use serde_json::Value;

use super::gathered::Gathered;
use super::image::{Image, document};
use super::lapstrake::Outcome;
use super::{tools, workspace};

/// The storage of the registries that this process has started, by `HOST:PORT`.
static STORAGES: LazyLock<Mutex<BTreeMap<String, PathBuf>>> = LazyLock::new(Mutex::default);

/// From now on what is built into this registry is found.
pub(crate) fn note_registry(host: String, storage: PathBuf) {
    STORAGES.lock().unwrap().insert(host, storage);
}

/// Gathers what a command has built, unless it is there already.
///
/// # Panics
/// If it lies neither in an image layout nor in a registry of [`note_registry`]: no image goes unseen.
pub(crate) fn gather(words: &[OsString], directory: &Path, data: &Path, outcome: &Outcome) {
    let Some(gathered) = Gathered::of_this_run() else { return };
    let is_build = outcome.code == Some(0) && words.first().is_some_and(|word| word == "build");
    if !is_build || !outcome.stdout.contains("sha256:") || gathered.has(&outcome.digest()) {
        return;
    }
    let digest = outcome.digest();
    let scratch = workspace::scratch();
    let mut is_kept_by_itself = true;
    let mut of_option = words.windows(2).filter_map(|pair| {
        let value = pair[1].to_str()?;
        let layout = match pair[0].to_str()? {
            "-o" | "--output" => match value.split_once(':')? {
                ("oci", place) => layout_of(directory, place),
                ("oci-archive", place) => {
                    Some(unpacked(&directory.join(place), &scratch.path().join("layout")))
                }
                _ => None,
            },
            "-t" | "--tag" => {
                let storage = STORAGES.lock().unwrap().get(value.split('/').next()?).cloned();
                storage.map(|storage| layout_from(&storage, &digest, &scratch.path().join("layout")))
            }
            _ => return None,
        };
        is_kept_by_itself = false;
        layout
    });
    let layout = of_option.next();
    let layout = layout.or_else(|| is_kept_by_itself.then(|| data.join("store")));
    let layout = layout.unwrap_or_else(|| panic!("nobody but {words:?} has seen {digest}"));
    let top = document(&layout, &digest);
    match top["manifests"].as_array() {
        Some(images) => {
            for image in images {
                Image::built(&layout, image["digest"].as_str().unwrap());
            }
        }
        None => Image::built(&layout, &digest),
    }
}

/// The directory of `DIR` or `DIR:TAG`.
fn layout_of(directory: &Path, text: &str) -> Option<PathBuf> {
    let without_tag = text.rsplit_once(':').map(|(before, _)| before);
    let places = [Some(text), without_tag].into_iter().flatten().map(|place| directory.join(place));
    places.into_iter().find(|place| place.join("oci-layout").exists())
}

/// The layout that an archive holds.
fn unpacked(archive: &Path, layout: &Path) -> PathBuf {
    fs_err::create_dir_all(layout).unwrap();
    tools::run("bsdtar", [OsStr::new("-xf"), archive.as_os_str(), OsStr::new("-C"), layout.as_os_str()]);
    layout.to_owned()
}

/// A layout of links to what a registry stores of an image, or of an index with its images.
fn layout_from(storage: &Path, digest: &str, layout: &Path) -> PathBuf {
    fs_err::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let mut open = vec![digest.to_owned()];
    while let Some(digest) = open.pop() {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let link = layout.join("blobs/sha256").join(hex);
        if link.exists() {
            continue;
        }
        let place = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        fs_err::os::unix::fs::symlink(storage.join(place), &link).unwrap();
        // Everything that a document names is found in one of these; layers and configs name nothing.
        let is_document = fs_err::metadata(&link).unwrap().len() < 1 << 20;
        let document: Option<Value> = is_document
            .then(|| serde_json::from_slice(&fs_err::read(&link).unwrap()).ok())
            .flatten()
            .filter(|document: &Value| document["schemaVersion"] == 2);
        let Some(document) = document else { continue };
        let listed = ["manifests", "layers"].iter().filter_map(|key| document[key].as_array()).flatten();
        let digests = listed.chain([&document["config"]]).filter_map(|entry| entry["digest"].as_str());
        open.extend(digests.map(str::to_owned));
    }
    layout.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_found_with_and_without_a_tag() {
        let scratch = workspace::scratch();
        fs_err::create_dir(scratch.path().join("here")).unwrap();
        fs_err::write(scratch.path().join("here/oci-layout"), "").unwrap();
        let here = Some(scratch.path().join("here"));
        assert_eq!(layout_of(scratch.path(), "here"), here);
        assert_eq!(layout_of(scratch.path(), "here:tag"), here);
        assert_eq!(layout_of(scratch.path(), "there:tag"), None);
    }
}
