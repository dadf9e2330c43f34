//! Arguments of the commands about published catalogs.

use std::path::PathBuf;

use clap::Args;
use lapstrake_catalog::ImageKind;

use super::{CatalogArgs, Format, PermissionArgs, RegistryArgs};

/// Arguments of `catalog publish`.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The layout that `catalog build --layout` wrote.
    #[arg(value_name = "DIR")]
    pub layout: PathBuf,
    /// Where the catalog is published: REGISTRY/REPOSITORY, or `oci:DIR`.
    #[arg(value_name = "REPO")]
    pub repository: String,
    /// The recipes and locks that the layout was built with, instead of those inside the program.
    #[arg(long, value_name = "DIR")]
    pub recipes: Option<PathBuf>,
    /// Keep the packages and tarballs of new entries in the catalog as well, so that their layers can be made again when no
    /// mirror has them any more.
    #[arg(long)]
    pub artifacts: bool,
    /// The canonical name of the catalog, where its first revision is published elsewhere than under that name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How the revision is made.
    #[command(flatten)]
    pub making: RevisionArgs,
}

/// Arguments of `catalog import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The published catalog; it is begun if it is not there.
    #[arg(value_name = "REPO")]
    pub repository: String,
    /// The name of the runtime, as in `python3`.
    #[arg(value_name = "NAME")]
    pub runtime: String,
    /// The version of the language, as in `3.13.5`.
    pub version: String,
    /// The image by its digest: `REGISTRY/REPOSITORY@sha256:…`, or `oci:DIR@sha256:…`.
    pub image: String,
    /// The language of a runtime that the catalog does not have yet.
    #[arg(long, value_parser = ["python", "node"])]
    pub language: Option<String>,
    /// What apps on it are bound to: entries of one ABI can take each other's place.
    #[arg(long, value_name = "ABI")]
    pub abi: String,
    /// The operating system in the image, as in `debian13`.
    #[arg(long, value_name = "NAME")]
    pub os: String,
    /// The suite of an operating system that the catalog does not have yet.
    #[arg(long)]
    pub suite: Option<String>,
    /// The version of its C library.
    #[arg(long, value_name = "VERSION")]
    pub glibc: Option<String>,
    /// The end of its support.
    #[arg(long, value_name = "DATE")]
    pub os_eol: Option<String>,
    /// The end of its long-term support.
    #[arg(long, value_name = "DATE")]
    pub os_lts: Option<String>,
    /// The end of the language's support.
    #[arg(long, value_name = "DATE")]
    pub eol: Option<String>,
    /// Let build commands run in it too: it has a package manager.
    #[arg(long)]
    pub for_builds: bool,
    /// The canonical name of the catalog, where its first revision is published elsewhere than under that name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How the revision is made.
    #[command(flatten)]
    pub making: RevisionArgs,
}

