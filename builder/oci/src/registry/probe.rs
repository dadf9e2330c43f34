//! Finding out what a registry can do, by doing it with very little.
//!
//! Everything that is written lies in one repository and is named after the probe. It is deleted in the end as far as the
//! registry permits that, and told otherwise.

use std::collections::BTreeMap;

use oci_spec::image::Digest;
use reqwest::Method;

use super::call::{Answer, Call};
use super::error::RegistryError;
use super::origin::shown;
use super::remote::Remote;
use super::{Client, Core};
use crate::document::Document;
use crate::reference::{Reference, same_registry};

mod cleaning;
mod manifests;
mod samples;
mod uploads;

pub use samples::Samples;

/// What a registry may be able to do, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// It answers, over TLS or not.
    Reached,
    /// How it wants to know who asks.
    Authentication,
    /// What is in the repository may be read.
    Pull,
    /// The repository may be written to.
    Push,
    /// A blob arrives with one POST and one PUT.
    UploadWhole,
    /// A blob arrives in several chunks.
    UploadInChunks,
    /// The status of an upload says how much has arrived.
    UploadStatus,
    /// It says how large chunks must be at least.
    ChunkMinLength,
    /// Where uploads go can be followed.
    UploadLocation,
    /// A blob of the repository itself is mounted.
    MountWithin,
    /// A blob of another repository is mounted.
    MountFrom,
    /// What was written is there at once.
    HeadAfterPut,
    /// Answers name the digest of their content.
    DigestHeader,
    /// An image is taken under a tag, and given back as it was.
    Image,
    /// A tag can be moved to another image.
    TagMoves,
    /// An image index is taken.
    Index,
    /// Layers may be compressed with zstd.
    Zstd,
    /// It lists what refers to an image.
    Referrers,
    /// Manifests can be deleted.
    Delete,
}

impl Capability {
    /// All of them, in order.
    pub const ALL: [Self; 19] = [
        Self::Reached,
        Self::Authentication,
        Self::Pull,
        Self::Push,
        Self::UploadWhole,
        Self::UploadInChunks,
        Self::UploadStatus,
        Self::ChunkMinLength,
        Self::UploadLocation,
        Self::MountWithin,
        Self::MountFrom,
        Self::HeadAfterPut,
        Self::DigestHeader,
        Self::Image,
        Self::TagMoves,
        Self::Index,
        Self::Zstd,
        Self::Referrers,
        Self::Delete,
    ];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Authentication => "authentication",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::UploadWhole => "upload-whole",
            Self::UploadInChunks => "upload-in-chunks",
            Self::UploadStatus => "upload-status",
            Self::ChunkMinLength => "chunk-min-length",
            Self::UploadLocation => "upload-location",
            Self::MountWithin => "mount-within",
            Self::MountFrom => "mount-from",
            Self::HeadAfterPut => "head-after-put",
            Self::DigestHeader => "digest-header",
            Self::Image => "image",
            Self::TagMoves => "tag-moves",
            Self::Index => "index",
            Self::Zstd => "zstd",
            Self::Referrers => "referrers",
            Self::Delete => "delete",
        }
    }
}

/// What was found of one capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub capability: Capability,
    /// Whether the registry has it; none where that was not tried.
    pub found: Option<bool>,
    /// What was seen.
    pub detail: String,
}

/// What was found of a registry.
#[derive(Debug)]
pub struct Probe {
    /// One finding a capability, in order.
    pub findings: Vec<Finding>,
    /// What was written and could not be deleted.
    pub left: Vec<String>,
    /// What keeps an image from being pushed; none if one can be.
    pub refusal: Option<RegistryError>,
}

impl Client {
    /// Finds out what the registry of a reference can do with its repository. `mount_from` is an image of another
    /// repository, whose smallest part may be mounted.
    pub fn probe(
        &self,
        reference: &Reference,
        mount_from: Option<&Reference>,
        samples: &Samples,
    ) -> Result<Probe, RegistryError> {
        let near = mount_from.filter(|from| same_registry(from, reference));
        let remote = Remote::pushing(&self.core, reference, near.map(Reference::repository).into_iter())?;
        let reading = Remote::pulling(&self.core, reference)?;
        let mut prober = Prober {
            remote,
            reading,
            samples,
            seen: BTreeMap::new(),
            manifests: Vec::new(),
            blobs: Vec::new(),
            left: Vec::new(),
            refusal: None,
        };
        self.runtime.block_on(async {
            prober.look(mount_from).await;
            prober.clean().await;
            prober.remote.abandon_all().await;
        });
        Ok(Probe { findings: prober.findings(), left: prober.left, refusal: prober.refusal })
    }
}

/// A probe under way.
struct Prober<'a> {
    remote: Remote,
    /// The same repository with the permission to read alone.
    reading: Remote,
    samples: &'a Samples,
    seen: BTreeMap<Capability, (Option<bool>, String)>,
    /// What was written, in this order.
    manifests: Vec<Digest>,
    blobs: Vec<Digest>,
    /// What cannot be deleted.
    left: Vec<String>,
    refusal: Option<RegistryError>,
}

