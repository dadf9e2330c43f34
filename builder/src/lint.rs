//! What is wrong with an app, told without building it: all problems of its app file, what the catalog says of the
//! runtime, and where the app's own files contradict it.

pub(crate) mod detected;
mod findings;
mod formats;
mod runtime;
mod sarif;
mod subject;
#[cfg(test)]
mod tests;

use crate::app_file::{self, Diagnostic, FILE_NAME, Rule, Span, decode};
use crate::failure::Failure;
use crate::runtime_choice::Terms;

pub use findings::{Findings, Warnings};
pub use subject::{AppText, Subject};

/// Looks for everything that is wrong. What cannot be looked at at all is a failure.
pub fn lint(subject: &Subject, terms: &Terms<'_, '_>) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    match &subject.file {
        Some(file) => by_file(file, subject, terms, &mut findings)?,
        None => detected::judge(subject, terms, &mut findings)?,
    }
    Ok(findings.sorted())
}

fn by_file(
    file: &AppText,
    subject: &Subject,
    terms: &Terms<'_, '_>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    findings.file = Some(file.name.clone());
    let text = match decode(&file.name, &file.bytes) {
        Ok(text) => text,
        Err(diagnostic) => {
            findings.add(diagnostic);
            return Ok(());
        }
    };
    findings.show(&file.name, text);
    if let Some(diagnostic) = misnamed(file) {
        findings.add(diagnostic);
    }
    let (asked, diagnostics) = app_file::parse_asked(&file.name, text);
    for diagnostic in diagnostics {
        findings.add(diagnostic);
    }
    runtime::judge(&file.name, &asked, subject, terms, findings)
}

/// The problem of an app file that a build would not find.
fn misnamed(file: &AppText) -> Option<Diagnostic> {
    let name = file.name.rsplit('/').next().unwrap_or(&file.name);
    let missing = app_file::not_found("", [name]);
    let hint = missing.hint().filter(|_| missing.is_misnamed() && !file.is_named)?;
    let message = format!("a build looks for `{FILE_NAME}`, and for no other name");
    Some(hidden(Diagnostic::error(Rule::FileName, &file.name, Span::at(1, 1), message)).with_hint(hint))
}

/// A problem of a whole file, or of one that is not there, points at no line.
fn hidden(diagnostic: Diagnostic) -> Diagnostic {
    Diagnostic { is_shown: false, ..diagnostic }
}
