//! One exchange with a registry: authenticated, followed over redirects, bounded, repeated while that makes sense.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
};
use reqwest::{Method, Response};
use tokio::sync::OnceCell;
use url::{Host, Url};

use super::auth::{Access, Auth};
use super::body;
use super::credentials::Credentials;
use super::error::{ErrorAnswer, RegistryError};
use super::origin::{Origin, base_url, is_loopback, is_private, shown};
use super::report::Counters;
use super::retry::{Retry, RetryPolicy, retry_after};
use super::transport::{PrivateAddress, Timeouts, Transport};

/// More of an error body than anyone reads.
const ERROR_LIMIT: u64 = 64 * 1024;
/// A registry that redirects more often than this goes in circles.
const REDIRECTS: usize = 5;

/// The state that all exchanges of a client share.
pub(super) struct Core {
    pub(super) transport: Transport,
    pub(super) credentials: Credentials,
    pub(super) insecure: Vec<String>,
    pub(super) secure: Vec<String>,
    pub(super) realm_allow: Vec<String>,
    pub(super) retry: RetryPolicy,
    pub(super) timeouts: Timeouts,
    pub(super) scratch: PathBuf,
    pub(super) counters: Counters,
    pub(super) on_wait: Option<super::OnWait>,
    registries: Mutex<BTreeMap<String, Arc<Registry>>>,
    /// Blobs that were seen in a repository: (registry, repository, digest).
    present: Mutex<BTreeSet<(String, String, String)>>,
}

/// One registry that the user named.
pub(super) struct Registry {
    pub(super) name: String,
    pub(super) base: Url,
    pub(super) origin: Origin,
    pub(super) auth: Auth,
    private: OnceCell<bool>,
    /// All requests wait until then, because the registry asked one of them to.
    not_before: Mutex<Option<Instant>>,
}

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
}

