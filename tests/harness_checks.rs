//! The harness itself: a judge that accepts everything would prove nothing.

use serde_json::json;

use crate::harness::{Registry, image::digest_of, schema, tools};

#[test]
fn the_registry_answers_counts_requests_and_is_gone_afterwards() {
    let registry = Registry::start();
    let url = format!("http://{}/v2/", registry.host());
    assert_eq!(tools::run("curl", ["--silent", "--noproxy", "*", &url]), "{}");
    assert_eq!(registry.requests(), ["GET /v2/ 200"]);
    assert!(registry.repositories().is_empty());
    drop(registry);
    let refused = tools::tool("curl").args(["--silent", "--noproxy", "*", &url]).output().unwrap();
    assert!(!refused.status.success());
}

#[test]
fn the_schemas_accept_a_manifest_and_refuse_one_without_a_config() {
    let descriptor = |kind: &str| json!({ "mediaType": kind, "digest": digest_of(b""), "size": 0 });
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip")],
    });
    let Some(found) = schema::complaints(schema::Kind::Manifest, &manifest) else { return };
    assert_eq!(found, Vec::<String>::new());
    manifest["config"]["digest"] = json!("sha256");
    assert!(!schema::complaints(schema::Kind::Manifest, &manifest).unwrap().is_empty());
    manifest.as_object_mut().unwrap().remove("config");
    assert!(!schema::complaints(schema::Kind::Manifest, &manifest).unwrap().is_empty());
}
