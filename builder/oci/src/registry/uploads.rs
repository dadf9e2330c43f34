//! Uploads that are open at a registry, so that none is left behind when its blob goes another way, or not at all.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;
use url::Url;

use super::call::Call;
use super::origin::Origin;
use super::remote::Remote;

/// How long a registry is waited for that is told that nothing more will come. It clears up by itself in the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the open uploads of a repository go on.
#[derive(Default)]
pub(super) struct Uploads(Mutex<Vec<Url>>);

impl Uploads {
    /// Notes that an upload is open.
    pub(super) fn opened(&self, upload: Url) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(upload);
    }

    /// Notes that an upload is closed, or lost.
    pub(super) fn ended(&self, upload: &Url) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|open| open != upload);
    }

    /// Notes that an upload goes on elsewhere.
    pub(super) fn moved(&self, upload: &Url, next: &Url) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter_mut().filter(|open| *open == upload).for_each(|open| *open = next.clone());
    }

    fn take(&self) -> Vec<Url> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Remote {
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

    /// Tells the same of all uploads that are open.
    pub(super) async fn abandon_all(&self) {
        let open = self.uploads.take();
        let told = async {
            for upload in open {
                self.abandon(upload).await;
            }
        };
        drop(tokio::time::timeout(PATIENCE, told).await);
    }
}
