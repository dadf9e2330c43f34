use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::fs::{CWD, XattrFlags, mknodat, setxattr};

use super::*;

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

fn options() -> ScanOptions<'static> {
    ScanOptions::new(Owner { uid: 10, gid: 20 })
}

fn set_mode(file: &Path, mode: u32) {
    fs_err::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn describe(scan: &Scan) -> Vec<String> {
    let kind = |kind: &Kind| match kind {
        Kind::Directory => "dir".to_owned(),
        Kind::File(content) => format!("file of {}", content.len()),
        Kind::Symlink(target) => format!("-> {}", target.escape_ascii()),
        Kind::Hardlink(target) => format!("= {target}"),
        Kind::Whiteout => "whiteout".to_owned(),
    };
    scan.tree.iter().map(|(path, node)| format!("{path} {} {:o}", kind(&node.kind), node.mode)).collect()
}

#[test]
fn out_01_a_hostile_tree_becomes_a_plain_one() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs_err::create_dir(at("sub")).unwrap();
    set_mode(&at("sub"), 0o2700);
    fs_err::write(at("sub/z-name"), b"12345").unwrap();
    set_mode(&at("sub/z-name"), 0o4711);
    fs_err::hard_link(at("sub/z-name"), at("sub/a-name")).unwrap();
    fs_err::hard_link(at("sub/z-name"), at("zz")).unwrap();
    fs_err::write(at("plain"), b"x").unwrap();
    set_mode(&at("plain"), 0o600);
    symlink("/etc/passwd", at("link")).unwrap();
    symlink("/", at("sub/root")).unwrap();
    mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();

    let scan = scan(dir.path(), &options()).unwrap();
    let expected = [
        "link -> /etc/passwd 777",
        "plain file of 1 644",
        "sub dir 755",
        "sub/a-name file of 5 755",
        "sub/root -> / 777",
        "sub/z-name = sub/a-name 755",
        "zz = sub/a-name 755",
    ];
    assert_eq!(describe(&scan), expected);
    let dropped: Vec<_> = scan.dropped.iter().map(|it| (it.path.to_string(), it.what)).collect();
    assert_eq!(dropped, [("pipe".to_owned(), "named pipe"), ("socket".to_owned(), "socket")]);
    assert!(scan.tree.iter().all(|(_, node)| node.owner == Owner { uid: 10, gid: 20 }));

    let keep = ScanOptions { modes: ModePolicy::Keep, ..options() };
    let kept = super::scan(dir.path(), &keep).unwrap();
    assert_eq!(kept.tree.get(&path("plain")).unwrap().mode, 0o600);
    assert_eq!(kept.tree.get(&path("sub/a-name")).unwrap().mode, 0o711, "without setuid");
    assert_eq!(kept.tree.get(&path("sub")).unwrap().mode, 0o700, "without setgid");
}

#[test]
fn what_is_skipped_is_not_even_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    fs_err::create_dir_all(dir.path().join("cache/deep")).unwrap();
    fs_err::write(dir.path().join("cache/.wh.x"), b"").unwrap();
    fs_err::write(dir.path().join("kept"), b"").unwrap();
    let skip = |path: &TreePath| path.to_string() == "cache";
    let scan = scan(dir.path(), &ScanOptions { skip: &skip, ..options() }).unwrap();
    assert_eq!(describe(&scan), ["kept file of 0 644"]);
}

#[test]
fn out_01_names_that_mean_deletions_are_refused() {
    for name in [".wh.x", ".wh..wh..opq"] {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("a")).unwrap();
        fs_err::write(dir.path().join("a").join(name), b"").unwrap();
        let error = scan(dir.path(), &options()).unwrap_err().to_string();
        let reason = "names that begin with `.wh.` mean deletions in a layer";
        assert_eq!(error, format!("`a/{name}` is refused: {reason}"));
    }
}

#[test]
fn out_01_a_huge_sparse_file_and_too_many_paths_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sparse = std::fs::File::create(dir.path().join("sparse")).unwrap();
    if sparse.set_len(1 << 40).is_err() {
        eprintln!("skipped: this file system has no sparse files");
        return;
    }
    let error = scan(dir.path(), &options()).unwrap_err();
    assert!(matches!(error, ScanError::Limit { what: "bytes", .. }), "{error}");
    let limits = ScanLimits { entries: 0, bytes: u64::MAX };
    let error = scan(dir.path(), &ScanOptions { limits, ..options() }).unwrap_err();
    assert!(matches!(error, ScanError::Limit { what: "paths", .. }), "{error}");
}

