//! Keeps hidden values out of what people and programs are shown.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::Value;

use super::finder::Finder;
use super::hidden::Hidden;

/// What is shown instead.
const STARS: &str = "***";

/// Replaces hidden values by `***`.
#[derive(Default)]
pub struct Mask {
    texts: BTreeSet<Vec<u8>>,
    finder: Option<Finder>,
}

impl Mask {
    /// The same with more values to hide.
    #[must_use]
    pub fn with(&self, hidden: &[Hidden]) -> Self {
        let more = hidden.iter().flat_map(Hidden::masked);
        let texts: BTreeSet<Vec<u8>> = self.texts.iter().chain(more).cloned().collect();
        let finder = (!texts.is_empty()).then(|| Finder::new(&texts));
        Self { texts, finder }
    }

    /// The text without hidden values.
    #[must_use]
    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.places(text).is_empty() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(Pieces::default().next(self, text, false))
    }

    /// Takes hidden values out of every text of a document, keys included.
    pub fn apply_to(&self, document: &mut Value) {
        match document {
            Value::String(text) => {
                if let Cow::Owned(masked) = self.apply(text) {
                    *text = masked;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.apply_to(item)),
            Value::Object(members) => {
                let taken = std::mem::take(members);
                members.extend(taken.into_iter().map(|(key, mut member)| {
                    self.apply_to(&mut member);
                    (self.apply(&key).into_owned(), member)
                }));
            }
            _ => {}
        }
    }

    fn longest(&self) -> usize {
        self.finder.as_ref().map_or(0, Finder::longest)
    }

    /// Where hidden values stand, widened to whole characters.
    fn places(&self, text: &str) -> Vec<Range<usize>> {
        let places = self.finder.as_ref().map_or_else(Vec::new, |finder| finder.places(text.as_bytes()));
        let whole =
            |place: Range<usize>| text.floor_char_boundary(place.start)..text.ceil_char_boundary(place.end);
        places.into_iter().map(whole).collect()
    }
}

/// Masks a long line that comes in pieces: a value may begin in one and end in the next.
#[derive(Default)]
pub struct Pieces {
    /// The end of what has come, in which a value may have begun.
    tail: String,
    /// How much of it belongs to a value whose `***` has been shown.
    shown: usize,
    goes_on: bool,
}

impl Pieces {
    /// Whether a line has begun and not ended.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// What can be shown after one more piece; all of the line when it does not continue.
    pub fn next(&mut self, mask: &Mask, piece: &str, continues: bool) -> String {
        self.goes_on = continues;
        let mut text = std::mem::take(&mut self.tail);
        text.push_str(piece);
        let kept = if continues { mask.longest().saturating_sub(1) } else { 0 };
        let end = text.floor_char_boundary(text.len().saturating_sub(kept));
        let mut out = String::with_capacity(end);
        let mut done = std::mem::take(&mut self.shown);
        for place in mask.places(&text) {
            // It goes on where a value ended whose stars have been shown: those are enough.
            let shown = done > 0 && place.start <= done && out.is_empty();
            if place.start >= end && !shown {
                break;
            }
            if !shown {
                out.push_str(&text[done..place.start]);
                out.push_str(STARS);
            }
            done = done.max(place.end);
        }
        if done < end {
            out.push_str(&text[done..end]);
            done = end;
        }
        self.shown = done - end;
        text.drain(..end);
        self.tail = text;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mask(values: &[&str]) -> Mask {
        let hidden: Vec<Hidden> = values.iter().map(|value| Hidden::value("X", value.as_bytes())).collect();
        Mask::default().with(&hidden)
    }

    /// What is shown of a line that comes in pieces of `size` bytes.
    fn in_pieces(mask: &Mask, line: &str, size: usize) -> String {
        let mut pieces = Pieces::default();
        let mut out = String::new();
        let mut rest = line;
        while rest.len() > size {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(size));
            out += &pieces.next(mask, piece, true);
            rest = after;
        }
        out + &pieces.next(mask, rest, false)
    }

