//! The directories on disk that belong to one sandbox: changes, the kernel's work directories, and `/tmp`.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Feature, SandboxError};
use crate::owner::make_directory;
use crate::spec::{MountKind, Spec};

/// Makes the scratch directories, owned by the identity that will write to them.
pub(crate) fn prepare(spec: &Spec) -> Result<(), SandboxError> {
    let make = |directory: &Path, mode| {
        make_directory(directory, mode, spec.build_uid).map_err(|error| refused(directory, spec, error))
    };
    for scratch in scratches(spec) {
        make(scratch, 0o700)?;
        // It lends its mode to the root directory inside.
        make(&scratch.join("upper"), 0o755)?;
        let work = scratch.join("work");
        let action = format!("clear the directory `{}`", work.display());
        clear_work(&work).map_err(SandboxError::io(action))?;
        make(&work, 0o700)?;
    }
    make(&spec.root.scratch.join("tmp"), 0o1777)
}

fn refused(directory: &Path, spec: &Spec, source: io::Error) -> SandboxError {
    let errno = rustix::io::Errno::from_io_error(&source);
    // Where the build uid does not exist, as in a user namespace that maps root alone, nothing can be given to it.
    if errno == Some(rustix::io::Errno::INVAL) {
        let reason = format!("cannot give `{}` to uid {}: {source}", directory.display(), spec.build_uid);
        return SandboxError::Unavailable { feature: Feature::LeaveRoot, reason };
    }
    SandboxError::Io { action: format!("make the directory `{}`", directory.display()), source }
}

/// Removes what only the kernel needed.
pub(crate) fn clear(spec: &Spec) {
    for scratch in scratches(spec) {
        // It is cleared before the next start at the latest.
        let _ = clear_work(&scratch.join("work"));
    }
}

/// The scratch directories of all overlays.
fn scratches(spec: &Spec) -> impl Iterator<Item = &PathBuf> {
    let mounts = spec.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Overlay { scratch } => Some(scratch),
        MountKind::ReadOnly | MountKind::Writable => None,
    });
    mounts.chain([&spec.root.scratch])
}

/// Removes what the kernel left in an overlay's work directory: it refuses to begin again on the marks in there, and
/// an ordinary user cannot remove them with the rest of the scratch directory. Steps never reach this directory.
fn clear_work(work: &Path) -> io::Result<()> {
    let unless_missing = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    // Nobody may list the kernel's directories, not even their owner.
    for directory in ["work", "work/incompat", "work/incompat/volatile"] {
        unless_missing(fs::set_permissions(work.join(directory), Permissions::from_mode(0o700)))?;
    }
    unless_missing(fs::remove_dir_all(work))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_the_kernels_that_nobody_may_list_are_removed() {
        let ground = tempfile::tempdir().unwrap();
        let work = ground.path().join("work");
        fs::create_dir_all(work.join("work/incompat/volatile")).unwrap();
        for directory in ["work/incompat/volatile", "work/incompat", "work"] {
            fs::set_permissions(work.join(directory), Permissions::from_mode(0o000)).unwrap();
        }
        clear_work(&work).unwrap();
        assert!(!work.exists());
        clear_work(&work).unwrap();
    }
}
