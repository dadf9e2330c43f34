//! `lapstrake catalog` for catalogs that are published: new revisions of them, and copies.

use std::path::Path;

use lapstrake_catalog::{Catalog, Date, Edit, EntryId, Revocation};
use lapstrake_oci::destination::Shipment;
use lapstrake_oci::layout::Layout;
use lapstrake_oci::registry::Client;
use lapstrake_runtimes::definitions::Definitions;

use super::lines;
use crate::cli::{
    CopyArgs, DeprecateArgs, PromoteArgs, PublishArgs, RenewArgs, RevisionArgs, RevokeArgs, VerifyArgs,
};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::DEFAULT_TAG;
use crate::planning::today;
use crate::published::{Addition, Next, Published, Repository, additions, verify as verify_revision};
use crate::registry;
use crate::report::print_result;

/// The tag of the newest revision, which volunteers take.
const CANDIDATE: &str = "candidate";

/// `catalog publish`: the entries of a layout become part of a published catalog.
pub fn publish(args: &PublishArgs, context: &Context) -> Result<(), Failure> {
    let client = registry::client(&args.making.registry, context)?;
    let repository = Repository::open(&args.repository, &client, context)?;
    let layout = Layout::open(&args.layout).map_err(|cause| {
        Failure::because(Exit::NotUnderstood, "could not open the layout of the catalog", cause)
    })?;
    let local = Repository::Layout { layout: layout.clone(), client: &client }.revision(DEFAULT_TAG)?.catalog;
    let definitions = definitions(args.recipes.as_deref())?;
    let previous = repository.newest()?;
    let published = previous.as_ref().map(|previous| &previous.catalog);
    let name = name(args.name.as_deref(), &repository, published)?;
    let new = additions(&layout, &local, published, &definitions)?;
    if new.is_empty() {
        return nothing_new(&repository, previous.as_ref(), args.making.dry_run);
    }
    let revising =
        Revising { repository: &repository, previous: previous.as_ref(), name: &name, making: &args.making };
    revising.publish(&local, new, Vec::new(), context)
}

fn definitions(recipes: Option<&Path>) -> Result<Definitions, Failure> {
    let definitions = recipes.map_or_else(Definitions::embedded, Definitions::load);
    definitions.map_err(|cause| Failure::because(Exit::NotUnderstood, "could not read the recipes", cause))
}

/// The canonical name of the catalog.
fn name(
    given: Option<&str>,
    repository: &Repository<'_>,
    published: Option<&Catalog>,
) -> Result<String, Failure> {
    match (published, given, repository) {
        (Some(published), Some(given), _) if published.name != given => Err(Failure::new(
            Exit::NotUnderstood,
            format!("the catalog is named `{}`, and its name never changes", published.name),
        )),
        (Some(published), None, Repository::Registry { name, .. }) if published.name != *name => {
            let what = format!("`{name}` is a mirror of the catalog `{}`", published.name);
            Err(Failure::new(Exit::NotUnderstood, what).hint("publish there, and mirror it again"))
        }
        (Some(published), ..) => Ok(published.name.clone()),
        (None, Some(given), _) => Ok(given.to_owned()),
        (None, None, Repository::Registry { name, .. }) => Ok(name.clone()),
        (None, None, Repository::Layout { .. }) => Err(Failure::new(
            Exit::NotUnderstood,
            "a catalog in a layout needs a name, which images will carry",
        )
        .hint("give it with `--name`, such as `registry.example.com/catalog/runtimes`")),
    }
}

/// Everything is published already, but perhaps not all tags were moved.
fn nothing_new(
    repository: &Repository<'_>,
    previous: Option<&Published>,
    dry_run: bool,
) -> Result<(), Failure> {
    let Some(previous) = previous else {
        let failure = Failure::new(Exit::NotUnderstood, "the layout has no entry with a `run` image");
        return Err(failure.hint("make one: `lapstrake catalog build python3@3.13 --layout DIR`"));
    };
    let is_candidate = repository.tags()?.iter().any(|tag| tag == CANDIDATE)
        && repository.revision(CANDIDATE)?.index.digest() == previous.index.digest();
    if !is_candidate && !dry_run {
        repository.point(CANDIDATE, &previous.index)?;
    }
    let (number, digest) = (previous.catalog.revision, previous.index.digest());
    print_result(&format!("r{number} {digest} has all of these entries\n"))
}

