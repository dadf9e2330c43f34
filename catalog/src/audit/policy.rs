//! What a team holds its images to: a TOML file.

use std::collections::BTreeSet;

use globset::Glob;
use serde::Deserialize;

use super::rule::RuleError;
use super::{Rule, Severity};
use crate::{Date, EntryId};

/// What a team holds its images to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Which findings fail an audit; errors unless said.
    pub fail_on: Option<Severity>,
    /// How long something may last before it counts in full, in days.
    pub grace_days: GraceDays,
    /// What is known and accepted for a time.
    pub allow: Vec<Allowance>,
    /// Whether the catalog has to have a verified signature.
    pub require_signed: bool,
    /// How old the catalog may be, in days.
    pub max_catalog_age_days: Option<u16>,
    /// The lowest revision of the catalog that counts.
    pub min_revision: Option<u64>,
    /// Which runtimes may be used.
    pub runtimes: RuntimeRules,
    /// Which support of an operating system counts.
    pub os_support: OsSupport,
    /// How many days an entry must have been out before it is suggested.
    pub min_build_age_days: u16,
}

/// How long something may last before it counts in full, in days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GraceDays {
    /// Since the newer entry was released.
    pub outdated: u16,
    /// Since the entry was deprecated.
    pub deprecated: u16,
    /// Since a support ended.
    pub eol: u16,
}

/// Something that is known and accepted until a day.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowance {
    /// The rule, as in `RT004`, or the entry, as in `python3-3.11.2-1`.
    pub id: String,
    /// Why.
    pub reason: String,
    /// The last day on which it holds.
    pub until: Date,
    /// The repositories that it holds for, as globs; all of them where there are none.
    #[serde(default)]
    pub repos: Vec<String>,
}

/// Which runtimes may be used, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeRules {
    /// If there are some, only these.
    pub allow: BTreeSet<String>,
    /// None of these.
    pub deny: BTreeSet<String>,
}

/// Which support of an operating system counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OsSupport {
    /// The regular one only.
    Standard,
    /// Long-term support as well, with a warning.
    #[default]
    Lts,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It is no TOML, or says what a policy does not say.
    #[error("the policy is not understood")]
    Malformed(#[source] toml::de::Error),
    /// An allowance is for a rule that there is not.
    #[error("allowance {number} of the policy is for nothing")]
    UnknownRule {
        /// Which of the allowances, from 1.
        number: usize,
        /// What it is for.
        #[source]
        source: RuleError,
    },
    /// An allowance has no reason.
    #[error("allowance {number} of the policy, for `{id}`, gives no reason")]
    NoReason {
        /// Which of the allowances, from 1.
        number: usize,
        /// What it is for.
        id: String,
    },
    /// An allowance holds no more.
    #[error("the allowance of the policy for `{id}` ended on {until}: {reason}")]
    Expired {
        /// What it is for.
        id: String,
        /// The last day on which it held.
        until: Date,
        /// Its reason.
        reason: String,
    },
    /// A glob that is none.
    #[error("`{glob}`, of the allowance for `{id}`, is no glob")]
    Glob {
        /// What the allowance is for.
        id: String,
        /// The text.
        glob: String,
    },
}

impl Policy {
    /// Reads a policy, which must hold on this day.
    pub fn parse(text: &str, as_of: Date) -> Result<Self, PolicyError> {
        let policy: Self = toml::from_str(text).map_err(PolicyError::Malformed)?;
        for (index, allowance) in policy.allow.iter().enumerate() {
            allowance.check(index + 1, as_of)?;
        }
        Ok(policy)
    }

    /// Why a finding does not count, if the policy allows it.
    #[must_use]
    pub(super) fn allowance(&self, rule: Rule, entry: Option<&EntryId>, repository: &str) -> Option<String> {
        let names = |id: &str| id == rule.id() || entry.is_some_and(|entry| entry.to_string() == id);
        let allowance =
            self.allow.iter().find(|allowance| names(&allowance.id) && allowance.covers(repository))?;
        Some(format!("{} (until {})", allowance.reason, allowance.until))
    }
}

impl Allowance {
    fn check(&self, number: usize, as_of: Date) -> Result<(), PolicyError> {
        let id = self.id.clone();
        if id.parse::<EntryId>().is_err() {
            id.parse::<Rule>().map_err(|source| PolicyError::UnknownRule { number, source })?;
        }
        if self.reason.trim().is_empty() {
            return Err(PolicyError::NoReason { number, id });
        }
        if let Some(glob) = self.repos.iter().find(|glob| Glob::new(glob).is_err()) {
            return Err(PolicyError::Glob { id, glob: glob.clone() });
        }
        if self.until < as_of {
            return Err(PolicyError::Expired { id, until: self.until, reason: self.reason.clone() });
        }
        Ok(())
    }

    /// Whether it holds for a repository. Globs are for the name with its registry, or without.
    fn covers(&self, repository: &str) -> bool {
        let short = repository.split_once('/').map_or(repository, |(_, name)| name);
        let matches = |glob: &String| {
            let glob = Glob::new(glob).map(|glob| glob.compile_matcher());
            glob.is_ok_and(|glob| glob.is_match(repository) || glob.is_match(short))
        };
        self.repos.is_empty() || self.repos.iter().any(matches)
    }
}
