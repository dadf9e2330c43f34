//! Catalogs that were made elsewhere: in a registry, or in an image layout.
//!
//! A revision is an image index; one of its manifests is the catalog's, whose only layer is `catalog.json`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use lapstrake_catalog::{Catalog, EntryId, ImageKind, PlatformKey};
use lapstrake_oci::document::Document;
use lapstrake_oci::layout::Layout;
use lapstrake_oci::registry::Client;
use lapstrake_runtimes::evidence::{EVIDENCE_ARTIFACT_TYPE, LOCK_MEDIA_TYPE};
use oci_spec::image::{Descriptor, Digest, ImageIndex, ImageManifest, MediaType};
use serde::Deserialize;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::published::Repository;
use crate::registry;
use crate::runtime::{RuntimeImage, RuntimeLayer};
use crate::trust::{Guards, Trusted};

/// Where a catalog is that was made elsewhere.
pub struct Place {
    repository: Repository,
    /// The tag or digest of the revision.
    name: String,
}

impl Place {
    /// Parses `oci:DIR[:TAG|@DIGEST]` or a reference.
    pub fn parse(given: &str, client: &Arc<Client>, context: &Context) -> Result<Self, Failure> {
        let (repository, name) = Repository::named(given, client, context).map_err(|failure| Failure {
            what: format!("could not find the catalog: {}", failure.what),
            ..failure
        })?;
        Ok(Self { repository, name })
    }

    /// Reads the catalog, which has to prove what is asked of it.
    pub fn open(&self, guards: &Guards, context: &Context) -> Result<Trusted, Failure> {
        guards.open(&self.repository, &self.name, context)
    }

    /// The document with the locks of an entry on a platform; none where the catalog was published without.
    pub fn locks(&self, id: &EntryId, platform: &PlatformKey) -> Result<Option<Document>, Failure> {
        let index: ImageIndex = self.repository.top(&self.name)?.parse().map_err(malformed)?;
        let listed = self.repository.listed(&index, id)?;
        let is_of = |descriptor: &&Descriptor| {
            let annotations = descriptor.annotations().as_ref();
            let names = |name: &str, value: &str| {
                annotations.and_then(|all| all.get(name)).is_some_and(|found| found == value)
            };
            descriptor.artifact_type().as_ref() == Some(&MediaType::from(EVIDENCE_ARTIFACT_TYPE))
                && names("dev.lapstrake.runtime.id", &id.to_string())
                && names("dev.lapstrake.platform", platform.as_str())
        };
        let Some(descriptor) = listed.iter().find(is_of) else { return Ok(None) };
        let manifest: ImageManifest = self.repository.document(descriptor)?.parse().map_err(malformed)?;
        let locks = MediaType::from(LOCK_MEDIA_TYPE);
        let layer = manifest.layers().iter().find(|layer| *layer.media_type() == locks);
        layer.map(|layer| self.repository.document(layer)).transpose()
    }

    /// The environment that an image of the catalog has.
    pub fn image_env(&self, manifest: &Digest) -> Result<BTreeMap<String, String>, Failure> {
        #[derive(Deserialize)]
        struct Config {
            config: Execution,
        }
        #[derive(Deserialize)]
        struct Execution {
            #[serde(rename = "Env", default)]
            env: Vec<String>,
        }
        let document = self.repository.manifest(manifest)?;
        let manifest: ImageManifest = document.parse().map_err(malformed)?;
        let config: Config = self.repository.document(manifest.config())?.parse().map_err(malformed)?;
        let pair =
            |pair: &String| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(config.config.env.iter().filter_map(pair).collect())
    }

    /// The layers of an entry's image.
    pub fn runtime_image(
        &self,
        catalog: &Catalog,
        id: &EntryId,
        platform: &PlatformKey,
        kind: ImageKind,
    ) -> Result<RuntimeImage, Failure> {
        let entry = catalog
            .entry(id)
            .ok_or_else(|| Failure::new(Exit::NotUnderstood, format!("the catalog has no entry `{id}`")))?;
        let record = entry.platforms.get(platform);
        let image = record
            .and_then(|record| record.images.get(&kind))
            .filter(|image| !image.layers.is_empty())
            .ok_or_else(|| {
                Failure::new(
                    Exit::NotUnderstood,
                    format!("the catalog has no `{kind}` image of `{id}` for {platform}"),
                )
                .hint(format!(
                    "make it where the catalog is kept: `lapstrake catalog build {id} --platform {platform}`"
                ))
            })?;
        let config = record.and_then(|record| record.config.clone()).unwrap_or_default();
        let repository = match self.repository.layout() {
            Some(_) => None,
            None => Some(self.repository.reference(&self.name)?),
        };
        let layers = image.layers.iter().map(|layer| {
            let descriptor = Descriptor::new(MediaType::ImageLayerGzip, layer.size, layer.digest.clone());
            let file = self.repository.layout().map(|layout| layout.blob_path(&layer.digest));
            RuntimeLayer {
                role: layer.role.to_string(),
                descriptor,
                diff_id: layer.diff_id.clone(),
                file,
                repository: repository.clone(),
                fresh: false,
            }
        });
        Ok(RuntimeImage {
            entry: id.clone(),
            kind,
            manifest: image.manifest.clone(),
            layers: layers.collect(),
            env: config.env,
            user: config.user,
        })
    }

    /// Brings a layer that only the registry has to this machine.
    pub fn fetch_layer(layer: &RuntimeLayer, client: &Client, context: &Context) -> Result<PathBuf, Failure> {
        let failed = |cause| Failure::because(Exit::Ours, "could not keep a layer of the catalog", cause);
        let digest = layer.descriptor.digest();
        // The local catalog makes the same bytes from the same locks.
        if let Some(local) =
            Layout::open(context.data_dir.join("catalog")).ok().filter(|local| local.has_blob(digest))
        {
            return Ok(local.blob_path(digest));
        }
        let layout = Layout::create(context.data_dir.join("fetched")).map_err(failed)?;
        let path = layout.blob_path(digest);
        if layout.has_blob(digest) {
            return Ok(path);
        }
        let Some(repository) = &layer.repository else {
            return Err(Failure::new(
                Exit::Ours,
                format!("layer `{digest}` is neither here nor in a repository"),
            ));
        };
        context.report.note(&format!("fetching {} layer of {repository}", layer.role));
        let incoming = tempfile::NamedTempFile::new_in(layout.dir())
            .map_err(|cause| Failure::io("could not make a temporary file", cause))?;
        client.fetch_blob(repository, &layer.descriptor, incoming.path()).map_err(|cause| {
            registry::failure(cause, format!("could not fetch layer `{digest}` of the catalog"))
        })?;
        layout.adopt_blob(incoming, &layer.descriptor).map_err(failed)?;
        Ok(path)
    }
}

fn malformed(cause: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::because(Exit::Refused, "the catalog is not understood", cause)
}
