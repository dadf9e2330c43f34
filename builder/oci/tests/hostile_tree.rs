//! What build commands may leave on a disk, as trees and layers: nothing of it blocks, takes long or stays dangerous,
//! and what has an unusual size, name, owner or time reads alike with the readers of others.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "what helps a test is a test")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lapstrake_oci::layer::{
    Compression, EntryKind, LayerReader, PackOptions, ReadLimits, ScanError, ScanLimits, ScanOptions, pack,
    remove_tree, scan, scan_upper,
};
use lapstrake_oci::tree::{Content, FileTree, Node, Owner, TreePath};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use sha2::{Digest, Sha256};

fn options() -> ScanOptions<'static> {
    ScanOptions::new(Owner::default())
}

fn packing(compression: Compression, mtime: i64) -> PackOptions {
    PackOptions { mtime, compression, threads: NonZeroUsize::new(2).unwrap() }
}

/// A directory for more files than a disk makes in a few seconds: in memory, where there is such a place.
fn fast_directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A file tree of so many files, in directories of a thousand.
fn many(dir: &Path, files: usize) {
    for number in 0..files {
        let directory = dir.join(format!("{}", number / 1000));
        if number % 1000 == 0 {
            fs_err::create_dir(&directory).unwrap();
        }
        fs_err::write(directory.join(format!("{number}")), b"").unwrap();
    }
}

#[test]
fn out_01_a_hundred_thousand_files_are_scanned_within_seconds() {
    let dir = fast_directory();
    many(dir.path(), 100_000);
    let start = Instant::now();
    let plain = scan(dir.path(), &options()).unwrap();
    let plain_took = start.elapsed();
    let start = Instant::now();
    let upper = scan_upper(dir.path(), &options()).unwrap();
    let upper_took = start.elapsed();
    assert_eq!((plain.tree.len(), upper.tree.len()), (100_100, 100_100));
    println!(
        "figure OUT-01: 100,000 files scanned in {:.2} s, as changes of an overlay in {:.2} s",
        plain_took.as_secs_f64(),
        upper_took.as_secs_f64()
    );
    // Two seconds are meant for an optimised build on a machine with nothing else to do.
    let bound = if cfg!(debug_assertions) { Duration::from_secs(8) } else { Duration::from_secs(2) };
    assert!(plain_took < bound && upper_took < bound, "{plain_took:?}, {upper_took:?}");
    let limits = ScanLimits { entries: 100_099, bytes: u64::MAX };
    let error = scan(dir.path(), &ScanOptions { limits, ..options() }).unwrap_err();
    assert!(matches!(error, ScanError::Limit { what: "paths", limit: 100_099, .. }), "{error}");
}

#[test]
fn out_01_twenty_thousand_levels_are_refused_soon_and_deleted() {
    let dir = fast_directory();
    let top = dir.path().join("top");
    fs_err::create_dir(&top).unwrap();
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let mut at = rustix::fs::open(&top, flags, Mode::empty()).unwrap();
    for _ in 0..20_000 {
        rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, "d", flags, Mode::empty()).unwrap();
    }
    drop(at);
    let start = Instant::now();
    let error = scan(&top, &options()).unwrap_err().to_string();
    let scanned = start.elapsed();
    assert!(error.ends_with("…` is refused: its path is longer than 3072 bytes"), "{error}");
    assert!(error.len() < 300, "{error}");
    let start = Instant::now();
    remove_tree(&top).unwrap();
    let removed = start.elapsed();
    assert!(!top.exists());
    println!("figure OUT-01: 20,000 levels refused in {scanned:.2?} and deleted in {removed:.2?}");
    assert!(
        scanned < Duration::from_secs(2) && removed < Duration::from_secs(10),
        "{scanned:?}, {removed:?}"
    );
}

/// Runs `what` in a thread and gives up after ten seconds, for what blocks would block for ever.
fn soon<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(what()).is_ok());
    receiver.recv_timeout(Duration::from_secs(10)).expect("it blocks")
}

