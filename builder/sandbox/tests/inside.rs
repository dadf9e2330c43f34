//! What this program does when a sandbox runs it: tries system calls, serves a port, writes a heartbeat.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::Duration;

use lapstrake_sandbox::{Reach, confine_worker};

/// The directory inside at which this program is mounted.
pub(crate) const PROGRAM: &str = "/run/tests";

/// Does what the arguments ask for, if they ask for anything of this kind.
pub(crate) fn enter_if_asked() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["--try-calls", mode] => try_calls(mode),
        ["--serve", port] => serve(port.parse().unwrap()),
        ["--beat", file] => beat(Path::new(file)),
        ["--reach", process, name] => reach(process.parse().unwrap(), name),
        ["--crowd"] => crowd(),
        ["--overwrite"] => println!("{}", overwrite()),
        ["--take", bytes] => take(bytes.parse().unwrap()),
        ["--threads", count] => println!("{}", threads(count.parse().unwrap())),
        ["--open", count] => println!("{}", open(count.parse().unwrap())),
        ["--work"] => work(Reach::Nothing),
        ["--work-below", directory] => {
            let directory = std::fs::File::open(directory).unwrap();
            work(Reach::Below(directory.as_fd()));
        }
        _ => return,
    }
    std::process::exit(0);
}

fn serve(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    println!("listening");
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        stream.write_all(text.to_uppercase().as_bytes()).unwrap();
    }
}

/// Grows a file until somebody ends this process.
fn beat(file: &Path) {
    loop {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
        file.write_all(b".").unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Many threads of one process use files at the same time, each its own by names that all have in common; and threads other
/// than the first start programs.
fn crowd() {
    use std::os::unix::fs::PermissionsExt;
    let work = |thread: u32| {
        let place = Path::new("/tmp/crowd").join(thread.to_string());
        std::fs::create_dir_all(&place).unwrap();
        for round in 0..60_u32 {
            let (first, second) = (place.join("first"), place.join("second"));
            let text = format!("{thread} {round}");
            std::fs::write(&first, &text).unwrap();
            std::fs::set_permissions(&first, std::fs::Permissions::from_mode(0o600 | (round & 0o77)))
                .unwrap();
            std::fs::rename(&first, &second).unwrap();
            assert_eq!(std::fs::read_to_string(&second).unwrap(), text);
            let mode = std::fs::metadata(&second).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600 | (round & 0o77));
            std::fs::remove_file(&second).unwrap();
            assert!(!first.exists());
        }
        let said =
            std::process::Command::new("/bin/sh").args(["-c", "echo $0", &text_of(thread)]).output().unwrap();
        assert_eq!(String::from_utf8(said.stdout).unwrap().trim(), text_of(thread));
    };
    let threads: Vec<_> = (0..24).map(|thread| std::thread::spawn(move || work(thread))).collect();
    let sound = threads.into_iter().filter_map(|thread| thread.join().ok()).count();
    println!("{sound}");
    // A thread that is not the first becomes another program, and the whole process with it.
    std::thread::spawn(|| {
        use std::os::unix::process::CommandExt;
        let error =
            std::process::Command::new("/bin/sh").args(["-c", "cat /tmp/crowd/last; echo became"]).exec();
        println!("{error}");
    });
    std::thread::sleep(Duration::from_secs(10));
}

fn text_of(thread: u32) -> String {
    format!("thread {thread}")
}

/// Holds memory until somebody ends this process.
fn take(bytes: usize) {
    let taken = vec![1_u8; bytes];
    std::thread::sleep(Duration::from_secs(20));
    println!("{}", taken.len());
}

/// Starts threads that do nothing, and returns how many there could be.
fn threads(count: u64) -> u64 {
    let started = |_: &u64| std::thread::Builder::new().stack_size(64 << 10).spawn(std::thread::park).is_ok();
    (0..count).take_while(started).count() as u64
}

/// Opens a file again and again, and returns how often it could.
fn open(count: u64) -> u64 {
    let opened: Vec<_> = (0..count).map_while(|_| std::fs::File::open("/").ok()).collect();
    opened.len() as u64
}

/// Writes to every program that any process here shows, through every name of it; returns how often it tried.
fn overwrite() -> usize {
    use std::os::unix::fs::OpenOptionsExt;
    let mut tried = 0;
    let mut held = Vec::new();
    let mut attempt = |path: &Path| {
        tried += 1;
        for options in
            [std::fs::OpenOptions::new().append(true), std::fs::OpenOptions::new().read(true).write(true)]
        {
            let opened = options.custom_flags(libc::O_NONBLOCK).open(path);
            if let Ok(mut file) = opened
                && file.metadata().is_ok_and(|found| found.is_file())
            {
                let _ = file.write_all(b"overwritten");
            }
        }
    };
    let names = |directory: &Path| -> Vec<_> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let until = std::time::Instant::now() + Duration::from_millis(500);
    while std::time::Instant::now() < until {
        // What ends meanwhile is no longer busy. A step may spoil its own copy of the shell.
        let passing = std::process::Command::new("/bin/sh").args(["-c", "sleep 0.01"]).spawn();
        let processes = names(Path::new("/proc")).into_iter().filter(|path| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit))
        });
        for process in processes.chain(["/proc/self".into(), "/proc/thread-self".into()]) {
            let path_only =
                std::fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(process.join("exe"));
            held.extend(path_only);
            attempt(&process.join("exe"));
            for place in ["fd", "map_files"] {
                for path in names(&process.join(place)) {
                    attempt(&path);
                }
            }
            if let Ok(target) = std::fs::read_link(process.join("exe")) {
                attempt(&target);
                attempt(&process.join("root").join(target.strip_prefix("/").unwrap_or(&target)));
            }
        }
        if let Ok(mut passing) = passing {
            passing.wait().unwrap();
        }
        for file in &held {
            attempt(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())));
        }
        held.truncate(64);
    }
    tried
}

