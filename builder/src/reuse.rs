//! Results of earlier builds: of this machine, and of the registry where a cache there was asked for.
//!
//! A cache that cannot be read or written is no reason to fail: what it does not give is made.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lapstrake_oci::image::Blob;
use lapstrake_oci::layer::PackedLayer;
use lapstrake_oci::reference::Reference;
use lapstrake_oci::registry::Client;
use lapstrake_oci::tree::{Content, ContentDigest};

use crate::bag;
use crate::cache::{
    BuildKey, Cache, KeptBuild, KeptLayer, Key, LayerKey, Limits, Made, NewValue, Packages, ReadSet,
    ReadSets, RemoteCache, Value,
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
    /// The name that the user gave to what installers download.
    package_cache: Option<String>,
    is_remote_lost: AtomicBool,
    /// Layers that the registry's cache has yet to be told of.
    new: Mutex<Vec<(LayerKey, KeptLayer, Blob)>>,
    /// Values that it has yet to be told of.
    new_values: Mutex<Vec<NewValue>>,
    /// What commands have read and made, of which it may have to be told.
    commands: Mutex<Vec<Command>>,
    report: Arc<Report>,
}

/// What a command has read and made.
struct Command {
    circumstances: Key,
    read: ReadSet,
    made: NewValue,
}

impl Reuse {
    /// Opens what the options of a command name. Nothing is sent yet.
    pub fn open(args: &CacheArgs, client: &Arc<Client>, context: &Context) -> Result<Self, Failure> {
        Self::with(Cache::of(&context.data_dir), args, client, context)
    }

    /// Opens the same to look at it: nothing is written, there or on this machine.
    pub fn look(args: &CacheArgs, client: &Arc<Client>, context: &Context) -> Result<Self, Failure> {
        Self::with(Cache::to_look_at(&context.data_dir), args, client, context)
    }

