//! Directories and archives with ignore files.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::*;
use crate::source::{Fault, Source, SourceSpec, read};

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    directory
}

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        builder.append_data(&mut header, format!("./{path}"), text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn options(aside: &[&str]) -> ReadOptions {
    let aside = aside.iter().map(|path| TreePath::new(path).unwrap()).collect();
    ReadOptions { aside, ..ReadOptions::new(std::env::temp_dir()) }
}

fn read_directory(path: &Path, aside: &[&str]) -> Result<Source, SourceError> {
    read(&SourceSpec::Path(path.to_owned()), std::io::empty(), &options(aside))
}

fn names(tree: &FileTree) -> Vec<String> {
    tree.iter().map(|(path, _)| path.to_string()).collect()
}

const FILES: &[(&str, &str)] = &[
    (".dockerignore", "*\n!src\nsrc/*.log\n!docs/README.md\n.git\n"),
    (".git/HEAD", "ref: refs/heads/main\n"),
    ("apprunner.yaml", "version: 1.0\n"),
    ("docs/README.md", "read me"),
    ("docs/img/x.png", "x"),
    ("node_modules/a/index.js", "a"),
    ("src/a.log", "log"),
    ("src/main.py", "main"),
];

#[test]
fn a_directory_and_an_archive_of_it_lose_the_same_paths() {
    let directory = directory(FILES);
    let from_archive = read(&SourceSpec::Stdin, &archive(FILES)[..], &options(&["apprunner.yaml"])).unwrap();
    for source in [read_directory(directory.path(), &["apprunner.yaml"]).unwrap(), from_archive] {
        assert_eq!(names(&source.tree), ["docs", "docs/README.md", "src", "src/main.py"]);
        assert_eq!(names(&source.aside), [".dockerignore", "apprunner.yaml"]);
        assert!(source.times.keys().all(|path| source.tree.get(path).is_some()));
        // `.dockerignore`, `.git`, the app file, `docs/img`, `node_modules` and the log.
        assert_eq!(source.left_out, Some(LeftOut { file: ".dockerignore", paths: 6 }));
    }
}

#[test]
fn what_is_left_out_changes_neither_the_digest_nor_the_newest_time() {
    let directory = directory(FILES);
    let before = read_directory(directory.path(), &[]).unwrap();
    fs_err::write(directory.path().join("node_modules/a/index.js"), "changed").unwrap();
    fs_err::write(directory.path().join("src/b.log"), "new").unwrap();
    let after = read_directory(directory.path(), &[]).unwrap();
    assert_eq!((after.digest, after.newest_mtime), (before.digest.clone(), before.newest_mtime));
    fs_err::write(directory.path().join("src/b.py"), "new").unwrap();
    assert_ne!(read_directory(directory.path(), &[]).unwrap().digest, before.digest);
}

#[test]
fn what_is_left_out_of_a_directory_is_not_even_looked_at() {
    let directory = directory(&[(".dockerignore", "secret\n*.sock\nout\n"), ("main.py", "")]);
    let secret = directory.path().join("secret");
    fs_err::create_dir(&secret).unwrap();
    let _socket = UnixListener::bind(directory.path().join("a.sock")).unwrap();
    symlink("/etc", directory.path().join("out")).unwrap();
    fs_err::write(secret.join("file"), "x").unwrap();
    fs_err::set_permissions(&secret, PermissionsExt::from_mode(0o000)).unwrap();
    let read = read_directory(directory.path(), &[]);
    fs_err::set_permissions(&secret, PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(names(&read.unwrap().tree), [".dockerignore", "main.py"]);
    fs_err::write(directory.path().join(".dockerignore"), "secret\nout\n").unwrap();
    let refused = read_directory(directory.path(), &[]).unwrap_err();
    assert!(refused.to_string().contains("a.sock"), "{refused}");
}

#[test]
fn the_ignore_file_of_our_name_counts_alone() {
    let directory = directory(&[(".dockerignore", "a\n"), (".lapstrakeignore", "b\n"), ("a", ""), ("b", "")]);
    let source = read_directory(directory.path(), &[]).unwrap();
    assert_eq!(names(&source.tree), [".dockerignore", ".lapstrakeignore", "a"]);
    assert_eq!(source.left_out, Some(LeftOut { file: ".lapstrakeignore", paths: 1 }));
    fs_err::write(directory.path().join(".lapstrakeignore"), "").unwrap();
    assert_eq!(read_directory(directory.path(), &[]).unwrap().left_out.unwrap().paths, 0);
}

#[test]
fn an_ignore_file_below_the_top_is_a_file_like_any_other() {
    let directory = directory(&[("web/.dockerignore", "*\n"), ("web/a", "")]);
    let source = read_directory(directory.path(), &[]).unwrap();
    assert_eq!((names(&source.tree).len(), source.left_out), (3, None));
}

#[test]
fn a_kept_name_of_a_file_that_is_left_out_keeps_its_bytes() {
    let mut files = archive(&[(".dockerignore", "a\n"), ("a", "bytes")]);
    files.truncate(files.len() - 1024);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Link);
    header.set_mode(0o644);
    header.set_size(0);
    let mut links = tar::Builder::new(Vec::new());
    links.append_link(&mut header, "./b", "./a").unwrap();
    let joined = [files, links.into_inner().unwrap()].concat();
    let source = read(&SourceSpec::Stdin, &joined[..], &options(&["a"])).unwrap();
    assert_eq!(names(&source.tree), [".dockerignore", "b"]);
    for node in
        [source.tree.get(&TreePath::new("b").unwrap()), source.aside.get(&TreePath::new("a").unwrap())]
    {
        let Kind::File(content) = &node.unwrap().kind else { panic!("{node:?} is no file") };
        assert_eq!(content.read().unwrap(), b"bytes");
    }
}

#[test]
fn an_ignore_file_that_cannot_be_followed_is_refused_with_its_place() {
    let directory = directory(&[(".dockerignore", "ok\n[\n"), ("a", "")]);
    let error = read_directory(directory.path(), &[]).unwrap_err();
    assert_eq!(error.fault(), Fault::NotUnderstood);
    assert_eq!(
        error.to_string(),
        ".dockerignore:2: the pattern `[` is refused: a `[` without a `]` after what it may match"
    );
    let packed = archive(&[(".dockerignore", "ok\n[\n"), ("a", "")]);
    assert_eq!(
        read(&SourceSpec::Stdin, &packed[..], &options(&[])).unwrap_err().to_string(),
        error.to_string()
    );

    let ignore = directory.path().join(".dockerignore");
    fs_err::remove_file(&ignore).unwrap();
    symlink("a", &ignore).unwrap();
    let error = read_directory(directory.path(), &[]).unwrap_err();
    assert_eq!(error.to_string(), "`.dockerignore` is not read: it is a symbolic link");
    fs_err::remove_file(&ignore).unwrap();
    fs_err::create_dir(&ignore).unwrap();
    let error = read_directory(directory.path(), &[]).unwrap_err();
    assert_eq!(error.to_string(), "`.dockerignore` is not read: it is not a regular file");
}

#[test]
fn files_that_are_known_by_name_alone_are_left_out_as_those_that_were_read() {
    let directory = directory(FILES);
    let kept = names(&read_directory(directory.path(), &[]).unwrap().tree);
    let paths: Vec<TreePath> = FILES.iter().map(|(path, _)| TreePath::new(path).unwrap()).collect();
    // In whatever order they come.
    for paths in [paths.clone(), paths.iter().rev().cloned().collect()] {
        let out = ignored(".dockerignore", FILES[0].1.as_bytes(), &paths).unwrap();
        let rest: Vec<String> =
            paths.iter().filter(|path| !out.contains(*path)).map(ToString::to_string).collect();
        assert!(rest.iter().all(|path| kept.contains(path)), "{rest:?}");
        assert_eq!(rest.len(), 2, "{rest:?}");
    }
    assert!(ignored(".dockerignore", b"a[", &paths).is_err());
}
