//! Layers of ours and of other tools, read and unpacked; hostile ones refused without a trace.

#![expect(clippy::unwrap_used, reason = "what helps a test is a test")]

use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use lapstrake_oci::document::sha256_of;
use lapstrake_oci::layer::{
    Compose, Compression, Contents, EntryKind, LayerReader, PackOptions, ReadError, ReadLimits, UnpackError,
    UnpackOptions, list, pack, unpack,
};
use lapstrake_oci::tree::{FileTree, Kind, Node, Owner, TreePath};
use oci_spec::image::{Descriptor, Digest, MediaType};

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

/// A directory with a layer blob in it, and a root to unpack into.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn blob(&self, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join("blob");
        fs_err::write(&path, bytes).unwrap();
        path
    }

    fn unpack(&self, tar: &[u8], compose: Compose) -> Result<(), UnpackError> {
        let descriptor = Descriptor::new(MediaType::ImageLayer, tar.len() as u64, sha256_of(tar));
        let options = UnpackOptions::new(compose);
        unpack(&self.blob(tar), &descriptor, &sha256_of(tar), &self.root(), &options).map(drop)
    }

    fn refusal(&self, tar: &[u8], compose: Compose) -> String {
        let error = self.unpack(tar, compose).unwrap_err();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            text = format!("{text}: {source}");
            cause = source.source();
        }
        assert!(!self.root().exists(), "nothing is left");
        text
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs_err::read(self.root().join(file)).unwrap()
    }
}

