//! Whether an image is one that every tool takes alike: a validator of our own, which shares no code with what makes
//! images. It reads raw headers, for a tar library forgives what it should tell.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::image::digest_of;
use super::schema::{Kind, complaints};

/// The time of everything that a build made; layers of a runtime have that of their lock instead.
const LAYER_TIME: i64 = 315_619_200;

/// Ends the test with everything that is wrong with the image whose manifest has `digest`.
pub(crate) fn check(layout: &Path, digest: &str) {
    let found = violations(layout, digest);
    assert!(found.is_empty(), "{digest} in {} is no sound image: {found:#?}", layout.display());
}

/// Everything that is wrong with the image whose manifest has `digest`, at most a few faults of each layer.
pub(crate) fn violations(layout: &Path, digest: &str) -> Vec<String> {
    let mut checker = Checker { layout, found: Vec::new() };
    checker.image(digest);
    checker.found
}

struct Checker<'a> {
    layout: &'a Path,
    found: Vec<String>,
}

impl Checker<'_> {
    fn wrong(&mut self, what: impl Into<String>) {
        self.found.push(what.into());
    }

    fn image(&mut self, digest: &str) {
        let Some(manifest) = self.document("manifest", digest, None) else { return };
        self.schema(Kind::Manifest, &manifest);
        let config = &manifest["config"];
        let config_digest = config["digest"].as_str().unwrap_or_default();
        let Some(config) = self.document("config", config_digest, config["size"].as_u64()) else { return };
        self.schema(Kind::Config, &config);
        self.history(&config);

        let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
        let diff_ids = config["rootfs"]["diff_ids"].as_array().cloned().unwrap_or_default();
        if layers.len() != diff_ids.len() {
            self.wrong(format!("{} layers, but {} diffIDs", layers.len(), diff_ids.len()));
        }
        let of_runtime = manifest["annotations"]["dev.lapstrake.layers.runtime"].as_str().unwrap_or_default();
        let Ok(of_runtime) = of_runtime.parse::<usize>() else {
            return self.wrong("the manifest does not say how many layers are the runtime's");
        };
        let mut time_of_runtime = None;
        for (place, (layer, diff_id)) in layers.iter().zip(&diff_ids).enumerate() {
            let time = match (place < of_runtime, time_of_runtime) {
                (true, time) => time,
                (false, _) => Some(LAYER_TIME),
            };
            let read = self.layer(layer, diff_id.as_str().unwrap_or_default(), time);
            if place < of_runtime {
                time_of_runtime = time_of_runtime.or(read);
            }
        }
    }

    fn schema(&mut self, kind: Kind, document: &Value) {
        let found = complaints(kind, document).unwrap_or_default();
        self.found.extend(found.into_iter().map(|complaint| format!("{kind:?} at {complaint}")));
    }

    /// A document, if it is one: the bytes that its digest names, of the length that is said, with sorted keys and
    /// none of them twice, and without the name of this machine.
    fn document(&mut self, what: &str, digest: &str, size: Option<u64>) -> Option<Value> {
        let Ok(bytes) = fs_err::read(self.layout.join("blobs").join(digest.replace(':', "/"))) else {
            self.wrong(format!("the {what} `{digest}` is not there"));
            return None;
        };
        if digest_of(&bytes) != digest {
            self.wrong(format!("the {what} is not what `{digest}` names"));
        }
        if size.is_some_and(|size| size != bytes.len() as u64) {
            self.wrong(format!("the {what} has {} bytes and not {size:?}", bytes.len()));
        }
        let Ok(value) = serde_json::from_slice::<Value>(&bytes) else {
            self.wrong(format!("the {what} is not JSON"));
            return None;
        };
        let mut sorted = value.clone();
        sorted.sort_all_objects();
        if serde_json::to_vec(&sorted).unwrap() != bytes {
            self.wrong(format!("the {what} is not written with each key once and in order"));
        }
        if let Some(host) = host_name()
            && has_word(&String::from_utf8_lossy(&bytes), &host)
        {
            self.wrong(format!("the {what} names this machine, `{host}`"));
        }
        Some(value)
    }

    fn history(&mut self, config: &Value) {
        let Some(history) = config["history"].as_array() else { return };
        let layers = history.iter().filter(|step| step["empty_layer"] != true).count();
        let diff_ids = config["rootfs"]["diff_ids"].as_array().map_or(0, Vec::len);
        if layers != diff_ids {
            self.wrong(format!("the history tells of {layers} layers, but there are {diff_ids} diffIDs"));
        }
    }

    /// Reads a layer to its end; returns the time of its entries.
    fn layer(&mut self, layer: &Value, diff_id: &str, time: Option<i64>) -> Option<i64> {
        let digest = layer["digest"].as_str().unwrap_or_default();
        if layer.get("urls").is_some() {
            self.wrong(format!("layer {digest} names other places for its bytes"));
        }
        let Ok(file) = fs_err::File::open(self.layout.join("blobs").join(digest.replace(':', "/"))) else {
            self.wrong(format!("layer {digest} is not there"));
            return None;
        };
        let mut blob = Hashed::new(io::BufReader::with_capacity(1 << 17, file));
        let kind = layer["mediaType"].as_str().unwrap_or_default();
        let read = match kind.strip_prefix("application/vnd.oci.image.layer.v1.tar") {
            Some("+gzip") => read_layer(flate2::read::MultiGzDecoder::new(&mut blob)),
            Some("+zstd") => zstd::Decoder::new(&mut blob).and_then(read_layer),
            Some("") => read_layer(&mut blob),
            _ => Err(io::Error::other(format!("media type `{kind}`"))),
        };
        // What a decoder leaves over is part of the blob, and so of its digest.
        let rest = io::copy(&mut blob, &mut io::sink()).unwrap_or(u64::MAX);
        if rest > 0 && kind.contains('+') && read.is_ok() {
            self.wrong(format!("layer {digest} has {rest} bytes behind its end"));
        }
        let (length, found) = blob.finish();
        if found != digest {
            self.wrong(format!("layer {digest} has the digest {found}"));
        }
        if layer["size"].as_u64() != Some(length) {
            self.wrong(format!("layer {digest} has {length} bytes and not {}", layer["size"]));
        }
        match read {
            Err(error) => {
                self.wrong(format!("layer {digest} cannot be read: {error}"));
                None
            }
            Ok(read) => {
                if read.diff_id != diff_id {
                    self.wrong(format!("layer {digest} has the diffID {} and not {diff_id}", read.diff_id));
                }
                self.found
                    .extend(read.entries.violations(time).map(|what| format!("layer {digest}: {what}")));
                read.entries.times.keys().next().copied()
            }
        }
    }
}

