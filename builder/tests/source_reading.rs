//! Reading and writing sources: what other tools pack is read as it was, and what is damaged is not read at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use lapstrake::source::{
    Compression, Fault, GitPolicy, Limits, MaterialiseError, MaterialiseOptions, ReadOptions, Rule, Source,
    SourceError, SourceKind, SourceSpec, SymlinkPolicy, Warning, exclude_git, materialise, read,
};
use lapstrake_oci::tree::{FileTree, Kind, Node};
use proptest::prelude::*;

use pack::{Packed, listing, pack, packed_tree, path, read_bytes, read_path};

#[cfg(test)]
mod pack {
    use std::collections::BTreeMap;
    use std::io::Cursor;
    use std::path::Path;

    use lapstrake::source::{ReadOptions, Source, SourceError, SourceSpec, read};
    use lapstrake_oci::tree::{FileTree, Kind, TreePath};
    use proptest::prelude::*;

    /// A thing to pack, by path.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) enum Packed {
        Directory,
        File(Vec<u8>, bool),
        Symlink(Vec<u8>),
    }

    pub(super) type Tree = BTreeMap<Vec<u8>, Packed>;

    pub(super) fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    pub(super) fn read_bytes(bytes: &[u8]) -> Result<Source, SourceError> {
        let scratch = tempfile::tempdir().unwrap();
        read(&SourceSpec::Stdin, bytes, &ReadOptions::new(scratch.path()))
    }

    pub(super) fn read_path(path: &Path) -> Result<Source, SourceError> {
        let scratch = tempfile::tempdir().unwrap();
        read(&SourceSpec::Path(path.to_owned()), std::io::empty(), &ReadOptions::new(scratch.path()))
    }

    /// A tree as values that can be compared.
    pub(super) fn listing(tree: &FileTree) -> Tree {
        let value = |kind: &Kind, mode| match kind {
            Kind::Directory => Packed::Directory,
            Kind::File(content) => Packed::File(content.read().unwrap(), mode & 0o111 != 0),
            Kind::Symlink(target) => Packed::Symlink(target.clone()),
            Kind::Hardlink(_) | Kind::Whiteout => unreachable!("none was packed"),
        };
        tree.iter().map(|(path, node)| (path.as_bytes().to_vec(), value(&node.kind, node.mode))).collect()
    }

    /// Packs a tree with the `tar` crate's headers. Names are put there by hand: the crate refuses some that are fine.
    pub(super) fn pack(tree: &Tree) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, packed) in tree {
            let mut header = tar::Header::new_gnu();
            header.set_mtime(1_700_000_000);
            let mut content: &[u8] = &[];
            match packed {
                Packed::Directory => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_mode(0o750);
                }
                Packed::File(bytes, executable) => {
                    content = bytes;
                    header.set_mode(if *executable { 0o700 } else { 0o640 });
                }
                Packed::Symlink(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    long_name(&mut builder, b'K', target);
                    put(&mut header, 157, target);
                }
            }
            long_name(&mut builder, b'L', path);
            put(&mut header, 0, path);
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn put(header: &mut tar::Header, at: usize, text: &[u8]) {
        let length = text.len().min(100);
        header.as_mut_bytes()[at..at + length].copy_from_slice(&text[..length]);
    }

    fn long_name(builder: &mut tar::Builder<Vec<u8>>, flag: u8, text: &[u8]) {
        if text.len() > 100 {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::new(flag));
            put(&mut header, 0, b"././@LongLink");
            header.set_size(text.len() as u64 + 1);
            header.set_cksum();
            builder.append(&header, Cursor::new([text, b"\0"].concat())).unwrap();
        }
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => "[a-c]{1,2}".prop_map(String::into_bytes),
            1 => "[a-z \\\\*-]{1,120}".prop_map(String::into_bytes),
            1 => proptest::collection::vec(1_u8.., 1..40),
        ]
        .prop_filter("no path", |name| {
            let dots = name == b"." || name == b".." || name.starts_with(b".wh.");
            !dots && !name.contains(&b'/') && !name.contains(&0)
        })
    }

    fn packed() -> impl Strategy<Value = Packed> {
        prop_oneof![
            1 => Just(Packed::Directory),
            3 => (proptest::collection::vec(any::<u8>(), 0..1500), any::<bool>())
                .prop_map(|(content, executable)| Packed::File(content, executable)),
            1 => name().prop_map(Packed::Symlink),
        ]
    }

    /// Trees in which every path lies below directories, and two files keep it from being one directory alone.
    pub(super) fn packed_tree() -> impl Strategy<Value = Tree> {
        let entry = (proptest::collection::vec(name(), 1..5), packed());
        proptest::collection::vec(entry, 0..20).prop_map(|entries| {
            let mut tree = Tree::new();
            for (names, packed) in entries {
                let ancestors: Vec<_> = (1..names.len()).map(|count| names[..count].join(&b'/')).collect();
                let whole = names.join(&b'/');
                let free =
                    ancestors.iter().all(|a| tree.get(a).is_none_or(|found| *found == Packed::Directory));
                if free && !tree.contains_key(&whole) {
                    tree.extend(ancestors.into_iter().map(|ancestor| (ancestor, Packed::Directory)));
                    tree.insert(whole, packed);
                }
            }
            tree.entry(b"1".to_vec()).or_insert(Packed::File(b"one".to_vec(), false));
            tree.entry(b"2".to_vec()).or_insert(Packed::File(b"two".to_vec(), true));
            tree
        })
    }
}

