//! Finds all places at which texts stand, also those that overlap.

use std::ops::Range;

use aho_corasick::AhoCorasick;

/// An automaton for texts whose number and length are bounded by whoever reads secrets.
pub(super) fn automaton<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> AhoCorasick {
    AhoCorasick::new(texts).expect("a few megabytes of text are fewer states than an automaton may have")
}

/// Texts to look for.
pub(super) struct Finder(AhoCorasick);

impl Finder {
    /// Prepares a search.
    pub(super) fn new<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self(automaton(texts))
    }

    /// The length of the longest text.
    pub(super) fn longest(&self) -> usize {
        self.0.max_pattern_len()
    }

    /// Where texts stand, in order; places that touch or overlap are one.
    pub(super) fn places(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut places: Vec<Range<usize>> = Vec::new();
        for found in self.0.find_overlapping_iter(text) {
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

    #[test]
    fn places_that_overlap_are_one() {
        let finder = Finder::new(["abcd", "cdef", "bcdefghi", "xy"]);
        assert_eq!(finder.places(b"-abcdefgh-xy-xyxy"), [1..7, 10..12, 13..17]);
        assert_eq!(finder.places(b"abcdefghi xy"), [0..9, 10..12]);
        assert_eq!(finder.longest(), 8);
    }
}