    #[test]
    fn values_are_replaced_and_the_rest_stays() {
        let mask = mask(&["s3cr3t-t0ken", "other-value"]);
        assert_eq!(mask.apply("a s3cr3t-t0ken b other-value."), "a *** b ***.");
        assert_eq!(mask.apply("s3cr3t-t0ke"), "s3cr3t-t0ke");
        assert_eq!(mask.apply("czNjcjN0LXQwa2Vu"), "***");
        assert!(matches!(Mask::default().apply("text"), Cow::Borrowed("text")));
    }

    #[test]
    fn every_line_of_a_value_is_masked_and_so_are_its_tokens() {
        let mask = mask(&["-----BEGIN KEY-----\nMIIEvQIBADAN\nAgEAAoIBxx\n-----END KEY-----\n"]);
        for line in ["-----BEGIN KEY-----", "MIIEvQIBADAN", "AgEAAoIBxx"] {
            assert_eq!(mask.apply(line), "***", "{line}");
        }
        let npmrc = super::tests::mask(&["//npm.example/:_authToken=npm_abcdefgh\n"]);
        assert_eq!(npmrc.apply("token npm_abcdefgh"), "token ***");
    }

    #[test]
    fn the_lines_that_base64_writes_are_masked() {
        use base64::Engine as _;
        let value = (100..140).map(|number: u32| number.to_string()).collect::<Vec<_>>().join("x");
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{value}\n"));
        let mask = mask(&[&value]);
        for line in encoded.as_bytes().chunks(76).take(2) {
            assert_eq!(mask.apply(std::str::from_utf8(line).unwrap()), "***");
        }
    }

    #[test]
    fn a_value_is_masked_wherever_a_line_is_cut() {
        let mask = mask(&["s3cr3t-t0ken", "0ken-and-more"]);
        for line in [
            "before s3cr3t-t0ken after",
            "s3cr3t-t0kens3cr3t-t0ken",
            "é s3cr3t-t0ken é s3cr3t-t0ke",
            "s3cr3t-t0ken-and-more!",
            "x",
            "",
        ] {
            for size in 2..line.len() {
                assert_eq!(in_pieces(&mask, line, size), mask.apply(line), "{line} by {size}");
            }
        }
    }

    #[test]
    fn a_value_without_end_takes_no_memory_and_one_mark() {
        let mask = mask(&["aaaaaaaa"]);
        let mut pieces = Pieces::default();
        let mut out = String::new();
        for _ in 0..100 {
            out += &pieces.next(&mask, &"a".repeat(1000), true);
            assert!(pieces.tail.len() <= mask.longest());
        }
        out += &pieces.next(&mask, "b", false);
        assert_eq!(out, "***b");
    }

    #[test]
    fn what_is_no_text_is_masked_as_it_is_shown() {
        let value = b"\xff\xfe-binary-\xf0\x9f-value";
        let mask = Mask::default().with(&[Hidden::value("X", value)]);
        let line = [&b"<"[..], value, b">"].concat();
        assert_eq!(mask.apply(&String::from_utf8_lossy(&line)), "<***>");
    }

    #[test]
    fn every_text_of_a_document_is_masked() {
        let mask = mask(&["s3cr3t-t0ken"]);
        let mut document =
            json!({"a": ["s3cr3t-t0ken", 1], "s3cr3t-t0ken": {"b": "x s3cr3t-t0ken"}, "c": null});
        mask.apply_to(&mut document);
        assert_eq!(document, json!({"a": ["***", 1], "***": {"b": "x ***"}, "c": null}));
    }

    #[test]
    fn more_values_can_be_hidden_later() {
        let mask = mask(&["s3cr3t-t0ken"]).with(&[Hidden::login("the login", Some("me"), "hunter22")]);
        assert_eq!(mask.apply("s3cr3t-t0ken and https://me:hunter22@host/"), "*** and https://***@host/");
    }
}