/// Says what it reaches of a process outside, and of the network.
fn reach(process: i32, abstract_name: &str) {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixStream};
    let target = rustix::process::Pid::from_raw(process).unwrap();
    let of = |name: &str| format!("/proc/{process}/{name}");
    let read = |name: &str| {
        let mut bytes = Vec::new();
        std::fs::File::open(of(name)).and_then(|mut file| file.read_to_end(&mut bytes)).map(drop)
    };
    let connect =
        || SocketAddr::from_abstract_name(abstract_name).and_then(|to| UnixStream::connect_addr(&to));
    let tries: [(&str, &dyn Fn() -> std::io::Result<()>); 9] = [
        ("signals it", &|| Ok(rustix::process::test_kill_process(target)?)),
        ("reads its environment", &|| read("environ")),
        ("reads its memory", &|| std::fs::File::open(of("mem")).map(drop)),
        ("reads its maps", &|| read("maps")),
        ("sees its files", &|| std::fs::read_dir(of("fd")).map(drop)),
        ("enters its directory", &|| std::fs::read_dir(of("cwd/")).map(drop)),
        ("connects to an abstract socket", &|| connect().map(drop)),
        ("sends UDP", &|| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
            socket.send_to(b"x", "127.0.0.1:9").map(drop)
        }),
        ("changes its own mode", &|| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::write("/tmp/own", "x")?;
            std::fs::set_permissions("/tmp/own", std::fs::Permissions::from_mode(0o600))?;
            let mode = std::fs::metadata("/tmp/own")?.permissions().mode();
            if mode & 0o777 == 0o600 { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) }
        }),
    ];
    for (name, attempt) in tries {
        if attempt().is_ok() {
            println!("{name}");
        }
    }
}

