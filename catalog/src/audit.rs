//! Which images run on what: findings about images, from what a catalog has ever published.
//!
//! [`Auditor::audit`] is a function of values: the images as they were read ([`Observed`]), the catalog, a [`Policy`] and a
//! day. Labels only hint; what an image is made of is told by its diffIDs, which nobody can claim without having the layers.

mod advice;
mod auditor;
pub mod format;
mod judge;
mod layers;
mod policy;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci_spec::image::Digest;
use serde::Serialize;

use crate::{Date, EntryId, ImageKind, PlatformKey, Status};

pub use advice::Suggestion;
pub use auditor::{Auditor, CatalogFacts};
pub use layers::{Known, Match};
pub use policy::{Allowance, GraceDays, OsSupport, Policy, PolicyError, RuntimeRules};
pub use rule::{Rule, Severity};

/// The form of a report.
pub const REPORT_SCHEMA: u32 = 1;

/// The prefix of the labels that the builder writes.
pub(crate) const PREFIX: &str = "dev.lapstrake.";

/// One image for one platform, as its manifest and its config tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The repository, with its registry.
    pub repository: String,
    /// All tags that lead to it, sorted.
    pub tags: Vec<String>,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The image index that it was found in.
    pub index: Option<Digest>,
    /// Its platform, from the config.
    pub platform: PlatformKey,
    /// When it was made, as its config says.
    pub created: Option<Timestamp>,
    /// The labels of its config.
    pub labels: BTreeMap<String, String>,
    /// The annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
    /// Its layers' identities, lowest first.
    pub diff_ids: Vec<Digest>,
}

/// Something that was to be audited and could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unread {
    /// What it is.
    pub reference: String,
    /// Why not.
    pub reason: String,
}

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The form of the report, always [`REPORT_SCHEMA`].
    pub schema: u32,
    /// The day as of which the findings hold.
    pub as_of: Date,
    /// The catalog.
    pub catalog: CatalogFacts,
    /// What is wrong with the catalog itself.
    pub catalog_findings: Vec<Finding>,
    /// The images, by repository, tags and platform.
    pub rows: Vec<Row>,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

/// How an audit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All was read, and nothing is as bad as that.
    Clean,
    /// A finding is as bad as that.
    Failed,
    /// Nothing that was read is as bad, but some was not read.
    Partial,
}

impl Report {
    /// How the audit ended, if findings of this severity fail it.
    #[must_use]
    pub fn outcome(&self, fail_on: Severity) -> Outcome {
        if self.findings().any(|finding| finding.counts() && finding.severity >= fail_on) {
            Outcome::Failed
        } else if self.unread.is_empty() {
            Outcome::Clean
        } else {
            Outcome::Partial
        }
    }

    /// All findings, those about the catalog first.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.catalog_findings.iter().chain(self.rows.iter().flat_map(|row| &row.findings))
    }
}

/// One image in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The repository, with its registry.
    pub repository: String,
    /// The tags that lead to the image.
    pub tags: Vec<String>,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The image index that it was found in.
    pub index: Option<Digest>,
    /// Its platform.
    pub platform: PlatformKey,
    /// When it was made, as its config says.
    pub created: Option<Timestamp>,
    /// The entry that it is made on.
    pub entry: Option<EntryId>,
    /// Which image of the entry.
    pub kind: Option<ImageKind>,
    /// What tells the entry.
    pub evidence: Evidence,
    /// The entry's status on the day.
    pub status: Option<Status>,
    /// The day on which the entry's support ends.
    pub end_of_support: Option<Date>,
    /// The base that an image of another builder names.
    pub base: Option<String>,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// What to do about it.
    pub suggestion: Option<Suggestion>,
}

impl Row {
    /// How the image is named to people: `REPOSITORY:TAG`, or by its digest where no tag leads to it.
    #[must_use]
    pub fn name(&self) -> String {
        match self.tags.first() {
            Some(tag) => format!("{}:{tag}", self.repository),
            None => format!("{}@{}", self.repository, self.digest),
        }
    }

    /// The worst severity of a finding that counts.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().filter(|finding| finding.counts()).map(|finding| finding.severity).max()
    }
}

/// What tells which entry an image is made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Its lowest layers are the entry's.
    Layers,
    /// Only a label says so.
    LabelOnly,
    /// Nothing does.
    None,
}

impl Evidence {
    /// The name that reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Layers => "layers",
            Self::LabelOnly => "label-only",
            Self::None => "none",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The rule that fired.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// What was found, in words.
    pub message: String,
    /// The facts that show it.
    pub evidence: Vec<String>,
    /// Why it does not count, where the policy allows it.
    pub allowed: Option<String>,
}

impl Finding {
    fn new(rule: Rule, severity: Severity, message: String) -> Self {
        Self { rule, severity, message, evidence: Vec::new(), allowed: None }
    }

    fn with(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// Whether it counts against the image: the policy does not allow it.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.allowed.is_none()
    }
}
