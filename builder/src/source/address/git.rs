//! The address of a state of a git repository: where it is, which commit, which directory.

use std::fmt;
use std::path::{Path, PathBuf};

use super::AddressError;
use crate::git::{Remote, Revision};
use crate::source::app_path;

/// A state of a git repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitAddress {
    /// Where the repository is.
    pub place: GitPlace,
    /// The branch, tag or commit, as it was given; none for the remote's `HEAD`.
    pub reference: Option<String>,
    /// The directory of the app in the repository, as it was given.
    pub directory: Option<String>,
}

/// Where a git repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitPlace {
    /// In a directory of this machine.
    Directory(PathBuf),
    /// On a server.
    Remote(Remote),
}

impl GitAddress {
    /// Parses what follows `git+`.
    pub(super) fn of_url(given: &str, text: &str) -> Result<Self, AddressError> {
        let (base, fragment) = split(text);
        let remote = Remote::parse(base).map_err(|cause| match base.split_once("://") {
            Some(("ssh", rest)) if rest.contains(':') => AddressError::new(given, cause.0)
                .hint("in `git+ssh://USER@HOST/PATH` a slash after the host begins the path"),
            _ => AddressError::new(given, cause.0),
        })?;
        let place = match remote.url().to_file_path() {
            Ok(path) if remote.url().scheme() == "file" => GitPlace::Directory(path),
            _ => GitPlace::Remote(remote),
        };
        Self::at(given, place, fragment)
    }

    /// Parses `PATH#REF[:DIR]`, if there is a directory `PATH`.
    pub(super) fn of_directory(given: &str) -> Result<Option<Self>, AddressError> {
        let mut hashes = given.match_indices('#').filter(|(at, _)| Path::new(&given[..*at]).is_dir());
        // Of several the last one: a name of a directory may hold one, a reference hardly ever.
        let Some((at, _)) = hashes.next_back() else { return Ok(None) };
        let place = GitPlace::Directory(PathBuf::from(&given[..at]));
        Self::at(given, place, Some(&given[at + 1..])).map(Some)
    }

    /// Parses `USER@HOST:PATH`, if that is what it is: `app@sha256:…` is not.
    pub(super) fn of_scp(given: &str) -> Option<Result<Self, AddressError>> {
        let (base, fragment) = split(given);
        let (user, rest) = base.split_once('@')?;
        let (host, path) = rest.split_once(':')?;
        let is_name = |text: &str| !text.is_empty() && !text.contains(['/', '@', ':']);
        let is_repository = path.contains('/') || path.strip_suffix("git").is_some_and(|p| p.ends_with('.'));
        if !is_name(user) || !is_name(host) || path.is_empty() || !is_repository {
            return None;
        }
        let remote = Remote::scp(user, host, path).map_err(|cause| AddressError::new(given, cause.0));
        Some(remote.and_then(|remote| Self::at(given, GitPlace::Remote(remote), fragment)))
    }

    /// Puts an address together; `fragment` is what follows the `#`.
    pub(super) fn at(given: &str, place: GitPlace, fragment: Option<&str>) -> Result<Self, AddressError> {
        let (reference, directory) =
            fragment.map_or(("", ""), |text| text.split_once(':').unwrap_or((text, "")));
        let address = Self { place, reference: some(reference), directory: some(directory) };
        if let Some(reference) = &address.reference {
            // `HEAD~1` is for those who compare commits; whoever fetches one is stricter.
            let name = reference.split(['~', '^']).next().unwrap_or_default();
            name.parse::<Revision>().map_err(|cause| AddressError::new(given, cause.reason))?;
        }
        if let Some(directory) = &address.directory {
            app_path(directory).map_err(|cause| AddressError::new(given, cause.reason))?;
        }
        Ok(address)
    }

    /// The same repository and directory at another commit.
    #[must_use]
    pub fn with_reference(&self, reference: &str) -> Self {
        Self { reference: Some(reference.to_owned()), ..self.clone() }
    }
}

/// Takes what follows the first `#` apart.
fn split(text: &str) -> (&str, Option<&str>) {
    text.split_once('#').map_or((text, None), |(base, fragment)| (base, Some(fragment)))
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl fmt::Display for GitAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            GitPlace::Directory(path) => path.display().fmt(f)?,
            GitPlace::Remote(remote) if remote.address().contains("://") => write!(f, "git+{remote}")?,
            GitPlace::Remote(remote) => remote.fmt(f)?,
        }
        match (&self.reference, &self.directory) {
            (None, None) => Ok(()),
            (Some(reference), None) => write!(f, "#{reference}"),
            (reference, Some(directory)) => {
                write!(f, "#{}:{directory}", reference.as_deref().unwrap_or_default())
            }
        }
    }
}
