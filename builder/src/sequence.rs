//! The commands of a build in sequence: each is carried out, or what it made before is taken.
//!
//! A command is not run again when nothing that it has read has changed. What it read of `/app` is known by access times
//! ([`crate::trace`]); everything else that it can see counts as read: names, modes and links in `/app`, all files
//! outside of it, its environment, its secrets, the layers below. What it took from the network does not count.

mod judge;
mod keep;
mod observed;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use lapstrake_oci::layer::{
    self, Compose, Compression, ModePolicy, PackOptions, Scan, ScanOptions, UnpackOptions,
};
use lapstrake_oci::tree::{Content, ContentDigest, FileTree, Kind, Node, Owner};
use lapstrake_sandbox::Isolation;
use oci_spec::image::Digest;
use serde::Serialize;

use crate::bytecode::{self, Compiler};
use crate::cache::{Circumstances, KeptLayer, Key, Made, ReadSet, Remembered};
use crate::changes::{Listing, Recorded};
use crate::cli::{FlowArgs, NetworkArgs};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::fetched::FetchedReport;
use crate::plan::Plan;
use crate::reuse::Reuse;
use crate::scratch::Scratch;
use crate::secrets::Secrets;
use crate::source::{self, MaterialiseOptions, Modes, in_parallel};
use crate::state::{self, State};
use crate::steps::{Disk, On, Phase, PlannedStep, Unit, Watch, Workshop, hand_over, may_be_seen, units};
use crate::tool_env::SOURCE_TIME;
use crate::trace::{self, Marks};

pub use judge::Judged;
pub use keep::{Keeping, PackedContents};
use observed::{Observed, contents_of, facts_after};

/// What an earlier command made is a minute younger than the source.
const MADE_TIME: i64 = SOURCE_TIME + 60;

/// What commands run on, made ready only when one has to run.
pub trait Ground {
    /// What they need to run.
    fn workshop(&self) -> Result<&Workshop<'_>, Failure>;

    /// The paths of the build image.
    fn build_paths(&self) -> Result<&Listing, Failure>;
}

/// Commands in sequence.
pub struct Sequence<'a> {
    /// The commands.
    pub steps: &'a [PlannedStep],
    /// Which of them run on what.
    pub flow: FlowArgs,
    /// What is the same for all of them: what each thing is about, and its value.
    fields: Vec<(&'static str, String)>,
    /// Which app it is, to tell what has changed in it.
    app: String,
    secrets: &'a Secrets,
    reuse: &'a Reuse,
    /// Keeps digests of secrets apart from those of others.
    key: [u8; 32],
    /// What compiles the packages that they have installed.
    compiler: Option<&'a Compiler>,
}

/// What the commands of a plan run in, as far as it decides what they make.
pub struct Surroundings {
    /// The diffIDs of the build image's layers, lowest first.
    pub build_layers: Vec<Digest>,
    /// Those of the runtime image.
    pub run_layers: Vec<Digest>,
    /// The environment, without what leads to this machine's network.
    pub env: BTreeMap<String, String>,
    /// What commands reach.
    pub network: NetworkArgs,
    /// What keeps them away from the machine.
    pub isolation: Isolation,
    /// Whether they find no downloads of earlier builds, so that everything that they fetch is on record.
    pub records_fetches: bool,
}

/// Why the byte code of packages is not made again.
const COMPILED: &str = "byte code of packages: made before";

/// What became of one unit of commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Their phase.
    pub phase: Phase,
    /// The commands.
    pub commands: Vec<String>,
    /// Whether they run.
    pub runs: bool,
    /// Why.
    pub reason: String,
    /// How long they ran, in milliseconds, the making and the end of their sandbox included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let does = if self.runs { "runs" } else { "is not run" };
        write!(f, "[{}] `{}` {does}: {}", self.phase.prefix(), self.commands.join("`, `"), self.reason)
    }
}

