//! What the caller asks for: the file system, the network, the limits and the steps.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::proxy::policy::ProxyPolicy;

/// Where programs inside reach the proxy; the value of `http_proxy` and `https_proxy` for the steps.
///
/// Where the steps share the machine's network the port is another one: in the variables of a [`Step`] this text is then
/// replaced by the address that holds.
pub const PROXY_URL: &str = "http://127.0.0.1:3128";

/// What keeps the steps away from the machine.
///
/// Only [`Isolation::Strict`] is meant for what nobody trusts. The others promise less, for places where the kernel
/// does not let this user have namespaces; none of them is ever taken in another's place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Isolation {
    /// Namespaces of all kinds, an overlay as the root, seccomp, Landlock.
    #[default]
    Strict,
    /// The same, and the steps run on a kernel of their own, gVisor's, which is a program: they reach the machine's kernel
    /// only by what that one asks of it. For root on a machine that has `runsc`.
    Gvisor,
    /// A root directory of its own, entered with `chroot` by root, which then becomes an unprivileged user without any
    /// capability; seccomp and Landlock. Processes and the network are the machine's: no `/proc` is there to show them,
    /// and the only TCP port that can be reached is that of the proxy.
    Chroot,
    /// For an ordinary user: a directory that is only taken for the root, as all paths of the steps are led into it;
    /// seccomp and Landlock. Files and TCP ports are out of reach; processes are seen, and can be neither read nor
    /// ended.
    Landlock,
    /// Nothing keeps the steps away from the machine: they have the files of the layers as in [`Isolation::Chroot`], for
    /// root, or [`Isolation::Landlock`], for others, and neither seccomp nor Landlock behind that. Only for what is
    /// trusted as the caller is.
    Host,
}

impl Isolation {
    /// All modes, the strongest first.
    pub const ALL: [Self; 5] = [Self::Strict, Self::Gvisor, Self::Chroot, Self::Landlock, Self::Host];

    /// The name of the mode.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Gvisor => "gvisor",
            Self::Chroot => "chroot",
            Self::Landlock => "landlock",
            Self::Host => "host",
        }
    }

    /// Whether the steps have the directory that was laid out for them as their root, and not only as what they take for it.
    pub(crate) fn enters_root(self) -> bool {
        match self {
            Self::Strict | Self::Gvisor | Self::Chroot => true,
            Self::Landlock => false,
            Self::Host => rustix::process::geteuid().is_root(),
        }
    }

    /// Whether the steps have namespaces of their own.
    pub(crate) fn has_namespaces(self) -> bool {
        matches!(self, Self::Strict | Self::Gvisor)
    }
}

/// Everything about a sandbox that stays the same for all of its steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// What keeps the steps away from the machine.
    pub isolation: Isolation,
    /// The root file system.
    pub root: Root,
    /// What is mounted on top of it, in this order.
    pub mounts: Vec<Mount>,
    /// Files that only memory holds, such as secrets.
    pub files: Vec<MemoryFile>,
    /// The host name that programs inside see.
    pub hostname: String,
    /// Who the programs inside are.
    pub identity: Identity,
    /// What they reach.
    pub network: Network,
    /// What they may use up.
    pub limits: Limits,
    /// The id that stands behind the sandbox outside when it is started as root; never 0.
    pub build_uid: u32,
}

/// The root file system: an overlay of read-only directories whose changes go to a scratch directory.
///
/// Mount points that no lower directory has come from an empty layer below all others, so they never show up among
/// the changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Root {
    /// The read-only directories, topmost first.
    pub lower: Vec<PathBuf>,
    /// A directory on disk for this sandbox alone. It is made if it is missing, and holds `upper` (the changes),
    /// `work` (the kernel's) and `tmp` (what the steps see as `/tmp`).
    pub scratch: PathBuf,
}

impl Root {
    /// The directory that holds what the steps changed: new and changed files, and whiteouts.
    #[must_use]
    pub fn upper(&self) -> PathBuf {
        self.scratch.join("upper")
    }

    /// Where the steps' own copy of the root is, in modes without an overlay.
    pub(crate) fn copy(&self) -> PathBuf {
        self.scratch.join("copy")
    }

    /// What the steps see as `/tmp`.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.scratch.join("tmp")
    }
}

/// One more mount inside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mount {
    /// A directory or file outside.
    pub source: PathBuf,
    /// An absolute path inside. Below an earlier mount it must exist already; everywhere else it need not.
    pub target: PathBuf,
    /// How the source appears there.
    pub kind: MountKind,
}

/// How a [`Mount`]'s source appears inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    /// It cannot be changed. Without namespaces the steps have a copy of it, which the same user may change.
    ReadOnly,
    /// Changes go to the source itself.
    Writable,
    /// Changes go to `upper` below this directory, which is made if it is missing, and the source stays as it is. In
    /// modes without an overlay they go to `copy` below it, together with what has not changed.
    Overlay {
        /// A directory on disk for this mount alone.
        scratch: PathBuf,
    },
}

