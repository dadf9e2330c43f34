//! The local catalog: runtimes that are made on this machine, in a user's data directory.
//!
//! What exists is known from the program's recipes, locks and entries before a single file is fetched. The layers of
//! an entry are made when they are first asked for, each once for all entries and processes, and recorded in an OCI
//! image layout whose tag `latest` is the catalog with all images made so far.

mod assembly;
mod describe;
mod error;
mod guard;
mod images;
mod layers;
mod record;
mod reference;
mod renew;
mod state;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use lapstrake_catalog::{Catalog, EntryId, ImageKind, ImageRecord, LayerRecord, PlatformKey, RunConfig};
use lapstrake_oci::document::Document;
use lapstrake_oci::layout::Layout;

pub use assembly::{ASSEMBLY_FORMAT, LAYER_MTIME, rules};
pub use error::LocalError;

use crate::arch::Arch;
use crate::definitions::Definitions;
use crate::entries::EntryRecord;
use crate::fetch::FetchError;
use crate::mirrors::{Machine, Mirrors, MirrorsError};
use crate::progress::Progress;
use crate::pyc::RunTool;
use crate::store::Store;
use guard::{Guard, Scratch};
use layers::Workshop;
use record::Made;
use reference::LazyFetcher;
use state::State;

/// The catalog of a data directory.
#[derive(Debug)]
pub struct LocalCatalog {
    data: PathBuf,
    layout: Layout,
    store: Store,
    state: State,
    catalog: Catalog,
}

/// What making layers needs of the outside.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Finds out where packages come from; asked only when something has to be fetched.
    pub mirrors: &'a (dyn Fn() -> Result<Mirrors, MirrorsError> + Sync),
    /// This machine.
    pub machine: Machine<'a>,
    /// Runs the interpreter that compiles Python's library.
    pub tool: &'a (dyn RunTool + Sync),
    /// Hears of what happens.
    pub progress: &'a dyn Progress,
    /// How many threads may work.
    pub threads: NonZeroUsize,
    /// The architecture of this machine.
    pub arch: Arch,
    /// The time that is recorded for what is locked anew.
    pub now: Timestamp,
    /// What happens when a locked file is gone.
    pub when_gone: WhenGone,
}

/// What happens when a locked file is gone from the mirrors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenGone {
    /// The layers are locked anew, into a new build number.
    Renew,
    /// It is an error.
    Fail,
}

/// Images of an entry that are there.
#[derive(Debug, Clone)]
pub struct ReadyEntry {
    /// The entry; another one than was asked for if a locked file was gone.
    pub id: EntryId,
    /// The platform.
    pub platform: PlatformKey,
    /// The images, by kind.
    pub images: BTreeMap<ImageKind, ReadyImage>,
    /// The settings of the runtime.
    pub config: RunConfig,
}

/// An image that is there.
#[derive(Debug, Clone)]
pub struct ReadyImage {
    /// What the catalog records.
    pub record: ImageRecord,
    /// The layers, lowest first, each with the file of its blob.
    pub layers: Vec<(LayerRecord, PathBuf)>,
}

impl LocalCatalog {
    /// Opens the catalog of a data directory; nothing is fetched.
    pub fn open(data: &Path, definitions: Definitions) -> Result<Self, LocalError> {
        Scratch::sweep(data)?;
        let layout = Layout::create(data.join("catalog"))?;
        let store = Store::open(data.join("artifacts"))?;
        let state = State::load(data, definitions)?;
        let mut catalog = describe::catalog(state.definitions())?;
        record::overlay(&mut catalog, &layout)?;
        Ok(Self { data: data.to_owned(), layout, store, state, catalog })
    }

    /// Reads the catalog of a data directory, whether or not there is one. Nothing is made or written. An outline of the
    /// definitions will do to choose a runtime.
    pub fn look(data: &Path, definitions: Definitions) -> Result<Catalog, LocalError> {
        let state = State::load(data, definitions)?;
        let mut catalog = describe::catalog(state.definitions())?;
        if let Ok(layout) = Layout::open(data.join("catalog")) {
            record::overlay(&mut catalog, &layout)?;
        }
        Ok(catalog)
    }

    /// All entries; those that have been made have images.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The layout that holds the images.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Recipes, locks and entries, with those that were made on this machine.
    #[must_use]
    pub fn definitions(&self) -> &Definitions {
        self.state.definitions()
    }

    /// Makes images of an entry unless they are there, and says where their layers are.
    ///
    /// When a locked file is gone from the mirrors, the layers are locked anew into an entry with a new build number,
    /// which is made instead; nothing that exists is changed.
    pub fn ensure(
        &mut self,
        id: &EntryId,
        platform: &PlatformKey,
        kinds: &[ImageKind],
        context: &Context<'_>,
    ) -> Result<ReadyEntry, LocalError> {
        let fetcher = LazyFetcher::new(&self.store, context);
        let entry = self.entry(id)?.clone();
        match self.make(&entry, platform, kinds, context, &fetcher) {
            Err(LocalError::Fetch(gone @ FetchError::Gone { .. }))
                if context.when_gone == WhenGone::Renew =>
            {
                let (npm, python) = self.state.needs(&entry);
                let complete = fetcher.complete(&self.state, npm, python)?;
                let renewed = self.renew(&entry, gone, context, complete)?;
                self.make(&renewed, platform, kinds, context, &fetcher)
            }
            made => made,
        }
    }

