//! The control socket: length-prefixed JSON, and file descriptors that travel with it.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Feature;
use crate::event::Failure;
use crate::spec::{Spec, Step};

/// More than any list of variables; a bound against nonsense on the socket.
const LARGEST: usize = 64 << 20;

/// From the caller to the sandbox.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// First of all: what to build. The contents of its files follow the message as they are. Where the steps share the
    /// machine's network, `proxy` is the port at which they reach the proxy.
    SetUp { spec: Box<Spec>, lengths: Vec<usize>, proxy: Option<u16> },
    /// Run this step; answered by [`Report::Ended`].
    Run(Step),
    /// Connect to this port inside; answered by [`Report::Connected`].
    Connect(u16),
    /// Send `SIGTERM` to the running step.
    Terminate,
}

/// From the sandbox to the caller.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// Ready for steps; the proxy's listening socket comes along, if there is to be one.
    Ready {
        /// What is not as strong as it could be.
        notices: Vec<String>,
    },
    /// The set-up failed because the machine lacks something.
    Unavailable { feature: Feature, reason: String },
    /// The set-up failed because of what was asked.
    Setup { what: String, reason: String },
    /// A step ended.
    Ended(Result<(), Failure>),
    /// A connection came about and comes along, or did not.
    Connected(bool),
}

/// Sends a message, with a file descriptor if there is one.
pub(crate) fn send(
    mut socket: &UnixStream,
    message: &impl Serialize,
    fd: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?.to_be_bytes();
    let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    }
    // A blocking stream socket takes four bytes at once or not at all.
    rustix::net::sendmsg(socket.as_fd(), &[IoSlice::new(&length)], &mut ancillary, SendFlags::NOSIGNAL)?;
    socket.write_all(&body)
}

/// Sends what to build, and behind it the contents of the files that only memory holds.
pub(crate) fn send_set_up(mut socket: &UnixStream, spec: &Spec, proxy: Option<u16>) -> io::Result<()> {
    let lengths = spec.files.iter().map(|file| file.content.len()).collect();
    send(socket, &Order::SetUp { spec: Box::new(spec.clone()), lengths, proxy }, None)?;
    spec.files.iter().try_for_each(|file| socket.write_all(&file.content))
}

/// Receives what to build, whole; `None` when it is something else that arrives, or nothing.
pub(crate) fn receive_set_up(mut socket: &UnixStream) -> io::Result<Option<(Spec, Option<u16>)>> {
    let Some(Received { message: Order::SetUp { mut spec, lengths, proxy }, .. }) = receive(socket)? else {
        return Ok(None);
    };
    if lengths.len() != spec.files.len() || lengths.iter().any(|&length| length > LARGEST) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    for (file, length) in spec.files.iter_mut().zip(lengths) {
        file.content = vec![0; length];
        socket.read_exact(&mut file.content)?;
    }
    Ok(Some((*spec, proxy)))
}

/// A message that arrived, and the file descriptor that came along.
pub(crate) struct Received<T> {
    pub(crate) message: T,
    pub(crate) fd: Option<OwnedFd>,
}

/// Receives a message; `None` when the other end is gone.
pub(crate) fn receive<T: DeserializeOwned>(mut socket: &UnixStream) -> io::Result<Option<Received<T>>> {
    let mut length = [0_u8; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(
            socket.as_fd(),
            &mut [IoSliceMut::new(&mut length)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL,
        )
    });
    let got = match got {
        Ok(message) => message.bytes,
        Err(rustix::io::Errno::CONNRESET) => 0,
        Err(errno) => return Err(errno.into()),
    };
    let mut fd = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            fd = fds.into_iter().next();
        }
    }
    if got == 0 {
        return Ok(None);
    }
    if got < length.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > LARGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body)?;
    let message = serde_json::from_slice(&body)?;
    Ok(Some(Received { message, fd }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_with_its_descriptor() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut kept, sent) = UnixStream::pair().unwrap();
        send(&here, &Report::Connected(true), Some(sent.as_fd())).unwrap();
        drop(sent);
        let received = receive::<Report>(&there).unwrap().unwrap();
        assert!(matches!(received.message, Report::Connected(true)));
        let mut end = UnixStream::from(received.fd.unwrap());
        end.write_all(b"x").unwrap();
        let mut byte = [0];
        kept.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn the_end_of_the_socket_is_no_message_and_half_a_message_is_an_error() {
        let (here, there) = UnixStream::pair().unwrap();
        drop(here);
        assert!(receive::<Report>(&there).unwrap().is_none());
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&[0, 0]).unwrap();
        drop(here);
        assert!(receive::<Report>(&there).is_err());
    }
}
