use std::io::Write;

use lapstrake_fixtures::debs::{Compress, DebFile, plain, wrap};
use tempfile::TempDir;

use super::*;

fn package() -> DebFile {
    DebFile::new("hello", "1.0-1", "amd64")
        .control("Description: says hello\n to everyone\nMulti-Arch: foreign\n")
        .md5sums("d41d8cd98f00b204e9800998ecf8427e  usr/bin/hello\n")
        .directory("./", 0o755)
        .directory("./usr/", 0o755)
        .directory("./usr/bin/", 0o755)
        .file("./usr/bin/hello", 0o755, "hello")
        .symlink("./usr/bin/hi", "hello")
}

fn opened(bytes: &[u8]) -> Result<Deb, ArchiveError> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("hello.deb");
    fs_err::write(&path, bytes).unwrap();
    open(&path, directory.path())
}

fn listing(tree: &FileTree) -> Vec<String> {
    tree.iter()
        .map(|(path, node)| match &node.kind {
            Kind::Directory => format!("{path}/ {:o}", node.mode),
            Kind::File(content) => {
                format!("{path} {:o} {}", node.mode, content.read().unwrap().escape_ascii())
            }
            Kind::Symlink(target) => format!("{path} -> {}", target.escape_ascii()),
            Kind::Hardlink(target) => format!("{path} == {target}"),
            Kind::Whiteout => format!("{path} gone"),
        })
        .collect()
}

fn gzip(archive: &[u8]) -> (&'static str, Vec<u8>) {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(archive).unwrap();
    (".gz", encoder.finish().unwrap())
}

fn xz(archive: &[u8]) -> (&'static str, Vec<u8>) {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(archive).unwrap();
    (".xz", encoder.finish().unwrap())
}

fn zst(archive: &[u8]) -> (&'static str, Vec<u8>) {
    (".zst", zstd::encode_all(archive, 1).unwrap())
}

const CODECS: [Compress<'_>; 4] = [&plain, &gzip, &xz, &zst];

#[test]
fn a_package_opens_the_same_in_every_compression() {
    for compress in CODECS {
        let deb = opened(&package().build(compress)).unwrap();
        assert_eq!(
            (deb.control.package(), deb.control.version(), deb.control.architecture()),
            ("hello", "1.0-1", "amd64")
        );
        assert_eq!(deb.control.field("description"), Some("says hello\nto everyone"));
        assert_eq!(deb.md5sums.as_deref(), Some(&b"d41d8cd98f00b204e9800998ecf8427e  usr/bin/hello\n"[..]));
        assert_eq!(
            listing(&deb.tree),
            ["usr/ 755", "usr/bin/ 755", "usr/bin/hello 755 hello", "usr/bin/hi -> hello"]
        );
    }
}

#[test]
fn a_truncated_or_damaged_package_is_refused_in_every_compression() {
    for compress in CODECS {
        let whole = package().build(compress);
        assert!(opened(&whole[..whole.len() - 700.min(whole.len() / 4)]).is_err());
    }
    for compress in &CODECS[1..] {
        let mut damaged = package().build(compress);
        let last = damaged.len() - 12;
        damaged[last] ^= 1;
        assert!(opened(&damaged).is_err(), "a flipped bit near the checksum went unseen");
    }
}

#[test]
fn members_that_are_missing_or_out_of_order_are_named() {
    let member = |name: &str| (name.to_owned(), b"2.0\n".to_vec());
    let message = |members: &[(String, Vec<u8>)]| opened(&wrap(members)).unwrap_err().to_string();
    assert_eq!(
        message(&[member("debian-binary")]),
        "`hello.deb` is no Debian package: member `control.tar` is missing"
    );
    assert_eq!(
        message(&[member("debian-binary"), member("data.tar")]),
        "`hello.deb` is no Debian package: member `data.tar` stands where `control.tar` should"
    );
    assert_eq!(
        message(&[member("debian-binary"), member("control.tar.lz")]),
        "`hello.deb` is no Debian package: member `control.tar.lz` has an unknown compression"
    );
}

#[test]
fn the_format_version_is_checked() {
    let members = [("debian-binary".to_owned(), b"3.0\n".to_vec())];
    let message = opened(&wrap(&members)).unwrap_err().to_string();
    assert_eq!(message, "`hello.deb` is no Debian package: its format is `3.0`, not `2.0`");
}

#[test]
fn a_package_name_that_is_a_path_is_refused() {
    let message = opened(&DebFile::new("../../etc/x", "1", "all").build(&plain)).unwrap_err().to_string();
    assert_eq!(message, "`hello.deb` is no Debian package: `../../etc/x` is no package name");
}

#[test]
fn the_changelog_is_found() {
    let deb = opened(&package().file("usr/share/doc/hello/changelog.Debian.gz", 0o644, "news").build(&plain))
        .unwrap();
    assert_eq!(deb.changelog().unwrap().read().unwrap(), b"news");
}
