//! The head of one proxy request, read strictly: whatever two readers could read differently is refused.

use std::io::Read;

use super::policy::HostPort;

/// More than any client sends, cookies included.
const LARGEST_HEAD: usize = 64 << 10;
const MOST_FIELDS: usize = 200;

/// Fields that concern one connection only and are not passed on.
pub(super) const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
];

/// What a client asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// A tunnel to a host.
    Connect(HostPort),
    /// One plain HTTP request, and the same request as the origin is to see it.
    Forward { target: HostPort, head: Vec<u8>, uri: String, body: Body },
}

impl Request {
    pub(crate) fn target(&self) -> &HostPort {
        match self {
            Self::Connect(target) | Self::Forward { target, .. } => target,
        }
    }
}

/// How the request's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks, each with its length.
    Chunked,
}

/// One request of a tunnel, as the origin is to see it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inner {
    pub(crate) method: String,
    /// The path and the query.
    pub(crate) path: String,
    pub(crate) head: Vec<u8>,
    pub(crate) body: Body,
    /// Whether the client wants no other request on the connection.
    pub(crate) closes: bool,
}

impl Inner {
    /// Whether it does no harm to send it twice.
    pub(crate) fn may_be_repeated(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD") && self.body == Body::Length(0)
    }
}

/// Reads up to the empty line and not a byte further.
pub(crate) fn read_head(from: &mut impl Read) -> Result<Vec<u8>, String> {
    read_head_or_end(from)?.ok_or_else(|| "the request head is incomplete".to_owned())
}

/// The same; `None` where the other side has ended the connection instead.
pub(crate) fn read_head_or_end(from: &mut impl Read) -> Result<Option<Vec<u8>>, String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= LARGEST_HEAD {
            return Err(format!("the request head exceeds {LARGEST_HEAD} bytes"));
        }
        match from.read(&mut byte) {
            Ok(0) if head.is_empty() => return Ok(None),
            Ok(0) => return Err("the request head is incomplete".to_owned()),
            Ok(_) => head.push(byte[0]),
            Err(error) if head.is_empty() && error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Ok(None);
            }
            Err(error) => return Err(format!("the request head did not arrive: {error}")),
        }
    }
    Ok(Some(head))
}

/// A head, split into its parts.
struct Parts<'a> {
    method: &'a str,
    uri: &'a str,
    is_old: bool,
    fields: Vec<Field<'a>>,
    body: Body,
}

/// Parses a head that [`read_head`] has read.
pub(crate) fn parse(head: &[u8]) -> Result<Request, String> {
    let Parts { method, uri, fields, body, .. } = parts(head)?;
    if method == "CONNECT" {
        let target = authority(uri, None)?;
        return match body {
            Body::Length(0) => Ok(Request::Connect(target)),
            _ => Err("CONNECT has a body".to_owned()),
        };
    }
    forward(method, uri, &fields, body)
}

/// Parses the head of a request in a tunnel to `target`.
pub(crate) fn parse_inner(head: &[u8], target: &HostPort) -> Result<Inner, String> {
    let Parts { method, uri, is_old, fields, body } = parts(head)?;
    if !uri.starts_with('/') || uri.contains('#') {
        return Err("the request names no path".to_owned());
    }
    if !all(&fields, "upgrade").is_empty() {
        return Err("upgrades are not allowed".to_owned());
    }
    let hosts = all(&fields, "host");
    let &[place] = hosts.as_slice() else { return Err("the request does not name one host".to_owned()) };
    if authority(place, Some(443))? != *target {
        return Err("the host field contradicts the tunnel".to_owned());
    }
    let named = all(&fields, "connection").join(",");
    let mut head = format!("{method} {uri} HTTP/1.1\r\nHost: {place}\r\n");
    // This side answers an expectation by sending what was expected.
    push_fields(&mut head, fields.iter().filter(|field| !field.0.eq_ignore_ascii_case("expect")), &named);
    head.push_str("Connection: keep-alive\r\n\r\n");
    let closes = is_old || named.split(',').any(|word| word.trim().eq_ignore_ascii_case("close"));
    Ok(Inner { method: method.to_owned(), path: uri.to_owned(), head: head.into_bytes(), body, closes })
}

/// Adds what is passed on to the origin.
fn push_fields<'a>(head: &mut String, fields: impl Iterator<Item = &'a Field<'a>>, named: &str) {
    let dropped = |name: &str| {
        name.eq_ignore_ascii_case("host")
            || HOP_BY_HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop))
            || named.split(',').any(|word| name.eq_ignore_ascii_case(word.trim()))
    };
    let framing = |name: &str| {
        name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding")
    };
    for (name, value) in fields.filter(|field| framing(field.0) || !dropped(field.0)) {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
}

