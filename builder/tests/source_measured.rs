//! What hostile archives cost: each refusal is measured in the program itself, with the memory that it took; and what
//! is replaced or cut while it is read is never part of a build.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "what helps a test is a test")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lapstrake::source::{Limits, ReadOptions, Rule, Source, SourceError, SourceSpec, read};
use lapstrake_oci::document::sha256_of;
use lapstrake_oci::tree::{Kind, TreePath};

const MIB: u64 = 1 << 20;

/// How a run of the program ended, and what it took.
struct Measured {
    code: i32,
    took: Duration,
    /// The largest resident size of it, or of a process that it waited for, in bytes.
    memory: u64,
    stderr: String,
}

/// Runs a command and says what it cost, for only a parent learns of the memory of its children.
const METER: &str = "
import resource, subprocess, sys, time
begun = time.monotonic()
try:
    run = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)
    code, text = run.returncode, run.stderr
except subprocess.TimeoutExpired:
    code, text = 999, b''
took = time.monotonic() - begun
print(code, int(took * 1000), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, flush=True)
sys.stdout.buffer.write(text)
";

/// `lapstrake` with these arguments, and `input` on standard input; none without Python.
fn measure(arguments: &[&OsStr], mut input: impl Read + Send) -> Option<Measured> {
    let scratch = tempfile::tempdir().unwrap();
    let child = Command::new("python3")
        .args(["-c", METER, env!("CARGO_BIN_EXE_lapstrake")])
        .args(arguments)
        .env("LAPSTRAKE_DATA_DIR", scratch.path().join("data"))
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: python3 is needed to measure");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A refusal does not read to the end.
        scope.spawn(move || io::copy(&mut input, &mut stdin).is_ok());
        child.wait_with_output().unwrap()
    });
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (first, stderr) = text.split_once('\n').unwrap();
    let numbers: Vec<u64> = first.split(' ').map(|word| word.parse().unwrap_or(u64::MAX)).collect();
    let left: Vec<_> =
        fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "data"), "left behind: {left:?}");
    Some(Measured {
        code: i32::try_from(numbers[0]).unwrap_or(-1),
        took: Duration::from_millis(numbers[1]),
        memory: numbers[2] * 1024,
        stderr: stderr.to_owned(),
    })
}

fn plan(archive: &Path) -> Option<Measured> {
    measure(&[OsStr::new("plan"), archive.as_os_str()], io::empty())
}

/// What a run takes that reads next to nothing.
fn idle() -> Option<Measured> {
    let archive = tempfile::NamedTempFile::new().unwrap();
    fs::write(archive.path(), archive_of(&[("server.py".to_owned(), b"1\n".to_vec())])).unwrap();
    plan(archive.path())
}

fn hostile() -> Option<PathBuf> {
    let beside = OsString::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/testing"));
    let testing = std::env::var_os("LAPSTRAKE_TESTING").unwrap_or(beside);
    let archives = PathBuf::from(testing).join("hostile-archives");
    if archives.join("MANIFEST.tsv").exists() {
        return Some(archives);
    }
    println!("skipped: no archives at {}", archives.display());
    None
}

/// The header of a regular file.
fn header(path: &[u8], size: u64) -> [u8; 512] {
    let mut header = tar::Header::new_ustar();
    header.as_ustar_mut().unwrap().name[..path.len()].copy_from_slice(path);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_mtime(1_700_000_000);
    header.set_cksum();
    *header.as_bytes()
}

