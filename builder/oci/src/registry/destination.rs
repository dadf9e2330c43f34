//! A repository as the place where an image goes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use oci_spec::image::{Descriptor, Digest, ImageManifest};
use tokio::task::{JoinError, JoinHandle};

use crate::destination::{Destination, PushError};
use crate::document::Document;
use crate::image::Blob;
use crate::layer::Growing;
use crate::reference::Reference;

use super::Client;
use super::blob::{BlobOutcome, Mounted};
use super::error::RegistryError;
use super::following::Following;
use super::remote::Remote;
use super::report::TransferReport;

/// How long what was seen under a tag is taken for what is there.
const FRESH: Duration = Duration::from_secs(5);

/// Pushes to a repository, under the tag of a reference.
pub struct RegistryDestination<'a> {
    client: &'a Client,
    pub(super) remote: Arc<Remote>,
    look: Mutex<Look>,
    /// Blobs that were sent while they were made, by digest.
    followed: Mutex<BTreeMap<String, Following>>,
    /// What was transferred for the push before it began, as far as the push has made use of it.
    early: Mutex<TransferReport>,
    /// Whether the look was begun before the push, and is not counted as a part of it yet.
    has_looked_early: AtomicBool,
    /// Whether blobs were taken to be there because of what the tag points at.
    has_assumed: AtomicBool,
    /// Whether the push is of an image that was just made.
    is_new: AtomicBool,
    /// Blobs that are being put ahead of the push, by digest.
    ahead: Mutex<BTreeMap<String, JoinHandle<Result<Mounted, RegistryError>>>>,
}

/// The look at what is under the tag.
enum Look {
    NotYet,
    UnderWay(JoinHandle<(Instant, Seen)>),
    Done(Instant, Seen),
}

/// What is under the tag, as far as it could be seen.
type Seen = Result<Option<Arc<Document>>, Arc<RegistryError>>;

impl<'a> RegistryDestination<'a> {
    pub(super) fn new(
        client: &'a Client,
        reference: &Reference,
        mount_from: &[Reference],
    ) -> Result<Self, RegistryError> {
        let near = mount_from.iter().filter(|from| crate::reference::same_registry(from, reference));
        let remote = Remote::pushing(&client.core, reference, near.map(Reference::repository))?;
        Ok(Self {
            client,
            remote: Arc::new(remote),
            look: Mutex::new(Look::NotYet),
            followed: Mutex::default(),
            early: Mutex::default(),
            has_looked_early: AtomicBool::new(false),
            has_assumed: AtomicBool::new(false),
            is_new: AtomicBool::new(false),
            ahead: Mutex::default(),
        })
    }

