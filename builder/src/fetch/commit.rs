//! Sources that are a state of a git repository.

use std::path::Path;

use super::{Fetcher, login};
use crate::checkout::{Checkout, RepositoryUrl};
use crate::failure::{Exit, Failure};
use crate::git::{Git, LocalError, LocalRepository, Remote, Revision};
use crate::network;
use crate::source::{self, GitAddress, GitPlace, ReadOptions, Source};
use lapstrake_oci::registry::{BasicLogin, Secret};

/// What git asks a server for at first, below the address of a repository.
const FIRST: &str = "/info/refs?service=git-upload-pack";
const WHAT: &str = "could not fetch the source";

impl Fetcher<'_> {
    pub(super) fn commit(&self, address: &GitAddress, options: &ReadOptions) -> Result<Source, Failure> {
        let place = Self::place(&options.scratch)?;
        let revision = revision(address)?;
        let git = self.git(place.path())?;
        let (remote, home) = self.remote(&address.place, &git, place.path())?;
        self.context.report.note(&format!("fetching {remote}"));
        let repository =
            git.repository(place.path().join("source.git")).map_err(|cause| self.git_failure(cause, WHAT))?;
        let (fetched, answered) = self.ask(&remote, WHAT, |remote| repository.fetch(remote, &revision))?;
        self.say_where(&remote, &answered);
        if let Some(note) = &fetched.note {
            self.context.report.note(note);
        }
        let commit = &fetched.commit;
        let name = fetched.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        self.context.report.note(&format!("commit {}{name} of {remote}", commit.id));
        let source = source::read_commit(&repository, commit, options);
        let mut source = source.map_err(|cause| match cause {
            source::SourceError::Git(cause) => self.git_failure(cause, WHAT),
            cause => super::failure(cause),
        })?;
        source.checkout = Some(Checkout {
            commit: commit.id.clone(),
            time: commit.time,
            repository: home.as_deref().and_then(RepositoryUrl::parse),
            dirty: false,
        });
        Ok(source)
    }

    /// Git, with the authorities that are trusted.
    pub(super) fn git(&self, place: &Path) -> Result<Git, Failure> {
        let git = Git::new(self.context);
        if self.context.authorities.is_empty() {
            return Ok(git);
        }
        let usual = match self.context.var("GIT_SSL_CAINFO") {
            Some(bundle) => vec![bundle.into()],
            None => network::ca_files(self.context)?,
        };
        let bundle = network::ca_bundle(usual.iter().chain(&self.context.authorities), place)?;
        Ok(match bundle {
            Some(bundle) => git.with_authorities(&bundle),
            None => git,
        })
    }

    /// The remote of a place, with the login that belongs to it; and where people find the repository.
    pub(super) fn remote(
        &self,
        place: &GitPlace,
        git: &Git,
        scratch: &Path,
    ) -> Result<(Remote, Option<String>), Failure> {
        match place {
            GitPlace::Directory(path) => {
                let shadow = LocalRepository::open(path)
                    .and_then(|local| local.shadow(git, &scratch.join("shadow.git")));
                let shadow = shadow.map_err(not_local)?;
                Ok((shadow.remote.shown_as(&path.display().to_string()), shadow.origin))
            }
            GitPlace::Remote(remote) => {
                self.permitted(remote.url(), remote.is_loopback())?;
                let home = remote.address().to_owned();
                Ok((login::logged_in(remote.clone(), &self.args.code_hosts()?, self.context), Some(home)))
            }
        }
    }

    /// Where a remote is now.
    pub(super) fn moved(&self, remote: &Remote) -> Result<Remote, Failure> {
        let refused =
            |reason: &str| Failure::because(Exit::Refused, WHAT, format!("{remote} redirects, and {reason}"));
        let url = format!("{}{FIRST}", remote.address()).parse();
        let url = url.map_err(|_| refused("its address cannot be continued"))?;
        let login = remote.login().map(|login| BasicLogin {
            user: login.user.clone(),
            password: Secret::new(
                login.secret.as_ref().map(|secret| secret.reveal().clone()).unwrap_or_default(),
            ),
        });
        let glance = self.client()?.glance(&url, login.as_ref());
        let glance = glance.map_err(|cause| crate::registry::failure(cause, WHAT))?;
        let target = glance.url.as_str().strip_suffix(FIRST);
        let target = target.ok_or_else(|| refused("not to a repository"))?;
        let moved = Remote::parse(target).map_err(|_| refused("not to a repository"))?;
        if moved.address() == remote.address() {
            return Err(refused("leads back to itself"));
        }
        match remote.login() {
            Some(login) if moved.url().origin() == remote.url().origin() => {
                Ok(moved.without_login().with_login(login.clone()))
            }
            _ => Ok(moved.without_login()),
        }
    }
}

fn revision(address: &GitAddress) -> Result<Revision, Failure> {
    let Some(given) = &address.reference else { return Ok(Revision::Head) };
    given
        .parse()
        .map_err(|cause: crate::git::RevisionError| Failure::new(Exit::NotUnderstood, cause.to_string()))
}

fn not_local(cause: LocalError) -> Failure {
    let (exit, hint) = match &cause {
        LocalError::None { around, path } => {
            let inside = around
                .as_ref()
                .and_then(|around| path.strip_prefix(around).ok().map(|below| (around, below)));
            let hint = inside.map(|(around, below)| {
                format!("it lies in the repository `{0}`: `{0}#REF:{1}`", around.display(), below.display())
            });
            (Exit::NotUnderstood, hint)
        }
        LocalError::Refused { hint, .. } => (Exit::Refused, hint.map(str::to_owned)),
        LocalError::Read { source, .. } => match source.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => {
                (Exit::NotUnderstood, None)
            }
            _ => (Exit::Ours, None),
        },
    };
    let failure = Failure::because(exit, "could not read the source", cause);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
