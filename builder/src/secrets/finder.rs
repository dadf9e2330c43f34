//! Looks for many texts at once, in one pass.

use std::io::{self, Read};
use std::ops::Range;

use aho_corasick::AhoCorasick;

/// Texts to look for.
pub(super) struct Finder {
    automaton: AhoCorasick,
}

impl Finder {
    /// Prepares a search; the number and length of the texts are bounded by whoever reads secrets.
    pub(super) fn new<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Self {
        let automaton = AhoCorasick::new(texts);
        Self {
            automaton: automaton
                .expect("a few megabytes of text are fewer states than an automaton may have"),
        }
    }

    /// The length of the longest text.
    pub(super) fn longest(&self) -> usize {
        self.automaton.max_pattern_len()
    }

    /// The index of the text that ends first, wherever the borders of the reads are.
    pub(super) fn first_in(&self, reader: impl Read) -> io::Result<Option<usize>> {
        if self.automaton.patterns_len() == 0 {
            return Ok(None);
        }
        let first = self.automaton.stream_find_iter(reader).next().transpose()?;
        Ok(first.map(|found| found.pattern().as_usize()))
    }

    /// Where texts stand, in order; places that touch or overlap are one.
    pub(super) fn places(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut places: Vec<Range<usize>> = Vec::new();
        for found in self.automaton.find_overlapping_iter(text) {
            let mut place = found.range();
            // They come by where they end, so a later one may begin before earlier ones.
            while let Some(before) = places.pop_if(|before| before.end >= place.start) {
                place.start = place.start.min(before.start);
            }
            places.push(place);
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives a few bytes at a time.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buffer.len()).min(self.0.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn a_text_is_found_across_the_borders_of_reads_and_buffers() {
        let finder = Finder::new(["other-text", "the-needle"]);
        for before in (0..40).chain(65_520..65_540) {
            let mut text = vec![b'x'; before];
            text.extend_from_slice(b"the-needle");
            assert_eq!(finder.first_in(Slowly(&text, 1 + before / 100)).unwrap(), Some(1), "{before}");
            assert_eq!(finder.first_in(&text[..]).unwrap(), Some(1), "{before}");
            assert_eq!(finder.first_in(&text[..before + 9]).unwrap(), None, "{before}");
        }
    }

    #[test]
    fn nothing_is_found_when_nothing_is_looked_for() {
        let finder = Finder::new([] as [&str; 0]);
        assert_eq!(finder.first_in(&b"text"[..]).unwrap(), None);
        assert!(finder.places(b"text").is_empty());
    }

    #[test]
    fn places_that_overlap_are_one() {
        let finder = Finder::new(["abcd", "cdef", "bcdefghi", "xy"]);
        assert_eq!(finder.places(b"-abcdefgh-xy-xyxy"), [1..7, 10..12, 13..17]);
        assert_eq!(finder.places(b"abcdefghi xy"), [0..9, 10..12]);
    }
}
