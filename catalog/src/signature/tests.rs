use std::io::Read as _;
use std::process::Command;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::sample::{digest, examples};

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}

/// A new key of each algorithm.
fn keys() -> [SigningKey; 2] {
    let random = SystemRandom::new();
    let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    [pem(ed25519.as_ref()), pem(p256.as_ref())].map(|text| SigningKey::from_pem(&text).unwrap())
}

fn statement() -> Statement {
    Statement::of(&examples(), &digest("index"))
}

fn signed(keys: &[&SigningKey]) -> Envelope {
    let mut envelope = statement().envelope();
    for key in keys {
        envelope.sign(key).unwrap();
    }
    envelope
}

#[test]
fn what_a_key_has_signed_its_public_key_verifies_and_no_other() {
    for (key, other) in [(0, 1), (1, 0)] {
        let keys = keys();
        let envelope = Statement::parse_envelope(&signed(&[&keys[key]]).to_bytes()).unwrap();
        let public = PublicKey::from_pem(&keys[key].public().to_pem()).unwrap();
        assert_eq!(Statement::verified(&envelope, std::slice::from_ref(&public), 1).unwrap(), statement());
        let too_few = SignatureError::TooFew { found: 0, threshold: 1 };
        assert_eq!(Statement::verified(&envelope, &[keys[other].public()], 1), Err(too_few.clone()));
        assert_eq!(Statement::verified(&envelope, &[], 1), Err(too_few.clone()));
        assert_eq!(
            Statement::verified(&envelope, &[], 0),
            Err(too_few),
            "no threshold lets an unsigned one through"
        );
        assert_eq!(
            Statement::verified(&envelope, &[public.clone(), public], 2),
            Err(SignatureError::TooFew { found: 1, threshold: 2 })
        );
    }
}

#[test]
fn distinct_keys_are_counted() {
    let keys = keys();
    let public = keys.each_ref().map(SigningKey::public);
    assert!(Statement::verified(&signed(&[&keys[0], &keys[1]]), &public, 2).is_ok());
    let twice = signed(&[&keys[0], &keys[0]]);
    assert_eq!(twice.signatures.len(), 1, "a key signs once");
    assert_eq!(
        Statement::verified(&twice, &public, 2),
        Err(SignatureError::TooFew { found: 1, threshold: 2 })
    );
}

#[test]
fn prv_04_no_byte_of_payload_type_or_signature_can_change() {
    for key in keys() {
        let envelope = signed(&[&key]);
        let payload = STANDARD.decode(&envelope.payload).unwrap();
        for at in 0..payload.len() {
            let mut changed = payload.clone();
            changed[at] ^= 1;
            let changed = Envelope { payload: STANDARD.encode(changed), ..envelope.clone() };
            assert!(Statement::verified(&changed, &[key.public()], 1).is_err(), "byte {at} of the payload");
        }
        let signature = STANDARD.decode(&envelope.signatures[0].sig).unwrap();
        for at in 0..signature.len() {
            let mut changed = envelope.clone();
            let mut bytes = signature.clone();
            bytes[at] ^= 1;
            changed.signatures[0].sig = STANDARD.encode(bytes);
            assert!(Statement::verified(&changed, &[key.public()], 1).is_err(), "byte {at} of the signature");
        }
        let other = Envelope { payload_type: format!("{PAYLOAD_TYPE} "), ..envelope.clone() };
        assert!(
            Statement::verified(&other, &[key.public()], 1).is_err()
                && Statement::parse_envelope(&other.to_bytes()).is_err()
        );
        let mut named = envelope;
        named.signatures[0].keyid = "another".to_owned();
        assert!(
            Statement::verified(&named, &[key.public()], 1).is_ok(),
            "the name of a key counts for nothing"
        );
    }
}

#[test]
fn a_statement_is_about_one_revision() {
    let catalog = examples();
    assert_eq!(statement().is_about(&catalog, &digest("index")), Ok(()));
    assert!(statement().is_about(&catalog, &digest("other")).is_err());
    for changed in [
        Catalog { revision: catalog.revision + 1, ..catalog.clone() },
        Catalog { name: "other".to_owned(), ..catalog.clone() },
        Catalog { valid_until: jiff::Timestamp::MAX, ..catalog.clone() },
    ] {
        assert!(statement().is_about(&changed, &digest("index")).is_err());
    }
}

#[test]
fn keys_that_cannot_be_used_are_refused_with_what_to_do() {
    let refused = |text: &str| SigningKey::from_pem(text).unwrap_err();
    assert_eq!(refused("nothing"), KeyError::NotPem { expected: "PRIVATE KEY" });
    assert_eq!(refused("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), KeyError::Encrypted);
    assert_eq!(refused("-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n"), KeyError::Encrypted);
    assert_eq!(
        refused("-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----"),
        KeyError::NotPkcs8
    );
    assert_eq!(refused(&pem(b"junk")), KeyError::Algorithm);
    let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----";
    assert_eq!(PublicKey::from_pem(public), Err(KeyError::Algorithm));
    assert!(!format!("{:?}", keys()[0]).contains("PRIVATE"));
}

/// Runs openssl in a directory; nothing where there is none.
fn openssl(directory: &std::path::Path, words: &[&str]) -> Option<bool> {
    let output = Command::new("openssl").args(words).current_dir(directory).output().ok()?;
    Some(output.status.success())
}

#[test]
fn openssl_reads_what_we_sign_and_we_read_what_openssl_signs() {
    let directory = std::env::temp_dir().join(format!("lapstrake-signature-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(directory.join(name), bytes).unwrap();
    let read = |name: &str| {
        let mut bytes = Vec::new();
        std::fs::File::open(directory.join(name)).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    for (kind, digest) in [
        (vec!["genpkey", "-algorithm", "ed25519"], false),
        (vec!["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], true),
    ] {
        if openssl(&directory, &[&kind[..], &["-out", "key.pem"]].concat()) != Some(true) {
            println!("skipped: openssl is not installed");
            break;
        }
        let key = SigningKey::from_pem(&std::fs::read_to_string(directory.join("key.pem")).unwrap()).unwrap();
        write("public.pem", key.public().to_pem().as_bytes());
        let mut envelope = signed(&[&key]);
        write("bytes", &envelope.authenticated().unwrap());
        write("signature", &STANDARD.decode(&envelope.signatures[0].sig).unwrap());
        let raw: &[&str] = if digest { &["-rawin", "-digest", "sha256"] } else { &["-rawin"] };
        let verify =
            ["pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-in", "bytes", "-sigfile", "signature"];
        assert_eq!(openssl(&directory, &[&verify[..], raw].concat()), Some(true), "{kind:?}");
        let sign = ["pkeyutl", "-sign", "-inkey", "key.pem", "-in", "bytes", "-out", "theirs"];
        assert_eq!(openssl(&directory, &[&sign[..], raw].concat()), Some(true), "{kind:?}");
        envelope.signatures[0].sig = STANDARD.encode(read("theirs"));
        assert!(Statement::verified(&envelope, &[key.public()], 1).is_ok(), "{kind:?}");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}
