//! The fixtures of other tar readers: what is accepted reads exactly as Python, GNU tar and bsdtar read it, and what
//! all of them read alike is accepted, but for what is refused on purpose.

use std::collections::BTreeMap;

use lapstrake::source::{ReadOptions, Rule, Source, SourceError, SourceSpec, SymlinkPolicy, read};

use oracle::{Entry, Listing, bsd, fixtures, gnu, listing, path, python};

#[path = "../fuzz/src/generators.rs"]
#[expect(dead_code, unreachable_pub, reason = "fuzz targets and other tests use the rest")]
mod generators;

#[cfg(test)]
mod oracle {
    use std::collections::BTreeMap;
    use std::ffi::OsString;
    use std::io::{Read, Write};
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use lapstrake::source::Source;
    use lapstrake_oci::tree::{FileTree, Kind, TreePath};

    /// Path, then kind and link target or content.
    pub(super) type Listing = BTreeMap<Vec<u8>, (char, Vec<u8>)>;

    /// The fixtures by name, with what `compress` had made smaller in full size again.
    pub(super) fn fixtures() -> Option<BTreeMap<String, Vec<u8>>> {
        let testing = std::env::var_os("LAPSTRAKE_TESTING")
            .unwrap_or_else(|| OsString::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/testing")));
        let root = PathBuf::from(testing).join("corpora/tar");
        if !root.exists() {
            eprintln!("skipped: no fixtures at {}", root.display());
            return None;
        }
        if ["python3", "tar", "bsdtar", "gzip"]
            .iter()
            .any(|tool| Command::new(tool).arg("--version").stdout(Stdio::null()).status().is_err())
        {
            println!("skipped: python3, tar, bsdtar and gzip are needed to compare with");
            return None;
        }
        let mut fixtures = BTreeMap::new();
        for entry in walkdir::WalkDir::new(&root).sort_by_file_name() {
            let path = entry.unwrap().into_path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("tar") => drop(fixtures.insert(name, fs_err::read(path).unwrap())),
                Some("Z") => {
                    let output = Command::new("gzip").arg("-dc").arg(path).output().unwrap();
                    assert!(output.status.success(), "{name}");
                    fixtures.insert(name, output.stdout);
                }
                _ => {}
            }
        }
        Some(fixtures)
    }

    /// What we read, without the directories that no entry names.
    pub(super) fn listing(source: &Source) -> Listing {
        source
            .tree
            .iter()
            .map(|(path, node)| (path.as_bytes().to_vec(), value(&source.tree, &node.kind)))
            .collect()
    }

    fn value(tree: &FileTree, kind: &Kind) -> (char, Vec<u8>) {
        match kind {
            Kind::Directory => ('d', Vec::new()),
            Kind::File(content) => ('f', content.read().unwrap()),
            Kind::Symlink(target) => ('l', target.clone()),
            Kind::Hardlink(target) => value(tree, &tree.get(target).unwrap().kind),
            Kind::Whiteout => unreachable!("a source has no whiteouts"),
        }
    }

    const LIMIT: u64 = 64 << 20;

    const PYTHON: &str = r#"
import struct, sys, tarfile
def read(data):
    import io
    archive = tarfile.open(fileobj=io.BytesIO(data), mode="r:", errorlevel=2)
    for m in archive:
        name = m.name.encode("utf-8", "surrogateescape")
        if m.size > 1 << 24: raise ValueError("too large")
        if m.issparse(): kind, value = "S", b""
        elif m.isdir(): kind, value = "d", b""
        elif m.issym(): kind, value = "l", m.linkname.encode("utf-8", "surrogateescape")
        elif m.isreg() or m.islnk(): kind, value = "f", archive.extractfile(m).read()
        else: kind, value = "?", b""
        yield f"{name.hex()} {kind} {value.hex()}"
while length := sys.stdin.buffer.read(8):
    try: lines = list(read(sys.stdin.buffer.read(struct.unpack("<Q", length)[0])))
    except Exception: lines = ["refused"]
    print("\n".join([str(len(lines))] + lines))
"#;

