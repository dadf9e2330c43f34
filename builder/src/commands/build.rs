//! `lapstrake build`: from a source to an image at its destinations.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use oci_spec::image::Digest;

use crate::build::{Build, Options};
use crate::cache::{BuildKey, KeptBuild, SourceMark};
use crate::catalog::CatalogAt;
use crate::checkout::Checkout;
use crate::cli::BuildArgs;
use crate::context::Context;
use crate::deliver::{Delivery, Product};
use crate::failure::{Exit, Failure};
use crate::fetch::Fetcher;
use crate::image_size;
use crate::inputs::Inputs;
use crate::lockfile;
use crate::metadata::Metadata;
use crate::minor_move::OpenMinor;
use crate::output::{Output, OutputError};
use crate::plan::Plan;
use crate::provenance::{Made as MadeBuild, Wanted};
use crate::registry;
use crate::report::{print_result, printable};
use crate::reuse::Reuse;
use crate::scratch::Scratch;
use crate::secrets::Secrets;
use crate::source::{SourceAddress, SourceSpec};
use crate::store;
use crate::targets::Targets;

/// What a build made.
pub struct Made {
    /// The digest of the image or, for several platforms, of the image index.
    pub digest: Digest,
    /// Where it was pushed, by digest.
    pub pushed: Vec<String>,
}

impl Made {
    /// One line for each reference, else the digest alone.
    #[must_use]
    pub fn lines(&self) -> String {
        if self.pushed.is_empty() { format!("{}\n", self.digest) } else { lines(&self.pushed) }
    }
}

/// Runs the command. The digest goes to standard output, once for each reference.
pub fn run(args: &BuildArgs, context: &Context) -> Result<(), Failure> {
    print_result(&make(args, context)?.lines())
}

/// Builds an image, brings it to its destinations, and reports on that where it was asked for.
pub fn make(args: &BuildArgs, context: &Context) -> Result<Made, Failure> {
    let started = Instant::now();
    let mut metadata = Metadata::new();
    let outcome = build_and_deliver(args, context, &mut metadata);
    metadata.mask = context.report.mask();
    metadata.took("total", started.elapsed());
    metadata.finish(outcome, args.metadata_file.as_deref())
}

fn build_and_deliver(args: &BuildArgs, context: &Context, metadata: &mut Metadata) -> Result<Made, Failure> {
    let outputs = outputs(args)?;
    let provenance = Wanted::read(&args.provenance, &outputs, context)?;
    let secrets = Secrets::read(&args.secrets.secrets, context)?;
    metadata.build_secrets = secrets.uses();
    let client = registry::client(&args.registry, context)?;
    let mut targets = Targets::open(outputs, args.source.catalog.catalog.as_deref(), &client)?;
    let reuse = Reuse::open(&args.cache, &client, context)?;
    let scratch = Scratch::new(&context.scratch_dir())?;
    let read_inputs = || Inputs::read(&args.source, reuse.of_sources(), scratch.path(), context);
    let open_catalog = || CatalogAt::open(&args.source.catalog, args.locked, Arc::clone(&client), context);
    let key_of = |mark: Option<SourceMark>, catalog: &CatalogAt| {
        mark.and_then(|mark| BuildKey::new(args, &mark, catalog.trusted(), context))
    };
    // What an archive is known by is its digest: where it was built before, it need not be unpacked.
    // A build that is not carried out has nothing to state.
    let may_know_builds = provenance.is_none() && reuse.may_know_builds();
    let archive = if may_know_builds { local_archive(args, context)? } else { None };
    let (inputs, catalog) = if let Some(address) = archive {
        let mark = || Ok(SourceMark::of_archive(&address));
        let (mark, catalog) = both(mark, open_catalog, metadata)?;
        if let Some(made) = up_to_date(key_of(mark, &catalog), &reuse, &targets, metadata, context) {
            return Ok(made);
        }
        (metadata.timed("source", read_inputs)?, catalog)
    } else {
        both(read_inputs, open_catalog, metadata)?
    };
    metadata.source_digest = Some(inputs.source.digest.clone());
    metadata.checkout.clone_from(&inputs.source.checkout);
    metadata.catalog = Some(catalog.trusted().into());
    let mut plan = inputs.plan(&args.source, catalog.trusted(), &targets.outputs(), context)?;
    metadata.runtime = Some(plan.runtime.clone());
    metadata.secrets.clone_from(&plan.secrets);
    plan.build_secrets = secrets.uses();
    announce(&plan, context);
    lockfile::check(&inputs, &plan.steps, &args.network, context)?;
    if may_know_builds {
        let key = key_of(SourceMark::of(&plan.source), &catalog);
        if let Some(made) = up_to_date(key, &reuse, &targets, metadata, context) {
            return Ok(made);
        }
    }

    let created = created(&plan, context)?;
    targets.or_local(|| store::output(&plan, context));
    let outputs = targets.outputs();
    let options = Options {
        network: args.network.clone(),
        created,
        secrets,
        compression: args.compression,
        records_fetches: provenance.is_some(),
    };
    let build = Build {
        catalog: &catalog,
        options: &options,
        targets: &targets,
        reuse: &reuse,
        scratch: &scratch,
        context,
    };
    let images = build.images(&mut plan, inputs, metadata)?;
    image_size::check(&metadata.images, args.max_size, &context.report)?;
    let product = Product::new(images, &plan.annotations)?;
    metadata.digest = Some(product.digest().clone());
    if let Some(wanted) = provenance {
        let made = MadeBuild { plan: &plan, args, metadata, outputs: &outputs };
        let started = Instant::now();
        let provided = wanted.provide(&made, &product, &client, context)?;
        metadata.took("provenance", started.elapsed());
        metadata.provenance = Some(provided);
    }
    let delivery = Delivery { client: catalog.client(), context, open_minor: OpenMinor::of(&plan.runtime) };
    for target in targets {
        let done = metadata.timed("deliver", || delivery.deliver(&product, target))?;
        metadata.references.push(done.destination.clone());
        metadata.pushes.push(done);
    }
    let kept = KeptBuild { digest: product.digest().clone(), report: metadata.to_keep() };
    let image = outputs.iter().find_map(Output::reference);
    let key = key_of(SourceMark::of(&plan.source), &catalog);
    let started = Instant::now();
    reuse.keep_build(key.as_ref(), &kept, image);
    metadata.took("keep", started.elapsed());
    Ok(made(&product, &outputs, metadata, context))
}

