//! Arguments of `audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use lapstrake_catalog::audit::Severity;

use super::{CatalogArgs, RegistryArgs};

/// What is audited.
///
/// Exit code 0: every image was read, and no finding is as bad as `--fail-on` says; 1: one is; 4: none is, but something
/// could not be read.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Audit images by their names.
    Image(AuditImageArgs),
    /// Audit the tags of a repository.
    Repo(AuditRepoArgs),
    /// Audit every repository of a registry.
    Registry(AuditRegistryArgs),
    /// Audit the images of an image layout.
    Layout(AuditLayoutArgs),
}

/// Arguments of `audit image`.
#[derive(Debug, Args)]
pub struct AuditImageArgs {
    /// The images, as REGISTRY/REPOSITORY:TAG or with a digest.
    #[arg(required = true, value_name = "REF")]
    pub references: Vec<String>,
    /// How images are judged.
    #[command(flatten)]
    pub judge: JudgeArgs,
}

/// Arguments of `audit repo`.
#[derive(Debug, Args)]
pub struct AuditRepoArgs {
    /// The repository, as REGISTRY/REPOSITORY.
    #[arg(value_name = "REPO")]
    pub repository: String,
    /// Only tags that this glob matches.
    #[arg(long, value_name = "GLOB")]
    pub tags: Option<String>,
    /// How images are judged.
    #[command(flatten)]
    pub judge: JudgeArgs,
}

/// Arguments of `audit registry`.
#[derive(Debug, Args)]
pub struct AuditRegistryArgs {
    /// The registry, as HOST or HOST:PORT.
    #[arg(value_name = "HOST")]
    pub host: String,
    /// Take the names of repositories from this file, one a line, or from standard input (`-`), instead of asking the
    /// registry for them, which many hosted ones refuse.
    #[arg(long, value_name = "FILE")]
    pub repos_from: Option<PathBuf>,
    /// Only tags that this glob matches.
    #[arg(long, value_name = "GLOB")]
    pub tags: Option<String>,
    /// How images are judged.
    #[command(flatten)]
    pub judge: JudgeArgs,
}

/// Arguments of `audit layout`.
#[derive(Debug, Args)]
pub struct AuditLayoutArgs {
    /// The directory of the layout.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// How images are judged.
    #[command(flatten)]
    pub judge: JudgeArgs,
}

/// How images are judged, and how the findings are printed.
#[derive(Debug, Args)]
pub struct JudgeArgs {
    /// The catalog that is asked.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// Judge as of this day, instead of today (UTC).
    #[arg(long, value_name = "DATE")]
    pub as_of: Option<String>,
    /// What images are held to (TOML).
    #[arg(long, env = "LAPSTRAKE_POLICY", value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Compare the packages of runtimes with known vulnerabilities: OSV records (JSON, or JSON lines), or the JSON of
    /// Debian's security tracker. May be given several times.
    #[arg(long, value_name = "FILE")]
    pub advisories: Vec<PathBuf>,
    /// The mildest finding that fails the audit. Default: what the policy says, else errors.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub fail_on: Option<FailOn>,
    /// How the findings are printed.
    #[arg(long, value_enum, default_value_t = AuditFormat::Table)]
    pub format: AuditFormat,
    /// Write the findings into this file, instead of standard output.
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// With `--format sarif`: the app file that findings are shown at, as its path from the root of its repository.
    #[arg(long, value_name = "FILE")]
    pub source: Option<PathBuf>,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// The mildest finding that fails an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Any finding.
    Note,
    /// Warnings and errors.
    Warning,
    /// Errors.
    Error,
}

impl From<FailOn> for Severity {
    fn from(fail_on: FailOn) -> Self {
        match fail_on {
            FailOn::Note => Self::Note,
            FailOn::Warning => Self::Warning,
            FailOn::Error => Self::Error,
        }
    }
}

/// How the findings of an audit are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuditFormat {
    /// For people, on a terminal.
    Table,
    /// For programs; the shape is stable.
    Json,
    /// SARIF 2.1.0, for code hosts.
    Sarif,
    /// For comments and wikis.
    #[value(alias = "md")]
    Markdown,
    /// `JUnit` XML, for CI systems.
    Junit,
    /// One page that loads nothing.
    Html,
}
