//! The certificate authorities that this machine trusts.

use std::path::{Path, PathBuf};

use super::Machine;

/// Where distributions keep the bundle.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else the first bundle that exists.
pub(super) fn system(machine: Machine<'_>) -> Vec<PathBuf> {
    let mut named = named(machine, &["SSL_CERT_FILE"]);
    if named.is_empty() {
        // A directory of single files repeats what the bundle holds, so it counts only where there is no bundle.
        named = self::named(machine, &["SSL_CERT_DIR"]);
    }
    if named.is_empty() {
        named.extend(BUNDLES.iter().map(|path| below(machine, path)).find(|path| path.exists()));
    }
    named
}

/// The files that variables name, in order, each once.
pub(super) fn named(machine: Machine<'_>, variables: &[&str]) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for text in variables.iter().filter_map(|name| machine.env.get(*name)).filter(|text| !text.is_empty()) {
        for path in std::env::split_paths(text) {
            let path = below(machine, &path);
            if path.exists() && !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    paths
}

/// A path of the configuration, below the root.
pub(super) fn below(machine: Machine<'_>, path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    machine.root.join(path.strip_prefix("/").unwrap_or(path))
}
