//! `lapstrake catalog` for catalogs that are published: new revisions of them, and copies.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use lapstrake_catalog::{
    Catalog, Date, Edit, EntryId, LOCAL, OsRecord, Revocation, RuntimeRecord, UpstreamSource, Version,
};
use lapstrake_oci::destination::Shipment;
use lapstrake_oci::layout::Layout;
use lapstrake_runtimes::definitions::Definitions;
use oci_spec::image::Digest;

use super::lines;
use crate::cli::{
    CopyArgs, DeprecateArgs, ImportArgs, PromoteArgs, PublishArgs, RenewArgs, RevisionArgs, RevokeArgs,
};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::DEFAULT_TAG;
use crate::planning::today;
use crate::published::{
    Addition, CANDIDATE, Facts, Keep, Names, Next, Published, Repository, additions, import as import_image,
};
use crate::registry;
use crate::report::print_result;
use crate::trust::signing_key;

/// `catalog publish`: the entries of a layout become part of a published catalog.
pub fn publish(args: &PublishArgs, context: &Context) -> Result<(), Failure> {
    let client = registry::client(&args.making.registry, context)?;
    let repository = Repository::open(&args.repository, &client, context)?;
    let layout = Layout::open(&args.layout).map_err(|cause| {
        Failure::because(Exit::NotUnderstood, "could not open the layout of the catalog", cause)
    })?;
    let local = Repository::Layout { layout: layout.clone(), client: Arc::clone(&client) }
        .revision(DEFAULT_TAG)?
        .catalog;
    let definitions = definitions(args.recipes.as_deref())?;
    let previous = repository.newest()?;
    let published = previous.as_ref().map(|previous| &previous.catalog);
    let name = name(args.name.as_deref(), &repository, published)?;
    if let Some(previous) = &previous {
        settle(&repository, previous, &args.making, context)?;
    }
    let keep = if args.artifacts { Keep::Artifacts } else { Keep::Evidence };
    let new = additions(&layout, &local, published, (&definitions, keep, context))?;
    if new.is_empty() {
        return nothing_new(previous.as_ref());
    }
    let revising =
        Revising { repository: &repository, previous: previous.as_ref(), name: &name, making: &args.making };
    revising.publish(&Names::from(&local), new, Vec::new(), context)
}

pub(super) fn definitions(recipes: Option<&Path>) -> Result<Definitions, Failure> {
    let definitions = recipes.map_or_else(Definitions::embedded, Definitions::load);
    definitions.map_err(|cause| Failure::because(Exit::NotUnderstood, "could not read the recipes", cause))
}

/// The canonical name of the catalog.
fn name(
    given: Option<&str>,
    repository: &Repository,
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
        (None, Some(LOCAL), _) => Err(Failure::new(
            Exit::NotUnderstood,
            format!("`{LOCAL}` is the name of catalogs that are not published"),
        )),
        (None, Some(given), _) => Ok(given.to_owned()),
        (None, None, Repository::Registry { name, .. }) => Ok(name.clone()),
        (None, None, Repository::Layout { .. }) => Err(Failure::new(
            Exit::NotUnderstood,
            "a catalog in a layout needs a name, which images will carry",
        )
        .hint("give it with `--name`, such as `registry.example.com/catalog/runtimes`")),
    }
}

fn nothing_new(previous: Option<&Published>) -> Result<(), Failure> {
    let Some(previous) = previous else {
        let failure = Failure::new(Exit::NotUnderstood, "the layout has no entry with a `run` image");
        return Err(failure.hint("make one: `lapstrake catalog build python3@3.13 --layout DIR`"));
    };
    let (number, digest) = (previous.catalog.revision, previous.index.digest());
    print_result(&format!("r{number} {digest} has all of these entries\n"))
}

/// A revision that is being made.
struct Revising<'a> {
    repository: &'a Repository,
    previous: Option<&'a Published>,
    name: &'a str,
    making: &'a RevisionArgs,
}

impl Revising<'_> {
    /// Publishes the next revision: everything that it is made of, `rN`, and then `candidate`. Whatever interrupts that
    /// leaves every tag on a whole revision.
    fn publish(
        &self,
        like: &Names,
        new: Vec<Addition>,
        edits: Vec<Edit>,
        context: &Context,
    ) -> Result<(), Failure> {
        let next = Next {
            name: self.name,
            previous: self.previous,
            now: context.now,
            valid_days: self.making.valid_days,
        };
        let (catalog, shipment) = next.revision(like, new, edits)?;
        let (tag, index) = (format!("r{}", catalog.revision), shipment.top.clone());
        for entry in catalog.entries.iter().filter(|entry| entry.added_in == catalog.revision) {
            context.report.note(&format!("new in {tag}: {}", entry.id));
        }
        if !self.making.dry_run {
            self.ship(&tag, shipment, context)?;
        }
        print_result(&format!("{tag} {}\n", index.digest()))
    }

    fn ship(&self, tag: &str, shipment: Shipment, context: &Context) -> Result<(), Failure> {
        let index = shipment.top.clone();
        if let Some(there) = self.repository.digest_of(tag)? {
            return Err(self.taken(tag, &there));
        }
        let key = self.making.sign_key.as_deref().map(|given| signing_key(given, context)).transpose()?;
        self.repository.ship(shipment, tag)?;
        // Nobody can be kept from writing the tag at the same time; whoever lost must know.
        let there = self.repository.revision(tag)?;
        if there.index.digest() != index.digest() {
            return Err(self.taken(tag, there.index.digest()));
        }
        if let Some(key) = &key {
            self.repository.sign(&there, key)?;
            context.report.note(&format!("signed {tag} with key {}", key.public().id()));
        }
        self.repository.point(CANDIDATE, &index)?;
        context
            .report
            .note(&format!("published {tag} as `{CANDIDATE}`; `catalog promote` makes it `latest`"));
        Ok(())
    }

    fn taken(&self, tag: &str, there: &Digest) -> Failure {
        let name = self.repository.name();
        let what = format!("somebody else has published `{tag}` of `{name}` in the meantime: `{there}`");
        Failure::new(Exit::Transient, what)
    }
}

