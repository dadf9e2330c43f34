//! From bytes in pipes to lines of bounded length and bounded total size.

use std::os::fd::OwnedFd;

use crate::event::{Event, Stream};

/// A longer line arrives in pieces.
const LONGEST_LINE: usize = 16 << 10;

/// One pipe of the running steps.
pub(crate) struct Lines {
    stream: Stream,
    pipe: Option<OwnedFd>,
    pending: Vec<u8>,
    goes_on: bool,
}

/// What is left of the total that may be passed on.
pub(crate) struct Budget {
    left: u64,
    limit: u64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self { left: limit, limit }
    }
}

impl Lines {
    /// `pipe` must not block.
    pub(crate) fn new(stream: Stream, pipe: OwnedFd) -> Self {
        Self { stream, pipe: Some(pipe), pending: Vec::new(), goes_on: false }
    }

    pub(crate) fn pipe(&self) -> Option<&OwnedFd> {
        self.pipe.as_ref()
    }

    /// Passes on whatever the pipe holds now.
    pub(crate) fn drain(&mut self, step: usize, budget: &mut Budget, events: &mut dyn FnMut(Event)) {
        let mut buffer = [0; 8 << 10];
        // A writer that never stops must not keep this loop: the caller comes back soon.
        for _ in 0..512 {
            let Some(pipe) = &self.pipe else { return };
            match rustix::io::read(pipe, &mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => self.take(&buffer[..count], step, budget, events),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => self.pipe = None,
            }
        }
    }

    fn take(&mut self, bytes: &[u8], step: usize, budget: &mut Budget, events: &mut dyn FnMut(Event)) {
        if budget.left == 0 {
            return;
        }
        let kept = usize::try_from(budget.left).unwrap_or(usize::MAX).min(bytes.len());
        budget.left -= kept as u64;
        for &byte in &bytes[..kept] {
            if byte == b'\n' {
                self.pass_on(step, false, events);
            } else {
                self.pending.push(byte);
                if self.pending.len() >= LONGEST_LINE {
                    self.pass_on(step, true, events);
                }
            }
        }
        if budget.left == 0 {
            let text = format!("the output exceeds {} bytes; the rest is dropped", budget.limit);
            events(Event::Notice { text });
        }
    }

    /// Passes on a last line that has no line feed, and the end of one that was said to go on.
    pub(crate) fn finish(&mut self, step: usize, events: &mut dyn FnMut(Event)) {
        if !self.pending.is_empty() || self.goes_on {
            self.pass_on(step, false, events);
        }
    }

    /// Passes on what is pending. Where the line goes on, half a character at the end waits for its other half.
    fn pass_on(&mut self, step: usize, continues: bool, events: &mut dyn FnMut(Event)) {
        let end = if continues { end_of_characters(&self.pending) } else { self.pending.len() };
        let rest = self.pending.split_off(end);
        let line = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending = rest;
        self.goes_on = continues;
        events(Event::Output { step, stream: self.stream, line, continues });
    }
}

/// Where the last character ends that is whole, or that can never become so.
fn end_of_characters(bytes: &[u8]) -> usize {
    let starts = (1..=bytes.len().min(3)).find(|back| bytes[bytes.len() - back] & 0xc0 != 0x80);
    let Some(back) = starts else { return bytes.len() };
    let length = match bytes[bytes.len() - back] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    if length > back { bytes.len() - back } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(input: &[u8], limit: u64) -> Vec<Event> {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        rustix::io::write(&writer, input).unwrap();
        drop(writer);
        let mut events = Vec::new();
        let mut lines = Lines::new(Stream::Stdout, reader);
        lines.drain(0, &mut Budget::new(limit), &mut |event| events.push(event));
        lines.finish(0, &mut |event| events.push(event));
        events
    }

    fn output(line: &str) -> Event {
        Event::Output { step: 0, stream: Stream::Stdout, line: line.to_owned(), continues: false }
    }

    fn piece(line: &str) -> Event {
        Event::Output { step: 0, stream: Stream::Stdout, line: line.to_owned(), continues: true }
    }

    #[test]
    fn bytes_become_lines_and_the_last_needs_no_line_feed() {
        assert_eq!(lines_of(b"a\n\nb\xff", 99), [output("a"), output(""), output("b\u{fffd}")]);
    }

    #[test]
    fn a_long_line_comes_in_pieces() {
        let events = lines_of(&vec![b'x'; LONGEST_LINE + 1], u64::MAX);
        assert_eq!(events, [piece(&"x".repeat(LONGEST_LINE)), output("x")]);
    }

    #[test]
    fn a_line_that_goes_on_ends() {
        let line = "x".repeat(LONGEST_LINE);
        assert_eq!(lines_of(line.as_bytes(), u64::MAX), [piece(&line), output("")]);
        assert_eq!(lines_of(format!("{line}\n").as_bytes(), u64::MAX), [piece(&line), output("")]);
        let cut =
            Event::Notice { text: format!("the output exceeds {LONGEST_LINE} bytes; the rest is dropped") };
        let limit = LONGEST_LINE as u64;
        assert_eq!(lines_of(format!("{line}y").as_bytes(), limit), [piece(&line), cut, output("")]);
    }

    #[test]
    fn a_character_is_never_cut_in_two() {
        let line = format!("x{}", "\u{1f6a2}".repeat(LONGEST_LINE / 4));
        let whole = format!("x{}", "\u{1f6a2}".repeat(LONGEST_LINE / 4 - 1));
        assert_eq!(lines_of(line.as_bytes(), u64::MAX), [piece(&whole), output("\u{1f6a2}")]);
        for (bytes, end) in [(&b"a"[..], 1), (b"", 0), (b"a\xe2\x82", 1), (b"\x80\x80\x80", 3), (b"\xff", 1)]
        {
            assert_eq!(end_of_characters(bytes), end, "{bytes:?}");
        }
    }

    #[test]
    fn output_beyond_the_budget_is_dropped_with_one_notice() {
        let notice = Event::Notice { text: "the output exceeds 3 bytes; the rest is dropped".into() };
        assert_eq!(lines_of(b"ab\ncdef\n", 3), [output("ab"), notice]);
    }
}
