//! Runs the build commands of a plan in the sandbox.
//!
//! Every command has a sandbox of its own, in which nothing of the ones before is left but files. Post-build commands see
//! a view that is thrown away. `/app` is a tree of its own; everything else is an overlay over the layers of the build
//! image.

mod sizes;
mod tail;
mod units;
mod unserved;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lapstrake_sandbox::{
    Event, Failure as StepEnd, Fetched, HostPort, Isolation, Limits, MemoryFile, Mount, Network, Root,
    SandboxError, Spec, Step, StepFailure,
};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::limits::how_to_set;
use crate::origin::Origin;
use crate::report::{Report, Stream};
use crate::secrets::{Mask, Pieces, Secrets};
use tail::Tail;
use unserved::unserved;

pub use sizes::may_be_seen;
pub use units::{Disk, On, Unit, units};

/// A group of build commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Before the build.
    PreBuild,
    /// The build.
    Build,
    /// After the build; what it changes is thrown away.
    PostBuild,
    /// On the tree that becomes the image.
    PreRun,
}

impl Phase {
    /// All phases, in the order of their commands.
    pub const ALL: [Self; 4] = [Self::PreBuild, Self::Build, Self::PostBuild, Self::PreRun];

    /// The name, as app files write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PreBuild => "pre-build",
            Self::Build => "build",
            Self::PostBuild => "post-build",
            Self::PreRun => "pre-run",
        }
    }

    /// The phase of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// The prefix of the phase's output.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::PreBuild => "PreBuild",
            Self::Build => "Build",
            Self::PostBuild => "PostBuild",
            Self::PreRun => "PreRun",
        }
    }
}

/// One command of a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// Its phase.
    pub phase: Phase,
    /// The command, for `/bin/sh -c`.
    pub command: String,
    /// Where it came from.
    pub origin: Origin,
}

/// What commands need to run.
pub struct Workshop<'a> {
    /// The unpacked layers of the build image, topmost first.
    pub layers: Vec<PathBuf>,
    /// A directory for what is thrown away.
    pub scratch: PathBuf,
    /// What keeps the commands away from the machine.
    pub isolation: Isolation,
    /// The user that they run under outside, where the program was started as root.
    pub build_uid: u32,
    /// What all commands of the build together may use.
    pub limits: Limits,
    /// The working directory, inside.
    pub working_dir: PathBuf,
    /// The environment of every command.
    pub env: BTreeMap<String, String>,
    /// What commands reach.
    pub network: Network,
    /// Files that commands need for the network.
    pub mounts: Vec<Mount>,
    /// The same, of what must not lie on a disk.
    pub files: Vec<MemoryFile>,
    /// The secrets of the commands.
    pub secrets: &'a Secrets,
    /// What they have fetched that nobody has taken note of.
    pub fetched: RefCell<Vec<Fetched>>,
    /// Where packages come from.
    pub indexes: Vec<HostPort>,
}

/// A run of commands that is watched and can be stopped.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// All commands of the plan, for messages.
    pub all: &'a [PlannedStep],
    /// Set when the run is to end.
    pub stop: &'a AtomicBool,
    /// Where it is shown.
    pub report: &'a Report,
    /// How long commands before it have run.
    pub spent: Duration,
}

