//! One transfer: retried, continued where it broke, bounded, and hashed on the way.

use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_RANGE, RANGE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use url::Url;

use crate::canonical::hex;
use crate::mirrors::Auth;
use crate::progress::{Event, Progress};

/// How often a transfer is tried.
const ATTEMPTS: u32 = 5;

/// The longest that a server may make us wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest document of an index.
const MAX_DOCUMENT: usize = 64 * 1024 * 1024;

/// The largest file of unknown size.
const MAX_FILE: u64 = 1024 * 1024 * 1024;

/// What a lock says of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) sha256: &'a str,
    pub(super) size: u64,
}

impl Expected<'_> {
    pub(super) fn label(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

/// Why a transfer failed.
#[derive(Debug)]
pub(super) enum TransferError {
    /// An answer that another attempt would not change.
    Status(u16),
    /// The bytes are others.
    Digest { expected: String, found: String },
    /// The network or the server failed, as often as it was tried.
    Transient(String),
    /// The file cannot be written.
    File(std::io::Error),
}

/// Why an attempt failed, and whether another makes sense.
enum Attempt {
    Final(TransferError),
    Again { reason: String, after: Option<Duration> },
}

/// Writes a file of known digest.
pub(super) async fn download(
    client: &Client,
    auth: Option<&Auth>,
    url: &Url,
    what: Expected<'_>,
    file: &mut NamedTempFile,
    progress: &dyn Progress,
) -> Result<(), TransferError> {
    let mut sink = Sink::new(file, what.size);
    let mut restarted = false;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let continued = sink.len > 0;
        let outcome = sink.receive(client, auth, url, progress).await;
        let failure = match outcome {
            Ok(()) => match sink.finish() {
                found if found == what.sha256 => return Ok(()),
                found if continued && !restarted => {
                    // Two halves of different files: only a whole one can tell whether the mirror's is wrong.
                    restarted = true;
                    sink.clear(progress).map_err(TransferError::File)?;
                    Attempt::Again {
                        reason: format!("the continued file has the SHA-256 `{found}`"),
                        after: None,
                    }
                }
                found => return Err(TransferError::Digest { expected: what.sha256.to_owned(), found }),
            },
            Err(failure) => failure,
        };
        match failure {
            Attempt::Final(error) => return Err(error),
            Attempt::Again { reason, .. } if attempt == ATTEMPTS => {
                return Err(TransferError::Transient(reason));
            }
            Attempt::Again { reason, after } => {
                progress.event(&Event::Retried { name: what.name, reason: &reason });
                pause(attempt, after).await;
            }
        }
    }
}

/// Writes a file of unknown digest and returns its SHA-256 and size.
pub(super) async fn download_any(
    client: &Client,
    auth: Option<&Auth>,
    url: &Url,
    file: &mut NamedTempFile,
) -> Result<(String, u64), TransferError> {
    let mut sink = Sink::new(file, MAX_FILE);
    for attempt in 1.. {
        match sink.receive(client, auth, url, &crate::progress::Silent).await {
            Ok(()) => break,
            Err(Attempt::Final(error)) => return Err(error),
            Err(Attempt::Again { reason, .. }) if attempt == ATTEMPTS => {
                return Err(TransferError::Transient(reason));
            }
            Err(Attempt::Again { after, .. }) => pause(attempt, after).await,
        }
    }
    Ok((sink.finish(), sink.len))
}

/// The bytes of a document, and the address it came from after redirects.
pub(super) async fn document(
    client: &Client,
    auth: Option<&Auth>,
    url: &Url,
    accept: &str,
) -> Result<(Vec<u8>, Url), TransferError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match try_document(client, auth, url, accept).await {
            Ok(document) => return Ok(document),
            Err(Attempt::Final(error)) => return Err(error),
            Err(Attempt::Again { reason, .. }) if attempt == ATTEMPTS => {
                return Err(TransferError::Transient(reason));
            }
            Err(Attempt::Again { after, .. }) => pause(attempt, after).await,
        }
    }
}