/// What commands have made, all of them together.
pub struct Ran {
    /// What they left.
    pub state: State,
    /// Layers with contents of it that are not on this machine.
    pub layers: Vec<KeptLayer>,
    /// Results that are yet to be kept.
    pub new: Vec<NewResult>,
    /// What became of each unit.
    pub verdicts: Vec<Verdict>,
    /// What has no place in an image, with its path in it.
    pub dropped: Vec<(String, &'static str)>,
    /// What they have fetched, or had fetched when they made what was taken.
    pub fetched: Vec<FetchedReport>,
}

/// A result of a command that is yet to be kept.
pub struct NewResult {
    circumstances: Key,
    read: ReadSet,
    made: Made,
    contents: BTreeMap<ContentDigest, Content>,
}

/// How a sequence ended.
pub enum End {
    /// Every command was carried out, or what it made before was taken.
    Done,
    /// A command has to run on what was made before, and that is not to be had any more.
    Gone,
    /// A command failed, or could not run.
    Failed(Failure),
}

/// What was found of a unit in the cache.
enum Found {
    Made(Box<Made>),
    /// Nothing, and why.
    Not(String),
}

/// What a unit has made, unless that has no place in the cache, and the contents of it.
type Observation = (Option<Made>, BTreeMap<ContentDigest, Content>);

/// A state on a disk.
struct Laid {
    disk: Disk,
    /// What was outside of `/app` when it was laid out, or when a command ended.
    outside: Marks,
    temporary: Marks,
}

impl<'a> Sequence<'a> {
    /// The commands of a plan.
    pub fn new(
        plan: &'a Plan,
        surroundings: &Surroundings,
        secrets: &'a Secrets,
        compiler: Option<&'a Compiler>,
        reuse: &'a Reuse,
        context: &Context,
    ) -> Result<Self, Failure> {
        let layers = |layers: &[Digest]| layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let key = match context.var("LAPSTRAKE_CACHE_KEY") {
            Some(text) => blake3::derive_key("lapstrake digests of secrets 1", text.as_bytes()),
            None if secrets.is_empty() => [0; 32],
            None => reuse
                .secret_key()
                .map_err(|cause| Failure::io("could not make the key of the cache", cause))?,
        };
        let recorded = if surroundings.records_fetches { "all" } else { "what is not kept already" };
        Ok(Self {
            steps: &plan.steps,
            flow: plan.flow,
            fields: vec![
                ("the build image", layers(&surroundings.build_layers)),
                ("the runtime image", layers(&surroundings.run_layers)),
                ("the environment", format!("{:?}", surroundings.env)),
                ("the working directory", plan.run.working_dir.clone()),
                ("the network", format!("{:?}", surroundings.network)),
                ("the isolation", surroundings.isolation.name().to_owned()),
                ("what is recorded of what commands fetch", recorded.to_owned()),
            ],
            app: plan.source.given.clone(),
            secrets,
            reuse,
            key,
            compiler,
        })
    }

    /// Carries the commands out, or takes what they have made before. With `looks`, contents of earlier results may be
    /// on another machine when this returns.
    pub fn run(
        &self,
        source: FileTree,
        ground: &dyn Ground,
        scratch: &Scratch,
        context: &Context,
        looks: bool,
    ) -> Result<(Ran, End), Failure> {
        let work = scratch.directory("sandbox")?;
        let mut course = Course {
            sequence: self,
            ground,
            scratch,
            context,
            traced: trace::probe_for(context.isolation, &work),
            laid: None,
            is_apart: false,
            generation: 0,
            spent: Cell::default(),
            ran: Ran {
                state: State::of_source(source),
                layers: Vec::new(),
                new: Vec::new(),
                verdicts: Vec::new(),
                dropped: Vec::new(),
                fetched: Vec::new(),
            },
        };
        let end = course.go(looks).unwrap_or_else(End::Failed);
        Ok((course.ran, end))
    }

