//! Arguments of `registry`, which is about registries and not about images.

use clap::{Args, Subcommand};

use super::{Format, RegistryArgs};

/// What is to be known of a registry.
#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    /// Find out what a registry can do, by writing very little to it and deleting that again.
    Doctor(RegistryDoctorArgs),
}

/// Arguments of `registry doctor`.
#[derive(Debug, Args)]
pub struct RegistryDoctorArgs {
    /// The repository that is written to, as REGISTRY/REPOSITORY; a tag is neither read nor written.
    pub reference: String,
    /// An image of another repository of the same registry, whose smallest part is mounted to see whether that works.
    #[arg(long, value_name = "REF")]
    pub mount_from: Option<String>,
    /// How what was found is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// How the registry is reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}