    /// Makes the images of all newest entries of the platforms, or of one runtime's; returns what is there now.
    pub fn build_all(
        &mut self,
        runtime: Option<&str>,
        platforms: &[PlatformKey],
        context: &Context<'_>,
    ) -> Result<Vec<ReadyEntry>, LocalError> {
        let definitions = self.state.definitions();
        let lines =
            definitions.recipes.lines().filter(|(found, _)| runtime.is_none_or(|name| found.name == name));
        let newest =
            lines.filter_map(|(runtime, line)| definitions.entries.newest(&runtime.name, &line.version));
        let newest: Vec<EntryRecord> = newest.cloned().collect();
        let mut ready = Vec::new();
        for entry in newest {
            let mut id = describe::id(&entry)?;
            for platform in
                platforms.iter().filter(|platform| entry.platforms.contains_key(platform.as_str()))
            {
                let kinds: Vec<ImageKind> = describe::kinds(&entry, platform.as_str());
                let made = self.ensure(&id, platform, &kinds, context)?;
                // All platforms of an entry move together.
                id = made.id.clone();
                ready.push(made);
            }
        }
        Ok(ready)
    }

    fn entry(&self, id: &EntryId) -> Result<&EntryRecord, LocalError> {
        let text = id.to_string();
        let found = self.state.definitions().entries.entries.iter().find(|entry| entry.id == text);
        found.ok_or(LocalError::UnknownEntry { id: text })
    }
}

impl LocalCatalog {
    /// Makes images of an entry, or takes those that are there.
    fn make(
        &mut self,
        entry: &EntryRecord,
        platform: &PlatformKey,
        kinds: &[ImageKind],
        context: &Context<'_>,
        fetcher: &LazyFetcher<'_>,
    ) -> Result<ReadyEntry, LocalError> {
        let arch = Arch::of_platform(platform.as_str())?;
        let images = entry.platforms.get(platform.as_str()).ok_or_else(|| {
            let known: Vec<&str> = entry.platforms.keys().map(String::as_str).collect();
            let (id, platforms) = (entry.id.clone(), known.join(", "));
            LocalError::UnknownPlatform { id, platform: platform.to_string(), platforms }
        })?;
        let id = describe::id(entry)?;
        let missing: Vec<ImageKind> =
            kinds.iter().copied().filter(|kind| self.ready(&id, platform, *kind).is_none()).collect();
        if !missing.is_empty() {
            let mut roles = BTreeMap::new();
            for kind in missing {
                let unknown = || LocalError::UnknownKind { id: entry.id.clone(), kind };
                let refs = images.get(kind.as_str()).ok_or_else(unknown)?;
                roles.insert(kind, refs.iter().map(|at| at.role.as_str()).collect::<Vec<_>>());
            }
            let documents = self.make_images(entry, arch, platform, &roles, context, fetcher)?;
            let _guard = Guard::wait(&self.data.join("catalog.lock"))?;
            let made = Made { id: &id, platform, images: &documents };
            record::record(&mut self.catalog, &self.layout, &made)?;
        }
        let ready = kinds.iter().filter_map(|kind| Some((*kind, self.ready(&id, platform, *kind)?)));
        let images = ready.collect();
        let record = self.catalog.entry(&id).and_then(|entry| entry.platforms.get(platform));
        let config = record.and_then(|record| record.config.clone()).unwrap_or_default();
        Ok(ReadyEntry { id, platform: platform.clone(), images, config })
    }

    fn make_images(
        &self,
        entry: &EntryRecord,
        arch: Arch,
        platform: &PlatformKey,
        roles: &BTreeMap<ImageKind, Vec<&str>>,
        context: &Context<'_>,
        fetcher: &LazyFetcher<'_>,
    ) -> Result<BTreeMap<ImageKind, (ImageRecord, Document)>, LocalError> {
        let workshop = Workshop::new(self, entry, arch, context, fetcher)?;
        let made = workshop.make(&roles.values().flatten().copied().collect())?;
        let mut documents = BTreeMap::new();
        for (kind, roles) in roles {
            let mut layers = Vec::new();
            for role in roles {
                if let Some(layer) = made.get(role) {
                    layers.push((layer.record(role)?, layer.clone()));
                }
            }
            let image = images::write(&self.layout, entry, workshop.runtime, platform, &layers)?;
            documents.insert(*kind, image);
        }
        Ok(documents)
    }

    /// An image that is there with all its blobs.
    fn ready(&self, id: &EntryId, platform: &PlatformKey, kind: ImageKind) -> Option<ReadyImage> {
        let record = self.catalog.entry(id)?.platforms.get(platform)?.images.get(&kind)?;
        let layers = record.layers.iter().map(|layer| (layer.clone(), self.layout.blob_path(&layer.digest)));
        let layers: Vec<_> = layers.collect();
        let whole = layers.iter().all(|(layer, _)| self.layout.has_blob(&layer.digest));
        whole.then(|| ReadyImage { record: record.clone(), layers })
    }

    /// Fills in the npm registry and the Python index where nothing on this machine names them: what npm and pip take
    /// by default is read out of the Debian packages that carry them.
    pub fn complete_mirrors(
        &self,
        mirrors: &mut Mirrors,
        npm: bool,
        python: bool,
        context: &Context<'_>,
    ) -> Result<(), LocalError> {
        reference::complete(&self.state, &self.store, mirrors, (npm, python), context)
    }
}

#[cfg(test)]
mod tests;
