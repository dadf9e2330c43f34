//! Images in files: written for other tools, read from other tools, pushed later.

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::Entry;
use lapstrake_fixtures::archive::tar;
use serde_json::Value;

use crate::apps::pull;
use crate::harness::{Image, Lapstrake, Registry, tools, workspace};

#[test]
fn one_build_writes_every_kind_of_output_and_other_tools_read_the_same_image() {
    let scratch = workspace::scratch();
    let registry = Registry::start();
    let source = App::named("plain-python").directory();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let reference = registry.reference("every/kind:1");
    let outputs = [
        format!("oci:{}:v1", path("layout")),
        format!("oci-archive:{}", path("image.tar")),
        format!("docker-archive:{}", path("docker.tar")),
    ];
    let mut arguments = vec!["build", source.to_str().unwrap(), "--tag", &reference];
    for output in &outputs {
        arguments.extend(["--output", output]);
    }
    let outcome = Lapstrake::new().run(arguments).expect(0);
    let digest = outcome.digest();

    let written = Image::open(&scratch.path().join("layout"), Some("v1"));
    assert_eq!(written.digest, digest);
    let pulled = scratch.path().join("pulled");
    pull(&reference, &pulled);
    assert_eq!(Image::open(&pulled, None).digest, digest);

    let copy =
        |from: &str, to: &str| tools::run("skopeo", ["--insecure-policy", "copy", "--quiet", from, to]);
    copy(&format!("oci-archive:{}", path("image.tar")), &format!("oci:{}:app", path("from-oci")));
    assert_eq!(Image::open(&scratch.path().join("from-oci"), None).digest, digest);

    // A docker archive has no compressed bytes of ours, so it is compared by what it unpacks to.
    copy(&format!("docker-archive:{}", path("docker.tar")), &format!("oci:{}:app", path("from-docker")));
    let loaded = Image::open_foreign(&scratch.path().join("from-docker"), None);
    assert_eq!(loaded.config["rootfs"]["diff_ids"], written.config["rootfs"]["diff_ids"]);
    assert_eq!(loaded.config["config"], written.config["config"]);
}

// row 37, row 51
#[test]
fn what_was_built_earlier_is_pushed_later_under_the_same_digest() {
    let scratch = workspace::scratch();
    let registry = Registry::start();
    let source = App::named("plain-node").directory();
    let layout = format!("oci:{}:app", scratch.path().join("layout").display());
    let archive = format!("oci-archive:{}", scratch.path().join("image.tar").display());
    let arguments = ["build", source.to_str().unwrap(), "--output", &layout, "--output", &archive];
    let digest = Lapstrake::new().run(arguments).expect(0).digest();
    for (name, from) in [("layout", layout), ("archive", archive)] {
        let reference = registry.reference(&format!("later/{name}:1"));
        let outcome = Lapstrake::new().run(["push", &from, "--tag", &reference]).expect(0);
        assert_eq!(outcome.stdout, format!("{}@{digest}\n", registry.reference(&format!("later/{name}"))));
        let pulled = scratch.path().join(name);
        pull(&reference, &pulled);
        assert_eq!(Image::open(&pulled, None).digest, digest);
    }
}

/// An image that no code of ours had a hand in, as a layout.
fn foreign_image(scratch: &std::path::Path) -> String {
    let layout = scratch.join("foreign").display().to_string();
    let image = format!("{layout}:app");
    let layer = scratch.join("layer.tar");
    fs_err::write(&layer, tar(&[Entry::file("hello.txt", b"from another tool\n")])).unwrap();
    tools::run("umoci", ["init", "--layout", &layout]);
    tools::run("umoci", ["new", "--image", &image]);
    tools::run("umoci", ["raw", "add-layer", "--image", &image, layer.to_str().unwrap()]);
    tools::run("umoci", ["config", "--image", &image, "--config.cmd", "/hello"]);
    image
}

#[test]
fn an_image_that_another_tool_made_is_pushed_from_a_layout_and_from_both_kinds_of_archive() {
    let scratch = workspace::scratch();
    let registry = Registry::start();
    let foreign = format!("oci:{}", foreign_image(scratch.path()));
    let file = |name: &str| scratch.path().join(name).display().to_string();
    for (kind, argument, name) in [
        ("oci", foreign.clone(), ""),
        ("oci-archive", format!("oci-archive:{}", file("oci.tar")), "app"),
        ("docker-archive", format!("docker-archive:{}", file("docker.tar")), "team/app:1"),
    ] {
        if kind != "oci" {
            let named = format!("{argument}:{name}");
            tools::run("skopeo", ["--insecure-policy", "copy", "--quiet", &foreign, &named]);
        }
        let reference = registry.reference(&format!("foreign/{kind}:1"));
        Lapstrake::new().run(["push", &argument, "--tag", &reference]).expect(0);
        let pulled = scratch.path().join(format!("pulled-{kind}"));
        pull(&reference, &pulled);
        let files = Image::open_foreign(&pulled, None).files();
        assert_eq!(files["hello.txt"].bytes, b"from another tool\n", "{kind}");
    }
}

#[test]
fn a_layout_with_one_flipped_byte_is_refused_and_its_tag_stays_unset() {
    let scratch = workspace::scratch();
    let registry = Registry::start();
    let image = foreign_image(scratch.path());
    let layout = scratch.path().join("foreign");
    let layer = Image::open_foreign(&layout, Some("app")).layers().remove(0);
    let blob = layout.join("blobs").join(layer.replace(':', "/"));
    let mut bytes = fs_err::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(&blob, bytes).unwrap();
    let reference = registry.reference("flipped/app:1");
    let outcome = Lapstrake::new().run(["push", &format!("oci:{image}"), "--tag", &reference]).expect(5);
    assert!(outcome.stderr.contains("digest"), "{}", outcome.stderr);
    assert_eq!(registry.repositories(), Vec::<String>::new());
}

#[test]
fn the_report_of_a_push_names_every_blob_and_what_happened_to_it() {
    let scratch = workspace::scratch();
    let registry = Registry::start();
    let image = format!("oci:{}", foreign_image(scratch.path()));
    let report = scratch.path().join("report.json");
    let reference = registry.reference("reported/app:1");
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let arguments = ["push", &image, "--tag", &reference, "--metadata-file", report.to_str().unwrap()];
        Lapstrake::new().run(arguments).expect(0);
        let report: Value = serde_json::from_slice(&fs_err::read(&report).unwrap()).unwrap();
        assert_eq!(report["success"], true);
        outcomes.push(report["pushes"][0]["bytesSent"].as_u64().unwrap() > 0);
    }
    assert_eq!(outcomes, [true, false], "the second push has nothing to send");
}
