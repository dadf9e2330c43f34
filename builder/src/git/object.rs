//! Names of objects, and what a commit says.

use std::fmt;
use std::str::FromStr;

use super::error::GitError;

/// The full name of an object: 40 or 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ObjectId(String);

impl ObjectId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is all zeros, which stands for no object.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0.bytes().all(|digit| digit == b'0')
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is no full name of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no full object name")]
pub struct NoObjectId;

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> Self {
        id.0
    }
}

impl TryFrom<String> for ObjectId {
    type Error = NoObjectId;

    fn try_from(text: String) -> Result<Self, NoObjectId> {
        text.parse()
    }
}

impl FromStr for ObjectId {
    type Err = NoObjectId;

    fn from_str(text: &str) -> Result<Self, NoObjectId> {
        let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if digits && matches!(text.len(), 40 | 64) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(NoObjectId)
        }
    }
}

/// What a commit says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its name.
    pub id: ObjectId,
    /// The tree that it holds.
    pub tree: ObjectId,
    /// When it was committed, in seconds since 1970.
    pub time: i64,
}

impl Commit {
    /// Reads a commit as git stores it.
    pub(crate) fn parse(id: ObjectId, bytes: &[u8]) -> Result<Self, GitError> {
        let text = String::from_utf8_lossy(bytes);
        let header = || text.lines().take_while(|line| !line.is_empty());
        let tree = header().find_map(|line| line.strip_prefix("tree ")?.parse().ok());
        // The name may hold anything but `>`, so the time is looked for behind the last one.
        let committer = header().find_map(|line| line.strip_prefix("committer ")?.rsplit_once('>'));
        let time = committer.and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<i64>().ok());
        match (tree, time) {
            (Some(tree), Some(time)) => Ok(Self { id, tree, time }),
            _ => Err(GitError::Malformed { what: format!("commit {id}") }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_name_has_forty_or_sixty_four_digits() {
        let upper = "A".repeat(40);
        assert_eq!(upper.parse::<ObjectId>().unwrap().as_str(), "a".repeat(40));
        assert!("b".repeat(64).parse::<ObjectId>().is_ok());
        assert!("0".repeat(40).parse::<ObjectId>().unwrap().is_null());
        assert!(!upper.parse::<ObjectId>().unwrap().is_null());
        for bad in ["", "abc", &"a".repeat(39), &"a".repeat(41), &"g".repeat(40)] {
            assert!(bad.parse::<ObjectId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_commit_is_read_up_to_its_message() {
        let id: ObjectId = "1".repeat(40).parse().unwrap();
        let tree = "2".repeat(40);
        let text = format!(
            "tree {tree}\nauthor A <a> 1 +0000\ncommitter B > C <b> 1700000000 +0100\n\ncommitter D <d> 5 +0000\n"
        );
        let commit = Commit::parse(id.clone(), text.as_bytes()).unwrap();
        assert_eq!((commit.tree.as_str(), commit.time), (tree.as_str(), 1_700_000_000));
        assert!(Commit::parse(id, b"tree 1\n\n").is_err());
    }
}
