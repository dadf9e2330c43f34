//! What images run on, as bars, and until when that is supported, on a time line.

use std::collections::BTreeMap;

use super::escaped;
use super::rows::runtime;
use crate::audit::{Report, Row};
use crate::{Date, Status};

/// The bars and the time line.
pub(super) fn section(report: &Report) -> String {
    if report.rows.is_empty() {
        return String::new();
    }
    let bars = [
        chart(
            "By result",
            report,
            &|row| row.worst().map_or("ok", crate::audit::Severity::as_str).to_owned(),
            true,
        ),
        chart("By status", report, &status, false),
        chart("By runtime", report, &runtime, false),
        chart("By version", report, &version, false),
    ];
    format!(
        "<section><h2>What images run on</h2><div class=\"charts\">{}</div></section>\n{}",
        bars.concat(),
        time_line(report)
    )
}

fn status(row: &Row) -> String {
    row.status.map_or_else(|| "unknown".to_owned(), |status| status.to_string())
}

fn version(row: &Row) -> String {
    let named = |entry: &crate::EntryId| format!("{} {}", entry.runtime(), entry.version());
    row.entry.as_ref().map_or_else(|| "unknown".to_owned(), named)
}

fn chart(title: &str, report: &Report, key: &dyn Fn(&Row) -> String, is_colored: bool) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in &report.rows {
        *counts.entry(key(row)).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let most = counts.first().map_or(1, |(_, count)| *count);
    let bar = |(name, count): &(String, usize)| {
        let class = if is_colored { format!(" class=\"is-{}\"", escaped(name)) } else { String::new() };
        format!(
            "<li{class}><span>{}</span><b>{count}</b><svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
             <rect width=\"{}\" height=\"8\"/></svg></li>",
            escaped(name),
            share(*count, most)
        )
    };
    let bars: String = counts.iter().map(bar).collect();
    format!("<div class=\"card\"><h3>{title}</h3><ul class=\"bars\">{bars}</ul></div>")
}

/// A part of a whole, in hundredths of it.
fn share(part: usize, whole: usize) -> String {
    let tenths = part * 1000 / whole.max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Until when each version is supported: one line from a year ago to the last of the dates, on which today is marked.
fn time_line(report: &Report) -> String {
    let mut ends: BTreeMap<(Date, String), (usize, Option<Status>)> = BTreeMap::new();
    for row in &report.rows {
        if let Some(end) = row.end_of_support {
            ends.entry((end, version(row))).or_insert((0, row.status)).0 += 1;
        }
    }
    let Some(((last, _), _)) = ends.last_key_value() else { return String::new() };
    let first =
        report.as_of.plus_days(-365).min(ends.first_key_value().map_or(report.as_of, |((end, _), _)| *end));
    let days = |date: Date| usize::try_from(date.days_since(first)).unwrap_or_default();
    let whole = days((*last).max(report.as_of));
    let today = share(days(report.as_of), whole);
    let item = |((end, name), (count, status)): (&(Date, String), &(usize, Option<Status>))| {
        let class = match status {
            Some(Status::Eol | Status::Revoked) => "is-error",
            Some(Status::Deprecated) => "is-warning",
            _ => "is-ok",
        };
        let images = if *count == 1 { "1 image".to_owned() } else { format!("{count} images") };
        format!(
            "<li><span>{} <span class=\"soft\">{images}</span></span><time datetime=\"{end}\">{end}</time>\
             <svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
             <rect class=\"{class}\" width=\"{}\" height=\"8\"/><line x1=\"{today}\" x2=\"{today}\" y1=\"0\" y2=\"8\"/></svg></li>",
            escaped(name),
            share(days(*end).max(1), whole)
        )
    };
    let items: String = ends.iter().map(item).collect();
    format!(
        "<section class=\"card\"><h2>End of support</h2><p class=\"soft\">The mark on each line is {}.</p>\
         <ol class=\"bars dates\">{items}</ol></section>\n",
        report.as_of
    )
}
