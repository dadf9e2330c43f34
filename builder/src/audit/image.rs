//! From the documents of an image to what an audit looks at.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lapstrake_catalog::PlatformKey;
use lapstrake_catalog::audit::Observed;
use lapstrake_oci::document::{DOCKER_CONFIG, Document};
use oci_spec::image::{Digest, ImageManifest, MediaType};
use serde::Deserialize;

/// The few fields of a config that an audit looks at (image-spec, config.md).
#[derive(Deserialize)]
struct Config {
    architecture: String,
    os: String,
    variant: Option<String>,
    created: Option<String>,
    #[serde(rename = "config")]
    execution: Option<Execution>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct Execution {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

/// Where an image was found.
pub(super) struct Origin<'a> {
    pub(super) repository: &'a str,
    pub(super) tags: &'a [String],
    pub(super) index: Option<&'a Digest>,
}

/// Whether a manifest is one of an image, and not of a signature or another artifact.
pub(super) fn is_image(manifest: &ImageManifest) -> bool {
    let config = manifest.config().media_type();
    *config == MediaType::ImageConfig || config.as_ref() == DOCKER_CONFIG
}

/// What an audit looks at, from the manifest and the config of an image.
pub(super) fn observed(
    origin: &Origin<'_>,
    document: &Document,
    manifest: &ImageManifest,
    config: &Document,
) -> Result<Observed, String> {
    let config: Config = config.parse().map_err(|cause| format!("its config is not understood: {cause}"))?;
    let platform = platform(&config).ok_or("its config names no platform")?;
    Ok(Observed {
        repository: origin.repository.to_owned(),
        tags: origin.tags.to_vec(),
        digest: document.digest().clone(),
        index: origin.index.cloned(),
        platform,
        created: config.created.and_then(|created| created.parse::<Timestamp>().ok()),
        labels: config.execution.and_then(|execution| execution.labels).unwrap_or_default(),
        annotations: manifest.annotations().clone().unwrap_or_default().into_iter().collect(),
        diff_ids: config.rootfs.diff_ids,
    })
}

fn platform(config: &Config) -> Option<PlatformKey> {
    // The variant that every processor of the architecture has says nothing.
    let variant = config.variant.as_deref().filter(|variant| !variant.is_empty());
    let variant = variant.filter(|variant| (config.architecture.as_str(), *variant) != ("arm64", "v8"));
    let suffix = variant.map(|variant| format!("/{variant}")).unwrap_or_default();
    format!("{}/{}{suffix}", config.os, config.architecture).parse().ok()
}