fn rule(result: Result<Source, SourceError>) -> Rule {
    let error = result.map(|source| listing(&source.tree)).expect_err("it is refused");
    assert_eq!(error.fault(), Fault::Refused, "{error}");
    error.rule().cloned().unwrap_or_else(|| panic!("{error}"))
}

fn tree(files: &[(&str, &str)]) -> BTreeMap<Vec<u8>, Packed> {
    let mut tree = BTreeMap::new();
    for (name, content) in files {
        for (at, _) in name.match_indices('/') {
            tree.insert(name.as_bytes()[..at].to_vec(), Packed::Directory);
        }
        tree.insert(name.as_bytes().to_vec(), Packed::File(content.as_bytes().to_vec(), false));
    }
    tree
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("a vector takes all bytes");
    encoder.finish().expect("a vector takes all bytes")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_packed_is_read(tree in packed_tree()) {
        let source = read_bytes(&pack(&tree)).unwrap();
        prop_assert_eq!(&listing(&source.tree), &tree);
        prop_assert_eq!(&source.warnings, &[]);
        let zipped = read_bytes(&gzip(&pack(&tree))).unwrap();
        prop_assert_eq!(zipped.kind, SourceKind::Archive(Compression::Gzip));
        prop_assert_eq!(&listing(&zipped.tree), &tree);
    }

    #[test]
    fn what_was_written_is_read_from_the_directory(tree in packed_tree()) {
        let source = read_bytes(&pack(&tree)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let options = MaterialiseOptions { modified: Some(1_000_000_000), ..MaterialiseOptions::default() };
        materialise(&source.tree, directory.path(), &options).unwrap();
        let again = read_path(directory.path()).unwrap();
        prop_assert_eq!(listing(&again.tree), tree);
        prop_assert!(again.times.values().all(|time| *time == 1_000_000_000));
    }

    #[test]
    fn damage_is_refused_or_harmless(tree in packed_tree(), flips in proptest::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4)) {
        let mut archive = pack(&tree);
        for (at, bits) in flips {
            let at = at.index(archive.len());
            archive[at] ^= bits;
        }
        let start = Instant::now();
        match read_bytes(&archive) {
            Ok(source) => {
                // Only contents and long names carry no checksum.
                let names = |tree: &BTreeMap<Vec<u8>, Packed>| tree.keys().cloned().collect::<Vec<_>>();
                if tree.keys().all(|name| name.len() <= 100) {
                    prop_assert_eq!(names(&listing(&source.tree)), names(&tree));
                }
            }
            Err(error) => prop_assert_eq!(error.fault(), Fault::Refused),
        }
        prop_assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn an_archive_of_one_directory_is_unwrapped() {
    let files = [("app-1.0/main.py", "pass"), ("app-1.0/lib/a.py", "")];
    let source = read_bytes(&pack(&tree(&files))).unwrap();
    assert_eq!(listing(&source.tree), tree(&[("main.py", "pass"), ("lib/a.py", "")]));
    assert_eq!(source.times.len(), 3);
    assert_eq!(source.newest_mtime, 1_700_000_000);
    let mut two = tree(&files);
    two.insert(b"README".to_vec(), Packed::File(Vec::new(), false));
    assert_eq!(listing(&read_bytes(&pack(&two)).unwrap().tree), two);
}

#[test]
fn src_11_a_link_out_of_the_unwrapped_directory_is_refused() {
    let mut wrapped = tree(&[("app/main.py", "pass")]);
    wrapped.insert(b"app/up".to_vec(), Packed::Symlink(b"../app/main.py".to_vec()));
    assert_eq!(rule(read_bytes(&pack(&wrapped))), Rule::OutwardLink { target: "../app/main.py".into() });
}

#[test]
fn src_10_an_archive_may_be_padded_and_not_without_end() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    builder.append_data(&mut header, "main.py", &b"pass"[..]).unwrap();
    let archive = builder.into_inner().unwrap();
    let padded = |bytes: usize| [archive.clone(), vec![0; bytes]].concat();
    assert_eq!(read_bytes(&padded(1 << 20)).unwrap().tree.len(), 1);
    let error = read_bytes(&padded(17 << 20)).unwrap_err();
    assert_eq!(error.rule(), Some(&Rule::AfterEnd));
    // Zeros without end are no archive, and are not read to the limit of an archive's size.
    let scratch = tempfile::tempdir().unwrap();
    let mut zeros = std::io::Read::take(std::io::repeat(0), 1 << 30);
    let options = ReadOptions::new(scratch.path());
    assert_eq!(read(&SourceSpec::Stdin, &mut zeros, &options).unwrap_err().rule(), Some(&Rule::AfterEnd));
    assert!(zeros.limit() > (1 << 30) - (32 << 20));
}

#[test]
fn an_archive_that_names_its_root_is_not_unwrapped() {
    let files = tree(&[("src/main.py", "pass")]);
    let mut archive = Vec::new();
    {
        let mut builder = tar::Builder::new(&mut archive);
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        builder.append_data(&mut header, "./", std::io::empty()).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o644);
        builder.append_data(&mut header, "./src/main.py", &b"pass"[..]).unwrap();
        builder.finish().unwrap();
    }
    assert_eq!(listing(&read_bytes(&archive).unwrap().tree), files);
}