fn archive_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, bytes) in files {
        archive.extend(header(name.as_bytes(), bytes.len() as u64));
        archive.extend(bytes);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read_bytes(bytes: &[u8]) -> Result<Source, SourceError> {
    let scratch = tempfile::tempdir().unwrap();
    read(&SourceSpec::Stdin, bytes, &ReadOptions::new(scratch.path()))
}

#[test]
fn src_01_each_refusal_is_quick_small_and_clean() {
    let (Some(archives), Some(idle)) = (hostile(), idle()) else { return };
    let manifest = fs::read_to_string(archives.join("MANIFEST.tsv")).unwrap();
    let (mut refused, mut slowest, mut largest) = (0, Duration::ZERO, 0);
    for line in manifest.lines() {
        let [name, verdict, _] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let measured = plan(&archives.join(name)).unwrap();
        if verdict != "R" {
            assert_ne!(measured.code, 70, "{name}: {}", measured.stderr);
            continue;
        }
        assert_eq!(measured.code, 5, "{name}: {}", measured.stderr);
        let is_plain = |c: char| c == '\n' || !c.is_control();
        assert!(measured.stderr.contains("is refused") && measured.stderr.chars().all(is_plain), "{name}");
        refused += 1;
        slowest = slowest.max(measured.took);
        largest = largest.max(measured.memory);
    }
    println!(
        "figure SRC-01: {refused} refusals, slowest {:.2} s, most memory {} MiB, {} MiB of an accepted one-line app",
        slowest.as_secs_f64(),
        largest / MIB,
        idle.memory / MIB
    );
    assert!(refused >= 40, "{refused}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert!(largest.saturating_sub(idle.memory) < 64 * MIB, "{largest}");
}

/// Zeros that compress 1000 : 1, in a file of an archive.
fn bomb(megabytes: u64) -> impl Read + Send {
    let size = megabytes * MIB;
    let start = io::Cursor::new(header(b"zeros", size).to_vec());
    let tar = start.chain(io::repeat(0).take(size + 1024));
    flate2::read::GzEncoder::new(tar, flate2::Compression::best())
}

#[test]
fn src_06_bombs_are_refused_soon_and_what_is_just_allowed_is_read() {
    let Some(idle) = idle() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bomb");
    io::copy(&mut bomb(1024), &mut fs::File::create(&file).unwrap()).unwrap();
    let once = plan(&file).unwrap();
    assert_eq!(once.code, 5, "{}", once.stderr);
    assert!(once.stderr.contains("more than 200 times its size"), "{}", once.stderr);
    assert!(once.took < Duration::from_secs(2), "{:?}", once.took);
    assert!(once.memory.saturating_sub(idle.memory) < 64 * MIB, "{}", once.memory);
    fs::write(&file, gzip(&fs_err::read(&file).unwrap())).unwrap();
    let twice = plan(&file).unwrap();
    assert_eq!(twice.code, 5, "{}", twice.stderr);
    assert!(twice.took < Duration::from_secs(2), "{:?}", twice.took);
    // 42 : 1, and 64 MiB at any ratio.
    let mut noise = 7_u64;
    let mut mixed = Vec::new();
    while mixed.len() < 90 << 20 {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        mixed.extend(noise.to_le_bytes());
        mixed.resize(mixed.len() + 360, 0);
    }
    let dense = gzip(&archive_of(&[("a".to_owned(), mixed)]));
    let ratio = (90 << 20) / dense.len();
    assert!((15..200).contains(&ratio), "{ratio}");
    assert_eq!(read_bytes(&dense).unwrap().tree.len(), 1);
    let mut small = Vec::new();
    bomb(60).read_to_end(&mut small).unwrap();
    assert_eq!(read_bytes(&small).unwrap().tree.len(), 1);
    println!(
        "figure SRC-06: a bomb refused in {:.2} s, in gzip again in {:.2} s; {ratio} : 1 is read",
        once.took.as_secs_f64(),
        twice.took.as_secs_f64()
    );
}

/// A compressed archive of `expanded` bytes and of `stored`: noise, then zeros, and a name in its header that makes up what
/// is missing.
fn of_sizes(expanded: usize, stored: usize) -> Vec<u8> {
    let packed = |noise: usize, name: usize| {
        let mut state = 7_u64;
        let mut bytes: Vec<u8> = (0..noise)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_be_bytes()[0]
            })
            .collect();
        bytes.resize(expanded - 512 - 1024, 0);
        let header = flate2::GzBuilder::new().filename(vec![b'n'; name]);
        let mut encoder = header.write(Vec::new(), flate2::Compression::best());
        encoder.write_all(&archive_of(&[("a".to_owned(), bytes)])).unwrap();
        encoder.finish().unwrap()
    };
    let noise = stored - packed(0, 0).len() - 2000;
    let name = stored - packed(noise, 0).len();
    let archive = packed(noise, name);
    assert_eq!(archive.len(), stored);
    archive
}

#[test]
fn src_06_exactly_the_allowed_ratio_is_read_and_one_byte_less_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    // Multiples of 512 and of the ratio; the second is beyond what may have any ratio.
    for (ratio, ratio_from, expanded) in [(42, MIB, 21_504 * 100), (200, 64 * MIB, 12_800 * 5400)] {
        let limits = Limits { ratio, ratio_from, ..Limits::default() };
        assert!(ratio != 200 || limits == Limits::default());
        let options = ReadOptions { limits, ..ReadOptions::new(scratch.path()) };
        let stored = expanded / usize::try_from(ratio).unwrap();
        let allowed = of_sizes(expanded, stored);
        let source = read(&SourceSpec::Stdin, &allowed[..], &options).unwrap();
        assert_eq!(source.tree.len(), 1, "{ratio}");
        let refused = read(&SourceSpec::Stdin, &of_sizes(expanded, stored - 1)[..], &options);
        assert_eq!(refused.unwrap_err().rule(), Some(&Rule::Ratio { ratio }));
    }
    println!(
        "figure SRC-06: exactly 42 : 1 and 200 : 1 are read where that is the limit, with a byte less refused"
    );
}

