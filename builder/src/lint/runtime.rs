//! What the catalog says of the runtime that an app asks for.

use lapstrake_catalog::Warning;

use super::{Findings, Subject};
use crate::app_file::{Asked, Diagnostic, Rule, Severity, Span};
use crate::detect::{self, DetectError, Language};
use crate::failure::Failure;
use crate::origin::{Origin, Set};
use crate::package_json;
use crate::runtime_choice::{Chosen, Engines, Terms, choose_runtime};
use crate::settings::Runtime;

/// Judges the runtime of an app file, as far as the file could be read.
pub(super) fn judge(
    name: &str,
    asked: &Asked,
    subject: &Subject,
    terms: &Terms<'_, '_>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let Some(runtime) = &asked.runtime else { return Ok(()) };
    let language = Language::of_runtime(&runtime.value);
    let engines = engines(language, subject, findings)?;
    let from = |at| Origin::File { name: name.to_owned(), at };
    let version = asked.version.as_ref().map(|version| Set::new(version.value.clone(), from(version.at)));
    let place = (name, version.as_ref().map_or(runtime.at, |version| span(&version.origin, runtime.at)));
    let runtime = Runtime::Named(Set::new(runtime.value.clone(), from(runtime.at)));
    let judged = choose_runtime(&runtime, version.as_ref(), terms, engines.as_ref());
    match judged {
        // A lock that could not be read would have chosen otherwise.
        Err(refusal) if asked.is_version_unread && refusal.rule != Rule::UnknownRuntime => {}
        Ok(_) if asked.is_version_unread => {}
        Err(refusal) => {
            let at = span(&refusal.origin, place.1);
            let diagnostic = Diagnostic::error(refusal.rule, name, at, refusal.message);
            findings.add(Diagnostic { hint: refusal.hint, ..diagnostic });
        }
        Ok(chosen) => {
            warn(&chosen, place, engines.as_ref(), findings);
            warn_of_mismatches(&chosen, place, subject, findings);
        }
    }
    Ok(())
}

/// Tells which of the app's own files ask for another version, each at its place and with that of the app file.
fn warn_of_mismatches(chosen: &Chosen<'_>, place: (&str, Span), subject: &Subject, findings: &mut Findings) {
    let entry = chosen.resolution.entry;
    let Some(language) = Language::of_runtime(&entry.runtime) else { return };
    let directory = subject.directory.as_ref();
    match detect::mismatches(&subject.tree, directory, language, entry.version) {
        Ok(found) => found.into_iter().for_each(|finding| {
            let message = format!("{}, but {}:{} gives {}", finding.says, place.0, place.1.start, entry.id);
            let at = finding.at.map_or(Span::at(1, 1), |at| Span::at(at.line, at.column));
            let severity = Severity::Warning;
            let problem = Diagnostic::error(Rule::VersionMismatch, &finding.file, at, message);
            findings.add(Diagnostic { severity, ..problem });
        }),
        Err(DetectError::Malformed { mut diagnostic, text }) if !findings.tells_of(&diagnostic.file) => {
            findings.show(&diagnostic.file, &text);
            diagnostic.severity = Severity::Warning;
            findings.add(*diagnostic);
        }
        // It is told already, or too large to be a file of versions.
        Err(_) => {}
    }
}

fn span(origin: &Origin, otherwise: Span) -> Span {
    match origin {
        Origin::File { at, .. } => *at,
        _ => otherwise,
    }
}

/// Tells what the user should know of a version that may be taken.
pub(super) fn warn(
    chosen: &Chosen<'_>,
    (name, at): (&str, Span),
    engines: Option<&Engines>,
    findings: &mut Findings,
) {
    for warning in &chosen.resolution.warnings {
        let (rule, name, at) = match (warning, engines) {
            (Warning::EnginesUnreadable { .. }, Some((file, range))) => {
                (Rule::EnginesUnreadable, file.as_str(), range.at)
            }
            _ => (Rule::RuntimeStatus, name, at),
        };
        let severity = Severity::Warning;
        findings.add(Diagnostic { severity, ..Diagnostic::error(rule, name, at, warning.to_string()) });
    }
}

/// The file and the range of `engines.node`, from the `package.json` beside the app file.
pub(super) fn engines(
    language: Option<Language>,
    subject: &Subject,
    findings: &mut Findings,
) -> Result<Option<Engines>, Failure> {
    // Beside a Python app the file may belong to anything.
    if language == Some(Language::Python) {
        return Ok(None);
    }
    let Some((path, bytes)) = subject.near(package_json::FILE_NAME)? else { return Ok(None) };
    let name = path.to_string();
    let text = String::from_utf8_lossy(&bytes);
    findings.show(&name, &text);
    match package_json::engines_node(&name, &text) {
        Ok(range) => Ok(range.map(|range| (name, range))),
        Err(diagnostic) => {
            findings.add(diagnostic);
            Ok(None)
        }
    }
}
