//! `lapstrake push`: brings an image that was built earlier to a registry, by whatever tool it was made.

use lapstrake_oci::destination::Shipment;

use crate::cli::PushArgs;
use crate::context::Context;
use crate::deliver::Delivery;
use crate::failure::{Exit, Failure};
use crate::load::Stored;
use crate::metadata::Metadata;
use crate::output::parse_reference;
use crate::registry;
use crate::report::print_result;
use crate::scratch::Scratch;

/// Runs the command. The digest goes to standard output, once for each reference.
pub fn run(args: &PushArgs, context: &Context) -> Result<(), Failure> {
    let mut metadata = Metadata::new();
    let outcome = push(args, context, &mut metadata);
    metadata.took("total", context.report.elapsed());
    let lines = metadata.finish(outcome, args.metadata_file.as_deref())?;
    print_result(&lines)
}

fn push(args: &PushArgs, context: &Context, metadata: &mut Metadata) -> Result<String, Failure> {
    let understood = |cause| Failure::new(Exit::NotUnderstood, format!("{cause}"));
    let references: Vec<_> =
        args.tags.iter().map(|tag| parse_reference(tag).map_err(understood)).collect::<Result<_, _>>()?;
    let client = registry::client(&args.registry, context)?;
    let scratch = Scratch::new(&context.scratch_dir())?;
    let stored = metadata.timed("read", || Stored::open(&args.image, scratch.path()))?;
    metadata.digest = Some(stored.top.digest().clone());
    let shipment = Shipment::from_layout(&stored.layout, &stored.top).map_err(|cause| {
        Failure::because(Exit::Refused, format!("could not read `{}`", args.image), cause)
    })?;
    let delivery = Delivery { client: &client, context, open_minor: None };
    let mut lines = String::new();
    for reference in &references {
        let done = metadata.timed("deliver", || delivery.push(shipment.clone(), reference))?;
        lines.push_str(&done.destination);
        lines.push('\n');
        metadata.references.push(done.destination.clone());
        metadata.pushes.push(done);
    }
    Ok(lines)
}
