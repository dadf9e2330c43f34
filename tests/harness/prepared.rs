//! A small app with a command, and data directories in which its runtime is there already.

use std::fmt::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::copy_tree;
use lapstrake_fixtures::registry::digest_of;
use serde_json::Value;
use tempfile::TempDir;

use super::{Lapstrake, Registry, tools, workspace};

/// Whether a data directory has the unpacked layers of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpacked {
    /// They are there, those of all copies in one place, where nothing writes to them.
    Shared,
    /// They are not there.
    Missing,
}

/// The app, and a data directory that copies are made of.
pub(crate) struct Prepared {
    scratch: TempDir,
    template: PathBuf,
}

impl Prepared {
    /// Makes the runtime, unless it was made before.
    pub(crate) fn new() -> Self {
        let scratch = workspace::scratch();
        let source = scratch.path().join("app");
        write_app(&source, "echo built > made.txt");
        let build = |lapstrake: &Lapstrake, name: &str| {
            let layout = scratch.path().join(name);
            let output = format!("oci:{}", layout.display());
            lapstrake.run(["build", source.to_str().unwrap(), "--output", &output]).expect(0);
            fs_err::remove_dir_all(layout).unwrap();
        };
        build(&Lapstrake::new(), "here");
        let apart = Lapstrake::new().apart(scratch.path());
        build(&apart, "there");
        let template = apart.data().to_owned();
        for name in ["artifacts", "builds", "cache", "packages", "scratch"] {
            let _ = fs_err::remove_dir_all(template.join(name));
        }
        Self { scratch, template }
    }

    /// A place for everything that goes with this value.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The app's source.
    pub(crate) fn source(&self) -> PathBuf {
        self.scratch.path().join("app")
    }

    /// A new data directory, in the file system of the scratch directory, with an empty cache.
    pub(crate) fn data(&self, data: &Path, unpacked: Unpacked) -> Lapstrake {
        self.copy(data, unpacked);
        Lapstrake::new().with_data(data).with("LAPSTRAKE_NO_CACHE", "false")
    }

    fn copy(&self, data: &Path, unpacked: Unpacked) {
        for name in ["catalog", "layers"] {
            for entry in walkdir::WalkDir::new(self.template.join(name)) {
                let entry = entry.unwrap();
                let target = data.join(entry.path().strip_prefix(&self.template).unwrap());
                if entry.file_type().is_dir() {
                    fs_err::create_dir_all(&target).unwrap();
                } else if entry.path().parent().unwrap().ends_with("blobs/sha256") {
                    fs_err::hard_link(entry.path(), &target).unwrap();
                } else {
                    fs_err::copy(entry.path(), &target).unwrap();
                }
            }
        }
        if unpacked == Unpacked::Missing {
            return;
        }
        for user in fs_err::read_dir(self.template.join("rootfs")).unwrap() {
            let user = user.unwrap();
            let target = data.join("rootfs").join(user.file_name());
            fs_err::create_dir_all(&target).unwrap();
            for layer in fs_err::read_dir(user.path()).unwrap().map(Result::unwrap) {
                if layer.path().extension().is_some_and(|end| end == "stamp") {
                    fs_err::copy(layer.path(), target.join(layer.file_name())).unwrap();
                } else if layer.file_type().unwrap().is_dir() {
                    symlink(layer.path(), target.join(layer.file_name())).unwrap();
                }
            }
        }
    }
}

/// Writes the source of an app with a build command, the same at any time.
pub(crate) fn write_app(source: &Path, command: &str) {
    copy_tree(&App::named("plain-python").directory(), source).unwrap();
    let text = format!(
        "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n      - {command}\n\
         run:\n  command: python3 server.py\n  network:\n    port: 8080\n"
    );
    fs_err::write(source.join("apprunner.yaml"), text).unwrap();
    settle(source);
}

