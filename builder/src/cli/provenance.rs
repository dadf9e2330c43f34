//! Arguments about provenance: how an image was made, as a statement that others can verify.

use std::path::PathBuf;

use clap::Args;
use url::Url;

use super::{Format, RegistryArgs};

/// The provenance of what is built.
#[derive(Clone, Debug, Default, Args)]
pub struct ProvenanceArgs {
    /// Write how the image was made here: an in-toto statement with SLSA provenance, in an envelope where there is a key.
    #[arg(long, env = "LAPSTRAKE_PROVENANCE_FILE", value_name = "FILE")]
    pub provenance_file: Option<PathBuf>,
    /// Sign how the image was made, and attach that to it in its registry.
    ///
    /// The key is PKCS #8 in PEM, ed25519 or ECDSA on P-256, in FILE or in `env://VARIABLE`. Build commands never see it.
    #[arg(long, env = "LAPSTRAKE_PROVENANCE_KEY", value_name = "FILE|env://VARIABLE")]
    pub provenance_key: Option<String>,
    /// Who builds, as a URI that stands for the platform; the isolation of the commands is added to it as a last segment.
    #[arg(long, env = "LAPSTRAKE_BUILDER_ID", value_name = "URI")]
    pub builder_id: Option<Url>,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyProvenanceArgs {
    /// The image: REGISTRY/REPOSITORY, with a tag or a digest, or `oci:DIR[:TAG]`.
    pub image: String,
    /// A key whose signature counts, a public key in PEM; may be given several times.
    #[arg(long, env = "LAPSTRAKE_VERIFY_KEY", value_name = "FILE|env://VARIABLE", required = true)]
    pub key: Vec<String>,
    /// How many of the keys must have signed.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threshold: usize,
    /// Read the envelope from this file, and not from where the image is.
    #[arg(long, value_name = "FILE")]
    pub provenance: Option<PathBuf>,
    /// Accept these builders only, by their whole URI; may be given several times.
    #[arg(long, value_name = "URI")]
    pub builder: Vec<String>,
    /// How what was found is printed; JSON is the statement that was signed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}