/// Makes archives as other tools do, without the checks of the `tar` crate's own paths.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn entry(mut self, name: &str, kind: tar::EntryType, link: &str, content: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_mtime(7);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.entry(name, tar::EntryType::Regular, "", content.as_bytes())
    }

    fn dir(self, name: &str) -> Self {
        self.entry(name, tar::EntryType::Directory, "", b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(name, tar::EntryType::Symlink, target, b"")
    }

    fn hardlink(self, name: &str, target: &str) -> Self {
        self.entry(name, tar::EntryType::Link, target, b"")
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn tree() -> FileTree {
    let mut tree = FileTree::new();
    tree.insert(path("etc"), Node { mode: 0o555, ..Node::directory() });
    tree.insert(path("etc/passwd"), Node::file(b"root".to_vec(), 0o4644));
    tree.insert(path("tmp"), Node { mode: 0o1777, ..Node::directory() });
    tree.insert(path("usr/bin/python"), Node::symlink("python3"));
    tree.insert(path("usr/bin/python3"), Node::file(vec![b'p'; 3_000_000], 0o755));
    let link = Node { kind: Kind::Hardlink(path("usr/bin/python3")), mode: 0, owner: Owner::default() };
    tree.insert(path("usr/bin/python3.13"), link);
    let long = format!("usr/{}/{}", "ü".repeat(100), "x".repeat(200));
    tree.insert(path(&long), Node::file(b"long".to_vec(), 0o600));
    tree.fill_parents();
    tree
}

#[test]
fn a_packed_tree_comes_out_as_it_went_in() {
    for compression in [Compression::Gzip(6), Compression::Zstd(3), Compression::None] {
        let bench = Bench::new();
        let threads = NonZeroUsize::new(2).unwrap();
        let options = PackOptions { mtime: 1_600_000_000, compression, threads };
        let layer = pack(&tree(), &options, bench.dir.path()).unwrap();
        let compose = UnpackOptions::new(Compose::Single);
        let done =
            unpack(layer.blob.path(), &layer.descriptor, &layer.diff_id, &bench.root(), &compose).unwrap();
        assert_eq!((done.entries, done.bytes), (layer.files, 3_000_008));
        assert_eq!(bench.read("etc/passwd"), b"root");
        let facts = |file: &str| {
            let found = bench.root().join(file).symlink_metadata().unwrap();
            (found.permissions().mode() & 0o7777, found.mtime())
        };
        assert_eq!(facts("etc"), (0o755, 1_600_000_000));
        assert_eq!(facts("etc/passwd"), (0o644, 1_600_000_000), "setuid is left out");
        assert_eq!(facts("tmp"), (0o1777, 1_600_000_000));
        assert_eq!(facts("usr/bin"), (0o755, 1_600_000_000));
        assert_eq!(facts("usr/bin/python").1, 1_600_000_000);
        let inode = |file: &str| bench.root().join(file).metadata().unwrap().ino();
        assert_eq!(inode("usr/bin/python3.13"), inode("usr/bin/python"));
    }
}

#[test]
fn a_listing_has_paths_kinds_and_digests() {
    let bench = Bench::new();
    let layer = pack(&tree(), &PackOptions::new(5), bench.dir.path()).unwrap();
    let blob = || layer.blob.reopen().unwrap();
    let listing = list(blob(), layer.descriptor.media_type(), Contents::Hash).unwrap();
    assert_eq!((&listing.diff_id, listing.uncompressed), (&layer.diff_id, layer.uncompressed));
    let listed: Vec<_> = listing.entries.keys().map(ToString::to_string).collect();
    let expected: Vec<_> = tree().iter().map(|(path, _)| path.to_string()).collect();
    assert_eq!(listed, expected);
    let passwd = &listing.entries[&path("etc/passwd")];
    assert_eq!((passwd.entry.mode, passwd.entry.size, passwd.entry.mtime), (0o4644, 4, 5));
    assert_eq!(passwd.content, Some(sha256_of(b"root")));
    assert_eq!(
        listing.entries[&path("usr/bin/python3.13")].entry.kind,
        EntryKind::Hardlink(path("usr/bin/python3"))
    );
    let skipped = list(blob(), layer.descriptor.media_type(), Contents::Skip).unwrap();
    assert_eq!(skipped.diff_id, layer.diff_id);
    assert_eq!(skipped.entries[&path("etc/passwd")].content, None);
}

#[test]
fn a_single_gzip_member_of_another_tool_is_read() {
    let bench = Bench::new();
    let tar = Tar::default().dir("./").dir("./a").file("./a/b", "hello").end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    gzip.write_all(&tar).unwrap();
    let blob = bench.blob(&gzip.finish().unwrap());
    let docker = MediaType::from("application/vnd.docker.image.rootfs.diff.tar.gzip");
    let listing = list(File::open(&blob).unwrap(), &docker, Contents::Skip).unwrap();
    assert_eq!(listing.entries.keys().map(ToString::to_string).collect::<Vec<_>>(), ["a", "a/b"]);
    assert_eq!(listing.diff_id, sha256_of(&tar));
}

#[test]
fn a_blob_that_is_encoded_otherwise_than_named_is_refused() {
    let bench = Bench::new();
    let blob = bench.blob(&Tar::default().file("a", "b").end());
    for media_type in [MediaType::ImageLayerGzip, MediaType::ImageLayerZstd] {
        let error = list(File::open(&blob).unwrap(), &media_type, Contents::Skip).unwrap_err();
        assert!(matches!(error, ReadError::Encoding { .. }), "{error}");
    }
    let error = list(File::open(&blob).unwrap(), &MediaType::ImageConfig, Contents::Skip).unwrap_err();
    assert!(matches!(error, ReadError::MediaType { .. }));
}

#[test]
fn a_blob_that_is_not_the_named_one_is_refused_before_anything_is_made() {
    let bench = Bench::new();
    let layer = pack(&tree(), &PackOptions::new(0), bench.dir.path()).unwrap();
    let options = UnpackOptions::new(Compose::Single);
    let attempt = |blob: &Path, size: u64, digest: &Digest, diff_id: &Digest| {
        let descriptor = Descriptor::new(MediaType::ImageLayerGzip, size, digest.clone());
        let error = unpack(blob, &descriptor, diff_id, &bench.root(), &options).unwrap_err();
        assert!(!bench.root().exists());
        error
    };
    let (size, digest) = (layer.descriptor.size(), layer.descriptor.digest());
    let other = sha256_of(b"other");
    let blob = layer.blob.path();
    assert!(matches!(attempt(blob, size, &other, &layer.diff_id), UnpackError::Blob { .. }));
    assert!(matches!(attempt(blob, size - 1, digest, &layer.diff_id), UnpackError::Blob { .. }));
    assert!(matches!(attempt(blob, size, digest, &other), UnpackError::DiffId { .. }));
    let mut bytes = fs_err::read(blob).unwrap();
    // Inside the compressed data: nobody looks at all of a gzip header.
    bytes[40] ^= 1;
    assert!(matches!(attempt(&bench.blob(&bytes), size, digest, &layer.diff_id), UnpackError::Blob { .. }));
    let named = sha256_of(&bytes);
    attempt(&bench.blob(&bytes), size, &named, &layer.diff_id);
    bytes.truncate(bytes.len() / 2);
    let named = sha256_of(&bytes);
    attempt(&bench.blob(&bytes), bytes.len() as u64, &named, &layer.diff_id);
}

#[test]
fn an_archive_cut_anywhere_is_refused() {
    let tar = Tar::default().dir("a").file("a/b", "hello").file("c", &"x".repeat(700)).end();
    let complete = tar.len() - 1024;
    for cut in (0..complete).step_by(64).filter(|cut| ![0, 512, 1536].contains(cut)) {
        let stream = Box::new(std::io::Cursor::new(tar[..cut].to_vec()));
        let mut reader = LayerReader::new(stream, ReadLimits::default());
        let result = loop {
            match reader.next_entry() {
                Ok(Some(_)) => {}
                other => break other,
            }
        };
        assert!(result.is_err(), "cut at {cut}");
    }
}

#[test]
fn entries_that_leave_the_root_or_are_no_files_are_refused_by_name() {
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Tar::default().file("/etc/passwd", "x").end(), "it is absolute"),
        (Tar::default().file("a/../../b", "x").end(), "it has a `..` component"),
        (Tar::default().dir("a").hardlink("a/b", "../canary").end(), "it has a `..` component"),
        (Tar::default().hardlink("a", "/etc/passwd").end(), "it is absolute"),
        (Tar::default().symlink("a", "/tmp").file("a/b", "x").end(), "`a/b`"),
        (Tar::default().symlink("a", "/").hardlink("b", "a/etc/passwd").end(), "`b`"),
        (Tar::default().file("a", "x").file("a", "y").end(), "the layer has it twice"),
        (Tar::default().file("a/.wh.b", "").end(), "it is a whiteout"),
        (Tar::default().file("a/.wh..wh..opq", "").end(), "it is a whiteout"),
        (Tar::default().entry("null", tar::EntryType::Char, "", b"").end(), "it is a device"),
        (Tar::default().entry("sda", tar::EntryType::Block, "", b"").end(), "it is a device"),
        (Tar::default().entry("pipe", tar::EntryType::Fifo, "", b"").end(), "it is a named pipe"),
        (Tar::default().entry("s", tar::EntryType::GNUSparse, "", b"").end(), "sparse files"),
        (Tar::default().symlink(".", "/tmp").end(), "it has a `.` component"),
    ];
    for (tar, expected) in cases {
        let bench = Bench::new();
        let text = bench.refusal(&tar, Compose::Single);
        assert!(text.contains(expected), "{text} has no {expected}");
    }
}

