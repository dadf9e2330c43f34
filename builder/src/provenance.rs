//! How an image was made, for those who take it: an in-toto statement (attestation framework, "Statement v1") with SLSA
//! provenance ("Provenance v1") in a DSSE envelope.
//!
//! A statement tells what was asked for, what went in and what keeps build commands apart; it has no value of any
//! variable, no login, no query of an address, no path of this machine and not its name, and nothing that differs from one
//! build of the same to the next, the time included. Values that are hidden elsewhere are hidden here.

mod attached;
mod materials;
mod signed;
mod statement;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use lapstrake_catalog::signature::{Envelope, SigningKey};
use lapstrake_oci::document::Document;
use lapstrake_oci::registry::Client;
use serde::Serialize;
use std::sync::Arc;
use url::Url;

pub use attached::{attestation_tag, envelopes};
pub use signed::{Claim, ClaimError};
pub use statement::{Made, Statement};

use crate::cli::ProvenanceArgs;
use crate::context::Context;
use crate::deliver::Product;
use crate::failure::{Exit, Failure};
use crate::metadata::write_whole;
use crate::output::Output;
use crate::published::Repository;
use crate::trust::signing_key;

/// The type of a statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The type of what it says.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// What an envelope says of a statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// How the external parameters are to be understood.
pub const BUILD_TYPE: &str = "https://lapstrake.dev/provenance/build/v1";
/// Who builds where nobody says another: whoever has the key.
const BUILDER: &str = "https://lapstrake.dev/builder";

/// What is asked of the provenance of a build.
pub struct Wanted {
    file: Option<PathBuf>,
    key: Option<SigningKey>,
    builder: String,
}

/// The provenance of an image, in the report of its build.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvenanceReport {
    /// Who has built it, and how commands were isolated.
    pub builder: String,
    /// The key that has signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where it is attached to the image, as `REGISTRY/REPOSITORY:TAG`.
    pub attached: Vec<String>,
}

impl Wanted {
    /// What the arguments ask for; none where they ask for nothing. The key is read now, before anything is built.
    pub fn read(
        args: &ProvenanceArgs,
        outputs: &[Output],
        context: &Context,
    ) -> Result<Option<Self>, Failure> {
        let key = args.provenance_key.as_deref().map(|given| signing_key(given, context)).transpose()?;
        let file = args.provenance_file.clone();
        let has_registry = outputs.iter().any(|output| output.reference().is_some());
        if key.is_some() && file.is_none() && !has_registry {
            let what = "provenance is attached to an image in a registry, and the image goes to none";
            return Err(Failure::new(Exit::NotUnderstood, what)
                .hint("give the image a `--tag`, or write the provenance to a `--provenance-file`"));
        }
        if args.builder_id.is_some() && key.is_none() && file.is_none() {
            let what = "`--builder-id` is for provenance, and none is asked for";
            return Err(Failure::new(Exit::NotUnderstood, what)
                .hint("ask for it by `--provenance-key` or `--provenance-file`"));
        }
        if key.is_none() && file.is_none() {
            return Ok(None);
        }
        let builder = match &args.builder_id {
            Some(uri) => builder_uri(uri)?,
            None => BUILDER.to_owned(),
        };
        Ok(Some(Self { file, key, builder }))
    }

    /// States how an image was made, signs that, and attaches it wherever the image goes in a registry. The image itself
    /// may follow: a registry takes what refers to a manifest before it has it (distribution-spec, "Pushing Manifests with
    /// Subject"), so nobody sees the image without its provenance.
    pub fn provide(
        &self,
        made: &Made<'_>,
        product: &Product,
        client: &Arc<Client>,
        context: &Context,
    ) -> Result<ProvenanceReport, Failure> {
        let statement = Statement::of(made, product, &self.builder)?;
        let payload = statement.to_bytes(&context.report.mask())?;
        let Some(key) = &self.key else {
            self.write(&payload)?;
            return Ok(ProvenanceReport { builder: statement.builder(), key: None, attached: Vec::new() });
        };
        let mut envelope = Envelope::new(PAYLOAD_TYPE, &payload);
        envelope.sign(key).map_err(|cause| Failure::because(Exit::Ours, "could not sign", cause))?;
        self.write(&envelope.to_bytes())?;
        let mut attached = Vec::new();
        for reference in made.outputs.iter().filter_map(Output::reference) {
            context.stop.check()?;
            let name = format!("{}/{}", reference.registry(), reference.repository());
            let repository = Repository::open(&name, client, context)?;
            for image in product.documents() {
                let tag = attached::attach(&repository, image, &envelope, &key.public())?;
                attached.push(format!("{name}:{tag}"));
            }
        }
        attached.sort();
        attached.dedup();
        Ok(ProvenanceReport { builder: statement.builder(), key: Some(key.public().id()), attached })
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(file) = &self.file else { return Ok(()) };
        write_whole(file, bytes).map_err(|cause| {
            Failure::io(format!("could not write the provenance to `{}`", file.display()), cause)
        })
    }
}

/// The URI of a builder, to which a segment can be added.
fn builder_uri(uri: &Url) -> Result<String, Failure> {
    let has_login = !uri.username().is_empty() || uri.password().is_some();
    if uri.cannot_be_a_base() || has_login || uri.query().is_some() || uri.fragment().is_some() {
        let what = "`--builder-id` is no URI to which a segment can be added";
        return Err(Failure::new(Exit::NotUnderstood, what)
            .hint("it looks like `https://ci.example.com/builder`, without login, query or fragment"));
    }
    Ok(uri.as_str().trim_end_matches('/').to_owned())
}

/// The sha256 of a document, as statements have it.
fn sha256_of(document: &Document) -> String {
    document.digest().digest().to_owned()
}
