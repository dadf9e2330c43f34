//! The answer of an origin, read strictly: what two readers could read differently is no answer.

use std::fmt::Write as _;
use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

use super::body;
use super::request::{Body, HOP_BY_HOP};

/// How many seconds an installer may be asked to wait before it asks again; some obey whatever they are told.
const LONGEST_PAUSE: u64 = 5;

/// An answer whose head has been read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    /// The head as the client is to see it, but for its last line.
    head: Vec<u8>,
    framing: Framing,
    /// Whether the origin takes another request on the connection.
    pub(super) keeps: bool,
}

/// How its body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    None,
    Known(Body),
    UntilClosed,
}

/// What was passed on of a body.
pub(super) struct Passed {
    pub(super) size: u64,
    pub(super) sha256: String,
}

impl Response {
    /// Parses a head that ends in an empty line; `method` is that of the request.
    pub(super) fn parse(head: &[u8], method: &str) -> Result<Self, String> {
        let text = head.strip_suffix(b"\r\n\r\n").ok_or("the answer's head is incomplete")?;
        let mut lines =
            text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let start = lines.next().unwrap_or_default();
        let (version, status) = status(start).ok_or("the answer's status line is malformed")?;
        let mut passed = [b"HTTP/1.1 ".as_slice(), &start[9..], b"\r\n"].concat();
        let (mut lengths, mut encodings, mut keeps) = (Vec::new(), Vec::new(), version == b'1');
        for line in lines {
            let colon =
                line.iter().position(|&byte| byte == b':').ok_or("a field of the answer has no colon")?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && !name.contains(' '));
            let name = name.ok_or("a field of the answer has a malformed name")?.to_ascii_lowercase();
            match name.as_str() {
                "content-length" => lengths.push(value.to_vec()),
                "transfer-encoding" => encodings.push(value.to_ascii_lowercase()),
                "connection" if value.eq_ignore_ascii_case(b"close") => keeps = false,
                _ => {}
            }
            if name == "retry-after" && !number(value).is_ok_and(|seconds| seconds <= LONGEST_PAUSE) {
                passed.extend(format!("Retry-After: {LONGEST_PAUSE}\r\n").as_bytes());
            } else if !HOP_BY_HOP.contains(&name.as_str()) {
                passed.extend(line);
                passed.extend(b"\r\n");
            }
        }
        let has_none = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
        let framing = match (lengths.as_slice(), encodings.as_slice()) {
            _ if has_none => Framing::None,
            ([], []) => Framing::UntilClosed,
            ([length], []) => Framing::Known(Body::Length(number(length)?)),
            ([], [encoding]) if encoding == b"chunked" => Framing::Known(Body::Chunked),
            _ => return Err("the length of the answer is ambiguous".to_owned()),
        };
        keeps &= framing != Framing::UntilClosed;
        Ok(Self { status, head: passed, framing, keeps })
    }

    /// Whether the origin says that it cannot serve now.
    pub(super) fn is_failure(&self) -> bool {
        self.status == 429 || (500..600).contains(&self.status)
    }

    /// Whether another head follows.
    pub(super) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status)
    }

    /// Passes the answer on and finds out the digest of its body, as it was before any division into chunks.
    pub(super) fn pass(&self, mut from: impl Read, mut to: impl Write, closes: bool) -> io::Result<Passed> {
        to.write_all(&self.head)?;
        to.write_all(if closes && !self.is_interim() { b"Connection: close\r\n\r\n" } else { b"\r\n" })?;
        let (mut hash, mut size) = (Sha256::new(), 0);
        let mut tap = |bytes: &[u8]| {
            hash.update(bytes);
            size += bytes.len() as u64;
        };
        match self.framing {
            Framing::None => {}
            Framing::Known(body) => {
                body::pass_by(body, &mut from, &mut to, &mut tap)?;
            }
            Framing::UntilClosed => body::all(&mut from, &mut to, &mut tap)?,
        }
        to.flush()?;
        let mut sha256 = String::new();
        for byte in hash.finalize() {
            let _ = write!(sha256, "{byte:02x}");
        }
        Ok(Passed { size, sha256 })
    }
}

