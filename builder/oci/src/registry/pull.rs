//! Reading whole images.

use oci_spec::image::Descriptor;
use reqwest::Method;

use super::blob::sha256_only;
use super::core::Call;
use super::error::{Class, RegistryError};
use super::origin::shown;
use super::remote::Remote;
use super::retry::Retry;
use crate::document::{DOCUMENT_LIMIT, Document, DocumentError};

impl Remote {
    /// Fetches a small blob, such as a config, into memory and verifies it.
    pub(super) async fn blob_document(&self, descriptor: &Descriptor) -> Result<Document, RegistryError> {
        sha256_only(descriptor.digest())?;
        let url = self.url(&format!("blobs/{}", descriptor.digest()));
        if descriptor.size() > DOCUMENT_LIMIT {
            return Err(RegistryError::TooLarge { url: shown(&url), limit: DOCUMENT_LIMIT });
        }
        let call = Call::new(Method::GET, url);
        let mut retry = Retry::new(&self.core.retry);
        let mut mismatches = 0;
        loop {
            let attempt = async {
                let answer = self.core.once(&self.registry, &self.access, &call, &[200]).await?;
                let bytes = self.core.read_bounded(answer, DOCUMENT_LIMIT).await?;
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
