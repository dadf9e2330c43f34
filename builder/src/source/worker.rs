//! Archives are read, and their trees written, by a process of this program's own that is locked in: what strangers wrote
//! meets decompressors and readers where there is no file to open, no network and no secret in memory.
//!
//! The worker is this program executed again. It gets the archive and an unnamed file for the contents as descriptors,
//! and says over a socket what it found; that is checked here once more, since a worker that was taken over may say
//! anything.

mod message;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio, exit};
use std::sync::Arc;
use std::thread;

use lapstrake_oci::tree::{FileTree, Kind, Place};
use lapstrake_sandbox::{Reach, confine_worker};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::archive;
use super::error::SourceError;
use super::materialise::{MaterialiseError, MaterialiseOptions};
use super::path::printable;
use super::spool::{BUFFER, Spool};
use super::{ReadOptions, Source};
use message::{Answer, Job, Told, TreeToWrite};

/// The first argument that asks for the hidden mode.
const HIDDEN_MODE: &str = "--become-lapstrake-worker--";

/// More than any tree takes; a bound against nonsense on the socket.
const LARGEST: u64 = 1 << 30;

/// More open files than this are not passed to a worker.
const MOST_FILES: usize = 64;

/// Becomes a worker when this process was started for that, and does not return then. To be called before any thread
/// starts.
pub fn become_if_asked() {
    if std::env::args_os().nth(1).is_some_and(|word| word == HIDDEN_MODE) {
        exit(i32::from(work().is_err()));
    }
}

/// A worker that could not do its job, or could not even be asked.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It could not be started or reached.
    #[error("could not {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// It has ended without an answer.
    #[error("it ended with {status}{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Lost {
        /// How.
        status: String,
        /// Its last words, made printable.
        said: String,
    },
    /// What it said cannot be.
    #[error("it said what cannot be: {0}")]
    Nonsense(String),
    /// It could not lock itself in.
    #[error("it could not be locked in: {0}")]
    Unconfined(String),
}

/// Reads an archive as [`super::read`] does, in a worker.
pub(crate) fn read(input: impl AsFd, name: &str, options: &ReadOptions) -> Result<Source, SourceError> {
    let spool = tempfile::tempfile_in(&options.scratch)
        .map_err(|source| SourceError::Spool { scratch: options.scratch.clone(), source })?;
    let job = Job::read(name, options);
    let answer: Answer = ask(&job, &[input.as_fd(), spool.as_fd()]).map_err(failed)?;
    match answer {
        Answer::Source(told) => told.into_source(Arc::new(spool), options).map_err(failed),
        Answer::Refused { text, fault } => Err(SourceError::Told { text, fault: fault.into() }),
        Answer::Read { path, error } => Err(SourceError::Read { path, source: error.into() }),
        Answer::Spool { error } => {
            Err(SourceError::Spool { scratch: options.scratch.clone(), source: error.into() })
        }
        Answer::Unconfined(reason) => Err(failed(WorkerError::Unconfined(reason))),
        Answer::Written | Answer::Unwritten { .. } => {
            Err(failed(WorkerError::Nonsense("another job's answer".to_owned())))
        }
    }
}

