//! Catalogs that were made elsewhere: in a registry, or in an image layout.
//!
//! A revision is an image index; one of its manifests is the catalog's, whose only layer is `catalog.json`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lapstrake_catalog::format::MAX_BYTES;
use lapstrake_catalog::{
    CATALOG_ARTIFACT_TYPE, CATALOG_MEDIA_TYPE, Catalog, EntryId, ImageKind, PlatformKey,
};
use lapstrake_oci::document::Document;
use lapstrake_oci::layout::Layout;
use lapstrake_oci::registry::Client;
use lapstrake_runtimes::evidence::{EVIDENCE_ARTIFACT_TYPE, LOCK_MEDIA_TYPE};
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest, ImageIndex, ImageManifest, MediaType};
use serde::Deserialize;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{DEFAULT_TAG, parse_reference};
use crate::registry;
use crate::runtime::{RuntimeImage, RuntimeLayer};

/// Where a catalog is that was made elsewhere.
pub enum Place {
    /// An image layout.
    Layout {
        /// The layout.
        layout: Layout,
        /// The tag of the revision.
        tag: String,
    },
    /// A repository of a registry.
    Registry(Reference),
}

/// The document `catalog.json` of a layout: it may be larger than any other document that is read at once.
pub(crate) fn json_in(layout: &Layout, descriptor: &Descriptor) -> Result<Document, Failure> {
    if descriptor.size() > MAX_BYTES as u64 {
        let what = format!("the catalog has {} bytes; at most {MAX_BYTES} are read", descriptor.size());
        return Err(Failure::new(Exit::Refused, what));
    }
    let file = fs_err::File::open(layout.blob_path(descriptor.digest())).map_err(malformed)?;
    Document::read_large(descriptor, file).map_err(malformed)
}

impl Place {
    /// Parses `oci:DIR[:TAG]` or a reference.
    pub fn parse(given: &str) -> Result<Self, Failure> {
        let Some(path) = given.strip_prefix("oci:") else {
            let reference = parse_reference(given).map_err(|cause| {
                Failure::new(Exit::NotUnderstood, format!("could not find the catalog: {cause}"))
            })?;
            return Ok(Self::Registry(reference));
        };
        let (directory, tag) =
            path.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((path, DEFAULT_TAG));
        let layout = Layout::open(directory).map_err(|cause| {
            Failure::because(Exit::NotUnderstood, format!("could not open the catalog `{given}`"), cause)
        })?;
        Ok(Self::Layout { layout, tag: tag.to_owned() })
    }

    /// Reads the catalog.
    pub fn read(&self, client: &Client) -> Result<Catalog, Failure> {
        let top = self.top(client)?;
        let index: ImageIndex = top.parse().map_err(malformed)?;
        let candidates = index.manifests().iter().filter(|descriptor| is_catalog(descriptor));
        for descriptor in candidates {
            let manifest: ImageManifest = self.document(client, descriptor)?.parse().map_err(malformed)?;
            let json = MediaType::from(CATALOG_MEDIA_TYPE);
            if let Some(layer) = manifest.layers().iter().find(|layer| *layer.media_type() == json) {
                let bytes = self.blob(client, layer)?;
                return Catalog::parse(bytes.bytes()).map_err(malformed);
            }
        }
        Err(Failure::new(Exit::Refused, "the index holds no catalog"))
    }

    fn top(&self, client: &Client) -> Result<Document, Failure> {
        match self {
            Self::Registry(reference) => client.manifest(reference).map_err(|cause| {
                registry::failure(cause, format!("could not read the catalog `{reference}`"))
            }),
            Self::Layout { layout, tag } => {
                let what = || format!("could not read the catalog `oci:{}:{tag}`", layout.dir().display());
                let descriptor = layout
                    .resolve(tag)
                    .map_err(|cause| Failure::because(Exit::NotUnderstood, what(), cause))?;
                layout
                    .read_document(&descriptor)
                    .map_err(|cause| Failure::because(Exit::Refused, what(), cause))
            }
        }
    }

