//! References to images, `registry/repository:tag` or `@digest`, as the distribution specification names them.

pub use oci_spec::distribution::Reference;

/// Why a text is no reference.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not an image reference (`registry/repository:tag`)")]
pub struct ReferenceError {
    /// The text that was given.
    pub text: String,
    /// What the parser found.
    #[source]
    pub source: oci_spec::distribution::ParseError,
}

/// Parses a reference. A missing registry is Docker Hub, a missing tag is `latest`.
pub fn parse(text: &str) -> Result<Reference, ReferenceError> {
    text.parse().map_err(|source| ReferenceError { text: text.to_owned(), source })
}

/// The registry as users name it, with the spellings of Docker Hub made one.
#[must_use]
pub fn registry_of(reference: &Reference) -> &str {
    match reference.registry() {
        "index.docker.io" | "registry-1.docker.io" | "docker.io" => "docker.io",
        other => other,
    }
}

/// Whether two references are in the same registry, so that a blob of one can be mounted into the other.
#[must_use]
pub fn same_registry(a: &Reference, b: &Reference) -> bool {
    registry_of(a) == registry_of(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_without_registry_is_docker_hubs_and_without_tag_latest() {
        let reference = parse("debian").unwrap();
        assert_eq!(reference.whole(), "docker.io/library/debian:latest");
        assert!(same_registry(&reference, &parse("index.docker.io/team/app:1").unwrap()));
        assert!(!same_registry(&reference, &parse("docker.io.evil.example/team/app:1").unwrap()));
    }

    #[test]
    fn a_bad_reference_is_named_in_the_error() {
        let error = parse("registry.example/Upper:1").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`registry.example/Upper:1` is not an image reference (`registry/repository:tag`)"
        );
    }
}
