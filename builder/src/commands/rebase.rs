//! `lapstrake rebase`: images on newer runtimes, without building them again.

mod fleet;

use std::sync::Arc;

use lapstrake_catalog::Date;
use lapstrake_catalog::audit::Known;
use lapstrake_oci::document::sha256_of;
use lapstrake_oci::registry::Client;

use crate::catalog::CatalogAt;
use crate::cli::RebaseArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::DEFAULT_TAG;
use crate::planning::today;
use crate::published::Repository;
use crate::rebase::{Outcome, Proof, Rebase, Rebased, Target, smoke};
use crate::registry;
use crate::report::print_result;

/// Runs the command. The digest of what the tag names now goes to standard output.
pub fn run(args: &RebaseArgs, context: &Context) -> Result<(), Failure> {
    let client = registry::client_for_many(&args.registry, context)?;
    if args.undo {
        return undo(args, &client, context);
    }
    // What the registry does not mount is brought here first.
    fs_err::create_dir_all(context.scratch_dir())
        .map_err(|cause| Failure::io("could not make the scratch directory", cause))?;
    let catalog_client = registry::client(&args.registry, context)?;
    let catalog = CatalogAt::open(&args.catalog, true, catalog_client, context)?;
    let known = Known::of(catalog.catalog());
    let target = target(&args.to)?;
    let as_of = as_of(args.as_of.as_deref(), context)?;
    let proof = Proof::at(&context.data_dir);
    let rebase = Rebase { catalog: &catalog, known: &known, target: &target, proof: &proof, as_of, context };
    match &args.reference {
        Some(given) => one(given, args, &rebase, &client),
        None => fleet::run(args, &rebase, &client),
    }
}

fn target(given: &str) -> Result<Target, Failure> {
    if given == DEFAULT_TAG {
        return Ok(Target::Latest);
    }
    let id = given.parse().map_err(|cause| Failure::new(Exit::NotUnderstood, format!("`--to`: {cause}")))?;
    Ok(Target::Entry(id))
}

fn as_of(given: Option<&str>, context: &Context) -> Result<Date, Failure> {
    let given = given.map(str::parse::<Date>).transpose();
    let given = given.map_err(|cause| Failure::new(Exit::NotUnderstood, format!("`--as-of`: {cause}")))?;
    Ok(given.unwrap_or_else(|| today(context)))
}

fn one(given: &str, args: &RebaseArgs, rebase: &Rebase<'_>, client: &Arc<Client>) -> Result<(), Failure> {
    let context = rebase.context;
    let (repository, name) = Repository::named(given, client, context)?;
    let tag = match &args.tag {
        Some(tag) => tag.clone(),
        None if name.contains(':') && !args.dry_run => {
            return Err(Failure::new(Exit::NotUnderstood, "a digest never changes what it names")
                .hint("say under which tag the image goes: `--tag TAG`"));
        }
        None => name.clone(),
    };
    let Outcome::Move(rebased) = rebase.look(&repository, &name)? else {
        context.report.note(&format!("{given} is on its target already"));
        return print_result(&format!("{}@{}\n", repository.name(), repository.top(&name)?.digest()));
    };
    for (platform, (from, to)) in &rebased.moves {
        context.report.note(&format!("{given} for {platform}: {from} -> {to}"));
    }
    let digest = rebased.shipment.top.digest().clone();
    if !args.dry_run {
        let change = Change { repository: &repository, tag: &tag, keeps: args.tag.is_none() };
        change.write(*rebased, args, context)?;
    }
    print_result(&format!("{}@{digest}\n", repository.name()))
}

/// The tag under which an image stays that its own tag names no more.
fn before_tag(tag: &str, digest: &oci_spec::image::Digest) -> String {
    format!("{}{}", before_prefix(tag), &digest.digest()[..12])
}

