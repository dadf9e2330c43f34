//! Finding out what a registry wants to see, and getting it: basic authentication and tokens.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use url::Url;

use super::call::{Call, Payload};
use super::challenge::{Bearer, Challenge, choose};
use super::core::{Core, Registry};
use super::credentials::{Found, Login};
use super::error::{AuthHint, RegistryError};
use super::origin::shown;

/// More than any token service sends.
const TOKEN_LIMIT: u64 = 1024 * 1024;

/// How many requests may run into the same 401.
const FIRST: usize = 2;

/// What one registry wants, as far as it has told us.
pub(super) struct Auth {
    scheme: Mutex<Option<Scheme>>,
    /// Held by the first requests, so that parallel ones do not all run into the same 401. There are two: what is looked
    /// for at the start of a build is looked for at the same time.
    pub(super) first: tokio::sync::Semaphore,
    /// The lock is held while a token is fetched, so that one fetch serves all who wait.
    tokens: tokio::sync::Mutex<BTreeMap<Vec<String>, Token>>,
    logins: tokio::sync::Mutex<BTreeMap<String, Found>>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            scheme: Mutex::default(),
            first: tokio::sync::Semaphore::new(FIRST),
            tokens: tokio::sync::Mutex::default(),
            logins: tokio::sync::Mutex::default(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Scheme {
    Anonymous,
    Basic,
    Bearer(Bearer),
}

struct Token {
    header: HeaderValue,
    expires: Instant,
}

/// Whom a request is for: the repository decides about the login, the scopes about the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) repository: String,
    /// The target's scope first, as at least one registry wants it; then those of mount sources.
    pub(super) scopes: Vec<String>,
}

impl Access {
    pub(super) fn pull(repository: &str) -> Self {
        Self { repository: repository.to_owned(), scopes: vec![format!("repository:{repository}:pull")] }
    }

    /// Access that deletes as well, where the login may.
    pub(super) fn delete(repository: &str) -> Self {
        let scopes = vec![format!("repository:{repository}:pull,push,delete")];
        Self { repository: repository.to_owned(), scopes }
    }

    /// Access to the list of a registry's repositories.
    pub(super) fn catalog() -> Self {
        Self { repository: String::new(), scopes: vec!["registry:catalog:*".to_owned()] }
    }

    pub(super) fn push<'a>(repository: &str, sources: impl Iterator<Item = &'a str>) -> Self {
        let mut scopes = vec![format!("repository:{repository}:pull,push")];
        let mut sources: Vec<_> = sources.filter(|source| *source != repository).collect();
        sources.sort_unstable();
        sources.dedup();
        scopes.extend(sources.iter().map(|source| format!("repository:{source}:pull")));
        Self { repository: repository.to_owned(), scopes }
    }