#[test]
fn out_01_pipes_sockets_and_devices_are_neither_opened_nor_packed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    fs_err::write(at("plain"), b"x").unwrap();
    let mut expected = vec![("pipe", "named pipe"), ("socket", "socket")];
    let devices = [
        ("a-zero", FileType::CharacterDevice, 1, 5),
        ("b-whiteout", FileType::CharacterDevice, 0, 0),
        ("c-disk", FileType::BlockDevice, 8, 0),
    ];
    for (place, (name, kind, major, minor)) in devices.into_iter().enumerate() {
        match mknodat(CWD, at(name), kind, Mode::RWXU, rustix::fs::makedev(major, minor)) {
            Ok(()) => expected.insert(place, (name, "device")),
            Err(cause) => println!("skipped: `{name}` cannot be made here: {cause}"),
        }
    }
    let expected: Vec<_> = expected.into_iter().map(|(name, what)| (name.to_owned(), what)).collect();
    let root = dir.path().to_owned();
    let (dropped, packed) = soon(move || {
        let scan = scan(&root, &options()).unwrap();
        let layer = pack(&scan.tree, &packing(Compression::None, 0), &std::env::temp_dir()).unwrap();
        (scan.dropped, layer.files)
    });
    let dropped: Vec<_> = dropped.into_iter().map(|it| (it.path.to_string(), it.what)).collect();
    // What is left out depends on what could be made, but the plain file is all that is packed.
    assert_eq!(dropped.len(), expected.len(), "{dropped:?}");
    assert!(expected.iter().all(|it| dropped.contains(it)), "{dropped:?}");
    assert_eq!(packed, 1);
}

#[test]
fn out_01_a_file_that_becomes_a_pipe_or_a_link_is_not_waited_for_and_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs_err::write(at("secret"), b"four").unwrap();
    for name in ["pipe", "link"] {
        fs_err::create_dir(at(&format!("tree-{name}"))).unwrap();
        fs_err::write(at(&format!("tree-{name}/file")), b"four").unwrap();
        let scan = scan(&at(&format!("tree-{name}")), &options()).unwrap();
        let file = at(&format!("tree-{name}/file"));
        fs_err::remove_file(&file).unwrap();
        if name == "pipe" {
            mknodat(CWD, &file, FileType::Fifo, Mode::RWXU, 0).unwrap();
        } else {
            std::os::unix::fs::symlink(at("secret"), &file).unwrap();
        }
        let packed =
            soon(move || pack(&scan.tree, &packing(Compression::None, 0), &std::env::temp_dir()).map(drop));
        assert!(packed.is_err(), "{name}");
    }
}

