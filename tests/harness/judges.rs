//! What other people's tools make of images: skopeo, umoci, oci-image-tool, podman, and containerd where it is there. Each
//! reads every byte, compares every digest, and unpacks or runs what it got.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::containerd::Containerd;
use super::gathered::Gathered;
use super::image::{Entry, Image, digest_of, stacked};
use super::{container, tools};

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// What was found wrong, by tool and image.
    pub(crate) faults: Vec<String>,
    images: usize,
    /// How many images each tool took, and how long it was at it.
    by: BTreeMap<&'static str, (usize, Duration)>,
}

impl Verdict {
    /// Lets a tool look at an image.
    fn ask<T>(
        this: &Mutex<Self>,
        tool: &'static str,
        image: &Image,
        look: impl FnOnce() -> Result<T, String>,
    ) -> Option<T> {
        let begun = Instant::now();
        let result = look();
        let mut verdict = this.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, spent) = verdict.by.entry(tool).or_default();
        *spent += begun.elapsed();
        *count += usize::from(result.is_ok());
        result.map_err(|what| verdict.faults.push(format!("{tool}, {}: {what}", image.digest))).ok()
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{0} of {0} images by schemas and our own validator", self.images)?;
        for (tool, (count, took)) in &self.by {
            write!(f, ", {count} by {tool} in {:.0} s", took.as_secs_f64())?;
        }
        Ok(())
    }
}

/// The entries of layers, each layer read once, with the digest of its content in each.
#[derive(Default)]
struct Layers(Mutex<BTreeMap<String, Vec<Entry>>>);

impl Layers {
    /// [`Image::files`].
    fn files(&self, image: &Image) -> BTreeMap<String, Entry> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stacked(image.layers().into_iter().enumerate().map(|(place, digest)| {
            if let Some(entries) = known().get(&digest) {
                return entries.clone();
            }
            let mut entries = image.entries(place);
            for entry in &mut entries {
                entry.bytes = digest_of(&entry.bytes).into_bytes();
            }
            known().insert(digest, entries.clone());
            entries
        }))
    }
}

/// Has all tools judge all images. Those without zstd get what is compressed otherwise; what loads images into a store
/// wants root; what applies and runs them, those of this machine's architecture.
pub(crate) fn judge(gathered: &Gathered, scratch: &Path) -> Verdict {
    let images = gathered.images();
    let verdict = Mutex::new(Verdict { images: images.len(), ..Verdict::default() });
    // What differs in its config alone is unpacked once.
    let mut layers = BTreeSet::new();
    let queue: Vec<(&Image, bool)> = images.iter().map(|it| (it, layers.insert(it.layers()))).collect();
    let queue = Mutex::new(queue.into_iter());
    let layers = Layers::default();
    std::thread::scope(|scope| {
        for worker in ["a", "b"] {
            let (queue, verdict, layers, scratch) = (&queue, &verdict, &layers, scratch.join(worker));
            scope.spawn(move || {
                fs_err::create_dir_all(&scratch).unwrap();
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some((image, is_new)) = next() {
                    by_readers(verdict, gathered, layers, image, is_new, &scratch);
                }
            });
        }
        if tools::is_root() {
            scope.spawn(|| by_stores(&verdict, gathered, &layers, &images, scratch));
        } else {
            println!("missing: podman and containerd judge nothing without root");
        }
    });
    verdict.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Tools that read a layout.
fn by_readers(
    verdict: &Mutex<Verdict>,
    gathered: &Gathered,
    layers: &Layers,
    image: &Image,
    is_new: bool,
    scratch: &Path,
) {
    Verdict::ask(verdict, "skopeo inspect and copy", image, || by_skopeo(gathered, image, scratch));
    if is_zstd(image) {
        return;
    }
    if is_new {
        Verdict::ask(verdict, "umoci unpack", image, || {
            unpacks(gathered, image, || layers.files(image), scratch)
        });
    }
    if tools::is_there("oci-image-tool") {
        Verdict::ask(verdict, "oci-image-tool", image, || by_image_tool(gathered, image, scratch));
    }
}

/// Tools that bring images to a store of their own.
fn by_stores(
    verdict: &Mutex<Verdict>,
    gathered: &Gathered,
    layers: &Layers,
    images: &[Image],
    scratch: &Path,
) {
    let podman = Podman::new(scratch);
    let containerd = tools::is_there("containerd").then(|| Containerd::start(&scratch.join("containerd")));
    for image in images {
        let id = Verdict::ask(verdict, "podman pull", image, || podman.loads(gathered, image));
        let files = layers.files(image);
        let lister = ["bin/ls", "usr/bin/ls"].iter().find(|path| files.contains_key(**path));
        if let (Some(id), Some(program), true) = (id, lister, is_local(image)) {
            let app = files.keys().filter_map(|path| path.strip_prefix("app/"));
            let app: BTreeSet<&str> = app.map(|path| path.split('/').next().unwrap()).collect();
            Verdict::ask(verdict, "podman run", image, || podman.lists(&id, program, "/app", &app));
        }
        if let Some(containerd) = containerd.as_ref().filter(|_| is_local(image)) {
            Verdict::ask(verdict, "containerd", image, || containerd.applies(gathered, image));
        }
    }
}

fn is_zstd(image: &Image) -> bool {
    image.manifest["layers"].to_string().contains("+zstd")
}

/// Whether the programs of an image run on this machine.
pub(crate) fn is_local(image: &Image) -> bool {
    let names = [("x86_64", "amd64"), ("aarch64", "arm64")];
    let ours = names.iter().find(|(name, _)| *name == std::env::consts::ARCH).map(|(_, name)| *name);
    image.config["architecture"].as_str() == ours
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:?} and not {expected:?}")) }
}