#[test]
fn src_09_a_compressed_archive_is_read_whole_or_not_at_all() {
    let files: Vec<_> =
        (0..40).map(|number| (format!("f{number}"), format!("{number}").repeat(300))).collect();
    let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
    let archive = pack(&tree(&files));
    for stored in [gzip(&archive), zstd::encode_all(&archive[..], 3).unwrap()] {
        assert_eq!(read_bytes(&stored).unwrap().tree.len(), 40);
        for cut in (0..stored.len()).step_by(64).flat_map(|at| [at, at + 1]).filter(|cut| *cut < stored.len())
        {
            rule(read_bytes(&stored[..cut]));
        }
    }
}

#[test]
fn several_gzip_members_are_one_archive_but_not_two() {
    let archive = pack(&tree(&[("a", "1"), ("b", "2")]));
    let (head, tail) = archive.split_at(700);
    let split = [gzip(head), gzip(tail)].concat();
    assert_eq!(read_bytes(&split).unwrap().tree.len(), 2);
    assert_eq!(rule(read_bytes(&[gzip(&archive), gzip(&archive)].concat())), Rule::AfterEnd);
    assert!(matches!(rule(read_bytes(&gzip(&gzip(&archive)))), Rule::NotTar));
}

#[test]
fn src_10_the_digest_is_that_of_the_bytes() {
    let archive = gzip(&pack(&tree(&[("a", "1"), ("b", "2")])));
    let source = read_bytes(&archive).unwrap();
    assert_eq!(source.digest.get().unwrap(), lapstrake_oci::document::sha256_of(&archive));
}

