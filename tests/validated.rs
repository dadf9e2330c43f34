//! Images of every kind of app before all validators at hand: our own, and four other tools that read, copy, unpack and
//! run them. And our own before images that are wrong, each in one thing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lapstrake_fixtures::apps::{ALL, App};
use serde_json::{Value, json};

use crate::apps::{build_arguments, pull};
use crate::harness::image::digest_of;
use crate::harness::validated::{check, violations};
use crate::harness::{Image, Lapstrake, Registry, container, schema, tools, workspace};

/// An image as the tools are given it.
struct Built {
    app: App,
    layout: PathBuf,
    image: Image,
}

fn build(app: App, compression: &str, layout: &Path) -> Built {
    let lapstrake = Lapstrake::new();
    let mut arguments = build_arguments(&lapstrake, &app);
    let output = format!("oci:{}:app", layout.display());
    arguments.extend(["--compression", compression, "--output", &output].map(str::to_owned));
    let digest = lapstrake.run(arguments).expect(0).digest();
    let image = Image::open(layout, Some("app"));
    assert_eq!(image.digest, digest);
    schema::check_layout(layout, Some("app"));
    Built { app, layout: layout.to_owned(), image }
}

impl Built {
    fn name(&self) -> String {
        format!("oci:{}:app", self.layout.display())
    }

    fn skopeo_inspects_and_copies_it(&self, scratch: &Path) {
        let inspected = tools::run("skopeo", ["inspect", &self.name()]);
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        assert_eq!(inspected["Digest"], self.image.digest.as_str());
        assert_eq!(inspected["Layers"], json!(self.image.layers()));
        let copy = scratch.join("copy");
        let to = format!("oci:{}:app", copy.display());
        tools::run("skopeo", ["--insecure-policy", "copy", "--quiet", &self.name(), &to]);
        check(&copy, &self.image.digest);
        fs_err::remove_dir_all(copy).unwrap();
    }

