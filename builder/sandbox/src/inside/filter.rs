//! The system calls that build commands have no use for. They fail as if the kernel did not have them or did not allow
//! them; nothing is killed, so that programs which only try them go on.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter, sock_filter,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;
type Error = Box<dyn std::error::Error>;

/// Refused with `EPERM` whatever the arguments are.
const FORBIDDEN: &[i64] = &[
    // The kernel's keyring has no namespace.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    // Large attack surface, and no build needs it.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    // Mounts.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    OPEN_TREE_ATTR,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // Other processes and other namespaces.
    libc::SYS_setns,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Files by number instead of by name: the way around a mount namespace.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // The machine.
    libc::SYS_kexec_load,
    KEXEC_FILE_LOAD,
    libc::SYS_reboot,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_vhangup,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// Refused as well, but for the process that traces the others.
const TRACING: &[i64] = &[libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev];

/// What programs do without where they are traced: `execveat`, and the calls by which newer kernels change attributes of
/// files by their paths.
#[cfg(target_arch = "x86_64")]
const UNTRACEABLE: &[i64] = &[libc::SYS_execveat, libc::SYS_openat2, SETXATTRAT, REMOVEXATTRAT, FILE_SETATTR];
#[cfg(target_arch = "x86_64")]
const SETXATTRAT: i64 = 463;
#[cfg(target_arch = "x86_64")]
const REMOVEXATTRAT: i64 = 466;
#[cfg(target_arch = "x86_64")]
const FILE_SETATTR: i64 = 469;

/// Not in all of the C library bindings.
const KEXEC_FILE_LOAD: i64 = if cfg!(target_arch = "x86_64") { 320 } else { 294 };

/// The same number on all architectures; newer than the C library bindings.
const OPEN_TREE_ATTR: i64 = 467;

/// Refused with `ENOSYS`, so that programs fall back. `clone3` and `openat2` pass their flags in memory, where a filter
/// cannot see them; `io_uring` makes system calls that no filter sees; `copy_file_range` may share blocks instead of
/// reading them, of which access times tell nothing.
const ABSENT: &[i64] = &[
    libc::SYS_clone3,
    libc::SYS_copy_file_range,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Shares blocks of one file with another, as `copy_file_range` may: refused with `EOPNOTSUPP`.
const CLONES: [u32; 3] = [0x4004_9409, 0x4020_940d, 0xc018_9436];

/// Every kind of namespace, one bit each.
const NAMESPACES: [i32; 8] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    CLONE_NEWTIME,
];

/// Shares its bit with the exit signal of `clone`, so it counts for `unshare` only.
const CLONE_NEWTIME: i32 = 0x80;

/// Which sockets may be made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sockets {
    /// Those of a network namespace of their own: UNIX, IPv4, IPv6 and route netlink.
    OfNamespace,
    /// Those of the machine's network.
    Shared {
        /// UNIX sockets. Pairs of them are always allowed.
        unix: bool,
        /// Of the others TCP alone: no rule of Landlock says where anything else may go.
        tcp_only: bool,
        /// Whether this process is to trace those that it starts.
        traces: bool,
    },
}

/// Installs the filters for this process and all that it starts.
pub(super) fn install(sockets: Sockets) -> Result<(), Error> {
    if cfg!(target_arch = "x86_64") {
        apply_filter(&second_numbering())?;
    }
    // What is traced forbids itself these; the first process needs them.
    if !matches!(sockets, Sockets::Shared { traces: true, .. }) {
        install_rules(whatever(TRACING), libc::EPERM)?;
        install_rules(whatever(&[libc::SYS_openat2]), libc::ENOSYS)?;
    }
    install_rules(forbidden(sockets)?, libc::EPERM)?;
    install_rules(Rules::from([(libc::SYS_ioctl, clones()?)]), libc::EOPNOTSUPP)?;
    install_rules(whatever(ABSENT), libc::ENOSYS)
}

