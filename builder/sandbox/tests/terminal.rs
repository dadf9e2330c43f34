//! A caller that has a terminal, and a step that tries to reach it.

use std::fs::{self, OpenOptions};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use lapstrake_sandbox::Event;

use crate::harness::{Bench, sh};
use crate::inside::PROGRAM;

/// What a shell behind the terminal would run.
pub(crate) const TYPED: &[u8] = b"touch /tmp/typed-by-a-step\n";

/// Does what the arguments ask for, if they ask for anything of this kind.
pub(crate) fn enter_if_asked() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["--on-terminal", isolation, rootfs, place] => {
            be_caller(&Bench::at(isolation, Path::new(rootfs), Path::new(place)));
        }
        ["--type"] => println!("{} attempts", try_to_type()),
        _ => return,
    }
    std::process::exit(0);
}

/// Runs a step on a terminal and says what there is to read from it afterwards.
fn be_caller(bench: &Bench) {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").unwrap();
    let mut spec = bench.spec();
    spec.mounts = vec![Bench::this_program()];
    let step = sh(&format!("{PROGRAM} --type; (echo reached >/dev/tty) 2>/dev/null; true"));
    let never = AtomicBool::new(false);
    let outcome = lapstrake_sandbox::run(&spec, &[step], &never, &mut |event| {
        if let Event::Output { line, .. } = event {
            println!("{line}");
        }
    });
    assert_eq!(outcome.unwrap().result, Ok(()));
    if waiting(terminal.as_raw_fd()) == 0 {
        println!("nothing to read");
    }
    // Where the kernel still types for anybody who may, this is how what was typed would be found.
    if type_into(terminal.as_raw_fd()) {
        assert_eq!(waiting(terminal.as_raw_fd()), TYPED.len());
    }
}

/// Types into every descriptor, into terminals by every name, and into one that became its own; returns how often it tried.
fn try_to_type() -> usize {
    let names = ["/dev/tty", "/dev/console", "/dev/tty0", "/dev/tty1", "/dev/pts/0", "/dev/pts/1"];
    let opened: Vec<_> =
        names.iter().filter_map(|name| OpenOptions::new().read(true).write(true).open(name).ok()).collect();
    let mut tried = names.len();
    for again in [false, true] {
        if again {
            let _ = rustix::process::setsid();
        }
        let standard = [0, 1, 2, 3, 4, 5];
        for terminal in standard.into_iter().chain(opened.iter().map(AsRawFd::as_raw_fd)) {
            take_over(terminal);
            type_into(terminal);
            tried += 1;
        }
    }
    drop(fs::write("/dev/tty", "reached"));
    tried
}

#[expect(unsafe_code, reason = "the calls under test have no safe wrappers")]
fn take_over(terminal: RawFd) {
    // SAFETY: the call takes a number.
    unsafe { libc::ioctl(terminal, libc::TIOCSCTTY, 1) };
}

/// Whether all of [`TYPED`] went into the queue of what is read from a terminal.
#[expect(unsafe_code, reason = "the calls under test have no safe wrappers")]
fn type_into(terminal: RawFd) -> bool {
    // SAFETY: the call reads one byte behind a pointer to a live one.
    TYPED.iter().all(|byte| unsafe { libc::ioctl(terminal, libc::TIOCSTI, std::ptr::from_ref(byte)) } == 0)
}

/// How many bytes can be read from a terminal.
#[expect(unsafe_code, reason = "the calls under test have no safe wrappers")]
fn waiting(terminal: RawFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: the call writes a number behind a pointer to a live one.
    assert_eq!(unsafe { libc::ioctl(terminal, libc::FIONREAD, std::ptr::from_mut(&mut count)) }, 0);
    usize::try_from(count).unwrap()
}
