//! What keeps build commands away from the machine.

use clap::ValueEnum;
use lapstrake_sandbox::Isolation;

use super::Global;
use crate::failure::{Exit, Failure};

/// What keeps build commands away from the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum IsolationMode {
    /// Namespaces of all kinds, seccomp and Landlock. Fails where the machine does not have them.
    #[default]
    Strict,
    /// The same, and commands run on a kernel of their own: gVisor's `runsc`, from May 2023 or later. For root.
    Gvisor,
    /// For root in a container without user namespaces: a root directory of its own, an unprivileged user without
    /// capabilities, seccomp and Landlock. Processes and the network are the container's.
    Chroot,
    /// For an ordinary user in a container without user namespaces: commands are led into a directory that they take for
    /// the root; Landlock and seccomp keep them out of all else. Processes and the network are the container's.
    Landlock,
    /// Nothing. Commands have the files of the build image and reach everything else that the user who calls reaches.
    /// Together with `--trust-source` alone.
    Host,
}

impl From<IsolationMode> for Isolation {
    fn from(mode: IsolationMode) -> Self {
        match mode {
            IsolationMode::Strict => Self::Strict,
            IsolationMode::Gvisor => Self::Gvisor,
            IsolationMode::Chroot => Self::Chroot,
            IsolationMode::Landlock => Self::Landlock,
            IsolationMode::Host => Self::Host,
        }
    }
}

impl Global {
    /// What keeps build commands away from the machine. Nothing does only where that was said twice.
    pub fn isolation(&self) -> Result<Isolation, Failure> {
        match (self.isolation, self.trust_source) {
            (IsolationMode::Host, false) => Err(Failure::new(
                Exit::NotUnderstood,
                "`--isolation host` keeps build commands from nothing of this machine, so it takes `--trust-source` as well",
            )
            .hint("give both only for source whose commands you would run yourself; `lapstrake doctor` says which modes work here")),
            (IsolationMode::Host, true) | (_, false) => Ok(self.isolation.into()),
            (_, true) => Err(Failure::new(
                Exit::NotUnderstood,
                "`--trust-source` has no meaning without `--isolation host`: every other mode takes source that nobody trusts",
            )),
        }
    }
}
