//! The command line. Every option that changes what is built can also be given as an environment variable.

mod audit;
mod catalog;
mod changed;
mod commit;
mod doctor;
mod flow;
mod init;
mod isolation;
mod lint;
mod network;
mod provenance;
mod published;
mod rebase;
mod registry;
mod remote;
mod secrets;
mod settings;
mod watch;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lapstrake_oci::layer::Compression;

use crate::image_size::Size;
use crate::limits::Limit;

pub use audit::{
    AuditCommand, AuditFormat, AuditImageArgs, AuditLayoutArgs, AuditRegistryArgs, AuditRepoArgs, JudgeArgs,
};
pub use catalog::{CatalogArgs, PermissionArgs};
pub use changed::ChangedArgs;
pub use commit::CommitArgs;
pub use doctor::DoctorArgs;
pub use flow::{FlowArgs, Keep};
pub use init::InitArgs;
pub use isolation::IsolationMode;
pub use lint::{LintArgs, LintFormat};
pub use network::{AllowedHost, NetworkArgs, NetworkMode};
pub use provenance::{ProvenanceArgs, VerifyProvenanceArgs};
pub use published::{
    CopyArgs, DeprecateArgs, DiffArgs, ImportArgs, LogArgs, PromoteArgs, PublishArgs, RenewArgs, ResolveArgs,
    RevisionArgs, RevokeArgs, SignArgs, VerifyArgs,
};
pub use rebase::RebaseArgs;
pub use registry::{RegistryCommand, RegistryDoctorArgs};
pub use remote::RemoteArgs;
pub use secrets::SecretArgs;
pub use settings::{SettingArgs, Shell};
pub use watch::WatchArgs;

/// Builds OCI images from source without a daemon, without root and without a Dockerfile.
#[derive(Debug, Parser)]
#[command(name = "lapstrake", version, max_term_width = 110, disable_help_subcommand = true)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Where the local catalog, the local store and the caches live.
    ///
    /// Default: `$XDG_DATA_HOME/lapstrake`, else `~/.local/share/lapstrake`.
    #[arg(long, global = true, env = "LAPSTRAKE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where it is remembered which revisions of catalogs were seen, so that none of them goes back; the data directory by
    /// default.
    #[arg(long, global = true, env = "LAPSTRAKE_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// How progress is shown on standard error.
    #[arg(long, global = true, env = "LAPSTRAKE_PROGRESS", value_enum, default_value_t = ProgressMode::Auto)]
    pub progress: ProgressMode,
    /// Show errors and results only.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Trust these certificate authorities besides the system's (PEM): for registries, sources and build commands.
    #[arg(long, global = true, env = "LAPSTRAKE_CA", value_name = "FILE")]
    pub ca: Vec<PathBuf>,
    /// What keeps build commands, and programs of a runtime that is being made, away from the machine.
    ///
    /// No mode is ever taken in another's place: where the one that was asked for is not to be had, nothing runs.
    #[arg(long, global = true, env = "LAPSTRAKE_ISOLATION", value_enum, default_value_t = IsolationMode::Strict)]
    pub isolation: IsolationMode,
    /// Say that the commands may do whatever you may. Only with `--isolation host`, which keeps them from nothing.
    #[arg(long, global = true)]
    pub trust_source: bool,
    /// The user id that commands run under outside of their sandbox where this program was started as root. No other program
    /// should run under it.
    #[arg(long, global = true, env = "LAPSTRAKE_BUILD_UID", value_name = "UID", default_value_t = 65533,
        value_parser = clap::value_parser!(u32).range(1..i64::from(u32::MAX)))]
    pub build_uid: u32,
    /// Set how much a source or its commands may use: `build-time=1h`, `build-memory=8GiB`; may be given several times.
    ///
    /// Of sources: archive-size, archive-ratio, source-size, source-entries, source-depth, pax-header. Of commands: build-time,
    /// build-memory, build-processes, build-disk, build-log.
    #[arg(long, global = true, env = "LAPSTRAKE_LIMIT", value_name = "NAME=VALUE", value_delimiter = ',')]
    pub limit: Vec<Limit>,
    /// Base address of the Debian mirror, instead of the machine's apt configuration.
    #[arg(long, global = true, env = "LAPSTRAKE_DEBIAN_MIRROR", value_name = "URL", hide_env_values = true)]
    pub debian_mirror: Option<String>,
    /// Base address of the Debian security mirror, instead of the machine's apt configuration.
    #[arg(
        long,
        global = true,
        env = "LAPSTRAKE_DEBIAN_SECURITY_MIRROR",
        value_name = "URL",
        hide_env_values = true
    )]
    pub debian_security_mirror: Option<String>,
    /// Base address of the npm registry, instead of the machine's npm configuration.
    #[arg(long, global = true, env = "LAPSTRAKE_NPM_REGISTRY", value_name = "URL", hide_env_values = true)]
    pub npm_registry: Option<String>,
    /// Address of the Python package index (the simple API), instead of the machine's pip configuration.
    #[arg(long, global = true, env = "LAPSTRAKE_PYTHON_INDEX", value_name = "URL", hide_env_values = true)]
    pub python_index: Option<String>,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// Bars on a terminal, plain lines elsewhere.
    Auto,
    /// Plain lines.
    Plain,
    /// One JSON object a line, for machines.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build an image from source, and push it or write it where asked.
    Build(Box<BuildArgs>),
    /// Print what `build` would do; change nothing.
    Plan(Box<PlanArgs>),
    /// Say everything that is wrong with an app file, and build nothing.
    Lint(LintArgs),
    /// Print the JSON Schema of the app file, for editors.
    Schema,
    /// Write an app file from what the app's own files say.
    Init(InitArgs),
    /// Start an image on this machine without a container engine, building it first when given a source.
    Run(RunArgs),
    /// Push an image that was built earlier, by this program or another one.
    Push(PushArgs),
    /// Verify who has built an image, and say how.
    Verify(VerifyProvenanceArgs),
    /// Say whether a build is due: whether what matters to it differs between two commits.
    Changed(ChangedArgs),
    /// Build a branch of a git repository whenever what matters to it has changed.
    Watch(Box<WatchArgs>),
    /// What is kept from build to build.
    #[command(subcommand)]
    Cache(CacheCommand),
    /// The catalog of runtimes.
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Put images on newer runtimes without building them again.
    Rebase(RebaseArgs),
    /// Say which images run on old, unsupported or revoked runtimes.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Say what works on this machine, and why the rest does not.
    Doctor(DoctorArgs),
    /// What a registry can do.
    #[command(subcommand)]
    Registry(RegistryCommand),
}