impl Workshop<'_> {
    /// Runs the commands of a unit until one fails.
    pub fn run(&self, unit: &Unit<'_>, disk: &Disk, watch: Watch<'_>) -> Result<(), Failure> {
        let spec = self.spec(unit, disk, watch.spent);
        let steps: Vec<Step> = unit
            .steps
            .iter()
            .map(|step| Step {
                argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), step.command.clone()],
                env: self.env.clone().into_iter().chain(self.secrets.variables(step.phase)).collect(),
                cwd: self.working_dir.clone(),
            })
            .collect();
        let mut listener = Listener::new(&unit.steps, watch.report);
        listener.is_quiet = unit.own.is_some();
        let outcome = lapstrake_sandbox::run(&spec, &steps, watch.stop, &mut |event| listener.hear(&event))
            .map_err(|cause| sandbox_failure(cause, "could not run the build commands"))?;
        self.fetched.borrow_mut().extend(outcome.fetched);
        for host in &outcome.hosts {
            watch.report.note(&format!(
                "network: {}:{} in {} connections, {} bytes received",
                host.host, host.port, host.connections, host.received
            ));
        }
        outcome.result.map_err(|failed| {
            let failure = step_failure(&failed, &listener, watch.all, &self.limits);
            unserved(failure, &failed.failure, &outcome.troubles, &self.indexes)
        })
    }

    fn spec(&self, unit: &Unit<'_>, disk: &Disk, spent: Duration) -> Spec {
        let (root, app) = match unit.on {
            On::Scrap => {
                let below = Some(disk.outside()).filter(|outside| outside.is_dir());
                let lower = below.into_iter().chain(self.layers.clone()).collect();
                let app = Mount::overlay(&disk.app, "/app", self.scratch.join("post-build/app"));
                (Root { lower, scratch: self.scratch.join("post-build/root") }, app)
            }
            On::Build | On::Image | On::AppAlone => {
                let root = Root { lower: self.layers.clone(), scratch: disk.root.clone() };
                (root, Mount::writable(&disk.app, "/app"))
            }
        };
        let mut limits = self.limits.clone();
        // The limit is for all commands of a build together.
        limits.time = limits.time.map(|time| time.saturating_sub(spent));
        let own = unit.own.iter().flatten().cloned();
        let files = self.files.iter().cloned().chain(own).chain(self.secrets.files(unit.phase()));
        Spec {
            isolation: self.isolation,
            root,
            mounts: std::iter::once(app).chain(self.mounts.clone()).collect(),
            files: files.collect(),
            hostname: "build".to_owned(),
            identity: lapstrake_sandbox::Identity::default(),
            network: self.network.clone(),
            limits,
            build_uid: self.build_uid,
        }
    }
}

fn step_failure(failed: &StepFailure, heard: &Listener<'_>, all: &[PlannedStep], limits: &Limits) -> Failure {
    let step = heard.group[failed.step];
    if failed.failure == StepEnd::Cancelled {
        return Failure::new(Exit::Interrupted, "interrupted");
    }
    let end = match &failed.failure {
        StepEnd::TimedOut(_) => StepEnd::TimedOut(limits.time.unwrap_or_default()),
        other => other.clone(),
    };
    let in_phase: Vec<&PlannedStep> = all.iter().filter(|other| other.phase == step.phase).collect();
    let number = in_phase.iter().position(|other| std::ptr::eq(*other, step)).map_or(1, |index| index + 1);
    let mut what = format!(
        "[{}] command {number} of {} failed: {end} ({}): `{}`",
        step.phase.prefix(),
        in_phase.len(),
        step.origin,
        crate::report::printable(&heard.mask.apply(&step.command))
    );
    let lines = heard.last.lines();
    if !lines.is_empty() {
        what.push_str("\nits last lines:");
        for line in lines {
            let _ = write!(what, "\n  {}", crate::report::printable(line));
        }
    }
    let failure = Failure::new(Exit::AppFailed, what);
    match hint(&step.command, &failed.failure) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Shows what a group of commands does, and keeps what the failure of one of them repeats.
struct Listener<'a> {
    group: &'a [&'a PlannedStep],
    report: &'a Report,
    mask: Arc<Mask>,
    /// Lines of standard output and standard error that come in pieces.
    pieces: [Pieces; 2],
    last: Tail,
    /// Whether only the failure of one of them is told.
    is_quiet: bool,
}

