//! `lapstrake catalog`: what runtimes there are, and making them.

mod history;
mod published;
mod resolve;
mod verify;

use std::path::Path;

use lapstrake_catalog::{
    Catalog, Entry, EntryId, ImageKind, Permissions, PlatformKey, Request, VersionRequest,
};
use lapstrake_oci::destination::{LayoutDestination, Shipment, push};
use lapstrake_oci::layout::{Layout, LayoutError};
use lapstrake_runtimes::definitions::Definitions;
use lapstrake_runtimes::fetch::Fetcher;
use lapstrake_runtimes::local::{LocalCatalog, ReadyEntry, WhenGone};
use lapstrake_runtimes::mirrors::{Machine, Programs};
use lapstrake_runtimes::store::Store;
use lapstrake_runtimes::update::{Tools, update as update_locks};

use super::looked;
use crate::catalog::{ensure, open_local};
use crate::catalog_text::{self, Selection};
use crate::cli::{
    CatalogArgs, CatalogBuildArgs, CatalogListArgs, CatalogShowArgs, CatalogUpdateArgs, Format, RegistryArgs,
};
use crate::commands::build::lines;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::layer_progress::LayerProgress;
use crate::network;
use crate::output::DEFAULT_TAG;
use crate::planning::today;
use crate::report::print_result;
use crate::trust::Strictness;

pub use history::{diff, log};
pub use published::{copy, deprecate, import, promote, publish, renew, revoke};
pub use resolve::resolve;
pub use verify::{sign, verify};

/// `catalog list`.
pub fn list(args: &CatalogListArgs, context: &Context) -> Result<(), Failure> {
    let catalog = shown(&args.catalog, &args.registry, context)?;
    let selection = Selection { runtime: args.runtime.as_deref(), all: args.all };
    let entries = catalog_text::select(&catalog, &selection);
    if entries.is_empty()
        && let Some(runtime) = &args.runtime
    {
        let known: Vec<&str> = catalog.runtimes.keys().map(String::as_str).collect();
        return Err(Failure::new(Exit::NotUnderstood, format!("the catalog has no runtime `{runtime}`"))
            .hint(format!("it has {}", known.join(", "))));
    }
    print_result(&match args.format {
        Format::Text => catalog_text::list(&catalog, &entries, today(context)),
        Format::Json => json(&entries)?,
    })
}

/// `catalog show`.
pub fn show(args: &CatalogShowArgs, context: &Context) -> Result<(), Failure> {
    let packages =
        if args.packages && args.catalog.catalog.is_none() { Some(Definitions::embedded()) } else { None };
    let packages = packages
        .transpose()
        .map_err(|cause| Failure::because(Exit::Ours, "could not read the locks", cause))?;
    if args.packages && packages.is_none() {
        return Err(Failure::new(Exit::NotUnderstood, "packages are listed for the local catalog only"));
    }
    let catalog = shown(&args.catalog, &args.registry, context)?;
    let id = entry_id(&args.entry, &catalog, context)?;
    let entry = catalog
        .entry(&id)
        .ok_or_else(|| Failure::new(Exit::NotUnderstood, format!("the catalog has no entry `{id}`")))?;
    let listed = packages.as_ref().map(|definitions| package_list(definitions, &id)).unwrap_or_default();
    print_result(&match args.format {
        Format::Text => format!(
            "{}{}",
            catalog_text::show(&catalog, entry, today(context)),
            catalog_text::packages(&listed)
        ),
        Format::Json if args.packages => json(&serde_json::json!({"entry": entry, "packages": listed}))?,
        Format::Json => json(entry)?,
    })
}

