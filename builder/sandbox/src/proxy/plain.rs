//! One request without TLS, and its answer.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::dial::Dialled;
use super::patience::{Late, Patient};
use super::policy::HostPort;
use super::request::{self, Body, Request};
use super::response::{Passed, Response};
use super::{Shared, body, refuse};
use crate::event::Trouble;

/// A request without TLS.
pub(super) struct Plain {
    method: String,
    url: String,
    body: Body,
}

/// Why an answer was not passed on.
pub(super) enum Broken {
    /// The client is gone, or no longer reads.
    Client,
    /// The origin has failed, and the client has not seen anything of an answer.
    Before(Trouble),
    /// The origin has failed in the middle of its answer.
    Within(Trouble),
}

impl Plain {
    /// `None` for a tunnel.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let Request::Forward { head, uri, body, .. } = request else { return None };
        let method = head.split(|&byte| byte == b' ').next().unwrap_or_default();
        let method = String::from_utf8_lossy(method).into_owned();
        Some(Self { method, url: uri.clone(), body: *body })
    }

    /// Sends the request and passes its answer on, which is recorded; returns the bytes sent and received.
    pub(super) fn exchange(
        &self,
        client: &TcpStream,
        dialled: &Dialled,
        target: &HostPort,
        shared: &Shared,
    ) -> (u64, u64) {
        let (stream, started) = (&dialled.stream, Instant::now());
        let mut writer = stream;
        let sending = writer.write_all(&dialled.head);
        let (Ok(()), Ok(reader)) = (sending, stream.try_clone()) else {
            tell(Broken::Before(Trouble::CutShort), client, target, started, shared);
            return (0, 0);
        };
        let mut origin = BufReader::new(Patient::new(reader, shared.patience));
        if self.body != Body::Length(0) {
            origin.get_mut().expect_head_after_upload();
        }
        let sent = dialled.head.len() as u64;
        thread::scope(|scope| {
            let upload = scope.spawn(|| {
                let sent = body::pass(self.body, client, stream);
                if sent.is_err() {
                    // What follows could be read as another request.
                    let _ = stream.shutdown(Shutdown::Both);
                }
                sent.unwrap_or(0)
            });
            let received = match self.answer(&mut origin, client) {
                Ok((response, passed)) => {
                    if response.is_failure() {
                        shared.failed(target, Trouble::Answered(response.status), started);
                    } else {
                        shared.troubles.served(target);
                    }
                    let size = passed.size;
                    shared.fetched(&self.method, &self.url, response.status, passed);
                    let _ = client.shutdown(Shutdown::Both);
                    size
                }
                Err(broken) => {
                    tell(broken, client, target, started, shared);
                    0
                }
            };
            (sent + upload.join().unwrap_or(0), received)
        })
    }

    /// Passes on an answer, and those that only announce it.
    fn answer(
        &self,
        origin: &mut BufReader<Patient>,
        client: &TcpStream,
    ) -> Result<(Response, Passed), Broken> {
        loop {
            let head = request::read_head(origin).map_err(|_| Broken::Before(before(origin.get_ref())))?;
            let response = Response::parse(&head, &self.method)
                .map_err(|reason| Broken::Before(Trouble::Wrong(reason)))?;
            origin.get_mut().expect_body();
            let passed = response.pass(&mut *origin, Toward(client), true);
            let passed = passed.map_err(|error| within(&error, origin.get_ref()))?;
            if !response.is_interim() {
                return Ok((response, passed));
            }
            origin.get_mut().expect_head();
        }
    }
}

/// Tells a client that its request has failed, as far as it can still be told.
fn tell(broken: Broken, client: &TcpStream, target: &HostPort, started: Instant, shared: &Shared) {
    match broken {
        Broken::Client => {
            let _ = client.shutdown(Shutdown::Both);
        }
        Broken::Before(trouble) => {
            let reason = format!("`{target}` {trouble}");
            let status = status_of(&trouble);
            shared.failed(target, trouble, started);
            let _ = refuse(client, status, &reason);
            let _ = client.shutdown(Shutdown::Both);
        }
        Broken::Within(trouble) => {
            shared.failed(target, trouble, started);
            // Whatever were added now would be taken for a part of the answer, and an orderly end for its end.
            let _ = rustix::net::sockopt::set_socket_linger(client, Some(Duration::ZERO));
            let _ = client.shutdown(Shutdown::Read);
        }
    }
}

/// The status for a client whose request failed before there was an answer.
pub(super) fn status_of(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::Silent | Trouble::Slow => "504 Gateway Timeout",
        _ => "502 Bad Gateway",
    }
}

/// Why there is no answer.
pub(super) fn before(origin: &Patient) -> Trouble {
    match origin.late() {
        Some(_) => Trouble::Silent,
        None => Trouble::CutShort,
    }
}

/// Why an answer that had begun was not passed on.
pub(super) fn within(error: &io::Error, origin: &Patient) -> Broken {
    let is_client = error.get_ref().and_then(|inner| inner.downcast_ref::<ClientGone>()).is_some();
    match (is_client, origin.late()) {
        (true, _) => Broken::Client,
        (false, Some(Late::Slow | Late::Silent)) => Broken::Within(Trouble::Slow),
        (false, None) => Broken::Within(Trouble::CutShort),
    }
}

/// A client that is written to; its failures are told from those of the origin.
pub(super) struct Toward<W>(pub(super) W);

/// The client takes nothing more.
#[derive(Debug, thiserror::Error)]
#[error("the client is gone")]
struct ClientGone;

impl<W: Write> Write for Toward<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(io::Error::other(ClientGone)),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(|_| io::Error::other(ClientGone))
    }
}