#[test]
fn entries_are_limited() {
    let files: BTreeMap<_, _> =
        (0..11).map(|number| (format!("{number}").into_bytes(), Packed::File(Vec::new(), false))).collect();
    let scratch = tempfile::tempdir().unwrap();
    let limited = |entries| {
        let limits = Limits { entries, ..Limits::default() };
        read(
            &SourceSpec::Stdin,
            &pack(&files)[..],
            &ReadOptions { limits, ..ReadOptions::new(scratch.path()) },
        )
    };
    assert_eq!(limited(11).unwrap().tree.len(), 11);
    assert_eq!(rule(limited(10)), Rule::Entries { limit: 10 });
}

#[test]
fn src_06_a_bomb_leaves_no_file_behind_and_stops_early() {
    let mut archive = pack(&BTreeMap::from([(b"a".to_vec(), Packed::File(vec![0; 90 << 20], false))]));
    archive.truncate(80 << 20);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&archive).unwrap();
    let bomb = encoder.finish().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let refused = read(&SourceSpec::Stdin, &bomb[..], &ReadOptions::new(scratch.path()));
    assert_eq!(rule(refused), Rule::Ratio { ratio: 200 });
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

/// A directory with everything that a source may have.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let at = |name: &str| directory.path().join(name);
    for (name, content) in
        [("main.py", "pass"), (".git/HEAD", "ref"), ("sub/.git", "gitdir: x"), ("sub/run.sh", "#!")]
    {
        fs::create_dir_all(at(name).parent().expect("a parent")).expect("a directory");
        fs::write(at(name), content).expect("a file");
    }
    fs::set_permissions(at("sub/run.sh"), fs::Permissions::from_mode(0o4711)).expect("permissions");
    symlink("sub/run.sh", at("run")).expect("a link");
    directory
}

#[test]
fn a_directory_is_read_without_being_followed_or_copied() {
    let directory = directory();
    let source = read_path(directory.path()).unwrap();
    let mut expected = tree(&[("main.py", "pass"), (".git/HEAD", "ref"), ("sub/.git", "gitdir: x")]);
    expected.insert(b"sub/run.sh".to_vec(), Packed::File(b"#!".to_vec(), true));
    expected.insert(b"run".to_vec(), Packed::Symlink(b"sub/run.sh".to_vec()));
    assert_eq!(listing(&source.tree), expected);
    assert_eq!(source.tree.get(&path("sub/run.sh")).unwrap().mode, 0o755);
    assert_eq!(source.kind, SourceKind::Directory);

    let mut tree = source.tree.clone();
    exclude_git(&mut tree);
    let options = ReadOptions { git: GitPolicy::Exclude, ..ReadOptions::new(directory.path()) };
    let without = read(&SourceSpec::Path(directory.path().into()), std::io::empty(), &options).unwrap();
    assert_eq!(listing(&tree), listing(&without.tree));
    assert!(tree.get(&path(".git")).is_none() && tree.get(&path("sub/.git")).is_none());
    assert_eq!(without.digest, source.digest);
}

