//! Where an image goes, as the command line says it.

use std::fmt;
use std::path::PathBuf;

use oci_spec::distribution::Reference;

/// A place for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A repository of a registry.
    Registry(Reference),
    /// An OCI image layout directory, and the tag that the image gets there.
    Layout {
        /// The directory.
        directory: PathBuf,
        /// The tag.
        tag: String,
    },
    /// A tar archive of an OCI image layout.
    OciArchive {
        /// The file.
        file: PathBuf,
        /// The tag.
        tag: String,
    },
    /// An archive for `docker load` and `podman load`.
    DockerArchive {
        /// The file.
        file: PathBuf,
        /// The name that the image gets when it is loaded.
        name: Option<String>,
    },
}

/// The tag of an image that was given none.
pub const DEFAULT_TAG: &str = "latest";

/// Why a text names no place for an image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OutputError {
    /// The text before the first colon is not a kind of output.
    #[error(
        "`{given}` is not an output: expected `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker-archive:FILE[:NAME:TAG]`"
    )]
    Kind {
        /// What was given.
        given: String,
    },
    /// The path is missing.
    #[error("`{given}` names no path")]
    NoPath {
        /// What was given.
        given: String,
    },
    /// The tag is not one.
    #[error(
        "`{tag}` is not a tag: expected up to 128 letters, digits, `_`, `.` and `-`, the first no `.` or `-`"
    )]
    Tag {
        /// What was given.
        tag: String,
    },
    /// The reference is not one.
    #[error("`{given}` is not a reference of the form REGISTRY/REPOSITORY:TAG: {reason}")]
    Reference {
        /// What was given.
        given: String,
        /// What is wrong.
        reason: String,
    },
}

impl Output {
    /// Parses the value of `--output`.
    pub fn parse(given: &str) -> Result<Self, OutputError> {
        let (kind, rest) =
            given.split_once(':').ok_or_else(|| OutputError::Kind { given: given.to_owned() })?;
        let (path, name) = split_name(rest);
        if path.is_empty() {
            return Err(OutputError::NoPath { given: given.to_owned() });
        }
        match kind {
            "oci" => Ok(Self::Layout { directory: path.into(), tag: tag(name)? }),
            "oci-archive" => Ok(Self::OciArchive { file: path.into(), tag: tag(name)? }),
            "docker-archive" => Ok(Self::DockerArchive { file: path.into(), name: name.map(str::to_owned) }),
            _ => Err(OutputError::Kind { given: given.to_owned() }),
        }
    }

    /// The reference, if it is a repository.
    #[must_use]
    pub fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Registry(reference) => Some(reference),
            _ => None,
        }
    }

    /// Parses the value of `--tag`: a repository with a tag.
    pub fn parse_reference(given: &str) -> Result<Self, OutputError> {
        parse_reference(given).map(Self::Registry)
    }
}

/// Parses a reference whose registry is spelled out, so that a misspelt directory never becomes a public repository.
pub fn parse_reference(given: &str) -> Result<Reference, OutputError> {
    let fail = |reason: String| OutputError::Reference { given: given.to_owned(), reason };
    let host = given.split('/').next().unwrap_or_default();
    if !given.contains('/') || !(host.contains('.') || host.contains(':') || host == "localhost") {
        return Err(fail("the registry is missing".to_owned()));
    }
    lapstrake_oci::reference::parse(given).map_err(|error| fail(error.source.to_string()))
}

/// `PATH[:NAME]`: the name follows the first colon after the last slash of the path, and may itself hold slashes.
fn split_name(rest: &str) -> (&str, Option<&str>) {
    match rest.split_once(':') {
        Some((path, name)) if !name.is_empty() => (path, Some(name)),
        _ => (rest.strip_suffix(':').unwrap_or(rest), None),
    }
}

fn tag(name: Option<&str>) -> Result<String, OutputError> {
    let tag = name.unwrap_or(DEFAULT_TAG);
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let good =
        !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(letters) && !tag.starts_with(['.', '-']);
    if good { Ok(tag.to_owned()) } else { Err(OutputError::Tag { tag: tag.to_owned() }) }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "{reference}"),
            Self::Layout { directory, tag } => write!(f, "oci:{}:{tag}", directory.display()),
            Self::OciArchive { file, tag } => write!(f, "oci-archive:{}:{tag}", file.display()),
            Self::DockerArchive { file, name: Some(name) } => {
                write!(f, "docker-archive:{}:{name}", file.display())
            }
            Self::DockerArchive { file, name: None } => write!(f, "docker-archive:{}", file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read_with_and_without_a_tag() {
        assert_eq!(
            Output::parse("oci:/tmp/x").unwrap(),
            Output::Layout { directory: "/tmp/x".into(), tag: "latest".into() }
        );
        assert_eq!(
            Output::parse("oci:x:v1").unwrap(),
            Output::Layout { directory: "x".into(), tag: "v1".into() }
        );
        assert_eq!(
            Output::parse("oci-archive:a.tar").unwrap(),
            Output::OciArchive { file: "a.tar".into(), tag: "latest".into() }
        );
        let docker = Output::DockerArchive { file: "a.tar".into(), name: Some("team/app:1".into()) };
        assert_eq!(Output::parse("docker-archive:a.tar:team/app:1").unwrap(), docker);
    }

    #[test]
    fn what_is_no_output_is_refused() {
        for bad in ["dir", "docker:x", "oci:", "oci:x:a/b", "oci:x:-a", "oci::a"] {
            assert!(Output::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reference_needs_its_registry() {
        assert!(matches!(Output::parse_reference("localhost:5000/a:1").unwrap(), Output::Registry(_)));
        assert!(matches!(Output::parse_reference("r.example.com/team/app:1").unwrap(), Output::Registry(_)));
        for bad in ["app", "team/app:1", "r.example.com/UPPER:1", ""] {
            assert!(Output::parse_reference(bad).is_err(), "{bad}");
        }
    }
}
