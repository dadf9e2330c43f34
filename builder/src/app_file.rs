//! The app file, `apprunner.yaml`: what an app asks for, checked before any work starts.
//!
//! [`parse`] reports every problem of a file in one pass, each with its position. Scalars stay text: `3.10` is a
//! version and not a number, `False` a value and not a boolean. Nothing here says how anything is done.

mod commands;
mod credentials;
mod diagnostic;
pub(crate) mod keys;
mod lines;
mod missing;
mod mistakes;
mod node;
mod read;
mod rule;
#[cfg(test)]
mod tests;
mod variables;
mod yaml;

use lapstrake_catalog::VersionRequest;

use crate::command_line::StartText;

pub use diagnostic::{Diagnostic, Position, Severity, Span, decode, render};
pub use missing::{NearMiss, NotFound, not_found};
pub(crate) use read::port_number;
pub use read::{Asked, Supplied, parse, parse_asked, parse_with};
pub use rule::Rule;
pub(crate) use variables::{can_hold_port, is_plain_name, name_fault, secret_fault, value_fault};

/// The name that the file must have.
pub const FILE_NAME: &str = "apprunner.yaml";

/// The port that an app listens on if its file does not say.
pub const DEFAULT_PORT: u16 = 8080;

/// A value and where it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: Span,
}

/// What an app asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppFile {
    /// The version of the file's format, as written.
    pub version: Located<String>,
    /// The name of a runtime or of a line of it, in lower case; the catalog says whether there is one. None only where
    /// it is supplied from elsewhere.
    pub runtime: Option<Located<String>>,
    /// How the app is built.
    pub build: Build,
    /// How it is run.
    pub run: Run,
}

/// How an app is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// Commands before the build.
    pub pre_build: Vec<Command>,
    /// Commands of the build.
    pub build: Vec<Command>,
    /// Commands after the build; they never change the image.
    pub post_build: Vec<Command>,
    /// Variables of all build commands and of `pre-run`.
    pub env: Vec<Variable>,
}

/// How an app is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The version lock.
    pub runtime_version: Option<Located<VersionRequest>>,
    /// Commands that run on the tree of the final image.
    pub pre_run: Vec<Command>,
    /// The start command. None only where it is supplied from elsewhere.
    pub command: Option<Located<StartText>>,
    /// Where the app listens.
    pub network: Network,
    /// Variables of the start command; those that hold the port are not among them.
    pub env: Vec<Variable>,
    /// References to secrets, which the platform resolves.
    pub secrets: Vec<Secret>,
}

/// Where an app listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The port; without one it is [`DEFAULT_PORT`].
    pub port: Option<Located<u16>>,
    /// One more variable, beside `PORT`, that holds the port; never `PORT` itself.
    pub env: Option<Located<String>>,
}

impl Network {
    /// The port that the app listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.as_ref().map_or(DEFAULT_PORT, |port| port.value)
    }
}

/// One item of a command list: a line for a shell of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What the shell runs.
    pub text: String,
    /// The line of the file on which it begins.
    pub line: usize,
}

/// A variable and its literal value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: Located<String>,
    /// Its value; nothing in it is expanded.
    pub value: Located<String>,
}

/// A variable whose value is a secret elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The name of the variable.
    pub name: Located<String>,
    /// The reference to the secret, as written.
    pub value_from: Located<String>,
}
