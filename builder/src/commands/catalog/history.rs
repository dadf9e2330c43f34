//! `lapstrake catalog log` and `diff`: what has changed.

use std::fmt::Write as _;

use lapstrake_catalog::{Diff, EntryChange, EntryId, PackageChange};

use super::json;
use crate::cli::{DiffArgs, Format, LogArgs};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::published::{Published, Repository};
use crate::registry;
use crate::report::{print_result, printable};

/// `catalog log`: every revision, newest first, and what it has changed.
pub fn log(args: &LogArgs, context: &Context) -> Result<(), Failure> {
    let client = registry::client(&args.registry, context)?;
    let repository = Repository::look(&args.repository, &client, context)?;
    let id = args.id.as_deref().map(id).transpose()?;
    let Some(newest) = repository.newest()? else {
        let what = format!("no catalog is published in `{}`", repository.name());
        return Err(Failure::new(Exit::NotUnderstood, what));
    };
    if let Some(id) = id.as_ref().filter(|id| newest.catalog.entry(id).is_none()) {
        return Err(Failure::new(Exit::NotUnderstood, format!("the catalog has no entry `{id}`")));
    }
    let mut steps = Vec::new();
    let mut at = newest;
    loop {
        let past = at.catalog.revisions.first().cloned();
        let before = past.map(|past| repository.revision(past.digest.as_ref())).transpose()?;
        let mut diff = match &before {
            Some(before) => at.catalog.since(&before.catalog),
            None => at.catalog.since(&lapstrake_catalog::Catalog::empty(&at.catalog.name)),
        };
        diff.entries.retain(|change| id.as_ref().is_none_or(|id| change.id() == id));
        if id.is_none() || !diff.entries.is_empty() {
            steps.push((at, diff));
        }
        let Some(before) = before else { break };
        at = before;
    }
    print_result(&match args.format {
        Format::Json => {
            let step = |(revision, diff): &(Published, Diff)| {
                serde_json::json!({
                    "revision": revision.catalog.revision,
                    "digest": revision.index.digest(),
                    "created": revision.catalog.created,
                    "entries": diff.entries,
                })
            };
            json(&steps.iter().map(step).collect::<Vec<_>>())?
        }
        Format::Text => steps.iter().map(|(revision, diff)| step_text(revision, diff)).collect(),
    })
}

fn step_text(revision: &Published, diff: &Diff) -> String {
    let catalog = &revision.catalog;
    let mut text = format!("r{} {} {}\n", catalog.revision, catalog.created, revision.index.digest());
    for change in &diff.entries {
        let _ = writeln!(text, "  {}", change_text(change));
    }
    text
}

fn change_text(change: &EntryChange) -> String {
    printable(&match change {
        EntryChange::Added { id, replaces: Some(old), packages } => {
            format!("{id} takes the place of {old}: {} packages differ", packages.len())
        }
        EntryChange::Added { id, replaces: None, .. } => format!("{id} is new"),
        EntryChange::Status { id, deprecated_on: Some(on), .. } => format!("{id} is deprecated from {on} on"),
        EntryChange::Status { id, from, to, .. } => format!("{id} was {from} and is {to}"),
        EntryChange::Revoked { id, revocation } => format!("{id} is revoked: {}", revocation.reason),
    })
}

/// `catalog diff`: between two revisions, or between two builds of one version.
pub fn diff(args: &DiffArgs, context: &Context) -> Result<(), Failure> {
    let client = registry::client(&args.registry, context)?;
    let repository = Repository::look(&args.repository, &client, context)?;
    match (args.from.parse::<EntryId>(), args.to.parse::<EntryId>()) {
        (Ok(from), Ok(to)) => between_entries(&repository, &from, &to, args),
        (Err(_), Err(_)) => between_revisions(&repository, args),
        _ => Err(Failure::new(Exit::NotUnderstood, "name two revisions or two entries")),
    }
}

fn between_revisions(repository: &Repository, args: &DiffArgs) -> Result<(), Failure> {
    let (from, to) = (repository.revision(&args.from)?, repository.revision(&args.to)?);
    if from.catalog.revision > to.catalog.revision {
        let what = format!("`{}` is older than `{}`", args.to, args.from);
        return Err(Failure::new(Exit::NotUnderstood, what).hint("name the older one first"));
    }
    let diff = to.catalog.since(&from.catalog);
    print_result(&match args.format {
        Format::Json => json(&diff)?,
        Format::Text => {
            let mut text = String::new();
            for change in &diff.entries {
                let _ = writeln!(text, "{}", change_text(change));
                if let EntryChange::Added { packages, .. } = change {
                    text += &packages_text(packages, args.cves, "  ");
                }
            }
            text
        }
    })
}

fn between_entries(
    repository: &Repository,
    from: &EntryId,
    to: &EntryId,
    args: &DiffArgs,
) -> Result<(), Failure> {
    let newest = repository.newest()?;
    let packages = newest.as_ref().and_then(|newest| newest.catalog.packages_between(from, to));
    let packages = packages.ok_or_else(|| {
        Failure::new(Exit::NotUnderstood, format!("`{to}` is no later build of `{from}`"))
            .hint("builds of one version are compared, the older one first")
    })?;
    print_result(&match args.format {
        Format::Json => json(&packages)?,
        Format::Text => packages_text(&packages, args.cves, ""),
    })
}

fn packages_text(packages: &[PackageChange], cves: bool, indent: &str) -> String {
    let mut text = String::new();
    for package in packages {
        let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "none".to_owned());
        let change = format!("{} {} -> {}", package.package, version(&package.from), version(&package.to));
        let fixes = if cves && !package.cves.is_empty() {
            format!(" fixes {}", package.cves.join(", "))
        } else {
            String::new()
        };
        let _ = writeln!(text, "{indent}{}", printable(&format!("{change}{fixes}")));
    }
    text
}

fn id(given: &str) -> Result<EntryId, Failure> {
    given.parse().map_err(|cause| Failure::new(Exit::NotUnderstood, format!("{cause}")))
}
