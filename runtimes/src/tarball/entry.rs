//! One entry of a tar archive becomes one node of the tree, or is refused.

use std::collections::BTreeSet;
use std::io::Read;

use lapstrake_oci::tree::{FileTree, Kind, Node, Owner, TreePath};
use tar::{Entry, EntryType};

use super::{ArchiveError, EntryFault, Spool};

/// Setuid and setgid are stripped: an image runs as one unprivileged user, who has to gain nothing by them.
const KEPT_MODE: u32 = 0o1777;

pub(super) fn add<R: Read>(
    mut entry: Entry<'_, R>,
    artifact: &str,
    spool: &mut Spool,
    tree: &mut FileTree,
) -> Result<(), ArchiveError> {
    let name = entry.path_bytes().into_owned();
    let refuse = |fault: EntryFault| ArchiveError::entry(artifact, &name, fault);
    let entry_type = entry.header().entry_type();
    if entry_type == EntryType::XGlobalHeader {
        return Ok(());
    }
    if matches!(name.as_slice(), b"." | b"./") && entry_type.is_dir() {
        return Ok(());
    }
    let path = TreePath::new(&name).map_err(|fault| refuse(fault.into()))?;
    check_extensions(&mut entry).map_err(ArchiveError::read(artifact))?.map_err(refuse)?;
    let entry_type = type_of(&entry, &name).map_err(refuse)?;
    check_place(tree, &path, entry_type).map_err(refuse)?;
    let kind = match entry_type {
        EntryType::Directory => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => {
            let expected = entry.size();
            let content = spool.append(&mut entry).map_err(ArchiveError::read(artifact))?;
            if content.len() != expected {
                let cut = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                return Err(ArchiveError::read(artifact)(cut));
            }
            Kind::File(content)
        }
        EntryType::Symlink => Kind::Symlink(link_target(&entry).map_err(refuse)?),
        EntryType::Link => Kind::Hardlink(hardlink_target(&entry, tree).map_err(refuse)?),
        other => return Err(refuse(EntryFault::Type(char::from(other.as_byte())))),
    };
    let mode = match &kind {
        Kind::Symlink(_) => 0o777,
        _ => entry.header().mode().map_err(ArchiveError::read(artifact))? & KEPT_MODE,
    };
    tree.insert(path, Node { kind, mode, owner: Owner::default() });
    Ok(())
}

/// The library takes the last of two equal keys, and the header's size where the extended one is no number.
fn check_extensions<R: Read>(entry: &mut Entry<'_, R>) -> std::io::Result<Result<(), EntryFault>> {
    if entry.header().entry_type() == EntryType::GNUSparse {
        return Ok(Err(EntryFault::Sparse));
    }
    let Some(extensions) = entry.pax_extensions()? else { return Ok(Ok(())) };
    let mut seen = BTreeSet::new();
    for extension in extensions {
        let extension = extension?;
        let key = extension.key_bytes();
        if key.starts_with(b"GNU.sparse.") {
            return Ok(Err(EntryFault::Sparse));
        }
        let no_number = key == b"size" && !extension.value_bytes().iter().all(u8::is_ascii_digit);
        if no_number || !seen.insert(key.to_vec()) {
            return Ok(Err(EntryFault::Extension(key.escape_ascii().to_string())));
        }
    }
    Ok(Ok(()))
}

/// Headers from before 1988 have no type for directories, but a slash at the end of their names.
fn type_of<R: Read>(entry: &Entry<'_, R>, name: &[u8]) -> Result<EntryType, EntryFault> {
    let entry_type = entry.header().entry_type();
    let slash = name.ends_with(b"/");
    match entry_type {
        EntryType::Regular if slash && entry.size() == 0 => Ok(EntryType::Directory),
        EntryType::Regular | EntryType::Continuous | EntryType::Symlink | EntryType::Link if slash => {
            Err(EntryFault::Contradiction)
        }
        EntryType::Directory | EntryType::Symlink | EntryType::Link if entry.size() != 0 => {
            Err(EntryFault::Contradiction)
        }
        other => Ok(other),
    }
}

/// A path may come once, except a directory, and never below something that is no directory.
fn check_place(tree: &FileTree, path: &TreePath, entry_type: EntryType) -> Result<(), EntryFault> {
    if let Some(earlier) = tree.get(path)
        && !(entry_type.is_dir() && matches!(earlier.kind, Kind::Directory))
    {
        return Err(EntryFault::Duplicate);
    }
    let mut parent = path.parent();
    while let Some(above) = parent {
        match tree.get(&above) {
            Some(node) if !matches!(node.kind, Kind::Directory) => return Err(EntryFault::Through(above)),
            _ => parent = above.parent(),
        }
    }
    Ok(())
}

fn link_target<R: Read>(entry: &Entry<'_, R>) -> Result<Vec<u8>, EntryFault> {
    match entry.link_name_bytes() {
        Some(target) if !target.is_empty() => Ok(target.into_owned()),
        _ => Err(EntryFault::EmptyLink),
    }
}

fn hardlink_target<R: Read>(entry: &Entry<'_, R>, tree: &FileTree) -> Result<TreePath, EntryFault> {
    let target = TreePath::new(link_target(entry)?)?;
    match tree.get(&target).map(|node| &node.kind) {
        Some(Kind::File(_)) => Ok(target),
        _ => Err(EntryFault::HardlinkTarget(target.to_string())),
    }
}
