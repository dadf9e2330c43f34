//! A cache in a registry: what one machine has made, the next one finds.
//!
//! Every entry is an ordinary manifest under a tag that is its key: `layer-…` names a layer, which is mounted and not
//! fetched, `build-…` says which image a build has made, `reads-…` and `commands-…` what commands have read and made. Nobody locks anything: two builders that write the same entry
//! write the same. Whoever may write to the repository decides what others build, as with any image that they take.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use lapstrake_oci::destination::{Shipment, push};
use lapstrake_oci::document::Document;
use lapstrake_oci::image::{Blob, BlobSource};
use lapstrake_oci::reference::Reference;
use lapstrake_oci::registry::Client;
use oci_spec::image::{Descriptor, ImageManifest, MediaType};
use serde_json::json;

use super::{BuildKey, KeptBuild, KeptLayer, Key, Kind, LayerKey, Value, values};
use crate::failure::{Exit, Failure};
use crate::output::parse_reference;
use crate::registry;

/// The type of entries that name a layer.
const LAYER_TYPE: &str = "application/vnd.lapstrake.cache.layer.v1";
/// The type of entries that name an image.
const BUILD_TYPE: &str = "application/vnd.lapstrake.cache.build.v1";
/// The type of entries that are a value, and of the value.
const VALUE_TYPE: &str = "application/vnd.lapstrake.cache.value.v1";
/// No value is longer, in bytes.
const LARGEST_VALUE: u64 = 64 << 20;
/// The annotation with what is known of it, as JSON.
const ABOUT: &str = "dev.lapstrake.cache.about";
/// The content of a config that says nothing (image-spec, manifest.md, "Guidance for an Empty Descriptor").
const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");

/// A value that the cache has yet to be told of.
pub struct NewValue {
    /// Its kind.
    pub kind: Kind,
    /// Its key.
    pub key: Key,
    /// The value.
    pub bytes: Vec<u8>,
    /// The blobs that it names.
    pub blobs: Vec<Blob>,
}

impl NewValue {
    /// A value, and the blobs that it names.
    pub fn of<T: Value>(key: &Key, value: &T, blobs: Vec<Blob>) -> io::Result<Self> {
        Ok(Self { kind: T::KIND, key: key.clone(), bytes: values::render(value)?, blobs })
    }
}

/// A repository that holds a cache.
pub struct RemoteCache {
    client: Arc<Client>,
    /// The repository with its registry.
    name: String,
}

impl RemoteCache {
    /// The repository that a user names, without a tag.
    pub fn parse(given: &str, client: &Arc<Client>) -> Result<Self, Failure> {
        let refused =
            |why: String| Failure::new(Exit::NotUnderstood, format!("`{given}` is no repository: {why}"));
        let reference = parse_reference(given).map_err(|cause| refused(cause.to_string()))?;
        let name = format!("{}/{}", reference.registry(), reference.repository());
        if name != given {
            return Err(refused("it has a tag or a digest".to_owned()));
        }
        Ok(Self { client: Arc::clone(client), name })
    }

    /// The layer of a key, where the cache has it: a blob that is mounted from there.
    pub fn layer(&self, key: &LayerKey) -> Result<Option<(KeptLayer, Blob)>, Failure> {
        let reference = self.reference("layer", key.as_str())?;
        let Some(manifest) = self.find(&reference, LAYER_TYPE)? else { return Ok(None) };
        let Some(kept) = about::<KeptLayer>(&manifest) else { return Ok(None) };
        let descriptor = kept.descriptor();
        let is_named = manifest.layers().iter().any(|layer| layer.digest() == descriptor.digest());
        let blob = Blob {
            descriptor,
            source: BlobSource::Mounted { from: reference.clone() },
            mount_from: vec![reference],
        };
        Ok(is_named.then_some((kept, blob)))
    }

    /// The build of a key, where the cache has it.
    pub fn build(&self, key: &BuildKey) -> Result<Option<KeptBuild>, Failure> {
        let reference = self.reference("build", key.as_str())?;
        Ok(self.find(&reference, BUILD_TYPE)?.and_then(|manifest| about(&manifest)))
    }

    /// Keeps a layer, whose blob is mounted where the image is in the same registry.
    pub fn keep_layer(
        &self,
        key: &LayerKey,
        layer: &KeptLayer,
        blob: Blob,
        image: &Reference,
    ) -> Result<(), Failure> {
        let mut blob = blob;
        blob.mount_from.push(image.clone());
        let about = about_of(layer)?;
        self.keep(&self.reference("layer", key.as_str())?, LAYER_TYPE, &about, vec![blob])
    }

    /// Keeps a build.
    pub fn keep_build(&self, key: &BuildKey, build: &KeptBuild) -> Result<(), Failure> {
        let about = about_of(build)?;
        self.keep(&self.reference("build", key.as_str())?, BUILD_TYPE, &about, Vec::new())
    }

