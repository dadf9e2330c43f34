//! Everything ends, and nothing takes more than it may.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lapstrake_sandbox::{Event, Failure, Isolation, Mount, Spec};
use rustix::process::WaitOptions;

use crate::harness::{Bench, Test, run_spec, sh, shell_in};
use crate::inside::PROGRAM;

pub(crate) const TESTS: &[Test] = &[
    ("SBX-14 a step that takes too long is ended with all it started", time),
    ("SBX-13 a daemon ends with the last step", daemon),
    ("SBX-14 a cancelled run ends at once", cancel),
    ("SBX-14 everything ends when the caller is killed", caller_killed),
    ("SBX-14 nothing outlives a caller that is killed at any time", caller_killed_anytime),
    ("SBX-10 memory of many processes together is limited", memory),
    ("SBX-10 memory of one process is limited", greedy),
    ("SBX-10 the number of processes is limited", processes),
    ("SBX-10 what is written to disk is limited", disk),
    ("SBX-10 one file's size is limited", file_size),
    ("SBX-10 a flood of empty files is limited", flood),
    ("SBX-10 a sparse file of a tebibyte is refused", sparse),
    ("SBX-10 threads are limited as processes are", threads),
    ("SBX-10 open files are limited", open_files),
    ("SBX-10 processors are taken for as long as the time lasts", spin),
    ("SBX-10 the caller stays small whatever the steps do", small_caller),
    ("SBX-06 output beyond the limit is dropped and the step goes on", log),
];

/// Those that hold on a kernel that makes threads of its own, of which the machine's knows nothing.
pub(crate) fn on_guest() -> Vec<Test> {
    TESTS.iter().filter(|(name, _)| !name.contains("threads")).copied().collect()
}

/// The limits of what steps take, which hold with control groups and without them.
pub(crate) fn bounds() -> Vec<Test> {
    let are_bounds = |(name, _): &&Test| name.starts_with("SBX-10");
    TESTS.iter().filter(are_bounds).copied().collect()
}

fn failure(spec: &Spec, line: &str) -> Failure {
    let (said, outcome) = run_spec(spec, &[sh(line)]);
    outcome.unwrap().result.expect_err(&format!("{said:?}")).failure
}

/// A spec whose `/app/beat` grows as long as a heartbeat runs.
fn beating(bench: &Bench) -> (Spec, std::path::PathBuf) {
    let app = bench.directory("app");
    let mut spec = bench.spec();
    spec.mounts = vec![Mount::writable(&app, "/app"), Bench::this_program()];
    (spec, app.join("beat"))
}

fn assert_still(beat: &Path) {
    let size = || fs::metadata(beat).unwrap().len();
    let before = size();
    assert!(before > 0);
    thread::sleep(Duration::from_millis(150));
    assert_eq!(size(), before, "the heartbeat goes on");
}

const DAEMON: &str = "setsid sh -c 'trap \"\" TERM HUP; /run/tests --beat /app/beat' >/dev/null 2>&1 &";

fn time(bench: &Bench) {
    let (mut spec, beat) = beating(bench);
    // gVisor's kernel takes its time to start.
    let limit = Duration::from_millis(if bench.isolation == Isolation::Gvisor { 4000 } else { 500 });
    spec.limits.time = Some(limit);
    let begun = Instant::now();
    assert_eq!(
        failure(&spec, &format!("{DAEMON} trap '' TERM; sleep 30; sleep 30")),
        Failure::TimedOut(limit)
    );
    assert!(begun.elapsed() < limit + Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_still(&beat);
}

fn daemon(bench: &Bench) {
    let (spec, beat) = beating(bench);
    shell_in(&spec, &format!("{DAEMON} while ! [ -s /app/beat ]; do sleep 0.02; done"));
    assert_still(&beat);
    println!(
        "figure SBX-13: a daemon wrote {} times while its step ran and never again, in mode {}",
        fs::metadata(&beat).unwrap().len(),
        bench.isolation.name()
    );
}

fn cancel(bench: &Bench) {
    let (spec, beat) = beating(bench);
    let cancel = AtomicBool::new(false);
    let mut notified = None;
    let outcome = lapstrake_sandbox::run(
        &spec,
        &[sh(&format!(
            "{PROGRAM} --beat /app/beat & while ! [ -s /app/beat ]; do :; done; echo go; sleep 30"
        ))],
        &cancel,
        &mut |event| {
            if matches!(event, Event::Output { .. }) {
                notified = Some(Instant::now());
                cancel.store(true, Ordering::Relaxed);
            }
        },
    );
    assert_eq!(outcome.unwrap().result.unwrap_err().failure, Failure::Cancelled);
    assert!(notified.unwrap().elapsed() < Duration::from_secs(1));
    assert_still(&beat);
}

/// The caller of the sandbox that is killed: this program again, with a place to work in.
pub(crate) fn become_victim_if_asked() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, isolation, rootfs, place] = arguments.as_slice()
        && word == "--victim"
    {
        let bench = Bench::at(isolation, Path::new(rootfs), Path::new(place));
        let (spec, _) = beating(&bench);
        run_spec(&spec, &[sh(&format!("{DAEMON} sleep 30"))]).1.unwrap();
    }
}

