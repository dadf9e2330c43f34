//! What build commands and the app are told of the source's commit.

use clap::Args;

/// What build commands and the app are told of the source's commit.
#[derive(Clone, Debug, Default, Args)]
pub struct CommitArgs {
    /// Tell build commands and the app the source's commit, in `SOURCE_COMMIT`.
    #[arg(long, env = "LAPSTRAKE_COMMIT_ENV")]
    pub commit_env: bool,
}
