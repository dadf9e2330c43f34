//! A request that can be made more than once, and its answer.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use url::Url;

use crate::image::{Blob, BlobSource};
use crate::layer::{Growing, Stage};
use crate::reference::Reference;

/// What a request carries.
#[derive(Clone)]
pub(super) enum Payload {
    /// Nothing, and no length either.
    None,
    /// A body without bytes.
    Empty,
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// A file of a known size, from some byte on.
    File {
        /// Where it is.
        path: PathBuf,
        /// The size of the whole file.
        size: u64,
        /// What is left out at its beginning.
        from: u64,
    },
    /// What is still being made, and has no length yet.
    Growing(Growing),
}

impl Payload {
    /// A whole file.
    pub(super) fn file(path: impl Into<PathBuf>, size: u64) -> Self {
        Self::File { path: path.into(), size, from: 0 }
    }

    /// The content of a blob, or the repository that it is in where it is not on this machine.
    pub(super) fn of(blob: &Blob) -> Result<Self, &Reference> {
        match &blob.source {
            BlobSource::File(path) => Ok(Self::file(path, blob.descriptor.size())),
            BlobSource::Bytes(bytes) => Ok(Self::Bytes(bytes.clone())),
            BlobSource::Mounted { from } => Err(from),
        }
    }

    /// What is left after the first bytes. What grows has no rest that is known.
    pub(super) fn after(&self, first: u64) -> Self {
        match self {
            Self::Bytes(bytes) => {
                let first = usize::try_from(first).map_or(bytes.len(), |first| first.min(bytes.len()));
                Self::Bytes(bytes[first..].to_vec())
            }
            Self::File { path, size, from } => {
                Self::File { path: path.clone(), size: *size, from: (from + first).min(*size) }
            }
            whole @ (Self::None | Self::Empty | Self::Growing(_)) => whole.clone(),
        }
    }

    /// How many bytes there are, as far as it is known.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::None | Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, from, .. } => size - from,
            Self::Growing(growing) => match growing.stage() {
                Stage::Growing(written) | Stage::Whole(written) => written,
                Stage::Broken => 0,
            },
        }
    }

    /// Whether the registry waits for us and not we for it, when `sent` bytes have gone.
    pub(super) fn is_waited_for(&self, sent: u64) -> bool {
        match self {
            Self::Growing(growing) => {
                matches!(growing.stage(), Stage::Growing(written) if written <= sent)
            }
            _ => false,
        }
    }
}

/// A request that can be made more than once.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) accept: Option<&'static str>,
    pub(super) content_type: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Payload,
    /// How much longer than usual silence is borne.
    pub(super) patience: u32,
    /// Called with the number of body bytes sent so far.
    pub(super) sent: Option<&'a (dyn Fn(u64) + Sync)>,
    /// How many bytes of the body were given to the system the last time.
    pub(super) gone: AtomicU64,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            accept: None,
            content_type: None,
            headers: HeaderMap::new(),
            body: Payload::None,
            patience: 1,
            sent: None,
            gone: AtomicU64::new(0),
        }
    }

    pub(super) fn with_body(mut self, body: Payload) -> Self {
        self.body = body;
        self
    }

    /// How many bytes of the body were given to the system the last time, whether they arrived or not.
    pub(super) fn gone(&self) -> u64 {
        self.gone.load(Ordering::Relaxed)
    }

    pub(super) fn watched(mut self, sent: &'a (dyn Fn(u64) + Sync)) -> Self {
        self.sent = Some(sent);
        self
    }
}

/// An answer with the request it belongs to.
pub(super) struct Answer {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) response: Response,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }
}
