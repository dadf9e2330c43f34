//! A stream of bytes, cut into fixed blocks that are compressed side by side and spooled in order.
//!
//! Blocks go to the workers in turn, one queue in and one out for each, so the order comes back by itself and the
//! bytes do not depend on how many workers there are. Every queue holds one block: memory does not grow with the
//! stream.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use oci_spec::image::{Descriptor, Digest};
use tempfile::NamedTempFile;

use super::codec::{Compression, Encoder};
use super::growing::{Grower, Growing};
use crate::document::{Hasher, HashingWriter};
use crate::layout::TEMPORARY;
use crate::unfinished;

/// The length of a block; the last one is shorter. It is part of the digest contract.
const BLOCK: usize = 1 << 20;

/// Compressed bytes in a temporary file, with both digests.
#[derive(Debug)]
pub struct Packed {
    /// What names the compressed bytes.
    pub descriptor: Descriptor,
    /// The digest of the uncompressed bytes.
    pub diff_id: Digest,
    /// How many uncompressed bytes there are.
    pub uncompressed: u64,
    /// The compressed bytes.
    pub blob: NamedTempFile,
}

/// Why a stream could not be compressed into a temporary file.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The temporary file cannot be made or written.
    #[error("a layer cannot be written in `{}`", scratch.display())]
    Write {
        /// The directory of the temporary file.
        scratch: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The codec failed, which is a fault of ours.
    #[error("a block of a layer cannot be compressed (please report this)")]
    Compress {
        /// The cause.
        source: io::Error,
    },
}

/// A block on its way: the bytes, and what they became. Buffers travel in circles, for fresh memory is slow.
#[derive(Default)]
struct Block {
    raw: Vec<u8>,
    /// The compressed bytes, and behind them what is left of others.
    compressed: Vec<u8>,
    /// How many there are.
    count: usize,
}

impl Block {
    fn compressed(&self) -> &[u8] {
        &self.compressed[..self.count]
    }
}

struct Worker {
    todo: SyncSender<Block>,
    done: Receiver<io::Result<Block>>,
}

/// Where the stream is written to. Once a write fails, the cause is with the spooling thread.
pub(super) struct BlockWriter {
    filling: Block,
    queues: Vec<SyncSender<Block>>,
    next: usize,
    used: Receiver<Block>,
}

/// The spooling thread stopped early; it has the cause.
#[derive(Debug)]
pub(super) struct Stopped;

impl BlockWriter {
    /// Adds bytes.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Stopped> {
        while !bytes.is_empty() {
            let room = BLOCK - self.filling.raw.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.filling.raw.extend_from_slice(now);
            bytes = later;
            self.send_if_full()?;
        }
        Ok(())
    }

    /// Adds zeros.
    pub(super) fn zeros(&mut self, count: usize) -> Result<(), Stopped> {
        self.write(&[0; 1024][..count])
    }

    /// Adds at most `limit` bytes of a reader, shows them to `see`, and says how many there were.
    pub(super) fn copy(
        &mut self,
        reader: &mut dyn Read,
        limit: u64,
        mut see: impl FnMut(&[u8]),
    ) -> io::Result<Result<u64, Stopped>> {
        let mut copied = 0;
        loop {
            let room = (BLOCK - self.filling.raw.len()) as u64;
            let wanted = room.min(limit - copied);
            let before = self.filling.raw.len();
            let count = reader.take(wanted).read_to_end(&mut self.filling.raw)? as u64;
            see(&self.filling.raw[before..]);
            copied += count;
            if count < wanted || copied == limit {
                return Ok(self.send_if_full().map(|()| copied));
            }
            if let Err(stopped) = self.send_if_full() {
                return Ok(Err(stopped));
            }
        }
    }

    fn send_if_full(&mut self) -> Result<(), Stopped> {
        if self.filling.raw.len() == BLOCK { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Stopped> {
        let mut fresh = self.used.try_recv().unwrap_or_default();
        fresh.raw.clear();
        fresh.raw.reserve_exact(BLOCK);
        let full = std::mem::replace(&mut self.filling, fresh);
        let queue = self.next % self.queues.len();
        self.next += 1;
        self.queues[queue].send(full).map_err(|_| Stopped)
    }

    fn finish(mut self) -> Result<(), Stopped> {
        if self.filling.raw.is_empty() { Ok(()) } else { self.send() }
    }
}

/// How a stream is spooled.
#[derive(Clone, Copy)]
pub(super) struct Spooling<'a> {
    pub(super) compression: Compression,
    pub(super) threads: NonZeroUsize,
    /// The directory of the temporary file.
    pub(super) scratch: &'a Path,
}