/// Installs only what makes programs do without calls that no tracer sees.
pub(super) fn install_absent() -> Result<(), Error> {
    if cfg!(target_arch = "x86_64") {
        apply_filter(&second_numbering())?;
    }
    install_rules(whatever(ABSENT), libc::ENOSYS)
}

/// The filters of processes that are traced, besides those that they have: the calls with these numbers are shown to the
/// tracer first.
#[cfg(target_arch = "x86_64")]
pub(super) fn of_traced(calls: impl Iterator<Item = i64>) -> Result<Vec<BpfProgram>, Error> {
    let shown = calls.map(|call| (call, Vec::new())).collect();
    Ok(vec![
        program(whatever(TRACING), SeccompAction::Errno(libc::EPERM.cast_unsigned()))?,
        program(whatever(UNTRACEABLE), SeccompAction::Errno(libc::ENOSYS.cast_unsigned()))?,
        program(shown, SeccompAction::Trace(0))?,
    ])
}

fn whatever(calls: &[i64]) -> Rules {
    calls.iter().map(|&call| (call, Vec::new())).collect()
}

fn install_rules(rules: Rules, errno: i32) -> Result<(), Error> {
    Ok(apply_filter(&program(rules, SeccompAction::Errno(errno.cast_unsigned()))?)?)
}

fn program(rules: Rules, action: SeccompAction) -> Result<BpfProgram, Error> {
    let architecture = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, SeccompAction::Allow, action, architecture)?.try_into()?)
}

fn forbidden(sockets: Sockets) -> Result<Rules, Error> {
    let mut rules = whatever(FORBIDDEN);
    rules.insert(libc::SYS_socket, refused_sockets(sockets)?);
    rules.insert(libc::SYS_ioctl, terminal_injection()?);
    rules.insert(libc::SYS_personality, personalities()?);
    rules.insert(libc::SYS_unshare, namespaces(&NAMESPACES)?);
    rules.insert(libc::SYS_clone, namespaces(&NAMESPACES[..7])?);
    rules.insert(libc::SYS_mknodat, devices(2)?);
    rules.insert(libc::SYS_openat, vec![SeccompRule::new(vec![without_a_trace(2)?])?]);
    rules.insert(libc::SYS_fcntl, unmarked_from_now_on()?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, vec![SeccompRule::new(vec![without_a_trace(1)?])?]);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_mknod, devices(1)?);
    Ok(rules)
}

/// Sockets other than UNIX, IPv4, IPv6 and route netlink: `AF_VSOCK` leads to the hypervisor, which has no namespace.
fn refused_sockets(sockets: Sockets) -> Result<Vec<SeccompRule>, Error> {
    let allowed = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let others =
        allowed.iter().map(|&family| condition(0, SeccompCmpOp::Ne, family)).collect::<Result<_, _>>()?;
    let netlink = vec![
        condition(0, SeccompCmpOp::Eq, libc::AF_NETLINK)?,
        condition(2, SeccompCmpOp::Ne, libc::NETLINK_ROUTE)?,
    ];
    let mut rules = vec![SeccompRule::new(others)?, SeccompRule::new(netlink)?];
    if let Sockets::Shared { unix, tcp_only, .. } = sockets {
        if !unix {
            rules.push(SeccompRule::new(vec![condition(0, SeccompCmpOp::Eq, libc::AF_UNIX)?])?);
        }
        if tcp_only {
            rules.extend(all_but_tcp()?);
        }
    }
    Ok(rules)
}

