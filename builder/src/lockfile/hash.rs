//! What holds a package to its bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What holds a package to its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// Nothing: whatever its place serves is taken.
    ByNothing,
    /// A hash for which other bytes can be made: MD5 or SHA-1.
    Weakly,
    /// SHA-224 or stronger.
    Firmly,
}

impl Held {
    /// What the hash of an algorithm holds, if it is as long as those of that algorithm are.
    fn by(algorithm: &str, length: usize) -> Self {
        match (algorithm, length) {
            ("sha224", 28) | ("sha256", 32) | ("sha384", 48) | ("sha512", 64) => Self::Firmly,
            ("md5", 16) | ("sha1", 20) => Self::Weakly,
            _ => Self::ByNothing,
        }
    }

    /// What an attribute of subresource integrity holds: of several hashes the strongest counts, as installers have it,
    /// and those that are malformed count for nothing.
    #[must_use]
    pub fn by_integrity(text: &str) -> Self {
        let hash = |part: &str| {
            let (algorithm, digest) = part.split('?').next()?.split_once('-')?;
            let digest = STANDARD.decode(digest).ok()?;
            Some(Self::by(algorithm, digest.len()))
        };
        text.split_ascii_whitespace().filter_map(hash).max().unwrap_or(Self::ByNothing)
    }

    /// What a hash in hexadecimal digits holds, with its algorithm before a colon or an equals sign: `sha256:…`.
    #[must_use]
    pub fn by_named(text: &str) -> Self {
        let Some((algorithm, digest)) = text.split_once([':', '=']) else { return Self::ByNothing };
        Self::by_hex(&algorithm.trim().to_ascii_lowercase(), digest.trim())
    }

    /// What hexadecimal digits of an algorithm hold.
    #[must_use]
    pub fn by_hex(algorithm: &str, digits: &str) -> Self {
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && digits.len().is_multiple_of(2);
        if is_hex { Self::by(algorithm, digits.len() / 2) } else { Self::ByNothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_hash_of_a_known_algorithm_holds() {
        let sha512 = format!("sha512-{}", STANDARD.encode([7; 64]));
        let sha1 = format!("sha1-{}", STANDARD.encode([7; 20]));
        assert_eq!(Held::by_integrity(&sha512), Held::Firmly);
        assert_eq!(Held::by_integrity(&sha1), Held::Weakly);
        assert_eq!(Held::by_integrity(&format!("{sha1} {sha512}?x")), Held::Firmly);
        let short = format!("sha512-{}", STANDARD.encode([7; 20]));
        for none in ["", "sha512-", "sha512-!!!!", "sha512", "sha3-AAAA", &short, "-", "sha512-A-B"] {
            assert_eq!(Held::by_integrity(none), Held::ByNothing, "{none}");
        }
        assert_eq!(Held::by_named(&format!("sha256:{}", "ab".repeat(32))), Held::Firmly);
        assert_eq!(Held::by_named(&format!("md5={}", "ab".repeat(16))), Held::Weakly);
        for none in
            ["sha256:abc", "sha256:", &"ab".repeat(32), "sha256:é", &format!("sha256:{}", "zz".repeat(32))]
        {
            assert_eq!(Held::by_named(none), Held::ByNothing, "{none}");
        }
    }
}