    /// The same destination, with the permissions that it takes to mount some blobs from where they are.
    #[must_use]
    pub fn mounting<'b>(mut self, blobs: impl IntoIterator<Item = &'b Blob>) -> Self {
        let sources = super::mount_sources(blobs);
        let near =
            sources.iter().filter(|from| crate::reference::same_registry(from, &self.remote.reference));
        if let Some(access) = self.remote.access.reading(near.map(Reference::repository)) {
            self.remote = Arc::new(self.remote.with_access(access));
        }
        self
    }

    /// Begins to look at what is under the tag, while something else is done.
    pub fn look(&self) {
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*look, Look::NotYet) && self.tag().is_some() {
            *look = Look::UnderWay(self.begin_look());
            self.has_looked_early.store(true, Ordering::Relaxed);
        }
    }

    /// Says that the image was just made: where nothing is under the tag, nobody has pushed it before.
    pub fn expect_new(&self) {
        self.is_new.store(true, Ordering::Relaxed);
    }

    /// Begins to mount blobs from other repositories of the registry, while something else is done. Those that cannot be
    /// mounted are sent by the push.
    pub fn mount_ahead<'b>(&self, blobs: impl IntoIterator<Item = &'b Blob>) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        for blob in blobs {
            let is_there = self.names(blob.descriptor.digest());
            if !is_there && self.remote.may_mount(blob) {
                let (remote, blob) = (Arc::clone(&self.remote), blob.clone());
                let digest = blob.descriptor.digest().to_string();
                ahead.entry(digest).or_insert_with(|| {
                    self.client.runtime.spawn(async move { remote.try_mount(&blob).await })
                });
            }
        }
    }

    fn note_early(&self, requests: u64, bytes_sent: u64) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        *early = early.and(TransferReport { requests, bytes_sent, ..TransferReport::default() });
    }

    fn begin_look(&self) -> JoinHandle<(Instant, Seen)> {
        let remote = Arc::clone(&self.remote);
        self.client.runtime.spawn(async move {
            let seen = match remote.reference.tag() {
                None => Ok(None),
                Some(tag) => match remote.manifest_once(tag).await {
                    Ok(document) => Ok(Some(Arc::new(document))),
                    Err(error) if error.status() == Some(404) => Ok(None),
                    Err(error) => Err(Arc::new(error)),
                },
            };
            (Instant::now(), seen)
        })
    }

    /// Carries something out, unless it is stopped on the way.
    fn run<T>(&self, work: impl Future<Output = Result<T, RegistryError>>) -> Result<T, RegistryError> {
        self.client.runtime.block_on(self.remote.core.unless_stopped(work))
    }

    fn looked(&self, look: JoinHandle<(Instant, Seen)>) -> Result<(Instant, Seen), JoinError> {
        let looked = self.run(async { Ok(look.await) });
        looked.unwrap_or_else(|stopped| Ok((Instant::now(), Err(Arc::new(stopped)))))
    }

    /// What the tag points at, and when that was seen.
    fn seen(&self) -> (Instant, Seen) {
        let lost = |cause: JoinError| {
            let problem = format!("the look at a tag was lost: {cause}");
            (Instant::now(), Err(Arc::new(RegistryError::Setup { problem })))
        };
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        let (when, seen) = match std::mem::replace(&mut *look, Look::NotYet) {
            Look::Done(when, seen) => (when, seen),
            Look::UnderWay(task) => self.looked(task).unwrap_or_else(lost),
            Look::NotYet => self.looked(self.begin_look()).unwrap_or_else(lost),
        };
        *look = Look::Done(when, seen.clone());
        (when, seen)
    }

    /// The manifest or index that the tag points at so far; none where there is no tag, or nothing under it. It is read
    /// once, with the permission to push that the rest needs anyway, in one attempt.
    pub fn tagged(&self) -> Seen {
        self.seen().1
    }

    /// Whether the image that the tag points at has a blob, which is then there.
    pub fn names(&self, digest: &Digest) -> bool {
        let Ok(Some(document)) = self.tagged() else { return false };
        let Ok(manifest) = document.parse::<ImageManifest>() else { return false };
        manifest.layers().iter().any(|layer| layer.digest() == digest)
    }

    /// Whether the tag points at an image.
    pub fn has_tagged(&self, digest: &Digest) -> bool {
        matches!(self.tagged(), Ok(Some(document)) if document.digest() == digest)
    }

    /// A manifest that an index of this repository names.
    pub fn manifest_of(&self, descriptor: &Descriptor) -> Result<Document, RegistryError> {
        self.run(self.remote.manifest_of(descriptor))
    }

    /// Begins to send a blob that is being made.
    #[must_use]
    pub fn follow(&self, growing: Growing) -> Following {
        Following::begin(&self.client.runtime, &self.remote, growing)
    }

    /// Says which blob one became that was followed: [`Destination::put_blob`] finishes what was begun.
    pub fn followed(&self, digest: &Digest, following: Following) {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.to_string(), following);
    }

    /// Whether the tag pointed at a document a moment ago; none if it has been too long.
    fn saw_lately(&self, document: &Document) -> Option<bool> {
        match &*self.look.lock().unwrap_or_else(PoisonError::into_inner) {
            Look::Done(when, Ok(seen)) if when.elapsed() < FRESH => {
                Some(seen.as_ref().is_some_and(|seen| seen.digest() == document.digest()))
            }
            _ => None,
        }
    }

    /// What a manifest of this repository names is there: registries keep it as long as the manifest.
    fn note_blobs_of(&self, document: &Document) {
        let Ok(manifest) = document.parse::<ImageManifest>() else { return };
        for descriptor in manifest.layers().iter().chain([manifest.config()]) {
            self.remote.note_present(descriptor.digest());
        }
        self.has_assumed.store(true, Ordering::Relaxed);
    }

    /// The tag that is written; none if the reference is by digest alone.
    fn tag(&self) -> Option<&str> {
        self.remote.reference.tag()
    }
}

