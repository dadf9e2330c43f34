//! RECORD: the list of the files of a wheel with their digests, one CSV line each.

use std::collections::BTreeMap;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lapstrake_oci::tree::{Content, FileTree, Kind, TreePath};
use sha2::{Digest, Sha256};

use crate::tarball::{ArchiveError, EntryFault};

/// Files that cannot or need not list themselves.
const UNLISTED: [&str; 3] = ["RECORD", "RECORD.jws", "RECORD.p7s"];

/// Checks that every file is in RECORD with its own digest, and that RECORD names no others.
pub(super) fn verify(tree: &FileTree, dist_info: &TreePath, artifact: &str) -> Result<(), ArchiveError> {
    let text = super::text(tree, dist_info, "RECORD", artifact)?
        .ok_or_else(|| super::fault(artifact)("it has no `RECORD`".to_owned()))?;
    let mut recorded = parse(&text);
    for (path, node) in tree.iter() {
        let Kind::File(content) = &node.kind else { continue };
        let digest = recorded.remove(path.as_bytes());
        if UNLISTED.iter().any(|name| dist_info.join(name).as_ref() == Ok(path)) {
            continue;
        }
        let refuse = |fault| ArchiveError::entry(artifact, path.as_bytes(), fault);
        let expected = digest.ok_or_else(|| refuse(EntryFault::Unlisted("RECORD".to_owned())))?;
        if sha256(content).map_err(ArchiveError::read(artifact))? != expected {
            return Err(refuse(EntryFault::Digest(expected)));
        }
    }
    match recorded.keys().next() {
        None => Ok(()),
        Some(missing) => Err(super::fault(artifact)(format!(
            "`RECORD` lists `{}`, which is missing",
            missing.escape_ascii()
        ))),
    }
}

/// The line that an installer appends for a file that it made.
pub(super) fn line(path: &str, content: &[u8]) -> String {
    let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(content));
    format!("{path},sha256={digest},{}\n", content.len())
}

fn parse(text: &str) -> BTreeMap<Vec<u8>, String> {
    let mut recorded = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        // The last two fields have no comma, so that only the first is ever quoted.
        let mut fields = line.rsplitn(3, ',');
        let (_size, digest) = (fields.next(), fields.next().unwrap_or_default());
        let path = fields.next().unwrap_or_default();
        let path = match path.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => path.to_owned(),
        };
        recorded.insert(path.into_bytes(), digest.to_owned());
    }
    recorded
}

fn sha256(content: &Content) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut reader = content.open()?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    Ok(format!("sha256={}", URL_SAFE_NO_PAD.encode(hasher.finalize())))
}