/// The minor version and the status.
fn status(line: &[u8]) -> Option<(u8, u16)> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (&version, rest) = rest.split_first()?;
    let digits = rest.strip_prefix(b" ")?.get(..3)?;
    let is_ended = matches!(rest.get(4), None | Some(b' '));
    let sound = matches!(version, b'0' | b'1') && digits.iter().all(u8::is_ascii_digit) && is_ended;
    let status = std::str::from_utf8(digits).ok().filter(|_| sound)?.parse().ok()?;
    Some((version, status)).filter(|_| (100..600).contains(&status))
}

fn number(text: &[u8]) -> Result<u64, String> {
    let digits = (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(text).ok().filter(|_| digits).and_then(|text| text.parse().ok());
    number.ok_or_else(|| "the length of the answer is malformed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(method: &str, head: &str, body: &str, closes: bool) -> (String, u64, String) {
        let response = Response::parse(head.replace('\n', "\r\n").as_bytes(), method).unwrap();
        let mut to = Vec::new();
        let done = response.pass(body.as_bytes(), &mut to, closes).unwrap();
        (String::from_utf8(to).unwrap(), done.size, done.sha256)
    }

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn an_answer_is_passed_on_with_the_digest_of_its_body() {
        let (text, size, digest) =
            passed("GET", "HTTP/1.1 200 OK\nContent-Length: 3\nX: y\n\n", "abcGET", false);
        assert_eq!(text, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\nabc");
        assert_eq!((size, digest.as_str()), (3, ABC));
        let head = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nConnection: keep-alive\n\n";
        let (text, size, digest) = passed("GET", head, "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", true);
        assert!(text.ends_with("Connection: close\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"), "{text}");
        assert!(!text.contains("keep-alive"));
        assert_eq!((size, digest.as_str()), (3, ABC));
        let (_, size, digest) = passed("GET", "HTTP/1.0 200\n\n", "abc", true);
        assert_eq!((size, digest.as_str()), (3, ABC));
        let (text, size, _) = passed("HEAD", "HTTP/1.1 200 OK\nContent-Length: 3\n\n", "", false);
        assert_eq!((text.as_str(), size), ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 0));
    }

    #[test]
    fn net_06_nobody_is_told_to_wait_for_long() {
        for (value, expected) in
            [("3", "3"), ("5", "5"), ("6", "5"), ("86400", "5"), ("Fri, 31 Dec 2100 23:59:59 GMT", "5")]
        {
            let head = format!("HTTP/1.1 503 No\nRetry-After: {value}\nContent-Length: 0\n\n");
            let (text, ..) = passed("GET", &head, "", false);
            assert!(text.contains(&format!("Retry-After: {expected}\r\n")), "{text}");
        }
    }

    #[test]
    fn an_answer_with_two_readings_is_none() {
        let heads = [
            "HTTP/1.1 200 OK\nContent-Length: 3\nContent-Length: 3\n\n",
            "HTTP/1.1 200 OK\nContent-Length: 3\nTransfer-Encoding: chunked\n\n",
            "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n",
            "HTTP/1.1 200 OK\nContent-Length: +3\n\n",
            "HTTP/1.1 200 OK\nno colon\n\n",
            "HTTP/1.1 200 OK\nContent-Length : 3\n\n",
            "HTTP/2 200 OK\n\n",
            "HTTP/1.1 2000 OK\n\n",
            "HTTP/1.1 999 OK\n\n",
            "HTTP/1.1 OK\n\n",
            "",
        ];
        println!("figure NET-03: {} answers refused", heads.len());
        for head in heads {
            assert!(Response::parse(head.replace('\n', "\r\n").as_bytes(), "GET").is_err(), "{head}");
        }
        let short = Response::parse(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "GET").unwrap();
        assert!(short.pass(&b"abc"[..], io::sink(), false).is_err());
    }
}
