//! Which catalog a command reads, what it has to prove, and what is permitted all the same.

use clap::Args;

/// The catalog that a command reads, and what it has to prove.
#[derive(Clone, Debug, Default, Args)]
pub struct CatalogArgs {
    /// The catalog of runtimes: `oci:DIR`, or a repository, with a tag or digest. The local one by default.
    #[arg(long, env = "LAPSTRAKE_CATALOG", value_name = "REF")]
    pub catalog: Option<String>,
    /// Accept the catalog only if this key has signed it: a public key in PEM, in FILE or in `env://VARIABLE`; may be given
    /// several times.
    #[arg(
        long = "catalog-key",
        env = "LAPSTRAKE_CATALOG_KEY",
        value_name = "FILE|env://VARIABLE",
        value_delimiter = ','
    )]
    pub keys: Vec<String>,
    /// How many of the keys must have signed the catalog.
    #[arg(
        long = "catalog-threshold",
        env = "LAPSTRAKE_CATALOG_THRESHOLD",
        value_name = "N",
        default_value_t = 1
    )]
    pub threshold: usize,
    /// Refuse a catalog whose revision is lower, also where nothing is remembered of it.
    #[arg(long, env = "LAPSTRAKE_MIN_REVISION", value_name = "N")]
    pub min_revision: Option<u64>,
    /// Take a catalog that is no longer fresh; images made of it say so.
    #[arg(long)]
    pub allow_expired_catalog: bool,
    /// Take a catalog that is older than one seen before, or was rewritten; images made of it say so.
    #[arg(long)]
    pub allow_rollback: bool,
    /// Do not ask whether a later revision than the one that is named has revoked something; images made of it say so.
    #[arg(long)]
    pub offline: bool,
}

/// What is permitted although it is refused otherwise.
#[derive(Clone, Debug, Default, Args)]
pub struct PermissionArgs {
    /// Permit one entry although its support has ended; the permission is recorded in the image.
    #[arg(long, value_name = "ID")]
    pub allow_eol: Vec<String>,
    /// Permit one entry although it is revoked; the permission and its reason are recorded in the image.
    #[arg(long, value_name = "ID", requires = "reason")]
    pub allow_revoked: Vec<String>,
    /// Why a revoked entry is permitted.
    #[arg(long, value_name = "TEXT", requires = "allow_revoked")]
    pub reason: Option<String>,
}
