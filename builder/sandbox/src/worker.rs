//! Locks in a process of the program's own that handles what strangers wrote, such as an archive.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use rustix::thread::set_no_new_privs;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use crate::error::{Feature, SandboxError};

/// What a worker reaches besides the descriptors that it was given.
#[derive(Clone, Copy, Debug)]
pub enum Reach<'a> {
    /// Nothing at all: it opens no file.
    Nothing,
    /// What it makes below this directory.
    Below(BorrowedFd<'a>),
}

/// The most memory of a worker, in bytes.
const MEMORY: u64 = 2 << 30;

/// Memory, threads, time, and what is done with open descriptors.
const ALWAYS: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_fcntl,
    libc::SYS_fadvise64,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // The names of threads.
    libc::SYS_prctl,
];

/// What it takes to write a tree.
const WRITING: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_mkdirat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_newfstatat,
];

/// Takes everything from this process but what is done with the descriptors that it has and, if so said, making files
/// below one directory. It must have one thread; it may start others afterwards. It ends with its parent.
///
/// Where the kernel has no Landlock the filter alone holds: without a directory it lets no file be opened.
pub fn confine_worker(reach: Reach<'_>) -> Result<(), SandboxError> {
    let lacking = |feature, reason: String| SandboxError::Unavailable { feature, reason };
    let seccomp = |reason: String| lacking(Feature::Seccomp, reason);
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|errno| seccomp(errno.to_string()))?;
    limit().map_err(|errno| SandboxError::Io { action: "set limits".to_owned(), source: errno.into() })?;
    set_no_new_privs(true).map_err(|errno| seccomp(errno.to_string()))?;
    restrict(reach).map_err(|error| lacking(Feature::Landlock, error.to_string()))?;
    filter(reach).map_err(|error| seccomp(error.to_string()))
}

fn limit() -> rustix::io::Result<()> {
    for (resource, most) in [(Resource::Core, 0), (Resource::Data, MEMORY)] {
        let hard = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let value = Some(hard.min(most));
        setrlimit(resource, Rlimit { current: value, maximum: value })?;
    }
    Ok(())
}

fn restrict(reach: Reach<'_>) -> Result<(), landlock::RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V5))?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?;
    if let Reach::Below(directory) = reach {
        let makes = AccessFs::ReadDir
            | AccessFs::MakeDir
            | AccessFs::MakeReg
            | AccessFs::MakeSym
            | AccessFs::WriteFile
            | AccessFs::Refer;
        // The directory is named by its descriptor, for a path could be another by now.
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        ruleset = match PathFd::new(path) {
            Ok(fd) => ruleset.add_rule(PathBeneath::new(fd, makes))?,
            Err(_) => ruleset,
        };
    }
    ruleset.restrict_self().map(drop)
}

fn filter(reach: Reach<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALWAYS.iter().map(|&call| (call, Vec::new())).collect();
    if matches!(reach, Reach::Below(_)) {
        rules.extend(WRITING.iter().map(|&call| (call, Vec::new())));
    }
    // Threads, and no processes.
    let thread = u64::from(libc::CLONE_THREAD.cast_unsigned());
    let condition =
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(thread), thread)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![condition])?]);
    // The filter below answers it.
    rules.insert(libc::SYS_clone3, Vec::new());
    let architecture = std::env::consts::ARCH.try_into()?;
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let allowed: BpfProgram =
        SeccompFilter::new(rules, refuse, SeccompAction::Allow, architecture)?.try_into()?;
    // It passes its flags in memory, where a filter cannot see them; the C library falls back to the other one.
    let absent = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let absent: BpfProgram = SeccompFilter::new(
        absent,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.cast_unsigned()),
        architecture,
    )?
    .try_into()?;
    apply_filter(&absent)?;
    Ok(apply_filter(&allowed)?)
}