/// The packages of an entry's layers, each once.
fn package_list(definitions: &Definitions, id: &EntryId) -> Vec<catalog_text::Package> {
    let id = id.to_string();
    let entry = definitions.entries.entries.iter().find(|entry| entry.id == id);
    let locks =
        entry.iter().flat_map(|entry| entry.platforms.values()).flat_map(|images| images.values()).flatten();
    let mut packages: Vec<catalog_text::Package> = locks
        .filter_map(|reference| definitions.locks.get(&reference.lock).map(|lock| (reference, lock)))
        .flat_map(|(reference, lock)| {
            lock.artifacts.iter().map(|artifact| catalog_text::Package {
                name: artifact.name().to_owned(),
                version: artifact.version().to_owned(),
                architecture: lock.arch.to_string(),
                layer: reference.role.clone(),
            })
        })
        .collect();
    packages.sort();
    packages.dedup();
    packages
}

/// A catalog that is only looked at. What is wrong with it is told.
fn shown(args: &CatalogArgs, registry: &RegistryArgs, context: &Context) -> Result<Catalog, Failure> {
    let trusted = looked(args, registry, Strictness::Tell, context)?;
    for doubt in &trusted.doubts {
        context.report.warning(doubt);
    }
    if let Some(newest) = trusted.newest_seen {
        context
            .report
            .warning(&format!("revision {newest} was seen before, and this is {}", trusted.catalog.revision));
    }
    if !trusted.catalog.is_local() && trusted.catalog.valid_until < context.now {
        context
            .report
            .warning(&format!("the catalog counted as fresh until {}", trusted.catalog.valid_until));
    }
    Ok(trusted.catalog)
}