/// Locks itself in as a worker and says what it can still do.
fn work(reach: Reach<'_>) {
    // Everything that has to be there before.
    let outside = Path::new("/etc/hostname");
    let below = match reach {
        Reach::Below(directory) => {
            std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())).unwrap()
        }
        Reach::Nothing => "/tmp".into(),
    };
    let parent = rustix::process::getppid().unwrap();
    confine_worker(reach).unwrap();
    let thread = std::thread::spawn(|| vec![1_u8; 1 << 20].len()).join().unwrap();
    println!("computes {thread}");
    let tries: [(&str, &dyn Fn() -> std::io::Result<()>); 9] = [
        ("reads a file", &|| std::fs::File::open(outside).map(drop)),
        ("writes elsewhere", &|| std::fs::File::create("/tmp/worker-was-here").map(drop)),
        ("makes a file below", &|| std::fs::File::create(below.join("made")).map(drop)),
        ("reads what it made", &|| std::fs::File::open(below.join("made")).map(drop)),
        ("removes", &|| std::fs::remove_file(below.join("made"))),
        ("executes", &|| std::process::Command::new("/bin/true").status().map(drop)),
        ("connects", &|| std::net::TcpStream::connect("127.0.0.1:9").map(drop)),
        ("makes a socket", &|| std::os::unix::net::UnixDatagram::unbound().map(drop)),
        ("signals", &|| Ok(rustix::process::test_kill_process(parent)?)),
    ];
    for (name, attempt) in tries {
        if attempt().is_ok() {
            println!("{name}");
        }
    }
}

/// A system call to try: its name, number, arguments, and what must come of it.
type Call = (&'static str, i64, [usize; 5], Expected);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Works,
    /// The filter's answer.
    Refused,
    /// The filter's answer to what is to look like an old kernel.
    Absent,
    /// The filter's answer to what is to look like a file system that cannot do it.
    Unsupported,
}

const NULL: usize = 0;

fn number(value: i32) -> usize {
    value.cast_unsigned() as usize
}

/// The kernel writes two descriptors there.
static PAIR: [std::sync::atomic::AtomicI32; 2] = [const { std::sync::atomic::AtomicI32::new(0) }; 2];

