//! Hands connections from an address outside to the app inside.

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;

use crate::spec::Forward;

/// Connections that wait for process 1 to connect; more are left to the kernel's queue.
const MOST_WAITING: usize = 256;

/// The listening side, and the connections that have no other end yet.
pub(crate) struct Forwarder {
    listener: TcpListener,
    address: SocketAddr,
    waiting: VecDeque<TcpStream>,
}

impl AsFd for Forwarder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Forwarder {
    pub(crate) fn listen(forward: &Forward) -> io::Result<Self> {
        let listener = TcpListener::bind(forward.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, waiting: VecDeque::new() })
    }

    /// Whether another connection may wait here.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts what has arrived; returns how many new connections want another end.
    pub(crate) fn accept(&mut self) -> usize {
        let before = self.waiting.len();
        while self.has_room() {
            let Ok((stream, _)) = self.listener.accept() else { break };
            if stream.set_nonblocking(false).is_ok() {
                self.waiting.push_back(stream);
            }
        }
        self.waiting.len() - before
    }

    /// Joins the oldest waiting connection with its other end, or closes it when there is none.
    pub(crate) fn join(&mut self, inside: Option<TcpStream>) {
        if let (Some(outside), Some(inside)) = (self.waiting.pop_front(), inside) {
            // The threads end with the connection, at the latest when the app does.
            thread::spawn(move || relay(&outside, &inside));
        }
    }
}

/// Copies both ways until both sides are done; returns the bytes each way.
pub(crate) fn relay(one: &TcpStream, other: &TcpStream) -> (u64, u64) {
    thread::scope(|scope| {
        let there = scope.spawn(|| copy(one, other));
        let back = copy(other, one);
        (there.join().unwrap_or_default(), back)
    })
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) -> u64 {
    let mut copied = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match io::Read::read(&mut from, &mut buffer) {
            Ok(count @ 1..) if io::Write::write_all(&mut to, &buffer[..count]).is_ok() => {
                copied += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) => {
                // The other direction may go on: half-closed connections are in use.
                let _ = to.shutdown(Shutdown::Write);
                return copied;
            }
            _ => {
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
                return copied;
            }
        }
    }
}
