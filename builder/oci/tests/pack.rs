//! What a packed layer is, byte for byte, and that nothing but the tree and the options decides it.

#![expect(clippy::unwrap_used, reason = "what helps a test is a test")]

use std::collections::BTreeMap;
use std::io::Read;
use std::num::NonZeroUsize;
use std::process::{Command, Stdio};

use lapstrake_oci::layer::{Compression, PackError, PackOptions, PackedLayer, compress, pack};
use lapstrake_oci::tree::{Content, FileTree, Kind, Node, Owner, TreePath};
use proptest::prelude::*;

fn path(text: impl AsRef<[u8]>) -> TreePath {
    TreePath::new(text).unwrap()
}

fn node(kind: Kind) -> Node {
    Node { kind, mode: 0o644, owner: Owner::default() }
}

/// One of everything.
fn small_tree() -> FileTree {
    let mut tree = FileTree::new();
    tree.insert(path("usr"), Node::directory());
    tree.insert(path("usr/b"), Node::file(b"hello\n".to_vec(), 0o755));
    tree.insert(path("usr/a"), node(Kind::Hardlink(path("usr/b"))));
    tree.insert(path("usr/link"), Node::symlink("../usr/b"));
    tree.insert(path("usr/zz"), node(Kind::Whiteout));
    tree.insert(path("usr-empty"), Node::file(Vec::new(), 0o600));
    let long = path(format!("usr/{}/{}", "d".repeat(120), "f".repeat(140)));
    tree.insert(long, Node::file(vec![7; 513], 0o644));
    let mut owned = Node::file(b"x".to_vec(), 0o4755);
    owned.owner = Owner { uid: 3_000_000, gid: 1001 };
    tree.insert(path("owned"), owned);
    tree
}

fn options(compression: Compression, threads: usize) -> PackOptions {
    PackOptions { mtime: 1_700_000_000, compression, threads: NonZeroUsize::new(threads).unwrap() }
}

fn packed(tree: &FileTree, options: &PackOptions) -> PackedLayer {
    pack(tree, options, &std::env::temp_dir()).unwrap()
}

fn digests(tree: &FileTree, compression: Compression, threads: usize) -> (String, String) {
    let layer = packed(tree, &options(compression, threads));
    (layer.diff_id.to_string(), layer.descriptor.digest().to_string())
}

/// The digest contract, format 2. When one of these moves, the change needs a new format number.
///
/// Neither the tar dialect nor the codecs ask for the processor's kind or extensions when they decide what to write, so
/// the digests hold on every platform.
#[test]
fn the_bytes_of_a_small_tree_are_the_golden_ones() {
    assert_eq!(lapstrake_oci::layer::FORMAT, 2);
    let diff_id = "sha256:2db3cc14361d4adfaa02b06e33b5db2f6cce0dd8c9c4e5aff47ad135658992b1";
    let golden = [
        (Compression::None, diff_id),
        (Compression::Gzip(1), "sha256:18027f30f6cb7e13030df996d64ef4c4d4c2530f3c06a43e553960918eee1598"),
        (Compression::Gzip(6), "sha256:19d857e47b25d74a9e4eb68382cd7a58ac786c876925b9750e486875728f94f5"),
        (Compression::Gzip(12), "sha256:a213a12de8c1c296983cf3fcb8e4f4aeae5f037c2ba68d2ce87e6aea84d7ceb9"),
        (Compression::Zstd(3), "sha256:c77e59d5c9eee4fb32691cecf67a4d6b9835d670e1f7233ac33a1813c71c6bfe"),
        (Compression::Zstd(19), "sha256:1d758de986e506174ad7b1a615d556ec4175b0c81d153bcb835fa265f857ba63"),
    ];
    let tree = small_tree();
    let found = golden.map(|(compression, _)| digests(&tree, compression, 1));
    assert_eq!(found, golden.map(|(_, digest)| (diff_id.to_owned(), digest.to_owned())));
}

/// Text that compresses but not to nothing, longer than several blocks: the codec's version shows in its digest.
fn long_text() -> Vec<u8> {
    (0..400_000u32).flat_map(|n| format!("{} ", n.wrapping_mul(2_654_435_761) >> 12).into_bytes()).collect()
}

