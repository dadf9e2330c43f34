//! System calls that no safe wrapper covers. Every `unsafe` block of the product stands here.

#[cfg(target_arch = "x86_64")]
pub(crate) mod ptrace;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::mount::MountAttrFlags;
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// What happens to the file descriptors of a [`close_from`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    Now,
    OnExec,
}

/// Closes every file descriptor from `first` up.
pub(crate) fn close_from(first: u32, closing: Closing) -> io::Result<()> {
    let flags = if closing == Closing::OnExec { libc::CLOSE_RANGE_CLOEXEC } else { 0 };
    #[expect(unsafe_code, reason = "no safe wrapper for close_range")]
    // SAFETY: callers call it in a fresh process that holds no `OwnedFd` at or above `first`, or only mark
    // descriptors, which closes nothing before exec. No memory is passed.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) }).map(|_| ())
}

/// Takes over standard input as a descriptor of its own and leaves `/dev/null` in its place.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let taken = rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?;
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    rustix::stdio::dup2_stdin(null)?;
    Ok(taken)
}

/// Makes the C library give large buffers back to the kernel once they are freed, instead of keeping those of every
/// thread: the peak of a build with many parallel parts is less than half of what it is otherwise, at the same speed.
///
/// To be called before any thread starts. It stands here since this is where what is unsafe stands.
pub fn return_freed_memory() {
    const LARGE: libc::c_int = 512 << 10;
    const ARENAS: libc::c_int = 2;
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "no safe wrapper for mallopt")]
    // SAFETY: mallopt takes two numbers, and may be called at any time. A setting that is refused changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}

/// The most memory, in bytes, that any one process among this process's dead descendants ever had resident.
pub(crate) fn largest_descendant() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    #[expect(unsafe_code, reason = "no safe wrapper for getrusage")]
    // SAFETY: the structure is large enough and writable, and all zeroes are a valid value of it, so that it may be
    // read whether or not the call fills it in.
    let kib = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init().ru_maxrss
    };
    u64::try_from(kib).unwrap_or(0) * 1024
}

/// Which of the two processes this is after a [`fork`].
pub(crate) enum Fork {
    Child,
    Parent(Pid),
}

/// Forks a process that has one thread.
pub(crate) fn fork() -> io::Result<Fork> {
    if threads() != 1 {
        return Err(io::Error::other("fork needs a process with one thread"));
    }
    #[expect(unsafe_code, reason = "no safe wrapper for fork")]
    // SAFETY: there is one thread (checked above), so the child's memory, locks included, is in a sound state.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(Pid::from_raw(pid).expect("fork returns a positive id"))),
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Leaves the caller's namespaces for new ones.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    let flags = flags - UnshareFlags::FILES;
    #[expect(unsafe_code, reason = "unshare is unsafe in rustix because of its FILES flag")]
    // SAFETY: the flag that could invalidate descriptors held elsewhere is taken away above.
    unsafe {
        rustix::thread::unshare_unsafe(flags)?;
    }
    Ok(())
}

/// Sets attributes of a mount and of all mounts below it, and makes them private.
pub(crate) fn set_mount_attributes(mount: BorrowedFd<'_>, set: MountAttrFlags) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: u64::from(set.bits()),
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    #[expect(unsafe_code, reason = "no safe wrapper for mount_setattr")]
    // SAFETY: the path is a NUL-terminated empty string and `attributes` is a live struct of the size passed;
    // the kernel only reads both.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(|_| ())
}

/// Brings up the loopback device of this network namespace.
pub(crate) fn loopback_up() -> io::Result<()> {
    const IFF_UP: libc::c_short = 1;
    #[expect(unsafe_code, reason = "no safe wrapper for interface flags")]
    // SAFETY: a socket call without pointers; the result is checked and owned once. `request` is a zeroed plain
    // C struct, live during both calls, and `ifr_flags` is the union field that these two requests use.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        check(socket.into())?;
        let socket = OwnedFd::from_raw_fd(socket);
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = from.cast_signed() as libc::c_char;
        }
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request).into())?;
        request.ifr_ifru.ifru_flags |= IFF_UP;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request).into())?;
    }
    Ok(())
}

/// Changes the mode of an open file, also of one that is open as a path only.
pub(crate) fn change_mode(file: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    /// The same number on all architectures; in Linux since 6.6.
    const FCHMODAT2: libc::c_long = 452;
    #[expect(unsafe_code, reason = "no safe wrapper for fchmodat2")]
    // SAFETY: the path is a NUL-terminated empty string that the kernel only reads; the others are numbers.
    check(unsafe { libc::syscall(FCHMODAT2, file.as_raw_fd(), c"".as_ptr(), mode, libc::AT_EMPTY_PATH) })
        .map(drop)
}

/// Gives a command a session of its own and none of this process's descriptors but the standard ones.
pub(crate) fn isolate(command: &mut Command) {
    let prepare = || {
        rustix::process::setsid()?;
        close_from(3, Closing::OnExec)
    };
    #[expect(unsafe_code, reason = "pre_exec is unsafe because it runs between fork and exec")]
    // SAFETY: `prepare` makes two system calls and allocates nothing; the caller has one thread.
    unsafe {
        command.pre_exec(prepare);
    }
}