/// Why an image cannot be pushed: nothing after it is tried.
type Step = Result<(), RegistryError>;

impl Prober<'_> {
    fn note(&mut self, capability: Capability, found: bool, detail: impl Into<String>) {
        self.seen.insert(capability, (Some(found), detail.into()));
    }

    fn not_tried(&mut self, capability: Capability, why: impl Into<String>) {
        self.seen.insert(capability, (None, why.into()));
    }

    /// Notes a yes, or what the registry said instead; a failure is passed on.
    fn judge<T>(
        &mut self,
        capability: Capability,
        yes: &str,
        result: Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        match &result {
            Ok(_) => self.note(capability, true, yes),
            Err(error) => self.note(capability, false, said(error)),
        }
        result
    }

    fn findings(&self) -> Vec<Finding> {
        let found = |capability| {
            let not_tried = || (None, "not tried".to_owned());
            let (found, detail) = self.seen.get(&capability).cloned().unwrap_or_else(not_tried);
            Finding { capability, found, detail }
        };
        Capability::ALL.into_iter().map(found).collect()
    }

    async fn look(&mut self, mount_from: Option<&Reference>) {
        let outcome = self.look_at_all(mount_from).await;
        self.refusal = outcome.err();
        if self.seen.get(&Capability::Reached).is_some_and(|(found, _)| *found == Some(true)) {
            let (found, detail) = self.remote.core.wanted(&self.remote.registry, &self.remote.access).await;
            self.seen.insert(Capability::Authentication, (found, detail));
        }
    }

    async fn look_at_all(&mut self, mount_from: Option<&Reference>) -> Step {
        self.reach().await?;
        self.read().await;
        self.upload_whole().await?;
        self.upload_in_chunks().await;
        self.mount_within().await;
        self.mount_another(mount_from).await;
        self.put_image().await?;
        self.move_tag().await;
        self.put_index().await;
        self.put_zstd().await;
        self.refer().await;
        Ok(())
    }

    /// Whether there is a registry at all.
    async fn reach(&mut self) -> Step {
        let mut url = self.remote.registry.base.clone();
        url.set_path("v2/");
        let way = if self.remote.registry.origin.is_tls() {
            "over https, with a certificate that is trusted"
        } else {
            "over plain http"
        };
        match self.send(&Call::new(Method::GET, url), &[200]).await {
            Ok(_) => self.note(Capability::Reached, true, way),
            // It is there, and says what it wants.
            Err(error) if error.status().is_some() => {
                self.note(Capability::Reached, true, format!("{way}; {}", said(&error)));
            }
            Err(error) => {
                self.note(Capability::Reached, false, said(&error));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether the repository may be read, before anything is written to it.
    async fn read(&mut self) {
        let name = self.samples.tag();
        let found = self.reading.manifest_digest(&name).await;
        let _ = self.judge(Capability::Pull, "the repository may be asked for images", found);
    }

    async fn send(&self, call: &Call<'_>, allowed: &[u16]) -> Result<Answer, RegistryError> {
        self.remote.core.send(&self.remote.registry, &self.remote.access, call, allowed).await
    }

    async fn put_manifest(&mut self, document: &Document, tag: Option<&str>) -> Step {
        self.remote.put_manifest(document, tag).await?;
        if !self.manifests.contains(document.digest()) {
            self.manifests.push(document.digest().clone());
        }
        Ok(())
    }
}

/// What a registry said, without the request that it was said to.
fn said(error: &RegistryError) -> String {
    let RegistryError::Answer(answer) = error else { return error.to_string() };
    let status = answer.status.to_string();
    // Servers that are no registries say the status in words, with its number.
    let message = answer.message.as_deref().map(|message| message.trim_start_matches(&status).trim_start());
    let words: Vec<&str> = [answer.code.as_deref(), message].into_iter().flatten().collect();
    format!("{status} {}", words.join(": "))
}

/// How the place of an upload looks, and whether it is one that we go to.
async fn place_of(core: &Core, remote: &Remote, answer: &Answer) -> (bool, String) {
    let Some(raw) = answer.header("location").map(str::to_owned) else {
        return (false, "there is none".to_owned());
    };
    let target = match Core::location(&remote.registry, answer) {
        Ok(target) => target,
        Err(error) => return (false, said(&error)),
    };
    let absolute = url::Url::parse(&raw).ok();
    let plain = absolute.as_ref().is_some_and(|url| url.scheme() == "http");
    let mut words = match &absolute {
        None => "relative".to_owned(),
        Some(url) if url.host_str() != remote.registry.base.host_str() => {
            format!("on another host, {}", shown(url))
        }
        Some(_) if plain && remote.registry.origin.is_tls() => {
            "http although the registry has TLS, and followed over https".to_owned()
        }
        Some(_) => "absolute".to_owned(),
    };
    if target.query().is_some() {
        words.push_str(", with a query");
    }
    match core.check_away(&remote.registry, &target).await {
        Ok(()) => (true, words),
        Err(error) => (false, format!("{words}: {}", said(&error))),
    }
}