/// Compresses what `produce` writes. Its own result comes out beside the spooled bytes, which `begun` may follow.
pub(super) fn spool<T, E: From<SpoolError>>(
    spooling: Spooling<'_>,
    begun: &mut dyn FnMut(Growing),
    produce: impl FnOnce(&mut BlockWriter) -> Result<Result<T, E>, Stopped>,
) -> Result<(Packed, T), E> {
    let Spooling { compression, threads, scratch } = spooling;
    let unwritable = |source| SpoolError::Write { scratch: scratch.to_owned(), source };
    let blob = unfinished::begin(scratch, TEMPORARY).map_err(unwritable)?;
    let (grower, growing) = Growing::new(blob.reopen().map_err(unwritable)?);
    begun(growing);
    let grower = &grower;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.get()).map(|_| start_worker(scope, compression)).collect();
        let queues = workers.iter().map(|worker| worker.todo.clone()).collect();
        let (recycle, used) = sync_channel(2 * threads.get() + 2);
        let outs: Vec<_> = workers.into_iter().map(|worker| worker.done).collect();
        let spooling = scope.spawn(move || collect(&outs, &recycle, blob, grower, spooling));

        let mut filling = Block::default();
        filling.raw.reserve_exact(BLOCK);
        let mut writer = BlockWriter { filling, queues, next: 0, used };
        let produced = produce(&mut writer).and_then(|result| writer.finish().map(|()| result));
        let spooled = match spooling.join() {
            Ok(spooled) => spooled,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        match produced {
            Ok(Err(error)) => Err(error),
            Ok(Ok(value)) => {
                let packed = spooled?;
                grower.end(packed.descriptor.size());
                Ok((packed, value))
            }
            // The writer only stops early when the spooling thread failed.
            Err(Stopped) => match spooled {
                Err(error) => Err(error.into()),
                Ok(_) => unreachable!("the spooling thread ended without a cause"),
            },
        }
    })
}

fn start_worker<'scope>(scope: &'scope thread::Scope<'scope, '_>, compression: Compression) -> Worker {
    let (todo, jobs) = sync_channel::<Block>(1);
    let (results, done) = sync_channel(1);
    scope.spawn(move || {
        let mut encoder = Encoder::new(compression);
        for mut block in jobs {
            let result = match &mut encoder {
                Ok(encoder) => encoder.block(&block.raw, &mut block.compressed).map(|count| {
                    block.count = count;
                    block
                }),
                Err(error) => Err(io::Error::other(error.to_string())),
            };
            if results.send(result).is_err() {
                break;
            }
        }
    });
    Worker { todo, done }
}

/// Takes the blocks back in order, hashes both sides of them and writes the compressed one.
fn collect(
    workers: &[Receiver<io::Result<Block>>],
    recycle: &SyncSender<Block>,
    blob: NamedTempFile,
    grower: &Grower,
    spooling: Spooling<'_>,
) -> Result<Packed, SpoolError> {
    let mut raw = Hasher::default();
    let mut written = 0;
    let mut compressed = HashingWriter::new(blob);
    let mut turn = workers.iter().cycle();
    while let Some(Ok(block)) = turn.next().map(Receiver::recv) {
        let block = block.map_err(|source| SpoolError::Compress { source })?;
        raw.update(&block.raw);
        compressed
            .write_all(block.compressed())
            .map_err(|source| SpoolError::Write { scratch: spooling.scratch.to_owned(), source })?;
        written += block.count as u64;
        grower.grown(written);
        // A full circle is no loss: the buffer is simply freed.
        let _ = recycle.try_send(block);
    }
    let (blob, digest, size) = compressed.finish();
    let (diff_id, uncompressed) = raw.finish();
    let descriptor = Descriptor::new(spooling.compression.media_type(), size, digest);
    Ok(Packed { descriptor, diff_id, uncompressed, blob })
}
