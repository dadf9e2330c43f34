//! Where there is no app file: what a build would make of the app's own files.

use super::runtime::{engines, warn};
use super::{Findings, Subject, hidden};
use crate::app_file::{self, Diagnostic, FILE_NAME, Rule, Span};
use crate::detect::{DetectError, Detected, detect};
use crate::failure::Failure;
use crate::inputs::in_directory;
use crate::runtime_choice::{Terms, choose};
use crate::settings::Settings;

/// Judges an app without an app file.
pub(super) fn judge(
    subject: &Subject,
    terms: &Terms<'_, '_>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let paths: Vec<String> = subject.tree.iter().map(|(path, _)| path.to_string()).collect();
    let place = subject.directory.as_ref().map(ToString::to_string).unwrap_or_default();
    let missing = app_file::not_found(&place, paths.iter().map(String::as_str));
    let file = in_directory(subject.directory.as_ref(), FILE_NAME)?.to_string();
    let nowhere = |rule, what: String, hint: Option<String>| {
        hidden(Diagnostic { hint, ..Diagnostic::error(rule, &file, Span::at(1, 1), what) })
    };
    // Nothing is guessed where an app file has only the wrong name.
    if missing.is_misnamed() {
        findings.add(nowhere(Rule::FileName, missing.to_string(), missing.hint()));
        return Ok(());
    }
    match detect(&subject.tree, subject.directory.as_ref(), None) {
        Ok(found) => of_detected(found, subject, terms, findings, &nowhere)?,
        Err(DetectError::Malformed { diagnostic, text }) => {
            findings.show(&diagnostic.file, &text);
            findings.add(*diagnostic);
        }
        Err(DetectError::Nothing(_)) if missing.hint().is_some() => {
            findings.add(nowhere(Rule::NothingFound, missing.to_string(), missing.hint()));
        }
        Err(DetectError::Nothing(nothing)) => {
            findings.add(nowhere(Rule::NothingFound, nothing.to_string(), Some(nothing.hint())));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn of_detected(
    found: Detected,
    subject: &Subject,
    terms: &Terms<'_, '_>,
    findings: &mut Findings,
    nowhere: &dyn Fn(Rule, String, Option<String>) -> Diagnostic,
) -> Result<(), Failure> {
    let engines = engines(subject, findings)?;
    match Settings::of_detected(&found).complete(&found.start_sought) {
        Err(failure) => findings.add(nowhere(Rule::NothingFound, failure.what, failure.hint)),
        Ok(settings) => match choose(&settings, terms, engines.as_ref()) {
            Err(refusal) => {
                let wish = found.version.as_ref().map(|wish| wish.because());
                let at = wish.and_then(|because| Some((because.file.as_str(), because.at?)));
                let diagnostic = nowhere(refusal.rule, refusal.message, refusal.hint);
                findings.add(match at {
                    Some((file, at)) => {
                        Diagnostic { file: file.to_owned(), at: Span::at(at.line, at.column), ..diagnostic }
                    }
                    None => diagnostic,
                });
            }
            Ok(chosen) => {
                let file = in_directory(subject.directory.as_ref(), FILE_NAME)?.to_string();
                warn(&chosen, (&file, Span::at(1, 1)), engines.as_ref(), findings);
            }
        },
    }
    findings.detected = Some(found);
    Ok(())
}
