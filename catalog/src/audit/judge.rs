//! The rules that look at one image.

use std::collections::BTreeSet;

use super::advice::Successors;
use super::{Evidence, Finding, Observed, OsSupport, PREFIX, Rule, Severity};
use crate::{Catalog, Date, Entry, EntryId, Status, UpstreamSource};

/// At most as many names stand in a message.
const NAMED: usize = 5;

/// What the rules look at.
pub(super) struct Judge<'a> {
    pub(super) successors: &'a Successors<'a>,
}

impl Judge<'_> {
    fn catalog(&self) -> &Catalog {
        self.successors.catalog
    }

    fn as_of(&self) -> Date {
        self.successors.as_of
    }

    fn is_past(&self, date: Option<Date>) -> Option<Date> {
        date.filter(|date| *date <= self.as_of())
    }

    /// Whether a permitted number of days has not gone by since a day.
    fn in_grace(&self, since: Date, days: u16) -> bool {
        self.as_of().days_since(since) < i32::from(days)
    }

    /// What is to be said of an image that is made on an entry.
    pub(super) fn of_entry(&self, entry: &Entry) -> Vec<Finding> {
        let rules = [
            self.newer_build(entry),
            self.newer_patch(entry),
            self.newer_line(entry),
            self.deprecated(entry),
            self.language_ended(entry),
            self.system_ended(entry),
            revoked(entry),
            self.fixes_missing(entry),
            self.not_permitted(entry),
        ];
        rules.into_iter().flatten().collect()
    }

    fn outdated(&self, rule: Rule, severity: Severity, entry: &Entry, newer: &Entry, what: &str) -> Finding {
        let days = self.successors.policy.grace_days.outdated;
        let in_grace = self.in_grace(newer.released, days);
        let severity = if in_grace { Severity::Note } else { severity };
        let grace = if in_grace { format!(", {days} days of grace") } else { String::new() };
        let message = format!("{what}: {} (released {}{grace})", newer.id, newer.released);
        Finding::new(rule, severity, message).with([format!("on {}, released {}", entry.id, entry.released)])
    }

    fn newer_build(&self, entry: &Entry) -> Option<Finding> {
        let newer =
            self.successors.of_line(entry).into_iter().rfind(|other| other.version == entry.version)?;
        Some(self.outdated(Rule::NewerBuild, Severity::Warning, entry, newer, "a newer build exists"))
    }

    fn newer_patch(&self, entry: &Entry) -> Option<Finding> {
        let newer =
            self.successors.of_line(entry).into_iter().rfind(|other| other.version > entry.version)?;
        Some(self.outdated(
            Rule::NewerPatch,
            Severity::Warning,
            entry,
            newer,
            "a newer version of the line exists",
        ))
    }

    fn newer_line(&self, entry: &Entry) -> Option<Finding> {
        let newer = self.successors.of_newer_line(entry)?;
        Some(self.outdated(Rule::NewerLine, Severity::Note, entry, newer, "a newer line exists"))
    }

    fn deprecated(&self, entry: &Entry) -> Option<Finding> {
        if self.catalog().status_at(entry, self.as_of()) != Status::Deprecated {
            return None;
        }
        let dates = self.catalog().dates(entry);
        let since = self.is_past(dates.deprecated);
        let grace = self.successors.policy.grace_days.deprecated;
        let in_grace = since.is_some_and(|since| self.in_grace(since, grace));
        let severity = if in_grace { Severity::Note } else { Severity::Warning };
        let since = since.map(|since| format!(" since {since}")).unwrap_or_default();
        let until = dates.eol.map(|eol| format!("; its support ends on {eol}")).unwrap_or_default();
        Some(Finding::new(Rule::Deprecated, severity, format!("{} is deprecated{since}{until}", entry.id)))
    }

    /// An end of support, which counts less for some days.
    fn ended(&self, rule: Rule, severity: Severity, since: Date, message: String) -> Finding {
        let days = self.successors.policy.grace_days.eol;
        let in_grace = self.in_grace(since, days);
        let severity = if in_grace { severity.min(Severity::Warning) } else { severity };
        let message = if in_grace { format!("{message} ({days} days of grace)") } else { message };
        Finding::new(rule, severity, message)
    }

    fn language_ended(&self, entry: &Entry) -> Option<Finding> {
        let os = self.catalog().oses.get(&entry.os);
        let is_patched = matches!(entry.source, UpstreamSource::Deb { .. })
            && os.is_some_and(|os| self.is_past(os.os_lts).is_none());
        let version = &entry.upstream.version;
        if let Some(since) = self.is_past(entry.upstream.eol) {
            let severity = if is_patched { Severity::Note } else { Severity::Error };
            let patched = if is_patched { format!("; {} still patches it", entry.os) } else { String::new() };
            let message = format!("the makers of {version} ended its support on {since}{patched}");
            return Some(self.ended(Rule::LanguageEnded, severity, since, message));
        }
        let since =
            self.is_past(entry.eol_on).or_else(|| (entry.status == Status::Eol).then_some(entry.released))?;
        let message = format!("the maintainers of the catalog have ended the support of {}", entry.id);
        Some(self.ended(Rule::LanguageEnded, Severity::Error, since, message))
    }

    fn system_ended(&self, entry: &Entry) -> Option<Finding> {
        let os = self.catalog().oses.get(&entry.os)?;
        if let Some(since) = self.is_past(os.os_lts) {
            let message = format!("all support of {} ended on {since}", entry.os);
            return Some(self.ended(Rule::SystemEnded, Severity::Error, since, message));
        }
        let since = self.is_past(os.os_eol)?;
        let severity = match self.successors.policy.os_support {
            OsSupport::Standard => Severity::Error,
            OsSupport::Lts => Severity::Warning,
        };
        let until = os.os_lts.map(|lts| format!("; long-term support lasts until {lts}")).unwrap_or_default();
        let message = format!("the regular support of {} ended on {since}{until}", entry.os);
        Some(self.ended(Rule::SystemEnded, severity, since, message))
    }

    /// What the builds after this one fix, as the changelogs of their packages say.
    fn fixes_missing(&self, entry: &Entry) -> Option<Finding> {
        let mut fixes: BTreeSet<&str> = BTreeSet::new();
        let mut evidence = Vec::new();
        let mut at = &entry.id;
        let follower =
            |id: &EntryId| self.catalog().entries.iter().find(|other| other.replaces.as_ref() == Some(id));
        while let Some(next) = follower(at) {
            for change in next.changes.iter().filter(|change| !change.cves.is_empty()) {
                let version = change.to.as_deref().unwrap_or("no version");
                evidence.push(format!(
                    "{}: {} {version} fixes {}",
                    next.id,
                    change.package,
                    change.cves.join(", ")
                ));
                fixes.extend(change.cves.iter().map(String::as_str));
            }
            at = &next.id;
        }
        let known = self.successors.vulnerabilities.get(&entry.id).map(Vec::as_slice).unwrap_or_default();
        evidence.extend(known.iter().map(ToString::to_string));
        let by_builds = (!fixes.is_empty()).then(|| format!("newer builds fix {}", named(&fixes)));
        let ids: BTreeSet<&str> = known.iter().map(|known| known.id.as_str()).collect();
        let known = (!ids.is_empty()).then(|| format!("advisories name {}", named(&ids)));
        let message = by_builds.into_iter().chain(known).collect::<Vec<_>>().join("; ");
        (!message.is_empty())
            .then(|| Finding::new(Rule::FixesMissing, Severity::Warning, message).with(evidence))
    }

    fn not_permitted(&self, entry: &Entry) -> Option<Finding> {
        let rules = &self.successors.policy.runtimes;
        let message = if rules.deny.contains(&entry.runtime) {
            format!("the policy denies `{}`", entry.runtime)
        } else if !rules.allow.is_empty() && !rules.allow.contains(&entry.runtime) {
            format!("the policy allows {} only", rules.allow.iter().cloned().collect::<Vec<_>>().join(", "))
        } else {
            return None;
        };
        Some(Finding::new(Rule::NotPermitted, Severity::Error, message))
    }
}

