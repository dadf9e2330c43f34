//! Process 1's work: it starts steps, reaps whatever dies, and ends when the caller is gone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process_group, pidfd_open, wait,
};

use super::guest::{self, Guest};
use super::tracer::Tracer;
use super::{memory, network};
use crate::event::Failure;
use crate::spec::{Spec, Step};
use crate::sys;
use crate::wire::{self, Order, Report};

/// How often memory is measured and orphans are reaped while nothing else happens.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// The step that runs.
pub(super) struct Running {
    pid: Pid,
    ended: OwnedFd,
}

/// How steps are started and watched.
pub(super) enum Steps {
    /// As children whose end is waited for.
    Plain(Option<Running>),
    /// The same, and each step is on a kernel of its own; the one that runs is kept beside it.
    OnGuest(Box<Guest>, Option<(Running, Step)>),
    /// As processes of which some calls are answered here.
    Traced(Box<Tracer>),
}

impl Steps {
    /// The way that there is.
    pub(super) fn new(tracer: Option<Tracer>, guest: Option<Guest>) -> Self {
        match (tracer, guest) {
            (_, Some(guest)) => Self::OnGuest(Box::new(guest), None),
            (Some(tracer), None) => Self::Traced(Box::new(tracer)),
            (None, None) => Self::Plain(None),
        }
    }

    /// The step that is a child.
    fn child(&self) -> Option<&Running> {
        match self {
            Self::Plain(running) => running.as_ref(),
            Self::OnGuest(_, running) => running.as_ref().map(|(running, _)| running),
            Self::Traced(_) => None,
        }
    }

    fn running(&self) -> bool {
        match self {
            Self::Traced(tracer) => tracer.running(),
            _ => self.child().is_some(),
        }
    }

    /// What becomes readable when there is something to attend to.
    fn news(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Traced(tracer) => Some(tracer.signals()),
            _ => self.child().map(|step| step.ended.as_fd()),
        }
    }

    fn start(&mut self, step: &Step) -> io::Result<()> {
        match self {
            Self::Plain(running) => {
                *running = Some(start(step)?);
                Ok(())
            }
            Self::OnGuest(guest, running) => {
                *running = Some((start(&guest.step(step)?)?, step.clone()));
                Ok(())
            }
            Self::Traced(tracer) => tracer.start(step),
        }
    }

    /// Asks the step to end.
    fn terminate(&self) {
        match self {
            Self::Traced(tracer) => tracer.terminate(),
            Self::OnGuest(guest, _) => guest.terminate(),
            Self::Plain(_) => {
                if let Some(step) = self.child() {
                    // It may have ended a moment ago, which `reap` will find.
                    let _ = kill_process_group(step.pid, Signal::TERM);
                }
            }
        }
    }

    /// Deals with whatever has happened; returns how the step ended if it has.
    fn attend(&mut self) -> io::Result<Option<Result<(), Failure>>> {
        match self {
            Self::Plain(running) => {
                let result = reap(running.as_ref())?;
                if result.is_some() {
                    *running = None;
                }
                Ok(result)
            }
            Self::OnGuest(_, running) => {
                let Some(result) = reap(running.as_ref().map(|(running, _)| running))? else {
                    return Ok(None);
                };
                Ok(running.take().map(|(_, step)| guest::judge(&step, result)))
            }
            Self::Traced(tracer) => tracer.attend(),
        }
    }
}

/// Serves the caller's orders until it closes the socket.
pub(super) fn run(control: &UnixStream, spec: &Spec, mut steps: Steps) -> io::Result<()> {
    loop {
        let ready = wait_for_news(control, &steps)?;
        if ready {
            let Some(received) = wire::receive::<Order>(control)? else { return Ok(()) };
            obey(control, received.message, &mut steps)?;
        }
        if let Some(result) = steps.attend()? {
            let result = result.map_err(|failure| explain(failure, spec.limits.memory));
            wire::send(control, &Report::Ended(result), None)?;
        }
        // Without a process namespace the launcher measures, who sees which processes are those of the steps.
        let measures = steps.running() && spec.isolation.has_namespaces();
        if measures && memory::exceeded(&memory::all(), spec.limits.memory) {
            wire::send(control, &Report::Ended(Err(Failure::OutOfMemory)), None)?;
            // Ends the namespace, and with it everything that used the memory.
            return Ok(());
        }
    }
}

/// Waits for an order, the end of the step, or the next tick; tells whether there is an order.
fn wait_for_news(control: &UnixStream, steps: &Steps) -> io::Result<bool> {
    let socket = control.as_fd();
    let mut fds = vec![PollFd::from_borrowed_fd(socket, PollFlags::IN)];
    fds.extend(steps.news().map(|news| PollFd::from_borrowed_fd(news, PollFlags::IN)));
    match poll(&mut fds, Some(&TICK)) {
        Ok(_) => Ok(!fds[0].revents().is_empty()),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn obey(control: &UnixStream, order: Order, steps: &mut Steps) -> io::Result<()> {
    match order {
        Order::SetUp { .. } => Err(io::ErrorKind::InvalidData.into()),
        Order::Run(step) => match steps.start(&step) {
            Ok(()) => Ok(()),
            Err(error) => {
                let reason = format!("{}: {error}", step.argv.first().map_or("", String::as_str));
                wire::send(control, &Report::Ended(Err(Failure::NotStarted(reason))), None)
            }
        },
        Order::Connect(port) => {
            let stream = network::connect(port);
            let fd = stream.as_ref().map(AsFd::as_fd);
            wire::send(control, &Report::Connected(fd.is_some()), fd)
        }
        Order::Terminate => {
            steps.terminate();
            Ok(())
        }
    }
}

/// Starts a step as the leader of a session of its own.
fn start(step: &Step) -> io::Result<Running> {
    let (program, arguments) =
        step.argv.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
    if !std::fs::metadata(&step.cwd).is_ok_and(|found| found.is_dir()) {
        return Err(io::Error::other(format!("no directory `{}`", step.cwd.display())));
    }
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&step.env).current_dir(&step.cwd).stdin(Stdio::null());
    sys::isolate(&mut command);
    let child = command.spawn()?;
    let pid = Pid::from_child(&child);
    Ok(Running { pid, ended: pidfd_open(pid, PidfdFlags::empty())? })
}

/// Collects everything that has died; returns how the step ended if it is among the dead.
fn reap(running: Option<&Running>) -> io::Result<Option<Result<(), Failure>>> {
    let mut result = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if running.is_some_and(|step| step.pid == pid) {
                    result = Some(judge(status));
                }
            }
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(result),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A process that takes memory faster than it is measured is stopped by its own limit, and then fails in any way: how
/// much it had is the cause that it does not tell.
fn explain(failure: Failure, limit: u64) -> Failure {
    if sys::largest_descendant() > limit { Failure::OutOfMemory } else { failure }
}

fn judge(status: WaitStatus) -> Result<(), Failure> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(Failure::Exit(code)),
        (None, signal) => Err(Failure::Signal(signal.unwrap_or_default())),
    }
}