/// What a layer says that has been read to its end.
struct ReadLayer {
    diff_id: String,
    entries: Entries,
}

fn read_layer(tar: impl Read) -> io::Result<ReadLayer> {
    let mut tar = Hashed::new(tar);
    let mut entries = Entries::default();
    let mut next = Extended::default();
    loop {
        let mut block = [0; 512];
        tar.read_exact(&mut block)?;
        if block == [0; 512] {
            break;
        }
        let header = Header::read(&block)?;
        let size = next.size.unwrap_or(header.size);
        if header.kind == b'x' {
            let mut records = Vec::new();
            (&mut tar).take(size).read_to_end(&mut records)?;
            next = Extended::read(&records)?;
        } else {
            let copied = io::copy(&mut (&mut tar).take(size), &mut io::sink())?;
            if copied != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            entries.add(&header, &std::mem::take(&mut next));
        }
        let padding = size.next_multiple_of(512) - size;
        io::copy(&mut (&mut tar).take(padding), &mut io::sink())?;
    }
    let mut rest = Vec::new();
    tar.read_to_end(&mut rest)?;
    if rest != [0; 512] {
        entries.wrong(format!("{} bytes stand behind the first block of the end, not 512 zeros", rest.len()));
    }
    let (_, diff_id) = tar.finish();
    Ok(ReadLayer { diff_id, entries })
}