/// An archive of so many empty files, made while it is read.
struct Empty {
    next: u64,
    count: u64,
    block: io::Cursor<Vec<u8>>,
}

impl Empty {
    fn new(count: u64) -> Self {
        Self { next: 0, count, block: io::Cursor::default() }
    }
}

impl Read for Empty {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.block.read(buffer)?;
        if count > 0 || self.next > self.count {
            return Ok(count);
        }
        let end = self.count.min(self.next + 1000);
        let mut blocks = Vec::with_capacity(512_000);
        for number in self.next..end {
            blocks.extend(header(format!("f{number}").as_bytes(), 0));
        }
        if end == self.count {
            blocks.resize(blocks.len() + 1024, 0);
            self.next = u64::MAX;
        } else {
            self.next = end;
        }
        self.block = io::Cursor::new(blocks);
        self.block.read(buffer)
    }
}

#[test]
fn src_07_entries_are_counted_and_memory_stays_small() {
    let mut figures = Vec::new();
    for (count, code) in [(1_000_000, 5), (200_001, 5), (200_000, 2)] {
        // What is read is no app, which is another matter.
        let arguments = ["plan", "-"].map(OsStr::new);
        let Some(measured) = measure(&arguments, Empty::new(count)) else { return };
        let text = &measured.stderr;
        if code == 5 {
            assert_eq!(measured.code, 5, "{count}: {text}");
            assert!(text.contains("more than 200000 entries"), "{text}");
        } else {
            assert_eq!(measured.code, 2, "{count}: {text}");
            assert!(text.contains("nothing tells how to build the app"), "{text}");
        }
        assert!(measured.memory < 200 * MIB, "{count}: {}", measured.memory);
        figures.push(format!(
            "{count} in {:.1} s and {} MiB",
            measured.took.as_secs_f64(),
            measured.memory / MIB
        ));
    }
    println!("figure SRC-07: {}", figures.join(", "));
    assert_eq!(Limits::default().entries, 200_000);
}

#[test]
fn src_09_an_archive_cut_near_any_block_is_refused() {
    let files: Vec<_> =
        (0..40).map(|n| (format!("f{n}"), format!("{n}-").repeat(50 + n * 15).into_bytes())).collect();
    let archive = archive_of(&files);
    let mut state = 3_u64;
    // Content that does not compress, so that the stream is many blocks long.
    let noisy: Vec<_> = files
        .iter()
        .map(|(name, bytes)| {
            let bytes = bytes.iter().map(|byte| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                byte ^ state.to_be_bytes()[0]
            });
            (name.clone(), bytes.collect())
        })
        .collect();
    let mut cuts = 0;
    for archive in [archive, archive_of(&noisy)] {
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&archive).unwrap();
        for stored in [gzip(&archive), zstd::encode_all(&archive[..], 1).unwrap(), xz.finish().unwrap()] {
            assert_eq!(read_bytes(&stored).unwrap().tree.len(), 40);
            let near =
                (0..=stored.len() + 512).step_by(512).flat_map(|at| [at.saturating_sub(1), at, at + 1]);
            for cut in near.filter(|cut| *cut < stored.len()) {
                let error = read_bytes(&stored[..cut]).expect_err("a part is no archive");
                assert!(error.rule().is_some(), "{cut}: {error}");
                cuts += 1;
            }
        }
    }
    println!("figure SRC-09: {cuts} of {cuts} cuts refused, in gzip, zstd and xz");
}

#[test]
fn src_10_an_archive_that_is_replaced_while_it_is_read_is_one_or_the_other_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("source.tar");
    let of = |letter: char| -> Vec<(String, Vec<u8>)> {
        (0..200).map(|n| (format!("f{n:03}"), letter.to_string().repeat(3000).into_bytes())).collect()
    };
    let (one, other) = (archive_of(&of('a')), archive_of(&of('b')));
    let stop = AtomicBool::new(false);
    let mut seen = [0; 3];
    for in_place in [false, true] {
        fs::write(&place, &one).unwrap();
        std::thread::scope(|scope| {
            let stop = &stop;
            let (place, one, other) = (&place, &one, &other);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for bytes in [other, one] {
                        if in_place {
                            // The same length, so that nothing but the bytes tells.
                            let mut file = fs::OpenOptions::new().write(true).open(place).unwrap();
                            file.write_all(bytes).unwrap();
                        } else {
                            let next = place.with_extension("next");
                            fs::write(&next, bytes).unwrap();
                            fs::rename(&next, place).unwrap();
                        }
                    }
                }
            });
            for _ in 0..60 {
                judge(place, &mut seen);
            }
            stop.store(true, Ordering::Relaxed);
        });
        stop.store(false, Ordering::Relaxed);
        if !in_place {
            assert_eq!((seen[1], seen[2]), (0, 0), "a rename leaves the open file as it is");
        }
    }
    println!(
        "figure SRC-10: 120 reads of what was being replaced: {} whole, {} mixed with the digest of what was read, {} refused",
        seen[0], seen[1], seen[2]
    );
}