    /// The value of a key, where the cache has it.
    pub fn value<T: Value>(&self, key: &Key) -> Result<Option<T>, Failure> {
        let reference = self.reference(T::KIND.name(), key.as_str())?;
        let Some(manifest) = self.find(&reference, VALUE_TYPE)? else { return Ok(None) };
        let value = manifest.layers().first();
        let Some(descriptor) = value.filter(|value| value.media_type().to_string() == VALUE_TYPE) else {
            return Ok(None);
        };
        let document = self
            .client
            .blob_within(&reference, descriptor, LARGEST_VALUE)
            .map_err(|cause| registry::failure(cause, format!("could not read the cache `{}`", self.name)))?;
        Ok(values::parse(document.bytes()))
    }

    /// Keeps a value, with the blobs that it names. They are mounted where the image is in the same registry.
    pub fn keep_value(&self, new: &NewValue, image: &Reference) -> Result<(), Failure> {
        let mut blobs = vec![Blob::bytes(MediaType::from(VALUE_TYPE), new.bytes.clone())];
        for blob in &new.blobs {
            let mut blob = blob.clone();
            blob.mount_from.push(image.clone());
            blobs.push(blob);
        }
        let empty = BTreeMap::new();
        self.keep(&self.reference(new.kind.name(), new.key.as_str())?, VALUE_TYPE, &empty, blobs)
    }

    /// The blob of a layer that a value names: mounted from here.
    pub fn mounted(&self, layer: &KeptLayer) -> Result<Blob, Failure> {
        let from = self.reference("layer", layer.diff_id.digest())?;
        let source = BlobSource::Mounted { from: from.clone() };
        Ok(Blob { descriptor: layer.descriptor(), source, mount_from: vec![from] })
    }

    /// Fetches the blob of a layer that a value names.
    pub fn fetch(&self, layer: &KeptLayer, path: &Path) -> Result<(), Failure> {
        let reference = self.reference("layer", layer.diff_id.digest())?;
        self.client
            .fetch_blob(&reference, &layer.descriptor(), path)
            .map_err(|cause| registry::failure(cause, format!("could not read the cache `{}`", self.name)))
    }

    fn reference(&self, kind: &str, key: &str) -> Result<Reference, Failure> {
        let text = format!("{}:{kind}-{key}", self.name);
        lapstrake_oci::reference::parse(&text)
            .map_err(|cause| Failure::because(Exit::Ours, format!("`{text}` is no reference"), cause))
    }

    fn find(&self, reference: &Reference, kind: &str) -> Result<Option<ImageManifest>, Failure> {
        let document = match self.client.manifest(reference) {
            Ok(document) => document,
            Err(cause) if cause.status() == Some(404) => return Ok(None),
            Err(cause) => {
                return Err(registry::failure(cause, format!("could not read the cache `{}`", self.name)));
            }
        };
        let manifest: Option<ImageManifest> = document.parse().ok();
        let is_ours = |manifest: &ImageManifest| {
            manifest.artifact_type().as_ref().is_some_and(|found| found.to_string() == kind)
        };
        Ok(manifest.filter(is_ours))
    }

    fn keep(
        &self,
        reference: &Reference,
        kind: &str,
        annotations: &BTreeMap<&str, String>,
        blobs: Vec<Blob>,
    ) -> Result<(), Failure> {
        let failed = || format!("could not write to the cache `{}`", self.name);
        let config = Blob::bytes(MediaType::from(EMPTY.0), EMPTY.1);
        let mut layers: Vec<Descriptor> = blobs.iter().map(|blob| blob.descriptor.clone()).collect();
        if layers.is_empty() {
            layers.push(config.descriptor.clone());
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest,
            "artifactType": kind,
            "config": config.descriptor,
            "layers": layers,
            "annotations": annotations,
        });
        let top = Document::new(MediaType::ImageManifest, &manifest);
        let shipment = Shipment::new(blobs.into_iter().chain([config]), Vec::new(), top);
        let destination = self
            .client
            .destination_for(reference, &shipment.blobs)
            .map_err(|cause| registry::failure(cause, failed()))?;
        match push(shipment, &destination, &mut |_| {}) {
            Ok(_) => Ok(()),
            Err(cause) => Err(Failure::because(Exit::Transient, failed(), cause)),
        }
    }
}

fn about<T: serde::de::DeserializeOwned>(manifest: &ImageManifest) -> Option<T> {
    serde_json::from_str(manifest.annotations().as_ref()?.get(ABOUT)?).ok()
}

fn about_of(value: &impl serde::Serialize) -> Result<BTreeMap<&'static str, String>, Failure> {
    Ok(BTreeMap::from([(ABOUT, serde_json::to_string(value).map_err(unwritable)?)]))
}

fn unwritable(cause: serde_json::Error) -> Failure {
    Failure::because(Exit::Ours, "could not write an entry of the cache", cause)
}
