use lapstrake_oci::document::sha256_of;
use oci_spec::image::Digest;
use serde_json::{Value, json};

use super::*;

fn statement(image: &Digest) -> Value {
    json!({
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "_", "digest": {"sha256": image.digest()}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {"buildType": "https://example.com/b", "externalParameters": {}},
            "runDetails": {"builder": {"id": "https://example.com/builder/strict"}},
        },
    })
}

fn parse(statement: &Value) -> Result<Claim, ClaimError> {
    Claim::parse(statement.to_string().as_bytes())
}

#[test]
fn prv_04_a_claim_is_about_one_image_and_by_one_builder() {
    let image = sha256_of(b"image");
    let claim = parse(&statement(&image)).unwrap();
    assert_eq!(claim.is_about(&image), Ok(()));
    let found = vec![image.digest().to_owned()];
    assert_eq!(claim.is_about(&sha256_of(b"other")), Err(ClaimError::Other { found }));
    let same_digits = format!("sha512:{0}{0}", image.digest()).parse().unwrap();
    assert!(claim.is_about(&same_digits).is_err());
    let builder = "https://example.com/builder/strict".to_owned();
    assert_eq!(claim.is_by(&[]), Ok(()));
    assert_eq!(claim.is_by(&["https://example.com/".to_owned(), builder.clone()]), Ok(()));
    for other in ["https://example.com/builder", "https://example.com/builder/strict/"] {
        assert_eq!(claim.is_by(&[other.to_owned()]), Err(ClaimError::Builder { found: builder.clone() }));
    }
}

#[test]
fn prv_04_what_is_no_provenance_is_refused() {
    let image = sha256_of(b"image");
    let changed = |pointer: &str, value: Value| {
        let mut statement = statement(&image);
        *statement.pointer_mut(pointer).unwrap() = value;
        parse(&statement).map(drop)
    };
    assert_eq!(changed("/subject/0/name", json!("x")), Ok(()), "the name of a subject counts for nothing");
    for (pointer, value) in [
        ("/_type", json!("https://in-toto.io/Statement/v0.1")),
        ("/predicateType", json!("https://spdx.dev/Document")),
        ("/predicate", json!(null)),
        ("/predicate/buildDefinition", json!({})),
        ("/predicate/runDetails/builder/id", json!(1)),
        ("/subject", json!({})),
        ("/subject/0/digest", json!("sha256")),
    ] {
        assert!(matches!(changed(pointer, value), Err(ClaimError::Malformed { .. })), "{pointer}");
    }
    let twice = statement(&image).to_string().replacen('{', "{\"_type\":\"x\",", 1);
    assert!(Claim::parse(twice.as_bytes()).is_err(), "no key twice");
}

#[test]
fn prv_03_a_builder_is_a_uri_to_which_a_segment_can_be_added() {
    let read = |uri: &str| builder_uri(&Url::parse(uri).unwrap());
    assert_eq!(read("https://ci.example.com/builder/").unwrap(), "https://ci.example.com/builder");
    for uri in
        ["mailto:a@example.com", "https://me@ci.example.com/", "https://x.example/?a", "https://x.example/#a"]
    {
        assert_eq!(read(uri).unwrap_err().exit, Exit::NotUnderstood, "{uri}");
    }
}
