//! Reading answers: bounded, timed, and with the registry's reasons where it refuses.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use reqwest::Method;
use url::Url;

use super::auth::Access;
use super::body;
use super::call::Answer;
use super::core::{Core, Registry};
use super::error::{ErrorAnswer, RegistryError};
use super::origin::shown;
use super::retry::retry_after;
use super::transport::PrivateAddress;

/// More of an error body than anyone reads.
pub(super) const ERROR_LIMIT: u64 = 64 * 1024;

impl Core {
    /// The next piece of an answer's body.
    pub(super) async fn chunk(
        &self,
        answer: &mut Answer,
    ) -> Result<Option<impl AsRef<[u8]> + use<>>, RegistryError> {
        let chunk = tokio::time::timeout(self.timeouts.silence, answer.response.chunk())
            .await
            .map_err(|_| stalled(&answer.method, &answer.url, self.timeouts.silence))?
            .map_err(|error| connection(&answer.method, &answer.url, error))?;
        if let Some(chunk) = &chunk {
            self.counters.received.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        Ok(chunk)
    }

    /// Reads a whole body, up to a limit.
    pub(super) async fn read_bounded(
        &self,
        mut answer: Answer,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let too_large = || RegistryError::TooLarge { url: shown(&answer.url), limit };
        if answer.response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let started = Instant::now();
        while let Some(chunk) = self.chunk(&mut answer).await? {
            bytes.extend_from_slice(chunk.as_ref());
            if bytes.len() as u64 > limit {
                return Err(RegistryError::TooLarge { url: shown(&answer.url), limit });
            }
            // Documents are small: a drip of bytes is as good as silence.
            if started.elapsed() > self.timeouts.silence * 2 {
                return Err(stalled(&answer.method, &answer.url, started.elapsed()));
            }
        }
        Ok(bytes)
    }

    pub(super) async fn checked_for(
        &self,
        registry: &Registry,
        access: &Access,
        answer: Answer,
        allowed: &[u16],
    ) -> Result<Answer, RegistryError> {
        let mut result = self.checked(answer, allowed).await;
        if let Err(RegistryError::Answer(refusal)) = &mut result
            && matches!(refusal.status, 401 | 403)
        {
            refusal.hints = self.hints(registry, access).await;
        }
        result
    }

    /// Passes an answer on if its status is one of `allowed`, and reads the registry's reasons otherwise.
    pub(super) async fn checked(&self, answer: Answer, allowed: &[u16]) -> Result<Answer, RegistryError> {
        let status = answer.status();
        if allowed.contains(&status) {
            return Ok(answer);
        }
        let (method, url) = (answer.method.to_string(), shown(&answer.url));
        let retry_after = retry_after(answer.response.headers());
        // Part of a body, or none, is still an answer; its status is what counts.
        let body = self.read_some(answer).await;
        let (code, message) = body::error_of(&body, status);
        let hints = Vec::new();
        Err(RegistryError::Answer(Box::new(ErrorAnswer {
            method,
            url,
            status,
            code,
            message,
            retry_after,
            hints,
        })))
    }

    async fn read_some(&self, mut answer: Answer) -> Vec<u8> {
        let mut bytes = Vec::new();
        let started = Instant::now();
        while let Ok(Some(chunk)) = self.chunk(&mut answer).await {
            bytes.extend_from_slice(chunk.as_ref());
            if bytes.len() as u64 >= ERROR_LIMIT || started.elapsed() > Duration::from_secs(5) {
                break;
            }
        }
        bytes.truncate(usize::try_from(ERROR_LIMIT).unwrap_or(usize::MAX));
        bytes
    }
}

pub(super) fn malformed(url: &Url, problem: &str) -> RegistryError {
    RegistryError::Malformed { url: shown(url), problem: problem.to_owned() }
}

pub(super) fn stalled(method: &Method, url: &Url, waited: Duration) -> RegistryError {
    RegistryError::Stalled { method: method.to_string(), url: shown(url), waited }
}

pub(super) fn connection(method: &Method, url: &Url, error: reqwest::Error) -> RegistryError {
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        if let Some(private) = inner.downcast_ref::<PrivateAddress>() {
            let reason = private.to_string();
            return RegistryError::Forbidden {
                url: "the registry".into(),
                target: shown(url),
                reason,
                can_be_allowed: true,
            };
        }
        cause = inner.source();
    }
    RegistryError::Connection { method: method.to_string(), url: shown(url), source: error.without_url() }
}