/// UDP, raw sockets, and the protocols besides TCP that have streams.
fn all_but_tcp() -> Result<Vec<SeccompRule>, Error> {
    const KIND: i32 = 0xf;
    let mut rules = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW, libc::SOCK_RDM, libc::SOCK_SEQPACKET, libc::SOCK_DCCP]
        {
            let conditions = vec![condition(0, SeccompCmpOp::Eq, family)?, has_bits(1, KIND, kind)?];
            rules.push(SeccompRule::new(conditions)?);
        }
        rules.push(SeccompRule::new(vec![
            condition(0, SeccompCmpOp::Eq, family)?,
            condition(2, SeccompCmpOp::Ne, 0)?,
            condition(2, SeccompCmpOp::Ne, libc::IPPROTO_TCP)?,
        ])?);
    }
    Ok(rules)
}

/// Typing into a terminal on behalf of its user.
fn terminal_injection() -> Result<Vec<SeccompRule>, Error> {
    const TIOCLINUX: i32 = 0x541c;
    const TIOCSTI: i32 = 0x5412;
    [TIOCSTI, TIOCLINUX]
        .iter()
        .map(|&request| Ok(SeccompRule::new(vec![condition(1, SeccompCmpOp::Eq, request)?])?))
        .collect()
}

/// Execution domains other than plain and 32-bit Linux, among them the one that turns address randomisation off.
fn personalities() -> Result<Vec<SeccompRule>, Error> {
    const ASK: i32 = -1;
    const LINUX32: i32 = 8;
    let others = [0, LINUX32, ASK]
        .iter()
        .map(|&value| condition(0, SeccompCmpOp::Ne, value))
        .collect::<Result<_, _>>()?;
    Ok(vec![SeccompRule::new(others)?])
}

/// Opening a file so that reading it does not show in its access time, by which it is known what a command has read.
fn without_a_trace(flags_argument: u8) -> Result<SeccompCondition, Error> {
    has_bits(flags_argument, libc::O_NOATIME, libc::O_NOATIME)
}

/// The same for a file that is open already.
fn unmarked_from_now_on() -> Result<Vec<SeccompRule>, Error> {
    Ok(vec![SeccompRule::new(vec![condition(1, SeccompCmpOp::Eq, libc::F_SETFL)?, without_a_trace(2)?])?])
}

fn clones() -> Result<Vec<SeccompRule>, Error> {
    let rule =
        |&request: &u32| Ok(SeccompRule::new(vec![condition(1, SeccompCmpOp::Eq, request.cast_signed())?])?);
    CLONES.iter().map(rule).collect()
}

fn namespaces(flags: &[i32]) -> Result<Vec<SeccompRule>, Error> {
    flags.iter().map(|&flag| Ok(SeccompRule::new(vec![has_bits(0, flag, flag)?])?)).collect()
}

/// Device nodes. The kernel lets anyone make character device 0/0, which an overlay takes for a deletion.
fn devices(mode_argument: u8) -> Result<Vec<SeccompRule>, Error> {
    [libc::S_IFCHR, libc::S_IFBLK]
        .iter()
        .map(|&kind| {
            let condition = has_bits(mode_argument, libc::S_IFMT.cast_signed(), kind.cast_signed())?;
            Ok(SeccompRule::new(vec![condition])?)
        })
        .collect()
}

fn has_bits(argument: u8, mask: i32, value: i32) -> Result<SeccompCondition, Error> {
    condition(argument, SeccompCmpOp::MaskedEq(u64::from(mask.cast_unsigned())), value)
}

/// The arguments concerned are C `int`s: the kernel ignores the upper half of the register, so the filter must, too.
fn condition(argument: u8, operator: SeccompCmpOp, value: i32) -> Result<SeccompCondition, Error> {
    let value = u64::from(value.cast_unsigned());
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?)
}

/// `x86_64` kernels may have a second numbering of the same calls (x32), which the rules above would not see.
fn second_numbering() -> BpfProgram {
    const X32_BIT: u32 = 0x4000_0000;
    let statement = |code: u32, jt, jf, k| sock_filter {
        code: u16::try_from(code).expect("BPF codes have 16 bits"),
        jt,
        jf,
        k,
    };
    vec![
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, X32_BIT),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned()),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}
