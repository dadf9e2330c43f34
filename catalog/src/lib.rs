//! The runtime catalog as values: entries, revisions, resolution. No I/O.
//!
//! A [`Catalog`] is one revision of the document `catalog.json`: every runtime release ever published, as
//! exact layers. [`Catalog::parse`] reads it, [`Catalog::to_bytes`] writes it, [`Catalog::resolve`] answers a
//! request, and [`Catalog::next`] makes the following revision. The clock and the files are the caller's.

#![forbid(unsafe_code)]

pub mod advisory;
pub mod audit;
pub mod change;
pub mod date;
pub mod debian_version;
pub mod diff;
pub mod engines;
pub mod entry;
pub mod entry_id;
pub mod format;
mod nearest;
pub mod platform;
pub mod record;
pub mod request;
pub mod requires_python;
pub mod resolve;
pub mod revision;
mod runtime_name;
#[cfg(test)]
mod sample;
pub mod signature;
pub mod status;
mod unique;
pub mod version;

pub use change::{Broken, Change, ChangeError, Edit, NewEntry};
pub use date::Date;
pub use diff::{Diff, EntryChange};
pub use engines::EnginesRange;
pub use entry::{Entry, PackageChange, Record, Revocation, Upstream, UpstreamSource};
pub use entry_id::EntryId;
pub use format::ParseError;
pub use platform::PlatformKey;
pub use record::{ImageKind, ImageRecord, Images, LayerRecord, LayerRole, PlatformRecord, RunConfig};
pub use request::Request;
pub use requires_python::RequiresPython;
pub use resolve::{Permissions, Reason, Refusal, Resolution, ResolveError, Successor, Warning};
pub use revision::{Catalog, LaterRevocation, OsRecord, PastRevision, PolicyHints, RuntimeRecord};
pub use status::Status;
pub use version::{Version, VersionRequest};

/// The media type of `catalog.json`.
pub const CATALOG_MEDIA_TYPE: &str = "application/vnd.lapstrake.catalog.v1+json";

/// The artifact type of a revision's image index.
pub const CATALOG_ARTIFACT_TYPE: &str = "application/vnd.lapstrake.catalog.v1";

/// The name of a catalog that was never published; it makes its layers on the spot.
pub const LOCAL: &str = "local";
