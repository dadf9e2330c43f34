//! Answers system calls of steps where the kernel would not answer as it does in a sandbox with mounts.
//!
//! In a root directory that was entered there is no `/proc`, and programs that ask it which file they are get an answer
//! here. Where not even that can be had, all paths are led into the directory that the steps take for the root.
//!
//! This is no border: the filter and Landlock are, and both are in place by then. What Landlock has no right for, such as
//! a change of a file's mode, is carried out here and not by the process.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, openat2, readlinkat};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, kill_process_group, set_dumpable_behavior,
};
use seccompiler::BpfProgram;

use super::calls::{CALLS, Ending, LINKS, PathArgument, Traced};
use super::elf;
use super::filter;
use super::view::{Last, View};
use crate::event::Failure;
use crate::spec::Step;
use crate::sys::ptrace::{self, News, Registers};
use crate::sys::{self, Closing, Fork};

/// The longest path that the kernel takes, its end included.
const LONGEST_PATH: usize = 4096;

/// Room for two paths in a process that is traced.
const ROOM: usize = 4 * LONGEST_PATH;

/// More interpreters of interpreters are refused, as the kernel does.
const MOST_INTERPRETERS: usize = 5;

/// More bytes of arguments are refused.
const MOST_ARGUMENTS: usize = 2 << 20;

/// How a file is opened that is changed on behalf of a process: all links on the way to it are known already.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Traces all processes of the steps.
pub(super) struct Tracer {
    /// The machine's `/proc`.
    proc: OwnedFd,
    view: Option<View>,
    root: PathBuf,
    /// The same directory, open.
    top: OwnedFd,
    calls: BTreeMap<i64, Traced>,
    filters: Vec<BpfProgram>,
    /// Loaders by whether they can be told what a program is to find as its own name.
    loaders: BTreeMap<Vec<u8>, bool>,
    signals: OwnedFd,
    tracees: BTreeMap<i32, Tracee>,
    /// Processes that have stopped for the first time before it was known who started them.
    early: BTreeSet<i32>,
    /// Processes that are known to have been started and have not stopped yet, and what they execute.
    late: BTreeMap<i32, Option<Vec<u8>>>,
    step: Option<TracedStep>,
}

/// A process or thread.
#[derive(Default)]
struct Tracee {
    /// The program that it executes, as it knows it; none when the kernel's answer is right.
    program: Option<Vec<u8>>,
    /// What it will execute if the call succeeds.
    next: Option<Vec<u8>>,
    /// Memory in it that is ours to write to.
    room: Option<(u64, usize)>,
}

/// The step that runs.
struct TracedStep {
    process: i32,
    program: String,
    has_executed: bool,
    /// Where it says why it could not be started.
    told: OwnedFd,
}

/// What is done with a call.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, for a moment")]
enum Verdict {
    /// It is made, with these registers.
    Make(Registers),
    /// The process makes it again.
    Again,
    /// It is not made, and answered.
    Answer(i64),
    /// The process has ended.
    Ended(News),
}

