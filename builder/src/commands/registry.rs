//! `lapstrake registry doctor`: what a registry can do with one of its repositories.

use lapstrake_oci::reference::Reference;
use lapstrake_oci::registry::{Probe, Samples};

use crate::cli::{Format, RegistryCommand, RegistryDoctorArgs};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::parse_reference;
use crate::registry;
use crate::report::print_result;
use crate::scratch::Scratch;

mod told;

/// Runs the command. It fails when an image cannot be pushed.
pub fn run(command: &RegistryCommand, context: &Context) -> Result<(), Failure> {
    let RegistryCommand::Doctor(args) = command;
    doctor(args, context)
}

fn doctor(args: &RegistryDoctorArgs, context: &Context) -> Result<(), Failure> {
    let reference = understood(&args.reference)?;
    let mount_from = args.mount_from.as_deref().map(understood).transpose()?;
    let client = registry::client(&args.registry, context)?;
    let samples = samples(context)?;
    let what = || format!("an image cannot be pushed to `{}`", args.reference);
    let probe = client
        .probe(&reference, mount_from.as_ref(), &samples)
        .map_err(|cause| registry::failure(cause, what()))?;
    print_result(&match args.format {
        Format::Text => told::text(&reference, &probe),
        Format::Json => told::json(&reference, &probe)?,
    })?;
    let Probe { refusal, .. } = probe;
    refusal.map_or(Ok(()), |cause| Err(registry::failure(cause, what())))
}

fn understood(given: &str) -> Result<Reference, Failure> {
    parse_reference(given).map_err(|cause| Failure::new(Exit::NotUnderstood, cause.to_string()))
}

/// What is written. The time and the process make it unlike what any other run writes.
fn samples(context: &Context) -> Result<Samples, Failure> {
    let scratch = Scratch::new(&context.scratch_dir())?;
    let stamp = format!("{}-{}", context.now.as_millisecond(), std::process::id());
    Samples::new(&stamp, scratch.path()).map_err(|cause| {
        Failure::because(Exit::Ours, "could not make what is written to the registry", cause)
    })
}