    /// The same, where blobs are mounted from some more repositories; none if it has them all.
    pub(super) fn reading<'a>(&self, sources: impl Iterator<Item = &'a str>) -> Option<Self> {
        let sources = sources.filter(|source| *source != self.repository);
        let mut more: Vec<String> = sources.map(|source| format!("repository:{source}:pull")).collect();
        more.retain(|scope| !self.scopes.contains(scope));
        more.sort_unstable();
        more.dedup();
        let scopes = self.scopes.iter().cloned().chain(more.iter().cloned()).collect();
        (!more.is_empty()).then(|| Self { scopes, ..self.clone() })
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Auth {
    pub(super) fn is_known(&self) -> bool {
        self.scheme().is_some()
    }

    fn scheme(&self) -> Option<Scheme> {
        self.scheme.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_scheme(&self, scheme: Scheme) {
        *self.scheme.lock().unwrap_or_else(PoisonError::into_inner) = Some(scheme);
    }

    /// Notes that the registry answered without asking who we are.
    pub(super) fn was_open(&self) {
        let mut scheme = self.scheme.lock().unwrap_or_else(PoisonError::into_inner);
        scheme.get_or_insert(Scheme::Anonymous);
    }
}

impl Core {
    /// The header for a request, as far as the registry has told what it wants.
    pub(super) async fn authorization(
        &self,
        registry: &Registry,
        access: &Access,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        match registry.auth.scheme() {
            None | Some(Scheme::Anonymous) => Ok(None),
            Some(Scheme::Basic) => Ok(self.login(registry, access).await?.login.as_ref().and_then(basic)),
            Some(Scheme::Bearer(bearer)) => self.token(registry, access, &bearer).await.map(Some),
        }
    }

    /// Takes note of a 401. Returns whether the request is worth repeating.
    pub(super) async fn challenged(
        &self,
        registry: &Registry,
        access: &Access,
        headers: &HeaderMap,
        sent: Option<&HeaderValue>,
    ) -> Result<bool, RegistryError> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        match choose(values) {
            Some(Challenge::Basic) => {
                registry.auth.set_scheme(Scheme::Basic);
                let login = self.login(registry, access).await?.login;
                Ok(login.as_ref().and_then(basic).is_some_and(|header| Some(&header) != sent))
            }
            Some(Challenge::Bearer(bearer)) => {
                self.forget_token(registry, access, sent).await;
                registry.auth.set_scheme(Scheme::Bearer(bearer));
                Ok(true)
            }
            // A bare 401 breaks the specification, but happens where a token has run out.
            None => {
                self.forget_token(registry, access, sent).await;
                Ok(true)
            }
        }
    }

    async fn forget_token(&self, registry: &Registry, access: &Access, sent: Option<&HeaderValue>) {
        let mut tokens = registry.auth.tokens.lock().await;
        // Another request may have fetched a new one already.
        if tokens.get(&access.scopes).is_some_and(|token| Some(&token.header) == sent) {
            tokens.remove(&access.scopes);
        }
    }

    /// What the registry wants to see, as far as it has said so, and whether there is anything to show.
    pub(super) async fn wanted(&self, registry: &Registry, access: &Access) -> (Option<bool>, String) {
        let wanted = match registry.auth.scheme() {
            None => return (None, "it has not said".into()),
            Some(Scheme::Anonymous) => return (Some(true), "none is asked for".into()),
            Some(Scheme::Basic) => "user and password".to_owned(),
            Some(Scheme::Bearer(bearer)) => match Url::parse(&bearer.realm) {
                Ok(realm) => format!("tokens of {}", shown(&realm)),
                Err(_) => "tokens of a place that is no URL".to_owned(),
            },
        };
        match self.login(registry, access).await {
            Ok(Found { login: Some(_), .. }) => (Some(true), format!("{wanted}; there are credentials")),
            Ok(_) => (Some(false), format!("{wanted}; there are no credentials for it")),
            Err(error) => (Some(false), format!("{wanted}; {error}")),
        }
    }

    /// Where credentials were looked for, for the message about a refusal.
    pub(super) async fn hints(&self, registry: &Registry, access: &Access) -> Vec<AuthHint> {
        self.login(registry, access).await.map(|found| found.hints).unwrap_or_default()
    }

    async fn login(&self, registry: &Registry, access: &Access) -> Result<Found, RegistryError> {
        let mut logins = registry.auth.logins.lock().await;
        if let Some(found) = logins.get(&access.repository) {
            return Ok(found.clone());
        }
        let found = self
            .credentials
            .find(&registry.name, &access.repository)
            .await
            .map_err(|source| RegistryError::Credentials { registry: registry.name.clone(), source })?;
        logins.insert(access.repository.clone(), found.clone());
        Ok(found)
    }

    async fn token(
        &self,
        registry: &Registry,
        access: &Access,
        bearer: &Bearer,
    ) -> Result<HeaderValue, RegistryError> {
        let mut tokens = registry.auth.tokens.lock().await;
        if let Some(token) = tokens.get(&access.scopes).filter(|token| token.expires > Instant::now()) {
            return Ok(token.header.clone());
        }
        let found = self.login(registry, access).await?;
        let result = self.fetch_token(registry, bearer, &found, &access.scopes).await;
        let token = match result {
            // The service may refuse the whole request over a mount source that we may not read: then that blob is
            // sent instead of mounted, which is no reason to fail.
            Err(error) if access.scopes.len() > 1 && matches!(error.status(), Some(400 | 401 | 403)) => {
                self.fetch_token(registry, bearer, &found, &access.scopes[..1]).await?
            }
            result => result?,
        };
        let header = token.header.clone();
        tokens.insert(access.scopes.clone(), token);
        Ok(header)
    }

    async fn fetch_token(
        &self,
        registry: &Registry,
        bearer: &Bearer,
        found: &Found,
        scopes: &[String],
    ) -> Result<Token, RegistryError> {
        let realm = self.realm(registry, bearer).await?;
        let url = shown(&realm);
        let call = token_call(realm, bearer, found, scopes);
        let answer =
            self.send_away(registry, &call, &[200]).await.map_err(|error| with_hints(error, found))?;
        let fetched = Instant::now();
        let body = self.read_bounded(answer, TOKEN_LIMIT).await?;
        let malformed =
            |problem: &str| RegistryError::Malformed { url: url.clone(), problem: problem.into() };
        let answer: TokenAnswer =
            serde_json::from_slice(&body).map_err(|_| malformed("the answer holds no token in JSON"))?;
        let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| malformed("the answer holds no token"))?;
        let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| malformed("the token holds control characters"))?;
        header.set_sensitive(true);
        // A tenth is kept in reserve for clocks and for the way of the request.
        let seconds = answer.expires_in.unwrap_or(60).clamp(1, 86_400);
        let expires = fetched + Duration::from_secs(seconds).mul_f64(0.9);
        Ok(Token { header, expires })
    }

    /// Checks where a registry sends us for a token: credentials will go there.
    async fn realm(&self, registry: &Registry, bearer: &Bearer) -> Result<Url, RegistryError> {
        let forbidden = |target: &str, reason: &str| RegistryError::Forbidden {
            url: shown(&registry.base),
            target: target.to_owned(),
            reason: reason.to_owned(),
            can_be_allowed: false,
        };
        let realm = Url::parse(&bearer.realm).map_err(|_| {
            let printable: String = bearer.realm.chars().filter(|c| !c.is_control()).take(200).collect();
            forbidden(&printable, "the token realm is not a URL")
        })?;
        let target = shown(&realm);
        if !realm.username().is_empty() || realm.password().is_some() {
            return Err(forbidden(&target, "the token realm names a user"));
        }
        if realm.fragment().is_some() {
            return Err(forbidden(&target, "the token realm has a fragment"));
        }
        self.check_away(registry, &realm).await?;
        Ok(realm)
    }
}

