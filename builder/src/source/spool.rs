//! Where the contents of what was read are kept until they become part of an image.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use lapstrake_oci::tree::{Content, ContentHasher};

/// How much is read at a time.
pub(super) const BUFFER: usize = 128 << 10;
/// How much is written at a time.
const PIECE: usize = 2 * BUFFER;
/// How many pieces wait to be written.
const WAITING: usize = 4;

/// The contents of all files, one after the other, in a file without a name: nothing is left behind whatever happens.
///
/// A thread of its own writes and finds out the digests, so that an archive is unpacked meanwhile. What is in the file may
/// be read once the spool is flushed.
pub(super) struct Spool {
    file: Arc<File>,
    /// Where the content begins that is being written.
    start: u64,
    piece: Piece,
    sent: u64,
    writer: Option<Writer>,
}

/// Bytes on their way to the file, and the contents that end in them.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    ends: Vec<(usize, Content)>,
}

impl Piece {
    fn new() -> Self {
        Self { bytes: Vec::with_capacity(PIECE + BUFFER), ends: Vec::new() }
    }

    /// Writes the bytes; `hasher` knows what came before of the content that they begin with.
    fn write(&mut self, mut file: &File, hasher: &mut ContentHasher) -> io::Result<()> {
        let mut from = 0;
        for (to, content) in self.ends.drain(..) {
            hasher.update(&self.bytes[from..to]);
            content.know_digest(std::mem::take(hasher).finish());
            from = to;
        }
        hasher.update(&self.bytes[from..]);
        file.write_all(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }
}

struct Writer {
    pieces: SyncSender<Piece>,
    /// Pieces that were written, to be filled again.
    used: Receiver<Piece>,
    thread: JoinHandle<io::Result<()>>,
}

impl Writer {
    fn start(file: Arc<File>) -> Self {
        let (pieces, incoming) = sync_channel::<Piece>(WAITING);
        let (recycle, used) = sync_channel(WAITING + 2);
        let thread = thread::spawn(move || {
            let mut hasher = ContentHasher::default();
            for mut piece in incoming {
                piece.write(&file, &mut hasher)?;
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
        tempfile::tempfile_in(scratch).map(Self::into_file)
    }

    /// A spool into a file that is empty.
    pub(super) fn into_file(file: File) -> Self {
        let file = Arc::new(file);
        let writer = Some(Writer::start(Arc::clone(&file)));
        Self { file, start: 0, piece: Piece::new(), sent: 0, writer }
    }

    fn position(&self) -> u64 {
        self.sent + self.piece.bytes.len() as u64
    }

    /// Adds bytes to the content that is being written.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.piece.bytes.extend_from_slice(bytes);
        if self.piece.bytes.len() >= PIECE { self.send() } else { Ok(()) }
    }

    /// Ends the content that is being written. Its bytes are in the file, or will be.
    pub(super) fn end(&mut self) -> Content {
        let end = self.position();
        let content = Content::range(Arc::clone(&self.file), self.start, end - self.start);
        self.piece.ends.push((self.piece.bytes.len(), content.clone()));
        self.start = end;
        content
    }

    fn send(&mut self) -> io::Result<()> {
        let Some(writer) = &self.writer else { return Err(io::Error::other("the spool is closed")) };
        let fresh = writer.used.try_recv().unwrap_or_else(|_| Piece::new());
        let full = std::mem::replace(&mut self.piece, fresh);
        self.sent += full.bytes.len() as u64;
        if writer.pieces.send(full).is_ok() {
            return Ok(());
        }
        // The thread stops at its first failure, and has the cause.
        self.close()?;
        Err(io::Error::other("the spool was not written to its end"))
    }

    /// Writes what is left. Nothing can be added afterwards.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if !self.piece.bytes.is_empty() || !self.piece.ends.is_empty() {
            self.send()?;
        }
        self.close()
    }

    fn close(&mut self) -> io::Result<()> {
        self.writer.take().map_or(Ok(()), Writer::finish)
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
    use lapstrake_oci::tree::ContentDigest;

    use super::*;

    #[test]
    fn contents_are_where_they_were_put() {
        let scratch = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(scratch.path()).unwrap();
        let texts: Vec<Vec<u8>> = (0..40u8).map(|n| vec![n; 30_000 * usize::from(n)]).collect();
        let mut contents = Vec::new();
        for text in &texts {
            text.chunks(BUFFER).for_each(|part| spool.write(part).unwrap());
            contents.push(spool.end());
        }
        spool.flush().unwrap();
        for (text, content) in texts.iter().zip(contents) {
            assert_eq!(content.known_digest(), Some(ContentDigest::of(text)));
            assert!(content.read().unwrap() == *text);
        }
        assert!(spool.write(&vec![0; PIECE]).is_err());
    }

    #[test]
    fn a_full_disk_is_an_error_of_the_one_who_writes() {
        let full = Arc::new(File::options().write(true).open("/dev/full").unwrap());
        let writer = Some(Writer::start(Arc::clone(&full)));
        let mut spool = Spool { file: full, start: 0, piece: Piece::new(), sent: 0, writer };
        let mut written = Ok(());
        for _ in 0..100 {
            written = written.and_then(|()| spool.write(&vec![0; PIECE]));
        }
        let cause = written.and_then(|()| spool.flush()).unwrap_err();
        assert_eq!(cause.raw_os_error(), Some(rustix::io::Errno::NOSPC.raw_os_error()));
    }
}
