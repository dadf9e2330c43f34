//! An npm tarball: gzip over tar, with everything below `package/`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use lapstrake_oci::tree::{FileTree, Kind, TreePath};
use serde::Deserialize;

use super::{ArchiveError, EntryFault, Spool};

const PREFIX: &str = "package";
/// A `package.json` is a few kilobytes; this is where it stops being one.
const MANIFEST_LIMIT: u64 = 4 << 20;

/// An unpacked npm tarball, without the `package/` directory.
#[derive(Debug)]
pub struct NpmPackage {
    /// The name in `package.json`.
    pub name: String,
    /// The version in `package.json`.
    pub version: String,
    /// The commands that the package offers, and the files that they run.
    pub commands: BTreeMap<String, TreePath>,
    /// The files of the package.
    pub tree: FileTree,
}

#[derive(Deserialize)]
struct Manifest {
    name: String,
    version: String,
    #[serde(default)]
    bin: Option<Bin>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Bin {
    One(String),
    Many(BTreeMap<String, String>),
}

/// Opens an npm tarball.
///
/// Modes become 0755 for directories, executables and the files of commands and 0644 for all else, as npm does
/// when it installs; links are refused, for npm packs none.
pub fn open(path: &Path, scratch: &Path) -> Result<NpmPackage, ArchiveError> {
    let artifact = super::super::deb::file_name(path);
    let file = File::open(path).map_err(ArchiveError::read(&artifact))?;
    let mut spool = Spool::create(scratch).map_err(ArchiveError::read(&artifact))?;
    let gunzip = MultiGzDecoder::new(BufReader::new(file));
    let mut tree = strip_prefix(super::read(gunzip, &artifact, &mut spool)?, &artifact)?;
    let manifest = manifest(&tree, &artifact)?;
    let commands = commands(&manifest, &artifact)?;
    for target in commands.values() {
        let Some(node) = tree.get_mut(target) else {
            let reason = format!("its command `{target}` is missing");
            return Err(ArchiveError::Format { artifact, format: "npm package", reason });
        };
        node.mode = 0o755;
    }
    Ok(NpmPackage { name: manifest.name, version: manifest.version, commands, tree })
}

fn strip_prefix(tree: FileTree, artifact: &str) -> Result<FileTree, ArchiveError> {
    let mut stripped = FileTree::new();
    for (path, mut node) in tree {
        let refuse = |fault: EntryFault| ArchiveError::entry(artifact, path.as_bytes(), fault);
        let Some(rest) = path.as_bytes().strip_prefix(PREFIX.as_bytes()) else {
            return Err(refuse(EntryFault::Outside(PREFIX)));
        };
        node.mode = match node.kind {
            Kind::File(_) if node.mode & 0o111 == 0 => 0o644,
            Kind::File(_) | Kind::Directory => 0o755,
            _ => return Err(refuse(EntryFault::Link)),
        };
        match rest.split_first() {
            None if matches!(node.kind, Kind::Directory) => {}
            Some((b'/', rest)) => {
                let inner = TreePath::new(rest).map_err(|fault| refuse(fault.into()))?;
                stripped.insert(inner, node);
            }
            _ => return Err(refuse(EntryFault::Outside(PREFIX))),
        }
    }
    Ok(stripped)
}

fn manifest(tree: &FileTree, artifact: &str) -> Result<Manifest, ArchiveError> {
    let fault = |reason: String| ArchiveError::Format {
        artifact: artifact.to_owned(),
        format: "npm package",
        reason,
    };
    let path = TreePath::new("package.json").expect("a plain name");
    let Some(Kind::File(content)) = tree.get(&path).map(|node| &node.kind) else {
        return Err(fault("it has no `package.json`".to_owned()));
    };
    let mut text = Vec::new();
    let reader = content.open().map_err(ArchiveError::read(artifact))?;
    reader.take(MANIFEST_LIMIT).read_to_end(&mut text).map_err(ArchiveError::read(artifact))?;
    serde_json::from_slice(&text).map_err(|cause| fault(format!("`package.json`: {cause}")))
}

fn commands(manifest: &Manifest, artifact: &str) -> Result<BTreeMap<String, TreePath>, ArchiveError> {
    let bins = match &manifest.bin {
        None => BTreeMap::new(),
        // A scoped package's single command has the name without the scope.
        Some(Bin::One(target)) => {
            let name = manifest.name.rsplit('/').next().unwrap_or(&manifest.name);
            BTreeMap::from([(name.to_owned(), target.clone())])
        }
        Some(Bin::Many(bins)) => bins.clone(),
    };
    let mut commands = BTreeMap::new();
    for (name, target) in bins {
        let refuse =
            |fault| ArchiveError::entry(artifact, format!("bin.{name}").as_bytes(), EntryFault::Path(fault));
        let plain = TreePath::new(&name).map_err(refuse)?;
        if plain.components().count() != 1 {
            return Err(ArchiveError::entry(artifact, name.as_bytes(), EntryFault::Outside("bin")));
        }
        let target = TreePath::new(&target).map_err(refuse)?;
        commands.insert(name, target);
    }
    Ok(commands)
}
