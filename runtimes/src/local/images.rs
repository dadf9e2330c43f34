//! The images of an entry: ordinary ones that any engine runs.

use lapstrake_catalog::{EntryId, ImageRecord, LayerRecord, PlatformKey};
use lapstrake_oci::document::Document;
use lapstrake_oci::image::{Blob, Image};
use lapstrake_oci::layout::Layout;
use oci_spec::image::MediaType;
use serde_json::json;

use super::LocalError;
use super::layers::MadeLayer;
use super::record::RUNTIME_ID;
use crate::entries::EntryRecord;
use crate::recipe::RuntimeRecipe;

/// Writes the image of some layers, lowest first.
pub(super) fn write(
    layout: &Layout,
    entry: &EntryRecord,
    runtime: &RuntimeRecipe,
    platform: &PlatformKey,
    layers: &[(LayerRecord, MadeLayer)],
) -> Result<(ImageRecord, Document), LocalError> {
    let id: EntryId = super::describe::id(entry)?;
    let settings = super::describe::config(runtime);
    let created = format!("{}T00:00:00Z", entry.released);
    let env: Vec<String> = settings.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let history = layers.iter().map(
        |(_, made)| json!({ "created": created, "created_by": format!("lapstrake layer {}", made.lock) }),
    );
    let config = json!({
        "created": created,
        "os": platform.os(),
        "architecture": platform.architecture(),
        "config": { "Cmd": runtime.cmd, "Env": env, "User": settings.user, "WorkingDir": "/",
                    "Labels": { RUNTIME_ID: id } },
        "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|(record, _)| &record.diff_id).collect::<Vec<_>>() },
        "history": history.collect::<Vec<_>>(),
    });
    let config = Document::new(MediaType::ImageConfig, &config);
    let blobs = layers
        .iter()
        .map(|(_, made)| Blob::file(made.descriptor.clone(), layout.blob_path(made.descriptor.digest())));
    let annotations = [(RUNTIME_ID.to_owned(), id.to_string())].into();
    let image = Image::assemble(config, blobs.collect(), &annotations);
    layout.write_document(&image.config)?;
    layout.write_document(&image.manifest)?;
    let records = layers.iter().map(|(record, _)| record.clone()).collect();
    Ok((ImageRecord::new(Some(image.manifest.digest().clone()), records), image.manifest))
}
