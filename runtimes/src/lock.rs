//! Locks: the exact files of one layer on one architecture, without a host name.

use std::collections::BTreeMap;

use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::canonical::{canonical_json, pretty_json, sha256_of};

/// The version of the form of a lock.
pub const LOCK_SCHEMA: u32 = 1;

/// The exact files of one layer on one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Lock {
    /// The version of this form, [`LOCK_SCHEMA`].
    pub lock: u32,
    /// The layer, by its name within the operating system.
    pub layer: String,
    /// The operating system.
    pub os: String,
    /// The architecture.
    pub arch: Arch,
    /// Digest of the part of the recipe that made it: differs when the recipe has changed since.
    pub recipe: String,
    /// The suites that were read.
    pub suites: Vec<LockedSuite>,
    /// The packages that were asked for.
    pub wanted: Vec<String>,
    /// The packages that were left out.
    pub excluded: Vec<String>,
    /// The files, in the order in which they are merged.
    pub artifacts: Vec<Artifact>,
}

/// A suite's index as it was when the lock was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LockedSuite {
    /// Its name.
    pub name: String,
    /// The date of its release file, as text.
    pub date: String,
    /// The digest of its signed release file.
    pub in_release: String,
    /// The fingerprints of the keys that signed it, as apt verified them.
    pub key: String,
    /// Whether it was taken although it was past its `Valid-Until`.
    pub allow_stale: bool,
}

/// One file that a layer is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", tag = "kind")]
pub enum Artifact {
    /// A Debian package.
    #[serde(rename = "deb")]
    Deb(DebArtifact),
    /// A tarball of the npm registry.
    #[serde(rename = "npm")]
    Npm(NpmArtifact),
    /// A wheel of the Python index.
    #[serde(rename = "wheel")]
    Wheel(WheelArtifact),
}

/// A Debian package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebArtifact {
    /// The package.
    pub name: String,
    /// Its full version.
    pub version: String,
    /// Its architecture: that of the lock, or `all`.
    pub arch: String,
    /// The suite that has it.
    pub suite: String,
    /// Its path below the archive's base address.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// The source package.
    pub source: String,
}

/// A tarball of the npm registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NpmArtifact {
    /// The package.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest as the registry writes it, `sha512-…`.
    pub integrity: String,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A wheel of the Python index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WheelArtifact {
    /// The project.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The file's name.
    pub filename: String,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
}

impl Artifact {
    /// The package's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Deb(deb) => &deb.name,
            Self::Npm(npm) => &npm.name,
            Self::Wheel(wheel) => &wheel.name,
        }
    }

    /// The package's version.
    #[must_use]
    pub fn version(&self) -> &str {
        match self {
            Self::Deb(deb) => &deb.version,
            Self::Npm(npm) => &npm.version,
            Self::Wheel(wheel) => &wheel.version,
        }
    }

    /// The SHA-256 in hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        match self {
            Self::Deb(deb) => &deb.sha256,
            Self::Npm(npm) => &npm.sha256,
            Self::Wheel(wheel) => &wheel.sha256,
        }
    }

    /// The size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Deb(deb) => deb.size,
            Self::Npm(npm) => npm.size,
            Self::Wheel(wheel) => wheel.size,
        }
    }
}

/// Why a lock cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file is no JSON of the expected shape.
    #[error("lock `{name}` is not understood")]
    Syntax {
        /// The name of the lock.
        name: String,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// The file is of a form that this program does not know.
    #[error("lock `{name}` has schema {found}, and this program knows {LOCK_SCHEMA}")]
    Schema {
        /// The name of the lock.
        name: String,
        /// What it says.
        found: u32,
    },
    /// The file's name and what it says do not agree.
    #[error("lock `{name}` says that it is `{found}`")]
    Name {
        /// The name of the lock.
        name: String,
        /// What it says.
        found: String,
    },
    /// A digest or a path in it is no digest or path.
    #[error("lock `{name}`: artifact `{artifact}` has the {what} `{found}`")]
    Artifact {
        /// The name of the lock.
        name: String,
        /// The artifact.
        artifact: String,
        /// The field.
        what: &'static str,
        /// What it holds.
        found: String,
    },
}

