//! What a build and a linter make of lock files.

use std::fmt::Write as _;

use lapstrake_oci::tree::{FileTree, TreePath};

use super::app::{self, AppLocks};
use super::told;
use super::{Finding, Hosts, LockFile, judge};
use crate::app_file::{Diagnostic, Rule, Severity, render};
use crate::cli::NetworkArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::inputs::Inputs;
use crate::lint::{Findings, Subject};
use crate::network::registry_hosts;
use crate::report::printable;
use crate::steps::PlannedStep;
use crate::tool_env::Hashes;

/// How many packages a refusal lists.
const LISTED: usize = 20;

/// What becomes of packages that no hash holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// They are told of.
    Warn,
    /// Nothing is built.
    Refuse,
}

impl From<&NetworkArgs> for Strictness {
    fn from(args: &NetworkArgs) -> Self {
        if args.require_hashes { Self::Refuse } else { Self::Warn }
    }
}

/// Judges the lock files of an app before any of its commands runs.
pub fn check(
    inputs: &Inputs,
    steps: &[PlannedStep],
    args: &NetworkArgs,
    context: &Context,
) -> Result<(), Failure> {
    let commands: Vec<&str> = steps.iter().map(|step| step.command.as_str()).collect();
    // Without commands nothing is installed.
    if commands.is_empty() {
        return Ok(());
    }
    let found = AppLocks::of(&inputs.source.tree, inputs.directory.as_ref(), &commands);
    let known = Hosts::new(registry_hosts(args, context)?);
    let judged = judged(&found, &known);
    if Strictness::from(args) == Strictness::Refuse {
        refuse(&found, &judged)?;
    }
    for diagnostic in told(&found, &judged) {
        let is_told = diagnostic.severity == Severity::Note && diagnostic.rule != Rule::PackageUnhashed;
        if !is_told {
            let diagnostic = Diagnostic { severity: Severity::Warning, ..diagnostic };
            context.report.diagnostic(render(&diagnostic, "").trim_end());
        }
    }
    Ok(())
}

/// What installers are told to hold by hashes. Where another manager's lock file says what Python packages there are, pip
/// brings no more than that manager, by its version.
#[must_use]
pub fn enforced(args: &NetworkArgs, source: &FileTree, directory: Option<&TreePath>) -> Hashes {
    match (Strictness::from(args), app::has_python_lock(source, directory)) {
        (Strictness::Warn, _) => Hashes::Optional,
        (Strictness::Refuse, true) => Hashes::ForUv,
        (Strictness::Refuse, false) => Hashes::ForAll,
    }
}

/// Adds what is wrong with the lock files of an app; `known` are the hosts of the registries of this machine.
#[must_use]
pub fn lint(subject: &Subject, known: &Hosts, mut findings: Findings) -> Findings {
    let found = AppLocks::of(&subject.tree, subject.directory.as_ref(), &[]);
    for diagnostic in told(&found, &judged(&found, known)) {
        // It may have been read for other reasons, and found broken then.
        if diagnostic.rule != Rule::LockFile || !findings.tells_of(&diagnostic.file) {
            findings.add(diagnostic);
        }
    }
    findings.sorted()
}

type Judged<'l> = Vec<(&'l LockFile, Vec<Finding>)>;

fn judged<'l>(found: &'l AppLocks, known: &Hosts) -> Judged<'l> {
    found.locks.iter().map(|lock| (lock, judge(lock, &found.hosts(lock, known)))).collect()
}

fn told(found: &AppLocks, judged: &Judged<'_>) -> Vec<Diagnostic> {
    let errors = found.errors.iter().map(told::of_error);
    let unlocked = found.unlocked.iter().map(|file| told::of_unlocked(file));
    errors
        .chain(unlocked)
        .chain(judged.iter().flat_map(|(lock, findings)| told::of_lock(lock, findings)))
        .collect()
}

/// Refuses everything that is not held by a strong hash, and what is not fetched over https.
fn refuse(found: &AppLocks, judged: &Judged<'_>) -> Result<(), Failure> {
    let is_refused = |finding: &&Finding| {
        matches!(finding.rule, Rule::PackageScheme | Rule::PackageUnhashed | Rule::PackageWeakHash)
    };
    let errors = found.errors.iter().map(|error| format!("{error} ({})", Rule::LockFile.id()));
    let unlocked = found
        .unlocked
        .iter()
        .map(|file| format!("{file}: no lock file holds what the app depends on ({})", Rule::NotLocked.id()));
    let packages = judged.iter().flat_map(|(_, findings)| findings).filter(is_refused).map(told::line);
    let refused: Vec<String> = errors.chain(unlocked).chain(packages).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let mut what = "`--require-hashes` refuses what these files install:".to_owned();
    for line in refused.iter().take(LISTED) {
        let _ = write!(what, "\n  {}", printable(line));
    }
    if refused.len() > LISTED {
        let _ = write!(what, "\n  and {} more", refused.len() - LISTED);
    }
    Err(Failure::new(Exit::Refused, what)
        .hint("let the package manager write its lock file anew, with hashes"))
}
