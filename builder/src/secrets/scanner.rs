//! Looks for texts in streams, as fast as memory gives them.

use std::io::{self, Read};

use aho_corasick::{AhoCorasick, packed};

/// How many texts are searched for with vector instructions at once. Layers of a gigabyte take a second of one processor
/// so; an automaton for all of them takes ten times as long.
const GROUP: usize = 48;

/// How much of a stream is looked at in one piece.
const BUFFER: usize = 256 << 10;

/// Texts to look for.
pub(super) struct Scanner {
    /// The index of each group's first text, and the group.
    groups: Vec<(usize, Group)>,
    longest: usize,
}

enum Group {
    Vector(packed::Searcher),
    /// For processors without such instructions.
    Automaton(AhoCorasick),
}

impl Scanner {
    /// Prepares a search. The texts are much shorter than a piece of a stream.
    pub(super) fn new(texts: &[&[u8]]) -> Self {
        let groups =
            texts.chunks(GROUP).enumerate().map(|(number, texts)| (number * GROUP, Group::new(texts)));
        Self { groups: groups.collect(), longest: texts.iter().map(|text| text.len()).max().unwrap_or(0) }
    }

    /// Memory for the pieces of streams; one serves many streams.
    pub(super) fn buffer(&self) -> Vec<u8> {
        vec![0; BUFFER.max(2 * self.longest)]
    }

    /// The index of a text that stands in a stream, wherever the borders of its pieces are.
    pub(super) fn find_in(&self, mut reader: impl Read, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut filled = 0;
        loop {
            match reader.read(&mut buffer[filled..]) {
                Ok(0) => return Ok(self.find(&buffer[..filled])),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if filled == buffer.len() {
                let found = self.find(buffer);
                if found.is_some() {
                    return Ok(found);
                }
                // A text may have begun before the border.
                let begun = self.longest.saturating_sub(1);
                buffer.copy_within(filled - begun.., 0);
                filled = begun;
            }
        }
    }

    /// The index of a text that stands in these bytes.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<usize> {
        self.groups.iter().find_map(|(first, group)| Some(first + group.find(bytes)?))
    }
}

impl Group {
    fn new(texts: &[&[u8]]) -> Self {
        match packed::Searcher::new(texts) {
            Some(searcher) => Self::Vector(searcher),
            None => Self::Automaton(super::finder::automaton(texts)),
        }
    }

    fn find(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Vector(searcher) => searcher.find(bytes).map(|found| found.pattern().as_usize()),
            Self::Automaton(automaton) => automaton.find(bytes).map(|found| found.pattern().as_usize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives a few bytes at a time, and is interrupted in between.
    struct Slowly<'a> {
        rest: &'a [u8],
        most: usize,
        interrupted: bool,
    }

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = self.most.min(buffer.len()).min(self.rest.len());
            buffer[..count].copy_from_slice(&self.rest[..count]);
            self.rest = &self.rest[count..];
            Ok(count)
        }
    }

    #[test]
    fn a_text_is_found_across_the_borders_of_reads_and_pieces() {
        let scanner = Scanner::new(&[b"other-text", b"the-needle", b"a-text-that-is-longer"]);
        let mut buffer = scanner.buffer();
        for before in (0..40).chain(BUFFER - 20..BUFFER + 20).chain(2 * BUFFER - 60..2 * BUFFER) {
            let mut text = vec![b'x'; before];
            text.extend_from_slice(b"the-needle");
            for most in [before / 100 + 1, usize::MAX] {
                let mut find = |text| {
                    scanner.find_in(Slowly { rest: text, most, interrupted: false }, &mut buffer).unwrap()
                };
                assert_eq!(find(&text), Some(1), "{before}");
                assert_eq!(find(&text[..before + 9]), None, "{before}");
            }
        }
    }

    #[test]
    fn a_text_is_found_whatever_its_group_and_by_either_means() {
        let texts: Vec<Vec<u8>> = (0..3 * GROUP)
            .map(|number| format!("needle-{number:03}-{}", "x".repeat(number)).into_bytes())
            .collect();
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let scanner = Scanner::new(&texts);
        assert_eq!(scanner.groups.len(), 3);
        let automaton = Group::Automaton(super::super::finder::automaton(&texts));
        for (index, text) in texts.iter().enumerate() {
            let bytes = [b"<", *text, b">"].concat();
            assert_eq!((scanner.find(&bytes), automaton.find(&bytes)), (Some(index), Some(index)));
        }
        assert_eq!((scanner.find(b"needle-144-"), automaton.find(b"needle-144-")), (None, None));
    }

    #[test]
    fn nothing_is_found_when_nothing_is_looked_for() {
        let scanner = Scanner::new(&[]);
        assert_eq!(scanner.find_in(&b"text"[..], &mut scanner.buffer()).unwrap(), None);
        assert_eq!(scanner.find(b""), None);
    }
}
