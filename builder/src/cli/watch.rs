//! Arguments of `watch`.

use std::path::PathBuf;

use clap::{Args, value_parser};

use super::BuildArgs;

/// Arguments of `watch`: those of `build`, for a git source.
#[derive(Debug, Args)]
#[command(mut_arg("source", |source| source
    .value_name("GITURL")
    .help("A git source, such as `git+https://HOST/REPO` or `github:OWNER/REPO`, or a repository on this machine")))]
#[command(mut_arg("tags", |tags| tags.required(true)))]
pub struct WatchArgs {
    /// What is built, and where it goes.
    #[command(flatten)]
    pub build: BuildArgs,
    /// The branch that is watched; may stand in GITURL instead, as `#BRANCH`.
    #[arg(long, value_name = "BRANCH")]
    pub branch: Option<String>,
    /// What makes a build due besides the source directory: a glob over paths from the root of the repository.
    ///
    /// `**` crosses directories, and a glob that matches a directory counts everything below it. May be given several
    /// times.
    #[arg(long, value_name = "GLOB")]
    pub also: Vec<String>,
    /// Run this command by `/bin/sh -c` after each build that succeeded.
    ///
    /// Its environment has `LAPSTRAKE_DIGEST`, `LAPSTRAKE_REFERENCE` (the first pushed reference by digest),
    /// `LAPSTRAKE_COMMIT` and `LAPSTRAKE_BRANCH`. When it fails, that is reported and nothing is built again.
    #[arg(long, value_name = "CMD")]
    pub on_success: Option<String>,
    /// How long to wait between two looks at the remote.
    #[arg(long, env = "LAPSTRAKE_INTERVAL", value_name = "SECONDS", default_value_t = 60, value_parser = value_parser!(u64).range(1..=86_400))]
    pub interval: u64,
    /// Where to remember what was built; by default a file of the data directory that belongs to the references.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Look once, build what is due, and end: for schedulers such as cron.
    #[arg(long)]
    pub once: bool,
}
