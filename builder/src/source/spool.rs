//! Where the contents of what was read are kept until they become part of an image.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use lapstrake_oci::tree::Content;

/// How much is read at a time.
pub(super) const BUFFER: usize = 128 << 10;
/// How much is written at a time.
const PIECE: usize = 2 * BUFFER;
/// How many pieces wait to be written.
const WAITING: usize = 4;

/// The contents of all files, one after the other, in a file without a name: nothing is left behind whatever happens.
///
/// A thread of its own writes, so that an archive is unpacked meanwhile. What is in the file may be read once the spool is
/// flushed.
pub(super) struct Spool {
    file: Arc<File>,
    buffer: Vec<u8>,
    sent: u64,
    writer: Option<Writer>,
}

struct Writer {
    pieces: SyncSender<Vec<u8>>,
    /// Buffers that were written, to be filled again.
    used: Receiver<Vec<u8>>,
    thread: JoinHandle<io::Result<()>>,
}

impl Writer {
    fn start(file: Arc<File>) -> Self {
        let (pieces, incoming) = sync_channel::<Vec<u8>>(WAITING);
        let (recycle, used) = sync_channel(WAITING + 2);
        let thread = thread::spawn(move || {
            for piece in incoming {
                (&*file).write_all(&piece)?;
                // A full circle is no loss: the buffer is simply freed.
                let _ = recycle.try_send(piece);
            }
            Ok(())
        });
        Self { pieces, used, thread }
    }

    fn finish(self) -> io::Result<()> {
        drop(self.pieces);
        match self.thread.join() {
            Ok(written) => written,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Spool {
    pub(super) fn new(scratch: &Path) -> io::Result<Self> {
        let file = Arc::new(tempfile::tempfile_in(scratch)?);
        let writer = Some(Writer::start(Arc::clone(&file)));
        Ok(Self { file, buffer: Vec::with_capacity(PIECE + BUFFER), sent: 0, writer })
    }

    pub(super) fn position(&self) -> u64 {
        self.sent + self.buffer.len() as u64
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> io::Result<()> {
        let Some(writer) = &self.writer else { return Err(io::Error::other("the spool is closed")) };
        let mut fresh = writer.used.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE + BUFFER));
        fresh.clear();
        let full = std::mem::replace(&mut self.buffer, fresh);
        self.sent += full.len() as u64;
        if writer.pieces.send(full).is_ok() {
            return Ok(());
        }
        // The thread stops at its first failure, and has the cause.
        self.close()?;
        Err(io::Error::other("the spool was not written to its end"))
    }

    /// Writes what is left. Nothing can be added afterwards.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.send()?;
        }
        self.close()
    }

    fn close(&mut self) -> io::Result<()> {
        self.writer.take().map_or(Ok(()), Writer::finish)
    }

    /// Bytes that were written, or will be.
    pub(super) fn content(&self, offset: u64, len: u64) -> Content {
        Content::range(Arc::clone(&self.file), offset, len)
    }
}

/// Nobody writes behind the back of whoever gave up.
impl Drop for Spool {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_where_they_were_put() {
        let scratch = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(scratch.path()).unwrap();
        let texts: Vec<Vec<u8>> = (0..40u8).map(|n| vec![n; 30_000 * usize::from(n)]).collect();
        let mut places = Vec::new();
        for text in &texts {
            places.push(spool.position());
            text.chunks(BUFFER).for_each(|part| spool.write(part).unwrap());
        }
        spool.flush().unwrap();
        for (text, offset) in texts.iter().zip(places) {
            assert!(spool.content(offset, text.len() as u64).read().unwrap() == *text);
        }
        assert!(spool.write(&vec![0; PIECE]).is_err());
    }

    #[test]
    fn a_full_disk_is_an_error_of_the_one_who_writes() {
        let full = Arc::new(File::options().write(true).open("/dev/full").unwrap());
        let writer = Some(Writer::start(Arc::clone(&full)));
        let mut spool = Spool { file: full, buffer: Vec::new(), sent: 0, writer };
        let mut written = Ok(());
        for _ in 0..100 {
            written = written.and_then(|()| spool.write(&vec![0; PIECE]));
        }
        let cause = written.and_then(|()| spool.flush()).unwrap_err();
        assert_eq!(cause.raw_os_error(), Some(rustix::io::Errno::NOSPC.raw_os_error()));
    }
}
