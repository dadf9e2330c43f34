//! The commands of a build in sequence: each is carried out, or what it made before is taken.
//!
//! A command is not run again when nothing that it has read has changed. What it read of `/app` is known by access times
//! ([`crate::trace`]); everything else that it can see counts as read: names, modes and links in `/app`, all files
//! outside of it, its environment, its secrets, the layers below. What it took from the network does not count.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use lapstrake_oci::image::Blob;
use lapstrake_oci::layer::{
    self, Compose, Compression, ModePolicy, PackOptions, Scan, ScanOptions, UnpackOptions,
};
use lapstrake_oci::tree::{
    Content, ContentDigest, ContentHasher, FileTree, Kind, Node, Owner, Place, TreePath,
};
use serde::Serialize;

use crate::bag;
use crate::cache::{Circumstances, KeptLayer, Key, Made, ReadSet, ReadSets, Remembered, in_app};
use crate::changes::{Listing, Recorded};
use crate::cli::FlowArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::needs::{Facts, KnownFacts};
use crate::python_records;
use crate::reuse::Reuse;
use crate::scratch::Scratch;
use crate::secrets::{Search, Secrets};
use crate::source::{MaterialiseOptions, Modes, in_parallel, materialise};
use crate::state::{self, State};
use crate::steps::{
    BUILD_UID, Disk, On, Phase, PlannedStep, Unit, Watch, Workshop, hand_over, may_be_seen, units,
};
use crate::tool_env::SOURCE_TIME;
use crate::trace::{self, Marks};

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
    pub fields: Vec<(&'static str, String)>,
    /// Which app it is, to tell what has changed in it.
    pub app: String,
    /// The secrets of the commands.
    pub secrets: &'a Secrets,
    /// What was done before.
    pub reuse: &'a Reuse,
    /// Keeps digests of secrets apart from those of others.
    pub key: [u8; 32],
}

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
}

/// A result of a command that is yet to be kept.
pub struct NewResult {
    circumstances: Key,
    read: ReadSet,
    made: Made,
    contents: BTreeMap<ContentDigest, Content>,
}

impl Ran {
    /// Keeps the results of the commands that were run. `packed` are the layers of the image with the contents that they
    /// have; what none of them has goes into a layer of its own. A result that holds a hidden value is not kept.
    pub fn keep(
        new: Vec<NewResult>,
        packed: &[(BTreeSet<ContentDigest>, KeptLayer, Blob)],
        layers: &[KeptLayer],
        reuse: &Reuse,
        search: &Search,
        scratch: &Scratch,
    ) -> Result<(), Failure> {
        let mut packed: Vec<(BTreeSet<ContentDigest>, KeptLayer, Blob)> = packed.to_vec();
        let is_packed =
            |digest: &ContentDigest| packed.iter().any(|(contents, ..)| contents.contains(digest));
        let mut rest: BTreeMap<ContentDigest, Content> = BTreeMap::new();
        let mut sound = Vec::new();
        for result in new {
            let (mut own, mut is_whole) = (BTreeMap::new(), true);
            for (digest, content) in result.contents.iter().filter(|(digest, _)| !is_packed(digest)) {
                // A later command may have written into the file.
                is_whole &= !content.is_here() || is_still(content, *digest);
                if content.is_here() {
                    own.insert(*digest, content.clone());
                }
            }
            if is_whole && !result.holds_any_of(&own, search)? {
                rest.extend(own);
                sound.push(result);
            }
        }
        if !rest.is_empty() {
            let options = PackOptions::new(MADE_TIME).compression(Compression::Zstd(3));
            let layer = layer::pack(&bag::tree(&rest), &options, scratch.path()).map_err(|cause| {
                Failure::because(Exit::Ours, "could not keep what the commands made", cause)
            })?;
            let (layer, blob) = reuse.keep_blob(layer)?;
            packed.push((rest.into_keys().collect(), layer, blob));
        }
        let mut sets: BTreeMap<String, (Key, ReadSets)> = BTreeMap::new();
        for NewResult { circumstances, read, mut made, contents } in sound {
            let has_some = |(of_layer, ..): &&(BTreeSet<ContentDigest>, KeptLayer, Blob)| {
                contents.keys().any(|digest| of_layer.contains(digest))
            };
            let mut with: Vec<(KeptLayer, Blob)> = packed
                .iter()
                .filter(has_some)
                .map(|(_, layer, blob)| (layer.clone(), blob.clone()))
                .collect();
            if contents.values().any(|content| !content.is_here()) {
                with.extend(layers.iter().filter_map(|layer| Some((layer.clone(), reuse.blob(layer)?))));
            }
            made.blobs = with.iter().map(|(layer, _)| layer.clone()).collect();
            reuse.keep_value(&read.key(&circumstances), &made, &with);
            let (_, known) = sets
                .entry(circumstances.to_string())
                .or_insert_with(|| (circumstances.clone(), reuse.value(&circumstances).unwrap_or_default()));
            known.add(read);
        }
        for (key, sets) in sets.into_values() {
            reuse.keep_value(&key, &sets, &[]);
        }
        Ok(())
    }
}