    fn circumstances(&self, unit: &Unit<'_>, state: &State) -> Result<Circumstances, Failure> {
        let commands: Vec<&str> = unit.steps.iter().map(|step| step.command.as_str()).collect();
        let outside = state.outside_digest().map_err(|cause| unreadable(state::unreadable(&cause)))?;
        let mut fields = vec![
            ("the command", format!("{commands:?}")),
            ("what it runs on", format!("{:?} {:?}", unit.phase(), unit.on)),
        ];
        fields.extend(self.fields.iter().cloned());
        fields.push(("a secret", self.secrets.mark(unit.phase(), &self.key)));
        fields.push(("what commands before it left outside of `/app`", outside.to_string()));
        Ok(Circumstances::new(fields, state.names()))
    }

    fn find(&self, unit: &Unit<'_>, circumstances: &Circumstances, state: &State) -> Result<Found, Failure> {
        let mut changed = None;
        let mut missed = |now: &ReadSet, before: &ReadSet| {
            changed = changed.take().or_else(|| now.changed_since(before));
        };
        let found = self.reuse.command(&circumstances.key(), &|before| before.now(state), &mut missed);
        match found.map_err(unreadable)? {
            Some(made) if made.is_sound() => return Ok(Found::Made(Box::new(made))),
            Some(_) => return Ok(Found::Not(DAMAGED.to_owned())),
            None => {}
        }
        let changed = changed.or_else(|| {
            let before: Option<Remembered> = self.reuse.value_here(&self.place(unit));
            before.and_then(|before| circumstances.changed_since(&before))
        });
        Ok(Found::Not(changed.unwrap_or_else(|| "it has not run before".to_owned())))
    }

    /// What compiles the packages of a state; none where it has none.
    fn compiling(&self, state: &State) -> Option<Unit<'a>> {
        let compiler = self.compiler?;
        let sources = bytecode::sources(state);
        let own = (!sources.is_empty()).then(|| Compiler::files(&sources))?;
        Some(Unit { on: On::the_image(self.flow), steps: vec![&compiler.step], own: Some(own) })
    }

    /// What it is remembered by under which circumstances a unit ran.
    fn place(&self, unit: &Unit<'_>) -> Key {
        let phase = format!("{:?} {:?}", unit.phase(), unit.on);
        let commands = unit.steps.iter().map(|step| step.command.as_bytes());
        let parts = [b"place".as_slice(), self.app.as_bytes(), phase.as_bytes()].into_iter().chain(commands);
        Key::of(&parts.collect::<Vec<_>>())
    }
}

const UNCHANGED: &str = "nothing that it read has changed";
const DAMAGED: &str = "its entry in the cache is damaged";

fn verdict(unit: &Unit<'_>, runs: bool, reason: String) -> Verdict {
    let commands = unit.steps.iter().map(|step| step.command.clone()).collect();
    Verdict { phase: unit.phase(), commands, runs, reason, milliseconds: None }
}

fn unreadable(cause: io::Error) -> Failure {
    Failure::io("could not read what the commands work on", cause)
}

/// A sequence on its way.
struct Course<'a> {
    sequence: &'a Sequence<'a>,
    ground: &'a dyn Ground,
    scratch: &'a Scratch,
    context: &'a Context,
    traced: Result<(), trace::Untraceable>,
    laid: Option<Laid>,
    /// Whether what the build changed outside of `/app` was left behind.
    is_apart: bool,
    /// How often something was laid out.
    generation: u32,
    spent: Cell<Duration>,
    ran: Ran,
}

