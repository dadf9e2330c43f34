//! Blobs: asking for them, mounting them, sending them, fetching them.

use std::path::Path;

use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest};
use reqwest::Method;
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::answer::malformed;
use super::call::{Answer, Call, Payload};
use super::core::Core;
use super::error::{Class, RegistryError};
use super::origin::shown;
use super::remote::Remote;
use super::resume::{Part, is_no_way_on};
use super::retry::{Retry, RetryPolicy};
use crate::document::{Hasher, require_sha256};
use crate::image::{Blob, BlobSource};
use crate::reference::same_registry;

/// Below this a blob is sent without asking for it first: the question costs as much as the blob.
const ASK_FROM: u64 = 256 * 1024;
/// How many repositories are asked to mount a blob from. Each that refuses costs a request.
const MOUNT_TRIES: usize = 2;
/// How often a mount is tried at most: what fails each time is sent instead.
const MOUNT_ATTEMPTS: u32 = 3;
/// How many times the usual silence an upload bears in the end.
const MOST_PATIENCE: u32 = 8;
/// How many bytes more a registry must have for the tries of an upload to count anew.
const PROGRESS: u64 = 4 << 20;
/// How often an upload that the registry has lost is begun anew without waiting.
const LOST_UPLOADS: u32 = 3;

/// What became of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobOutcome {
    /// It was there already.
    Present,
    /// The registry took it over from another repository of its own.
    Mounted {
        /// The repository.
        from: String,
    },
    /// It was sent; into a layout, stored.
    Uploaded {
        /// Its size.
        bytes: u64,
    },
}

/// What became of the attempt to mount a blob.
pub(super) enum Mounted {
    /// It is there.
    Done(BlobOutcome),
    /// It has to be sent, into the upload that the registry opened instead if it did.
    Not(Option<Url>),
}

/// An answer to an attempt to mount.
enum Mount {
    Done,
    /// The registry opened an upload instead.
    Session(Url),
    Refused,
}

