//! Blobs that are sent while they are made.
//!
//! As `docker push` does: one POST, one PATCH without a length that ends with the blob, and a PUT that names the digest.
//! Whatever goes wrong on the way is no failure: the blob is whole in its file by then, and is sent from there.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use oci_spec::image::Descriptor;
use reqwest::Method;
use reqwest::header::{LOCATION, RANGE};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use url::Url;

use super::answer::malformed;
use super::blob::{BlobOutcome, sha256_only};
use super::call::{Call, Payload};
use super::core::Core;
use super::error::RegistryError;
use super::remote::Remote;
use super::resume::kept;
use crate::layer::{Growing, Stage};

/// Below this a blob is not worth an upload of its own kind: it will be whole before the upload is open. In bytes.
const WORTH_IT: u64 = 1 << 20;

/// How long the rest of an upload may take before it is worth asking whether it is needed.
const SOON: Duration = Duration::from_millis(50);

/// An upload under way.
pub struct Following {
    /// Where it goes, once it is open.
    opened: Arc<OnceLock<Url>>,
    /// Where it can be finished; none if it came to nothing, or was not begun.
    task: JoinHandle<Option<Url>>,
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

impl Remote {
    /// Finishes an upload that was begun before the blob was whole; none if it has to be sent anew.
    ///
    /// A blob that turns out to be there while much of it has yet to go is not sent to its end.
    pub(super) async fn put_followed(
        &self,
        descriptor: &Descriptor,
        mut following: Following,
    ) -> Result<Option<BlobOutcome>, RegistryError> {
        let digest = descriptor.digest();
        sha256_only(digest)?;
        let soon = tokio::time::timeout(SOON, &mut following.task).await;
        let ended = match soon {
            Ok(ended) => ended,
            Err(_) if self.has_blob(digest).await? => {
                following.task.abort();
                if let Some(upload) = following.opened.get() {
                    self.abandon(upload.clone()).await;
                }
                return Ok(Some(BlobOutcome::Present));
            }
            Err(_) => following.task.await,
        };
        let Ok(Some(upload)) = ended else { return Ok(None) };
        let mut call = Call::new(Method::PUT, upload).with_body(Payload::Empty);
        match self.finish_upload(descriptor, &mut call).await {
            Ok(()) => {
                self.note_present(digest);
                Ok(Some(BlobOutcome::Uploaded { bytes: descriptor.size() }))
            }
            // Whatever is not about this upload alone is said again when the blob is sent anew.
            Err(_) => Ok(None),
        }
    }

    /// Sends a blob as it grows, and says where the upload can be finished.
    async fn follow_blob(&self, mut growing: Growing, place: &OnceLock<Url>) -> Option<Url> {
        match growing.beyond(WORTH_IT).await {
            Stage::Growing(_) => {}
            Stage::Whole(size) if size > WORTH_IT => {}
            Stage::Whole(_) | Stage::Broken => return None,
        }
        let opened = self.open_upload().await.ok()?;
        let _ = place.set(opened.clone());
        let sent = self.patch(opened.clone(), growing).await.ok();
        if sent.is_none() {
            self.abandon(opened).await;
        }
        sent
    }

    /// Sends all of it in one chunk, and says where the upload goes on. A registry that says itself that it has less has
    /// lost it.
    async fn patch(&self, target: Url, growing: Growing) -> Result<Url, RegistryError> {
        let mut call = Call::new(Method::PATCH, target).with_body(Payload::Growing(growing));
        call.content_type = Some("application/octet-stream".into());
        // The specification wants 202; some registries say otherwise.
        let answer = self.core.once(&self.registry, &self.access, &call, &[200, 201, 202, 204]).await?;
        let has_less = |range: &str| range == "0-0" || kept(range).is_some_and(|kept| kept < call.gone());
        if answer.header(RANGE.as_str()).is_some_and(has_less) {
            return Err(malformed(&answer.url, "it kept less of the blob than was sent"));
        }
        match answer.header(LOCATION.as_str()) {
            Some(_) => Core::location(&self.registry, &answer),
            None => Ok(call.url),
        }
    }

    /// Tells the registry that nothing more will come. It clears up by itself where it does not listen.
    pub(super) async fn abandon(&self, upload: Url) {
        let call = Call::new(Method::DELETE, upload);
        drop(self.core.once(&self.registry, &self.access, &call, &[204]).await);
    }
}
