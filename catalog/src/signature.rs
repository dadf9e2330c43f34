//! Signatures: payloads in DSSE envelopes (secure-systems-lab/dsse, protocol 1.0), by ed25519 or ECDSA on P-256 with
//! SHA-256, and the statement that is signed of a revision.

mod envelope;
mod key;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

pub use envelope::{ENVELOPE_MEDIA_TYPE, Envelope};
pub use key::{KeyError, PublicKey, SigningKey};

use crate::Catalog;

/// The artifact type of the manifest that holds one.
pub const SIGNATURE_ARTIFACT_TYPE: &str = "application/vnd.lapstrake.catalog.signature.v1";
/// What an envelope says of a statement about a revision.
const PAYLOAD_TYPE: &str = "application/vnd.lapstrake.catalog.statement.v1+json";

/// What is signed: which revision, and until when it counts as fresh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// The form of the statement, always 1.
    pub schema: u32,
    /// The canonical name of the catalog.
    pub name: String,
    /// The number of the revision.
    pub revision: u64,
    /// The digest of its image index.
    pub index: Digest,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it counts as fresh.
    pub valid_until: Timestamp,
}

impl Statement {
    /// The statement about a revision, whose image index has the digest.
    #[must_use]
    pub fn of(catalog: &Catalog, index: &Digest) -> Self {
        Self {
            schema: 1,
            name: catalog.name.clone(),
            revision: catalog.revision,
            index: index.clone(),
            created: catalog.created,
            valid_until: catalog.valid_until,
        }
    }
}

/// Why a signature is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is no envelope.
    #[error("the signature is not understood: {what}")]
    Malformed {
        /// What is wrong with it.
        what: String,
    },
    /// Too few of the keys have signed.
    #[error("{found} of the keys have signed, and {threshold} are needed")]
    TooFew {
        /// How many have.
        found: usize,
        /// How many are needed.
        threshold: usize,
    },
    /// What was signed is another revision, or about another image.
    #[error("what was signed is {found}, and not {expected}")]
    Other {
        /// What was signed.
        found: String,
        /// What is there.
        expected: String,
    },
}

impl Statement {
    /// An envelope of the statement that nobody has signed yet.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a statement has text keys and whole numbers")]
    pub fn envelope(&self) -> Envelope {
        let mut value = serde_json::to_value(self).expect("a statement has text keys and whole numbers");
        value.sort_all_objects();
        Envelope::new(PAYLOAD_TYPE, value.to_string().as_bytes())
    }

    /// Reads an envelope of a statement. Any other payload is refused.
    pub fn parse_envelope(bytes: &[u8]) -> Result<Envelope, SignatureError> {
        Envelope::parse(bytes, PAYLOAD_TYPE)
    }

    /// The statement of an envelope, if enough of these keys have signed it ([`Envelope::verified`]).
    pub fn verified(
        envelope: &Envelope,
        keys: &[PublicKey],
        threshold: usize,
    ) -> Result<Self, SignatureError> {
        let payload = envelope.verified(PAYLOAD_TYPE, keys, threshold)?;
        serde_json::from_slice(&payload).map_err(|error| malformed(&error.to_string()))
    }

    /// Refuses a statement about something else than a revision.
    pub fn is_about(&self, catalog: &Catalog, index: &Digest) -> Result<(), SignatureError> {
        let here = Self::of(catalog, index);
        if *self == here {
            return Ok(());
        }
        let text = |statement: &Self| {
            format!("revision {} of `{}`, `{}`", statement.revision, statement.name, statement.index)
        };
        Err(SignatureError::Other { found: text(self), expected: text(&here) })
    }
}

fn malformed(what: &str) -> SignatureError {
    SignatureError::Malformed { what: what.to_owned() }
}
