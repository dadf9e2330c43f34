//! Runs the build commands of a plan in the sandbox.
//!
//! Pre-build and build commands share one tree. Post-build commands see a view of it that is thrown away. Pre-run
//! commands go on where the build commands ended. `/app` is a tree of its own; everything else is an overlay over the
//! layers of the build image.

mod tail;
mod trees;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lapstrake_sandbox::{
    Event, Failure as StepEnd, Limits, MemoryFile, Mount, Network, SandboxError, Spec, Step, StepFailure,
};
use serde::Serialize;

use crate::cli::FlowArgs;
use crate::failure::{Exit, Failure};
use crate::origin::Origin;
use crate::report::{Report, Stream};
use crate::secrets::{Mask, Pieces, Secrets};
use tail::Tail;
use trees::Tree;

/// The id that build commands run under outside when the program was started as root.
pub const BUILD_UID: u32 = 65533;

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

/// Where commands run, and on what.
pub struct Workshop<'a> {
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
    /// The same, of what must not lie on a disk.
    pub files: Vec<MemoryFile>,
    /// The secrets of the commands.
    pub secrets: &'a Secrets,
    /// What is kept of the changes, and whether the build is repeated.
    pub flow: FlowArgs,
}

impl Workshop<'_> {
    /// Runs all commands, in the order pre-build, build, post-build, build again where that is asked for, pre-run.
    pub fn run(&self, steps: &[PlannedStep], stop: &AtomicBool, report: &Report) -> Result<(), Failure> {
        for (tree, phases) in self.groups() {
            let group: Vec<&PlannedStep> = steps.iter().filter(|step| phases.contains(&step.phase)).collect();
            if !group.is_empty() {
                self.run_group(&group, &self.spec(tree, phases[0]), stop, report)?;
            }
        }
        Ok(())
    }

    fn spec(&self, tree: Tree, phase: Phase) -> Spec {
        let root = self.root(tree);
        let app = match tree {
            Tree::Scrap => Mount::overlay(&self.app, "/app", self.scratch.join("post-build/app")),
            Tree::Build | Tree::Image => Mount::writable(&self.app, "/app"),
        };
        Spec {
            root,
            mounts: std::iter::once(app).chain(self.mounts.clone()).collect(),
            files: self.files.iter().cloned().chain(self.secrets.files(phase)).collect(),
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
                env: self.env.clone().into_iter().chain(self.secrets.variables(step.phase)).collect(),
                cwd: self.working_dir.clone(),
            })
            .collect();
        let mut listener = Listener::new(group, report);
        let outcome = lapstrake_sandbox::run(spec, &steps, stop, &mut |event| listener.hear(&event))
            .map_err(|cause| sandbox_failure(cause, "could not run the build commands"))?;
        for host in &outcome.hosts {
            report.note(&format!(
                "network: {}:{} in {} connections, {} bytes received",
                host.host, host.port, host.connections, host.received
            ));
        }
        outcome.result.map_err(|failed| step_failure(&failed, &listener))
    }
}