    /// An entry: its name, what it is, and its target or content.
    pub(super) type Entry = (Vec<u8>, char, Vec<u8>);

    /// What Python's `tarfile` reads of each archive, in the order of the archive; none where it refuses.
    pub(super) fn python<'a>(archives: impl Iterator<Item = &'a Vec<u8>>) -> Vec<Option<Vec<Entry>>> {
        let input: Vec<u8> = archives
            .flat_map(|archive| [&(archive.len() as u64).to_le_bytes()[..], archive].concat())
            .collect();
        let output = run(Command::new("python3").args(["-c", PYTHON]), &input).expect("the script succeeds");
        let bytes = |hex: &str| {
            (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
        };
        let entry = |line: &str| {
            let fields: Vec<_> = line.split(' ').collect();
            let [name, kind, value] = fields[..] else { return None };
            Some((bytes(name), kind.chars().next()?, bytes(value)))
        };
        let mut lines = std::str::from_utf8(&output).unwrap().lines();
        let mut all = Vec::new();
        while let Some(count) = lines.next() {
            all.push(lines.by_ref().take(count.parse().unwrap()).map(entry).collect());
        }
        all
    }

    /// The names that GNU tar lists and the contents that it would extract, one after the other.
    pub(super) fn gnu(archive: &[u8]) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
        let list = run(Command::new("tar").args(["-tf", "-", "--quoting-style=literal"]), archive)?;
        let names =
            list.split(|byte| *byte == b'\n').filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
        let content = run(Command::new("tar").args(["-xOf", "-"]), archive)?;
        Some((names, content))
    }

    /// The same of bsdtar, which escapes what is not printable in its list.
    pub(super) fn bsd(archive: &[u8]) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
        let list = run(Command::new("bsdtar").args(["-tf", "-"]), archive)?;
        let lines = list.split(|byte| *byte == b'\n').filter(|name| !name.is_empty());
        let content = run(Command::new("bsdtar").args(["-xOf", "-"]), archive)?;
        Some((lines.map(unescaped).collect(), content))
    }

    fn unescaped(name: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = name;
        while let Some((first, more)) = rest.split_first() {
            let digits = more.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
            let octal = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
            let (taken, byte) = match (first, octal, more.first()) {
                (b'\\', Some(byte), _) => (3, byte),
                (b'\\', None, Some(letter)) => (1, control(*letter)),
                _ => (0, *first),
            };
            bytes.push(byte);
            rest = &more[taken..];
        }
        bytes
    }

    /// The character that a letter behind a backslash stands for.
    fn control(letter: u8) -> u8 {
        match letter {
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            other => other,
        }
    }

    fn run(command: &mut Command, input: &[u8]) -> Option<Vec<u8>> {
        let mut child = command
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // It may stop reading before the end.
            scope.spawn(move || stdin.write_all(input).is_ok());
            // Some fixtures are sparse files of terabytes.
            let mut output = Vec::new();
            child.stdout.take().unwrap().take(LIMIT + 1).read_to_end(&mut output).unwrap();
            if output.len() as u64 > LIMIT {
                child.kill().unwrap();
            }
            let success = child.wait().unwrap().success();
            success.then_some(output)
        })
    }

    /// A name as a tree has it.
    pub(super) fn path(name: &[u8]) -> Option<Vec<u8>> {
        TreePath::new(name).ok().map(|path| path.as_bytes().to_vec())
    }
}

fn ours(archive: &[u8]) -> Result<Source, SourceError> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let options = ReadOptions { symlinks: SymlinkPolicy::KeepDangling, ..ReadOptions::new(scratch.path()) };
    read(&SourceSpec::Stdin, archive, &options)
}

