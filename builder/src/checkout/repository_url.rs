//! Where a repository is kept, fit to be published.

use std::fmt;

use serde::Serialize;
use url::Url;

/// More than any address has.
const LENGTH: usize = 2048;

/// The address of a repository, without user, password, query or fragment: it stands in images that anybody may read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RepositoryUrl(String);

impl RepositoryUrl {
    /// Reads the address of a remote as git has it; none for a place on this machine, or what is no address.
    #[must_use]
    pub fn parse(remote: &str) -> Option<Self> {
        if remote.len() > LENGTH || remote.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return None;
        }
        let address = match remote.split_once("://") {
            // The address of a file; after `https:` the slashes would count as one.
            Some((_, rest)) if rest.starts_with('/') => return None,
            Some(_) => remote.to_owned(),
            None => scp_like(remote)?,
        };
        let mut url = Url::parse(&address).ok()?;
        let is_remote = matches!(url.scheme(), "https" | "http" | "ssh" | "git" | "git+ssh" | "git+https");
        if !is_remote || url.host_str().is_none_or(str::is_empty) {
            return None;
        }
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(Self(url.to_string()))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `user@host:path` as an address. As git reads it, a slash before the colon makes it a path of this machine, and two
/// colons name a program (`ext::…`).
fn scp_like(remote: &str) -> Option<String> {
    let (host, path) = remote.split_once(':')?;
    if host.is_empty() || host.contains('/') || path.is_empty() || path.starts_with(':') {
        return None;
    }
    Some(format!("ssh://{host}/{}", path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(remote: &str) -> Option<String> {
        RepositoryUrl::parse(remote).map(|url| url.to_string())
    }

    #[test]
    fn credentials_and_queries_are_taken_off() {
        for (remote, published) in [
            ("https://git.example.com/team/app.git", "https://git.example.com/team/app.git"),
            ("https://user:secret@git.example.com/team/app.git", "https://git.example.com/team/app.git"),
            (
                "https://secret@git.example.com:8443/app?token=secret#secret",
                "https://git.example.com:8443/app",
            ),
            ("ssh://git@git.example.com:2222/team/app", "ssh://git.example.com:2222/team/app"),
            ("git@git.example.com:team/app.git", "ssh://git.example.com/team/app.git"),
            ("git.example.com:/srv/app.git", "ssh://git.example.com/srv/app.git"),
        ] {
            assert_eq!(parsed(remote).as_deref(), Some(published), "{remote}");
        }
    }

    #[test]
    fn a_place_on_this_machine_is_not_published() {
        for remote in [
            "/srv/git/app.git",
            "../app.git",
            "./host:path",
            "file:///srv/git/app.git",
            "ext::sh -c true",
            "ext::true",
            "app",
            "",
            "https:///app",
            "https://host/a\nb",
            &format!("https://host/{}", "a".repeat(LENGTH)),
        ] {
            assert_eq!(parsed(remote), None, "{remote}");
        }
    }
}