impl Drop for RegistryDestination<'_> {
    /// Ends what was begun and not made use of, so that no upload stays open.
    fn drop(&mut self) {
        self.followed.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        let ahead = self.ahead.get_mut().unwrap_or_else(PoisonError::into_inner);
        ahead.values().for_each(JoinHandle::abort);
        self.client.runtime.block_on(self.remote.abandon_all());
    }
}

impl Destination for RegistryDestination<'_> {
    fn name(&self) -> String {
        self.remote.reference.whole()
    }

    fn parallel(&self) -> usize {
        self.client.parallel
    }

    fn holds(&self, document: &Document) -> Result<bool, PushError> {
        if self.has_looked_early.swap(false, Ordering::Relaxed) {
            self.note_early(1, 0);
        }
        if let Ok(Some(tagged)) = self.tagged() {
            if tagged.digest() == document.digest() {
                return Ok(true);
            }
            self.note_blobs_of(&tagged);
            // What replaces an image under a tag is new, as good as always.
            return Ok(false);
        }
        if self.is_new.load(Ordering::Relaxed) && matches!(self.tagged(), Ok(None)) {
            return Ok(false);
        }
        let digest = document.digest().to_string();
        match self.run(self.remote.manifest_digest(&digest)) {
            Ok(found) => Ok(found.as_ref() == Some(document.digest())),
            // Some registries let nobody look into a repository that the first push has yet to make.
            Err(error) if matches!(error.status(), Some(400 | 403 | 405)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn put_blob(&self, blob: &Blob, sent: &(dyn Fn(u64) + Sync)) -> Result<BlobOutcome, PushError> {
        let digest = blob.descriptor.digest().to_string();
        let following = self.followed.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest);
        let is_sent = following.as_ref().is_some_and(Following::is_finished);
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest);
        Ok(self.run(async {
            if let Some(ahead) = ahead
                && let Ok(Ok(mounted)) = ahead.await
            {
                self.note_early(1, 0);
                return self.remote.put_after(blob, mounted, sent).await;
            }
            if let Some(following) = following
                && let Some(followed) = self.remote.put_followed(blob, following, sent).await?
            {
                self.note_early(2, if is_sent { followed.gone } else { 0 });
                return Ok(followed.outcome);
            }
            self.remote.put_blob(blob, sent).await
        })?)
    }

    fn doubt(&self) -> bool {
        self.remote.core.forget_present(&self.remote.registry.name, &self.remote.access.repository);
        self.has_assumed.swap(false, Ordering::Relaxed)
    }

    fn put_manifest(&self, document: &Document) -> Result<(), PushError> {
        Ok(self.run(self.remote.put_manifest(document, None))?)
    }

    fn put_top(&self, document: &Document, known: bool) -> Result<(), PushError> {
        if let Some(expected) = self.remote.reference.digest().filter(|it| *it != document.digest().as_ref())
        {
            let found = document.digest().to_string();
            return Err(PushError::OtherDigest { name: self.name(), expected: expected.to_owned(), found });
        }
        let put = async {
            match self.tag() {
                None if known => Ok(()),
                None => self.remote.put_manifest(document, None).await,
                // The tag may point there already: asking is cheaper than writing, and immutable tags bear it.
                Some(tag) => {
                    let there = match self.saw_lately(document).filter(|_| known) {
                        Some(seen) => seen,
                        None if known => {
                            self.remote.manifest_digest(tag).await?.as_ref() == Some(document.digest())
                        }
                        None => false,
                    };
                    if there { Ok(()) } else { self.remote.put_manifest(document, Some(tag)).await }
                }
            }
        };
        Ok(self.run(put)?)
    }

    fn transferred(&self) -> TransferReport {
        self.client.report().and(*self.early.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
