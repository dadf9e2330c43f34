//! The lines of a text, for positions in it.

use super::diagnostic::{Position, Span};

/// A text by its lines, as YAML counts them: a line feed ends one, a carriage return, or both together. A byte-order
/// mark at the beginning is no character of the first line.
pub(super) struct Lines<'t>(Vec<&'t str>);

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = Vec::new();
        while let Some(at) = rest.find(['\n', '\r']) {
            lines.push(&rest[..at]);
            rest = &rest[at..];
            rest = rest.strip_prefix("\r\n").unwrap_or(&rest[1..]);
        }
        lines.push(rest);
        Self(lines)
    }

    /// Returns a line, counted from 1.
    pub(super) fn get(&self, line: usize) -> Option<&'t str> {
        self.0.get(line.checked_sub(1)?).copied()
    }

    /// Moves what lies outside of the text, where a parser noticed only behind the end that something is missing, to
    /// the end of what is written there.
    pub(super) fn clamp(&self, span: Span) -> Span {
        let (start, end) = (self.inside(span.start), self.inside(span.end));
        Span { start, end: end.max(start) }
    }

    /// Finds the first character that YAML allows nowhere: a control character that ends no line and is no tab.
    pub(super) fn control_character(&self) -> Option<(char, Span)> {
        self.0.iter().zip(1..).find_map(|(text, line)| {
            let (column, c) = text.chars().enumerate().find(|&(_, c)| c < ' ' && c != '\t')?;
            Some((c, Span::at(line, column + 1)))
        })
    }

    /// Finds the tag that stands before a node as it is written; an anchor or a block's sign may lie between them.
    pub(super) fn tag_before(&self, node: Position) -> Option<(&'t str, Span)> {
        let mut line = node.line;
        let mut before = self.before(node)?;
        loop {
            let token = before.rsplit([' ', '\t']).next().unwrap_or(before);
            let name = token.trim_start_matches(['[', '{', ',']);
            if name.starts_with('!') {
                let end = before.chars().count() + 1;
                let at = |column| Position { line, column };
                return Some((name, Span { start: at(end - name.chars().count()), end: at(end) }));
            }
            if before.is_empty() {
                line = line.checked_sub(1)?;
                before = self.get(line)?.trim_end();
            } else if name.starts_with(['&', '|', '>']) {
                before = before.strip_suffix(token)?.trim_end();
            } else {
                return None;
            }
        }
    }

    /// The character at a position.
    pub(super) fn character(&self, position: Position) -> Option<char> {
        self.get(position.line)?.chars().nth(position.column.checked_sub(1)?)
    }

    /// Whether what is written there has no colon of a key, although it stands above a line of the same indentation.
    pub(super) fn lacks_colon(&self, above: Span, line: usize) -> bool {
        let text = self.get(above.start.line).unwrap_or_default().trim();
        let has_colon = text.contains(": ") || text.ends_with(':');
        self.written_in(line).start.column == above.start.column && !has_colon && !text.starts_with("- ")
    }

    /// Finds the dash of the list item that has nothing after it.
    pub(super) fn dash_before(&self, nothing: Position) -> Option<Span> {
        let before = self.before(nothing)?.strip_suffix('-')?;
        let start = Position { line: nothing.line, column: before.chars().count() + 1 };
        Some(Span { start, end: Position { column: start.column + 1, ..start } })
    }

    /// Finds the mark that a merge of two versions left in the text.
    pub(super) fn merge_mark(&self) -> Option<Span> {
        let is_mark = |line: &&str| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ");
        let index = self.0.iter().position(is_mark)?;
        Some(self.written_in(index + 1))
    }

    /// The last line with something written in it, from a line backwards; where that is in the line.
    pub(super) fn written_before(&self, line: usize) -> Option<Span> {
        let is_written = |line: &usize| {
            let text = self.get(*line).unwrap_or_default().trim_start();
            !text.is_empty() && !text.starts_with('#')
        };
        (1..line).rev().find(is_written).map(|line| self.written_in(line))
    }

    fn written_in(&self, line: usize) -> Span {
        let text = self.get(line).unwrap_or_default();
        let column = text.chars().take_while(|c| *c == ' ' || *c == '\t').count() + 1;
        let end = Position { line, column: text.trim_end().chars().count() + 1 };
        Span { start: Position { line, column }, end }
    }

    /// The part of a line before a position, without the blanks at its end.
    fn before(&self, position: Position) -> Option<&'t str> {
        let line = self.get(position.line)?;
        let end = line.char_indices().nth(position.column.checked_sub(1)?).map_or(line.len(), |(at, _)| at);
        Some(line[..end].trim_end())
    }

    fn inside(&self, position: Position) -> Position {
        let length = |line: usize| self.get(line).map_or(0, |line| line.chars().count());
        if position.line <= self.0.len() {
            let column = position.column.clamp(1, length(position.line) + 1);
            return Position { line: position.line.max(1), column };
        }
        let line = (1..=self.0.len()).rev().find(|&line| length(line) > 0).unwrap_or(1);
        Position { line, column: length(line) + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_end_ends_a_line() {
        let lines = Lines::of("\u{feff}a\nb\r\nc\rd\n\re");
        assert_eq!(lines.0, ["a", "b", "c", "d", "", "e"]);
        assert_eq!((lines.get(0), lines.get(1), lines.get(7)), (None, Some("a"), None));
        assert_eq!(Lines::of("").0, [""]);
        assert_eq!(Lines::of("a\u{85}b\u{2028}c\n").0, ["a\u{85}b\u{2028}c", ""]);
    }

    #[test]
    fn the_dash_of_an_item_without_a_value_is_found() {
        let lines = Lines::of("a:\n  -\n  - \n  - b\n");
        let at = |line, column| Position { line, column };
        let dash = |line| Some(Span { start: at(line, 3), end: at(line, 4) });
        assert_eq!((lines.dash_before(at(2, 4)), lines.dash_before(at(3, 5))), (dash(2), dash(3)));
        assert_eq!((lines.dash_before(at(4, 6)), lines.dash_before(at(9, 1))), (None, None));
    }

    #[test]
    fn what_was_written_last_is_found_past_blank_lines_and_comments() {
        let lines = Lines::of("a: b\n  c d \n\n  # x\n  e: f\n");
        let at = |line, column| Position { line, column };
        let found = Span { start: at(2, 3), end: at(2, 6) };
        assert_eq!((lines.written_before(5), lines.written_before(1)), (Some(found), None));
        assert!(lines.lacks_colon(found, 5) && !lines.lacks_colon(found, 1));
        assert!(!lines.lacks_colon(lines.written_in(1), 1));
    }

    #[test]
    fn the_marks_of_a_merge_are_found_at_the_beginning_of_a_line_only() {
        assert_eq!(
            Lines::of("a\n<<<<<<< HEAD\n").merge_mark().unwrap().start,
            Position { line: 2, column: 1 }
        );
        assert_eq!(Lines::of("a: <<<<<<< b\n  <<<<<<< c\n<<: d\n").merge_mark(), None);
    }

    #[test]
    fn a_position_behind_the_text_becomes_the_end_of_what_is_written() {
        let lines = Lines::of("{aé\n\n");
        let at = |line, column| Position { line, column };
        for (given, expected) in [
            (at(1, 1), at(1, 1)),
            (at(1, 4), at(1, 4)),
            (at(1, 9), at(1, 4)),
            (at(2, 1), at(2, 1)),
            (at(4, 1), at(1, 4)),
            (at(0, 0), at(1, 1)),
        ] {
            let clamped = lines.clamp(Span { start: given, end: given });
            assert_eq!((clamped.start, clamped.end), (expected, expected));
        }
        let backwards = lines.clamp(Span { start: at(2, 1), end: at(9, 1) });
        assert_eq!((backwards.start, backwards.end), (at(2, 1), at(2, 1)));
    }
}
