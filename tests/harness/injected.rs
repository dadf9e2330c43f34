//! Runs whose system calls fail or are their last ones, by strace; and runs that are bounded in time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Outcome, tools};

/// No run of these tests takes longer.
const LIMIT: Duration = Duration::from_mins(2);

/// What a run under strace left.
pub(crate) struct Injected {
    /// Its exit code and outputs; no exit code where the program itself was killed.
    pub(crate) outcome: Outcome,
    /// The process id of the program.
    pub(crate) pid: u32,
    /// Whether any process met the injection.
    pub(crate) was_met: bool,
    /// How long the last process lived on after the first one was killed.
    pub(crate) afterlife: Duration,
}

/// Runs a command to its end, which has to come in time; its processes are ended otherwise.
pub(crate) fn run_bounded(mut command: Command) -> Outcome {
    let (mut stdout, mut stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let mut child = command
        .stdout(Stdio::from(stdout.try_clone().unwrap()))
        .stderr(Stdio::from(stderr.try_clone().unwrap()))
        .process_group(0)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if begun.elapsed() > LIMIT {
            let group = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = |file: &mut std::fs::File| {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (stdout, stderr) = (text(&mut stdout), text(&mut stderr));
    let Some(status) = status else {
        panic!("not done within {} s: {command:?}\n{stdout}\n{stderr}", LIMIT.as_secs())
    };
    let code = if status.signal().is_some() { None } else { status.code() };
    Outcome { code, stdout, stderr }
}

/// The same command under strace, with everything that it starts.
fn under_strace(command: &Command, log: &Path, options: &[String]) -> Command {
    let mut traced = tools::tool("strace");
    traced.args(["-f", "-ttt", "-s", "0", "-o"]).arg(log).args(options).arg("--").arg(command.get_program());
    traced.args(command.get_args()).stdin(Stdio::null());
    if let Some(directory) = command.get_current_dir() {
        traced.current_dir(directory);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    traced
}

/// How often the busiest thread of a command makes each of some system calls, when nothing disturbs it.
pub(crate) fn count(command: &Command, calls: &[&str], log: &Path) -> (Outcome, BTreeMap<String, usize>) {
    let outcome =
        run_bounded(under_strace(command, log, &["-e".into(), format!("trace={}", calls.join(","))]));
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in fs_err::read_to_string(log).unwrap().lines() {
        let mut words = line.split_whitespace();
        let (Some(thread), Some(_), Some(what)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        if let Some((call, _)) = what.split_once('(') {
            *counts.entry((call.to_owned(), thread.to_owned())).or_default() += 1;
        }
    }
    let mut most: BTreeMap<String, usize> = BTreeMap::new();
    for ((call, _), count) in counts {
        let most = most.entry(call).or_default();
        *most = count.max(*most);
    }
    (outcome, most)
}

/// `count` points, each a system call and which one of a thread's, spread over all calls and over the whole run of each.
pub(crate) fn points(most: &BTreeMap<String, usize>, count: usize) -> Vec<(String, usize)> {
    let (mut points, mut seen) = (Vec::new(), BTreeSet::new());
    for round in 1..1 << 12_u32 {
        for (call, most) in most {
            // The fractions 1/2, 1/4, 3/4, 1/8, 5/8, …: each round halves what was left open.
            let fraction = u64::from(u32::reverse_bits(round));
            let at = 1 + usize::try_from((fraction * *most as u64) >> 32).unwrap();
            if points.len() < count && seen.insert((call, at)) {
                points.push((call.clone(), at));
            }
        }
    }
    points
}

/// Runs a command that is disturbed at the `at`-th `call` of each of its threads, as strace's `inject` says it.
pub(crate) fn inject(command: &Command, (call, at): (&str, usize), how: &str, log: &Path) -> Injected {
    // The program is started by the first call of all, so that the log begins with its process id.
    let options = [
        "-e".to_owned(),
        format!("trace={call},execve"),
        "-e".to_owned(),
        format!("inject={call}:{how}:when={at}"),
    ];
    let outcome = run_bounded(under_strace(command, log, &options));
    let text = fs_err::read_to_string(log).unwrap();
    let time = |line: &str| line.split_whitespace().nth(1).and_then(|time| time.parse::<f64>().ok());
    let killed = text.lines().find(|line| line.contains("+++ killed by SIGKILL")).and_then(time);
    let last = text.lines().filter(|line| line.contains("+++")).filter_map(time).next_back();
    let afterlife = killed.zip(last).map_or(0.0, |(killed, last)| (last - killed).max(0.0));
    Injected {
        outcome,
        pid: text.split_whitespace().next().and_then(|pid| pid.parse().ok()).unwrap_or_default(),
        was_met: killed.is_some() || text.contains("(INJECTED)"),
        afterlife: Duration::from_secs_f64(afterlife),
    }
}
