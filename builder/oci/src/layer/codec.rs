//! Compression of one block: a gzip member or a zstd frame, made in one call.
//!
//! Encoders give other bytes for other write sizes, so a block is always compressed in one call that knows nothing of
//! the block before: then the bytes depend on nothing but the block, the codec's version and the level. Neither encoder
//! lets its result depend on the processor; on arm64 both were seen to give the bytes of x86-64.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::str::FromStr;

use libdeflater::{CompressionLvl, Compressor, Crc};
use oci_spec::image::MediaType;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Gzip, one member for each block, at a level from 1 to 12 (libdeflate's).
    Gzip(i32),
    /// Zstandard, one frame for each block, at a level from 1 to 19.
    Zstd(i32),
    /// None: the blob is the tar stream.
    None,
}

const GZIP_LEVELS: RangeInclusive<i32> = 1..=12;
const ZSTD_LEVELS: RangeInclusive<i32> = 1..=19;

/// The fast end of gzip: a level 6 of the same encoder takes twice the time for a tenth of the bytes.
impl Default for Compression {
    fn default() -> Self {
        Self::Gzip(1)
    }
}

impl Compression {
    /// Gzip as small as it gets in reasonable time: for what is compressed once and fetched often.
    pub const SMALL: Self = Self::Gzip(6);

    /// The media type of a layer that is compressed like this (image-spec, layer.md).
    #[must_use]
    pub fn media_type(self) -> MediaType {
        match self {
            Self::Gzip(_) => MediaType::ImageLayerGzip,
            Self::Zstd(_) => MediaType::ImageLayerZstd,
            Self::None => MediaType::ImageLayer,
        }
    }
}

/// Text that names no codec and level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not `gzip[:1-12]` or `zstd[:1-19]`")]
pub struct CompressionError {
    text: String,
}

/// Reads `gzip`, `gzip:LEVEL`, `zstd` and `zstd:LEVEL`; the levels left out are 1 and 3.
impl FromStr for Compression {
    type Err = CompressionError;

