//! One run of git: a process group of its own, bounded in time, disk and complaints, ended with its children.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::GitLimits;
use super::error::GitError;
use crate::context::Stop;

/// How much of what git complains about is kept.
const COMPLAINTS: usize = 64 << 10;
/// How often it is looked whether git may go on.
const PULSE: Duration = Duration::from_millis(50);
/// How long a left-over child may hold standard error open.
const GRACE: Duration = Duration::from_millis(500);

/// What is run, and what it may take.
pub(super) struct Job<'a> {
    pub(super) arguments: Vec<String>,
    pub(super) env: &'a BTreeMap<String, String>,
    pub(super) more_env: Vec<(String, String)>,
    /// What it reads.
    pub(super) input: Vec<u8>,
    /// The directory that it writes to.
    pub(super) directory: &'a Path,
    pub(super) limits: GitLimits,
    pub(super) stop: &'a Stop,
    /// What it does, for messages.
    pub(super) doing: &'a str,
}

/// How a run ended.
pub(super) struct Ended<T> {
    pub(super) success: bool,
    pub(super) complaints: Vec<u8>,
    /// What was made of its output.
    pub(super) output: T,
}

/// Why a run was cut short.
#[derive(Clone, Copy)]
enum Cut {
    Stopped,
    TooSlow,
    TooLarge,
}

impl Job<'_> {
    /// Runs git and hands its output to `consume`, whose error ends git.
    pub(super) fn run<T, E: From<GitError>>(
        self,
        consume: impl FnOnce(&mut ChildStdout) -> Result<T, E>,
    ) -> Result<Ended<Result<T, E>>, GitError> {
        if self.stop.is_asked() {
            return Err(GitError::Stopped);
        }
        let mut child = self.start()?;
        let group = Pid::from_child(&child);
        let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let complaints = collect(stderr);
        let (done, waiting) = mpsc::channel::<()>();
        let (output, cut) = thread::scope(|scope| {
            let (job, input) = (&self, &self.input);
            let watch = scope.spawn(move || job.watch(&waiting, group));
            scope.spawn(move || {
                // A git that ends without reading all is judged by what it says, not by the broken pipe.
                let _ = stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(input));
            });
            let output = match stdout {
                Some(mut stdout) => consume(&mut stdout),
                None => Err(GitError::Malformed { what: "a run without output".to_owned() }.into()),
            };
            if output.is_err() {
                let _ = kill_process_group(group, Signal::KILL);
            }
            // Not reaped yet: until then the group's number belongs to nobody else.
            wait_until_dead(group);
            drop(done);
            (output, watch.join().expect("the watch does not panic"))
        });
        let _ = kill_process_group(group, Signal::KILL);
        let status = child.wait().map_err(|source| self.io(source))?;
        let complaints = complaints.recv_timeout(GRACE).unwrap_or_default();
        let grown = || (size(self.directory) > self.limits.disk).then_some(Cut::TooLarge);
        match cut.or_else(grown) {
            Some(Cut::Stopped) => return Err(GitError::Stopped),
            Some(Cut::TooSlow) => {
                return Err(GitError::TooSlow { doing: self.doing.to_owned(), limit: self.limits.time });
            }
            Some(Cut::TooLarge) => {
                return Err(GitError::TooLarge { doing: self.doing.to_owned(), limit: self.limits.disk });
            }
            None => {}
        }
        Ok(Ended { success: status.success(), complaints, output })
    }

    fn start(&self) -> Result<Child, GitError> {
        let mut command = Command::new("git");
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.env)
            .envs(self.more_env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => GitError::NotInstalled,
            _ => self.io(source),
        })
    }

    fn io(&self, source: io::Error) -> GitError {
        GitError::Io { doing: format!("run git to {}", self.doing), source }
    }

    /// Ends git when it may not go on, until it has ended by itself.
    fn watch(&self, ended: &mpsc::Receiver<()>, group: Pid) -> Option<Cut> {
        let started = Instant::now();
        while ended.recv_timeout(PULSE) == Err(RecvTimeoutError::Timeout) {
            let cut = match () {
                () if self.stop.is_asked() => Cut::Stopped,
                () if started.elapsed() > self.limits.time => Cut::TooSlow,
                () if size(self.directory) > self.limits.disk => Cut::TooLarge,
                () => continue,
            };
            let _ = kill_process_group(group, Signal::KILL);
            return Some(cut);
        }
        None
    }
}

/// Waits for the end of a process without reaping it.
fn wait_until_dead(process: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while matches!(waitid(WaitId::Pid(process), options), Err(rustix::io::Errno::INTR)) {}
}

/// Reads all that a stream gives, and hands over the end of it.
fn collect(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    // Not a scoped thread: a connection that ssh shares may keep the stream open for as long as it likes.
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut buffer = [0; 4096];
        let Some(mut stream) = stream else { return };
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            kept.extend_from_slice(&buffer[..count]);
            if kept.len() > 2 * COMPLAINTS {
                kept.drain(..kept.len() - COMPLAINTS);
            }
        }
        // Nobody listens any more when the grace is over.
        let _ = send.send(kept);
    });
    receive
}

/// The bytes of the packs and loose objects of a repository, finished or not.
fn size(repository: &Path) -> u64 {
    let mut total = 0;
    let mut directories: Vec<PathBuf> = vec![repository.join("objects")];
    while let Some(directory) = directories.pop() {
        // What vanishes while it is looked at is no size.
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => directories.push(entry.path()),
                Ok(metadata) => total += metadata.len(),
                Err(_) => {}
            }
        }
    }
    total
}

/// Reads a whole output, up to a limit.
pub(super) fn read_all(stdout: &mut ChildStdout, limit: u64, doing: &str) -> Result<Vec<u8>, GitError> {
    let mut bytes = Vec::new();
    let failed = |source| GitError::Io { doing: format!("read what git says to {doing}"), source };
    stdout.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(GitError::TooLarge { doing: doing.to_owned(), limit });
    }
    Ok(bytes)
}
