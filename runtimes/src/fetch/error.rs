//! Why an artifact is not there.

use url::Url;

use super::ClientError;
use crate::mirrors::MirrorsError;
use crate::store::StoreError;

/// Why an artifact is not there.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It is not known where it comes from.
    #[error(transparent)]
    Mirrors(#[from] MirrorsError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A client for a mirror cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The asynchronous runtime cannot be started.
    #[error("could not start the threads that fetch packages")]
    Runtime(#[source] std::io::Error),
    /// No mirror has it any more.
    #[error("`{artifact}` is gone: {url} answers {status}")]
    Gone {
        /// Package and version.
        artifact: String,
        /// The address, without credentials.
        url: Box<Url>,
        /// The answer.
        status: u16,
    },
    /// A mirror has it with other content.
    #[error("`{artifact}` from {url} has the SHA-256 `{found}`, and the lock says `{expected}`")]
    Mismatch {
        /// Package and version.
        artifact: String,
        /// The address, without credentials.
        url: Box<Url>,
        /// The digest that is locked.
        expected: String,
        /// The digest of what came.
        found: String,
    },
    /// A mirror wants other credentials.
    #[error("`{artifact}` is refused: {url} answers {status}")]
    Refused {
        /// Package and version.
        artifact: String,
        /// The address, without credentials.
        url: Box<Url>,
        /// The answer.
        status: u16,
    },
    /// A mirror cannot be reached or fails; the same may succeed later.
    #[error("could not fetch `{artifact}` from {url}: {reason}")]
    Transient {
        /// Package and version.
        artifact: String,
        /// The address, without credentials.
        url: Box<Url>,
        /// What happened last.
        reason: String,
    },
    /// A registry's answer is not what it should be.
    #[error("{url} does not answer as a package index should: {reason}")]
    Index {
        /// The address, without credentials.
        url: Box<Url>,
        /// What is wrong.
        reason: String,
    },
}

impl FetchError {
    /// Whether the same may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }
}
