//! Where images go, and the order in which their parts get there.
//!
//! Blobs first, then manifests from the leaves up, the tag last: whoever reads the destination in between, or after
//! a crash, sees the old image or the new one, never a manifest that names what is not there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest};
use serde::Serialize;

use crate::document::Document;
use crate::image::{Blob, BlobSource, Image, ImageIndex};
use crate::layout::{Layout, LayoutError, Reached};
pub use crate::registry::BlobOutcome;
use crate::registry::{Class, RegistryError, TransferReport};

mod layout;

pub use layout::LayoutDestination;

/// Where an image goes. All methods are idempotent: success means that the content is there.
pub trait Destination: Sync {
    /// What a user calls it.
    fn name(&self) -> String;

    /// How many blobs it takes at once.
    fn parallel(&self) -> usize;

    /// Whether it has a manifest already, and so everything that the manifest names.
    fn holds(&self, document: &Document) -> Result<bool, PushError>;

    /// Makes sure that it has a blob. `sent` is told how many bytes have gone so far.
    fn put_blob(&self, blob: &Blob, sent: &(dyn Fn(u64) + Sync)) -> Result<BlobOutcome, PushError>;

    /// Forgets which blobs it was taken to have without having been asked, and says whether there were any.
    fn doubt(&self) -> bool {
        false
    }

    /// Stores a manifest under its digest.
    fn put_manifest(&self, document: &Document) -> Result<(), PushError>;

    /// Stores the topmost manifest under the destination's tag. `known` says that [`Destination::holds`] found it.
    fn put_top(&self, document: &Document, known: bool) -> Result<(), PushError>;

    /// What has been transferred so far.
    fn transferred(&self) -> TransferReport {
        TransferReport::default()
    }
}

/// Why a push failed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The registry or the way to it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The layout that is written to.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The destination names a digest, and the image has another.
    #[error("`{name}` names digest `{expected}`, but the image has `{found}`")]
    OtherDigest {
        /// The destination.
        name: String,
        /// The digest in its name.
        expected: String,
        /// The image's.
        found: String,
    },
}

impl PushError {
    /// Whether a registry misses a blob that a manifest names.
    fn is_blob_unknown(&self) -> bool {
        matches!(self, Self::Registry(error) if matches!(error.code(), Some("MANIFEST_BLOB_UNKNOWN" | "BLOB_UNKNOWN")))
    }

    /// Whose fault the error is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Registry(error) => error.class(),
            Self::Layout(LayoutError::Corrupt { .. }) => Class::Mismatch,
            Self::Layout(LayoutError::Io { .. }) => Class::Ours,
            Self::Layout(_) => Class::Malformed,
            Self::OtherDigest { .. } => Class::Refused,
        }
    }
}

/// All parts of what is pushed, in the order in which they are.
#[derive(Debug, Clone)]
pub struct Shipment {
    /// Layers, then configs; no digest twice.
    pub blobs: Vec<Blob>,
    /// Manifests below the topmost, children first.
    pub manifests: Vec<Document>,
    /// The manifest or index that gets the tag.
    pub top: Document,
}

impl Shipment {
    /// Puts parts together. Blobs that occur more than once are kept once, with all their mount sources.
    #[must_use]
    pub fn new(blobs: impl IntoIterator<Item = Blob>, manifests: Vec<Document>, top: Document) -> Self {
        let mut kept: Vec<Blob> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for blob in blobs {
            let digest = blob.descriptor.digest().to_string();
            if let Some(&at) = places.get(&digest) {
                kept[at].mount_from.extend(blob.mount_from);
            } else {
                places.insert(digest, kept.len());
                kept.push(blob);
            }
        }
        Self { blobs: kept, manifests, top }
    }

