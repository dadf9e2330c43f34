//! Layers: packing file trees into them, reading, listing and unpacking them, and scanning directories into trees.
//!
//! One tar dialect is written (see [`pack()`]); what other tools wrote is read too. Nothing here knows images or
//! registries.

mod block;
mod codec;
pub(crate) mod decode;
mod entry;
mod growing;
pub(crate) mod header;
mod list;
mod marks;
mod pack;
mod place;
mod read;
mod records;
mod remove;
mod scan;
mod unpack;

pub use block::{Packed, SpoolError};
pub use codec::{Compression, CompressionError};
pub use growing::{Growing, Stage};
pub use list::{Contents, Listed, Listing, list};
pub use pack::{CompressError, PackError, PackOptions, PackedLayer, compress, pack, pack_watched};
pub use read::{EntryKind, LayerEntry, LayerReader, ReadError, ReadLimits};
pub use remove::remove_tree;
pub use scan::{Dropped, ModePolicy, Scan, ScanError, ScanLimits, ScanOptions, scan, scan_upper};
pub use unpack::{Compose, UnpackError, UnpackOptions, Unpacked, unpack};

/// The number of the digest contract: of the tar dialect together with the codecs, their versions and settings.
///
/// A change that would move the golden digests of this module's tests is a new number, never a silent change.
pub const FORMAT: u32 = 2;