/// What Python reads as the listing of a tree, if it can be one: every path once, nothing special.
fn expected(python: &[Entry]) -> Option<Listing> {
    let mut listing = Listing::new();
    let mut root = false;
    for (name, kind, value) in python {
        if name == b"." {
            root = true;
            continue;
        }
        if listing.insert(path(name)?, (*kind, value.clone())).is_some() {
            return None;
        }
    }
    for name in listing.keys().cloned().collect::<Vec<_>>() {
        for (at, _) in name.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            listing.entry(name[..at].to_vec()).or_insert(('d', Vec::new()));
        }
    }
    let first = listing.keys().next()?.split(|byte| *byte == b'/').next()?.to_vec();
    let prefix = [&first, &b"/"[..]].concat();
    let wrapped = !root
        && listing[&first].0 == 'd'
        && listing.keys().all(|name| *name == first || name.starts_with(&prefix));
    if !wrapped {
        return Some(listing);
    }
    let inner = listing
        .into_iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(&prefix[..])?.to_vec(), value)));
    Some(inner.collect())
}

/// Whether another reader reads what Python reads: the same names, and the same bytes in the order of the archive.
fn alike(python: &[Entry], other: &(Vec<Vec<u8>>, Vec<u8>), archive_has_links: bool) -> bool {
    let names = python.iter().map(|(name, ..)| path(name));
    let content: Vec<u8> =
        python.iter().filter(|(_, kind, _)| *kind == 'f').flat_map(|(.., value)| value.clone()).collect();
    // A hard link's bytes are not extracted twice.
    names.eq(other.0.iter().map(|name| path(name))) && (archive_has_links || content == other.1)
}

/// What three readers agree on and we refuse, with the rule.
const REFUSED_ON_PURPOSE: &[(&str, &str)] = &[
    ("go/gnu-long-nul.tar", "a NUL byte in a name"),
    ("libarchive/test_compat_plexus_archiver_tar.tar", "something follows its end marker"),
    // Whether a hard link has a body is what readers disagree on.
    ("libarchive/test_compat_tar_hardlink_1.tar", "a hard link that says it has a size"),
    ("libarchive/test_read_format_tar_concatenated.tar", "something follows its end marker"),
    ("libarchive/test_read_format_tar_filename_koi8r.tar.Z", "PAX key `hdrcharset` is not accepted here"),
    ("libarchive/test_read_format_tar_mac_metadata_1.tar", "PAX key `foo` is not accepted here"),
    ("libarchive/test_read_format_tar_pax_timestamps.tar", "bytes after the end of the link name field"),
    (
        "libarchive/test_read_format_tar_timestamp_overflow.tar",
        "GNU header with data in fields that other formats use for the name",
    ),
    (
        "tokio/pax-overrides-extension-header.tar",
        "two extended headers for one entry that would overrule each other",
    ),
];

