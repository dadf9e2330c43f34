//! What goes through a tunnel: requests over TLS, read one by one and recorded.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection, StreamOwned};

use super::Shared;
use super::authority::Authority;
use super::body;
use super::dial::{self, DialError};
use super::policy::HostPort;
use super::request::{self, Inner, Request};
use super::response::Response;

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 22;

type Client = StreamOwned<ServerConnection, TcpStream>;
type Origin = StreamOwned<ClientConnection, TcpStream>;

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
            let mut connection = match origin.take() {
                Some(connection) => connection,
                None => self.connect()?,
            };
            let mut response = ask(&request, &mut client, &mut connection);
            if response.is_err() && !is_fresh && request.may_be_repeated() {
                connection = self.connect()?;
                response = ask(&request, &mut client, &mut connection);
            }
            let response = match response {
                Ok(response) => response,
                Err(cause) => {
                    let reason = format!("`{}` did not answer: {cause}", self.target);
                    return refuse(&mut client, "502 Bad Gateway", &reason);
                }
            };
            let closes = request.closes || !response.keeps;
            self.sent.set(self.sent.get() + request.head.len() as u64);
            let passed = response.pass(&mut connection, &mut client, closes)?;
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

    fn connect(&self) -> io::Result<Origin> {
        let dialled = dial::dial(&self.shared.policy, Request::Connect(self.target.clone()));
        match dialled {
            Ok(dialled) => self.greet(dialled.stream),
            Err(DialError::Refused(reason) | DialError::Failed(reason)) => Err(io::Error::other(reason)),
        }
    }

    /// Begins TLS with the origin, which has to prove who it is.
    fn greet(&self, stream: TcpStream) -> io::Result<Origin> {
        let name = ServerName::try_from(self.target.host.clone()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(&self.authority.client), name);
        Ok(StreamOwned::new(session.map_err(io::Error::other)?, stream))
    }
}

/// Sends a request and reads the head of its answer. Interim answers are passed on.
fn ask(request: &Inner, client: &mut Client, origin: &mut Origin) -> io::Result<Response> {
    origin.write_all(&request.head)?;
    body::pass(request.body, &mut *client, &mut *origin)?;
    origin.flush()?;
    loop {
        let head = request::read_head(origin).map_err(io::Error::other)?;
        let response = Response::parse(&head, &request.method).map_err(io::Error::other)?;
        if !response.is_interim() {
            return Ok(response);
        }
        response.pass(io::empty(), &mut *client, false)?;
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

    use super::super::Proxy;
    use super::super::policy::{ProxyMode, ProxyPolicy};
    use super::*;
    use crate::event::{Event, Fetched};

    /// An origin that answers every request with `abc`, and its certificate in PEM.
    fn origin() -> (u16, String) {
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
                    // Two requests, then it closes without a word, as servers do with idle connections.
                    for _ in 0..2 {
                        if !matches!(request::read_head_or_end(&mut stream), Ok(Some(_))) {
                            return;
                        }
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
                    }
                });
            }
        });
        (port, certificate.pem())
    }

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

    fn secured(stream: TcpStream, authority: &Authority) -> Origin {
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

    fn get(stream: &mut Origin, host: &str, path: &str) -> String {
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
        let (hosts, fetched) = proxy.finish();
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
        assert_eq!(proxy.finish().1, []);
    }

    #[test]
    fn net_03_an_origin_that_cannot_prove_who_it_is_gets_nothing() {
        let (port, _) = origin();
        let (_, others) = origin();
        let (proxy, address, authority) = proxy(port, &others);
        let mut stream = secured(tunnel(address, port), &authority);
        let answer = get(&mut stream, &format!("localhost:{port}"), "/");
        assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("certificate"), "{answer}");
        assert_eq!(proxy.finish().1, []);
        assert!(Authority::new(b"no certificates").is_err());
    }
}