impl Mount {
    /// A view of `source` that cannot be changed.
    pub fn read_only(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self::new(source, target, MountKind::ReadOnly)
    }

    /// `source` itself.
    pub fn writable(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self::new(source, target, MountKind::Writable)
    }

    /// A view of `source` whose changes go to `scratch`.
    pub fn overlay(
        source: impl Into<PathBuf>,
        target: impl Into<PathBuf>,
        scratch: impl Into<PathBuf>,
    ) -> Self {
        let scratch = scratch.into();
        Self::new(source, target, MountKind::Overlay { scratch })
    }

    fn new(source: impl Into<PathBuf>, target: impl Into<PathBuf>, kind: MountKind) -> Self {
        Self { source: source.into(), target: target.into(), kind }
    }

    /// The directory on disk that grows when a step writes to this mount.
    pub(crate) fn grows(&self) -> Option<PathBuf> {
        match &self.kind {
            MountKind::ReadOnly => None,
            MountKind::Writable => Some(self.source.clone()),
            MountKind::Overlay { scratch } => Some(scratch.join("upper")),
        }
    }
}

/// A file inside that only memory holds: it never lies on a disk of the machine, its swap space aside.
///
/// The user inside may read it; nobody can change or remove it. It ends with the sandbox.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryFile {
    /// An absolute path below `/run`.
    pub target: PathBuf,
    /// The content. It travels beside the description: whoever prints or serialises a [`Spec`] does not have it.
    #[serde(skip)]
    pub content: Vec<u8>,
}

impl fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryFile")
            .field("target", &self.target)
            .field("bytes", &self.content.len())
            .finish_non_exhaustive()
    }
}

/// The one user and group that exist inside.
///
/// Not 0: programs that see uid 0 try to change owners, which fails where only one id is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

impl Default for Identity {
    fn default() -> Self {
        Self { uid: 1000, gid: 1000 }
    }
}

/// What the steps reach over the network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Network {
    /// Nothing but their own loopback.
    None,
    /// HTTP and HTTPS through a filtering proxy at [`PROXY_URL`], and nothing else.
    Proxy(ProxyPolicy),
    /// Nothing, but connections to an address outside are handed to a port inside.
    Forward(Forward),
    /// Everything that the machine reaches, its loopback included.
    Host,
}

/// A port outside that leads to a port inside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Forward {
    /// Where the caller's machine listens; port 0 takes a free one, which [`crate::Event::Listening`] tells.
    pub listen: SocketAddr,
    /// Where the app listens inside.
    pub port: u16,
}

/// What a sandbox may use up. [`Limits::default`] has the documented values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall-clock time of all steps together; `None` for an app that is served.
    pub time: Option<Duration>,
    /// Memory of all processes together, in bytes.
    pub memory: u64,
    /// Processes and threads at one time.
    pub processes: u64,
    /// Bytes that the scratch directories and writable mounts may grow by.
    pub disk: u64,
    /// The size of one file, in bytes.
    pub file_size: u64,
    /// Open files of one process.
    pub open_files: u64,
    /// Bytes of output that are passed on; the rest is dropped, with a notice.
    pub log: u64,
    /// How long a step has between `SIGTERM` and the end when it is cancelled.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        Self {
            time: Some(Duration::from_mins(30)),
            memory: 4 * GIB,
            processes: 1024,
            disk: 10 * GIB,
            file_size: 10 * GIB,
            open_files: 65_536,
            log: 64 << 20,
            grace: Duration::ZERO,
        }
    }
}

/// One command.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The program, looked up in the `PATH` of `env` when it has no slash, and its arguments.
    pub argv: Vec<String>,
    /// The whole environment; nothing of the caller's is added.
    pub env: BTreeMap<String, String>,
    /// The working directory inside.
    pub cwd: PathBuf,
}

/// Values of variables may be secrets, so their names alone are shown.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables: Vec<&String> = self.env.keys().collect();
        f.debug_struct("Step")
            .field("argv", &self.argv)
            .field("env", &variables)
            .field("cwd", &self.cwd)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_or_serialising_shows_no_content_and_no_value() {
        let file = MemoryFile { target: "/run/secrets/x".into(), content: b"hunter22".to_vec() };
        let step = Step {
            argv: vec!["true".into()],
            env: BTreeMap::from([("TOKEN".into(), "hunter22".into())]),
            cwd: "/".into(),
        };
        let shown = format!("{file:?} {step:?} {}", serde_json::to_string(&file).unwrap());
        assert!(!shown.contains("hunter22") && !shown.contains("104"), "{shown}");
        assert!(shown.contains("/run/secrets/x") && shown.contains("TOKEN"), "{shown}");
    }
}
