use super::*;

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

#[test]
fn only_what_is_below_the_merged_directories_moves() {
    for (from, to) in [
        ("bin/sh", "usr/bin/sh"),
        ("lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"),
        ("lib64", "usr/lib64"),
        ("libexec/x", "libexec/x"),
        ("usr/bin/sh", "usr/bin/sh"),
        ("etc/bin/x", "etc/bin/x"),
    ] {
        assert_eq!(canonical(&path(from), &Kind::Directory), path(to));
    }
    assert_eq!(canonical(&path("lib64"), &Kind::Symlink(b"usr/lib64".to_vec())), path("lib64"));
}

#[test]
fn the_targets_of_hard_links_move_along() {
    let mut tree = FileTree::new();
    tree.insert(path("bin/a"), Node::file(vec![1], 0o755));
    let kind = Kind::Hardlink(path("bin/a"));
    tree.insert(path("bin/b"), Node { kind, ..Node::file(vec![], 0o755) });
    let merged = merge_usr(tree);
    let node = merged.get(&path("usr/bin/b")).unwrap();
    assert!(matches!(&node.kind, Kind::Hardlink(target) if *target == path("usr/bin/a")));
}

#[test]
fn files_differ_when_one_byte_does() {
    let file = |bytes: &[u8]| Node::file(bytes.to_vec(), 0o644);
    let tree = |node: Node| {
        let mut tree = FileTree::new();
        tree.insert(path("etc/x"), node);
        tree
    };
    let long = vec![7; 200_000];
    let mut other = long.clone();
    other[199_999] = 8;
    for (second, fits) in [(long.as_slice(), true), (&other, false), (&long[1..], false)] {
        let mut merge = Merge::new();
        merge.add("a", tree(file(&long))).unwrap();
        assert_eq!(merge.add("b", tree(file(second))).is_ok(), fits);
    }
    let mut merge = Merge::new();
    merge.add("a", tree(file(&long))).unwrap();
    assert!(matches!(merge.add("b", tree(Node::directory())), Err(MergeError::Conflict { .. })));
}
