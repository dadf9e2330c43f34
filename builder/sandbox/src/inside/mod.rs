//! Process 1 of the sandbox: it builds the file system, locks itself in, and runs steps as it is told. Without
//! namespaces it is the first process of the sandbox instead, in a root directory that was laid out for it.

#[cfg(target_arch = "x86_64")]
mod calls;
mod confine;
mod devices;
#[cfg(target_arch = "x86_64")]
mod elf;
mod filter;
mod guest;
pub(crate) mod memory;
mod network;
mod proc;
mod root;
mod shared;
mod steps;
#[cfg(target_arch = "x86_64")]
mod tracer;
#[cfg(not(target_arch = "x86_64"))]
#[path = "untraced.rs"]
mod tracer;
#[cfg(target_arch = "x86_64")]
mod view;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::exit;

use crate::error::Feature;
use crate::launcher::{Sources, Stop};
use crate::spec::{Isolation, Spec};
use crate::wire::{self, Report};
use guest::Guest;
use steps::Steps;
use tracer::Tracer;

pub(crate) use shared::make_devices;

/// Runs process 1; the namespace and everything in it end when it does.
pub(crate) fn run(control: &UnixStream, spec: &Spec, sources: Sources) -> ! {
    serve(control, spec, set_up(spec, sources))
}

/// Runs the first process of a sandbox without namespaces.
pub(crate) fn run_shared(control: &UnixStream, spec: &Spec, proxy: Option<u16>) -> ! {
    serve(control, spec, shared::set_up(spec, proxy))
}

/// A sandbox that is set up.
struct Ready {
    /// Where the caller is to serve the proxy.
    proxy: Listening,
    /// What is not as strong as it could be.
    notices: Vec<String>,
    /// Who answers calls of the steps that the kernel would answer otherwise.
    tracer: Option<Tracer>,
    /// The kernel that the steps run on, where it is not the machine's.
    guest: Option<Guest>,
}

fn serve(control: &UnixStream, spec: &Spec, set_up: Result<Ready, Stop>) -> ! {
    let told = set_up.and_then(|ready| {
        wire::send(control, &Report::Ready { notices: ready.notices }, ready.proxy.as_ref().map(AsFd::as_fd))
            .map_err(Stop::with("control socket"))
            .map(|()| Steps::new(ready.tracer, ready.guest))
    });
    match told {
        Ok(steps) => exit(i32::from(steps::run(control, spec, steps).is_err())),
        Err(stop) => {
            // The caller may be gone; there is nobody else to tell.
            let _ = wire::send(control, &stop.report(), None);
            exit(1)
        }
    }
}

type Listening = Option<std::net::TcpListener>;

/// Everything that takes the namespace's privileges; the last act gives them up.
fn set_up(spec: &Spec, sources: Sources) -> Result<Ready, Stop> {
    rustix::process::setsid().map_err(Stop::lacking(Feature::Namespaces))?;
    rustix::system::sethostname(spec.hostname.as_bytes())
        .map_err(Stop::with(format!("host name {}", spec.hostname)))?;
    let proxy = network::set_up(&spec.network)?;
    if spec.isolation == Isolation::Gvisor {
        root::enter_beside(spec, sources)?;
        return Ok(Ready { proxy, notices: Vec::new(), tracer: None, guest: Some(Guest::new(spec)?) });
    }
    root::enter(spec, sources)?;
    let notices = confine::lock_in(spec)?;
    Ok(Ready { proxy, notices, tracer: None, guest: None })
}