    fn from_str(text: &str) -> Result<Self, CompressionError> {
        let wrong = || CompressionError { text: text.to_owned() };
        let (codec, level) = match text.split_once(':') {
            Some((codec, level)) => (codec, Some(level.parse::<i32>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        match (codec, level) {
            ("gzip", None) => Ok(Self::default()),
            ("gzip", Some(level)) if GZIP_LEVELS.contains(&level) => Ok(Self::Gzip(level)),
            ("zstd", None) => Ok(Self::Zstd(3)),
            ("zstd", Some(level)) if ZSTD_LEVELS.contains(&level) => Ok(Self::Zstd(level)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gzip(level) => write!(f, "gzip:{level}"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
            Self::None => f.write_str("none"),
        }
    }
}

/// A codec at work: what it allocates serves many blocks, and no block leaves a trace in the next.
pub(super) enum Encoder {
    Gzip(Box<Compressor>),
    Zstd(zstd::bulk::Compressor<'static>),
    Copy,
}

impl Encoder {
    pub(super) fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip(level) => {
                let level = CompressionLvl::new(level)
                    .map_err(|_| io::Error::other(format!("there is no gzip level {level}")))?;
                Self::Gzip(Box::new(Compressor::new(level)))
            }
            Compression::Zstd(level) => Self::Zstd(zstd::bulk::Compressor::new(level)?),
            Compression::None => Self::Copy,
        })
    }

    /// Compresses one block into the beginning of `out`, which grows where it is too short, and says how much of it that
    /// is. What lies behind is of blocks before: clearing it would cost as much as hashing it.
    pub(super) fn block(&mut self, block: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        let most = match self {
            Self::Gzip(compressor) => MEMBER.len() + compressor.deflate_compress_bound(block.len()) + TRAILER,
            Self::Zstd(_) => zstd::zstd_safe::compress_bound(block.len()),
            Self::Copy => block.len(),
        };
        if out.len() < most {
            out.resize(most, 0);
        }
        match self {
            Self::Gzip(compressor) => gzip_member(compressor, block, out),
            Self::Zstd(compressor) => compressor.compress_to_buffer(block, out.as_mut_slice()),
            Self::Copy => {
                out[..block.len()].copy_from_slice(block);
                Ok(block.len())
            }
        }
    }
}

/// Magic, deflate, no flags, no time, no extra flags, unknown operating system (RFC 1952).
const MEMBER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The checksum and the length behind the compressed bytes.
const TRAILER: usize = 8;

fn gzip_member(compressor: &mut Compressor, block: &[u8], out: &mut [u8]) -> io::Result<usize> {
    out[..MEMBER.len()].copy_from_slice(&MEMBER);
    let room = out.len() - TRAILER;
    let count = compressor.deflate_compress(block, &mut out[MEMBER.len()..room]).map_err(io::Error::other)?;
    let mut crc = Crc::new();
    crc.update(block);
    let length = u32::try_from(block.len()).map_err(io::Error::other)?;
    let end = MEMBER.len() + count;
    out[end..end + 4].copy_from_slice(&crc.sum().to_le_bytes());
    out[end + 4..end + TRAILER].copy_from_slice(&length.to_le_bytes());
    Ok(end + TRAILER)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_block_that_cannot_be_compressed_still_fits() {
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .take(1 << 20)
        .collect();
        for level in GZIP_LEVELS {
            let mut out = Vec::new();
            let count = Encoder::new(Compression::Gzip(level)).unwrap().block(&noise, &mut out).unwrap();
            out.truncate(count);
            let mut back = Vec::new();
            flate2::read::MultiGzDecoder::new(&out[..]).read_to_end(&mut back).unwrap();
            assert!(back == noise, "{level}");
        }
        let mut out = Vec::new();
        let count = Encoder::new(Compression::Zstd(3)).unwrap().block(&noise, &mut out).unwrap();
        out.truncate(count);
        assert!(zstd::decode_all(&out[..]).unwrap() == noise);
    }

    #[test]
    fn a_gzip_member_names_no_time_and_no_system() {
        let mut out = Vec::new();
        Encoder::new(Compression::Gzip(6)).unwrap().block(b"x", &mut out).unwrap();
        assert_eq!(out[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    }

    #[test]
    fn an_encoder_gives_the_same_bytes_whatever_it_compressed_before() {
        let (first, second) = (b"abcabcabc".repeat(9000), b"something else, and else".repeat(700));
        for compression in
            [Compression::Gzip(1), Compression::Gzip(6), Compression::Gzip(12), Compression::Zstd(3)]
        {
            let fresh = |block: &[u8]| {
                let mut out = Vec::new();
                let count = Encoder::new(compression).unwrap().block(block, &mut out).unwrap();
                out.truncate(count);
                out
            };
            let mut used = Encoder::new(compression).unwrap();
            for block in [&first, &second, &first] {
                let mut out = vec![1; 70];
                let count = used.block(block, &mut out).unwrap();
                assert!(out[..count] == fresh(block), "{compression}");
            }
        }
    }

    #[test]
    fn a_codec_is_named_with_its_level_or_without() {
        let parse = str::parse::<Compression>;
        assert_eq!(parse("gzip"), Ok(Compression::Gzip(1)));
        assert_eq!(parse("gzip:12"), Ok(Compression::Gzip(12)));
        assert_eq!(parse("zstd"), Ok(Compression::Zstd(3)));
        assert_eq!(parse("zstd:19").unwrap().to_string(), "zstd:19");
        for wrong in ["", "gzip:", "gzip:0", "gzip:13", "zstd:20", "zstd:-1", "lz4", "gzip:6 ", "none"] {
            let error = parse(wrong).unwrap_err().to_string();
            assert_eq!(error, format!("`{wrong}` is not `gzip[:1-12]` or `zstd[:1-19]`"));
        }
    }
}
