//! Arguments of `changed`.

use clap::Args;

use super::{Format, RemoteArgs};

/// Arguments of `changed`.
///
/// Exit code 0: a build is due; 1: nothing in scope changed.
#[derive(Debug, Args)]
pub struct ChangedArgs {
    /// A repository or a checkout of it on this machine (`PATH[#REF]`), or a git source such as `github:OWNER/REPO@REF`.
    ///
    /// Only commits are compared; what is not committed does not count. Without REF it is `HEAD`.
    pub source: String,
    /// The commit that was built last: a branch, a tag, a commit, or `HEAD~1` and its like.
    ///
    /// All zeros stand for no commit at all, as CI systems say it of a new branch: then a build is due.
    #[arg(long, value_name = "REF")]
    pub since: String,
    /// The directory of the app inside the source: only what changes in it makes a build due.
    #[arg(long, env = "LAPSTRAKE_SOURCE_DIR", value_name = "DIR")]
    pub source_dir: Option<String>,
    /// What counts besides: a glob over paths from the root of the repository, with `**` across directories.
    ///
    /// A glob that matches a directory counts everything below it. May be given several times.
    #[arg(long, value_name = "GLOB")]
    pub also: Vec<String>,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub format: Format,
    /// Sources that are elsewhere.
    #[command(flatten)]
    pub remote: RemoteArgs,
}