async fn try_document(
    client: &Client,
    auth: Option<&Auth>,
    url: &Url,
    accept: &str,
) -> Result<(Vec<u8>, Url), Attempt> {
    let request = authorised(client.get(url.clone()), auth).header(ACCEPT, accept);
    let mut response = answer(request, false).await?;
    let base = response.url().clone();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_DOCUMENT {
            let reason = format!("its document has more than {MAX_DOCUMENT} bytes");
            return Err(Attempt::Again { reason, after: None });
        }
    }
    Ok((body, base))
}

/// A file in the making.
struct Sink<'a> {
    file: &'a mut NamedTempFile,
    hasher: Sha256,
    len: u64,
    limit: u64,
}

impl<'a> Sink<'a> {
    fn new(file: &'a mut NamedTempFile, limit: u64) -> Self {
        Self { file, hasher: Sha256::new(), len: 0, limit }
    }

    fn finish(&self) -> String {
        hex(&self.hasher.clone().finalize())
    }

    /// Starts from nothing.
    fn clear(&mut self, progress: &dyn Progress) -> std::io::Result<()> {
        self.file.as_file().set_len(0)?;
        self.file.as_file_mut().seek(SeekFrom::Start(0))?;
        progress.event(&Event::Received { bytes: -i64::try_from(self.len).unwrap_or(i64::MAX) });
        self.hasher = Sha256::new();
        self.len = 0;
        Ok(())
    }

    /// Receives what is still missing.
    async fn receive(
        &mut self,
        client: &Client,
        auth: Option<&Auth>,
        url: &Url,
        progress: &dyn Progress,
    ) -> Result<(), Attempt> {
        let mut request = authorised(client.get(url.clone()), auth);
        if self.len > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.len));
        }
        let mut response = answer(request, self.len > 0).await?;
        if self.len > 0 && !continues(&response, self.len) {
            self.clear(progress).map_err(unwritable)?;
        }
        let promised = response.content_length().map(|rest| rest + self.len);
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            self.len += chunk.len() as u64;
            if self.len > self.limit {
                let found = format!("(more than the {} bytes of the lock)", self.limit);
                return Err(Attempt::Final(TransferError::Digest {
                    expected: String::from("(that of the lock)"),
                    found,
                }));
            }
            self.hasher.update(&chunk);
            self.file.write_all(&chunk).map_err(unwritable)?;
            progress.event(&Event::Received { bytes: i64::try_from(chunk.len()).unwrap_or(i64::MAX) });
        }
        match promised {
            Some(promised) if promised != self.len => {
                let reason = format!("it ended after {} of {promised} bytes", self.len);
                Err(Attempt::Again { reason, after: None })
            }
            _ => Ok(()),
        }
    }
}

/// Whether an answer goes on exactly where the file ends.
fn continues(response: &Response, len: u64) -> bool {
    let range =
        response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    response.status() == StatusCode::PARTIAL_CONTENT && range.starts_with(&format!("bytes {len}-"))
}

fn authorised(request: RequestBuilder, auth: Option<&Auth>) -> RequestBuilder {
    match auth {
        Some(Auth::Basic { user, password }) => request.basic_auth(user, Some(password.reveal())),
        Some(Auth::Bearer(token)) => request.bearer_auth(token.reveal()),
        None => request,
    }
}

async fn answer(request: RequestBuilder, partial: bool) -> Result<Response, Attempt> {
    let response = request.send().await.map_err(broken)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let passing = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
        || (partial && status == StatusCode::RANGE_NOT_SATISFIABLE);
    if !passing {
        return Err(Attempt::Final(TransferError::Status(status.as_u16())));
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Err(Attempt::Again {
        reason: format!("it answers {}", status.as_u16()),
        after: after.map(Duration::from_secs),
    })
}

/// A broken connection, in words without the address, which may hold credentials.
fn broken(error: reqwest::Error) -> Attempt {
    use std::error::Error as _;
    let error = error.without_url();
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        reason = format!("{reason}: {next}");
        cause = next.source();
    }
    Attempt::Again { reason, after: None }
}

fn unwritable(cause: std::io::Error) -> Attempt {
    Attempt::Final(TransferError::File(cause))
}

/// 0.25 s, 0.5 s, 1 s, … or as long as the server asks for.
async fn pause(attempt: u32, after: Option<Duration>) {
    let usual = Duration::from_millis(250) * 2_u32.saturating_pow(attempt - 1);
    tokio::time::sleep(after.unwrap_or(usual).min(PATIENCE)).await;
}
