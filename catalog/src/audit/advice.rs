//! What to do about an image.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Finding, Observed, Policy, Rule};
use crate::advisory::Vulnerability;
use crate::{Catalog, Date, Entry, EntryId, Status};

/// What to do about an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Suggestion {
    /// Put the app's layers on a newer entry.
    Rebase {
        /// The entry.
        to: EntryId,
        /// The command that does it.
        command: String,
    },
    /// Build it again.
    Rebuild {
        /// The entry that a build would take, where one is known.
        to: Option<EntryId>,
    },
    /// Ask for another line in the app file, and build it again.
    Change {
        /// The runtime to ask for.
        runtime: String,
        /// The version to ask for, where the runtime has several lines.
        version: Option<String>,
    },
}

impl Suggestion {
    /// The suggestion in words.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Rebase { command, .. } => format!("rebase: {command}"),
            Self::Rebuild { to: Some(to) } => format!("rebuild: a build takes {to}"),
            Self::Rebuild { to: None } => "rebuild".to_owned(),
            Self::Change { runtime, version: Some(version) } => {
                format!("change runtime-version to {version} (runtime: {runtime}) and rebuild")
            }
            Self::Change { runtime, version: None } => format!("change runtime to {runtime} and rebuild"),
        }
    }

    /// The command that does it, where one command does.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        match self {
            Self::Rebase { command, .. } => Some(command),
            Self::Rebuild { .. } | Self::Change { .. } => None,
        }
    }
}

/// The entries that may take an entry's place.
pub(super) struct Successors<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) policy: &'a Policy,
    pub(super) as_of: Date,
    /// What is known against the packages of entries.
    pub(super) vulnerabilities: BTreeMap<EntryId, Vec<Vulnerability>>,
    /// The entries that a build may take on the day, by runtime, oldest first.
    usable: BTreeMap<&'a str, Vec<(&'a Entry, Status)>>,
}

impl<'a> Successors<'a> {
    pub(super) fn new(catalog: &'a Catalog, policy: &'a Policy, as_of: Date) -> Self {
        let mut usable: BTreeMap<&str, Vec<(&Entry, Status)>> = BTreeMap::new();
        for entry in &catalog.entries {
            let status = catalog.status_at(entry, as_of);
            if matches!(status, Status::Active | Status::Deprecated) {
                usable.entry(&entry.runtime).or_default().push((entry, status));
            }
        }
        for entries in usable.values_mut() {
            entries.sort_by_key(|(entry, _)| (entry.version, entry.build));
        }
        Self { catalog, policy, as_of, vulnerabilities: BTreeMap::new(), usable }
    }

    fn usable(&self, runtime: &str) -> &[(&'a Entry, Status)] {
        self.usable.get(runtime).map_or(&[], Vec::as_slice)
    }

    /// Newer entries of the same line, those of the same version among them; oldest first.
    pub(super) fn of_line(&self, entry: &Entry) -> Vec<&'a Entry> {
        let line = self.line(entry);
        let is_newer = |other: &&Entry| {
            other.version.begins_with(&line)
                && (other.version, other.build) > (entry.version, entry.build)
                && entry.platforms.keys().all(|platform| other.platforms.contains_key(platform))
        };
        self.usable(&entry.runtime).iter().map(|(other, _)| *other).filter(is_newer).collect()
    }

    /// The numbers that a line fixes: of Python the minor, of Node.js the major.
    pub(super) fn line(&self, entry: &Entry) -> Vec<u64> {
        let language = self.catalog.runtimes.get(&entry.runtime).map(|record| record.language.as_str());
        let count = if language == Some("node") { 1 } else { 2 };
        entry.version.components()[..count].to_vec()
    }

    /// The newest active entry of a newer line of the runtime, or of the runtimes that follow it.
    pub(super) fn of_newer_line(&self, entry: &Entry) -> Option<&'a Entry> {
        let newest = |runtime: &str, above: Option<&[u64]>| {
            let active = self.usable(runtime).iter().rfind(|(_, status)| *status == Status::Active);
            active
                .map(|(other, _)| *other)
                .filter(|other| above.is_none_or(|above| self.line(other).as_slice() > above))
        };
        if let Some(found) = newest(&entry.runtime, Some(&self.line(entry))) {
            return Some(found);
        }
        let mut seen = vec![entry.runtime.as_str()];
        let mut next = self.successor(&entry.runtime);
        while let Some(runtime) = next.filter(|runtime| !seen.contains(runtime)) {
            if let Some(found) = newest(runtime, None) {
                return Some(found);
            }
            seen.push(runtime);
            next = self.successor(runtime);
        }
        None
    }

    fn successor(&self, runtime: &str) -> Option<&'a str> {
        self.catalog.runtimes.get(runtime)?.successor.as_deref()
    }

    /// What to do about an image on an entry.
    pub(super) fn suggestion(
        &self,
        image: &Observed,
        entry: &Entry,
        findings: &[Finding],
    ) -> Option<Suggestion> {
        let fires =
            |rules: &[Rule]| findings.iter().any(|finding| finding.counts() && rules.contains(&finding.rule));
        let line_ends = fires(&[Rule::Deprecated, Rule::LanguageEnded, Rule::SystemEnded]);
        let replacement = entry.revoked.as_ref().and_then(|revoked| revoked.replacement.as_ref());
        let replacement = replacement
            .and_then(|id| self.catalog.entry(id))
            .filter(|other| self.usable(&other.runtime).iter().any(|(usable, _)| usable.id == other.id));
        let is_old_enough = |other: &&Entry| {
            self.as_of.days_since(other.released) >= i32::from(self.policy.min_build_age_days)
        };
        let newer = replacement.or_else(|| self.of_line(entry).into_iter().rfind(is_old_enough));
        // A newer entry of the line helps only as long as the line itself is supported.
        let lasting =
            newer.filter(|other| !line_ends || self.catalog.status_at(other, self.as_of) == Status::Active);
        match (lasting, self.of_newer_line(entry)) {
            (Some(to), _) => Some(move_to(image, entry, to)),
            (None, Some(to)) if line_ends || fires(&[Rule::Revoked, Rule::NewerLine]) => {
                Some(self.change_to(to))
            }
            _ if fires(&[Rule::LabelLies, Rule::Overridden, Rule::PlatformsDiffer]) => {
                Some(Suggestion::Rebuild { to: None })
            }
            _ => None,
        }
    }

    fn change_to(&self, to: &Entry) -> Suggestion {
        let lines = self.catalog.entries.iter().filter(|other| other.runtime == to.runtime);
        let has_others = lines.map(|other| self.line(other)).any(|line| line != self.line(to));
        let line = self.line(to).iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
        Suggestion::Change { runtime: to.runtime.clone(), version: has_others.then_some(line) }
    }
}

fn move_to(image: &Observed, from: &Entry, to: &Entry) -> Suggestion {
    let can_rebase = from.rebaseable && to.rebaseable && from.abi == to.abi && from.os == to.os;
    if !can_rebase {
        return Suggestion::Rebuild { to: Some(to.id.clone()) };
    }
    let name = match image.tags.first() {
        Some(tag) => format!("{}:{tag}", image.repository),
        None => format!("{}@{}", image.repository, image.index.as_ref().unwrap_or(&image.digest)),
    };
    Suggestion::Rebase { to: to.id.clone(), command: format!("lapstrake rebase {name} --to {}", to.id) }
}