impl Payload {
    fn size(&self) -> u64 {
        match self {
            Self::None | Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
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

impl Core {
    pub(super) fn new(transport: Transport, options: super::Options) -> Self {
        Self {
            transport,
            credentials: options.credentials,
            insecure: options.insecure,
            secure: options.secure,
            realm_allow: options.realm_allow,
            retry: options.retry,
            timeouts: options.timeouts,
            scratch: options.scratch,
            counters: Counters::default(),
            on_wait: options.on_wait,
            registries: Mutex::default(),
            present: Mutex::default(),
        }
    }

    /// The shared state of a registry.
    pub(super) fn registry(&self, name: &str) -> Result<Arc<Registry>, RegistryError> {
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(registry) = registries.get(name) {
            return Ok(Arc::clone(registry));
        }
        let bad = || RegistryError::Setup { problem: format!("`{name}` is not the name of a registry") };
        let base = base_url(name, &self.insecure, &self.secure).map_err(|_| bad())?;
        let registry = Arc::new(Registry {
            name: name.to_owned(),
            origin: Origin::of(&base).ok_or_else(bad)?,
            base,
            auth: Auth::default(),
            private: OnceCell::new(),
            not_before: Mutex::new(None),
        });
        registries.insert(name.to_owned(), Arc::clone(&registry));
        Ok(registry)
    }

    pub(super) fn is_present(&self, registry: &str, repository: &str, digest: &str) -> bool {
        let key = (registry.to_owned(), repository.to_owned(), digest.to_owned());
        self.present.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    pub(super) fn set_present(&self, registry: &str, repository: &str, digest: &str) {
        let key = (registry.to_owned(), repository.to_owned(), digest.to_owned());
        self.present.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    /// Makes a request until it succeeds, fails for good, or has been tried long enough.
    pub(super) async fn send(
        &self,
        registry: &Registry,
        access: &Access,
        call: &Call<'_>,
        allowed: &[u16],
    ) -> Result<Answer, RegistryError> {
        let mut retry = Retry::new(&self.retry);
        loop {
            match self.once(registry, access, call, allowed).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.pause(registry, &mut retry, error).await?,
            }
        }
    }

    /// Makes a request to a token service, which gets nothing but what the request holds already.
    pub(super) async fn send_away(
        &self,
        registry: &Registry,
        call: &Call<'_>,
        allowed: &[u16],
    ) -> Result<Answer, RegistryError> {
        let mut retry = Retry::new(&self.retry);
        loop {
            let attempt = async {
                let answer = self.transmit(registry, call, &call.url, None).await?;
                self.checked(answer, allowed).await
            };
            match attempt.await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.pause(registry, &mut retry, error).await?,
            }
        }
    }

    /// Waits before the next try, or returns the error if there is to be none.
    pub(super) async fn pause(
        &self,
        registry: &Registry,
        retry: &mut Retry<'_>,
        error: RegistryError,
    ) -> Result<(), RegistryError> {
        let Some(wait) = retry.next(&error) else {
            return Err(error);
        };
        if let Some(on_wait) = &self.on_wait {
            on_wait(&super::Wait { registry: registry.name.clone(), reason: error.to_string(), wait });
        }
        if matches!(error.status(), Some(429 | 403)) {
            let until = Instant::now() + wait;
            let mut not_before = registry.not_before.lock().unwrap_or_else(PoisonError::into_inner);
            *not_before = not_before.map_or(Some(until), |earlier| Some(earlier.max(until)));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Makes a request once, but for a 401, which is answered with new authentication one time.
    pub(super) async fn once(
        &self,
        registry: &Registry,
        access: &Access,
        call: &Call<'_>,
        allowed: &[u16],
    ) -> Result<Answer, RegistryError> {
        self.wait_for_turn(registry).await;
        let mut first = None;
        if !registry.auth.is_known() {
            let turn = registry.auth.first.lock().await;
            // Whoever had the turn before may have found out.
            first = (!registry.auth.is_known()).then_some(turn);
        }
        let mut renewed = false;
        loop {
            let authorization = self.authorization(registry, access).await?;
            let answer = self.follow(registry, call, authorization.as_ref()).await?;
            let at_home = Origin::of(&answer.url).as_ref() == Some(&registry.origin);
            if answer.status() != 401 || !at_home {
                if at_home {
                    registry.auth.was_open();
                }
                return self.checked_for(registry, access, answer, allowed).await;
            }
            let headers = answer.response.headers();
            let worth_it = self.challenged(registry, access, headers, authorization.as_ref()).await?;
            drop(first.take());
            if renewed || !worth_it {
                return self.checked_for(registry, access, answer, allowed).await;
            }
            renewed = true;
            // Reading a small body to its end lets the connection be used again.
            drop(self.read_bounded(answer, ERROR_LIMIT).await);
        }
    }

    async fn wait_for_turn(&self, registry: &Registry) {
        let until = *registry.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = until.and_then(|until| until.checked_duration_since(Instant::now())) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends a request and follows redirects. Away from the registry's own origin nothing of ours is sent along.
    async fn follow(
        &self,
        registry: &Registry,
        call: &Call<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, RegistryError> {
        let mut url = call.url.clone();
        for _ in 0..=REDIRECTS {
            let at_home = Origin::of(&url).as_ref() == Some(&registry.origin);
            if !at_home {
                self.check_away(registry, &url).await?;
            }
            let answer = self.transmit(registry, call, &url, authorization.filter(|_| at_home)).await?;
            let reads = matches!(call.method, Method::GET | Method::HEAD);
            let redirects = match answer.status() {
                301..=303 => reads,
                307 | 308 => true,
                _ => false,
            };
            if !redirects {
                return Ok(answer);
            }
            url = Self::location(registry, &answer)?;
        }
        Err(malformed(&call.url, "it redirects in circles"))
    }

    /// The target of a `Location` header: resolved, and with TLS wherever the registry has it.
    pub(super) fn location(registry: &Registry, answer: &Answer) -> Result<Url, RegistryError> {
        let location = answer.header(LOCATION.as_str());
        let location = location.ok_or_else(|| malformed(&answer.url, "the `Location` header is missing"))?;
        let mut url = answer
            .url
            .join(location)
            .map_err(|_| malformed(&answer.url, "the `Location` header is not a URL"))?;
        // Behind a proxy that ends TLS registries believe to be spoken to by plain http.
        let same_host = url.host_str() == registry.base.host_str();
        if registry.origin.is_tls() && url.scheme() == "http" && same_host {
            let _ = url.set_scheme("https");
            let _ = url.set_port(registry.base.port());
        }
        Ok(url)
    }

    /// Whether we go where a registry sends us: not from TLS to plain http, not from the public net to a private one.
    pub(super) async fn check_away(&self, registry: &Registry, target: &Url) -> Result<(), RegistryError> {
        let forbidden = |reason: &str| RegistryError::Forbidden {
            url: shown(&registry.base),
            target: shown(target),
            reason: reason.to_owned(),
        };
        let origin = Origin::of(target).ok_or_else(|| forbidden("it is neither http nor https"))?;
        if origin == registry.origin || self.is_listed(target) {
            return Ok(());
        }
        let plain = !origin.is_tls() && !is_loopback(target) && !self.is_insecure(target);
        if !origin.is_tls() && (registry.origin.is_tls() || plain) {
            return Err(forbidden("it is plain http"));
        }
        let literal = match target.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            _ => None,
        };
        if literal.is_some_and(is_private) && !self.is_private(registry).await {
            return Err(forbidden("it is a private address"));
        }
        Ok(())
    }

    fn is_insecure(&self, url: &Url) -> bool {
        host_in(&self.insecure, url)
    }

    fn is_listed(&self, url: &Url) -> bool {
        host_in(&self.realm_allow, url)
    }

    /// Whether the registry itself is in a private network; then so may be what it names.
    async fn is_private(&self, registry: &Registry) -> bool {
        let look_up = async {
            let Some(host) = registry.base.host_str() else {
                return false;
            };
            if is_loopback(&registry.base) {
                return true;
            }
            let host = host.trim_start_matches('[').trim_end_matches(']');
            match tokio::net::lookup_host((host, 0)).await {
                Ok(mut addresses) => addresses.any(|address| is_private(address.ip())),
                Err(_) => false,
            }
        };
        *registry.private.get_or_init(|| look_up).await
    }

    async fn transmit(
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
            body => {
                request = request
                    .header(CONTENT_LENGTH, body.size())
                    .body(body::stream(body, Arc::clone(&sent)).await?);
            }
        }
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let result = self.guarded(call, url, &sent, request.send()).await;
        self.counters.sent.fetch_add(sent.load(Ordering::Relaxed), Ordering::Relaxed);
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
        let size = call.body.size();
        let settling = Duration::from_secs(size / 50_000_000);
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
            if now != moved {
                (moved, last) = (now, Instant::now());
                if let Some(report) = call.sent {
                    report(now);
                }
            }
            let settling = if moved >= size { settling } else { Duration::ZERO };
            let patience = self.timeouts.silence * call.patience + settling;
            if last.elapsed() > patience {
                return Err(stalled(&call.method, url, patience));
            }
        }
    }

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

    async fn checked_for(
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
    async fn checked(&self, answer: Answer, allowed: &[u16]) -> Result<Answer, RegistryError> {
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

fn host_in(list: &[String], url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let with_port = url.port_or_known_default().map(|port| format!("{host}:{port}"));
    list.iter().any(|name| name.eq_ignore_ascii_case(host) || Some(name) == with_port.as_ref())
}

pub(super) fn malformed(url: &Url, problem: &str) -> RegistryError {
    RegistryError::Malformed { url: shown(url), problem: problem.to_owned() }
}

fn stalled(method: &Method, url: &Url, waited: Duration) -> RegistryError {
    RegistryError::Stalled { method: method.to_string(), url: shown(url), waited }
}

fn connection(method: &Method, url: &Url, error: reqwest::Error) -> RegistryError {
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        if let Some(private) = inner.downcast_ref::<PrivateAddress>() {
            let reason = private.to_string();
            return RegistryError::Forbidden { url: "the registry".into(), target: shown(url), reason };
        }
        cause = inner.source();
    }
    RegistryError::Connection { method: method.to_string(), url: shown(url), source: error.without_url() }
}
