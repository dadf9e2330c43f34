//! From images to a report.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use oci_spec::image::Digest;
use serde::Serialize;

use super::advice::Successors;
use super::judge::{self, Judge};
use super::layers::Known;
use super::{
    Evidence, Finding, Observed, PREFIX, Policy, REPORT_SCHEMA, Report, Row, Rule, Severity, Suggestion,
    Unread,
};
use crate::advisory::Vulnerability;
use crate::{Catalog, Date, Entry, EntryId, ImageKind, PlatformKey};

/// What is known of the catalog beside its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogFacts {
    /// Its canonical name.
    pub name: String,
    /// The number of its revision.
    pub revision: u64,
    /// The digest of its image index, where there is one.
    pub digest: Option<Digest>,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it counts as fresh.
    pub valid_until: Timestamp,
    /// Whether a signature was verified.
    pub is_signed: bool,
    /// The newest revision of it that was seen before, where one is remembered.
    pub newest_seen: Option<u64>,
    /// What else it could not prove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

impl CatalogFacts {
    /// The facts that the catalog itself tells: nothing was verified or remembered.
    #[must_use]
    pub fn of(catalog: &Catalog) -> Self {
        Self {
            name: catalog.name.clone(),
            revision: catalog.revision,
            digest: None,
            created: catalog.created,
            valid_until: catalog.valid_until,
            is_signed: false,
            newest_seen: None,
            doubts: Vec::new(),
        }
    }
}

/// Audits images against one catalog.
pub struct Auditor<'a> {
    successors: Successors<'a>,
    facts: CatalogFacts,
    known: Known<'a>,
}

/// What an image is made on.
struct Identity<'a> {
    entry: Option<&'a Entry>,
    kind: Option<ImageKind>,
    evidence: Evidence,
}

impl<'a> Auditor<'a> {
    /// Prepares to audit.
    #[must_use]
    pub fn new(catalog: &'a Catalog, policy: &'a Policy, as_of: Date, facts: CatalogFacts) -> Self {
        Self { successors: Successors::new(catalog, policy, as_of), facts, known: Known::of(catalog) }
    }

    /// Takes what is known against the packages of entries, for RT008.
    #[must_use]
    pub fn with_vulnerabilities(mut self, known: BTreeMap<EntryId, Vec<Vulnerability>>) -> Self {
        self.successors.vulnerabilities = known;
        self
    }

    /// The entries that images are made on, whose packages advisories may be about.
    #[must_use]
    pub fn entries(&self, images: &[Observed]) -> BTreeMap<EntryId, PlatformKey> {
        let found = images.iter().filter_map(|image| {
            let matches = self.known.find(&image.platform, &image.diff_ids);
            let named = image.labels.get(&format!("{PREFIX}runtime.id")).map(String::as_str);
            Some((self.identity(matches, named).entry?.id.clone(), image.platform.clone()))
        });
        found.collect()
    }

    /// Audits images. Those of one digest in one repository are one row.
    #[must_use]
    pub fn audit(&self, images: &[Observed], unread: Vec<Unread>) -> Report {
        let images = merged(images);
        let mut rows: Vec<Row> = images.iter().map(|image| self.row(image)).collect();
        compare_platforms(&mut rows);
        for (row, image) in rows.iter_mut().zip(&images) {
            self.settle(row, image);
        }
        let key = |row: &Row| {
            (row.repository.clone(), row.tags.clone(), row.platform.clone(), row.digest.to_string())
        };
        rows.sort_by_cached_key(key);
        let mut unread = unread;
        unread.sort();
        unread.dedup();
        Report {
            schema: REPORT_SCHEMA,
            as_of: self.successors.as_of,
            catalog: self.facts.clone(),
            catalog_findings: self.catalog_findings(),
            rows,
            unread,
        }
    }

    fn row(&self, image: &Observed) -> Row {
        let named = image.labels.get(&format!("{PREFIX}runtime.id")).map(String::as_str);
        let matches = self.known.find(&image.platform, &image.diff_ids);
        let proven: Vec<&Entry> = matches.iter().map(|(entry, _)| *entry).collect();
        let identity = self.identity(matches, named);
        let mut findings = judge::of_labels(image, named, &proven);
        if identity.evidence != Evidence::Layers {
            findings.push(judge::unknown(image, identity.evidence, named));
        }
        findings.extend(
            identity
                .entry
                .into_iter()
                .flat_map(|entry| Judge { successors: &self.successors }.of_entry(entry)),
        );
        Row {
            repository: image.repository.clone(),
            tags: image.tags.clone(),
            digest: image.digest.clone(),
            index: image.index.clone(),
            platform: image.platform.clone(),
            created: image.created,
            entry: identity.entry.map(|entry| entry.id.clone()),
            kind: identity.kind,
            evidence: identity.evidence,
            status: identity
                .entry
                .map(|entry| self.successors.catalog.status_at(entry, self.successors.as_of)),
            end_of_support: identity.entry.and_then(|entry| self.successors.catalog.dates(entry).eol),
            base: judge::base(image).map(str::to_owned).filter(|_| identity.evidence == Evidence::None),
            findings,
            suggestion: None,
        }
    }