    fn document(&self, client: &Client, descriptor: &Descriptor) -> Result<Document, Failure> {
        match self {
            Self::Registry(reference) => client
                .manifest_of(reference, descriptor)
                .map_err(|cause| registry::failure(cause, "could not read the catalog")),
            Self::Layout { layout, .. } => layout.read_document(descriptor).map_err(malformed),
        }
    }

    fn blob(&self, client: &Client, descriptor: &Descriptor) -> Result<Document, Failure> {
        match self {
            Self::Registry(reference) => client
                .blob_within(reference, descriptor, MAX_BYTES as u64)
                .map_err(|cause| registry::failure(cause, "could not read the catalog")),
            Self::Layout { layout, .. } => json_in(layout, descriptor),
        }
    }

    /// The document with the locks of an entry on a platform; none where the catalog was published without.
    pub fn locks(
        &self,
        id: &EntryId,
        platform: &PlatformKey,
        client: &Client,
    ) -> Result<Option<Document>, Failure> {
        let index: ImageIndex = self.top(client)?.parse().map_err(malformed)?;
        let is_of = |descriptor: &&Descriptor| {
            let annotations = descriptor.annotations().as_ref();
            let names = |name: &str, value: &str| {
                annotations.and_then(|all| all.get(name)).is_some_and(|found| found == value)
            };
            descriptor.artifact_type().as_ref() == Some(&MediaType::from(EVIDENCE_ARTIFACT_TYPE))
                && names("dev.lapstrake.runtime.id", &id.to_string())
                && names("dev.lapstrake.platform", platform.as_str())
        };
        let Some(descriptor) = index.manifests().iter().find(is_of) else { return Ok(None) };
        let manifest: ImageManifest = self.document(client, descriptor)?.parse().map_err(malformed)?;
        let locks = MediaType::from(LOCK_MEDIA_TYPE);
        let layer = manifest.layers().iter().find(|layer| *layer.media_type() == locks);
        layer.map(|layer| self.blob(client, layer)).transpose()
    }

    /// The environment that an image of the catalog has.
    pub fn image_env(&self, manifest: &Digest, client: &Client) -> Result<BTreeMap<String, String>, Failure> {
        #[derive(Deserialize)]
        struct Config {
            config: Execution,
        }
        #[derive(Deserialize)]
        struct Execution {
            #[serde(rename = "Env", default)]
            env: Vec<String>,
        }
        let document = match self {
            Self::Registry(reference) => {
                let by_digest = reference.clone_with_digest(manifest.to_string());
                client
                    .manifest(&by_digest)
                    .map_err(|cause| registry::failure(cause, "could not read the catalog"))?
            }
            Self::Layout { layout, .. } => {
                let size = fs_err::metadata(layout.blob_path(manifest)).map_err(malformed)?.len();
                let descriptor = Descriptor::new(MediaType::ImageManifest, size, manifest.clone());
                layout.read_document(&descriptor).map_err(malformed)?
            }
        };
        let manifest: ImageManifest = document.parse().map_err(malformed)?;
        let config: Config = self.blob(client, manifest.config())?.parse().map_err(malformed)?;
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
        let layers = image.layers.iter().map(|layer| {
            let descriptor = Descriptor::new(MediaType::ImageLayerGzip, layer.size, layer.digest.clone());
            let file = match self {
                Self::Layout { layout, .. } => Some(layout.blob_path(&layer.digest)),
                Self::Registry(_) => None,
            };
            let repository = match self {
                Self::Registry(reference) => Some(reference.clone()),
                Self::Layout { .. } => None,
            };
            RuntimeLayer {
                role: layer.role.to_string(),
                descriptor,
                diff_id: layer.diff_id.clone(),
                file,
                repository,
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
        let layout = Layout::create(context.data_dir.join("layers")).map_err(failed)?;
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

fn is_catalog(descriptor: &Descriptor) -> bool {
    let artifact = descriptor.artifact_type().as_ref();
    artifact.is_none_or(|artifact| *artifact == MediaType::from(CATALOG_ARTIFACT_TYPE))
        && descriptor.platform().is_none()
}

fn malformed(cause: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::because(Exit::Refused, "the catalog is not understood", cause)
}
