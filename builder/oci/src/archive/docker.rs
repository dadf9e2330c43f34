//! `docker-archive`: `manifest.json`, the config and the layers as plain tars, for `docker load` and `podman load`.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use oci_spec::image::ImageConfiguration;
use serde_json::json;

use super::ArchiveError;
use super::output::{Output, open};
use crate::document::{HashingReader, canonical_json};
use crate::image::{Blob, Image};
use crate::layer::ReadError;
use crate::layer::decode::Encoding;

/// Writes a `docker-archive`, whose image has the given names, such as `app:latest`.
pub fn write_docker_archive(path: &Path, image: &Image, names: &[String]) -> Result<(), ArchiveError> {
    let config: ImageConfiguration = image.config.parse()?;
    let diff_ids = config.rootfs().diff_ids();
    if diff_ids.len() != image.layers.len() {
        let (ids, layers) = (diff_ids.len(), image.layers.len());
        let reason = format!("its config has {ids} diff_ids for {layers} layers");
        return Err(ArchiveError::Malformed { archive: path.to_owned(), reason });
    }
    // A diff_id is a digest, or the verification below fails; here it only becomes a name.
    let files: Vec<_> =
        diff_ids.iter().map(|id| format!("{}.tar", id.trim_start_matches("sha256:"))).collect();
    let config_file = format!("{}.json", image.config.digest().digest());
    let manifest = json!([{"Config": config_file, "RepoTags": names, "Layers": files}]);

    let mut output = Output::create(path)?;
    output.bytes("manifest.json", &canonical_json(&manifest))?;
    output.bytes(&config_file, image.config.bytes())?;
    let mut written = BTreeSet::new();
    for (place, layer) in image.layers.iter().enumerate() {
        if written.insert(&files[place]) {
            write_layer(&mut output, &files[place], layer, place + 1, &diff_ids[place])?;
        }
    }
    output.finish()
}

fn write_layer(
    output: &mut Output,
    file: &str,
    layer: &Blob,
    position: usize,
    diff_id: &str,
) -> Result<(), ArchiveError> {
    let media_type = layer.descriptor.media_type();
    let encoding =
        Encoding::of(media_type).ok_or_else(|| ReadError::MediaType { media_type: media_type.clone() })?;
    let tar = encoding.decode(open(layer)?).map_err(|source| ReadError::Stream { source })?;
    let mut tar = HashingReader::new(tar);
    output.stream(file, &mut tar as &mut dyn Read)?;
    let (found, _) = tar.finish();
    if found.as_ref() != diff_id {
        return Err(ArchiveError::DiffId { position, expected: diff_id.to_owned(), found });
    }
    Ok(())
}