/// Reads an archive that may be changing: the digest is that of exactly the bytes that the tree came from.
fn judge(place: &Path, seen: &mut [u32; 3]) {
    let scratch = tempfile::tempdir().unwrap();
    let options = ReadOptions::new(scratch.path());
    let Ok(source) = read(&SourceSpec::Path(place.to_owned()), io::empty(), &options) else {
        seen[2] += 1;
        return;
    };
    let files: Vec<(String, Vec<u8>)> = source
        .tree
        .iter()
        .map(|(path, node)| match &node.kind {
            Kind::File(content) => (path.to_string(), content.read().unwrap()),
            kind => panic!("{path}: {kind:?}"),
        })
        .collect();
    let is_whole = files.iter().all(|(_, bytes)| *bytes == files[0].1);
    assert_eq!(source.digest.get().unwrap(), sha256_of(&archive_of(&files)), "whole: {is_whole}");
    seen[usize::from(!is_whole)] += 1;
}

#[test]
fn src_10_pipes_devices_and_directories_never_hang() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for special in [pipe.as_path(), Path::new("/dev/zero"), Path::new("/dev/null"), Path::new("/dev/full")] {
        let Some(measured) = plan(special) else { return };
        assert_eq!(measured.code, 2, "{}: {}", special.display(), measured.stderr);
        assert!(measured.took < Duration::from_secs(2), "{}", special.display());
    }
    let arguments = ["plan", "-"].map(OsStr::new);
    let zeros = measure(&arguments, io::repeat(0)).unwrap();
    assert_eq!(zeros.code, 5, "{}", zeros.stderr);
    let noise = measure(&arguments, io::repeat(b'x')).unwrap();
    assert_eq!(noise.code, 5, "{}", noise.stderr);
    println!(
        "figure SRC-10: endless zeros refused in {:.1} s, endless noise in {:.1} s, special files at once",
        zeros.took.as_secs_f64(),
        noise.took.as_secs_f64()
    );
    // Zeros behind the end of an archive are read up to the limit of what is stored, 512 MiB.
    assert!(zeros.took < Duration::from_secs(30) && noise.took < Duration::from_secs(2));
}

#[test]
fn src_12_names_are_kept_byte_by_byte_and_shown_escaped() {
    let names: [&[u8]; 12] = [
        b"a\nb",
        b"\x1b[31mred\x1b[0m",
        b"\xff\xfe",
        "\u{202e}abc".as_bytes(),
        b"-rf",
        b"--checkpoint-action=exec=sh",
        b"Case",
        b"case",
        "caf\u{e9}".as_bytes(),
        "cafe\u{301}".as_bytes(),
        b"a\\b",
        b"$(touch x);`y`",
    ];
    let mut archive = Vec::new();
    for name in names {
        archive.extend(header(name, 0));
    }
    archive.resize(archive.len() + 1024, 0);
    let source = read_bytes(&archive).unwrap();
    let mut expected: Vec<TreePath> = names.iter().map(|name| TreePath::new(name).unwrap()).collect();
    expected.sort();
    let found: Vec<TreePath> = source.tree.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(found, expected);
    let steers = |text: &str| text.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}');
    for path in &found {
        assert!(!steers(&path.to_string()) && !path.to_string().contains('\n'), "{path}");
    }
    // Each in a message of its own: the second of two entries of one name.
    for name in names {
        let twice = [&header(name, 0)[..], &header(name, 0), &[0; 1024]].concat();
        let error = read_bytes(&twice).unwrap_err();
        assert_eq!(error.rule(), Some(&Rule::Twice));
        assert!(!steers(&error.to_string()) && !error.to_string().contains('\n'), "{error}");
    }
    let begun = Instant::now();
    let climbing = [&header(b"../\x1b[2J\xe2\x80\xaex", 0)[..], &[0; 1024]].concat();
    if let Some(measured) = measure(&["plan", "-"].map(OsStr::new), io::Cursor::new(climbing)) {
        assert_eq!(measured.code, 5);
        assert!(!steers(&measured.stderr), "{}", measured.stderr);
    }
    println!(
        "figure SRC-12: {} names kept as they are and shown escaped, in {:.1?}",
        names.len(),
        begun.elapsed()
    );
}