#[test]
fn the_digest_of_a_directory_is_that_of_its_files_alone() {
    let (one, two) = (directory(), directory());
    let digest = |directory: &tempfile::TempDir| read_path(directory.path()).unwrap().digest;
    let first = digest(&one);
    let file = fs::File::open(two.path().join("main.py")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(5)).unwrap();
    fs::set_permissions(two.path().join("main.py"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(two.path().join(".git/HEAD"), "other").unwrap();
    assert_eq!(digest(&two), first);
    fs::write(two.path().join("main.py"), "fail").unwrap();
    assert_ne!(digest(&two), first);
}

#[test]
fn what_is_no_file_is_refused_by_its_path() {
    let directory = directory();
    let socket = directory.path().join("sub/socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let error = read_path(directory.path()).unwrap_err();
    assert_eq!(error.rule(), Some(&Rule::Type { kind: "socket" }));
    assert!(error.to_string().contains("sub/socket"), "{error}");
    fs::remove_file(socket).unwrap();
    drop(listener);

    let _monitor = UnixListener::bind(directory.path().join(".git/fsmonitor--daemon.ipc")).unwrap();
    let source = read_path(directory.path()).unwrap();
    assert_eq!(source.warnings, [Warning::GitSocket { path: path(".git/fsmonitor--daemon.ipc") }]);
}

#[test]
fn a_directory_is_held_to_the_same_rules_as_an_archive() {
    let whiteout = directory();
    fs::write(whiteout.path().join(".wh.main.py"), "").unwrap();
    assert_eq!(rule(read_path(whiteout.path())), Rule::Whiteout);

    let outward = directory();
    symlink("/etc/passwd", outward.path().join("sub/passwd")).unwrap();
    assert_eq!(rule(read_path(outward.path())), Rule::OutwardLink { target: "/etc/passwd".into() });
    let keep = ReadOptions { symlinks: SymlinkPolicy::KeepDangling, ..ReadOptions::new(outward.path()) };
    let source = read(&SourceSpec::Path(outward.path().into()), std::io::empty(), &keep).unwrap();
    let kept = Warning::OutwardLink { path: path("sub/passwd"), target: b"/etc/passwd".to_vec() };
    assert_eq!(source.warnings, [kept]);

    let limits = Limits { expanded: 10, ..Limits::default() };
    let small = ReadOptions { limits, ..ReadOptions::new(outward.path()) };
    let refused = read(&SourceSpec::Path(directory().path().into()), std::io::empty(), &small);
    assert!(refused.is_err());
}

#[test]
fn src_10_what_is_not_there_or_no_source_is_not_understood() {
    let directory = tempfile::tempdir().unwrap();
    let missing = read_path(&directory.path().join("missing")).unwrap_err();
    assert!(matches!(missing, SourceError::NotFound { .. }), "{missing}");
    assert_eq!(missing.fault(), Fault::NotUnderstood);
    let start = Instant::now();
    let fifo = directory.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for special in [fifo.as_path(), Path::new("/dev/zero")] {
        assert_eq!(read_path(special).unwrap_err().fault(), Fault::NotUnderstood, "{}", special.display());
    }
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn an_unreadable_file_is_named() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root can read everything");
        return;
    }
    let directory = directory();
    fs::set_permissions(directory.path().join("main.py"), fs::Permissions::from_mode(0o000)).unwrap();
    let error = read_path(directory.path()).unwrap_err();
    assert_eq!(error.fault(), Fault::NotUnderstood);
    assert!(error.to_string().contains("main.py"), "{error}");
}

#[test]
fn a_tree_is_written_with_its_own_modes_and_times() {
    let directory = directory();
    let source = read_path(directory.path()).unwrap();
    let written = tempfile::tempdir().unwrap();
    let options = MaterialiseOptions {
        modified: Some(1_000_000_000),
        accessed: Some(86_400),
        ..MaterialiseOptions::default()
    };
    materialise(&source.tree, written.path(), &options).unwrap();
    for (path, node) in source.tree.iter() {
        let metadata = fs::symlink_metadata(path.below(written.path())).unwrap();
        assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_000_000_000, 0), "{path}");
        // The test itself has followed no link and opened no file, so that this is the time that was set.
        assert_eq!(metadata.atime(), 86_400, "{path}");
        if !matches!(node.kind, Kind::Symlink(_)) {
            assert_eq!(metadata.mode() & 0o7777, node.mode, "{path}");
        }
    }
    assert_eq!(fs::read_link(written.path().join("run")).unwrap().as_os_str().as_bytes(), b"sub/run.sh");
    let again = materialise(&source.tree, written.path(), &options).unwrap_err();
    assert!(matches!(again, MaterialiseError::Write { .. }), "nothing is replaced: {again}");
}

