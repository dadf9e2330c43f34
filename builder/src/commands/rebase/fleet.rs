//! Many images: selected, planned, moved.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use globset::{Glob, GlobMatcher};
use lapstrake_oci::document::sha256_of;
use lapstrake_oci::registry::Client;
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

use super::{Change, is_before_tag};
use crate::cli::RebaseArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::published::Repository;
use crate::rebase::{Outcome, Rebase};
use crate::registry;
use crate::report::print_result;
use crate::source::in_parallel_by;

/// So many images are worked on at a time.
const AT_A_TIME: usize = 8;
/// The form of a plan.
const SCHEMA: u32 = 1;

/// One line of a plan: an image, what it is, and what it becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    schema: u32,
    image: String,
    from: Digest,
    to: Digest,
    entries: Vec<String>,
}

/// What came of one image.
enum Done {
    Moved(Item),
    Current,
    /// It is neither what the plan found nor what it makes of it.
    Changed(String),
    /// It cannot be proven, or there is nothing that it could be moved to.
    Unfit(String, Failure),
    Failed(String, Failure),
}

/// Plans, or carries a plan out.
pub(super) fn run(args: &RebaseArgs, rebase: &Rebase<'_>, client: &Arc<Client>) -> Result<(), Failure> {
    let context = rebase.context;
    let Some(select) = &args.select else {
        let path = args.plan.as_deref().unwrap_or(Path::new(""));
        let items = read(path)?;
        let work = |item: &Item| Ok(apply(item, args, rebase, client));
        return tell(in_parallel_by(AT_A_TIME, &items, stopping(context, work))?, context);
    };
    let names = selected(select, args, client, context)?;
    let work = |name: &String| Ok(look(name, rebase, client));
    let done = in_parallel_by(AT_A_TIME, &names, stopping(context, work))?;
    match &args.plan {
        Some(path) => {
            let items: Vec<&Item> = done
                .iter()
                .filter_map(|done| if let Done::Moved(item) = done { Some(item) } else { None })
                .collect();
            keep(path, &items)?;
            context.report.note(&format!(
                "{} images are in the plan; `--plan {}` carries it out",
                items.len(),
                path.display()
            ));
            tell(done, context)
        }
        None if args.dry_run => tell(done, context),
        None => {
            let (items, others): (Vec<Done>, Vec<Done>) =
                done.into_iter().partition(|done| matches!(done, Done::Moved(_)));
            let items: Vec<Item> = items
                .into_iter()
                .filter_map(|done| if let Done::Moved(item) = done { Some(item) } else { None })
                .collect();
            let work = |item: &Item| Ok(apply(item, args, rebase, client));
            let mut moved = in_parallel_by(AT_A_TIME, &items, stopping(context, work))?;
            moved.extend(others);
            tell(moved, context)
        }
    }
}

fn stopping<'a, T>(
    context: &'a Context,
    work: impl Fn(&T) -> Result<Done, Failure> + Sync + 'a,
) -> impl Fn(&T) -> Result<Done, Failure> + Sync + 'a {
    move |item| {
        context.stop.check()?;
        work(item)
    }
}

/// The images of the repositories that a glob matches, without those that an earlier rebase has kept.
fn selected(
    select: &str,
    args: &RebaseArgs,
    client: &Arc<Client>,
    context: &Context,
) -> Result<Vec<String>, Failure> {
    let host = select.split('/').next().unwrap_or_default();
    let repositories = match &args.repos_from {
        Some(file) => names_in(file)?,
        None => client.repositories(host).map_err(|cause| {
            registry::failure(cause, format!("could not list the repositories of `{host}`"))
                .hint("name them with `--repos-from FILE`: many registries do not list them")
        })?,
    };
    let (select, tags) =
        (glob("--select", select)?, args.tags.as_deref().map(|tags| glob("--tags", tags)).transpose()?);
    let share = args.canary.as_deref().map(share).transpose()?;
    let mut names = Vec::new();
    for repository in
        repositories.into_iter().map(|name| format!("{host}/{name}")).filter(|name| select.is_match(name))
    {
        let listed = Repository::look(&repository, client, context)?.tags()?;
        let fits = |tag: &&String| {
            tags.as_ref().is_none_or(|glob| glob.is_match(tag.as_str())) && !is_before_tag(tag)
        };
        names.extend(listed.iter().filter(fits).map(|tag| format!("{repository}:{tag}")));
    }
    names.retain(|name| share.is_none_or(|share| hundredth(name) < share));
    names.sort();
    Ok(names)
}

fn glob(option: &str, given: &str) -> Result<GlobMatcher, Failure> {
    let compiled = Glob::new(given).map(|glob| glob.compile_matcher());
    compiled.map_err(|cause| Failure::because(Exit::NotUnderstood, format!("`{option}` is no glob"), cause))
}

