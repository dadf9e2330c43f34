//! The address of a repository, parsed once: what git is given never holds a password, and never begins with a dash.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use lapstrake_runtimes::mirrors::Secret;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `https://`.
    Https,
    /// `http://`.
    Http,
    /// `ssh://`.
    Ssh,
    /// `file://`.
    File,
}

impl Transport {
    /// Its scheme, which is also its name in `GIT_ALLOW_PROTOCOL`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
            Self::File => "file",
        }
    }
}

/// Who asks for a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password or token; without one the caller's credential helpers are asked for it.
    pub secret: Option<Secret<String>>,
}

/// A repository somewhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    transport: Transport,
    url: Url,
    login: Option<Login>,
    /// The address in the form of `scp`, where it was given so.
    scp: Option<String>,
    /// What people are shown in its place.
    shown: Option<String>,
}

/// Why a text is no address of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RemoteError(pub &'static str);

impl Remote {
    /// Parses `https://`, `http://`, `ssh://` or `file:///`. A login in it is taken out and kept apart.
    pub fn parse(text: &str) -> Result<Self, RemoteError> {
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(RemoteError("an address has no spaces and no control characters"));
        }
        let mut url = Url::parse(text).map_err(|_| RemoteError("it is not a URL"))?;
        let transport = match url.scheme() {
            "https" => Transport::Https,
            "http" => Transport::Http,
            "ssh" => Transport::Ssh,
            "file" => Transport::File,
            _ => return Err(RemoteError("git sources have https, http, ssh or file addresses")),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(RemoteError("an address of a repository has no query"));
        }
        check_host(&url, transport)?;
        let login = match transport {
            Transport::Ssh => ssh_user(&url)?,
            _ => login(&url)?,
        };
        if matches!(transport, Transport::Https | Transport::Http) {
            // What is given to git is seen by every process of the machine.
            let _ = url.set_username("");
            let _ = url.set_password(None);
        }
        Ok(Self { transport, url, login, scp: None, shown: None })
    }

    /// `USER@HOST:PATH`, whose path may begin at the user's home.
    pub fn scp(user: &str, host: &str, path: &str) -> Result<Self, RemoteError> {
        let slashed = path.trim_start_matches('/');
        let like = Self::parse(&format!("ssh://{user}@{host}/{slashed}"))?;
        Ok(Self { scp: Some(format!("{user}@{host}:{path}")), ..like })
    }

    /// The repository in a directory of this machine.
    pub fn directory(path: &Path) -> Result<Self, RemoteError> {
        let url = Url::from_directory_path(path).map_err(|()| RemoteError("its path is not absolute"))?;
        Ok(Self { transport: Transport::File, url, login: None, scp: None, shown: None })
    }

    /// The same with a login, unless its address had one with a secret.
    #[must_use]
    pub fn with_login(mut self, login: Login) -> Self {
        if self.login.as_ref().is_none_or(|given| given.secret.is_none()) {
            let user = self.login.map_or(login.user, |given| given.user);
            self.login = Some(Login { user, secret: login.secret });
        }
        self
    }

    /// The same without a login.
    #[must_use]
    pub fn without_login(self) -> Self {
        Self { login: None, ..self }
    }

    /// The same, which people know by another name.
    #[must_use]
    pub fn shown_as(self, shown: &str) -> Self {
        Self { shown: Some(shown.to_owned()), ..self }
    }

    /// How it is reached.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Its address, without a password: what git is given.
    #[must_use]
    pub fn address(&self) -> &str {
        self.scp.as_deref().unwrap_or_else(|| self.url.as_str().trim_end_matches('/'))
    }

    /// The same address as a URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Who asks, where that is known.
    #[must_use]
    pub fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// Whether its host is this machine itself, by a literal address or as `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            // Without a special scheme an address stays a name.
            Some(Host::Domain(name)) => {
                name == "localhost"
                    || name.ends_with(".localhost")
                    || name.parse::<Ipv4Addr>().is_ok_and(|address| IpAddr::from(address).is_loopback())
                    || name.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
            }
            None => false,
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown.as_deref().unwrap_or_else(|| self.address()))
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.address()).finish()
    }
}