#[test]
fn the_bytes_of_several_blocks_are_the_golden_ones() {
    let golden = [
        (Compression::Gzip(1), "sha256:c256b9d9d2d24d10bafd09a9089f5a8c2c4397ffaafb7f3c863f924ff49ea404"),
        (Compression::Gzip(6), "sha256:a311ac10dba4408b9a0ec74520b8d7c1d02aaec5062c1375348a0219af014651"),
        (Compression::Gzip(9), "sha256:4e5cd9630f2d579db5c30283f931a85c85455d7007e85234261298fb0f4d49d7"),
        (Compression::Gzip(12), "sha256:a74400c38a0a5878dd1b79584b699e09a9c808e3a4ce9a36a3d11b0b0409e604"),
        (Compression::Zstd(1), "sha256:5dd6682299195a8149fea851acec230b6978f03fd160b3a7d43ff03142ec4eab"),
        (Compression::Zstd(3), "sha256:c897bc520b0c0fdd9fef30a8e68e692f78d69e06a0249f662218db163ebad950"),
        (Compression::Zstd(19), "sha256:639df9b5fa1da1b5d3f01a4ba662545ce7c453e99186ef9fb9ded0a89078339c"),
    ];
    let mut tree = FileTree::new();
    tree.insert(path("text"), Node::file(long_text(), 0o644));
    for threads in [1, 2, 4] {
        let found = golden.map(|(compression, _)| digests(&tree, compression, threads).1);
        assert_eq!(found, golden.map(|(_, digest)| digest.to_owned()), "{threads}");
    }
}

#[test]
fn out_05_the_order_is_by_component_with_whiteouts_first_and_hard_links_last() {
    let layer = packed(&small_tree(), &options(Compression::None, 1));
    let mut archive = tar::Archive::new(layer.blob.reopen().unwrap());
    let names: Vec<_> =
        archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
    let long = format!("usr/{}/{}", "d".repeat(120), "f".repeat(140));
    assert_eq!(
        names,
        ["owned", "usr/", "usr/.wh.zz", "usr/b", &long, "usr/link", "usr-empty", "usr/a"].map(str::to_owned)
    );
    assert_eq!(layer.files, 8);
    println!("figure OUT-05: {} kinds of entries in their order", names.len());
}

#[test]
fn the_tar_crate_reads_what_was_packed() {
    let layer = packed(&small_tree(), &options(Compression::Gzip(6), 2));
    let tar = flate2::read::MultiGzDecoder::new(layer.blob.reopen().unwrap());
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let header = entry.header();
        assert_eq!(header.mtime().unwrap(), 1_700_000_000);
        assert_eq!((header.username_bytes(), header.groupname_bytes()), (Some(&b""[..]), Some(&b""[..])));
        let facts = (header.entry_type(), header.mode().unwrap(), header.uid().unwrap(), content);
        found.insert(entry.path().unwrap().display().to_string(), facts);
    }
    assert_eq!(found["usr/b"], (tar::EntryType::Regular, 0o755, 0, b"hello\n".to_vec()));
    assert_eq!(found["usr/a"], (tar::EntryType::Link, 0o755, 0, Vec::new()));
    assert_eq!(found["owned"], (tar::EntryType::Regular, 0o4755, 3_000_000, b"x".to_vec()));
    assert_eq!(found["usr/"].0, tar::EntryType::Directory);
    assert_eq!(found["usr/.wh.zz"], (tar::EntryType::Regular, 0o644, 0, Vec::new()));
}

#[test]
fn system_tar_lists_what_was_packed() {
    let layer = packed(&small_tree(), &options(Compression::Gzip(6), 2));
    let listing = Command::new("tar")
        .args(["--numeric-owner", "--full-time", "--utc", "-tvzf"])
        .arg(layer.blob.path())
        .stderr(Stdio::inherit())
        .output();
    let Ok(listing) = listing else {
        eprintln!("skipped: there is no `tar` on this machine");
        return;
    };
    assert!(listing.status.success());
    let text = String::from_utf8(listing.stdout).unwrap();
    let lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[0], "-rwsr-xr-x 3000000/1001 1 2023-11-14 22:13:20 owned");
    assert_eq!(lines[1], "drwxr-xr-x 0/0 0 2023-11-14 22:13:20 usr/");
    assert_eq!(lines[5], "lrwxrwxrwx 0/0 0 2023-11-14 22:13:20 usr/link -> ../usr/b");
    assert_eq!(lines[7], "hrwxr-xr-x 0/0 0 2023-11-14 22:13:20 usr/a link to usr/b");
    assert_eq!(lines.len(), 8);
}

