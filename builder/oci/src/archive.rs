//! Images as single files: `oci-archive` (a tar of an image layout) and `docker-archive` (what `docker save` makes).
//!
//! Archives are written beside their place and renamed into it, the same bytes for the same image; blobs are
//! streamed. Archives are read strictly, also those of other tools, and end up in an image layout.

mod docker;
mod import;
mod oci;
mod output;

use std::io;
use std::path::{Path, PathBuf};

use oci_spec::image::Digest;

pub use docker::write_docker_archive;
pub use import::{Imported, import};
pub use oci::{Top, write_oci_archive};

use crate::document::DocumentError;
use crate::layer::{CompressError, ReadError};
use crate::layout::LayoutError;

/// Why an archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file cannot be read or written.
    #[error("`{}` cannot be {action}", path.display())]
    Io {
        /// What was tried: `read`, `written`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// What is at the place of the archive must not be replaced.
    #[error("`{}` is not replaced: {reason}", path.display())]
    Occupied {
        /// The place.
        path: PathBuf,
        /// What is there.
        reason: &'static str,
    },
    /// A blob is only in a registry.
    #[error("blob `{digest}` is not here but in `{from}`")]
    Elsewhere {
        /// What names it.
        digest: Digest,
        /// A reference into the repository that has it.
        from: String,
    },
    /// The file is neither kind of archive, or contradicts itself.
    #[error("`{}` is not an image archive that can be read: {reason}", archive.display())]
    Malformed {
        /// The archive.
        archive: PathBuf,
        /// The rule that it breaks.
        reason: String,
    },
    /// The tar stream cannot be read.
    #[error("`{}` cannot be read as an archive", archive.display())]
    Tar {
        /// The archive.
        archive: PathBuf,
        /// The cause.
        source: ReadError,
    },
    /// A layer is not the one that the config names.
    #[error("layer {position} has diff_id `{found}`, but the config says `{expected}`")]
    DiffId {
        /// Counted from 1, lowest first.
        position: usize,
        /// What the config says.
        expected: String,
        /// What the layer has.
        found: Digest,
    },
    /// A document or blob is not what names it.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A layer cannot be decompressed.
    #[error("a layer cannot be read")]
    Layer(#[from] ReadError),
    /// A layer cannot be compressed.
    #[error(transparent)]
    Compress(#[from] CompressError),
    /// The layout that an archive is read into cannot be used.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl ArchiveError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
