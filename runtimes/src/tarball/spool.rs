//! One temporary file that holds the contents of all files of an artifact.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use lapstrake_oci::tree::Content;

/// A temporary file without a name, to which file contents are appended one after the other.
///
/// Memory stays flat however large the artifact is, and nothing is left behind when the last content that
/// refers to it is dropped.
#[derive(Debug)]
pub struct Spool {
    file: Arc<File>,
    end: u64,
}

impl Spool {
    /// An empty spool in a scratch directory.
    pub fn create(scratch: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(scratch)
            .map_err(|cause| io::Error::new(cause.kind(), format!("{}: {cause}", scratch.display())))?;
        Ok(Self { file: Arc::new(file), end: 0 })
    }

    /// Appends everything that the reader gives, and returns where it is.
    pub fn append(&mut self, mut reader: impl Read) -> io::Result<Content> {
        let offset = self.end;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(cause),
            };
            self.file.write_all_at(&buffer[..count], self.end)?;
            self.end += count as u64;
        }
        Ok(Content::range(Arc::clone(&self.file), offset, self.end - offset))
    }
}
