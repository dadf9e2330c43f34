//! Options that replace or add to single values of the app file.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

use crate::command_line::Form;

/// Values that replace those of the app file, or add to them.
///
/// Options that may be repeated have a variable as well, which holds one value on each line; the values of both count,
/// and of two with the same name that of the option.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Values of the app file")]
pub struct SettingArgs {
    /// The runtime, instead of `runtime`: `python3`, `python313`, `nodejs22`.
    #[arg(long, env = "LAPSTRAKE_RUNTIME", value_name = "NAME")]
    pub runtime: Option<String>,
    /// The runtime version, instead of `run.runtime-version`: `3`, `3.13`, `3.13.5` or `3.13.5-2`.
    #[arg(long, env = "LAPSTRAKE_RUNTIME_VERSION", value_name = "VERSION")]
    pub runtime_version: Option<String>,
    /// A command, instead of all of `build.commands.pre-build`; may be given several times [env: `LAPSTRAKE_PRE_BUILD_COMMAND`].
    #[arg(long, value_name = "COMMAND")]
    pub pre_build_command: Vec<String>,
    /// A command, instead of all of `build.commands.build`; may be given several times [env: `LAPSTRAKE_BUILD_COMMAND`].
    #[arg(long, value_name = "COMMAND")]
    pub build_command: Vec<String>,
    /// A command, instead of all of `build.commands.post-build`; may be given several times [env: `LAPSTRAKE_POST_BUILD_COMMAND`].
    #[arg(long, value_name = "COMMAND")]
    pub post_build_command: Vec<String>,
    /// A command, instead of all of `run.pre-run`; may be given several times [env: `LAPSTRAKE_PRE_RUN_COMMAND`].
    #[arg(long, value_name = "COMMAND")]
    pub pre_run_command: Vec<String>,
    /// A variable of the build commands [env: `LAPSTRAKE_BUILD_ENV`].
    #[arg(long, value_name = "NAME=VALUE")]
    pub build_env: Vec<String>,
    /// The start command, instead of `run.command`.
    #[arg(long, env = "LAPSTRAKE_COMMAND", value_name = "COMMAND")]
    pub command: Option<String>,
    /// Whether the start command gets a shell.
    #[arg(long, env = "LAPSTRAKE_SHELL", value_enum, default_value_t = Shell::Auto, value_name = "WHEN")]
    pub shell: Shell,
    /// The port, instead of `run.network.port`.
    #[arg(long, env = "LAPSTRAKE_PORT", value_name = "PORT")]
    pub port: Option<String>,
    /// The name of one more variable that holds the port, instead of `run.network.env`.
    #[arg(long, env = "LAPSTRAKE_PORT_ENV", value_name = "NAME")]
    pub port_env: Option<String>,
    /// A variable of the start command [env: `LAPSTRAKE_ENV`].
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// A file with a `NAME=VALUE` on each line, for the start command; blank lines and those that begin with `#` do not count
    /// [env: `LAPSTRAKE_ENV_FILE`].
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// A reference to a secret, which the platform that deploys resolves [env: `LAPSTRAKE_RUN_SECRET`].
    #[arg(long, value_name = "NAME=REFERENCE")]
    pub run_secret: Vec<String>,
    /// The user and group that the app runs as and that own `/app`, instead of the runtime's [numbers, or `root`].
    #[arg(long, env = "LAPSTRAKE_USER", value_name = "UID[:GID]")]
    pub user: Option<String>,
    /// A label of the image [env: `LAPSTRAKE_LABEL`].
    #[arg(long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// An annotation of the manifest, and of the image index where there is one [env: `LAPSTRAKE_ANNOTATION`].
    #[arg(long, value_name = "NAME=VALUE")]
    pub annotation: Vec<String>,
}

/// Whether the start command gets a shell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Where its text needs one.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never, as the managed service does; what needs one is passed on literally.
    Never,
}

impl Shell {
    /// The form that a start command takes.
    #[must_use]
    pub fn form(self) -> Form {
        match self {
            Self::Auto => Form::AsNeeded,
            Self::Always => Form::Shell,
            Self::Never => Form::Literal,
        }
    }
}