/// What a tool printed, or what it said instead.
pub(super) fn succeeded(output: &Output) -> Result<String, String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

fn run(tool: &str, arguments: &[&str]) -> Result<String, String> {
    succeeded(&tools::tool(tool).args(arguments).output().unwrap())
}

fn parsed(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))
}

/// It is inspected, and copied to another form, whose blobs are named by what they hold.
pub(crate) fn by_skopeo(gathered: &Gathered, image: &Image, scratch: &Path) -> Result<(), String> {
    let name = format!("oci:{}", gathered.name(image));
    let inspected = parsed(&run("skopeo", &["inspect", &name])?)?;
    equal("the digest", &inspected["Digest"], &json!(image.digest))?;
    equal("the list of layers", &inspected["Layers"], &json!(image.layers()))?;
    let copy = scratch.join("copy");
    let to = format!("dir:{}", copy.display());
    run("skopeo", &["--insecure-policy", "copy", "--quiet", &name, &to])?;
    let manifest = fs_err::read(copy.join("manifest.json")).unwrap();
    let arrived = image.layers().iter().all(|layer| copy.join(layer.trim_start_matches("sha256:")).is_file());
    fs_err::remove_dir_all(copy).unwrap();
    equal("the digest of the copy", &digest_of(&manifest), &image.digest)?;
    equal("that all layers are in the copy", &arrived, &true)
}

/// What umoci unpacks is what the layers hold: every path, and no other.
pub(crate) fn by_umoci(gathered: &Gathered, image: &Image, scratch: &Path) -> Result<(), String> {
    unpacks(gathered, image, || Layers::default().files(image), scratch)
}

fn unpacks(
    gathered: &Gathered,
    image: &Image,
    files: impl FnOnce() -> BTreeMap<String, Entry>,
    scratch: &Path,
) -> Result<(), String> {
    let bundle = scratch.join("bundle");
    let unpacked = container::try_unpack(&gathered.name(image), &bundle);
    let compared = unpacked.and_then(|()| same_files(&files(), &bundle.join("rootfs")));
    // What was only half unpacked lies there as well.
    if bundle.exists() {
        fs_err::remove_dir_all(bundle).unwrap();
    }
    compared
}

fn same_files(files: &BTreeMap<String, Entry>, root: &Path) -> Result<(), String> {
    // Names that are no text are told apart as well as they can be shown.
    let found: BTreeMap<String, PathBuf> = walkdir::WalkDir::new(root)
        .min_depth(1)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .map(|path| (path.strip_prefix(root).unwrap().to_string_lossy().into_owned(), path))
        .collect();
    // Directories that no entry names are made on the way to what is in them.
    let mut expected: BTreeSet<String> = files.keys().cloned().collect();
    for path in files.keys() {
        expected.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
    }
    let names: BTreeSet<String> = found.keys().cloned().collect();
    let differ: Vec<&String> = names.symmetric_difference(&expected).collect();
    equal("what differs", &differ, &Vec::new())?;
    for (path, entry) in files.iter().filter(|(path, _)| path.starts_with("app/")) {
        if entry.kind == tar::EntryType::Regular
            && digest_of(&fs_err::read(&found[path]).unwrap()).as_bytes() != entry.bytes
        {
            return Err(format!("`{path}` has other bytes"));
        }
    }
    Ok(())
}

