//! The range that `engines.node` of a `package.json` asks for, in npm's syntax.

use crate::Version;

/// A range of Node.js versions: `>=18`, `^22.1`, `18.x || 22.x`, `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnginesRange(nodejs_semver::Range);

impl EnginesRange {
    /// Reads a range; a text that npm would not understand either gives none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // For npm no text at all is the range of everything.
        if text.is_empty() {
            return Some(Self(nodejs_semver::Range::any()));
        }
        // The parser skips words that npm would refuse: `node 22` is not the range `22`.
        let begins_well =
            |word: &str| word.starts_with(|c: char| c.is_ascii_digit() || "<>=^~|-*xXvV".contains(c));
        let parsed = nodejs_semver::Range::parse(text).ok().map(Self);
        parsed.filter(|_| text.split_whitespace().all(begins_well))
    }

    /// Tells whether a version lies in the range.
    #[must_use]
    pub fn is_satisfied_by(&self, version: Version) -> bool {
        self.0.satisfies(&nodejs_semver::Version::from((version.major, version.minor, version.patch)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // engines 3
    #[test]
    fn ranges_are_those_of_npm() {
        for (range, version, satisfied) in [
            (">=18", "22.14.0", true),
            (">=18 <21", "22.14.0", false),
            ("^22.1", "22.14.0", true),
            ("^22.15", "22.14.0", false),
            ("18.x || 22.x", "22.14.0", true),
            ("18.x || 20.x", "22.14.0", false),
            ("22", "22.14.0", true),
            ("*", "22.14.0", true),
            ("", "22.14.0", true),
            ("x", "22.14.0", true),
            ("~22.14", "22.14.0", true),
            ("18 - 22", "22.14.0", true),
            ("v22.14.0", "22.14.0", true),
            ("=22.14.0", "22.14.0", true),
            (">=99999", "22.14.0", false),
        ] {
            let parsed = EnginesRange::parse(range).unwrap();
            assert_eq!(parsed.is_satisfied_by(version.parse().unwrap()), satisfied, "{range}");
        }
    }

    #[test]
    fn a_text_that_is_no_range_gives_none() {
        for text in ["lts/iron", "the newest", "node 22", ">=a"] {
            assert_eq!(EnginesRange::parse(text), None, "{text}");
        }
    }
}