/// `catalog import`: an existing image becomes an entry.
pub fn import(args: &ImportArgs, context: &Context) -> Result<(), Failure> {
    let client = registry::client(&args.making.registry, context)?;
    let repository = Repository::open(&args.repository, &client, context)?;
    let (place, digest) = image_by_digest(&args.image)?;
    let previous = repository.newest()?;
    let published = previous.as_ref().map(|previous| &previous.catalog);
    let name = name(args.name.as_deref(), &repository, published)?;
    if let Some(previous) = &previous {
        settle(&repository, previous, &args.making, context)?;
        if let Some(there) = imported_already(&previous.catalog, &args.runtime, &digest) {
            let (revision, index) = (previous.catalog.revision, previous.index.digest());
            return print_result(&format!("r{revision} {index} has it already: {there}\n"));
        }
    }
    let facts = facts(args, published, context)?;
    let names = names(args, &facts, published)?;
    let new = import_image(&Repository::look(place, &client, context)?, &digest, &facts)?;
    let revising =
        Revising { repository: &repository, previous: previous.as_ref(), name: &name, making: &args.making };
    revising.publish(&names, vec![new], Vec::new(), context)
}

fn image_by_digest(given: &str) -> Result<(&str, Digest), Failure> {
    let parsed = given.rsplit_once('@').and_then(|(place, digest)| Some((place, digest.parse().ok()?)));
    parsed.ok_or_else(|| {
        Failure::new(Exit::NotUnderstood, format!("`{given}` names no image by its digest"))
            .hint("a tag may move: write `REGISTRY/REPOSITORY@sha256:…` or `oci:DIR@sha256:…`")
    })
}

/// The entry that an image has become before.
fn imported_already(catalog: &Catalog, runtime: &str, digest: &Digest) -> Option<EntryId> {
    let is_it =
        |source: &UpstreamSource| matches!(source, UpstreamSource::Imported { image, .. } if image == digest);
    let there = catalog.entries.iter().find(|entry| entry.runtime == runtime && is_it(&entry.source));
    there.map(|entry| entry.id.clone())
}

fn facts(args: &ImportArgs, published: Option<&Catalog>, context: &Context) -> Result<Facts, Failure> {
    let version = args.version.parse::<Version>();
    let version = version.map_err(|cause| Failure::new(Exit::NotUnderstood, cause.to_string()))?;
    let before = published.and_then(|published| published.newest_build(&args.runtime, version));
    let id = EntryId::new(&args.runtime, version, before.map_or(0, |entry| entry.build) + 1);
    Ok(Facts {
        id: id.map_err(|cause| Failure::new(Exit::NotUnderstood, cause.to_string()))?,
        os: args.os.clone(),
        abi: args.abi.clone(),
        eol: date("--eol", args.eol.as_deref())?,
        released: today(context),
        is_for_builds: args.for_builds,
    })
}

fn date(option: &str, given: Option<&str>) -> Result<Option<Date>, Failure> {
    let parsed = given.map(str::parse::<Date>).transpose();
    parsed.map_err(|cause| Failure::new(Exit::NotUnderstood, format!("`{option}`: {cause}")))
}

/// The runtime and the operating system of an imported image, where the catalog does not know them.
fn names(args: &ImportArgs, facts: &Facts, published: Option<&Catalog>) -> Result<Names, Failure> {
    let mut names = Names::default();
    let lacks = |what: String, hint: &str| Failure::new(Exit::NotUnderstood, what).hint(hint);
    if published.is_none_or(|catalog| !catalog.runtimes.contains_key(&args.runtime)) {
        let Some(language) = args.language.clone() else {
            let what = format!("the catalog has no runtime `{}`", args.runtime);
            return Err(lacks(what, "say with `--language` what it runs: `python` or `node`"));
        };
        let [major, minor, _] = facts.id.version().components();
        let default = if language == "node" { major.to_string() } else { format!("{major}.{minor}") };
        let grammar = "major[.minor[.patch[-build]]]".to_owned();
        let record = RuntimeRecord { language, default, grammar, aliases: BTreeMap::new(), successor: None };
        names.runtimes.insert(args.runtime.clone(), record);
    }
    if published.is_none_or(|catalog| !catalog.oses.contains_key(&args.os)) {
        let (Some(suite), Some(glibc)) = (args.suite.clone(), args.glibc.clone()) else {
            let what = format!("the catalog has no operating system `{}`", args.os);
            return Err(lacks(what, "describe it with `--suite` and `--glibc`"));
        };
        let os_eol = date("--os-eol", args.os_eol.as_deref())?;
        let os_lts = date("--os-lts", args.os_lts.as_deref())?;
        names.oses.insert(args.os.clone(), OsRecord { suite, glibc, os_eol, os_lts });
    }
    Ok(names)
}