/// The first of some names, and how many more there are.
fn named(all: &BTreeSet<&str>) -> String {
    let first: Vec<&str> = all.iter().take(NAMED).copied().collect();
    let more = if all.len() > NAMED { format!(" and {} more", all.len() - NAMED) } else { String::new() };
    format!("{}{more}", first.join(", "))
}

fn revoked(entry: &Entry) -> Option<Finding> {
    let revoked = entry.revoked.as_ref()?;
    let replacement =
        revoked.replacement.as_ref().map(|id| format!("; {id} takes its place")).unwrap_or_default();
    let message = format!("{} was revoked on {}: {}{replacement}", entry.id, revoked.date, revoked.reason);
    let advisories = revoked.advisories.iter().map(|advisory| format!("advisory {advisory}"));
    let severity = format!("severity {}", revoked.severity);
    Some(
        Finding::new(Rule::Revoked, Severity::Error, message)
            .with(std::iter::once(severity).chain(advisories)),
    )
}

/// What the labels of an image say against it.
pub(super) fn of_labels(image: &Observed, named: Option<&str>, proven: &[&Entry]) -> Vec<Finding> {
    let lie = named
        .filter(|named| !proven.is_empty() && proven.iter().all(|entry| entry.id.to_string() != **named));
    let lie = lie.map(|named| {
        let message = format!("the label names `{named}`, but the layers are those of {}", proven[0].id);
        Finding::new(Rule::LabelLies, Severity::Error, message)
            .with([format!("label {PREFIX}runtime.id={named}")])
    });
    lie.into_iter().chain(overridden(image)).collect()
}

fn overridden(image: &Observed) -> Option<Finding> {
    let label = |name: &str| image.labels.get(&format!("{PREFIX}{name}"));
    let permission = label("overrides").map(|text| format!("it was built with a permission: {text}"));
    let unchecked = label("catalog.checked")
        .filter(|text| *text == "false")
        .map(|_| "it was built without a look for revocations".to_owned());
    let messages: Vec<String> = permission.into_iter().chain(unchecked).collect();
    (!messages.is_empty()).then(|| Finding::new(Rule::Overridden, Severity::Warning, messages.join("; ")))
}

/// What is said of an image whose layers nobody knows.
pub(super) fn unknown(image: &Observed, evidence: Evidence, named: Option<&str>) -> Finding {
    let message = match (evidence, named, base(image)) {
        (Evidence::LabelOnly, Some(named), _) => {
            format!("the label names `{named}`, but no published entry has these layers")
        }
        (_, _, Some(base)) => format!("another builder's image; it names `{base}` as its base"),
        _ => "no published entry has these layers".to_owned(),
    };
    let lowest = image.diff_ids.first().map(|diff_id| format!("lowest layer {diff_id}"));
    Finding::new(Rule::Unknown, Severity::Warning, message).with(lowest)
}

/// The base that an image names, by the annotations of the image specification or labels of the same names.
pub(super) fn base(image: &Observed) -> Option<&str> {
    const BASE: &str = "org.opencontainers.image.base.name";
    image.annotations.get(BASE).or_else(|| image.labels.get(BASE)).map(String::as_str)
}
