//! The caller's side: starts the sandbox, tells it what to run, and passes on what it says.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::cgroup::Groups;
use crate::copied::Copied;
use crate::disk;
use crate::error::SandboxError;
use crate::event::{Event, Failure, Outcome, StepFailure, Stream};
use crate::forward::Forwarder;
use crate::launcher::HIDDEN_MODE;
use crate::output::{Budget, Lines};
use crate::proxy::{Proxy, Seen};
use crate::scratch;
use crate::spec::{Network, PROXY_URL, Spec, Step};
use crate::wire::{self, Order, Report};

/// How long a cancellation or a time-out may go unnoticed.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// How often the control groups are asked whether a process was killed for lack of memory.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long the kernel may take to end everything inside before the launcher is killed as well.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Runs steps one after the other until one fails; returns after everything inside has ended.
///
/// Setting `cancel` ends the run. Blocks; `events` is called from this thread.
pub fn run(
    spec: &Spec,
    steps: &[Step],
    cancel: &AtomicBool,
    events: &mut dyn FnMut(Event),
) -> Result<Outcome, SandboxError> {
    let mut session = Session::start(spec)?;
    session.wait_until_ready(events)?;
    let result = session.run_steps(steps, cancel, events)?;
    let Seen { hosts, fetched, troubles } = session.finish(events)?;
    if let Some(copied) = session.copied.take() {
        copied.settle()?;
    }
    Ok(Outcome { result, hosts, fetched, troubles })
}

/// Runs one app until it ends or `cancel` is set, with a `SIGTERM` and [`crate::Limits::grace`] first.
///
/// With [`Network::Forward`], connections from outside are handed to it meanwhile.
pub fn serve(
    spec: &Spec,
    app: &Step,
    cancel: &AtomicBool,
    events: &mut dyn FnMut(Event),
) -> Result<Outcome, SandboxError> {
    run(spec, std::slice::from_ref(app), cancel, events)
}

/// A report, and the descriptor that came along.
type Received = (Report, Option<OwnedFd>);

/// A sandbox that lives.
struct Session<'spec> {
    spec: &'spec Spec,
    control: UnixStream,
    launcher: Child,
    lines: [Lines; 2],
    budget: Budget,
    step: usize,
    started: Instant,
    looked: Instant,
    stop: Arc<AtomicBool>,
    disk_full: Arc<AtomicBool>,
    groups: Option<Groups>,
    proxy: Option<Proxy>,
    /// Where the proxy listens, for steps that share the machine's network.
    proxy_address: Option<SocketAddr>,
    forwarder: Option<Forwarder>,
    /// The root directory of steps that have no mounts.
    copied: Option<Copied<'spec>>,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // After an orderly end this finds a process that is gone; otherwise nothing may outlive the session.
        let _ = self.control.shutdown(std::net::Shutdown::Both);
        let _ = self.wait_for_launcher();
        scratch::clear(self.spec);
    }
}