impl Lock {
    /// Reads a lock and checks it against the name under which it is stored.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, LockError> {
        let lock: Self = serde_json::from_slice(bytes)
            .map_err(|source| LockError::Syntax { name: name.to_owned(), source })?;
        if lock.lock != LOCK_SCHEMA {
            return Err(LockError::Schema { name: name.to_owned(), found: lock.lock });
        }
        if lock.name() != name {
            return Err(LockError::Name { name: name.to_owned(), found: lock.name() });
        }
        for artifact in &lock.artifacts {
            check(name, artifact)?;
        }
        Ok(lock)
    }

    /// The name under which it is stored.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-{}-{}", self.layer, self.os, self.arch)
    }

    /// Its identity: the digest of its canonical form, however its file is laid out.
    #[must_use]
    pub fn digest(&self) -> Digest {
        sha256_of(&canonical_json(self))
    }

    /// The digest of what decides the layer's bytes: everything but when and from which index it was locked.
    #[must_use]
    pub fn content_digest(&self) -> Digest {
        let content = Self { suites: Vec::new(), ..self.clone() };
        sha256_of(&canonical_json(&content))
    }

    /// The file: sorted keys, one artifact's field on each line, so that changes can be reviewed.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        pretty_json(self)
    }

    /// All versions by package, for change lists.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<&str, &str> {
        self.artifacts.iter().map(|artifact| (artifact.name(), artifact.version())).collect()
    }
}

fn check(name: &str, artifact: &Artifact) -> Result<(), LockError> {
    let fail = |what, found: &str| LockError::Artifact {
        name: name.to_owned(),
        artifact: artifact.name().to_owned(),
        what,
        found: found.to_owned(),
    };
    let sha256 = artifact.sha256();
    if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err(fail("sha256", sha256));
    }
    let file = match artifact {
        Artifact::Deb(deb) => deb.path.as_str(),
        Artifact::Npm(npm) => npm.name.as_str(),
        Artifact::Wheel(wheel) => wheel.filename.as_str(),
    };
    let safe = file.split('/').all(|part| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._~@%:".contains(&b))
    });
    if safe { Ok(()) } else { Err(fail("path", file)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Lock {
        Lock {
            lock: LOCK_SCHEMA,
            layer: "python3.13".to_owned(),
            os: "debian13".to_owned(),
            arch: Arch::Amd64,
            recipe: "sha256:00".to_owned(),
            suites: vec![LockedSuite {
                name: "trixie".to_owned(),
                date: "Sat, 14 Nov 2026 10:00:00 UTC".to_owned(),
                in_release: "sha256:11".to_owned(),
                key: "ABCD".to_owned(),
                allow_stale: false,
            }],
            wanted: vec!["libc6".to_owned()],
            excluded: Vec::new(),
            artifacts: vec![Artifact::Deb(DebArtifact {
                name: "libc6".to_owned(),
                version: "2.41-12".to_owned(),
                arch: "amd64".to_owned(),
                suite: "trixie".to_owned(),
                path: "pool/main/g/glibc/libc6_2.41-12_amd64.deb".to_owned(),
                size: 7,
                sha256: "0".repeat(64),
                source: "glibc".to_owned(),
            })],
        }
    }

    #[test]
    fn a_lock_comes_back_from_its_file_as_it_was() {
        let lock = lock();
        assert_eq!(Lock::parse("python3.13-debian13-amd64", &lock.to_file()).unwrap(), lock);
    }

    #[test]
    fn a_new_index_alone_does_not_change_what_a_layer_is_made_of() {
        let mut later = lock();
        later.suites[0].date = "Sun, 15 Nov 2026 10:00:00 UTC".to_owned();
        assert_eq!(later.content_digest(), lock().content_digest());
        assert_ne!(later.digest(), lock().digest());
        let Artifact::Deb(deb) = &mut later.artifacts[0] else { unreachable!("it is a deb") };
        deb.sha256 = "1".repeat(64);
        assert_ne!(later.content_digest(), lock().content_digest());
    }

    #[test]
    fn a_path_that_leaves_the_archive_is_refused() {
        let text = String::from_utf8(lock().to_file()).unwrap().replace("pool/main", "pool/..");
        let error = Lock::parse("python3.13-debian13-amd64", text.as_bytes()).unwrap_err();
        assert!(matches!(error, LockError::Artifact { what: "path", .. }), "{error}");
    }

    #[test]
    fn a_lock_under_another_name_is_refused() {
        let error = Lock::parse("node22-debian13-amd64", &lock().to_file()).unwrap_err();
        assert!(matches!(error, LockError::Name { .. }), "{error}");
    }
}
