//! Archives written and read back, by us and by another tool.

#![expect(clippy::unwrap_used, reason = "what helps a test is a test")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use lapstrake_oci::archive::{ArchiveError, Imported, Top, import, write_docker_archive, write_oci_archive};
use lapstrake_oci::document::{Document, sha256_of};
use lapstrake_oci::image::{Blob, Image, ImageIndex};
use lapstrake_oci::layer::{Compression, PackOptions, pack};
use lapstrake_oci::layout::Layout;
use lapstrake_oci::tree::{FileTree, Node, TreePath};
use oci_spec::image::MediaType;
use serde_json::json;

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn layout(&self, name: &str) -> Layout {
        Layout::create(self.path(name)).unwrap()
    }

    /// An image of two layers, the second compressed in another way than the first.
    fn image(&self, architecture: &str) -> Image {
        let store = self.layout("store");
        let mut layers = Vec::new();
        let mut diff_ids = Vec::new();
        for (name, compression) in [("lower", Compression::Gzip(6)), ("upper", Compression::Zstd(3))] {
            let mut tree = FileTree::new();
            tree.insert(TreePath::new(name).unwrap(), Node::file(name.repeat(100_000).into_bytes(), 0o644));
            let layer = pack(&tree, &PackOptions::new(0).compression(compression), self.dir.path()).unwrap();
            diff_ids.push(layer.diff_id.to_string());
            layers.push(store.adopt_layer(layer).unwrap());
        }
        let rootfs = json!({"type": "layers", "diff_ids": diff_ids});
        let config = json!({"architecture": architecture, "os": "linux", "config": {}, "rootfs": rootfs});
        Image::assemble(Document::new(MediaType::ImageConfig, &config), layers, &BTreeMap::new())
    }

    fn import(&self, archive: &Path, into: &str) -> Result<(Layout, Vec<Imported>), ArchiveError> {
        let layout = self.layout(into);
        let imported = import(archive, &layout, &PackOptions::new(0))?;
        Ok((layout, imported))
    }
}

fn diff_ids(image: &Image) -> Vec<String> {
    let config: oci_spec::image::ImageConfiguration = image.config.parse().unwrap();
    config.rootfs().diff_ids().clone()
}

fn names(archive: &Path) -> Vec<String> {
    let mut archive = tar::Archive::new(fs_err::File::open(archive).unwrap());
    archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
}

#[test]
fn an_oci_archive_comes_back_as_it_was() {
    let bench = Bench::new();
    let image = bench.image("amd64");
    let (one, two) = (bench.path("one.tar"), bench.path("two.tar"));
    write_oci_archive(&one, Top::Image(&image), Some("v1")).unwrap();
    write_oci_archive(&two, Top::Image(&image), Some("v1")).unwrap();
    assert_eq!(fs_err::read(&one).unwrap(), fs_err::read(&two).unwrap(), "the same bytes again");
    assert_eq!(names(&one)[..4], ["oci-layout", "index.json", "blobs/", "blobs/sha256/"]);

    let (layout, imported) = bench.import(&one, "other").unwrap();
    assert_eq!(imported[0].name.as_deref(), Some("v1"));
    assert_eq!(imported[0].descriptor, *image.manifest.descriptor());
    let read = layout.read_image(&imported[0].descriptor).unwrap();
    read.validate().unwrap();
    assert_eq!(read.manifest, image.manifest);
}

#[test]
fn an_archive_of_several_platforms_comes_back() {
    let bench = Bench::new();
    let images = vec![bench.image("amd64"), bench.image("arm64")];
    let index = ImageIndex::assemble(images, &BTreeMap::new()).unwrap();
    let file = bench.path("index.tar");
    write_oci_archive(&file, Top::Index(&index), None).unwrap();
    let (layout, imported) = bench.import(&file, "other").unwrap();
    assert_eq!(imported.len(), 1);
    assert_eq!(imported[0].name, None);
    layout.read_index_of_images(&imported[0].descriptor).unwrap().validate().unwrap();
}

#[test]
fn a_docker_archive_keeps_config_and_diff_ids() {
    let bench = Bench::new();
    let image = bench.image("amd64");
    let file = bench.path("docker.tar");
    write_docker_archive(&file, &image, &["example.com/app:1".to_owned(), "app:latest".to_owned()]).unwrap();
    let layers: Vec<_> = diff_ids(&image).iter().map(|id| id.replace("sha256:", "") + ".tar").collect();
    let config = format!("{}.json", image.config.digest().digest());
    assert_eq!(names(&file), ["manifest.json", &config, &layers[0], &layers[1]]);
    let mut archive = tar::Archive::new(fs_err::File::open(&file).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if let Some(hex) = name.strip_suffix(".tar") {
            assert_eq!(sha256_of(&content).digest(), hex, "a layer is its diff_id");
        }
    }

    let (layout, imported) = bench.import(&file, "other").unwrap();
    let found: Vec<_> = imported.iter().map(|it| it.name.as_deref().unwrap()).collect();
    assert_eq!(found, ["example.com/app:1", "app:latest"]);
    let read = layout.read_image(&imported[0].descriptor).unwrap();
    read.validate().unwrap();
    assert_eq!(read.config.bytes(), image.config.bytes());
    assert!(read.layers.iter().all(|it| *it.descriptor.media_type() == MediaType::ImageLayerGzip));
}

