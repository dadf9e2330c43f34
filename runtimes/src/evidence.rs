//! What shows how an entry was made: the locks of all its layers in one document, and its packages as SPDX.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::canonical::{canonical_json, sha256_of};
use crate::definitions::Definitions;
use crate::entries::EntryRecord;
use crate::lock::{Artifact, Lock};

/// The media type of the document with an entry's locks.
pub const LOCK_MEDIA_TYPE: &str = "application/vnd.lapstrake.locks.v1+json";
/// The media type of an SPDX document in JSON.
pub const SPDX_MEDIA_TYPE: &str = "application/spdx+json";
/// The artifact type of the manifest that holds both.
pub const EVIDENCE_ARTIFACT_TYPE: &str = "application/vnd.lapstrake.evidence.v1";

/// What shows how an entry was made on one platform. The same locks give the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The locks: for each kind of image the roles and locks of its layers, lowest first, and every lock.
    pub locks: Vec<u8>,
    /// The packages of the images that apps are put on, as SPDX 2.3. What a package brings inside itself is not in it.
    pub spdx: Vec<u8>,
}

/// The evidence of an entry on a platform; none where the definitions do not have it.
#[must_use]
pub fn evidence(definitions: &Definitions, id: &str, platform: &str) -> Option<Evidence> {
    let entry = definitions.entries.entries.iter().find(|entry| entry.id == id)?;
    let images = entry.platforms.get(platform)?;
    let names: BTreeSet<&str> = images.values().flatten().map(|layer| layer.lock.as_str()).collect();
    let locks: BTreeMap<&str, &Lock> =
        names.iter().filter_map(|name| Some((*name, definitions.locks.get(*name)?))).collect();
    if locks.len() < names.len() {
        return None;
    }
    let document = json!({"schema": 1, "entry": id, "platform": platform, "images": images, "locks": locks});
    let locks_bytes = canonical_json(&document);
    // What apps are put on, with npm and without: each lock once.
    let of_run = images.iter().filter(|(kind, _)| kind.starts_with("run")).flat_map(|(_, layers)| layers);
    let of_run: BTreeSet<&str> = of_run.map(|layer| layer.lock.as_str()).collect();
    let of_run: Vec<&Lock> = of_run.iter().filter_map(|name| locks.get(name).copied()).collect();
    let spdx = spdx(entry, platform, &of_run, &locks_bytes);
    Some(Evidence { locks: locks_bytes, spdx: canonical_json(&spdx) })
}

/// SPDX 2.3 (spdx.github.io/spdx-spec/v2.3): the entry, and every package that its layers are made of.
fn spdx(entry: &EntryRecord, platform: &str, locks: &[&Lock], of: &[u8]) -> Value {
    const ENTRY: &str = "SPDXRef-entry";
    let mut packages = vec![json!({
        "SPDXID": ENTRY, "name": entry.runtime, "versionInfo": entry.vendor_version,
        "downloadLocation": "NOASSERTION", "filesAnalyzed": false, "copyrightText": "NOASSERTION",
        "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION",
        "comment": format!("{} for {platform}", entry.id),
    })];
    let mut relationships = vec![
        json!({"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": ENTRY}),
    ];
    let artifacts = locks.iter().flat_map(|lock| lock.artifacts.iter().map(|artifact| (*lock, artifact)));
    for (number, (lock, artifact)) in artifacts.enumerate() {
        let id = format!("SPDXRef-package-{number}");
        packages.push(package(&id, lock, artifact));
        relationships
            .push(json!({"spdxElementId": ENTRY, "relationshipType": "CONTAINS", "relatedSpdxElement": id}));
    }
    let digest = sha256_of(of);
    json!({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{} {platform}", entry.id),
        // Not an address: a name that no other document has.
        "documentNamespace": format!("urn:lapstrake:spdx:{}:{}", entry.id, digest.digest()),
        "creationInfo": {
            "created": format!("{}T00:00:00Z", entry.released),
            "creators": [concat!("Tool: lapstrake-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages, "relationships": relationships,
    })
}

fn package(id: &str, lock: &Lock, artifact: &Artifact) -> Value {
    let (name, version) = (artifact.name(), artifact.version());
    let (sha256, purl, source) = match artifact {
        Artifact::Deb(deb) => {
            let purl =
                format!("pkg:deb/debian/{name}@{}?arch={}&distro={}", encoded(version), deb.arch, lock.os);
            (&deb.sha256, purl, Some(deb.source.clone()))
        }
        Artifact::Npm(npm) => (&npm.sha256, format!("pkg:npm/{}@{version}", encoded(name)), None),
        Artifact::Wheel(wheel) => {
            (&wheel.sha256, format!("pkg:pypi/{}@{version}", name.to_lowercase()), None)
        }
    };
    let source = source.map(|source| format!("built from the source package {source}"));
    json!({
        "SPDXID": id, "name": name, "versionInfo": version, "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false, "copyrightText": "NOASSERTION", "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION", "checksums": [{"algorithm": "SHA256", "checksumValue": sha256}],
        "sourceInfo": source.unwrap_or_default(),
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}],
    })
}

/// A part of a package URL, with what has a meaning there escaped.
fn encoded(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_~:".contains(c);
    let escape = |c: char| if plain(c) { c.to_string() } else { format!("%{:02X}", u32::from(c)) };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_entry_has_evidence_that_names_all_of_its_packages() {
        let definitions = Definitions::embedded().unwrap();
        for entry in &definitions.entries.entries {
            for (platform, images) in &entry.platforms {
                let evidence = evidence(&definitions, &entry.id, platform).unwrap();
                assert_eq!(Some(&evidence), super::evidence(&definitions, &entry.id, platform).as_ref());
                let locks: Value = serde_json::from_slice(&evidence.locks).unwrap();
                assert_eq!(locks["images"].as_object().unwrap().len(), images.len());
                let spdx: Value = serde_json::from_slice(&evidence.spdx).unwrap();
                let names: Vec<&str> = spdx["packages"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|it| it["name"].as_str().unwrap())
                    .collect();
                assert!(names.contains(&"libc6") && names.len() > 10, "{}: {names:?}", entry.id);
                assert_eq!(names.contains(&"npm"), entry.id.starts_with("nodejs"), "{}: {names:?}", entry.id);
                assert!(!names.contains(&"gcc"), "{}: {names:?}", entry.id);
                assert_eq!(spdx["relationships"].as_array().unwrap().len(), names.len());
            }
        }
        assert_eq!(evidence(&definitions, "python3-0.0.1-1", "linux/amd64"), None);
    }

    #[test]
    fn versions_are_escaped_in_package_urls() {
        assert_eq!(encoded("3.13.5-2+deb13u5~x"), "3.13.5-2%2Bdeb13u5~x");
        assert_eq!(encoded("@scope/x"), "%40scope%2Fx");
    }
}
