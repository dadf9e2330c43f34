//! `lapstrake build`: from a source to an image at its destinations.

use std::time::Instant;

use jiff::Timestamp;
use oci_spec::image::Digest;

use crate::build::{Options, build};
use crate::catalog::CatalogAt;
use crate::checkout::Checkout;
use crate::cli::BuildArgs;
use crate::context::Context;
use crate::deliver::{Delivery, Product};
use crate::failure::{Exit, Failure};
use crate::image_size;
use crate::inputs::Inputs;
use crate::metadata::Metadata;
use crate::minor_move::OpenMinor;
use crate::output::{Output, OutputError};
use crate::plan::Plan;
use crate::registry;
use crate::report::{print_result, printable};
use crate::scratch::Scratch;
use crate::secrets::Secrets;
use crate::store;

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
    let mut outputs = outputs(args)?;
    let secrets = Secrets::read(&args.secrets.secrets, context)?;
    metadata.build_secrets = secrets.uses();
    let client = registry::client(&args.registry, context)?;
    let scratch = Scratch::new(&context.scratch_dir())?;
    let inputs = metadata.timed("source", || Inputs::read(&args.source, scratch.path(), context))?;
    metadata.source_digest = Some(inputs.source.digest.clone());
    metadata.checkout.clone_from(&inputs.source.checkout);
    let catalog =
        metadata.timed("catalog", || CatalogAt::open(&args.source.catalog, args.locked, client, context))?;
    metadata.catalog = Some(catalog.trusted().into());
    let mut plan = inputs.plan(&args.source, catalog.trusted(), &outputs, context)?;
    metadata.runtime = Some(plan.runtime.clone());
    metadata.secrets.clone_from(&plan.secrets);
    plan.build_secrets = secrets.uses();
    announce(&plan, context);

    let created = created(&plan, context)?;
    if outputs.is_empty() {
        outputs.push(store::output(&plan, context));
    }
    let local_layers = outputs.iter().any(|output| !matches!(output, Output::Registry(_)));
    let options = Options { network: args.network, created, secrets, local_layers };
    let images = build(&mut plan, inputs, &catalog, &options, &scratch, context, metadata)?;
    image_size::check(&metadata.images, args.max_size, &context.report)?;
    let product = Product::new(images, &plan.annotations)?;
    metadata.digest = Some(product.digest().clone());
    let delivery = Delivery { client: catalog.client(), context, open_minor: OpenMinor::of(&plan.runtime) };
    for output in &outputs {
        let done = metadata.timed("deliver", || delivery.deliver(&product, output))?;
        metadata.references.push(done.destination.clone());
        metadata.pushes.push(done);
    }
    Ok(made(&product, &outputs, metadata, context))
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
