//! Where a registry sends us, and where we do not go.

use reqwest::Method;
use reqwest::header::{HeaderValue, LOCATION};
use url::{Host, Url};

use super::answer::malformed;
use super::call::{Answer, Call};
use super::core::{Core, Registry};
use super::error::RegistryError;
use super::origin::{Origin, is_loopback, is_private, shown};

/// A registry that redirects more often than this goes in circles.
const REDIRECTS: usize = 5;

impl Core {
    /// Sends a request and follows redirects. Away from the registry's own origin nothing of ours is sent along.
    pub(super) async fn follow(
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
        let forbidden = |reason: &str, can_be_allowed| RegistryError::Forbidden {
            url: shown(&registry.base),
            target: shown(target),
            reason: reason.to_owned(),
            can_be_allowed,
        };
        let origin = Origin::of(target).ok_or_else(|| forbidden("it is neither http nor https", false))?;
        if origin == registry.origin || self.is_listed(target) {
            return Ok(());
        }
        let plain = !origin.is_tls() && !is_loopback(target) && !self.is_insecure(target);
        if !origin.is_tls() && (registry.origin.is_tls() || plain) {
            return Err(forbidden("it is plain http", true));
        }
        let literal = match target.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            _ => None,
        };
        if literal.is_some_and(is_private) && !self.is_private(registry).await {
            return Err(forbidden("it is a private address", true));
        }
        Ok(())
    }

    pub(super) fn is_insecure(&self, url: &Url) -> bool {
        is_listed(&self.insecure, url)
    }

    pub(super) fn is_listed(&self, url: &Url) -> bool {
        is_listed(&self.realm_allow, url)
    }

    /// Whether the registry itself is in a private network; then so may be what it names.
    pub(super) async fn is_private(&self, registry: &Registry) -> bool {
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
}

/// Whether a URL has one of some hosts, each `HOST` or `HOST:PORT`.
#[must_use]
pub fn is_listed(list: &[String], url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let with_port = url.port_or_known_default().map(|port| format!("{host}:{port}"));
    list.iter().any(|name| name.eq_ignore_ascii_case(host) || Some(name) == with_port.as_ref())
}