    fn identity(&self, matches: &[(&'a Entry, ImageKind)], named: Option<&str>) -> Identity<'a> {
        // Where several entries have these layers the label may choose, and else the newest is meant.
        let by_label = matches.iter().find(|(entry, _)| named == Some(entry.id.to_string().as_str()));
        if let Some((entry, kind)) = by_label.or_else(|| matches.iter().max_by_key(|(entry, _)| &entry.id)) {
            return Identity { entry: Some(entry), kind: Some(*kind), evidence: Evidence::Layers };
        }
        let entry = named
            .and_then(|named| named.parse::<EntryId>().ok())
            .and_then(|id| self.successors.catalog.entry(&id));
        let evidence = if named.is_some() { Evidence::LabelOnly } else { Evidence::None };
        Identity { entry, kind: None, evidence }
    }

    /// Applies the allowances, puts the worst first, and says what to do.
    fn settle(&self, row: &mut Row, image: &Observed) {
        for finding in &mut row.findings {
            finding.allowed =
                self.successors.policy.allowance(finding.rule, row.entry.as_ref(), &row.repository);
        }
        row.findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.rule));
        let entry = row.entry.as_ref().and_then(|id| self.successors.catalog.entry(id));
        row.suggestion = match entry.filter(|_| row.evidence == Evidence::Layers) {
            Some(entry) => self.successors.suggestion(image, entry, &row.findings),
            None => row.findings.iter().any(Finding::counts).then_some(Suggestion::Rebuild { to: None }),
        };
    }

    /// What is wrong with the catalog itself.
    fn catalog_findings(&self) -> Vec<Finding> {
        let facts = &self.facts;
        let age = self.successors.as_of.days_since(Date::from(facts.created));
        let mut messages = facts.doubts.clone();
        if self.successors.policy.require_signed && !facts.is_signed {
            messages.push("no signature of the catalog was verified, and the policy requires one".to_owned());
        }
        if Date::from(facts.valid_until) < self.successors.as_of && !self.successors.catalog.is_local() {
            messages.push(format!("the catalog was valid until {}", Date::from(facts.valid_until)));
        }
        if let Some(most) = self.successors.policy.max_catalog_age_days.filter(|most| age > i32::from(*most))
        {
            messages.push(format!("the catalog is {age} days old, and the policy takes {most}"));
        }
        let newest = facts.newest_seen.max(self.successors.policy.min_revision);
        if let Some(newest) = newest.filter(|newest| facts.revision < *newest) {
            messages
                .push(format!("the catalog is revision {}, but revision {newest} is known", facts.revision));
        }
        let finding = |message| Finding::new(Rule::CatalogUntrusted, Severity::Error, message);
        messages.into_iter().map(finding).collect()
    }
}

/// The same images with all tags of one digest together, in a stable order.
fn merged(images: &[Observed]) -> Vec<Observed> {
    let mut by_digest: BTreeMap<(&str, Option<&str>, &str), Observed> = BTreeMap::new();
    for image in images {
        let index = image.index.as_ref().map(AsRef::as_ref);
        let key = (image.repository.as_str(), index, image.digest.as_ref());
        let merged = by_digest.entry(key).or_insert_with(|| Observed { tags: Vec::new(), ..image.clone() });
        merged.tags.extend(image.tags.iter().cloned());
    }
    let mut merged: Vec<Observed> = by_digest.into_values().collect();
    for image in &mut merged {
        image.tags.sort();
        image.tags.dedup();
    }
    merged
}

/// The platforms of one image index are to be on the same entry.
fn compare_platforms(rows: &mut [Row]) {
    let mut indexes: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let name = |row: &Row| row.entry.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    for row in &*rows {
        if let Some(index) = &row.index {
            let key = (row.repository.clone(), index.to_string());
            indexes.entry(key).or_default().insert(name(row));
        }
    }
    for row in rows {
        let Some(index) = &row.index else { continue };
        let on = &indexes[&(row.repository.clone(), index.to_string())];
        if on.len() > 1 {
            let list = on.iter().cloned().collect::<Vec<_>>().join(", ");
            let message = format!("the platforms of the image index are on {list}");
            row.findings.push(Finding::new(Rule::PlatformsDiffer, Severity::Warning, message));
        }
    }
}