#[test]
fn a_compressed_archive_is_read_too() {
    let bench = Bench::new();
    let image = bench.image("amd64");
    let (plain, packed) = (bench.path("plain.tar"), bench.path("packed.tar.gz"));
    write_docker_archive(&plain, &image, &[]).unwrap();
    let file = fs_err::File::create(&packed).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::new(1));
    gzip.write_all(&fs_err::read(&plain).unwrap()).unwrap();
    gzip.finish().unwrap();
    let (_, imported) = bench.import(&packed, "other").unwrap();
    assert_eq!(imported.len(), 1);
    let left = fs_err::read_dir(bench.path("other")).unwrap().count();
    assert_eq!(left, 3, "`blobs`, `index.json`, `oci-layout` and nothing else");
}

#[test]
fn a_flipped_byte_in_a_blob_is_found() {
    let bench = Bench::new();
    let image = bench.image("amd64");
    let file = bench.path("archive.tar");
    write_oci_archive(&file, Top::Image(&image), Some("v1")).unwrap();
    let mut bytes = fs_err::read(&file).unwrap();
    let place = bytes.windows(4).position(|window| window == b"diff").unwrap();
    bytes[place] = b'D';
    fs_err::write(&file, bytes).unwrap();
    assert!(matches!(bench.import(&file, "other"), Err(ArchiveError::Layout(_))));

    let file = bench.path("docker.tar");
    write_docker_archive(&file, &image, &[]).unwrap();
    let mut bytes = fs_err::read(&file).unwrap();
    let place = bytes.windows(9).position(|window| window == b"lowerlowe").unwrap();
    bytes[place] = b'L';
    fs_err::write(&file, bytes).unwrap();
    let error = bench.import(&file, "another").unwrap_err();
    assert!(matches!(error, ArchiveError::DiffId { position: 1, .. }), "{error}");
}

#[test]
fn files_that_are_no_archives_are_refused() {
    let bench = Bench::new();
    let refusal = |bytes: &[u8]| {
        let file = bench.path("file");
        fs_err::write(&file, bytes).unwrap();
        bench.import(&file, "other").unwrap_err().to_string()
    };
    assert!(refusal(b"").ends_with("it has neither `oci-layout` nor `manifest.json`"));
    assert!(refusal(b"not a tar").ends_with("cannot be read as an archive"));
    let archive = |entries: &[(&str, &[u8])]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    };
    assert!(refusal(&archive(&[("manifest.json", b"{}")])).contains("`manifest.json`: "));
    let names = br#"[{"Config":"../../etc/passwd","RepoTags":null,"Layers":[]}]"#;
    assert!(refusal(&archive(&[("manifest.json", names)])).contains("it has a `..` component"));
    let missing = br#"[{"Config":"c.json","RepoTags":null,"Layers":["gone"]}]"#;
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["x"]}}"#;
    let text = refusal(&archive(&[("manifest.json", missing), ("c.json", config)]));
    assert!(text.ends_with("it has no file `gone`"), "{text}");
    let twice = refusal(&archive(&[("manifest.json", missing), ("manifest.json", b"[]")]));
    assert!(twice.ends_with("it has `manifest.json` twice"), "{twice}");
}

#[test]
fn a_layer_that_old_docker_stored_as_a_link_is_found() {
    let bench = Bench::new();
    let image = bench.image("amd64");
    let file = bench.path("new.tar");
    write_docker_archive(&file, &image, &[]).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut source = tar::Archive::new(fs_err::File::open(&file).unwrap());
    for entry in source.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let mut header = entry.header().clone();
        if name == "manifest.json" {
            let mut manifest: serde_json::Value = serde_json::from_slice(&content).unwrap();
            manifest[0]["Layers"][0] = json!("one/layer.tar");
            content = serde_json::to_vec(&manifest).unwrap();
            header.set_size(content.len() as u64);
        }
        builder.append_data(&mut header, &name, &content[..]).unwrap();
    }
    let lower = diff_ids(&image)[0].replace("sha256:", "") + ".tar";
    let mut link = tar::Header::new_ustar();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "one/layer.tar", format!("../{lower}")).unwrap();
    let old = bench.path("old.tar");
    fs_err::write(&old, builder.into_inner().unwrap()).unwrap();
    let (layout, imported) = bench.import(&old, "other").unwrap();
    layout.read_image(&imported[0].descriptor).unwrap().validate().unwrap();
}

