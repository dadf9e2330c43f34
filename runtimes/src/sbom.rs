//! What package scanners read: one control file and one checksum list for each package of a layer.
//!
//! The place is that of distroless images, `/var/lib/dpkg/status.d`, because layers that share one
//! `/var/lib/dpkg/status` would hide each other's.

use lapstrake_oci::tree::{FileTree, Kind, Node, TreePath};

use crate::deb::Control;
use crate::merge;

const DIRECTORY: &str = "var/lib/dpkg/status.d";

/// Adds the records of a package to its own, already pruned tree.
pub(crate) fn add(control: &Control, md5sums: Option<&[u8]>, tree: &mut FileTree) {
    let record = |suffix: &str| {
        TreePath::new(format!("{DIRECTORY}/{}{suffix}", control.package()))
            .expect("package names are checked")
    };
    let md5sums = md5sums.map(|text| remaining(text, tree));
    tree.insert(record(""), Node::file(control.text().to_vec(), 0o644));
    if let Some(text) = md5sums {
        tree.insert(record(".md5sums"), Node::file(text, 0o644));
    }
}

/// The lines, verbatim, whose files are still there.
fn remaining(md5sums: &[u8], tree: &FileTree) -> Vec<u8> {
    md5sums
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| is_there(line, tree))
        .flatten()
        .copied()
        .collect()
}

fn is_there(line: &[u8], tree: &FileTree) -> bool {
    // `<32 hexadecimal digits>  <path>`
    let Some(path) = line.get(34..) else { return false };
    let path = path.strip_suffix(b"\n").unwrap_or(path);
    let Ok(path) = TreePath::new(path) else { return false };
    tree.get(&merge::canonical(&path, &Kind::Directory)).is_some()
}

#[cfg(test)]
mod tests;
