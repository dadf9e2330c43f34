//! Layer blob -> tar stream: the codec that the media type names, checked against the first bytes.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use flate2::bufread::MultiGzDecoder;
use oci_spec::image::MediaType;

use super::read::ReadError;
use crate::document::{DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD};

/// How a layer blob is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Zstd,
    Plain,
}

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The first of zstd's sixteen magic numbers of frames to be skipped; they differ in the low bits of the first byte.
const ZSTD_SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];

impl Encoding {
    /// What a media type says.
    pub(crate) fn of(media_type: &MediaType) -> Option<Self> {
        match media_type {
            MediaType::ImageLayer | MediaType::ImageLayerNonDistributable => Some(Self::Plain),
            MediaType::ImageLayerGzip | MediaType::ImageLayerNonDistributableGzip => Some(Self::Gzip),
            MediaType::ImageLayerZstd | MediaType::ImageLayerNonDistributableZstd => Some(Self::Zstd),
            other => match other.as_ref() {
                DOCKER_LAYER => Some(Self::Plain),
                DOCKER_LAYER_GZIP => Some(Self::Gzip),
                DOCKER_LAYER_ZSTD => Some(Self::Zstd),
                _ => None,
            },
        }
    }

    /// What the first bytes of a file say. Its position is where it was.
    pub(crate) fn sniff(file: &mut (impl Read + Seek)) -> io::Result<Self> {
        let start = file.stream_position()?;
        let mut magic = Vec::new();
        file.take(4).read_to_end(&mut magic)?;
        file.seek(io::SeekFrom::Start(start))?;
        Ok(if magic.starts_with(GZIP) {
            Self::Gzip
        } else if magic == ZSTD || (magic.ends_with(ZSTD_SKIPPABLE) && magic[0] & 0xf0 == 0x50) {
            Self::Zstd
        } else {
            Self::Plain
        })
    }

    /// A reader of the tar stream.
    pub(crate) fn decode<'a>(self, reader: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
        let buffered = BufReader::with_capacity(1 << 17, reader);
        Ok(match self {
            Self::Plain => Box::new(buffered),
            Self::Gzip => Box::new(MultiGzDecoder::new(buffered)),
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(buffered)?),
        })
    }
}

/// Opens the tar stream of a layer blob.
pub(super) fn tar_stream(mut file: File, media_type: &MediaType) -> Result<Box<dyn Read + Send>, ReadError> {
    let unreadable = |source| ReadError::Stream { source };
    let unsupported = || ReadError::MediaType { media_type: media_type.clone() };
    let named = Encoding::of(media_type).ok_or_else(unsupported)?;
    let found = Encoding::sniff(&mut file).map_err(unreadable)?;
    if named != found {
        return Err(ReadError::Encoding { media_type: media_type.clone() });
    }
    named.decode(file).map_err(unreadable)
}
