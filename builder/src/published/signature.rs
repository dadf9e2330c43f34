//! Signatures of a revision, where the revision is: an artifact manifest under the tag that cosign gives to signatures,
//! `sha256-<digest>.sig`, which names the image index as its subject.

use lapstrake_catalog::Catalog;
use lapstrake_catalog::signature::{
    ENVELOPE_MEDIA_TYPE, Envelope, SIGNATURE_ARTIFACT_TYPE, SignatureError, SigningKey, Statement,
};
use lapstrake_oci::destination::Shipment;
use lapstrake_oci::document::Document;
use lapstrake_oci::image::Blob;
use oci_spec::image::{Descriptor, Digest, ImageManifest, MediaType};
use serde_json::json;

use super::{Published, Repository};
use crate::failure::{Exit, Failure};
use crate::trust::Signers;

/// The tag of the signatures of an image index.
#[must_use]
pub fn signature_tag(index: &Digest) -> String {
    format!("{}-{}.sig", index.algorithm(), index.digest())
}

impl Repository {
    /// What enough of the keys have signed of an image index; none where nobody has signed anything.
    pub fn statement(&self, index: &Digest, signers: &Signers) -> Result<Option<Statement>, Failure> {
        let mut last = None;
        for envelope in self.envelopes(index)? {
            match Statement::verified(&envelope, &signers.keys, signers.threshold) {
                Ok(statement) => return Ok(Some(statement)),
                Err(cause) => last = Some(cause),
            }
        }
        last.map_or(Ok(None), |cause| Err(self.wrong_signature(index, cause)))
    }

    /// The failure of a signature that is there and proves nothing.
    #[must_use]
    pub fn wrong_signature(&self, index: &Digest, cause: SignatureError) -> Failure {
        let what = format!("the signatures of `{index}` of `{}` are not accepted", self.name());
        Failure::because(Exit::Refused, what, cause)
    }

    /// Everything that was signed of an image index.
    pub fn envelopes(&self, index: &Digest) -> Result<Vec<Envelope>, Failure> {
        let tag = signature_tag(index);
        if self.digest_of(&tag)?.is_none() {
            return Ok(Vec::new());
        }
        let malformed = |cause| {
            Failure::because(
                Exit::Refused,
                format!("`{tag}` of `{}` holds no signatures", self.name()),
                cause,
            )
        };
        let manifest: ImageManifest = self.top(&tag)?.parse().map_err(malformed)?;
        let media_type = MediaType::from(ENVELOPE_MEDIA_TYPE);
        let is_envelope = |layer: &&Descriptor| *layer.media_type() == media_type;
        let read = |layer: &Descriptor| {
            let document = self.document(layer)?;
            Statement::parse_envelope(document.bytes()).map_err(|cause| self.wrong_signature(index, cause))
        };
        manifest.layers().iter().filter(is_envelope).map(read).collect()
    }

    /// Signs a revision. What others have signed of it stays beside that.
    pub fn sign(&self, revision: &Published, key: &SigningKey) -> Result<(), Failure> {
        let Published { catalog, index } = revision;
        let mut envelopes = self.envelopes(index.digest())?;
        let mut own = Statement::of(catalog, index.digest()).envelope();
        if let Some(at) = envelopes.iter().position(|envelope| envelope.says_the_same(&own)) {
            own = envelopes.remove(at);
        }
        own.sign(key).map_err(|cause| Failure::because(Exit::Ours, "could not sign", cause))?;
        envelopes.insert(0, own);
        self.attach(revision, &envelopes)?;
        // Nobody can be kept from writing the tag at the same time; whoever lost must know.
        let own = Signers { keys: vec![key.public()], threshold: 1 };
        match self.statement(index.digest(), &own)? {
            Some(_) => Ok(()),
            None => Err(Failure::new(Exit::Transient, "somebody else has signed at the same time")),
        }
    }

    /// Copies what was signed of a revision from another repository.
    pub fn copy_signatures(&self, from: &Self, revision: &Published) -> Result<usize, Failure> {
        let mut envelopes = from.envelopes(revision.index.digest())?;
        let found = envelopes.len();
        for here in self.envelopes(revision.index.digest())? {
            match envelopes.iter_mut().find(|envelope| envelope.says_the_same(&here)) {
                Some(envelope) => envelope.join(&here),
                None => envelopes.push(here),
            }
        }
        if found > 0 {
            self.attach(revision, &envelopes)?;
        }
        Ok(found)
    }

    fn attach(&self, revision: &Published, envelopes: &[Envelope]) -> Result<(), Failure> {
        let tag = signature_tag(revision.index.digest());
        let blob =
            |envelope: &Envelope| Blob::bytes(MediaType::from(ENVELOPE_MEDIA_TYPE), envelope.to_bytes());
        let layers: Vec<Blob> = envelopes.iter().map(blob).collect();
        let shipment = |subject: Option<&Document>| signatures(&revision.catalog, layers.clone(), subject);
        match self.ship(shipment(Some(&revision.index)), &tag) {
            // A registry from before image-spec 1.1 may refuse a field that it does not know.
            Err(failure) if failure.exit == Exit::RegistryRefused => self.ship(shipment(None), &tag),
            done => done,
        }
    }
}

fn signatures(catalog: &Catalog, envelopes: Vec<Blob>, subject: Option<&Document>) -> Shipment {
    let empty = Blob::bytes(MediaType::EmptyJSON, &b"{}"[..]);
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "artifactType": SIGNATURE_ARTIFACT_TYPE,
        "config": empty.descriptor,
        "layers": envelopes.iter().map(|blob| &blob.descriptor).collect::<Vec<_>>(),
        "annotations": {"dev.lapstrake.catalog.revision": catalog.revision.to_string()},
    });
    if let Some(subject) = subject {
        manifest["subject"] = json!(subject.descriptor());
    }
    let manifest = Document::new(MediaType::ImageManifest, &manifest);
    let blobs = envelopes.into_iter().chain([empty]).collect::<Vec<_>>();
    Shipment::new(blobs, Vec::new(), manifest)
}

#[cfg(test)]
mod tests {
    use super::signature_tag;
    use lapstrake_oci::document::sha256_of;

    #[test]
    fn signatures_are_where_cosign_looks_for_them() {
        assert_eq!(
            signature_tag(&sha256_of(b"")),
            "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.sig"
        );
    }
}
