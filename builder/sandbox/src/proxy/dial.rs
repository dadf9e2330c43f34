//! Connects to a target that the policy allows, straight or through the machine's own proxy.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::patience::{Patience, Patient};
use super::policy::{HostPort, ProxyPolicy, Upstream, Verdict, refuse_private};
use super::request::{self, Request};
use crate::event::Trouble;

/// How long one of several addresses may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest silence of either side of a connection.
pub(super) const LONGEST_SILENCE: Duration = Duration::from_mins(5);

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum DialError {
    /// The policy does not allow it.
    Refused(String),
    /// It could not be reached.
    Failed(Trouble),
}

/// A connection, and how the request is to be sent on it.
pub(super) struct Dialled {
    pub(super) stream: TcpStream,
    /// What to send before the body; nothing for a tunnel.
    pub(super) head: Vec<u8>,
}

/// Connects for a request. Each redirect comes as a new request, so it is judged again.
pub(super) fn dial(policy: &ProxyPolicy, request: Request, patience: Patience) -> Result<Dialled, DialError> {
    let target = request.target();
    let verdict = policy.judge(target).map_err(DialError::Refused)?;
    let stream = match &policy.upstream {
        Some(upstream) if upstream.covers(&target.host) => {
            return through(upstream, request, verdict, patience);
        }
        _ => connect(target, verdict, patience)?,
    };
    let head = match request {
        Request::Connect(_) => Vec::new(),
        Request::Forward { head, .. } => head,
    };
    Ok(Dialled { stream, head })
}

/// Resolves the name once and connects to an address that was checked, so that a second answer cannot slip in.
fn connect(target: &HostPort, verdict: Verdict, patience: Patience) -> Result<TcpStream, DialError> {
    let addresses = resolve(target).map_err(unusable)?;
    if verdict == Verdict::IfPublic {
        check(&addresses)?;
    }
    reach(&addresses, patience)
}

fn unusable(reason: String) -> DialError {
    DialError::Failed(Trouble::Wrong(reason))
}

fn resolve(target: &HostPort) -> Result<Vec<SocketAddr>, String> {
    let found = (target.host.as_str(), target.port).to_socket_addrs();
    let addresses: Vec<_> =
        found.map_err(|error| format!("cannot resolve `{}`: {error}", target.host))?.collect();
    if addresses.is_empty() {
        return Err(format!("`{}` has no address", target.host));
    }
    Ok(addresses)
}

fn check(addresses: &[SocketAddr]) -> Result<(), DialError> {
    let refused = addresses.iter().find_map(|address| refuse_private(address.ip()).err());
    refused.map_or(Ok(()), |reason| Err(DialError::Refused(reason)))
}

fn reach(addresses: &[SocketAddr], patience: Patience) -> Result<TcpStream, DialError> {
    let (started, mut last) = (Instant::now(), None);
    for address in addresses {
        let left = patience.connect.saturating_sub(started.elapsed()).min(PATIENCE);
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(address, left).and_then(prepared) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    let reason = last.map_or_else(|| "no address".to_owned(), |error| error.to_string());
    Err(DialError::Failed(Trouble::Unreachable(reason)))
}

fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_read_timeout(Some(LONGEST_SILENCE))?;
    stream.set_write_timeout(Some(LONGEST_SILENCE))?;
    Ok(stream)
}

/// Asks the machine's own proxy. A name that resolves here to a private address is refused all the same; one that
/// only that proxy can resolve is left to it.
fn through(
    upstream: &Upstream,
    request: Request,
    verdict: Verdict,
    patience: Patience,
) -> Result<Dialled, DialError> {
    if verdict == Verdict::IfPublic
        && let Ok(addresses) = resolve(request.target())
    {
        check(&addresses)?;
    }
    let place = HostPort::of(&upstream.url).filter(|_| upstream.url.scheme() == "http");
    let place = place
        .ok_or_else(|| unusable("the machine's proxy is not an http:// address with a host".to_owned()))?;
    // The operator names it, so it may be anywhere.
    let addresses = resolve(&place).map_err(unusable)?;
    let stream = reach(&addresses, patience)?;
    let credentials = credentials(upstream);
    match request {
        Request::Connect(target) => {
            let ask = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{credentials}\r\n");
            tunnel(&stream, &ask, patience).map_err(DialError::Failed)?;
            let stream = prepared(stream).map_err(|error| unusable(error.to_string()))?;
            Ok(Dialled { stream, head: Vec::new() })
        }
        Request::Forward { head, uri, .. } => {
            Ok(Dialled { stream, head: absolute(&head, &uri, &credentials) })
        }
    }
}

