//! Platforms as the catalog writes them: `linux/amd64`.

use std::fmt;
use std::str::FromStr;

use oci_spec::image::{Arch, Os, Platform, PlatformBuilder};
use serde::{Deserialize, Serialize};

/// An operating system, an architecture and perhaps a variant: `linux/amd64`, `linux/arm/v7`.
///
/// The same three facts as in the image specification's `Platform`, but ordered, so that it can be a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlatformKey(String);

/// A text that is not a platform.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a platform such as `linux/amd64`")]
pub struct PlatformError {
    /// What was given.
    pub text: String,
}

impl PlatformKey {
    /// Returns the platform as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the operating system, as in `linux`.
    #[must_use]
    pub fn os(&self) -> Os {
        self.part(0).map_or(Os::Linux, Os::from)
    }

    /// Returns the architecture, as in `arm64`.
    #[must_use]
    pub fn architecture(&self) -> Arch {
        self.part(1).map_or(Arch::Amd64, Arch::from)
    }

    /// Returns the variant of the architecture, as in `v7`.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        self.part(2)
    }

    fn part(&self, index: usize) -> Option<&str> {
        self.0.split('/').nth(index)
    }
}

impl FromStr for PlatformKey {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts = text.split('/').collect::<Vec<_>>();
        let plain = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if (2..=3).contains(&parts.len()) && parts.iter().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PlatformError { text: text.to_owned() })
        }
    }
}

impl TryFrom<String> for PlatformKey {
    type Error = PlatformError;

    fn try_from(text: String) -> Result<Self, PlatformError> {
        text.parse()
    }
}

impl From<PlatformKey> for String {
    fn from(key: PlatformKey) -> Self {
        key.0
    }
}

impl From<&Platform> for PlatformKey {
    fn from(platform: &Platform) -> Self {
        let variant = platform.variant().as_ref().map(|variant| format!("/{variant}"));
        Self(format!("{}/{}{}", platform.os(), platform.architecture(), variant.unwrap_or_default()))
    }
}

impl From<&PlatformKey> for Platform {
    fn from(key: &PlatformKey) -> Self {
        let builder = PlatformBuilder::default().os(key.os()).architecture(key.architecture());
        match key.variant() {
            Some(variant) => builder.variant(variant),
            None => builder,
        }
        .build()
        .expect("system and architecture are set")
    }
}

impl fmt::Display for PlatformKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_survives_the_way_through_the_specification_and_back() {
        for text in ["linux/amd64", "linux/arm64", "linux/arm/v7"] {
            let key: PlatformKey = text.parse().unwrap();
            assert_eq!(PlatformKey::from(&Platform::from(&key)), key);
        }
    }

    #[test]
    fn other_texts_are_no_platforms() {
        for text in ["linux", "linux/", "/amd64", "Linux/amd64", "linux/arm/v7/x", ""] {
            assert_eq!(text.parse::<PlatformKey>(), Err(PlatformError { text: text.to_owned() }));
        }
    }
}