    /// Everything that a descriptor in a layout leads to: an image, an index, or indexes of indexes and artifacts.
    pub fn from_layout(layout: &Layout, descriptor: &Descriptor) -> Result<Self, LayoutError> {
        let (mut blobs, mut manifests) = (Vec::new(), Vec::new());
        let top = layout.read_document(descriptor)?;
        for reached in layout.walk(descriptor)? {
            match reached {
                Reached::Blob(blob) => blobs.push(blob),
                Reached::Document(document) if document.digest() == top.digest() => {}
                Reached::Document(document) => manifests.push(document),
            }
        }
        Ok(Self::new(blobs, manifests, top))
    }

    /// Says of all blobs that they may be mounted from a repository.
    #[must_use]
    pub fn mounting_from(mut self, from: &Reference) -> Self {
        for blob in &mut self.blobs {
            blob.mount_from.push(from.clone());
        }
        self
    }
}

fn config_blob(image: &Image) -> Blob {
    Blob {
        descriptor: image.config.descriptor().clone(),
        source: BlobSource::Bytes(image.config.bytes().to_vec()),
        mount_from: Vec::new(),
    }
}

impl From<&Image> for Shipment {
    fn from(image: &Image) -> Self {
        let config = std::iter::once(config_blob(image));
        Self::new(image.layers.iter().cloned().chain(config), Vec::new(), image.manifest.clone())
    }
}

impl From<&ImageIndex> for Shipment {
    fn from(index: &ImageIndex) -> Self {
        let layers = index.images.iter().flat_map(|image| image.layers.iter().cloned());
        let blobs: Vec<Blob> = layers.chain(index.images.iter().map(config_blob)).collect();
        let manifests = index.images.iter().map(|image| image.manifest.clone()).collect();
        Self::new(blobs, manifests, index.document.clone())
    }
}

/// Something happened during a push.
#[derive(Debug, Clone)]
pub enum Progress {
    /// Bytes of a blob have been sent; `sent` counts from its beginning and falls back when it is sent again.
    Blob {
        /// Which.
        digest: Digest,
        /// How many bytes have gone.
        sent: u64,
        /// How many there are.
        size: u64,
    },
    /// A blob is there.
    Done {
        /// Which.
        digest: Digest,
        /// How it got there.
        outcome: BlobOutcome,
    },
    /// The topmost manifest is there.
    Tagged {
        /// Its digest.
        digest: Digest,
    },
}

/// What became of one blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedBlob {
    /// Which.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
    /// How it got there.
    pub outcome: BlobOutcome,
}

/// What a push did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushReport {
    /// The digest of the topmost manifest.
    pub digest: Digest,
    /// Whether the destination had it before.
    pub up_to_date: bool,
    /// The blobs, in the order of the shipment.
    pub blobs: Vec<PushedBlob>,
    /// Requests and bytes.
    pub transfer: TransferReport,
}

impl PushReport {
    /// The number and the bytes of the blobs by what became of them.
    #[must_use]
    pub fn totals(&self) -> PushTotals {
        let mut totals = PushTotals::default();
        for blob in &self.blobs {
            let (count, bytes) = match blob.outcome {
                BlobOutcome::Present => (&mut totals.present, &mut totals.present_bytes),
                BlobOutcome::Mounted { .. } => (&mut totals.mounted, &mut totals.mounted_bytes),
                BlobOutcome::Uploaded { .. } => (&mut totals.uploaded, &mut totals.uploaded_bytes),
            };
            *count += 1;
            *bytes += blob.size;
        }
        totals
    }
}

/// Blobs by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PushTotals {
    /// Were there already.
    pub present: u64,
    /// Their bytes.
    pub present_bytes: u64,
    /// Taken over from other repositories.
    pub mounted: u64,
    /// Their bytes.
    pub mounted_bytes: u64,
    /// Sent.
    pub uploaded: u64,
    /// Their bytes.
    pub uploaded_bytes: u64,
}