#[test]
fn out_01_modes_of_nothing_do_not_stop_a_scan_by_root_and_never_reach_a_layer() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs_err::create_dir_all(at("closed/inner")).unwrap();
    fs_err::write(at("closed/inner/file"), b"x").unwrap();
    fs_err::write(at("setuid"), b"x").unwrap();
    for (name, mode) in [("closed/inner/file", 0), ("closed/inner", 0), ("closed", 0), ("setuid", 0o7755)] {
        fs_err::set_permissions(at(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let scanned = scan(dir.path(), &options());
    if !rustix::process::geteuid().is_root() {
        assert!(matches!(scanned, Err(ScanError::Read { .. })), "who may not read it says so");
        fs_err::set_permissions(at("closed"), std::fs::Permissions::from_mode(0o700)).unwrap();
        return remove_tree(&at("closed")).unwrap();
    }
    let modes: Vec<_> =
        scanned.unwrap().tree.iter().map(|(path, node)| format!("{path} {:o}", node.mode)).collect();
    assert_eq!(modes, ["closed 755", "closed/inner 755", "closed/inner/file 644", "setuid 755"]);
}

#[test]
fn out_01_names_that_steer_terminals_are_shown_escaped_and_packed_as_they_are() {
    let names: [&[u8]; 6] = [b"a\nb", b"\x1b[31mred", b"\xff\xfe", "\u{202e}abc".as_bytes(), b"-rf", b"\\"];
    let shown = ["a\\nb", "\\x1b[31mred", "\\xff\\xfe", "\\xe2\\x80\\xaeabc", "-rf", "\\"];
    let mut tree = FileTree::new();
    for (name, shown) in names.iter().zip(shown) {
        let path = TreePath::new(name).unwrap();
        assert_eq!(path.to_string(), shown);
        tree.insert(path, Node::file(Vec::new(), 0o644));
    }
    let layer = pack(&tree, &packing(Compression::None, 0), &std::env::temp_dir()).unwrap();
    let bytes = fs_err::read(layer.blob.path()).unwrap();
    let read = python(&*bytes).into_iter().map(|row| row.path).collect::<Vec<_>>();
    let mut expected: Vec<String> = names.iter().map(|name| hex(name)).collect();
    expected.sort();
    assert_eq!(read, expected);
    let dir = tempfile::tempdir().unwrap();
    fs_err::create_dir(dir.path().join("\u{202e}d")).unwrap();
    fs_err::write(dir.path().join("\u{202e}d/.wh.x"), b"").unwrap();
    let error = scan(dir.path(), &options()).unwrap_err().to_string();
    assert!(error.starts_with("`\\xe2\\x80\\xaed/.wh.x` is refused"), "{error}");
}

/// An entry as a reader sees it, its name in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    path: String,
    size: u64,
    uid: u64,
    gid: u64,
    mtime: i64,
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// What a program prints that is given `input`, which it need not read to the end.
fn output(program: &str, arguments: &[&str], mut input: impl Read + Send) -> Option<String> {
    let child = Command::new(program)
        .args(arguments)
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: `{program}` is not there");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || io::copy(&mut input, &mut stdin).is_ok());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{program}: {}", output.status);
    Some(String::from_utf8(output.stdout).unwrap())
}

const PYTHON: &str = "
import sys, tarfile
for m in tarfile.open(fileobj=sys.stdin.buffer, mode='r|'):
    print(m.name.encode('utf-8', 'surrogateescape').hex(), m.size, m.uid, m.gid, int(m.mtime))
";

fn python(tar: impl Read + Send) -> Vec<Row> {
    let Some(text) = output("python3", &["-c", PYTHON], tar) else { return Vec::new() };
    let rows = text.lines().map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| fields[at].parse().unwrap();
        Row {
            path: fields[0].to_owned(),
            size: number(1),
            uid: number(2),
            gid: number(3),
            mtime: fields[4].parse().unwrap(),
        }
    });
    let mut rows: Vec<Row> = rows.collect();
    rows.sort();
    rows
}

fn gnu(tar: impl Read + Send) -> Option<Vec<Row>> {
    let text = output("tar", &["-tvf", "-", "--numeric-owner", "--full-time"], tar)?;
    let rows = text.lines().map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (uid, gid) = fields[1].split_once('/').unwrap();
        let date =
            output("date", &["-d", &format!("{} {}", fields[3], fields[4]), "+%s"], io::empty()).unwrap();
        Row {
            path: hex(fields[5].as_bytes()),
            size: fields[2].parse().unwrap(),
            uid: uid.parse().unwrap(),
            gid: gid.parse().unwrap(),
            mtime: date.trim().parse().unwrap(),
        }
    });
    let mut rows: Vec<Row> = rows.collect();
    rows.sort();
    Some(rows)
}

fn bsd(tar: impl Read + Send) -> Option<Vec<Row>> {
    let arguments = ["-cf", "-", "--format=mtree", "--options=mtree:!all,size,time,uid,gid,type", "@-"];
    let text = output("bsdtar", &arguments, tar)?;
    let rows = text.lines().filter(|line| line.starts_with("./")).map(|line| {
        let mut words = line.split(' ');
        let path = hex(&words.next().unwrap().as_bytes()[2..]);
        let fields: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
        let number = |name: &str| fields[name].parse().unwrap();
        let mtime = fields["time"].split('.').next().unwrap().parse().unwrap();
        Row { path, size: number("size"), uid: number("uid"), gid: number("gid"), mtime }
    });
    let mut rows: Vec<Row> = rows.collect();
    rows.sort();
    Some(rows)
}

