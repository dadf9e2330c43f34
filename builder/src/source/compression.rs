//! The stream around an archive: counted, hashed, recognised by its first bytes, decompressed within limits.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use lapstrake_oci::document::Hasher;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use oci_spec::image::Digest;

use super::limits::Limits;
use super::rule::Rule;

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// By gzip, in one member or several.
    Gzip,
    /// By zstd.
    Zstd,
    /// By xz.
    Xz,
}

impl Compression {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "tar",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
        }
    }
}

/// What `xz` itself needs for its largest preset, twice over.
const XZ_MEMORY: u64 = 128 << 20;
/// The largest window that `zstd` reads without being asked for more.
const ZSTD_WINDOW_LOG: u32 = 27;
const BUFFER: usize = 64 << 10;

/// Formats that are recognised only to be named in the refusal.
const OTHER_FORMATS: [(&[u8], &str); 8] = [
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"BZh", "bzip2"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!", "rar"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x1f\x9d", "compress"),
    (b"\x89LZO", "lzop"),
];

/// Why reading failed: by a rule, or because the bytes could not be had.
#[derive(Debug)]
pub(super) enum Failure {
    Rule(Rule),
    Read(io::Error),
}

impl From<Rule> for Failure {
    fn from(rule: Rule) -> Self {
        Self::Rule(rule)
    }
}

/// An error of the file or pipe itself, marked so that it is not taken for a damaged stream.
#[derive(Debug)]
struct InputError(io::Error);

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for InputError {}

struct Tally {
    hasher: Hasher,
    count: u64,
    limit: u64,
}

/// The bytes as they are stored, counted and hashed while they pass.
struct Input<R> {
    inner: R,
    tally: Rc<RefCell<Tally>>,
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = loop {
            match self.inner.read(buffer) {
                Ok(count) => break count,
                // Not every decoder starts again after a signal.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(io::Error::other(InputError(error))),
            }
        };
        let mut tally = self.tally.borrow_mut();
        tally.count += count as u64;
        if tally.count > tally.limit {
            return Err(io::Error::other(Rule::CompressedSize { limit: tally.limit }));
        }
        tally.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

type Stored<R> = BufReader<io::Chain<Cursor<Vec<u8>>, Input<R>>>;

enum Decoder<'a, R: Read> {
    Plain(Stored<R>),
    Gzip(MultiGzDecoder<Stored<R>>),
    Zstd(zstd::Decoder<'a, Stored<R>>),
    Xz(XzDecoder<Stored<R>>),
}

impl<R: Read> Decoder<'_, R> {
    fn new(input: Stored<R>, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(input),
            Compression::Gzip => Self::Gzip(MultiGzDecoder::new(input)),
            Compression::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Self::Zstd(decoder)
            }
            Compression::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
                Self::Xz(XzDecoder::new_stream(input, stream))
            }
        })
    }

    fn stored(&mut self) -> &mut Stored<R> {
        match self {
            Self::Plain(input) => input,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
            Self::Xz(decoder) => decoder.get_mut(),
        }
    }
}

impl<R: Read> Read for Decoder<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(decoder) => decoder.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::Xz(decoder) => decoder.read(buffer),
        }
    }
}

/// The expanded bytes of an archive.
pub(super) struct Expanded<R: Read> {
    decoder: Decoder<'static, R>,
    compression: Compression,
    tally: Rc<RefCell<Tally>>,
    limits: Limits,
    count: u64,
}

impl<R: Read> Expanded<R> {
    /// Recognises the compression by the first bytes.
    pub(super) fn open(inner: R, limits: &Limits) -> Result<Self, Failure> {
        // A plain archive is held to the expanded size alone.
        let limit = limits.compressed.max(limits.expanded);
        let tally = Rc::new(RefCell::new(Tally { hasher: Hasher::default(), count: 0, limit }));
        let mut input = Input { inner, tally: Rc::clone(&tally) };
        let mut first = Vec::new();
        (&mut input).take(512).read_to_end(&mut first).map_err(|error| explain(error, Compression::None))?;
        let compression = recognise(&first)?;
        if compression != Compression::None {
            tally.borrow_mut().limit = limits.compressed;
        }
        let stored = BufReader::with_capacity(BUFFER, Cursor::new(first).chain(input));
        let decoder = Decoder::new(stored, compression).map_err(|error| explain(error, compression))?;
        Ok(Self { decoder, compression, tally, limits: *limits, count: 0 })
    }

    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// How many bytes came out so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Reads what there is, at most a buffer; 0 at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let count = self.decoder.read(buffer).map_err(|error| explain(error, self.compression))?;
        self.count += count as u64;
        if self.count > self.limits.expanded {
            return Err(Rule::ExpandedSize { limit: self.limits.expanded }.into());
        }
        let stored = self.tally.borrow().count;
        if self.count > self.limits.ratio_from && self.count > stored.saturating_mul(self.limits.ratio) {
            return Err(Rule::Ratio { ratio: self.limits.ratio }.into());
        }
        Ok(count)
    }

    /// Fills the buffer as far as there are bytes, and says how far.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }

    /// The digest of the bytes as they are stored, once all of them were read.
    pub(super) fn finish(mut self) -> Result<Digest, Failure> {
        let compression = self.compression;
        if !self.decoder.stored().fill_buf().map_err(|error| explain(error, compression))?.is_empty() {
            return Err(Rule::AfterEnd.into());
        }
        let hasher = self.tally.borrow().hasher.clone();
        Ok(hasher.finish().0)
    }
}