/// A revision that is being made.
struct Revising<'a> {
    repository: &'a Repository<'a>,
    previous: Option<&'a Published>,
    name: &'a str,
    making: &'a RevisionArgs,
}

impl Revising<'_> {
    /// Publishes the next revision: everything that it is made of, `rN`, and then `candidate`. Whatever interrupts that
    /// leaves every tag on a whole revision.
    fn publish(
        &self,
        like: &Catalog,
        new: Vec<Addition>,
        edits: Vec<Edit>,
        context: &Context,
    ) -> Result<(), Failure> {
        let ids: Vec<String> = new.iter().map(|addition| addition.id.to_string()).collect();
        let next = Next {
            name: self.name,
            previous: self.previous,
            now: context.now,
            valid_days: self.making.valid_days,
        };
        let (catalog, shipment) = next.revision(like, new, edits)?;
        let (tag, index) = (format!("r{}", catalog.revision), shipment.top.clone());
        for id in ids {
            context.report.note(&format!("new in {tag}: {id}"));
        }
        if !self.making.dry_run {
            self.ship(&tag, shipment, context)?;
        }
        print_result(&format!("{tag} {}\n", index.digest()))
    }

    fn ship(&self, tag: &str, shipment: Shipment, context: &Context) -> Result<(), Failure> {
        let index = shipment.top.clone();
        self.repository.ship(shipment, tag)?;
        // Nobody can be kept from writing the tag at the same time; whoever lost must know.
        let there = self.repository.revision(tag)?;
        if there.index.digest() != index.digest() {
            let what = format!(
                "somebody else has published `{tag}` of `{}` in the meantime",
                self.repository.name()
            );
            return Err(Failure::new(Exit::Transient, what));
        }
        self.repository.point(CANDIDATE, &index)?;
        context
            .report
            .note(&format!("published {tag} as `{CANDIDATE}`; `catalog promote` makes it `latest`"));
        Ok(())
    }
}

/// Publishes a revision that changes the status of entries, or nothing but its own dates.
fn edit(repository: &str, making: &RevisionArgs, edits: Vec<Edit>, context: &Context) -> Result<(), Failure> {
    let client = registry::client(&making.registry, context)?;
    let repository = Repository::open(repository, &client, context)?;
    let previous = newest(&repository)?;
    let name = name(None, &repository, Some(&previous.catalog))?;
    let revising = Revising { repository: &repository, previous: Some(&previous), name: &name, making };
    revising.publish(&previous.catalog, Vec::new(), edits, context)
}

fn newest(repository: &Repository<'_>) -> Result<Published, Failure> {
    repository.newest()?.ok_or_else(|| {
        Failure::new(Exit::NotUnderstood, format!("no catalog is published in `{}`", repository.name()))
    })
}

/// `catalog deprecate`.
pub fn deprecate(args: &DeprecateArgs, context: &Context) -> Result<(), Failure> {
    let on = args.on.parse::<Date>();
    let on = on.map_err(|cause| Failure::new(Exit::NotUnderstood, format!("`--on`: {cause}")))?;
    edit(&args.repository, &args.making, vec![Edit::Deprecate { id: id(&args.id)?, on }], context)
}

/// `catalog revoke`.
pub fn revoke(args: &RevokeArgs, context: &Context) -> Result<(), Failure> {
    let revocation = Revocation {
        date: today(context),
        reason: args.reason.clone(),
        severity: args.severity.clone(),
        advisories: args.advisory.clone(),
        replacement: args.replacement.as_deref().map(id).transpose()?,
    };
    edit(&args.repository, &args.making, vec![Edit::Revoke { id: id(&args.id)?, revocation }], context)
}

