//! Finds, runs and reports tests, and the vocabulary that they are written in.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lapstrake_sandbox::{
    Event, Identity, Isolation, Limits, Mount, Network, Outcome, Root, SandboxError, Spec, Step, Stream,
    outside_identity,
};
use tempfile::TempDir;

use crate::inside::PROGRAM;
use crate::rootfs;

/// Says that there are no control groups any more.
const WITHOUT_GROUPS: &str = "--without-groups";

/// A name that says what holds, and the test.
pub(crate) type Test = (&'static str, fn(&Bench));

/// An ordinary user's id, to whom nothing belongs.
const ORDINARY: u32 = 54_321;
pub(crate) const BUILD_UID: u32 = 65_533;

/// A variable of the callers' environment that no step may find.
pub(crate) const PLANTED: (&str, &str) = ("PLANTED_TOKEN", "s3cr3t-of-the-caller");

/// Tests under one isolation mode. Their names begin with the mode unless it is the default.
pub(crate) struct Group {
    pub isolation: Isolation,
    pub prefix: &'static str,
    /// Whether control groups are taken away first, which root alone can do; others have none anyway.
    pub without_groups: bool,
    pub tests: Vec<Test>,
}

/// Runs the tests whose names contain the first argument; as root, runs them once more as somebody else.
pub(crate) fn run(groups: &[Group]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |option: &str| arguments.iter().any(|argument| argument == option);
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-') && *argument != "terse");
    let named = groups.iter().flat_map(|group| {
        let tests = group.tests.iter();
        tests.map(move |(name, test)| (format!("{}{name}", group.prefix), group, test))
    });
    let chosen = named.filter(|(name, ..)| {
        let exact = asked("--exact");
        !asked("--ignored")
            && wanted.is_none_or(|part| if exact { name == part } else { name.contains(part) })
    });
    if asked("--list") {
        for (name, ..) in chosen {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    if std::env::var_os(PLANTED.0).is_none() {
        let again = Command::new("/proc/self/exe").args(&arguments).env(PLANTED.0, PLANTED.1).status();
        return if again.unwrap().success() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let ground = TempDir::new().unwrap();
    // Others than root must get to what lies in here.
    fs::set_permissions(ground.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let rootfs = ground.path().join("rootfs");
    if let Err(reason) = rootfs::make(&rootfs) {
        println!("skipped: no root file system to test in: {reason}");
        return ExitCode::SUCCESS;
    }
    if let Some(reason) = unavailable(&rootfs) {
        println!("skipped: {reason}");
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, group, test) in chosen {
        let isolation = group.isolation;
        if asked(WITHOUT_GROUPS) {
            assert_eq!(fs::read_dir("/sys/fs/cgroup").unwrap().count(), 0, "there are control groups");
        }
        let bench = Bench::new(rootfs.clone(), isolation);
        if group.without_groups && bench.uid() != 0 {
            continue;
        }
        if group.without_groups && !asked(WITHOUT_GROUPS) {
            failed += u32::from(!again_without_groups(&name));
            continue;
        }
        // Each of the modes without namespaces is for one kind of user.
        match (isolation, bench.uid()) {
            (Isolation::Chroot | Isolation::Gvisor, 1..) | (Isolation::Landlock, 0) => continue,
            (Isolation::Gvisor, 0) if missing_gvisor() => {
                println!("skipped: there is no `runsc`");
                continue;
            }
            _ => {}
        }
        let passed = catch_unwind(AssertUnwindSafe(|| test(&bench))).is_ok();
        println!("{} {name} (uid {})", if passed { "ok    " } else { "FAILED" }, bench.uid());
        failed += u32::from(!passed);
    }
    let others = if bench_is_root() { again_as_ordinary_user(&arguments) } else { true };
    if failed == 0 && others { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// This program again, for one test, where the directory of the control groups is an empty one.
fn again_without_groups(name: &str) -> bool {
    const SCRIPT: &str = "mount -t tmpfs none /sys/fs/cgroup && exec \"$@\"";
    let program = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .args(["--mount", "sh", "-c", SCRIPT, "sh"])
        .arg(program)
        .args(["--exact", name, WITHOUT_GROUPS])
        .status()
        .unwrap();
    status.success()
}

fn missing_gvisor() -> bool {
    !["/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin"]
        .iter()
        .any(|place| Path::new(place).join("runsc").exists())
}

fn bench_is_root() -> bool {
    outside_identity(1).0 == 1
}

/// The one reason that makes all tests impossible here.
fn unavailable(rootfs: &Path) -> Option<String> {
    let bench = Bench::new(rootfs.to_owned(), Isolation::Strict);
    match bench.run(&[]).1 {
        Err(error @ SandboxError::Unavailable { .. }) => Some(error.to_string()),
        Err(error) => panic!("{error}"),
        Ok(_) => None,
    }
}

/// This program may lie where others cannot reach it, so they get a copy.
fn again_as_ordinary_user(arguments: &[String]) -> bool {
    let place = TempDir::new().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = place.path().join("sandbox-tests");
    fs::copy("/proc/self/exe", &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    chown(&copy, Some(ORDINARY), Some(ORDINARY)).unwrap();
    let status = Command::new(&copy)
        .args(arguments)
        .current_dir("/")
        .env_remove("TMPDIR")
        .uid(ORDINARY)
        .gid(ORDINARY)
        .status()
        .unwrap();
    status.success()
}

/// One test's place on disk.
pub(crate) struct Bench {
    pub rootfs: PathBuf,
    pub isolation: Isolation,
    directory: PathBuf,
    /// Removes the directory in the end; a bench in another's directory leaves that to it.
    _owner: Option<TempDir>,
}

/// What a sandbox said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub events: Vec<Event>,
}

impl Said {
    pub(crate) fn lines(&self, wanted: Stream) -> Vec<String> {
        let lines = self.events.iter().filter_map(|event| match event {
            Event::Output { stream, line, .. } if *stream == wanted => Some(line.clone()),
            _ => None,
        });
        lines.collect()
    }

    pub(crate) fn stdout(&self) -> String {
        self.lines(Stream::Stdout).join("\n")
    }
}

impl Bench {
    fn new(rootfs: PathBuf, isolation: Isolation) -> Self {
        let directory = TempDir::new().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self { rootfs, isolation, directory: directory.path().to_owned(), _owner: Some(directory) }
    }

    /// A bench in a directory of somebody else's, under the isolation mode of a name.
    pub(crate) fn at(isolation: &str, rootfs: &Path, directory: &Path) -> Self {
        let isolation = *Isolation::ALL.iter().find(|one| one.name() == isolation).unwrap();
        Self { rootfs: rootfs.to_owned(), isolation, directory: directory.to_owned(), _owner: None }
    }

    /// This program, for steps to run.
    pub(crate) fn this_program() -> Mount {
        Mount::read_only(fs::read_link("/proc/self/exe").unwrap(), PROGRAM)
    }

    /// Who stands behind the sandbox.
    pub(crate) fn uid(&self) -> u32 {
        std::os::unix::fs::MetadataExt::uid(&fs::metadata(&self.directory).unwrap())
    }

    /// A new directory in a place that nobody else reaches, owned by whoever stands behind the sandbox.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::create_dir(&path).unwrap();
        let (uid, gid) = outside_identity(BUILD_UID);
        chown(&path, Some(uid), Some(gid)).unwrap();
        path
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.spec().root.upper()
    }

    pub(crate) fn spec(&self) -> Spec {
        Spec {
            isolation: self.isolation,
            root: Root { lower: vec![self.rootfs.clone()], scratch: self.directory.join("scratch") },
            mounts: Vec::new(),
            files: Vec::new(),
            hostname: "build".to_owned(),
            identity: Identity::default(),
            network: Network::None,
            limits: Limits { time: Some(Duration::from_secs(20)), ..Limits::default() },
            build_uid: BUILD_UID,
        }
    }

    pub(crate) fn run(&self, steps: &[Step]) -> (Said, Result<Outcome, SandboxError>) {
        run_spec(&self.spec(), steps)
    }

    /// Runs one line of shell that must succeed, and returns what it said.
    pub(crate) fn shell(&self, line: &str) -> Said {
        shell_in(&self.spec(), line)
    }
}

pub(crate) fn run_spec(spec: &Spec, steps: &[Step]) -> (Said, Result<Outcome, SandboxError>) {
    let mut said = Said::default();
    let never = AtomicBool::new(false);
    let outcome = lapstrake_sandbox::run(spec, steps, &never, &mut |event| said.events.push(event));
    (said, outcome)
}

pub(crate) fn shell_in(spec: &Spec, line: &str) -> Said {
    let (said, outcome) = run_spec(spec, &[sh(line)]);
    assert_eq!(outcome.unwrap().result, Ok(()), "{said:?}");
    said
}

/// A step that is one line of shell.
pub(crate) fn sh(line: &str) -> Step {
    let env = [("PATH", "/bin"), ("GREETING", "hello"), ("PROXY", lapstrake_sandbox::PROXY_URL)];
    Step {
        argv: vec!["sh".to_owned(), "-c".to_owned(), line.to_owned()],
        env: BTreeMap::from(env.map(|(name, value)| (name.to_owned(), value.to_owned()))),
        cwd: "/".into(),
    }
}
