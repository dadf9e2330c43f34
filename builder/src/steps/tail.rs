//! The last lines that a command wrote, for the message that it failed.

use std::collections::VecDeque;

use crate::report::Stream;

/// How many of the last lines of each stream are repeated.
const LAST_LINES: usize = 20;

/// The last lines of both streams of a command. A flood on one of them does not wash away the other.
#[derive(Default)]
pub(super) struct Tail {
    /// Lines of standard output and of standard error, each with its place in the order of all.
    streams: [VecDeque<(usize, String)>; 2],
    count: usize,
}

impl Tail {
    /// Takes the next line.
    pub(super) fn push(&mut self, stream: Stream, line: String) {
        let lines = &mut self.streams[stream as usize];
        lines.push_back((self.count, line));
        self.count += 1;
        if lines.len() > LAST_LINES {
            lines.pop_front();
        }
    }

    /// The lines that are left, in the order in which they came.
    pub(super) fn lines(&self) -> Vec<&str> {
        let mut lines: Vec<&(usize, String)> = self.streams.iter().flatten().collect();
        lines.sort();
        lines.into_iter().map(|(_, line)| line.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // row 55, error E3
    #[test]
    fn a_flood_on_one_stream_leaves_the_last_lines_of_the_other() {
        let mut tail = Tail::default();
        tail.push(Stream::Out, "begin".to_owned());
        tail.push(Stream::Err, "the fault".to_owned());
        for number in 0..100 {
            tail.push(Stream::Out, format!("line {number}"));
        }
        tail.push(Stream::Err, "the end".to_owned());
        let lines = tail.lines();
        assert_eq!((lines.len(), lines[0], lines[1], lines[21]), (22, "the fault", "line 80", "the end"));
        assert_eq!(Tail::default().lines(), Vec::<&str>::new());
    }
}