impl Course<'_> {
    fn go(&mut self, looks: bool) -> Result<End, Failure> {
        let sequence = self.sequence;
        let units = units(sequence.steps, sequence.flow);
        for (index, unit) in units.iter().enumerate() {
            let is_last =
                sequence.compiler.is_none() && units[index + 1..].iter().all(|later| later.on == On::Scrap);
            if !self.unit(unit, looks, is_last)? {
                return Ok(End::Gone);
            }
        }
        let on = On::the_image(sequence.flow);
        self.enter(on);
        if let Some(unit) = sequence.compiling(&self.ran.state) {
            match self.unit(&unit, looks, true) {
                Ok(true) => {}
                Ok(false) => return Ok(End::Gone),
                Err(failure) if failure.exit == Exit::AppFailed => {
                    let note =
                        format!("packages are not compiled ahead of the app's start: {}", failure.what);
                    self.context.report.warning(&note);
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(End::Done)
    }

    /// Takes what a unit has made before, or runs it. False when the state that it runs on cannot be laid out.
    fn unit(&mut self, unit: &Unit<'_>, looks: bool, is_last: bool) -> Result<bool, Failure> {
        let sequence = self.sequence;
        self.context.stop.check()?;
        self.enter(unit.on);
        let circumstances = sequence.circumstances(unit, &self.ran.state)?;
        let found = if looks {
            sequence.find(unit, &circumstances, &self.ran.state)?
        } else {
            Found::Not("nothing is taken from the cache".to_owned())
        };
        let why = match found {
            Found::Made(made) if self.take(unit, &made) => return Ok(true),
            Found::Made(_) => DAMAGED.to_owned(),
            Found::Not(why) => why,
        };
        self.carry_out(unit, &circumstances, why, is_last)
    }

    /// Leaves behind what the commands of a unit do not find.
    fn enter(&mut self, on: On) {
        if on == On::AppAlone && !self.is_apart {
            self.is_apart = true;
            self.ran.state = std::mem::take(&mut self.ran.state).app_alone();
            // What lies there is of no use any more; `/app` could stay, and is laid out again with the rest.
            self.laid = None;
        }
    }

    /// Takes what a unit made before; false when the entry is damaged.
    fn take(&mut self, unit: &Unit<'_>, made: &Made) -> bool {
        if unit.on != On::Scrap {
            let Some(after) = made.applied(self.ran.state.clone()) else { return false };
            self.ran.state = after;
            self.ran.layers.extend(made.blobs.iter().cloned());
            self.laid = None;
        }
        self.ran.fetched.extend(made.fetched.iter().cloned().map(FetchedReport::reused));
        self.tell(unit, false, UNCHANGED.to_owned());
        true
    }

    fn tell(&mut self, unit: &Unit<'_>, runs: bool, reason: String) {
        if unit.own.is_some() {
            let note = if runs { "compiling the packages of the app" } else { COMPILED };
            self.context.report.note(note);
            return;
        }
        let verdict = verdict(unit, runs, reason);
        self.context.report.note(&verdict.to_string());
        self.ran.verdicts.push(verdict);
    }

    /// Runs a unit. False when the state that it runs on cannot be laid out.
    fn carry_out(
        &mut self,
        unit: &Unit<'_>,
        circumstances: &Circumstances,
        why: String,
        is_last: bool,
    ) -> Result<bool, Failure> {
        let Some(laid) = self.lay_out()? else { return Ok(false) };
        self.tell(unit, true, why);
        self.sequence.reuse.keep_value_here(&self.sequence.place(unit), &circumstances.remembered());
        let app = match &self.traced {
            Ok(()) if unit.on != On::Scrap => trace::begin(&self.ran.state.app, &laid.disk.app),
            _ => trace::marks(&self.ran.state.app, &laid.disk.app),
        };
        let app = app.map_err(unreadable)?;
        let started = Instant::now();
        let stop = self.context.stop.flag();
        let watch = Watch {
            all: self.sequence.steps,
            stop: &stop,
            report: &self.context.report,
            spent: self.spent.get(),
        };
        let workshop = self.ground.workshop()?;
        let begun = Instant::now();
        let ended = workshop.run(unit, &laid.disk, watch);
        if let Some(verdict) = self.ran.verdicts.last_mut().filter(|_| unit.own.is_none()) {
            verdict.milliseconds = u64::try_from(begun.elapsed().as_millis()).ok();
        }
        let fetched = FetchedReport::of(&workshop.fetched.take());
        self.ran.fetched.extend(fetched.iter().cloned());
        ended.map_err(|failure| match failure.exit {
            // The sandbox knows that it was stopped, and not by which signal.
            Exit::Interrupted => self.context.stop.failure(),
            _ => failure,
        })?;
        self.spent.set(self.spent.get() + started.elapsed());
        self.context.stop.check()?;
        let read = self.read(unit, &app, &laid.disk).map_err(unreadable)?;
        if unit.on == On::Scrap {
            self.remember(circumstances, read, Some(Made::default().having(fetched)), BTreeMap::new());
            self.laid = Some(laid);
            return Ok(true);
        }
        let (made, contents) = self.observe(&app, laid, is_last)?;
        self.remember(circumstances, read, made.map(|made| made.having(fetched)), contents);
        Ok(true)
    }

    /// The files that a unit has read; none when they cannot be written down.
    fn read(&self, unit: &Unit<'_>, marks: &Marks, disk: &Disk) -> io::Result<Option<ReadSet>> {
        let state = &self.ran.state;
        if unit.on == On::Scrap || self.traced.is_err() {
            return ReadSet::everything(state).map(Some);
        }
        let read = trace::read_since(marks, &disk.app)?;
        let commands = unit.steps.iter().map(|step| step.command.as_str());
        if unit.own.is_none() && may_be_seen(commands, &read, |path| state.content(path).cloned()) {
            return ReadSet::everything(state).map(Some);
        }
        ReadSet::of(state, &read)
    }

    /// Takes what a unit has left as the new state.
    fn observe(&mut self, app: &Marks, laid: Laid, is_last: bool) -> Result<Observation, Failure> {
        let before = std::mem::take(&mut self.ran.state);
        let Laid { disk, outside, temporary } = laid;
        let mut dropped = Vec::new();
        let mut take = |scan: Scan, prefix: &str, before: &FileTree, dir: &Path, marks: &Marks| {
            dropped.extend(scan.dropped.iter().map(|found| (format!("{prefix}{}", found.path), found.what)));
            Observed::new(scan.tree, before, dir, marks)
        };
        let options = ScanOptions { modes: ModePolicy::Keep, ..ScanOptions::new(Owner::default()) };
        let scan = layer::scan(&disk.app, &options).map_err(refused)?;
        let mut app = take(scan, "app/", &before.app, &disk.app, app)?;
        let scan = layer::scan_upper(&disk.outside(), &options).map_err(refused)?;
        let opaque = scan.opaque.clone();
        let mut outside = take(scan, "", &before.outside.tree, &disk.outside(), &outside)?;
        let scan = layer::scan(&disk.temporary(), &options).map_err(refused)?;
        let mut temporary = take(scan, "tmp/", &before.temporary, &disk.temporary(), &temporary)?;
        if !is_last {
            let held = self.scratch.directory(&format!("made-{}", self.ran.new.len()))?;
            for (name, observed) in [("app", &mut app), ("outside", &mut outside), ("tmp", &mut temporary)] {
                observed.hold(&held.join(name)).map_err(unreadable)?;
            }
        }
        let new: Vec<Content> =
            [&app, &outside, &temporary].into_iter().flat_map(Observed::contents).collect();
        in_parallel(&new, |content| content.digest().map(drop)).map_err(unreadable)?;
        let facts = facts_after(&before, &app, &outside).map_err(unreadable)?;
        let after = State {
            app: app.tree,
            outside: Recorded { tree: outside.tree, opaque },
            temporary: temporary.tree,
            facts,
        };
        let contents = contents_of(&after, &app.changed);
        let made = if dropped.is_empty() { Made::of(&before, &after, &app.changed) } else { None };
        let temporary = trace::marks(&after.temporary, &disk.temporary()).map_err(unreadable)?;
        let outside = trace::marks(&after.outside.tree, &disk.outside()).map_err(unreadable)?;
        self.ran.dropped = dropped;
        self.ran.state = after;
        self.laid = Some(Laid { disk, outside, temporary });
        Ok((made, contents))
    }

    fn remember(
        &mut self,
        circumstances: &Circumstances,
        read: Option<ReadSet>,
        made: Option<Made>,
        contents: BTreeMap<ContentDigest, Content>,
    ) {
        if let (Some(read), Some(made)) = (read, made) {
            self.ran.new.push(NewResult { circumstances: circumstances.key(), read, made, contents });
        }
    }

    /// Lays the state out where it is not yet; none when contents of it are nowhere to be had.
    fn lay_out(&mut self) -> Result<Option<Laid>, Failure> {
        if let Some(laid) = self.laid.take() {
            return Ok(Some(laid));
        }
        let missing = state::missing(&self.ran.state.trees());
        if !missing.is_empty() {
            let brought = self.sequence.reuse.contents(&missing, &self.ran.layers, self.scratch.path());
            let Some(brought) = brought else { return Ok(None) };
            self.ran.state.bring(&brought);
        }
        self.generation += 1;
        let app = self.scratch.directory(&format!("app-{}", self.generation))?;
        let disk =
            Disk { app, root: self.scratch.directory("sandbox")?.join(format!("root-{}", self.generation)) };
        let state = &self.ran.state;
        let options = MaterialiseOptions {
            modified: Some(SOURCE_TIME),
            accessed: Some(trace::UNREAD),
            modes: Modes::OfTree,
            ..MaterialiseOptions::default()
        };
        let failed = |cause| {
            Failure::because(Exit::Ours, "could not lay the source out for the build commands", cause)
        };
        source::write(&state.app, &disk.app, &options, self.context.reader).map_err(failed)?;
        hand_over(&disk.app, self.context.build_uid)?;
        if !state.outside.is_empty() {
            let tree = with_whiteouts(&state.outside, self.ground.build_paths()?);
            self.unpack(&tree, &disk.outside(), Compose::Overlay)?;
        }
        if !state.temporary.is_empty() {
            self.unpack(&state.temporary, &disk.temporary(), Compose::Single)?;
        }
        let outside = trace::marks(&state.outside.tree, &disk.outside()).map_err(unreadable)?;
        let temporary = trace::marks(&state.temporary, &disk.temporary()).map_err(unreadable)?;
        Ok(Some(Laid { disk, outside, temporary }))
    }

    /// Writes a tree as an overlay's changes.
    fn unpack(&self, tree: &FileTree, to: &Path, compose: Compose) -> Result<(), Failure> {
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Failure::because(
                Exit::Ours,
                "could not lay out what commands made before",
                io::Error::other(cause),
            )
        };
        let options = PackOptions::new(MADE_TIME).compression(Compression::None);
        let packed =
            layer::pack(tree, &options, self.scratch.path()).map_err(|cause| failed(cause.into()))?;
        let (uid, gid) = lapstrake_sandbox::outside_identity(self.context.build_uid);
        let owner = rustix::process::geteuid().is_root().then_some(Owner { uid, gid });
        let options = UnpackOptions { owner, ..UnpackOptions::new(compose) };
        layer::unpack(packed.blob.path(), &packed.descriptor, &packed.diff_id, to, &options)
            .map(drop)
            .map_err(|cause| failed(cause.into()))
    }
}

/// Changes of an overlay in which a directory that hides what is below it is written as so many deletions.
fn with_whiteouts(outside: &Recorded, build: &Listing) -> FileTree {
    let mut tree = outside.tree.clone();
    for directory in &outside.opaque {
        let below = build.range(directory.clone()..).take_while(|(path, _)| path.is_within(directory));
        for (path, _) in below.filter(|(path, _)| path.parent().as_ref() == Some(directory)) {
            if outside.tree.get(path).is_none() {
                tree.insert(path.clone(), Node { kind: Kind::Whiteout, mode: 0, owner: Owner::default() });
            }
        }
    }
    tree
}

fn refused(cause: layer::ScanError) -> Failure {
    let exit = match cause {
        layer::ScanError::Read { .. } => Exit::Ours,
        _ => Exit::Refused,
    };
    Failure::because(exit, "what the build commands made cannot become a layer", cause)
}