/// What decides the content of an image.
#[derive(Clone, Debug, Args)]
pub struct SourceArgs {
    /// A directory, a tar archive (plain, gzip, zstd or xz), `-` for an archive on standard input, or what is elsewhere.
    ///
    /// Git sources are `git+https://HOST/REPO`, `git+ssh://USER@HOST/REPO`, `git+file:///PATH`, `github:OWNER/REPO`,
    /// `gitlab:GROUP/REPO`, `bitbucket:WORKSPACE/REPO` and `PATH` of a repository, followed by `#[REF][:DIR]`; an archive
    /// on a server is `https://…`.
    pub source: String,
    /// The directory of the app inside the source.
    #[arg(long, env = "LAPSTRAKE_SOURCE_DIR", value_name = "DIR")]
    pub source_dir: Option<String>,
    /// The app file, instead of `apprunner.yaml` in the source directory.
    #[arg(long, env = "LAPSTRAKE_CONFIG", value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Platforms to build for; the machine's own by default.
    #[arg(long, env = "LAPSTRAKE_PLATFORM", value_name = "OS/ARCH", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Where runtimes come from.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// What is permitted although it is refused otherwise.
    #[command(flatten)]
    pub permissions: PermissionArgs,
    /// What symbolic links of the source may point at.
    #[arg(long, value_enum, default_value_t = Symlinks::Inside, value_name = "POLICY")]
    pub symlinks: Symlinks,
    /// How the build commands lead to the image.
    #[command(flatten)]
    pub flow: FlowArgs,
    /// What is told of the commit.
    #[command(flatten)]
    pub commit: CommitArgs,
    /// Sources that are elsewhere.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// Values of the app file.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// What symbolic links of the source may point at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Symlinks {
    /// Only into the source; others are refused.
    Inside,
    /// Anything; links out of the source are kept and never followed.
    KeepDangling,
}

/// How a registry is reached.
#[derive(Clone, Debug, Args)]
pub struct RegistryArgs {
    /// Speak plain http to this registry (HOST or HOST:PORT); loopback addresses need no permission.
    #[arg(long, env = "LAPSTRAKE_INSECURE_REGISTRY", value_name = "HOST", value_delimiter = ',')]
    pub insecure_registry: Vec<String>,
    /// Send credentials to this host (HOST or HOST:PORT) when a registry names it as the place of its tokens or uploads, although
    /// it is in a private network or speaks plain http.
    #[arg(long, env = "LAPSTRAKE_REALM_ALLOW", value_name = "HOST", value_delimiter = ',')]
    pub realm_allow: Vec<String>,
    /// Read registry credentials from this file, instead of the usual places.
    #[arg(long, env = "LAPSTRAKE_AUTHFILE", value_name = "FILE")]
    pub authfile: Option<PathBuf>,
}

