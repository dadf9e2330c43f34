//! Whether an entry may be used, which depends on the day.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Catalog, Date, Entry};

/// Whether an entry may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Offered for trial: taken when asked for.
    Preview,
    /// In use.
    Active,
    /// Still taken, with a warning.
    Deprecated,
    /// Support has ended.
    Eol,
    /// Must not be used.
    Revoked,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preview => "preview",
            Self::Active => "active",
            Self::Deprecated => "deprecated",
            Self::Eol => "eol",
            Self::Revoked => "revoked",
        })
    }
}

/// The days on which an entry's status changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dates {
    /// From when it is deprecated.
    pub deprecated: Option<Date>,
    /// From when it is end of life.
    pub eol: Option<Date>,
}

impl Catalog {
    /// Computes the days on which this entry's status changes.
    #[must_use]
    pub fn dates(&self, entry: &Entry) -> Dates {
        let os = self.oses.get(&entry.os);
        let os_lts = os.and_then(|os| os.os_lts);
        // The distribution patches its own packages past the day on which their makers stop.
        let patched = entry.source.is_patched_by_distribution();
        let upstream = entry.upstream.eol.filter(|_| !patched);
        let eol = earliest([upstream, os_lts, entry.eol_on]);
        let notice = i32::from(self.policy_hints.deprecated_notice_days);
        let deprecated = earliest([
            entry.deprecated_on,
            os.and_then(|os| os.os_eol),
            eol.map(|eol| eol.plus_days(-notice)),
        ]);
        Dates { deprecated, eol }
    }

    /// Computes the status that counts on this day: revoked before eol, before deprecated, before stored.
    ///
    /// What a later revision has revoked is revoked, where it is known.
    #[must_use]
    pub fn status_at(&self, entry: &Entry, as_of: Date) -> Status {
        if self.later.contains_key(&entry.id) { Status::Revoked } else { self.own_status_at(entry, as_of) }
    }

    /// Computes the status by this revision alone.
    pub(crate) fn own_status_at(&self, entry: &Entry, as_of: Date) -> Status {
        let dates = self.dates(entry);
        let reached = |date: Option<Date>| date.is_some_and(|date| date <= as_of);
        if entry.revoked.is_some() || entry.status == Status::Revoked {
            Status::Revoked
        } else if entry.status == Status::Eol || reached(dates.eol) {
            Status::Eol
        } else if entry.status == Status::Deprecated || reached(dates.deprecated) {
            Status::Deprecated
        } else {
            entry.status
        }
    }
}

fn earliest<const N: usize>(dates: [Option<Date>; N]) -> Option<Date> {
    dates.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{date, local};
    use crate::{OsRecord, UpstreamSource};

    /// A catalog with one Node.js entry whose makers stop on 2027-04-30, on a system with support to 2030-06-30.
    fn catalog() -> Catalog {
        let mut catalog = local(&[("nodejs22", "22.14.0", Status::Active)]);
        catalog.entries[0].upstream.eol = Some(date("2027-04-30"));
        catalog
    }

    fn status(catalog: &Catalog, day: &str) -> Status {
        catalog.status_at(&catalog.entries[0], date(day))
    }

    // row 23
    #[test]
    fn an_entry_ages_by_its_dates_alone() {
        let catalog = catalog();
        for (day, expected) in [
            ("2026-11-25", Status::Active),
            ("2027-01-29", Status::Active),
            ("2027-01-30", Status::Deprecated),
            ("2027-04-29", Status::Deprecated),
            ("2027-04-30", Status::Eol),
        ] {
            assert_eq!(status(&catalog, day), expected, "{day}");
        }
    }

    #[test]
    fn the_end_of_the_system_is_the_end_of_the_entry() {
        let mut catalog = catalog();
        let os = OsRecord {
            os_eol: Some(date("2026-07-11")),
            os_lts: Some(date("2026-12-01")),
            ..crate::sample::os()
        };
        catalog.oses.insert("debian13".to_owned(), os);
        assert_eq!(status(&catalog, "2026-07-10"), Status::Active);
        assert_eq!(status(&catalog, "2026-11-25"), Status::Deprecated);
        assert_eq!(status(&catalog, "2026-12-01"), Status::Eol);
    }

    #[test]
    fn what_the_distribution_patches_outlives_its_makers() {
        let mut catalog = catalog();
        catalog.entries[0].source = UpstreamSource::Deb { verified: "InRelease-gpg".to_owned() };
        assert_eq!(status(&catalog, "2027-05-01"), Status::Active);
        assert_eq!(status(&catalog, "2028-08-09"), Status::Deprecated);
        assert_eq!(status(&catalog, "2030-06-30"), Status::Eol);
    }

    #[test]
    fn a_maintainers_earlier_date_counts() {
        let mut catalog = catalog();
        catalog.entries[0].eol_on = Some(date("2026-12-31"));
        assert_eq!(status(&catalog, "2026-11-25"), Status::Deprecated);
        assert_eq!(status(&catalog, "2026-12-31"), Status::Eol);
    }

    #[test]
    fn the_worst_status_wins_and_dates_do_not_improve_a_stored_one() {
        let mut catalog = catalog();
        for stored in [Status::Preview, Status::Deprecated, Status::Eol, Status::Revoked] {
            catalog.entries[0].status = stored;
            assert_eq!(status(&catalog, "2026-01-01"), stored);
            assert_eq!(status(&catalog, "2027-05-01"), stored.max(Status::Eol));
        }
    }
}
