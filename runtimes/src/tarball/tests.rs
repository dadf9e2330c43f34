use lapstrake_fixtures::debs::{DebFile, plain};
use lapstrake_oci::tree::Kind;
use tar::EntryType;
use tempfile::TempDir;

use super::*;

fn opened(deb: &DebFile) -> Result<FileTree, ArchiveError> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("x.deb");
    fs_err::write(&path, deb.build(&plain)).unwrap();
    crate::deb::open(&path, directory.path()).map(|deb| deb.tree)
}

fn refusal(path: &str, kind: EntryType, target: &str) -> (String, EntryFault) {
    let deb = DebFile::new("x", "1", "all").file("etc", 0o644, "").entry(path, kind, 0o644, target, "");
    match opened(&deb).unwrap_err() {
        ArchiveError::Entry { artifact, entry, source } => {
            assert_eq!(artifact, "x.deb:data.tar");
            (entry, source)
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_path_that_leaves_the_tree_is_refused_with_its_name() {
    for bad in ["/usr/bin/x", "../x", "usr/../../x", "./usr//x"] {
        let (entry, fault) = refusal(bad, EntryType::Regular, "");
        assert_eq!(entry, bad);
        assert!(matches!(fault, EntryFault::Path(_)), "{fault}");
    }
}

#[test]
fn devices_and_pipes_are_refused() {
    for (kind, letter) in [(EntryType::Char, '3'), (EntryType::Block, '4'), (EntryType::Fifo, '6')] {
        assert_eq!(refusal("dev/x", kind, "").1, EntryFault::Type(letter));
    }
}

#[test]
fn duplicates_and_paths_through_files_are_refused() {
    assert_eq!(refusal("etc", EntryType::Regular, "").1, EntryFault::Duplicate);
    assert_eq!(
        refusal("etc/x", EntryType::Regular, "").1,
        EntryFault::Through(TreePath::new("etc").unwrap())
    );
    let through_link = DebFile::new("x", "1", "all").symlink("lib", "/etc").file("lib/x", 0o644, "");
    assert!(opened(&through_link).is_err());
}

#[test]
fn a_hard_link_needs_an_earlier_regular_file() {
    assert_eq!(refusal("x", EntryType::Link, "nowhere").1, EntryFault::HardlinkTarget("nowhere".to_owned()));
    assert!(matches!(refusal("x", EntryType::Link, "/etc/passwd").1, EntryFault::Path(_)));
    assert_eq!(refusal("x", EntryType::Link, "").1, EntryFault::EmptyLink);
    let good =
        DebFile::new("x", "1", "all").file("a", 0o755, "a").entry("b", EntryType::Link, 0o755, "./a", "");
    let tree = opened(&good).unwrap();
    let link = &tree.get(&TreePath::new("b").unwrap()).unwrap().kind;
    assert!(matches!(link, Kind::Hardlink(target) if target.as_bytes() == b"a"));
}

#[test]
fn setuid_and_setgid_are_stripped_and_sticky_stays() {
    let deb = DebFile::new("x", "1", "all")
        .file("su", 0o4755, "")
        .directory("mail", 0o2775)
        .directory("tmp", 0o1777);
    let tree = opened(&deb).unwrap();
    let modes: Vec<u32> = tree.iter().map(|(_, node)| node.mode).collect();
    assert_eq!(modes, [0o775, 0o755, 0o1777]);
}

#[test]
fn bytes_after_the_end_are_refused() {
    let directory = TempDir::new().unwrap();
    let mut spool = Spool::create(directory.path()).unwrap();
    let mut archive = vec![0; 1024];
    archive.extend([0; 512]);
    assert!(read(&archive[..], "padded", &mut spool).is_ok());
    archive.push(b'x');
    let message = read(&archive[..], "padded", &mut spool).unwrap_err().to_string();
    assert_eq!(message, "`padded` is no tar archive: there are bytes after its end");
}

#[test]
fn contents_are_ranges_of_one_file() {
    let deb = DebFile::new("x", "1", "all").file("a", 0o644, "first").file("b", 0o644, "second");
    let tree = opened(&deb).unwrap();
    let read: Vec<Vec<u8>> = tree
        .iter()
        .map(|(_, node)| match &node.kind {
            Kind::File(content) if matches!(content.place(), lapstrake_oci::tree::Place::Range { .. }) => {
                content.read().unwrap()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(read, [b"first".to_vec(), b"second".to_vec()]);
}

mod npm {
    use std::io::Write;
    use std::path::PathBuf;

    use super::*;

    fn tarball(directory: &TempDir, files: &[(&str, EntryType, &str)]) -> PathBuf {
        let path = directory.path().join("x-1.0.0.tgz");
        let mut encoder =
            flate2::write::GzEncoder::new(fs_err::File::create(&path).unwrap(), flate2::Compression::fast());
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, text) in files {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(*kind);
            header.set_mode(0o600);
            header.set_size(text.len() as u64);
            if *kind == EntryType::Symlink {
                header.set_link_name("x").unwrap();
            }
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        encoder.write_all(&builder.into_inner().unwrap()).unwrap();
        encoder.finish().unwrap();
        path
    }

    const MANIFEST: &str = r#"{"name":"@scope/x","version":"1.0.0","bin":"./bin/x.js"}"#;

    #[test]
    fn a_tarball_is_unwrapped_and_its_commands_become_executable() {
        let directory = TempDir::new().unwrap();
        let file = EntryType::Regular;
        let path =
            tarball(&directory, &[("package/package.json", file, MANIFEST), ("package/bin/x.js", file, "x")]);
        let package = crate::tarball::npm::open(&path, directory.path()).unwrap();
        assert_eq!((package.name.as_str(), package.version.as_str()), ("@scope/x", "1.0.0"));
        assert_eq!(package.commands.keys().collect::<Vec<_>>(), ["x"]);
        let modes: Vec<_> = package.tree.iter().map(|(path, node)| (path.to_string(), node.mode)).collect();
        assert_eq!(modes, [("bin/x.js".to_owned(), 0o755), ("package.json".to_owned(), 0o644)]);
    }

    #[test]
    fn what_npm_never_packs_is_refused() {
        let directory = TempDir::new().unwrap();
        let file = EntryType::Regular;
        let open = |entry| {
            let path = tarball(&directory, &[("package/package.json", file, MANIFEST), entry]);
            crate::tarball::npm::open(&path, directory.path()).unwrap_err()
        };
        let fault = |error| match error {
            ArchiveError::Entry { source, .. } => source,
            other => panic!("{other}"),
        };
        assert_eq!(fault(open(("other/x", file, ""))), EntryFault::Outside("package"));
        assert_eq!(fault(open(("packages/x", file, ""))), EntryFault::Outside("package"));
        assert_eq!(fault(open(("package/x", EntryType::Symlink, ""))), EntryFault::Link);
        assert_eq!(
            open(("package/other.js", file, "")).to_string(),
            "`x-1.0.0.tgz` is no npm package: its command `bin/x.js` is missing"
        );
    }
}

/// Archives made to mislead readers, each with its verdict: to be refused, or readable in some form.
#[test]
fn hostile_archives_are_refused() {
    let directory =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testing/hostile-archives");
    let Ok(manifest) = fs_err::read_to_string(directory.join("MANIFEST.tsv")) else {
        eprintln!("skipped: no {}", directory.display());
        return;
    };
    let mut tried = 0;
    for line in manifest.lines() {
        let mut fields = line.split('\t');
        let (Some(name), Some("R")) = (fields.next(), fields.next()) else { continue };
        // A package without files is honest; compressed archives are the affair of the formats.
        if name.starts_with("d33") || std::path::Path::new(name).extension().is_none_or(|end| end != "tar") {
            continue;
        }
        let scratch = TempDir::new().unwrap();
        let mut spool = Spool::create(scratch.path()).unwrap();
        let archive = fs_err::File::open(directory.join(name)).unwrap();
        assert!(read(archive, name, &mut spool).is_err(), "{name} was taken");
        tried += 1;
    }
    assert!(tried > 25, "only {tried} archives");
}

#[test]
fn an_old_header_with_a_slash_at_the_end_is_a_directory() {
    let tree =
        opened(&DebFile::new("x", "1", "all").file("old/", 0o755, "").file("old/x", 0o644, "x")).unwrap();
    assert!(matches!(tree.get(&TreePath::new("old").unwrap()).unwrap().kind, Kind::Directory));
    let (entry, fault) = {
        let deb = DebFile::new("x", "1", "all").file("old/", 0o755, "bytes");
        match opened(&deb).unwrap_err() {
            ArchiveError::Entry { entry, source, .. } => (entry, source),
            other => panic!("{other}"),
        }
    };
    assert_eq!((entry.as_str(), fault), ("old/", EntryFault::Contradiction));
}
