//! Arguments of `init`, which writes an app file.

use clap::Args;

use super::{CatalogArgs, RegistryArgs};

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The directory of the source.
    #[arg(default_value = ".")]
    pub source: String,
    /// The directory of the app inside the source; the file is written there.
    #[arg(long, env = "LAPSTRAKE_SOURCE_DIR", value_name = "DIR")]
    pub source_dir: Option<String>,
    /// Replace a file that is there already.
    #[arg(long)]
    pub force: bool,
    /// Print the file instead of writing it.
    #[arg(long, conflicts_with = "force")]
    pub stdout: bool,
    /// The catalog that is asked.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}
