//! What keeps build commands away from the machine.

use clap::ValueEnum;
use lapstrake_sandbox::Isolation;

/// What keeps build commands away from the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum IsolationMode {
    /// Namespaces of all kinds, seccomp and Landlock. Fails where the machine does not have them.
    #[default]
    Strict,
    /// For root in a container without user namespaces: a root directory of its own, an unprivileged user without
    /// capabilities, seccomp and Landlock. Processes and the network are the container's.
    Chroot,
}

impl From<IsolationMode> for Isolation {
    fn from(mode: IsolationMode) -> Self {
        match mode {
            IsolationMode::Strict => Self::Strict,
            IsolationMode::Chroot => Self::Chroot,
        }
    }
}
