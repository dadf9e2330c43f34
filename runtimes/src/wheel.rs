//! Opens a Python wheel, checks it against its own RECORD and lays it out as an installer would
//! (the "binary distribution format" of packaging.python.org).

mod install;
mod metadata;
mod record;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use lapstrake_oci::tree::{Content, FileTree, Kind, Node, TreePath};
use zip::ZipArchive;

pub use metadata::EntryPoint;

use crate::tarball::{ArchiveError, EntryFault, Spool};

const FORMAT: &str = "wheel";
/// Metadata of a wheel is small; RECORD of the largest known wheels is below ten megabytes.
const METADATA_LIMIT: u64 = 32 << 20;

/// An opened wheel.
#[derive(Debug)]
pub struct Wheel {
    /// The distribution's name as in its `.dist-info` directory.
    pub name: String,
    /// The distribution's version as in its `.dist-info` directory.
    pub version: String,
    /// The file name that the format gives it: `name-version-python-abi-platform.whl`.
    pub filename: String,
    /// The `console_scripts`, sorted by name.
    pub console_scripts: Vec<EntryPoint>,
    /// All files of the archive at the paths that they have in it.
    pub tree: FileTree,
    dist_info: TreePath,
    whole: Content,
}

impl Wheel {
    /// The wheel file itself, as one content.
    #[must_use]
    pub fn whole(&self) -> Content {
        self.whole.clone()
    }
}

/// Opens a wheel; the contents of its files are spooled to the scratch directory.
pub fn open(path: &Path, scratch: &Path) -> Result<Wheel, ArchiveError> {
    let artifact = crate::deb::file_name(path);
    let file = File::open(path).map_err(ArchiveError::read(&artifact))?;
    let len = file.metadata().map_err(ArchiveError::read(&artifact))?.len();
    let reader = BufReader::new(file.try_clone().map_err(ArchiveError::read(&artifact))?);
    let tree = read_zip(reader, &artifact, scratch)?;
    let dist_info = metadata::dist_info(&tree).map_err(fault(&artifact))?;
    record::verify(&tree, &dist_info, &artifact)?;
    let (name, version) = metadata::name_and_version(&dist_info).map_err(fault(&artifact))?;
    let tag = metadata::tag(&text(&tree, &dist_info, "WHEEL", &artifact)?.unwrap_or_default());
    let scripts = text(&tree, &dist_info, "entry_points.txt", &artifact)?.unwrap_or_default();
    let filename = format!("{name}-{version}-{}.whl", tag.map_err(fault(&artifact))?);
    let console_scripts = metadata::console_scripts(&scripts).map_err(fault(&artifact))?;
    let whole = Content::range(Arc::new(file), 0, len);
    Ok(Wheel { name, version, filename, console_scripts, tree, dist_info, whole })
}

fn fault(artifact: &str) -> impl Fn(String) -> ArchiveError {
    let artifact = artifact.to_owned();
    move |reason| ArchiveError::Format { artifact: artifact.clone(), format: FORMAT, reason }
}

fn read_zip(reader: BufReader<File>, artifact: &str, scratch: &Path) -> Result<FileTree, ArchiveError> {
    let mut spool = Spool::create(scratch).map_err(ArchiveError::read(artifact))?;
    let no_zip = |cause: zip::result::ZipError| fault(artifact)(cause.to_string());
    let mut archive = ZipArchive::new(reader).map_err(no_zip)?;
    // The library answers by name, so that the second of two equal names would be invisible.
    if archive.has_duplicate_names() {
        return Err(fault(artifact)("it has one name twice".to_owned()));
    }
    let mut tree = FileTree::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(no_zip)?;
        let name = entry.name_raw().to_vec();
        let refuse = |fault: EntryFault| ArchiveError::entry(artifact, &name, fault);
        if entry.is_symlink() {
            return Err(refuse(EntryFault::Link));
        }
        if entry.encrypted() {
            return Err(refuse(EntryFault::Encrypted));
        }
        let path = TreePath::new(&name).map_err(|fault| refuse(fault.into()))?;
        if entry.is_dir() {
            tree.insert(path, Node::directory());
            continue;
        }
        let executable = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
        let content = spool.append(&mut entry).map_err(ArchiveError::read(artifact))?;
        let node = Node::file(content, if executable { 0o755 } else { 0o644 });
        if tree.insert(path, node).is_some() {
            return Err(refuse(EntryFault::Duplicate));
        }
    }
    Ok(tree)
}

fn text(
    tree: &FileTree,
    dist_info: &TreePath,
    name: &str,
    artifact: &str,
) -> Result<Option<String>, ArchiveError> {
    let path = dist_info.join(name).expect("a plain name below a path");
    let Some(Kind::File(content)) = tree.get(&path).map(|node| &node.kind) else { return Ok(None) };
    let mut text = String::new();
    let reader = content.open().map_err(ArchiveError::read(artifact))?;
    reader.take(METADATA_LIMIT).read_to_string(&mut text).map_err(ArchiveError::read(artifact))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests;
