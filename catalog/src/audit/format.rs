//! Reports as text: each format is a function from a report to what is printed.
//!
//! What images say of themselves is foreign: every format escapes it by its own rules.

mod html;
mod junit;
mod markdown;
mod sarif;
mod table;

use serde_json::json;

use super::{Report, Severity};

pub use html::html;
pub use junit::junit;
pub use markdown::markdown;
pub use sarif::{Source, sarif};
pub use table::table;

/// How many images and findings there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Images, each platform by itself.
    pub images: usize,
    /// Errors that count.
    pub errors: usize,
    /// Warnings that count.
    pub warnings: usize,
    /// Notes that count.
    pub notes: usize,
    /// Findings that the policy allows.
    pub allowed: usize,
    /// What could not be read.
    pub unread: usize,
}

impl Totals {
    /// Counts.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let count = |severity| {
            report.findings().filter(|finding| finding.counts() && finding.severity == severity).count()
        };
        Self {
            images: report.rows.len(),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            notes: count(Severity::Note),
            allowed: report.findings().filter(|finding| !finding.counts()).count(),
            unread: report.unread.len(),
        }
    }

    /// The counts in words.
    #[must_use]
    pub fn text(&self) -> String {
        let of = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let allowed = (self.allowed > 0).then(|| format!(", {} allowed by the policy", self.allowed));
        let unread = (self.unread > 0).then(|| format!("; {} could not be read", self.unread));
        format!(
            "{}: {}, {}, {}{}{}",
            of(self.images, "image"),
            of(self.errors, "error"),
            of(self.warnings, "warning"),
            of(self.notes, "note"),
            allowed.unwrap_or_default(),
            unread.unwrap_or_default()
        )
    }
}

/// The report for programs. Fields may be added; those that are there keep their meaning as long as `schema` is 1.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "a report has text keys and whole numbers")]
pub fn json(report: &Report) -> String {
    let mut value = serde_json::to_value(report).expect("a report has text keys and whole numbers");
    value["totals"] = json!(Totals::of(report));
    value.sort_all_objects();
    serde_json::to_string_pretty(&value).expect("a JSON value can be written to memory") + "\n"
}

/// Control characters of foreign text, escaped, so that it cannot drive a terminal or break a document.
pub(super) fn printable(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}