fn token_call(mut url: Url, bearer: &Bearer, found: &Found, scopes: &[String]) -> Call<'static> {
    let scopes: Vec<&str> = if scopes.is_empty() {
        bearer.scope.iter().map(String::as_str).collect()
    } else {
        scopes.iter().map(String::as_str).collect()
    };
    if let Some(Login::IdentityToken(token)) = &found.login {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token");
        form.append_pair("client_id", "lapstrake");
        form.append_pair("refresh_token", token.reveal());
        form.append_pair("scope", &scopes.join(" "));
        if let Some(service) = &bearer.service {
            form.append_pair("service", service);
        }
        let body = Payload::Bytes(form.finish().into_bytes());
        let mut call = Call::new(Method::POST, url).with_body(body);
        call.content_type = Some("application/x-www-form-urlencoded".into());
        return call;
    }
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &bearer.service {
            query.append_pair("service", service);
        }
        for scope in scopes {
            query.append_pair("scope", scope);
        }
    }
    let mut call = Call::new(Method::GET, url);
    if let Some(header) = found.login.as_ref().and_then(basic) {
        call.headers.insert(AUTHORIZATION, header);
    }
    call
}

fn basic(login: &Login) -> Option<HeaderValue> {
    let Login::Password { user, password } = login else {
        return None;
    };
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", password.reveal()));
    let mut header = HeaderValue::from_str(&format!("Basic {pair}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn with_hints(mut error: RegistryError, found: &Found) -> RegistryError {
    if let RegistryError::Answer(answer) = &mut error
        && matches!(answer.status, 400 | 401 | 403)
    {
        answer.hints.clone_from(&found.hints);
    }
    error
}
