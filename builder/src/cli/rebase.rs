//! Arguments of `rebase`.

use std::path::PathBuf;

use clap::Args;

use super::{CatalogArgs, RegistryArgs};

/// Arguments of `rebase`.
#[derive(Debug, Args)]
pub struct RebaseArgs {
    /// The image: REGISTRY/REPOSITORY:TAG, or `oci:DIR:TAG`.
    #[arg(value_name = "REF", required_unless_present_any = ["select", "plan"])]
    pub reference: Option<String>,
    /// The entry to move to, as in `python3-3.13.5-2`; `latest` is the newest one of the line that may be used.
    #[arg(long, default_value = "latest", value_name = "ID")]
    pub to: String,
    /// Put the image under this tag, and leave the one that it was found under.
    #[arg(long, value_name = "TAG", conflicts_with_all = ["select", "plan", "undo"])]
    pub tag: Option<String>,
    /// Say what would be moved, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Start the moved image on this machine and ask its port for this path, `/` by default, before the tag moves.
    #[arg(
        long,
        value_name = "PATH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "/",
        conflicts_with_all = ["undo", "dry_run"]
    )]
    pub smoke: Option<String>,
    /// Go back to the image that was there before; with several, name its tag with `--before`.
    #[arg(long, conflicts_with_all = ["select", "plan", "dry_run"])]
    pub undo: bool,
    /// With `--undo`: the tag of the image to go back to.
    #[arg(long, value_name = "TAG", requires = "undo")]
    pub before: Option<String>,
    /// All images of the repositories that this glob matches, such as `registry.example.com/team-*/**`.
    #[arg(long, value_name = "GLOB", conflicts_with = "reference")]
    pub select: Option<String>,
    /// Take the names of repositories from this file, one a line, instead of asking the registry for them.
    #[arg(long, value_name = "FILE", requires = "select")]
    pub repos_from: Option<PathBuf>,
    /// Only tags that this glob matches.
    #[arg(long, value_name = "GLOB", requires = "select")]
    pub tags: Option<String>,
    /// Only this share of the selected images: always the same ones, and more of them with a larger share.
    #[arg(long, value_name = "N%", requires = "select")]
    pub canary: Option<String>,
    /// With `--select`: write what would be moved into this file, to be reviewed. Without: do what the file says, as often
    /// and by as many workers as you like; what is done already stays as it is.
    #[arg(long, value_name = "FILE", conflicts_with = "reference")]
    pub plan: Option<PathBuf>,
    /// The catalog that is asked.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// Decide as of this day, instead of today (UTC).
    #[arg(long, value_name = "DATE")]
    pub as_of: Option<String>,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}
