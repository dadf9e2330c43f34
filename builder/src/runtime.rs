//! Runtime images: the layers of a catalog entry on one platform, ready to be used.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lapstrake_catalog::{EntryId, ImageKind};
use lapstrake_oci::image::{Blob, BlobSource};
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest};

use crate::metadata::LayerReport;

/// A runtime image on one platform.
#[derive(Clone, Debug)]
pub struct RuntimeImage {
    /// The entry it belongs to.
    pub entry: EntryId,
    /// Which of the entry's images it is.
    pub kind: ImageKind,
    /// The digest of its manifest, once one exists.
    pub manifest: Option<Digest>,
    /// Its layers, lowest first.
    pub layers: Vec<RuntimeLayer>,
    /// The environment that it gives to every app.
    pub env: BTreeMap<String, String>,
    /// The user and group that apps run as, as `UID:GID`.
    pub user: String,
}

/// A layer of a runtime.
#[derive(Clone, Debug)]
pub struct RuntimeLayer {
    /// What it is for: `os`, `runtime`, ….
    pub role: String,
    /// The compressed blob.
    pub descriptor: Descriptor,
    /// The digest of the tar archive.
    pub diff_id: Digest,
    /// Where the blob is on this machine, if it is.
    pub file: Option<PathBuf>,
    /// The repository that has the blob, if one does.
    pub repository: Option<Reference>,
    /// Whether the layer was made for this build.
    pub fresh: bool,
}

impl RuntimeLayer {
    /// The blob as part of an app image.
    #[must_use]
    pub fn blob(&self) -> Blob {
        let source = match (&self.file, &self.repository) {
            (Some(file), _) => BlobSource::File(file.clone()),
            (None, Some(from)) => BlobSource::Mounted { from: from.clone() },
            (None, None) => unreachable!("a runtime layer is on this machine or in a repository"),
        };
        Blob {
            descriptor: self.descriptor.clone(),
            source,
            mount_from: self.repository.iter().cloned().collect(),
        }
    }

    /// The layer in the report of a build.
    #[must_use]
    pub fn report(&self) -> LayerReport {
        LayerReport {
            role: self.role.clone(),
            part: None,
            digest: self.descriptor.digest().clone(),
            diff_id: self.diff_id.clone(),
            size: self.descriptor.size(),
            origin: if self.fresh { "built" } else { "cached" },
        }
    }
}