/// How a revision is made.
#[derive(Debug, Args)]
pub struct RevisionArgs {
    /// How many days the revision counts as fresh.
    #[arg(long, default_value_t = 90, value_name = "N")]
    pub valid_days: u16,
    /// Say what the revision would be, and publish nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Sign the revision with this key before it becomes the candidate: PKCS #8 in PEM, ed25519 or ECDSA on P-256, in FILE or
    /// in `env://VARIABLE`.
    #[arg(long, env = "LAPSTRAKE_SIGN_KEY", value_name = "FILE|env://VARIABLE")]
    pub sign_key: Option<String>,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `catalog sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// The published catalog.
    #[arg(value_name = "REPO")]
    pub repository: String,
    /// The key: PKCS #8 in PEM, ed25519 or ECDSA on P-256, in FILE or in `env://VARIABLE`.
    #[arg(long, env = "LAPSTRAKE_SIGN_KEY", value_name = "FILE|env://VARIABLE")]
    pub key: String,
    /// The revision: a tag or a digest.
    #[arg(long, default_value = "candidate", value_name = "REV")]
    pub revision: String,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `catalog promote`.
#[derive(Debug, Args)]
pub struct PromoteArgs {
    /// The published catalog.
    #[arg(value_name = "REPO")]
    pub repository: String,
    /// The revision, as in `r42`.
    pub revision: String,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `catalog deprecate`.
#[derive(Debug, Args)]
pub struct DeprecateArgs {
    /// The published catalog.
    #[arg(value_name = "REPO")]
    pub repository: String,
    /// The entry, as in `python3-3.11.2-1`.
    pub id: String,
    /// The day from which it counts as deprecated.
    #[arg(long, value_name = "DATE")]
    pub on: String,
    /// How the revision is made.
    #[command(flatten)]
    pub making: RevisionArgs,
}

/// Arguments of `catalog revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The published catalog.
    #[arg(value_name = "REPO")]
    pub repository: String,
    /// The entry, as in `python3-3.11.2-1`.
    pub id: String,
    /// Why, in words.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// How bad it is: `low`, `medium`, `high` or `critical`.
    #[arg(long, value_name = "SEVERITY", value_parser = ["low", "medium", "high", "critical"])]
    pub severity: String,
    /// An advisory that says so; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub advisory: Vec<String>,
    /// The entry to take instead.
    #[arg(long, value_name = "ID")]
    pub replacement: Option<String>,
    /// How the revision is made.
    #[command(flatten)]
    pub making: RevisionArgs,
}

/// Arguments of `catalog renew`.
#[derive(Debug, Args)]
pub struct RenewArgs {
    /// The published catalog.
    #[arg(value_name = "REPO")]
    pub repository: String,
    /// How the revision is made.
    #[command(flatten)]
    pub making: RevisionArgs,
}

/// Arguments of `catalog verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The published catalog.
    #[arg(value_name = "REPO")]
    pub repository: String,
    /// The revision: a tag or a digest.
    #[arg(long, default_value = "latest", value_name = "REV")]
    pub revision: String,
    /// Accept the revision only if this key has signed it: a public key in PEM, in FILE or in `env://VARIABLE`; may be given
    /// several times.
    #[arg(long, env = "LAPSTRAKE_CATALOG_KEY", value_name = "FILE|env://VARIABLE", value_delimiter = ',')]
    pub key: Vec<String>,
    /// How many of the keys must have signed it.
    #[arg(long, env = "LAPSTRAKE_CATALOG_THRESHOLD", value_name = "N", default_value_t = 1)]
    pub threshold: usize,
    /// Make the layers again from their locks, and compare every digest: of this entry, or of all that are recorded in full.
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "")]
    pub rebuild: Option<String>,
    /// With `--rebuild`: only these kinds of images, as in `run`.
    #[arg(long, value_name = "KIND", value_delimiter = ',', requires = "rebuild")]
    pub kind: Vec<ImageKind>,
    /// With `--rebuild`: the recipes and locks, instead of those inside the program.
    #[arg(long, value_name = "DIR", requires = "rebuild")]
    pub recipes: Option<PathBuf>,
    /// Read every layer as well, and compare its content with what the catalog names.
    #[arg(long)]
    pub layers: bool,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `catalog log`.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// The published catalog.
    #[arg(value_name = "REPO")]
    pub repository: String,
    /// Only what concerns this entry.
    pub id: Option<String>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `catalog diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The published catalog.
    #[arg(value_name = "REPO")]
    pub repository: String,
    /// A revision (`r41`) or an entry.
    pub from: String,
    /// A later revision, or a later build of the entry's version.
    pub to: String,
    /// Name the security fixes.
    #[arg(long)]
    pub cves: bool,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `catalog pull` and `catalog mirror`.
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// The published catalog: REGISTRY/REPOSITORY, or `oci:DIR`.
    #[arg(value_name = "FROM")]
    pub from: String,
    /// Where it goes: `oci:DIR`, or REGISTRY/REPOSITORY.
    #[arg(value_name = "TO")]
    pub to: String,
    /// Copy the catalog alone, without the images of its entries: enough to look, to resolve and to audit. Into a layout.
    #[arg(long)]
    pub without_images: bool,
    /// Only this revision, a tag or a digest; all of them by default.
    #[arg(long, value_name = "REV")]
    pub revision: Option<String>,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `catalog resolve`.
#[derive(Debug, Args)]
pub struct ResolveArgs {
    /// The runtime, as in `python3`.
    pub runtime: String,
    /// The version lock, as in `3.13`.
    pub version: Option<String>,
    /// The platforms that the answer has to hold for; the machine's own by default.
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Answer as of this day, instead of today (UTC).
    #[arg(long, value_name = "DATE")]
    pub as_of: Option<String>,
    /// What is permitted although it is refused otherwise.
    #[command(flatten)]
    pub permissions: PermissionArgs,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// The catalog that is asked.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}
