//! Versions of languages, and the requests for them that an app file makes.

use std::fmt;
use std::str::FromStr;

use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

/// A language version, three whole numbers: `3.13.5`. Never a decimal: `3.10` is above `3.9`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    /// The first number.
    pub major: u64,
    /// The second number.
    pub minor: u64,
    /// The third number.
    pub patch: u64,
}

impl Version {
    /// Returns the three numbers in order.
    #[must_use]
    pub fn components(self) -> [u64; 3] {
        [self.major, self.minor, self.patch]
    }

    /// Tells whether this version begins with these numbers, component by component.
    #[must_use]
    pub fn begins_with(self, components: &[u64]) -> bool {
        self.components().starts_with(components)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        match numbers(text).as_deref() {
            Some(&[major, minor, patch]) => Ok(Self { major, minor, patch }),
            _ => Err(VersionError::new(text)),
        }
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What `runtime-version` asks for: `3`, `3.13`, `3.13.5`, `3.13.5-2` or `3.13.5-2@sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRequest {
    text: String,
    components: Vec<u64>,
    build: Option<u32>,
    digest: Option<Digest>,
}

impl VersionRequest {
    /// Returns the request as it was typed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the one to three numbers that are fixed.
    #[must_use]
    pub fn components(&self) -> &[u64] {
        &self.components
    }

    /// Returns the build number, if one is pinned.
    #[must_use]
    pub fn build(&self) -> Option<u32> {
        self.build
    }

    /// Returns the manifest digest, if one is pinned.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }
}

impl FromStr for VersionRequest {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        parse_request(text).ok_or_else(|| VersionError::new(text))
    }
}

impl fmt::Display for VersionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

fn parse_request(text: &str) -> Option<VersionRequest> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) if digest.starts_with("sha256:") => (rest, Some(digest.parse().ok()?)),
        Some(_) => return None,
        None => (text, None),
    };
    let (rest, build) = match rest.split_once('-') {
        Some((rest, build)) => (rest, Some(u32::try_from(number(build)?).ok()?)),
        None => (rest, None),
    };
    let components = numbers(rest)?;
    let complete = components.len() == 3 && build != Some(0);
    let allowed = (build.is_none() || complete) && (digest.is_none() || build.is_some());
    allowed.then(|| VersionRequest { text: text.to_owned(), components, build, digest })
}

/// Reads one to three numbers with dots between them.
pub(crate) fn numbers(text: &str) -> Option<Vec<u64>> {
    let numbers = text.split('.').map(number).collect::<Option<Vec<_>>>()?;
    (1..=3).contains(&numbers.len()).then_some(numbers)
}

/// Reads a decimal number without sign, space or leading zero.
pub(crate) fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let canonical = plain && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok()).flatten()
}

/// A text that is not a version, with what was probably meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a version: expected `major[.minor[.patch[-build]]]`")]
pub struct VersionError {
    /// What was given.
    pub text: String,
    /// The nearest valid form.
    pub meant: Meant,
}

/// What an invalid version probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// This valid version: `18` for `18.x`, `22.14.0` for `v22.14.0`.
    Version(String),
    /// The newest one, which is what no version at all gives: `latest`, `*`, `lts`.
    Newest,
    /// A build number or digest after a version that is not complete; they need all three numbers.
    Complete,
    /// Nothing that could be told.
    Unknown,
}

impl VersionError {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), meant: meant(text) }
    }

    /// Says what to write instead.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match &self.meant {
            Meant::Version(version) => Some(format!("write `{version}`")),
            Meant::Newest => Some("remove the key: without it the newest version is taken".to_owned()),
            Meant::Complete => {
                Some("a build number follows a full version, and a digest follows a build number".to_owned())
            }
            Meant::Unknown => None,
        }
    }
}

fn meant(text: &str) -> Meant {
    let trimmed = text.trim().trim_start_matches(['v', 'V', '=', '^', '~', '>', '<', ' ']);
    let word = trimmed.to_ascii_lowercase();
    if matches!(word.as_str(), "" | "*" | "x" | "latest" | "stable" | "current" | "newest" | "any")
        || word.starts_with("lts")
    {
        return if text.is_empty() { Meant::Unknown } else { Meant::Newest };
    }
    if is_incomplete_pin(text) {
        return Meant::Complete;
    }
    let digits = |part: &str| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        let stripped = digits.trim_start_matches('0');
        match (digits.is_empty(), stripped.is_empty()) {
            (true, _) => None,
            (false, true) => Some("0".to_owned()),
            (false, false) => Some(stripped.to_owned()),
        }
    };
    let version = version_in(&word);
    let parts = version.split('.').map_while(digits).take(3).collect::<Vec<_>>();
    if parts.is_empty() { Meant::Unknown } else { Meant::Version(parts.join(".")) }
}

/// Takes the version out of the name of a runtime, and of texts such as `python-3.13.5`.
fn version_in(word: &str) -> String {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '-');
    // A name joins major and minor: `python313`.
    match rest.split_at_checked(1) {
        Some((major, minor)) if word.starts_with("python") && !rest.contains('.') && !minor.is_empty() => {
            format!("{major}.{minor}")
        }
        _ => rest.to_owned(),
    }
}

fn is_incomplete_pin(text: &str) -> bool {
    let rest = text.split('@').next().unwrap_or(text);
    let (version, build) = rest.split_once('-').map_or((rest, None), |(v, b)| (v, Some(b)));
    let pinned = build.is_some() || text.contains('@');
    pinned && numbers(version).is_some_and(|n| n.len() < 3 || build.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    // row 15
    #[test]
    fn components_are_numbers_and_not_decimals() {
        let request: VersionRequest = "3.10".parse().unwrap();
        assert_eq!(request.components(), [3, 10]);
        assert!("3.10.0".parse::<Version>().unwrap() > "3.9.20".parse::<Version>().unwrap());
        assert!(!"3.1.0".parse::<Version>().unwrap().begins_with(request.components()));
    }

    // lock R6
    #[test]
    fn every_level_of_the_grammar_is_read() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, components, build) in [
            ("3", &[3][..], None),
            ("3.13", &[3, 13], None),
            ("3.13.5", &[3, 13, 5], None),
            ("3.13.5-2", &[3, 13, 5], Some(2)),
        ] {
            let request: VersionRequest = text.parse().unwrap();
            assert_eq!((request.components(), request.build(), request.text()), (components, build, text));
        }
        let request: VersionRequest = format!("3.13.5-2@{digest}").parse().unwrap();
        assert_eq!(request.digest().map(ToString::to_string), Some(digest));
    }

    // lock R6
    #[test]
    fn everything_else_is_refused_with_the_nearest_valid_form() {
        let version = |text: &str| Meant::Version(text.to_owned());
        for (text, meant) in [
            ("latest", Meant::Newest),
            ("*", Meant::Newest),
            ("lts/iron", Meant::Newest),
            ("18.x", version("18")),
            ("18.*", version("18")),
            ("v22.14.0", version("22.14.0")),
            (">=18", version("18")),
            ("^22.1", version("22.1")),
            ("03.13", version("3.13")),
            ("3.013", version("3.13")),
            ("3.13.5.1", version("3.13.5")),
            ("3.13-2", Meant::Complete),
            ("3.13.5@sha256:00", Meant::Complete),
            ("3.13.5-0", version("3.13.5")),
            ("3.13.5-x", version("3.13.5")),
            ("3.13.5-2@md5:00", version("3.13.5")),
            ("3.", version("3")),
            (" 3", version("3")),
            ("+3", Meant::Unknown),
            ("", Meant::Unknown),
            ("snake", Meant::Unknown),
        ] {
            let error = text.parse::<VersionRequest>().unwrap_err();
            assert_eq!(error, VersionError { text: text.to_owned(), meant }, "{text}");
        }
    }

    #[test]
    fn a_number_too_large_is_refused() {
        assert!("99999999999999999999".parse::<VersionRequest>().is_err());
        assert!("1.2.3-4294967296".parse::<VersionRequest>().is_err());
    }
}
