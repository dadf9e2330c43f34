//! Repositories by their names at a host: `github:OWNER/REPO`, `gitlab:GROUP/REPO`, `bitbucket:WORKSPACE/REPO`.

use url::Url;

use super::AddressError;
use super::git::{GitAddress, GitPlace};
use crate::git::Remote;

/// A service that keeps repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeHost {
    /// GitHub.
    Github,
    /// GitLab.
    Gitlab,
    /// Bitbucket.
    Bitbucket,
}

impl CodeHost {
    const ALL: [Self; 3] = [Self::Github, Self::Gitlab, Self::Bitbucket];

    /// What stands before the colon.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Bitbucket => "bitbucket",
        }
    }

    /// Where it is, unless it is said to be elsewhere.
    #[must_use]
    pub fn usual(self) -> &'static str {
        match self {
            Self::Github => "https://github.com/",
            Self::Gitlab => "https://gitlab.com/",
            Self::Bitbucket => "https://bitbucket.org/",
        }
    }

    /// The form of a repository's name.
    fn form(self) -> &'static str {
        match self {
            Self::Github => "a repository is `github:OWNER/REPO[@REF]`",
            Self::Gitlab => "a repository is `gitlab:GROUP[/SUBGROUP…]/REPO[@REF]`",
            Self::Bitbucket => "a repository is `bitbucket:WORKSPACE/REPO[@REF]`",
        }
    }
}

/// Where each service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeHosts {
    bases: [Url; 3],
}

/// Why an address is none of a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address of {} is not understood: {reason}", host.name())]
pub struct CodeHostError {
    /// The service.
    pub host: CodeHost,
    /// What is wrong.
    pub reason: &'static str,
}

impl Default for CodeHosts {
    fn default() -> Self {
        Self { bases: CodeHost::ALL.map(|host| host.usual().parse().expect("the usual address is one")) }
    }
}

impl CodeHosts {
    /// The same with a service elsewhere.
    pub fn with(mut self, host: CodeHost, base: &str) -> Result<Self, CodeHostError> {
        let fail = |reason| CodeHostError { host, reason };
        let mut url = Url::parse(base).map_err(|_| fail("it is not a URL"))?;
        if !matches!(url.scheme(), "https" | "http") || url.host_str().unwrap_or_default().is_empty() {
            return Err(fail("it is no `https://` address"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fail("a login has no place in it; use LAPSTRAKE_GIT_TOKEN"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(fail("it has a query"));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        self.bases[host as usize] = url;
        Ok(self)
    }

    /// The service that an address belongs to, if it is one of them.
    #[must_use]
    pub fn host_of(&self, url: &Url) -> Option<CodeHost> {
        let is_same = |host: &CodeHost| self.bases[*host as usize].origin() == url.origin();
        CodeHost::ALL.into_iter().find(is_same)
    }

    /// Parses `HOST:OWNER/REPO[@REF][#[REF][:DIR]]`; none if it begins otherwise.
    pub(super) fn parse(&self, given: &str) -> Result<Option<GitAddress>, AddressError> {
        let Some((name, rest)) = given.split_once(':') else { return Ok(None) };
        let Some(host) = CodeHost::ALL.into_iter().find(|host| host.name() == name) else { return Ok(None) };
        let (repository, fragment) =
            rest.split_once('#').map_or((rest, ""), |(path, fragment)| (path, fragment));
        let (repository, at) = repository.split_once('@').map_or((repository, ""), |(path, at)| (path, at));
        let repository = repository.strip_suffix(".git").unwrap_or(repository);
        if !is_repository(host, repository) {
            return Err(AddressError::new(given, host.form()));
        }
        if !at.is_empty() && !fragment.is_empty() && !fragment.starts_with(':') {
            return Err(AddressError::new(
                given,
                "a branch, tag or commit is given twice, after `@` and after `#`",
            ));
        }
        let url = format!("{}{repository}.git", self.bases[host as usize]);
        let remote = Remote::parse(&url).map_err(|cause| AddressError::new(given, cause.0))?;
        let fragment = format!("{at}{fragment}");
        GitAddress::at(given, GitPlace::Remote(remote), Some(&fragment)).map(Some)
    }
}

fn is_repository(host: CodeHost, path: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_name = |part: &str| {
        let dots = part == "." || part == "..";
        !part.is_empty() && !dots && !part.starts_with('-') && part.bytes().all(is_letter)
    };
    let parts = path.split('/').count();
    let depth = match host {
        CodeHost::Gitlab => (2..=20).contains(&parts),
        CodeHost::Github | CodeHost::Bitbucket => parts == 2,
    };
    depth && path.split('/').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(hosts: &CodeHosts, given: &str) -> String {
        hosts.parse(given).unwrap().unwrap().to_string()
    }

    #[test]
    fn repositories_are_found_at_their_hosts() {
        let hosts = CodeHosts::default();
        for (given, address) in [
            ("github:team/app", "git+https://github.com/team/app.git"),
            ("github:team/app.git@v1.2", "git+https://github.com/team/app.git#v1.2"),
            ("github:team/app@feature/x", "git+https://github.com/team/app.git#feature/x"),
            ("github:team/app@v1#:web", "git+https://github.com/team/app.git#v1:web"),
            ("github:team/app#v1:web", "git+https://github.com/team/app.git#v1:web"),
            ("gitlab:group/sub/app@main", "git+https://gitlab.com/group/sub/app.git#main"),
            ("bitbucket:team/app", "git+https://bitbucket.org/team/app.git"),
        ] {
            assert_eq!(shown(&hosts, given), address, "{given}");
        }
        assert_eq!(hosts.parse("codeberg:team/app"), Ok(None));
    }

    #[test]
    fn a_host_may_be_elsewhere() {
        let hosts = CodeHosts::default();
        let hosts = hosts.with(CodeHost::Bitbucket, "https://code.example:8443/scm").unwrap();
        assert_eq!(shown(&hosts, "bitbucket:~me/app"), "git+https://code.example:8443/scm/~me/app.git");
        let at = |text: &str| hosts.host_of(&text.parse().unwrap());
        assert_eq!(at("https://code.example:8443/x"), Some(CodeHost::Bitbucket));
        assert_eq!(at("https://code.example/x"), None);
        assert_eq!(at("https://bitbucket.org/x"), None);
        assert_eq!(at("http://github.com/x"), None);
        for bad in ["code.example", "ssh://code.example", "https://me:x@code.example", "https://a.example/?x"]
        {
            assert!(CodeHosts::default().with(CodeHost::Github, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_name_of_a_repository_is_refused() {
        let hosts = CodeHosts::default();
        for bad in [
            "github:team",
            "github:team/app/more",
            "github:../app",
            "github:-x/app",
            "github:team/a b",
            "github:team/app?x",
            "gitlab:app",
            "bitbucket:a/b/c",
            "github:team/app@v1#v2",
            "github:team/app@-x",
            "github://team/app",
        ] {
            assert!(hosts.parse(bad).is_err(), "{bad}");
        }
    }
}