#[expect(clippy::too_many_lines, reason = "a table")]
fn calls() -> Vec<Call> {
    use Expected::{Absent, Refused, Unsupported, Works};
    let socket =
        |family: i32, kind: i32, protocol: i32| [number(family), number(kind), number(protocol), 0, 0];
    let (stream, raw) = (libc::SOCK_STREAM, libc::SOCK_RAW);
    let path = c"/tmp".as_ptr() as usize;
    let made = c"/tmp/made".as_ptr() as usize;
    let cwd = number(libc::AT_FDCWD);
    let pair = &PAIR;
    vec![
        ("socket unix", libc::SYS_socket, socket(libc::AF_UNIX, stream, 0), Works),
        ("socket inet", libc::SYS_socket, socket(libc::AF_INET, stream, 0), Works),
        ("socket inet6", libc::SYS_socket, socket(libc::AF_INET6, stream, 0), Works),
        ("socket route", libc::SYS_socket, socket(libc::AF_NETLINK, raw, libc::NETLINK_ROUTE), Works),
        (
            "socket netfilter",
            libc::SYS_socket,
            socket(libc::AF_NETLINK, raw, libc::NETLINK_NETFILTER),
            Refused,
        ),
        ("socket audit", libc::SYS_socket, socket(libc::AF_NETLINK, raw, libc::NETLINK_AUDIT), Refused),
        ("socket vsock", libc::SYS_socket, socket(libc::AF_VSOCK, stream, 0), Refused),
        ("socket packet", libc::SYS_socket, socket(libc::AF_PACKET, raw, 0), Refused),
        ("socket alg", libc::SYS_socket, socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0), Refused),
        ("socket raw", libc::SYS_socket, socket(libc::AF_INET, raw, 1), Refused),
        ("socket inet datagram", libc::SYS_socket, socket(libc::AF_INET, libc::SOCK_DGRAM, 0), Works),
        ("socket inet6 datagram", libc::SYS_socket, socket(libc::AF_INET6, libc::SOCK_DGRAM, 0), Works),
        ("socket mptcp", libc::SYS_socket, socket(libc::AF_INET, stream, 262), Works),
        ("socket bluetooth", libc::SYS_socket, socket(31, raw, 1), Refused),
        ("socket can", libc::SYS_socket, socket(29, raw, 1), Refused),
        ("socket tipc", libc::SYS_socket, socket(30, raw, 0), Refused),
        ("socket xdp", libc::SYS_socket, socket(44, raw, 0), Refused),
        ("socketpair", libc::SYS_socketpair, [1, number(stream), 0, pair.as_ptr() as usize, 0], Works),
        ("fanotify_init", libc::SYS_fanotify_init, [0; 5], Refused),
        ("quotactl", libc::SYS_quotactl, [0; 5], Refused),
        ("swapon", libc::SYS_swapon, [path, 0, 0, 0, 0], Refused),
        ("acct", libc::SYS_acct, [NULL, 0, 0, 0, 0], Refused),
        ("name_to_handle_at", libc::SYS_name_to_handle_at, [0; 5], Refused),
        ("kcmp", libc::SYS_kcmp, [0; 5], Refused),
        ("vhangup", libc::SYS_vhangup, [0; 5], Refused),
        ("add_key", libc::SYS_add_key, [path, path, path, 1, number(-3)], Refused),
        ("keyctl", libc::SYS_keyctl, [0, number(-3), 0, 0, 0], Refused),
        ("request_key", libc::SYS_request_key, [path, path, path, 0, 0], Refused),
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, NULL, 0, 0, 0], Absent),
        ("io_uring_enter", libc::SYS_io_uring_enter, [0; 5], Absent),
        ("clone3", libc::SYS_clone3, [NULL, 0, 0, 0, 0], Absent),
        ("openat2", libc::SYS_openat2, [cwd, path, NULL, 0, 0], Absent),
        ("copy_file_range", libc::SYS_copy_file_range, [0, NULL, 1, NULL, 1], Absent),
        ("openat", libc::SYS_openat, [cwd, path, number(libc::O_RDONLY), 0, 0], Works),
        ("openat O_NOATIME", libc::SYS_openat, [cwd, path, number(libc::O_NOATIME), 0, 0], Refused),
        (
            "fcntl O_NOATIME",
            libc::SYS_fcntl,
            [0, number(libc::F_SETFL), number(libc::O_NOATIME), 0, 0],
            Refused,
        ),
        (
            "fcntl O_NONBLOCK",
            libc::SYS_fcntl,
            [0, number(libc::F_SETFL), number(libc::O_NONBLOCK), 0, 0],
            Works,
        ),
        ("ioctl FICLONE", libc::SYS_ioctl, [1, 0x4004_9409, 0, 0, 0], Unsupported),
        ("ioctl FICLONERANGE", libc::SYS_ioctl, [1, 0x4020_940d, NULL, 0, 0], Unsupported),
        ("ioctl FIDEDUPERANGE", libc::SYS_ioctl, [1, 0xc018_9436, NULL, 0, 0], Unsupported),
        (
            "clone newuser",
            libc::SYS_clone,
            [number(libc::CLONE_NEWUSER | libc::SIGCHLD), 0, 0, 0, 0],
            Refused,
        ),
        ("unshare newuser", libc::SYS_unshare, [number(libc::CLONE_NEWUSER), 0, 0, 0, 0], Refused),
        ("unshare newtime", libc::SYS_unshare, [0x80, 0, 0, 0, 0], Refused),
        ("unshare files", libc::SYS_unshare, [number(libc::CLONE_FILES), 0, 0, 0, 0], Works),
        ("setns", libc::SYS_setns, [0; 5], Refused),
        ("userfaultfd", libc::SYS_userfaultfd, [1, 0, 0, 0, 0], Refused),
        ("bpf", libc::SYS_bpf, [0; 5], Refused),
        ("perf_event_open", libc::SYS_perf_event_open, [0; 5], Refused),
        ("ptrace", libc::SYS_ptrace, [0; 5], Refused),
        ("process_vm_readv", libc::SYS_process_vm_readv, [1, 0, 0, 0, 0], Refused),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, [0; 5], Refused),
        ("mount", libc::SYS_mount, [path, path, path, 0, NULL], Refused),
        ("umount2", libc::SYS_umount2, [path, 2, 0, 0, 0], Refused),
        ("fsopen", libc::SYS_fsopen, [path, 0, 0, 0, 0], Refused),
        ("open_tree", libc::SYS_open_tree, [cwd, path, 1, 0, 0], Refused),
        ("move_mount", libc::SYS_move_mount, [0; 5], Refused),
        ("mount_setattr", libc::SYS_mount_setattr, [0; 5], Refused),
        ("pivot_root", libc::SYS_pivot_root, [path, path, 0, 0, 0], Refused),
        ("chroot", libc::SYS_chroot, [path, 0, 0, 0, 0], Refused),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, [0; 5], Refused),
        ("kexec_load", libc::SYS_kexec_load, [0; 5], Refused),
        ("init_module", libc::SYS_init_module, [0; 5], Refused),
        ("reboot", libc::SYS_reboot, [0; 5], Refused),
        ("syslog", libc::SYS_syslog, [2, NULL, 0, 0, 0], Refused),
        ("sethostname", libc::SYS_sethostname, [path, 4, 0, 0, 0], Refused),
        ("clock_settime", libc::SYS_clock_settime, [0; 5], Refused),
        ("personality ask", libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0], Works),
        ("personality no randomisation", libc::SYS_personality, [0x004_0000, 0, 0, 0, 0], Refused),
        ("ioctl TIOCSTI", libc::SYS_ioctl, [0, 0x5412, path, 0, 0], Refused),
        ("ioctl TIOCSTI, upper half set", libc::SYS_ioctl, [0, 0x1_0000_5412, path, 0, 0], Refused),
        ("ioctl TIOCLINUX", libc::SYS_ioctl, [0, 0x541c, path, 0, 0], Refused),
        ("mknod whiteout", libc::SYS_mknodat, [cwd, made, 0o020_644, 0, 0], Refused),
        ("mknod block", libc::SYS_mknodat, [cwd, made, 0o060_644, 0x801, 0], Refused),
        ("mknod fifo", libc::SYS_mknodat, [cwd, made, 0o010_644, 0, 0], Works),
        ("chmod setuid", libc::SYS_fchmodat, [cwd, made, 0o4755, 0, 0], Works),
        ("setuid root", libc::SYS_setresuid, [0, 0, 0, 0, 0], Expected::Refused),
    ]
}