impl<'a> Listener<'a> {
    fn new(group: &'a [&'a PlannedStep], report: &'a Report) -> Self {
        Self {
            group,
            report,
            mask: report.mask(),
            pieces: Default::default(),
            last: Tail::default(),
            is_quiet: false,
        }
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::StepStarted { step } => {
                self.last = Tail::default();
                if !self.is_quiet {
                    self.report.step(self.group[*step].phase.prefix(), &self.group[*step].command);
                }
            }
            Event::Output { step, stream, line, continues } => {
                let stream =
                    if *stream == lapstrake_sandbox::Stream::Stdout { Stream::Out } else { Stream::Err };
                let goes_on = self.pieces[stream as usize].goes_on();
                let line = self.pieces[stream as usize].next(&self.mask, line, *continues);
                // The end of a long line may bring nothing new.
                if !line.is_empty() || !(goes_on || *continues) {
                    self.show(*step, stream, line);
                }
            }
            Event::Refused { target, reason } => {
                self.report.warning(&format!("network: `{target}` was refused: {reason}"));
            }
            Event::Notice { text } => self.report.warning(text),
            Event::StepEnded { .. } | Event::Listening { .. } => {}
        }
    }

    fn show(&mut self, step: usize, stream: Stream, line: String) {
        if !self.is_quiet {
            self.report.output(self.group[step].phase.prefix(), stream, &line);
        }
        self.last.push(stream, line);
    }
}

fn hint(command: &str, end: &StepEnd) -> Option<String> {
    let managers = ["apt", "apt-get", "yum", "dnf", "apk"];
    match end {
        StepEnd::Exit(_) if command.split_whitespace().any(|word| managers.contains(&word)) => {
            Some("there is no package manager of the system here; compilers, git and common headers are in the build image".to_owned())
        }
        StepEnd::TimedOut(_) => Some(how_to_set("build-time")),
        StepEnd::OutOfMemory => Some(how_to_set("build-memory")),
        StepEnd::DiskFull => Some(how_to_set("build-disk")),
        StepEnd::Exit(127) => Some("the shell did not find the program".to_owned()),
        _ => None,
    }
}

/// The failure of a sandbox that could not run at all.
#[must_use]
pub fn sandbox_failure(cause: SandboxError, what: &str) -> Failure {
    match cause {
        SandboxError::Unavailable { .. } => Failure::because(Exit::NoIsolation, what, cause),
        _ => Failure::because(Exit::Ours, what, cause),
    }
}

/// Gives a tree to the user that build commands run under; nothing to do unless the program was started as root.
pub fn hand_over(tree: &Path, build_uid: u32) -> Result<(), Failure> {
    let (uid, gid) = lapstrake_sandbox::outside_identity(build_uid);
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    for entry in walkdir::WalkDir::new(tree).follow_links(false) {
        let changed = entry
            .map_err(std::io::Error::from)
            .and_then(|entry| std::os::unix::fs::lchown(entry.path(), Some(uid), Some(gid)));
        changed.map_err(|cause| Failure::io("could not hand the tree over to the build user", cause))?;
    }
    Ok(())
}

