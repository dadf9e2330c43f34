//! Takes out of installed Python packages what tells when they were installed.
//!
//! Beside a package that uv builds from a directory it notes when the files of that directory changed, which differs from
//! one build to the next. Only uv itself reads it, to see whether it has to build again.

use std::io;

use lapstrake_oci::tree::{Content, FileTree, Kind, TreePath};

/// The note of uv.
const NOTE: &str = "uv_cache.json";
/// The list of a package's files.
const RECORD: &str = "RECORD";

/// Takes the notes out of a tree, and out of the lists of the packages that have one.
pub fn settle(tree: &mut FileTree) -> io::Result<()> {
    let is_note = |path: &TreePath| {
        let directory = path.parent();
        path.name() == NOTE.as_bytes()
            && directory.is_some_and(|directory| directory.name().ends_with(b".dist-info"))
    };
    let notes: Vec<TreePath> =
        tree.iter().map(|(path, _)| path).filter(|path| is_note(path)).cloned().collect();
    for note in notes {
        tree.remove(&note);
        let record = note.parent().and_then(|directory| directory.join(RECORD).ok());
        if let Some(Kind::File(content)) =
            record.and_then(|record| tree.get_mut(&record)).map(|node| &mut node.kind)
        {
            *content = Content::from(without_note(&content.read()?));
        }
    }
    Ok(())
}

/// The lines of a list but for that of the note: `NAME.dist-info/uv_cache.json,sha256=…,SIZE`.
fn without_note(record: &[u8]) -> Vec<u8> {
    let path = |line: &[u8]| line.split(|byte| *byte == b',').next().unwrap_or_default().to_vec();
    let is_kept = |line: &&[u8]| !path(line).ends_with(format!(".dist-info/{NOTE}").as_bytes());
    record.split_inclusive(|byte| *byte == b'\n').filter(is_kept).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use lapstrake_oci::tree::Node;

    use super::*;

    fn tree(files: &[(&str, &str)]) -> FileTree {
        let node = |text: &str| Node::file(text.as_bytes().to_vec(), 0o644);
        files.iter().map(|(path, text)| (TreePath::new(path).unwrap(), node(text))).collect()
    }

    fn text(tree: &FileTree, path: &str) -> Option<String> {
        match &tree.get(&TreePath::new(path).unwrap())?.kind {
            Kind::File(content) => Some(String::from_utf8(content.read().unwrap()).unwrap()),
            _ => None,
        }
    }

    #[test]
    fn a_package_is_the_same_whenever_it_was_installed() {
        let record = "x-1.dist-info/METADATA,sha256=a,1\nx-1.dist-info/uv_cache.json,sha256=b,2\nx-1.dist-info/RECORD,,\n";
        let mut tree = tree(&[("v/x-1.dist-info/uv_cache.json", "{}"), ("v/x-1.dist-info/RECORD", record)]);
        settle(&mut tree).unwrap();
        assert_eq!(text(&tree, "v/x-1.dist-info/uv_cache.json"), None);
        let expected = "x-1.dist-info/METADATA,sha256=a,1\nx-1.dist-info/RECORD,,\n";
        assert_eq!(text(&tree, "v/x-1.dist-info/RECORD").unwrap(), expected);
    }

    #[test]
    fn a_package_without_the_note_and_a_file_of_its_name_elsewhere_stay_as_they_are() {
        let record = "uv_cache.json,sha256=b,2\r\nx,,\r\n";
        let files = [("a-1.dist-info/RECORD", record), ("app/uv_cache.json", "mine")];
        let mut tree = tree(&files);
        settle(&mut tree).unwrap();
        for (path, expected) in files {
            assert_eq!(text(&tree, path).unwrap(), expected);
        }
    }
}
