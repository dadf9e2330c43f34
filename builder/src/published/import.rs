//! An existing image as an entry: its layers as they are, under the digests that they have.

use std::collections::BTreeMap;

use lapstrake_catalog::{
    Date, EntryId, ImageKind, ImageRecord, Images, LayerRecord, LayerRole, NewEntry, PlatformKey,
    PlatformRecord, RunConfig, Status, Upstream, UpstreamSource,
};
use lapstrake_oci::document::{Document, DocumentKind};
use lapstrake_oci::layer::{Contents, list};
use oci_spec::image::{Descriptor, Digest, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
use serde_json::json;

use super::next::{Addition, RUNTIME_ID, described};
use super::repository::Repository;
use crate::failure::{Exit, Failure};

/// The role of layers of which nothing is known but that somebody else has made them.
const ROLE: &str = "imported";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// What an image does not say of itself.
pub struct Facts {
    /// The name of the entry.
    pub id: EntryId,
    /// The operating system below.
    pub os: String,
    /// What apps on it are bound to.
    pub abi: String,
    /// The end of the language's support.
    pub eol: Option<Date>,
    /// The day on which it is published.
    pub released: Date,
    /// Whether build commands may run in it too.
    pub is_for_builds: bool,
}

/// The entry that an image becomes. Each of its layers is read, and must be what the image's config says.
pub fn import(from: &Repository, digest: &Digest, facts: &Facts) -> Result<Addition, Failure> {
    let top = from.manifest(digest)?;
    let (mut platforms, mut shipments, mut listed) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (descriptor, document) in images(from, &top)? {
        let (platform, record) = platform(from, &document, facts)?;
        let mut item = described(&descriptor, &platform);
        item["annotations"] = json!({RUNTIME_ID: facts.id, "dev.lapstrake.image.kind": ImageKind::Run});
        if platforms.insert(platform.clone(), record).is_some() {
            return Err(refused(digest, &format!("it has several images for {platform}")));
        }
        listed.push(item);
        shipments.push(from.shipment(&document)?);
    }
    if platforms.is_empty() {
        return Err(refused(digest, "it has no image"));
    }
    let entry = entry(facts, platforms, from, digest);
    Ok(Addition { id: facts.id.clone(), entry, shipments, listed })
}

fn refused(digest: &Digest, why: &str) -> Failure {
    Failure::new(Exit::NotUnderstood, format!("`{digest}` cannot be imported: {why}"))
}

/// The images of an index that are for a platform, or the one image that there is.
fn images(from: &Repository, top: &Document) -> Result<Vec<(Descriptor, Document)>, Failure> {
    if DocumentKind::of(top.media_type()) != Some(DocumentKind::Index) {
        return Ok(vec![(top.descriptor().clone(), top.clone())]);
    }
    let index: ImageIndex = top.parse().map_err(|cause| malformed(top.digest(), cause))?;
    // Some builders list what they say of an image beside it, for the platform `unknown`.
    let is_image = |descriptor: &&Descriptor| {
        descriptor.platform().as_ref().is_some_and(|platform| platform.os().to_string() != "unknown")
    };
    let read = |descriptor: &Descriptor| Ok((descriptor.clone(), from.document(descriptor)?));
    index.manifests().iter().filter(is_image).map(read).collect()
}

fn malformed(digest: &Digest, cause: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::because(Exit::Refused, format!("`{digest}` is not understood"), cause)
}

fn platform(
    from: &Repository,
    document: &Document,
    facts: &Facts,
) -> Result<(PlatformKey, PlatformRecord), Failure> {
    let digest = document.digest();
    let manifest: ImageManifest = document.parse().map_err(|cause| malformed(digest, cause))?;
    let config: ImageConfiguration =
        from.document(manifest.config())?.parse().map_err(|cause| malformed(digest, cause))?;
    let platform = format!("{}/{}", config.os(), config.architecture());
    let platform = platform.parse::<PlatformKey>().map_err(|cause| refused(digest, &cause.to_string()))?;
    let diff_ids = config.rootfs().diff_ids();
    if manifest.layers().is_empty() || manifest.layers().len() != diff_ids.len() {
        let why = format!("it has {} layers and {} diffIDs", manifest.layers().len(), diff_ids.len());
        return Err(Failure::new(Exit::Refused, format!("`{digest}` contradicts itself: {why}")));
    }
    let pairs = manifest.layers().iter().zip(diff_ids);
    let layers: Vec<LayerRecord> =
        pairs.map(|(layer, diff_id)| layer_record(from, layer, diff_id)).collect::<Result<_, _>>()?;
    let image = ImageRecord::new(Some(digest.clone()), layers);
    let mut images = Images::from([(ImageKind::Run, image.clone())]);
    if facts.is_for_builds {
        images.extend([ImageKind::BuildLite, ImageKind::BuildFull].map(|kind| (kind, image.clone())));
    }
    let config = Some(run_config(&config));
    Ok((platform, PlatformRecord { images, config, lock: None, sbom: None, artifacts: None }))
}

fn run_config(config: &ImageConfiguration) -> RunConfig {
    let config = config.config().as_ref();
    let pairs = config.and_then(|config| config.env().as_ref()).into_iter().flatten();
    let env = pairs.filter_map(|pair| pair.split_once('=').map(|(name, value)| (name.into(), value.into())));
    let user = config.and_then(|config| config.user().clone()).unwrap_or_default();
    RunConfig { env: env.collect(), user }
}

fn layer_record(from: &Repository, layer: &Descriptor, diff_id: &str) -> Result<LayerRecord, Failure> {
    let digest = layer.digest();
    // The catalog records no media type: its layers are all of one kind, and nobody recompresses them.
    let is_gzip = [MediaType::ImageLayerGzip, MediaType::from(DOCKER_LAYER)].contains(layer.media_type());
    if !is_gzip {
        let why = format!("the layer `{digest}` is `{}`, and only gzip is taken", layer.media_type());
        return Err(refused(digest, &why).hint("make the image with layers that are compressed by gzip"));
    }
    let file = from.blob(layer)?;
    let listing = list(file.into_parts().0, &MediaType::ImageLayerGzip, Contents::Skip)
        .map_err(|cause| malformed(digest, cause))?;
    if listing.diff_id.as_ref() != diff_id {
        let what = format!("the layer `{digest}` has the diffID `{}`, not `{diff_id}`", listing.diff_id);
        return Err(Failure::new(Exit::Refused, what).hint("the image contradicts itself: build it again"));
    }
    let role = ROLE.parse::<LayerRole>();
    Ok(LayerRecord {
        role: role.map_err(|cause| Failure::because(Exit::Ours, "could not name a layer", cause))?,
        digest: digest.clone(),
        diff_id: listing.diff_id,
        size: layer.size(),
        uncompressed: listing.uncompressed,
        files: listing.entries.len() as u64,
    })
}

fn entry(
    facts: &Facts,
    platforms: BTreeMap<PlatformKey, PlatformRecord>,
    from: &Repository,
    image: &Digest,
) -> NewEntry {
    let version = facts.id.version();
    NewEntry {
        runtime: facts.id.runtime().to_owned(),
        version,
        build: Some(facts.id.build()),
        status: Status::Active,
        released: facts.released,
        upstream: Upstream { version: version.to_string(), vendor_version: None, eol: facts.eol },
        os: facts.os.clone(),
        abi: facts.abi.clone(),
        tools: BTreeMap::new(),
        platforms,
        purl: Vec::new(),
        cpe: None,
        licenses: Vec::new(),
        changes: Vec::new(),
        source: UpstreamSource::Imported {
            image: image.clone(),
            from: from.layout().is_none().then(|| from.name()),
        },
    }
}
