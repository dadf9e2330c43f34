//! The files that name the packages of an app: where each package comes from, and what holds it to its bytes.
//!
//! Reading and judging are pure: texts in, findings out. They come from whoever wrote the app, so all that is read is
//! bounded, and what is not understood is an error that names the file.

mod app;
mod check;
mod hash;
mod json;
mod judge;
mod python;
mod requirements;
mod told;
mod yaml;
mod yarn;

#[cfg(test)]
mod tests;

use lapstrake_sandbox::HostPort;
use url::Url;

use crate::app_file::Rule;

pub use app::registries_of_app;
pub use check::{Strictness, check, enforced, lint};
pub use hash::Held;
pub use judge::{Hosts, judge};

/// The format of a lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// npm's `package-lock.json` and `npm-shrinkwrap.json`, of every version.
    Npm,
    /// `yarn.lock`, of the first yarn or of a later one.
    Yarn,
    /// `pnpm-lock.yaml`.
    Pnpm,
    /// `uv.lock`, `poetry.lock` or `pdm.lock`.
    PythonToml,
    /// `Pipfile.lock`.
    Pipfile,
    /// Requirements of pip.
    Requirements,
}

/// A lock file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFile {
    /// Its name, relative to the root of the source.
    pub file: String,
    /// Its format.
    pub format: Format,
    /// The packages, in the order of the file.
    pub packages: Vec<Package>,
}

/// A package of a lock file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The name that it is installed under.
    pub name: String,
    /// The line that it stands on, from 1; 0 where that is not known.
    pub line: usize,
    /// Where it comes from.
    pub from: ComesFrom,
    /// What holds it to its bytes.
    pub held: Held,
    /// The name that it has at its registry, where the file declares another one.
    pub alias_of: Option<String>,
}

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComesFrom {
    /// The registry that is configured, at no address of its own.
    Registry,
    /// A file or directory of the source itself.
    Source,
    /// An address, as the file has it: also one that is no URL, such as `../lib` outside of the source.
    Address(String),
}

/// What is wrong with a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The lock file.
    pub file: String,
    /// The line, from 1; 0 where that is not known.
    pub line: usize,
    /// The package.
    pub package: String,
    /// What it breaks.
    pub rule: Rule,
    /// Where it comes from, without login and query; none where it has no address of its own.
    pub url: Option<String>,
}

/// A lock file that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{file}` cannot be read as a lock file: {reason}")]
pub struct LockError {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 where that is not known.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// What is wrong with a text, before it is known which file that is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Malformed {
    line: usize,
    reason: String,
}

impl Malformed {
    fn new(line: usize, reason: impl Into<String>) -> Self {
        Self { line, reason: reason.into() }
    }
}

/// Reads the text of a lock file.
pub fn read(format: Format, file: &str, text: &str) -> Result<LockFile, LockError> {
    let packages = match format {
        Format::Npm => json::npm(text),
        Format::Pipfile => json::pipfile(text),
        Format::Yarn if text.lines().any(|line| line.trim_end() == "__metadata:") => yarn::berry(text),
        Format::Yarn => yarn::classic(text),
        Format::Pnpm => yarn::pnpm(text),
        Format::PythonToml => python::packages(text),
        Format::Requirements => Ok(requirements::packages(text)),
    };
    match packages {
        Ok(mut packages) => {
            // Readers know a file by its text alone; from where it lies, a path may still be inside of the source.
            let depth = file.matches('/').count();
            for package in &mut packages {
                if matches!(&package.from, ComesFrom::Address(address) if is_inside(address, depth)) {
                    package.from = ComesFrom::Source;
                }
            }
            Ok(LockFile { file: file.to_owned(), format, packages })
        }
        Err(Malformed { line, reason }) => Err(LockError { file: file.to_owned(), line, reason }),
    }
}

/// Where an address leads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    scheme: String,
    /// The host, with the port of the scheme where none is named; that of http counts as that of https.
    host: Option<HostPort>,
    path: String,
}

impl Place {
    /// Reads an address; none where it is no URL, as a plain version is none.
    fn of(address: &str) -> Option<Self> {
        let url = Url::parse(address).ok()?;
        let scheme = url.scheme().to_owned();
        // `git+https:` reaches its host as `https:` does. That http is not https is found for itself.
        let inner = scheme.rsplit('+').next().unwrap_or_default();
        let port = url.port().or(match inner {
            "https" | "http" => Some(443),
            "ssh" => Some(22),
            "git" => Some(9418),
            _ => None,
        });
        let host = url.host_str().filter(|host| !host.is_empty()).zip(port);
        let host = host.map(|(host, port)| HostPort::new(host, port));
        Some(Self { scheme, host, path: url.path().to_owned() })
    }
}

/// An address as it may be shown: without login, query and fragment.
fn shown(address: &str) -> String {
    let plain = address.split(['?', '#']).next().unwrap_or_default();
    if plain.starts_with("file:") {
        // As a URL, it would no longer say that it leads out of the source.
        return plain.to_owned();
    }
    let Ok(mut url) = Url::parse(plain) else {
        // What is no URL may still hold a login: `user:password@host:path`.
        return plain.rsplit_once('@').map_or(plain, |(_, rest)| rest).to_owned();
    };
    // One without a host has no login.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// Whether an address is a path inside of the source, seen from a directory `depth` levels below its root.
fn is_inside(address: &str, depth: usize) -> bool {
    let schemes = ["file:", "link:", "portal:"];
    let path = schemes.iter().find_map(|scheme| address.strip_prefix(scheme)).unwrap_or(address);
    let is_path = path.starts_with('.') && !path.contains("://");
    is_path && !leads_out(path.split(['#', '?']).next().unwrap_or(path), depth)
}

/// Whether a relative path leads out of the directory `depth` levels below the root of the source.
fn leads_out(path: &str, depth: usize) -> bool {
    let mut level = depth;
    path.starts_with('/')
        || path.split('/').any(|part| match part {
            "" | "." => false,
            ".." => match level.checked_sub(1) {
                Some(above) => {
                    level = above;
                    false
                }
                None => true,
            },
            _ => {
                level += 1;
                false
            }
        })
}