/// Publishes a revision that changes the status of entries, or nothing but its own dates.
fn edit(repository: &str, making: &RevisionArgs, edits: Vec<Edit>, context: &Context) -> Result<(), Failure> {
    let client = registry::client(&making.registry, context)?;
    let repository = Repository::look(repository, &client, context)?;
    let previous = newest(&repository)?;
    let name = name(None, &repository, Some(&previous.catalog))?;
    let was_interrupted = settle(&repository, &previous, making, context)?;
    // What an interruption kept from its end is not done twice.
    if was_interrupted && !edits.is_empty() && edits.iter().all(|edit| holds(&previous.catalog, edit)) {
        return print_result(&format!(
            "r{} {} says so already\n",
            previous.catalog.revision,
            previous.index.digest()
        ));
    }
    let revising = Revising { repository: &repository, previous: Some(&previous), name: &name, making };
    revising.publish(&Names::default(), Vec::new(), edits, context)
}

/// Whether a revision says already what is to be said.
fn holds(catalog: &Catalog, edit: &Edit) -> bool {
    match edit {
        Edit::Deprecate { id, on } => {
            catalog.entry(id).is_some_and(|entry| entry.revoked.is_none() && entry.deprecated_on == Some(*on))
        }
        Edit::Revoke { id, revocation } => {
            let there = catalog.entry(id).and_then(|entry| entry.revoked.as_ref());
            there.is_some_and(|there| Revocation { date: there.date, ..revocation.clone() } == *there)
        }
    }
}

/// Before a revision is made: no earlier one was rewritten, and what an interruption has left undone is done. Says whether
/// something was.
fn settle(
    repository: &Repository,
    newest: &Published,
    making: &RevisionArgs,
    context: &Context,
) -> Result<bool, Failure> {
    for past in &newest.catalog.revisions {
        repository.is_unmoved(past.revision, &past.digest)?;
    }
    let candidate = repository.digest_of(CANDIDATE)?;
    if candidate.as_ref() == Some(newest.index.digest()) {
        return Ok(false);
    }
    let number = newest.catalog.revision;
    if let Some(candidate) = candidate {
        let candidate = repository.revision(candidate.as_ref())?;
        repository.is_unmoved(candidate.catalog.revision, candidate.index.digest())?;
    }
    context.report.note(&format!("r{number} was published and `{CANDIDATE}` did not follow: it does now"));
    if !making.dry_run {
        repository.point(CANDIDATE, &newest.index)?;
    }
    Ok(true)
}

fn newest(repository: &Repository) -> Result<Published, Failure> {
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
    let repository = Repository::look(&args.repository, &client, context)?;
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

/// `catalog pull` and `catalog mirror`: the same revisions elsewhere, under the same digests.
pub fn copy(args: &CopyArgs, context: &Context) -> Result<(), Failure> {
    let client = registry::client(&args.registry, context)?;
    let from = Repository::look(&args.from, &client, context)?;
    let to = Repository::open(&args.to, &client, context)?;
    if args.without_images && to.layout().is_none() {
        return Err(Failure::new(Exit::NotUnderstood, "a registry takes no catalog without its images")
            .hint("pull it into a layout: `oci:DIR`"));
    }
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
        to.is_unmoved(revision.catalog.revision, revision.index.digest())?;
        let index = &revision.index;
        let shipment = if args.without_images { from.documents(index)? } else { from.shipment(index)? };
        to.ship(shipment, &tag)?;
        to.copy_signatures(&from, &revision)?;
        done.push(format!("{tag} {}", revision.index.digest()));
    }
    // The tags that move come last, and only to what is there.
    for tag in from.tags()?.iter().filter(|tag| [CANDIDATE, DEFAULT_TAG].contains(&tag.as_str())) {
        let revision = from.revision(tag)?;
        if to.digest_of(tag)?.is_some() && to.revision(tag)?.catalog.revision > revision.catalog.revision {
            let what = format!("`{tag}` of `{}` is newer than that of `{}`", to.name(), from.name());
            return Err(Failure::new(Exit::Refused, what).hint("a catalog never goes back"));
        }
        if to.numbers()?.contains(&revision.catalog.revision) {
            to.point(tag, &revision.index)?;
        }
    }
    print_result(&lines(done))
}