fn parts(head: &[u8]) -> Result<Parts<'_>, String> {
    let text = std::str::from_utf8(head).map_err(|_| "the request head is not UTF-8".to_owned())?;
    if text.chars().any(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\t')) {
        return Err("the request head holds control characters".to_owned());
    }
    let text = text.strip_suffix("\r\n\r\n").ok_or("the request head is incomplete")?;
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default();
    let fields = lines.map(field).collect::<Result<Vec<_>, _>>()?;
    if fields.len() > MOST_FIELDS {
        return Err(format!("the request has more than {MOST_FIELDS} fields"));
    }
    if text.replace("\r\n", "").contains(['\r', '\n']) {
        return Err("a line ends in other than CR LF".to_owned());
    }
    let words: Vec<&str> = start.split(' ').collect();
    let &[method, uri, version @ ("HTTP/1.1" | "HTTP/1.0")] = words.as_slice() else {
        return Err("the request line is malformed".to_owned());
    };
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err("the method is malformed".to_owned());
    }
    let body = body(&fields)?;
    Ok(Parts { method, uri, is_old: version == "HTTP/1.0", fields, body })
}

type Field<'a> = (&'a str, &'a str);

fn field(line: &str) -> Result<Field<'_>, String> {
    let (name, value) = line.split_once(':').ok_or("a header field has no colon")?;
    // Also refuses continuation lines and a space before the colon.
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("a header field has a malformed name".to_owned());
    }
    Ok((name, value.trim_matches([' ', '\t'])))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn all<'a>(fields: &[Field<'a>], name: &str) -> Vec<&'a str> {
    fields.iter().filter(|field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1).collect()
}

fn body(fields: &[Field<'_>]) -> Result<Body, String> {
    let lengths = all(fields, "content-length");
    let encodings = all(fields, "transfer-encoding");
    match (lengths.as_slice(), encodings.as_slice()) {
        ([], []) => Ok(Body::Length(0)),
        ([length], []) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            length.parse().map(Body::Length).map_err(|_| "the content length is too large".to_owned())
        }
        ([], [encoding]) if encoding.eq_ignore_ascii_case("chunked") => Ok(Body::Chunked),
        _ => Err("the length of the body is ambiguous".to_owned()),
    }
}