impl Remote {
    /// Whether the repository has a blob.
    pub(super) async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        if self.core.is_present(&self.registry.name, &self.access.repository, digest.as_ref()) {
            return Ok(true);
        }
        let call = Call::new(Method::HEAD, self.url(&format!("blobs/{digest}")));
        let answer = self.core.send(&self.registry, &self.access, &call, &[200, 404]).await?;
        let found = answer.status() == 200;
        if found {
            self.note_present(digest);
        }
        Ok(found)
    }

    /// Makes sure that the repository has a blob, by the cheapest way that works.
    pub(super) async fn put_blob(
        &self,
        blob: &Blob,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<BlobOutcome, RegistryError> {
        let digest = blob.descriptor.digest();
        sha256_only(digest)?;
        if self.core.is_present(&self.registry.name, &self.access.repository, digest.as_ref()) {
            return Ok(BlobOutcome::Present);
        }
        let mounted = self.try_mount(blob).await?;
        self.put_after(blob, mounted, sent).await
    }

    /// Mounts a blob from another repository, where one is known to have it.
    pub(super) async fn try_mount(&self, blob: &Blob) -> Result<Mounted, RegistryError> {
        let digest = blob.descriptor.digest();
        for from in self.mount_sources(blob) {
            match self.mount(digest, &from).await? {
                Mount::Done => {
                    self.note_present(digest);
                    return Ok(Mounted::Done(BlobOutcome::Mounted { from }));
                }
                Mount::Session(url) => return Ok(Mounted::Not(Some(url))),
                Mount::Refused => {}
            }
        }
        Ok(Mounted::Not(None))
    }

    /// Puts a blob that may have been mounted, into the upload that is open if one is.
    pub(super) async fn put_after(
        &self,
        blob: &Blob,
        mounted: Mounted,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<BlobOutcome, RegistryError> {
        let session = match mounted {
            Mounted::Done(outcome) => return Ok(outcome),
            Mounted::Not(session) => session,
        };
        if blob.descriptor.size() >= ASK_FROM && self.has_blob(blob.descriptor.digest()).await? {
            if let Some(unused) = session {
                self.abandon(unused).await;
            }
            return Ok(BlobOutcome::Present);
        }
        let next = session.map(Part::whole);
        match Payload::of(blob) {
            Ok(payload) => self.upload(&blob.descriptor, payload, next, sent).await,
            Err(from) => self.relay(&blob.descriptor, from, next, sent).await,
        }
    }

    /// Whether a repository of this registry is known from which a blob may be mounted.
    pub(super) fn may_mount(&self, blob: &Blob) -> bool {
        sha256_only(blob.descriptor.digest()).is_ok() && !self.mount_sources(blob).is_empty()
    }

    /// The repositories of this registry from which a blob may be mounted, without this one itself.
    fn mount_sources(&self, blob: &Blob) -> Vec<String> {
        let lies_in = match &blob.source {
            BlobSource::Mounted { from } => Some(from),
            _ => None,
        };
        let mut sources: Vec<String> = Vec::new();
        for from in blob.mount_from.iter().chain(lies_in) {
            let repository = from.repository();
            let new = repository != self.access.repository && !sources.iter().any(|seen| seen == repository);
            if new && same_registry(from, &self.reference) && sources.len() < MOUNT_TRIES {
                sources.push(repository.to_owned());
            }
        }
        sources
    }

    async fn mount(&self, digest: &Digest, from: &str) -> Result<Mount, RegistryError> {
        let mut url = self.url("blobs/uploads/");
        url.query_pairs_mut().append_pair("mount", digest.as_ref()).append_pair("from", from);
        let tries =
            RetryPolicy { attempts: self.core.retry.attempts.min(MOUNT_ATTEMPTS), ..self.core.retry.clone() };
        match self.ask_for_upload(&tries, &url, &[201, 202]).await {
            Ok(None) => Ok(Mount::Done),
            // Registries answer 202 where they will not mount: an upload is open at Location, so the blob goes there.
            Ok(Some(upload)) => Ok(Mount::Session(upload)),
            // A mount is a shortcut; whatever is said against it is said again, in its own words, about the upload.
            Err(error) if error.class() == Class::Refused || is_about_one_request(&error) => {
                Ok(Mount::Refused)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a blob: one POST, one PUT. What breaks goes on from what the registry has kept, where it proves that it has,
    /// and is begun anew otherwise.
    pub(super) async fn upload(
        &self,
        descriptor: &Descriptor,
        payload: Payload,
        mut next: Option<Part>,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<BlobOutcome, RegistryError> {
        let mut retry = Retry::new(&self.core.retry);
        let (mut lost, mut patience, mut may_go_on) = (0, 1, true);
        loop {
            let part = match next.take() {
                Some(part) => part,
                None => Part::whole(self.open_upload().await?),
            };
            let so_far = |gone| sent(part.from + gone);
            let mut call = part.call(&payload, &so_far);
            call.patience = patience;
            let Err(error) = self.finish_upload(descriptor, &mut call).await else {
                break;
            };
            // On a slow link what the system has buffered drains in silence: that is not the registry's.
            if matches!(error, RegistryError::Stalled { .. }) {
                patience = (patience * 2).min(MOST_PATIENCE);
            }
            may_go_on &= !is_no_way_on(&part, &error);
            let upload_lost = is_lost_upload(&error) || is_no_way_on(&part, &error);
            let failed = error.class() != Class::Transient && !upload_lost;
            // The registry may have stored the blob and the answer got lost.
            if !failed && self.has_blob(descriptor.digest()).await? {
                self.uploads.ended(&part.upload);
                break;
            }
            if failed {
                self.abandon(part.upload).await;
                return Err(error);
            }
            let is_gone = error.status() == Some(404);
            if upload_lost && lost < LOST_UPLOADS {
                lost += 1;
            } else {
                self.core.pause(&self.registry, &mut retry, error).await?;
            }
            if may_go_on && !upload_lost {
                next = self.rest_of(&part, call.gone(), descriptor.size()).await;
            }
            match &next {
                Some(rest) if rest.from - part.from >= PROGRESS => retry.renew(),
                Some(_) => {}
                None if is_gone => self.uploads.ended(&part.upload),
                None => self.abandon(part.upload).await,
            }
        }
        self.note_present(descriptor.digest());
        Ok(BlobOutcome::Uploaded { bytes: descriptor.size() })
    }

    pub(super) async fn open_upload(&self) -> Result<Url, RegistryError> {
        let url = self.url("blobs/uploads/");
        let opened = self.ask_for_upload(&self.core.retry, &url, &[202]).await;
        let opened = opened.map_err(|error| self.without_repository(error))?;
        opened.ok_or_else(|| malformed(&url, "an upload was asked for, and none was opened"))
    }

    /// The upload that an answer opens.
    pub(super) fn opened(&self, answer: &Answer) -> Result<Url, RegistryError> {
        let upload = Core::location(&self.registry, answer)?;
        self.uploads.opened(upload.clone());
        Ok(upload)
    }

    /// What a registry says of a repository that nobody has made, said so that it cannot be taken for a lost upload.
    pub(super) fn without_repository(&self, error: RegistryError) -> RegistryError {
        match error {
            RegistryError::Answer(answer)
                if answer.status == 404 && answer.code.as_deref() == Some("NAME_UNKNOWN") =>
            {
                let (registry, repository) = (self.registry.name.clone(), self.access.repository.clone());
                RegistryError::NoRepository { registry, repository, answer }
            }
            error => error,
        }
    }

    pub(super) async fn finish_upload(
        &self,
        descriptor: &Descriptor,
        call: &mut Call<'_>,
    ) -> Result<(), RegistryError> {
        let upload = call.url.clone();
        // What stands in the query already (a state, a signature) is the registry's and stays as it is.
        call.url.query_pairs_mut().append_pair("digest", descriptor.digest().as_ref());
        call.content_type = Some("application/octet-stream".into());
        let answer = self.core.once(&self.registry, &self.access, call, &[200, 201, 204]).await?;
        self.uploads.ended(&upload);
        check_digest_header(&answer, descriptor.digest())
    }

    /// Copies a blob from another repository or registry by way of a temporary file.
    async fn relay(
        &self,
        descriptor: &Descriptor,
        from: &Reference,
        next: Option<Part>,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<BlobOutcome, RegistryError> {
        let source = Self::pulling(&self.core, from)?;
        let spool = tempfile::NamedTempFile::new_in(&self.core.scratch).map_err(|source| {
            RegistryError::File { action: "create a file in", path: self.core.scratch.clone(), source }
        })?;
        source.fetch_blob(descriptor, spool.path(), &|_| {}).await?;
        let payload = Payload::file(spool.path(), descriptor.size());
        self.upload(descriptor, payload, next, sent).await
    }

    /// Fetches a blob into a file and verifies it. What arrives wrong is fetched once more, since a cache on the way
    /// may be to blame.
    pub(super) async fn fetch_blob(
        &self,
        descriptor: &Descriptor,
        path: &Path,
        received: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        sha256_only(descriptor.digest())?;
        let mut retry = Retry::new(&self.core.retry);
        let mut mismatches = 0;
        loop {
            match self.fetch_once(descriptor, path, received).await {
                Err(error) if error.class() == Class::Mismatch && mismatches == 0 => mismatches += 1,
                Err(error) => self.core.pause(&self.registry, &mut retry, error).await?,
                Ok(()) => return Ok(()),
            }
        }
    }

    async fn fetch_once(
        &self,
        descriptor: &Descriptor,
        path: &Path,
        received: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let failed = |source| RegistryError::File { action: "write", path: path.to_owned(), source };
        let call = Call::new(Method::GET, self.url(&format!("blobs/{}", descriptor.digest())));
        let mut answer = self.core.once(&self.registry, &self.access, &call, &[200]).await?;
        let url = answer.url.clone();
        let wrong_size =
            |found| RegistryError::SizeMismatch { url: shown(&url), expected: descriptor.size(), found };
        if let Some(found) = answer.response.content_length().filter(|length| *length != descriptor.size()) {
            return Err(wrong_size(found));
        }
        let mut file = tokio::fs::File::create(path).await.map_err(failed)?;
        let mut hasher = Hasher::default();
        let mut size = 0;
        let mut pace = super::pace::Pace::new(self.core.timeouts.silence);
        while let Some(chunk) = self.core.chunk(&mut answer).await? {
            let chunk = chunk.as_ref();
            size += chunk.len() as u64;
            if size > descriptor.size() {
                return Err(wrong_size(size));
            }
            pace.check(&answer.method, &url, size)?;
            hasher.update(chunk);
            file.write_all(chunk).await.map_err(failed)?;
            received(size);
        }
        file.flush().await.map_err(failed)?;
        if size != descriptor.size() {
            return Err(wrong_size(size));
        }
        let (found, _) = hasher.finish();
        if found != *descriptor.digest() {
            return Err(RegistryError::DigestMismatch {
                url: shown(&url),
                expected: descriptor.digest().to_string(),
                found: found.to_string(),
            });
        }
        Ok(())
    }

    pub(super) fn note_present(&self, digest: &Digest) {
        self.core.set_present(&self.registry.name, &self.access.repository, digest.as_ref());
    }
}

/// Whether a registry failed in one kind of request, while others may go well: it is there, and limits nobody.
fn is_about_one_request(error: &RegistryError) -> bool {
    match error {
        RegistryError::Answer(answer) => answer.status >= 500,
        RegistryError::Connection { source, .. } => !source.is_connect(),
        RegistryError::Stalled { .. } => true,
        _ => false,
    }
}

/// Whether the registry has forgotten an upload, or holds something else for it: a new one may go well. What it says
/// about the repository or about us is not about the upload.
fn is_lost_upload(error: &RegistryError) -> bool {
    const UPLOAD: [&str; 3] = ["BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "RANGE_INVALID"];
    const OTHERWISE: [&str; 4] = ["NAME_UNKNOWN", "NAME_INVALID", "DENIED", "UNAUTHORIZED"];
    match (error.status(), error.code()) {
        (Some(400), code) => code.is_some_and(|code| UPLOAD.contains(&code)),
        (Some(404 | 416), code) => !code.is_some_and(|code| OTHERWISE.contains(&code)),
        _ => false,
    }
}

pub(super) fn sha256_only(digest: &Digest) -> Result<(), RegistryError> {
    require_sha256(digest).map_err(|_| RegistryError::UnsupportedDigest { digest: digest.to_string() })
}

/// Compares the digest that a registry says it stored with ours. The header is optional.
pub(super) fn check_digest_header(answer: &Answer, expected: &Digest) -> Result<(), RegistryError> {
    match answer.header("docker-content-digest") {
        Some(found) if found != expected.as_ref() && found.starts_with("sha256:") => {
            Err(RegistryError::DigestMismatch {
                url: shown(&answer.url),
                expected: expected.to_string(),
                found: found.chars().filter(char::is_ascii_graphic).take(200).collect(),
            })
        }
        Some("") => Err(malformed(&answer.url, "`Docker-Content-Digest` is empty")),
        _ => Ok(()),
    }
}
