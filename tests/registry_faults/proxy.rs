//! A proxy on loopback between a client and a registry, which spoils one request in five.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// One request in so many is spoiled.
const EVERY: u64 = 5;
/// No request on loopback is silent for so long.
const SILENCE: Duration = Duration::from_secs(30);

/// Numbers that look random, the same for the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// What becomes of a request.
enum Fate {
    Passed,
    /// The connection is reset when so many bytes of it have arrived; those have been passed on.
    Reset(u64),
    /// It is answered with this, and not passed on.
    Answered(&'static str),
    /// It is passed on, and the connection is reset when so much of the answer, in thousandths, has been given back.
    Cut(u64),
}

/// A proxy that lives as long as the value.
pub(crate) struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    registry: u16,
    /// None where nothing is spoiled.
    dice: Option<Mutex<Dice>>,
    requests: AtomicU64,
    spoiled: AtomicU64,
    ended: AtomicBool,
}

impl FaultProxy {
    /// Starts a proxy in front of a registry on a port of loopback. Without a seed it spoils nothing.
    pub(crate) fn start(registry: u16, seed: Option<u64>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            registry,
            dice: seed.map(|seed| Mutex::new(Dice::new(seed))),
            requests: AtomicU64::new(0),
            spoiled: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let for_clients = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if for_clients.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&for_clients);
                // A client that breaks off is its own concern.
                thread::spawn(move || drop(shared.serve(client)));
            }
        });
        Self { port, shared, thread: Some(thread) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many requests came, and how many of them were spoiled.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.shared.requests.load(Ordering::SeqCst), self.shared.spoiled.load(Ordering::SeqCst))
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // One more client, so that the listener sees that it is over.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    /// One request: a connection has no second one.
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(SILENCE))?;
        let Some(head) = read_head(&mut client)? else { return Ok(()) };
        let body = length_of(&head);
        self.requests.fetch_add(1, Ordering::SeqCst);
        let fate = self.fate(head.len() as u64 + body);
        if !matches!(fate, Fate::Passed) {
            self.spoiled.fetch_add(1, Ordering::SeqCst);
        }
        match fate {
            Fate::Answered(answer) => {
                io::copy(&mut (&client).take(body), &mut io::sink())?;
                client.write_all(answer.as_bytes())
            }
            Fate::Passed => client.write_all(&self.exchange(&head, &mut client.try_clone()?, body)?),
            Fate::Cut(thousandths) => {
                let answer = self.exchange(&head, &mut client.try_clone()?, body)?;
                let given = answer.len() * usize::try_from(thousandths).unwrap() / 1000;
                client.write_all(&answer[..given])?;
                reset(&client)
            }
            Fate::Reset(at) => {
                if at > head.len() as u64 {
                    let mut server = self.begin(&head)?;
                    io::copy(&mut (&client).take(at - head.len() as u64), &mut server)?;
                }
                reset(&client)
            }
        }
    }

    fn fate(&self, size: u64) -> Fate {
        let Some(dice) = &self.dice else { return Fate::Passed };
        let mut dice = dice.lock().unwrap();
        if dice.below(EVERY) != 0 {
            return Fate::Passed;
        }
        match dice.below(4) {
            0 => Fate::Reset(dice.below(size)),
            1 => Fate::Answered(
                "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            ),
            2 => Fate::Answered(
                "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            ),
            _ => Fate::Cut(dice.below(1000)),
        }
    }

    /// Passes the head of a request on, as that of a connection's only one.
    fn begin(&self, head: &[u8]) -> io::Result<TcpStream> {
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.registry))?;
        server.set_read_timeout(Some(SILENCE))?;
        let end = head.windows(2).position(|window| window == b"\r\n").unwrap_or_default() + 2;
        server.write_all(&[&head[..end], b"Connection: close\r\n", &head[end..]].concat())?;
        Ok(server)
    }

    /// Passes a request on, and returns the answer.
    fn exchange(&self, head: &[u8], client: &mut TcpStream, body: u64) -> io::Result<Vec<u8>> {
        let mut server = self.begin(head)?;
        io::copy(&mut client.take(body), &mut server)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// The request line and the headers, with the empty line; none where the client has left.
fn read_head(client: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    Ok(Some(head))
}

fn length_of(head: &[u8]) -> u64 {
    let head = String::from_utf8_lossy(head).to_lowercase();
    assert!(!head.contains("\r\ntransfer-encoding:"), "a body without a length is not for this proxy");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    length.unwrap_or_default()
}

/// Closes a connection so that the other side sees a reset.
fn reset(stream: &TcpStream) -> io::Result<()> {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
    Ok(())
}
