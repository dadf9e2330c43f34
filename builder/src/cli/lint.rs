//! Arguments of `lint`, which says what is wrong with an app without building it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{RegistryArgs, RemoteArgs};

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
    /// Ask this catalog for the runtime: `oci:DIR`, or a repository with a tag or digest. The local one by default.
    #[arg(long, env = "LAPSTRAKE_CATALOG", value_name = "REF")]
    pub catalog: Option<String>,
    /// Permit one entry although its support has ended.
    #[arg(long, value_name = "ID")]
    pub allow_eol: Vec<String>,
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
