//! The address of an archive on a web server.

use std::fmt;

use lapstrake_oci::registry::{BasicLogin, Secret};
use percent_encoding::percent_decode_str;
use url::Url;

use super::AddressError;

/// An archive on a web server.
#[derive(Clone, PartialEq, Eq)]
pub struct ArchiveAddress {
    /// Its address, without a login. The query may be a secret.
    url: Url,
    login: Option<BasicLogin>,
}

impl ArchiveAddress {
    pub(super) fn parse(given: &str) -> Result<Self, AddressError> {
        let mut url = Url::parse(given).map_err(|_| AddressError::new(given, "it is not a URL"))?;
        if url.host_str().unwrap_or_default().is_empty() {
            return Err(AddressError::new(given, "it names no host"));
        }
        if url.fragment().is_some() {
            return Err(AddressError::new(
                given,
                "`#` is for git sources; the directory of the app is `--source-dir`",
            ));
        }
        if url.path().trim_end_matches('/').strip_suffix("git").is_some_and(|rest| rest.ends_with('.')) {
            return Err(AddressError::new(given, "it is a git repository, not an archive")
                .hint(format!("write `git+{}`", plain(&url))));
        }
        let has_login = !url.username().is_empty() || url.password().is_some();
        let unreadable = || AddressError::new(given, "its login is not understood");
        let login = has_login.then(|| login(&url).ok_or_else(unreadable)).transpose()?;
        // These fail only for addresses that cannot have a user.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(Self { url, login })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Who asks for it, if the address says so.
    #[must_use]
    pub fn login(&self) -> Option<&BasicLogin> {
        self.login.as_ref()
    }
}

/// The login in an address; none when it cannot be read.
fn login(url: &Url) -> Option<BasicLogin> {
    let decode = |text| percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    let password = Secret::new(decode(url.password().unwrap_or_default())?);
    Some(BasicLogin { user: decode(url.username())?, password })
}

/// An address without what may be secret.
fn plain(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

impl fmt::Display for ArchiveAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&plain(&self.url))
    }
}

impl fmt::Debug for ArchiveAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArchiveAddress").field(&self.to_string()).finish()
    }
}
