//! The command that follows a build. It is the user's own, so it runs as the user, with the user's environment.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::context::Context;
use crate::failure::Failure;
use crate::report::Stream;
use crate::watch::{Built, OnSuccess};

/// The name that its output is shown under.
const PHASE: &str = "OnSuccess";
/// A longer line is shown in pieces.
const LONGEST_LINE: u64 = 16 << 10;
/// How often it is looked whether it has ended.
const PULSE: Duration = Duration::from_millis(50);
/// How long it may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// How long a process that it left behind may hold its output open.
const REST: Duration = Duration::from_millis(500);

/// Runs the command to its end. Its failure is an outcome; that it was cut short by a signal to us is an error.
pub(super) fn follow(
    command: &str,
    built: &Built,
    branch: &str,
    context: &Context,
) -> Result<OnSuccess, Failure> {
    context.report.step(PHASE, command);
    let mut child = match start(command, built, branch) {
        Ok(child) => child,
        Err(cause) => {
            context.report.warning(&format!("could not start the command that follows a build: {cause}"));
            return Ok(OnSuccess::Failed);
        }
    };
    let (done, read) = mpsc::channel();
    show(child.stdout.take(), Stream::Out, context, done.clone());
    show(child.stderr.take(), Stream::Err, context, done);
    let status = wait(&mut child, context)?;
    drain(&read);
    if status.success() {
        return Ok(OnSuccess::Done);
    }
    context.report.warning(&format!(
        "the command that follows a build failed: {status}; the image is pushed and is not built again"
    ));
    Ok(OnSuccess::Failed)
}

fn start(command: &str, built: &Built, branch: &str) -> std::io::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", command])
        .env("LAPSTRAKE_DIGEST", built.digest.to_string())
        .env("LAPSTRAKE_REFERENCE", built.references.first().map(String::as_str).unwrap_or_default())
        .env("LAPSTRAKE_COMMIT", built.commit.as_str())
        .env("LAPSTRAKE_BRANCH", branch)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// Waits for the end. When we are asked to stop, the command is asked too, and ended when it does not listen.
fn wait(child: &mut Child, context: &Context) -> Result<ExitStatus, Failure> {
    let failed = |cause| Failure::io("could not wait for the command that follows a build", cause);
    let group = Pid::from_child(child);
    while !context.stop.is_asked() {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(status);
        }
        thread::sleep(PULSE);
    }
    let asked = Instant::now();
    // It fails only when nobody of the group is left.
    let _ = kill_process_group(group, Signal::TERM);
    while asked.elapsed() < GRACE && child.try_wait().map_err(failed)?.is_none() {
        thread::sleep(PULSE);
    }
    let _ = kill_process_group(group, Signal::KILL);
    child.wait().map_err(failed)?;
    Err(context.stop.failure())
}

/// Passes on what the command writes, line by line.
fn show(stream: Option<impl Read + Send + 'static>, name: Stream, context: &Context, done: Sender<()>) {
    let Some(stream) = stream else { return };
    let report = Arc::clone(&context.report);
    // Not a scoped thread: a process that the command leaves behind may keep the stream open for ever.
    thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while let Ok(1..) = lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            report.output(PHASE, name, String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
            line.clear();
        }
        drop(done);
    });
}

/// Waits until both streams have ended, for a short time.
fn drain(read: &Receiver<()>) {
    let _ = read.recv_timeout(REST);
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    fn built() -> Built {
        Built {
            commit: "1".repeat(40).parse().unwrap(),
            digest: format!("sha256:{}", "2".repeat(64)).parse().unwrap(),
            references: vec!["r.example/a@sha256:2".to_owned(), "r.example/b@sha256:2".to_owned()],
            at: Timestamp::UNIX_EPOCH,
            on_success: OnSuccess::Pending,
        }
    }

    fn run(command: &str) -> OnSuccess {
        follow(command, &built(), "main", &Context::for_tests()).unwrap()
    }

    #[test]
    fn the_command_knows_what_was_built() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("seen");
        let command = format!(
            "echo \"$LAPSTRAKE_DIGEST $LAPSTRAKE_REFERENCE $LAPSTRAKE_COMMIT $LAPSTRAKE_BRANCH\" > '{}'",
            file.display()
        );
        assert_eq!(run(&command), OnSuccess::Done);
        let expected = format!("sha256:{} r.example/a@sha256:2 {} main\n", "2".repeat(64), "1".repeat(40));
        assert_eq!(fs_err::read_to_string(file).unwrap(), expected);
    }

    #[test]
    fn its_failure_is_an_outcome() {
        assert_eq!(run("exit 3"), OnSuccess::Failed);
        assert_eq!(run("kill -9 $$"), OnSuccess::Failed);
    }

    #[test]
    fn what_it_leaves_running_does_not_hold_us_up() {
        let started = Instant::now();
        assert_eq!(run("sleep 5 & exit 0"), OnSuccess::Done);
        assert!(started.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn when_we_stop_it_stops_with_all_its_children() {
        let context = Context::for_tests();
        let flag = context.stop.flag();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("alive");
        let stopper = thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            flag.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let command = format!("(sleep 3; touch '{}') & wait", file.display());
        let started = Instant::now();
        assert!(follow(&command, &built(), "main", &context).is_err());
        assert!(started.elapsed() < Duration::from_secs(3));
        stopper.join().unwrap();
        thread::sleep(Duration::from_millis(3500));
        assert!(!file.exists());
    }
}
