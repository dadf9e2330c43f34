//! What can go wrong between us and a registry, and whose fault it is.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use oci_spec::image::Digest;

use super::credentials::CredentialError;

/// Whose fault an error is, and with it what the caller can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The registry understood and said no.
    Refused,
    /// The same request may succeed later.
    Transient,
    /// Content does not have the digest or size it was announced with.
    Mismatch,
    /// An answer breaks the specification or a safety rule, or what was given to us is no certificate, proxy or name.
    Malformed,
    /// A fault on this side: a local file, or a bug.
    Ours,
    /// Somebody asked to stop.
    Stopped,
}

/// One place that was searched for credentials, in the order of the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthHint {
    /// A credentials file that does not exist.
    NoFile(PathBuf),
    /// A credentials file without an entry for the registry.
    NoEntry(PathBuf),
    /// A credential helper program that has nothing for the registry.
    HelperEmpty {
        /// The program.
        program: String,
        /// The file that names it.
        file: PathBuf,
    },
    /// Credentials were found here and sent, and the registry refused them.
    Used {
        /// The file that held them, or that named the helper.
        file: Option<PathBuf>,
        /// The credential helper, where one gave them.
        program: Option<String>,
    },
}

impl fmt::Display for AuthHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile(path) => write!(f, "`{}` does not exist", path.display()),
            Self::NoEntry(path) => write!(f, "`{}` has no credentials for the registry", path.display()),
            Self::HelperEmpty { program, file } => {
                write!(f, "`{program}`, named in `{}`, has no credentials for the registry", file.display())
            }
            Self::Used { file, program } => {
                f.write_str("the registry refused the credentials")?;
                if let Some(program) = program {
                    write!(f, " that `{program}` gave")?;
                }
                match file {
                    Some(file) => write!(f, " (from `{}`)", file.display()),
                    None => Ok(()),
                }
            }
        }
    }
}

/// An error as a registry tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorAnswer {
    /// The request's method.
    pub method: String,
    /// The request's URL.
    pub url: String,
    /// The status code.
    pub status: u16,
    /// The specification's error code, where the body had one.
    pub code: Option<String>,
    /// The registry's own words.
    pub message: Option<String>,
    /// How long the registry asked us to wait.
    pub retry_after: Option<Duration>,
    /// Where credentials were looked for, if it was about them.
    pub hints: Vec<AuthHint>,
}

impl ErrorAnswer {
    /// Whether the same request may succeed later. A 403 that says when to come back, or that it is about the rate, limits
    /// its clients and refuses nothing: one large registry answers so.
    fn is_transient(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
            || (self.status == 403 && (self.retry_after.is_some() || self.is_rate_limit()))
    }

    fn is_rate_limit(&self) -> bool {
        let message = self.message.as_deref().unwrap_or_default().to_lowercase();
        self.code.as_deref() == Some("TOOMANYREQUESTS") || message.contains("rate limit")
    }
}

impl fmt::Display for ErrorAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.method, self.url, self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

