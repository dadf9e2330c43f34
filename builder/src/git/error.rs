//! Why git did not do what it was asked to.

use std::io;
use std::time::Duration;

use super::remote::Remote;
use crate::failure::{Exit, Failure};

/// Why git did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// There is no git on this machine.
    #[error("`git` is not installed")]
    NotInstalled,
    /// The command was interrupted.
    #[error("interrupted")]
    Stopped,
    /// A run took too long.
    #[error("git took more than {} s to {doing}", limit.as_secs())]
    TooSlow {
        /// What it did.
        doing: String,
        /// The limit.
        limit: Duration,
    },
    /// More came than may come.
    #[error("git received more than {limit} bytes when it was to {doing}")]
    TooLarge {
        /// What it did.
        doing: String,
        /// The limit.
        limit: u64,
    },
    /// Git ended with an error.
    #[error("git could not {doing}: {said}")]
    Failed {
        /// What it was to do.
        doing: String,
        /// The class of what went wrong.
        why: Why,
        /// What it wrote, in one line and without passwords.
        said: String,
    },
    /// A reference that the remote does not have.
    #[error("{remote} has no branch, tag or commit `{wanted}`")]
    NoSuchRevision {
        /// The remote's address.
        remote: String,
        /// What was looked for.
        wanted: String,
        /// References with similar names.
        near: Vec<String>,
    },
    /// A commit that the remote does not have, or does not give.
    #[error("{remote} has no commit `{wanted}`")]
    NoSuchCommit {
        /// The remote's address.
        remote: String,
        /// What was looked for.
        wanted: String,
        /// Whether it has only the end of its history.
        shallow: bool,
    },
    /// A name that means several things.
    #[error("`{wanted}` means several things in {remote}: {}", found.join(", "))]
    Ambiguous {
        /// The remote's address.
        remote: String,
        /// What was looked for.
        wanted: String,
        /// All that it means, in full.
        found: Vec<String>,
    },
    /// An object that is not what it should be.
    #[error("{what} is not what git objects look like")]
    Malformed {
        /// Which.
        what: String,
    },
    /// Our own repository cannot be used.
    #[error("could not {doing}")]
    Io {
        /// What was done.
        doing: String,
        /// Why not.
        source: io::Error,
    },
}

/// The class of what went wrong in git.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The server wants other credentials, or any.
    Credentials,
    /// There is no such repository, or none that this login may see.
    NoRepository,
    /// There is no such reference.
    NoReference,
    /// The server gives no objects but those that a reference names.
    Unadvertised,
    /// The server answers with a redirect.
    Redirected,
    /// The server cannot be reached or fails; the same may succeed later.
    Network,
    /// The server's identity cannot be verified.
    Identity,
    /// The objects are damaged or hostile.
    Objects,
    /// The server names objects by another kind of digest.
    Format,
    /// No space is left.
    Disk,
    /// Something else.
    Other,
}

/// What git and its helpers write, the most telling first.
const SIGNS: [(&str, Why); 45] = [
    ("No space left on device", Why::Disk),
    ("Disk quota exceeded", Why::Disk),
    ("SSL certificate problem", Why::Identity),
    ("server certificate verification failed", Why::Identity),
    ("SSL: no alternative certificate subject name", Why::Identity),
    ("does not match target host name", Why::Identity),
    ("certificate verify failed", Why::Identity),
    ("Host key verification failed", Why::Identity),
    ("mismatched algorithms", Why::Format),
    ("couldn't find remote ref", Why::NoReference),
    ("not our ref", Why::Unadvertised),
    ("Server does not allow request for unadvertised object", Why::Unadvertised),
    ("unadvertised object", Why::Unadvertised),
    ("could not read Username", Why::Credentials),
    ("could not read Password", Why::Credentials),
    ("Authentication failed", Why::Credentials),
    ("Permission denied (", Why::Credentials),
    ("returned error: 401", Why::Credentials),
    ("returned error: 403", Why::Credentials),
    ("returned error: 404", Why::NoRepository),
    ("returned error: 410", Why::NoRepository),
    ("returned error: 301", Why::Redirected),
    ("returned error: 302", Why::Redirected),
    ("returned error: 303", Why::Redirected),
    ("returned error: 307", Why::Redirected),
    ("returned error: 308", Why::Redirected),
    ("Repository not found", Why::NoRepository),
    ("' not found", Why::NoRepository),
    ("is this a git repository?", Why::NoRepository),
    ("does not appear to be a git repository", Why::NoRepository),
    ("fsck error", Why::Objects),
    ("index-pack failed", Why::Objects),
    ("Could not resolve", Why::Network),
    ("Failed to connect", Why::Network),
    ("Couldn't connect", Why::Network),
    ("Connection refused", Why::Network),
    ("Connection timed out", Why::Network),
    ("Connection reset", Why::Network),
    ("Connection closed", Why::Network),
    ("Operation too slow", Why::Network),
    ("returned error: 429", Why::Network),
    ("returned error: 5", Why::Network),
    ("RPC failed", Why::Network),
    ("early EOF", Why::Network),
    ("hung up unexpectedly", Why::Network),
];

impl Why {
    /// Reads it from what git wrote.
    pub(super) fn of(said: &str) -> Self {
        SIGNS.iter().find(|(sign, _)| said.contains(sign)).map_or(Self::Other, |(_, why)| *why)
    }
}

