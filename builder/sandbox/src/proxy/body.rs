//! Passes on the body of a request, and nothing that comes after it.

use std::io::{self, Read, Write};

use super::request::Body;

/// More than any chunk extension that is in use.
const LONGEST_LINE: usize = 4096;

/// Copies a body; returns its size on the wire.
pub(super) fn pass(body: Body, mut from: impl Read, mut to: impl Write) -> io::Result<u64> {
    pass_by(body, &mut from, &mut to, &mut |_| {})
}

/// The same, past somebody who sees the bytes of the body.
pub(super) fn pass_by(
    body: Body,
    from: &mut impl Read,
    to: &mut impl Write,
    tap: &mut dyn FnMut(&[u8]),
) -> io::Result<u64> {
    match body {
        Body::Length(length) => exactly(length, from, to, tap).map(|()| length),
        Body::Chunked => chunks(from, to, tap),
    }
}

/// Copies all that there is.
pub(super) fn all(from: &mut impl Read, to: &mut impl Write, tap: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    copy(u64::MAX, from, to, tap).map(drop)
}

fn exactly(
    length: u64,
    from: &mut impl Read,
    to: &mut impl Write,
    tap: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    if copy(length, from, to, tap)? == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Copies at most so many bytes; returns how many there were.
fn copy(most: u64, from: &mut impl Read, to: &mut impl Write, tap: &mut dyn FnMut(&[u8])) -> io::Result<u64> {
    let mut buffer = vec![0; 32 << 10];
    let mut copied = 0;
    while copied < most {
        let room = usize::try_from(most - copied).unwrap_or(usize::MAX).min(buffer.len());
        match from.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(count) => {
                tap(&buffer[..count]);
                to.write_all(&buffer[..count])?;
                copied += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(copied)
}

/// Reads each chunk's length strictly and writes it anew, so that the origin sees no doubtful one.
fn chunks(from: &mut impl Read, to: &mut impl Write, tap: &mut dyn FnMut(&[u8])) -> io::Result<u64> {
    let mut total = 0;
    loop {
        let size = chunk_size(&line(from)?).ok_or(io::ErrorKind::InvalidData)?;
        let head = format!("{size:x}\r\n");
        to.write_all(head.as_bytes())?;
        exactly(size, from, to, tap)?;
        // The last chunk may be followed by trailer fields; none are passed on.
        if size == 0 && !line(from)?.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if size > 0 && !line(from)?.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        to.write_all(b"\r\n")?;
        total += size + head.len() as u64 + 2;
        if size == 0 {
            return Ok(total);
        }
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|&byte| byte == b';').next()?;
    let sound = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| sound)?;
    u64::from_str_radix(text, 16).ok()
}

fn line(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        from.read_exact(&mut byte)?;
        line.push(byte[0]);
        if line.len() > LONGEST_LINE || (byte[0] == b'\n' && !line.ends_with(b"\r\n")) {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    line.truncate(line.len() - 2);
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(body: Body, input: &str) -> Option<String> {
        let mut output = Vec::new();
        pass(body, input.as_bytes(), &mut output).ok()?;
        String::from_utf8(output).ok()
    }

    #[test]
    fn nothing_after_the_body_is_passed_on() {
        assert_eq!(passed(Body::Length(3), "abcGET"), Some("abc".into()));
        let chunked = "3;x=y\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
        assert_eq!(passed(Body::Chunked, chunked), Some("3\r\nabc\r\n0\r\n\r\n".into()));
    }

    #[test]
    fn a_body_that_is_short_or_doubtful_is_an_error() {
        assert_eq!(passed(Body::Length(4), "abc"), None);
        for doubtful in
            ["0x3\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "3\nabc\n0\n\n", "+3\r\nabc\r\n0\r\n\r\n"]
        {
            assert_eq!(passed(Body::Chunked, doubtful), None, "{doubtful}");
        }
    }
}
