//! Results of earlier builds: of this machine, and of the registry where a cache there was asked for.
//!
//! A cache that cannot be read or written is no reason to fail: what it does not give is made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lapstrake_oci::image::Blob;
use lapstrake_oci::layer::PackedLayer;
use lapstrake_oci::reference::Reference;
use lapstrake_oci::registry::Client;
use lapstrake_oci::tree::{Content, ContentDigest};

use crate::bag;
use crate::cache::{
    BuildKey, Cache, KeptBuild, KeptLayer, Key, LayerKey, Limits, NewValue, RemoteCache, Value, render,
};
use crate::cli::CacheArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::report::Report;
use crate::source::in_parallel_by;
use crate::targets::Targets;

/// What was done before, and may be taken.
pub struct Reuse {
    cache: Cache,
    remote: Option<RemoteCache>,
    /// Whether it is asked for anything.
    looks: bool,
    is_remote_lost: AtomicBool,
    /// Layers that the registry's cache has yet to be told of.
    new: Mutex<Vec<(LayerKey, KeptLayer, Blob)>>,
    /// Values that it has yet to be told of.
    new_values: Mutex<Vec<NewValue>>,
    report: Arc<Report>,
}

impl Reuse {
    /// Opens what the options of a command name. Nothing is sent yet.
    pub fn open(args: &CacheArgs, client: &Arc<Client>, context: &Context) -> Result<Self, Failure> {
        let remote = args.repository.as_ref().map(|given| RemoteCache::parse(given, client)).transpose()?;
        Ok(Self {
            cache: Cache::of(&context.data_dir),
            remote,
            looks: !args.no_cache,
            is_remote_lost: AtomicBool::new(false),
            new: Mutex::default(),
            new_values: Mutex::default(),
            report: Arc::clone(&context.report),
        })
    }

    /// Whether it is worth while to find out what a build is known by.
    #[must_use]
    pub fn may_know_builds(&self) -> bool {
        self.looks && (self.remote.is_some() || !self.cache.has_no_builds())
    }

    /// A build that was carried out before.
    #[must_use]
    pub fn build(&self, key: &BuildKey) -> Option<KeptBuild> {
        if !self.looks {
            return None;
        }
        self.cache.build(key).or_else(|| self.ask(|remote| remote.build(key)).flatten())
    }

