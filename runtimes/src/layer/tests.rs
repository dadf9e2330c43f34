use std::path::PathBuf;

use lapstrake_fixtures::debs::DebFile;
use lapstrake_oci::tree::Owner;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// Packages on disk, and what a lock would say of them.
struct Pool {
    directory: TempDir,
    artifacts: Vec<(ArtifactInfo, PathBuf)>,
}

impl Pool {
    fn new(debs: &[DebFile]) -> Self {
        let directory = TempDir::new().unwrap();
        let artifacts = debs.iter().map(|deb| (info(deb), deb.write(directory.path()).unwrap())).collect();
        Self { directory, artifacts }
    }

    fn assemble(&self, rules: &LayerRules, lower: &[&FileTree]) -> Result<FileTree, AssembleError> {
        assemble(&self.artifacts, rules, lower, self.directory.path())
    }
}

fn info(deb: &DebFile) -> ArtifactInfo {
    ArtifactInfo {
        kind: ArtifactKind::Deb,
        name: deb.name().to_owned(),
        version: deb.version().to_owned(),
        arch: deb.architecture().to_owned(),
    }
}

fn deb(name: &str) -> DebFile {
    DebFile::new(name, "1.0", "amd64")
}

/// Every path with all that a layer would hold of it, but for the package records.
fn listing(tree: &FileTree) -> Vec<String> {
    let records = TreePath::new("var").unwrap();
    tree.iter()
        .filter(|(path, _)| !path.is_within(&records))
        .map(|(path, node)| {
            let Node { mode, owner: Owner { uid, gid }, .. } = node;
            match &node.kind {
                Kind::Directory => format!("{path}/ {mode:o} {uid}:{gid}"),
                Kind::File(content) => {
                    format!("{path} {mode:o} {uid}:{gid} {}", content.read().unwrap().escape_ascii())
                }
                Kind::Symlink(target) => format!("{path} -> {}", target.escape_ascii()),
                Kind::Hardlink(target) => format!("{path} == {target}"),
                Kind::Whiteout => format!("{path} gone"),
            }
        })
        .collect()
}

fn rules(prune: &[&str]) -> LayerRules {
    LayerRules { prune: prune.iter().map(|&glob| glob.to_owned()).collect(), ..LayerRules::default() }
}

#[test]
fn paths_move_into_usr_and_parents_are_filled() {
    let pool = Pool::new(&[
        deb("a").file("lib/x/liba.so", 0o644, "a").symlink("lib64", "usr/lib64"),
        deb("b").file("usr/lib/x/libb.so", 0o644, "b").file("bin/b", 0o755, "b"),
    ]);
    assert_eq!(
        listing(&pool.assemble(&rules(&[]), &[]).unwrap()),
        [
            "lib64 -> usr/lib64",
            "usr/ 755 0:0",
            "usr/bin/ 755 0:0",
            "usr/bin/b 755 0:0 b",
            "usr/lib/ 755 0:0",
            "usr/lib/x/ 755 0:0",
            "usr/lib/x/liba.so 644 0:0 a",
            "usr/lib/x/libb.so 644 0:0 b",
        ]
    );
}

#[test]
fn two_packages_may_share_only_what_is_identical() {
    let same = Pool::new(&[deb("a").file("bin/x", 0o755, "x"), deb("b").file("usr/bin/x", 0o755, "x")]);
    assert!(same.assemble(&rules(&[]), &[]).is_ok());
    for other in [deb("b").file("usr/bin/x", 0o755, "y"), deb("b").file("usr/bin/x", 0o644, "x")] {
        let pool = Pool::new(&[deb("a").file("bin/x", 0o755, "x"), other]);
        let message = pool.assemble(&rules(&[]), &[]).unwrap_err().to_string();
        assert_eq!(message, "`usr/bin/x` is in both `a` and `b`, and they differ");
    }
}

#[test]
fn what_is_pruned_cannot_conflict() {
    let pool = Pool::new(&[deb("a").file("etc/x", 0o644, "x"), deb("b").file("etc/x", 0o644, "y")]);
    assert!(pool.assemble(&rules(&["etc/*"]), &[]).is_ok());
}

#[test]
fn documentation_goes_but_for_copyright() {
    let pool = Pool::new(&[deb("a")
        .file("usr/share/doc/a/copyright", 0o644, "c")
        .file("usr/share/doc/a/README", 0o644, "r")
        .directory("usr/share/doc/a/examples", 0o755)
        .file("usr/share/doc/a/examples/e", 0o644, "e")
        .symlink("usr/share/doc/liba", "a")
        .directory("usr/share/man", 0o755)
        .file("usr/share/man/man1/a.1", 0o644, "m")]);
    assert_eq!(
        listing(&pool.assemble(&rules(&["usr/share/man"]), &[]).unwrap())[2..],
        [
            "usr/share/doc/ 755 0:0",
            "usr/share/doc/a/ 755 0:0",
            "usr/share/doc/a/copyright 644 0:0 c",
            "usr/share/doc/liba -> a"
        ]
    );
}

