//! Names and kinds of objects, and how a name follows from the content.

use sha2::Digest as _;

use super::reftable::hexadecimal;
use crate::git::ObjectId;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    Tree,
    Blob,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
        }
    }
}

/// Computes the name of an object: with SHA-256 where names are that long, else with SHA-1, as git does.
///
/// Two contents of one SHA-1 can be made at great cost. Whoever makes them for a commit of their own gains nothing here:
/// the digest of the source is in the image as well.
pub(super) enum Naming {
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
}

impl Naming {
    /// Begins with the kind and the length of the content.
    pub(super) fn begin(like: &ObjectId, kind: Kind, length: u64) -> Self {
        let mut naming = match like.as_str().len() {
            64 => Self::Sha256(sha2::Sha256::new()),
            _ => Self::Sha1(sha1::Sha1::new()),
        };
        naming.update(format!("{} {length}\0", kind.name()).as_bytes());
        naming
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// Whether the name is the expected one.
    pub(super) fn is(self, expected: &ObjectId) -> bool {
        let digits = match self {
            Self::Sha1(hasher) => hexadecimal(&hasher.finalize()),
            Self::Sha256(hasher) => hexadecimal(&hasher.finalize()),
        };
        digits == expected.as_str()
    }
}

/// Whether a content has a name.
pub(super) fn is_named(id: &ObjectId, kind: Kind, content: &[u8]) -> bool {
    let mut naming = Naming::begin(id, kind, content.len() as u64);
    naming.update(content);
    naming.is(id)
}

/// The bytes of a name.
pub(super) fn binary(id: &ObjectId) -> Vec<u8> {
    let digits = id.as_str().as_bytes();
    let digit =
        |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, letter| byte << 4 | digit(*letter))).collect()
}
