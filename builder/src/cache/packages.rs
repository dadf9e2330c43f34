//! What installers download: their own caches, kept between builds and outside of images.
//!
//! Installers trust their caches, and build commands write to them. So the builds that share one are those of one app, or
//! those that a user gives the same name to. Every installer lets any number of processes use its cache at the same time.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{Cache, Key, touch};

/// The directory with the installers' caches in that of a scope; the commands own it.
const TREE: &str = "caches";
/// The file with the size of them, in bytes.
const SIZE: &str = "bytes";

/// The installers' caches of one scope.
pub struct Packages {
    dir: PathBuf,
}

impl Cache {
    /// The installers' caches of a scope, made if they are not there.
    pub fn packages(&self, scope: &str) -> io::Result<Packages> {
        let name = Key::of(&[b"packages", scope.as_bytes()]);
        let packages = Packages { dir: self.packages_dir().join(name.as_str()) };
        fs_err::create_dir_all(&packages.dir)?;
        // Nobody else on the machine reads what may be private packages.
        match std::fs::DirBuilder::new().mode(0o700).create(packages.tree()) {
            Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(cause),
            _ => {}
        }
        // It is in use from now on.
        touch(&packages.dir);
        Ok(packages)
    }

    /// Where those of all scopes are. Not in the cache itself, which is for its owner alone: the user that commands run
    /// under has to get there.
    pub(super) fn packages_dir(&self) -> PathBuf {
        self.dir.with_file_name("packages")
    }
}

impl Packages {
    /// The directory that commands see.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.dir.join(TREE)
    }

    /// Takes note of how much there is.
    pub fn measure(&self) -> io::Result<()> {
        let mut bytes = 0;
        for entry in walkdir::WalkDir::new(self.tree()).follow_links(false) {
            // Another build may have removed it.
            bytes += entry.ok().and_then(|entry| entry.metadata().ok()).map_or(0, |found| found.len());
        }
        fs_err::write(self.dir.join(SIZE), bytes.to_string())?;
        touch(&self.dir);
        Ok(())
    }
}

/// The size of the caches in a scope's directory, in bytes, when they were last of use.
pub(super) fn size_of(dir: &Path) -> u64 {
    fs_err::read_to_string(dir.join(SIZE)).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}