    /// Keeps a build, and tells the registry's cache of its new layers. `image` is where the registry has them.
    pub fn keep_build(&self, key: Option<&BuildKey>, build: &KeptBuild, image: Option<&Reference>) {
        let layers = std::mem::take(&mut *self.new.lock().unwrap_or_else(PoisonError::into_inner));
        let values = std::mem::take(&mut *self.new_values.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(image) = image {
            // Layers first: the values name them.
            in_turn(&layers, |(key, layer, blob)| {
                self.ask(|remote| remote.keep_layer(key, layer, blob.clone(), image));
            });
            in_turn(&values, |value| {
                self.ask(|remote| remote.keep_value(value, image));
            });
        }
        let Some(key) = key else { return };
        // What is not kept is made again.
        let _ = self.cache.keep_build(key, build);
        self.ask(|remote| remote.keep_build(key, build));
    }

    /// Whether it is worth while to find out what a layer is known by before it is packed.
    #[must_use]
    pub fn may_know_layers(&self) -> bool {
        self.looks && (self.remote.is_some() || !self.cache.has_no_layers())
    }

    /// A layer that was packed before. What will be sent of it is verified first.
    #[must_use]
    pub fn layer(&self, key: &LayerKey, targets: &Targets<'_>) -> Option<(KeptLayer, Blob)> {
        if let Some((layer, file)) = self.cache.layer(key)
            && (targets.have(layer.descriptor().digest()) || self.cache.is_sound(&layer))
        {
            let blob = Blob::file(layer.descriptor(), file);
            self.note_new(key, &layer, &blob);
            return Some((layer, blob));
        }
        // What is in a registry alone cannot be written to a file of this machine.
        if targets.need_local_layers() { None } else { self.ask(|remote| remote.layer(key)).flatten() }
    }

    /// Keeps a layer that was just packed, and says where its blob is now.
    pub fn keep_layer(&self, key: &LayerKey, layer: PackedLayer) -> Result<(KeptLayer, Blob), Failure> {
        let kept = KeptLayer::of(&layer);
        let file = self.cache.keep_layer(key, &kept, layer.blob.path());
        let file = file.map_err(|cause| Failure::io("could not keep a layer", cause))?;
        let blob = Blob::file(layer.descriptor, file);
        self.note_new(key, &kept, &blob);
        Ok((kept, blob))
    }

    /// The value of a key.
    #[must_use]
    pub fn value<T: Value>(&self, key: &Key) -> Option<T> {
        if !self.looks {
            return None;
        }
        if let Some(value) = self.cache.value(key) {
            return Some(value);
        }
        let value = self.ask(|remote| remote.value(key)).flatten()?;
        // What is not kept is asked for again.
        let _ = self.cache.keep_value(key, &value);
        Some(value)
    }

    /// A value of this machine, also where nothing is taken from the cache.
    #[must_use]
    pub fn value_here<T: Value>(&self, key: &Key) -> Option<T> {
        self.cache.value(key)
    }

    /// Keeps a value on this machine alone.
    pub fn keep_value_here<T: Value>(&self, key: &Key, value: &T) {
        // What is not kept is made again.
        let _ = self.cache.keep_value(key, value);
    }

    /// Keeps a value that names some layers.
    pub fn keep_value<T: Value>(&self, key: &Key, value: &T, layers: &[(KeptLayer, Blob)]) {
        self.keep_value_here(key, value);
        if self.remote.is_some()
            && let Ok(bytes) = render(value)
        {
            let blobs = layers.iter().map(|(_, blob)| blob.clone()).collect();
            let mut new = self.new_values.lock().unwrap_or_else(PoisonError::into_inner);
            new.push(NewValue { kind: T::KIND, key: key.clone(), bytes, blobs });
        }
    }

    /// Whether anything may be taken from the cache.
    #[must_use]
    pub fn looks(&self) -> bool {
        self.looks
    }

    /// Keeps a layer that is no part of an image.
    pub fn keep_blob(&self, layer: PackedLayer) -> Result<(KeptLayer, Blob), Failure> {
        let kept = KeptLayer::of(&layer);
        let file = self.cache.keep_blob(&kept, layer.blob.path());
        let file = file.map_err(|cause| Failure::io("could not keep a layer", cause))?;
        Ok((kept, Blob::file(layer.descriptor, file)))
    }

    /// The blob of a layer that an entry names, wherever it is.
    #[must_use]
    pub fn blob(&self, layer: &KeptLayer) -> Option<Blob> {
        if let Some(file) = self.cache.sound_blob(layer) {
            return Some(Blob::file(layer.descriptor(), file));
        }
        self.remote.as_ref().and_then(|remote| remote.mounted(layer).ok())
    }

    /// Contents out of the layers that have them; none when one of them is nowhere to be had.
    #[must_use]
    pub fn contents(
        &self,
        wanted: &BTreeSet<ContentDigest>,
        layers: &[KeptLayer],
        scratch: &Path,
    ) -> Option<BTreeMap<ContentDigest, Content>> {
        let mut found = BTreeMap::new();
        for layer in layers {
            if wanted.iter().all(|digest| found.contains_key(digest)) {
                break;
            }
            let Some(file) = self.blob_here(layer, scratch) else { continue };
            // A layer that cannot be read does not have them.
            if let Ok(more) = bag::contents(&file, &layer.descriptor(), wanted, scratch) {
                found.extend(more);
            }
        }
        wanted.iter().all(|digest| found.contains_key(digest)).then_some(found)
    }

    /// The file of a layer's blob, fetched where only the registry has it.
    fn blob_here(&self, layer: &KeptLayer, scratch: &Path) -> Option<PathBuf> {
        if let Some(file) = self.cache.sound_blob(layer) {
            return Some(file);
        }
        let path = scratch.join(layer.descriptor().digest().digest());
        self.ask(|remote| remote.fetch(layer, &path))?;
        self.cache.keep_blob(layer, &path).ok()
    }

    /// Gives up what is too old or too much. What is not given up now is given up the next time.
    pub fn prune(&self, context: &Context) {
        let _ = self.cache.prune(Limits::default(), context.now);
    }

    fn note_new(&self, key: &LayerKey, layer: &KeptLayer, blob: &Blob) {
        if self.remote.is_some() {
            let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
            new.push((key.clone(), layer.clone(), blob.clone()));
        }
    }

    /// Asks the registry's cache, until it fails for the first time.
    fn ask<T>(&self, question: impl FnOnce(&RemoteCache) -> Result<T, Failure>) -> Option<T> {
        let remote = self.remote.as_ref().filter(|_| !self.is_remote_lost.load(Ordering::Relaxed))?;
        match question(remote) {
            Ok(answer) => Some(answer),
            Err(failure) => {
                self.is_remote_lost.store(true, Ordering::Relaxed);
                let causes = failure.causes().join(": ");
                self.report.warning(&format!("going on without the cache: {}: {causes}", failure.what));
                None
            }
        }
    }
}

/// How many entries of the registry's cache are written at a time.
const AT_ONCE: usize = 4;

fn in_turn<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let done: Result<Vec<()>, std::convert::Infallible> = in_parallel_by(AT_ONCE, items, |item| {
        work(item);
        Ok(())
    });
    let Ok(_) = done;
}