fn ours(tar: Box<dyn Read + Send>) -> Vec<Row> {
    let mut reader = LayerReader::new(tar, ReadLimits::default());
    let mut rows = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        assert_eq!(entry.kind, EntryKind::File);
        let (uid, gid) = (entry.owner.uid.into(), entry.owner.gid.into());
        rows.push(Row { path: hex(entry.path.as_bytes()), size: entry.size, uid, gid, mtime: entry.mtime });
    }
    rows.sort();
    rows
}

/// Names, owners and sizes at which old headers end, and one beyond.
fn unusual() -> (FileTree, Vec<Row>) {
    let (mut tree, mut rows) = (FileTree::new(), Vec::new());
    for (length, uid) in [
        (99, 0),
        (100, 65_534),
        (101, 2_000_000),
        (155, 2_097_151),
        (156, 2_097_152),
        (255, 3_000_000),
        (256, 4_294_967_294),
        (257, 1000),
        (1024, 1000),
        (3072, 1000),
    ] {
        let mut name = "0123456789abcdef".repeat(length / 16 + 1)[..length].to_owned().into_bytes();
        // No part of a path is longer than a file system takes.
        (200..length).step_by(200).for_each(|at| name[at] = b'/');
        name[0] = b'a' + u8::try_from(rows.len()).unwrap();
        let mut node = Node::file(vec![b'x'; length], 0o644);
        node.owner = Owner { uid, gid: uid.wrapping_add(1) };
        tree.insert(TreePath::new(&name).unwrap(), node);
        rows.push(Row {
            path: hex(&name),
            size: length as u64,
            uid: uid.into(),
            gid: u64::from(uid) + 1,
            mtime: 0,
        });
    }
    (tree, rows)
}

/// Compares what each reader that is here reads with what was packed; says which were.
fn compare(open: impl Fn() -> Box<dyn Read + Send>, expected: &[Row]) -> Vec<&'static str> {
    assert_eq!(ours(open()), expected);
    let mut readers = vec!["this program"];
    for (name, rows) in [
        ("GNU tar", gnu(open())),
        ("bsdtar", bsd(open())),
        ("Python", Some(python(open())).filter(|rows| !rows.is_empty())),
    ] {
        let Some(rows) = rows else { continue };
        assert_eq!(rows, expected, "{name}");
        readers.push(name);
    }
    readers
}

#[test]
fn out_11_long_names_large_owners_and_early_times_read_alike_everywhere() {
    let (tree, rows) = unusual();
    let mut readers = Vec::new();
    for mtime in [-1, -86_400 * 365 * 50, 0, 1 << 33, (1 << 33) - 1] {
        let layer = pack(&tree, &packing(Compression::None, mtime), &std::env::temp_dir()).unwrap();
        let mut expected = rows.clone();
        for row in &mut expected {
            row.mtime = mtime;
        }
        expected.sort();
        let path = layer.blob.path().to_owned();
        let open = || Box::new(fs_err::File::open(&path).unwrap()) as Box<dyn Read + Send>;
        readers = compare(open, &expected);
    }
    println!(
        "figure OUT-11: {} paths of up to 3072 bytes at 5 times read alike by {} readers: {}",
        rows.len(),
        readers.len(),
        readers.join(", ")
    );
}

#[test]
fn out_11_a_file_of_more_than_eight_gibibytes_reads_alike_everywhere() {
    if std::env::var_os("LAPSTRAKE_SECURITY_LONG").is_none() {
        println!("skipped: it takes a minute; set LAPSTRAKE_SECURITY_LONG");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let size = (8 << 30) + 513;
    let sparse = dir.path().join("sparse");
    fs_err::File::create(&sparse).unwrap().set_len(size).unwrap();
    let mut tree = FileTree::new();
    let kind = lapstrake_oci::tree::Kind::File(Content::path(&sparse, size));
    let node = |kind| Node { kind, mode: 0o644, owner: Owner::default() };
    tree.insert(TreePath::new("large").unwrap(), node(kind));
    tree.insert(TreePath::new("small").unwrap(), Node::file(b"behind it".to_vec(), 0o644));
    let layer = pack(&tree, &packing(Compression::Zstd(1), 7), dir.path()).unwrap();
    assert!(layer.uncompressed > size && fs_err::metadata(layer.blob.path()).unwrap().len() < 8 << 20);
    let row = |path: &str, size| Row { path: hex(path.as_bytes()), size, uid: 0, gid: 0, mtime: 7 };
    let expected = [row("large", size), row("small", 9)];
    let path = layer.blob.path().to_owned();
    let open = || {
        let decoder = zstd::Decoder::new(fs_err::File::open(&path).unwrap()).unwrap();
        Box::new(decoder) as Box<dyn Read + Send>
    };
    let readers = compare(open, &expected);
    println!("figure OUT-11: a file of {size} bytes reads alike by {} readers", readers.len());
}

/// `sha256:…` of what a decoder makes of a blob; none where it is not there.
fn decoded(program: &str, arguments: &[&str], blob: &Path) -> Option<String> {
    let input = fs_err::File::open(blob).unwrap().into_parts().0;
    let child = Command::new(program).args(arguments).stdin(input).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        println!("skipped: `{program}` is not there");
        return None;
    };
    let digest = digest_of(child.stdout.take().unwrap());
    assert!(child.wait().unwrap().success(), "{program}");
    Some(digest)
}