/// Pushes an image, an index or any other shipment. Success means that all of it is there.
pub fn push(
    shipment: impl Into<Shipment>,
    destination: &dyn Destination,
    progress: &mut dyn FnMut(Progress),
) -> Result<PushReport, PushError> {
    let shipment = shipment.into();
    let before = destination.transferred();
    let up_to_date = destination.holds(&shipment.top)?;
    let blobs = if up_to_date {
        all_present(&shipment.blobs)
    } else {
        match put_all(&shipment, destination, progress) {
            // What the tag points at names blobs that are not there: a registry that deletes may leave such a thing.
            Err(error) if error.is_blob_unknown() && destination.doubt() => {
                put_all(&shipment, destination, progress)?
            }
            result => result?,
        }
    };
    if up_to_date {
        destination.put_top(&shipment.top, true)?;
    }
    let digest = shipment.top.digest().clone();
    progress(Progress::Tagged { digest: digest.clone() });
    Ok(PushReport { digest, up_to_date, blobs, transfer: destination.transferred().since(before) })
}

fn put_all(
    shipment: &Shipment,
    destination: &dyn Destination,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<PushedBlob>, PushError> {
    let outcomes = put_blobs(&shipment.blobs, destination, progress)?;
    for manifest in &shipment.manifests {
        destination.put_manifest(manifest)?;
    }
    destination.put_top(&shipment.top, false)?;
    Ok(outcomes)
}

fn all_present(blobs: &[Blob]) -> Vec<PushedBlob> {
    blobs.iter().map(|blob| pushed(blob, BlobOutcome::Present)).collect()
}

fn pushed(blob: &Blob, outcome: BlobOutcome) -> PushedBlob {
    PushedBlob { digest: blob.descriptor.digest().clone(), size: blob.descriptor.size(), outcome }
}

/// A blob of so many bytes is worth a connection of its own.
const LARGE: u64 = 1 << 20;

/// Puts blobs in parallel. After the first failure no further blob is begun.
fn put_blobs(
    blobs: &[Blob],
    destination: &dyn Destination,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<PushedBlob>, PushError> {
    let queue = Mutex::new(blobs.iter().enumerate());
    let failed = AtomicBool::new(false);
    let results = Mutex::new(BTreeMap::new());
    let (sender, events) = mpsc::channel();
    let work = |sender: mpsc::Sender<Progress>| {
        while !failed.load(Ordering::Relaxed) {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((at, blob)) = next else {
                break;
            };
            let result = put_one(blob, destination, &sender);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            results.lock().unwrap_or_else(PoisonError::into_inner).insert(at, result);
        }
    };
    thread::scope(|scope| {
        for _ in 0..workers(blobs, destination.parallel()) {
            let sender = sender.clone();
            scope.spawn(|| work(sender));
        }
        drop(sender);
        events.iter().for_each(progress);
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

/// How many blobs are put at a time: what is small is soon sent, and a connection of its own costs more than its turn.
fn workers(blobs: &[Blob], most: usize) -> usize {
    let is_large =
        |blob: &&Blob| !matches!(blob.source, BlobSource::Mounted { .. }) && blob.descriptor.size() >= LARGE;
    let large = blobs.iter().filter(is_large).count();
    large.max(2).min(most).min(blobs.len())
}

fn put_one(
    blob: &Blob,
    destination: &dyn Destination,
    events: &mpsc::Sender<Progress>,
) -> Result<PushedBlob, PushError> {
    let (digest, size) = (blob.descriptor.digest(), blob.descriptor.size());
    // The receiver lives as long as any worker, and a lost report is no reason to fail.
    let tell = |event| drop(events.send(event));
    let sent = |sent| tell(Progress::Blob { digest: digest.clone(), sent, size });
    let outcome = destination.put_blob(blob, &sent)?;
    tell(Progress::Done { digest: digest.clone(), outcome: outcome.clone() });
    Ok(pushed(blob, outcome))
}

#[cfg(test)]
mod tests;
