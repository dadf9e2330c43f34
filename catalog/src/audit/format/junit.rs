//! For CI systems that show test results.

use std::fmt::Write as _;

use crate::audit::{Report, Row, Severity};

/// The report as `JUnit` XML: a test case an image, which fails with its errors and warnings; what could not be read is an
/// error.
#[must_use]
pub fn junit(report: &Report) -> String {
    let failures = report.rows.iter().filter(|row| fails(row)).count() + report.catalog_findings.len();
    let tests = report.rows.len() + report.unread.len() + report.catalog_findings.len();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"runtimes as of {}\" tests=\"{tests}\" \
         failures=\"{failures}\" errors=\"{}\">\n",
        report.as_of,
        report.unread.len()
    );
    for finding in &report.catalog_findings {
        let name = escaped(&format!("catalog {}", report.catalog.name));
        let _ = writeln!(
            text,
            "    <testcase classname=\"catalog\" name=\"{name}\"><failure type=\"{}\" message=\"{}\"/></testcase>",
            finding.rule,
            escaped(&finding.message)
        );
    }
    for row in &report.rows {
        text += &case(row);
    }
    for unread in &report.unread {
        let _ = writeln!(
            text,
            "    <testcase classname=\"unread\" name=\"{}\"><error message=\"{}\"/></testcase>",
            escaped(&unread.reference),
            escaped(&unread.reason)
        );
    }
    text + "  </testsuite>\n</testsuites>\n"
}

fn fails(row: &Row) -> bool {
    row.worst() >= Some(Severity::Warning)
}

fn case(row: &Row) -> String {
    let name = escaped(&format!("{} {}", row.name(), row.platform));
    let mut text = format!("    <testcase classname=\"{}\" name=\"{name}\"", escaped(&row.repository));
    let lines: Vec<String> = row
        .findings
        .iter()
        .map(|finding| format!("{} {}: {}", finding.rule, finding.severity, finding.message))
        .chain(row.suggestion.as_ref().map(|suggestion| format!("-> {}", suggestion.text())))
        .collect();
    let body = escaped(&lines.join("\n"));
    match row.findings.iter().find(|finding| finding.counts()) {
        Some(worst) if fails(row) => {
            let message = escaped(&worst.message);
            let _ = writeln!(
                text,
                "><failure type=\"{}\" message=\"{message}\">{body}</failure></testcase>",
                worst.rule
            );
        }
        Some(_) => {
            let _ = writeln!(text, "><system-out>{body}</system-out></testcase>");
        }
        None => text += "/>\n",
    }
    text
}

/// Text for XML 1.0, which has no place at all for most control characters.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}