/// What the tags of all images begin with that a tag named before.
fn before_prefix(tag: &str) -> String {
    // A tag has at most 128 characters (distribution-spec, pulling manifests). Two long ones stay apart.
    let kept = if tag.len() <= 100 {
        tag.to_owned()
    } else {
        format!("{}-{}", &tag[..87], &sha256_of(tag.as_bytes()).digest()[..12])
    };
    format!("{kept}.before-")
}

/// Whether a tag was made by an earlier rebase.
fn is_before_tag(tag: &str) -> bool {
    let hex = tag.rsplit_once(".before-").map(|(_, hex)| hex);
    hex.is_some_and(|hex| hex.len() == 12 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A tag that is about to name another image.
struct Change<'a> {
    repository: &'a Repository,
    tag: &'a str,
    /// Whether the image that it names now gets a tag of its own.
    keeps: bool,
}

impl Change<'_> {
    /// Writes an image under its tag, after the one that was there got a tag of its own.
    fn write(&self, rebased: Rebased, args: &RebaseArgs, context: &Context) -> Result<(), Failure> {
        let (repository, tag) = (self.repository, self.tag);
        if let Some(path) = &args.smoke {
            smoke(&rebased, path, repository, context)?;
        }
        if self.keeps {
            repository.point(&before_tag(tag, rebased.before.digest()), &rebased.before)?;
            // A registry cannot be asked to write only where nothing has changed, so the look comes as late as it can.
            let now = repository.digest_of(tag)?;
            if now.as_ref() == Some(rebased.shipment.top.digest()) {
                return Ok(());
            }
            if now.as_ref() != Some(rebased.before.digest()) {
                let what =
                    format!("`{tag}` of `{}` was pushed meanwhile, and is left alone", repository.name());
                return Err(Failure::new(Exit::Transient, what));
            }
        }
        repository.ship(rebased.shipment, tag)
    }
}

/// Lets a tag name the image again that it named before a rebase.
fn undo(args: &RebaseArgs, client: &Arc<Client>, context: &Context) -> Result<(), Failure> {
    let given = args.reference.as_deref().unwrap_or_default();
    let (repository, tag) = Repository::named(given, client, context)?;
    let prefix = before_prefix(&tag);
    let earlier: Vec<String> = match &args.before {
        Some(before) => vec![before.clone()],
        None => repository
            .tags()?
            .into_iter()
            .filter(|other| other.starts_with(&prefix) && is_before_tag(other))
            .collect(),
    };
    let now = repository.top(&tag)?;
    let mut candidates = Vec::new();
    for before in earlier {
        let document = repository.top(&before)?;
        if document.digest() != now.digest() {
            candidates.push((before, document));
        }
    }
    match candidates.as_slice() {
        [] => Err(Failure::new(Exit::NotUnderstood, format!("`{given}` has no earlier image to go back to"))),
        [(before, document)] => {
            repository.point(&tag, document)?;
            context.report.note(&format!("{given} is what `{before}` names"));
            print_result(&format!("{}@{}\n", repository.name(), document.digest()))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|(before, _)| before.as_str()).collect();
            Err(Failure::new(
                Exit::NotUnderstood,
                format!("`{given}` was several images before: {}", names.join(", ")),
            )
            .hint("name one of them with `--before TAG`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_an_earlier_image_is_told_from_others_and_fits() {
        let digest = sha256_of(b"image");
        assert_eq!(before_tag("v1", &digest), format!("v1.before-{}", &digest.digest()[..12]));
        let (one, other) = ("a".repeat(127) + "b", "a".repeat(127) + "c");
        let (of_one, of_other) = (before_tag(&one, &digest), before_tag(&other, &digest));
        assert!(of_one != of_other && of_one.len() <= 128, "{of_one}");
        assert!(of_one.starts_with(&before_prefix(&one)) && !of_one.starts_with(&before_prefix(&other)));
        for (tag, expected) in [(of_one.as_str(), true), ("v1.before-0123456789ab", true), ("v1", false)] {
            assert_eq!(is_before_tag(tag), expected, "{tag}");
        }
        assert!(!is_before_tag("v1.before-christmas0") && !is_before_tag("v1.before-0123"));
    }
}
