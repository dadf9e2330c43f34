//! The catalog that a build takes its runtime from: the local one, which makes layers on the spot, or one that was made
//! elsewhere.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lapstrake_catalog::{Catalog, EntryId, ImageKind, PlatformKey};
use lapstrake_oci::registry::Client;
use lapstrake_runtimes::arch::Arch;
use lapstrake_runtimes::definitions::Definitions;
use lapstrake_runtimes::fetch::FetchError;
use lapstrake_runtimes::local::{self, LocalCatalog, LocalError, ReadyEntry, WhenGone};
use lapstrake_runtimes::mirrors::{Machine, Mirrors, Programs};
use oci_spec::image::{Descriptor, MediaType};

use crate::cli::CatalogArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::layer_progress::LayerProgress;
use crate::remote_catalog::Place;
use crate::runtime::{RuntimeImage, RuntimeLayer};
use crate::toolbox::Toolbox;
use crate::trust::{Guards, Strictness, Trusted};

/// An open catalog.
pub struct CatalogAt {
    trusted: Trusted,
    source: Source,
    client: Arc<Client>,
}

enum Source {
    Local { local: Box<Mutex<LocalCatalog>>, when_gone: WhenGone },
    Elsewhere(Place),
}

impl CatalogAt {
    /// Opens the catalog that was asked for, the local one by default, which has to prove what it is. `locked` forbids to
    /// resolve packages anew.
    pub fn open(
        args: &CatalogArgs,
        locked: bool,
        client: Arc<Client>,
        context: &Context,
    ) -> Result<Self, Failure> {
        let guards = Guards::new(args, Strictness::Refuse, context)?;
        let Some(given) = &args.catalog else {
            let local = open_local(&context.data_dir, None)?;
            let when_gone = if locked { WhenGone::Fail } else { WhenGone::Renew };
            let trusted = guards.local(local.catalog().clone())?;
            let source = Source::Local { local: Box::new(Mutex::new(local)), when_gone };
            return Ok(Self { trusted, source, client });
        };
        let place = Place::parse(given, &client, context)?;
        let trusted = place.open(&guards, context)?;
        for used in &trusted.overrides {
            context.report.warning(used);
        }
        Ok(Self { trusted, source: Source::Elsewhere(place), client })
    }

    /// The entries.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.trusted.catalog
    }

    /// The catalog, and what is known of it.
    #[must_use]
    pub fn trusted(&self) -> &Trusted {
        &self.trusted
    }

    /// The revision that first held an entry, also one that was made since the catalog was opened; 0 if there is none.
    #[must_use]
    pub fn added_in(&self, id: &EntryId) -> u64 {
        let now = match &self.source {
            Source::Local { local, .. } => local
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .catalog()
                .entry(id)
                .map(|entry| entry.added_in),
            Source::Elsewhere(_) => None,
        };
        now.or_else(|| self.catalog().entry(id).map(|entry| entry.added_in)).unwrap_or_default()
    }

    /// The client that reaches the catalog, and every other registry.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// An image of an entry, made now if it does not exist.
    ///
    /// The local catalog answers with another build of the same version when a file that the entry is made of is gone
    /// from the mirrors; a catalog that was made elsewhere answers with what it has, or not at all.
    pub fn runtime_image(
        &self,
        id: &EntryId,
        platform: &PlatformKey,
        kind: ImageKind,
        context: &Context,
    ) -> Result<RuntimeImage, Failure> {
        match &self.source {
            Source::Elsewhere(place) => place.runtime_image(self.catalog(), id, platform, kind),
            Source::Local { local, when_gone } => {
                let mut local = local.lock().unwrap_or_else(PoisonError::into_inner);
                let before = made_before(&local, id, platform, kind);
                let ready = ensure(&mut local, id, platform, &[kind], *when_gone, context)?;
                from_ready(&ready, kind, !before)
            }
        }
    }

    /// The environment that an entry gives to apps on a platform; that of one that was replaced is read from its image.
    pub fn env_of(
        &self,
        id: &EntryId,
        platform: &PlatformKey,
        kind: ImageKind,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let record = self.catalog().entry(id).and_then(|entry| entry.platforms.get(platform));
        if let Some(config) = record.and_then(|record| record.config.as_ref()) {
            return Ok(config.env.clone());
        }
        let manifest = record.and_then(|record| record.images.get(&kind)?.manifest.as_ref());
        match (&self.source, manifest) {
            (Source::Elsewhere(place), Some(manifest)) => place.image_env(manifest),
            _ => Err(Failure::new(
                Exit::Ours,
                format!("the catalog has no environment of `{id}` on {platform}"),
            )),
        }
    }

    /// The file of a layer's blob, fetched now if it is only in a registry.
    pub fn layer_file(&self, layer: &RuntimeLayer, context: &Context) -> Result<PathBuf, Failure> {
        match &layer.file {
            Some(file) => Ok(file.clone()),
            None => Place::fetch_layer(layer, &self.client, context),
        }
    }
}

