//! The harness itself: a judge that accepts everything would prove nothing.

use serde_json::json;

use crate::apps::pull;
use crate::harness::{Container, Image, Registry, container, image::digest_of, schema, tools, workspace};

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
fn an_image_without_any_part_of_ours_goes_the_whole_way() {
    let scratch = workspace::scratch();
    let registry = Registry::start();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let (layout, image) = (path("layout"), format!("{}:app", path("layout")));
    tools::run("umoci", ["init", "--layout", &layout]);
    tools::run("umoci", ["new", "--image", &image]);
    let busybox = tools::tool("busybox").get_program().to_owned();
    fs_err::create_dir_all(scratch.path().join("root/bin")).unwrap();
    fs_err::copy(busybox, scratch.path().join("root/bin/busybox")).unwrap();
    fs_err::write(scratch.path().join("root/index.html"), "a page\n").unwrap();
    let layer = path("layer.tar");
    tools::run("tar", ["--create", "--file", &layer, "--directory", &path("root"), "bin", "index.html"]);
    tools::run("umoci", ["raw", "add-layer", "--image", &image, &layer]);
    let mut config = vec!["config", "--image", &image, "--config.user", "1000:1000"];
    for word in ["/bin/busybox", "httpd", "-f", "-p", "8080"] {
        config.extend(["--config.cmd", word]);
    }
    tools::run("umoci", config);
    let reference = registry.reference("busybox/page:1");
    let to = format!("docker://{reference}");
    let from = format!("oci:{image}");
    tools::run("skopeo", ["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", &from, &to]);
    assert_eq!(registry.repositories(), ["busybox/page"]);

    let pulled = scratch.path().join("pulled");
    pull(&reference, &pulled);
    schema::check_layout(&pulled, Some("app"));
    Image::open_foreign(&pulled, Some("app")).check();
    let bundle = scratch.path().join("bundle");
    container::unpack(&pulled, "app", &bundle);
    let mut container = Container::start(&bundle);
    assert_eq!(container.get(8080, "/index.html"), "a page\n");
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
