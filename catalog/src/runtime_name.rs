//! From the name in an app file to the versions that it allows.

use crate::nearest::{nearest, nearest_first};
use crate::resolve::ResolveError;
use crate::revision::RuntimeRecord;
use crate::version::{VersionRequest, numbers};
use crate::{Catalog, Request, Version};

/// A runtime, and the part of its versions that a name fixes.
pub(crate) struct Line<'a> {
    /// The name of the runtime that the entries carry.
    pub(crate) runtime: &'a str,
    pub(crate) record: &'a RuntimeRecord,
    /// The numbers that the name fixes: 3.11 for `python311`, 22 for `nodejs22`.
    pub(crate) fixed: Vec<u64>,
    pub(crate) is_alias: bool,
}

/// The versions that a request allows.
pub(crate) struct Wanted {
    /// The numbers with which a version must begin.
    pub(crate) components: Vec<u64>,
    /// Whether the default of the catalog was needed to fix the minor.
    pub(crate) took_default: bool,
    /// Whether the version lock itself fixes the line, so that even a preview of it was meant.
    pub(crate) is_locked: bool,
}

impl Catalog {
    /// Finds what a name stands for: a runtime, or a line of one.
    pub(crate) fn line(&self, name: &str) -> Result<Line<'_>, ResolveError> {
        if let Some((runtime, record)) = self.runtimes.get_key_value(name) {
            let digits = runtime.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            let fixed = numbers(digits).unwrap_or_default();
            return Ok(Line { runtime, record, fixed, is_alias: false });
        }
        let alias = self.runtimes.iter().find_map(|(runtime, record)| {
            let fixed = numbers(record.aliases.get(name)?)?;
            Some(Line { runtime, record, fixed, is_alias: true })
        });
        alias.ok_or_else(|| self.unknown_runtime(name))
    }

    /// Lists the names that an app file may use.
    pub fn runtime_names(&self) -> impl Iterator<Item = &str> {
        let names = self
            .runtimes
            .iter()
            .flat_map(|(name, record)| std::iter::once(name).chain(record.aliases.keys()));
        names.map(String::as_str)
    }

    fn unknown_runtime(&self, name: &str) -> ResolveError {
        ResolveError::UnknownRuntime {
            runtime: name.to_owned(),
            nearest: nearest(name, self.runtime_names()).map(str::to_owned),
            known: nearest_first(name, self.runtime_names()).into_iter().map(str::to_owned).collect(),
        }
    }

    /// Lists the names, of those that there are, under which a version can be asked for.
    pub(crate) fn names_for(&self, language: &str, components: &[u64]) -> Vec<String> {
        let lines = self.runtime_names().filter_map(|name| Some((name, self.line(name).ok()?)));
        let fitting = lines.filter(|(_, line)| {
            let held = self.versions(line.runtime).any(|version| version.begins_with(components));
            line.record.language == language && agree(&line.fixed, components) && held
        });
        fitting.map(|(name, _)| name.to_owned()).collect()
    }

    /// Lists the versions of a runtime, one for each entry.
    pub(crate) fn versions<'a>(&'a self, runtime: &'a str) -> impl Iterator<Item = Version> + 'a {
        self.entries.iter().filter(move |entry| entry.runtime == runtime).map(|entry| entry.version)
    }

    /// Narrows a line by the version lock, or by the catalog's default where the lock leaves the minor open.
    pub(crate) fn wanted(&self, request: &Request, line: &Line<'_>) -> Result<Wanted, ResolveError> {
        let lock = request.version.as_ref().map(VersionRequest::components);
        let mut components = line.fixed.clone();
        if let Some(lock) = lock {
            if !agree(lock, &components) {
                return Err(self.outside_line(request, line, lock));
            }
            if lock.len() > components.len() {
                components = lock.to_vec();
            }
        }
        let default = numbers(&line.record.default).unwrap_or_default();
        let took_default = !line.is_alias && default.len() > components.len() && agree(&default, &components);
        if took_default {
            components = default;
        }
        let is_locked = lock.is_some_and(|lock| lock.len() >= components.len());
        Ok(Wanted { components, took_default, is_locked })
    }

    fn outside_line(&self, request: &Request, line: &Line<'_>, lock: &[u64]) -> ResolveError {
        ResolveError::OutsideLine {
            runtime: request.runtime.clone(),
            line: dotted(&line.fixed),
            version: request.version.as_ref().map(ToString::to_string).unwrap_or_default(),
            fitting: self.names_for(&line.record.language, lock),
            lines: self.line_names(&line.record.language),
        }
    }

    /// Lists the names of runtimes of one language.
    fn line_names(&self, language: &str) -> Vec<String> {
        let of_language = |name: &&str| self.line(name).is_ok_and(|line| line.record.language == language);
        self.runtime_names().filter(of_language).map(str::to_owned).collect()
    }
}

/// Tells whether one of two versions begins with the other.
fn agree(a: &[u64], b: &[u64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a == b)
}

pub(crate) fn dotted(components: &[u64]) -> String {
    components.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}