impl Tracer {
    /// `root` is the directory that the steps take for the root, where it was not entered.
    pub(super) fn new(proc: OwnedFd, root: Option<&Path>) -> io::Result<Option<Self>> {
        let calls: BTreeMap<i64, Traced> =
            root.map_or(LINKS, |_| CALLS).iter().map(|&(number, traced)| (number, traced)).collect();
        let filters =
            filter::of_traced(calls.keys().copied()).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Some(Self {
            proc,
            view: root.map(View::new),
            root: root.unwrap_or(Path::new("/")).to_owned(),
            top: rustix::fs::open(
                root.unwrap_or(Path::new("/")),
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )?,
            calls,
            filters,
            loaders: BTreeMap::new(),
            signals: ptrace::signals_of_children()?,
            tracees: BTreeMap::new(),
            early: BTreeSet::new(),
            late: BTreeMap::new(),
            step: None,
        }))
    }

    /// Tries in a process of its own whether processes may be traced and their calls be shown.
    pub(super) fn try_out(tracer: Option<&Self>) -> io::Result<()> {
        let Some(tracer) = tracer else { return Ok(()) };
        let (told, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        match sys::fork()? {
            Fork::Child => {
                let tried = ptrace::trace_me().and_then(|()| {
                    let shown =
                        tracer.filters.iter().try_for_each(|filter| seccompiler::apply_filter(filter));
                    shown.map_err(io::Error::other)
                });
                let told = tried.map_err(|cause| cause.to_string()).err().unwrap_or_default();
                // The parent may be gone.
                let _ = File::from(tell).write_all(told.as_bytes());
                exit(0)
            }
            Fork::Parent(process) => {
                drop(tell);
                let mut reason = String::new();
                File::from(told).read_to_string(&mut reason)?;
                rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(process), WaitOptions::empty()))?;
                if reason.is_empty() { Ok(()) } else { Err(io::Error::other(reason)) }
            }
        }
    }

    /// Becomes readable when there is news.
    pub(super) fn signals(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    /// Whether a step runs.
    pub(super) fn running(&self) -> bool {
        self.step.is_some()
    }

    /// Asks the step to end.
    pub(super) fn terminate(&self) {
        if let Some(process) = self.step.as_ref().and_then(|step| Pid::from_raw(step.process)) {
            // It may have ended a moment ago, of which there will be news.
            let _ = kill_process_group(process, Signal::TERM);
        }
    }

    /// Starts a step as the leader of a session of its own.
    pub(super) fn start(&mut self, step: &Step) -> io::Result<()> {
        let directory = self.root.join(step.cwd.strip_prefix("/").unwrap_or(&step.cwd));
        if !fs::metadata(&directory).is_ok_and(|found| found.is_dir()) {
            return Err(io::Error::other(format!("no directory `{}`", step.cwd.display())));
        }
        let (told, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        match sys::fork()? {
            Fork::Child => {
                let error = self.become_step(step, &directory);
                let code = error.raw_os_error().unwrap_or(libc::EINVAL);
                // The parent may be gone.
                let _ = File::from(tell).write_all(&code.to_be_bytes());
                exit(127)
            }
            Fork::Parent(process) => {
                let process = process.as_raw_nonzero().get();
                self.tracees.insert(process, Tracee::default());
                self.step = Some(TracedStep {
                    process,
                    program: step.argv.first().cloned().unwrap_or_default(),
                    has_executed: false,
                    told,
                });
                Ok(())
            }
        }
    }

    /// Returns only when it fails.
    fn become_step(&self, step: &Step, directory: &Path) -> io::Error {
        let prepared = || -> io::Result<()> {
            let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            rustix::stdio::dup2_stdin(null)?;
            rustix::process::setsid()?;
            std::env::set_current_dir(directory)?;
            sys::close_from(3, Closing::OnExec)?;
            // The tracer reads what this process asks the kernel for.
            set_dumpable_behavior(DumpableBehavior::Dumpable)?;
            ptrace::trace_me()?;
            rustix::process::kill_process(rustix::process::getpid(), Signal::STOP)?;
            self.filters
                .iter()
                .try_for_each(|filter| seccompiler::apply_filter(filter))
                .map_err(io::Error::other)
        };
        if let Err(error) = prepared() {
            return error;
        }
        let Some((program, arguments)) = step.argv.split_first() else {
            return io::Error::from_raw_os_error(libc::EINVAL);
        };
        Command::new(program).args(arguments).env_clear().envs(&step.env).exec()
    }

    /// Deals with all news that there is; returns how the step ended if it has.
    pub(super) fn attend(&mut self) -> io::Result<Option<Result<(), Failure>>> {
        let mut buffer = [0; 1024];
        while rustix::io::read(&self.signals, &mut buffer).is_ok_and(|count| count > 0) {}
        let mut result = None;
        loop {
            match ptrace::news() {
                Ok(Some((process, news))) => result = self.hear(process, news).or(result),
                Ok(None) => return Ok(result),
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(result),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A process that is told to go on may have been killed meanwhile, of which there will be news.
    fn hear(&mut self, process: i32, news: News) -> Option<Result<(), Failure>> {
        match news {
            News::Exited(_) | News::Killed(_) => return self.ended(process, news),
            News::Call => return self.call(process),
            News::Executed => self.executed(process),
            News::Started => self.started(process),
            News::Signal(libc::SIGSTOP) if self.is_new(process) => {}
            News::Signal(signal) => {
                let _ = ptrace::go_on(process, signal);
            }
            News::Stopped => {
                let _ = ptrace::go_on(process, 0);
            }
        }
        None
    }

    /// Whether this is the first stop of a process, with which its life under the tracer begins.
    fn is_new(&mut self, process: i32) -> bool {
        if self.step.as_ref().is_some_and(|step| step.process == process && !step.has_executed) {
            let _ = ptrace::follow(process).and_then(|()| ptrace::go_on(process, 0));
            return true;
        }
        if self.tracees.contains_key(&process) {
            return false;
        }
        match self.late.remove(&process) {
            Some(program) => self.welcome(process, program),
            None => {
                self.early.insert(process);
            }
        }
        true
    }

    fn welcome(&mut self, process: i32, program: Option<Vec<u8>>) {
        self.tracees.insert(process, Tracee { program, ..Tracee::default() });
        let _ = ptrace::go_on(process, 0);
    }

    fn started(&mut self, parent: i32) {
        if let Ok(child) = ptrace::event_message(parent) {
            let program = self.tracees.get(&parent).and_then(|tracee| tracee.program.clone());
            if self.early.remove(&child) {
                self.welcome(child, program);
            } else {
                self.late.insert(child, program);
            }
        }
        let _ = ptrace::go_on(parent, 0);
    }

    fn executed(&mut self, process: i32) {
        // Of several threads the one that executes goes on under the name of the first.
        let thread = ptrace::event_message(process).unwrap_or(process);
        let next = self.tracees.get_mut(&thread).and_then(|tracee| tracee.next.take());
        self.tracees.insert(process, Tracee { program: next, ..Tracee::default() });
        if let Some(step) = self.step.as_mut().filter(|step| step.process == process) {
            step.has_executed = true;
        }
        let _ = ptrace::go_on(process, 0);
    }

    fn ended(&mut self, process: i32, news: News) -> Option<Result<(), Failure>> {
        self.tracees.remove(&process);
        self.early.remove(&process);
        self.late.remove(&process);
        let step = self.step.take_if(|step| step.process == process)?;
        if !step.has_executed {
            let mut code = [0; 4];
            let read = File::from(step.told).read_exact(&mut code);
            if read.is_ok() {
                let error = io::Error::from_raw_os_error(i32::from_be_bytes(code));
                return Some(Err(Failure::NotStarted(format!("{}: {error}", step.program))));
            }
        }
        Some(match news {
            News::Exited(0) => Ok(()),
            News::Exited(code) => Err(Failure::Exit(code)),
            News::Killed(signal) | News::Signal(signal) => Err(Failure::Signal(signal)),
            News::Call | News::Executed | News::Started | News::Stopped => Err(Failure::Signal(0)),
        })
    }

    fn call(&mut self, process: i32) -> Option<Result<(), Failure>> {
        let registers = ptrace::registers(process).ok()?;
        let verdict = match self.calls.get(&registers.call()).copied() {
            Some(Traced::Paths(paths)) => self.paths(process, registers, &paths),
            Some(Traced::ReadLink { directory, path }) => self.read_link(process, registers, directory, path),
            Some(Traced::WorkingDirectory) => self.working_directory(process, registers),
            Some(Traced::Execute) => self.execute(process, registers),
            Some(Traced::Refused(errno)) => Ok(Verdict::Answer(error(errno))),
            Some(Traced::Mode { path, mode }) => self.on_behalf(process, registers, path, |file| {
                sys::change_mode(file, lower(registers.argument(mode)) & 0o7777)
            }),
            Some(Traced::Owner { path, owner }) => self.on_behalf(process, registers, path, |_| {
                let (uid, gid) = (lower(registers.argument(owner)), lower(registers.argument(owner + 1)));
                let stays = |wanted: u32, has: u32| wanted == u32::MAX || wanted == has;
                let is_own = stays(uid, rustix::process::getuid().as_raw())
                    && stays(gid, rustix::process::getgid().as_raw());
                // An ordinary user can give a file to nobody else.
                if is_own { Ok(()) } else { Err(Errno::PERM.into()) }
            }),
            Some(Traced::Times { path, times }) => match new_times(process, registers.argument(times)) {
                Ok(times) => self.on_behalf(process, registers, path, |file| {
                    Ok(rustix::fs::utimensat(file, "", &times, AtFlags::EMPTY_PATH)?)
                }),
                Err(cause) => Err(cause),
            },
            None => Ok(Verdict::Make(registers)),
        };
        // What cannot be read in the process is the kernel's to complain about.
        match verdict.unwrap_or(Verdict::Make(registers)) {
            Verdict::Make(registers) => {
                let _ = ptrace::set_registers(process, &registers);
            }
            Verdict::Again => {}
            Verdict::Answer(result) => {
                let mut registers = registers;
                registers.answer(result);
                let _ = ptrace::set_registers(process, &registers);
            }
            Verdict::Ended(news) => return self.ended(process, news),
        }
        let _ = ptrace::go_on(process, 0);
        None
    }

    fn paths(
        &mut self,
        process: i32,
        registers: Registers,
        arguments: &[Option<PathArgument>; 2],
    ) -> io::Result<Verdict> {
        let Some(view) = &self.view else { return Ok(Verdict::Make(registers)) };
        let mut changed = Vec::new();
        for argument in arguments.iter().flatten() {
            let path = read_string(process, registers.argument(argument.path), LONGEST_PATH)?;
            if path.is_empty() {
                continue;
            }
            let Some(base) = self.base(process, &registers, argument.directory, &path) else { continue };
            let last = ending(argument.last, &registers);
            match view.outside(&base, &path, last) {
                Some(found) if found == path => {}
                Some(found) => changed.push((argument.path, found)),
                // The base is nowhere in this view, and the kernel knows it.
                None if view.inside(&base).is_none() => {}
                None => return Ok(Verdict::Answer(error(libc::ELOOP))),
            }
        }
        self.rewrite(process, registers, &changed)
    }

    /// Changes a file in the place of the process, who could exchange the path after it was looked at. Only what is below
    /// the root is changed.
    fn on_behalf(
        &self,
        process: i32,
        registers: Registers,
        argument: PathArgument,
        change: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>,
    ) -> io::Result<Verdict> {
        const EMPTY_PATH: i32 = libc::AT_EMPTY_PATH;
        let Some(view) = &self.view else { return Ok(Verdict::Make(registers)) };
        // Without a path it is about an open file, which Landlock has let the process open.
        if registers.argument(argument.path) == 0 {
            return Ok(Verdict::Make(registers));
        }
        let mut path = read_string(process, registers.argument(argument.path), LONGEST_PATH)?;
        let mut last = ending(argument.last, &registers);
        if path.is_empty() {
            let flags = match argument.last {
                Ending::Unless(flags, _) | Ending::If(flags, _) => registers.argument(flags),
                Ending::Always(_) => 0,
            };
            if lower(flags) & EMPTY_PATH.cast_unsigned() == 0 {
                return Ok(Verdict::Answer(error(libc::ENOENT)));
            }
            path = b".".to_vec();
            last = Last::Keep;
        }
        let Some(base) = self.base(process, &registers, argument.directory, &path) else {
            return Ok(Verdict::Answer(error(libc::EBADF)));
        };
        let found = view.outside(&base, &path, last).ok_or(libc::ELOOP);
        let changed = found.and_then(|found| {
            let found = self.behind_descriptor(process, found);
            let below = view.below(&found).ok_or(libc::EPERM)?;
            let file = openat2(
                &self.top,
                OsStr::from_bytes(below),
                OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
                BENEATH,
            )
            .map_err(Errno::raw_os_error)?;
            // The modes and times of links are of no use to anybody.
            if rustix::fs::fstat(&file)
                .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
            {
                return Ok(());
            }
            change(file.as_fd()).map_err(|error| error.raw_os_error().unwrap_or(libc::EPERM))
        });
        Ok(Verdict::Answer(changed.map_or_else(error, |()| 0)))
    }

    /// What an own descriptor leads to, where a path names one; else the path.
    fn behind_descriptor(&self, process: i32, path: Vec<u8>) -> Vec<u8> {
        let rest = Self::own_proc(process, &path).filter(|rest| rest.starts_with("fd/"));
        rest.and_then(|rest| self.link(&format!("{process}/{rest}")).ok()).unwrap_or(path)
    }

    /// Writes new paths into the process and lets the arguments point at them.
    fn rewrite(
        &mut self,
        process: i32,
        mut registers: Registers,
        changed: &[(usize, Vec<u8>)],
    ) -> io::Result<Verdict> {
        if changed.is_empty() {
            return Ok(Verdict::Make(registers));
        }
        let room = match self.room(process, &registers, ROOM)? {
            Ok(room) => room,
            Err(verdict) => return Ok(verdict),
        };
        let mut at = room;
        for (argument, path) in changed {
            if path.len() >= LONGEST_PATH {
                return Ok(Verdict::Answer(error(libc::ENAMETOOLONG)));
            }
            ptrace::write_memory(process, at, &[path.as_slice(), b"\0"].concat())?;
            registers.set_argument(*argument, at);
            at += LONGEST_PATH as u64;
        }
        Ok(Verdict::Make(registers))
    }

    /// The directory of the machine's that a relative path of a process begins at.
    fn base(
        &self,
        process: i32,
        registers: &Registers,
        directory: Option<usize>,
        path: &[u8],
    ) -> Option<Vec<u8>> {
        if path.first() == Some(&b'/') {
            return Some(self.root.as_os_str().as_bytes().to_vec());
        }
        #[expect(clippy::cast_possible_truncation, reason = "descriptors are C ints in the lower half")]
        let descriptor = directory.map(|index| registers.argument(index) as i32);
        let link = match descriptor {
            Some(descriptor) if descriptor != libc::AT_FDCWD => format!("{process}/fd/{descriptor}"),
            _ => format!("{process}/cwd"),
        };
        // The kernel says what is wrong with a descriptor that is none.
        self.link(&link).ok()
    }

    fn link(&self, path: &str) -> io::Result<Vec<u8>> {
        Ok(readlinkat(&self.proc, path, Vec::new())?.into_bytes())
    }

    fn read_link(
        &mut self,
        process: i32,
        registers: Registers,
        directory: Option<usize>,
        argument: usize,
    ) -> io::Result<Verdict> {
        let path = read_string(process, registers.argument(argument), LONGEST_PATH)?;
        if let Some(rest) = Self::own_proc(process, &path) {
            let target = match (rest, self.tracees.get(&process).and_then(|tracee| tracee.program.clone())) {
                ("exe", Some(program)) => Ok(program),
                _ => self.link(&format!("{process}/{rest}")),
            };
            return match target {
                Ok(target) => {
                    let target = self.view.as_ref().and_then(|view| view.inside(&target)).unwrap_or(target);
                    let size = usize::try_from(registers.argument(argument + 2)).unwrap_or_default();
                    let target = &target[..target.len().min(size)];
                    ptrace::write_memory(process, registers.argument(argument + 1), target)?;
                    Ok(Verdict::Answer(i64::try_from(target.len()).unwrap_or_default()))
                }
                Err(cause) => Ok(Verdict::Answer(error(cause.raw_os_error().unwrap_or(libc::ENOENT)))),
            };
        }
        let argument = PathArgument { directory, path: argument, last: Ending::Always(Last::Keep) };
        self.paths(process, registers, &[Some(argument), None])
    }

    /// The rest of a path that leads into a process's own directory of `/proc`.
    fn own_proc(process: i32, path: &[u8]) -> Option<&str> {
        let path = std::str::from_utf8(path.strip_prefix(b"/proc/")?).ok()?;
        let (who, rest) = path.split_once('/')?;
        let is_own = matches!(who, "self" | "thread-self") || who.parse() == Ok(process);
        // Its threads have directories of their own in there; other processes are no business of this one.
        (is_own && !rest.split('/').any(|part| part == "..")).then_some(rest)
    }

    fn working_directory(&mut self, process: i32, registers: Registers) -> io::Result<Verdict> {
        let Some(view) = &self.view else { return Ok(Verdict::Make(registers)) };
        let found = self.link(&format!("{process}/cwd"))?;
        let Some(mut path) = view.inside(&found) else { return Ok(Verdict::Answer(error(libc::ENOENT))) };
        path.push(0);
        if path.len() > usize::try_from(registers.argument(1)).unwrap_or_default() {
            return Ok(Verdict::Answer(error(libc::ERANGE)));
        }
        ptrace::write_memory(process, registers.argument(0), &path)?;
        Ok(Verdict::Answer(i64::try_from(path.len()).unwrap_or_default()))
    }

    /// Leads the execution of a program to its file, and of one that names a loader or an interpreter to that, which the
    /// kernel would look for in the machine's own root.
    fn execute(&mut self, process: i32, registers: Registers) -> io::Result<Verdict> {
        let Some(view) = &self.view else { return Ok(Verdict::Make(registers)) };
        let given = read_string(process, registers.argument(0), LONGEST_PATH)?;
        if given.is_empty() {
            return Ok(Verdict::Answer(error(libc::ENOENT)));
        }
        let Some(base) = self.base(process, &registers, None, &given) else {
            return Ok(Verdict::Make(registers));
        };
        let arguments = read_arguments(process, registers.argument(1))?;
        let own = self.tracees.get(&process).and_then(|tracee| tracee.program.clone());
        // A program that executes itself by this name means itself, and not what loaded it.
        let given = match (Self::own_proc(process, &given), own) {
            (Some("exe"), Some(program)) => program,
            _ => given,
        };
        let command = match command(view, &mut self.loaders, &base, given, arguments) {
            Ok(command) => command,
            Err(errno) => return Ok(Verdict::Answer(error(errno))),
        };
        self.tracees.entry(process).or_default().next.clone_from(&command.program);
        self.pass(process, registers, &command)
    }

    /// Writes the path and the arguments of an execution into the process.
    fn pass(&mut self, process: i32, mut registers: Registers, command: &CommandLine) -> io::Result<Verdict> {
        let Some(arguments) = &command.arguments else {
            return self.rewrite(process, registers, &[(0, command.path.clone())]);
        };
        let strings = arguments.iter().filter_map(|argument| match argument {
            Argument::New(text) => Some(text.len() + 1),
            Argument::Theirs(_) => None,
        });
        let size = command.path.len() + 1 + strings.sum::<usize>() + 8 * (arguments.len() + 1);
        if size > MOST_ARGUMENTS {
            return Ok(Verdict::Answer(error(libc::E2BIG)));
        }
        let room = match self.room(process, &registers, size)? {
            Ok(room) => room,
            Err(verdict) => return Ok(verdict),
        };
        let mut pointers = Vec::new();
        let mut text = [command.path.as_slice(), b"\0"].concat();
        // The pointers come first, so that they are aligned.
        let texts = room + 8 * (arguments.len() as u64 + 1);
        for argument in arguments {
            match argument {
                Argument::Theirs(address) => pointers.push(*address),
                Argument::New(new) => {
                    pointers.push(texts + text.len() as u64);
                    text.extend(new);
                    text.push(0);
                }
            }
        }
        pointers.push(0);
        let pointers: Vec<u8> = pointers.into_iter().flat_map(u64::to_ne_bytes).collect();
        ptrace::write_memory(process, room, &pointers)?;
        ptrace::write_memory(process, texts, &text)?;
        registers.set_argument(0, texts);
        registers.set_argument(1, room);
        Ok(Verdict::Make(registers))
    }

    /// Memory in the process that nobody else writes to. It is asked for by a call in the process's own name, after which
    /// the process makes the call again that it was about to make.
    fn room(&mut self, process: i32, before: &Registers, size: usize) -> io::Result<Result<u64, Verdict>> {
        let size = size.max(ROOM);
        let tracee = self.tracees.entry(process).or_default();
        if let Some((room, _)) = tracee.room.filter(|&(_, has)| has >= size) {
            return Ok(Ok(room));
        }
        let mut asking = *before;
        asking.set_call(libc::SYS_mmap);
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let arguments =
            [0, size as u64, u64::from(access.cast_unsigned()), u64::from(kind.cast_unsigned()), u64::MAX, 0];
        for (index, argument) in arguments.into_iter().enumerate() {
            asking.set_argument(index, argument);
        }
        ptrace::set_registers(process, &asking)?;
        ptrace::go_through(process)?;
        match ptrace::news_of(process)? {
            News::Stopped => {}
            news @ (News::Exited(_) | News::Killed(_)) => return Ok(Err(Verdict::Ended(news))),
            news => return Err(io::Error::other(format!("unexpected: {news:?}"))),
        }
        let result = ptrace::registers(process)?.result();
        let mut again = *before;
        again.again();
        ptrace::set_registers(process, &again)?;
        // Without memory the call is made as it is next time, and leads nowhere.
        let room = u64::try_from(result).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
        tracee.room = Some((room, size));
        Ok(Err(Verdict::Again))
    }
}

/// An argument that is a C `int` or `unsigned`, of which the kernel takes the lower half.
#[expect(clippy::cast_possible_truncation, reason = "the upper half is not looked at")]
fn lower(argument: u64) -> u32 {
    argument as u32
}

/// The two times at an address in another process; the present one where there are none.
fn new_times(process: i32, address: u64) -> io::Result<Timestamps> {
    let mut numbers = [0, libc::UTIME_NOW, 0, libc::UTIME_NOW];
    if address != 0 {
        let mut bytes = [0; 32];
        if ptrace::read_memory(process, address, &mut bytes)? != bytes.len() {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
        for (number, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
            *number = i64::from_ne_bytes(bytes.try_into().map_err(io::Error::other)?);
        }
    }
    let [access, access_part, change, change_part] = numbers;
    Ok(Timestamps {
        last_access: Timespec { tv_sec: access, tv_nsec: access_part },
        last_modification: Timespec { tv_sec: change, tv_nsec: change_part },
    })
}

fn error(errno: i32) -> i64 {
    -i64::from(errno)
}

fn ending(ending: Ending, registers: &Registers) -> Last {
    let has =
        |argument: usize, bits: i32| registers.argument(argument) & u64::from(bits.cast_unsigned()) != 0;
    let keeps = match ending {
        Ending::Always(last) => return last,
        Ending::Unless(argument, bits) => has(argument, bits),
        Ending::If(argument, bits) => !has(argument, bits),
    };
    if keeps { Last::Keep } else { Last::Follow }
}

/// A string in another process, without its end.
fn read_string(process: i32, address: u64, longest: usize) -> io::Result<Vec<u8>> {
    const PAGE: u64 = 4096;
    let mut text = Vec::new();
    let mut at = address;
    while text.len() < longest {
        // What comes after the end of the page may not be there.
        let size = usize::try_from(PAGE - at % PAGE).unwrap_or_default().min(256);
        let mut piece = vec![0; size];
        let read = ptrace::read_memory(process, at, &mut piece)?;
        piece.truncate(read);
        if let Some(end) = piece.iter().position(|&byte| byte == 0) {
            text.extend(&piece[..end]);
            return Ok(text);
        }
        if read == 0 {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
        text.extend(piece);
        at += read as u64;
    }
    Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG))
}

/// The addresses of a program's arguments in another process.
fn read_arguments(process: i32, address: u64) -> io::Result<Vec<u64>> {
    let mut arguments = Vec::new();
    let mut at = address;
    while address != 0 && arguments.len() * 8 < MOST_ARGUMENTS {
        let mut bytes = [0; 8];
        if ptrace::read_memory(process, at, &mut bytes)? != bytes.len() {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
        match u64::from_ne_bytes(bytes) {
            0 => break,
            argument => arguments.push(argument),
        }
        at += 8;
    }
    Ok(arguments)
}

/// An argument of a program: where it is in the process already, or a new text.
enum Argument {
    Theirs(u64),
    New(Vec<u8>),
}

/// What is executed in the end.
struct CommandLine {
    /// Where the machine has the file.
    path: Vec<u8>,
    /// Its arguments; none when they stay as they are.
    arguments: Option<Vec<Argument>>,
    /// The program as the process will know it, where the kernel would name the loader.
    program: Option<Vec<u8>>,
}

/// Finds out what an execution comes to: scripts lead to their interpreters, programs to their loaders.
fn command(
    view: &View,
    loaders: &mut BTreeMap<Vec<u8>, bool>,
    base: &[u8],
    given: Vec<u8>,
    arguments: Vec<u64>,
) -> Result<CommandLine, i32> {
    let mut arguments: Vec<Argument> = arguments.into_iter().map(Argument::Theirs).collect();
    let mut name = given;
    let mut is_changed = false;
    for _ in 0..MOST_INTERPRETERS {
        let path = view.outside(base, &name, Last::Follow).ok_or(libc::ELOOP)?;
        let file = Path::new(OsStr::from_bytes(&path));
        rustix::fs::access(file, rustix::fs::Access::EXEC_OK).map_err(rustix::io::Errno::raw_os_error)?;
        let head = elf::head(file).map_err(|error| error.raw_os_error().unwrap_or(libc::EACCES))?;
        if let Some((interpreter, argument)) = elf::interpreter_of_script(&head) {
            if !arguments.is_empty() {
                arguments.remove(0);
            }
            let new = [Some(interpreter.clone()), argument, Some(name)].into_iter().flatten();
            arguments.splice(0..0, new.map(Argument::New));
            is_changed = true;
            // An interpreter is named by an absolute path, or else relative to where the process is.
            name = interpreter;
            continue;
        }
        let Some(loader) = elf::loader_of_program(&head) else {
            let arguments = is_changed.then_some(arguments);
            return Ok(CommandLine { path, arguments, program: None });
        };
        let program = view.inside(&path).ok_or(libc::ENOENT)?;
        let loader_path = view.outside(base, &loader, Last::Follow).ok_or(libc::ELOOP)?;
        let mut new = vec![Argument::New(loader)];
        let first = if arguments.is_empty() { Argument::New(name) } else { arguments.remove(0) };
        let takes = loaders
            .entry(loader_path.clone())
            .or_insert_with(|| elf::takes_first_argument(Path::new(OsStr::from_bytes(&loader_path))));
        if *takes {
            new.extend([Argument::New(b"--argv0".to_vec()), first]);
        }
        new.push(Argument::New(program.clone()));
        new.extend(arguments);
        return Ok(CommandLine { path: loader_path, arguments: Some(new), program: Some(program) });
    }
    Err(libc::ELOOP)
}
