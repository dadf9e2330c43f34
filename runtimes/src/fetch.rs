//! Brings artifacts from the mirrors into the store: in parallel, with retries, each verified by its SHA-256.

mod client;
mod error;
mod index;
mod transfer;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;
use url::Url;

pub use client::ClientError;
pub use error::FetchError;
pub use index::{NpmVersion, WheelFile};

use crate::lock::{Artifact, DebArtifact, NpmArtifact, WheelArtifact};
use crate::mirrors::{Endpoint, Mirrors};
use crate::progress::{Event, Progress};
use crate::store::{Store, StoreError, Stored};
use client::Clients;
use transfer::{Expected, TransferError};

/// How many files are fetched at a time.
const PARALLEL: usize = 8;

/// Fetches artifacts. Its calls block; it must not be used within an asynchronous runtime.
#[derive(Debug)]
pub struct Fetcher {
    runtime: tokio::runtime::Runtime,
    clients: Clients,
    mirrors: Mirrors,
    store: Store,
}

impl Fetcher {
    /// Prepares to fetch from some mirrors into a store.
    pub fn new(mirrors: Mirrors, store: Store) -> Result<Self, FetchError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("fetch")
            .enable_all()
            .build()
            .map_err(FetchError::Runtime)?;
        Ok(Self { runtime, clients: Clients::new(&mirrors)?, mirrors, store })
    }

    /// The mirrors.
    #[must_use]
    pub fn mirrors(&self) -> &Mirrors {
        &self.mirrors
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Puts all artifacts into the store and returns their paths in the same order.
    ///
    /// The first failure ends it; one that says that an artifact is [gone](FetchError::Gone) is preferred, since the
    /// caller can do something about it.
    pub fn fetch_all(
        &self,
        artifacts: &[&Artifact],
        progress: &dyn Progress,
    ) -> Result<Vec<PathBuf>, FetchError> {
        let mut missing: Vec<&Artifact> = Vec::new();
        for artifact in artifacts {
            match self.store.verified(artifact.sha256())? {
                Stored::File(_) => continue,
                Stored::Absent => {}
                Stored::Damaged => progress.event(&Event::Damaged { name: artifact.name() }),
            }
            if !missing.iter().any(|other| other.sha256() == artifact.sha256()) {
                missing.push(artifact);
            }
        }
        if !missing.is_empty() {
            let bytes = missing.iter().map(|artifact| artifact.size()).sum();
            progress.event(&Event::FetchPlanned { files: missing.len(), bytes });
            self.runtime.block_on(self.fetch_missing(&missing, progress))?;
        }
        Ok(artifacts.iter().map(|artifact| self.store.path(artifact.sha256())).collect())
    }

    async fn fetch_missing(&self, missing: &[&Artifact], progress: &dyn Progress) -> Result<(), FetchError> {
        let permits = Arc::new(Semaphore::new(PARALLEL));
        // The largest first: a big file that starts last is waited for alone.
        let mut order: Vec<&Artifact> = missing.to_vec();
        order.sort_by_key(|artifact| std::cmp::Reverse(artifact.size()));
        let transfers = order.into_iter().map(|artifact| {
            let permits = Arc::clone(&permits);
            async move {
                let _permit = permits.acquire().await;
                self.fetch_one(artifact, progress).await
            }
        });
        let results = join_all(transfers).await;
        let (gone, other): (Vec<_>, Vec<_>) = results
            .into_iter()
            .filter_map(Result::err)
            .partition(|error| matches!(error, FetchError::Gone { .. }));
        // A mismatch is never hidden behind a file that is merely gone.
        let mismatch = other.iter().position(|error| matches!(error, FetchError::Mismatch { .. }));
        let mut other = other;
        match mismatch
            .map(|at| other.swap_remove(at))
            .or_else(|| gone.into_iter().next())
            .or_else(|| other.pop())
        {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    async fn fetch_one(&self, artifact: &Artifact, progress: &dyn Progress) -> Result<(), FetchError> {
        let expected = Expected {
            name: artifact.name(),
            version: artifact.version(),
            sha256: artifact.sha256(),
            size: artifact.size(),
        };
        match artifact {
            Artifact::Deb(deb) => self.fetch_deb(deb, expected, progress).await,
            Artifact::Npm(npm) => self.fetch_npm(npm, expected, progress).await,
            Artifact::Wheel(wheel) => self.fetch_wheel(wheel, expected, progress).await,
        }
    }

    async fn fetch_deb(
        &self,
        deb: &DebArtifact,
        what: Expected<'_>,
        progress: &dyn Progress,
    ) -> Result<(), FetchError> {
        let endpoint = self.mirrors.debian_of(&deb.suite)?;
        let mut result = Ok(());
        for base in std::iter::once(&endpoint.url).chain(&endpoint.more) {
            let url = join(base, &deb.path)?;
            result = self.transfer(endpoint, &url, what, progress).await;
            if !matches!(result, Err(FetchError::Gone { .. })) {
                break;
            }
        }
        result
    }

    async fn fetch_npm(
        &self,
        npm: &NpmArtifact,
        what: Expected<'_>,
        progress: &dyn Progress,
    ) -> Result<(), FetchError> {
        let endpoint = self.mirrors.npm()?;
        let file = npm.name.rsplit('/').next().unwrap_or(&npm.name);
        let url = join(&endpoint.url, &format!("{}/-/{file}-{}.tgz", npm.name, npm.version))?;
        let usual = self.transfer(endpoint, &url, what, progress).await;
        let Err(FetchError::Gone { .. }) = usual else { return usual };
        // Not every registry keeps its tarballs at the usual place; the package's document says where they are.
        let versions = self.npm_document(&npm.name).await?;
        match versions.into_iter().find(|found| found.version == npm.version) {
            Some(found) if found.tarball != url => {
                self.transfer(endpoint, &found.tarball, what, progress).await
            }
            _ => usual,
        }
    }

    async fn fetch_wheel(
        &self,
        wheel: &WheelArtifact,
        what: Expected<'_>,
        progress: &dyn Progress,
    ) -> Result<(), FetchError> {
        let endpoint = self.mirrors.python()?;
        let project = index::normalized(&wheel.name);
        let files = self.wheel_documents(&project).await?;
        let Some(file) = files.into_iter().find(|file| file.filename == wheel.filename) else {
            let url = join(&endpoint.url, &format!("{project}/"))?;
            return Err(FetchError::Gone { artifact: what.label(), url: Box::new(shown(&url)), status: 404 });
        };
        self.transfer(endpoint, &file.url, what, progress).await
    }

    async fn transfer(
        &self,
        endpoint: &Endpoint,
        url: &Url,
        what: Expected<'_>,
        progress: &dyn Progress,
    ) -> Result<(), FetchError> {
        let client = self.clients.of(endpoint);
        let mut file = self.store.temporary()?;
        let auth = endpoint.auth_for(url);
        match transfer::download(client, auth, url, what, &mut file, progress).await {
            Ok(()) => {
                self.store.adopt(file, what.sha256)?;
                progress.event(&Event::Fetched { name: what.name, bytes: what.size });
                Ok(())
            }
            Err(error) => Err(self.explain(error, what.label(), url)),
        }
    }

    fn explain(&self, error: TransferError, artifact: String, url: &Url) -> FetchError {
        let url = Box::new(shown(url));
        match error {
            TransferError::Status(status @ (404 | 410)) => FetchError::Gone { artifact, url, status },
            TransferError::Status(status) => FetchError::Refused { artifact, url, status },
            TransferError::Digest { expected, found } => {
                FetchError::Mismatch { artifact, url, expected, found }
            }
            TransferError::Transient(reason) => FetchError::Transient { artifact, url, reason },
            TransferError::File(source) => {
                FetchError::Store(StoreError { path: self.store.directory().to_owned(), source })
            }
        }
    }

    /// The versions of an npm package.
    pub fn npm_versions(&self, name: &str) -> Result<Vec<NpmVersion>, FetchError> {
        self.runtime.block_on(self.npm_document(name))
    }

    async fn npm_document(&self, name: &str) -> Result<Vec<NpmVersion>, FetchError> {
        let endpoint = self.mirrors.npm()?;
        let url = join(&endpoint.url, &name.replace('/', "%2f"))?;
        let accept = "application/vnd.npm.install-v1+json, application/json;q=0.8";
        let (body, _) = self.document(endpoint, &url, accept, name).await?;
        index::npm(&body).map_err(|reason| FetchError::Index { url: Box::new(shown(&url)), reason })
    }

    /// The wheels of a project, from the index and the further indexes.
    pub fn wheels(&self, project: &str) -> Result<Vec<WheelFile>, FetchError> {
        self.runtime.block_on(self.wheel_documents(&index::normalized(project)))
    }

    async fn wheel_documents(&self, project: &str) -> Result<Vec<WheelFile>, FetchError> {
        let endpoint = self.mirrors.python()?;
        let url = join(&endpoint.url, &format!("{project}/"))?;
        let accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.2";
        let (body, base) = self.document(endpoint, &url, accept, project).await?;
        index::wheels(&body, &base).map_err(|reason| FetchError::Index { url: Box::new(shown(&url)), reason })
    }

    /// A document of an index, and the address it came from in the end.
    async fn document(
        &self,
        endpoint: &Endpoint,
        url: &Url,
        accept: &str,
        name: &str,
    ) -> Result<(Vec<u8>, Url), FetchError> {
        let client = self.clients.of(endpoint);
        let result = transfer::document(client, endpoint.auth_for(url), url, accept).await;
        result.map_err(|error| self.explain(error, name.to_owned(), url))
    }

    /// Fetches a file of unknown digest, for a lock that is being made; returns the stored path, SHA-256 and size.
    pub fn fetch_unlocked(
        &self,
        kind: Unlocked,
        url: &Url,
        name: &str,
    ) -> Result<(PathBuf, String, u64), FetchError> {
        let endpoint = match kind {
            Unlocked::Npm => self.mirrors.npm()?,
            Unlocked::Wheel => self.mirrors.python()?,
        };
        self.runtime.block_on(async {
            let mut file = self.store.temporary()?;
            let client = self.clients.of(endpoint);
            let (sha256, size) = transfer::download_any(client, endpoint.auth_for(url), url, &mut file)
                .await
                .map_err(|error| self.explain(error, name.to_owned(), url))?;
            Ok((self.store.adopt(file, &sha256)?, sha256, size))
        })
    }
}

/// A file that no lock names yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlocked {
    /// Of the npm registry.
    Npm,
    /// Of the Python index.
    Wheel,
}

fn join(base: &Url, path: &str) -> Result<Url, FetchError> {
    base.join(path)
        .map_err(|cause| FetchError::Index { url: Box::new(shown(base)), reason: cause.to_string() })
}

/// An address for a message: no credentials, no query.
fn shown(url: &Url) -> Url {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url
}

/// Waits for all futures, which run side by side on this task.
async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, output) in &mut running {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}

#[cfg(test)]
mod tests;
