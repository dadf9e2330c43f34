//! TLS, proxies and name resolution: what stands between a request and the wire.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{NoProxy, Proxy};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::Url;

use super::error::RegistryError;
use super::origin::is_private;

/// Proxies, by their URLs. The values come from the environment, which only the binary reads.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For `http` URLs.
    pub http: Option<String>,
    /// For `https` URLs.
    pub https: Option<String>,
    /// Hosts that are reached without a proxy, as in `NO_PROXY`.
    pub no_proxy: Option<String>,
}

/// Shows which proxies there are, not where: their URLs may hold a password.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

/// Which certificate authorities are trusted.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// `SSL_CERT_FILE`: a PEM bundle instead of the system's.
    pub bundle: Option<PathBuf>,
    /// More authorities, each a PEM text (`--ca`).
    pub extra: Vec<Vec<u8>>,
}

/// How long things may take.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// Without a byte in either direction.
    pub silence: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), silence: Duration::from_secs(30) }
    }
}

/// Where distributions keep the bundle of authorities.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
];

/// The two HTTP clients: one for the registry that the user named, one for wherever it sends us.
pub(super) struct Transport {
    pub(super) home: reqwest::Client,
    /// Connects to public addresses alone, whatever name they hide behind.
    pub(super) away: reqwest::Client,
}

impl Transport {
    pub(super) fn new(
        trust: &Trust,
        proxies: &Proxies,
        timeouts: &Timeouts,
        user_agent: &str,
    ) -> Result<Self, RegistryError> {
        let tls = tls(trust)?;
        let build = |resolver: Option<Arc<PublicOnly>>| {
            let mut builder = reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                // HTTP/2 uploads crawl on links with a round trip, since upload windows are small.
                .http1_only()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(timeouts.connect)
                .user_agent(user_agent)
                .no_proxy();
            for proxy in self::proxies(proxies)? {
                builder = builder.proxy(proxy);
            }
            if let Some(resolver) = resolver {
                builder = builder.dns_resolver(resolver);
            }
            builder.build().map_err(|error| setup(&format!("{error:?}")))
        };
        let exempt = [&proxies.http, &proxies.https].into_iter().flatten();
        let exempt =
            exempt.filter_map(|proxy| Some(Url::parse(proxy).ok()?.host_str()?.to_owned())).collect();
        Ok(Self { home: build(None)?, away: build(Some(Arc::new(PublicOnly { exempt })))? })
    }
}

fn setup(problem: &str) -> RegistryError {
    RegistryError::Setup { problem: problem.to_owned() }
}

fn proxies(proxies: &Proxies) -> Result<Vec<Proxy>, RegistryError> {
    let no_proxy = || proxies.no_proxy.as_deref().and_then(NoProxy::from_string);
    let broken = |name: &str| setup(&format!("the {name} proxy is not a URL"));
    let mut list = Vec::new();
    if let Some(url) = proxies.http.as_deref().filter(|url| !url.is_empty()) {
        list.push(Proxy::http(url).map_err(|_| broken("http"))?.no_proxy(no_proxy()));
    }
    if let Some(url) = proxies.https.as_deref().filter(|url| !url.is_empty()) {
        list.push(Proxy::https(url).map_err(|_| broken("https"))?.no_proxy(no_proxy()));
    }
    Ok(list)
}

fn tls(trust: &Trust) -> Result<rustls::ClientConfig, RegistryError> {
    let mut roots = RootCertStore::empty();
    let system =
        trust.bundle.clone().or_else(|| BUNDLES.iter().map(PathBuf::from).find(|path| path.exists()));
    // Without any bundle only plain http and the authorities given by the user work, as they should.
    if let Some(path) = system {
        let pem = read(&path)?;
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
        if roots.is_empty() {
            return Err(setup(&format!("`{}` holds no certificate", path.display())));
        }
    }
    for pem in &trust.extra {
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| setup(&format!("broken certificate: {error}")))?;
            roots.add(certificate).map_err(|error| setup(&format!("unusable certificate: {error}")))?;
            found = true;
        }
        if !found {
            return Err(setup("a file of extra certificate authorities holds no PEM certificate"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| setup(&error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn read(path: &Path) -> Result<Vec<u8>, RegistryError> {
    fs_err::read(path).map_err(|source| RegistryError::File { action: "read", path: path.to_owned(), source })
}

/// A name that resolved to an address which a public registry has no business to name.
#[derive(Debug, thiserror::Error)]
#[error("it resolves to the private address {address}")]
pub(super) struct PrivateAddress {
    address: IpAddr,
}

/// Resolves names, and refuses those with a private address. As the connection is made to the very addresses that
/// were checked, a name that changes its address between check and use gains nothing.
struct PublicOnly {
    /// The proxies' own hosts: the user chose them.
    exempt: BTreeSet<String>,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let exempt = self.exempt.contains(name.as_str());
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            match addresses.iter().find(|address| is_private(address.ip())) {
                Some(address) if !exempt => Err(PrivateAddress { address: address.ip() }.into()),
                _ => Ok(Box::new(addresses.into_iter()) as Addrs),
            }
        })
    }
}