#[test]
fn out_13_a_link_at_the_output_is_replaced_and_not_followed() {
    let bench = Bench::new();
    let image = bench.image("amd64");
    let (canary, output) = (bench.path("canary"), bench.path("out.tar"));
    fs_err::write(&canary, b"canary").unwrap();
    std::os::unix::fs::symlink(&canary, &output).unwrap();
    write_docker_archive(&output, &image, &[]).unwrap();
    assert_eq!(fs_err::read(&canary).unwrap(), b"canary");
    assert!(!output.is_symlink());

    let directory = bench.path("directory");
    fs_err::create_dir(&directory).unwrap();
    let error = write_docker_archive(&directory, &image, &[]).unwrap_err();
    assert!(matches!(error, ArchiveError::Occupied { reason: "it is a directory", .. }));
    let error = write_docker_archive(Path::new("/dev/null"), &image, &[]).unwrap_err();
    assert!(matches!(error, ArchiveError::Occupied { .. }));
}

#[test]
fn out_13_a_failed_archive_leaves_the_old_one_and_nothing_else() {
    let bench = Bench::new();
    let mut image = bench.image("amd64");
    fs_err::create_dir(bench.path("out")).unwrap();
    let output = bench.path("out/image.tar");
    fs_err::write(&output, b"old").unwrap();
    let gone = image.layers[1].descriptor.clone();
    image.layers[1] = Blob::file(gone, bench.path("gone"));
    write_oci_archive(&output, Top::Image(&image), None).unwrap_err();
    write_docker_archive(&output, &image, &[]).unwrap_err();
    let wrong = Blob::bytes(MediaType::ImageLayer, b"wrong".to_vec());
    image.layers[1] = wrong;
    let error = write_docker_archive(&output, &image, &[]).unwrap_err();
    assert!(matches!(error, ArchiveError::DiffId { position: 2, .. }), "{error}");
    assert_eq!(fs_err::read(&output).unwrap(), b"old");
    assert_eq!(fs_err::read_dir(bench.path("out")).unwrap().count(), 1);
}

/// Runs skopeo; false if it is not on this machine.
fn skopeo(arguments: &[String]) -> bool {
    let Ok(output) = Command::new("skopeo").arg("--insecure-policy").args(arguments).output() else {
        return false;
    };
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    true
}

#[test]
fn skopeo_reads_what_we_write_and_we_read_what_skopeo_writes() {
    let bench = Bench::new();
    let image = bench.image("amd64");
    let (oci, docker) = (bench.path("oci.tar"), bench.path("docker.tar"));
    write_oci_archive(&oci, Top::Image(&image), Some("v1")).unwrap();
    write_docker_archive(&docker, &image, &["example.com/app:1".to_owned()]).unwrap();
    let at = |kind: &str, name: &str, tag: &str| format!("{kind}:{}{tag}", bench.path(name).display());
    let copy = |from: String, to: String| skopeo(&["copy".to_owned(), from, to]);

    if !copy(at("oci-archive", "oci.tar", ":v1"), at("oci", "by-skopeo", ":v1")) {
        eprintln!("skipped: there is no `skopeo` on this machine");
        return;
    }
    let layout = Layout::open(bench.path("by-skopeo")).unwrap();
    let read = layout.read_image(&layout.resolve("v1").unwrap()).unwrap();
    read.validate().unwrap();
    assert_eq!(read.manifest.bytes(), image.manifest.bytes());

    copy(at("docker-archive", "docker.tar", ""), at("oci", "from-docker", ":v1"));
    let layout = Layout::open(bench.path("from-docker")).unwrap();
    let read = layout.read_image(&layout.resolve("v1").unwrap()).unwrap();
    read.validate().unwrap();
    assert_eq!(diff_ids(&read), diff_ids(&image));

    copy(at("docker-archive", "docker.tar", ""), at("docker-archive", "skopeo.tar", ":example.com/app:2"));
    let (layout, imported) = bench.import(&bench.path("skopeo.tar"), "imported").unwrap();
    assert_eq!(imported[0].name.as_deref(), Some("example.com/app:2"));
    let read = layout.read_image(&imported[0].descriptor).unwrap();
    read.validate().unwrap();
    assert_eq!(diff_ids(&read), diff_ids(&image));

    copy(at("oci", "by-skopeo", ":v1"), at("oci-archive", "skopeo-oci.tar", ":v2"));
    let (layout, imported) = bench.import(&bench.path("skopeo-oci.tar"), "imported").unwrap();
    assert_eq!(imported[0].name.as_deref(), Some("v2"));
    layout.read_image(&imported[0].descriptor).unwrap().validate().unwrap();

    let ours = bench.layout("ours");
    ours.write_image(&image).unwrap();
    ours.tag("v3", image.manifest.descriptor()).unwrap();
    copy(at("oci", "ours", ":v3"), at("oci", "again", ":v3"));
    let again = Layout::open(bench.path("again")).unwrap();
    assert_eq!(again.resolve("v3").unwrap().digest(), image.manifest.digest());
}
