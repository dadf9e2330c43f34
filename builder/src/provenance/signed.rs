//! What somebody has signed of how an image was made.

use std::collections::BTreeMap;

use oci_spec::image::{Digest, DigestAlgorithm};
use serde::Deserialize;
use serde_json::Value;

use super::{PREDICATE_TYPE, STATEMENT_TYPE};

/// A statement that was read: what it is about, and what it says.
#[derive(Clone, Debug)]
pub struct Claim {
    /// All of it.
    pub statement: Value,
    /// Who has built.
    pub builder: String,
    subjects: Vec<String>,
}

/// Why a statement is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// It is no provenance.
    #[error("it is no SLSA provenance: {what}")]
    Malformed {
        /// What is wrong with it.
        what: String,
    },
    /// It is about other images.
    #[error("it is about other images: {}", .found.join(", "))]
    Other {
        /// What it is about.
        found: Vec<String>,
    },
    /// Somebody built it who is not accepted.
    #[error("it was built by `{found}`")]
    Builder {
        /// Who.
        found: String,
    },
}

/// What has to be there; whatever else is there is allowed (in-toto, "Parsing rules").
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Form {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Deserialize)]
struct Subject {
    digest: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    #[serde(rename = "buildDefinition")]
    _definition: Definition,
    run_details: RunDetails,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    #[serde(rename = "buildType")]
    _kind: String,
    #[serde(rename = "externalParameters")]
    _parameters: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct RunDetails {
    builder: Builder,
}

#[derive(Deserialize)]
struct Builder {
    id: String,
}

impl Claim {
    /// Reads a payload.
    pub fn parse(payload: &[u8]) -> Result<Self, ClaimError> {
        let malformed = |what: String| ClaimError::Malformed { what };
        let form: Form = serde_json::from_slice(payload).map_err(|cause| malformed(cause.to_string()))?;
        let statement = serde_json::from_slice(payload).map_err(|cause| malformed(cause.to_string()))?;
        if form.kind != STATEMENT_TYPE {
            return Err(malformed(format!("its type is `{}`", form.kind)));
        }
        if form.predicate_type != PREDICATE_TYPE {
            return Err(malformed(format!("it says `{}`", form.predicate_type)));
        }
        let subjects = form.subject.into_iter().filter_map(|mut subject| subject.digest.remove("sha256"));
        Ok(Self { statement, builder: form.predicate.run_details.builder.id, subjects: subjects.collect() })
    }

    /// Refuses a statement about other images.
    pub fn is_about(&self, image: &Digest) -> Result<(), ClaimError> {
        let digits = image.digest();
        let is_sha256 = *image.algorithm() == DigestAlgorithm::Sha256;
        if is_sha256 && self.subjects.iter().any(|subject| subject == digits) {
            return Ok(());
        }
        Err(ClaimError::Other { found: self.subjects.clone() })
    }

    /// Refuses other builders than these; none of them accepts any.
    pub fn is_by(&self, builders: &[String]) -> Result<(), ClaimError> {
        if builders.is_empty() || builders.contains(&self.builder) {
            return Ok(());
        }
        Err(ClaimError::Builder { found: self.builder.clone() })
    }
}
