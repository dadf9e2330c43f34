//! A request that can be made more than once, and its answer.

use std::path::PathBuf;

use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use url::Url;

use crate::layer::{Growing, Stage};

/// What a request carries.
#[derive(Clone)]
pub(super) enum Payload {
    /// Nothing, and no length either.
    None,
    /// A body without bytes.
    Empty,
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// A file of a known size.
    File(PathBuf, u64),
    /// What is still being made, and has no length yet.
    Growing(Growing),
}

impl Payload {
    /// How many bytes there are, as far as it is known.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::None | Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
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
        }
    }

    pub(super) fn with_body(mut self, body: Payload) -> Self {
        self.body = body;
        self
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
