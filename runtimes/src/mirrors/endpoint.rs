//! One service: its address, and how it is reached.

use std::path::PathBuf;

use url::Url;

use super::netrc::Netrc;
use super::{MirrorsError, Proxy, Secret};

/// A service that has packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The base address, without credentials; it ends with a slash.
    pub url: Url,
    /// Further addresses with the same content.
    pub more: Vec<Url>,
    /// Credentials. They are for this host alone.
    pub auth: Option<Auth>,
    /// Certificate authorities that this service needs besides [`Mirrors::ca_files`](super::Mirrors::ca_files).
    pub ca_files: Vec<PathBuf>,
    /// The proxy on the way to it.
    pub proxy: Proxy,
}

/// Credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// User and password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret<String>,
    },
    /// A token.
    Bearer(Secret<String>),
}

impl Endpoint {
    /// The address of something below the base address.
    #[must_use]
    pub fn join(&self, path: &str) -> Option<Url> {
        self.url.join(path).ok()
    }

    /// The credentials for an address: those of the endpoint on its own host and port, none elsewhere.
    #[must_use]
    pub fn auth_for(&self, url: &Url) -> Option<&Auth> {
        let same = self.url.origin() == url.origin();
        self.auth.as_ref().filter(|_| same)
    }

    pub(super) fn with_netrc(mut self, netrc: &Netrc) -> Self {
        self.auth = self.auth.take().or_else(|| netrc.find(&self.url));
        self
    }
}

/// An endpoint of one address.
pub(super) fn of(origin: &str, text: &str) -> Result<Endpoint, MirrorsError> {
    let (url, auth) = parse(origin, text)?;
    Ok(Endpoint { url, more: Vec::new(), auth, ca_files: Vec::new(), proxy: Proxy::default() })
}

/// An endpoint of several addresses, the first of which is preferred.
pub(super) fn of_all(origin: &str, texts: &[String]) -> Result<Option<Endpoint>, MirrorsError> {
    let Some((first, rest)) = texts.split_first() else { return Ok(None) };
    let mut endpoint = of(origin, first)?;
    for text in rest {
        endpoint.more.push(parse(origin, text)?.0);
    }
    Ok(Some(endpoint))
}

/// An address with a slash at its end, and the credentials that stood in it.
fn parse(origin: &str, text: &str) -> Result<(Url, Option<Auth>), MirrorsError> {
    let fail = || MirrorsError::Address { origin: origin.to_owned(), text: without_credentials(text) };
    let mut url = Url::parse(text.trim()).map_err(|_| fail())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(fail());
    }
    let auth = credentials(&mut url);
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok((url, auth))
}

/// Takes user and password out of an address.
pub(super) fn credentials(url: &mut Url) -> Option<Auth> {
    let decode = |text: &str| percent_decode(text);
    let (user, password) = (decode(url.username()), url.password().map(decode));
    let _ = url.set_username("");
    let _ = url.set_password(None);
    (!user.is_empty() || password.is_some())
        .then(|| Auth::Basic { user, password: Secret::new(password.unwrap_or_default()) })
}

fn percent_decode(text: &str) -> String {
    // A form-encoded pair decodes `%XX`; a literal `+` is protected, since it would become a space.
    let pair = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn without_credentials(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://{}", &text[..scheme], &text[at + 1..]),
        _ => text.to_owned(),
    }
}
