//! The files of a commit, as they were committed: nothing is converted, nothing left out.

use std::io::{self, BufRead as _, BufReader, Read};
use std::process::ChildStdout;

use super::error::GitError;
use super::object::ObjectId;
use super::repository::Repository;

/// The longest line before a path, and the longest answer to a request for an object.
const HEAD: usize = 256;

/// What stands in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file.
    File {
        /// Whether it may be executed.
        executable: bool,
    },
    /// A symbolic link, whose target is the object.
    Symlink,
    /// A commit of another repository.
    Submodule,
}

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedFile {
    /// What it is.
    pub kind: FileKind,
    /// The object.
    pub id: ObjectId,
    /// Its bytes; 0 for a submodule.
    pub size: u64,
    /// Its path from the root, as it was committed.
    pub path: Vec<u8>,
}

impl Repository<'_> {
    /// Hands over every file of a commit that was fetched, in the order of the tree. A path longer than `longest` is cut
    /// there. An error of `take` ends it: a tree may have more files than its objects let suspect.
    pub fn files<E: From<GitError>>(
        &self,
        commit: &ObjectId,
        longest: usize,
        mut take: impl FnMut(CommittedFile) -> Result<(), E>,
    ) -> Result<(), E> {
        let words = ["ls-tree", "-r", "-z", "-l", "--full-tree", commit.as_str()];
        let doing = format!("list the files of {commit}");
        let malformed = || GitError::Malformed { what: format!("the tree of {commit}") };
        self.stream(words.map(str::to_owned).to_vec(), Vec::new(), &doing, |stdout| {
            let mut reader = BufReader::with_capacity(128 << 10, stdout);
            let limit = (HEAD + longest + 1) as u64;
            loop {
                let mut line = Vec::new();
                reader.by_ref().take(limit).read_until(0, &mut line).map_err(|error| read(&doing, error))?;
                match line.last() {
                    None => return Ok(()),
                    Some(0) => drop(line.pop()),
                    // It is at its limit, and longer than any path that is accepted.
                    Some(_) if line.len() as u64 == limit => {}
                    Some(_) => return Err(malformed().into()),
                }
                take(entry(&line).ok_or_else(malformed)?)?;
            }
        })
    }

    /// Hands over the contents of objects, in the order of their names as given. What `take` does not read is skipped.
    pub fn contents<E: From<GitError>>(
        &self,
        ids: &[&ObjectId],
        mut take: impl FnMut(&ObjectId, u64, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let input = ids.iter().flat_map(|id| [id.as_str(), "\n"]).collect::<String>().into_bytes();
        let doing = "read the files of a commit";
        let words = ["cat-file", "--batch"].map(str::to_owned).to_vec();
        self.stream(words, input, doing, |stdout| {
            let mut reader = BufReader::with_capacity(128 << 10, stdout);
            for id in ids {
                let size = answer(&mut reader, id, doing)?;
                let mut content = reader.by_ref().take(size);
                take(id, size, &mut content)?;
                io::copy(&mut content, &mut io::sink()).map_err(|error| read(doing, error))?;
                let mut end = [0];
                reader.read_exact(&mut end).map_err(|error| read(doing, error))?;
                if content_is_short(&end) {
                    return Err(GitError::Malformed { what: format!("object {id}") }.into());
                }
            }
            Ok(())
        })
    }
}

/// Every content is followed by a line's end.
fn content_is_short(end: &[u8]) -> bool {
    end != b"\n"
}

fn read(doing: &str, source: io::Error) -> GitError {
    GitError::Io { doing: format!("read what git says to {doing}"), source }
}

/// Reads the line before a content: the name, the kind and the size.
fn answer(reader: &mut BufReader<&mut ChildStdout>, id: &ObjectId, doing: &str) -> Result<u64, GitError> {
    let mut line = Vec::new();
    reader.by_ref().take(HEAD as u64).read_until(b'\n', &mut line).map_err(|error| read(doing, error))?;
    let text = String::from_utf8_lossy(&line);
    let mut words = text.trim_end().split(' ');
    let found = words.next() == Some(id.as_str()) && words.next() == Some("blob");
    let size = words.next().and_then(|size| size.parse().ok()).filter(|_| found);
    size.ok_or_else(|| GitError::Malformed {
        what: format!("object {id}, of which git says `{}`,", text.trim_end().escape_debug()),
    })
}

/// `MODE TYPE NAME SIZE<tab>PATH`, with a `-` where there is no size.
fn entry(line: &[u8]) -> Option<CommittedFile> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let mut words = std::str::from_utf8(&line[..tab]).ok()?.split_ascii_whitespace();
    let mode = words.next()?;
    let kind = match (mode, words.next()?) {
        ("100644" | "100664", "blob") => FileKind::File { executable: false },
        ("100755", "blob") => FileKind::File { executable: true },
        ("120000", "blob") => FileKind::Symlink,
        ("160000", "commit") => FileKind::Submodule,
        _ => return None,
    };
    let id = words.next()?.parse().ok()?;
    let size = match words.next()? {
        "-" if kind == FileKind::Submodule => 0,
        digits => digits.parse().ok()?,
    };
    Some(CommittedFile { kind, id, size, path: line[tab + 1..].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_with_any_path() {
        let id = "1".repeat(40);
        let line = format!("100755 blob {id}      12\ta\tb\nc");
        let file = entry(line.as_bytes()).unwrap();
        assert_eq!((file.kind, file.size), (FileKind::File { executable: true }, 12));
        assert_eq!(file.path, b"a\tb\nc");
        let line = format!("160000 commit {id}       -\tlib");
        assert_eq!(entry(line.as_bytes()).unwrap().kind, FileKind::Submodule);
        for bad in [
            format!("100600 blob {id} 1\ta"),
            format!("120000 tree {id} 1\ta"),
            format!("100644 blob {id} -\ta"),
            format!("100644 blob {id} 1 a"),
            "100644 blob 12 1\ta".to_owned(),
        ] {
            assert_eq!(entry(bad.as_bytes()), None, "{bad}");
        }
    }
}
