//! Archives of the tools that people pack sources with are read as the directory that was packed.

use std::fs;

use lapstrake::source::{Compression, GitPolicy, SourceKind};

use producers::{app, listing, produce, read_path};

#[cfg(test)]
mod producers {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;
    use std::process::{Command, Stdio};

    use lapstrake::source::{GitPolicy, ReadOptions, Source, SourceError, SourceSpec, read};
    use lapstrake_oci::tree::{FileTree, Kind};

    /// A small app with long, odd and linked names.
    pub(super) fn app() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join("app").join(name);
        let long = format!("{}/{}/file", "d".repeat(90), "e".repeat(120));
        for name in ["main.py", "pkg/__init__.py", "pkg/a.py", "node_modules/.bin/x", "ümläut \\ name", &long]
        {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), name.repeat(40)).unwrap();
        }
        fs::set_permissions(at("node_modules/.bin/x"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::hard_link(at("main.py"), at("again.py")).unwrap();
        symlink("pkg/a.py", at("link")).unwrap();
        symlink(format!("{}/{}/file", "d".repeat(90), "e".repeat(120)), at("long-link")).unwrap();
        directory
    }

    pub(super) fn read_path(path: &Path, git: GitPolicy) -> Result<Source, SourceError> {
        let scratch = tempfile::tempdir().unwrap();
        let options = ReadOptions { git, ..ReadOptions::new(scratch.path()) };
        read(&SourceSpec::Path(path.to_owned()), std::io::empty(), &options)
    }

    /// Paths with kind, execute bit and content or target; a hard link is what it leads to.
    pub(super) fn listing(tree: &FileTree) -> Vec<(String, String, Vec<u8>)> {
        let value = |kind: &Kind, mode| match kind {
            Kind::Directory => ("directory".to_owned(), Vec::new()),
            Kind::File(content) => (format!("file {mode:o}"), content.read().unwrap()),
            Kind::Symlink(target) => ("link".to_owned(), target.clone()),
            kind => panic!("{kind:?}"),
        };
        tree.iter()
            .map(|(path, node)| {
                let node = match &node.kind {
                    Kind::Hardlink(target) => tree.get(target).unwrap(),
                    _ => node,
                };
                let (kind, value) = value(&node.kind, node.mode);
                (path.to_string(), kind, value)
            })
            .collect()
    }

    /// Runs a command in the directory that holds `app`; whether its program is there at all.
    pub(super) fn produce(directory: &Path, command: &str) -> bool {
        let program = command.split(' ').next().unwrap();
        if Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_err()
        {
            eprintln!("skipped: {command}: no such program");
            return false;
        }
        let status = Command::new("sh")
            .args(["-c", command])
            .current_dir(directory)
            .env("HOME", directory)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{command}");
        true
    }
}

/// Commands that write `packed` from the directory `app`.
const PRODUCERS: &[(&str, Compression)] = &[
    ("tar --format=gnu -cf packed app", Compression::None),
    ("tar --format=oldgnu -cf packed -C app .", Compression::None),
    ("tar --format=pax -cf packed app", Compression::None),
    ("tar --format=posix --sort=name --mtime=@0 --owner=0 --group=0 -czf packed -C app .", Compression::Gzip),
    ("tar -cf packed --use-compress-program=zstd app", Compression::Zstd),
    ("tar -cJf packed app", Compression::Xz),
    ("bsdtar -cf packed app", Compression::None),
    ("busybox tar -cf packed app", Compression::None),
    ("python3 -m tarfile -c packed app", Compression::None),
    (
        "python3 -c 'import tarfile; t = tarfile.open(\"packed\", \"w:gz\", format=tarfile.GNU_FORMAT); t.add(\"app\"); t.close()'",
        Compression::Gzip,
    ),
];

#[test]
fn src_05_archives_of_common_tools_are_read_as_the_directory() {
    let app = app();
    let expected = listing(&read_path(&app.path().join("app"), GitPolicy::Keep).unwrap().tree);
    let packed = app.path().join("packed");
    let mut read = 0;
    for (command, compression) in PRODUCERS {
        if command.contains("zstd") && !produce(app.path(), "zstd --version") || !produce(app.path(), command)
        {
            continue;
        }
        let source = read_path(&packed, GitPolicy::Keep).unwrap_or_else(|error| panic!("{command}: {error}"));
        assert_eq!(listing(&source.tree), expected, "{command}");
        assert_eq!(
            (source.kind, source.warnings),
            (SourceKind::Archive(*compression), Vec::new()),
            "{command}"
        );
        fs::remove_file(&packed).unwrap();
        read += 1;
    }
    println!("figure SRC-05: archives of {read} of {} commands read as the directory", PRODUCERS.len());
}

#[test]
fn src_05_archives_of_git_are_read_as_the_directory() {
    let app = app();
    let git = "git -c user.name=n -c user.email=e@example.com -C app";
    if !produce(app.path(), &format!("git init -q app && {git} add -A && {git} commit -qm first")) {
        return;
    }
    let expected = listing(&read_path(&app.path().join("app"), GitPolicy::Exclude).unwrap().tree);
    for (format, compression) in [
        ("tar", Compression::None),
        ("tar.gz", Compression::Gzip),
        ("tar --prefix=app-1.0/", Compression::None),
        ("tar.gz --prefix=app-0123abcd/", Compression::Gzip),
    ] {
        assert!(produce(app.path(), &format!("git -C app archive --format={format} HEAD > packed")));
        let source = read_path(&app.path().join("packed"), GitPolicy::Keep).unwrap();
        assert_eq!(listing(&source.tree), expected, "{format}");
        assert_eq!(
            (source.kind, source.warnings),
            (SourceKind::Archive(compression), Vec::new()),
            "{format}"
        );
        assert!(source.newest_mtime > 1_700_000_000);
    }
}

/// A layer of an image is an archive as well, if it deletes nothing.
#[test]
fn src_05_a_layer_of_an_image_is_read_as_the_directory() {
    use lapstrake_oci::layer::{Compression as Codec, PackOptions, pack};
    let app = app();
    let source = read_path(&app.path().join("app"), GitPolicy::Keep).unwrap();
    for (codec, compression) in [
        (Codec::None, Compression::None),
        (Codec::Gzip(6), Compression::Gzip),
        (Codec::Zstd(3), Compression::Zstd),
    ] {
        let options = PackOptions::new(1_700_000_000).compression(codec);
        let layer = pack(&source.tree, &options, app.path()).unwrap();
        let read = read_path(layer.blob.path(), GitPolicy::Keep).unwrap();
        assert_eq!(listing(&read.tree), listing(&source.tree), "{codec:?}");
        assert_eq!(read.kind, SourceKind::Archive(compression));
    }
}

#[test]
fn src_05_a_package_of_npm_is_read_as_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let app = directory.path().join("app");
    fs::create_dir_all(app.join("lib")).unwrap();
    fs::write(app.join("package.json"), r#"{"name": "app", "version": "1.0.0"}"#).unwrap();
    fs::write(app.join("lib/index.js"), "exports.a = 1\n").unwrap();
    if !produce(directory.path(), "npm pack ./app --silent") {
        return;
    }
    let read = read_path(&directory.path().join("app-1.0.0.tgz"), GitPolicy::Keep).unwrap();
    let expected = read_path(&app, GitPolicy::Keep).unwrap();
    assert_eq!(listing(&read.tree), listing(&expected.tree));
}
