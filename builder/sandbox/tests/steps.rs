//! What a caller sees of its steps: order, results, output, and the changed files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use lapstrake_sandbox::{Event, Failure, Isolation, Mount, StepFailure, Stream};

use crate::harness::{Bench, Test, run_spec, sh, shell_in};

pub(crate) const TESTS: &[Test] = &[
    ("steps run in order until one fails", stops_at_failure),
    ("a signal and a missing program are told apart from an exit code", failures),
    ("output arrives by line, stream and step", output),
    ("a step has its own environment and directory", environment),
    ("SBX-12 changes go to the upper directory and the lower stays as it is", changes),
    ("mounts appear, read-only or not, and leave no mount points behind", mounts),
    ("an overlay mount leaves its source as it is", overlay_mount),
    ("an empty step is cheap", overhead),
];

fn stops_at_failure(bench: &Bench) {
    let (said, outcome) = bench.run(&[sh("echo 1"), sh("echo 2; exit 7"), sh("echo 3")]);
    let failure = StepFailure { step: 1, failure: Failure::Exit(7) };
    assert_eq!(outcome.unwrap().result, Err(failure));
    assert_eq!(said.stdout(), "1\n2");
}

fn failures(bench: &Bench) {
    let (_, outcome) = bench.run(&[sh("kill -9 $$")]);
    assert_eq!(outcome.unwrap().result.unwrap_err().failure, Failure::Signal(9));
    let mut missing = sh("");
    missing.argv = vec!["no-such-program".to_owned()];
    let (_, outcome) = bench.run(&[missing]);
    let failure = outcome.unwrap().result.unwrap_err().failure;
    assert!(
        matches!(&failure, Failure::NotStarted(reason) if reason.contains("no-such-program")),
        "{failure}"
    );
    let mut nowhere = sh("");
    nowhere.cwd = "/no/such/place".into();
    let (_, outcome) = bench.run(&[nowhere]);
    let failure = outcome.unwrap().result.unwrap_err().failure;
    assert!(
        matches!(&failure, Failure::NotStarted(reason) if reason.contains("/no/such/place")),
        "{failure}"
    );
}

fn output(bench: &Bench) {
    let (said, outcome) =
        bench.run(&[sh("echo out; echo err >/dev/stderr; echo -n tail"), sh("seq 1 20000")]);
    assert_eq!(outcome.unwrap().result, Ok(()), "{:?}", said.lines(Stream::Stderr));
    assert_eq!(said.lines(Stream::Stderr), ["err"]);
    let stdout = said.lines(Stream::Stdout);
    assert_eq!(stdout[..3], ["out", "tail", "1"]);
    assert_eq!(stdout.len(), 20_002);
    let of_second = said.events.iter().filter(|event| matches!(event, Event::Output { step: 1, .. }));
    assert_eq!(of_second.count(), 20_000);
    assert!(matches!(said.events.last(), Some(Event::StepEnded { step: 1, .. })));
}

fn environment(bench: &Bench) {
    let mut step = sh("env; echo cwd=$(/bin/sh -c 'echo $PWD')");
    step.cwd = "/etc".into();
    let (said, outcome) = bench.run(&[step]);
    assert_eq!(outcome.unwrap().result, Ok(()));
    let mut lines = said.lines(Stream::Stdout);
    // gVisor's kernel gives every process a home.
    let is_added = |line: &str| bench.isolation == Isolation::Gvisor && line == "HOME=/";
    lines.retain(|line| !line.starts_with('_') && !is_added(line));
    lines.sort();
    assert_eq!(lines, ["GREETING=hello", "PATH=/bin", "PROXY=http://127.0.0.1:3128", "PWD=/etc", "cwd=/etc"]);
}

fn changes(bench: &Bench) {
    bench.shell("echo new >/new; rm /etc/resolv.conf 2>/dev/null; rm /etc/motd; mkdir /opt; echo x >/opt/x");
    let upper = bench.upper();
    assert_eq!(fs::read_to_string(upper.join("new")).unwrap(), "new\n");
    assert_eq!(fs::read_to_string(upper.join("opt/x")).unwrap(), "x\n");
    assert_eq!(fs::metadata(upper.join("new")).unwrap().uid(), lapstrake_sandbox::outside_identity(65_533).0);
    let whiteout = fs::symlink_metadata(upper.join("etc/motd")).unwrap();
    assert_eq!((whiteout.mode() & 0o170_000, whiteout.rdev()), (0o020_000, 0));
    assert_eq!(fs::read_to_string(bench.rootfs.join("etc/motd")).unwrap(), "lower\n");
    let mut names: Vec<_> = fs::read_dir(&upper).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["etc", "new", "opt"]);
    println!(
        "figure SBX-12: {} changes beside the base and 0 in it, in mode {}",
        names.len(),
        bench.isolation.name()
    );
}

fn mounts(bench: &Bench) {
    let (app, secrets) = (bench.directory("app"), bench.directory("secrets"));
    let certificate = secrets.join("ca.crt");
    fs::write(&certificate, "certificate").unwrap();
    let mut spec = bench.spec();
    spec.mounts = vec![
        Mount::writable(&app, "/app"),
        Mount::read_only(&secrets, "/deep/er/secrets"),
        Mount::read_only(&certificate, "/run/build/ca.crt"),
    ];
    let said = shell_in(
        &spec,
        "cat /deep/er/secrets/ca.crt /run/build/ca.crt; echo >&1; echo built >/app/out;
         echo x >/deep/er/secrets/x || echo refused; echo x >/run/build/ca.crt || echo refused",
    );
    // An ordinary user's steps without a mount namespace have a copy that is theirs.
    let is_own =
        bench.isolation == Isolation::Landlock || bench.isolation == Isolation::Host && bench.uid() != 0;
    let refused = if is_own { "" } else { "\nrefused\nrefused" };
    assert_eq!(said.stdout(), format!("certificatecertificate{refused}"));
    assert_eq!(fs::read_to_string(&certificate).unwrap(), "certificate");
    assert_eq!(fs::read_to_string(app.join("out")).unwrap(), "built\n");
    assert_eq!(fs::read_dir(bench.upper()).unwrap().count(), 0);
}

fn overlay_mount(bench: &Bench) {
    let (app, scratch) = (bench.directory("app"), bench.directory("discarded"));
    fs::write(app.join("kept"), "kept").unwrap();
    let mut spec = bench.spec();
    spec.mounts = vec![Mount::overlay(&app, "/app", &scratch)];
    let said = shell_in(&spec, "cat /app/kept; rm /app/kept; echo x >/app/x; ls /app");
    assert_eq!(said.stdout(), "keptx");
    assert_eq!(fs::read_to_string(app.join("kept")).unwrap(), "kept");
    let has_overlay = matches!(bench.isolation, Isolation::Strict | Isolation::Gvisor);
    let changes = if has_overlay { "upper/x" } else { "copy/x" };
    assert!(!app.join("x").exists() && scratch.join(changes).exists());
}

fn overhead(bench: &Bench) {
    let mut step = sh("");
    step.argv = vec!["/bin/true".to_owned()];
    let begun = Instant::now();
    for _ in 0..10 {
        let (_, outcome) = run_spec(&bench.spec(), std::slice::from_ref(&step));
        assert_eq!(outcome.unwrap().result, Ok(()));
    }
    let each = begun.elapsed() / 10;
    println!("       one sandbox with an empty step: {} ms", each.as_millis());
    assert!(each < Duration::from_secs(1), "{each:?}");
}
