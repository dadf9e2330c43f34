//! Provenance where the image is: an artifact manifest under the tag that cosign gives to attestations,
//! `sha256-<digest>.att`, which names the image as its subject.

use lapstrake_catalog::signature::{ENVELOPE_MEDIA_TYPE, Envelope, PublicKey};
use lapstrake_oci::destination::Shipment;
use lapstrake_oci::document::Document;
use lapstrake_oci::image::Blob;
use oci_spec::image::{Descriptor, Digest, ImageManifest, MediaType};
use serde_json::json;

use super::{Claim, PAYLOAD_TYPE, PREDICATE_TYPE};
use crate::failure::{Exit, Failure};
use crate::published::Repository;

/// What says of a layer what its statement is about; cosign writes and reads it.
const PREDICATE: &str = "predicateType";
/// What cosign has on every layer.
const COSIGN: &str = "dev.cosignproject.cosign/signature";
/// How often the tag is written again because somebody else wrote it at the same time.
const ATTEMPTS: usize = 3;

/// The tag of what is attested of an image.
#[must_use]
pub fn attestation_tag(image: &Digest) -> String {
    format!("{}-{}.att", image.algorithm(), image.digest())
}

/// The statements that are attached to an image. What is of another kind is passed over.
pub fn envelopes(repository: &Repository, image: &Digest) -> Result<Vec<Envelope>, Failure> {
    Ok(layers(repository, image)?.into_iter().filter_map(|(_, envelope)| envelope).collect())
}

/// Every layer of what is attached to an image, and the statement in it, where there is one.
fn layers(repository: &Repository, image: &Digest) -> Result<Vec<(Descriptor, Option<Envelope>)>, Failure> {
    let tag = attestation_tag(image);
    if repository.digest_of(&tag)?.is_none() {
        return Ok(Vec::new());
    }
    let malformed = |cause| {
        let what = format!("`{tag}` of `{}` holds no attestations", repository.name());
        Failure::because(Exit::Refused, what, cause)
    };
    let manifest: ImageManifest = repository.top(&tag)?.parse().map_err(malformed)?;
    let media_type = MediaType::from(ENVELOPE_MEDIA_TYPE);
    let read = |layer: &Descriptor| {
        if *layer.media_type() != media_type {
            return Ok((layer.clone(), None));
        }
        let document = repository.document(layer)?;
        Ok((layer.clone(), Envelope::parse(document.bytes(), PAYLOAD_TYPE).ok()))
    };
    manifest.layers().iter().map(read).collect()
}

/// Attaches a signed statement. Where others have signed the same one, their signatures stay beside it; what the same key has
/// said of how the image was made before is replaced; all else that is attached stays. The tag is returned.
pub(super) fn attach(
    repository: &Repository,
    image: &Document,
    envelope: &Envelope,
    key: &PublicKey,
) -> Result<String, Failure> {
    let tag = attestation_tag(image.digest());
    let is_there = |there: &Envelope| there.says_the_same(envelope) && has_signed(key, there).is_some();
    for _ in 0..ATTEMPTS {
        let (mut kept, mut own) = (Vec::new(), envelope.clone());
        for (descriptor, there) in layers(repository, image.digest())? {
            match there {
                Some(there) if is_there(&there) => return Ok(tag),
                Some(there) if there.says_the_same(envelope) => own.join(&there),
                Some(there) if is_replaced(&there, key) => {}
                _ => kept.push(descriptor),
            }
        }
        ship(repository, &tag, image, &kept, &own)?;
        // Nobody can be kept from writing the tag at the same time; whoever lost writes once more.
        if envelopes(repository, image.digest())?.iter().any(is_there) {
            return Ok(tag);
        }
    }
    let what = format!("somebody else writes `{tag}` of `{}` at the same time", repository.name());
    Err(Failure::new(Exit::Transient, what))
}

/// The payload of an envelope, if a key has signed it.
fn has_signed(key: &PublicKey, envelope: &Envelope) -> Option<Vec<u8>> {
    envelope.verified(PAYLOAD_TYPE, std::slice::from_ref(key), 1).ok()
}

/// Whether an envelope is provenance that the key has signed.
fn is_replaced(there: &Envelope, key: &PublicKey) -> bool {
    has_signed(key, there).is_some_and(|payload| Claim::parse(&payload).is_ok())
}

fn ship(
    repository: &Repository,
    tag: &str,
    image: &Document,
    kept: &[Descriptor],
    envelope: &Envelope,
) -> Result<(), Failure> {
    let manifest = |subject| shipment(kept, envelope, subject);
    match repository.ship(manifest(Some(image)), tag) {
        // A registry from before image-spec 1.1 may refuse a field that it does not know, or a subject that follows.
        Err(failure) if failure.exit == Exit::RegistryRefused => repository.ship(manifest(None), tag),
        done => done,
    }
}

fn shipment(kept: &[Descriptor], envelope: &Envelope, subject: Option<&Document>) -> Shipment {
    let empty = Blob::bytes(MediaType::EmptyJSON, &b"{}"[..]);
    let own = Blob::bytes(MediaType::from(ENVELOPE_MEDIA_TYPE), envelope.to_bytes());
    let mut layers: Vec<serde_json::Value> = kept.iter().map(|descriptor| json!(descriptor)).collect();
    let mut layer = json!(own.descriptor);
    layer["annotations"] = json!({PREDICATE: PREDICATE_TYPE, COSIGN: ""});
    layers.push(layer);
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "artifactType": PAYLOAD_TYPE,
        "config": empty.descriptor,
        "layers": layers,
    });
    if let Some(subject) = subject {
        manifest["subject"] = json!(subject.descriptor());
    }
    // What was attached before is where it was.
    Shipment::new([own, empty], Vec::new(), Document::new(MediaType::ImageManifest, &manifest))
}
