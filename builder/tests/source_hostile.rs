//! The archives that were made to mislead tar readers: each is refused, or accepted and made harmless, as the list
//! that comes with them says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use lapstrake::source::{
    Fault, MaterialiseOptions, ReadOptions, SourceSpec, SymlinkPolicy, Warning, materialise, read,
};
use lapstrake_oci::tree::{FileTree, Kind, Node, TreePath};

use canary::{Canary, archives, content};

#[cfg(test)]
mod canary {
    use std::collections::BTreeMap;
    use std::ffi::OsString;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::{Path, PathBuf};

    use lapstrake::source::{
        MaterialiseOptions, ReadOptions, Source, SourceError, SourceSpec, materialise, read,
    };
    use lapstrake_oci::tree::{Kind, Node};

    pub(super) fn archives() -> Option<PathBuf> {
        let testing = std::env::var_os("LAPSTRAKE_TESTING")
            .unwrap_or_else(|| OsString::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/testing")));
        let archives = PathBuf::from(testing).join("hostile-archives");
        if archives.join("MANIFEST.tsv").exists() {
            return Some(archives);
        }
        eprintln!("skipped: no archives at {}", archives.display());
        None
    }

    /// A scratch directory in a tree that notices when something is changed beside it.
    pub(super) struct Canary {
        directory: tempfile::TempDir,
        before: BTreeMap<PathBuf, String>,
    }

    impl Canary {
        pub(super) fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let at = |name: &str| directory.path().join(name);
            fs::write(at("canary"), "alive").unwrap();
            for name in ["outside", "root-sibling", "root", "scratch"] {
                fs::create_dir(at(name)).unwrap();
            }
            fs::write(at("outside/canary"), "alive").unwrap();
            fs::set_permissions(at("outside"), fs::Permissions::from_mode(0o750)).unwrap();
            let mut canary = Self { directory, before: BTreeMap::new() };
            canary.before = canary.state();
            canary
        }

        pub(super) fn root(&self) -> PathBuf {
            self.directory.path().join("root")
        }

        pub(super) fn options(&self) -> ReadOptions {
            ReadOptions::new(self.directory.path().join("scratch"))
        }

        fn state(&self) -> BTreeMap<PathBuf, String> {
            let mut state = BTreeMap::new();
            let walk = walkdir::WalkDir::new(self.directory.path()).into_iter();
            let below_root =
                |entry: &walkdir::DirEntry| entry.depth() > 1 && entry.path().starts_with(self.root());
            for entry in walk.filter_entry(|entry| !below_root(entry)) {
                let entry = entry.unwrap();
                let metadata = entry.metadata().unwrap();
                // What is made in the root changes the root's own time, the unnamed spool that of its directory.
                let time = if entry.depth() == 1 && metadata.is_dir() { 0 } else { metadata.mtime_nsec() };
                let links = if entry.path() == self.root() { 0 } else { metadata.nlink() };
                let content = if metadata.is_file() {
                    fs::read_to_string(entry.path()).unwrap()
                } else {
                    String::new()
                };
                let text = format!("{:o} {} {links} {time} {content}", metadata.mode(), metadata.uid());
                state.insert(entry.into_path(), text);
            }
            let passwd = fs::metadata("/etc/passwd").unwrap();
            state.insert("/etc/passwd".into(), format!("{} {}", passwd.nlink(), passwd.mtime_nsec()));
            for evil in ["/tmp/evil-abs-canary", "/tmp/evil-dir"] {
                state.insert(evil.into(), Path::new(evil).exists().to_string());
            }
            state
        }

        pub(super) fn read(&self, archive: &Path, options: &ReadOptions) -> Result<Source, SourceError> {
            let source = read(&SourceSpec::Path(archive.to_owned()), std::io::empty(), options)?;
            materialise(&source.tree, &self.root(), &MaterialiseOptions::default()).unwrap();
            Ok(source)
        }

        pub(super) fn check(&self, archive: &str) {
            assert_eq!(self.state(), self.before, "{archive} changed something outside");
        }
    }

    pub(super) fn content(node: &Node) -> Vec<u8> {
        match &node.kind {
            Kind::File(content) => content.read().unwrap(),
            _ => Vec::new(),
        }
    }
}

