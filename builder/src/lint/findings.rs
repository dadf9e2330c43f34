//! What linting found: the problems, and the texts that they point into.

use std::collections::BTreeMap;

use crate::app_file::{Diagnostic, Severity, render};
use crate::detect::Detected;
use crate::failure::{Exit, Failure};

/// What linting found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The app file, as it is named in messages; none where there is none.
    pub file: Option<String>,
    /// The problems, by file and place.
    pub diagnostics: Vec<Diagnostic>,
    /// What detection decided where there is no app file.
    pub detected: Option<Detected>,
    /// The texts of the files that problems point into.
    pub(super) texts: BTreeMap<String, String>,
}

/// Whether warnings are as bad as errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warnings {
    /// They are told.
    Allowed,
    /// They fail.
    Denied,
}

impl Findings {
    /// How many problems are this bad.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// Whether a problem of a file was found.
    pub(crate) fn tells_of(&self, file: &str) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.file == file)
    }

    /// Fails where something is wrong enough.
    pub fn outcome(&self, warnings: Warnings) -> Result<(), Failure> {
        let is_bad = self.count(Severity::Error) > 0
            || (warnings == Warnings::Denied && self.count(Severity::Warning) > 0);
        if is_bad { Err(Failure::new(Exit::NotUnderstood, self.summary())) } else { Ok(()) }
    }

    /// The failure of a command that can do nothing because of the errors.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        let errors = self.diagnostics.iter().filter(|found| found.severity == Severity::Error);
        let text = |found: &Diagnostic| self.texts.get(&found.file).map(String::as_str).unwrap_or_default();
        let rendered: Vec<String> = errors.map(|found| render(found, text(found))).collect();
        Failure::rendered(Exit::NotUnderstood, rendered.join("\n").trim_end())
    }

    /// Says in one line how many problems there are.
    #[must_use]
    pub fn summary(&self) -> String {
        let file = self.file.as_deref().unwrap_or("the source");
        let kinds = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
        let counts: Vec<String> = kinds
            .into_iter()
            .map(|(severity, name)| (self.count(severity), name))
            .filter(|(count, _)| *count > 0)
            .map(|(count, name)| format!("{count} {name}{}", if count == 1 { "" } else { "s" }))
            .collect();
        match counts.as_slice() {
            [] => format!("{file} has no problems"),
            [one] => format!("{file} has {one}"),
            [first, last] => format!("{file} has {first} and {last}"),
            _ => format!("{file} has {}", counts.join(", ")),
        }
    }

    /// Keeps the text of a file, for the problems that point into it.
    pub(crate) fn show(&mut self, file: &str, text: &str) {
        self.texts.insert(file.to_owned(), text.to_owned());
    }

    /// Adds a problem.
    pub(crate) fn add(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Puts the problems in the order in which people read: those of the app file first, by place.
    pub(crate) fn sorted(mut self) -> Self {
        let file = self.file.clone();
        self.diagnostics.sort_by(|a, b| {
            let key = |diagnostic: &Diagnostic| {
                (Some(&diagnostic.file) != file.as_ref(), diagnostic.file.clone(), diagnostic.at)
            };
            key(a).cmp(&key(b))
        });
        self
    }
}
