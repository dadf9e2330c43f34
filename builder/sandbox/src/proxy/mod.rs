//! The only way out of a build's network namespace: an HTTP proxy that the caller serves on a socket inside.

pub(crate) mod authority;
mod body;
mod dial;
mod patience;
mod plain;
pub(crate) mod policy;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod troubles;
mod tunnel;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::PipeFlags;

use self::authority::Authority;
use self::dial::{DialError, Dialled};
use self::patience::Patience;
use self::plain::Plain;
use self::policy::{HostPort, ProxyPolicy};
use self::response::Passed;
use self::troubles::{Then, Troubles};
use self::tunnel::Tunnel;
use crate::event::{Event, Fetched, HostTrouble, HostUse, Trouble};
use crate::forward::relay;

/// Clients beyond these wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 128;

/// How long a client may take to say what it wants.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// A proxy that runs.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
    /// The server waits for its other end to be closed, too.
    wake: Option<OwnedFd>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The thread ends, and with it the socket that it listens on, whatever became of the sandbox.
        self.stop();
    }
}

struct Shared {
    policy: ProxyPolicy,
    stop: AtomicBool,
    open: AtomicUsize,
    events: Mutex<Vec<Event>>,
    hosts: Mutex<BTreeMap<HostPort, HostUse>>,
    fetched: Mutex<Vec<Fetched>>,
    /// The far ends of the connections that are open.
    origins: Mutex<BTreeMap<RawFd, TcpStream>>,
    troubles: Troubles,
    patience: Patience,
}

/// What the proxy has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) hosts: Vec<HostUse>,
    pub(crate) fetched: Vec<Fetched>,
    pub(crate) troubles: Vec<HostTrouble>,
}

impl Proxy {
    pub(crate) fn start(listener: TcpListener, policy: ProxyPolicy) -> io::Result<Self> {
        Self::start_with(listener, policy, Patience::default())
    }