fn caller_killed(bench: &Bench) {
    let place = bench.directory("victim");
    let mut victim = Command::new("/proc/self/exe")
        .args(["--victim", bench.isolation.name()])
        .args([&bench.rootfs, &place])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let beat = match bench.isolation {
        Isolation::Strict | Isolation::Gvisor => place.join("app/beat"),
        // What steps may change is moved to where they see it, and back when they have ended.
        _ => place.join("scratch/copy/app/beat"),
    };
    let end = Instant::now() + Duration::from_secs(10);
    while fs::metadata(&beat).map_or(0, |found| found.len()) == 0 && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    thread::sleep(Duration::from_millis(500));
    assert_still(&beat);
    // The next run removes the control groups of the killed one.
    bench.shell("true");
}

/// Kills callers while they set up a sandbox, and a while later. What they leave behind becomes this process's child.
fn caller_killed_anytime(bench: &Bench) {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    for time in 0..50_u64 {
        // Close together while the sandbox is set up, and farther apart later.
        let delay = Duration::from_micros(time * time * 50);
        let place = bench.directory(&format!("victim-{time}"));
        let mut victim = Command::new("/proc/self/exe")
            .args(["--victim", bench.isolation.name()])
            .args([&bench.rootfs, &place])
            .spawn()
            .unwrap();
        thread::sleep(delay);
        victim.kill().unwrap();
        victim.wait().unwrap();
        let end = Instant::now() + Duration::from_secs(3);
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Err(rustix::io::Errno::CHILD) => break,
                _ => assert!(Instant::now() < end, "something outlives a caller killed after {delay:?}"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
    println!(
        "figure SBX-14: 50 callers killed within {:?}, nothing of them left",
        Duration::from_micros(49 * 49 * 50)
    );
    rustix::process::set_child_subreaper(None).unwrap();
    bench.shell("true");
}

fn memory(bench: &Bench) {
    let mut spec = bench.spec();
    spec.limits.memory = 100 << 20;
    spec.mounts = vec![Bench::this_program()];
    let hog = format!("{PROGRAM} --take 30000000 &");
    assert_eq!(failure(&spec, &format!("{} sleep 20", hog.repeat(6))), Failure::OutOfMemory);
}

/// One process that takes too much at once; with control groups, the kernel ends it.
fn greedy(bench: &Bench) {
    let mut spec = bench.spec();
    spec.limits.memory = 60 << 20;
    spec.mounts = vec![Bench::this_program()];
    assert_eq!(failure(&spec, &format!("{PROGRAM} --take 100000000")), Failure::OutOfMemory);
}

fn processes(bench: &Bench) {
    let mut spec = bench.spec();
    spec.limits.processes = 20;
    let (said, outcome) = run_spec(&spec, &[sh("for i in $(seq 60); do sleep 3 & done")]);
    assert!(outcome.unwrap().result.is_err(), "{said:?}");
}

fn disk(bench: &Bench) {
    let mut spec = bench.spec();
    spec.limits.disk = 8 << 20;
    assert_eq!(failure(&spec, "head -c 20000000 /dev/zero >/tmp/big; sleep 20"), Failure::DiskFull);
    let mut spec = bench.spec();
    spec.limits.disk = 64 << 20;
    shell_in(&spec, "head -c 20000000 /dev/zero >/small; sleep 0.7");
}

fn file_size(bench: &Bench) {
    let mut spec = bench.spec();
    spec.limits.file_size = 1 << 20;
    assert_ne!(failure(&spec, "head -c 2000000 /dev/zero >/big"), Failure::DiskFull);
}

fn flood(bench: &Bench) {
    let mut spec = bench.spec();
    spec.limits.disk = 2 << 20;
    let line = "mkdir /tmp/f; i=0; while :; do i=$((i + 1)); : >/tmp/f/$i; done";
    assert_eq!(failure(&spec, line), Failure::DiskFull);
}

fn sparse(bench: &Bench) {
    let spec = bench.spec();
    let line = "dd if=/dev/zero of=/tmp/sparse bs=1 count=0 seek=1099511627776";
    assert_ne!(failure(&spec, line), Failure::DiskFull);
    let shown = shell_in(&spec, &format!("{line} || true; wc -c </tmp/sparse"));
    assert_eq!(shown.stdout().trim(), "0");
}

/// The number that this program, run by a step, says it got.
fn got(spec: &mut Spec, words: &str) -> u64 {
    spec.mounts.push(Bench::this_program());
    let (said, outcome) = run_spec(spec, &[sh(&format!("exec {PROGRAM} {words}"))]);
    assert_eq!(outcome.unwrap().result, Ok(()), "{said:?}");
    said.stdout().trim().parse().unwrap()
}

fn threads(bench: &Bench) {
    assert_eq!(got(&mut bench.spec(), "--threads 300"), 300);
    let mut spec = bench.spec();
    spec.limits.processes = 120;
    let many = got(&mut spec, "--threads 300");
    // Where the kernel counts by user, those of other tests count as well.
    assert!((10..=120).contains(&many), "{many}");
}

fn open_files(bench: &Bench) {
    let mut spec = bench.spec();
    spec.limits.open_files = 64;
    let many = got(&mut spec, "--open 200");
    assert!((40..64).contains(&many), "{many}");
}

fn spin(bench: &Bench) {
    let mut spec = bench.spec();
    let limit = Duration::from_millis(700);
    spec.limits.time = Some(limit);
    let begun = Instant::now();
    assert_eq!(
        failure(&spec, "for i in 1 2 3 4; do while :; do :; done & done; wait"),
        Failure::TimedOut(limit)
    );
    assert!(begun.elapsed() < limit + Duration::from_secs(1), "{:?}", begun.elapsed());
}

/// The most memory that a caller held, in KiB, while a step of its wrote without end, filled memory and started whatever it
/// could; and that nothing of it is left.
fn small_caller(bench: &Bench) {
    let place = bench.directory("caller");
    let caller = Command::new("/proc/self/exe")
        .args(["--caller", bench.isolation.name()])
        .args([&bench.rootfs, &place])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(caller.status.success(), "{}", String::from_utf8_lossy(&caller.stderr));
    let peak: u64 = String::from_utf8(caller.stdout).unwrap().trim().parse().unwrap();
    assert!(peak < 100 << 10, "{peak} KiB");
    println!("figure SBX-10: the caller held at most {} MiB while a step bombed", peak >> 10);
}

/// The caller whose memory is measured: this program again.
pub(crate) fn become_caller_if_asked() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, isolation, rootfs, place] = arguments.as_slice()
        && word == "--caller"
    {
        let bench = Bench::at(isolation, Path::new(rootfs), Path::new(place));
        let mut spec = bench.spec();
        spec.limits.memory = 200 << 20;
        spec.limits.processes = 40;
        spec.limits.log = 64 << 20;
        // Lines of all lengths, without end, and then memory, from more processes than there may be.
        let bomb = "yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | head -c 100000000; \
                    head -c 50000000 /dev/zero | tr '\\0' x; for i in $(seq 60); do sleep 9 & done; \
                    x=$(head -c 300000000 /dev/zero | tr '\\0' x); sleep 20";
        let never = AtomicBool::new(false);
        let outcome = lapstrake_sandbox::run(&spec, &[sh(bomb)], &never, &mut |_| {});
        outcome.unwrap().result.unwrap_err();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        println!("{}", peak.trim().trim_end_matches("kB").trim());
        std::process::exit(0);
    }
}

fn log(bench: &Bench) {
    let mut spec = bench.spec();
    spec.limits.log = 100_000;
    let said = shell_in(&spec, "seq 1 100000; echo x >/done");
    let notices = said.events.iter().filter(|event| matches!(event, Event::Notice { .. })).count();
    assert_eq!(notices, 1);
    let bytes: usize = said.stdout().len();
    assert!((90_000..=100_000).contains(&bytes), "{bytes}");
    println!("figure SBX-06: {bytes} bytes and {notices} notice where 100,000 were allowed");
    assert!(bench.upper().join("done").exists());
}