fn forward(method: &str, uri: &str, fields: &[Field<'_>], body: Body) -> Result<Request, String> {
    let rest = uri
        .get(..7)
        .filter(|scheme| scheme.eq_ignore_ascii_case("http://"))
        .and_then(|_| uri.get(7..))
        .ok_or("only CONNECT and absolute http:// addresses are served")?;
    let cut = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (place, path) = rest.split_at(cut);
    let target = authority(place, Some(80))?;
    if path.contains('#') {
        return Err("the address has a fragment".to_owned());
    }
    match all(fields, "host").as_slice() {
        [] => {}
        [host] if authority(host, Some(80))? == target => {}
        _ => return Err("the host field contradicts the address".to_owned()),
    }
    if !all(fields, "upgrade").is_empty() {
        return Err("upgrades are not allowed".to_owned());
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut head = format!("{method} {slash}{path} HTTP/1.1\r\nHost: {place}\r\n");
    let named = all(fields, "connection").join(",");
    push_fields(&mut head, fields.iter(), &named);
    // One request for each connection, so that nothing can hide behind it.
    head.push_str("Connection: close\r\n\r\n");
    let uri = format!("http://{place}{slash}{path}");
    Ok(Request::Forward { target, head: head.into_bytes(), uri, body })
}

/// Parses `host:port`; user names, zones and empty parts are refused.
fn authority(text: &str, default_port: Option<u16>) -> Result<HostPort, String> {
    let malformed = || format!("`{}` is not a host and port", text.escape_debug());
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port.parse().ok().filter(|_| digits);
            (host, port.ok_or_else(malformed)?)
        }
        _ => (text, default_port.ok_or_else(malformed)?),
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let sound = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.len() <= 253
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        }
    };
    if !sound || port == 0 {
        return Err(malformed());
    }
    Ok(HostPort::new(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(head: &str) -> Result<Request, String> {
        parse(head.replace('\n', "\r\n").as_bytes())
    }

    #[test]
    fn a_tunnel_names_host_and_port() {
        let request = parsed("CONNECT Pypi.Example:443 HTTP/1.1\nHost: x\n\n").unwrap();
        assert_eq!(request, Request::Connect(HostPort::new("pypi.example", 443)));
    }

    #[test]
    fn a_plain_request_reaches_the_origin_without_what_was_for_the_proxy() {
        let head = "GET http://a.example:8080?q HTTP/1.1\nHost: a.example:8080\nAccept: */*\n\
                    Proxy-Authorization: Basic x\nConnection: X-Mine\nX-Mine: 1\n\n";
        let Request::Forward { target, head, uri, body } = parsed(head).unwrap() else { panic!() };
        assert_eq!(target, HostPort::new("a.example", 8080));
        assert_eq!(body, Body::Length(0));
        assert_eq!(uri, "http://a.example:8080/?q");
        let expected = "GET /?q HTTP/1.1\r\nHost: a.example:8080\r\nAccept: */*\r\nConnection: close\r\n\r\n";
        assert_eq!(String::from_utf8(head).unwrap(), expected);
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let get = "GET http://a/ HTTP/1.1\n";
        let refused = [
            "GET / HTTP/1.1\nHost: a\n\n".to_owned(),
            "GET https://a/ HTTP/1.1\n\n".to_owned(),
            "GET http://u@a/ HTTP/1.1\n\n".to_owned(),
            "GET http:///x HTTP/1.1\n\n".to_owned(),
            "GET http://a:0/ HTTP/1.1\n\n".to_owned(),
            "GET http://a:+80/ HTTP/1.1\n\n".to_owned(),
            "GET  http://a/ HTTP/1.1\n\n".to_owned(),
            "GET http://a/ HTTP/2\n\n".to_owned(),
            "CONNECT a HTTP/1.1\n\n".to_owned(),
            "CONNECT a:443 HTTP/1.1\nContent-Length: 1\n\n".to_owned(),
            "CONNECT [fe80::1%25eth0]:443 HTTP/1.1\n\n".to_owned(),
            format!("{get}Host: b\n\n"),
            format!("{get}Host: a\nHost: a\n\n"),
            format!("{get}Content-Length: 1\nContent-Length: 1\n\n"),
            format!("{get}Content-Length: 1\nTransfer-Encoding: chunked\n\n"),
            format!("{get}Content-Length: +1\n\n"),
            format!("{get}Transfer-Encoding: gzip, chunked\n\n"),
            format!("{get}Transfer-Encoding : chunked\n\n"),
            format!("{get}X: 1\n folded\n\n"),
            format!("{get}Upgrade: websocket\n\n"),
            format!("{get}X: a\rb\n\n"),
            format!("{get}{}\n", "A: b\n".repeat(201)),
        ];
        println!("figure NET-03: {} requests refused", refused.len());
        for head in refused {
            assert!(parsed(&head).is_err(), "{head}");
        }
        assert!(parse(b"GET http://a/ HTTP/1.1\nHost: a\r\n\r\n").is_err());
    }

    #[test]
    fn a_request_in_a_tunnel_is_for_its_host() {
        let target = HostPort::new("a.example", 443);
        let inner = |head: &str| parse_inner(head.replace('\n', "\r\n").as_bytes(), &target);
        let found = inner(
            "GET /x?y HTTP/1.1\nHost: A.example\nAccept: */*\nExpect: 100-continue\nConnection: close, X\nX: 1\n\n",
        )
        .unwrap();
        assert_eq!((found.method.as_str(), found.path.as_str(), found.closes), ("GET", "/x?y", true));
        assert_eq!(
            String::from_utf8(found.head).unwrap(),
            "GET /x?y HTTP/1.1\r\nHost: A.example\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n"
        );
        for head in [
            "GET /x HTTP/1.1\n\n",
            "GET /x HTTP/1.1\nHost: b.example\n\n",
            "GET /x HTTP/1.1\nHost: a.example:8443\n\n",
            "GET /x HTTP/1.1\nHost: a.example\nHost: a.example\n\n",
            "GET https://a.example/x HTTP/1.1\nHost: a.example\n\n",
            "GET /x HTTP/1.1\nHost: a.example\nUpgrade: websocket\n\n",
            "CONNECT b.example:443 HTTP/1.1\nHost: a.example\n\n",
            "POST /x HTTP/1.1\nHost: a.example\nContent-Length: 1\nTransfer-Encoding: chunked\n\n",
        ] {
            assert!(inner(head).is_err(), "{head}");
        }
    }

    #[test]
    fn an_endless_head_is_given_up() {
        assert!(read_head(&mut std::io::repeat(b'a')).unwrap_err().contains("exceeds"));
        assert!(read_head(&mut &b"GET"[..]).unwrap_err().contains("incomplete"));
        assert_eq!(read_head(&mut &b"A\r\n\r\nrest"[..]).unwrap(), b"A\r\n\r\n");
    }
}
