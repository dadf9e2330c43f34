//! References to images, `registry/repository:tag` or `@digest`, as the distribution specification names them.

use oci_spec::distribution::ParseError;
pub use oci_spec::distribution::Reference;

/// Why a text is no reference.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not an image reference (`registry/repository:tag`)")]
pub struct ReferenceError {
    /// The text that was given.
    pub text: String,
    /// What the parser found.
    #[source]
    pub source: ParseError,
}

/// Parses a reference. A missing registry is Docker Hub, a missing tag is `latest`.
pub fn parse(text: &str) -> Result<Reference, ReferenceError> {
    if let Some(plain) = plain(text) {
        return Ok(plain);
    }
    let refused = |source| ReferenceError { text: text.to_owned(), source };
    let reference: Reference = text.parse().map_err(refused)?;
    // The parser takes what no registry has: a digest in capitals names nothing, and a name with capitals cannot be.
    if reference.digest().is_some_and(|digest| digest.bytes().any(|byte| byte.is_ascii_uppercase())) {
        return Err(refused(ParseError::DigestInvalidFormat));
    }
    if reference.repository().bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(refused(ParseError::NameContainsUppercase));
    }
    Ok(reference)
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

    /// The shapes that the grammar of the reference implementation distinguishes, each with what it makes of it.
    #[test]
    fn cfg_06_references_get_the_verdicts_of_the_reference_implementation() {
        let (sha256, sha512) = ("f".repeat(64), "f".repeat(128));
        let long = |count: usize| format!("a/{}", "a".repeat(count));
        let good = [
            ("test_com", "docker.io/library/test_com:latest"),
            ("test.com:tag", "docker.io/library/test.com:tag"),
            ("test:5000/repo", "test:5000/repo:latest"),
            ("test:5000/repo:tag", "test:5000/repo:tag"),
            ("lowercase:Uppercase", "docker.io/library/lowercase:Uppercase"),
            ("a/a/a", "docker.io/a/a/a:latest"),
            ("sub-dom1.foo.com/bar/baz/quux", "sub-dom1.foo.com/bar/baz/quux:latest"),
            ("sub-dom1.foo.com/bar/baz/quux:some-long-tag", "sub-dom1.foo.com/bar/baz/quux:some-long-tag"),
            (
                "b.gcr.io/test.example.com/my-app:test.example.com",
                "b.gcr.io/test.example.com/my-app:test.example.com",
            ),
            ("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage:xn--n3h.com"),
            ("foo_bar.com:8080", "docker.io/library/foo_bar.com:8080"),
            ("foo/foo_bar.com:8080", "docker.io/foo/foo_bar.com:8080"),
            ("aa/asdf$$^/aa", ""),
            ("", ""),
            (":justtag", ""),
            ("@sha256:", ""),
            ("Uppercase:tag", ""),
            // There a registry whose name is one word in capitals, here a name that no registry has.
            ("Uppercase/lowercase:tag", ""),
            ("repo@sha256:ffff", ""),
            ("-test/a", ""),
            ("a//b", ""),
            ("a/b/", ""),
            ("a/../b", ""),
            ("a:-tag", ""),
            ("a:b:c", ""),
            ("a b", ""),
            ("https://a.b/c", ""),
            ("a.b/c\n", ""),
        ];
        let mut wrong = Vec::new();
        let mut judge = |text: &str, whole: &str| {
            let found = parse(text).map(|reference| reference.whole()).unwrap_or_default();
            if found != whole {
                wrong.push(format!("{text:?}: {found:?}, expected {whole:?}"));
            }
        };
        for (text, whole) in good {
            judge(text, whole);
        }
        for text in [
            format!("test:5000/repo@sha256:{sha256}"),
            format!("test:5000/repo:tag@sha256:{sha256}"),
            format!("test:5000/repo@sha512:{sha512}"),
        ] {
            judge(&text, &text);
        }
        judge(&format!("repo@sha256:{}", "F".repeat(64)), "");
        judge(&format!("repo@md5:{}", "f".repeat(32)), "");
        judge(&long(253), &format!("docker.io/{}:latest", long(253)));
        judge(&format!("{}:tag", long(260)), "");
        judge(&format!("a:{}", "t".repeat(128)), &format!("docker.io/library/a:{}", "t".repeat(128)));
        judge(&format!("a:{}", "t".repeat(129)), "");
        assert!(wrong.is_empty(), "{wrong:#?}");
        println!("figure CFG-06: {} references judged alike", good.len() + 9);
    }
}