#[test]
fn src_03_what_is_accepted_reads_as_python_gnu_tar_and_bsdtar_read_it() {
    let Some(fixtures) = fixtures() else { return };
    let (mut accepted, mut agreed) = (0, 0);
    let (mut on_purpose, mut wrong) = (BTreeMap::new(), Vec::new());
    let mut read: Vec<_> = fixtures.iter().map(|(name, archive)| (name, archive, ours(archive))).collect();
    // Sparse files are refused whoever agrees on them, and some would take other readers minutes.
    read.retain(|(.., ours)| !ours.as_ref().is_err_and(|error| error.rule() == Some(&Rule::Sparse)));
    let sparse = fixtures.len() - read.len();
    let python = python(read.iter().map(|(_, archive, _)| *archive));
    assert_eq!(python.len(), read.len());
    for ((name, archive, ours), python) in read.into_iter().zip(python) {
        let gnu = gnu(archive);
        let expected = python.as_deref().and_then(expected);
        let has_links = archive.chunks(512).any(|block| block.get(156) == Some(&b'1'));
        let bsd = bsd(archive);
        let agree = match (&python, &gnu, &bsd) {
            (Some(python), Some(gnu), Some(bsd)) => {
                expected.is_some() && alike(python, gnu, has_links) && alike(python, bsd, has_links)
            }
            _ => false,
        };
        agreed += usize::from(agree);
        match (ours, expected) {
            (Ok(source), Some(expected)) if agree => {
                accepted += 1;
                if listing(&source) != expected {
                    wrong.push(format!("{name}: read as {:?}, expected {expected:?}", listing(&source)));
                }
            }
            (Ok(_), _) => wrong.push(format!("{name}: accepted, but Python, GNU tar and bsdtar differ")),
            (Err(error), _) if agree => {
                on_purpose.insert(name.clone(), error.to_string());
            }
            (Err(_), _) => {}
        }
    }
    println!(
        "figure SRC-03: {} fixtures, {sparse} of them sparse: {accepted} accepted of {agreed} that three readers read alike",
        fixtures.len()
    );
    let reasons: BTreeMap<_, _> = REFUSED_ON_PURPOSE.iter().copied().collect();
    for (name, error) in &on_purpose {
        if !reasons.get(name.as_str()).is_some_and(|rule| error.ends_with(rule)) {
            wrong.push(format!("{name}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let stale: Vec<_> = reasons.keys().filter(|name| !on_purpose.contains_key(**name)).collect();
    assert!(stale.is_empty(), "the list has what is not read alike or not refused: {stale:?}");
    assert!(accepted >= 70, "{accepted}");
}

/// Whether a name is one that the lists of both tars show so that it can be told.
fn is_shown_plainly(name: &str) -> bool {
    !name.contains(['\0', '\n'])
}

#[test]
fn src_03_generated_archives_read_as_python_gnu_tar_and_bsdtar_read_them() {
    let (mut sound, mut accepted, mut compared) = (0, 0, 0);
    let batches = generators::times(20);
    for batch in 0..batches {
        let found = compare_generated(batch * BATCH..(batch + 1) * BATCH);
        (sound, accepted, compared) = (sound + found.0, accepted + found.1, compared + found.2);
    }
    println!(
        "figure SRC-03: {} generated archives, {sound} sound ones and {} others accepted, all read \
         alike by Python; GNU tar and bsdtar read {compared} of {compared} alike",
        batches * BATCH,
        accepted - sound
    );
    assert!(sound > 500 && compared > 50, "{sound}, {compared}");
}

/// How many archives are held in memory at a time.
const BATCH: u64 = 3000;

/// How many of the archives of these seeds are sound, how many were accepted, and how many were shown to other tars.
fn compare_generated(seeds: std::ops::Range<u64>) -> (usize, usize, usize) {
    use generators::{Choices, archive, seeded};
    let first = seeds.start;
    let made: Vec<_> = seeds.map(|seed| archive(&mut Choices::new(&seeded(seed, 160)))).collect();
    let (mut sound, mut accepted, mut compared) = (0, 0, 0);
    let mut kept = Vec::new();
    for (place, made) in made.iter().enumerate() {
        let seed = first + place as u64;
        let begun = std::time::Instant::now();
        let read = ours(&made.bytes);
        assert!(begun.elapsed() < std::time::Duration::from_secs(2), "seed {seed}");
        if made.is_sound {
            let source = read.as_ref().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let entries: Vec<Entry> = made
                .entries
                .iter()
                .map(|(name, kind, value)| (name.clone().into_bytes(), *kind, value.clone()))
                .collect();
            assert!(Some(listing(source)) == expected(&entries), "seed {seed}: not as it was made");
            sound += 1;
        }
        if let Ok(source) = read {
            accepted += 1;
            kept.push((place, source));
        }
    }
    let python = python(kept.iter().map(|(place, _)| &made[*place].bytes));
    for ((place, source), python) in kept.iter().zip(python) {
        let (seed, made) = (first + *place as u64, &made[*place]);
        let archive = &made.bytes;
        let python = python.unwrap_or_else(|| panic!("seed {seed}: Python refuses what was accepted"));
        assert!(Some(listing(source)) == expected(&python), "seed {seed}: Python reads otherwise");
        // A process for each takes a while; those with faults that were accepted all the same matter most.
        let is_plain = made.entries.iter().all(|(name, ..)| is_shown_plainly(name));
        if is_plain && (!made.is_sound || seed.is_multiple_of(20)) {
            for (name, other) in [("GNU tar", gnu(archive)), ("bsdtar", bsd(archive))] {
                let other = other.unwrap_or_else(|| panic!("seed {seed}: {name} refuses what was accepted"));
                assert!(alike(&python, &other, false), "seed {seed}: {name} reads {:?}", other.0);
            }
            compared += 1;
        }
    }
    (sound, accepted, compared)
}
