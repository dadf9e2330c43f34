//! Where packages come from: the mirrors, proxies, credentials and certificate authorities of this machine.
//!
//! No address stands in this program. In this order they come from flags, from variables of our own, and from what
//! apt, npm and pip are configured for; what those tools take by default is asked of them, or read out of the packages
//! that carry them ([`defaults`]). Everything is a function of values: the environment, a root directory, and someone
//! who runs programs.

mod apt_conf;
mod apt_sources;
mod ask;
mod ca;
pub mod defaults;
mod endpoint;
mod netrc;
mod npmrc;
mod pip_conf;
mod proxy;
mod secret;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use url::Url;

pub use ask::{Ask, NoPrograms, Programs};
pub use endpoint::{Auth, Endpoint};
pub use proxy::Proxy;
pub use secret::Secret;

use netrc::Netrc;

/// The variables of our own, in the order of [`MirrorFlags`]' fields.
pub const VARIABLES: [&str; 4] = [
    "LAPSTRAKE_DEBIAN_MIRROR",
    "LAPSTRAKE_DEBIAN_SECURITY_MIRROR",
    "LAPSTRAKE_NPM_REGISTRY",
    "LAPSTRAKE_PYTHON_INDEX",
];

/// Addresses that a user gave on the command line.
#[derive(Debug, Clone, Default)]
pub struct MirrorFlags {
    /// The main site of a Debian mirror: `dists` and `pool` are below it.
    pub debian: Option<String>,
    /// The same for security fixes.
    pub debian_security: Option<String>,
    /// The npm registry.
    pub npm: Option<String>,
    /// The Python index: the parent of the projects' pages.
    pub python: Option<String>,
}

/// What is known of this machine.
#[derive(Clone, Copy)]
pub struct Machine<'a> {
    /// The environment.
    pub env: &'a BTreeMap<String, String>,
    /// The directory below which configuration files are found, `/`.
    pub root: &'a Path,
    /// Runs programs.
    pub ask: &'a dyn Ask,
}

/// Where packages come from.
#[derive(Debug, Clone, Default)]
pub struct Mirrors {
    /// Debian's main site.
    pub debian: Option<Endpoint>,
    /// Debian's security fixes.
    pub security: Option<Endpoint>,
    /// The npm registry.
    pub npm: Option<Endpoint>,
    /// The Python index.
    pub python: Option<Endpoint>,
    /// Further indexes that pip reads.
    pub python_extra: Vec<Endpoint>,
    /// Local directories with wheels that pip reads (`find-links`).
    pub python_links: Vec<String>,
    /// What the environment says of proxies.
    pub proxy: Proxy,
    /// Certificate authorities, as bundles or directories, that everything trusts.
    pub ca_files: Vec<PathBuf>,
}

/// Why it is not known where packages come from.
#[derive(Debug, thiserror::Error)]
pub enum MirrorsError {
    /// An address is none.
    #[error("{origin}: `{text}` is not the address of a mirror")]
    Address {
        /// Where it was found.
        origin: String,
        /// The text, without credentials.
        text: String,
    },
    /// A configuration file cannot be read.
    #[error("could not read the configuration of this machine")]
    Read(#[source] std::io::Error),
    /// Nothing says where packages of a kind come from.
    #[error("nothing on this machine says where {what} come from; set `{variable}`")]
    Unknown {
        /// The kind of packages.
        what: &'static str,
        /// The variable that would say it.
        variable: &'static str,
    },
}

impl Mirrors {
    /// Finds out what flags, environment and configuration say.
    pub fn discover(flags: &MirrorFlags, machine: Machine<'_>) -> Result<Self, MirrorsError> {
        let proxy = Proxy::from_env(machine.env);
        let netrc = Netrc::user(machine)?;
        let mut mirrors = Self { ca_files: ca::system(machine), proxy, ..Self::default() };
        mirrors.find_debian(flags, machine)?;
        mirrors.find_npm(flags, machine, &netrc)?;
        mirrors.find_python(flags, machine, &netrc)?;
        Ok(mirrors)
    }

    /// Debian's site for a suite.
    pub fn debian_of(&self, suite: &str) -> Result<&Endpoint, MirrorsError> {
        let (endpoint, variable) = if suite.ends_with("-security") {
            (&self.security, VARIABLES[1])
        } else {
            (&self.debian, VARIABLES[0])
        };
        endpoint.as_ref().ok_or(MirrorsError::Unknown { what: "Debian packages", variable })
    }

    /// The npm registry.
    pub fn npm(&self) -> Result<&Endpoint, MirrorsError> {
        self.npm.as_ref().ok_or(MirrorsError::Unknown { what: "npm packages", variable: VARIABLES[2] })
    }

    /// The Python index.
    pub fn python(&self) -> Result<&Endpoint, MirrorsError> {
        self.python.as_ref().ok_or(MirrorsError::Unknown { what: "Python packages", variable: VARIABLES[3] })
    }

    fn find_debian(&mut self, flags: &MirrorFlags, machine: Machine<'_>) -> Result<(), MirrorsError> {
        let conf = apt_conf::AptConf::read(machine)?;
        let netrc = Netrc::apt(machine)?;
        let sources = apt_sources::read(machine)?;
        let chosen = |flag: Option<&String>, variable: &str, security: bool| {
            let origin_and_texts = match given(flag, variable, machine.env) {
                Some((origin, text)) => (origin, vec![text]),
                None => ("apt's sources".to_owned(), sources.sites(security)),
            };
            let endpoint = endpoint::of_all(&origin_and_texts.0, &origin_and_texts.1)?;
            Ok::<_, MirrorsError>(endpoint.map(|mut endpoint| {
                endpoint.proxy = conf.proxy(&self.proxy, endpoint.url.host_str().unwrap_or_default());
                endpoint.ca_files = conf.ca_files(machine.root);
                endpoint.with_netrc(&netrc)
            }))
        };
        let main = chosen(flags.debian.as_ref(), VARIABLES[0], false)?;
        let security = chosen(flags.debian_security.as_ref(), VARIABLES[1], true)?;
        self.debian = main;
        self.security = security;
        Ok(())
    }

