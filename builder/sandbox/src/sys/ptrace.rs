//! Tracing of processes: their system calls are looked at and changed before the kernel carries them out.

use std::io;

use super::check;

/// The registers of a process that has stopped.
#[derive(Clone, Copy)]
pub(crate) struct Registers(libc::user_regs_struct);

/// What `wait` tells of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// It has ended with an exit code.
    Exited(i32),
    /// It was ended by a signal.
    Killed(i32),
    /// It is about to make a system call that is traced.
    Call,
    /// It has executed another program.
    Executed,
    /// It has started another process or thread, which is traced as well.
    Started,
    /// It is about to get a signal.
    Signal(i32),
    /// It has stopped for another reason.
    Stopped,
}

#[cfg(target_arch = "x86_64")]
impl Registers {
    /// The number of the system call that it is about to make.
    pub(crate) fn call(&self) -> i64 {
        self.0.orig_rax.cast_signed()
    }

    /// One of the six arguments of the system call.
    pub(crate) fn argument(&self, index: usize) -> u64 {
        let all = [self.0.rdi, self.0.rsi, self.0.rdx, self.0.r10, self.0.r8, self.0.r9];
        all[index]
    }

    /// Changes an argument of the system call.
    pub(crate) fn set_argument(&mut self, index: usize, value: u64) {
        let registers = &mut self.0;
        let all = [
            &mut registers.rdi,
            &mut registers.rsi,
            &mut registers.rdx,
            &mut registers.r10,
            &mut registers.r8,
            &mut registers.r9,
        ];
        if let Some(register) = all.into_iter().nth(index) {
            *register = value;
        }
    }

    /// Makes it another system call.
    pub(crate) fn set_call(&mut self, call: i64) {
        self.0.orig_rax = call.cast_unsigned();
    }

    /// What the kernel answered.
    pub(crate) fn result(&self) -> i64 {
        self.0.rax.cast_signed()
    }

    /// Lets the kernel make no call at all and answer this instead.
    pub(crate) fn answer(&mut self, result: i64) {
        self.set_call(-1);
        self.0.rax = result.cast_unsigned();
    }

    /// Lets the process make the same call once more: both instructions that make one are two bytes long.
    pub(crate) fn again(&mut self) {
        self.0.rip -= 2;
        self.0.rax = self.0.orig_rax;
    }
}

fn request(request: libc::c_uint, process: i32, address: usize, data: usize) -> io::Result<()> {
    #[expect(unsafe_code, reason = "no safe wrapper for ptrace")]
    // SAFETY: the requests made through this function take numbers alone, or a pointer in `data` to a live structure
    // of the kind that the request fills or reads.
    check(unsafe { libc::ptrace(request, process, address, data) }).map(drop)
}

/// Asks to be traced by the parent.
pub(crate) fn trace_me() -> io::Result<()> {
    request(libc::PTRACE_TRACEME, 0, 0, 0)
}

/// Traces what a stopped process starts as well, and ends all of them with this process.
pub(crate) fn follow(process: i32) -> io::Result<()> {
    let options = libc::PTRACE_O_TRACESECCOMP
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_EXITKILL;
    request(libc::PTRACE_SETOPTIONS, process, 0, usize::try_from(options).unwrap_or_default())
}

/// Lets a stopped process go on, with a signal or 0.
pub(crate) fn go_on(process: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_CONT, process, 0, usize::try_from(signal).unwrap_or_default())
}

/// Lets a stopped process go on until its system call has been made.
pub(crate) fn go_through(process: i32) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL, process, 0, 0)
}

/// The registers of a stopped process.
pub(crate) fn registers(process: i32) -> io::Result<Registers> {
    #[expect(unsafe_code, reason = "an empty set of registers to be filled in")]
    // SAFETY: it is a plain C structure of numbers, for which all zeroes are a valid value.
    let mut registers = Registers(unsafe { std::mem::zeroed() });
    request(libc::PTRACE_GETREGS, process, 0, (&raw mut registers.0).addr())?;
    Ok(registers)
}