/// Sizes, digests, and the form of the documents.
pub(crate) fn by_image_tool(gathered: &Gathered, image: &Image, scratch: &Path) -> Result<(), String> {
    // It takes a reference for one that is not unique where there are other images.
    let layout = scratch.join("alone");
    gathered.alone(image, "app", &layout);
    let layout = layout.to_str().unwrap();
    run("oci-image-tool", &["validate", "--type", "image", "--ref", "name=app", layout]).map(drop)
}

/// Podman with a store of its own, which goes with the value.
pub(crate) struct Podman {
    scratch: PathBuf,
    driver: &'static str,
}

impl Podman {
    /// An empty store below `scratch`.
    pub(crate) fn new(scratch: &Path) -> Self {
        let scratch = scratch.join("podman");
        fs_err::create_dir_all(&scratch).unwrap();
        let mut podman = Self { scratch, driver: "overlay" };
        // Where its disk is an overlay itself, every layer is a copy of the one below.
        if podman.run(&["info"]).is_err() {
            podman.driver = "vfs";
        }
        podman
    }

    /// Loads an image under the digest that it was built with; its id.
    pub(crate) fn loads(&self, gathered: &Gathered, image: &Image) -> Result<String, String> {
        gathered.alone(image, "app", &self.scratch.join("image"));
        // Images that differ in the compression of their layers are one image there, of which it keeps the first.
        let config = image.manifest["config"]["digest"].as_str().unwrap().trim_start_matches("sha256:");
        self.run(&["rmi", "--force", "--ignore", config])?;
        // Podman makes a name of the path that it is told.
        let id = self.run(&["pull", "--quiet", "oci:image:app"])?.trim().to_owned();
        let inspected = parsed(&self.run(&["image", "inspect", &id])?)?;
        equal("the digest", &inspected[0]["Digest"], &json!(image.digest))?;
        equal("the diffIDs", &inspected[0]["RootFS"]["Layers"], &image.config["rootfs"]["diff_ids"])?;
        Ok(id)
    }

    /// What runs in an image sees these names in a directory.
    fn lists(
        &self,
        id: &str,
        program: &str,
        directory: &str,
        expected: &BTreeSet<&str>,
    ) -> Result<(), String> {
        let program = format!("/{program}");
        let limits = ["--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"];
        let command = ["--entrypoint", &program, id, "-1A", directory];
        let seen = self.run(&[&["run", "--rm"], &limits[..], &command].concat())?;
        let seen: Vec<&str> = seen.lines().collect();
        // What is no plain text the program shows in its own way, each name on one line.
        let is_plain = |name: &&&str| name.bytes().all(|byte| byte.is_ascii_graphic());
        let missing: Vec<_> = expected.iter().filter(is_plain).filter(|name| !seen.contains(name)).collect();
        equal("what is not in the directory", &missing, &Vec::new())?;
        equal("the number of names in the directory", &seen.len(), &expected.len())
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut podman = tools::tool("podman");
        for (option, place) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            podman.arg(option).arg(self.scratch.join(place));
        }
        podman
            .arg(format!("--storage-driver={}", self.driver))
            .arg("--cgroup-manager=cgroupfs")
            .args(arguments);
        succeeded(&podman.current_dir(&self.scratch).output().unwrap())
    }
}

/// What is mounted below a directory.
pub(crate) fn mounts_below(directory: &Path) -> Vec<PathBuf> {
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap();
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    places.filter(|place| place.starts_with(directory)).collect()
}

impl Drop for Podman {
    fn drop(&mut self) {
        // It mounts the directory of its layers upon itself, and leaves that.
        for mount in mounts_below(&self.scratch) {
            let _ = rustix::mount::unmount(mount, rustix::mount::UnmountFlags::DETACH);
        }
        let _ = fs_err::remove_dir_all(&self.scratch);
    }
}
