//! The launcher's work where no process namespace ends what steps leave behind: it adopts every orphan, measures what
//! all of them use, and ends them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait, waitpid};

use crate::event::Failure;
use crate::inside::memory;
use crate::wire::{self, Report};

/// How often the first process is looked at, and how often memory is measured.
const TICK: Duration = Duration::from_millis(10);
const MEASURE_EVERY: u32 = 20;

/// Waits for the first process of the sandbox to end; returns its exit code. It ends when the caller closes its socket.
pub(crate) fn watch(control: &UnixStream, first: Pid, memory: u64) -> i32 {
    for tick in 1_u32.. {
        match waitpid(Some(first), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => return status.exit_status().unwrap_or(124),
            Ok(None) | Err(Errno::INTR) => {}
            Err(_) => return 124,
        }
        if tick % MEASURE_EVERY == 0 && memory::exceeded(&named(&all_below()), memory) {
            // The caller may be gone; there is nobody else to tell.
            let _ = wire::send(control, &Report::Ended(Err(Failure::OutOfMemory)), None);
            return 1;
        }
        thread::sleep(TICK);
    }
    124
}

/// Ends all descendants of this process, those that keep starting others included: every one that is found is stopped
/// before the first is killed.
pub(crate) fn end_all() {
    loop {
        let mut stopped = 0;
        loop {
            let found = all_below();
            for &process in &found {
                signal(process, Signal::STOP);
            }
            // Children that were started meanwhile were not stopped.
            if found.len() == stopped {
                break;
            }
            stopped = found.len();
        }
        for process in all_below() {
            signal(process, Signal::KILL);
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn signal(process: i32, signal: Signal) {
    if let Some(process) = Pid::from_raw(process) {
        // It may have ended meanwhile.
        let _ = kill_process(process, signal);
    }
}

fn named(processes: &[i32]) -> Vec<String> {
    processes.iter().map(ToString::to_string).collect()
}

/// The processes below this one, as the kernel says who started or adopted whom.
fn all_below() -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for name in memory::all() {
        if let (Ok(process), Some(parent)) = (name.parse(), parent(&name)) {
            children.entry(parent).or_default().push(process);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![rustix::process::getpid().as_raw_nonzero().get()];
    while let Some(parent) = open.pop() {
        for &child in children.get(&parent).into_iter().flatten() {
            found.push(child);
            open.push(child);
        }
    }
    found
}

/// `None` when the process is gone.
fn parent(process: &str) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program may hold anything, brackets and spaces included.
    text.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}
