//! Unpacked layers, kept between builds: the lower directories of the sandbox.
//!
//! A layer is unpacked once for each user that build commands run under, since that user owns what it sees. The
//! directory's name is the diffID, which is checked while the layer is unpacked.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use lapstrake_oci::layer::{self, Compose, UnpackOptions};
use lapstrake_oci::tree::{Owner, TreePath};
use oci_spec::image::{Descriptor, Digest};
use rustix::fs::{FlockOperation, flock};

use crate::changes::{Entry, Listing};
use crate::failure::{Exit, Failure};
use crate::steps::BUILD_UID;

/// The directory of unpacked layers.
pub struct Rootfs {
    directory: PathBuf,
    owner: Option<Owner>,
}

impl Rootfs {
    /// The unpacked layers below a data directory.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        let (uid, gid) = lapstrake_sandbox::outside_identity(BUILD_UID);
        let owner = rustix::process::geteuid().is_root().then_some(Owner { uid, gid });
        Self { directory: data_dir.join("rootfs").join(uid.to_string()), owner }
    }

    /// The directory of a layer that has been unpacked before.
    #[must_use]
    pub fn ready(&self, diff_id: &Digest) -> Option<PathBuf> {
        Some(self.directory.join(diff_id.digest())).filter(|ready| ready.is_dir())
    }

    /// The directory of a layer, unpacked now if it was not before.
    pub fn layer(&self, blob: &Path, descriptor: &Descriptor, diff_id: &Digest) -> Result<PathBuf, Failure> {
        let ready = self.directory.join(diff_id.digest());
        if ready.is_dir() {
            return Ok(ready);
        }
        fs_err::create_dir_all(&self.directory)
            .map_err(|cause| Failure::io("could not make the directory of unpacked layers", cause))?;
        let lock = self.lock(diff_id)?;
        if !ready.is_dir() {
            let partial = self.directory.join(format!("{}.partial", diff_id.digest()));
            layer::remove_tree(&partial)
                .map_err(|cause| Failure::io("could not remove an incomplete layer", cause))?;
            let options = UnpackOptions { owner: self.owner, ..UnpackOptions::new(Compose::Overlay) };
            layer::unpack(blob, descriptor, diff_id, &partial, &options).map_err(|cause| {
                Failure::because(
                    Exit::Refused,
                    format!("could not unpack layer `{}`", descriptor.digest()),
                    cause,
                )
            })?;
            keep(&partial, &ready).map_err(|cause| Failure::io("could not keep an unpacked layer", cause))?;
        }
        drop(lock);
        Ok(ready)
    }

    fn lock(&self, diff_id: &Digest) -> Result<File, Failure> {
        let path = self.directory.join(format!("{}.lock", diff_id.digest()));
        let failed = |cause| Failure::io("could not lock an unpacked layer", cause);
        let file = File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|cause| failed(cause.into()))?;
        Ok(file)
    }
}

/// Gives an unpacked layer its name, once all of it is on the disk: whoever finds it under that name looks no closer.
fn keep(partial: &Path, ready: &Path) -> io::Result<()> {
    rustix::fs::syncfs(fs_err::File::open(partial)?)?;
    fs_err::rename(partial, ready)?;
    match ready.parent() {
        Some(parent) => fs_err::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Lists the paths of unpacked layers, lowest first.
pub fn listing<'a>(layers: impl IntoIterator<Item = &'a PathBuf>) -> Result<Listing, Failure> {
    let mut listing = Listing::new();
    for layer in layers {
        for entry in walkdir::WalkDir::new(layer).min_depth(1).follow_links(false) {
            let entry = entry.map_err(|cause| Failure::io("could not list a layer", cause.into()))?;
            let Ok(below) = entry.path().strip_prefix(layer) else { continue };
            let path = TreePath::new(below.as_os_str().as_encoded_bytes())
                .map_err(|cause| Failure::because(Exit::Ours, "could not list a layer", cause))?;
            let kind = if entry.file_type().is_dir() { Entry::Directory } else { Entry::Other };
            listing.insert(path, kind);
        }
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_layers_replace_what_lower_ones_list() {
        let (lower, upper) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(lower.path().join("a/b")).unwrap();
        std::fs::create_dir(upper.path().join("a")).unwrap();
        std::fs::write(upper.path().join("a/b"), b"").unwrap();
        let paths = [lower.path().to_owned(), upper.path().to_owned()];
        let listing = listing(&paths).unwrap();
        let entries: Vec<_> = listing.iter().map(|(path, entry)| (path.to_string(), *entry)).collect();
        assert_eq!(entries, [("a".to_owned(), Entry::Directory), ("a/b".to_owned(), Entry::Other)]);
    }
}
