//! What a user calls the state of a repository that is wanted.

use std::fmt;
use std::str::FromStr;

use super::object::ObjectId;

/// A state of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Revision {
    /// What the remote's `HEAD` names: its default branch.
    #[default]
    Head,
    /// A branch or a tag, by its short name or as `refs/…`, or the first digits of a commit.
    Name(String),
    /// An object by its full name.
    Id(ObjectId),
}

/// Why a text names no revision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` names no branch, tag or commit: {reason}")]
pub struct RevisionError {
    /// What was given.
    pub given: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl FromStr for Revision {
    type Err = RevisionError;

    /// Follows the rules of `git check-ref-format`; an expression such as `main~2` names no single thing to fetch.
    fn from_str(text: &str) -> Result<Self, RevisionError> {
        let fail = |reason| Err(RevisionError { given: text.escape_debug().to_string(), reason });
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        if text == "HEAD" {
            return Ok(Self::Head);
        }
        let bad = |c: char| c.is_control() || " ~^:?*[\\\u{7f}".contains(c);
        let parts = || text.split('/');
        match text {
            "" => fail("it is empty"),
            "@" => fail("`@` alone is no name"),
            _ if text.starts_with('-') => fail("it begins with `-`"),
            _ if text.contains(bad) => fail("it has a character that names of references cannot have"),
            _ if text.contains("..") || text.contains("@{") => fail("it is an expression, not a name"),
            _ if parts().any(|part| part.is_empty() || part.starts_with('.') || is_lock(part)) => {
                fail("a part of it is empty, begins with a dot or ends in `.lock`")
            }
            _ if text.ends_with('.') => fail("it ends in a dot"),
            _ => Ok(Self::Name(text.to_owned())),
        }
    }
}

/// Git keeps locks under such names.
fn is_lock(part: &str) -> bool {
    part.strip_suffix("lock").is_some_and(|name| name.ends_with('.'))
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("HEAD"),
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => id.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_tags_and_commits_are_told_apart() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(id.parse(), Ok(Revision::Id(id.parse().unwrap())));
        assert_eq!("HEAD".parse(), Ok(Revision::Head));
        for name in ["main", "feature/x-1", "v1.2.3", "refs/tags/v1", "abc1234", "@team", "größe"] {
            assert_eq!(name.parse(), Ok(Revision::Name(name.to_owned())), "{name}");
        }
    }

    #[test]
    fn what_git_would_take_for_an_option_or_an_expression_is_refused() {
        for bad in [
            "",
            "-x",
            "--upload-pack=sh",
            "a b",
            "a..b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "a\n",
            "@",
            "a@{1}",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
        ] {
            assert!(bad.parse::<Revision>().is_err(), "{bad:?}");
        }
    }
}
