//! Arguments of `lint`, which says what is wrong with an app without building it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{CatalogArgs, PermissionArgs, RegistryArgs, RemoteArgs};

/// Arguments of `lint`.
#[derive(Debug, Args)]
pub struct LintArgs {
    /// What `build` takes, or an app file by itself; `-` is an archive or an app file on standard input.
    pub source: String,
    /// The directory of the app inside the source.
    #[arg(long, env = "LAPSTRAKE_SOURCE_DIR", value_name = "DIR")]
    pub source_dir: Option<String>,
    /// The app file, instead of `apprunner.yaml` in the source directory.
    #[arg(long, env = "LAPSTRAKE_CONFIG", value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// How the problems are printed.
    #[arg(long, value_enum, default_value_t = LintFormat::Text)]
    pub format: LintFormat,
    /// Fail on warnings as well.
    #[arg(long)]
    pub deny_warnings: bool,
    /// The catalog that is asked.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// What is permitted although it is refused otherwise.
    #[command(flatten)]
    pub permissions: PermissionArgs,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// How sources that are elsewhere are reached.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// How problems are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LintFormat {
    /// For people.
    Text,
    /// For scripts; the shape is stable.
    Json,
    /// SARIF 2.1.0, for code hosts.
    Sarif,
}
