//! Whether a published catalog is what it says: every revision follows from the one before, and every image is made of
//! the layers that its entry names.

use std::collections::BTreeMap;

use lapstrake_catalog::{Catalog, EntryId, ImageRecord};
use lapstrake_oci::document::Document;
use lapstrake_oci::layer::{Contents, list};
use oci_spec::image::{Descriptor, Digest, ImageIndex, ImageManifest};
use serde::Deserialize;

use super::repository::{Published, Repository};
use crate::failure::{Exit, Failure};

/// What was found to be right.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many revisions follow from each other.
    pub revisions: usize,
    /// How many images have the layers that the catalog names.
    pub images: usize,
    /// How many layers were read, and have the diffIDs that the catalog names.
    pub layers: usize,
}

#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

/// How far a verification goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Manifests and configs are read.
    Documents,
    /// Layers too, each once.
    Layers,
}

/// Verifies a revision: its history as far back as its tags reach, and its images by their manifests and configs, or by
/// their layers as well.
pub fn verify(repository: &Repository, top: &Published, depth: Depth) -> Result<Verified, Failure> {
    let mut verified = Verified { revisions: 1, ..Verified::default() };
    let mut newer = top.catalog.clone();
    for past in &top.catalog.revisions {
        let older = repository.revision(past.digest.as_ref())?;
        newer.follows(&older.catalog, &past.digest).map_err(|cause| {
            Failure::because(
                Exit::Refused,
                format!("the history of `{}` is broken", repository.name()),
                cause,
            )
        })?;
        repository.is_unmoved(past.revision, &past.digest)?;
        newer = older.catalog;
        verified.revisions += 1;
    }
    let index: ImageIndex = top.index.parse().map_err(|cause| {
        Failure::because(Exit::Refused, "the image index of the revision is not understood", cause)
    })?;
    let mut named = BTreeMap::new();
    for (id, images) in images(&top.catalog) {
        // One read for all images of an entry.
        let listed = repository.listed(&index, id)?;
        for image in images {
            let Some(manifest) = &image.manifest else { continue };
            let descriptor =
                listed.iter().find(|descriptor| descriptor.digest() == manifest).ok_or_else(|| {
                    Failure::new(
                        Exit::Refused,
                        format!("the image index does not list `{manifest}` of `{id}`"),
                    )
                })?;
            let layers = image_is_right(repository, id, image, descriptor)?;
            verified.images += 1;
            if depth == Depth::Layers {
                let pairs = layers.into_iter().zip(image.diff_ids());
                named.extend(pairs.map(|(layer, diff_id)| (layer.digest().to_string(), (layer, diff_id))));
            }
        }
    }
    for (layer, diff_id) in named.values() {
        layer_is_right(repository, layer, diff_id)?;
        verified.layers += 1;
    }
    Ok(verified)
}

/// The images of each entry.
fn images(catalog: &Catalog) -> impl Iterator<Item = (&EntryId, impl Iterator<Item = &ImageRecord>)> {
    catalog
        .entries
        .iter()
        .map(|entry| (&entry.id, entry.platforms.values().flat_map(|record| record.images.values())))
}

fn image_is_right(
    repository: &Repository,
    id: &EntryId,
    image: &ImageRecord,
    descriptor: &Descriptor,
) -> Result<Vec<Descriptor>, Failure> {
    let malformed =
        |cause| Failure::because(Exit::Refused, format!("an image of `{id}` is not understood"), cause);
    let document: Document = repository.document(descriptor)?;
    let manifest: ImageManifest = document.parse().map_err(malformed)?;
    let config: Config = repository.document(manifest.config())?.parse().map_err(malformed)?;
    if config.rootfs.diff_ids.iter().collect::<Vec<_>>() != image.diff_ids() {
        let what =
            format!("the image `{}` of `{id}` has other diffIDs than the catalog names", descriptor.digest());
        return Err(Failure::new(Exit::Refused, what));
    }
    let named: Vec<(&Digest, u64)> = image.layers.iter().map(|layer| (&layer.digest, layer.size)).collect();
    let found: Vec<(&Digest, u64)> =
        manifest.layers().iter().map(|layer| (layer.digest(), layer.size())).collect();
    // A short record keeps only the diffIDs.
    if !named.is_empty() && named != found {
        let what =
            format!("the image `{}` of `{id}` has other layers than the catalog names", descriptor.digest());
        return Err(Failure::new(Exit::Refused, what));
    }
    Ok(manifest.layers().clone())
}

fn layer_is_right(repository: &Repository, layer: &Descriptor, diff_id: &Digest) -> Result<(), Failure> {
    let digest = layer.digest();
    let file = repository.blob(layer)?.into_parts().0;
    let listing = list(file, layer.media_type(), Contents::Skip).map_err(|cause| {
        Failure::because(Exit::Refused, format!("the layer `{digest}` is not understood"), cause)
    })?;
    if listing.diff_id != *diff_id {
        let what = format!(
            "the layer `{digest}` has the diffID `{}`, and the catalog names `{diff_id}`",
            listing.diff_id
        );
        return Err(Failure::new(Exit::Refused, what));
    }
    Ok(())
}