/// Arguments of `build`.
#[derive(Clone, Debug, Args)]
pub struct BuildArgs {
    /// What is built.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Push the image as REGISTRY/REPOSITORY:TAG; may be given several times.
    #[arg(long = "tag", short = 't', env = "LAPSTRAKE_TAG", value_name = "REF", value_delimiter = ' ')]
    pub tags: Vec<String>,
    /// Write the image to `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker-archive:FILE[:NAME:TAG]`; may be given several times.
    #[arg(long = "output", short = 'o', value_name = "DEST")]
    pub outputs: Vec<String>,
    /// Secrets of the build commands.
    #[command(flatten)]
    pub secrets: SecretArgs,
    /// Network access of the build commands.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// How new layers are compressed: `gzip[:1-12]`, by itself the fast end, or `zstd[:1-19]`, by itself 3.
    #[arg(long, env = "LAPSTRAKE_COMPRESSION", value_name = "CODEC[:LEVEL]", default_value_t)]
    pub compression: Compression,
    /// How results are reused.
    #[command(flatten)]
    pub cache: CacheArgs,
    /// Refuse an image whose layers, as a registry keeps them, are larger than this: `500MB`, `3GiB`.
    #[arg(long, env = "LAPSTRAKE_MAX_SIZE", value_name = "SIZE")]
    pub max_size: Option<Size>,
    /// Write a JSON report of the build here, also when it fails.
    #[arg(long, env = "LAPSTRAKE_METADATA_FILE", value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// How the image was made, for others to verify.
    #[command(flatten)]
    pub provenance: ProvenanceArgs,
    /// Refuse to resolve packages again when one that a lock names is gone from the mirror.
    #[arg(long)]
    pub locked: bool,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// How results of earlier builds are reused.
#[derive(Clone, Debug, Default, Args)]
pub struct CacheArgs {
    /// Find results of builds in this repository as well, REGISTRY/REPOSITORY, and keep them there for other machines.
    ///
    /// Whoever may write to it decides what others build: give teams that do not trust one another one each.
    #[arg(long = "cache", env = "LAPSTRAKE_CACHE", value_name = "REPO")]
    pub repository: Option<String>,
    /// Do everything anew, whatever was done before.
    #[arg(long, env = "LAPSTRAKE_NO_CACHE")]
    pub no_cache: bool,
    /// Share what pip, uv and npm download with the builds on this machine that give the same name; by default with those
    /// of the same source.
    #[arg(long, env = "LAPSTRAKE_PACKAGE_CACHE", value_name = "NAME")]
    pub package_cache: Option<String>,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// What would be built.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Secrets of the build commands.
    #[command(flatten)]
    pub secrets: SecretArgs,
    /// Say which commands would run, and because of which file, and which layers there would be.
    #[arg(long)]
    pub why: bool,
    /// Network access of the build commands, of which `--why` takes account.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Where `--why` looks for results of earlier builds.
    #[command(flatten)]
    pub cache: CacheArgs,
    /// How the plan is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// What is done with the cache.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List what is kept, the longest unused first.
    Ls(CacheListArgs),
    /// Give up what is unused for long, and the longest unused until the rest fits, which builds do by themselves; and
    /// images of the local store that have lost their tags to later ones.
    Prune(CachePruneArgs),
}

/// Arguments of `cache ls`.
#[derive(Debug, Args)]
pub struct CacheListArgs {
    /// How the list is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Arguments of `cache prune`.
#[derive(Debug, Args)]
pub struct CachePruneArgs {
    /// How much is kept: `500MB`, `3GiB`; 10GiB by default.
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<Size>,
    /// How long an entry is kept that is of no use: `12h`, `30d`; 30 days by default.
    #[arg(long, value_name = "AGE")]
    pub max_age: Option<Age>,
}

/// A length of time, as `12h` or `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age(pub Duration);

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hours = match (text.strip_suffix('h'), text.strip_suffix('d')) {
            (Some(hours), _) => hours.parse().ok(),
            (_, Some(days)) => days.parse::<u64>().ok().and_then(|days| days.checked_mul(24)),
            _ => None,
        };
        let hours = hours.filter(|hours| *hours < 1_000_000);
        let age = hours.map(|hours| Self(Duration::from_hours(hours)));
        age.ok_or_else(|| format!("`{text}` is not an age: expected hours or days, such as `12h` or `30d`"))
    }
}

