//! Signatures over a revision: a statement in a DSSE envelope (secure-systems-lab/dsse, protocol 1.0), by ed25519 or ECDSA
//! on P-256 with SHA-256.

mod key;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

pub use key::{KeyError, PublicKey, SigningKey};

use crate::Catalog;

/// The media type of an envelope.
pub const ENVELOPE_MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";
/// The artifact type of the manifest that holds one.
pub const SIGNATURE_ARTIFACT_TYPE: &str = "application/vnd.lapstrake.catalog.signature.v1";
/// What an envelope says of its payload.
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
    /// What was signed is another revision.
    #[error("what was signed is {found}, and not {expected}")]
    Other {
        /// What was signed.
        found: String,
        /// What is there.
        expected: String,
    },
}

/// A signed statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    keyid: String,
    sig: String,
}

impl Envelope {
    /// A statement that nobody has signed yet.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a statement has text keys and whole numbers")]
    pub fn new(statement: &Statement) -> Self {
        let mut value = serde_json::to_value(statement).expect("a statement has text keys and whole numbers");
        value.sort_all_objects();
        Self {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: STANDARD.encode(value.to_string()),
            signatures: Vec::new(),
        }
    }

    /// Reads an envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        let envelope: Self = serde_json::from_slice(bytes).map_err(|error| malformed(&error.to_string()))?;
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(malformed(&format!("it is about a `{}`", envelope.payload_type)));
        }
        Ok(envelope)
    }

    /// Writes the envelope.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "an envelope has text keys")]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut value = serde_json::to_value(self).expect("an envelope has text keys");
        value.sort_all_objects();
        value.to_string().into_bytes()
    }

    /// Tells whether two envelopes hold the same statement.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        (&self.payload_type, &self.payload) == (&other.payload_type, &other.payload)
    }

    /// Takes the signatures of another envelope that says the same.
    pub fn join(&mut self, other: &Self) {
        if !self.says_the_same(other) {
            return;
        }
        for signed in &other.signatures {
            if !self.signatures.contains(signed) {
                self.signatures.push(signed.clone());
            }
        }
    }

    /// How many signatures there are, verified or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.signatures.len()
    }

    /// Whether nobody has signed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.signatures.is_empty()
    }

    /// Adds a signature; that of a key that has signed already is replaced.
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), SignatureError> {
        let keyid = key.public().id();
        let sig = key.sign(&self.authenticated()?).map_err(|error| malformed(&error.to_string()))?;
        self.signatures.retain(|signed| signed.keyid != keyid);
        self.signatures.push(Signed { keyid, sig: STANDARD.encode(sig) });
        Ok(())
    }

    /// The statement, if enough of these keys have signed it. Keys are counted, not signatures, and the names that signatures
    /// give to keys count for nothing.
    pub fn verified(&self, keys: &[PublicKey], threshold: usize) -> Result<Statement, SignatureError> {
        let bytes = self.authenticated()?;
        let signatures: Vec<Vec<u8>> =
            self.signatures.iter().filter_map(|signed| STANDARD.decode(&signed.sig).ok()).collect();
        let mut distinct: Vec<&PublicKey> = Vec::new();
        for key in keys {
            let has_signed = signatures.iter().any(|signature| key.verifies(&bytes, signature));
            if has_signed && !distinct.contains(&key) {
                distinct.push(key);
            }
        }
        let (found, threshold) = (distinct.len(), threshold.max(1));
        if found < threshold {
            return Err(SignatureError::TooFew { found, threshold });
        }
        serde_json::from_slice(&self.decoded()?).map_err(|error| malformed(&error.to_string()))
    }

    fn decoded(&self) -> Result<Vec<u8>, SignatureError> {
        STANDARD.decode(&self.payload).map_err(|error| malformed(&error.to_string()))
    }

    /// What is signed: the type and the payload, each with its length (DSSE's pre-authentication encoding).
    fn authenticated(&self) -> Result<Vec<u8>, SignatureError> {
        let payload = self.decoded()?;
        let (kind, length) = (&self.payload_type, payload.len());
        let mut bytes = format!("DSSEv1 {} {kind} {length} ", kind.len()).into_bytes();
        bytes.extend_from_slice(&payload);
        Ok(bytes)
    }
}

impl Statement {
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
