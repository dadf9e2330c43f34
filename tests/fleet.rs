//! The synthetic fleet is what real tools and servers take for images, and its catalog what this program reads.

use lapstrake_fixtures::fleet::{CATALOG, Fleet};
use serde_json::Value;

use crate::harness::{Lapstrake, Registry, tools};

#[test]
fn a_registry_server_serves_the_fleet_and_its_catalog_is_read() {
    let registry = Registry::start();
    let fleet = Fleet::new(100);
    fleet.store_below(&registry.storage()).unwrap();
    for image in fleet.images.iter().filter(|image| image.is_readable).take(10) {
        let name = format!("docker://{}/{}:{}", registry.host(), image.repository, image.tag);
        let raw = tools::run("skopeo", ["inspect", "--tls-verify=false", "--raw", &name]);
        let digest = lapstrake_fixtures::registry::digest_of(raw.as_bytes());
        assert_eq!(digest, image.digest, "{name}");
    }
    let catalog = registry.reference(&format!("{CATALOG}:latest"));
    let listed = Lapstrake::new()
        .run(["catalog", "list", "--all", "--format", "json", "--catalog", &catalog])
        .expect(0);
    let entries: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(entries.len(), 9, "{listed:?}");
}