#[test]
fn a_file_that_changed_its_length_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs_err::write(&file, b"12345").unwrap();
    for (len, found) in [(4, "more"), (6, "5")] {
        let mut tree = FileTree::new();
        tree.insert(path("app/file"), Node::file(Content::path(&file, len), 0o644));
        let error = pack(&tree, &options(Compression::Gzip(6), 2), directory.path()).unwrap_err();
        let expected =
            format!("`app/file` changed while it was read: it had {len} bytes and now has {found}");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_missing_file_is_refused_by_name_and_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let mut tree = FileTree::new();
    tree.insert(path("big"), Node::file(vec![1; 5 << 20], 0o644));
    let gone = Content::path(directory.path().join("gone"), 1);
    tree.insert(path("gone"), Node::file(gone, 0o644));
    let error = pack(&tree, &options(Compression::Gzip(6), 2), directory.path()).unwrap_err();
    assert_eq!(error.to_string(), "the content of `gone` cannot be read");
    assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_scratch_directory_that_is_missing_is_an_error() {
    let error =
        pack(&small_tree(), &options(Compression::Gzip(6), 1), "/does/not/exist".as_ref()).unwrap_err();
    assert_eq!(error.to_string(), "a layer cannot be written in `/does/not/exist`");
}

#[test]
fn trees_that_are_no_layers_are_refused() {
    let refused = |entries: Vec<(&str, Node)>| {
        let tree: FileTree = {
            let mut tree = FileTree::new();
            tree.extend(entries.into_iter().map(|(name, node)| (path(name), node)));
            tree
        };
        pack(&tree, &options(Compression::None, 1), &std::env::temp_dir()).unwrap_err()
    };
    let file = || Node::file(Vec::new(), 0o644);
    assert!(matches!(refused(vec![("a/.wh.b", file())]), PackError::ReservedName { .. }));
    assert!(matches!(refused(vec![("a", file()), ("a/b", file())]), PackError::NotADirectory { .. }));
    let link = || node(Kind::Hardlink(path("b")));
    assert!(matches!(refused(vec![("a", link())]), PackError::DanglingHardlink { .. }));
    assert!(matches!(refused(vec![("a", link()), ("b", link())]), PackError::DanglingHardlink { .. }));
    assert!(matches!(refused(vec![("a", Node::symlink(""))]), PackError::BadSymlink { .. }));
}

#[test]
fn a_stream_is_compressed_without_another_diff_id() {
    let directory = tempfile::tempdir().unwrap();
    let plain = packed(&small_tree(), &options(Compression::None, 1));
    let three = NonZeroUsize::new(3).unwrap();
    let again =
        compress(plain.blob.reopen().unwrap(), Compression::Gzip(6), three, directory.path()).unwrap();
    assert_eq!(again.diff_id, plain.diff_id);
    let layer = packed(&small_tree(), &options(Compression::Gzip(6), 1));
    assert_eq!(again.descriptor, layer.descriptor);
}

fn entries() -> impl Strategy<Value = Vec<(String, Vec<u8>, u32)>> {
    let name = "[a-c.é-]{1,3}(/[a-c_]{1,2}){0,3}";
    let content = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..2000),
        1 => (any::<u8>(), 900_000usize..1_300_000).prop_map(|(byte, len)| vec![byte; len]),
    ];
    prop::collection::vec((name, content, 0u32..0o1000), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn neither_insertion_order_nor_threads_move_a_digest(
        (first, second) in entries().prop_flat_map(|made| (Just(made.clone()), Just(made).prop_shuffle())),
    ) {
        let build = |entries: &[(String, Vec<u8>, u32)]| {
            // A path that one entry needs as a directory is none in another, whatever their order.
            let names: std::collections::BTreeSet<_> =
                entries.iter().filter_map(|(name, ..)| TreePath::new(name).ok()).collect();
            let mut sorted: BTreeMap<_, _> = BTreeMap::new();
            for (name, content, mode) in entries {
                let Ok(path) = TreePath::new(name) else { continue };
                if names.iter().any(|other| *other != path && other.is_within(&path)) {
                    continue;
                }
                let candidate = (content.clone(), *mode);
                let kept = sorted.entry(path).or_insert_with(|| candidate.clone());
                if candidate < *kept {
                    *kept = candidate;
                }
            }
            let mut tree = FileTree::new();
            for (path, (content, mode)) in sorted {
                tree.insert(path, Node::file(content, mode));
            }
            tree.fill_parents();
            tree
        };
        let (first, second) = (build(&first), build(&second));
        for compression in [Compression::Gzip(6), Compression::Gzip(1), Compression::Zstd(3)] {
            let expected = digests(&first, compression, 1);
            for threads in [1, 2, 4] {
                prop_assert_eq!(&digests(&second, compression, threads), &expected);
            }
        }
    }
}