/// The fields of a raw header.
struct Header {
    path: Vec<u8>,
    kind: u8,
    mode: u64,
    size: u64,
    mtime: u64,
    /// What a layer of ours leaves empty: names of owners, and numbers of devices.
    owners: [Vec<u8>; 2],
    devices: [u64; 2],
}

impl Header {
    fn read(block: &[u8; 512]) -> io::Result<Self> {
        let bad = |what: &str| io::Error::other(format!("a header with a bad {what}"));
        let number = |from: usize, to: usize, what| octal(&block[from..to]).ok_or_else(|| bad(what));
        if block[257..265] != *b"ustar\x0000" {
            return Err(bad("magic"));
        }
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
            .sum();
        if number(148, 156, "checksum")? != sum {
            return Err(bad("checksum"));
        }
        let (prefix, name) = (text(&block[345..500]), text(&block[..100]));
        let path = if prefix.is_empty() { name } else { [prefix, b"/".to_vec(), name].concat() };
        Ok(Self {
            path,
            kind: block[156],
            mode: number(100, 108, "mode")?,
            size: number(124, 136, "size")?,
            mtime: number(136, 148, "time")?,
            owners: [text(&block[265..297]), text(&block[297..329])],
            devices: [number(329, 337, "device")?, number(337, 345, "device")?],
        })
    }
}

fn text(field: &[u8]) -> Vec<u8> {
    field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

/// What an extended header says of the entry behind it.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    size: Option<u64>,
    mtime: Option<i64>,
    keys: BTreeSet<String>,
    is_repeated: bool,
}

impl Extended {
    fn read(mut records: &[u8]) -> io::Result<Self> {
        let bad = || io::Error::other("an extended header with a bad record");
        let mut read = Self::default();
        while !records.is_empty() {
            let space = records.iter().position(|byte| *byte == b' ').ok_or_else(bad)?;
            let length: usize =
                std::str::from_utf8(&records[..space]).ok().and_then(|it| it.parse().ok()).ok_or_else(bad)?;
            if length <= space + 1 || length > records.len() || records[length - 1] != b'\n' {
                return Err(bad());
            }
            let record = &records[space + 1..length - 1];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
            let (key, value) =
                (String::from_utf8_lossy(&record[..equals]).into_owned(), &record[equals + 1..]);
            let number =
                || std::str::from_utf8(value).ok().and_then(|it| it.parse::<i64>().ok()).ok_or_else(bad);
            match key.as_str() {
                "path" => read.path = Some(value.to_vec()),
                "size" => read.size = u64::try_from(number()?).ok(),
                "mtime" => read.mtime = Some(number()?),
                _ => {}
            }
            read.is_repeated |= !read.keys.insert(key);
            records = &records[length..];
        }
        Ok(read)
    }
}

/// The keys of extended headers that a layer may have: nothing but what an old header has no room for.
const KEYS: [&str; 6] = ["gid", "linkpath", "mtime", "path", "size", "uid"];

/// How many faults of one layer are told.
const TOLD: usize = 8;

/// The entries of a layer, as far as they are compared with each other.
#[derive(Default)]
struct Entries {
    seen: BTreeSet<Vec<u8>>,
    deleted: Vec<Vec<u8>>,
    /// Whether the last entry was a hard link, which come at the end, and its place among the others.
    last: Option<(bool, Rank)>,
    times: BTreeMap<i64, usize>,
    found: Vec<String>,
}

impl Entries {
    fn wrong(&mut self, what: String) {
        if self.found.len() < TOLD {
            self.found.push(what);
        }
    }

    fn violations(&self, time: Option<i64>) -> impl Iterator<Item = String> {
        let others = self.times.keys().copied().filter(move |it| time.is_some_and(|time| time != *it));
        let others: Vec<i64> = others.collect();
        let mut found = self.found.clone();
        if let Some(path) = self.deleted.iter().find(|path| self.seen.contains(*path)) {
            found.push(format!("`{}` is deleted and there", path.escape_ascii()));
        }
        if self.times.len() > 1 {
            found.push(format!("entries have different times: {:?}", self.times));
        } else if !others.is_empty() {
            found.push(format!("entries have the time {others:?} and not {time:?}"));
        }
        found.into_iter()
    }

