//! Runs the build commands of a plan in the sandbox.
//!
//! Pre-build and build commands share one tree. Post-build commands see a view of it that is thrown away. Pre-run
//! commands go on where the build commands ended. `/app` is a tree of its own; everything else is an overlay over the
//! layers of the build image.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use lapstrake_sandbox::{
    Event, Failure as StepEnd, Limits, Mount, Network, Root, SandboxError, Spec, Step, StepFailure,
};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::origin::Origin;
use crate::report::{Report, Stream};

/// The id that build commands run under outside when the program was started as root.
pub const BUILD_UID: u32 = 65533;
/// How many of the last lines of a failed command are repeated.
const LAST_LINES: usize = 20;

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

/// Where commands run, and on what.
pub struct Workshop {
    /// The unpacked layers of the build image, topmost first.
    pub layers: Vec<PathBuf>,
    /// The directory that commands see as `/app`.
    pub app: PathBuf,
    /// A directory for what the commands change elsewhere.
    pub scratch: PathBuf,
    /// The working directory, inside.
    pub working_dir: PathBuf,
    /// The environment of every command.
    pub env: BTreeMap<String, String>,
    /// What commands reach.
    pub network: Network,
    /// Files that commands need for the network.
    pub mounts: Vec<Mount>,
}

impl Workshop {
    /// Runs all commands, in the order pre-build, build, post-build, pre-run.
    pub fn run(&self, steps: &[PlannedStep], stop: &AtomicBool, report: &Report) -> Result<(), Failure> {
        let groups: [&[Phase]; 3] = [&[Phase::PreBuild, Phase::Build], &[Phase::PostBuild], &[Phase::PreRun]];
        for phases in groups {
            let group: Vec<&PlannedStep> = steps.iter().filter(|step| phases.contains(&step.phase)).collect();
            if !group.is_empty() {
                self.run_group(&group, &self.spec(phases == [Phase::PostBuild]), stop, report)?;
            }
        }
        Ok(())
    }

    /// The directory with what the commands changed outside `/app`, as an overlay records it.
    #[must_use]
    pub fn changes(&self) -> PathBuf {
        self.kept_root().upper()
    }

    fn kept_root(&self) -> Root {
        Root { lower: self.layers.clone(), scratch: self.scratch.join("root") }
    }

    fn spec(&self, throw_away: bool) -> Spec {
        let (root, app) = if throw_away {
            let below = self.kept_root().upper();
            let lower = below.is_dir().then_some(below).into_iter().chain(self.layers.clone()).collect();
            let scratch = self.scratch.join("post-build");
            let app = Mount::overlay(&self.app, "/app", scratch.join("app"));
            (Root { lower, scratch: scratch.join("root") }, app)
        } else {
            (self.kept_root(), Mount::writable(&self.app, "/app"))
        };
        Spec {
            root,
            mounts: std::iter::once(app).chain(self.mounts.clone()).collect(),
            hostname: "build".to_owned(),
            identity: lapstrake_sandbox::Identity::default(),
            network: self.network.clone(),
            limits: Limits::default(),
            build_uid: BUILD_UID,
        }
    }

