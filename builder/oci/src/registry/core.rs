//! What all exchanges of a client share, and when one is repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use url::Url;

use super::answer::ERROR_LIMIT;
use super::auth::{Access, Auth};
use super::call::{Answer, Call};
use super::credentials::Credentials;
use super::error::RegistryError;
use super::origin::{Origin, base_url};
use super::report::Counters;
use super::retry::{Retry, RetryPolicy};
use super::transport::{Timeouts, Transport};

/// How often it is looked whether a push is to stop.
const STOP_CHECK: Duration = Duration::from_millis(50);

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
    stop: Option<Arc<AtomicUsize>>,
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
    pub(super) private: OnceCell<bool>,
    /// All requests wait until then, because the registry asked one of them to.
    not_before: Mutex<Option<Instant>>,
}

impl Registry {
    /// The server at an address, of which nothing is known yet.
    pub(super) fn of(origin: Origin, base: &Url) -> Self {
        Self {
            name: base.host_str().unwrap_or_default().to_owned(),
            base: base.clone(),
            origin,
            auth: Auth::default(),
            private: OnceCell::new(),
            not_before: Mutex::new(None),
        }
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
            stop: options.stop,
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
        let origin = Origin::of(&base).ok_or_else(bad)?;
        let registry = Arc::new(Registry { name: name.to_owned(), ..Registry::of(origin, &base) });
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

    /// Forgets what a repository was taken to have.
    pub(super) fn forget_present(&self, registry: &str, repository: &str) {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.retain(|(of, within, _)| of != registry || within != repository);
    }

    /// Makes a request until it succeeds, fails for good, or has been tried long enough.
    pub(super) async fn send(
        &self,
        registry: &Registry,
        access: &Access,
        call: &Call<'_>,
        allowed: &[u16],
    ) -> Result<Answer, RegistryError> {
        self.send_by(&self.retry, registry, access, call, allowed).await
    }

    /// The same, with tries of its own.
    pub(super) async fn send_by(
        &self,
        policy: &RetryPolicy,
        registry: &Registry,
        access: &Access,
        call: &Call<'_>,
        allowed: &[u16],
    ) -> Result<Answer, RegistryError> {
        let mut retry = Retry::new(policy);
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
            let turn = registry.auth.first.acquire().await.ok();
            // Whoever had the turn before may have found out.
            first = turn.filter(|_| !registry.auth.is_known());
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

    /// Carries something out, unless it is stopped on the way.
    pub(super) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let Some(stop) = &self.stop else { return work.await };
        let asked = async {
            loop {
                match stop.load(Ordering::SeqCst) {
                    0 => tokio::time::sleep(STOP_CHECK).await,
                    signal => return signal,
                }
            }
        };
        tokio::select! {
            done = work => done,
            signal = asked => Err(RegistryError::Stopped { signal }),
        }
    }

    async fn wait_for_turn(&self, registry: &Registry) {
        let until = *registry.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = until.and_then(|until| until.checked_duration_since(Instant::now())) {
            tokio::time::sleep(wait).await;
        }
    }
}
