//! Bodies: a file that is streamed and counted, and a registry's reasons in an error.

use std::io::SeekFrom;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _, ReadBuf};
use tokio_util::io::ReaderStream;

use super::call::Payload;
use super::error::RegistryError;
use crate::layer::{Growing, Stage};

/// Large enough that a piece costs little, small enough that a slow link still moves one before it counts as silent.
const PIECE: usize = 64 * 1024;
/// What is sent while it grows is not waited for so anxiously.
const LARGE_PIECE: usize = 256 * 1024;

/// Opens a payload for one sending. `sent` grows as the HTTP library takes the bytes.
pub(super) async fn stream(payload: &Payload, sent: Arc<AtomicU64>) -> Result<reqwest::Body, RegistryError> {
    match payload {
        Payload::None | Payload::Empty => Ok(reqwest::Body::from(Vec::new())),
        Payload::Bytes(bytes) => {
            let inner = std::io::Cursor::new(bytes.clone());
            Ok(reqwest::Body::wrap_stream(ReaderStream::with_capacity(Counted { inner, sent }, PIECE)))
        }
        Payload::File { path, size, from } => {
            let failed = |source| RegistryError::File { action: "read", path: path.clone(), source };
            let mut file = tokio::fs::File::open(path).await.map_err(failed)?;
            let found = file.metadata().await.map_err(failed)?.len();
            if found != *size {
                let url = path.display().to_string();
                return Err(RegistryError::SizeMismatch { url, expected: *size, found });
            }
            if *from > 0 {
                file.seek(SeekFrom::Start(*from)).await.map_err(failed)?;
            }
            let inner = file.take(size - from);
            Ok(reqwest::Body::wrap_stream(ReaderStream::with_capacity(Counted { inner, sent }, PIECE)))
        }
        Payload::Growing(growing) => Ok(reqwest::Body::wrap_stream(pieces(growing.clone(), sent))),
    }
}

/// What a growing blob has, as it comes; it ends with the blob, and fails with it.
fn pieces(
    growing: Growing,
    sent: Arc<AtomicU64>,
) -> impl futures_util::Stream<Item = std::io::Result<Vec<u8>>> + Send {
    futures_util::stream::try_unfold((growing, sent, 0u64), async |(mut growing, sent, at)| {
        let end = match growing.beyond(at).await {
            Stage::Whole(size) if size <= at => return Ok(None),
            Stage::Whole(written) | Stage::Growing(written) => written,
            Stage::Broken => return Err(std::io::Error::other("the blob was never finished")),
        };
        let wanted = usize::try_from(end - at).map_or(LARGE_PIECE, |left| left.min(LARGE_PIECE));
        let mut piece = vec![0; wanted];
        // The bytes were written a moment ago and are still in memory: no thread need wait for them.
        let count = growing.read_at(&mut piece, at)?;
        piece.truncate(count);
        if count == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
        }
        sent.fetch_add(count as u64, Ordering::Relaxed);
        Ok(Some((piece, (growing, sent, at + count as u64))))
    })
}

struct Counted<R> {
    inner: R,
    sent: Arc<AtomicU64>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.sent.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        result
    }
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The code and the message of an error body; without any, the status in words.
pub(super) fn error_of(body: &[u8], status: u16) -> (Option<String>, Option<String>) {
    let words = || reqwest::StatusCode::from_u16(status).ok()?.canonical_reason().map(str::to_lowercase);
    let Some(error) =
        serde_json::from_slice::<Errors>(body).ok().and_then(|errors| errors.errors.into_iter().next())
    else {
        return (None, plain_text(body).or_else(words));
    };
    let code = printable(&error.code, 64);
    let message = printable(&error.message, 500);
    (code, message.or_else(words))
}

/// A short plain body is a reason too; a page of markup is not.
fn plain_text(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    if text.contains('<') || text.starts_with('{') || text.len() > 500 {
        return None;
    }
    printable(text, 500)
}

/// Foreign text goes to a terminal only without control characters.
fn printable(text: &str, limit: usize) -> Option<String> {
    let text: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(limit).collect::<String>();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registrys_code_and_words_are_kept_and_made_printable() {
        let body = br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication\u001b[31m required","detail":1}]}"#;
        let (code, message) = error_of(body, 401);
        assert_eq!(code.as_deref(), Some("UNAUTHORIZED"));
        assert_eq!(message.as_deref(), Some("authentication [31m required"));
    }

    #[test]
    fn a_body_that_is_no_error_document_gives_the_status_in_words() {
        assert_eq!(error_of(b"<html>oops</html>", 502), (None, Some("bad gateway".into())));
        assert_eq!(error_of(b"", 413), (None, Some("payload too large".into())));
        assert_eq!(error_of(b"{}", 404), (None, Some("not found".into())));
        assert_eq!(error_of(b"slow down\n", 429), (None, Some("slow down".into())));
        assert_eq!(error_of(br#"{"errors":[]}"#, 403), (None, Some("forbidden".into())));
    }
}
