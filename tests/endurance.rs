//! Builds at other times, and many builds in a row.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::injected::run_bounded;
use crate::harness::prepared::{Unpacked, names_below, settle, write_app};
use crate::harness::{Image, Prepared, Registry, tools};

#[test]
fn flt_05_the_clock_changes_no_digest() {
    let prepared = Prepared::new();
    let registry = Registry::start();
    let source = prepared.source();
    let reference = registry.reference("clock/app:1");
    let words = ["build", source.to_str().unwrap(), "--tag", &reference];
    let lapstrake = prepared.data(&prepared.scratch().join("now"), Unpacked::Shared);
    let digest = lapstrake.run_bounded(words).expect(0).digest();
    let seen = tools::run("faketime", ["2016-12-31 23:59:59", "date", "+%Y"]);
    if seen.trim() != "2016" {
        eprintln!("skipped: the clock cannot be changed here: {seen}");
        return;
    }
    let late = ["+10y", "2038-01-19 03:14:07"];
    let times = [
        "+10y",
        "-10y",
        "1970-01-01 00:00:01",
        "2016-12-31 23:59:59",
        "2038-01-19 03:14:07",
        "2000-02-29 12:00:00",
    ];
    for (at, time) in times.into_iter().enumerate() {
        let lapstrake = prepared.data(&prepared.scratch().join(format!("then-{at}")), Unpacked::Shared);
        // Twice: what was kept at one time is found at another one.
        for time in [time, "-1y"] {
            let build = lapstrake.command(words);
            let mut moved = tools::tool("faketime");
            moved.args(["-f", &absolute(time)]).arg(build.get_program()).args(build.get_args());
            moved
                .envs(build.get_envs().filter_map(|(name, value)| Some((name, value?))))
                .stdin(Stdio::null());
            let outcome = run_bounded(moved);
            if late.contains(&time) {
                // By then the runtime is out of support, which has to be said.
                let outcome = outcome.expect(2);
                assert!(outcome.stderr.contains("is end of life since"), "{}", outcome.stderr);
            } else {
                assert_eq!(outcome.expect(0).digest(), digest, "{time}");
            }
        }
    }
    println!(
        "figure FLT-05: {} clocks, each followed by one of the last year: same digest, or after the end of support the \
         error that says so",
        times.len()
    );
}

/// The clock goes back and forth, by years and by seconds, while commands run and the image is pushed.
#[test]
fn flt_05_a_clock_that_jumps_during_a_build_changes_no_digest() {
    let prepared = Prepared::new();
    let registry = Registry::start();
    let source = prepared.scratch().join("slow");
    write_app(&source, "sleep 1 && echo built > made.txt && sleep 1");
    let words = |tag: &str| {
        let source = source.to_str().unwrap().to_owned();
        ["build".to_owned(), source, "--tag".to_owned(), registry.reference(&format!("clock/jumps:{tag}"))]
    };
    let steady = prepared.data(&prepared.scratch().join("steady"), Unpacked::Shared);
    let digest = steady.run_bounded(words("steady")).expect(0).digest();
    let preload = tools::run("faketime", ["-f", "+0", "sh", "-c", "echo $LD_PRELOAD"]);
    let clock = prepared.scratch().join("clock");
    let set = |time: &str| {
        // Whole or not at all: the file is read all the time.
        let new = clock.with_extension("new");
        fs_err::write(&new, format!("{time}\n")).unwrap();
        fs_err::rename(&new, &clock).unwrap();
    };
    set("+0");
    let jumping = prepared
        .data(&prepared.scratch().join("jumping"), Unpacked::Shared)
        .with("LD_PRELOAD", preload.trim())
        .with("FAKETIME_TIMESTAMP_FILE", &clock)
        .with("FAKETIME_NO_CACHE", "1")
        // No change of a machine's clock changes what counts the time since its start.
        .with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .with("DONT_FAKE_MONOTONIC", "1");
    let is_over = AtomicBool::new(false);
    let (outcome, jumps) = std::thread::scope(|scope| {
        let jumper = scope.spawn(|| {
            let times = ["-1s", "+90d", "-9y", "+0", "-2s", "+1s", "-40y"];
            let mut jumps = 0;
            while !is_over.load(Ordering::Relaxed) {
                set(times[jumps % times.len()]);
                jumps += 1;
                std::thread::sleep(Duration::from_millis(70));
            }
            jumps
        });
        let outcome = jumping.run_bounded(words("jumping"));
        is_over.store(true, Ordering::Relaxed);
        (outcome, jumper.join().unwrap())
    });
    assert_eq!(outcome.expect(0).digest(), digest);
    assert!(jumps > 20, "the clock jumped {jumps} times");
    println!("figure FLT-05: same digest although the clock jumped {jumps} times during the build");
}