fn step_failure(failed: &StepFailure, heard: &Listener<'_>) -> Failure {
    let group = heard.group;
    let step = group[failed.step];
    if failed.failure == StepEnd::Cancelled {
        return Failure::new(Exit::Interrupted, "interrupted");
    }
    let in_phase: Vec<&&PlannedStep> = group.iter().filter(|other| other.phase == step.phase).collect();
    let number = in_phase.iter().position(|other| std::ptr::eq(**other, step)).map_or(1, |index| index + 1);
    let mut what = format!(
        "[{}] command {number} of {} failed: {} ({}): `{}`",
        step.phase.prefix(),
        in_phase.len(),
        failed.failure,
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
}

impl<'a> Listener<'a> {
    fn new(group: &'a [&'a PlannedStep], report: &'a Report) -> Self {
        Self { group, report, mask: report.mask(), pieces: Default::default(), last: Tail::default() }
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::StepStarted { step } => {
                self.last = Tail::default();
                self.report.step(self.group[*step].phase.prefix(), &self.group[*step].command);
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
        self.report.output(self.group[step].phase.prefix(), stream, &line);
        self.last.push(stream, line);
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
    use crate::cli::Keep;
    use crate::secrets::Hidden;

    fn step(phase: Phase, command: &str) -> PlannedStep {
        let origin = Origin::File { name: "apprunner.yaml".to_owned(), at: crate::app_file::Span::at(7, 1) };
        PlannedStep { phase, command: command.to_owned(), origin }
    }

    fn workshop(secrets: &Secrets) -> Workshop<'_> {
        Workshop {
            layers: vec!["/layers/top".into(), "/layers/bottom".into()],
            app: "/scratch/app".into(),
            scratch: "/scratch".into(),
            working_dir: "/app".into(),
            env: BTreeMap::new(),
            network: Network::None,
            mounts: Vec::new(),
            files: Vec::new(),
            secrets,
            flow: FlowArgs::default(),
        }
    }

    #[test]
    fn a_failed_command_is_named_with_its_place_its_exit_code_and_its_last_lines() {
        let steps =
            [step(Phase::PreBuild, "true"), step(Phase::Build, "true"), step(Phase::Build, "make it so now")];
        let group: Vec<&PlannedStep> = steps.iter().collect();
        let failed = StepFailure { step: 2, failure: StepEnd::Exit(3) };
        let report = Report::silent();
        report.hide(&[Hidden::value("X", b"make it so")]);
        let mut heard = Listener::new(&group, &report);
        let output = |line: &str, continues| Event::Output {
            step: 2,
            stream: lapstrake_sandbox::Stream::Stdout,
            line: line.into(),
            continues,
        };
        heard.hear(&output("no rule to make ", true));
        heard.hear(&output("it so", false));
        let failure = step_failure(&failed, &heard);
        assert_eq!(failure.exit, Exit::AppFailed);
        assert_eq!(
            failure.what,
            "[Build] command 2 of 2 failed: exit code 3 (apprunner.yaml:7): `*** now`\nits last lines:\n  no rule to ***"
        );
    }

    #[test]
    fn post_build_commands_see_a_view_that_is_thrown_away() {
        let none = Secrets::default();
        let spec = workshop(&none).spec(Tree::Scrap, Phase::PostBuild);
        assert_ne!(spec.root.upper(), workshop(&none).changes());
        assert!(matches!(spec.mounts[0].kind, lapstrake_sandbox::MountKind::Overlay { .. }));
        for tree in [Tree::Build, Tree::Image] {
            let kept = workshop(&none).spec(tree, Phase::Build);
            assert_eq!(kept.root.upper(), workshop(&none).changes());
            assert_eq!(kept.mounts[0].kind, lapstrake_sandbox::MountKind::Writable);
        }
    }

    #[test]
    fn pre_run_commands_find_nothing_of_the_build_but_app_where_only_that_is_kept() {
        let none = Secrets::default();
        let flow = FlowArgs { keep: Keep::App, ..FlowArgs::default() };
        let workshop = Workshop { flow, ..workshop(&none) };
        let (build, image) =
            (workshop.spec(Tree::Build, Phase::Build), workshop.spec(Tree::Image, Phase::PreRun));
        assert_ne!(build.root.upper(), image.root.upper());
        assert_eq!(image.root.upper(), workshop.changes());
        assert_eq!(
            (&build.mounts[0].kind, &build.mounts[0].target),
            (&image.mounts[0].kind, &image.mounts[0].target)
        );
    }

    #[test]
    fn a_repeated_build_comes_behind_post_build_and_on_the_tree_of_the_image() {
        let none = Secrets::default();
        let groups = |repeat_build| {
            let flow = FlowArgs { repeat_build, ..FlowArgs::default() };
            Workshop { flow, ..workshop(&none) }.groups()
        };
        let once = vec![
            (Tree::Build, vec![Phase::PreBuild, Phase::Build]),
            (Tree::Scrap, vec![Phase::PostBuild]),
            (Tree::Image, vec![Phase::PreRun]),
        ];
        assert_eq!(groups(false), once);
        assert_eq!(groups(true)[..2], once[..2]);
        assert_eq!(groups(true)[2..], [(Tree::Image, vec![Phase::Build, Phase::PreRun])]);
    }

    // row 28
    #[test]
    fn a_system_package_manager_gets_a_hint() {
        assert!(hint("apt-get install -y x", &StepEnd::Exit(127)).unwrap().contains("package manager"));
        assert_eq!(hint("make", &StepEnd::Exit(1)), None);
    }
}