/// Changes the registers of a stopped process.
pub(crate) fn set_registers(process: i32, registers: &Registers) -> io::Result<()> {
    request(libc::PTRACE_SETREGS, process, 0, (&raw const registers.0).addr())
}

/// The next news of any child or traced process; `None` when there is none now. An error when there is no such process.
pub(crate) fn news() -> io::Result<Option<(i32, News)>> {
    wait_for(-1, libc::WNOHANG)
}

/// Waits for news of one traced process.
pub(crate) fn news_of(process: i32) -> io::Result<News> {
    loop {
        if let Some((_, news)) = wait_for(process, 0)? {
            return Ok(news);
        }
    }
}

fn wait_for(process: i32, flags: i32) -> io::Result<Option<(i32, News)>> {
    let mut status = 0;
    #[expect(unsafe_code, reason = "no safe wrapper for waitpid with threads")]
    // SAFETY: `status` is a live number that the kernel writes.
    let found = check(unsafe { libc::waitpid(process, &raw mut status, libc::__WALL | flags) }.into())?;
    if found == 0 {
        return Ok(None);
    }
    Ok(Some((i32::try_from(found).unwrap_or_default(), judge(status))))
}

fn judge(status: i32) -> News {
    if libc::WIFEXITED(status) {
        return News::Exited(libc::WEXITSTATUS(status));
    }
    if libc::WIFSIGNALED(status) {
        return News::Killed(libc::WTERMSIG(status));
    }
    match (libc::WSTOPSIG(status), status >> 16) {
        (libc::SIGTRAP, libc::PTRACE_EVENT_SECCOMP) => News::Call,
        (libc::SIGTRAP, libc::PTRACE_EVENT_EXEC) => News::Executed,
        (libc::SIGTRAP, libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE) => {
            News::Started
        }
        (signal, 0) if signal & 0x80 == 0 => News::Signal(signal),
        _ => News::Stopped,
    }
}

/// Reads memory of another process; returns how much of it is there.
pub(crate) fn read_memory(process: i32, address: u64, to: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: to.as_mut_ptr().cast(), iov_len: to.len() };
    let remote = remote(address, to.len());
    #[expect(unsafe_code, reason = "no safe wrapper for process_vm_readv")]
    // SAFETY: `local` describes exactly `to`, which is writable and live; `remote` is only read by the kernel.
    let read = unsafe { libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0) };
    check(read.try_into().unwrap_or(-1)).map(|read| usize::try_from(read).unwrap_or_default())
}

/// Writes memory of another process, all of it or none.
pub(crate) fn write_memory(process: i32, address: u64, from: &[u8]) -> io::Result<()> {
    let local = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
    let remote = remote(address, from.len());
    #[expect(unsafe_code, reason = "no safe wrapper for process_vm_writev")]
    // SAFETY: `local` describes exactly `from`, which is live and which the kernel only reads.
    let written = unsafe { libc::process_vm_writev(process, &raw const local, 1, &raw const remote, 1, 0) };
    match usize::try_from(written) {
        Ok(written) if written == from.len() => Ok(()),
        Ok(_) => Err(io::Error::from_raw_os_error(libc::EFAULT)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

fn remote(address: u64, length: usize) -> libc::iovec {
    let address = usize::try_from(address).unwrap_or_default();
    libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: length }
}

/// Blocks the signal that says that a child has news, and returns a descriptor that can be polled for it.
pub(crate) fn signals_of_children() -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    #[expect(unsafe_code, reason = "no safe wrapper for signalfd")]
    // SAFETY: the set is a plain C structure that is initialised before it is read; the new descriptor is owned once.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()).into())?;
        let descriptor = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        check(descriptor.into())?;
        Ok(std::os::fd::OwnedFd::from_raw_fd(descriptor))
    }
}

/// What the kernel tells about an event besides its kind: of [`News::Started`] which process was started, of
/// [`News::Executed`] which thread has executed.
pub(crate) fn event_message(process: i32) -> io::Result<i32> {
    let mut message: libc::c_ulong = 0;
    request(libc::PTRACE_GETEVENTMSG, process, 0, (&raw mut message).addr())?;
    Ok(i32::try_from(message).unwrap_or_default())
}
