//! A client of OCI registries (distribution specification 1.1).
//!
//! Calls block. Inside, requests run on a small runtime of the client's own. Everything that arrives is bounded and
//! verified, everything that is sent can be sent again, and credentials never leave the (scheme, host, port) that
//! they belong to, but for the token service that a registry names. Nothing here reads the environment: proxies,
//! credential files and authorities are [`Options`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use oci_spec::image::{Descriptor, Digest};

use crate::destination::{LayoutDestination, Progress, PushError, PushReport, Shipment, push};
use crate::document::Document;
use crate::image::Blob;
use crate::layout::Layout;
use crate::reference::Reference;

mod answer;
mod auth;
mod blob;
mod body;
mod call;
mod challenge;
mod core;
mod credentials;
mod destination;
mod error;
mod file;
mod following;
mod listing;
mod manifest;
mod origin;
mod pace;
mod probe;
mod pull;
mod remote;
mod report;
mod resume;
mod retry;
mod send;
mod strict;
mod transport;
mod travel;
mod uploads;

pub use blob::BlobOutcome;
pub use credentials::{CredentialError, Credentials, Locations, Login, Secret};
pub use destination::RegistryDestination;
pub use error::{AuthHint, Class, ErrorAnswer, RegistryError};
pub use file::{BasicLogin, Glance, Piece, Receive};
pub use following::Following;
pub use probe::{Capability, Finding, Probe, Samples};
pub use report::TransferReport;
pub use retry::RetryPolicy;
pub use transport::{Proxies, Timeouts, Trust};
pub use travel::is_listed;

use self::core::Core;
use self::remote::Remote;
use self::transport::Transport;

/// The client waits before it tries again.
#[derive(Debug, Clone)]
pub struct Wait {
    /// The registry that failed or asked to wait.
    pub registry: String,
    /// What happened.
    pub reason: String,
    /// How long the wait is.
    pub wait: Duration,
}

/// Called when the client waits, from whichever thread does.
pub type OnWait = Arc<dyn Fn(&Wait) + Send + Sync>;

/// How a [`Client`] behaves.
#[derive(Clone)]
pub struct Options {
    /// Where logins come from.
    pub credentials: Credentials,
    /// Registries (`host` or `host:port`) that are spoken to by plain http. Loopback always is.
    pub insecure: Vec<String>,
    /// Registries on loopback (`host` or `host:port`) that are spoken to with TLS nevertheless.
    pub secure: Vec<String>,
    /// Hosts of token services that are trusted with credentials although they are private or without TLS.
    pub realm_allow: Vec<String>,
    /// Certificate authorities.
    pub trust: Trust,
    /// Proxies.
    pub proxies: Proxies,
    /// The `User-Agent` of all requests.
    pub user_agent: String,
    /// How many blobs are transferred at once.
    pub parallel: usize,
    /// How long to wait for answers.
    pub timeouts: Timeouts,
    /// How failed requests are repeated.
    pub retry: RetryPolicy,
    /// Where blobs are spooled that go from one registry to another.
    pub scratch: PathBuf,
    /// Told about waits.
    pub on_wait: Option<OnWait>,
    /// The number of the signal that asks to stop, and 0 before it does: pushes end then.
    pub stop: Option<Arc<AtomicUsize>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            credentials: Credentials::none(),
            insecure: Vec::new(),
            secure: Vec::new(),
            realm_allow: Vec::new(),
            trust: Trust::default(),
            proxies: Proxies::default(),
            user_agent: concat!("lapstrake/", env!("CARGO_PKG_VERSION")).to_owned(),
            parallel: 4,
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            scratch: PathBuf::from("/tmp"),
            on_wait: None,
            stop: None,
        }
    }
}

/// A client of registries. It remembers what they want and what they have, so one serves a whole run.
pub struct Client {
    core: Arc<Core>,
    runtime: tokio::runtime::Runtime,
    parallel: usize,
}

impl Client {
    /// Sets up a client. Nothing is sent yet.
    pub fn new(options: Options) -> Result<Self, RegistryError> {
        let transport =
            Transport::new(&options.trust, &options.proxies, &options.timeouts, &options.user_agent)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("registry")
            .enable_all()
            .build()
            .map_err(|error| RegistryError::Setup { problem: error.to_string() })?;
        let parallel = options.parallel.clamp(1, 64);
        Ok(Self { core: Arc::new(Core::new(transport, options)), runtime, parallel })
    }

    /// What this client has transferred so far.
    #[must_use]
    pub fn report(&self) -> TransferReport {
        self.core.counters.report()
    }