#[test]
fn hard_links_share_a_file_and_the_first_name_has_it() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o755);
    builder.append_data(&mut header, "z/file", &b"hello"[..]).unwrap();
    for (name, target) in [("a", "z/file"), ("m", "a")] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Link);
        header.set_size(0);
        builder.append_link(&mut header, name, target).unwrap();
    }
    let source = read_bytes(&builder.into_inner().unwrap()).unwrap();
    let kind = |name| &source.tree.get(&path(name)).unwrap().kind;
    assert!(matches!(kind("a"), Kind::File(content) if content.read().unwrap() == b"hello"));
    assert!(matches!(kind("m"), Kind::Hardlink(target) if *target == path("a")));
    assert!(matches!(kind("z/file"), Kind::Hardlink(target) if *target == path("a")));
    let written = tempfile::tempdir().unwrap();
    materialise(&source.tree, written.path(), &MaterialiseOptions::default()).unwrap();
    let inodes = ["a", "m", "z/file"].map(|name| fs::metadata(written.path().join(name)).unwrap().ino());
    assert_eq!(inodes, [inodes[0]; 3]);
    assert_eq!(fs::metadata(written.path().join("m")).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn a_file_that_changed_since_it_was_read_is_not_written() {
    let directory = directory();
    let source = read_path(directory.path()).unwrap();
    for content in ["longer than before", "x"] {
        fs::write(directory.path().join("main.py"), content).unwrap();
        let written = tempfile::tempdir().unwrap();
        let error = materialise(&source.tree, written.path(), &MaterialiseOptions::default()).unwrap_err();
        assert!(matches!(error, MaterialiseError::Changed { expected: 4, .. }), "{error}");
    }
}

#[test]
fn a_shared_file_outlives_the_git_directory_that_held_it() {
    let mut tree = FileTree::new();
    tree.insert(path(".git/file"), Node::file(b"x".to_vec(), 0o644));
    tree.insert(path("link"), Node { kind: Kind::Hardlink(path(".git/file")), ..Node::directory() });
    exclude_git(&mut tree);
    assert_eq!(listing(&tree), BTreeMap::from([(b"link".to_vec(), Packed::File(b"x".to_vec(), false))]));
}

#[test]
fn src_12_names_that_clash_are_refused() {
    let with = |entries: &[(&str, char)]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            header.set_entry_type(if *kind == 'd' {
                tar::EntryType::Directory
            } else {
                tar::EntryType::Regular
            });
            builder.append_data(&mut header, name, std::io::empty()).unwrap();
        }
        read_bytes(&builder.into_inner().unwrap())
    };
    assert_eq!(rule(with(&[("a", 'f'), ("a", 'f')])), Rule::Twice);
    assert_eq!(rule(with(&[("a", 'd'), ("./a", 'd')])), Rule::Twice);
    assert_eq!(rule(with(&[("a", 'f'), ("a/b", 'f')])), Rule::BelowNoDirectory { ancestor: path("a") });
    assert_eq!(rule(with(&[("a/b", 'f'), ("a", 'f')])), Rule::AboveOthers);
    // Directories that come after what is in them are none, nor are names that differ in case or normal form.
    let fine =
        with(&[("a/b", 'f'), ("a", 'd'), ("A", 'f'), ("\u{e9}", 'f'), ("e\u{301}", 'f'), ("-rf", 'f')]);
    assert_eq!(fine.unwrap().tree.len(), 6);
}
