//! Uploads that are open at a registry, so that none is left behind when its blob goes another way, or not at all.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;
use tokio::sync::watch;
use url::Url;

use super::call::{Call, Payload};
use super::error::RegistryError;
use super::origin::Origin;
use super::remote::Remote;
use super::retry::{Retry, RetryPolicy};

/// How long a registry is waited for that is told that nothing more will come. It clears up by itself in the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the open uploads of a repository go on.
#[derive(Default)]
pub(super) struct Uploads {
    open: Mutex<Vec<Url>>,
    /// How many requests are under way that may open another one.
    asked: watch::Sender<usize>,
}

/// A request that may open an upload is under way.
struct Asked(Arc<Uploads>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.asked.send_modify(|asked| *asked -= 1);
    }
}

impl Uploads {
    fn ask(self: &Arc<Self>) -> Asked {
        self.asked.send_modify(|asked| *asked += 1);
        Asked(Arc::clone(self))
    }

    /// Notes that an upload is open.
    pub(super) fn opened(&self, upload: Url) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(upload);
    }

    /// Notes that an upload is closed, or lost.
    pub(super) fn ended(&self, upload: &Url) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|open| open != upload);
    }

    /// Notes that an upload goes on elsewhere.
    pub(super) fn moved(&self, upload: &Url, next: &Url) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter_mut().filter(|open| *open == upload).for_each(|open| *open = next.clone());
    }

    fn take(&self) -> Vec<Url> {
        std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Remote {
    /// Makes a request that opens an upload, unless it is answered otherwise with one of the `allowed` statuses.
    pub(super) async fn ask_for_upload(
        &self,
        policy: &RetryPolicy,
        url: &Url,
        allowed: &'static [u16],
    ) -> Result<Option<Url>, RegistryError> {
        let mut retry = Retry::new(policy);
        loop {
            match self.ask_once(url.clone(), allowed).await {
                Ok(upload) => return Ok(upload),
                Err(error) => self.core.pause(&self.registry, &mut retry, error).await?,
            }
        }
    }

    /// Once it is sent, the answer is waited for although whoever asked may be gone: nobody could cancel the upload else.
    async fn ask_once(&self, url: Url, allowed: &'static [u16]) -> Result<Option<Url>, RegistryError> {
        let remote = self.with_access(self.access.clone());
        let asked = self.uploads.ask();
        let answered = tokio::spawn(async move {
            let _asked = asked;
            let call = Call::new(Method::POST, url).with_body(Payload::Empty);
            let answer = remote.core.once(&remote.registry, &remote.access, &call, allowed).await?;
            if answer.status() == 202 { remote.opened(&answer).map(Some) } else { Ok(None) }
        });
        answered.await.unwrap_or_else(|lost| match lost.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(lost) => {
                Err(RegistryError::Setup { problem: format!("the request for an upload was lost: {lost}") })
            }
        })
    }

    /// Tells the registry that nothing more will come of an upload. Whether it listens makes no difference to the push.
    pub(super) async fn abandon(&self, upload: Url) {
        self.uploads.ended(&upload);
        // Elsewhere lies what was signed for one request, which is not this one.
        if Origin::of(&upload).as_ref() != Some(&self.registry.origin) {
            return;
        }
        let call = Call::new(Method::DELETE, upload);
        let told = self.core.once(&self.registry, &self.access, &call, &[204]);
        drop(tokio::time::timeout(PATIENCE, told).await);
    }

    /// Tells the same of all uploads that are open, and of those that a request under way still opens.
    pub(super) async fn abandon_all(&self) {
        let mut asked = self.uploads.asked.subscribe();
        let told = async {
            loop {
                for upload in self.uploads.take() {
                    self.abandon(upload).await;
                }
                if *asked.borrow_and_update() == 0 || asked.changed().await.is_err() {
                    break;
                }
            }
            // What the last of them opened.
            for upload in self.uploads.take() {
                self.abandon(upload).await;
            }
        };
        drop(tokio::time::timeout(PATIENCE, told).await);
    }
}
