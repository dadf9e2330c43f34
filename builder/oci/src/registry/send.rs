//! One request on the wire, watched while its bytes move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Response;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use url::Url;

use super::answer::{connection, stalled};
use super::body;
use super::call::{Answer, Call, Payload};
use super::core::{Core, Registry};
use super::error::RegistryError;
use super::origin::Origin;

/// How fast a registry reads what it was sent once more, in bytes per second.
const SETTLED_PER_SECOND: u64 = 50_000_000;

impl Core {
    pub(super) async fn transmit(
        &self,
        registry: &Registry,
        call: &Call<'_>,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, RegistryError> {
        let at_home = Origin::of(url).as_ref() == Some(&registry.origin);
        let trusted = at_home || self.is_listed(url) || self.is_private(registry).await;
        let client = if trusted { &self.transport.home } else { &self.transport.away };
        let mut request = client.request(call.method.clone(), url.clone()).headers(call.headers.clone());
        if let Some(accept) = call.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(content_type) = &call.content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let sent = Arc::new(AtomicU64::new(0));
        match &call.body {
            Payload::None => {}
            Payload::Empty => request = request.header(CONTENT_LENGTH, 0),
            // Without a length it goes in chunks.
            body @ Payload::Growing(_) => {
                request = request.body(body::stream(body, Arc::clone(&sent)).await?);
            }
            body => {
                request = request
                    .header(CONTENT_LENGTH, body.size())
                    .body(body::stream(body, Arc::clone(&sent)).await?);
            }
        }
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let result = self.guarded(call, url, &sent, request.send()).await;
        let gone = sent.load(Ordering::Relaxed);
        call.gone.store(gone, Ordering::Relaxed);
        self.counters.sent.fetch_add(gone, Ordering::Relaxed);
        let response = result?;
        Ok(Answer { method: call.method.clone(), url: url.clone(), response })
    }

    /// Waits for an answer while bytes move. Silence is allowed for a while; after the body's end for longer, since
    /// a registry may read a large blob once more before it answers.
    async fn guarded(
        &self,
        call: &Call<'_>,
        url: &Url,
        sent: &AtomicU64,
        answer: impl Future<Output = reqwest::Result<Response>>,
    ) -> Result<Response, RegistryError> {
        let mut answer = std::pin::pin!(answer);
        let (mut moved, mut last) = (0, Instant::now());
        loop {
            tokio::select! {
                result = &mut answer => {
                    if let Some(report) = call.sent {
                        report(sent.load(Ordering::Relaxed));
                    }
                    return result.map_err(|error| connection(&call.method, url, error));
                }
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
            let now = sent.load(Ordering::Relaxed);
            if now != moved || call.body.is_waited_for(now) {
                (moved, last) = (now, Instant::now());
                if let Some(report) = call.sent {
                    report(now);
                }
            }
            let size = call.body.size();
            let settling = if moved >= size { size / SETTLED_PER_SECOND } else { 0 };
            let settling = Duration::from_secs(settling);
            let patience = self.timeouts.silence * call.patience + settling;
            if last.elapsed() > patience {
                return Err(stalled(&call.method, url, patience));
            }
        }
    }
}