impl<'spec> Session<'spec> {
    fn start(spec: &'spec Spec) -> Result<Self, SandboxError> {
        scratch::prepare(spec)?;
        let (mut copied, mut proxy, mut proxy_address) = (None, None, None);
        if !spec.isolation.has_namespaces() {
            copied = Some(Copied::lay_out(spec)?);
            if let Network::Proxy(policy) = &spec.network {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
                let listener = listener.map_err(SandboxError::io("listen for the proxy"))?;
                proxy_address =
                    Some(listener.local_addr().map_err(SandboxError::io("listen for the proxy"))?);
                let started = Proxy::start(listener, policy.clone());
                proxy = Some(started.map_err(SandboxError::io("serve the proxy"))?);
            }
        }
        let (control, theirs) = UnixStream::pair().map_err(SandboxError::io("make a socket"))?;
        let names = copied.as_ref().map(Copied::streams).transpose()?;
        let [out_name, err_name] = names.map_or([None, None], |names| names.map(Some));
        let (stdout, their_stdout) = output_pipe(Stream::Stdout, out_name.as_deref())?;
        let (stderr, their_stderr) = output_pipe(Stream::Stderr, err_name.as_deref())?;
        // The program itself, even if its file has been replaced since. It gets no environment: what is in it could
        // otherwise be read inside, in /proc/1/environ.
        let launcher = Command::new("/proc/self/exe")
            .arg(HIDDEN_MODE)
            .env_clear()
            .current_dir("/")
            // Ctrl-C is for the caller, which then ends this in order.
            .process_group(0)
            .stdin(OwnedFd::from(theirs))
            .stdout(their_stdout)
            .stderr(their_stderr)
            .spawn()
            .map_err(SandboxError::io("execute this program again"))?;
        let stop = Arc::new(AtomicBool::new(false));
        // Where there are none, process 1 measures and the kernel's limits for each process hold; `probe` says why.
        let groups = Groups::make(&spec.limits).ok().and_then(|groups| groups.add(launcher.id()).ok());
        let session = Self {
            spec,
            control,
            launcher,
            lines: [stdout, stderr],
            budget: Budget::new(spec.limits.log),
            step: 0,
            started: Instant::now(),
            looked: Instant::now(),
            disk_full: disk::watch(spec, Arc::clone(&stop)),
            stop,
            groups,
            proxy,
            proxy_address,
            forwarder: None,
            copied,
        };
        let port = proxy_address.map(|address| address.port());
        reached(wire::send_set_up(&session.control, spec, port))?;
        Ok(session)
    }

    fn order(&self, order: &Order) -> Result<(), SandboxError> {
        reached(wire::send(&self.control, order, None))
    }

    fn wait_until_ready(&mut self, events: &mut dyn FnMut(Event)) -> Result<(), SandboxError> {
        let report = loop {
            // The set-up takes milliseconds and runs no foreign code, so nothing interrupts it.
            if let Some(report) = self.poll_once(events)? {
                break report;
            }
        };
        match report {
            (Report::Ready { notices }, socket) => {
                for text in notices {
                    events(Event::Notice { text });
                }
                self.open_network(socket, events)
            }
            (Report::Unavailable { feature, reason }, _) => {
                Err(SandboxError::Unavailable { feature, reason })
            }
            (Report::Setup { what, reason }, _) => Err(SandboxError::Setup { what, reason }),
            _ => Err(self.lost(events)),
        }
    }

    fn open_network(
        &mut self,
        socket: Option<OwnedFd>,
        events: &mut dyn FnMut(Event),
    ) -> Result<(), SandboxError> {
        match (&self.spec.network, socket) {
            (Network::Proxy(policy), Some(socket)) => {
                let proxy = Proxy::start(socket.into(), policy.clone());
                self.proxy = Some(proxy.map_err(SandboxError::io("serve the proxy"))?);
            }
            (Network::Forward(forward), _) => {
                let action = format!("listen on `{}`", forward.listen);
                let forwarder = Forwarder::listen(forward).map_err(SandboxError::io(action))?;
                events(Event::Listening { address: forwarder.address() });
                self.forwarder = Some(forwarder);
            }
            _ => {}
        }
        Ok(())
    }

    fn run_steps(
        &mut self,
        steps: &[Step],
        cancel: &AtomicBool,
        events: &mut dyn FnMut(Event),
    ) -> Result<Result<(), StepFailure>, SandboxError> {
        for (index, step) in steps.iter().enumerate() {
            self.step = index;
            let begun = Instant::now();
            events(Event::StepStarted { step: index });
            let ended = self.run_step(step, cancel, events)?;
            // The step's own last words belong to it, not to the next step.
            self.drain(events);
            for lines in &mut self.lines {
                lines.finish(index, events);
            }
            if let Err(failure) = ended {
                return Ok(Err(StepFailure { step: index, failure }));
            }
            events(Event::StepEnded { step: index, took: begun.elapsed() });
        }
        Ok(Ok(()))
    }

