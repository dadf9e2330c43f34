//! Keys that sign, made by openssl.

use std::path::Path;

use super::tools;

/// A key that signs, and the one that verifies: files in PEM.
pub(crate) struct Keys {
    pub(crate) private: String,
    pub(crate) public: String,
}

impl Keys {
    /// A new ed25519 key.
    pub(crate) fn ed25519(directory: &Path, name: &str) -> Self {
        Self::generate(directory, name, &["-algorithm", "ed25519"])
    }

    /// A new ECDSA key on P-256.
    pub(crate) fn p256(directory: &Path, name: &str) -> Self {
        Self::generate(directory, name, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
    }

    fn generate(directory: &Path, name: &str, algorithm: &[&str]) -> Self {
        let path = |end: &str| directory.join(format!("{name}.{end}")).display().to_string();
        let (private, public) = (path("pem"), path("pub"));
        tools::run("openssl", [&["genpkey", "-out", &private], algorithm].concat());
        tools::run("openssl", ["pkey", "-in", &private, "-pubout", "-out", &public]);
        Self { private, public }
    }
}
