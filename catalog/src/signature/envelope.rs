//! The envelope of a signed payload.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{PublicKey, SignatureError, SigningKey, malformed};

/// The media type of an envelope.
pub const ENVELOPE_MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";

/// A payload, its type, and who has signed both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    pub(super) payload_type: String,
    pub(super) payload: String,
    pub(super) signatures: Vec<Signed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signed {
    /// What the signer calls the key; it proves nothing.
    #[serde(default)]
    pub(super) keyid: String,
    pub(super) sig: String,
}

impl Envelope {
    /// A payload that nobody has signed yet.
    #[must_use]
    pub fn new(payload_type: &str, payload: &[u8]) -> Self {
        Self {
            payload_type: payload_type.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: Vec::new(),
        }
    }

    /// Reads an envelope. A payload of any other type is refused.
    pub fn parse(bytes: &[u8], payload_type: &str) -> Result<Self, SignatureError> {
        let envelope: Self = serde_json::from_slice(bytes).map_err(|error| malformed(&error.to_string()))?;
        envelope.expect(payload_type)?;
        Ok(envelope)
    }

    fn expect(&self, payload_type: &str) -> Result<(), SignatureError> {
        if self.payload_type == payload_type {
            return Ok(());
        }
        Err(malformed(&format!("it is about a `{}`", self.payload_type)))
    }

    /// Writes the envelope.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "an envelope has text keys")]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut value = serde_json::to_value(self).expect("an envelope has text keys");
        value.sort_all_objects();
        value.to_string().into_bytes()
    }

    /// Tells whether two envelopes hold the same payload.
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

    /// The payload, if it is of a type and enough of these keys have signed it. Keys are counted, not signatures, and the
    /// names that signatures give to keys count for nothing.
    pub fn verified(
        &self,
        payload_type: &str,
        keys: &[PublicKey],
        threshold: usize,
    ) -> Result<Vec<u8>, SignatureError> {
        self.expect(payload_type)?;
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
        self.decoded()
    }

    pub(super) fn decoded(&self) -> Result<Vec<u8>, SignatureError> {
        STANDARD.decode(&self.payload).map_err(|error| malformed(&error.to_string()))
    }

    /// What is signed: the type and the payload, each with its length (DSSE's pre-authentication encoding).
    pub(super) fn authenticated(&self) -> Result<Vec<u8>, SignatureError> {
        let payload = self.decoded()?;
        let (kind, length) = (&self.payload_type, payload.len());
        let mut bytes = format!("DSSEv1 {} {kind} {length} ", kind.len()).into_bytes();
        bytes.extend_from_slice(&payload);
        Ok(bytes)
    }
}
