//! Steps on gVisor's kernel: each is a container of `runsc`, on the root file system that stands beside it.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};

use super::root;
use crate::error::Feature;
use crate::event::Failure;
use crate::launcher::Stop;
use crate::spec::{Identity, Limits, Spec, Step};

/// The root of the steps, on the stage.
pub(super) const ROOT: &str = "/root";
/// gVisor's program.
pub(super) const PROGRAM: &str = "/runsc";
/// What it needs beside them.
pub(super) const DIRECTORIES: [&str; 5] = ["/proc", "/dev", "/tmp", "/bundle", "/state"];
/// Where it says why a container did not start.
const LOG: &str = "/state/log";
/// Its exit code then.
const NOT_STARTED: i32 = 128;
/// The highest number of a signal.
const LAST_SIGNAL: i32 = 64;

/// What runs steps.
pub(super) struct Guest {
    flags: Vec<String>,
    hostname: String,
    identity: Identity,
    limits: Limits,
    /// How many steps there were.
    count: u32,
}

impl Guest {
    /// Asks the program what it is called with: options change from one version to the next.
    pub(super) fn new(spec: &Spec) -> Result<Self, Stop> {
        let asked = Command::new(PROGRAM).arg("flags").env_clear().stdin(Stdio::null()).output();
        let asked = asked.map_err(Stop::lacking(Feature::Gvisor))?;
        let known = String::from_utf8_lossy(&asked.stdout) + String::from_utf8_lossy(&asked.stderr);
        if !asked.status.success() || !known.contains("-network") {
            return Err(Stop::lacking(Feature::Gvisor)(format!("`runsc flags` failed: {}", known.trim())));
        }
        if !known.contains("systrap") {
            return Err(Stop::lacking(Feature::Gvisor)(
                "this `runsc` is older than May 2023, and `ls` fails on it",
            ));
        }
        Ok(Self {
            flags: flags(&known),
            hostname: spec.hostname.clone(),
            identity: spec.identity,
            limits: spec.limits.clone(),
            count: 0,
        })
    }

    /// The step that runs a step.
    pub(super) fn step(&mut self, step: &Step) -> io::Result<Step> {
        if step.argv.is_empty() {
            return Err(io::Error::other("the command is empty"));
        }
        let root = rustix::fs::open(ROOT, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let place = step.cwd.strip_prefix("/").unwrap_or(&step.cwd).join(".");
        if root::resolve(&root, &place).is_err() {
            return Err(io::Error::other(format!("no directory `{}`", step.cwd.display())));
        }
        // The kernel of the step before waited by itself for room in the pipes, and takes one that does not wait for the wish of
        // whoever made it.
        for stream in [rustix::stdio::stdout(), rustix::stdio::stderr()] {
            let flags = rustix::fs::fcntl_getfl(stream)?;
            rustix::fs::fcntl_setfl(stream, flags - OFlags::NONBLOCK)?;
        }
        self.count += 1;
        fs::write("/bundle/config.json", self.configuration(step).to_string())?;
        fs::write(LOG, "")?;
        let own = [PROGRAM.to_owned()].into_iter().chain(self.flags.iter().cloned());
        let run = ["run", "--bundle=/bundle"].map(str::to_owned);
        let argv = own.chain(run).chain([self.name()]).collect();
        // What is asked for besides: a directory for its sockets.
        let env = [("XDG_RUNTIME_DIR", "/state")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Step { argv, env: env.into(), cwd: "/".into() })
    }

    fn name(&self) -> String {
        format!("step-{}", self.count)
    }

    /// Asks the step to end; a signal to the program that runs it would end that alone. Whoever asks is reaped with the rest.
    pub(super) fn terminate(&self) {
        let mut kill = Command::new(PROGRAM);
        kill.args(&self.flags).args(["kill", &self.name(), "TERM"]).env_clear();
        // The step may have ended a moment ago.
        let _ = kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }

    /// A step as the runtime specification has it (runtime-spec, config.md).
    fn configuration(&self, step: &Step) -> Value {
        let env: Vec<String> = step.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let limit = |name: &str, value: u64| json!({"type": name, "hard": value, "soft": value});
        json!({
            "ociVersion": "1.0.0",
            "process": {
                "terminal": false,
                "user": {"uid": self.identity.uid, "gid": self.identity.gid},
                "args": step.argv,
                "env": env,
                "cwd": step.cwd,
                "capabilities": {},
                "noNewPrivileges": true,
                "rlimits": [
                    limit("RLIMIT_NOFILE", self.limits.open_files),
                    limit("RLIMIT_FSIZE", self.limits.file_size),
                    limit("RLIMIT_CORE", 0),
                ],
            },
            "root": {"path": ROOT, "readonly": false},
            "hostname": self.hostname,
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                // Otherwise it would be gVisor's own memory, and gone with the step.
                {"destination": "/tmp", "type": "bind", "source": format!("{ROOT}/tmp"), "options": ["rw"]},
            ],
            "linux": {"namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]},
        })
    }
}

/// How a step ended whose container ended like this.
pub(super) fn judge(step: &Step, result: Result<(), Failure>) -> Result<(), Failure> {
    let code = match result {
        Err(Failure::Exit(code)) => code,
        other => return other,
    };
    // As in a shell, a signal is told by the exit code, and a step that ends with such a code by itself looks the same.
    if (NOT_STARTED + 1..=NOT_STARTED + LAST_SIGNAL).contains(&code) {
        return Err(Failure::Signal(code - NOT_STARTED));
    }
    if code != NOT_STARTED {
        return Err(Failure::Exit(code));
    }
    let log = fs::read_to_string(LOG).unwrap_or_default();
    let Some(last) = log.lines().rfind(|line| !line.is_empty()) else { return Err(Failure::Exit(code)) };
    let message = serde_json::from_str::<Value>(last).ok();
    let message = message.as_ref().and_then(|line| line["msg"].as_str()).unwrap_or(last);
    let cause = message.rsplit(": ").next().unwrap_or(message);
    // As the kernel says it.
    let missing = io::Error::from_raw_os_error(libc::ENOENT).to_string();
    let cause = if cause == "no such file or directory" { missing } else { message.to_owned() };
    Err(Failure::NotStarted(format!("{}: {cause}", step.argv.first().map_or("", String::as_str))))
}

fn flags(known: &str) -> Vec<String> {
    let is_known = |name: &str| known.contains(&format!("-{name}"));
    // Sockets are those of the network namespace, where nothing but loopback is.
    let mut flags = vec!["--root=/state".to_owned(), format!("--log={LOG}"), "--network=host".to_owned()];
    for (name, flag) in [
        // What steps change is on the disk, where it is looked for.
        ("overlay2", "--overlay2=none"),
        // Files are reached by a process of their own, and not by the kernel that the steps run on.
        ("directfs", "--directfs=false"),
        ("ignore-cgroups", "--ignore-cgroups"),
    ] {
        if is_known(name) {
            flags.push(flag.to_owned());
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_that_the_program_has() {
        let has = |known: &str, flag: &str| flags(known).iter().any(|it| it == flag);
        assert!(has("-overlay2 value\n", "--overlay2=none") && !has("-overlay2 value\n", "--directfs=false"));
        assert!(has("-directfs\n", "--directfs=false") && has("", "--network=host"));
    }
}
