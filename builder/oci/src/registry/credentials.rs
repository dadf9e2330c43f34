//! Credentials that the user already has: docker's `config.json`, podman's `auth.json`, and the helper programs
//! that both name.
//!
//! Order of the search: credentials given explicitly, then the files of [`Locations`] from the first to the last.
//! In a file a helper of the registry (`credHelpers`) comes before the file's own `auths`, and the helper for all
//! (`credsStore`) last.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize;

use super::error::AuthHint;

mod helper;

/// A text that is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a registry accepts from us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token that the token service exchanges.
    IdentityToken(Secret),
}

/// Where credential files may be. The values come from the environment, which only the binary reads.
#[derive(Debug, Clone, Default)]
pub struct Locations {
    /// `--authfile` or `REGISTRY_AUTH_FILE`: if set, the only file that is read.
    pub auth_file: Option<PathBuf>,
    /// `DOCKER_CONFIG`: a directory that holds `config.json`.
    pub docker_config: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`: holds `containers/auth.json`.
    pub runtime_dir: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`: holds `containers/auth.json`.
    pub config_home: Option<PathBuf>,
    /// `HOME`: holds `.config/containers/auth.json` and `.docker/config.json`.
    pub home: Option<PathBuf>,
}

impl Locations {
    /// The files, in the order in which they are searched.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        if let Some(file) = &self.auth_file {
            return vec![file.clone()];
        }
        let mut files = Vec::new();
        files.extend(self.docker_config.iter().map(|dir| dir.join("config.json")));
        files.extend(self.runtime_dir.iter().map(|dir| dir.join("containers/auth.json")));
        let config_home = self.config_home.clone().or_else(|| Some(self.home.as_ref()?.join(".config")));
        files.extend(config_home.iter().map(|dir| dir.join("containers/auth.json")));
        if self.docker_config.is_none() {
            files.extend(self.home.iter().map(|dir| dir.join(".docker/config.json")));
        }
        files
    }
}

/// Where logins are looked up.
#[derive(Debug, Clone)]
pub struct Credentials {
    explicit: BTreeMap<String, Login>,
    files: Vec<PathBuf>,
    helper_timeout: Duration,
}

impl Default for Credentials {
    fn default() -> Self {
        Self { explicit: BTreeMap::new(), files: Vec::new(), helper_timeout: Duration::from_secs(30) }
    }
}