/// The same for what comes from standard input, of which `input` may have read a beginning already: it is handed on to the
/// worker as it arrives.
pub(crate) fn read_stream(
    mut input: impl Read,
    name: &str,
    options: &ReadOptions,
) -> Result<Source, SourceError> {
    let unreadable = |source| SourceError::Read { path: printable(name.as_bytes()), source };
    let (ours, theirs) = io::pipe().map_err(unreadable)?;
    thread::scope(|scope| {
        let reading = scope.spawn(move || read(ours, name, options));
        let handed = hand_on(&mut input, theirs, &|| reading.is_finished());
        let read = match reading.join() {
            Ok(read) => read,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        // To the worker an input that fails looks like one that ends.
        handed.map_err(unreadable).and(read)
    })
}

/// Copies until the input ends, or until nobody wants more of it; only the input's own errors count.
fn hand_on(input: &mut impl Read, mut to: io::PipeWriter, is_over: &dyn Fn() -> bool) -> io::Result<()> {
    const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    let mut buffer = vec![0; BUFFER];
    let stdin = io::stdin();
    loop {
        // A worker that has ended needs no input, which may never come.
        while poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&TICK)).is_ok_and(|ready| ready == 0) {
            if is_over() {
                return Ok(());
            }
        }
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            // The worker has seen enough, and says what.
            Ok(count) if to.write_all(&buffer[..count]).is_err() => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn failed(source: WorkerError) -> SourceError {
    SourceError::Worker { source }
}

/// Writes a tree as [`super::materialise()`] does, in a worker. None where the tree has files that a worker could not be given:
/// those that lie in a directory of the machine's, which is no archive.
pub(crate) fn write(
    tree: &FileTree,
    below: &Path,
    options: &MaterialiseOptions,
) -> Option<Result<(), MaterialiseError>> {
    let (tree, files) = TreeToWrite::new(tree)?;
    let written =
        |source: io::Error| MaterialiseError::Write { path: ".".to_owned(), below: below.to_owned(), source };
    let lost = |cause: WorkerError| written(io::Error::other(cause));
    let root = match File::open(below) {
        Ok(root) => root,
        Err(source) => return Some(Err(written(source))),
    };
    let descriptors: Vec<BorrowedFd<'_>> =
        std::iter::once(root.as_fd()).chain(files.iter().map(|file| file.as_fd())).collect();
    let job = Job::Write { tree, options: (*options).into() };
    Some(match ask::<Answer>(&job, &descriptors) {
        Ok(Answer::Written) => Ok(()),
        Ok(Answer::Unwritten { path, text, error }) => Err(MaterialiseError::Write {
            path,
            below: below.to_owned(),
            source: error.map_or_else(|| io::Error::other(text), Into::into),
        }),
        Ok(Answer::Unconfined(reason)) => Err(lost(WorkerError::Unconfined(reason))),
        Ok(_) => Err(lost(WorkerError::Nonsense("another job's answer".to_owned()))),
        Err(cause) => Err(lost(cause)),
    })
}

/// Starts a worker, gives it a job, and waits for what comes of it.
fn ask<A: DeserializeOwned>(job: &Job, descriptors: &[BorrowedFd<'_>]) -> Result<A, WorkerError> {
    let io = |action| move |source| WorkerError::Io { action, source };
    let (ours, theirs) = UnixStream::pair().map_err(io("make a socket"))?;
    let mut worker = Command::new("/proc/self/exe")
        .arg(HIDDEN_MODE)
        .env_clear()
        .current_dir("/")
        // Ctrl-C is for this process, which then ends in order.
        .process_group(0)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(io("execute this program again"))?;
    let answer = send(&ours, job, descriptors).and_then(|()| receive(&ours));
    let answer = match answer {
        Ok(Some((answer, _))) => Ok(answer),
        // It may be gone, or about to go.
        Ok(None) => Err(None),
        Err(error) => Err(Some(error)),
    };
    drop(ours);
    let mut said = String::new();
    if let Some(stream) = worker.stderr.take() {
        let mut bytes = Vec::new();
        // Its last words are for a message alone.
        let _ = stream.take(4096).read_to_end(&mut bytes);
        said = printable(String::from_utf8_lossy(&bytes).trim().as_bytes());
    }
    let status = worker.wait().map_err(io("wait for the worker"))?;
    match answer {
        Ok(answer) => Ok(answer),
        Err(Some(source)) if status.success() => Err(WorkerError::Io { action: "hear the worker", source }),
        Err(_) => Err(WorkerError::Lost { status: status.to_string(), said }),
    }
}

/// The worker's side.
fn work() -> io::Result<()> {
    let socket = UnixStream::from(rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?);
    let Some((job, descriptors)) = receive::<Job>(&socket)? else { return Ok(()) };
    let mut descriptors = descriptors.into_iter();
    let Some(first) = descriptors.next() else { return Err(io::ErrorKind::InvalidData.into()) };
    let answer = match job {
        Job::Read { .. } => {
            let spool = descriptors.next().ok_or(io::ErrorKind::InvalidData)?;
            match confine_worker(Reach::Nothing) {
                Ok(()) => read_here(&job, File::from(first), File::from(spool)),
                Err(error) => Answer::Unconfined(error.to_string()),
            }
        }
        Job::Write { tree, options } => {
            let files: Vec<_> = descriptors.map(|fd| Arc::new(File::from(fd))).collect();
            match confine_worker(Reach::Below(first.as_fd())) {
                Ok(()) => write_here(tree, &files, &first, &options.into()),
                Err(error) => Answer::Unconfined(error.to_string()),
            }
        }
    };
    send(&socket, &answer, &[])
}

fn read_here(job: &Job, input: File, spool: File) -> Answer {
    let Some((name, options)) = job.read_options() else {
        return Answer::Unconfined("no archive to read".to_owned());
    };
    match archive::read_into(input, Spool::into_file(spool), &name, &options) {
        Ok(source) => {
            Told::of(&source).map_or_else(Answer::Unconfined, |told| Answer::Source(Box::new(told)))
        }
        Err(SourceError::Read { path, source }) => Answer::Read { path, error: source.into() },
        Err(SourceError::Spool { source, .. }) => Answer::Spool { error: source.into() },
        Err(other) => Answer::Refused { text: other.to_string(), fault: other.fault().into() },
    }
}

fn write_here(
    tree: TreeToWrite,
    files: &[Arc<File>],
    root: &OwnedFd,
    options: &MaterialiseOptions,
) -> Answer {
    let tree = match tree.into_tree(files) {
        Ok(tree) => tree,
        Err(text) => return Answer::Unwritten { path: ".".to_owned(), text, error: None },
    };
    match super::materialise::materialise_at(&tree, root, Path::new("."), options) {
        Ok(()) => Answer::Written,
        Err(MaterialiseError::Write { path, source, .. }) => {
            Answer::Unwritten { path, text: source.to_string(), error: Some(source.into()) }
        }
        Err(other) => {
            let cause =
                std::error::Error::source(&other).map(|cause| format!(": {cause}")).unwrap_or_default();
            Answer::Unwritten { path: ".".to_owned(), text: format!("{other}{cause}"), error: None }
        }
    }
}

/// Sends a message with its length, and descriptors with its first byte.
fn send(socket: &UnixStream, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    use std::mem::MaybeUninit;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let length = (body.len() as u64).to_be_bytes();
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES + 2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many files for a worker"));
    }
    sendmsg(socket, &[io::IoSlice::new(&length)], &mut ancillary, SendFlags::NOSIGNAL)?;
    let mut stream = socket;
    stream.write_all(&body)
}

/// Receives a message and the descriptors that came along; `None` when the other end is gone.
fn receive<M: DeserializeOwned>(socket: &UnixStream) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    use std::mem::MaybeUninit;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut length = [0; 8];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES + 2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [io::IoSliceMut::new(&mut length)], &mut ancillary, flags)
    });
    let count = match received {
        Ok(message) => message.bytes,
        Err(rustix::io::Errno::CONNRESET) => 0,
        Err(errno) => return Err(errno.into()),
    };
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    if count < length.len() {
        return Ok(None);
    }
    let length = u64::from_be_bytes(length);
    if length > LARGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = Vec::new();
    let mut stream = socket;
    (&mut stream).take(length).read_to_end(&mut body)?;
    if body.len() as u64 != length {
        return Ok(None);
    }
    let message = postcard::from_bytes(&body).map_err(io::Error::other)?;
    Ok(Some((message, descriptors)))
}

/// Whether all contents of a tree are in memory or in open files.
fn is_given(tree: &FileTree) -> bool {
    tree.iter().all(|(_, node)| match &node.kind {
        Kind::File(content) => matches!(content.place(), Place::Bytes(_) | Place::Range { .. }),
        Kind::Whiteout => false,
        Kind::Directory | Kind::Symlink(_) | Kind::Hardlink(_) => true,
    })
}