/// How large a file that begins so may be as it is stored; or the rule by which it is no archive at all.
pub(crate) fn stored_limit(first: &[u8], limits: &Limits) -> Result<u64, Rule> {
    match recognise(first)? {
        // A plain archive is held to the expanded size alone.
        Compression::None if is_tar(first) => Ok(limits.expanded),
        Compression::None => Err(Rule::NotTar),
        _ => Ok(limits.compressed),
    }
}

/// Whether a block is one of an archive: zeros, or a header with the right checksum.
fn is_tar(block: &[u8]) -> bool {
    let Some(stored) = block.get(148..156) else { return false };
    let text = String::from_utf8_lossy(stored);
    let stored = u32::from_str_radix(text.trim_matches([' ', '\0']), 8);
    let blank = [b' '; 8];
    let sum = block[..148].iter().chain(&blank).chain(&block[156..]).map(|byte| u32::from(*byte)).sum();
    stored == Ok(sum) || block.iter().all(|byte| *byte == 0)
}

fn recognise(first: &[u8]) -> Result<Compression, Rule> {
    if first.is_empty() {
        return Err(Rule::Empty);
    }
    if first.starts_with(b"\x1f\x8b") {
        return Ok(Compression::Gzip);
    }
    if first.starts_with(b"\x28\xb5\x2f\xfd") {
        return Ok(Compression::Zstd);
    }
    if first.starts_with(b"\xfd7zXZ\0") {
        return Ok(Compression::Xz);
    }
    match OTHER_FORMATS.iter().find(|(magic, _)| first.starts_with(magic)) {
        Some((_, format)) => Err(Rule::Format { format }),
        None => Ok(Compression::None),
    }
}

/// Sorts an error that came through a decoder by where it began.
fn explain(error: io::Error, compression: Compression) -> Failure {
    match error.downcast::<Rule>() {
        Ok(rule) => Failure::Rule(rule),
        Err(error) => match error.downcast::<InputError>() {
            Ok(InputError(error)) => Failure::Read(error),
            Err(error) => {
                Failure::Rule(Rule::Stream { compression: compression.name(), detail: error.to_string() })
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn expand(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, Failure> {
        let mut expanded = Expanded::open(bytes, limits)?;
        let mut all = Vec::new();
        let mut buffer = [0; 1000];
        loop {
            match expanded.read(&mut buffer)? {
                0 => break,
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
        expanded.finish()?;
        Ok(all)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn encodings(bytes: &[u8]) -> [(Compression, Vec<u8>); 3] {
        [
            (Compression::Gzip, gzip(bytes)),
            (Compression::Zstd, zstd::encode_all(bytes, 1).unwrap()),
            (Compression::Xz, xz(bytes)),
        ]
    }

    #[test]
    fn every_compression_is_recognised_by_its_bytes_and_may_be_split() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let (head, tail) = bytes.split_at(77_777);
        for ((compression, mut stored), (_, rest)) in encodings(head).into_iter().zip(encodings(tail)) {
            stored.extend_from_slice(&rest);
            assert_eq!(expand(&stored, &Limits::default()).unwrap(), bytes, "{compression:?}");
            assert_eq!(Expanded::open(&stored[..], &Limits::default()).unwrap().compression(), compression);
        }
    }

    #[test]
    fn a_stream_that_is_cut_or_followed_by_anything_is_refused() {
        for (compression, stored) in encodings(&[7; 5000]) {
            for cut in 6..stored.len() {
                assert!(expand(&stored[..cut], &Limits::default()).is_err(), "{compression:?} cut at {cut}");
            }
            // Not a multiple of four: the xz format allows that much padding.
            for tail in [&b"x"[..], b"\0", b"\x1f\x8b", &[0; 601]] {
                let followed = [&stored, tail].concat();
                assert!(
                    expand(&followed, &Limits::default()).is_err(),
                    "{compression:?} and {} bytes",
                    tail.len()
                );
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_found() {
        for (compression, stored) in encodings(b"some text that is long enough to be compressed, compressed")
        {
            let mut damaged = stored.clone();
            let middle = damaged.len() - 12;
            damaged[middle] ^= 0x10;
            let read = expand(&damaged, &Limits::default());
            // zstd without its optional checksum cannot see every change; the tar reader then must.
            if compression != Compression::Zstd {
                assert!(matches!(read, Err(Failure::Rule(Rule::Stream { .. }))), "{compression:?}: {read:?}");
            }
        }
    }

    #[test]
    fn sizes_and_ratio_are_limited() {
        let small = Limits { expanded: 4999, ..Limits::default() };
        let ratio = Limits { ratio: 42, ratio_from: 1000, ..Limits::default() };
        let stored_limit = Limits { compressed: 20, ..Limits::default() };
        for (compression, stored) in encodings(&vec![0; 500_000]) {
            let rule = |limits| match expand(&stored, limits) {
                Err(Failure::Rule(rule)) => rule,
                other => panic!("{compression:?}: {other:?}"),
            };
            assert_eq!(rule(&small), Rule::ExpandedSize { limit: 4999 });
            assert_eq!(rule(&ratio), Rule::Ratio { ratio: 42 });
            assert_eq!(rule(&stored_limit), Rule::CompressedSize { limit: 20 });
        }
        let limits = Limits { compressed: 10, ..Limits::default() };
        assert_eq!(expand(&[1; 2000], &limits).unwrap().len(), 2000, "plain bytes are no compressed bytes");
    }

    #[test]
    fn an_error_of_the_input_is_no_damage() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::from(ErrorKind::PermissionDenied))
            }
        }
        let stored = gzip(&(0..10_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
        let mut expanded = Expanded::open(stored[..600].chain(Broken), &Limits::default()).unwrap();
        let failure = expanded.fill(&mut vec![0; 50_000]).unwrap_err();
        assert!(matches!(failure, Failure::Read(error) if error.kind() == ErrorKind::PermissionDenied));
    }
}
