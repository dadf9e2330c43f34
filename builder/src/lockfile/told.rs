//! Findings as people read them: one problem for each file and rule, however many packages share it.

use super::{ComesFrom, Finding, Format, Held, LockError, LockFile, Place};
use crate::app_file::{Diagnostic, Rule, Severity, Span};

/// How many packages a problem names.
const NAMED: usize = 3;

/// The problem of a file that cannot be read.
pub(super) fn of_error(error: &LockError) -> Diagnostic {
    let at = Span::at(error.line.max(1), 1);
    let problem =
        Diagnostic::error(Rule::LockFile, &error.file, at, format!("no lock file: {}", error.reason));
    Diagnostic { is_shown: false, ..problem }
}

/// The problem of an app without a lock file.
pub(super) fn of_unlocked(file: &str) -> Diagnostic {
    let message = "no lock file holds what the app depends on";
    let problem = Diagnostic::error(Rule::NotLocked, file, Span::at(1, 1), message);
    Diagnostic { is_shown: false, severity: Severity::Note, ..problem }
}

/// The problems of a lock file.
pub(super) fn of_lock(lock: &LockFile, findings: &[Finding]) -> Vec<Diagnostic> {
    let mut rules: Vec<Rule> = findings.iter().map(|finding| finding.rule).collect();
    rules.sort();
    rules.dedup();
    let of_rule = |rule: Rule| {
        let found: Vec<&Finding> = findings.iter().filter(|finding| finding.rule == rule).collect();
        let first = found.first()?;
        let problem = Diagnostic::error(
            rule,
            &lock.file,
            Span::at(first.line.max(1), 1),
            message(rule, first, &names(&found), found.len() > 1),
        );
        let hint = hint(rule, &found, lock);
        Some(Diagnostic { severity: severity(rule, lock), is_shown: false, hint, ..problem })
    };
    rules.into_iter().filter_map(of_rule).collect()
}

/// A finding in one line, for a refusal.
pub(super) fn line(finding: &Finding) -> String {
    let place = if finding.line > 0 { format!(":{}", finding.line) } else { String::new() };
    let text = message(finding.rule, finding, &format!("`{}`", finding.package), false);
    format!("{}{place}: {text} ({})", finding.file, finding.rule.id())
}

fn names(found: &[&Finding]) -> String {
    let mut names: Vec<String> = found.iter().map(|finding| format!("`{}`", finding.package)).collect();
    names.dedup();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    match (more, names.split_last()) {
        (0, Some((last, []))) => last.clone(),
        (0, Some((last, others))) => format!("{} and {last}", others.join(", ")),
        (more, _) => format!("{} and {more} more packages", names.join(", ")),
    }
}

fn message(rule: Rule, first: &Finding, names: &str, is_many: bool) -> String {
    let (verb, comes, is) = if is_many { ("are", "come", "are") } else { ("is", "comes", "is") };
    let url = first.url.as_deref().unwrap_or("the registry");
    let like = if is_many { "places such as " } else { "" };
    match rule {
        Rule::PackageScheme if Place::of(url).is_none() => {
            format!("{names} {comes} from {like}`{url}`, which is not in the source")
        }
        Rule::PackageScheme => format!("{names} {comes} from {like}`{url}`, which is not https"),
        Rule::PackageHost => {
            format!("{names} {comes} from {like}`{url}`, which is at none of the registries")
        }
        Rule::PackageName => {
            format!("{names} {comes} from {like}`{url}`, which belongs to a package of another name")
        }
        Rule::PackageAlias => format!("{names} {is} installed under another name than at the registry"),
        Rule::PackageWeakHash => format!("{names} {verb} held by MD5 or SHA-1 only"),
        _ => format!("{names} {verb} held by no hash: whatever is served is installed"),
    }
}

/// What most requirements files lack is worth knowing; what was meant to hold and does not is more.
fn severity(rule: Rule, lock: &LockFile) -> Severity {
    let is_plain = lock.format == Format::Requirements && !has_hashes(lock);
    match rule {
        Rule::PackageAlias => Severity::Note,
        Rule::PackageUnhashed if is_plain => Severity::Note,
        _ => Severity::Warning,
    }
}

/// Whether anything in the file is held by a hash.
fn has_hashes(lock: &LockFile) -> bool {
    lock.packages.iter().any(|package| package.held != Held::ByNothing && package.from == ComesFrom::Registry)
}

fn hint(rule: Rule, found: &[&Finding], lock: &LockFile) -> Option<String> {
    let schemes = |finding: &&Finding| finding.url.as_deref().and_then(Place::of).map(|place| place.scheme);
    let passes_no_proxy = |scheme: &String| matches!(scheme.as_str(), "git" | "ssh" | "git+ssh" | "file");
    match rule {
        Rule::PackageScheme if found.iter().filter_map(schemes).any(|scheme| passes_no_proxy(&scheme)) => {
            Some("only http and https lead out of the build, unless with `--network open`".to_owned())
        }
        Rule::PackageUnhashed if lock.format == Format::Requirements && has_hashes(lock) => {
            Some("others in the file have hashes: pip refuses a file in which only some do".to_owned())
        }
        Rule::PackageUnhashed => Some("`--require-hashes` refuses such a build".to_owned()),
        Rule::PackageHost => {
            Some("name a registry in the app's own files, or with `--allow-host`".to_owned())
        }
        _ => None,
    }
}
