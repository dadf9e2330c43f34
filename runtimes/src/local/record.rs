//! What has been made, recorded in the layout: the catalog's document and its images under one index.

use std::collections::BTreeMap;

use lapstrake_catalog::{CATALOG_MEDIA_TYPE, Catalog, EntryId, ImageKind, ImageRecord, Images, PlatformKey};
use lapstrake_oci::document::Document;
use lapstrake_oci::layout::{Layout, LayoutError};
use oci_spec::image::{Descriptor, Digest, ImageIndex, ImageManifest, MediaType, Platform};
use serde_json::json;

use super::LocalError;

/// The type of a catalog's index and manifest.
const ARTIFACT_TYPE: &str = lapstrake_catalog::CATALOG_ARTIFACT_TYPE;

/// The annotation that names the entry of an image.
pub(super) const RUNTIME_ID: &str = "dev.lapstrake.runtime.id";

/// The annotation that names the kind of an image.
const IMAGE_KIND: &str = "dev.lapstrake.image.kind";

/// The tag of the newest state.
const LATEST: &str = "latest";

/// Takes over the images that a layout has of the entries of a catalog, as long as they are made of the same locks.
pub(super) fn overlay(catalog: &mut Catalog, layout: &Layout) -> Result<(), LocalError> {
    let Some(recorded) = read(layout)? else { return Ok(()) };
    for entry in &mut catalog.entries {
        let Some(known) = recorded.entry(&entry.id) else { continue };
        for (platform, record) in &mut entry.platforms {
            let Some(made) = known.platforms.get(platform).filter(|made| made.lock == record.lock) else {
                continue;
            };
            let whole = made.images.iter().filter(|(_, image)| is_there(image, layout));
            record.images = whole.map(|(kind, image)| (*kind, image.clone())).collect::<Images>();
        }
    }
    Ok(())
}

/// Whether all blobs of an image are in the layout.
fn is_there(image: &ImageRecord, layout: &Layout) -> bool {
    let layers = image.layers.iter().map(|layer| &layer.digest);
    layers.chain(&image.manifest).all(|digest: &Digest| layout.has_blob(digest))
}

/// The catalog that was recorded last; none in a layout without one. One that this program does not understand is as
/// good as none: everything in it can be made again.
fn read(layout: &Layout) -> Result<Option<Catalog>, LocalError> {
    let index = match layout.resolve(LATEST) {
        Ok(descriptor) => layout.read_document(&descriptor)?,
        Err(LayoutError::UnknownTag { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let index: ImageIndex = index.parse()?;
    let is_catalog = |descriptor: &&Descriptor| {
        descriptor.artifact_type().as_ref().is_some_and(|found| found.to_string() == ARTIFACT_TYPE)
    };
    let Some(manifest) = index.manifests().iter().find(is_catalog) else { return Ok(None) };
    let manifest: ImageManifest = layout.read_document(manifest)?.parse()?;
    let Some(layer) = manifest.layers().first() else { return Ok(None) };
    let bytes = fs_err::read(layout.blob_path(layer.digest()))
        .map_err(|source| LocalError::File { path: layout.blob_path(layer.digest()), source })?;
    Ok(Catalog::parse(&bytes).ok())
}

/// Images of one entry on one platform.
pub(super) struct Made<'a> {
    pub(super) id: &'a EntryId,
    pub(super) platform: &'a PlatformKey,
    pub(super) images: &'a BTreeMap<ImageKind, (ImageRecord, Document)>,
}

/// Records images in the catalog and in the layout. The caller holds the catalog's guard.
pub(super) fn record(catalog: &mut Catalog, layout: &Layout, made: &Made<'_>) -> Result<(), LocalError> {
    overlay(catalog, layout)?;
    if let Some(entry) = catalog.entries.iter_mut().find(|entry| entry.id == *made.id)
        && let Some(record) = entry.platforms.get_mut(made.platform)
    {
        record.images.extend(made.images.iter().map(|(kind, (image, _))| (*kind, image.clone())));
    }
    let catalog_manifest = write_catalog(catalog, layout)?;
    let mut manifests = vec![json!(catalog_manifest)];
    for entry in &catalog.entries {
        for (platform, record) in &entry.platforms {
            for (kind, image) in &record.images {
                manifests.extend(image_descriptor(&entry.id, platform, *kind, image, layout)?);
            }
        }
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageIndex,
        "artifactType": ARTIFACT_TYPE,
        "manifests": manifests,
    });
    let index = Document::new(MediaType::ImageIndex, &index);
    layout.write_document(&index)?;
    layout.tag(&format!("r{}", catalog.revision), index.descriptor())?;
    layout.tag(LATEST, index.descriptor())?;
    Ok(())
}

fn write_catalog(catalog: &Catalog, layout: &Layout) -> Result<Descriptor, LocalError> {
    let document = Document::from_bytes(MediaType::Other(CATALOG_MEDIA_TYPE.to_owned()), catalog.to_bytes());
    let empty = Document::from_bytes(MediaType::EmptyJSON, b"{}".to_vec());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "artifactType": ARTIFACT_TYPE,
        "config": empty.descriptor(),
        "layers": [document.descriptor()],
    });
    let manifest = Document::new(MediaType::ImageManifest, &manifest);
    for written in [&document, &empty, &manifest] {
        layout.write_document(written)?;
    }
    let mut descriptor = manifest.descriptor().clone();
    descriptor.set_artifact_type(Some(MediaType::Other(ARTIFACT_TYPE.to_owned())));
    Ok(descriptor)
}

fn image_descriptor(
    id: &EntryId,
    platform: &PlatformKey,
    kind: ImageKind,
    image: &ImageRecord,
    layout: &Layout,
) -> Result<Option<serde_json::Value>, LocalError> {
    let Some(digest) = &image.manifest else { return Ok(None) };
    let path = layout.blob_path(digest);
    let size = fs_err::metadata(&path).map_err(|source| LocalError::File { path, source })?.len();
    let mut named = Platform::default();
    named.set_os(platform.os());
    named.set_architecture(platform.architecture());
    Ok(Some(json!({
        "mediaType": MediaType::ImageManifest,
        "digest": digest,
        "size": size,
        "platform": named,
        "annotations": { RUNTIME_ID: id, IMAGE_KIND: kind },
    })))
}