/// `catalog renew`.
pub fn renew(args: &RenewArgs, context: &Context) -> Result<(), Failure> {
    edit(&args.repository, &args.making, Vec::new(), context)
}

fn id(given: &str) -> Result<EntryId, Failure> {
    given.parse().map_err(|cause| Failure::new(Exit::NotUnderstood, format!("{cause}")))
}

/// `catalog promote`: everybody gets the revision.
pub fn promote(args: &PromoteArgs, context: &Context) -> Result<(), Failure> {
    let client = registry::client(&args.registry, context)?;
    let repository = Repository::open(&args.repository, &client, context)?;
    let revision = repository.revision(&args.revision)?;
    let number = revision.catalog.revision;
    if repository.tags()?.iter().any(|tag| tag == DEFAULT_TAG) {
        let latest = repository.revision(DEFAULT_TAG)?.catalog.revision;
        if latest > number {
            let what = format!("`{DEFAULT_TAG}` is r{latest} already, and never goes back");
            let hint = "take a mistake back with a new revision: `catalog revoke` or `catalog deprecate`";
            return Err(Failure::new(Exit::NotUnderstood, what).hint(hint));
        }
    }
    let day = Date::from(revision.catalog.created).to_string().replace('-', ".");
    for tag in [day.as_str(), DEFAULT_TAG] {
        repository.point(tag, &revision.index)?;
    }
    print_result(&format!("{DEFAULT_TAG} r{number} {}\n", revision.index.digest()))
}

/// `catalog verify`.
pub fn verify(args: &VerifyArgs, context: &Context) -> Result<(), Failure> {
    let client = registry::client(&args.registry, context)?;
    let repository = Repository::open(&args.repository, &client, context)?;
    let revision = repository.revision(&args.revision)?;
    let verified = verify_revision(&repository, &revision)?;
    print_result(&format!(
        "r{} {}: revisions that follow from each other: {}; images with the layers that the catalog names: {}\n",
        revision.catalog.revision,
        revision.index.digest(),
        verified.revisions,
        verified.images
    ))
}

/// `catalog pull` and `catalog mirror`: the same revisions elsewhere, under the same digests.
pub fn copy(args: &CopyArgs, context: &Context) -> Result<(), Failure> {
    let client = registry::client(&args.registry, context)?;
    let from = Repository::open(&args.from, &client, context)?;
    let to = Repository::open(&args.to, &client, context)?;
    let numbers = from.numbers()?;
    let names = match &args.revision {
        Some(name) => vec![name.clone()],
        None => numbers.iter().map(|number| format!("r{number}")).collect(),
    };
    if names.is_empty() {
        newest(&from)?;
    }
    let mut done = Vec::new();
    for name in &names {
        let revision = from.revision(name)?;
        let tag = format!("r{}", revision.catalog.revision);
        to.ship(shipment(&from, &revision, &client)?, &tag)?;
        done.push(format!("{tag} {}", revision.index.digest()));
    }
    // The tags that move come last, and only to what is there.
    for tag in from.tags()?.iter().filter(|tag| [CANDIDATE, DEFAULT_TAG].contains(&tag.as_str())) {
        let revision = from.revision(tag)?;
        if to.numbers()?.contains(&revision.catalog.revision) {
            to.point(tag, &revision.index)?;
        }
    }
    print_result(&lines(done))
}

/// Everything that a revision is made of, to be sent elsewhere.
fn shipment(from: &Repository<'_>, revision: &Published, client: &Client) -> Result<Shipment, Failure> {
    match from {
        Repository::Registry { .. } => {
            let reference = from.reference(revision.index.digest().as_ref())?;
            client.shipment(&reference, revision.index.clone()).map_err(|cause| {
                registry::failure(cause, format!("could not read the catalog `{}`", from.name()))
            })
        }
        Repository::Layout { layout, .. } => Shipment::from_layout(layout, revision.index.descriptor())
            .map_err(|cause| {
                Failure::because(
                    Exit::Refused,
                    format!("could not read the catalog `{}`", from.name()),
                    cause,
                )
            }),
    }
}
