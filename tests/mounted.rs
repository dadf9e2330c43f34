//! A registry that holds the catalog already gets no runtime layer again.

use lapstrake_fixtures::apps::App;
use serde_json::Value;

use crate::harness::{Lapstrake, Registry, workspace};

/// The report that a build wrote.
fn report(path: &std::path::Path) -> Value {
    serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
}

// row 42
#[test]
fn runtime_layers_are_mounted_with_no_byte_sent_and_in_at_most_twelve_requests() {
    let scratch = workspace::scratch();
    let registry = Registry::start();
    let source = App::named("flask").directory();
    let lapstrake = Lapstrake::new();
    // The local catalog must have the entry before it can be pushed.
    let layout = format!("oci:{}", scratch.path().join("warm").display());
    lapstrake.run(["build", source.to_str().unwrap(), "--output", &layout]).expect(0);
    let catalog = registry.reference("runtimes/catalog:latest");
    let local = format!("oci:{}:latest", lapstrake.data().join("catalog").display());
    lapstrake.run(["push", &local, "--tag", &catalog]).expect(0);

    let before = registry.requests().len();
    let file = scratch.path().join("report.json");
    let reference = registry.reference("team/flask:1");
    lapstrake
        .run([
            "build",
            source.to_str().unwrap(),
            "--catalog",
            &catalog,
            "--tag",
            &reference,
            "--metadata-file",
            file.to_str().unwrap(),
        ])
        .expect(0);
    let report = report(&file);
    let push = &report["pushes"][0];
    let requests: Vec<String> = registry.requests().split_off(before);
    let to_the_app: Vec<&String> =
        requests.iter().filter(|request| request.contains("/v2/team/flask/")).collect();
    assert!(to_the_app.len() <= 12, "{to_the_app:#?}");
    assert!(push["requests"].as_u64().unwrap() <= 12, "{push:#}");

    let layers = report["images"][0]["layers"].as_array().unwrap();
    let mut app_bytes = 0;
    for layer in layers {
        let outcome = push["blobs"][layer["digest"].as_str().unwrap()].as_str().unwrap();
        let own = matches!(layer["role"].as_str().unwrap(), "app" | "dependencies");
        assert_eq!(outcome, if own { "uploaded" } else { "mounted" }, "{layer}");
        app_bytes += if own { layer["size"].as_u64().unwrap() } else { 0 };
    }
    assert!(layers.len() > 2, "{report:#}");
    // The config and the manifest are small; a runtime layer is not.
    let sent = push["bytesSent"].as_u64().unwrap();
    assert!(sent < app_bytes + 64 * 1024, "{sent} bytes were sent for {app_bytes} bytes of app");
}
