//! The processor architectures for which runtimes are made, under the names that each side uses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An architecture; displayed as Debian and the OCI documents name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

/// A platform for which there are no runtimes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("platform `{platform}` is not one of `linux/amd64`, `linux/arm64`")]
pub struct PlatformError {
    /// The platform that was asked for.
    pub platform: String,
}

impl Arch {
    /// The name that npm packages carry.
    #[must_use]
    pub fn npm(self) -> &'static str {
        match self {
            Self::Amd64 => "x64",
            Self::Arm64 => "arm64",
        }
    }

    /// The directory of multi-arch libraries below `usr/lib`.
    #[must_use]
    pub fn multiarch(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }

    /// The platform, `linux/amd64`.
    #[must_use]
    pub fn platform(self) -> &'static str {
        match self {
            Self::Amd64 => "linux/amd64",
            Self::Arm64 => "linux/arm64",
        }
    }

    /// The architecture of a platform such as `linux/amd64`.
    pub fn of_platform(platform: &str) -> Result<Self, PlatformError> {
        match platform {
            "linux/amd64" => Ok(Self::Amd64),
            "linux/arm64" | "linux/arm64/v8" => Ok(Self::Arm64),
            _ => Err(PlatformError { platform: platform.to_owned() }),
        }
    }
}

impl FromStr for Arch {
    type Err = PlatformError;

    fn from_str(name: &str) -> Result<Self, PlatformError> {
        Self::of_platform(&format!("linux/{name}"))
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        })
    }
}
