//! The files that the layers of an entry are made of, kept beside them: what a mirror has dropped can be assembled again.

use std::collections::BTreeMap;

use lapstrake_catalog::{Entry, PlatformKey, PlatformRecord};
use lapstrake_oci::destination::Shipment;
use lapstrake_oci::document::Document;
use lapstrake_oci::image::Blob;
use lapstrake_runtimes::definitions::Definitions;
use lapstrake_runtimes::lock::Artifact;
use lapstrake_runtimes::store::{Store, StoreError, Stored};
use oci_spec::image::{Descriptor, Digest, ImageManifest, MediaType};
use serde_json::{Value, json};

use super::Repository;
use super::next::RUNTIME_ID;
use crate::failure::{Exit, Failure};

/// The artifact type of the manifest whose layers are the files.
const ARTIFACTS_ARTIFACT_TYPE: &str = "application/vnd.lapstrake.artifacts.v1";

/// The manifest with every file that the layers of an entry are made of, which its record names from now on. Each file is
/// a blob under the digest that its lock holds.
pub(super) fn artifacts_of(
    entry: &Entry,
    platform: &PlatformKey,
    record: &mut PlatformRecord,
    (definitions, store): (&Definitions, &Store),
) -> Result<(Shipment, Value), Failure> {
    let blobs = locked(definitions, &entry.id.to_string(), platform)
        .values()
        .map(|artifact| blob(artifact, store))
        .collect::<Result<Vec<_>, _>>()?;
    let empty = Blob::bytes(MediaType::EmptyJSON, &b"{}"[..]);
    let named = json!({RUNTIME_ID: entry.id, "dev.lapstrake.platform": platform});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "artifactType": ARTIFACTS_ARTIFACT_TYPE,
        "config": empty.descriptor,
        "layers": blobs.iter().map(|blob| &blob.descriptor).collect::<Vec<_>>(),
        "annotations": named,
    });
    let manifest = Document::new(MediaType::ImageManifest, &manifest);
    record.artifacts = Some(manifest.digest().clone());
    let mut item = json!(manifest.descriptor());
    item["artifactType"] = json!(ARTIFACTS_ARTIFACT_TYPE);
    item["annotations"] = named;
    Ok((Shipment::new(blobs.into_iter().chain([empty]), Vec::new(), manifest), item))
}

/// The files that the locks of an entry name, by digest.
fn locked<'d>(
    definitions: &'d Definitions,
    id: &str,
    platform: &PlatformKey,
) -> BTreeMap<&'d str, &'d Artifact> {
    let entry = definitions.entries.entries.iter().find(|entry| entry.id == id);
    let images = entry.and_then(|entry| entry.platforms.get(platform.as_str()));
    let locks = images.into_iter().flat_map(BTreeMap::values).flatten();
    let locks = locks.filter_map(|layer| definitions.locks.get(&layer.lock));
    locks.flat_map(|lock| &lock.artifacts).map(|artifact| (artifact.sha256(), artifact)).collect()
}

fn blob(artifact: &Artifact, store: &Store) -> Result<Blob, Failure> {
    let (media_type, file_name) = match artifact {
        Artifact::Deb(deb) => (
            "application/vnd.debian.binary-package",
            deb.path.rsplit('/').next().unwrap_or_default().to_owned(),
        ),
        Artifact::Npm(npm) => {
            ("application/gzip", format!("{}-{}.tgz", npm.name.replace('/', "-"), npm.version))
        }
        Artifact::Wheel(wheel) => ("application/zip", wheel.filename.clone()),
    };
    let Stored::File(path) = store.verified(artifact.sha256()).map_err(unusable)? else {
        let what = format!("`{file_name}`, which a lock names, is not on this machine");
        return Err(Failure::new(Exit::NotUnderstood, what)
            .hint("it comes with the layers: make them anew with an empty `--data-dir`"));
    };
    let digest = format!("sha256:{}", artifact.sha256()).parse::<Digest>();
    let digest =
        digest.map_err(|cause| Failure::because(Exit::Ours, "a lock holds a malformed digest", cause))?;
    let mut descriptor = Descriptor::new(MediaType::from(media_type), artifact.size(), digest);
    let title = ("org.opencontainers.image.title".to_owned(), file_name);
    descriptor.set_annotations(Some([title].into()));
    Ok(Blob::file(descriptor, path))
}

/// Brings files that the catalog keeps into a store that lacks them. Returns how many there were.
pub(super) fn fetch_artifacts(
    repository: &Repository,
    record: &PlatformRecord,
    store: &Store,
) -> Result<usize, Failure> {
    let Some(manifest) = &record.artifacts else { return Ok(0) };
    let manifest: ImageManifest = repository.manifest(manifest)?.parse().map_err(|cause| {
        Failure::because(Exit::Refused, "the files of an entry are not understood", cause)
    })?;
    let mut fetched = 0;
    for layer in manifest.layers() {
        let sha256 = layer.digest().digest();
        if let Stored::File(_) = store.verified(sha256).map_err(unusable)? {
            continue;
        }
        let failed = |cause| Failure::io("could not keep a file of the catalog", cause);
        let mut file = store.temporary().map_err(unusable)?;
        std::io::copy(&mut repository.blob(layer)?, &mut file).map_err(failed)?;
        store.adopt(file, sha256).map_err(unusable)?;
        fetched += 1;
    }
    Ok(fetched)
}

fn unusable(cause: StoreError) -> Failure {
    Failure::because(Exit::Ours, "could not use the store of packages", cause)
}