/// Opens the local catalog of a data directory, made of the program's own recipes or of those in a directory.
pub fn open_local(data_dir: &Path, recipes: Option<&Path>) -> Result<LocalCatalog, Failure> {
    let definitions = match recipes {
        Some(directory) => Definitions::load(directory),
        None => Definitions::embedded(),
    };
    let definitions = definitions
        .map_err(|cause| Failure::because(Exit::NotUnderstood, "could not read the recipes", cause))?;
    LocalCatalog::open(data_dir, definitions)
        .map_err(|cause| failure(cause, "could not open the local catalog"))
}

/// Reads the local catalog of a data directory, with what was made on this machine, to choose a runtime from it. Nothing
/// is written or made.
pub fn look_local(data_dir: &Path) -> Result<Catalog, Failure> {
    let definitions = Definitions::outline()
        .map_err(|cause| Failure::because(Exit::NotUnderstood, "could not read the recipes", cause))?;
    LocalCatalog::look(data_dir, definitions)
        .map_err(|cause| failure(cause, "could not read the local catalog"))
}

fn made_before(local: &LocalCatalog, id: &EntryId, platform: &PlatformKey, kind: ImageKind) -> bool {
    let record = local.catalog().entry(id).and_then(|entry| entry.platforms.get(platform));
    record.is_some_and(|record| record.images.contains_key(&kind))
}

/// Makes images of an entry of the local catalog.
pub fn ensure(
    local: &mut LocalCatalog,
    id: &EntryId,
    platform: &PlatformKey,
    kinds: &[ImageKind],
    when_gone: WhenGone,
    context: &Context,
) -> Result<ReadyEntry, Failure> {
    with_local_context(when_gone, context, |local_context| {
        local
            .ensure(id, platform, kinds, local_context)
            .map_err(|cause| failure(cause, format!("could not make the runtime `{id}` for {platform}")))
    })
}

/// Does something that may fetch and make layers.
pub fn with_local_context<T>(
    when_gone: WhenGone,
    context: &Context,
    act: impl FnOnce(&local::Context<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let programs = Programs { env: &context.env };
    let machine = Machine { env: &context.env, root: Path::new("/"), ask: &programs };
    let find = || Mirrors::discover(&context.mirrors, machine);
    let toolbox = Toolbox {
        scratch: context.scratch_dir(),
        stop: context.stop.clone(),
        isolation: context.isolation,
        build_uid: context.build_uid,
    };
    let progress = LayerProgress::new(&context.report);
    let host = crate::platform::host_platform()?;
    let arch = Arch::of_platform(host.as_str()).map_err(|cause| {
        Failure::because(Exit::NoIsolation, "runtimes cannot be made on this machine", cause)
    })?;
    act(&local::Context {
        mirrors: &find,
        machine,
        tool: &toolbox,
        progress: &progress,
        threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        arch,
        now: context.now,
        when_gone,
    })
}

fn from_ready(ready: &ReadyEntry, kind: ImageKind, fresh: bool) -> Result<RuntimeImage, Failure> {
    let image = ready.images.get(&kind).ok_or_else(|| {
        Failure::new(Exit::Ours, format!("entry `{}` was made without its image `{kind}`", ready.id))
    })?;
    let layers = image.layers.iter().map(|(layer, file)| RuntimeLayer {
        role: layer.role.to_string(),
        descriptor: Descriptor::new(MediaType::ImageLayerGzip, layer.size, layer.digest.clone()),
        diff_id: layer.diff_id.clone(),
        file: Some(file.clone()),
        repository: None,
        fresh,
    });
    Ok(RuntimeImage {
        entry: ready.id.clone(),
        kind,
        manifest: image.record.manifest.clone(),
        layers: layers.collect(),
        env: ready.config.env.clone(),
        user: ready.config.user.clone(),
    })
}

fn fetch_exit(cause: &FetchError) -> Exit {
    match cause {
        FetchError::Mirrors(_) => Exit::NotUnderstood,
        FetchError::Gone { .. } | FetchError::Refused { .. } => Exit::RegistryRefused,
        FetchError::Mismatch { .. } | FetchError::Index { .. } => Exit::Refused,
        FetchError::Transient { .. } => Exit::Transient,
        _ => Exit::Ours,
    }
}

/// An error of the local catalog as the failure of a command.
pub fn failure(cause: LocalError, what: impl Into<String>) -> Failure {
    let exit = match &cause {
        LocalError::UnknownEntry { .. }
        | LocalError::UnknownPlatform { .. }
        | LocalError::UnknownKind { .. }
        | LocalError::Mirrors(_)
        | LocalError::Platform(_) => Exit::NotUnderstood,
        LocalError::Renew(_) => Exit::RegistryRefused,
        LocalError::Fetch(cause) => fetch_exit(cause),
        LocalError::Defaults(_) => Exit::Transient,
        LocalError::NoInterpreter { .. } | LocalError::Compile { .. } => Exit::NoIsolation,
        LocalError::Read { .. } | LocalError::Unpack { .. } | LocalError::Document(_) => Exit::Refused,
        _ => Exit::Ours,
    };
    match cause {
        // It says what is wrong by itself.
        LocalError::Layout(cause) => Failure::because(exit, what, cause),
        cause => Failure::because(exit, what, cause),
    }
}