fn tunnel(stream: &TcpStream, ask: &str, patience: Patience) -> Result<(), Trouble> {
    let unreachable = |error: io::Error| Trouble::Unreachable(format!("the machine's proxy: {error}"));
    let mut stream = Patient::new(stream.try_clone().map_err(unreachable)?, patience);
    stream.write_all(ask.as_bytes()).map_err(unreachable)?;
    let answer = request::read_head(&mut stream).map_err(|_| Trouble::Silent)?;
    let status = answer.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    let reason = format!("the machine's proxy answered `{}`", status.escape_ascii());
    match status.first() {
        _ if status == b"200" => Ok(()),
        Some(b'5') => Err(Trouble::Unreachable(reason)),
        _ => Err(Trouble::Wrong(reason)),
    }
}

/// The same head with the address in its absolute form, for a proxy.
fn absolute(head: &[u8], uri: &str, credentials: &str) -> Vec<u8> {
    let line_end = head.windows(2).position(|pair| pair == b"\r\n").unwrap_or(0);
    let (line, rest) = head.split_at(line_end);
    let method = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    let mut new = method.to_vec();
    new.extend_from_slice(format!(" {uri} HTTP/1.1\r\n{credentials}").as_bytes());
    new.extend_from_slice(rest.strip_prefix(b"\r\n").unwrap_or(rest));
    new
}

fn credentials(upstream: &Upstream) -> String {
    let user = percent_decoded(upstream.url.username());
    let password = percent_decoded(upstream.url.password().unwrap_or_default());
    if user.is_empty() && password.is_empty() {
        return String::new();
    }
    let pair = [user.as_slice(), b":", password.as_slice()].concat();
    format!("Proxy-Authorization: Basic {}\r\n", base64(&pair))
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut index = 0;
    while index < bytes.len() {
        let pair = text.get(index + 1..index + 3).filter(|_| bytes[index] == b'%');
        if let Some(byte) = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            decoded.push(byte);
            index += 3;
        } else {
            decoded.push(bytes[index]);
            index += 1;
        }
    }
    decoded
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let padded = [group[0], *group.get(1).unwrap_or(&0), *group.get(2).unwrap_or(&0)];
        let number = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for place in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * place)) as usize & 63];
            text.push(if place > group.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_decoded_and_encoded() {
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
        let url = url::Url::parse("http://us%40er:p%3Aw@proxy:3128").unwrap();
        let upstream = Upstream { url, no_proxy: Vec::new() };
        // us@er:p:w
        assert_eq!(credentials(&upstream), "Proxy-Authorization: Basic dXNAZXI6cDp3\r\n");
    }

    #[test]
    fn a_request_for_another_proxy_has_an_absolute_address() {
        let head = absolute(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "http://a/x", "P: c\r\n");
        assert_eq!(head, b"GET http://a/x HTTP/1.1\r\nP: c\r\nHost: a\r\n\r\n");
    }

    #[test]
    fn a_name_with_a_loopback_address_is_refused_unless_it_is_listed() {
        let target = HostPort::new("localhost", 80);
        let refused = connect(&target, Verdict::IfPublic, Patience::default());
        assert!(matches!(refused, Err(DialError::Refused(reason)) if reason.contains("loopback")));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = HostPort::new("localhost", listener.local_addr().unwrap().port());
        assert!(connect(&target, Verdict::Listed, Patience::default()).is_ok());
    }
}