    fn start_with(listener: TcpListener, policy: ProxyPolicy, patience: Patience) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            policy,
            stop: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            events: Mutex::default(),
            hosts: Mutex::default(),
            fetched: Mutex::default(),
            origins: Mutex::default(),
            troubles: Troubles::default(),
            patience,
        });
        let for_server = Arc::clone(&shared);
        let (woken, wake) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let server = thread::spawn(move || serve(&listener, &woken, &for_server));
        Ok(Self { shared, server: Some(server), wake: Some(wake) })
    }

    /// Accepts no more connections.
    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.wake = None;
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }

    /// What has happened since the last call.
    pub(crate) fn events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.shared.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stops accepting, ends what is open, and tells what it has seen.
    pub(crate) fn finish(mut self) -> Seen {
        // What fails from now on does so because of this.
        let troubles = self.shared.troubles.all();
        self.stop();
        for origin in self.shared.origins().values() {
            // Its client is gone already; a connection that is gone, too, is what was wanted.
            let _ = origin.shutdown(Shutdown::Both);
        }
        for _ in 0..100 {
            if self.shared.open.load(Ordering::Acquire) == 0 {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let hosts = self.shared.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fetched = self.shared.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        Seen { hosts: hosts.values().cloned().collect(), fetched: std::mem::take(&mut fetched), troubles }
    }
}

fn serve(listener: &TcpListener, woken: &OwnedFd, shared: &Arc<Shared>) {
    while !shared.stop.load(Ordering::Relaxed) {
        if shared.open.load(Ordering::Acquire) >= MOST_CONNECTIONS {
            thread::sleep(Duration::from_millis(10));
            continue;
        }
        let client = match listener.accept() {
            Ok((client, _)) => client,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut waited = [PollFd::new(listener, PollFlags::IN), PollFd::new(woken, PollFlags::IN)];
                let _ = poll(&mut waited, None);
                continue;
            }
            // There may be no descriptors left for a while.
            Err(_) => {
                thread::sleep(Duration::from_millis(10));
                continue;
            }
        };
        let shared = Arc::clone(shared);
        shared.open.fetch_add(1, Ordering::AcqRel);
        thread::spawn(move || {
            // A connection that fails concerns its client alone, and it has been told.
            let _ = answer(&client, &shared);
            shared.open.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

fn answer(client: &TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(HEAD_PATIENCE))?;
    client.set_write_timeout(Some(dial::LONGEST_SILENCE))?;
    let mut reader = client;
    let parsed = request::read_head(&mut reader).and_then(|head| request::parse(&head));
    let request = match parsed {
        Ok(request) => request,
        Err(reason) => return refuse(client, "400 Bad Request", &reason),
    };
    client.set_read_timeout(Some(dial::LONGEST_SILENCE))?;
    let target = request.target().clone();
    if let Err(trouble) = shared.troubles.may_ask(&target, Instant::now()) {
        return refuse(client, "504 Gateway Timeout", &given_up(&target, &trouble));
    }
    let (plain, started) = (Plain::of(&request), Instant::now());
    match dial::dial(&shared.policy, request, shared.patience) {
        Ok(dialled) => {
            shared.origins().insert(dialled.stream.as_raw_fd(), dialled.stream.try_clone()?);
            let (sent, received) = match (&plain, shared.policy.authority.as_deref()) {
                (Some(plain), _) => plain.exchange(client, &dialled, &target, shared),
                (None, Some(authority)) => through_tunnel(client, &dialled, &target, authority, shared),
                (None, None) => relayed(client, &dialled.stream),
            };
            shared.origins().remove(&dialled.stream.as_raw_fd());
            shared.count(target, sent, received);
            Ok(())
        }
        Err(DialError::Refused(reason)) => {
            shared.refused(&target, &reason);
            refuse(client, "403 Forbidden", &format!("`{target}` is refused: {reason}"))
        }
        Err(DialError::Failed(trouble)) => {
            let reason = format!("`{target}` {trouble}");
            shared.failed(&target, trouble, started);
            refuse(client, "502 Bad Gateway", &reason)
        }
    }
}

/// What a client is told of a host that is not asked for now.
fn given_up(target: &HostPort, trouble: &Trouble) -> String {
    format!("`{target}` is given up for now: it {trouble}")
}

/// Lets a client talk over TLS and records what it fetches; returns the bytes sent and received.
fn through_tunnel(
    client: &TcpStream,
    dialled: &Dialled,
    target: &HostPort,
    authority: &Authority,
    shared: &Shared,
) -> (u64, u64) {
    let mut answer = client;
    let accepted = answer.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
    let (Ok(()), Ok(origin)) = (accepted, dialled.stream.try_clone()) else { return (0, 0) };
    let tunnel = Tunnel { target, authority, shared, sent: Cell::new(0), received: Cell::new(0) };
    // A connection that fails concerns its client alone, which sees it end.
    let _ = tunnel.serve(client, origin);
    let _ = client.shutdown(Shutdown::Both);
    let _ = dialled.stream.shutdown(Shutdown::Both);
    (tunnel.sent.get(), tunnel.received.get())
}

/// Lets both sides talk without looking at it; returns the bytes sent and received.
fn relayed(client: &TcpStream, origin: &TcpStream) -> (u64, u64) {
    let mut answer = client;
    let accepted = answer.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
    if accepted.is_ok() { relay(client, origin) } else { (0, 0) }
}

fn refuse(mut client: &TcpStream, status: &str, reason: &str) -> io::Result<()> {
    let length = reason.len() + 1;
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{reason}\n"
    )?;
    client.shutdown(Shutdown::Write)
}

impl Shared {
    fn origins(&self) -> MutexGuard<'_, BTreeMap<RawFd, TcpStream>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a host that failed, on which time was spent since a moment.
    fn failed(&self, target: &HostPort, trouble: Trouble, since: Instant) {
        // What ends because the build ends is no fault of the host.
        if self.stop.load(Ordering::Relaxed) {
            return;
        }
        let text = format!("network: {}", given_up(target, &trouble));
        if self.troubles.failed(target, trouble, since, Instant::now()) == Then::GivenUp {
            self.tell(Event::Notice { text });
        }
    }

    fn refused(&self, target: &HostPort, reason: &str) {
        self.tell(Event::Refused { target: target.to_string(), reason: reason.to_owned() });
    }

    fn tell(&self, event: Event) {
        const MOST_EVENTS: usize = 1000;
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() < MOST_EVENTS {
            events.push(event);
        }
    }

    /// Takes note of an answer.
    fn fetched(&self, method: &str, url: &str, status: u16, passed: Passed) {
        const MOST: usize = 100_000;
        // What follows a question mark may be a secret.
        let url = url.split('?').next().unwrap_or_default().to_owned();
        let Passed { size, sha256 } = passed;
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if fetched.len() < MOST && method == "GET" {
            fetched.push(Fetched { url, status, size, sha256 });
        }
    }

    fn count(&self, target: HostPort, sent: u64, received: u64) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let HostPort { host, port } = target.clone();
        let none = HostUse { host, port, connections: 0, sent: 0, received: 0 };
        let entry = hosts.entry(target).or_insert(none);
        entry.connections += 1;
        entry.sent += sent;
        entry.received += received;
    }
}
