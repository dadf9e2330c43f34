//! OCI image layout directories: `oci-layout`, `index.json` and `blobs/`.
//!
//! Any number of processes may use one layout at once: a blob appears by a rename of a finished file, and
//! `index.json` is changed under a lock. What is read is verified.

mod blobs;
mod index;
mod walk;

use std::io;
use std::path::{Path, PathBuf};

use oci_spec::image::Digest;

pub(crate) use blobs::{TEMPORARY, verify_file};
pub use index::REF_NAME;
pub use walk::{Reached, children};

use crate::document::DocumentError;
use crate::unfinished;

/// An image layout directory.
#[derive(Clone, Debug)]
pub struct Layout {
    dir: PathBuf,
}

/// Why a layout cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file cannot be read or written.
    #[error("`{}` cannot be {action}", path.display())]
    Io {
        /// What was tried: `read`, `written`, …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The directory is no image layout, or one of another version.
    #[error("`{}` is not an OCI image layout: {reason}", dir.display())]
    NotALayout {
        /// The directory.
        dir: PathBuf,
        /// What is missing or different.
        reason: String,
    },
    /// `index.json` is not what the specification says.
    #[error("`{}` is not an image index", path.display())]
    BadIndex {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A blob is not there.
    #[error("`{}` has no blob `{digest}`", dir.display())]
    MissingBlob {
        /// The layout.
        dir: PathBuf,
        /// What names the blob.
        digest: Digest,
    },
    /// A document or blob is not what names it.
    #[error("`{}` holds something else than what is named there", dir.display())]
    Corrupt {
        /// The layout.
        dir: PathBuf,
        /// The difference.
        source: DocumentError,
    },
    /// No manifest has the tag.
    #[error("`{}` has no tag `{tag}`; it has {tags}", dir.display())]
    UnknownTag {
        /// The layout.
        dir: PathBuf,
        /// The tag.
        tag: String,
        /// The tags that there are, for people.
        tags: String,
    },
    /// Two manifests have the tag, or none was named and there are several.
    #[error("`{}` has several manifests that could be meant; it has {tags}", dir.display())]
    Ambiguous {
        /// The layout.
        dir: PathBuf,
        /// The tags that there are, for people.
        tags: String,
    },
    /// Documents name documents deeper than any image does.
    #[error("the documents of `{digest}` are nested deeper than {limit} levels")]
    TooDeep {
        /// The document at which it was given up.
        digest: Digest,
        /// The limit.
        limit: usize,
    },
    /// A blob that is only in a registry cannot be stored.
    #[error("blob `{digest}` is not here but in `{from}`")]
    Elsewhere {
        /// What names the blob.
        digest: Digest,
        /// A reference into the repository that has it.
        from: String,
    },
}

impl LayoutError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

const MARKER: &str = "oci-layout";
const MARKER_CONTENT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

impl Layout {
    /// Opens a layout that is there.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, LayoutError> {
        let dir = dir.into();
        let not = |reason: String| LayoutError::NotALayout { dir: dir.clone(), reason };
        let path = dir.join(MARKER);
        let bytes = match fs_err::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(not("it has no file `oci-layout`".to_owned()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(not("it is not a directory".to_owned()));
            }
            Err(error) => return Err(LayoutError::io("read", &path)(error)),
        };
        let marker: Marker = serde_json::from_slice(&bytes).map_err(|error| not(error.to_string()))?;
        if marker.image_layout_version != "1.0.0" {
            return Err(not(format!("its version is `{}` instead of `1.0.0`", marker.image_layout_version)));
        }
        Ok(Self { dir })
    }

    /// Opens a layout, and makes an empty one if the directory is missing or empty. What killed writers left goes.
    pub fn create(dir: impl Into<PathBuf>) -> Result<Self, LayoutError> {
        let dir = dir.into();
        unfinished::sweep(&dir, TEMPORARY);
        match Self::open(&dir) {
            Err(LayoutError::NotALayout { .. }) if is_unused(&dir) => {}
            opened => return opened,
        }
        let layout = Self { dir };
        let blobs = layout.blobs_dir();
        fs_err::create_dir_all(&blobs).map_err(LayoutError::io("created", &blobs))?;
        // The marker comes last: whoever sees it sees a whole layout.
        layout.update_index(|_| Ok(()))?;
        layout.write_file(&layout.dir.join(MARKER), MARKER_CONTENT)?;
        Ok(layout)
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn blobs_dir(&self) -> PathBuf {
        self.dir.join("blobs/sha256")
    }

    fn corrupt(&self) -> impl FnOnce(DocumentError) -> LayoutError {
        |source| LayoutError::Corrupt { dir: self.dir.clone(), source }
    }
}

/// Whether nothing is lost when a layout is made here: no directory, or nothing in it but what a creation that was
/// cut short leaves.
fn is_unused(dir: &Path) -> bool {
    match fs_err::read_dir(dir) {
        Ok(mut entries) => entries.all(|entry| {
            entry.is_ok_and(|entry| {
                let name = entry.file_name();
                ["blobs", "index.json"].iter().any(|part| name == *part)
                    || name.to_string_lossy().starts_with(blobs::TEMPORARY)
            })
        }),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests;