fn names_in(file: &Path) -> Result<Vec<String>, Failure> {
    let text = fs_err::read_to_string(file).map_err(|cause| {
        Failure::because(Exit::NotUnderstood, "could not read the names of the repositories", cause)
    })?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// How many hundredths `N%` are.
fn share(given: &str) -> Result<u8, Failure> {
    let number = given.trim_end_matches('%').parse::<u8>().ok().filter(|number| (1..=100).contains(number));
    number.ok_or_else(|| {
        Failure::new(Exit::NotUnderstood, format!("`--canary {given}` is no share from 1% to 100%"))
    })
}

/// The hundredth of all names that a name belongs to.
fn hundredth(name: &str) -> u8 {
    let digest = sha256_of(name.as_bytes());
    let number = u32::from_str_radix(&digest.digest()[..8], 16).unwrap_or_default();
    u8::try_from(number % 100).unwrap_or_default()
}

/// What would become of an image.
fn look(name: &str, rebase: &Rebase<'_>, client: &Arc<Client>) -> Done {
    let looked = Repository::named(name, client, rebase.context)
        .and_then(|(repository, tag)| rebase.look(&repository, &tag));
    match looked {
        Ok(Outcome::Current) => Done::Current,
        Ok(Outcome::Move(rebased)) => Done::Moved(Item {
            schema: SCHEMA,
            image: name.to_owned(),
            from: rebased.before.digest().clone(),
            to: rebased.shipment.top.digest().clone(),
            entries: rebased.moves.values().map(|(from, to)| format!("{from} -> {to}")).collect(),
        }),
        Err(failure) if failure.exit == Exit::Refused => Done::Unfit(name.to_owned(), failure),
        Err(failure) => Done::Failed(name.to_owned(), failure),
    }
}

/// Carries one line of a plan out. What is done already is left as it is, and what has changed since as well.
fn apply(item: &Item, args: &RebaseArgs, rebase: &Rebase<'_>, client: &Arc<Client>) -> Done {
    let moved = || -> Result<Done, Failure> {
        let (repository, tag) = Repository::named(&item.image, client, rebase.context)?;
        let now = repository.digest_of(&tag)?;
        if now.as_ref() == Some(&item.to) {
            return Ok(Done::Current);
        }
        if now.as_ref() != Some(&item.from) {
            return Ok(Done::Changed(item.image.clone()));
        }
        let Outcome::Move(rebased) = rebase.look(&repository, item.from.as_ref())? else {
            return Ok(Done::Changed(item.image.clone()));
        };
        if *rebased.shipment.top.digest() != item.to {
            let what = format!(
                "`{}` would become `{}` and not what was planned",
                item.image,
                rebased.shipment.top.digest()
            );
            return Err(Failure::new(Exit::Refused, what).hint("the catalog has changed: plan anew"));
        }
        if !args.dry_run {
            Change { repository: &repository, tag: &tag, keeps: true }.write(
                *rebased,
                args,
                rebase.context,
            )?;
        }
        Ok(Done::Moved(item.clone()))
    };
    moved().unwrap_or_else(|failure| Done::Failed(item.image.clone(), failure))
}

fn read(path: &Path) -> Result<Vec<Item>, Failure> {
    let text = fs_err::read_to_string(path)
        .map_err(|cause| Failure::because(Exit::NotUnderstood, "could not read the plan", cause))?;
    let parse = |(at, line): (usize, &str)| {
        let item = serde_json::from_str::<Item>(line).map_err(|cause| {
            Failure::because(
                Exit::NotUnderstood,
                format!("line {} of the plan is not understood", at + 1),
                cause,
            )
        })?;
        if item.schema != SCHEMA {
            let what = format!(
                "line {} of the plan has the form {}, and {SCHEMA} is understood",
                at + 1,
                item.schema
            );
            return Err(Failure::new(Exit::NotUnderstood, what));
        }
        Ok(item)
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
}

/// Writes a plan whole or not at all.
fn keep(path: &Path, items: &[&Item]) -> Result<(), Failure> {
    let lines = items.iter().map(|item| serde_json::to_string(item).map(|line| line + "\n"));
    let text: String = lines
        .collect::<Result<_, _>>()
        .map_err(|cause| Failure::because(Exit::Ours, "could not write the plan", cause))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = tempfile::NamedTempFile::new_in(directory).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.persist(path).map(drop).map_err(|error| error.error)
    });
    written.map_err(|cause| Failure::because(Exit::NotUnderstood, "could not write the plan", cause))
}

/// Prints what was moved, and fails where something was not.
fn tell(done: Vec<Done>, context: &Context) -> Result<(), Failure> {
    let (mut moved, mut failed) = (Vec::new(), Vec::new());
    let (mut current, mut changed, mut unfit) = (0, 0, 0);
    for done in done {
        match done {
            Done::Moved(item) => {
                moved.push(format!("{} {} {}\n", item.image, item.to, item.entries.join(", ")));
            }
            Done::Current => current += 1,
            Done::Changed(image) => {
                changed += 1;
                context.report.warning(&format!(
                    "`{image}` is another image than when it was planned, and is left alone"
                ));
            }
            Done::Unfit(image, failure) => {
                unfit += 1;
                context.report.warning(&format!("`{image}` is left alone: {}", failure.what));
            }
            Done::Failed(image, failure) => {
                context.report.warning(&format!("`{image}` is left alone: {}", failure.what));
                failed.push(failure);
            }
        }
    }
    context.report.note(&format!(
        "{} moved, {current} on their target, {changed} changed since, {unfit} to be rebuilt, {} failed",
        moved.len(),
        failed.len()
    ));
    print_result(&moved.concat())?;
    // What cannot be moved is left alone and told; what was to be moved and was not is a failure.
    match failed.into_iter().next() {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}