#[test]
fn a_bomb_is_found_by_its_limits() {
    let bench = Bench::new();
    let tar = Tar::default().file("a", "x").file("b", "y").end();
    let descriptor = Descriptor::new(MediaType::ImageLayer, tar.len() as u64, sha256_of(&tar));
    let mut options = UnpackOptions::new(Compose::Single);
    let mut attempt = |entries, uncompressed| {
        options.limits = ReadLimits { entries, uncompressed };
        unpack(&bench.blob(&tar), &descriptor, &sha256_of(&tar), &bench.root(), &options)
    };
    assert!(matches!(attempt(1, 1 << 20), Err(UnpackError::Read { .. })));
    assert!(matches!(attempt(2, 2048), Err(UnpackError::Read { .. })));
    assert!(!bench.root().exists());
    attempt(2, 3072).unwrap();
}

/// A path that needs an extended header, as an archive of one file.
fn long_path(path: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    builder.append_data(&mut header, path, &b"x"[..]).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn a_deep_path_is_unpacked_and_a_deeper_one_refused() {
    for compose in [Compose::Single, Compose::Merge] {
        let bench = Bench::new();
        let deep = format!("{}f", "d/".repeat(600));
        bench.unpack(&long_path(&deep), compose).unwrap();
        lapstrake_oci::layer::remove_tree(&bench.root()).unwrap();
        let deeper = format!("{}f", "d/".repeat(100_000));
        let text = bench.refusal(&long_path(&deeper), compose);
        assert!(text.ends_with("its path is longer than 4096 bytes"), "{text}");
    }
}

#[test]
fn layers_are_merged_through_the_links_of_lower_ones() {
    let bench = Bench::new();
    let base = Tar::default()
        .dir("usr/lib")
        .symlink("lib", "/usr/lib")
        .file("usr/lib/old", "old")
        .file("usr/lib/kept", "kept")
        .symlink("escape", "/../../..")
        .end();
    bench.unpack(&base, Compose::Merge).unwrap();
    let upper = Tar::default()
        .file("lib/new", "new")
        .file("lib/.wh.old", "")
        .file("escape/inside", "in")
        .hardlink("usr/hard", "lib/new")
        .end();
    bench.unpack(&upper, Compose::Merge).unwrap();
    assert_eq!(bench.read("usr/lib/new"), b"new");
    assert_eq!(bench.read("usr/hard"), b"new");
    assert_eq!(bench.read("usr/lib/kept"), b"kept");
    assert_eq!(bench.read("inside"), b"in");
    assert!(!bench.root().join("usr/lib/old").exists());
    assert!(bench.root().join("lib").is_symlink());
}

#[test]
fn whiteouts_delete_what_is_below_and_not_what_their_own_layer_has() {
    let bench = Bench::new();
    let base =
        Tar::default().dir("d").file("d/a", "1").file("d/sub/b", "1").file("e/f", "1").file("g", "1").end();
    bench.unpack(&base, Compose::Merge).unwrap();
    let upper = Tar::default()
        .file("d/sub/new", "2")
        .file("d/.wh..wh..opq", "")
        .file(".wh.e", "")
        .file("g/h", "2")
        .file("missing/.wh.x", "")
        .end();
    let error = bench.unpack(&upper, Compose::Merge).unwrap_err();
    assert!(error.to_string().starts_with("`g/h` of layer"), "a file is no directory: {error}");

    bench.unpack(&base, Compose::Merge).unwrap();
    let upper = Tar::default()
        .file("d/sub/new", "2")
        .file("d/.wh..wh..opq", "")
        .file(".wh.e", "")
        .dir("g")
        .file("g/h", "2")
        .file("missing/.wh.x", "")
        .end();
    bench.unpack(&upper, Compose::Merge).unwrap();
    let mut left: Vec<_> = Vec::new();
    for entry in walkdir::WalkDir::new(bench.root()).sort_by_file_name() {
        let entry = entry.unwrap();
        left.push(entry.path().strip_prefix(bench.root()).unwrap().display().to_string());
    }
    assert_eq!(left, ["", "d", "d/sub", "d/sub/new", "g", "g/h"]);
}

#[test]
fn whiteouts_become_what_an_overlay_takes_for_them() {
    let bench = Bench::new();
    let tar =
        Tar::default().dir("d").file("d/.wh..wh..opq", "").file("d/.wh.gone", "").file("d/a", "1").end();
    match bench.unpack(&tar, Compose::Overlay) {
        Err(UnpackError::Entry { source, .. }) if source.kind() != std::io::ErrorKind::NotFound => {
            eprintln!("skipped: this file system has no overlay marks: {source}");
            return;
        }
        result => result.unwrap(),
    }
    let gone = bench.root().join("d/gone").symlink_metadata().unwrap();
    assert!(gone.file_type().is_char_device());
    assert_eq!(gone.rdev(), 0);
    let mut value = [0; 8];
    let len = rustix::fs::getxattr(bench.root().join("d"), "user.overlay.opaque", &mut value).unwrap();
    assert_eq!(&value[..len], b"y");
}

#[test]
fn a_directory_with_something_in_it_is_left_alone() {
    let bench = Bench::new();
    fs_err::create_dir(bench.root()).unwrap();
    fs_err::write(bench.root().join("precious"), b"x").unwrap();
    let tar = Tar::default().file("a", "x").end();
    let error = bench.unpack(&tar, Compose::Single).unwrap_err();
    assert!(matches!(error, UnpackError::NotEmpty { .. }));
    assert_eq!(bench.read("precious"), b"x");
}

#[test]
fn everything_gets_one_owner_when_root_asks_for_it() {
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let bench = Bench::new();
    let tar = Tar::default().file("made/on/the/way", "x").symlink("link", "nowhere").end();
    let descriptor = Descriptor::new(MediaType::ImageLayer, tar.len() as u64, sha256_of(&tar));
    let mut options = UnpackOptions::new(Compose::Single);
    options.owner = Some(Owner { uid: 12345, gid: 54321 });
    unpack(&bench.blob(&tar), &descriptor, &sha256_of(&tar), &bench.root(), &options).unwrap();
    for name in ["made", "made/on", "made/on/the", "made/on/the/way", "link"] {
        let found = bench.root().join(name).symlink_metadata().unwrap();
        assert_eq!((found.uid(), found.gid()), (12345, 54321), "{name}");
    }
}

#[test]
fn the_hostile_archives_do_not_touch_what_is_outside() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testing/hostile-archives");
    let Ok(archives) = fs_err::read_dir(&corpus) else {
        eprintln!("skipped: there are no hostile archives beside the repository");
        return;
    };
    let mut tried = 0;
    for archive in archives.chain(fs_err::read_dir(corpus.join("archives")).into_iter().flatten()) {
        let archive = archive.unwrap().path();
        if archive.extension().is_none_or(|extension| extension != "tar") {
            continue;
        }
        tried += 1;
        let bench = Bench::new();
        fs_err::write(bench.dir.path().join("canary"), b"canary").unwrap();
        let tar = fs_err::read(&archive).unwrap();
        for compose in [Compose::Single, Compose::Merge] {
            let result = bench.unpack(&tar, compose);
            if result.is_ok() {
                lapstrake_oci::layer::remove_tree(&bench.root()).unwrap();
            }
            let left: Vec<_> =
                fs_err::read_dir(bench.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert!(
                left.iter().all(|name| name == "canary" || name == "blob"),
                "{}: {left:?}",
                archive.display()
            );
            assert_eq!(fs_err::read(bench.dir.path().join("canary")).unwrap(), b"canary");
        }
    }
    eprintln!("{tried} hostile archives");
}
