//! One HTTP client for each way out: its certificate authorities and proxies are fixed when it is made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Certificate, Client};

use crate::mirrors::{Endpoint, Mirrors, Proxy};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(20);

/// How long nothing may arrive.
const READ: Duration = Duration::from_mins(1);

/// The clients, each with what makes it different.
#[derive(Debug)]
pub(super) struct Clients {
    made: Vec<(Vec<PathBuf>, Proxy, Client)>,
    plain: Client,
}

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A bundle cannot be read.
    #[error("could not read the certificate authorities in `{path}`")]
    Read {
        /// The bundle.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A bundle holds something else.
    #[error("`{path}` is no bundle of certificate authorities")]
    Bundle {
        /// The bundle.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: reqwest::Error,
    },
    /// The client refuses its settings.
    #[error("could not prepare connections to the mirrors")]
    Settings(#[source] reqwest::Error),
}

impl Clients {
    pub(super) fn new(mirrors: &Mirrors) -> Result<Self, ClientError> {
        // Another part of the program may have chosen one already; both are the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut made: Vec<(Vec<PathBuf>, Proxy, Client)> = Vec::new();
        let named = [&mirrors.debian, &mirrors.security, &mirrors.npm, &mirrors.python];
        for endpoint in named.into_iter().flatten().chain(&mirrors.python_extra) {
            if !made.iter().any(|(files, proxy, _)| *files == endpoint.ca_files && *proxy == endpoint.proxy) {
                let client = client(mirrors, &endpoint.ca_files, &endpoint.proxy)?;
                made.push((endpoint.ca_files.clone(), endpoint.proxy.clone(), client));
            }
        }
        let plain = client(mirrors, &[], &mirrors.proxy)?;
        Ok(Self { made, plain })
    }

    /// The client for an endpoint of the same mirrors.
    pub(super) fn of(&self, endpoint: &Endpoint) -> &Client {
        let found = self
            .made
            .iter()
            .find(|(files, proxy, _)| *files == endpoint.ca_files && *proxy == endpoint.proxy);
        found.map_or(&self.plain, |(_, _, client)| client)
    }
}

fn client(mirrors: &Mirrors, ca_files: &[PathBuf], proxy: &Proxy) -> Result<Client, ClientError> {
    let mut certificates = Vec::new();
    for path in mirrors.ca_files.iter().chain(ca_files.iter().filter(|path| !mirrors.ca_files.contains(path)))
    {
        certificates.extend(bundle(path)?);
    }
    let rules = proxy.clone();
    let through = reqwest::Proxy::custom(move |url| rules.for_url(url).map(|proxy| proxy.reveal().clone()));
    Client::builder()
        .user_agent(concat!("lapstrake/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .read_timeout(READ)
        .no_proxy()
        .proxy(through)
        .tls_certs_only(certificates)
        .build()
        .map_err(ClientError::Settings)
}

/// The certificates of a bundle, or of all bundles of a directory.
fn bundle(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let fail = |source| ClientError::Read { path: path.to_owned(), source };
    if !path.is_dir() {
        let bytes = fs_err::read(path).map_err(fail)?;
        return Certificate::from_pem_bundle(&bytes)
            .map_err(|source| ClientError::Bundle { path: path.to_owned(), source });
    }
    let mut files = Vec::new();
    for entry in fs_err::read_dir(path).map_err(fail)? {
        files.push(entry.map_err(fail)?.path());
    }
    files.sort();
    // A directory also holds links to each certificate under its hash, and keys or lists that are no certificates.
    let files = files.iter().filter(|file| file.extension().is_some_and(|end| end == "pem" || end == "crt"));
    let readable = files.filter_map(|file| fs_err::read(file).ok());
    Ok(readable.filter_map(|bytes| Certificate::from_pem_bundle(&bytes).ok()).flatten().collect())
}
