//! An image layout as the place where an image goes.

use super::{BlobOutcome, Destination, PushError};
use crate::document::Document;
use crate::image::{Blob, BlobSource};
use crate::layout::{Layout, LayoutError, TEMPORARY};
use crate::registry::{Client, TransferReport};
use crate::unfinished;

/// Stores in an image layout. Blobs that are only in a registry are fetched from there, if there is a client.
pub struct LayoutDestination<'a> {
    /// Where things are stored.
    pub layout: &'a Layout,
    /// The tag of the topmost manifest; without one it is stored and nothing points to it.
    pub tag: Option<&'a str>,
    /// Fetches what is not at hand.
    pub client: Option<&'a Client>,
}

impl LayoutDestination<'_> {
    fn store(&self, blob: &Blob, received: &(dyn Fn(u64) + Sync)) -> Result<(), PushError> {
        let descriptor = &blob.descriptor;
        match (&blob.source, self.client) {
            (BlobSource::File(path), _) => Ok(self.layout.copy_blob(path, descriptor)?),
            (BlobSource::Bytes(bytes), _) => Ok(self.layout.store_blob(&mut bytes.as_slice(), descriptor)?),
            (BlobSource::Mounted { from }, Some(client)) => {
                let dir = self.layout.dir();
                let file = unfinished::begin(dir, TEMPORARY).map_err(|source| LayoutError::Io {
                    action: "written",
                    path: dir.to_owned(),
                    source,
                })?;
                client.fetch_blob_watched(from, descriptor, file.path(), received)?;
                Ok(self.layout.adopt_blob(file, descriptor)?)
            }
            (BlobSource::Mounted { from }, None) => {
                Err(LayoutError::Elsewhere { digest: descriptor.digest().clone(), from: from.to_string() }
                    .into())
            }
        }
    }
}

impl Destination for LayoutDestination<'_> {
    fn name(&self) -> String {
        let dir = self.layout.dir().display();
        self.tag.map_or_else(|| format!("oci:{dir}"), |tag| format!("oci:{dir}:{tag}"))
    }

    fn parallel(&self) -> usize {
        self.client.map_or(1, Client::parallel)
    }

    /// That a manifest is there says nothing about its blobs: they are asked for one by one, which costs a look at their bytes.
    fn holds(&self, _: &Document) -> Result<bool, PushError> {
        Ok(false)
    }

    fn put_blob(&self, blob: &Blob, sent: &(dyn Fn(u64) + Sync)) -> Result<BlobOutcome, PushError> {
        if self.layout.keep(&blob.descriptor) {
            return Ok(BlobOutcome::Present);
        }
        self.store(blob, sent)?;
        Ok(BlobOutcome::Uploaded { bytes: blob.descriptor.size() })
    }

    fn put_manifest(&self, document: &Document) -> Result<(), PushError> {
        Ok(self.layout.write_document(document)?)
    }

    fn put_top(&self, document: &Document, _: bool) -> Result<(), PushError> {
        self.layout.write_document(document)?;
        match self.tag {
            Some(tag) => Ok(self.layout.tag(tag, document.descriptor())?),
            None => Ok(()),
        }
    }

    fn transferred(&self) -> TransferReport {
        self.client.map(Client::report).unwrap_or_default()
    }
}