    /// What umoci unpacks is what the layers hold: every path, and no other.
    fn umoci_unpacks_it(&self, scratch: &Path) {
        let bundle = scratch.join("bundle");
        container::unpack(&self.layout, "app", &bundle);
        let root = bundle.join("rootfs");
        let found: BTreeSet<String> = walkdir::WalkDir::new(&root)
            .min_depth(1)
            .into_iter()
            .map(|entry| entry.unwrap().path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
            .collect();
        let files = self.image.files();
        // Directories that no entry names are made on the way to what is in them.
        let mut expected: BTreeSet<String> = files.keys().cloned().collect();
        for path in files.keys() {
            expected.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
        }
        assert_eq!(found.symmetric_difference(&expected).collect::<Vec<_>>(), Vec::<&String>::new());
        for (path, entry) in files.iter().filter(|(path, _)| path.starts_with("app/")) {
            if entry.kind == tar::EntryType::Regular {
                assert_eq!(fs_err::read(root.join(path)).unwrap(), entry.bytes, "{path}");
            }
        }
        fs_err::remove_dir_all(bundle).unwrap();
    }

    /// Podman loads it under the digest that it was built with, and what it runs sees the app; whether podman can.
    fn podman_loads_and_runs_it(&self, scratch: &Path) -> bool {
        if !tools::is_root() {
            println!("skipped: without root, podman needs ids of its own");
            return false;
        }
        let podman = Podman::new(scratch);
        // Podman makes a name of the path that it is told.
        assert_eq!(self.layout, scratch.join("layout"));
        let id = podman.run(&["pull", "--quiet", "oci:layout:app"]).trim().to_owned();
        let inspected: Value = serde_json::from_str(&podman.run(&["image", "inspect", &id])).unwrap();
        assert_eq!(inspected[0]["Digest"], self.image.digest.as_str());
        assert_eq!(inspected[0]["RootFS"]["Layers"], self.image.config["rootfs"]["diff_ids"]);
        let (program, flag, script) = if self.app.answer.contains("python") {
            ("python3", "-c", "import json, os; print(json.dumps(sorted(os.listdir('/app'))))")
        } else {
            ("node", "-e", "console.log(JSON.stringify(require('fs').readdirSync('/app').sort()))")
        };
        let options =
            ["run", "--rm", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"];
        let seen = podman.run(&[&options[..], &["--entrypoint", program, &id, flag, script]].concat());
        let seen: BTreeSet<String> = serde_json::from_str(&seen).unwrap();
        let files = self.image.files();
        let top = files.keys().filter_map(|path| path.strip_prefix("app/"));
        let expected: BTreeSet<String> = top.map(|path| path.split('/').next().unwrap().to_owned()).collect();
        assert!(!expected.is_empty());
        assert_eq!(seen, expected);
        true
    }
}

/// Podman with a store of its own, which goes with the value.
struct Podman {
    scratch: PathBuf,
}

impl Podman {
    fn new(scratch: &Path) -> Self {
        fs_err::create_dir_all(scratch.join("podman")).unwrap();
        Self { scratch: scratch.to_owned() }
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut podman = tools::tool("podman");
        for (option, place) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            podman.arg(option).arg(self.scratch.join("podman").join(place));
        }
        podman.args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs"]).args(arguments);
        let output = podman.current_dir(&self.scratch).output().unwrap();
        assert!(output.status.success(), "{podman:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = fs_err::remove_dir_all(self.scratch.join("podman"));
    }
}

/// The apps whose commands stay on this machine, and with `LAPSTRAKE_SECURITY_LONG` all of them. The images of the
/// others are read by our own validator wherever a test opens one.
fn cases() -> Vec<(App, &'static str)> {
    let is_long = std::env::var_os("LAPSTRAKE_SECURITY_LONG").is_some();
    let apps = ALL.iter().filter(|app| is_long || !app.needs_network());
    let mut cases: Vec<_> = apps.map(|app| (*app, "gzip")).collect();
    cases.push((App::named("phases"), "zstd"));
    cases
}

#[test]
fn out_04_images_of_sample_apps_pass_every_validator() {
    let cases = cases();
    let (mut unpacked, mut ran) = (0, 0);
    for (app, compression) in &cases {
        let scratch = workspace::scratch();
        let built = build(*app, compression, &scratch.path().join("layout"));
        built.skopeo_inspects_and_copies_it(scratch.path());
        // This umoci is of the time before layers were compressed with zstd.
        if *compression == "gzip" {
            built.umoci_unpacks_it(scratch.path());
            unpacked += 1;
        }
        ran += usize::from(built.podman_loads_and_runs_it(scratch.path()));
    }
    println!(
        "figure OUT-04: {0} of {0} images pass schemas, our own validator and skopeo, {unpacked} umoci, {ran} podman run",
        cases.len()
    );
}

#[test]
fn out_04_an_image_that_went_through_a_registry_is_the_same() {
    let scratch = workspace::scratch();
    let registry = Registry::start();
    let reference = registry.reference("validated/app:1");
    let source = App::named("plain-node").directory();
    let outcome = Lapstrake::new().run(["build", source.to_str().unwrap(), "--tag", &reference]).expect(0);
    let layout = scratch.path().join("layout");
    pull(&reference, &layout);
    assert_eq!(Image::open(&layout, Some("app")).digest, outcome.digest());
}

/// One entry of a layer made by hand, all fields as they are to be.
fn entry(path: &str, kind: tar::EntryType, bytes: &[u8]) -> (tar::Header, Vec<u8>) {
    let mut header = tar::Header::new_ustar();
    header.set_path(path).unwrap();
    header.set_entry_type(kind);
    header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
    header.set_mtime(315_619_200);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    (header, bytes.to_vec())
}

type Raw = Vec<(tar::Header, Vec<u8>)>;

fn sound() -> Raw {
    vec![
        entry("app/", tar::EntryType::Directory, b""),
        entry("app/.wh.old", tar::EntryType::Regular, b""),
        entry("app/a", tar::EntryType::Regular, b"a"),
        entry("app/b", tar::EntryType::Regular, b"b"),
    ]
}

fn packed(entries: &Raw) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (header, bytes) in entries {
        builder.append(header, bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A layout with one image of one layer, after `change` had its way with the documents; the digest of the manifest.
fn laid_out(dir: &Path, tar: &[u8], change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let put = |bytes: &[u8]| {
        let digest = digest_of(bytes);
        let blob = dir.join("blobs").join(digest.replace(':', "/"));
        fs_err::create_dir_all(blob.parent().unwrap()).unwrap();
        fs_err::write(blob, bytes).unwrap();
        digest
    };
    let descriptor = |kind: &str, digest: &str, size: usize| json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": size });
    let layer = put(tar);
    let mut config = json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [layer] },
        "history": [{ "created_by": "a test" }],
    });
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "layers": [descriptor("layer.v1.tar", &layer, tar.len())],
        "annotations": { "dev.lapstrake.layers.runtime": "0" },
    });
    change(&mut manifest, &mut config);
    let bytes = serde_json::to_vec(&config).unwrap();
    let described = descriptor("config.v1+json", &put(&bytes), bytes.len());
    manifest.as_object_mut().unwrap().entry("config").or_insert(described);
    put(&serde_json::to_vec(&manifest).unwrap())
}

fn found(tar: &[u8], change: impl FnOnce(&mut Value, &mut Value)) -> Vec<String> {
    let scratch = workspace::scratch();
    let digest = laid_out(scratch.path(), tar, change);
    violations(scratch.path(), &digest)
}

/// Changes a header and makes its checksum right again.
fn changed(place: usize, change: impl FnOnce(&mut tar::Header)) -> Raw {
    let mut entries = sound();
    change(&mut entries[place].0);
    entries[place].0.set_cksum();
    entries
}

fn inserted(place: usize, more: (tar::Header, Vec<u8>)) -> Raw {
    let mut entries = sound();
    entries.insert(place, more);
    entries
}

