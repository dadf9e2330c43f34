//! Where the contents of what was read are kept until they become part of an image.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use lapstrake_oci::tree::Content;

/// How much is read at a time.
pub(super) const BUFFER: usize = 128 << 10;

/// The contents of all files, one after the other, in a file without a name: nothing is left behind whatever happens.
pub(super) struct Spool {
    file: Arc<File>,
    buffer: Vec<u8>,
    flushed: u64,
}

impl Spool {
    pub(super) fn new(scratch: &Path) -> io::Result<Self> {
        let file = Arc::new(tempfile::tempfile_in(scratch)?);
        Ok(Self { file, buffer: Vec::with_capacity(2 * BUFFER), flushed: 0 })
    }

    pub(super) fn position(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        (&*self.file).write_all(&self.buffer)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Bytes that were written.
    pub(super) fn content(&self, offset: u64, len: u64) -> Content {
        Content::range(Arc::clone(&self.file), offset, len)
    }
}