    fn add(&mut self, header: &Header, extended: &Extended) {
        let path = extended.path.as_ref().unwrap_or(&header.path);
        let shown = path.escape_ascii().to_string();
        let kind = header.kind;
        if !matches!(kind, b'0' | b'1' | b'2' | b'5') {
            self.wrong(format!("`{shown}` is of type `{}`", kind.escape_ascii()));
        }
        if matches!(kind, b'1' | b'2' | b'5') && extended.size.unwrap_or(header.size) > 0 {
            self.wrong(format!("`{shown}` has no content but a size"));
        }
        // The sticky bit of `/tmp` stays.
        let extra = if kind == b'5' { 0o6000 } else { 0o7000 };
        if header.mode & (extra | !0o7777) != 0 {
            self.wrong(format!("`{shown}` has the mode {:o}", header.mode));
        }
        if header.owners.iter().any(|name| !name.is_empty()) || header.devices != [0, 0] {
            self.wrong(format!("`{shown}` names its owner or a device"));
        }
        if extended.is_repeated || extended.keys.iter().any(|key| !KEYS.contains(&key.as_str())) {
            self.wrong(format!("`{shown}` has an extended header with {:?}", extended.keys));
        }
        let time = extended.mtime.unwrap_or_else(|| i64::try_from(header.mtime).unwrap_or(i64::MAX));
        *self.times.entry(time).or_default() += 1;
        self.place(path, kind, &shown);
    }

    /// Where an entry stands: below the root, once, behind what sorts before it.
    fn place(&mut self, path: &[u8], kind: u8, shown: &str) {
        let (bare, is_directory) = match path.strip_suffix(b"/") {
            Some(bare) => (bare, true),
            None => (path, false),
        };
        let bad = |part: &[u8]| matches!(part, b"" | b"." | b"..") || part.contains(&0);
        if bare.split(|byte| *byte == b'/').any(bad) || is_directory != (kind == b'5') {
            self.wrong(format!("`{shown}` is no clean name for what it is"));
        }
        if !self.seen.insert(bare.to_vec()) {
            self.wrong(format!("`{shown}` is there twice"));
        }
        let name = bare.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if let Some(hidden) = name.strip_prefix(b".wh.") {
            let beside = [&bare[..bare.len() - name.len()], hidden].concat();
            if kind != b'0' || hidden.is_empty() || hidden.starts_with(b".wh.") {
                self.wrong(format!("`{shown}` is no plain deletion"));
            }
            self.deleted.push(beside);
        }
        let key = (kind == b'1', ranked(bare));
        if self.last.as_ref().is_some_and(|last| last.cmp(&key) != Ordering::Less) {
            self.wrong(format!("`{shown}` stands behind what sorts after it"));
        }
        self.last = Some(key);
    }
}

/// By component, deletions before what is beside them.
type Rank = Vec<(bool, Vec<u8>)>;

/// A deletion is known by its name, which nothing else may have.
fn ranked(path: &[u8]) -> Rank {
    path.split(|byte| *byte == b'/').map(|part| (!part.starts_with(b".wh."), part.to_vec())).collect()
}

/// A reader that knows what has gone through it.
struct Hashed<R> {
    inner: R,
    hasher: Sha256,
    length: u64,
}

impl<R: Read> Hashed<R> {
    fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new(), length: 0 }
    }

    fn finish(self) -> (u64, String) {
        use std::fmt::Write;
        let mut text = String::from("sha256:");
        for byte in self.hasher.finalize() {
            write!(text, "{byte:02x}").unwrap();
        }
        (self.length, text)
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.length += count as u64;
        Ok(count)
    }
}

/// The name of this machine, unless it says nothing.
fn host_name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    (name.len() > 1 && name != "localhost").then_some(name)
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    text.match_indices(word).any(|(at, _)| {
        !is_part(text[..at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next())
    })
}
