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
    #[must_use]
    pub fn status_at(&self, entry: &Entry, as_of: Date) -> Status {
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
