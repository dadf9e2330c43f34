//! From a request to an entry, and why.

mod error;
mod reason;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use error::{Refusal, ResolveError, Successor};
pub use reason::{Reason, Warning};

use crate::engines::EnginesRange;
use crate::requires_python::RequiresPython;
use crate::runtime_name::{Line, Wanted, dotted};
use crate::{
    Catalog, Date, Entry, EntryId, ImageKind, PlatformKey, Request, Revocation, Status, Version,
    VersionRequest,
};

/// What a user allows that is refused otherwise, and what the policy asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Entries that may be taken although their support has ended. Naming one pins it.
    pub allow_eol: Vec<EntryId>,
    /// Entries that may be taken although they are revoked, and the user's reason. Naming one pins it.
    pub allow_revoked: BTreeMap<EntryId, String>,
    /// How many days an entry must have been out before a build takes it that is not pinned to it.
    pub min_build_age_days: u16,
}

/// The entry that a request gives, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// Its status on the day of the request.
    pub status: Status,
    /// What led to it, in order.
    pub reasons: Vec<Reason>,
    /// What the user should know of it.
    pub warnings: Vec<Warning>,
}

impl Catalog {
    /// Answers a request for all of these platforms as of a day.
    ///
    /// An entry of preview is taken only where the version lock names its line, one whose support has ended or
    /// that is revoked only with a permission that names it.
    pub fn resolve(
        &self,
        request: &Request,
        platforms: &[PlatformKey],
        as_of: Date,
        permissions: &Permissions,
    ) -> Result<Resolution<'_>, ResolveError> {
        let line = self.line(&request.runtime)?;
        let wanted = self.wanted(request, &line)?;
        let query = Query { catalog: self, request, platforms, as_of, permissions, line, wanted };
        query.in_reach_of_range().answer()
    }
}

struct Query<'a, 'q> {
    catalog: &'a Catalog,
    request: &'q Request,
    platforms: &'q [PlatformKey],
    as_of: Date,
    permissions: &'q Permissions,
    line: Line<'a>,
    wanted: Wanted,
}

/// The range that a file of the app asks for.
enum Range {
    Engines(EnginesRange),
    Python(RequiresPython),
}

impl Range {
    fn is_satisfied_by(&self, version: Version) -> bool {
        match self {
            Self::Engines(range) => range.is_satisfied_by(version),
            Self::Python(range) => range.is_satisfied_by(version),
        }
    }

    /// Tells whether a version that begins with these numbers may lie in the range, even if there is none yet.
    fn reaches(&self, line: &[u64]) -> bool {
        match (self, line) {
            (Self::Python(range), &[major, minor]) => range.reaches(major, minor),
            // A runtime of Node.js has no other line than its default.
            _ => true,
        }
    }
}

