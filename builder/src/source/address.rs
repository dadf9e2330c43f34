//! What the user calls a source, wherever it is: a path, standard input, a git repository, or an archive on a server.

mod archive;
mod code_hosts;
mod git;

use std::fmt;
use std::path::Path;

pub use archive::ArchiveAddress;
pub use code_hosts::{CodeHost, CodeHostError, CodeHosts};
pub use git::{GitAddress, GitPlace};

use super::SourceSpec;
use super::path::printable;
use crate::checkout::RepositoryUrl;
use crate::failure::{Exit, Failure};

/// Why a text is no address of a source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no source: {reason}")]
pub struct AddressError {
    /// What was given, without what may be secret.
    pub given: String,
    /// What is wrong with it.
    pub reason: &'static str,
    /// What would have been understood.
    pub hint: Option<String>,
}

impl AddressError {
    /// The failure that a command ends with.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        let failure = Failure::new(Exit::NotUnderstood, self.to_string());
        match self.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    fn new(given: &str, reason: &'static str) -> Self {
        Self { given: printable(without_secrets(given).as_bytes()), reason, hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// A text without what stands before an `@` of an address, and after a `?`.
fn without_secrets(given: &str) -> String {
    let given = given.split('?').next().unwrap_or_default();
    let Some((scheme, rest)) = given.split_once("://") else { return given.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let host = rest[..end].rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{}", &rest[end..])
}

/// Where a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceAddress {
    /// A directory or an archive of this machine, or an archive on standard input.
    Local(SourceSpec),
    /// A state of a git repository.
    Git(GitAddress),
    /// An archive on a web server.
    Archive(ArchiveAddress),
}

impl SourceAddress {
    /// Parses what a user typed. Files are looked at for one thing alone: what exists under the whole text is a path.
    pub fn parse(given: &str, hosts: &CodeHosts) -> Result<Self, AddressError> {
        match given {
            "" => return Err(AddressError::new(given, "it is empty")),
            "-" => return Ok(Self::Local(SourceSpec::Stdin)),
            _ if given.contains('\0') => return Err(AddressError::new(given, "it contains a NUL byte")),
            _ => {}
        }
        if let Some(url) = given.strip_prefix("git+") {
            return GitAddress::of_url(given, url).map(Self::Git);
        }
        if let Some(address) = hosts.parse(given)? {
            return Ok(Self::Git(address));
        }
        if let Some((scheme, _)) = given.split_once("://") {
            return match scheme {
                "https" | "http" => ArchiveAddress::parse(given).map(Self::Archive),
                _ => Err(AddressError::new(given, "addresses of this kind are not known")
                    .hint("git repositories are `git+https://…`, `git+ssh://…` or `git+file:///…`, archives `https://…`")),
            };
        }
        let path = || Self::Local(SourceSpec::Path(given.into()));
        if Path::new(given).symlink_metadata().is_ok() {
            return Ok(path());
        }
        if let Some(address) = GitAddress::of_directory(given)? {
            return Ok(Self::Git(address));
        }
        GitAddress::of_scp(given).map_or_else(|| Ok(path()), |address| address.map(Self::Git))
    }

    /// What stays the same from one state of the source to the next: its real path on this machine, or its address; none for
    /// standard input.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let real = |path: &Path| Some(fs_err::canonicalize(path).ok()?.display().to_string());
        match self {
            Self::Local(SourceSpec::Stdin) => None,
            Self::Local(SourceSpec::Path(path)) => real(path),
            Self::Git(git) => match &git.place {
                GitPlace::Directory(path) => real(path),
                GitPlace::Remote(remote) => Some(remote.to_string()),
            },
            Self::Archive(archive) => Some(archive.to_string()),
        }
    }

    /// The address fit to be published, without login and query; none for what is on this machine.
    #[must_use]
    pub fn uri(&self) -> Option<String> {
        match self {
            Self::Local(_) => None,
            Self::Git(git) => {
                let GitPlace::Remote(remote) = &git.place else { return None };
                let repository = RepositoryUrl::parse(remote.url().as_str())?;
                let reference = git.reference.as_ref().map(|name| format!("@{name}"));
                Some(format!("git+{repository}{}", reference.unwrap_or_default()))
            }
            Self::Archive(archive) => {
                let mut url = archive.url().clone();
                url.set_query(None);
                Some(url.to_string())
            }
        }
    }

    /// The directory of the app that the address names, if it names one.
    #[must_use]
    pub fn directory(&self) -> Option<&str> {
        match self {
            Self::Git(git) => git.directory.as_deref(),
            Self::Local(_) | Self::Archive(_) => None,
        }
    }
}

/// The address as people are shown it: without password and query.
impl fmt::Display for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(SourceSpec::Stdin) => f.write_str("-"),
            Self::Local(SourceSpec::Path(path)) => path.display().fmt(f),
            Self::Git(git) => git.fmt(f),
            Self::Archive(archive) => archive.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(given: &str) -> Result<SourceAddress, AddressError> {
        SourceAddress::parse(given, &CodeHosts::default())
    }

    fn shown(given: &str) -> String {
        parse(given).unwrap().to_string()
    }

    #[test]
    fn each_form_is_told_by_its_beginning() {
        for (given, kind) in [
            ("-", "local"),
            ("./app.tar.gz", "local"),
            ("apps/web", "local"),
            ("git+https://host.example/team/app", "git"),
            ("git+ssh://git@host.example/team/app#main", "git"),
            ("git+file:///srv/app.git#v1:web", "git"),
            ("github:team/app@v1", "git"),
            ("git@host.example:team/app.git#main", "git"),
            ("https://host.example/app.tar.gz?token=x", "archive"),
        ] {
            let found = match parse(given).unwrap() {
                SourceAddress::Local(_) => "local",
                SourceAddress::Git(_) => "git",
                SourceAddress::Archive(_) => "archive",
            };
            assert_eq!(found, kind, "{given}");
        }
    }

    #[test]
    fn no_secret_of_an_address_is_shown() {
        assert_eq!(
            shown("git+https://me:secret@host.example/app.git#main:web"),
            "git+https://host.example/app.git#main:web"
        );
        assert_eq!(
            shown("https://me:secret@host.example/app.tar?token=secret"),
            "https://host.example/app.tar"
        );
        for bad in
            ["git+https://me:secret@host.example/", "https://me:secret@host.example/a#b", "x://me:secret@h/"]
        {
            let error = parse(bad).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_directory_with_a_hash_in_its_name_is_a_path() {
        let directory = tempfile::tempdir().unwrap();
        let odd = directory.path().join("a#main");
        fs_err::create_dir(&odd).unwrap();
        fs_err::create_dir(directory.path().join("b")).unwrap();
        let kind = |name: &str| parse(directory.path().join(name).to_str().unwrap()).unwrap();
        assert_eq!(kind("a#main"), SourceAddress::Local(SourceSpec::Path(odd.clone())));
        let SourceAddress::Git(inside) = kind("a#main#v1:web") else { panic!("no git source") };
        assert_eq!(inside.place, GitPlace::Directory(odd));
        assert_eq!((inside.reference.as_deref(), inside.directory.as_deref()), (Some("v1"), Some("web")));
        assert!(matches!(kind("b#main"), SourceAddress::Git(_)));
        assert!(matches!(kind("missing#main"), SourceAddress::Local(_)));
    }

    #[test]
    fn what_is_no_source_is_refused_by_its_reason() {
        for (bad, reason) in [
            ("", "it is empty"),
            ("git+ext::sh -c id", "control characters"),
            ("git+https://host.example/app#-x", "begins with `-`"),
            ("git+https://host.example/app#main:../x", "leaves the source"),
            ("git+ssh://git@host.example:team/app", "a slash after the host"),
            ("svn://host.example/app", "not known"),
            ("https://host.example/app.git", "is a git repository"),
            ("https://host.example/app.tar#web", "`--source-dir`"),
            ("github:team", "OWNER/REPO"),
        ] {
            let error = parse(bad).unwrap_err();
            let text = format!("{error} {}", error.hint.clone().unwrap_or_default());
            assert!(text.contains(reason), "{bad}: {text}");
        }
    }
}
