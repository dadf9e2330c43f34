//! What npm and pip take when nobody configures another, read out of the Debian packages that carry these tools.
//!
//! A machine without npm and pip has no opinion on where their packages come from. Those tools' own defaults are the
//! answer that a user of them would get, and the machine's package archive has the tools.

use std::path::Path;

use lapstrake_oci::tree::{FileTree, Kind};
use url::Url;

use super::{Machine, Mirrors, MirrorsError, VARIABLES, npmrc, pip_conf};
use crate::tarball::ArchiveError;
use crate::{deb, wheel};

/// The package that carries pip, and the one that carries npm.
pub const PACKAGES: [&str; 2] = ["python3-pip-whl", "npm"];

/// Why a default cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DefaultsError {
    /// The address cannot be used.
    #[error(transparent)]
    Mirrors(#[from] MirrorsError),
    /// The package cannot be unpacked.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The directory for unpacking cannot be used.
    #[error("could not unpack the package of pip or npm")]
    Scratch(#[from] std::io::Error),
}

/// The registry that an npm takes when nobody configures another, from the source of its settings.
#[must_use]
pub fn npm_registry(settings: &str) -> Option<Url> {
    npmrc::registry_in_source(settings)
}

/// The hosts from which a pip takes packages when nobody configures another index, from the source of its addresses: that
/// of the index, and that of the files.
#[must_use]
pub fn python_index_hosts(source: &str) -> Vec<String> {
    let index = pip_conf::index_in_source(source).and_then(|url| url.host_str().map(str::to_owned));
    index.into_iter().chain(pip_conf::files_in_source(source)).collect()
}

impl Mirrors {
    /// Takes pip's own default out of the Debian package `python3-pip-whl`.
    pub fn complete_python(&mut self, package: &Path, machine: Machine<'_>) -> Result<(), DefaultsError> {
        let scratch = tempfile::tempdir()?;
        let tree = deb::open(package, scratch.path())?.tree;
        let unknown = MirrorsError::Unknown { what: "Python packages", variable: VARIABLES[3] };
        let (name, bytes) = find(&tree, "usr/share/python-wheels/pip-", ".whl")?.ok_or(unknown)?;
        let path = scratch.path().join(name);
        fs_err::write(&path, bytes)?;
        let unknown = || MirrorsError::Unknown { what: "Python packages", variable: VARIABLES[3] };
        let pip = wheel::open(&path, scratch.path())?.install("3")?;
        let (_, source) = find(&pip, "", "pip/_internal/models/index.py")?.ok_or_else(unknown)?;
        let url = pip_conf::index_in_source(&String::from_utf8_lossy(&source)).ok_or_else(unknown)?;
        Ok(self.default_python(&url, machine)?)
    }

    /// Takes npm's own default out of the Debian package `npm`.
    pub fn complete_npm(&mut self, package: &Path, machine: Machine<'_>) -> Result<(), DefaultsError> {
        let scratch = tempfile::tempdir()?;
        let tree = deb::open(package, scratch.path())?.tree;
        let unknown = || MirrorsError::Unknown { what: "npm packages", variable: VARIABLES[2] };
        let (_, source) = find(&tree, "usr/share/nodejs/", "/config/definitions.js")?
            .or(find(&tree, "usr/share/nodejs/", "/config/lib/definitions/definitions.js")?)
            .ok_or_else(unknown)?;
        let url = npmrc::registry_in_source(&String::from_utf8_lossy(&source)).ok_or_else(unknown)?;
        Ok(self.default_npm(&url, machine)?)
    }
}

/// The first file whose path begins and ends so, by name and content.
fn find(tree: &FileTree, start: &str, end: &str) -> Result<Option<(String, Vec<u8>)>, std::io::Error> {
    for (path, node) in tree.iter() {
        let text = path.to_string();
        if let Kind::File(content) = &node.kind
            && text.starts_with(start)
            && text.ends_with(end)
        {
            return Ok(Some((String::from_utf8_lossy(path.name()).into_owned(), content.read()?)));
        }
    }
    Ok(None)
}