/// The address of the source, if it is an archive on this machine.
fn local_archive(args: &BuildArgs, context: &Context) -> Result<Option<SourceAddress>, Failure> {
    let address = Fetcher::new(&args.source.remote, context).parse(&args.source.source)?;
    let is_file = matches!(&address, SourceAddress::Local(SourceSpec::Path(path)) if path.is_file());
    Ok(is_file.then_some(address))
}

/// The build of a key, if every place has it under its tag already.
fn up_to_date(
    key: Option<BuildKey>,
    reuse: &Reuse,
    targets: &Targets<'_>,
    metadata: &mut Metadata,
    context: &Context,
) -> Option<Made> {
    let kept = key.and_then(|key| reuse.build(&key))?;
    metadata.pushes = targets.up_to_date(&kept.digest)?;
    metadata.references = metadata.pushes.iter().map(|push| push.destination.clone()).collect();
    for place in &metadata.references {
        context.report.note(&format!("{place} is up to date: nothing has changed since"));
    }
    metadata.digest = Some(kept.digest.clone());
    metadata.earlier = kept.report;
    Some(Made { digest: kept.digest, pushed: metadata.references.clone() })
}

/// Reads the source and opens the catalog at the same time: one waits for the disk, the other for the network.
fn both<T>(
    source: impl FnOnce() -> Result<T, Failure>,
    catalog: impl FnOnce() -> Result<CatalogAt, Failure> + Send,
    metadata: &mut Metadata,
) -> Result<(T, CatalogAt), Failure> {
    let (inputs, (catalog, took)) = std::thread::scope(|scope| {
        let catalog = scope.spawn(|| {
            let started = Instant::now();
            (catalog(), started.elapsed())
        });
        let inputs = metadata.timed("source", source);
        match catalog.join() {
            Ok(opened) => (inputs, opened),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    metadata.took("catalog", took);
    Ok((inputs?, catalog?))
}

fn outputs(args: &BuildArgs) -> Result<Vec<Output>, Failure> {
    let tags = args.tags.iter().map(|tag| Output::parse_reference(tag));
    let others = args.outputs.iter().map(|output| Output::parse(output));
    let understood = |cause: OutputError| Failure::new(Exit::NotUnderstood, cause.to_string());
    tags.chain(others).map(|output| output.map_err(understood)).collect()
}

fn announce(plan: &Plan, context: &Context) {
    let runtime = &plan.runtime;
    context.report.note(&format!("runtime {} for `{}`: {}", runtime.entry, runtime.request, runtime.reason));
    for finding in &plan.detected {
        context.report.note(&printable(&format!("detected {finding}")));
    }
    for note in &plan.notes {
        context.report.note(&printable(&format!("note: {note}")));
    }
    for used in &runtime.overrides {
        context.report.warning(used);
    }
}

/// The time that the image is said to have been made at: `SOURCE_DATE_EPOCH`, else that of the commit whose files the
/// source has, else that of the newest source file.
pub fn created(plan: &Plan, context: &Context) -> Result<Timestamp, Failure> {
    let source = &plan.source;
    let of_commit = source.checkout.as_ref().and_then(Checkout::clean_time);
    let seconds = context.source_date_epoch()?.or(of_commit).unwrap_or(source.newest).max(0);
    Timestamp::from_second(seconds).map_err(|cause| {
        Failure::because(Exit::NotUnderstood, "the time of the newest source file is out of range", cause)
    })
}

/// Each on a line of its own.
pub fn lines(items: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    items.into_iter().fold(String::new(), |mut text, item| {
        text.push_str(&item.to_string());
        text.push('\n');
        text
    })
}

/// What was made, and notes of what was written on this machine.
fn made(product: &Product, outputs: &[Output], metadata: &Metadata, context: &Context) -> Made {
    let delivered = outputs.iter().zip(&metadata.references);
    let pushed = delivered.filter(|(output, _)| matches!(output, Output::Registry(_)));
    let pushed = pushed.map(|(_, reference)| reference.clone()).collect();
    for output in outputs.iter().filter(|output| !matches!(output, Output::Registry(_))) {
        context.report.note(&format!("wrote {output}"));
    }
    Made { digest: product.digest().clone(), pushed }
}
