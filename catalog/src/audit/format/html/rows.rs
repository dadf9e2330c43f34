//! The table of images.

use std::collections::BTreeSet;

use super::{escaped, found, items};
use crate::audit::{Evidence, Report, Row, Severity, Suggestion};

const COLUMNS: [&str; 6] = ["Image", "Platform", "Runtime", "Status", "Result", "Details"];

/// The table with the controls that search, filter and sort it. Without scripts it is a plain table.
pub(super) fn section(report: &Report) -> String {
    if report.rows.is_empty() {
        return "<section><h2>Images</h2><p>No image was read.</p></section>\n".to_owned();
    }
    let heads = COLUMNS
        .map(|name| format!("<th scope=\"col\"><button type=\"button\">{name}</button></th>"))
        .concat();
    let rows: String = report.rows.iter().map(row).collect();
    format!(
        "<section id=\"images\"><h2>Images</h2>\n{}\n<table>\n<caption id=\"shown\" aria-live=\"polite\">{} images</caption>\n\
         <thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</section>\n",
        controls(report),
        report.rows.len()
    )
}

fn controls(report: &Report) -> String {
    let choice = |name: &str, key: &str, value: &dyn Fn(&Row) -> String| {
        let values: BTreeSet<String> = report.rows.iter().map(value).collect();
        let option = |value: &String| ["<option>".to_owned(), escaped(value), "</option>".to_owned()];
        let options: String = values.iter().flat_map(option).collect();
        format!(
            "<label>{name}<select data-key=\"{key}\"><option value=\"\">all</option>{options}</select></label>"
        )
    };
    format!(
        "<div class=\"controls\" hidden><label>Search<input id=\"search\" type=\"search\" autocomplete=\"off\"></label>{}{}{}</div>",
        choice("Result", "result", &|row| result(row).to_owned()),
        choice("Status", "status", &status),
        choice("Runtime", "runtime", &runtime)
    )
}

fn result(row: &Row) -> &'static str {
    row.worst().map_or("ok", Severity::as_str)
}

fn status(row: &Row) -> String {
    row.status.map_or_else(|| "unknown".to_owned(), |status| status.to_string())
}

/// The name of the runtime, without its version.
pub(super) fn runtime(row: &Row) -> String {
    row.entry.as_ref().map_or_else(|| "unknown".to_owned(), |entry| entry.runtime().to_owned())
}

fn row(row: &Row) -> String {
    let rank = match row.worst() {
        None => 0,
        Some(Severity::Note) => 1,
        Some(Severity::Warning) => 2,
        Some(Severity::Error) => 3,
    };
    let entry = row.entry.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let doubt = if row.evidence == Evidence::LabelOnly { " (its label says so)" } else { "" };
    let others = row.tags.iter().skip(1).map(|tag| escaped(tag)).collect::<Vec<_>>().join(", ");
    let others = if others.is_empty() { others } else { format!("<small>also {others}</small>") };
    let (name, status, result) = (escaped(&row.name()), escaped(&status(row)), result(row));
    format!(
        "<tr data-result=\"{result}\" data-status=\"{status}\" data-runtime=\"{}\"><th scope=\"row\" data-sort=\"{name}\">{name}{others}\
         <small>{}</small></th>{}{}{}<td data-name=\"Result\" data-sort=\"{rank}\"><span class=\"mark is-{result}\">{result}</span></td>\
         <td class=\"wide\" data-sort=\"{}\">{}</td></tr>\n",
        escaped(&runtime(row)),
        row.digest,
        cell("Platform", &escaped(row.platform.as_str())),
        cell("Runtime", &format!("{}{doubt}", escaped(&entry))),
        cell("Status", &status),
        row.findings.len(),
        details(row)
    )
}

fn cell(name: &str, content: &str) -> String {
    format!("<td data-name=\"{name}\" data-sort=\"{content}\">{content}</td>")
}

fn details(row: &Row) -> String {
    let base = row.base.as_ref().map(|base| format!("<p>It names {} as its base.</p>", escaped(base)));
    if row.findings.is_empty() {
        return format!("<span class=\"soft\">nothing found</span>{}", base.unwrap_or_default());
    }
    let count = row.findings.len();
    let findings = items(row.findings.iter().map(found));
    let advice = row.suggestion.as_ref().map(|suggestion| match suggestion {
        Suggestion::Rebase { command, .. } => format!("<code class=\"fix\">{}</code>", escaped(command)),
        other => format!("<p class=\"fix\">{}</p>", escaped(&other.text())),
    });
    format!(
        "<details><summary>{count} finding{}</summary><ul class=\"found\">{findings}</ul><p class=\"soft\">Evidence: {}</p>{}{}</details>",
        if count == 1 { "" } else { "s" },
        row.evidence.as_str(),
        base.unwrap_or_default(),
        advice.unwrap_or_default()
    )
}
