//! A repository as the place where an image goes.

use oci_spec::image::Descriptor;

use crate::destination::{Destination, PushError};
use crate::document::Document;
use crate::image::Blob;
use crate::reference::Reference;

use super::Client;
use super::blob::BlobOutcome;
use super::error::RegistryError;
use super::remote::Remote;
use super::report::TransferReport;

/// Pushes to a repository, under the tag of a reference.
pub struct RegistryDestination<'a> {
    client: &'a Client,
    remote: Remote,
}

impl<'a> RegistryDestination<'a> {
    pub(super) fn new(
        client: &'a Client,
        reference: &Reference,
        mount_from: &[Reference],
    ) -> Result<Self, RegistryError> {
        let near = mount_from.iter().filter(|from| crate::reference::same_registry(from, reference));
        let remote = Remote::pushing(&client.core, reference, near.map(Reference::repository))?;
        Ok(Self { client, remote })
    }

    /// The manifest or index that the tag points at so far; none where there is no tag, or nothing under it. It is read
    /// with the permission to push that the rest needs anyway, in one attempt.
    pub fn tagged(&self) -> Result<Option<Document>, RegistryError> {
        let Some(tag) = self.tag() else { return Ok(None) };
        match self.client.runtime.block_on(self.remote.manifest_once(tag)) {
            Ok(document) => Ok(Some(document)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A manifest that an index of this repository names.
    pub fn manifest_of(&self, descriptor: &Descriptor) -> Result<Document, RegistryError> {
        self.client.runtime.block_on(self.remote.manifest_of(descriptor))
    }

    /// The tag that is written; none if the reference is by digest alone.
    fn tag(&self) -> Option<&str> {
        self.remote.reference.tag()
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
        let digest = document.digest().to_string();
        match self.client.runtime.block_on(self.remote.manifest_digest(&digest)) {
            Ok(found) => Ok(found.as_ref() == Some(document.digest())),
            // Some registries let nobody look into a repository that the first push has yet to make.
            Err(error) if matches!(error.status(), Some(400 | 403 | 405)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn put_blob(&self, blob: &Blob, sent: &(dyn Fn(u64) + Sync)) -> Result<BlobOutcome, PushError> {
        Ok(self.client.runtime.block_on(self.remote.put_blob(blob, sent))?)
    }

    fn put_manifest(&self, document: &Document) -> Result<(), PushError> {
        Ok(self.client.runtime.block_on(self.remote.put_manifest(document, None))?)
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
                    let there =
                        known && self.remote.manifest_digest(tag).await?.as_ref() == Some(document.digest());
                    if there { Ok(()) } else { self.remote.put_manifest(document, Some(tag)).await }
                }
            }
        };
        Ok(self.client.runtime.block_on(put)?)
    }

    fn transferred(&self) -> TransferReport {
        self.client.report()
    }
}