/// Why a credential source that exists could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file is there but cannot be read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file is not what docker or podman write.
    #[error("`{}` is not a credentials file", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The cause; it names a position, never the content.
        #[source]
        source: serde_json::Error,
    },
    /// The `auth` of an entry is not base64 of `user:password`.
    #[error("the entry for `{registry}` in `{}` does not hold `user:password`", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry's key.
        registry: String,
    },
    /// A helper's name is no plain name.
    #[error("`{}` names the credential helper `{name}`, which is not a plain name", path.display())]
    HelperName {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A helper could not be started.
    #[error("could not run `{program}`, which `{}` names", file.display())]
    HelperStart {
        /// The program.
        program: String,
        /// The file that names it.
        file: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A helper failed, took too long or answered nonsense.
    #[error("`{program}`, which `{}` names, {problem}", file.display())]
    HelperFailed {
        /// The program.
        program: String,
        /// The file that names it.
        file: PathBuf,
        /// What it did.
        problem: String,
    },
}

/// The result of a search.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) login: Option<Login>,
    pub(super) hints: Vec<AuthHint>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct File {
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credHelpers")]
    cred_helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl Credentials {
    /// No credentials at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The files of `locations`.
    #[must_use]
    pub fn from_locations(locations: &Locations) -> Self {
        Self { files: locations.files(), ..Self::default() }
    }

    /// Adds a login for one registry (`host` or `host:port`), found before all files.
    #[must_use]
    pub fn with_login(mut self, registry: &str, login: Login) -> Self {
        self.explicit.insert(normal_key(registry), login);
        self
    }

    /// Changes how long a helper program may take.
    #[must_use]
    pub fn with_helper_timeout(mut self, timeout: Duration) -> Self {
        self.helper_timeout = timeout;
        self
    }

    /// Looks for a login for a repository, recording where.
    pub(super) async fn find(&self, registry: &str, repository: &str) -> Result<Found, CredentialError> {
        let mut found = Found::default();
        if let Some(login) = self.explicit.get(&normal_key(registry)) {
            found.login = Some(login.clone());
            found.hints.push(AuthHint::Used { file: None, program: None });
            return Ok(found);
        }
        for path in &self.files {
            match self.find_in(path, registry, repository, &mut found.hints).await? {
                None => {}
                login => {
                    found.login = login;
                    break;
                }
            }
        }
        Ok(found)
    }

    async fn find_in(
        &self,
        path: &Path,
        registry: &str,
        repository: &str,
        hints: &mut Vec<AuthHint>,
    ) -> Result<Option<Login>, CredentialError> {
        let Some(file) = read_file(path)? else {
            hints.push(AuthHint::NoFile(path.to_owned()));
            return Ok(None);
        };
        let keys = lookup_keys(registry, repository);
        let by_key = |map: &BTreeMap<String, String>| {
            keys.iter()
                .find_map(|key| map.iter().find(|(k, _)| normal_key(k) == *key).map(|(_, v)| v.clone()))
        };
        if let Some(name) = by_key(&file.cred_helpers) {
            return self.ask_helper(&name, path, registry, hints).await;
        }
        for key in &keys {
            for (name, entry) in file.auths.iter().filter(|(name, _)| normal_key(name) == *key) {
                if let Some(login) = entry.login(path, name)? {
                    hints.push(AuthHint::Used { file: Some(path.to_owned()), program: None });
                    return Ok(Some(login));
                }
            }
        }
        match file.creds_store.as_deref() {
            Some(name) if !name.is_empty() => self.ask_helper(name, path, registry, hints).await,
            _ => {
                hints.push(AuthHint::NoEntry(path.to_owned()));
                Ok(None)
            }
        }
    }

    async fn ask_helper(
        &self,
        name: &str,
        file: &Path,
        registry: &str,
        hints: &mut Vec<AuthHint>,
    ) -> Result<Option<Login>, CredentialError> {
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) || name.is_empty() {
            return Err(CredentialError::HelperName { path: file.to_owned(), name: name.to_owned() });
        }
        let program = format!("docker-credential-{name}");
        let server = match normal_key(registry).as_str() {
            // Helpers of docker know Docker Hub under this name alone.
            "docker.io" => "https://index.docker.io/v1/".to_owned(),
            _ => registry.to_owned(),
        };
        let login = helper::ask(&program, file, &server, self.helper_timeout).await?;
        hints.push(match login {
            Some(_) => AuthHint::Used { file: Some(file.to_owned()), program: Some(program) },
            None => AuthHint::HelperEmpty { program, file: file.to_owned() },
        });
        Ok(login)
    }
}

impl Entry {
    fn login(&self, path: &Path, key: &str) -> Result<Option<Login>, CredentialError> {
        if let Some(token) = self.identitytoken.as_deref().filter(|token| !token.is_empty()) {
            return Ok(Some(Login::IdentityToken(Secret::new(token))));
        }
        if let (Some(user), Some(password)) = (&self.username, &self.password) {
            return Ok(Some(Login::Password { user: user.clone(), password: Secret::new(password.clone()) }));
        }
        let Some(auth) = self.auth.as_deref().filter(|auth| !auth.is_empty()) else {
            return Ok(None);
        };
        let broken = || CredentialError::Entry { path: path.to_owned(), registry: key.to_owned() };
        let bytes = base64::engine::general_purpose::STANDARD.decode(auth.trim()).map_err(|_| broken())?;
        let text = String::from_utf8(bytes).map_err(|_| broken())?;
        let (user, password) = text.split_once(':').ok_or_else(broken)?;
        let password = Secret::new(password.trim_end_matches('\0'));
        Ok(Some(Login::Password { user: user.to_owned(), password }))
    }
}

fn read_file(path: &Path) -> Result<Option<File>, CredentialError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(source) if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(source) => return Err(CredentialError::Read { path: path.to_owned(), source }),
    };
    if text.trim().is_empty() {
        return Ok(Some(File::default()));
    }
    let parse = |source| CredentialError::Parse { path: path.to_owned(), source };
    serde_json::from_str(&text).map(Some).map_err(parse)
}

/// The keys under which a login may stand, the most specific first (podman allows `host/namespace/repository`).
fn lookup_keys(registry: &str, repository: &str) -> Vec<String> {
    let host = normal_key(registry);
    let mut keys = Vec::new();
    let mut path = repository;
    while !path.is_empty() {
        keys.push(format!("{host}/{path}"));
        path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    keys.push(host);
    keys
}

/// Makes the spellings of one key equal: scheme, `/v1/` and `/v2/` dropped, Docker Hub's names made one.
fn normal_key(key: &str) -> String {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    let (host, path) = key.split_once('/').map_or((key, None), |(host, path)| (host, Some(path)));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" | "docker.io" => "docker.io",
        host => host,
    };
    path.map_or_else(|| host.to_owned(), |path| format!("{host}/{path}"))
}

#[cfg(test)]
mod tests;
