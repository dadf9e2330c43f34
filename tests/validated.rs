//! Images of every kind of app, and then all that any test opened, before all validators at hand: our own, and other
//! people's tools that read, copy, unpack and run them. And all of these before images that are wrong, each in one thing.

use std::collections::BTreeMap;
use std::path::Path;

use lapstrake_fixtures::apps::{ALL, App};
use serde_json::{Value, json};

use crate::apps::{build_arguments, pull};
use crate::harness::containerd::Containerd;
use crate::harness::gathered::Gathered;
use crate::harness::image::digest_of;
use crate::harness::judges::{self, Podman, judge};
use crate::harness::validated::violations;
use crate::harness::{Image, Lapstrake, Registry, schema, tools, workspace};

fn build(app: App, compression: &str, layout: &Path) -> Image {
    let lapstrake = Lapstrake::new();
    let mut arguments = build_arguments(&lapstrake, &app);
    let output = format!("oci:{}:app", layout.display());
    arguments.extend(["--compression", compression, "--output", &output].map(str::to_owned));
    let digest = lapstrake.run(arguments).expect(0).digest();
    let image = Image::open(layout, Some("app"));
    assert_eq!(image.digest, digest);
    schema::check_layout(layout, Some("app"));
    image
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
    let scratch = workspace::scratch();
    let gathered = Gathered::at(&scratch.path().join("gathered"));
    let cases = cases();
    for (at, (app, compression)) in cases.iter().enumerate() {
        let layout = scratch.path().join(at.to_string());
        gathered.add(&layout, &build(*app, compression, &layout));
    }
    let verdict = judge(&gathered, scratch.path());
    assert_eq!(verdict.faults, Vec::<String>::new());
    assert_eq!(gathered.images().len(), cases.len(), "{verdict}");
    println!("sample apps: {verdict}");
}

/// The last of all tests: `.config/nextest.toml` says so.
#[test]
fn out_04_every_image_that_a_test_built_or_opened_passes_every_tool() {
    let Some(gathered) = Gathered::of_this_run() else {
        println!("skipped: images are gathered where `tests/run` runs the tests");
        return;
    };
    let scratch = workspace::scratch_for_trees();
    let verdict = judge(&gathered, scratch.path());
    assert_eq!(verdict.faults, Vec::<String>::new(), "{verdict}");
    println!("figure OUT-04: {verdict}");
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

/// What each tool says of an image whose layer has one bit changed, or none.
fn judged(change: bool) -> Vec<(&'static str, Result<(), String>)> {
    let scratch = workspace::scratch();
    let tar = packed(&sound());
    let layout = scratch.path().join("layout");
    let digest = laid_out(&layout, &tar, |_, _| {});
    let size = fs_err::metadata(layout.join("blobs").join(digest.replace(':', "/"))).unwrap().len();
    let index = json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size,
    }] });
    fs_err::write(layout.join("index.json"), index.to_string()).unwrap();
    let image = Image::open_foreign(&layout, None);
    let gathered = Gathered::at(&scratch.path().join("gathered"));
    gathered.add(&layout, &image);
    if change {
        let blob = gathered.directory().join("blobs").join(digest_of(&tar).replace(':', "/"));
        let mut bytes = tar.clone();
        // The content of the first file: only digests tell.
        bytes[3 * 512] ^= 1;
        fs_err::write(blob, bytes).unwrap();
    }
    let images = gathered.images();
    let mut results = vec![
        ("skopeo", judges::by_skopeo(&gathered, &images[0], scratch.path())),
        ("umoci", judges::by_umoci(&gathered, &images[0], scratch.path())),
    ];
    if tools::is_there("oci-image-tool") {
        results.push(("oci-image-tool", judges::by_image_tool(&gathered, &images[0], scratch.path())));
    }
    if tools::is_root() {
        results.push(("podman", Podman::new(scratch.path()).loads(&gathered, &images[0]).map(drop)));
        if tools::is_there("containerd") {
            let containerd = Containerd::start(&scratch.path().join("containerd"));
            results.push(("containerd", containerd.applies(&gathered, &images[0])));
        }
    }
    assert_eq!(judges::mounts_below(scratch.path()), Vec::<std::path::PathBuf>::new(), "left behind");
    results
}

#[test]
fn out_04_every_tool_refuses_an_image_with_one_wrong_bit_and_takes_it_without() {
    for (tool, result) in judged(false) {
        assert_eq!(result, Ok(()), "{tool}");
    }
    for (tool, result) in judged(true) {
        assert!(result.is_err(), "{tool} takes a layer with another digest");
    }
}
