//! Manifests and tags: reading them strictly, writing them last.

use oci_spec::image::{Digest, MediaType};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use super::answer::malformed;
use super::blob::{check_digest_header, sha256_only};
use super::call::{Answer, Call, Payload};
use super::error::{Class, RegistryError};
use super::origin::shown;
use super::remote::Remote;
use super::retry::Retry;
use super::strict;
use crate::document::{DOCUMENT_LIMIT, Document, sha256_of};

/// All kinds of manifests that we can read. Without the list, registries send kinds that nobody reads any more.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

impl Remote {
    /// The digest under a tag or digest, or `None` if there is nothing.
    pub(super) async fn manifest_digest(&self, name: &str) -> Result<Option<Digest>, RegistryError> {
        let mut call = Call::new(Method::HEAD, self.url(&format!("manifests/{name}")));
        call.accept = Some(ACCEPT);
        let answer = self.core.send(&self.registry, &self.access, &call, &[200, 404]).await?;
        if answer.status() == 404 {
            return Ok(None);
        }
        if let Some(digest) = answer.header("docker-content-digest") {
            let digest = Digest::try_from(digest)
                .map_err(|_| malformed(&answer.url, "`Docker-Content-Digest` is not a digest"))?;
            return Ok(Some(digest));
        }
        if let Ok(digest) = Digest::try_from(name) {
            return Ok(Some(digest));
        }
        // The header is optional: then only the bytes say what they are.
        Ok(Some(self.manifest(name).await?.digest().clone()))
    }

    /// The manifest or index under a tag or digest, verified and strictly read.
    pub(super) async fn manifest(&self, name: &str) -> Result<Document, RegistryError> {
        if let Ok(digest) = Digest::try_from(name) {
            sha256_only(&digest)?;
        }
        let mut retry = Retry::new(&self.core.retry);
        let mut mismatches = 0;
        loop {
            match self.manifest_once(name).await {
                Err(error) if error.class() == Class::Mismatch && mismatches == 0 => mismatches += 1,
                Err(error) => self.core.pause(&self.registry, &mut retry, error).await?,
                Ok(document) => return Ok(document),
            }
        }
    }

    /// The same in one attempt, for what is not worth waiting for.
    pub(super) async fn manifest_once(&self, name: &str) -> Result<Document, RegistryError> {
        let mut call = Call::new(Method::GET, self.url(&format!("manifests/{name}")));
        call.accept = Some(ACCEPT);
        let answer = self.core.once(&self.registry, &self.access, &call, &[200]).await?;
        self.read_manifest(answer, name).await
    }

    async fn read_manifest(&self, answer: Answer, name: &str) -> Result<Document, RegistryError> {
        let url = answer.url.clone();
        let content_type = answer.header(CONTENT_TYPE.as_str()).map(str::to_owned);
        let announced = answer.header("docker-content-digest").map(str::to_owned);
        let bytes = self.core.read_bounded(answer, DOCUMENT_LIMIT).await?;
        let found = sha256_of(&bytes);
        let by_digest = name.contains(':').then(|| name.to_owned());
        // Digests of other algorithms in the header are not ours to check; asked for by digest, sha256 it is.
        let announced = announced.filter(|digest| digest.starts_with("sha256:"));
        for expected in by_digest.into_iter().chain(announced) {
            if expected != found.as_ref() {
                return Err(RegistryError::DigestMismatch {
                    url: shown(&url),
                    expected,
                    found: found.to_string(),
                });
            }
        }
        let media_type = strict::media_type(&bytes, content_type.as_deref())
            .map_err(|problem| RegistryError::Malformed { url: shown(&url), problem })?;
        Ok(Document::from_bytes(MediaType::from(media_type.as_str()), bytes))
    }

    /// Stores a manifest under its digest, or under a tag.
    pub(super) async fn put_manifest(
        &self,
        document: &Document,
        tag: Option<&str>,
    ) -> Result<(), RegistryError> {
        let name = tag.map_or_else(|| document.digest().to_string(), str::to_owned);
        let mut call = Call::new(Method::PUT, self.url(&format!("manifests/{name}")))
            .with_body(Payload::Bytes(document.bytes().to_vec()));
        call.content_type = Some(document.media_type().to_string());
        let mut retry = Retry::new(&self.core.retry);
        let mut disturbed = 0;
        loop {
            let error = match self.core.once(&self.registry, &self.access, &call, &[200, 201, 202]).await {
                Ok(answer) => return check_digest_header(&answer, document.digest()),
                Err(error) => error,
            };
            let no_answer = matches!(error, RegistryError::Connection { .. } | RegistryError::Stalled { .. });
            if (no_answer || may_be_immutable(&error)) && self.holds(&name, document).await {
                return Ok(());
            }
            // The bytes are those of the digest: a registry that finds others has read them while somebody else wrote the
            // same manifest, as servers with files do.
            if error.code() == Some("DIGEST_INVALID") && disturbed < DISTURBED {
                disturbed += 1;
                tokio::time::sleep(self.core.retry.shortest * disturbed).await;
                continue;
            }
            self.core.pause(&self.registry, &mut retry, error).await?;
        }
    }

    /// Whether the repository has this very document under a name. A failure to find out is a no.
    async fn holds(&self, name: &str, document: &Document) -> bool {
        matches!(self.manifest_digest(name).await, Ok(Some(found)) if found == *document.digest())
    }
}

/// So often a manifest is sent again that a registry took for another one.
const DISTURBED: u32 = 3;

/// Registries refuse to write an immutable tag with all kinds of statuses, even if it would stay the same.
fn may_be_immutable(error: &RegistryError) -> bool {
    matches!(error.status(), Some(400 | 403 | 405 | 409 | 412 | 422))
}