impl<'a> Query<'a, '_> {
    /// Leaves the default of the catalog where no version of it can lie in the range, and takes in every line of the name.
    ///
    /// What the line has today does not count: a release that is added to it would bring the answer back from a higher line.
    fn in_reach_of_range(mut self) -> Self {
        let (Some(range), _) = self.range() else { return self };
        if self.wanted.took_default && !range.reaches(&self.wanted.components) {
            self.wanted.components.clone_from(&self.line.fixed);
            self.wanted.took_default = false;
        }
        self
    }

    fn answer(&self) -> Result<Resolution<'a>, ResolveError> {
        let (range, unreadable) = self.range();
        let mut candidates = self.for_platforms(self.of_version()?)?;
        // Beside a lock the range does not choose: it only has to hold for what the lock gives.
        if let Some(range) = range.as_ref().filter(|_| self.request.version.is_none()) {
            candidates.retain(|entry| range.is_satisfied_by(entry.version));
            if candidates.is_empty() {
                return Err(self.range_conflict(range, None));
            }
        }
        let chosen = self.choose(&candidates)?;
        if let Some(range) = range.as_ref().filter(|range| !range.is_satisfied_by(chosen.version)) {
            return Err(self.range_conflict(range, Some(&chosen.id)));
        }
        self.check_digest(chosen)?;
        let status = self.status(chosen);
        let mut warnings = unreadable.into_iter().collect::<Vec<_>>();
        warnings.extend(self.warning(chosen));
        Ok(Resolution {
            entry: chosen,
            status,
            reasons: self.reasons(chosen, candidates.len(), range.as_ref()),
            warnings,
        })
    }

    /// Returns the range that takes part, or the warning that its text is none.
    fn range(&self) -> (Option<Range>, Option<Warning>) {
        let (range, unreadable): (_, fn(String) -> Warning) = match self.line.record.language.as_str() {
            "node" => (&self.request.engines, |text| Warning::EnginesUnreadable { text }),
            "python" if self.request.version.is_none() => {
                (&self.request.requires_python, |text| Warning::RequiresPythonUnreadable { text })
            }
            _ => return (None, None),
        };
        let Some(text) = range else { return (None, None) };
        let parsed = match self.line.record.language.as_str() {
            "node" => EnginesRange::parse(text).map(Range::Engines),
            _ => RequiresPython::parse(text).map(Range::Python),
        };
        match parsed {
            Some(range) => (Some(range), None),
            None => (None, Some(unreadable(text.clone()))),
        }
    }

    fn of_version(&self) -> Result<Vec<&'a Entry>, ResolveError> {
        let of_runtime = self.catalog.entries.iter().filter(|entry| entry.runtime == self.line.runtime);
        let fitting = of_runtime.filter(|entry| entry.version.begins_with(&self.wanted.components));
        let fitting = fitting.collect::<Vec<_>>();
        let build = self.request.version.as_ref().and_then(VersionRequest::build);
        let pinned = fitting.iter().copied().filter(|entry| build.is_none_or(|build| entry.build == build));
        let pinned = pinned.collect::<Vec<_>>();
        if pinned.is_empty() { Err(self.unknown_version(&fitting)) } else { Ok(pinned) }
    }

    /// The versions that the name of the runtime allows, newest first. That of a line promises no more than that line.
    fn available(&self) -> Vec<Version> {
        let versions = self.catalog.versions(self.line.runtime);
        let mut available =
            versions.filter(|version| version.begins_with(&self.line.fixed)).collect::<Vec<_>>();
        available.sort_unstable_by(|a, b| b.cmp(a));
        available.dedup();
        available
    }

    fn unknown_version(&self, of_other_build: &[&Entry]) -> ResolveError {
        let version = self.request.version.as_ref().map(ToString::to_string);
        ResolveError::UnknownVersion {
            runtime: self.request.runtime.clone(),
            version: version.unwrap_or_else(|| dotted(&self.wanted.components)),
            available: self.available(),
            builds: of_other_build.iter().map(|entry| entry.id.clone()).collect(),
        }
    }

    fn for_platforms(&self, candidates: Vec<&'a Entry>) -> Result<Vec<&'a Entry>, ResolveError> {
        let missing = |entry: &Entry| {
            let lacks = |platform: &&PlatformKey| !entry.platforms.contains_key(*platform);
            self.platforms.iter().filter(lacks).cloned().collect::<Vec<_>>()
        };
        let (fitting, others): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|entry| missing(entry).is_empty());
        match others.into_iter().max_by_key(|entry| &entry.id).filter(|_| fitting.is_empty()) {
            Some(newest) => Err(ResolveError::NotForPlatform {
                id: newest.id.clone(),
                missing: missing(newest),
                available: newest.platforms.keys().cloned().collect(),
            }),
            None => Ok(fitting),
        }
    }

    fn choose(&self, candidates: &[&'a Entry]) -> Result<&'a Entry, ResolveError> {
        let mut refused = Vec::new();
        let mut taken = Vec::new();
        for &entry in candidates {
            match self.refusal(entry) {
                Some(refusal) => refused.push((entry.id.clone(), refusal)),
                None => taken.push((rank(self.own_status(entry)), &entry.id, entry)),
            }
        }
        if let Some((_, _, entry)) = taken.into_iter().max_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1))) {
            // The revision is pinned, so nothing else takes the place of what was revoked since.
            return match self.refusal_by_later(entry) {
                None => Ok(entry),
                Some(refusal) => {
                    let (request, refused) = (self.request.to_string(), vec![(entry.id.clone(), refusal)]);
                    Err(ResolveError::Refused { request, refused, successor: None })
                }
            };
        }
        refused.sort_by(|a, b| b.0.cmp(&a.0));
        let successor = candidates.first().and_then(|entry| self.successor(entry));
        Err(ResolveError::Refused { request: self.request.to_string(), refused, successor })
    }

    fn status(&self, entry: &Entry) -> Status {
        self.catalog.status_at(entry, self.as_of)
    }

    /// The status by the revision alone, without what is known of later ones.
    fn own_status(&self, entry: &Entry) -> Status {
        self.catalog.own_status_at(entry, self.as_of)
    }

    fn is_pinned(&self, id: &EntryId) -> bool {
        let by_build = self.request.version.as_ref().is_some_and(|version| version.build().is_some());
        by_build || self.permissions.allow_eol.contains(id) || self.permissions.allow_revoked.contains_key(id)
    }

    fn refusal(&self, entry: &Entry) -> Option<Refusal> {
        let reached = |date: Option<Date>| date.filter(|date| *date <= self.as_of);
        match self.own_status(entry) {
            Status::Revoked => self.refusal_of_revoked(entry),
            Status::Eol => match reached(entry.block_on) {
                Some(since) => Some(Refusal::Blocked { since }),
                None if self.permissions.allow_eol.contains(&entry.id) => None,
                None => Some(Refusal::EndOfLife { since: self.catalog.dates(entry).eol }),
            },
            Status::Preview if !self.wanted.is_locked && !self.is_pinned(&entry.id) => Some(Refusal::Preview),
            _ if self.is_too_young(entry) => {
                let days = self.permissions.min_build_age_days;
                Some(Refusal::TooYoung { released: entry.released, days })
            }
            _ => None,
        }
    }

    fn refusal_of_revoked(&self, entry: &Entry) -> Option<Refusal> {
        if self.permissions.allow_revoked.contains_key(&entry.id) {
            return None;
        }
        let revoked = entry.revoked.as_ref();
        Some(Refusal::Revoked {
            reason: revoked.map(|revoked| revoked.reason.clone()).unwrap_or_default(),
            replacement: revoked.and_then(|revoked| revoked.replacement.clone()),
            since: None,
        })
    }

    fn refusal_by_later(&self, entry: &Entry) -> Option<Refusal> {
        let later = self.catalog.later.get(&entry.id)?;
        if self.permissions.allow_revoked.contains_key(&entry.id) {
            return None;
        }
        let Revocation { reason, replacement, .. } = later.revocation.clone();
        Some(Refusal::Revoked { reason, replacement, since: Some(later.revision) })
    }

    fn is_too_young(&self, entry: &Entry) -> bool {
        let replaced = entry.replaces.as_ref().and_then(|id| self.catalog.entry(id));
        let replaces_revoked = replaced.is_some_and(|replaced| self.status(replaced) == Status::Revoked);
        let age = self.as_of.days_since(entry.released);
        let least = i32::from(self.permissions.min_build_age_days);
        // Where no age is asked for, a clock that is behind is no reason to refuse anything.
        least > 0 && age < least && !self.is_pinned(&entry.id) && !replaces_revoked
    }

    fn check_digest(&self, entry: &Entry) -> Result<(), ResolveError> {
        let Some(expected) = self.request.version.as_ref().and_then(VersionRequest::digest) else {
            return Ok(());
        };
        let [platform] = self.platforms else {
            return Err(ResolveError::DigestOfSeveral { platforms: self.platforms.to_vec() });
        };
        let run = entry.platforms.get(platform).and_then(|record| record.images.get(&ImageKind::Run));
        let found = run.and_then(|image| image.manifest.as_ref());
        if found == Some(expected) {
            return Ok(());
        }
        Err(ResolveError::DigestMismatch {
            id: entry.id.clone(),
            platform: platform.clone(),
            expected: Box::new(expected.clone()),
            found: found.cloned().map(Box::new),
        })
    }

    fn range_conflict(&self, range: &Range, chosen: Option<&EntryId>) -> ResolveError {
        match range {
            Range::Engines(_) => ResolveError::EnginesConflict {
                engines: self.request.engines.clone().unwrap_or_default(),
                request: self.request.to_string(),
                chosen: chosen.cloned(),
                satisfying: self.satisfying(range).map(Box::new),
            },
            Range::Python(_) => ResolveError::RequiresPythonConflict {
                runtime: self.request.runtime.clone(),
                range: self.request.requires_python.clone().unwrap_or_default(),
                default: self.wanted.took_default.then(|| dotted(&self.wanted.components)),
                available: self.available(),
            },
        }
    }

    /// Finds what to ask for instead: a version of the same runtime, or else the newest of another.
    fn satisfying(&self, range: &Range) -> Option<Successor> {
        let usable = self.catalog.entries.iter().filter(|entry| {
            let status = self.status(entry);
            let language = self.catalog.runtimes.get(&entry.runtime).map(|record| record.language.as_str());
            matches!(status, Status::Active | Status::Deprecated)
                && language == Some(self.line.record.language.as_str())
                && self.platforms.iter().all(|platform| entry.platforms.contains_key(platform))
                && range.is_satisfied_by(entry.version)
        });
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            usable.partition(|entry| entry.runtime == self.line.runtime);
        if let Some(version) = here.iter().map(|entry| entry.version).max() {
            let (runtime, version) = (self.request.runtime.clone(), Some(version.to_string()));
            return Some(Successor { runtime, version });
        }
        let newest = elsewhere.into_iter().max_by_key(|entry| (rank(self.status(entry)), entry.version))?;
        Some(Successor { runtime: newest.runtime.clone(), version: None })
    }

    /// Names what to move to when this entry may no longer be used.
    fn successor(&self, entry: &Entry) -> Option<Successor> {
        if let Some(runtime) = &self.line.record.successor {
            return Some(Successor { runtime: runtime.clone(), version: None });
        }
        let default = crate::version::numbers(&self.line.record.default)?;
        let (runtime, version) = (self.line.runtime.to_owned(), Some(self.line.record.default.clone()));
        (!entry.version.begins_with(&default)).then_some(Successor { runtime, version })
    }

    fn reasons(&self, chosen: &Entry, of: usize, range: Option<&Range>) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let runtime = self.line.runtime.to_owned();
        if self.line.is_alias {
            let (name, line) = (self.request.runtime.clone(), dotted(&self.line.fixed));
            reasons.push(Reason::Alias { name, runtime: runtime.clone(), line });
        }
        if self.wanted.took_default {
            reasons.push(Reason::Default { runtime, version: self.line.record.default.clone() });
        }
        if let Some(version) = &self.request.version {
            reasons.push(Reason::Locked { version: version.to_string() });
        }
        match (range, &self.request.engines, &self.request.requires_python) {
            (Some(Range::Engines(_)), Some(text), _) => reasons.push(Reason::Engines { range: text.clone() }),
            (Some(Range::Python(_)), _, Some(text)) => {
                reasons.push(Reason::RequiresPython { range: text.clone() });
            }
            _ => {}
        }
        reasons.push(self.last_reason(chosen, of));
        reasons
    }

    fn last_reason(&self, chosen: &Entry, of: usize) -> Reason {
        let id = chosen.id.clone();
        let status = self.status(chosen);
        let by_permission = self.permissions.allow_eol.contains(&id) && status == Status::Eol
            || self.permissions.allow_revoked.contains_key(&id) && status == Status::Revoked;
        if by_permission {
            Reason::Permitted { id, status }
        } else if self.is_pinned(&id) {
            Reason::Pinned { id }
        } else {
            Reason::Newest { id, status, of }
        }
    }

    fn warning(&self, entry: &Entry) -> Option<Warning> {
        let id = entry.id.clone();
        let dates = self.catalog.dates(entry);
        match self.status(entry) {
            Status::Active => None,
            Status::Preview => Some(Warning::Preview { id }),
            Status::Deprecated => {
                let (since, eol) = (dates.deprecated, dates.eol);
                Some(Warning::Deprecated { id, since, eol, successor: self.successor(entry) })
            }
            Status::Eol => {
                let successor = self.successor(entry);
                Some(Warning::EndOfLife { id, since: dates.eol, successor })
            }
            Status::Revoked => {
                let reason = self.catalog.revocation(entry).map(|revoked| revoked.reason.clone());
                let permission = self.permissions.allow_revoked.get(&entry.id).cloned();
                Some(Warning::Revoked {
                    id,
                    reason: reason.unwrap_or_default(),
                    permission: permission.unwrap_or_default(),
                })
            }
        }
    }
}

/// Orders the statuses by how gladly an entry is taken.
fn rank(status: Status) -> u8 {
    match status {
        Status::Active => 4,
        Status::Deprecated => 3,
        Status::Preview => 2,
        Status::Eol => 1,
        Status::Revoked => 0,
    }
}

/// Lists versions for a message, newest first.
fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(|item| format!("`{}`", item.to_string())).collect::<Vec<_>>().join(", ")
}

/// Lists the newest versions for a message; a line can have dozens.
fn newest(versions: &[Version]) -> String {
    let shown = list(&versions[..versions.len().min(8)]);
    if versions.len() > 8 { format!("{shown} and {} older", versions.len() - 8) } else { shown }
}
