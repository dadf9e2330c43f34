//! For people, on a terminal.

use std::fmt::Write as _;

use super::{Totals, printable};
use crate::audit::{Finding, Report, Row};

/// The report for people: a line an image, and below it what was found and what to do.
#[must_use]
pub fn table(report: &Report) -> String {
    let head = ["IMAGE", "PLATFORM", "RUNTIME", "STATUS", "RESULT"].map(str::to_owned);
    let lines: Vec<[String; 5]> = report.rows.iter().map(line).collect();
    let widths: Vec<usize> = (0..5).map(|at| width(std::iter::once(&head).chain(&lines), at)).collect();
    let mut text = String::new();
    for finding in &report.catalog_findings {
        let _ = writeln!(text, "catalog {}: {}", printable(&report.catalog.name), found(finding));
    }
    if !lines.is_empty() {
        text += &aligned(&head, &widths);
    }
    for (row, line) in report.rows.iter().zip(&lines) {
        text += &aligned(line, &widths);
        for finding in &row.findings {
            let _ = writeln!(text, "  {}", found(finding));
        }
        if let Some(suggestion) = row.suggestion.as_ref().filter(|_| row.worst().is_some()) {
            let _ = writeln!(text, "  -> {}", printable(&suggestion.text()));
        }
    }
    for unread in &report.unread {
        let _ =
            writeln!(text, "could not read {}: {}", printable(&unread.reference), printable(&unread.reason));
    }
    let _ = writeln!(
        text,
        "{} (catalog {}, revision {}, as of {})",
        Totals::of(report).text(),
        printable(&report.catalog.name),
        report.catalog.revision,
        report.as_of
    );
    text
}

fn found(finding: &Finding) -> String {
    let allowed = finding.allowed.as_ref().map(|reason| format!(" [allowed: {reason}]")).unwrap_or_default();
    printable(&format!("{} {}: {}{allowed}", finding.rule, finding.severity, finding.message))
}

fn line(row: &Row) -> [String; 5] {
    let more = row.tags.len().saturating_sub(1);
    let more = if more > 0 { format!(" (+{more} tags)") } else { String::new() };
    let runtime = match (&row.entry, row.evidence) {
        (Some(entry), crate::audit::Evidence::Layers) => entry.to_string(),
        (Some(entry), _) => format!("{entry}?"),
        (None, _) => "unknown".to_owned(),
    };
    let status = row.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
    let result = row.worst().map_or("ok", crate::audit::Severity::as_str);
    [format!("{}{more}", row.name()), row.platform.to_string(), runtime, status, result.to_owned()]
        .map(|cell| printable(&cell))
}

fn width<'a>(lines: impl Iterator<Item = &'a [String; 5]>, at: usize) -> usize {
    lines.map(|line| line[at].chars().count()).max().unwrap_or_default()
}

fn aligned(line: &[String; 5], widths: &[usize]) -> String {
    let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
}
