//! Where the repository is that a directory was checked out from.
//!
//! A directory may say of itself that it belongs to any repository of this machine, and what that one says would then
//! stand in an image. So a `.git` that leads elsewhere is followed only to a repository that names the directory as its
//! own, as those of worktrees and submodules do; a symbolic link is never followed.

use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::CheckoutError;
use super::config::value;
use super::folder::Folder;

/// The longest `.git` file that is read.
const LINK: u64 = 8 << 10;
/// The largest file of settings that is read.
pub(super) const CONFIG: u64 = 1 << 20;

/// A repository with a directory that was checked out from it.
pub(super) struct Place {
    /// What belongs to this checkout alone: its `HEAD`.
    pub(super) own: Folder,
    /// What all checkouts of the repository share: objects, references, settings.
    pub(super) common: Folder,
    /// The directories from the top of the checkout to the one that was asked for.
    pub(super) below: Vec<Vec<u8>>,
}

impl Place {
    /// The repository of a directory, or of one above it on the same file system.
    pub(super) fn find(directory: &Path) -> Result<Option<Self>, CheckoutError> {
        let device = std::fs::symlink_metadata(directory).map_err(|cause| failed(directory, cause))?.dev();
        for top in directory.ancestors() {
            if std::fs::symlink_metadata(top).is_ok_and(|metadata| metadata.dev() != device) {
                break;
            }
            let below = directory.strip_prefix(top).unwrap_or(directory);
            let below = below.iter().map(|name| name.as_bytes().to_vec()).collect();
            if let Some(place) = Self::at(top, below)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// The repository whose checkout has its top at a directory.
    pub(super) fn at(top: &Path, below: Vec<Vec<u8>>) -> Result<Option<Self>, CheckoutError> {
        let dot_git = top.join(".git");
        let metadata: Metadata = match std::fs::symlink_metadata(&dot_git) {
            Ok(metadata) => metadata,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(failed(&dot_git, cause)),
        };
        if metadata.is_symlink() {
            return Err(not_followed("it is a symbolic link"));
        }
        let (own, common) = if metadata.is_dir() {
            (Folder::open(&dot_git)?, Folder::open(&dot_git)?)
        } else {
            let (own, common) = linked(top, &dot_git)?;
            (Folder::open(&own)?, Folder::open(&common)?)
        };
        // An empty `.git` makes no repository; git looks further up as well.
        let is_repository = own.has("HEAD")? && common.has("objects")?;
        Ok(is_repository.then_some(Self { own, common, below }))
    }
}

fn failed(path: &Path, source: io::Error) -> CheckoutError {
    CheckoutError::Read { path: path.display().to_string(), source }
}

fn not_followed(reason: &'static str) -> CheckoutError {
    CheckoutError::NotFollowed { reason }
}

/// Where a `.git` file leads to: the part that belongs to the checkout, and the part that is shared.
fn linked(top: &Path, dot_git: &Path) -> Result<(PathBuf, PathBuf), CheckoutError> {
    let holder = Folder::open(top)?;
    let text = holder.read(".git", LINK)?.unwrap_or_default();
    let own = real(top, text.strip_prefix(b"gitdir: "))?;
    let folder = Folder::open(&own)?;
    if let Some(back) = folder.read("gitdir", LINK)? {
        let common = real(&own, folder.read("commondir", LINK)?.as_deref())?;
        let names_it = real(&own, Some(&back)).is_ok_and(|back| back == dot_git);
        return if names_it && own.starts_with(common.join("worktrees")) {
            Ok((own, common))
        } else {
            Err(not_followed(NOT_ITS_OWN))
        };
    }
    let config = folder.read("config", CONFIG)?.unwrap_or_default();
    let back = value(&config, "core", None, "worktree");
    if back.is_some_and(|back| real(&own, Some(back.as_bytes())).is_ok_and(|back| back == top)) {
        Ok((own.clone(), own))
    } else {
        Err(not_followed(NOT_ITS_OWN))
    }
}

const NOT_ITS_OWN: &str = "it leads to a repository that does not name this directory as its own";

/// A path that a file holds, relative to its directory, without links.
fn real(from: &Path, text: Option<&[u8]>) -> Result<PathBuf, CheckoutError> {
    let path = text.map(<[u8]>::trim_ascii_end).filter(|path| !path.is_empty() && !path.contains(&0));
    let path = path.ok_or(not_followed("it leads nowhere"))?;
    let path = from.join(std::ffi::OsStr::from_bytes(path));
    std::fs::canonicalize(&path).map_err(|_| not_followed("what it leads to is not there"))
}