/// Gives everything below a directory one old time: what was written a moment ago may change once more without a trace.
pub(crate) fn settle(directory: &Path) {
    let words = ["-exec", "touch", "-h", "-d", "2026-01-02", "{}", "+"];
    tools::run("find", std::iter::once(directory.as_os_str()).chain(words.iter().map(AsRef::as_ref)));
}

/// The digest that a tag names in a registry's storage, if everything is there that the image is made of.
pub(crate) fn whole_in_registry(registry: &Registry, repository: &str, tag: &str) -> Result<String, String> {
    let root = registry.storage().join("docker/registry/v2");
    let repository = root.join("repositories").join(repository);
    let link = |path: PathBuf| fs_err::read_to_string(path).map_err(|error| error.to_string());
    let blob = |digest: &str| {
        let hex = digest.trim_start_matches("sha256:");
        root.join("blobs/sha256").join(&hex[..2]).join(hex).join("data")
    };
    let top = link(repository.join(format!("_manifests/tags/{tag}/current/link")))?;
    link(repository.join(format!("_manifests/revisions/sha256/{}/link", &top["sha256:".len()..])))?;
    whole(&top, |digest| {
        if digest != top {
            link(repository.join(format!("_layers/sha256/{}/link", &digest["sha256:".len()..])))?;
        }
        Ok(blob(digest))
    })?;
    Ok(top)
}

/// The digest that a tag names in an image layout, if everything is there that the image is made of.
pub(crate) fn whole_in_layout(layout: &Path, tag: &str) -> Result<String, String> {
    let bytes = fs_err::read(layout.join("index.json")).map_err(|error| error.to_string())?;
    let index: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let mut named = index["manifests"].as_array().into_iter().flatten();
    let top = named
        .find(|one| one["annotations"]["org.opencontainers.image.ref.name"] == tag)
        .ok_or_else(|| format!("no tag in {index}"))?;
    let top = top["digest"].as_str().unwrap_or_default().to_owned();
    whole(&top, |digest| Ok(layout.join("blobs").join(digest.replace(':', "/"))))?;
    Ok(top)
}

/// Reads a manifest and all that it names, and compares digests and sizes.
fn whole(top: &str, place: impl Fn(&str) -> Result<PathBuf, String>) -> Result<(), String> {
    let read = |digest: &str| {
        let bytes = fs_err::read(place(digest)?).map_err(|error| error.to_string())?;
        if digest_of(&bytes) == digest { Ok(bytes) } else { Err(format!("{digest} has other bytes")) }
    };
    let manifest: Value = serde_json::from_slice(&read(top)?).map_err(|error| error.to_string())?;
    let layers = manifest["layers"].as_array().into_iter().flatten();
    for descriptor in layers.chain([&manifest["config"]]) {
        let bytes = read(descriptor["digest"].as_str().unwrap_or_default())?;
        if descriptor["size"] != bytes.len() {
            return Err(format!("{descriptor} has {} bytes", bytes.len()));
        }
    }
    Ok(())
}

/// The files and directories below a directory, sorted; names that are digests are not told apart, and unpacked layers
/// are not looked into.
pub(crate) fn names_below(directory: &Path) -> Vec<String> {
    let walk = walkdir::WalkDir::new(directory).min_depth(1).into_iter();
    let walk = walk.filter_entry(|entry| {
        let parents: Vec<_> = entry.path().strip_prefix(directory).unwrap().iter().collect();
        parents.len() < 4 || parents[0] != "rootfs"
    });
    let mut names: Vec<String> = walk
        .filter_map(Result::ok)
        .map(|entry| {
            let path = entry.path().strip_prefix(directory).unwrap();
            path.iter().fold(String::new(), |mut name, part| {
                let part = part.to_string_lossy();
                let is_digest = part.len() >= 64 && part[..64].bytes().all(|b| b.is_ascii_hexdigit());
                write!(name, "/{}", if is_digest { format!("DIGEST{}", &part[64..]) } else { part.into() })
                    .unwrap();
                name
            })
        })
        .collect();
    names.sort();
    names
}