impl GitError {
    /// The class of the failure that a command ends with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::NotInstalled
            | Self::NoSuchRevision { .. }
            | Self::NoSuchCommit { .. }
            | Self::Ambiguous { .. } => Exit::NotUnderstood,
            Self::Stopped => Exit::Interrupted,
            Self::TooSlow { .. } => Exit::Transient,
            Self::TooLarge { .. } | Self::Malformed { .. } => Exit::Refused,
            Self::Io { .. } => Exit::Ours,
            Self::Failed { why, .. } => match why {
                // As a registry whose certificate is not trusted.
                Why::Credentials | Why::Identity => Exit::RegistryRefused,
                // What is not known yet is more often the network's or the server's doing than the caller's.
                Why::Network | Why::Disk | Why::Other => Exit::Transient,
                Why::Objects => Exit::Refused,
                Why::NoRepository | Why::NoReference | Why::Unadvertised | Why::Redirected | Why::Format => {
                    Exit::NotUnderstood
                }
            },
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotInstalled => {
                Some("install git, or give the source as an archive or a directory".to_owned())
            }
            Self::NoSuchRevision { near, .. } if !near.is_empty() => {
                Some(format!("there are {}", near.join(", ")))
            }
            Self::NoSuchCommit { shallow: true, .. } => Some(
                "the clone is shallow: fetch more of its history first, with `git fetch --unshallow` or `--depth`"
                    .to_owned(),
            ),
            Self::Ambiguous { found, .. } => Some(format!("name one of them in full: `{}`", found[0])),
            Self::Failed { why, .. } => why.hint().map(str::to_owned),
            _ => None,
        }
    }

    /// The failure that a command ends with.
    #[must_use]
    pub fn into_failure(self, what: impl Into<String>) -> Failure {
        let (exit, hint) = (self.exit(), self.hint());
        let failure = Failure::because(exit, what, self);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl Why {
    fn hint(self) -> Option<&'static str> {
        match self {
            Self::Credentials => Some(
                "set LAPSTRAKE_GIT_TOKEN to a token that may read the repository, or log in with a git credential helper or an ssh key",
            ),
            Self::NoRepository => Some(
                "check the address; many servers also say this of a private repository, which needs LAPSTRAKE_GIT_TOKEN or another login",
            ),
            Self::Identity => {
                Some("trust a private authority with `--ca FILE`; for ssh add the host to known_hosts")
            }
            Self::Disk => Some("free some space, or choose another place with `--data-dir`"),
            _ => None,
        }
    }
}

/// What git wrote, as one bounded line that holds no password.
pub(super) fn said(stderr: &[u8], remote: Option<&Remote>) -> String {
    const LONGEST: usize = 600;
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("hint:"));
    let mut line = crate::report::printable(&lines.collect::<Vec<_>>().join("; "));
    if let Some(login) = remote.and_then(Remote::login) {
        let secret = login.secret.as_ref().map(|secret| secret.reveal().as_str());
        for hidden in secret.into_iter().chain([login.user.as_str()]).filter(|hidden| !hidden.is_empty()) {
            line = line.replace(hidden, "***");
        }
    }
    line = without_logins(&line);
    if let Some(remote) = remote {
        // Where it is only a copy, people know it by another name.
        let path = remote.url().to_file_path().ok().filter(|_| remote.url().scheme() == "file");
        let path = path.map(|path| path.display().to_string());
        for name in [Some(remote.address()), path.as_deref()].into_iter().flatten() {
            line = line.replace(name, &remote.to_string());
        }
    }
    match line.char_indices().rev().nth(LONGEST) {
        Some((at, _)) => format!("…{}", &line[at..]),
        None => line,
    }
}

/// A text without what stands before the `@` of an address.
fn without_logins(text: &str) -> String {
    let mut clean = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = after.find(|c: char| c == '/' || c == '\'' || c.is_whitespace()).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(login) => &after[login + 1..],
            None => after,
        };
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_tells_the_class() {
        for (said, exit) in [
            ("fatal: could not read Username for 'https://h': terminal prompts disabled", 3),
            ("fatal: Authentication failed for 'https://h/x/'", 3),
            ("git@h: Permission denied (publickey).", 3),
            ("fatal: repository 'https://h/x/' not found", 2),
            ("fatal: couldn't find remote ref refs/heads/x", 2),
            ("fatal: unable to access 'https://h/': Could not resolve host: h", 75),
            ("fatal: unable to access 'https://h/': The requested URL returned error: 503", 75),
            ("fatal: unable to access 'https://h/': SSL certificate problem: self-signed", 3),
            ("error: object 1: hasDotgit: contains '.git'; fatal: fsck error in packed object", 5),
            ("fatal: something new", 75),
        ] {
            let error = GitError::Failed { doing: String::new(), why: Why::of(said), said: said.to_owned() };
            assert_eq!(error.exit().code(), exit, "{said}");
        }
    }

    #[test]
    fn what_git_says_holds_no_password() {
        let remote = Remote::parse("https://me:s3cret@host.example/x").unwrap();
        let stderr = b"fatal: could not read Password for 'https://me@host.example': no s3cret\n\x1b[31m";
        let said = said(stderr, Some(&remote));
        assert_eq!(said, "fatal: could not read Password for 'https://host.example': no ***; \\u{1b}[31m");
        assert_eq!(without_logins("a://u:p@h/x b://h2 c"), "a://h/x b://h2 c");
    }

    #[test]
    fn only_the_end_of_a_long_complaint_is_kept() {
        let long = format!("{}fatal: the end", "remote: noise ".repeat(1000));
        let said = said(long.as_bytes(), None);
        assert!(said.ends_with("fatal: the end") && said.chars().count() <= 602, "{said}");
    }

    #[test]
    fn a_missing_login_names_the_variable() {
        let error = GitError::Failed { doing: "x".into(), why: Why::Credentials, said: "y".into() };
        let failure = error.into_failure("could not read the source");
        assert!(failure.hint.unwrap().contains("LAPSTRAKE_GIT_TOKEN"));
    }
}
