//! Reads a tar archive into a [`FileTree`] whose files are ranges of one spool file.
//!
//! The reader is strict: an entry that a package has no reason to carry is refused with the names of the
//! artifact and of the entry, never skipped. What belongs to one format alone (the `ar` wrapper of a deb, the
//! `package/` directory of an npm tarball) stands in the modules of those formats.

mod entry;
pub mod npm;
mod spool;

use std::io::{self, Read};

use lapstrake_oci::tree::{FileTree, TreePath, TreePathError};

pub use spool::Spool;

/// Why an artifact cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The bytes cannot be read, decompressed or spooled.
    #[error("could not read `{artifact}`")]
    Read {
        /// The file name of the artifact.
        artifact: String,
        /// What the system or the decoder said.
        source: io::Error,
    },
    /// The archive is not of the format that its kind asks for.
    #[error("`{artifact}` is no {format}: {reason}")]
    Format {
        /// The file name of the artifact.
        artifact: String,
        /// The format it should have.
        format: &'static str,
        /// The rule it breaks.
        reason: String,
    },
    /// One entry is refused.
    #[error("entry `{entry}` of `{artifact}` is refused")]
    Entry {
        /// The file name of the artifact.
        artifact: String,
        /// The name of the entry, made printable.
        entry: String,
        /// The rule it breaks.
        source: EntryFault,
    },
}

/// The rule that an entry of an archive breaks.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EntryFault {
    /// The path is absolute or leaves the tree.
    #[error(transparent)]
    Path(#[from] TreePathError),
    /// Neither a file, a directory nor a link.
    #[error("type `{0}` is neither file, directory nor link")]
    Type(char),
    /// A sparse file, whose bytes are not simply those of the archive.
    #[error("it is a sparse file")]
    Sparse,
    /// The extended header says one thing twice, or something that cannot be.
    #[error("its extended header has a bad `{0}`")]
    Extension(String),
    /// The name and the type, or the type and the size, contradict each other.
    #[error("its name, type and size contradict each other")]
    Contradiction,
    /// Encrypted, which no public artifact is.
    #[error("it is encrypted")]
    Encrypted,
    /// The path came before.
    #[error("the path occurs twice")]
    Duplicate,
    /// The path leads through something that is no directory.
    #[error("`{0}` above it is no directory")]
    Through(TreePath),
    /// A link without a target.
    #[error("the link has no target")]
    EmptyLink,
    /// A hard link to something that is not an earlier regular file.
    #[error("`{0}` is not an earlier regular file")]
    HardlinkTarget(String),
    /// A link where the format has none.
    #[error("a link has no place in this format")]
    Link,
    /// Outside of the one directory that the format puts everything in.
    #[error("it is not below `{0}/`")]
    Outside(&'static str),
    /// Its digest is not the one that the artifact itself records.
    #[error("its digest is not the recorded `{0}`")]
    Digest(String),
    /// The artifact's own list of files does not name it.
    #[error("`{0}` does not list it")]
    Unlisted(String),
}

impl ArchiveError {
    pub(crate) fn read(artifact: &str) -> impl FnOnce(io::Error) -> Self {
        let artifact = artifact.to_owned();
        move |source| Self::Read { artifact, source }
    }

    pub(crate) fn entry(artifact: &str, entry: &[u8], fault: impl Into<EntryFault>) -> Self {
        let entry = entry.escape_ascii().to_string();
        Self::Entry { artifact: artifact.to_owned(), entry, source: fault.into() }
    }
}

/// Reads a whole, already decompressed tar archive; file contents go to `spool`.
///
/// `artifact` is the name for messages. Owners are dropped and modes lose setuid and setgid.
pub fn read(mut archive: impl Read, artifact: &str, spool: &mut Spool) -> Result<FileTree, ArchiveError> {
    let mut tree = FileTree::new();
    let mut reader = tar::Archive::new(&mut archive);
    for entry in reader.entries().map_err(ArchiveError::read(artifact))? {
        let entry = entry.map_err(ArchiveError::read(artifact))?;
        entry::add(entry, artifact, spool, &mut tree)?;
    }
    drain_padding(&mut archive, artifact)?;
    Ok(tree)
}

/// Reads to the end, so that a decoder sees its checksum; only zeros may follow the archive.
fn drain_padding(archive: &mut impl Read, artifact: &str) -> Result<(), ArchiveError> {
    let mut buffer = [0; 8192];
    loop {
        let count = archive.read(&mut buffer).map_err(ArchiveError::read(artifact))?;
        if count == 0 {
            return Ok(());
        }
        if buffer[..count].iter().any(|byte| *byte != 0) {
            let reason = "there are bytes after its end".to_owned();
            return Err(ArchiveError::Format {
                artifact: artifact.to_owned(),
                format: "tar archive",
                reason,
            });
        }
    }
}

#[cfg(test)]
mod tests;
