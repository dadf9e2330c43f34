//! Findings as SARIF 2.1.0, the format that code hosts show beside the changed lines.
//!
//! Only messages and places are written, and no line of a file: a line may hold a secret.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Findings;
use crate::app_file::{Diagnostic, Rule};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

impl Findings {
    /// The findings as a SARIF log of one run.
    #[must_use]
    pub fn to_sarif(&self) -> Value {
        let used: BTreeSet<Rule> = self.diagnostics.iter().map(|diagnostic| diagnostic.rule).collect();
        let rules: Vec<Rule> = used.into_iter().collect();
        json!({
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": {
                    "name": "lapstrake",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": rules.iter().map(|rule| described(*rule)).collect::<Vec<_>>(),
                }},
                "columnKind": "unicodeCodePoints",
                "results": self.diagnostics.iter().map(|found| result(found, &rules)).collect::<Vec<_>>(),
            }],
        })
    }
}

fn described(rule: Rule) -> Value {
    json!({ "id": rule.id(), "shortDescription": { "text": rule.summary() } })
}

fn result(found: &Diagnostic, rules: &[Rule]) -> Value {
    let text = match &found.hint {
        Some(hint) => format!("{}\nhint: {hint}", found.message),
        None => found.message.clone(),
    };
    json!({
        "ruleId": found.rule.id(),
        "ruleIndex": rules.iter().position(|rule| *rule == found.rule),
        "level": found.severity.to_string(),
        "message": { "text": text },
        "locations": [{ "physicalLocation": {
            "artifactLocation": location(&found.file),
            "region": region(found),
        }}],
    })
}

/// Paths inside the source are relative to a root that the reader knows.
fn location(file: &str) -> Value {
    let uri = uri(file);
    if file.starts_with('/') {
        json!({ "uri": uri })
    } else {
        json!({ "uri": uri, "uriBaseId": "%SRCROOT%" })
    }
}

/// A path as a URI reference: what has a meaning in one is escaped, the first colon of a relative path included.
fn uri(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&byte);
    let escaped = path
        .bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    let path: String = escaped.collect();
    if path.starts_with('/') { format!("file://{path}") } else { path }
}

fn region(found: &Diagnostic) -> Value {
    let (start, end) = (found.at.start, found.at.end);
    json!({
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
    })
}
