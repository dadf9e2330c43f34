//! What lies between two revisions, or between two builds of one version.

use serde::Serialize;

use crate::{Catalog, Entry, EntryId, PackageChange, Revocation, Status};

/// What lies between two revisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// The older revision.
    pub from: u64,
    /// The newer revision.
    pub to: u64,
    /// What happened to entries, by entry.
    pub entries: Vec<EntryChange>,
}

/// What happened to an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum EntryChange {
    /// It is new.
    Added {
        /// The entry.
        id: EntryId,
        /// The one that it replaces.
        replaces: Option<EntryId>,
        /// The packages that differ from that one.
        packages: Vec<PackageChange>,
    },
    /// It has another stored status or date.
    Status {
        /// The entry.
        id: EntryId,
        /// The stored status before.
        from: Status,
        /// The stored status now.
        to: Status,
        /// The day on which it is deprecated, if the maintainers have said one.
        deprecated_on: Option<crate::Date>,
    },
    /// It was revoked.
    Revoked {
        /// The entry.
        id: EntryId,
        /// Since when and why.
        revocation: Revocation,
    },
}

impl EntryChange {
    /// The entry that it is about.
    #[must_use]
    pub fn id(&self) -> &EntryId {
        match self {
            Self::Added { id, .. } | Self::Status { id, .. } | Self::Revoked { id, .. } => id,
        }
    }
}

impl Catalog {
    /// What this revision has that an older one of the same catalog has not.
    #[must_use]
    pub fn since(&self, older: &Self) -> Diff {
        let entries = self.entries.iter().filter_map(|entry| match older.entry(&entry.id) {
            None => Some(EntryChange::Added {
                id: entry.id.clone(),
                replaces: entry.replaces.clone(),
                packages: entry.changes.clone(),
            }),
            Some(before) => changed(before, entry),
        });
        Diff { from: older.revision, to: self.revision, entries: entries.collect() }
    }

    /// The packages that differ between two builds of one version, as the catalog has recorded them build by build; none
    /// where the newer one does not replace the older one.
    #[must_use]
    pub fn packages_between(&self, older: &EntryId, newer: &EntryId) -> Option<Vec<PackageChange>> {
        let mut steps = Vec::new();
        let mut at = self.entry(newer)?;
        while at.id != *older {
            steps.push(at);
            at = self.entry(at.replaces.as_ref()?)?;
        }
        let mut packages: Vec<PackageChange> = Vec::new();
        for change in steps.into_iter().rev().flat_map(|entry| &entry.changes) {
            match packages.iter_mut().find(|package| package.package == change.package) {
                Some(package) => {
                    package.to.clone_from(&change.to);
                    package.cves.extend(change.cves.iter().cloned());
                    package.cves.sort();
                    package.cves.dedup();
                }
                None => packages.push(change.clone()),
            }
        }
        packages.sort_by(|a, b| a.package.cmp(&b.package));
        Some(packages)
    }
}

fn changed(before: &Entry, now: &Entry) -> Option<EntryChange> {
    let id = now.id.clone();
    if let Some(revocation) = now.revoked.clone().filter(|_| before.revoked.is_none()) {
        return Some(EntryChange::Revoked { id, revocation });
    }
    let is_same = (before.status, before.deprecated_on, before.eol_on, before.block_on)
        == (now.status, now.deprecated_on, now.eol_on, now.block_on);
    let deprecated_on = now.deprecated_on;
    (!is_same).then_some(EntryChange::Status { id, from: before.status, to: now.status, deprecated_on })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Edit;
    use crate::sample::{change, date, examples, new_entry};

    #[test]
    fn additions_and_changes_of_status_are_told() {
        let before = examples();
        let id: EntryId = "nodejs24-24.20.0-1".parse().unwrap();
        let edits = vec![Edit::Deprecate { id: id.clone(), on: date("2027-01-01") }];
        let after =
            before.next(crate::Change { edits, ..change(vec![new_entry("python3", "3.13.6", 99)]) }).unwrap();
        let diff = after.since(&before);
        assert_eq!((diff.from, diff.to, diff.entries.len()), (before.revision, after.revision, 2));
        assert!(
            matches!(&diff.entries[0], EntryChange::Status { id: found, .. } if *found == id),
            "{diff:?}"
        );
        assert_eq!(diff.entries[1].id().to_string(), "python3-3.13.6-1");
        assert_eq!(before.since(&before).entries, []);
    }

    #[test]
    fn packages_are_told_over_several_builds() {
        let mut catalog = examples();
        catalog = catalog.next(change(vec![new_entry("python3", "3.13.5", 50)])).unwrap();
        let package = |from: &str, to: &str, cve: &str| PackageChange {
            package: "libssl3t64".to_owned(),
            source: None,
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
            cves: vec![cve.to_owned()],
            note: None,
        };
        for (id, change) in [
            ("python3-3.13.5-2", package("1", "2", "CVE-2026-1")),
            ("python3-3.13.5-3", package("2", "3", "CVE-2026-2")),
        ] {
            let entry = catalog.entries.iter_mut().find(|entry| entry.id.to_string() == id).unwrap();
            entry.changes = vec![change];
        }
        let between = |older: &str, newer: &str| {
            catalog.packages_between(&older.parse().unwrap(), &newer.parse().unwrap())
        };
        let all = between("python3-3.13.5-1", "python3-3.13.5-3").unwrap();
        assert_eq!((all[0].from.as_deref(), all[0].to.as_deref()), (Some("1"), Some("3")));
        assert_eq!(all[0].cves, ["CVE-2026-1", "CVE-2026-2"]);
        assert_eq!(between("python3-3.13.5-3", "python3-3.13.5-1"), None);
        assert_eq!(between("python3-3.13.4-1", "python3-3.13.5-3"), None);
    }
}
