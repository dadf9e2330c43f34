//! Makes the layers of an entry, each once for all entries and processes.

mod board;
mod compiler;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use lapstrake_catalog::LayerRecord;
use lapstrake_oci::layer::{Compression, Contents, EntryKind, PackOptions, list, pack};
use lapstrake_oci::layout::Layout;
use lapstrake_oci::tree::{FileTree, Kind, Node};
use oci_spec::image::{Descriptor, Digest};
use serde::{Deserialize, Serialize};

use super::guard::{Guard, Scratch, file_error, write};
use super::state::State;
use super::{ASSEMBLY_FORMAT, Context, LAYER_MTIME, LazyFetcher, LocalCatalog, LocalError, assembly};
use crate::arch::Arch;
use crate::canonical::{canonical_json, pretty_json, sha256_of};
use crate::entries::{EntryRecord, LockRef};
use crate::layer::assemble;
use crate::lock::{Artifact, Lock};
use crate::progress::Event;
use crate::pyc::{Interpreter, compile};
use crate::recipe::{Install, LayerRecipe, LineRecipe, OsRecipe, RuntimeRecipe};
use crate::update::recipe_digest;

use board::Board;
use compiler::Compiler;

/// How many layers are made at a time. Each holds a decoder's window and blocks on their way through compression, so
/// that the number of processors must not decide.
const SIDE_BY_SIDE: usize = 2;

/// A layer whose blob is in the layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct MadeLayer {
    /// The name of its lock.
    pub(super) lock: String,
    /// The blob.
    pub(super) descriptor: Descriptor,
    diff_id: Digest,
    uncompressed: u64,
    files: u64,
}

impl MadeLayer {
    pub(super) fn record(&self, role: &str) -> Result<LayerRecord, LocalError> {
        let no_role = |error: lapstrake_catalog::record::LayerRoleError| LocalError::Describe {
            reason: error.to_string(),
        };
        Ok(LayerRecord {
            role: role.parse().map_err(no_role)?,
            digest: self.descriptor.digest().clone(),
            diff_id: self.diff_id.clone(),
            size: self.descriptor.size(),
            uncompressed: self.uncompressed,
            files: self.files,
        })
    }
}

/// An entry on a platform, and what is needed to make its layers.
pub(super) struct Workshop<'a> {
    pub(super) runtime: &'a RuntimeRecipe,
    line: &'a LineRecipe,
    os: &'a OsRecipe,
    entry: &'a EntryRecord,
    arch: Arch,
    refs: BTreeMap<&'a str, &'a LockRef>,
    state: &'a State,
    layout: &'a Layout,
    data: &'a Path,
    context: &'a Context<'a>,
    fetcher: &'a LazyFetcher<'a>,
    trees: Mutex<BTreeMap<String, FileTree>>,
}

/// A layer that is to be made.
struct Job<'a> {
    role: &'a str,
    layer: &'a LayerRecipe,
    lock: &'a Lock,
    key: String,
}

impl<'a> Workshop<'a> {
    pub(super) fn new(
        catalog: &'a LocalCatalog,
        entry: &'a EntryRecord,
        arch: Arch,
        context: &'a Context<'a>,
        fetcher: &'a LazyFetcher<'a>,
    ) -> Result<Self, LocalError> {
        let recipes = &catalog.state.definitions().recipes;
        let found = recipes
            .lines()
            .find(|(runtime, line)| runtime.name == entry.runtime && line.version == entry.line);
        let no_recipe = || LocalError::NoRecipe { lock: entry.id.clone() };
        let (runtime, line) = found.ok_or_else(no_recipe)?;
        let os = recipes.oses.get(&line.os).ok_or_else(no_recipe)?;
        let images = entry.platforms.get(arch.platform());
        let refs = images.into_iter().flat_map(BTreeMap::values).flatten();
        Ok(Self {
            runtime,
            line,
            os,
            entry,
            arch,
            refs: refs.map(|at| (at.role.as_str(), at)).collect(),
            state: &catalog.state,
            layout: &catalog.layout,
            data: &catalog.data,
            context,
            fetcher,
            trees: Mutex::default(),
        })
    }