    fn run_step(
        &mut self,
        step: &Step,
        cancel: &AtomicBool,
        events: &mut dyn FnMut(Event),
    ) -> Result<Result<(), Failure>, SandboxError> {
        self.order(&Order::Run(self.led_to_proxy(step)))?;
        loop {
            match self.next_report(cancel, events) {
                Ok(Ok((Report::Ended(result), _))) => {
                    return Ok(result.map_err(|failure| self.explain(failure)));
                }
                Ok(Ok((Report::Connected(_), stream))) => self.connected(stream),
                Ok(Ok(_)) => return Err(self.lost(events)),
                Ok(Err(Failure::Cancelled)) => {
                    self.wait_politely(events)?;
                    return Ok(Err(Failure::Cancelled));
                }
                Ok(Err(failure)) => return Ok(Err(failure)),
                // Process 1 itself may be the one that the kernel chose.
                Err(SandboxError::Lost { .. }) if self.out_of_memory() => {
                    return Ok(Err(Failure::OutOfMemory));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The step, with the address that the proxy really has.
    fn led_to_proxy(&self, step: &Step) -> Step {
        let mut step = step.clone();
        if let Some(address) = self.proxy_address {
            let address = format!("http://{address}");
            for value in step.env.values_mut().filter(|value| value.contains(PROXY_URL)) {
                *value = value.replace(PROXY_URL, &address);
            }
        }
        step
    }

    /// A step whose process the kernel killed to free memory fails in many ways; this is the one cause.
    fn explain(&self, failure: Failure) -> Failure {
        if self.out_of_memory() { Failure::OutOfMemory } else { failure }
    }

    fn out_of_memory(&self) -> bool {
        self.groups.as_ref().is_some_and(Groups::out_of_memory)
    }

    /// Asks the step to end and gives it time to.
    fn wait_politely(&mut self, events: &mut dyn FnMut(Event)) -> Result<(), SandboxError> {
        if self.spec.limits.grace.is_zero() {
            return Ok(());
        }
        self.order(&Order::Terminate)?;
        let end = Instant::now() + self.spec.limits.grace;
        while Instant::now() < end {
            let Some(received) = self.poll_once(events)? else { continue };
            match received {
                (Report::Connected(_), stream) => self.connected(stream),
                _ => break,
            }
        }
        Ok(())
    }

    /// Waits for a report, or for a limit to be exceeded.
    fn next_report(
        &mut self,
        cancel: &AtomicBool,
        events: &mut dyn FnMut(Event),
    ) -> Result<Result<Received, Failure>, SandboxError> {
        loop {
            if let Some(report) = self.poll_once(events)? {
                return Ok(Ok(report));
            }
            if let Some(failure) = self.exceeded(cancel) {
                return Ok(Err(failure));
            }
        }
    }

    fn exceeded(&mut self, cancel: &AtomicBool) -> Option<Failure> {
        let look = self.looked.elapsed() >= LOOK_EVERY;
        if look {
            self.looked = Instant::now();
        }
        let late = self.spec.limits.time.filter(|&limit| self.started.elapsed() >= limit);
        if cancel.load(Ordering::Relaxed) {
            Some(Failure::Cancelled)
        } else if self.disk_full.load(Ordering::Relaxed) {
            Some(Failure::DiskFull)
        } else if look && self.out_of_memory() {
            Some(Failure::OutOfMemory)
        } else {
            late.map(Failure::TimedOut)
        }
    }

    /// Waits for anything to happen, for one tick, and deals with all but a report.
    fn poll_once(&mut self, events: &mut dyn FnMut(Event)) -> Result<Option<Received>, SandboxError> {
        let told = {
            let mut fds = vec![PollFd::new(&self.control, PollFlags::IN)];
            fds.extend(
                self.lines.iter().filter_map(Lines::pipe).map(|pipe| PollFd::new(pipe, PollFlags::IN)),
            );
            let open = self.forwarder.iter().filter(|forwarder| forwarder.has_room());
            fds.extend(open.map(|forwarder| PollFd::new(forwarder, PollFlags::IN)));
            match poll(&mut fds, Some(&TICK)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(SandboxError::io("wait")(errno.into())),
            }
            !fds[0].revents().is_empty()
        };
        self.drain(events);
        if let Some(forwarder) = &mut self.forwarder {
            for _ in 0..forwarder.accept() {
                self.order(&Order::Connect(self.forwarder_port()))?;
            }
        }
        if !told {
            return Ok(None);
        }
        match wire::receive::<Report>(&self.control) {
            Ok(Some(received)) => Ok(Some((received.message, received.fd))),
            _ => Err(self.lost(events)),
        }
    }

    fn forwarder_port(&self) -> u16 {
        match &self.spec.network {
            Network::Forward(forward) => forward.port,
            _ => 0,
        }
    }

    fn connected(&mut self, stream: Option<OwnedFd>) {
        if let Some(forwarder) = &mut self.forwarder {
            forwarder.join(stream.map(Into::into));
        }
    }

    fn drain(&mut self, events: &mut dyn FnMut(Event)) {
        for lines in &mut self.lines {
            lines.drain(self.step, &mut self.budget, events);
        }
        for event in self.proxy.iter().flat_map(Proxy::events) {
            events(event);
        }
    }

    /// Ends everything inside and tells what went through the proxy.
    fn finish(&mut self, events: &mut dyn FnMut(Event)) -> Result<Seen, SandboxError> {
        self.control
            .shutdown(std::net::Shutdown::Both)
            .map_err(SandboxError::io("close the control socket"))?;
        self.wait_for_launcher()?;
        self.drain(events);
        Ok(self.proxy.take().map(Proxy::finish).unwrap_or_default())
    }

    /// Process 1 ends when its socket closes, and the launcher after the last process inside is gone.
    fn wait_for_launcher(&mut self) -> Result<std::process::ExitStatus, SandboxError> {
        let end = Instant::now() + LAST_WAIT;
        let action = "wait for the sandbox to end";
        while Instant::now() < end {
            if let Some(status) = self.launcher.try_wait().map_err(SandboxError::io(action))? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.launcher.kill().map_err(SandboxError::io(action))?;
        self.launcher.wait().map_err(SandboxError::io(action))
    }

    fn lost(&mut self, events: &mut dyn FnMut(Event)) -> SandboxError {
        self.drain(events);
        let status = match self.wait_for_launcher() {
            Ok(status) => match status.signal() {
                Some(signal) => format!("signal {signal}"),
                None => format!("exit code {}", status.code().unwrap_or_default()),
            },
            Err(error) => error.to_string(),
        };
        SandboxError::Lost { status }
    }
}

/// What became of a message to the sandbox. Where it is gone, the next report or the lack of one tells why.
fn reached(sent: io::Result<()>) -> Result<(), SandboxError> {
    match sent {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(SandboxError::io("reach the sandbox")),
    }
}

/// A pipe whose reading end does not block, with a name if one is given. Steps get a pipe and never a file: they could
/// empty a file.
fn output_pipe(stream: Stream, name: Option<&Path>) -> Result<(Lines, OwnedFd), SandboxError> {
    let make = || -> rustix::io::Result<(OwnedFd, OwnedFd)> {
        let Some(name) = name else {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
            rustix::fs::fcntl_setfl(reader.as_fd(), OFlags::NONBLOCK)?;
            return Ok((reader, writer));
        };
        // Opened in this order neither end waits for the other.
        let open = |flags| rustix::fs::open(name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        let reader = open(OFlags::RDONLY | OFlags::NONBLOCK)?;
        Ok((reader, open(OFlags::WRONLY)?))
    };
    let (reader, writer) = make().map_err(|errno| SandboxError::io("make a pipe")(errno.into()))?;
    Ok((Lines::new(stream, reader), writer))
}
