//! Build secrets on the command line.

use clap::Args;

/// Secrets of the build commands.
#[derive(Clone, Debug, Default, Args)]
pub struct SecretArgs {
    /// Give build commands a secret: `id=NAME[,env=VAR|,src=FILE][,variable[=NAME]][,phases=build+pre-run]`.
    ///
    /// Commands find it as a file, `/run/secrets/NAME`, and with `variable` in a variable as well. Its value is that of a
    /// variable of the caller (`NAME` itself unless `env` says another) or the content of a file. All phases see it
    /// unless `phases` names some. May be given several times; the environment variable holds one a line.
    #[arg(long = "secret", env = "LAPSTRAKE_SECRET", value_name = "SPEC", hide_env_values = true)]
    pub secrets: Vec<String>,
}