/// Gives one directory to the user that build commands run under, unless it is theirs.
pub fn give_to_commands(directory: &Path, build_uid: u32) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt;
    let (uid, gid) = lapstrake_sandbox::outside_identity(build_uid);
    let given = fs_err::symlink_metadata(directory).and_then(|found| {
        if !rustix::process::geteuid().is_root() || (found.uid(), found.gid()) == (uid, gid) {
            return Ok(());
        }
        std::os::unix::fs::lchown(directory, Some(uid), Some(gid))
    });
    given.map_err(|cause| Failure::io("could not hand a directory over to the build user", cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{FlowArgs, Keep};
    use crate::secrets::Hidden;

    fn step(phase: Phase, command: &str) -> PlannedStep {
        let origin = Origin::File { name: "apprunner.yaml".to_owned(), at: crate::app_file::Span::at(7, 1) };
        PlannedStep { phase, command: command.to_owned(), origin }
    }

    #[test]
    fn a_failed_command_is_named_with_its_place_its_exit_code_and_its_last_lines() {
        let steps =
            [step(Phase::PreBuild, "true"), step(Phase::Build, "true"), step(Phase::Build, "make it so now")];
        let group: Vec<&PlannedStep> = vec![&steps[2]];
        let failed = StepFailure { step: 0, failure: StepEnd::Exit(3) };
        let report = Report::silent();
        report.hide(&[Hidden::value("X", b"make it so")]);
        let mut heard = Listener::new(&group, &report);
        let output = |line: &str, continues| Event::Output {
            step: 0,
            stream: lapstrake_sandbox::Stream::Stdout,
            line: line.into(),
            continues,
        };
        heard.hear(&output("no rule to make ", true));
        heard.hear(&output("it so", false));
        let failure = step_failure(&failed, &heard, &steps, &Limits::default());
        assert_eq!(failure.exit, Exit::AppFailed);
        assert_eq!(
            failure.what,
            "[Build] command 2 of 2 failed: exit code 3 (apprunner.yaml:7): `*** now`\nits last lines:\n  no rule to ***"
        );
    }

    fn spec(on: On, disk: &Disk) -> Spec {
        let secrets = Secrets::default();
        let workshop = Workshop {
            isolation: Isolation::Strict,
            build_uid: 65533,
            limits: Limits::default(),
            fetched: RefCell::default(),
            indexes: Vec::new(),
            layers: vec!["/layers/top".into(), "/layers/bottom".into()],
            scratch: "/scratch".into(),
            working_dir: "/app".into(),
            env: BTreeMap::new(),
            network: Network::None,
            mounts: Vec::new(),
            files: Vec::new(),
            secrets: &secrets,
        };
        let step = step(Phase::Build, "true");
        workshop.spec(&Unit { on, steps: vec![&step], own: None }, disk, Duration::from_mins(10))
    }

    #[test]
    fn post_build_commands_see_a_view_that_is_thrown_away() {
        let place = tempfile::tempdir().unwrap();
        let disk = Disk { app: "/scratch/app".into(), root: place.path().to_owned() };
        std::fs::create_dir(disk.outside()).unwrap();
        let scrap = spec(On::Scrap, &disk);
        assert_ne!(scrap.root.upper(), disk.outside());
        assert_eq!(scrap.root.lower[0], disk.outside());
        assert!(matches!(scrap.mounts[0].kind, lapstrake_sandbox::MountKind::Overlay { .. }));
        for on in [On::Build, On::Image, On::AppAlone] {
            let kept = spec(on, &disk);
            assert_eq!(kept.root.upper(), disk.outside());
            assert_eq!(kept.mounts[0].kind, lapstrake_sandbox::MountKind::Writable);
        }
    }

    #[test]
    fn the_time_limit_is_for_all_commands_together() {
        let disk = Disk { app: "/a".into(), root: "/r".into() };
        let all = Limits::default().time.unwrap();
        assert_eq!(spec(On::Build, &disk).limits.time, all.checked_sub(Duration::from_mins(10)));
    }

    #[test]
    fn commands_come_in_the_order_of_their_phases_and_those_of_post_build_together() {
        let steps = [
            step(Phase::PreRun, "r"),
            step(Phase::PostBuild, "p"),
            step(Phase::Build, "a"),
            step(Phase::Build, "b"),
            step(Phase::PostBuild, "q"),
            step(Phase::PreBuild, "x"),
        ];
        let shown = |flow| -> Vec<(On, String)> {
            let commands = |unit: &Unit<'_>| unit.steps.iter().map(|step| step.command.as_str()).collect();
            units(&steps, flow).iter().map(|unit| (unit.on, commands(unit))).collect()
        };
        let owned = |all: &[(On, &str)]| -> Vec<(On, String)> {
            all.iter().map(|(on, commands)| (*on, (*commands).to_owned())).collect()
        };
        let build = [(On::Build, "x"), (On::Build, "a"), (On::Build, "b"), (On::Scrap, "pq")];
        let once = owned(&[&build[..], &[(On::Image, "r")]].concat());
        assert_eq!(shown(FlowArgs::default()), once);
        let again =
            owned(&[&build[..], &[(On::AppAlone, "a"), (On::AppAlone, "b"), (On::AppAlone, "r")]].concat());
        assert_eq!(shown(FlowArgs { keep: Keep::App, repeat_build: true }), again);
    }

    // row 28
    #[test]
    fn a_system_package_manager_gets_a_hint() {
        assert!(hint("apt-get install -y x", &StepEnd::Exit(127)).unwrap().contains("package manager"));
        assert_eq!(hint("make", &StepEnd::Exit(1)), None);
    }
}
