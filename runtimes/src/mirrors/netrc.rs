//! Credentials in netrc files: `~/.netrc` for pip and npm, `auth.conf` for apt.

use std::path::{Path, PathBuf};

use url::Url;

use super::{Auth, Machine, MirrorsError, Secret, files, read};

/// The entries of some netrc files.
#[derive(Debug, Default)]
pub(super) struct Netrc(Vec<Login>);

#[derive(Debug, Default)]
struct Login {
    /// `host`, `host:port`, `host/path`, each perhaps with a scheme; empty for `default`.
    machine: String,
    user: String,
    password: Secret<String>,
}

impl Default for Secret<String> {
    fn default() -> Self {
        Self::new(String::new())
    }
}

impl Netrc {
    /// The user's own.
    pub(super) fn user(machine: Machine<'_>) -> Result<Self, MirrorsError> {
        let path = match (machine.env.get("NETRC"), machine.env.get("HOME")) {
            (Some(path), _) => PathBuf::from(path),
            (None, Some(home)) => Path::new(home).join(".netrc"),
            (None, None) => return Ok(Self::default()),
        };
        Ok(read(machine, &path)?.map(|text| Self::parse(&text)).unwrap_or_default())
    }

    /// Those of apt.
    pub(super) fn apt(machine: Machine<'_>) -> Result<Self, MirrorsError> {
        let mut logins = Vec::new();
        let parts = files(machine, "/etc/apt/auth.conf.d", &[".conf"])?;
        for path in std::iter::once(PathBuf::from("/etc/apt/auth.conf")).chain(parts) {
            if let Some(text) = read(machine, &path)? {
                logins.extend(Self::parse(&text).0);
            }
        }
        Ok(Self(logins))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        let mut words = lines.flat_map(str::split_whitespace);
        let mut logins: Vec<Login> = Vec::new();
        while let Some(word) = words.next() {
            match word {
                "machine" => {
                    logins.push(Login {
                        machine: words.next().unwrap_or_default().to_owned(),
                        ..Login::default()
                    });
                }
                "default" => logins.push(Login::default()),
                "login" | "password" | "account" => {
                    let value = words.next().unwrap_or_default().to_owned();
                    if let Some(login) = logins.last_mut() {
                        match word {
                            "login" => login.user = value,
                            "password" => login.password = Secret::new(value),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Self(logins)
    }

    /// The credentials for an address.
    pub(super) fn find(&self, url: &Url) -> Option<Auth> {
        let login = self.0.iter().find(|login| login.is_for(url))?;
        Some(Auth::Basic { user: login.user.clone(), password: login.password.clone() })
    }
}

impl Login {
    fn is_for(&self, url: &Url) -> bool {
        if self.machine.is_empty() {
            return true;
        }
        let (scheme, rest) = match self.machine.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, self.machine.as_str()),
        };
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = url.host_str().unwrap_or_default();
        let same_place = match place.rsplit_once(':') {
            Some((name, port)) => {
                name == host && Some(port) == url.port_or_known_default().map(|p| p.to_string()).as_deref()
            }
            None => place == host,
        };
        same_place
            && scheme.is_none_or(|scheme| scheme == url.scheme())
            && url.path().trim_start_matches('/').starts_with(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_for_its_host_port_and_path_alone() {
        let netrc = Netrc::parse(
            "# comment\nmachine mirror.example/debian login a password p#1\n machine other.example:8443\nlogin b\npassword q",
        );
        let user = |url: &str| match netrc.find(&Url::parse(url).unwrap()) {
            Some(Auth::Basic { user, .. }) => user,
            _ => "nobody".to_owned(),
        };
        assert_eq!(user("https://mirror.example/debian/"), "a");
        assert_eq!(user("https://mirror.example/other/"), "nobody");
        assert_eq!(user("https://other.example:8443/"), "b");
        assert_eq!(user("https://other.example/"), "nobody");
    }
}
