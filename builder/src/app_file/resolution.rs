//! What the catalog answers to an app file, as a problem of that file.

use lapstrake_catalog::ResolveError;

use super::diagnostic::{Diagnostic, Position, Span};
use super::rule::Rule;
use super::{AppFile, Located};

/// Turns the catalog's refusal of what the file asks for into a problem at the place that asks for it.
#[must_use]
pub fn refusal(file_name: &str, app_file: &AppFile, error: &ResolveError) -> Diagnostic {
    let at = match (&app_file.run.runtime_version, error) {
        (_, ResolveError::UnknownRuntime { .. }) | (None, _) => app_file.runtime.at,
        (Some(Located { at, .. }), _) => *at,
    };
    at_place(file_name, at, error)
}

/// Does the same where `engines.node` took part: a conflict with it names both places.
#[must_use]
pub fn refusal_with_engines(
    file_name: &str,
    app_file: &AppFile,
    error: &ResolveError,
    engines: (&str, Position),
) -> Diagnostic {
    let mut diagnostic = refusal(file_name, app_file, error);
    if let ResolveError::EnginesConflict { .. } = error {
        let (file, position) = engines;
        diagnostic.message = format!("{}, at {file}:{position}", diagnostic.message);
    }
    diagnostic
}

fn at_place(file_name: &str, at: Span, error: &ResolveError) -> Diagnostic {
    let diagnostic = Diagnostic::error(rule(error), file_name, at, error.to_string());
    match error.hint() {
        Some(hint) => diagnostic.with_hint(hint),
        None => diagnostic,
    }
}

fn rule(error: &ResolveError) -> Rule {
    match error {
        ResolveError::UnknownRuntime { .. } => Rule::UnknownRuntime,
        ResolveError::NotForPlatform { .. } => Rule::RuntimePlatform,
        ResolveError::EnginesConflict { .. } => Rule::EnginesConflict,
        ResolveError::Refused { .. } => Rule::RuntimeRefused,
        ResolveError::OutsideLine { .. }
        | ResolveError::UnknownVersion { .. }
        | ResolveError::DigestOfSeveral { .. }
        | ResolveError::DigestMismatch { .. } => Rule::UnknownVersion,
    }
}
