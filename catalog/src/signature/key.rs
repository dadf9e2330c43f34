//! Keys in PEM: PKCS #8 (RFC 5958) for signing, `SubjectPublicKeyInfo` (RFC 5280) for verifying.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, UnparsedPublicKey,
};
use sha2::{Digest as _, Sha256};

/// What stands before the 32 bytes of an ed25519 key (RFC 8410).
const ED25519_PREFIX: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// What stands before the 65 bytes of an uncompressed point of P-256 (RFC 5480).
const P256_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why a text is no key that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no PEM block of the kind that is needed.
    #[error("it is no PEM block `{expected}`")]
    NotPem {
        /// The kind.
        expected: &'static str,
    },
    /// It is protected by a password.
    #[error(
        "it is encrypted, which is not supported: `openssl pkcs8 -in KEY -out PLAIN` takes the password away"
    )]
    Encrypted,
    /// It is in the older form of elliptic curves.
    #[error("it is not in PKCS #8: `openssl pkcs8 -topk8 -nocrypt -in KEY -out KEY8` brings it there")]
    NotPkcs8,
    /// It is for another algorithm, or broken.
    #[error("it is neither an ed25519 key nor an ECDSA key on P-256")]
    Algorithm,
    /// The system has no random numbers to sign with.
    #[error("it could not sign")]
    Signing,
}

/// A key that signs.
pub enum SigningKey {
    /// Ed25519.
    Ed25519(Box<Ed25519KeyPair>),
    /// ECDSA on P-256.
    P256(Box<EcdsaKeyPair>),
}

/// The key that verifies what another one has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    point: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Ed25519,
    P256,
}

impl Algorithm {
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Ed25519 => ED25519_PREFIX,
            Self::P256 => P256_PREFIX,
        }
    }
}

/// Its content is shown nowhere.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().id())
    }
}

impl SigningKey {
    /// Reads a key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        if text.contains("-----BEGIN ENCRYPTED ") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        if text.contains("-----BEGIN EC PRIVATE KEY-----") {
            return Err(KeyError::NotPkcs8);
        }
        let der = block(text, "PRIVATE KEY")?;
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
            return Ok(Self::Ed25519(Box::new(pair)));
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der, &SystemRandom::new());
        pair.map(|pair| Self::P256(Box::new(pair))).map_err(|_| KeyError::Algorithm)
    }

    /// The key that verifies.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        match self {
            Self::Ed25519(pair) => {
                PublicKey { algorithm: Algorithm::Ed25519, point: pair.public_key().as_ref().to_vec() }
            }
            Self::P256(pair) => {
                PublicKey { algorithm: Algorithm::P256, point: pair.public_key().as_ref().to_vec() }
            }
        }
    }

    /// Signs; ECDSA in the form of ASN.1, as other tools write it.
    pub(super) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, KeyError> {
        match self {
            Self::Ed25519(pair) => Ok(pair.sign(bytes).as_ref().to_vec()),
            Self::P256(pair) => {
                let signed = pair.sign(&SystemRandom::new(), bytes);
                signed.map(|signature| signature.as_ref().to_vec()).map_err(|_| KeyError::Signing)
            }
        }
    }
}

impl PublicKey {
    /// Reads a key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = block(text, "PUBLIC KEY")?;
        for (algorithm, length) in [(Algorithm::Ed25519, 32), (Algorithm::P256, 65)] {
            if let Some(point) = der.strip_prefix(algorithm.prefix()).filter(|point| point.len() == length) {
                return Ok(Self { algorithm, point: point.to_vec() });
            }
        }
        Err(KeyError::Algorithm)
    }

    /// The name by which signatures name it: the SHA-256 of its DER form, in hexadecimal.
    #[must_use]
    pub fn id(&self) -> String {
        let digest = Sha256::new().chain_update(self.algorithm.prefix()).chain_update(&self.point).finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    }

    /// The key in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let der = [self.algorithm.prefix(), &self.point].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    pub(super) fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        match self.algorithm {
            Algorithm::Ed25519 => {
                UnparsedPublicKey::new(&ED25519, &self.point).verify(bytes, signature).is_ok()
            }
            Algorithm::P256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point).verify(bytes, signature).is_ok()
            }
        }
    }
}

/// The content of a PEM block (RFC 7468).
fn block(text: &str, expected: &'static str) -> Result<Vec<u8>, KeyError> {
    let not_pem = || KeyError::NotPem { expected };
    let (begin, end) = (format!("-----BEGIN {expected}-----"), format!("-----END {expected}-----"));
    let rest = text.split_once(&begin).ok_or_else(not_pem)?.1;
    let body: String = rest.split_once(&end).ok_or_else(not_pem)?.0.split_whitespace().collect();
    STANDARD.decode(body).map_err(|_| not_pem())
}
