//! What goes through a tunnel: requests over TLS, read one by one and recorded.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection, StreamOwned};

use super::authority::Authority;
use super::body;
use super::dial::{self, DialError};
use super::patience::Patient;
use super::plain::{Broken, Toward, before, status_of, within};
use super::policy::HostPort;
use super::request::{self, Body, Inner, Request};
use super::response::Response;
use super::{Shared, given_up};
use crate::event::Trouble;

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 22;

type Client = StreamOwned<ServerConnection, TcpStream>;
type Origin = StreamOwned<ClientConnection, Patient>;

/// A tunnel to an origin.
pub(super) struct Tunnel<'a> {
    pub(super) target: &'a HostPort,
    pub(super) authority: &'a Authority,
    pub(super) shared: &'a Shared,
    /// Bytes of requests and of answers' bodies so far.
    pub(super) sent: Cell<u64>,
    pub(super) received: Cell<u64>,
}

impl Tunnel<'_> {
    /// Serves the client of a tunnel to its end; `origin` is the connection that was made for it.
    pub(super) fn serve(&self, client: &TcpStream, origin: TcpStream) -> io::Result<()> {
        let mut first = [0];
        if client.peek(&mut first)? == 0 {
            return Ok(());
        }
        if first[0] != HANDSHAKE {
            self.shared.refused(self.target, "only TLS goes through a tunnel");
            return Ok(());
        }
        let config = self.authority.in_place_of(&self.target.host)?;
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut client = StreamOwned::new(session, client.try_clone()?);
        let mut origin = Some(self.greet(origin)?);
        // The first request finds a fresh connection; later ones may find one that the origin has given up.
        let mut is_fresh = true;
        while let Some(head) = request::read_head_or_end(&mut client).map_err(io::Error::other)? {
            let request = match request::parse_inner(&head, self.target) {
                Ok(request) => request,
                Err(reason) => return refuse(&mut client, "400 Bad Request", &reason),
            };
            let started = Instant::now();
            if let Err(trouble) = self.shared.troubles.may_ask(self.target, started) {
                return refuse(&mut client, "504 Gateway Timeout", &given_up(self.target, &trouble));
            }
            let asked = self.asked(&request, &mut client, origin.take(), is_fresh);
            let (mut connection, response) = match asked {
                Ok(asked) => asked,
                Err(Unanswered::Client(cause)) => return Err(cause),
                Err(Unanswered::Origin(trouble)) => {
                    let (status, reason) = (status_of(&trouble), format!("`{}` {trouble}", self.target));
                    self.shared.failed(self.target, trouble, started);
                    return refuse(&mut client, status, &reason);
                }
            };
            let closes = request.closes || !response.keeps;
            self.sent.set(self.sent.get() + request.head.len() as u64);
            connection.sock.expect_body();
            let passed = match response.pass(&mut connection, Toward(&mut client), closes) {
                Ok(passed) => passed,
                Err(error) => {
                    if let Broken::Within(trouble) = within(&error, &connection.sock) {
                        self.shared.failed(self.target, trouble, started);
                    }
                    // TLS does not end in order, so that nobody takes this for the end of the answer.
                    return Err(error);
                }
            };
            if response.is_failure() {
                self.shared.failed(self.target, Trouble::Answered(response.status), started);
            } else {
                self.shared.troubles.served(self.target);
            }
            self.received.set(self.received.get() + passed.size);
            let port = if self.target.port == 443 { String::new() } else { format!(":{}", self.target.port) };
            let url = format!("https://{}{port}{}", self.target.host, request.path);
            self.shared.fetched(&request.method, &url, response.status, passed);
            if closes {
                client.conn.send_close_notify();
                // The client may be gone already.
                let _ = client.flush();
                return Ok(());
            }
            is_fresh = false;
            origin = Some(connection);
        }
        Ok(())
    }

    /// Sends a request and reads the head of its answer, on another connection where an older one was given up meanwhile.
    fn asked(
        &self,
        request: &Inner,
        client: &mut Client,
        origin: Option<Origin>,
        is_fresh: bool,
    ) -> Result<(Origin, Response), Unanswered> {
        let mut connection = match origin {
            Some(connection) => connection,
            None => self.connect()?,
        };
        match ask(request, client, &mut connection) {
            Ok(response) => Ok((connection, response)),
            Err(Unanswered::Origin(Trouble::CutShort)) if !is_fresh && request.may_be_repeated() => {
                let mut connection = self.connect()?;
                let response = ask(request, client, &mut connection)?;
                Ok((connection, response))
            }
            Err(unanswered) => Err(unanswered),
        }
    }

    fn connect(&self) -> Result<Origin, Unanswered> {
        let shared = self.shared;
        let dialled = dial::dial(&shared.policy, Request::Connect(self.target.clone()), shared.patience);
        match dialled {
            Ok(dialled) => self.greet(dialled.stream).map_err(|error| wrong(&error)),
            Err(DialError::Refused(reason)) => Err(Unanswered::Origin(Trouble::Wrong(reason))),
            Err(DialError::Failed(trouble)) => Err(Unanswered::Origin(trouble)),
        }
    }

    /// Begins TLS with the origin, which has to prove who it is.
    fn greet(&self, stream: TcpStream) -> io::Result<Origin> {
        let name = ServerName::try_from(self.target.host.clone()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(&self.authority.client), name);
        let stream = Patient::new(stream, self.shared.patience);
        Ok(StreamOwned::new(session.map_err(io::Error::other)?, stream))
    }
}

