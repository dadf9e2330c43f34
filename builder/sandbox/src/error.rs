//! Why a sandbox could not run at all; a step that fails is an [`Outcome`](crate::Outcome).

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::spec::Isolation;

/// Something the machine must offer for the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Feature {
    /// Stop being root before anything else.
    LeaveRoot,
    /// User namespaces for this user.
    UserNamespace,
    /// Mount, process, network, IPC, host name and cgroup namespaces.
    Namespaces,
    /// Detached mounts (`open_tree`, `move_mount`, `mount_setattr`).
    MountApi,
    /// Overlay mounts in a user namespace.
    Overlay,
    /// An own `/proc`.
    Proc,
    /// An own `/dev`.
    Devices,
    /// A new root (`pivot_root`).
    PivotRoot,
    /// A loopback device of its own.
    Loopback,
    /// System call filters.
    Seccomp,
    /// Landlock, the second line for files; its absence is reported and tolerated.
    Landlock,
    /// A change of the root directory, which only root may make.
    Chroot,
    /// Landlock for TCP ports, where the steps share the machine's network.
    LandlockNetwork,
    /// Tracing of the steps, whose calls are answered where no mount can.
    Tracing,
    /// gVisor's `runsc`, and the three ids that it takes.
    Gvisor,
    /// Cgroups with memory and process limits; without them, limits are polled.
    Cgroup,
}

impl Feature {
    /// Whether the sandbox runs without it, with less behind it.
    #[must_use]
    pub fn may_be_missing(self, isolation: Isolation) -> bool {
        self == Self::Cgroup || self == Self::Landlock && isolation == Isolation::Strict
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeaveRoot => "leaving root",
            Self::UserNamespace => "user namespace",
            Self::Namespaces => "namespaces",
            Self::MountApi => "detached mounts",
            Self::Overlay => "overlay in a user namespace",
            Self::Proc => "own /proc",
            Self::Devices => "own /dev",
            Self::PivotRoot => "pivot_root",
            Self::Loopback => "loopback device",
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock",
            Self::Chroot => "chroot",
            Self::LandlockNetwork => "landlock for TCP",
            Self::Tracing => "tracing of processes",
            Self::Gvisor => "gVisor",
            Self::Cgroup => "cgroup limits",
        })
    }
}

/// Why the sandbox did not run.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The machine lacks something; a weaker sandbox is never used in its place.
    #[error("the sandbox needs `{feature}`, which is not available here: {reason}")]
    Unavailable {
        /// What is missing.
        feature: Feature,
        /// What the kernel said.
        reason: String,
    },
    /// The request itself cannot be carried out.
    #[error("the sandbox cannot be set up with `{what}`: {reason}")]
    Setup {
        /// The path or value concerned.
        what: String,
        /// Why not.
        reason: String,
    },
    /// Process 1 of the sandbox vanished.
    #[error("the sandbox ended unexpectedly: {status}")]
    Lost {
        /// How its launcher ended.
        status: String,
    },
    /// A system call outside failed.
    #[error("could not {action}")]
    Io {
        /// What was tried.
        action: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl SandboxError {
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}
