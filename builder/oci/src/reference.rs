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
    if let Some(plain) = plain(text) {
        return Ok(plain);
    }
    text.parse().map_err(|source| ReferenceError { text: text.to_owned(), source })
}

/// A reference as most are: `host/repository:tag` or `@sha256:…`, with a host that cannot be anything else, in plain
/// letters. The full grammar takes a regular expression whose making costs more time than everything else before the
/// first request.
fn plain(text: &str) -> Option<Reference> {
    let (host, rest) = text.split_once('/')?;
    let (name, port) = host.split_once(':').unwrap_or((host, "1"));
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        !label.is_empty() && label.bytes().all(inner)
    };
    let is_host = (name.contains('.') || host.contains(':') || name == "localhost")
        && !name.ends_with("docker.io")
        && name.split('.').all(is_label)
        && !port.is_empty()
        && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_repository =
        |path: &str| path.len() <= 255 && path.split('/').all(|part| part.split('-').all(is_label));
    if !is_host {
        return None;
    }
    let (path, tag) = match rest.split_once('@') {
        Some((path, digest)) => {
            let hex = digest.strip_prefix("sha256:")?;
            let is_hex = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            let reference = || Reference::with_digest(host.to_owned(), path.to_owned(), digest.to_owned());
            return (is_hex && is_repository(path)).then(reference);
        }
        None => rest.split_once(':').unwrap_or((rest, "latest")),
    };
    let is_tag = !tag.is_empty()
        && tag.len() <= 128
        && !tag.starts_with(['.', '-'])
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    (is_tag && is_repository(path))
        .then(|| Reference::with_tag(host.to_owned(), path.to_owned(), tag.to_owned()))
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

    proptest::proptest! {
        #[test]
        fn a_plain_reference_is_what_the_full_grammar_says(
            text in "(localhost|registry\\.example\\.com|127\\.0\\.0\\.1|[a-z.]{1,6}|docker\\.io)(:[0-9]{0,5})?(/[a-z0-9._-]{0,5}){0,3}(:[a-zA-Z0-9._-]{0,6}|@sha256:[0-9a-f]{64}|@sha256:[0-9a-fx]{3})?"
        ) {
            if let Some(plain) = plain(&text) {
                proptest::prop_assert_eq!(text.parse::<Reference>(), Ok(plain));
            }
        }
    }

    #[test]
    fn what_most_references_look_like_is_plain() {
        let digest = format!("registry.example.com/a@sha256:{}", "0".repeat(64));
        for text in [
            "localhost:5000/team/my-app:1",
            "registry.example.com/app",
            "10.0.0.1:80/a/b/c:v1.2_x-y",
            &digest,
        ] {
            assert_eq!(plain(text), Some(text.parse().unwrap()), "{text}");
        }
        for text in [
            "debian",
            "team/app:1",
            "docker.io/app:1",
            "index.docker.io/app",
            "Registry.example/app",
            "a.b/c//d",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
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
