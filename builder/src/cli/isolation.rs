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
    /// For an ordinary user in a container without user namespaces: commands are led into a directory that they take for
    /// the root; Landlock and seccomp keep them out of all else. Processes and the network are the container's.
    Landlock,
}

impl From<IsolationMode> for Isolation {
    fn from(mode: IsolationMode) -> Self {
        match mode {
            IsolationMode::Strict => Self::Strict,
            IsolationMode::Chroot => Self::Chroot,
            IsolationMode::Landlock => Self::Landlock,
        }
    }
}