#[test]
fn src_01_every_archive_gets_the_verdict_of_the_list() {
    let Some(archives) = archives() else { return };
    let manifest = fs::read_to_string(archives.join("MANIFEST.tsv")).unwrap();
    let mut wrong = Vec::new();
    let mut counts = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    for line in manifest.lines() {
        let [name, verdict, what] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let canary = Canary::new();
        let start = Instant::now();
        let result = canary.read(&archives.join(name), &canary.options());
        slowest = slowest.max(start.elapsed());
        canary.check(name);
        let refused = verdict == "R" || name.starts_with("s08");
        match result {
            Err(error) if refused && error.fault() == Fault::Refused => {
                assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
            }
            Ok(_) if !refused => {}
            Ok(_) => wrong.push(format!("{name}: accepted ({what})")),
            Err(error) => wrong.push(format!("{name}: {error} ({what})")),
        }
        *counts.entry(verdict.to_owned()).or_insert(0) += 1;
    }
    println!("figure SRC-01: {} of {counts:?} with another verdict than that of the list", wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(counts.values().sum::<i32>() > 50, "{counts:?}");
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
}

#[test]
fn src_01_what_is_accepted_has_been_made_harmless() {
    let Some(archives) = archives() else { return };
    let canary = Canary::new();
    let read = |name: &str| {
        let source = read(&SourceSpec::Path(archives.join(name)), std::io::empty(), &canary.options());
        source.unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    for (name, byte) in [("p14-newline-ansi-name.tar", b'\n'), ("p15-invalid-utf8.tar", 0xff)] {
        let source = read(name);
        let (path, _) = source
            .tree
            .iter()
            .find(|(path, _)| path.as_bytes().contains(&byte))
            .unwrap_or_else(|| panic!("{name}: {:?}", source.tree));
        assert!(path.to_string().is_ascii() && !path.to_string().contains('\n'));
    }
    for name in [
        "m05-setuid.tar",
        "m06-setgid-dir-sticky.tar",
        "m10-uid-0-owner.tar",
        "m11-mode-000-dir-then-file.tar",
    ] {
        for (path, node) in read(name).tree.iter() {
            assert!([0o755, 0o644].contains(&node.mode), "{name}: {path} has mode {:o}", node.mode);
            assert_eq!((node.owner.uid, node.owner.gid), (0, 0), "{name}");
        }
    }
    assert!(
        read("m11-mode-000-dir-then-file.tar")
            .tree
            .iter()
            .any(|(_, node)| matches!(node.kind, Kind::File(_)))
    );
    let contents = read("m15-contiguous-type7.tar");
    assert!(contents.tree.iter().any(|(_, node)| content(node) == b"hello"), "{contents:?}");
    for name in ["m20-mtime-negative.tar", "m21-mtime-huge.tar"] {
        assert!((0..253_402_300_800).contains(&read(name).newest_mtime), "{name}");
    }
    let cut = read("d19-no-eof-blocks.tar");
    assert_eq!(cut.warnings, [Warning::NoEndMarker]);
    assert!(!cut.tree.is_empty());
    let old = read("d28-v7-trailing-slash-dir.tar");
    assert!(
        matches!(old.tree.get(&TreePath::new("olddir").unwrap()).unwrap().kind, Kind::Directory),
        "{old:?}"
    );
    let links = read("s09-symlink-loop.tar");
    assert_eq!(links.tree.iter().filter(|(_, node)| matches!(node.kind, Kind::Symlink(_))).count(), 2);
}

#[test]
fn src_11_an_outward_link_is_kept_unfollowed_when_asked_for() {
    let Some(archives) = archives() else { return };
    let canary = Canary::new();
    let options = ReadOptions { symlinks: SymlinkPolicy::KeepDangling, ..canary.options() };
    let source = canary.read(&archives.join("s08-symlink-escape-only.tar"), &options).unwrap();
    canary.check("s08");
    let (path, target) = source
        .tree
        .iter()
        .find_map(|(path, node)| match &node.kind {
            Kind::Symlink(target) => Some((path.clone(), target.clone())),
            _ => None,
        })
        .unwrap();
    assert_eq!(source.warnings, [Warning::OutwardLink { path: path.clone(), target: target.clone() }]);
    let written = fs::read_link(path.below(&canary.root())).unwrap();
    assert_eq!(written.as_os_str().as_bytes(), target);
    println!("figure SRC-11: {} link out kept, and nothing outside changed", source.warnings.len());
}

#[test]
fn a_tree_is_never_written_through_a_link() {
    let canary = Canary::new();
    symlink("../outside", canary.root().join("way")).unwrap();
    symlink("../canary", canary.root().join("file")).unwrap();
    let paths = ["way/canary", "way/new", "file", "way"];
    println!("figure SRC-11: 0 of {} files written through a link", paths.len());
    for path in paths {
        let mut tree = FileTree::new();
        tree.insert(TreePath::new(path).unwrap(), Node::file(b"dead".to_vec(), 0o644));
        let written = materialise(&tree, &canary.root(), &MaterialiseOptions::default());
        assert!(written.is_err(), "{path}");
        canary.check(path);
    }
}
