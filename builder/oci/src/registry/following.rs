//! Blobs that are sent while they are made.
//!
//! As `docker push` does: one POST, one PATCH without a length that ends with the blob, and a PUT that names the digest.
//! Whatever goes wrong on the way is no failure: the blob is whole in its file by then, and its rest, or all of it, is sent
//! from there.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{LOCATION, RANGE};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use url::Url;

use super::answer::malformed;
use super::blob::{BlobOutcome, sha256_only};
use super::call::{Call, Payload};
use super::core::Core;
use super::error::{Class, RegistryError};
use super::remote::Remote;
use super::resume::{Part, kept};
use crate::image::Blob;
use crate::layer::{Growing, Stage};

/// Below this a blob is not worth an upload of its own kind: it will be whole before the upload is open. In bytes.
const WORTH_IT: u64 = 1 << 20;

/// How long the rest of an upload may take before it is worth asking whether it is needed.
const SOON: Duration = Duration::from_millis(50);

/// An upload under way.
pub struct Following {
    /// Where it goes, once it is open.
    opened: Arc<OnceLock<Url>>,
    task: JoinHandle<Ended>,
}

/// What became of an upload.
enum Ended {
    /// Everything has been sent: where it can be finished, and how many bytes have gone.
    Sent(Url, u64),
    /// It broke off when so many bytes had gone, and may go on.
    BrokeOff(Url, u64),
    /// It came to nothing, or was not begun.
    Nothing,
}

/// A blob that was sent while it was made, and is there.
pub(super) struct Followed {
    pub(super) outcome: BlobOutcome,
    /// How many bytes had gone before the blob was whole.
    pub(super) gone: u64,
}

impl Following {
    /// Begins to send a blob as it grows.
    pub(super) fn begin(runtime: &Runtime, remote: &Arc<Remote>, growing: Growing) -> Self {
        let opened = Arc::new(OnceLock::new());
        let (remote, place) = (Arc::clone(remote), Arc::clone(&opened));
        let task = runtime.spawn(async move { remote.follow_blob(growing, &place).await });
        Self { opened, task }
    }
}

impl Following {
    /// Whether everything has gone that will.
    pub(super) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Following {
    /// Nothing more is sent of what nobody waits for.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Remote {
    /// Finishes an upload that was begun before the blob was whole; none if it has to be sent anew.
    ///
    /// A blob that turns out to be there while much of it has yet to go is not sent to its end.
    pub(super) async fn put_followed(
        &self,
        blob: &Blob,
        mut following: Following,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<Option<Followed>, RegistryError> {
        let digest = blob.descriptor.digest();
        sha256_only(digest)?;
        let soon = tokio::time::timeout(SOON, &mut following.task).await;
        let ended = match soon {
            Ok(ended) => ended,
            Err(_) if self.has_blob(digest).await? => {
                following.task.abort();
                if let Some(upload) = following.opened.get() {
                    self.abandon(upload.clone()).await;
                }
                return Ok(Some(Followed { outcome: BlobOutcome::Present, gone: 0 }));
            }
            Err(_) => (&mut following.task).await,
        };
        match ended {
            Ok(Ended::Sent(upload, gone)) => Ok(self.finish_followed(blob, upload, gone).await),
            Ok(Ended::BrokeOff(upload, gone)) => self.go_on(blob, upload, gone, sent).await,
            Ok(Ended::Nothing) | Err(_) => Ok(None),
        }
    }

    async fn finish_followed(&self, blob: &Blob, upload: Url, gone: u64) -> Option<Followed> {
        let mut call = Call::new(Method::PUT, upload.clone()).with_body(Payload::Empty);
        // Whatever is not about this upload alone is said again when the blob is sent anew.
        if self.finish_upload(&blob.descriptor, &mut call).await.is_err() {
            self.abandon(upload).await;
            return None;
        }
        self.note_present(blob.descriptor.digest());
        Some(Followed { outcome: BlobOutcome::Uploaded { bytes: blob.descriptor.size() }, gone })
    }

    /// Sends the rest of a blob that is whole by now, if the registry can prove that it has its beginning.
    async fn go_on(
        &self,
        blob: &Blob,
        upload: Url,
        gone: u64,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<Option<Followed>, RegistryError> {
        let part = Part::whole(upload);
        let rest = self.rest_of(&part, gone, blob.descriptor.size()).await;
        let (Some(rest), Ok(payload)) = (rest, Payload::of(blob)) else {
            self.abandon(part.upload).await;
            return Ok(None);
        };
        let outcome = self.upload(&blob.descriptor, payload, Some(rest), sent).await?;
        Ok(Some(Followed { outcome, gone }))
    }

    /// Sends a blob as it grows.
    async fn follow_blob(&self, mut growing: Growing, place: &OnceLock<Url>) -> Ended {
        match growing.beyond(WORTH_IT).await {
            Stage::Growing(_) => {}
            Stage::Whole(size) if size > WORTH_IT => {}
            Stage::Whole(_) | Stage::Broken => return Ended::Nothing,
        }
        let Ok(opened) = self.open_upload().await else { return Ended::Nothing };
        let _ = place.set(opened.clone());
        let mut call = Call::new(Method::PATCH, opened.clone()).with_body(Payload::Growing(growing.clone()));
        call.content_type = Some("application/octet-stream".into());
        match self.patch(&call).await {
            Ok(next) => {
                self.uploads.moved(&opened, &next);
                Ended::Sent(next, call.gone())
            }
            Err(error) if error.class() == Class::Transient && !matches!(growing.stage(), Stage::Broken) => {
                Ended::BrokeOff(opened, call.gone())
            }
            Err(_) => {
                self.abandon(opened).await;
                Ended::Nothing
            }
        }
    }

    /// Sends all of it in one chunk, and says where the upload goes on. A registry that says itself that it has less has
    /// lost it.
    async fn patch(&self, call: &Call<'_>) -> Result<Url, RegistryError> {
        // The specification wants 202; some registries say otherwise.
        let answer = self.core.once(&self.registry, &self.access, call, &[200, 201, 202, 204]).await?;
        let has_less = |range: &str| range == "0-0" || kept(range).is_some_and(|kept| kept < call.gone());
        if answer.header(RANGE.as_str()).is_some_and(has_less) {
            return Err(malformed(&answer.url, "it kept less of the blob than was sent"));
        }
        match answer.header(LOCATION.as_str()) {
            Some(_) => Core::location(&self.registry, &answer),
            None => Ok(call.url.clone()),
        }
    }
}