/// What is expected where the network is the machine's, and where paths are led by a tracer.
fn in_mode(mode: &str, name: &str, expected: Expected) -> Expected {
    match (mode, name) {
        ("strict", _) => expected,
        (_, "socket inet datagram" | "socket inet6 datagram" | "socket mptcp")
        | ("landlock", "socket unix") => Expected::Refused,
        (_, "execveat") => Expected::Absent,
        ("landlock", "setxattr") => Expected::Unsupported,
        _ => expected,
    }
}

#[expect(unsafe_code, reason = "the calls under test have no safe wrappers")]
fn try_calls(mode: &str) {
    for (name, number, [a, b, c, d, e], expected) in calls() {
        let expected = in_mode(mode, name, expected);
        // SAFETY: pointers are null or live C strings; none of the calls that could change this process's memory
        // succeeds with these arguments.
        let result = unsafe { libc::syscall(number, a, b, c, d, e) };
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or_default();
        let found = match (result, errno) {
            (0.., _) => Expected::Works,
            (_, libc::EPERM | libc::EINVAL) if errno == libc::EPERM || name == "setuid root" => {
                Expected::Refused
            }
            (_, libc::ENOSYS) => Expected::Absent,
            (_, libc::EOPNOTSUPP) => Expected::Unsupported,
            _ => {
                println!("WRONG {name}: errno {errno}");
                continue;
            }
        };
        println!("{} {name}", if found == expected { "as expected:" } else { "WRONG" });
    }
}
