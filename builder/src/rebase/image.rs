//! One image, where it is: read, judged, moved.

use std::collections::BTreeMap;

use lapstrake_catalog::audit::Known;
use lapstrake_catalog::{Date, Entry, ImageKind, PlatformKey};
use lapstrake_oci::destination::Shipment;
use lapstrake_oci::document::{Document, DocumentKind};
use lapstrake_oci::image::Blob;
use oci_spec::image::{Digest, ImageIndex, ImageManifest, MediaType};
use serde::Deserialize;
use serde_json::{Value, json};

use super::documents::{Base, rebased};
use super::target::{Refusal, Target, target};
use crate::catalog::CatalogAt;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::published::Repository;
use crate::runtime::RuntimeLayer;

/// How images are moved.
pub struct Rebase<'a> {
    /// The catalog that knows the entries.
    pub catalog: &'a CatalogAt,
    /// Its entries by their layers.
    pub known: &'a Known<'a>,
    /// Where images are moved to.
    pub target: &'a Target,
    /// The day that decides which entries may be used.
    pub as_of: Date,
    /// The surroundings.
    pub context: &'a Context,
}

/// What an image would be on its target.
pub struct Rebased {
    /// The image as it is.
    pub before: Document,
    /// The entries that it is on and is moved to, by platform.
    pub moves: BTreeMap<PlatformKey, (String, String)>,
    /// The image as it would be, with all that its repository does not have.
    pub shipment: Shipment,
}

/// What comes of an image.
pub enum Outcome {
    /// It is on its target already.
    Current,
    /// It has to be moved.
    Move(Box<Rebased>),
}

/// The few fields of a config that are needed.
#[derive(Deserialize)]
struct Config {
    architecture: String,
    os: String,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

/// One manifest on its new base.
struct Moved {
    platform: PlatformKey,
    ids: (String, String),
    manifest: Document,
    blobs: Vec<Blob>,
}

impl Rebase<'_> {
    /// What an image would be on its target. Nothing is written.
    pub fn look(&self, repository: &Repository, name: &str) -> Result<Outcome, Failure> {
        let before = repository.top(name)?;
        match DocumentKind::of(before.media_type()) {
            Some(DocumentKind::Manifest) => match self.manifest(repository, &before)? {
                None => Ok(Outcome::Current),
                Some(one) => {
                    let moves = BTreeMap::from([(one.platform, one.ids)]);
                    let shipment = Shipment::new(one.blobs, Vec::new(), one.manifest);
                    Ok(Outcome::Move(Box::new(Rebased { before, moves, shipment })))
                }
            },
            Some(DocumentKind::Index) => self.index(repository, before),
            None => Err(Failure::new(
                Exit::NotUnderstood,
                format!("`{name}` of `{}` is no image", repository.name()),
            )),
        }
    }

    /// Every image of an index moves, or none does.
    fn index(&self, repository: &Repository, before: Document) -> Result<Outcome, Failure> {
        let malformed = |cause| Failure::because(Exit::Refused, "the image index is not understood", cause);
        let index: ImageIndex = before.parse().map_err(malformed)?;
        let mut document: Value = before.parse().map_err(malformed)?;
        let (mut blobs, mut manifests, mut moves) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (at, descriptor) in index.manifests().iter().enumerate() {
            let manifest = repository.document(descriptor)?;
            let Some(one) = self.manifest(repository, &manifest)? else { continue };
            let item = &mut document["manifests"][at];
            item["digest"] = json!(one.manifest.digest());
            item["size"] = json!(one.manifest.descriptor().size());
            moves.insert(one.platform, one.ids);
            blobs.extend(one.blobs);
            manifests.push(one.manifest);
        }
        if manifests.is_empty() {
            return Ok(Outcome::Current);
        }
        let top = Document::new(MediaType::ImageIndex, &document);
        let shipment = Shipment::new(blobs, manifests, top);
        Ok(Outcome::Move(Box::new(Rebased { before, moves, shipment })))
    }

    /// One image on its target; none where it is there already.
    fn manifest(&self, repository: &Repository, document: &Document) -> Result<Option<Moved>, Failure> {
        let malformed = |cause| Failure::because(Exit::Refused, "the image is not understood", cause);
        let manifest: ImageManifest = document.parse().map_err(malformed)?;
        let config_document = repository.document(manifest.config())?;
        let config: Config = config_document.parse().map_err(malformed)?;
        let platform = format!("{}/{}", config.os, config.architecture).parse::<PlatformKey>();
        let platform = platform
            .map_err(|cause| Failure::because(Exit::Refused, "the image is not understood", cause))?;
        let (from, kind) = self.proven(repository, document, &platform, &config.rootfs.diff_ids)?;
        let to = target(self.catalog.catalog(), from, (&platform, kind), self.target, self.as_of)
            .map_err(|refusal| refused(*refusal))?;
        if to.id == from.id {
            return Ok(None);
        }
        let image = self.catalog.runtime_image(&to.id, &platform, kind, self.context)?;
        let layers = image.layers.len();
        let env = self.catalog.env_of(&from.id, &platform, kind)?;
        let name = &self.catalog.catalog().name;
        let trusted = self.catalog.trusted();
        let base = Base {
            layers,
            env: &env,
            to: &image,
            catalog: name,
            revision: to.added_in,
            revision_digest: trusted.digest_of(to.added_in),
            overrides: &trusted.overrides,
            is_checked: trusted.is_checked,
        };
        let (new, new_config) = rebased(document, &config_document, &base)?;
        // The layers of the app are where the image is.
        let mut blobs: Vec<Blob> = image.layers.iter().map(RuntimeLayer::blob).collect();
        blobs.push(Blob::bytes(MediaType::ImageConfig, new_config.bytes().to_vec()));
        let ids = (from.id.to_string(), to.id.to_string());
        Ok(Some(Moved { platform, ids, manifest: new, blobs }))
    }

    /// The entry that the layers prove. A label alone proves nothing.
    fn proven(
        &self,
        repository: &Repository,
        document: &Document,
        platform: &PlatformKey,
        diff_ids: &[Digest],
    ) -> Result<(&Entry, ImageKind), Failure> {
        let found = self.known.find(platform, diff_ids).iter().max_by_key(|(entry, _)| &entry.id);
        found.copied().ok_or_else(|| {
            let what = format!(
                "no published entry has the lowest layers of `{}@{}` for {platform}",
                repository.name(),
                document.digest()
            );
            Failure::new(Exit::Refused, what)
                .hint("build it again: only what is proven by its layers is rebased")
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` takes")]
fn refused(refusal: Refusal) -> Failure {
    let failure = Failure::new(Exit::Refused, refusal.to_string());
    match refusal {
        Refusal::NoEntry { .. } => Failure { exit: Exit::NotUnderstood, ..failure },
        Refusal::NotInPlace { .. } => failure.hint("rebuild it: `lapstrake build` on the newer entry"),
        Refusal::Unusable { .. } => failure,
    }
}