    fn find_npm(
        &mut self,
        flags: &MirrorFlags,
        machine: Machine<'_>,
        netrc: &Netrc,
    ) -> Result<(), MirrorsError> {
        let npmrc = npmrc::Npmrc::read(machine)?;
        let found = given(flags.npm.as_ref(), VARIABLES[2], machine.env)
            .or_else(|| npmrc.value("registry").map(|url| ("npm's configuration".to_owned(), url)))
            .or_else(|| npmrc::default_registry(machine).map(|url| ("npm".to_owned(), url)));
        if let Some((origin, text)) = found {
            self.npm = Some(self.npm_endpoint(&origin, &text, &npmrc, machine)?.with_netrc(netrc));
        }
        Ok(())
    }

    fn npm_endpoint(
        &self,
        origin: &str,
        text: &str,
        npmrc: &npmrc::Npmrc,
        machine: Machine<'_>,
    ) -> Result<Endpoint, MirrorsError> {
        let mut endpoint = endpoint::of(origin, text)?;
        endpoint.auth = endpoint.auth.or_else(|| npmrc.auth(&endpoint.url));
        endpoint.proxy = npmrc.proxy(&self.proxy);
        endpoint.ca_files = npmrc.ca_files(machine);
        Ok(endpoint)
    }

    fn find_python(
        &mut self,
        flags: &MirrorFlags,
        machine: Machine<'_>,
        netrc: &Netrc,
    ) -> Result<(), MirrorsError> {
        let conf = pip_conf::PipConf::read(machine)?;
        let found = given(flags.python.as_ref(), VARIABLES[3], machine.env)
            .or_else(|| conf.value("index-url").map(|url| ("pip's configuration".to_owned(), url)))
            .or_else(|| pip_conf::default_index(machine).map(|url| ("pip".to_owned(), url)));
        let extra =
            conf.words("extra-index-url").into_iter().map(|url| ("pip's configuration".to_owned(), url));
        let mut endpoints = Vec::new();
        let first = found.is_some();
        for (origin, text) in found.into_iter().chain(extra) {
            let mut endpoint = endpoint::of(&origin, &text)?.with_netrc(netrc);
            endpoint.proxy = conf.proxy(&self.proxy);
            endpoint.ca_files = conf.ca_files(machine);
            endpoints.push(endpoint);
        }
        if first {
            self.python = Some(endpoints.remove(0));
        }
        self.python_extra = endpoints;
        self.python_links = conf.words("find-links");
        Ok(())
    }

    /// Takes the registry that npm uses when nobody configures another.
    pub(crate) fn default_npm(&mut self, url: &Url, machine: Machine<'_>) -> Result<(), MirrorsError> {
        let npmrc = npmrc::Npmrc::read(machine)?;
        self.npm = Some(self.npm_endpoint("npm's package", url.as_str(), &npmrc, machine)?);
        Ok(())
    }

    /// Takes the index that pip uses when nobody configures another.
    pub(crate) fn default_python(&mut self, url: &Url, machine: Machine<'_>) -> Result<(), MirrorsError> {
        let conf = pip_conf::PipConf::read(machine)?;
        let mut endpoint = endpoint::of("pip's package", url.as_str())?;
        endpoint.proxy = conf.proxy(&self.proxy);
        endpoint.ca_files = conf.ca_files(machine);
        self.python = Some(endpoint);
        Ok(())
    }
}

/// What a flag or a variable of our own says, and which of them.
fn given(flag: Option<&String>, variable: &str, env: &BTreeMap<String, String>) -> Option<(String, String)> {
    let flag = flag.map(|text| ("the command line".to_owned(), text.clone()));
    flag.or_else(|| env.get(variable).map(|text| (format!("`{variable}`"), text.clone())))
        .filter(|(_, text)| !text.is_empty())
}

/// A file below the root; none if it does not exist or may not be read.
fn read(machine: Machine<'_>, path: &Path) -> Result<Option<String>, MirrorsError> {
    let below = machine.root.join(path.strip_prefix("/").unwrap_or(path));
    match fs_err::read(below) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(cause) if unreadable(&cause) => Ok(None),
        Err(cause) => Err(MirrorsError::Read(cause)),
    }
}

fn unreadable(cause: &std::io::Error) -> bool {
    use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
    matches!(cause.kind(), NotFound | PermissionDenied | NotADirectory | IsADirectory)
}

/// The files of a folder below the root whose names end so, in order.
fn files(machine: Machine<'_>, folder: &str, endings: &[&str]) -> Result<Vec<PathBuf>, MirrorsError> {
    let entries = match fs_err::read_dir(machine.root.join(folder.trim_start_matches('/'))) {
        Ok(entries) => entries,
        Err(cause) if unreadable(&cause) => return Ok(Vec::new()),
        Err(cause) => return Err(MirrorsError::Read(cause)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.map_err(MirrorsError::Read)?.file_name().to_string_lossy().into_owned();
        if endings.iter().any(|ending| name.ends_with(ending)) {
            files.push(Path::new(folder).join(name));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