/// Why there is no answer.
enum Unanswered {
    /// The client has not sent all of its request.
    Client(io::Error),
    Origin(Trouble),
}

fn wrong(error: &io::Error) -> Unanswered {
    Unanswered::Origin(Trouble::Wrong(error.to_string()))
}

/// Sends a request and reads the head of its answer. Interim answers are passed on.
fn ask(request: &Inner, client: &mut Client, origin: &mut Origin) -> Result<Response, Unanswered> {
    origin.sock.expect_head();
    origin.write_all(&request.head).and_then(|()| origin.flush()).map_err(|error| failed(&error, origin))?;
    if request.body != Body::Length(0) {
        body::pass(request.body, &mut *client, &mut *origin).map_err(Unanswered::Client)?;
        origin.flush().map_err(|error| failed(&error, origin))?;
        origin.sock.expect_head();
    }
    loop {
        let head = head_of(origin)?;
        let response = Response::parse(&head, &request.method).map_err(Trouble::Wrong);
        let response = response.map_err(Unanswered::Origin)?;
        if !response.is_interim() {
            return Ok(response);
        }
        response.pass(io::empty(), &mut *client, false).map_err(Unanswered::Client)?;
    }
}

/// Reads a head, and what is wrong with the connection where there is none.
fn head_of(origin: &mut Origin) -> Result<Vec<u8>, Unanswered> {
    // The first bytes come after the handshake, whose errors say more than that a head is missing.
    if origin.conn.is_handshaking() {
        let shaken = origin.conn.complete_io(&mut origin.sock);
        shaken.map_err(|error| failed(&error, origin))?;
    }
    request::read_head(origin).map_err(|_| Unanswered::Origin(before(&origin.sock)))
}

/// What an error on the way to the origin means.
fn failed(error: &io::Error, origin: &Origin) -> Unanswered {
    match origin.sock.late() {
        Some(_) => Unanswered::Origin(Trouble::Silent),
        // A certificate that does not prove who it is, or something that is no TLS.
        None if error.kind() == io::ErrorKind::InvalidData => wrong(error),
        None => Unanswered::Origin(Trouble::CutShort),
    }
}