/// Why an exchange with a registry failed. No variant holds a secret: URLs are without user and query.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry answered with an error.
    #[error("{0}")]
    Answer(Box<ErrorAnswer>),
    /// The registry has no such repository, and a push does not make it one.
    #[error("`{registry}` has no repository `{repository}`: create it before the first push ({answer})")]
    NoRepository {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
        /// What it answered.
        answer: Box<ErrorAnswer>,
    },
    /// No answer arrived, or its body broke off.
    #[error("{method} {url}: {}", cause_of(source))]
    Connection {
        /// The request's method.
        method: String,
        /// The request's URL.
        url: String,
        /// What the HTTP library says.
        #[source]
        source: reqwest::Error,
    },
    /// The other side stopped sending or taking bytes.
    #[error("{method} {url}: nothing moved for {} s", waited.as_secs())]
    Stalled {
        /// The request's method.
        method: String,
        /// The request's URL.
        url: String,
        /// How long we waited.
        waited: Duration,
    },
    /// Content has another digest than the one it was asked for by.
    #[error("`{url}` should have digest `{expected}` but has `{found}`")]
    DigestMismatch {
        /// Where it came from.
        url: String,
        /// The digest that was asked for.
        expected: String,
        /// The digest of what arrived.
        found: String,
    },
    /// Content is longer or shorter than announced.
    #[error("`{url}` should have {expected} bytes but has {found}")]
    SizeMismatch {
        /// Where it came from.
        url: String,
        /// The announced size.
        expected: u64,
        /// What arrived; at least this many.
        found: u64,
    },
    /// An answer is longer than we are willing to read.
    #[error("the answer of `{url}` is longer than {limit} bytes")]
    TooLarge {
        /// Where it came from.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// An answer breaks the specification.
    #[error("`{url}`: {problem}")]
    Malformed {
        /// Where it came from.
        url: String,
        /// The rule it breaks.
        problem: String,
    },
    /// An answer sends us where a registry has no business to send us.
    #[error("`{url}` sends us to `{target}`, which is refused: {reason}")]
    Forbidden {
        /// Who sent us.
        url: String,
        /// Where to.
        target: String,
        /// Why we do not go.
        reason: String,
        /// Whether naming the host in [`Options::realm_allow`](super::Options::realm_allow) permits it.
        can_be_allowed: bool,
    },
    /// Reading credentials failed.
    #[error("could not read the credentials for `{registry}`")]
    Credentials {
        /// The registry they were for.
        registry: String,
        /// What failed.
        #[source]
        source: CredentialError,
    },
    /// A digest whose algorithm we do not support.
    #[error("digest `{digest}` is not a sha256 digest")]
    UnsupportedDigest {
        /// The digest.
        digest: String,
    },
    /// The content of a blob lies in another registry, and this operation does not fetch it.
    #[error("blob `{digest}` has no content here and could not be mounted from `{from}`")]
    NoContent {
        /// The blob.
        digest: Digest,
        /// The repository it should have been mounted from.
        from: String,
    },
    /// A local file could not be read or written.
    #[error("could not {action} `{}`", path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A signal to this process asked to stop.
    #[error("stopped by signal {signal}")]
    Stopped {
        /// The signal.
        signal: usize,
    },
    /// The client could not be set up.
    #[error("could not set up the registry client: {problem}")]
    Setup {
        /// What is wrong with the options.
        problem: String,
    },
}

impl RegistryError {
    /// Whose fault the error is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Answer(answer) if answer.is_transient() => Class::Transient,
            // What was sent is not what its name says: the content is at fault, not the permission.
            Self::Answer(answer) if answer.code.as_deref() == Some("DIGEST_INVALID") => Class::Mismatch,
            Self::Answer(_)
            | Self::NoRepository { .. }
            | Self::Credentials { .. }
            | Self::NoContent { .. } => Class::Refused,
            Self::Connection { source, .. } if refused_certificate(source) || wants_login(source) => {
                Class::Refused
            }
            Self::Connection { .. } | Self::Stalled { .. } => Class::Transient,
            Self::DigestMismatch { .. } | Self::SizeMismatch { .. } => Class::Mismatch,
            Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::Forbidden { .. }
            | Self::Setup { .. }
            | Self::UnsupportedDigest { .. } => Class::Malformed,
            Self::File { .. } => Class::Ours,
            Self::Stopped { .. } => Class::Stopped,
        }
    }

    /// Whether a proxy on the way asked for a login (407).
    #[must_use]
    pub fn is_proxy_login(&self) -> bool {
        matches!(self, Self::Connection { source, .. } if wants_login(source))
    }

    /// Where credentials were looked for, if the registry asked for some.
    #[must_use]
    pub fn hints(&self) -> &[AuthHint] {
        match self {
            Self::Answer(answer) | Self::NoRepository { answer, .. } => &answer.hints,
            _ => &[],
        }
    }

    /// The status that the registry answered with, if it did.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(answer) | Self::NoRepository { answer, .. } => Some(answer.status),
            _ => None,
        }
    }

    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Answer(answer) | Self::NoRepository { answer, .. } => answer.code.as_deref(),
            _ => None,
        }
    }
}

/// A certificate that is not trusted will not be trusted a second later.
pub(super) fn refused_certificate(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.contains("invalid peer certificate"))
}

/// Whether a proxy asked for a login that it did not get. The library has no type of its own for that.
fn wants_login(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause == "tunnel error: proxy authorization required")
}

/// The innermost cause, which is the one that says something; the outer ones repeat the request.
fn cause_of(error: &reqwest::Error) -> String {
    match causes(error).last() {
        Some(cause) if cause == "tunnel error: unsuccessful" => "the proxy did not connect to it".to_owned(),
        cause => cause.unwrap_or_else(|| error.to_string()),
    }
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = String> {
    let mut next = std::error::Error::source(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause.to_string())
    })
}