    fn with(
        cache: Cache,
        args: &CacheArgs,
        client: &Arc<Client>,
        context: &Context,
    ) -> Result<Self, Failure> {
        let remote = args.repository.as_ref().map(|given| RemoteCache::parse(given, client)).transpose()?;
        Ok(Self {
            cache,
            remote,
            looks: !args.no_cache,
            package_cache: args.package_cache.clone(),
            is_remote_lost: AtomicBool::new(false),
            new: Mutex::default(),
            new_values: Mutex::default(),
            commands: Mutex::default(),
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

    /// Keeps a build, and tells the registry's cache of what it does not have. `image` is where the registry has the layers.
    pub fn keep_build(&self, key: Option<&BuildKey>, build: &KeptBuild, image: Option<&Reference>) {
        let (layers, values, commands) = (taken(&self.new), taken(&self.new_values), taken(&self.commands));
        if let Some(image) = image {
            // Layers first: the values name them.
            in_turn(&layers, |(key, layer, blob)| {
                self.ask(|remote| remote.keep_layer(key, layer, blob.clone(), image));
            });
            in_turn(&values, |value| {
                self.ask(|remote| remote.keep_value(value, image));
            });
            in_turn(&commands, |command| {
                self.ask(|remote| command.tell(remote, image));
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
        self.cache.value(key).or_else(|| self.value_there(key))
    }

    /// The value of a key in the registry's cache, which this machine has from now on, too.
    fn value_there<T: Value>(&self, key: &Key) -> Option<T> {
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

    /// Keeps a value.
    pub fn keep_value<T: Value>(&self, key: &Key, value: &T) {
        self.keep_value_here(key, value);
        if self.remote.is_some()
            && let Ok(value) = NewValue::of(key, value, Vec::new())
        {
            locked(&self.new_values).push(value);
        }
    }

    /// What a command has made that ran under some circumstances before, and has read what `now` finds of the sets that
    /// it is given. `missed` is told of each set that nothing is known of.
    pub fn command(
        &self,
        circumstances: &Key,
        now: &dyn Fn(&ReadSet) -> io::Result<Option<ReadSet>>,
        missed: &mut dyn FnMut(&ReadSet, &ReadSet),
    ) -> io::Result<Option<Made>> {
        if !self.looks {
            return Ok(None);
        }
        let mut tried: Vec<ReadSet> = Vec::new();
        for is_here in [true, false] {
            let sets: Option<ReadSets> = if is_here {
                self.cache.value(circumstances)
            } else {
                self.ask(|remote| remote.value(circumstances)).flatten()
            };
            for before in sets.iter().flat_map(ReadSets::iter) {
                let Some(read) = now(before)?.filter(|read| !tried.contains(read)) else { continue };
                let key = read.key(circumstances);
                if let Some(made) = self.cache.value::<Made>(&key) {
                    self.share(circumstances, &read, &made);
                    return Ok(Some(made));
                }
                if let Some(made) = self.value_there::<Made>(&key) {
                    self.keep_read(circumstances, read);
                    return Ok(Some(made));
                }
                missed(&read, before);
                tried.push(read);
            }
        }
        Ok(None)
    }

    /// Keeps what a command has read and made; `blobs` are those of the layers that the latter names.
    pub fn keep_command(&self, circumstances: &Key, read: ReadSet, made: &Made, blobs: Vec<Blob>) {
        let key = read.key(circumstances);
        self.keep_value_here(&key, made);
        self.keep_read(circumstances, read.clone());
        if self.remote.is_some()
            && let Ok(made) = NewValue::of(&key, made, blobs)
        {
            locked(&self.commands).push(Command { circumstances: circumstances.clone(), read, made });
        }
    }

    /// Takes note that the registry's cache may have to be told of what this machine has.
    fn share(&self, circumstances: &Key, read: &ReadSet, made: &Made) {
        if self.remote.is_none() || self.cache.is_fixed() {
            return;
        }
        let blobs = made.blobs.iter().map(|layer| self.blob(layer)).collect::<Option<Vec<_>>>();
        if let Some(made) = blobs.and_then(|blobs| NewValue::of(&read.key(circumstances), made, blobs).ok()) {
            let (circumstances, read) = (circumstances.clone(), read.clone());
            locked(&self.commands).push(Command { circumstances, read, made });
        }
    }

    fn keep_read(&self, circumstances: &Key, read: ReadSet) {
        let mut sets: ReadSets = self.cache.value(circumstances).unwrap_or_default();
        sets.add(read);
        self.keep_value_here(circumstances, &sets);
    }

    /// What installers have downloaded in builds of the same name, or of the same place; nothing where nothing may be taken
    /// from the cache.
    #[must_use]
    pub fn packages(&self, place: Option<&str>) -> Option<Packages> {
        let scope = match (&self.package_cache, place) {
            (Some(name), _) => format!("name {name}"),
            (None, Some(place)) => format!("place {place}"),
            (None, None) => return None,
        };
        if !self.looks {
            return None;
        }
        let packages = self.cache.packages(&scope);
        packages
            .inspect_err(|cause| {
                self.report.warning(&format!("what installers download is not kept: {cause}"));
            })
            .ok()
    }

    /// The cache that knows files of sources, unless nothing may be taken from it.
    #[must_use]
    pub fn of_sources(&self) -> Option<Cache> {
        self.looks.then(|| self.cache.clone())
    }

    /// What keeps digests of secrets of this machine apart from those of others.
    pub fn secret_key(&self) -> io::Result<[u8; 32]> {
        self.cache.secret_key()
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
            locked(&self.new).push((key.clone(), layer.clone(), blob.clone()));
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

impl Command {
    /// Tells the registry's cache what the command has read and made, unless it knows.
    fn tell(&self, remote: &RemoteCache, image: &Reference) -> Result<(), Failure> {
        let mut sets: ReadSets = remote.value(&self.circumstances)?.unwrap_or_default();
        if sets.iter().any(|read| *read == self.read) {
            return Ok(());
        }
        // The set last: whoever finds it asks for what was made.
        remote.keep_value(&self.made, image)?;
        sets.add(self.read.clone());
        if let Ok(sets) = NewValue::of(&self.circumstances, &sets, Vec::new()) {
            remote.keep_value(&sets, image)?;
        }
        Ok(())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn taken<T: Default>(mutex: &Mutex<T>) -> T {
    std::mem::take(&mut *locked(mutex))
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