fn refuse(client: &mut Client, status: &str, reason: &str) -> io::Result<()> {
    let length = reason.len() + 1;
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{reason}\n"
    )?;
    client.conn.send_close_notify();
    client.flush()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::thread;

    use rcgen::{CertificateParams, KeyPair};
    use rustls::crypto::ring;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::{ClientConfig, RootCertStore, ServerConfig};

    use super::super::policy::{ProxyMode, ProxyPolicy};
    use super::super::{Proxy, Seen};
    use super::*;
    use crate::event::{Event, Fetched};

    /// An origin that answers every request with `abc`, and its certificate in PEM.
    fn origin() -> (u16, String) {
        origin_with("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 2)
    }

    /// An origin that answers so many requests of each connection with this.
    fn origin_with(answer: &'static str, requests: usize) -> (u16, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(session, stream.unwrap());
                thread::spawn(move || {
                    // Then it closes without a word, as servers do with idle connections.
                    for _ in 0..requests {
                        if !matches!(request::read_head_or_end(&mut stream), Ok(Some(_))) {
                            return;
                        }
                        let _ = stream.write_all(answer.as_bytes());
                    }
                });
            }
        });
        (port, certificate.pem())
    }

    type Near = StreamOwned<ClientConnection, TcpStream>;

    /// A proxy that trusts `trusted`, and its address and authority.
    fn proxy(port: u16, trusted: &str) -> (Proxy, std::net::SocketAddr, Arc<Authority>) {
        let authority = Arc::new(Authority::new(trusted.as_bytes()).unwrap());
        let policy = ProxyPolicy {
            mode: ProxyMode::ListedOnly,
            listed: vec![HostPort::new("localhost", port)],
            upstream: None,
            authority: Some(Arc::clone(&authority)),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (Proxy::start(listener, policy).unwrap(), address, authority)
    }

    fn tunnel(proxy: std::net::SocketAddr, port: u16) -> TcpStream {
        let mut stream = TcpStream::connect(proxy).unwrap();
        write!(stream, "CONNECT localhost:{port} HTTP/1.1\r\n\r\n").unwrap();
        let head = request::read_head(&mut stream).unwrap();
        assert!(head.starts_with(b"HTTP/1.1 200 "));
        stream
    }

    fn secured(stream: TcpStream, authority: &Authority) -> Near {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
    }

    fn get(stream: &mut Near, host: &str, path: &str) -> String {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let head = String::from_utf8(request::read_head(stream).unwrap()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        format!("{}: {}", head.lines().next().unwrap(), String::from_utf8_lossy(&body).trim())
    }

    #[test]
    fn net_07_requests_through_a_tunnel_are_recorded_with_the_digests_of_their_answers() {
        let (port, certificate) = origin();
        let (proxy, address, authority) = proxy(port, &certificate);
        let mut stream = secured(tunnel(address, port), &authority);
        let host = format!("localhost:{port}");
        // The third finds the connection closed, and is made on another one.
        for path in ["/a?token=hunter2", "/b", "/c"] {
            assert_eq!(get(&mut stream, &host, path), "HTTP/1.1 200 OK: abc");
        }
        drop(stream);
        let Seen { hosts, fetched, .. } = proxy.finish();
        let expected = ["a", "b", "c"].map(|path| Fetched {
            url: format!("https://localhost:{port}/{path}"),
            status: 200,
            size: 3,
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned(),
        });
        assert_eq!(fetched, expected);
        assert_eq!((hosts.len(), hosts[0].received), (1, 9));
    }

    #[test]
    fn net_06_an_origin_that_does_not_serve_is_named_and_a_short_answer_stays_short() {
        let troubles = |answer| {
            let (port, certificate) = origin_with(answer, 1);
            let (proxy, address, authority) = proxy(port, &certificate);
            let mut stream = secured(tunnel(address, port), &authority);
            write!(stream, "GET /a HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n").unwrap();
            let mut all = Vec::new();
            let ended = stream.read_to_end(&mut all);
            let troubles: Vec<Trouble> = proxy.finish().troubles.into_iter().map(|one| one.trouble).collect();
            (String::from_utf8(all).unwrap(), ended.is_ok(), troubles)
        };
        let (text, in_order, found) = troubles("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 503 No") && in_order, "{text}");
        assert_eq!(found, [Trouble::Answered(503)]);
        for short in [
            "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc",
        ] {
            let (text, in_order, found) = troubles(short);
            assert!(text.contains("\r\n\r\n") && !text.contains("502") && !in_order, "{text}");
            assert_eq!(found, [Trouble::CutShort]);
        }
        let (text, _, found) = troubles("");
        assert!(text.starts_with("HTTP/1.1 502 "), "{text}");
        assert_eq!(found, [Trouble::CutShort]);
    }

    #[test]
    fn net_03_a_tunnel_is_for_one_host_and_for_requests_over_tls() {
        let (port, certificate) = origin();
        let (proxy, address, authority) = proxy(port, &certificate);
        let mut stream = secured(tunnel(address, port), &authority);
        let refused = get(&mut stream, "other.example", "/");
        assert!(refused.starts_with("HTTP/1.1 400 ") && refused.contains("contradicts"), "{refused}");
        let mut plain = tunnel(address, port);
        plain.write_all(b"SSH-2.0-x\r\n").unwrap();
        assert_eq!(plain.read(&mut [0; 16]).unwrap_or(0), 0);
        let told = proxy.events();
        assert!(
            told.iter()
                .any(|event| matches!(event, Event::Refused { reason, .. } if reason.contains("only TLS"))),
            "{told:?}"
        );
        assert_eq!(proxy.finish().fetched, []);
    }

    #[test]
    fn net_03_an_origin_that_cannot_prove_who_it_is_gets_nothing() {
        let (port, _) = origin();
        let (_, others) = origin();
        let (proxy, address, authority) = proxy(port, &others);
        let mut stream = secured(tunnel(address, port), &authority);
        let answer = get(&mut stream, &format!("localhost:{port}"), "/");
        assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("certificate"), "{answer}");
        assert_eq!(proxy.finish().fetched, []);
        assert!(Authority::new(b"no certificates").is_err());
    }
}