/// An entry's name, or a request such as `python3@3.13`.
fn entry_id(given: &str, catalog: &Catalog, context: &Context) -> Result<EntryId, Failure> {
    if let Ok(id) = given.parse::<EntryId>() {
        return Ok(id);
    }
    let (runtime, version) =
        given.split_once('@').map_or((given, None), |(runtime, version)| (runtime, Some(version)));
    let version = version.map(str::parse::<VersionRequest>).transpose();
    let version =
        version.map_err(|cause| Failure::new(Exit::NotUnderstood, format!("`{given}`: {cause}")))?;
    let mut request = Request::new(runtime);
    if let Some(version) = version {
        request = request.with_version(version);
    }
    // Looking at an entry needs no permission, whatever its status.
    let all = Permissions {
        allow_eol: catalog
            .entries
            .iter()
            .map(|entry| entry.id.clone())
            .filter(|id| id.runtime() == runtime)
            .collect(),
        ..Permissions::default()
    };
    let resolved = catalog.resolve(&request, &[], today(context), &Permissions::default());
    let resolved =
        resolved.or_else(|error| catalog.resolve(&request, &[], today(context), &all).map_err(|_| error));
    resolved.map(|resolution| resolution.entry.id.clone()).map_err(|error| {
        let failure = Failure::new(Exit::NotUnderstood, error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

/// `catalog build`.
pub fn build(args: &CatalogBuildArgs, context: &Context) -> Result<(), Failure> {
    let mut local = open_local(&context.data_dir, args.recipes.as_deref())?;
    let wanted = wanted(args, local.catalog(), context)?;
    let when_gone = if args.locked { WhenGone::Fail } else { WhenGone::Renew };
    let mut lines = String::new();
    for (id, platforms) in wanted {
        for platform in platforms {
            context.stop.check()?;
            let kinds: Vec<ImageKind> = kinds(&local, &id, &platform);
            let ready = ensure(&mut local, &id, &platform, &kinds, when_gone, context)?;
            lines.push_str(&describe(&ready));
        }
    }
    let layout = match &args.layout {
        Some(directory) => copy_layout(local.layout(), local.catalog().revision, directory)?,
        None => local.layout().clone(),
    };
    context.report.note(&format!("catalog: oci:{}:latest", layout.dir().display()));
    print_result(&lines)
}

/// Copies the catalog, with all images made so far, into a layout of its own.
fn copy_layout(from: &Layout, revision: u64, directory: &Path) -> Result<Layout, Failure> {
    let what = || format!("could not write the catalog to `{}`", directory.display());
    let failed = |cause: LayoutError| Failure::because(Exit::Ours, what(), cause);
    let layout = Layout::create(directory).map_err(failed)?;
    let top = from.resolve(DEFAULT_TAG).map_err(failed)?;
    let shipment = Shipment::from_layout(from, &top).map_err(failed)?;
    let to = LayoutDestination { layout: &layout, tag: Some(DEFAULT_TAG), client: None };
    push(shipment, &to, &mut |_| {}).map_err(|cause| Failure::because(Exit::Ours, what(), cause))?;
    layout.tag(&format!("r{revision}"), &top).map_err(failed)?;
    Ok(layout)
}

fn kinds(local: &LocalCatalog, id: &EntryId, platform: &PlatformKey) -> Vec<ImageKind> {
    let id = id.to_string();
    let entry = local.definitions().entries.entries.iter().find(|entry| entry.id == id);
    let images = entry.and_then(|entry| entry.platforms.get(platform.as_str()));
    images.into_iter().flat_map(|images| images.keys()).filter_map(|kind| kind.parse().ok()).collect()
}

/// The entries that were named, else the newest of each line; with the platforms that were named, else all of theirs.
fn wanted(
    args: &CatalogBuildArgs,
    catalog: &Catalog,
    context: &Context,
) -> Result<Vec<(EntryId, Vec<PlatformKey>)>, Failure> {
    let platforms: Vec<PlatformKey> = args
        .platform
        .iter()
        .map(|text| {
            text.parse().map_err(|cause| Failure::new(Exit::NotUnderstood, format!("`--platform`: {cause}")))
        })
        .collect::<Result<_, _>>()?;
    let ids: Vec<EntryId> = if args.entries.is_empty() {
        catalog_text::select(catalog, &Selection { runtime: None, all: false })
            .iter()
            .map(|entry| entry.id.clone())
            .collect()
    } else {
        args.entries.iter().map(|given| entry_id(given, catalog, context)).collect::<Result<_, _>>()?
    };
    let of = |entry: &Entry| {
        entry
            .platforms
            .keys()
            .filter(|platform| platforms.is_empty() || platforms.contains(platform))
            .cloned()
            .collect()
    };
    Ok(ids.into_iter().filter_map(|id| catalog.entry(&id).map(of).map(|platforms| (id, platforms))).collect())
}

fn describe(ready: &ReadyEntry) -> String {
    lines(ready.images.iter().map(|(kind, image)| {
        let manifest = image.record.manifest.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{} {} {kind} {manifest}", ready.id, ready.platform)
    }))
}

/// `catalog update`.
pub fn update(args: &CatalogUpdateArgs, context: &Context) -> Result<(), Failure> {
    let definitions = load(&args.recipes)?;
    let failed = |cause| Failure::because(Exit::RegistryRefused, "could not lock the packages anew", cause);
    let store = Store::open(context.data_dir.join("artifacts"))
        .map_err(|cause| Failure::because(Exit::Ours, "could not open the store of packages", cause))?;
    let fetcher = Fetcher::new(network::mirrors(context)?, store)
        .map_err(|cause| Failure::because(Exit::Ours, "could not prepare fetching packages", cause))?;
    let programs = Programs { env: &context.env };
    let machine = Machine { env: &context.env, root: Path::new("/"), ask: &programs };
    let progress = LayerProgress::new(&context.report);
    let tools = Tools { fetcher: &fetcher, machine, progress: &progress, now: context.now };
    let updated = update_locks(&definitions, args.runtime.as_deref(), tools).map_err(failed)?;
    for lock in &updated.changed {
        context.report.note(&format!("changed: {lock}"));
    }
    if !args.dry_run {
        updated
            .write(&args.recipes)
            .map_err(|cause| Failure::because(Exit::Ours, "could not write the locks", cause))?;
    }
    print_result(&lines(&updated.entries))
}

fn load(recipes: &Path) -> Result<Definitions, Failure> {
    Definitions::load(recipes).map_err(|cause| {
        Failure::because(
            Exit::NotUnderstood,
            format!("could not read the recipes in `{}`", recipes.display()),
            cause,
        )
    })
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|cause| Failure::because(Exit::Ours, "could not print the result", cause))?;
    Ok(format!("{text}\n"))
}
