//! For comments on code hosts and for wikis.

use std::fmt::Write as _;

use super::{Totals, printable};
use crate::audit::{Finding, Report, Row};

/// The report as GitHub-flavoured Markdown: a summary, and a table of the images that have findings.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut text = format!("# Runtimes of images as of {}\n\n{}.\n", report.as_of, Totals::of(report).text());
    let catalog = format!("{}, revision {}", report.catalog.name, report.catalog.revision);
    let _ = writeln!(text, "\nCatalog: {}", escaped(&catalog));
    for finding in &report.catalog_findings {
        let _ = writeln!(text, "\n> {}", found(finding));
    }
    let rows: Vec<&Row> = report.rows.iter().filter(|row| !row.findings.is_empty()).collect();
    if !rows.is_empty() {
        text +=
            "\n| image | platform | runtime | status | findings | what to do |\n|---|---|---|---|---|---|\n";
        for row in rows {
            text += &line(row);
        }
    }
    if !report.unread.is_empty() {
        text += "\n## Not read\n\n";
        for unread in &report.unread {
            let _ = writeln!(text, "- {}: {}", escaped(&unread.reference), escaped(&unread.reason));
        }
    }
    text
}

fn line(row: &Row) -> String {
    let findings = row.findings.iter().map(found).collect::<Vec<_>>().join("<br>");
    let runtime = row.entry.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let runtime = format!("{runtime} ({})", row.evidence.as_str());
    let status = row.status.map_or_else(String::new, |status| status.to_string());
    let advice = row.suggestion.as_ref().map(|suggestion| escaped(&suggestion.text())).unwrap_or_default();
    format!(
        "| {} | {} | {} | {status} | {findings} | {advice} |\n",
        escaped(&row.name()),
        escaped(row.platform.as_str()),
        escaped(&runtime)
    )
}

fn found(finding: &Finding) -> String {
    let allowed = finding.allowed.as_ref().map(|why| format!(" (allowed: {why})")).unwrap_or_default();
    format!(
        "**{}** {}: {}",
        finding.rule,
        finding.severity,
        escaped(&format!("{}{allowed}", finding.message))
    )
}

/// Text in which nothing has a meaning to Markdown or HTML.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in printable(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '(' | ')' | '@' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}
