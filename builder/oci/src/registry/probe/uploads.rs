//! Blobs: whole, in chunks, and from elsewhere.

use oci_spec::image::{Descriptor, Digest, ImageManifest, MediaType};
use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, HeaderValue};
use url::Url;

use super::{Capability, Prober, Step, place_of, said};
use crate::document::{Document, sha256_of};
use crate::reference::{Reference, same_registry};
use crate::registry::answer::malformed;
use crate::registry::call::{Call, Payload};
use crate::registry::core::Core;
use crate::registry::error::RegistryError;
use crate::registry::remote::Remote;
use crate::registry::resume::{Part, kept};

impl Prober<'_> {
    /// Opens an upload, sends a blob with one PUT, and asks for it.
    pub(super) async fn upload_whole(&mut self) -> Step {
        let upload = self.begin_upload().await?;
        let samples = self.samples;
        let layer = &samples.first.layers[0];
        let bytes = super::manifests::bytes_of(layer);
        let sent = self.send_whole(Some(upload), &layer.descriptor, bytes).await;
        self.judge(Capability::UploadWhole, "one POST and one PUT", sent)?;
        self.ask_for(layer.descriptor.digest()).await;
        let config = &samples.first.config;
        self.send_whole(None, config.descriptor(), config.bytes()).await
    }

    /// Opens the first upload, and looks at what the registry says of it.
    async fn begin_upload(&mut self) -> Result<Url, RegistryError> {
        let call = Call::new(Method::POST, self.remote.url("blobs/uploads/")).with_body(Payload::Empty);
        let answer = self.send(&call, &[202]).await.map_err(|error| self.remote.without_repository(error));
        let answer = self.judge(Capability::Push, "an upload may be begun", answer)?;
        match answer.header("oci-chunk-min-length") {
            Some(length) => self.note(Capability::ChunkMinLength, true, format!("{length} bytes")),
            None => self.note(Capability::ChunkMinLength, false, "none is named"),
        }
        let (found, place) = place_of(&self.remote.core, &self.remote, &answer).await;
        self.note(Capability::UploadLocation, found, place);
        self.remote.opened(&answer)
    }

    /// Sends a blob as a push does.
    pub(super) async fn send_whole(
        &mut self,
        upload: Option<Url>,
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Step {
        let whole = upload.map(Part::whole);
        self.remote.upload(descriptor, Payload::Bytes(bytes.to_vec()), whole, &|_| {}).await?;
        self.wrote(descriptor.digest());
        Ok(())
    }

    fn wrote(&mut self, blob: &Digest) {
        // Images share what is alike in them.
        if !self.blobs.contains(blob) {
            self.blobs.push(blob.clone());
        }
    }

    /// Whether a blob is there that was just sent, and what the answer says of it.
    async fn ask_for(&mut self, digest: &Digest) {
        let call = Call::new(Method::HEAD, self.remote.url(&format!("blobs/{digest}")));
        let answer = self.send(&call, &[200]).await;
        let header = answer
            .as_ref()
            .ok()
            .map(|answer| answer.header("docker-content-digest") == Some(digest.as_ref()));
        let _ = self.judge(Capability::HeadAfterPut, "a blob is found after it was sent", answer);
        match header {
            Some(true) => self.note(Capability::DigestHeader, true, "`Docker-Content-Digest`"),
            Some(false) => self.note(Capability::DigestHeader, false, "digests have to be computed"),
            None => {}
        }
    }

    /// Sends a blob in two chunks, and asks in between how much has arrived.
    pub(super) async fn upload_in_chunks(&mut self) {
        let most = self.samples.chunked[0].len();
        if let Some((Some(true), length)) = self.seen.get(&Capability::ChunkMinLength)
            && length
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok())
                .is_none_or(|least: usize| least > most)
        {
            let why = format!("not tried: chunks have {length} at least, and {most} are written here");
            self.not_tried(Capability::UploadInChunks, why.clone());
            self.not_tried(Capability::UploadStatus, why);
            return;
        }
        let sent = self.send_chunks().await;
        let _ = self.judge(Capability::UploadInChunks, "two PATCHes and one PUT", sent);
    }

    async fn send_chunks(&mut self) -> Step {
        let [first, second] = &self.samples.chunked;
        let whole = [first.as_slice(), second.as_slice()].concat();
        let whole = Document::from_bytes(MediaType::ImageLayer, whole);
        let upload = self.remote.open_upload().await?;
        let upload = self.send_chunk(upload, 0, first).await?;
        self.ask_status(&upload, first.len() as u64).await;
        let upload = self.send_chunk(upload, first.len(), second).await?;
        let mut call = Call::new(Method::PUT, upload).with_body(Payload::Empty);
        self.remote.finish_upload(whole.descriptor(), &mut call).await?;
        self.wrote(whole.digest());
        Ok(())
    }

    /// Sends one chunk, and returns where the next one goes.
    async fn send_chunk(&self, upload: Url, from: usize, chunk: &[u8]) -> Result<Url, RegistryError> {
        let mut call = Call::new(Method::PATCH, upload).with_body(Payload::Bytes(chunk.to_vec()));
        let end = from + chunk.len();
        let range = HeaderValue::from_str(&format!("{from}-{}", end - 1)).expect("two numbers are a header");
        call.headers.insert(CONTENT_RANGE, range);
        call.content_type = Some("application/octet-stream".into());
        let answer = self.send(&call, &[200, 201, 202, 204]).await?;
        match answer.header("range") {
            Some(range) if kept(range) != Some(end as u64) => {
                let problem = format!("it took {end} bytes and kept `{range}`");
                Err(malformed(&answer.url, &problem))
            }
            _ => {
                let next = Core::location(&self.remote.registry, &answer)?;
                self.remote.uploads.moved(&answer.url, &next);
                Ok(next)
            }
        }
    }

    async fn ask_status(&mut self, upload: &Url, sent: u64) {
        let answer = self.send(&Call::new(Method::GET, upload.clone()), &[204]).await;
        match answer {
            Ok(answer) => {
                let range = answer.header("range").unwrap_or("nothing").to_owned();
                let found = kept(&range) == Some(sent);
                self.note(Capability::UploadStatus, found, format!("`{range}` of {sent} bytes"));
            }
            Err(error) => self.note(Capability::UploadStatus, false, said(&error)),
        }
    }

    /// Mounts a blob from the repository that it is in.
    pub(super) async fn mount_within(&mut self) {
        let digest = self.samples.first.layers[0].descriptor.digest().clone();
        let from = self.remote.access.repository.clone();
        self.mount(Capability::MountWithin, &digest, &from).await;
    }

    /// Mounts the smallest part of an image of another repository.
    pub(super) async fn mount_another(&mut self, from: Option<&Reference>) {
        let Some(from) = from else {
            self.not_tried(Capability::MountFrom, "not tried: no image of another repository was named");
            return;
        };
        if !same_registry(from, &self.remote.reference) {
            self.not_tried(Capability::MountFrom, format!("not tried: `{from}` is in another registry"));
            return;
        }
        let digest = match self.smallest_of(from).await {
            Ok(digest) => digest,
            Err(error) => {
                let why = format!("not tried: `{from}` cannot be read: {}", said(&error));
                self.not_tried(Capability::MountFrom, why);
                return;
            }
        };
        // What the repository has already may be part of an image, and proves nothing.
        if !matches!(self.remote.has_blob(&digest).await, Ok(false)) {
            let why = format!("not tried: the smallest part of `{from}` is in the repository already");
            self.not_tried(Capability::MountFrom, why);
            return;
        }
        if self.mount(Capability::MountFrom, &digest, from.repository()).await {
            // Somebody else may count on it from now on, so that it stays.
            self.left
                .push(format!("blob {digest} of {}, mounted from `{from}`", self.remote.access.repository));
        }
    }

    async fn smallest_of(&self, from: &Reference) -> Result<Digest, RegistryError> {
        let remote = Remote::pulling(&self.remote.core, from)?;
        let name = from.digest().or(from.tag()).unwrap_or("latest");
        let document = remote.manifest(name).await?;
        let manifest: ImageManifest =
            document.parse().map_err(|_| malformed(&remote.url("manifests/"), "it is no image"))?;
        let parts = manifest.layers().iter().chain([manifest.config()]);
        let smallest = parts.min_by_key(|part| part.size()).map(Descriptor::digest);
        Ok(smallest.cloned().unwrap_or_else(|| sha256_of(b"")))
    }

    /// Tries to mount a blob, and says whether that worked.
    async fn mount(&mut self, capability: Capability, digest: &Digest, from: &str) -> bool {
        let mut url = self.remote.url("blobs/uploads/");
        url.query_pairs_mut().append_pair("mount", digest.as_ref()).append_pair("from", from);
        let call = Call::new(Method::POST, url).with_body(Payload::Empty);
        match self.send(&call, &[201, 202]).await {
            Ok(answer) if answer.status() == 201 => {
                self.note(capability, true, format!("from `{from}`"));
                true
            }
            Ok(answer) => {
                self.note(capability, false, format!("an upload is opened instead of one from `{from}`"));
                if let Ok(upload) = Core::location(&self.remote.registry, &answer) {
                    self.remote.abandon(upload).await;
                }
                false
            }
            Err(error) => {
                self.note(capability, false, said(&error));
                false
            }
        }
    }
}
