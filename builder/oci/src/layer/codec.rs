//! Compression of one block: a gzip member or a zstd frame, made in one call.
//!
//! zlib-rs gives other bytes for other write sizes, so a block is always compressed in one call by a fresh
//! compressor: then the bytes depend on nothing but the block and the level.

use std::io;

use flate2::{Compress, Crc, FlushCompress, Status};
use oci_spec::image::MediaType;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Gzip, one member for each block, at a level from 1 to 9.
    Gzip(u32),
    /// Zstandard, one frame for each block, at a level from 1 to 19.
    Zstd(i32),
    /// None: the blob is the tar stream.
    None,
}

impl Default for Compression {
    fn default() -> Self {
        Self::Gzip(6)
    }
}

impl Compression {
    /// The media type of a layer that is compressed like this.
    #[must_use]
    pub fn media_type(self) -> MediaType {
        match self {
            Self::Gzip(_) => MediaType::ImageLayerGzip,
            Self::Zstd(_) => MediaType::ImageLayerZstd,
            Self::None => MediaType::ImageLayer,
        }
    }

    /// Compresses one block into `out`, which is cleared first.
    pub(super) fn block(self, block: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        match self {
            Self::Gzip(level) => gzip_member(block, level, out),
            Self::Zstd(level) => zstd_frame(block, level, out),
            Self::None => {
                out.extend_from_slice(block);
                Ok(())
            }
        }
    }
}

/// Room for the worst case: at level 1 deflate may spend nine bits on each byte.
fn bound(len: usize) -> usize {
    len + len / 7 + 1024
}

fn gzip_member(block: &[u8], level: u32, out: &mut Vec<u8>) -> io::Result<()> {
    // Magic, deflate, no flags, no time, no extra flags, unknown operating system (RFC 1952).
    out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    out.reserve(bound(block.len()));
    let mut deflate = Compress::new(flate2::Compression::new(level), false);
    let status = deflate.compress_vec(block, out, FlushCompress::Finish).map_err(io::Error::other)?;
    if status != Status::StreamEnd {
        return Err(io::Error::other("deflate did not finish a block in one call"));
    }
    let mut crc = Crc::new();
    crc.update(block);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
    Ok(())
}

fn zstd_frame(block: &[u8], level: i32, out: &mut Vec<u8>) -> io::Result<()> {
    out.reserve(zstd::zstd_safe::compress_bound(block.len()));
    zstd::bulk::Compressor::new(level)?.compress_to_buffer(block, out)?;
    Ok(())
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
        for compression in [Compression::Gzip(1), Compression::Gzip(6), Compression::Gzip(9)] {
            let mut out = Vec::new();
            compression.block(&noise, &mut out).unwrap();
            let mut back = Vec::new();
            flate2::read::MultiGzDecoder::new(&out[..]).read_to_end(&mut back).unwrap();
            assert!(back == noise, "{compression:?}");
        }
        let mut out = Vec::new();
        Compression::Zstd(3).block(&noise, &mut out).unwrap();
        assert!(zstd::decode_all(&out[..]).unwrap() == noise);
    }

    #[test]
    fn a_gzip_member_names_no_time_and_no_system() {
        let mut out = Vec::new();
        Compression::Gzip(6).block(b"x", &mut out).unwrap();
        assert_eq!(out[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    }
}
