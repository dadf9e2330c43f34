//! Runs build commands of an app in a sandbox of Linux namespaces, seccomp and Landlock.
//!
//! The flow: the caller describes a [`Spec`] and its [`Step`]s and calls [`run`]. The program is executed
//! again in a hidden mode ([`enter_if_asked`] must be the first call in `main`), which leaves root behind, makes
//! the namespaces and becomes process 1 of them. Process 1 runs the steps one by one as it is told over a
//! socket; everything ends when that socket closes.
//!
//! ```text
//! caller (threads, secrets)          launcher (own process)          process 1 inside
//! run() --exec /proc/self/exe-->     open mounts, stop being root
//!                                    unshare, fork -->               mount, pivot, lock itself in
//!       <------------------------ control socket -------------->     one child per step
//! ```
//!
//! Where there are no namespaces (all other modes of [`Isolation`]) the layers are copied (`copied`), the
//! first process locks itself in without leaving the machine's own namespaces (`inside::shared`), a tracer answers or leads
//! the calls of the steps (`inside::tracer`), and the launcher ends all that they leave behind (`descendants`). The caller
//! serves the proxy (`proxy`) in every mode.
//!
//! [`confine_worker`] locks in processes of the program's own that handle what strangers wrote.
//!
//! The only crate in which `unsafe` is allowed; all of it stands in `sys`.

#[cfg(not(target_os = "linux"))]
compile_error!("the sandbox is made of Linux namespaces");

mod arguments;
mod cgroup;
mod copied;
mod descendants;
mod disk;
mod error;
mod event;
mod forward;
mod gvisor;
mod inside;
mod launcher;
mod output;
mod owner;
mod probe;
mod proxy;
mod scratch;
mod session;
mod spec;
mod sys;
mod wire;
mod worker;

pub use arguments::{hide_arguments, hide_contents};
pub use error::{Feature, SandboxError};
pub use event::{Event, Failure, Fetched, HostTrouble, HostUse, Outcome, StepFailure, Stream, Trouble};
pub use launcher::enter_if_asked;
pub use owner::outside_identity;
pub use probe::probe;
pub use proxy::authority::Authority;
pub use proxy::policy::{HostPort, ProxyMode, ProxyPolicy, Upstream};
pub use session::{run, serve};
pub use spec::{
    Forward, Identity, Isolation, Limits, MemoryFile, Mount, MountKind, Network, PROXY_URL, Root, Spec, Step,
};
pub use sys::return_freed_memory;
pub use worker::{Reach, confine_worker};
