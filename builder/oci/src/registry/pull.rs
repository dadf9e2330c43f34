//! Reading whole images, and what they lead to.

use std::collections::BTreeSet;

use oci_spec::image::Descriptor;
use reqwest::Method;

use super::blob::sha256_only;
use super::call::Call;
use super::error::{Class, RegistryError};
use super::origin::shown;
use super::remote::Remote;
use super::retry::Retry;
use crate::destination::Shipment;
use crate::document::{DOCUMENT_LIMIT, Document, DocumentError, DocumentKind};
use crate::image::{Blob, BlobSource};
use crate::layout::children;

/// Deeper than any tool nests indexes.
const DEPTH_LIMIT: usize = 8;
/// More documents than any image leads to.
const DOCUMENTS_LIMIT: usize = 100_000;
/// The most bytes that all of them may have.
const BYTES_LIMIT: usize = 256 << 20;

impl Remote {
    /// Fetches a small blob, such as a config, into memory and verifies it.
    pub(super) async fn blob_document(&self, descriptor: &Descriptor) -> Result<Document, RegistryError> {
        self.blob_within(descriptor, DOCUMENT_LIMIT).await
    }

    /// The same with a limit of its own, in bytes.
    pub(super) async fn blob_within(
        &self,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Document, RegistryError> {
        sha256_only(descriptor.digest())?;
        let url = self.url(&format!("blobs/{}", descriptor.digest()));
        if descriptor.size() > limit {
            return Err(RegistryError::TooLarge { url: shown(&url), limit });
        }
        let call = Call::new(Method::GET, url);
        let mut retry = Retry::new(&self.core.retry);
        let mut mismatches = 0;
        loop {
            let attempt = async {
                let answer = self.core.once(&self.registry, &self.access, &call, &[200]).await?;
                let bytes = self.core.read_bounded(answer, limit).await?;
                verified(descriptor, bytes, &shown(&call.url))
            };
            match attempt.await {
                Err(error) if error.class() == Class::Mismatch && mismatches == 0 => mismatches += 1,
                Err(error) => self.core.pause(&self.registry, &mut retry, error).await?,
                Ok(document) => return Ok(document),
            }
        }
    }
}

/// What a manifest leads to, with blobs that stay where they are until somebody wants them.
#[derive(Default)]
struct Reached {
    seen: BTreeSet<String>,
    blobs: Vec<Blob>,
    documents: Vec<Document>,
    /// The bytes of the documents.
    bytes: usize,
}

impl Remote {
    /// A manifest by its descriptor, which it must match in digest and size.
    pub(super) async fn manifest_of(&self, descriptor: &Descriptor) -> Result<Document, RegistryError> {
        let url = shown(&self.url(&format!("manifests/{}", descriptor.digest())));
        if descriptor.size() > DOCUMENT_LIMIT {
            return Err(RegistryError::TooLarge { url, limit: DOCUMENT_LIMIT });
        }
        let document = self.manifest(descriptor.digest().as_ref()).await?;
        let bytes = document.bytes().to_vec();
        verified(descriptor, bytes, &url)
    }

    /// Everything that a manifest or index leads to, as a shipment whose blobs are in this repository.
    pub(super) async fn shipment(&self, top: Document) -> Result<Shipment, RegistryError> {
        let mut reached = Reached::default();
        self.reach(&top, 0, &mut reached).await?;
        Ok(Shipment::new(reached.blobs, reached.documents, top))
    }

    async fn reach(
        &self,
        document: &Document,
        depth: usize,
        reached: &mut Reached,
    ) -> Result<(), RegistryError> {
        let url = shown(&self.url(&format!("manifests/{}", document.digest())));
        let malformed = |problem: String| RegistryError::Malformed { url: url.clone(), problem };
        if depth > DEPTH_LIMIT {
            return Err(malformed(format!("indexes are nested deeper than {DEPTH_LIMIT} levels")));
        }
        if reached.documents.len() > DOCUMENTS_LIMIT {
            return Err(malformed(format!("it leads to more than {DOCUMENTS_LIMIT} manifests")));
        }
        for child in children(document).map_err(|error| malformed(error.to_string()))? {
            if !reached.seen.insert(child.digest().to_string()) {
                continue;
            }
            if DocumentKind::of(child.media_type()).is_none() {
                let source = BlobSource::Mounted { from: self.reference.clone() };
                reached.blobs.push(Blob { descriptor: child, source, mount_from: Vec::new() });
                continue;
            }
            let child = self.manifest_of(&child).await?;
            reached.bytes += child.bytes().len();
            if reached.bytes > BYTES_LIMIT {
                return Err(malformed(format!("it leads to manifests of more than {BYTES_LIMIT} bytes")));
            }
            Box::pin(self.reach(&child, depth + 1, reached)).await?;
            reached.documents.push(child);
        }
        Ok(())
    }
}

/// Checks bytes against the descriptor that named them.
pub(super) fn verified(
    descriptor: &Descriptor,
    bytes: Vec<u8>,
    url: &str,
) -> Result<Document, RegistryError> {
    Document::verified(descriptor, bytes).map_err(|error| match error {
        DocumentError::Size { expected, found, .. } => {
            RegistryError::SizeMismatch { url: url.to_owned(), expected, found }
        }
        DocumentError::Digest { expected, found } => RegistryError::DigestMismatch {
            url: url.to_owned(),
            expected: expected.to_string(),
            found: found.to_string(),
        },
        other => RegistryError::Malformed { url: url.to_owned(), problem: other.to_string() },
    })
}