#[test]
fn a_tree_that_is_too_deep_is_refused_by_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let top = dir.path().join("top");
    fs_err::create_dir(&top).unwrap();
    let mut at = rustix::fs::open(&top, flags, Mode::empty()).unwrap();
    for _ in 0..700 {
        rustix::fs::mkdirat(&at, "deep", Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, "deep", flags, Mode::empty()).unwrap();
    }
    let error = scan(&top, &options()).unwrap_err().to_string();
    assert!(
        error.ends_with("… is refused: its path is longer than 3072 bytes") || error.contains("…`"),
        "{error}"
    );
    crate::layer::remove_tree(&top).unwrap();
}

#[test]
fn out_01_a_device_is_dropped_from_a_plain_tree_and_a_whiteout_in_an_upper_one() {
    let dir = tempfile::tempdir().unwrap();
    let upper = dir.path();
    if let Err(cause) = mknodat(CWD, upper.join("gone"), FileType::CharacterDevice, Mode::empty(), 0) {
        eprintln!("skipped: whiteouts cannot be made here: {cause}");
        return;
    }
    fs_err::create_dir(upper.join("d")).unwrap();
    fs_err::write(upper.join("d/new"), b"1").unwrap();
    let plain = scan(upper, &options()).unwrap();
    assert_eq!(describe(&plain), ["d dir 755", "d/new file of 1 644"]);
    assert_eq!(plain.dropped, [Dropped { path: path("gone"), what: "device" }]);
    let scanned = scan_upper(upper, &options()).unwrap();
    assert_eq!(describe(&scanned), ["d dir 755", "d/new file of 1 644", "gone whiteout 644"]);
    assert_eq!(scanned.dropped, []);
}

#[test]
fn out_01_the_marks_of_an_overlay_are_understood_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let upper = dir.path();
    let mark = |name: &str, mark: &str, value: &[u8]| {
        setxattr(upper.join(name), format!("user.overlay.{mark}"), value, XattrFlags::empty())
    };
    fs_err::create_dir_all(upper.join("opaque")).unwrap();
    fs_err::create_dir_all(upper.join("holder")).unwrap();
    fs_err::write(upper.join("holder/gone"), b"").unwrap();
    fs_err::write(upper.join("holder/file"), b"x").unwrap();
    if let Err(cause) = mark("opaque", "opaque", b"y") {
        eprintln!("skipped: this file system has no user attributes: {cause}");
        return;
    }
    mark("holder", "opaque", b"x").unwrap();
    mark("holder/gone", "whiteout", b"").unwrap();
    mark("holder/file", "origin", b"\0\x01").unwrap();
    let scanned = scan_upper(upper, &options()).unwrap();
    assert_eq!(scanned.opaque.iter().collect::<Vec<_>>(), [&path("opaque")]);
    assert_eq!(
        describe(&scanned),
        ["holder dir 755", "holder/file file of 1 644", "holder/gone whiteout 644", "opaque dir 755"]
    );

    mark("holder/file", "metacopy", b"").unwrap();
    let error = scan_upper(upper, &options()).unwrap_err().to_string();
    let reason = "overlayfs copied its metadata without its content (`metacopy`)";
    assert_eq!(error, format!("`holder/file` is refused: {reason}"));
    scan(upper, &options()).unwrap();
    fs_err::remove_file(upper.join("holder/file")).unwrap();
    mark("opaque", "redirect", b"/elsewhere").unwrap();
    assert!(matches!(scan_upper(upper, &options()), Err(ScanError::Refused { .. })));
}

#[test]
fn a_scanned_tree_is_packed_alike_wherever_it_lies() {
    let pack = |umask_mode: u32| {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a", "c/d"] {
            let file = dir.path().join(name);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(&file, name).unwrap();
            set_mode(&file, 0o600 | umask_mode);
        }
        let scan = scan(dir.path(), &options()).unwrap();
        let layer = crate::layer::pack(&scan.tree, &crate::layer::PackOptions::new(1), dir.path()).unwrap();
        layer.descriptor.digest().clone()
    };
    assert_eq!(pack(0o44), pack(0));
}
