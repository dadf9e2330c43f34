//! Commits as lists of files that no repository needs to hold.

use super::*;
use crate::source::Limits;

fn id(digit: char) -> ObjectId {
    digit.to_string().repeat(40).parse().unwrap()
}

fn commit() -> Commit {
    Commit { id: id('c'), tree: id('d'), time: 1_700_000_000 }
}

fn file(path: &str, kind: FileKind, object: char, size: u64) -> CommittedFile {
    CommittedFile { kind, id: id(object), size, path: path.into() }
}

const PLAIN: FileKind = FileKind::File { executable: false };

fn options() -> ReadOptions {
    let limits = Limits { entries: 5, expanded: 100, depth: 3, ..Limits::default() };
    ReadOptions { limits, ..ReadOptions::new("/nonexistent") }
}

/// Lists files whose contents are those of `objects`.
fn read(files: &[CommittedFile], objects: &[(char, &str)]) -> Result<Source, SourceError> {
    let (commit, options) = (commit(), options());
    let mut listing = Listing::new(&commit, &options);
    files.iter().try_for_each(|file| listing.add(file.clone()))?;
    let contents = objects.iter().map(|(digit, text)| (id(*digit), Content::from(text.as_bytes().to_vec())));
    listing.finish(&contents.collect())
}

fn refusal(files: &[CommittedFile]) -> Rule {
    read(files, &[]).unwrap_err().rule().unwrap().clone()
}

#[test]
fn files_become_a_tree_with_the_time_of_the_commit() {
    let files = [
        file("a/b", PLAIN, '1', 1),
        file("a/run", FileKind::File { executable: true }, '1', 1),
        file("link", FileKind::Symlink, '2', 3),
        file("sub", FileKind::Submodule, '3', 0),
    ];
    let source = read(&files, &[('1', "x"), ('2', "a/b")]).unwrap();
    let found: Vec<String> =
        source.tree.iter().map(|(path, node)| format!("{path} {:o}", node.mode)).collect();
    assert_eq!(found, ["a 755", "a/b 644", "a/run 755", "link 777", "sub 755"]);
    assert!(source.times.values().all(|time| *time == 1_700_000_000) && source.times.len() == 5);
    assert_eq!((source.newest_mtime, source.kind), (1_700_000_000, SourceKind::Commit));
    let path = TreePath::new("sub").unwrap();
    assert_eq!(source.warnings, [Warning::Submodule { path }]);
}

#[test]
fn a_commit_is_held_to_the_limits() {
    let many: Vec<_> = (0..6).map(|number| file(&format!("f{number}"), PLAIN, '1', 1)).collect();
    assert_eq!(refusal(&many), Rule::Entries { limit: 5 });
    assert!(read(&many[..5], &[('1', "x")]).is_ok());
    // One object counts as often as it is named.
    let large = [file("a", PLAIN, '1', 60), file("b", PLAIN, '1', 60)];
    assert_eq!(refusal(&large), Rule::DirectorySize { limit: 100 });
    assert_eq!(refusal(&[file("a/b/c/d", PLAIN, '1', 1)]), Rule::Depth { limit: 3 });
    assert_eq!(refusal(&[file("l", FileKind::Symlink, '1', 5000)]), Rule::PathLength { limit: 4096 });
    assert_eq!(refusal(&[file(&"d/".repeat(3000), PLAIN, '1', 1)]), Rule::PathLength { limit: 4096 });
}

#[test]
fn paths_that_contradict_one_another_are_refused() {
    let twice = [file("a", PLAIN, '1', 1), file("a", PLAIN, '2', 1)];
    assert_eq!(refusal(&twice), Rule::Twice);
    for kind in [PLAIN, FileKind::Symlink, FileKind::Submodule] {
        let below = [file("a", kind, '1', 1), file("a/b", PLAIN, '2', 1)];
        let ancestor = TreePath::new("a").unwrap();
        let error = read(&below, &[('1', "b"), ('2', "x")]).unwrap_err();
        assert_eq!(error.rule(), Some(&Rule::BelowNoDirectory { ancestor }), "{kind:?}");
    }
}

#[test]
fn names_that_no_source_has_are_refused() {
    for path in ["../x", "/x", "a/../b", ""] {
        assert!(matches!(refusal(&[file(path, PLAIN, '1', 1)]), Rule::Path { .. }), "{path}");
    }
    for path in [".git/config", "a/.GIT/x", "a/git~1", ".git"] {
        assert_eq!(refusal(&[file(path, PLAIN, '1', 1)]), Rule::GitName, "{path}");
    }
    assert_eq!(refusal(&[file("a/.wh.b", PLAIN, '1', 1)]), Rule::Whiteout);
}

#[test]
fn links_lead_somewhere_inside() {
    for (target, rule) in [
        ("", Rule::NoTarget),
        ("a\0b", Rule::Nul),
        ("/etc/passwd", Rule::OutwardLink { target: "/etc/passwd".into() }),
        ("../x", Rule::OutwardLink { target: "../x".into() }),
    ] {
        let link = file("link", FileKind::Symlink, '1', 1);
        assert_eq!(read(&[link], &[('1', target)]).unwrap_err().rule(), Some(&rule), "{target}");
    }
}

#[test]
fn pointers_of_git_lfs_are_told_once() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n";
    let files = [file("a", PLAIN, '1', 10), file("b", PLAIN, '1', 10), file("c", PLAIN, '2', 1)];
    let source = read(&files, &[('1', pointer), ('2', "version https")]).unwrap();
    let first = TreePath::new("a").unwrap();
    assert_eq!(source.warnings, [Warning::LfsPointers { first, count: 2 }]);
}

#[test]
fn what_the_ignore_file_names_is_left_out() {
    let files = [file(".dockerignore", PLAIN, '1', 1), file("a", PLAIN, '2', 1), file("b", PLAIN, '2', 1)];
    let source = read(&files, &[('1', "a\n"), ('2', "x")]).unwrap();
    let paths: Vec<String> = source.tree.iter().map(|(path, _)| path.to_string()).collect();
    assert_eq!(paths, [".dockerignore", "b"]);
    assert_eq!(source.times.len(), 2);
}
