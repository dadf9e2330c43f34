//! The interpreter that compiles Python's library: that of the same entry, for this machine's architecture.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use lapstrake_oci::layer::{Compose, Compression, PackOptions, UnpackOptions, pack, unpack};

use super::{Job, MadeLayer, Workshop};
use crate::local::guard::{Scratch, file_error};
use crate::local::{LAYER_MTIME, LocalError};
use crate::recipe::Install;

/// The unpacked layers of an interpreter, topmost first.
pub(super) struct Compiler {
    pub(super) layers: Vec<PathBuf>,
    directory: PathBuf,
    scratch: Scratch,
}

impl Workshop<'_> {
    /// The same entry on this machine's architecture.
    pub(super) fn host(&self) -> Result<Self, LocalError> {
        let host = self.context.arch;
        if !self.entry.platforms.contains_key(host.platform()) {
            return Err(LocalError::NoInterpreter { id: self.entry.id.clone(), arch: host });
        }
        let images = self.entry.platforms.get(host.platform());
        let refs = images.into_iter().flat_map(BTreeMap::values).flatten();
        Ok(Self {
            arch: host,
            refs: refs.map(|at| (at.role.as_str(), at)).collect(),
            trees: Mutex::default(),
            ..*self
        })
    }

    /// Unpacks the layers of the interpreter that compiles a layer, if there is one to compile.
    pub(super) fn compiler(&self, jobs: &[Job<'_>]) -> Result<Option<Compiler>, LocalError> {
        let Some(job) = jobs.iter().find(|job| job.layer.install == Install::Python) else { return Ok(None) };
        let host = self.host()?;
        let roles = host.below(job.layer);
        let made = host.make(&roles.iter().copied().collect())?;
        let scratch = self.scratch()?;
        let mut compiler = Compiler { directory: scratch.path().join("rootfs"), layers: Vec::new(), scratch };
        for role in &roles {
            let (Some(layer), path) = (made.get(role), compiler.directory.join(role)) else { continue };
            self.unpack(layer, &path)?;
            compiler.layers.insert(0, path);
        }
        let lower = host.lower(&roles, &made)?;
        let lock = host.lock(job.role)?;
        let tree =
            host.assemble(job.layer, lock, &lower.iter().collect::<Vec<_>>(), compiler.scratch.path())?;
        let options = PackOptions { threads: self.context.threads, ..PackOptions::new(LAYER_MTIME) };
        let packed = pack(&tree, &options.compression(Compression::None), compiler.scratch.path())
            .map_err(|source| LocalError::Pack { layer: lock.name(), source: Box::new(source) })?;
        let path = compiler.directory.join(job.role);
        make_directory(&path)?;
        unpack(
            packed.blob.path(),
            &packed.descriptor,
            &packed.diff_id,
            &path,
            &UnpackOptions::new(Compose::Single),
        )
        .map_err(|source| LocalError::Unpack { layer: lock.name(), source: Box::new(source) })?;
        compiler.layers.insert(0, path);
        Ok(Some(compiler))
    }

    fn unpack(&self, layer: &MadeLayer, path: &Path) -> Result<(), LocalError> {
        make_directory(path)?;
        let blob = self.layout.blob_path(layer.descriptor.digest());
        unpack(&blob, &layer.descriptor, &layer.diff_id, path, &UnpackOptions::new(Compose::Single))
            .map_err(|source| LocalError::Unpack { layer: layer.lock.clone(), source: Box::new(source) })?;
        Ok(())
    }
}

fn make_directory(path: &Path) -> Result<(), LocalError> {
    fs_err::create_dir_all(path).map_err(file_error(path))
}
