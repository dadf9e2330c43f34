//! Options for how the build commands lead to the image.

use clap::{Args, ValueEnum};
use serde::Serialize;

/// How the build commands lead to the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowArgs {
    /// Which changes of the build commands reach the image.
    #[arg(long, env = "LAPSTRAKE_KEEP", value_enum, default_value_t = Keep::All)]
    pub keep: Keep,
    /// Run the commands of `build` once more on the tree that becomes the image, before those of `pre-run`.
    ///
    /// With `--keep app` this is the managed service's original build, for files that were written for it.
    #[arg(long, env = "LAPSTRAKE_REPEAT_BUILD")]
    pub repeat_build: bool,
}

/// Which changes of the build commands reach the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// All of them, caches and temporary places aside.
    #[default]
    All,
    /// Those below `/app`, and those of commands that run on the tree of the image, as the managed service does.
    App,
}
