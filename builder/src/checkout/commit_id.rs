//! The name of a commit.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// The full name of a commit: 40 lower-case hexadecimal digits, or 64 in a repository that uses SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct CommitId(String);

/// What is no full name of a commit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a commit is named by 40 or 64 hexadecimal digits")]
pub struct CommitIdError;

impl CommitId {
    /// The hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommitId {
    type Err = CommitIdError;

    fn from_str(text: &str) -> Result<Self, CommitIdError> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if matches!(text.len(), 40 | 64) && text.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(CommitIdError)
        }
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_has_forty_or_sixty_four_digits() {
        for digits in [40, 64] {
            assert_eq!("a".repeat(digits).parse::<CommitId>().unwrap().as_str(), "a".repeat(digits));
        }
        for bad in ["", "abc", &"a".repeat(41), &"A".repeat(40), &"g".repeat(40), &"é".repeat(20)] {
            assert_eq!(bad.parse::<CommitId>(), Err(CommitIdError), "{bad}");
        }
    }
}
