//! Arguments of `init`, which writes an app file.

use clap::Args;

use super::RegistryArgs;

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
    /// Choose the runtime from this catalog: `oci:DIR`, or a repository with a tag or digest. The local one by default.
    #[arg(long, env = "LAPSTRAKE_CATALOG", value_name = "REF")]
    pub catalog: Option<String>,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}