fn check_host(url: &Url, transport: Transport) -> Result<(), RemoteError> {
    let host = url.host_str().unwrap_or_default();
    match transport {
        Transport::File if !host.is_empty() => Err(RemoteError("a file address names no host: `file:///…`")),
        Transport::File => Ok(()),
        _ if host.is_empty() => Err(RemoteError("it names no host")),
        // ssh would take it for an option.
        _ if host.starts_with('-') => Err(RemoteError("its host begins with `-`")),
        _ if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte)) => {
            Err(RemoteError("its host has characters that no host name has"))
        }
        _ if url.path().trim_matches('/').is_empty() => {
            Err(RemoteError("it names a host, and no repository"))
        }
        // Some servers hand the path to a program of their own.
        Transport::Ssh if url.path().trim_start_matches('/').starts_with('-') => {
            Err(RemoteError("its path begins with `-`"))
        }
        _ => Ok(()),
    }
}

/// ssh takes the user from the address; a password it takes from nowhere but a terminal.
fn ssh_user(url: &Url) -> Result<Option<Login>, RemoteError> {
    if url.password().is_some() {
        return Err(RemoteError("ssh takes no password from an address; use a key or an agent"));
    }
    let user = url.username();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte);
    if user.starts_with('-') || !user.bytes().all(plain) {
        return Err(RemoteError("its user has characters that no user name has"));
    }
    Ok(None)
}

fn login(url: &Url) -> Result<Option<Login>, RemoteError> {
    let decode = |text: &str| {
        let text = percent_decode_str(text).decode_utf8().ok()?.into_owned();
        (!text.contains(['\n', '\r', '\0'])).then_some(text)
    };
    let bad = RemoteError("its user or password has characters that no login has");
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let user = decode(url.username()).ok_or(bad)?;
    let secret = url.password().map(|password| decode(password).ok_or(bad)).transpose()?;
    Ok(Some(Login { user, secret: secret.map(Secret::new) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_taken_out_of_the_address() {
        let remote = Remote::parse("https://me%40corp:p%25%2Bw%40@host.example:8443/a/b.git").unwrap();
        assert_eq!(remote.address(), "https://host.example:8443/a/b.git");
        let login = remote.login().unwrap();
        assert_eq!(
            (login.user.as_str(), login.secret.as_ref().unwrap().reveal().as_str()),
            ("me@corp", "p%+w@")
        );
        assert!(!format!("{remote} {remote:?}").contains("p%"));
        assert_eq!(Remote::parse("https://host.example/a").unwrap().login(), None);
    }

    #[test]
    fn a_token_fills_in_for_a_missing_password_alone() {
        let token = || Login { user: "token".into(), secret: Some(Secret::new("t".to_owned())) };
        let login = |text: &str| {
            let remote = Remote::parse(text).unwrap().with_login(token());
            let login = remote.login().unwrap();
            (login.user.clone(), login.secret.as_ref().unwrap().reveal().clone())
        };
        assert_eq!(login("https://h.example/a"), ("token".into(), "t".into()));
        assert_eq!(login("https://me@h.example/a"), ("me".into(), "t".into()));
        assert_eq!(login("https://me:own@h.example/a"), ("me".into(), "own".into()));
    }

    #[test]
    fn nothing_in_an_address_can_be_taken_for_an_option() {
        for bad in [
            "ssh://-oProxyCommand=id/x",
            "ssh://-l@host/x",
            "ssh://host/-x",
            "ssh://host/--upload-pack=id",
            "ssh://me:secret@host/x",
            "ssh://a%20b@host/x",
            "https://host.example/a b",
            "https://host.example/a\nb",
            "https://host.example/",
            "https://host.example",
            "https://u:a%0Ab@host.example/x",
            "https://host.example/x?service=y",
            "file://host/x",
            "ext::sh -c id",
            "ext://x/y",
            "git://host/x",
            "/plain/path",
        ] {
            assert!(Remote::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn this_machine_is_known_in_every_spelling() {
        for text in ["http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]:80/x", "ssh://127.1.2.3/x"] {
            assert!(Remote::parse(text).unwrap().is_loopback(), "{text}");
        }
        for text in ["http://localhost.example/x", "http://10.0.0.1/x", "file:///x"] {
            assert!(!Remote::parse(text).unwrap().is_loopback(), "{text}");
        }
    }

    #[test]
    fn addresses_of_every_transport_are_kept_as_they_are() {
        for text in [
            "https://host.example/team/app.git",
            "ssh://git@host.example:2222/team/app.git",
            "ssh://host.example/~me/app",
            "file:///srv/app.git",
        ] {
            assert_eq!(Remote::parse(text).unwrap().address(), text);
        }
        assert_eq!(Remote::scp("git", "host.example", "app").unwrap().address(), "git@host.example:app");
        assert!(Remote::scp("git", "host.example", "-x").is_err() && Remote::scp("git", "-h", "x").is_err());
        assert_eq!(Remote::directory(Path::new("/srv/a b")).unwrap().address(), "file:///srv/a%20b");
    }
}
