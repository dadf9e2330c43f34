//! Whether the files of a source are those of a commit.

use std::io;

use lapstrake_oci::tree::{Content, Node};
use sha2::{Digest as _, Sha256};

use super::CheckoutError;
use super::object::{Kind, Naming, is_named};
use super::reftable::hexadecimal;
use super::store::Store;
use crate::git::ObjectId;

/// The largest file whose line endings are looked at, and the largest pointer to a file that is kept elsewhere.
const TEXT: u64 = 32 << 20;
const POINTER: usize = 1024;

/// Whether a file or a link has the name of an object.
pub(super) fn is_same(node: &Node, id: &ObjectId, is_executable: Option<bool>) -> io::Result<bool> {
    use lapstrake_oci::tree::Kind::{File, Symlink};
    match (&node.kind, is_executable) {
        (File(content), Some(is_executable)) => {
            Ok((node.mode & 0o111 != 0) == is_executable && content_is_same(content, id)?)
        }
        (Symlink(target), None) => Ok(is_named(id, Kind::Blob, target)),
        _ => Ok(false),
    }
}

fn content_is_same(content: &Content, id: &ObjectId) -> io::Result<bool> {
    let mut naming = Naming::begin(id, Kind::Blob, content.len());
    content.each_part(|part| naming.update(part))?;
    Ok(naming.is(id))
}

/// Whether git writes other bytes for an object than it keeps, and these are they: lines that end in CR LF, or the
/// content for which the object is a pointer of Git LFS.
pub(super) fn is_written_so(
    node: &Node,
    id: &ObjectId,
    is_executable: bool,
    store: &mut Store<'_>,
) -> Result<bool, CheckoutError> {
    let lapstrake_oci::tree::Kind::File(content) = &node.kind else { return Ok(false) };
    let failed = |source| CheckoutError::Read { path: "a file of the source".to_owned(), source };
    if (node.mode & 0o111 != 0) != is_executable {
        return Ok(false);
    }
    if content.len() <= TEXT {
        let bytes = content.read().map_err(failed)?;
        if is_named(id, Kind::Blob, &with_plain_ends(&bytes)) {
            return Ok(true);
        }
    }
    let Ok(blob) = store.read(id, Kind::Blob) else { return Ok(false) };
    let Some((digest, length)) = pointer(&blob) else { return Ok(false) };
    if length != content.len() {
        return Ok(false);
    }
    let mut hasher = Sha256::new();
    content.each_part(|part| hasher.update(part)).map_err(failed)?;
    Ok(hexadecimal(&hasher.finalize()) == digest)
}

fn with_plain_ends(bytes: &[u8]) -> Vec<u8> {
    let is_end = |at: usize| bytes[at] == b'\r' && bytes.get(at + 1) == Some(&b'\n');
    (0..bytes.len()).filter(|at| !is_end(*at)).map(|at| bytes[at]).collect()
}

/// The digest and the length that a pointer names.
fn pointer(blob: &[u8]) -> Option<(&str, u64)> {
    let text = std::str::from_utf8(blob.get(..blob.len().min(POINTER))?).ok()?;
    text.strip_prefix("version https://git-lfs.github.com/spec/v1\n")?;
    let digest = text.lines().find_map(|line| line.strip_prefix("oid sha256:"))?;
    let length = text.lines().find_map(|line| line.strip_prefix("size "))?.parse().ok()?;
    Some((digest, length))
}
