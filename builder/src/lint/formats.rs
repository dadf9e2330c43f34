//! How findings are written: for people, and for programs.

use serde_json::{Value, json};

use super::Findings;
use crate::app_file::{Diagnostic, FILE_NAME, Severity, render};
use crate::detect::{Detected, Finding};
use crate::report::printable;

impl Findings {
    /// The findings for people: each problem with its line and a pointer into it, then how many there are.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = self.detected.as_ref().map(told).unwrap_or_default();
        for diagnostic in &self.diagnostics {
            let source = self.texts.get(&diagnostic.file).map(String::as_str).unwrap_or_default();
            text.push_str(&render(diagnostic, source));
            text.push('\n');
        }
        text.push_str(&self.summary());
        text.push('\n');
        text
    }

    /// The findings for programs. The shape is stable: fields are added, but never removed or changed, while `schema` is 1.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "schema": 1,
            "file": self.file,
            "detected": self.detected.as_ref().map(detected),
            "diagnostics": self.diagnostics.iter().map(diagnostic).collect::<Vec<_>>(),
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
        })
    }
}

/// What detection decided, for people.
fn told(found: &Detected) -> String {
    let mut lines =
        vec![format!("there is no {FILE_NAME}: the files of a {} app decide", found.language.name())];
    lines.extend(found.findings.iter().map(|finding| format!("  {}", printable(&finding.to_string()))));
    let build = found.build.iter().map(|command| format!("  build: {}", printable(&command.text)));
    lines.extend(build);
    lines.extend(found.start.iter().map(|start| format!("  start: {}", printable(&start.text))));
    lines.extend(found.notes.iter().map(|note| format!("note: {}", printable(note))));
    lines.join("\n") + "\n\n"
}

fn detected(found: &Detected) -> Value {
    let because = |finding: &Finding| {
        let line = finding.at.map(|at| at.line);
        json!({ "file": finding.file, "line": line, "says": finding.says })
    };
    json!({
        "language": found.language,
        "build": found.build.iter().map(|command| &command.text).collect::<Vec<_>>(),
        "start": found.start.as_ref().map(|start| &start.text),
        "port": found.port,
        "findings": found.findings.iter().map(because).collect::<Vec<_>>(),
        "notes": found.notes,
    })
}

fn diagnostic(diagnostic: &Diagnostic) -> Value {
    let at = diagnostic.at;
    json!({
        "severity": diagnostic.severity.to_string(),
        "rule": diagnostic.rule.id(),
        "file": diagnostic.file,
        "line": at.start.line,
        "column": at.start.column,
        "endLine": at.end.line,
        "endColumn": at.end.column,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
    })
}
