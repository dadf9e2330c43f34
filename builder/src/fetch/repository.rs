//! Repositories that are asked what they hold, and not read.

use std::path::Path;

use super::{Fetcher, login};
use crate::failure::{Exit, Failure};
use crate::git::{Git, GitError, Remote, Why};
use crate::source::{GitAddress, GitPlace, SourceAddress, SourceSpec};

impl Fetcher<'_> {
    /// The repository that a user's text names; a directory is one at its `HEAD`.
    pub fn git_address(&self, given: &str) -> Result<GitAddress, Failure> {
        let no_repository = |what: &str| {
            let failure = Failure::new(Exit::NotUnderstood, format!("{what} is no git repository"));
            Err(failure.hint("name a directory that is one, `git+https://HOST/REPO` or `github:OWNER/REPO`"))
        };
        match self.parse(given)? {
            SourceAddress::Git(address) => Ok(address),
            SourceAddress::Local(SourceSpec::Path(path)) if path.is_dir() => {
                Ok(GitAddress { place: GitPlace::Directory(path), reference: None, directory: None })
            }
            SourceAddress::Local(SourceSpec::Path(path)) if !path.exists() => {
                Err(Failure::new(Exit::NotUnderstood, format!("`{}` does not exist", path.display())))
            }
            SourceAddress::Local(SourceSpec::Stdin) => no_repository("standard input"),
            other => no_repository(&format!("`{other}`")),
        }
    }

    /// Prepares to ask a repository. What that takes is written to a directory; a repository of this machine is seen as
    /// it is now.
    pub fn reach(&self, place: &GitPlace, scratch: &Path) -> Result<(Git, Remote), Failure> {
        self.no_digest("a git source: the full name of the commit says the same, as `#COMMIT`")?;
        let git = self.git(scratch)?;
        let (remote, _) = self.remote(place, &git, scratch)?;
        Ok((git, remote))
    }

    /// Asks a remote, and the place that its server sends us to when that is no worse. The login stays behind, unless
    /// that place has the same host. Also returned is the remote that answered.
    pub fn ask<T>(
        &self,
        remote: &Remote,
        what: &str,
        question: impl Fn(&Remote) -> Result<T, GitError>,
    ) -> Result<(T, Remote), Failure> {
        let hosts = self.args.code_hosts()?;
        let failure = |cause, remote: &Remote| match cause {
            GitError::Stopped => self.context.stop.failure(),
            cause => login::explained(cause, remote, &hosts, self.context, what),
        };
        match question(remote) {
            Ok(answer) => Ok((answer, remote.clone())),
            Err(GitError::Failed { why: Why::Redirected, .. }) => {
                let moved = self.moved(remote)?;
                let answer = question(&moved).map_err(|cause| failure(cause, &moved))?;
                Ok((answer, moved))
            }
            Err(cause) => Err(failure(cause, remote)),
        }
    }

    /// Says it where another remote answered than the one that was asked.
    pub fn say_where(&self, asked: &Remote, answered: &Remote) {
        if asked.address() != answered.address() {
            self.context.report.note(&format!("{asked} has moved to {answered}"));
        }
    }
}