    fn run_group(
        &self,
        group: &[&PlannedStep],
        spec: &Spec,
        stop: &AtomicBool,
        report: &Report,
    ) -> Result<(), Failure> {
        let steps: Vec<Step> = group
            .iter()
            .map(|step| Step {
                argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), step.command.clone()],
                env: self.env.clone(),
                cwd: self.working_dir.clone(),
            })
            .collect();
        let mut last = VecDeque::new();
        let outcome =
            lapstrake_sandbox::run(spec, &steps, stop, &mut |event| show(&event, group, &mut last, report))
                .map_err(|cause| sandbox_failure(cause, "could not run the build commands"))?;
        for host in &outcome.hosts {
            report.note(&format!(
                "network: {}:{} in {} connections, {} bytes received",
                host.host, host.port, host.connections, host.received
            ));
        }
        outcome.result.map_err(|failed| self.step_failure(&failed, group, &last))
    }

    fn step_failure(&self, failed: &StepFailure, group: &[&PlannedStep], last: &VecDeque<String>) -> Failure {
        let step = group[failed.step];
        if failed.failure == StepEnd::Cancelled {
            return Failure::new(Exit::Interrupted, "interrupted");
        }
        let in_phase: Vec<&&PlannedStep> = group.iter().filter(|other| other.phase == step.phase).collect();
        let number =
            in_phase.iter().position(|other| std::ptr::eq(**other, step)).map_or(1, |index| index + 1);
        let mut what = format!(
            "[{}] command {number} of {} failed: {} ({}): `{}`",
            step.phase.prefix(),
            in_phase.len(),
            failed.failure,
            step.origin,
            crate::report::printable(&step.command)
        );
        if !last.is_empty() {
            what.push_str("\nits last lines:");
            for line in last {
                let _ = write!(what, "\n  {}", crate::report::printable(line));
            }
        }
        let failure = Failure::new(Exit::AppFailed, what);
        match hint(&step.command, &failed.failure) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

fn show(event: &Event, group: &[&PlannedStep], last: &mut VecDeque<String>, report: &Report) {
    match event {
        Event::StepStarted { step } => {
            last.clear();
            report.step(group[*step].phase.prefix(), &group[*step].command);
        }
        Event::Output { step, stream, line } => {
            let stream = if *stream == lapstrake_sandbox::Stream::Stdout { Stream::Out } else { Stream::Err };
            report.output(group[*step].phase.prefix(), stream, line);
            last.push_back(line.clone());
            if last.len() > LAST_LINES {
                last.pop_front();
            }
        }
        Event::Refused { target, reason } => {
            report.warning(&format!("network: `{target}` was refused: {reason}"));
        }
        Event::Notice { text } => report.warning(text),
        Event::StepEnded { .. } | Event::Listening { .. } => {}
    }
}

fn hint(command: &str, end: &StepEnd) -> Option<String> {
    let managers = ["apt", "apt-get", "yum", "dnf", "apk"];
    match end {
        StepEnd::Exit(_) if command.split_whitespace().any(|word| managers.contains(&word)) => {
            Some("there is no package manager of the system here; compilers, git and common headers are in the build image".to_owned())
        }
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
pub fn hand_over(tree: &Path) -> Result<(), Failure> {
    let (uid, gid) = lapstrake_sandbox::outside_identity(BUILD_UID);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn step(phase: Phase, command: &str) -> PlannedStep {
        let origin = Origin::File { name: "apprunner.yaml".to_owned(), at: crate::app_file::Span::at(7, 1) };
        PlannedStep { phase, command: command.to_owned(), origin }
    }

    fn workshop() -> Workshop {
        Workshop {
            layers: vec!["/layers/top".into(), "/layers/bottom".into()],
            app: "/scratch/app".into(),
            scratch: "/scratch".into(),
            working_dir: "/app".into(),
            env: BTreeMap::new(),
            network: Network::None,
            mounts: Vec::new(),
        }
    }

    #[test]
    fn a_failed_command_is_named_with_its_place_its_exit_code_and_its_last_lines() {
        let steps =
            [step(Phase::PreBuild, "true"), step(Phase::Build, "true"), step(Phase::Build, "make it")];
        let group: Vec<&PlannedStep> = steps.iter().collect();
        let failed = StepFailure { step: 2, failure: StepEnd::Exit(3) };
        let failure = workshop().step_failure(&failed, &group, &VecDeque::from(["no rule".to_owned()]));
        assert_eq!(failure.exit, Exit::AppFailed);
        assert_eq!(
            failure.what,
            "[Build] command 2 of 2 failed: exit code 3 (apprunner.yaml:7): `make it`\nits last lines:\n  no rule"
        );
    }

    #[test]
    fn post_build_commands_see_a_view_that_is_thrown_away() {
        let spec = workshop().spec(true);
        assert_ne!(spec.root.upper(), workshop().changes());
        assert!(matches!(spec.mounts[0].kind, lapstrake_sandbox::MountKind::Overlay { .. }));
        let kept = workshop().spec(false);
        assert_eq!(kept.root.upper(), workshop().changes());
        assert_eq!(kept.mounts[0].kind, lapstrake_sandbox::MountKind::Writable);
    }

    #[test]
    fn a_system_package_manager_gets_a_hint() {
        assert!(hint("apt-get install -y x", &StepEnd::Exit(127)).unwrap().contains("package manager"));
        assert_eq!(hint("make", &StepEnd::Exit(1)), None);
    }
}