#[test]
fn a_hard_link_to_a_pruned_file_takes_its_bytes() {
    let link = tar::EntryType::Link;
    let pool = Pool::new(&[deb("a")
        .file("usr/bin/one", 0o755, "1")
        .entry("usr/bin/three", link, 0o755, "usr/bin/one", "")
        .entry("usr/bin/two", link, 0o755, "usr/bin/one", "")]);
    assert_eq!(
        listing(&pool.assemble(&rules(&["usr/bin/one"]), &[]).unwrap())[2..],
        ["usr/bin/three 755 0:0 1", "usr/bin/two == usr/bin/three"]
    );
}

#[test]
fn a_directory_of_a_lower_layer_keeps_its_mode_and_is_not_repeated_without_need() {
    let lower = Pool::new(&[deb("a").directory("tmp", 0o1777).directory("root", 0o700)]);
    let lower = lower.assemble(&rules(&[]), &[]).unwrap();
    let upper =
        Pool::new(&[deb("b").directory("tmp", 0o755).directory("root", 0o755).file("root/x", 0o644, "x")]);
    assert_eq!(
        listing(&upper.assemble(&rules(&[]), &[&lower]).unwrap()),
        ["root/ 700 0:0", "root/x 644 0:0 x"]
    );
}

#[test]
fn a_path_through_a_link_of_a_lower_layer_is_refused() {
    let lower = Pool::new(&[deb("a").symlink("var/run", "/run")]).assemble(&rules(&[]), &[]).unwrap();
    let upper = Pool::new(&[deb("b").file("var/run/x", 0o644, "x")]);
    let message = upper.assemble(&rules(&[]), &[&lower]).unwrap_err().to_string();
    assert_eq!(message, "`var/run/x` of `b` lies below `var/run`, which is no directory");
}

#[test]
fn links_of_the_rules_replace_files_but_not_directories() {
    let pool = Pool::new(&[deb("a").file("usr/bin/x", 0o755, "x").directory("usr/lib", 0o755)]);
    let link = |path: &str| LayerRules {
        links: BTreeMap::from([(path.to_owned(), "y".to_owned())]),
        ..LayerRules::default()
    };
    assert!(listing(&pool.assemble(&link("usr/bin/x"), &[]).unwrap()).contains(&"usr/bin/x -> y".to_owned()));
    let message = pool.assemble(&link("usr/lib"), &[]).unwrap_err().to_string();
    assert_eq!(message, "`usr/lib` is a directory and cannot become a link or file");
    assert!(matches!(pool.assemble(&link("../x"), &[]), Err(AssembleError::Rule { .. })));
}

#[test]
fn an_artifact_that_is_not_the_locked_one_is_refused() {
    let mut pool = Pool::new(&[deb("a")]);
    pool.artifacts[0].0.version = "2.0".to_owned();
    let message = pool.assemble(&rules(&[]), &[]).unwrap_err().to_string();
    assert_eq!(message, "`a_1.0_amd64.deb` is `a 1.0 amd64`, not `a 2.0 amd64`");
}

#[test]
fn a_bad_glob_is_named() {
    let message = Pool::new(&[]).assemble(&rules(&["usr/[x"]), &[]).unwrap_err().to_string();
    assert_eq!(message, "`usr/[x` is no glob");
}

#[test]
fn the_records_of_a_package_leave_out_pruned_files() {
    let sum = "d41d8cd98f00b204e9800998ecf8427e";
    let pool = Pool::new(&[deb("a")
        .control("Source: b\n")
        .md5sums(&format!("{sum}  bin/a\n{sum}  usr/share/man/man1/a.1\n"))
        .file("bin/a", 0o755, "")
        .file("usr/share/man/man1/a.1", 0o644, "")]);
    let tree = pool.assemble(&rules(&["usr/share/man"]), &[]).unwrap();
    let read = |path: &str| match &tree.get(&TreePath::new(path).unwrap()).unwrap().kind {
        Kind::File(content) => String::from_utf8(content.read().unwrap()).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(read("var/lib/dpkg/status.d/a"), "Package: a\nVersion: 1.0\nArchitecture: amd64\nSource: b\n");
    assert_eq!(read("var/lib/dpkg/status.d/a.md5sums"), format!("{sum}  bin/a\n"));
}

/// Packages that share directories with different modes, files and links: what order could decide on.
fn many() -> Vec<DebFile> {
    (0..8)
        .map(|number: u32| {
            deb(&format!("p{number}"))
                .directory("usr/share/common", if number.is_multiple_of(2) { 0o755 } else { 0o700 })
                .file("usr/share/common/same", 0o644, "same")
                .file(&format!("lib/l{number}"), 0o644, format!("{number}"))
                .symlink(&format!("usr/bin/s{}", 7 - number), "x")
                .entry(
                    &format!("usr/lib/h{number}"),
                    tar::EntryType::Link,
                    0o644,
                    &format!("lib/l{number}"),
                    "",
                )
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_order_of_artifacts_and_the_directory_do_not_matter(order in Just((0..8).collect::<Vec<usize>>()).prop_shuffle()) {
        let debs = many();
        let straight = Pool::new(&debs).assemble(&rules(&["usr/lib/l?"]), &[]).unwrap();
        let shuffled: Vec<DebFile> = order.iter().map(|&index| debs[index].clone()).collect();
        let shuffled = Pool::new(&shuffled).assemble(&rules(&["usr/lib/l?"]), &[]).unwrap();
        prop_assert_eq!(listing(&straight), listing(&shuffled));
    }
}

mod npm_packages;
mod wheels;