impl NewResult {
    /// Whether a hidden value stands in it.
    fn holds_any_of(&self, own: &BTreeMap<ContentDigest, Content>, search: &Search) -> Result<bool, Failure> {
        let leaks = search.in_trees(&[&bag::tree(own)]).map_err(unreadable)?;
        let text = serde_json::to_vec(&self.made)
            .map_err(|cause| Failure::because(Exit::Ours, "could not write what a command made", cause))?;
        Ok(!leaks.is_empty() || search.in_document("a result", &text).is_some())
    }
}

/// Whether a content still is what it was known by.
fn is_still(content: &Content, digest: ContentDigest) -> bool {
    let mut hasher = ContentHasher::default();
    content.each_part(|part| hasher.update(part)).is_ok() && hasher.finish() == digest
}

/// What was found of a unit in the cache.
enum Found {
    Made(Box<Made>),
    /// Nothing, and why.
    Not(String),
}

/// A state on a disk.
struct Laid {
    disk: Disk,
    /// What was outside of `/app` when it was laid out, or when a command ended.
    outside: Marks,
    temporary: Marks,
}

impl Sequence<'_> {
    /// Carries the commands out, or takes what they have made before. With `looks`, contents of earlier results may be
    /// on another machine when this returns; it returns none when a command has to run on some that are nowhere to be had.
    pub fn run(
        &self,
        source: FileTree,
        ground: &dyn Ground,
        scratch: &Scratch,
        context: &Context,
        looks: bool,
    ) -> Result<Option<Ran>, Failure> {
        let work = scratch.directory("sandbox")?;
        let mut course = Course {
            sequence: self,
            ground,
            scratch,
            context,
            traced: trace::probe(&work),
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
            },
        };
        let units = units(self.steps, self.flow);
        for (index, unit) in units.iter().enumerate() {
            context.stop.check()?;
            course.enter(unit.on);
            let circumstances = self.circumstances(unit, &course.ran.state)?;
            let found = if looks {
                self.find(unit, &circumstances, &course.ran.state).map_err(unreadable)?
            } else {
                Found::Not("nothing is taken from the cache".to_owned())
            };
            let why = match found {
                Found::Made(made) if course.take(unit, &made) => continue,
                Found::Made(_) => "its entry in the cache is damaged".to_owned(),
                Found::Not(why) => why,
            };
            let is_last = units[index + 1..].iter().all(|later| later.on == On::Scrap);
            if !course.carry_out(unit, &circumstances, why, is_last)? {
                return Ok(None);
            }
        }
        if self.flow.keep == crate::cli::Keep::App {
            course.enter(On::AppAlone);
        }
        Ok(Some(course.ran))
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

    fn find(&self, unit: &Unit<'_>, circumstances: &Circumstances, state: &State) -> io::Result<Found> {
        let key = circumstances.key();
        let sets: ReadSets = self.reuse.value(&key).unwrap_or_default();
        let mut changed = None;
        for before in sets.iter() {
            let Some(now) = before.now(state)? else { continue };
            if let Some(made) = self.reuse.value::<Made>(&now.key(&key)) {
                return Ok(Found::Made(Box::new(made)));
            }
            changed = changed.or_else(|| now.changed_since(before));
        }
        let changed = changed.or_else(|| {
            let before: Option<Remembered> = self.reuse.value_here(&self.place(unit));
            before.and_then(|before| circumstances.changed_since(&before))
        });
        Ok(Found::Not(changed.unwrap_or_else(|| "it has not run before".to_owned())))
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

fn verdict(unit: &Unit<'_>, runs: bool, reason: String) -> Verdict {
    let commands = unit.steps.iter().map(|step| step.command.clone()).collect();
    Verdict { phase: unit.phase(), commands, runs, reason }
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
        self.tell(verdict(unit, false, UNCHANGED.to_owned()));
        true
    }

    fn tell(&mut self, verdict: Verdict) {
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
        self.tell(verdict(unit, true, why));
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
        self.ground.workshop()?.run(unit, &laid.disk, watch).map_err(|failure| match failure.exit {
            // The sandbox knows that it was stopped, and not by which signal.
            Exit::Interrupted => self.context.stop.failure(),
            _ => failure,
        })?;
        self.spent.set(self.spent.get() + started.elapsed());
        self.context.stop.check()?;
        let read = self.read(unit, &app, &laid.disk).map_err(unreadable)?;
        if unit.on == On::Scrap {
            self.remember(circumstances, read, Some(Made::default()), BTreeMap::new());
            self.laid = Some(laid);
            return Ok(true);
        }
        self.observe(circumstances, read, &app, laid, is_last)?;
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
        if may_be_seen(commands, &read, |path| state.content(path).cloned()) {
            return ReadSet::everything(state).map(Some);
        }
        ReadSet::of(state, &read)
    }

    /// Takes what a unit has left as the new state.
    fn observe(
        &mut self,
        circumstances: &Circumstances,
        read: Option<ReadSet>,
        app: &Marks,
        laid: Laid,
        is_last: bool,
    ) -> Result<(), Failure> {
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
        self.remember(circumstances, read, made, contents);
        self.ran.dropped = dropped;
        self.ran.state = after;
        self.laid = Some(Laid { disk, outside, temporary });
        Ok(())
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
        materialise(&state.app, &disk.app, &options).map_err(failed)?;
        hand_over(&disk.app)?;
        if !state.outside.tree.is_empty() || !state.outside.opaque.is_empty() {
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
        let (uid, gid) = lapstrake_sandbox::outside_identity(BUILD_UID);
        let owner = rustix::process::geteuid().is_root().then_some(Owner { uid, gid });
        let options = UnpackOptions { owner, ..UnpackOptions::new(compose) };
        layer::unpack(packed.blob.path(), &packed.descriptor, &packed.diff_id, to, &options)
            .map(drop)
            .map_err(|cause| failed(cause.into()))
    }
}

/// A tree as it was found on disk. What is as it was before has the content that it had.
struct Observed {
    tree: FileTree,
    /// The paths of the others.
    changed: BTreeSet<TreePath>,
}

impl Observed {
    fn new(mut scanned: FileTree, before: &FileTree, dir: &Path, marks: &Marks) -> Result<Self, Failure> {
        python_records::settle(&mut scanned)
            .map_err(|cause| Failure::io("could not read what the commands installed", cause))?;
        let mut changed = BTreeSet::new();
        let merge = |(path, node): (TreePath, Node)| {
            let same = before
                .get(&path)
                .filter(|other| other.mode == node.mode && is_same(&path, other, &node, dir, marks));
            if same.is_none() {
                changed.insert(path.clone());
            }
            let node = same.cloned().unwrap_or(node);
            (path, node)
        };
        let tree = scanned.into_iter().map(merge).collect();
        Ok(Self { tree, changed })
    }

    /// Gives files that have changed second names in `dir`, where later commands do not remove or replace them.
    fn hold(&mut self, dir: &Path) -> io::Result<()> {
        for (number, path) in self.changed.iter().enumerate() {
            let Some(Kind::File(content)) = self.tree.get_mut(path).map(|node| &mut node.kind) else {
                continue;
            };
            let Place::Path { path: place, len } = content.place() else { continue };
            if number == 0 || !dir.exists() {
                fs_err::create_dir_all(dir)?;
            }
            let held = dir.join(number.to_string());
            fs_err::hard_link(place, &held)?;
            *content = Content::path(held, *len);
        }
        Ok(())
    }

    /// The contents of the files that have changed.
    fn contents(&self) -> Vec<Content> {
        let contents = self.changed.iter().filter_map(|path| match &self.tree.get(path)?.kind {
            Kind::File(content) => Some(content.clone()),
            _ => None,
        });
        contents.collect()
    }
}

fn is_same(path: &TreePath, before: &Node, now: &Node, dir: &Path, marks: &Marks) -> bool {
    match (&before.kind, &now.kind) {
        (Kind::File(_), Kind::File(_)) => trace::is_unchanged(path, dir, marks),
        (Kind::Directory, Kind::Directory) | (Kind::Whiteout, Kind::Whiteout) => true,
        (Kind::Symlink(one), Kind::Symlink(other)) => one == other,
        (Kind::Hardlink(one), Kind::Hardlink(other)) => one == other,
        _ => false,
    }
}

/// What the files are that commands have made so far. Those that have changed are looked at.
fn facts_after(before: &State, app: &Observed, outside: &Observed) -> io::Result<KnownFacts> {
    let files = |observed: &Observed| -> Vec<(TreePath, Node)> {
        let file = |path: &TreePath| {
            let node = observed.tree.get(path)?;
            matches!(node.kind, Kind::File(_)).then(|| (path.clone(), node.clone()))
        };
        observed.changed.iter().filter_map(file).collect()
    };
    let of_app = files(app).into_iter().filter_map(|(path, node)| Some((in_app(&path)?, node)));
    let changed: FileTree = of_app.chain(files(outside)).collect();
    let facts = Facts::of_trees(&[&changed], &KnownFacts::new())?;
    let is_there = |path: &TreePath| {
        let below = path.as_bytes().strip_prefix(b"app/").and_then(|below| TreePath::new(below).ok());
        let node = match below {
            Some(below) => app.tree.get(&below),
            None => outside.tree.get(path),
        };
        node.is_some_and(|node| matches!(node.kind, Kind::File(_)))
    };
    let mut after: KnownFacts = before
        .facts
        .iter()
        .filter(|(path, _)| is_there(path))
        .map(|(path, fact)| (path.clone(), fact.clone()))
        .collect();
    after.extend(changed.iter().map(|(path, _)| (path.clone(), facts.get(path).cloned())));
    Ok(after)
}

/// The contents of what commands have made, by digest.
fn contents_of(after: &State, changed: &BTreeSet<TreePath>) -> BTreeMap<ContentDigest, Content> {
    let of_app = after.app.iter().filter(|(path, _)| changed.contains(*path));
    let others = after.outside.tree.iter().chain(after.temporary.iter());
    let contents = of_app.chain(others).filter_map(|(_, node)| match &node.kind {
        Kind::File(content) => Some((content.known_digest()?, content.clone())),
        _ => None,
    });
    contents.collect()
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