    /// Makes the layers of some roles and all that is below them.
    pub(super) fn make(&self, roles: &BTreeSet<&'a str>) -> Result<BTreeMap<&'a str, MadeLayer>, LocalError> {
        let mut jobs = Vec::new();
        for role in roles {
            self.plan(role, &mut jobs)?;
        }
        let mut made = BTreeMap::new();
        let mut missing = Vec::new();
        for job in jobs {
            match self.known(&job)? {
                Some(layer) => {
                    let (name, bytes) = (&job.lock.name(), layer.descriptor.size());
                    self.context.progress.event(&Event::LayerReady { layer: name, bytes, cached: true });
                    made.insert(job.role, layer);
                }
                None => missing.push(job),
            }
        }
        if missing.is_empty() {
            return Ok(made);
        }
        self.fetch(&missing)?;
        let compiler = self.compiler(&missing)?;
        self.build_all(missing, made, compiler.as_ref())
    }

    /// Makes layers side by side, each as soon as those below it are there.
    fn build_all(
        &self,
        jobs: Vec<Job<'a>>,
        made: BTreeMap<&'a str, MadeLayer>,
        compiler: Option<&Compiler>,
    ) -> Result<BTreeMap<&'a str, MadeLayer>, LocalError> {
        let workers = self.context.threads.get().min(jobs.len()).min(SIDE_BY_SIDE);
        let board = Board::new(jobs, made);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some((job, lower)) = board.take(|job| self.below(job.layer)) {
                        board.put(job.role, self.build(&job, &lower, compiler));
                    }
                });
            }
        });
        board.finish()
    }

    /// Adds the layer of a role after those below it.
    fn plan(&self, role: &str, jobs: &mut Vec<Job<'a>>) -> Result<(), LocalError> {
        if jobs.iter().any(|job| job.role == role) {
            return Ok(());
        }
        let recipes = &self.state.definitions().recipes;
        let no_recipe = || LocalError::NoRecipe { lock: format!("{role} of {}", self.entry.id) };
        let layer = recipes.layer(self.line, role).ok_or_else(no_recipe)?;
        for below in &layer.below {
            self.plan(below, jobs)?;
        }
        let lock = self.lock(role)?;
        let lower = self.below(layer).into_iter().map(|role| {
            jobs.iter().find(|job| job.role == role).map(|job| job.key.clone()).unwrap_or_default()
        });
        let key = key(lock, lower.collect());
        jobs.push(Job { role: &layer.role, layer, lock, key });
        Ok(())
    }

    fn lock(&self, role: &str) -> Result<&'a Lock, LocalError> {
        let no_lock = |lock: &str| LocalError::NoLock { id: self.entry.id.clone(), lock: lock.to_owned() };
        let at = self.refs.get(role).ok_or_else(|| no_lock(role))?;
        self.state.lock(at).ok_or_else(|| no_lock(&at.lock))
    }

    /// The roles of all layers below, lowest first.
    fn below(&self, layer: &LayerRecipe) -> Vec<&'a str> {
        let mut roles = Vec::new();
        for role in &layer.below {
            let Some(lower) = self.state.definitions().recipes.layer(self.line, role) else { continue };
            for one in self.below(lower).into_iter().chain([lower.role.as_str()]) {
                if !roles.contains(&one) {
                    roles.push(one);
                }
            }
        }
        roles
    }

    fn record_path(&self, key: &str, ending: &str) -> PathBuf {
        self.data.join("layers").join(format!("{key}.{ending}"))
    }

    /// The layer of a job, if it has been made and is still there.
    fn known(&self, job: &Job<'_>) -> Result<Option<MadeLayer>, LocalError> {
        let path = self.record_path(&job.key, "json");
        let bytes = match fs_err::read(&path) {
            Ok(bytes) => bytes,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(file_error(&path)(cause)),
        };
        let layer: MadeLayer =
            serde_json::from_slice(&bytes).map_err(|source| LocalError::Syntax { path, source })?;
        Ok(self.layout.has_blob(layer.descriptor.digest()).then_some(layer))
    }

    fn fetch(&self, jobs: &[Job<'_>]) -> Result<(), LocalError> {
        let mut artifacts: Vec<&Artifact> = jobs.iter().flat_map(|job| &job.lock.artifacts).collect();
        let host;
        if self.arch != self.context.arch
            && let Some(job) = jobs.iter().find(|job| job.layer.install == Install::Python)
        {
            host = self.host()?.lock(job.role)?.clone();
            artifacts.extend(&host.artifacts);
        }
        let npm = artifacts.iter().any(|artifact| matches!(artifact, Artifact::Npm(_)));
        let python = artifacts.iter().any(|artifact| matches!(artifact, Artifact::Wheel(_)));
        self.fetcher.get()?;
        let fetcher = self.fetcher.complete(self.state, npm, python)?;
        fetcher.fetch_all(&artifacts, self.context.progress)?;
        Ok(())
    }

    /// A directory for temporary files, in the file system of the layout.
    fn scratch(&self) -> Result<Scratch, LocalError> {
        Scratch::create(self.data)
    }

    /// Makes one layer, or waits for another process that does.
    fn build(
        &self,
        job: &Job<'_>,
        made: &BTreeMap<&'a str, MadeLayer>,
        compiler: Option<&Compiler>,
    ) -> Result<MadeLayer, LocalError> {
        let name = job.lock.name();
        let _guard = Guard::wait(&self.record_path(&job.key, "lock"))?;
        if let Some(layer) = self.known(job)? {
            return Ok(layer);
        }
        self.context.progress.event(&Event::LayerStarted { layer: &name });
        let scratch = self.scratch()?;
        let lower = self.lower(&self.below(job.layer), made)?;
        let lower: Vec<&FileTree> = lower.iter().collect();
        let mut tree = self.assemble(job.layer, job.lock, &lower, scratch.path())?;
        if job.layer.install == Install::Python
            && let (Some(compiler), Some(minor)) = (compiler, &job.layer.python)
        {
            let interpreter = Interpreter { minor, rootfs: &compiler.layers, tool: self.context.tool };
            tree = compile(&tree, interpreter, scratch.path())
                .map_err(|source| LocalError::Compile { layer: name.clone(), source: Box::new(source) })?;
        }
        let most = PackOptions::new(LAYER_MTIME);
        let share = self.context.threads.min(most.threads).get() / SIDE_BY_SIDE;
        let threads = NonZeroUsize::new(share).unwrap_or(NonZeroUsize::MIN);
        let options = PackOptions { threads, compression: Compression::SMALL, ..most };
        let packed = pack(&tree, &options, scratch.path())
            .map_err(|source| LocalError::Pack { layer: name.clone(), source: Box::new(source) })?;
        let layer = MadeLayer {
            lock: name.clone(),
            descriptor: packed.descriptor.clone(),
            diff_id: packed.diff_id.clone(),
            uncompressed: packed.uncompressed,
            files: packed.files,
        };
        self.layout.adopt_layer(packed)?;
        write(&self.record_path(&job.key, "json"), &pretty_json(&layer))?;
        let bytes = layer.descriptor.size();
        self.context.progress.event(&Event::LayerReady { layer: &name, bytes, cached: false });
        Ok(layer)
    }

    fn assemble(
        &self,
        layer: &LayerRecipe,
        lock: &Lock,
        lower: &[&FileTree],
        scratch: &Path,
    ) -> Result<FileTree, LocalError> {
        if recipe_digest(self.os, layer).as_ref() != lock.recipe {
            // Other rules would make other bytes of the same files, under the id that stands for these.
            return Err(LocalError::NoRecipe { lock: lock.name() });
        }
        let store = self.fetcher.store();
        let files: Vec<_> = lock
            .artifacts
            .iter()
            .map(|artifact| (assembly::info(artifact), store.path(artifact.sha256())))
            .collect();
        assemble(&files, &assembly::rules(self.os, layer, lock), lower, scratch)
            .map_err(|source| LocalError::Assemble { layer: lock.name(), source: Box::new(source) })
    }

    /// The trees of the layers below, as their blobs have them.
    fn lower(
        &self,
        roles: &[&'a str],
        made: &BTreeMap<&'a str, MadeLayer>,
    ) -> Result<Vec<FileTree>, LocalError> {
        roles.iter().filter_map(|role| made.get(role)).map(|layer| self.tree(layer)).collect()
    }

    fn tree(&self, layer: &MadeLayer) -> Result<FileTree, LocalError> {
        let digest = layer.descriptor.digest();
        let known = |trees: &BTreeMap<String, FileTree>| trees.get(digest.as_ref()).cloned();
        if let Some(tree) = self.trees.lock().ok().as_deref().and_then(known) {
            return Ok(tree);
        }
        let path = self.layout.blob_path(digest);
        let file = std::fs::File::open(&path).map_err(file_error(&path))?;
        let listing = list(file, layer.descriptor.media_type(), Contents::Skip)
            .map_err(|source| LocalError::Read { layer: layer.lock.clone(), source: Box::new(source) })?;
        let mut tree = FileTree::new();
        for (path, listed) in listing.entries {
            let kind = match listed.entry.kind {
                EntryKind::Directory => Kind::Directory,
                EntryKind::Symlink(target) => Kind::Symlink(target),
                EntryKind::Hardlink(target) => Kind::Hardlink(target),
                _ => Kind::File(Vec::new().into()),
            };
            tree.insert(path, Node { kind, mode: listed.entry.mode, owner: listed.entry.owner });
        }
        if let Ok(mut trees) = self.trees.lock() {
            trees.insert(digest.to_string(), tree.clone());
        }
        Ok(tree)
    }
}

/// What stands for the bytes of a layer: its lock, those below it, and our two formats.
fn key(lock: &Lock, lower: Vec<String>) -> String {
    let parts = (lock.content_digest(), lower, ASSEMBLY_FORMAT, lapstrake_oci::layer::FORMAT);
    sha256_of(&canonical_json(&parts)).digest().to_owned()
}