/// A time as the option `-f` reads it: an offset, or a point from which the clock runs on.
fn absolute(time: &str) -> String {
    if time.starts_with(['+', '-']) { time.to_owned() } else { format!("@{time}") }
}

/// What a build took of the machine.
struct Taken {
    time: Duration,
    memory: u64,
}

/// The largest resident size so far, in KiB; `None` once the process is gone.
fn peak(pid: u32) -> Option<u64> {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn mounts() -> usize {
    fs_err::read_to_string("/proc/self/mountinfo").unwrap().lines().count()
}

fn size_of(directory: &Path) -> u64 {
    let used = tools::run("du", [Path::new("-sk"), directory]);
    used.split_whitespace().next().unwrap().parse().unwrap()
}

/// Whether a build of the row makes everything anew.
fn is_anew(at: usize) -> bool {
    at.is_multiple_of(5)
}

#[test]
fn flt_06_builds_in_a_row_take_no_more_from_one_to_the_next() {
    let is_long = std::env::var_os("LAPSTRAKE_SECURITY_LONG").is_some();
    let count = if is_long { 1000 } else { 25 };
    let prepared = Prepared::new();
    let (data, layout) = (prepared.scratch().join("row"), prepared.scratch().join("row-layout"));
    let lapstrake = prepared.data(&data, Unpacked::Shared);
    let source = prepared.source();
    let output = format!("oci:{}:1", layout.display());
    let build = |at: usize| {
        // Two states of the app in turn.
        fs_err::write(source.join("state.txt"), if at.is_multiple_of(2) { "even" } else { "odd" }).unwrap();
        settle(&source);
        let lapstrake =
            lapstrake.clone().with("LAPSTRAKE_NO_CACHE", if is_anew(at) { "true" } else { "false" });
        let begun = Instant::now();
        let mut child = lapstrake.start(["build", source.to_str().unwrap(), "--output", &output]);
        let mut memory = 0;
        while child.try_wait().unwrap().is_none() {
            memory = memory.max(peak(child.id()).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(2));
        }
        let time = begun.elapsed();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        (String::from_utf8(done.stdout).unwrap(), Taken { time, memory })
    };
    let first: Vec<_> = (0..10).map(build).collect();
    let (used, names, mounted) = (size_of(&data), names_below(&data), mounts());
    let rest: Vec<_> = (10..count).map(build).collect();
    for (at, (digest, _)) in first.iter().chain(&rest).enumerate() {
        assert_eq!(digest, &first[at % 2].0, "build {at}");
    }
    Image::open(&layout, Some("1"));
    assert_eq!(names_below(&data), names);
    let (now, still_mounted) = (size_of(&data), mounts());
    assert!(now <= used + used / 100 + 64, "{used} KiB at first, {now} KiB at last");
    assert!(still_mounted <= mounted + 2, "{mounted} mounts at first, {still_mounted} at last");
    let most = |builds: &[(String, Taken)]| builds.iter().map(|(_, taken)| taken.memory).max().unwrap();
    let (early, late) = (most(&first), most(&rest));
    assert!(late <= early + early / 5 + 4096, "{early} KiB at first, {late} KiB at last");
    println!(
        "figure FLT-06: {count} builds in a row: {used} KiB of disk after 10 and {now} after all, {early} and {late} KiB of \
         memory"
    );
    // A build that makes everything anew is another kind of work than one that finds it.
    let of_kind = |wanted: bool| {
        let kind = (10..).zip(&rest).filter(move |(at, _)| is_anew(*at) == wanted);
        kind.map(|(_, (_, taken))| taken.time).collect::<Vec<_>>()
    };
    for (kind, mut times) in [("anew", of_kind(true)), ("from the cache", of_kind(false))] {
        times.sort_unstable();
        let (middle, slow) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!(
            "figure FLT-06: {} {kind}: p50 {:.3} s, p99 {:.3} s",
            times.len(),
            middle.as_secs_f64(),
            slow.as_secs_f64()
        );
        // Beside other tests a time says nothing.
        assert!(!is_long || slow <= 2 * middle, "{kind}: {middle:?} and {slow:?}");
    }
}
