//! SARIF 2.1.0, for code hosts.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::audit::{Finding, Report, Row, Rule, Severity};

/// The line of an app file to which findings about its images belong. Some viewers drop results without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The path of the app file, relative to the root of its repository.
    pub file: String,
    /// The line, from 1, that asks for the runtime.
    pub line: usize,
}

/// The report as SARIF: a result for each finding, with the image as its logical location.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "a JSON value can be written to memory")]
pub fn sarif(report: &Report, source: Option<&Source>) -> String {
    let used: BTreeSet<Rule> = report.findings().map(|finding| finding.rule).collect();
    let rules: Vec<Value> = used
        .iter()
        .map(|rule| json!({"id": rule.id(), "name": format!("{rule:?}"), "shortDescription": {"text": rule.title()}}))
        .collect();
    let of_catalog = report.catalog_findings.iter().map(|finding| {
        let name = format!("{} revision {}", report.catalog.name, report.catalog.revision);
        result(finding, &name, &[&report.catalog.name, finding.rule.id()], source)
    });
    let of_rows = report
        .rows
        .iter()
        .flat_map(|row| row.findings.iter().map(move |finding| of_row(row, finding, source)));
    let notifications: Vec<Value> = report
        .unread
        .iter()
        .map(|unread| json!({"level": "error", "message": {"text": format!("could not read {}: {}", unread.reference, unread.reason)}}))
        .collect();
    let mut log = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "lapstrake", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "invocations": [{"executionSuccessful": report.unread.is_empty(), "toolExecutionNotifications": notifications}],
            "results": of_catalog.chain(of_rows).collect::<Vec<_>>(),
        }],
    });
    log.sort_all_objects();
    serde_json::to_string_pretty(&log).expect("a JSON value can be written to memory") + "\n"
}

fn of_row(row: &Row, finding: &Finding, source: Option<&Source>) -> Value {
    let name = format!("oci://{}@{}", row.repository, row.digest);
    let entry = row.entry.as_ref().map_or_else(String::new, ToString::to_string);
    // The same after a push that changes neither runtime nor finding.
    let mut result =
        result(finding, &name, &[&row.repository, row.platform.as_str(), &entry, finding.rule.id()], source);
    if let Some(suggestion) = &row.suggestion {
        let text = format!("{}: {} ({})", row.name(), finding.message, suggestion.text());
        result["message"]["text"] = json!(text);
    }
    result
}

fn result(finding: &Finding, name: &str, fingerprint: &[&str], source: Option<&Source>) -> Value {
    let mut location = json!({"logicalLocations": [{"fullyQualifiedName": name, "kind": "resource"}]});
    if let Some(source) = source {
        location["physicalLocation"] = json!({
            "artifactLocation": {"uri": source.file},
            "region": {"startLine": source.line},
        });
    }
    let level = match finding.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let mut result = json!({
        "ruleId": finding.rule.id(),
        "level": level,
        "message": {"text": finding.message},
        "locations": [location],
        "partialFingerprints": {"image/v1": fingerprint.join(" ")},
        "properties": {"evidence": finding.evidence},
    });
    if let Some(reason) = &finding.allowed {
        result["suppressions"] = json!([{"kind": "external", "justification": reason}]);
    }
    result
}
