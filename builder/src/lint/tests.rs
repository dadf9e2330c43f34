mod corpus;
mod formats;
mod projects;

use lapstrake_catalog::{Catalog, Date, Permissions};

use super::*;

/// The day of the tests: what is in support does not depend on the day on which they run.
fn today() -> Date {
    "2026-11-26".parse().unwrap()
}

/// The catalog that the program was built with.
fn catalog() -> Catalog {
    crate::catalog::look_local(std::path::Path::new("/nonexistent")).unwrap()
}

/// Lints what was opened, against a catalog.
fn lint_with(subject: &Subject, catalog: &Catalog) -> Findings {
    let platforms = ["linux/amd64".parse().unwrap()];
    let permissions = Permissions::default();
    let terms = Terms { catalog, platforms: &platforms, permissions: &permissions, as_of: today() };
    lint(subject, &terms).unwrap()
}

/// An app file by itself.
fn alone(bytes: &[u8]) -> Subject {
    let file = AppText { name: FILE_NAME.to_owned(), bytes: bytes.to_vec(), is_named: false };
    Subject { tree: lapstrake_oci::tree::FileTree::new(), directory: None, file: Some(file) }
}

/// The problems as lines of place, severity, rule, and message with the hint behind an arrow.
fn lines(findings: &Findings) -> Vec<String> {
    let line = |found: &Diagnostic| {
        let hint = found.hint.as_ref().map(|hint| format!(" -> {hint}")).unwrap_or_default();
        let (file, at, rule) = (&found.file, found.at.start, found.rule.id());
        format!("{file}:{at} {} {rule} {}{hint}", found.severity, found.message)
    };
    findings.diagnostics.iter().map(line).collect()
}
