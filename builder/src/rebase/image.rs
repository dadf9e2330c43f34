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
use super::proof::{Layers, Proof, needs_of_layers, open};
use super::target::{Refusal, Target, target};
use crate::catalog::CatalogAt;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::needs::{self, Needs};
use crate::published::Repository;
use crate::runtime::{RuntimeImage, RuntimeLayer};

/// How images are moved.
pub struct Rebase<'a> {
    /// The catalog that knows the entries.
    pub catalog: &'a CatalogAt,
    /// Its entries by their layers.
    pub known: &'a Known<'a>,
    /// Where images are moved to.
    pub target: &'a Target,
    /// What entries provide.
    pub proof: &'a Proof,
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
    /// The new manifests, by platform.
    pub manifests: BTreeMap<PlatformKey, Document>,
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
    #[serde(default, rename = "config")]
    execution: Execution,
}

#[derive(Default, Deserialize)]
struct Execution {
    #[serde(rename = "Labels", default)]
    labels: Option<BTreeMap<String, String>>,
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
                    let moves = BTreeMap::from([(one.platform.clone(), one.ids)]);
                    let manifests = BTreeMap::from([(one.platform, one.manifest.clone())]);
                    let shipment = Shipment::new(one.blobs, Vec::new(), one.manifest);
                    Ok(Outcome::Move(Box::new(Rebased { before, moves, manifests, shipment })))
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
        let (mut blobs, mut manifests, mut moves) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for (at, descriptor) in index.manifests().iter().enumerate() {
            let manifest = repository.document(descriptor)?;
            let Some(one) = self.manifest(repository, &manifest)? else { continue };
            let item = &mut document["manifests"][at];
            item["digest"] = json!(one.manifest.digest());
            item["size"] = json!(one.manifest.descriptor().size());
            moves.insert(one.platform.clone(), one.ids);
            blobs.extend(one.blobs);
            manifests.insert(one.platform, one.manifest);
        }
        if manifests.is_empty() {
            return Ok(Outcome::Current);
        }
        let top = Document::new(MediaType::ImageIndex, &document);
        let shipment = Shipment::new(blobs, manifests.values().cloned().collect(), top);
        Ok(Outcome::Move(Box::new(Rebased { before, moves, manifests, shipment })))
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
        self.prove(repository, (&manifest, &config), from, &image)?;
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

    /// Refuses to put the app on layers that lack what it needs.
    fn prove(
        &self,
        repository: &Repository,
        (manifest, config): (&ImageManifest, &Config),
        from: &Entry,
        to: &RuntimeImage,
    ) -> Result<(), Failure> {
        let (layers, diff_ids) = (manifest.layers(), &config.rootfs.diff_ids);
        let below = to.layers.len();
        if layers.len() != diff_ids.len() || layers.len() < below {
            let what = format!("the image has {} layers and {} diff_ids", layers.len(), diff_ids.len());
            return Err(Failure::new(Exit::Refused, what));
        }
        let label = config.execution.labels.as_ref().and_then(|labels| labels.get(needs::LABEL));
        let needs = match label {
            Some(text) => Needs::parse(text).map_err(|cause| {
                Failure::because(Exit::Refused, format!("the label `{}` is refused", needs::LABEL), cause)
            })?,
            None => needs_of_layers(&layers[below..], &diff_ids[below..], &from.id, repository)?,
        };
        let open_new = || {
            let file = |layer: &RuntimeLayer| {
                let path = self.catalog.layer_file(layer, self.context)?;
                let file = std::fs::File::open(path)
                    .map_err(|cause| Failure::io("could not read a layer", cause))?;
                Ok((file, layer.descriptor.media_type().clone()))
            };
            to.layers.iter().map(file).collect()
        };
        let old = Layers {
            entry: &from.id,
            diff_ids: diff_ids[..below].iter().collect(),
            open: &|| open(&layers[..below], repository),
        };
        let new = Layers {
            entry: &to.entry,
            diff_ids: to.layers.iter().map(|layer| &layer.diff_id).collect(),
            open: &open_new,
        };
        self.proof.check(&needs, &old, &new)
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
