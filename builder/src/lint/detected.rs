//! Where there is no app file: what a build would make of the app's own files.

use super::{Findings, Subject, hidden, runtime};
use crate::app_file::{self, Diagnostic, FILE_NAME, Rule, Span};
use crate::detect::{DetectError, Detected, VersionWish, detect};
use crate::failure::Failure;
use crate::inputs::in_directory;
use crate::runtime_choice::{Chosen, Engines, Terms, choose};
use crate::settings::Settings;

/// Judges an app without an app file.
pub(super) fn judge(
    subject: &Subject,
    terms: &Terms<'_, '_>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let Some(found) = look(subject, findings)? else { return Ok(()) };
    if let Some((chosen, engines)) = decide(&found, subject, terms, findings)? {
        let file = missing_file(subject)?;
        runtime::warn(&chosen, (&file, Span::at(1, 1)), engines.as_ref(), findings);
    }
    findings.detected = Some(found);
    Ok(())
}

/// The app file that is not there.
fn missing_file(subject: &Subject) -> Result<String, Failure> {
    Ok(in_directory(subject.directory.as_ref(), FILE_NAME)?.to_string())
}

/// A problem of an app that has no app file.
fn of_nothing(
    subject: &Subject,
    rule: Rule,
    what: String,
    hint: Option<String>,
) -> Result<Diagnostic, Failure> {
    let problem = Diagnostic::error(rule, &missing_file(subject)?, Span::at(1, 1), what);
    Ok(hidden(Diagnostic { hint, ..problem }))
}

/// What the app's own files say; where they say nothing, that is a problem.
pub(crate) fn look(subject: &Subject, findings: &mut Findings) -> Result<Option<Detected>, Failure> {
    let paths: Vec<String> = subject.tree.iter().map(|(path, _)| path.to_string()).collect();
    let place = subject.directory.as_ref().map(ToString::to_string).unwrap_or_default();
    let missing = app_file::not_found(&place, paths.iter().map(String::as_str));
    // Nothing is guessed where an app file has only the wrong name.
    if missing.is_misnamed() {
        findings.add(of_nothing(subject, Rule::FileName, missing.to_string(), missing.hint())?);
        return Ok(None);
    }
    let problem = match detect(&subject.tree, subject.directory.as_ref(), None) {
        Ok(found) => return Ok(Some(found)),
        Err(DetectError::Malformed { diagnostic, text }) => {
            findings.show(&diagnostic.file, &text);
            *diagnostic
        }
        Err(DetectError::Nothing(_)) if missing.hint().is_some() => {
            of_nothing(subject, Rule::NothingFound, missing.to_string(), missing.hint())?
        }
        Err(DetectError::Nothing(nothing)) => {
            of_nothing(subject, Rule::NothingFound, nothing.to_string(), Some(nothing.hint()))?
        }
        Err(error) => return Err(error.into()),
    };
    findings.add(problem);
    Ok(None)
}

/// What a build would make of what was found; why it would not is a problem.
pub(crate) fn decide<'c>(
    found: &Detected,
    subject: &Subject,
    terms: &Terms<'c, '_>,
    findings: &mut Findings,
) -> Result<Option<(Chosen<'c>, Option<Engines>)>, Failure> {
    let engines = runtime::engines(Some(found.language), subject, findings)?;
    let settings = match Settings::of_detected(found).complete(&found.start_sought) {
        Ok(settings) => settings,
        Err(failure) => {
            findings.add(of_nothing(subject, Rule::NothingFound, failure.what, failure.hint)?);
            return Ok(None);
        }
    };
    match choose(&settings, terms, engines.as_ref()) {
        Ok(chosen) => Ok(Some((chosen, engines))),
        Err(refusal) => {
            let problem = of_nothing(subject, refusal.rule, refusal.message, refusal.hint)?;
            let because = found.version.as_ref().map(VersionWish::because);
            findings.add(match because.and_then(|because| Some((because.file.clone(), because.at?))) {
                Some((file, at)) => Diagnostic { file, at: Span::at(at.line, at.column), ..problem },
                None => problem,
            });
            Ok(None)
        }
    }
}