fn digest_of(mut reader: impl Read) -> String {
    struct Hashing(Sha256);
    impl Write for Hashing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hashing = Hashing(Sha256::new());
    io::copy(&mut reader, &mut hashing).unwrap();
    format!("sha256:{}", hex(&hashing.0.finalize()))
}

const GUNZIP: &str =
    "import gzip, shutil, sys; shutil.copyfileobj(gzip.open(sys.stdin.buffer), sys.stdout.buffer)";

#[test]
fn out_07_other_decoders_make_the_bytes_of_the_diff_id() {
    // Several blocks, and so several members and frames, with a part that no codec makes smaller.
    let mut noise = 1_u64;
    let noise: Vec<u8> = (0..300_000)
        .flat_map(|_| {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise.to_le_bytes()
        })
        .collect();
    let text: Vec<u8> = (0..200_000u32).flat_map(|n| format!("{n} ").into_bytes()).collect();
    let mut tree = FileTree::new();
    for (name, bytes) in [("noise", noise), ("text", text), ("zeros", vec![0; 3 << 20]), ("none", Vec::new())]
    {
        tree.insert(TreePath::new(name).unwrap(), Node::file(bytes, 0o644));
    }
    let gzip: [(&str, &[&str]); 4] =
        [("gzip", &["-dc"]), ("python3", &["-c", GUNZIP]), ("busybox", &["gunzip", "-c"]), ("bsdcat", &[])];
    let zstd: [(&str, &[&str]); 2] = [("zstd", &["-dc"]), ("bsdcat", &[])];
    let mut agreed = BTreeMap::new();
    for (compression, decoders) in [
        (Compression::Gzip(1), &gzip[..]),
        (Compression::Gzip(6), &gzip[..]),
        (Compression::Gzip(12), &gzip[..]),
        (Compression::Zstd(3), &zstd[..]),
        (Compression::Zstd(19), &zstd[..]),
    ] {
        let layer = pack(&tree, &packing(compression, 0), &std::env::temp_dir()).unwrap();
        let blob = fs_err::File::open(layer.blob.path()).unwrap();
        let own = match compression {
            Compression::Zstd(_) => digest_of(zstd::Decoder::new(blob).unwrap()),
            _ => digest_of(flate2::read::MultiGzDecoder::new(blob)),
        };
        assert_eq!(own, layer.diff_id.to_string(), "{compression:?}");
        for (program, arguments) in decoders {
            let Some(digest) = decoded(program, arguments, layer.blob.path()) else { continue };
            assert_eq!(digest, layer.diff_id.to_string(), "{program} of {compression:?}");
            *agreed.entry(*program).or_insert(0) += 1;
        }
        // Its opposite: one other bit of the blob, and no decoder says that it is the layer.
        let mut bytes = fs_err::read(layer.blob.path()).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        let changed = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(changed.path(), bytes).unwrap();
        assert_ne!(
            digest_of(fs_err::File::open(changed.path()).unwrap()),
            layer.descriptor.digest().to_string()
        );
    }
    println!("figure OUT-07: 5 layers, decoders besides our own and how many each made equal: {agreed:?}");
}