#[test]
fn out_04_the_validator_finds_each_fault_of_a_layer_and_none_in_a_sound_one() {
    assert_eq!(found(&packed(&sound()), |_, _| {}), Vec::<String>::new());
    let device = entry("app/c", tar::EntryType::Char, b"");
    let pipe = entry("app/c", tar::EntryType::Fifo, b"");
    let mut swapped = sound();
    swapped.swap(2, 3);
    let mut late = sound();
    late.swap(1, 2);
    let xattr = b"30 SCHILY.xattr.user.overlay.x=y\n";
    let record = format!("{} {}", xattr.len(), std::str::from_utf8(&xattr[3..]).unwrap());
    let cases: BTreeMap<&str, (Raw, &str)> = BTreeMap::from([
        ("a path that is there twice", (inserted(3, entry("app/a", tar::EntryType::Regular, b"")), "twice")),
        ("what is not sorted", (swapped, "sorts after it")),
        ("a deletion behind its sibling", (late, "sorts after it")),
        ("setuid", (changed(2, |it| it.set_mode(0o4755)), "the mode 4755")),
        ("setgid of a directory", (changed(0, |it| it.set_mode(0o2755)), "the mode 2755")),
        ("a device", (inserted(4, device), "of type `3`")),
        ("a pipe", (inserted(4, pipe), "of type `6`")),
        ("another time", (changed(3, |it| it.set_mtime(1)), "different times")),
        ("the name of an owner", (changed(2, |it| it.set_username("me").unwrap()), "names its owner")),
        (
            "an attribute",
            (inserted(2, entry("pax", tar::EntryType::XHeader, record.as_bytes())), "SCHILY.xattr"),
        ),
        ("a name that climbs", (inserted(4, entry_named(b"app/../x")), "no clean name")),
        ("an absolute name", (inserted(0, entry_named(b"/x")), "no clean name")),
        ("a whiteout of what is there", (inserted(1, entry_named(b"app/.wh.a")), "deleted and there")),
        ("an opaque mark", (inserted(1, entry_named(b"app/.wh..wh..opq")), "no plain deletion")),
    ]);
    for (name, (entries, expected)) in cases {
        let found = found(&packed(&entries), |_, _| {});
        assert!(found.iter().any(|it| it.contains(expected)), "{name}: {found:#?}");
    }
    let mut late = packed(&sound());
    late.extend([0; 512]);
    assert!(!found(&late, |_, _| {}).is_empty(), "bytes behind the end");
    assert!(!found(&packed(&sound())[..1536], |_, _| {}).is_empty(), "a layer that is cut");
}

/// A file whose name the tar library would not write.
fn entry_named(path: &[u8]) -> (tar::Header, Vec<u8>) {
    let (mut header, bytes) = entry("x", tar::EntryType::Regular, b"");
    header.as_ustar_mut().unwrap().name[..path.len()].copy_from_slice(path);
    header.set_cksum();
    (header, bytes)
}

#[test]
fn out_04_the_validator_finds_each_fault_of_a_document() {
    let tar = packed(&sound());
    let other = digest_of(b"other");
    let size = tar.len() + 1;
    let more = |manifest: &mut Value, config: &mut Value| {
        config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(json!(other));
        let _ = manifest;
    };
    assert!(found(&tar, more).iter().any(|it| it.contains("1 layers, but 2 diffIDs")));
    let diff_id = |_: &mut Value, config: &mut Value| config["rootfs"]["diff_ids"] = json!([other]);
    assert!(found(&tar, diff_id).iter().any(|it| it.contains("has the diffID")));
    let length = |manifest: &mut Value, _: &mut Value| manifest["layers"][0]["size"] = json!(size);
    assert!(found(&tar, length).iter().any(|it| it.contains(" bytes and not ")));
    let urls =
        |manifest: &mut Value, _: &mut Value| manifest["layers"][0]["urls"] = json!(["https://x.invalid/"]);
    assert!(found(&tar, urls).iter().any(|it| it.contains("other places")));
    let missing = |manifest: &mut Value, _: &mut Value| manifest["layers"][0]["digest"] = json!(other);
    assert!(found(&tar, missing).iter().any(|it| it.contains("is not there")));
    let history = |_: &mut Value, config: &mut Value| config["history"] = json!([]);
    assert!(found(&tar, history).iter().any(|it| it.contains("tells of 0 layers")));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if host.len() > 1 && host != "localhost" {
        let named =
            |_: &mut Value, config: &mut Value| config["history"][0]["comment"] = json!(format!("on {host}"));
        assert!(found(&tar, named).iter().any(|it| it.contains("names this machine")));
    }
    let scratch = workspace::scratch();
    let digest = laid_out(scratch.path(), &tar, |_, _| {});
    let blob = scratch.path().join("blobs").join(digest_of(&tar).replace(':', "/"));
    let mut bytes = tar.clone();
    bytes[1024] ^= 1;
    fs_err::write(blob, bytes).unwrap();
    assert!(violations(scratch.path(), &digest).iter().any(|it| it.contains("has the digest")));
}