/// Output formats of commands that print data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A reference in a registry, `oci:DIR[:TAG]`, an archive of an image, the directory of an app, a git source or the
    /// address of an archive of an app.
    pub image: String,
    /// The port of this machine (on 127.0.0.1) that leads to the app; the app's own port by default.
    #[arg(long, short, value_name = "PORT")]
    pub port: Option<u16>,
    /// Set a variable for this run only.
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Network of the app: its own, with one port forwarded, or the machine's.
    #[arg(long, value_enum, default_value_t = RunNetwork::Forward)]
    pub network: RunNetwork,
    /// The directory of the app inside the source, when a source is given.
    #[arg(long, value_name = "DIR")]
    pub source_dir: Option<String>,
    /// Where runtimes come from, when a source is given.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// Secrets of the build commands, when a source is given.
    #[command(flatten)]
    pub secrets: SecretArgs,
    /// Sources that are elsewhere.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Network of an app that is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RunNetwork {
    /// A network of its own; one port of 127.0.0.1 is forwarded to it.
    Forward,
    /// The machine's network.
    Host,
}

/// Arguments of `push`.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// `oci:DIR[:TAG]`, `oci-archive:FILE`, `docker-archive:FILE`, or a file that is either.
    pub image: String,
    /// Where to push it; may be given several times.
    #[arg(long = "tag", short = 't', value_name = "REF", required = true)]
    pub tags: Vec<String>,
    /// Write a JSON report of the push here, also when it fails.
    #[arg(long, env = "LAPSTRAKE_METADATA_FILE", value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Commands on the catalog of runtimes.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// List the entries.
    List(CatalogListArgs),
    /// Show one entry.
    Show(CatalogShowArgs),
    /// Make the layers of entries, into the local catalog or a layout of their own.
    Build(CatalogBuildArgs),
    /// Resolve the packages of the recipes anew and write the locks.
    Update(CatalogUpdateArgs),
    /// Say which entry a request gives, and why.
    Resolve(ResolveArgs),
    /// Publish the entries of a layout as the next revision of a catalog, under the tags `rN` and `candidate`.
    Publish(PublishArgs),
    /// Publish an existing image as an entry, with its layers as they are.
    Import(Box<ImportArgs>),
    /// Make a revision the one that everybody gets, under the tag `latest` and its day.
    Promote(PromoteArgs),
    /// Publish a revision in which an entry is deprecated from a day on.
    Deprecate(DeprecateArgs),
    /// Publish a revision in which an entry must not be used.
    Revoke(RevokeArgs),
    /// Publish a revision that differs in its dates alone, before the last one expires.
    Renew(RenewArgs),
    /// Verify the history of a published catalog, and that its images have the layers that it names.
    Verify(VerifyArgs),
    /// Sign a revision, beside what others have signed of it.
    Sign(SignArgs),
    /// Say what each revision of a published catalog has changed.
    Log(LogArgs),
    /// Say what differs between two revisions, or between two builds of one version.
    Diff(DiffArgs),
    /// Bring a published catalog into a layout.
    Pull(CopyArgs),
    /// Copy a published catalog to another repository, under the same digests.
    Mirror(CopyArgs),
}

/// Arguments of `catalog list`.
#[derive(Debug, Args)]
pub struct CatalogListArgs {
    /// Only this runtime.
    #[arg(long, value_name = "RUNTIME")]
    pub runtime: Option<String>,
    /// Also entries that have been replaced.
    #[arg(long)]
    pub all: bool,
    /// How the list is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// The catalog that is looked at.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `catalog show`.
#[derive(Debug, Args)]
pub struct CatalogShowArgs {
    /// An entry such as `python3-3.13.5-1`, or a request such as `python3@3.13`.
    pub entry: String,
    /// List the packages.
    #[arg(long)]
    pub packages: bool,
    /// How the entry is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// The catalog that is looked at.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `catalog build`.
#[derive(Debug, Args)]
pub struct CatalogBuildArgs {
    /// Entries or requests (`python3@3.13`); all active entries by default.
    pub entries: Vec<String>,
    /// Write the catalog to this image layout, instead of the local catalog.
    #[arg(long, value_name = "DIR")]
    pub layout: Option<PathBuf>,
    /// Platforms; all that the locks have by default.
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// A directory with `recipes/` and `locks/`, instead of those inside the program.
    #[arg(long, value_name = "DIR")]
    pub recipes: Option<PathBuf>,
    /// Refuse to resolve packages again when one that a lock names is gone from the mirror.
    #[arg(long)]
    pub locked: bool,
}

/// Arguments of `catalog update`.
#[derive(Debug, Args)]
pub struct CatalogUpdateArgs {
    /// A directory with `recipes/` and `locks/`; the locks are written there.
    #[arg(long, value_name = "DIR", default_value = "runtimes")]
    pub recipes: PathBuf,
    /// Only this runtime.
    #[arg(long, value_name = "RUNTIME")]
    pub runtime: Option<String>,
    /// Say what would change; write nothing.
    #[arg(long)]
    pub dry_run: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