    /// The digest that a reference stands for, or `None` if the registry has no such manifest.
    pub fn resolve(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError> {
        let remote = Remote::pulling(&self.core, reference)?;
        self.runtime.block_on(remote.manifest_digest(name_in(reference)))
    }

    /// The manifest or index under a reference, as the bytes that the registry holds.
    pub fn manifest(&self, reference: &Reference) -> Result<Document, RegistryError> {
        let remote = Remote::pulling(&self.core, reference)?;
        self.runtime.block_on(remote.manifest(name_in(reference)))
    }

    /// A manifest by its digest in the reference's repository, checked against its descriptor.
    pub fn manifest_of(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
    ) -> Result<Document, RegistryError> {
        let remote = Remote::pulling(&self.core, reference)?;
        self.runtime.block_on(remote.manifest_of(descriptor))
    }

    /// Everything that a manifest or index leads to, as a shipment whose blobs are still in the reference's repository.
    /// Pushed to a layout it is a pull, pushed to another registry a copy.
    pub fn shipment(&self, reference: &Reference, top: Document) -> Result<Shipment, RegistryError> {
        let remote = Remote::pulling(&self.core, reference)?;
        self.runtime.block_on(remote.shipment(top))
    }

    /// Fetches a manifest or index and everything it leads to into a layout, under a tag if there is one. What the
    /// layout has is not fetched again.
    pub fn pull(
        &self,
        reference: &Reference,
        top: Document,
        layout: &Layout,
        tag: Option<&str>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PushReport, PushError> {
        let shipment = self.shipment(reference, top)?;
        push(shipment, &LayoutDestination { layout, tag, client: Some(self) }, progress)
    }

    /// How many blobs are transferred at once.
    #[must_use]
    pub fn parallel(&self) -> usize {
        self.parallel
    }

    /// Whether the reference's repository has a blob.
    pub fn has_blob(&self, reference: &Reference, digest: &Digest) -> Result<bool, RegistryError> {
        let remote = Remote::pulling(&self.core, reference)?;
        self.runtime.block_on(remote.has_blob(digest))
    }

    /// Fetches a blob into a file, verified by digest and size.
    pub fn fetch_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        path: &Path,
    ) -> Result<(), RegistryError> {
        self.fetch_blob_watched(reference, descriptor, path, &|_| {})
    }

    /// The same; `received` is told how many bytes have come, from zero again when it is begun anew.
    pub fn fetch_blob_watched(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        path: &Path,
        received: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let remote = Remote::pulling(&self.core, reference)?;
        self.runtime.block_on(remote.fetch_blob(descriptor, path, received))
    }

    /// Fetches a small blob, such as a config, into memory.
    pub fn blob_document(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
    ) -> Result<Document, RegistryError> {
        let remote = Remote::pulling(&self.core, reference)?;
        self.runtime.block_on(remote.blob_document(descriptor))
    }

    /// Fetches a blob of at most `limit` bytes into memory.
    pub fn blob_within(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Document, RegistryError> {
        let remote = Remote::pulling(&self.core, reference)?;
        self.runtime.block_on(remote.blob_within(descriptor, limit))
    }

    /// All tags of the reference's repository, sorted.
    pub fn tags(&self, reference: &Reference) -> Result<Vec<String>, RegistryError> {
        let remote = Remote::pulling(&self.core, reference)?;
        self.runtime.block_on(remote.tags())
    }

    /// All repositories of a registry, `HOST[:PORT]`, sorted, as far as it tells them: the listing is no part of the
    /// distribution specification, and many hosted registries refuse it.
    pub fn repositories(&self, registry: &str) -> Result<Vec<String>, RegistryError> {
        let registry = self.core.registry(registry)?;
        self.runtime.block_on(listing::repositories(&self.core, &registry))
    }

    /// A destination that pushes to `reference`. `mount_from` are the references that blobs may be mounted from.
    pub fn destination(
        &self,
        reference: &Reference,
        mount_from: &[Reference],
    ) -> Result<RegistryDestination<'_>, RegistryError> {
        RegistryDestination::new(self, reference, mount_from)
    }

    /// A destination with the mount sources of the blobs that are to be pushed.
    pub fn destination_for<'a>(
        &self,
        reference: &Reference,
        blobs: impl IntoIterator<Item = &'a Blob>,
    ) -> Result<RegistryDestination<'_>, RegistryError> {
        let sources = mount_sources(blobs);
        self.destination(reference, &sources)
    }
}

/// Where blobs may be mounted from.
fn mount_sources<'a>(blobs: impl IntoIterator<Item = &'a Blob>) -> Vec<Reference> {
    let mut sources = Vec::new();
    for blob in blobs {
        sources.extend(blob.mount_from.iter().cloned());
        if let crate::image::BlobSource::Mounted { from } = &blob.source {
            sources.push(from.clone());
        }
    }
    sources
}

/// What stands after `manifests/` for a reference: the digest, if it has one.
fn name_in(reference: &Reference) -> &str {
    reference.digest().or(reference.tag()).unwrap_or("latest")
}

#[cfg(test)]
mod tests;
