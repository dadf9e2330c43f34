//! Problems of a file, and how they are shown.

use std::fmt;

use unicode_width::UnicodeWidthStr;

use super::lines::Lines;
use super::rule::Rule;

/// A place in a text; lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A stretch of a text, its end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Where it begins.
    pub start: Position,
    /// Where it ends.
    pub end: Position,
}

impl Span {
    /// Makes the empty stretch at a place.
    #[must_use]
    pub fn at(line: usize, column: usize) -> Self {
        let start = Position { line, column };
        Self { start, end: start }
    }
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably not what was meant; the build goes on.
    Warning,
    /// Nothing is built.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A problem of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The kind of problem.
    pub rule: Rule,
    /// The file's name.
    pub file: String,
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub at: Span,
    /// What it is.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether the line may be shown; not where it probably holds a secret.
    pub is_shown: bool,
}

impl Diagnostic {
    /// Makes an error.
    #[must_use]
    pub fn error(rule: Rule, file: &str, at: Span, message: impl Into<String>) -> Self {
        let (file, message) = (file.to_owned(), message.into());
        Self { rule, file, severity: Severity::Error, at, message, hint: None, is_shown: true }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    /// Writes the first line of the problem: position, severity, message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, message) = (printable(&self.file), printable(&self.message));
        write!(f, "{file}:{}: {}: {message}", self.at.start, self.severity)
    }
}

/// Collects the problems of one file.
pub(super) struct Report {
    file: String,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Keys that are there under another spelling or at another place, by their right paths.
    meant: Vec<String>,
    /// Keys that are not there: their paths, where they are missed, and what to do.
    absent: Vec<(&'static str, Span, &'static str)>,
}

impl Report {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), diagnostics: Vec::new(), meant: Vec::new(), absent: Vec::new() }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    pub(super) fn error(&mut self, rule: Rule, at: Span, message: impl Into<String>) -> Hint<'_> {
        self.push(Severity::Error, rule, at, message.into())
    }

    pub(super) fn warning(&mut self, rule: Rule, at: Span, message: impl Into<String>) -> Hint<'_> {
        self.push(Severity::Warning, rule, at, message.into())
    }

    pub(super) fn note(&mut self, rule: Rule, at: Span, message: impl Into<String>) -> Hint<'_> {
        self.push(Severity::Note, rule, at, message.into())
    }

    /// Notes that a key is there, though not as it should be, which is reported already.
    pub(super) fn meant(&mut self, path: String) {
        self.meant.push(path);
    }

    /// Notes that a required key is not there.
    pub(super) fn absent(&mut self, path: &'static str, at: Span, hint: &'static str) {
        self.absent.push((path, at, hint));
    }

    /// Reports the required keys that are not there in any way.
    pub(super) fn report_absent(&mut self) {
        for (path, at, hint) in std::mem::take(&mut self.absent) {
            let is_below = |meant: &String| {
                path.strip_prefix(meant.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            if !self.meant.iter().any(is_below) {
                let at = Span { end: at.start, ..at };
                self.error(Rule::MissingKey, at, format!("`{path}` is missing")).hint(hint);
            }
        }
    }

    fn push(&mut self, severity: Severity, rule: Rule, at: Span, message: String) -> Hint<'_> {
        self.diagnostics.push(Diagnostic { severity, ..Diagnostic::error(rule, &self.file, at, message) });
        Hint(self.diagnostics.last_mut())
    }
}

/// Adds to the problem that was just reported.
pub(super) struct Hint<'a>(Option<&'a mut Diagnostic>);

impl Hint<'_> {
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(diagnostic) = &mut self.0 {
            diagnostic.hint = Some(hint.into());
        }
        self
    }

    /// Keeps the line out of the report, since it probably holds a secret.
    pub(super) fn withheld(mut self) {
        if let Some(diagnostic) = &mut self.0 {
            diagnostic.is_shown = false;
        }
    }
}

/// The longest part of a line that is shown.
const WIDTH: usize = 120;

/// Shows a problem with its line, a pointer into it, and the hint.
#[must_use]
pub fn render(diagnostic: &Diagnostic, text: &str) -> String {
    let mut shown = format!("{diagnostic}\n");
    let source = Lines::of(text).get(diagnostic.at.start.line);
    if let Some(source) = source.filter(|_| diagnostic.is_shown) {
        shown.push_str(&excerpt(diagnostic.at, source));
    }
    if let Some(hint) = &diagnostic.hint {
        shown.push_str("hint: ");
        shown.push_str(&printable(hint));
        shown.push('\n');
    }
    shown
}

fn excerpt(at: Span, source: &str) -> String {
    let column = at.start.column.saturating_sub(1);
    let length = source.chars().count();
    let skipped = if length > WIDTH { column.saturating_sub(WIDTH / 2).min(length - WIDTH) } else { 0 };
    let part = |from: usize, to: usize| {
        printable(&source.chars().skip(from).take(to.saturating_sub(from)).collect::<String>())
    };
    let shown = part(skipped, skipped + WIDTH);
    let end = if at.end.line > at.start.line { length } else { at.end.column.saturating_sub(1).min(length) };
    // A pointer is a row of signs as wide as what it points at, which a terminal may show in two cells a character.
    let before = part(skipped, column).width() + column.saturating_sub(length.max(skipped));
    let carets = part(column, end.min(skipped + WIDTH)).width().max(1);
    let number = at.start.line.to_string();
    let margin = " ".repeat(number.len());
    format!("{margin} |\n{number} | {shown}\n{margin} | {}{}\n", " ".repeat(before), "^".repeat(carets))
}

/// Replaces what could move the cursor of a terminal or turn the direction of its text.
fn printable(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    let shown = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() || turns(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Reads a file's bytes as text.
pub fn decode<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Diagnostic> {
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
        let line = valid.matches('\n').count() + 1;
        let column = valid.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        let message = "the file is not UTF-8";
        Diagnostic {
            is_shown: false,
            ..Diagnostic::error(Rule::Encoding, file, Span::at(line, column), message)
        }
    })
}
