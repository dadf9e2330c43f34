//! The revision that follows: new entries with all that belongs to them, or another status of what is there.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{Timestamp, ToSpan};
use lapstrake_catalog::{
    CATALOG_ARTIFACT_TYPE, CATALOG_MEDIA_TYPE, Catalog, Change, Edit, Entry, EntryId, ImageKind, NewEntry,
    OsRecord, PackageChange, PlatformKey, PlatformRecord, RuntimeRecord,
};
use lapstrake_oci::destination::Shipment;
use lapstrake_oci::document::{DOCUMENT_LIMIT, Document};
use lapstrake_oci::image::Blob;
use lapstrake_oci::layout::Layout;
use lapstrake_runtimes::changelog::fixes;
use lapstrake_runtimes::definitions::Definitions;
use lapstrake_runtimes::evidence::{EVIDENCE_ARTIFACT_TYPE, LOCK_MEDIA_TYPE, SPDX_MEDIA_TYPE, evidence};
use lapstrake_runtimes::lock::{Artifact, DebArtifact};
use lapstrake_runtimes::store::Store;
use oci_spec::image::{Descriptor, Digest, ImageIndex, MediaType};
use serde_json::{Value, json};

use super::artifacts::artifacts_of;
use super::repository::{Published, is_catalog};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::scratch::Scratch;

/// How many hours a day has.
const HOURS: i64 = 24;
pub(super) const RUNTIME_ID: &str = "dev.lapstrake.runtime.id";
/// The artifact type of the image index of one entry.
const ENTRY_ARTIFACT_TYPE: &str = "application/vnd.lapstrake.catalog.entry.v1";

/// An entry that is to be published.
pub struct Addition {
    /// Its name.
    pub(super) id: EntryId,
    /// The entry.
    pub(super) entry: NewEntry,
    /// Its documents: manifests of images, and evidence.
    pub(super) shipments: Vec<Shipment>,
    /// What the image index of the entry says of them.
    pub(super) listed: Vec<Value>,
}

impl Addition {
    /// The image index of the entry, with all that it leads to, and what the revision says of it. A revision lists entries
    /// and not what they are made of: registries take no index of many thousand manifests.
    fn indexed(shipments: Vec<Shipment>, listed: &[Value], id: &EntryId) -> (Shipment, Value) {
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageIndex,
            "artifactType": ENTRY_ARTIFACT_TYPE,
            "manifests": listed,
            "annotations": {RUNTIME_ID: id},
        });
        let index = Document::new(MediaType::ImageIndex, &index);
        let mut item = json!(index.descriptor());
        item["artifactType"] = json!(ENTRY_ARTIFACT_TYPE);
        item["annotations"] = json!({RUNTIME_ID: id});
        let (mut blobs, mut manifests) = (Vec::new(), Vec::new());
        for shipment in shipments {
            blobs.extend(shipment.blobs);
            manifests.extend(shipment.manifests);
            manifests.push(shipment.top);
        }
        (Shipment::new(blobs, manifests, index), item)
    }
}

/// What a publication keeps besides images, locks and lists of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing else.
    Evidence,
    /// The packages and tarballs themselves.
    Artifacts,
}

/// The entries of a layout's catalog that a published one does not have. Those that are there must be the same.
pub fn additions(
    layout: &Layout,
    local: &Catalog,
    published: Option<&Catalog>,
    (definitions, keep, context): (&Definitions, Keep, &Context),
) -> Result<Vec<Addition>, Failure> {
    let store = Store::open(context.data_dir.join("artifacts"))
        .map_err(|cause| Failure::because(Exit::Ours, "could not open the store of packages", cause))?;
    let kept = (keep == Keep::Artifacts).then_some(&store);
    let mut additions = Vec::new();
    for entry in &local.entries {
        let platforms = assembled(entry);
        if platforms.is_empty() {
            continue;
        }
        match published.and_then(|published| published.entry(&entry.id)) {
            Some(old) if has_same_layers(old, &platforms) => {}
            Some(_) => {
                let what = format!("`{}` is published already, with other layers", entry.id);
                let hint = "what was published never changes: lock it anew with `catalog update`, for the next build number";
                return Err(Failure::new(Exit::Refused, what).hint(hint));
            }
            None => {
                let mut addition = addition(layout, entry, platforms, (definitions, kept))?;
                add_fixes(&mut addition.entry.changes, entry, (definitions, &store), context)?;
                additions.push(addition);
            }
        }
    }
    Ok(additions)
}

/// Adds to what changed in an entry which faults the packages' own changelogs say were fixed. What cannot be said is noted.
fn add_fixes(
    changes: &mut [PackageChange],
    entry: &Entry,
    (definitions, store): (&Definitions, &Store),
    context: &Context,
) -> Result<(), Failure> {
    let scratch = Scratch::new(&context.scratch_dir())?;
    let id = entry.id.to_string();
    let record = definitions.entries.entries.iter().find(|record| record.id == id);
    let locks =
        record.iter().flat_map(|record| record.platforms.values()).flat_map(BTreeMap::values).flatten();
    let locks = locks.filter_map(|layer| definitions.locks.get(&layer.lock));
    let debs: Vec<&DebArtifact> = locks
        .flat_map(|lock| &lock.artifacts)
        .filter_map(|artifact| match artifact {
            Artifact::Deb(deb) => Some(deb),
            Artifact::Npm(_) | Artifact::Wheel(_) => None,
        })
        .collect();
    for change in changes {
        let (Some(from), Some(to)) = (&change.from, &change.to) else { continue };
        match fixes(&debs, &change.package, (from, to), (store, scratch.path())) {
            Ok(cves) => change.cves = cves,
            Err(why) => change.note = Some(format!("fixes are not known: {why}")),
        }
    }
    Ok(())
}

/// The platforms on which an entry has its `run` image.
fn assembled(entry: &Entry) -> BTreeMap<PlatformKey, PlatformRecord> {
    let has_run = |record: &&PlatformRecord| {
        record
            .images
            .get(&ImageKind::Run)
            .is_some_and(|image| image.manifest.is_some() && !image.layers.is_empty())
    };
    let platforms = entry.platforms.iter().filter(|(_, record)| has_run(record));
    platforms.map(|(platform, record)| (platform.clone(), record.clone())).collect()
}

fn has_same_layers(old: &Entry, platforms: &BTreeMap<PlatformKey, PlatformRecord>) -> bool {
    let run = |record: &PlatformRecord| {
        let image = record.images.get(&ImageKind::Run)?;
        Some(image.diff_ids().into_iter().cloned().collect::<Vec<Digest>>())
    };
    platforms.iter().all(|(platform, record)| old.platforms.get(platform).and_then(run) == run(record))
}

fn addition(
    layout: &Layout,
    entry: &Entry,
    mut platforms: BTreeMap<PlatformKey, PlatformRecord>,
    (definitions, kept): (&Definitions, Option<&Store>),
) -> Result<Addition, Failure> {
    let (mut shipments, mut listed) = (Vec::new(), Vec::new());
    for (platform, record) in &mut platforms {
        for (kind, image) in &record.images {
            let Some(digest) = &image.manifest else { continue };
            let failed = |cause| {
                Failure::because(Exit::Refused, format!("could not read `{digest}` of the layout"), cause)
            };
            let size = fs_err::metadata(layout.blob_path(digest))
                .map_err(|cause| Failure::io("could not read the layout", cause))?;
            let descriptor = Descriptor::new(MediaType::ImageManifest, size.len(), digest.clone());
            shipments.push(Shipment::from_layout(layout, &descriptor).map_err(failed)?);
            let mut item = described(&descriptor, platform);
            item["annotations"] = json!({RUNTIME_ID: entry.id, "dev.lapstrake.image.kind": kind});
            listed.push(item);
        }
        let artifacts = kept.map(|store| artifacts_of(entry, platform, record, (definitions, store)));
        let evidence = evidence_of(entry, platform, record, definitions)?;
        for (shipment, item) in std::iter::once(evidence).chain(artifacts.transpose()?) {
            shipments.push(shipment);
            listed.push(item);
        }
    }
    let entry_of = |platforms| NewEntry {
        runtime: entry.runtime.clone(),
        version: entry.version,
        build: Some(entry.build),
        status: entry.status,
        released: entry.released,
        upstream: entry.upstream.clone(),
        os: entry.os.clone(),
        abi: entry.abi.clone(),
        tools: entry.tools.clone(),
        platforms,
        purl: entry.purl.clone(),
        cpe: entry.cpe.clone(),
        licenses: entry.licenses.clone(),
        changes: entry.changes.clone(),
        source: entry.source.clone(),
    };
    Ok(Addition { id: entry.id.clone(), entry: entry_of(platforms), shipments, listed })
}

pub(super) fn described(descriptor: &Descriptor, platform: &PlatformKey) -> Value {
    let mut item = json!(descriptor);
    let mut named = json!({"os": platform.os(), "architecture": platform.architecture()});
    if let Some(variant) = platform.variant() {
        named["variant"] = json!(variant);
    }
    item["platform"] = named;
    item
}

/// The manifest that holds the locks and the packages of an entry, which its record names from now on.
fn evidence_of(
    entry: &Entry,
    platform: &PlatformKey,
    record: &mut PlatformRecord,
    definitions: &Definitions,
) -> Result<(Shipment, Value), Failure> {
    let found = evidence(definitions, &entry.id.to_string(), platform.as_str()).ok_or_else(|| {
        Failure::new(Exit::NotUnderstood, format!("there are no locks for `{}` on {platform}", entry.id))
            .hint("name the recipes and locks that it was built with: `--recipes DIR`")
    })?;
    let locks = Blob::bytes(MediaType::from(LOCK_MEDIA_TYPE), found.locks);
    let spdx = Blob::bytes(MediaType::from(SPDX_MEDIA_TYPE), found.spdx);
    record.lock = Some(locks.descriptor.digest().clone());
    record.sbom = Some(spdx.descriptor.digest().clone());
    let empty = Blob::bytes(MediaType::EmptyJSON, &b"{}"[..]);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "artifactType": EVIDENCE_ARTIFACT_TYPE,
        "config": empty.descriptor,
        "layers": [locks.descriptor, spdx.descriptor],
        "annotations": {RUNTIME_ID: entry.id, "dev.lapstrake.platform": platform},
    });
    let manifest = Document::new(MediaType::ImageManifest, &manifest);
    let mut item = json!(manifest.descriptor());
    item["artifactType"] = json!(EVIDENCE_ARTIFACT_TYPE);
    item["annotations"] = json!({RUNTIME_ID: entry.id, "dev.lapstrake.platform": platform});
    Ok((Shipment::new([locks, spdx, empty], Vec::new(), manifest), item))
}

/// Runtimes and operating systems that are new or changed.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Runtimes, by name.
    pub runtimes: BTreeMap<String, RuntimeRecord>,
    /// Operating systems, by name.
    pub oses: BTreeMap<String, OsRecord>,
}

impl From<&Catalog> for Names {
    fn from(catalog: &Catalog) -> Self {
        Self { runtimes: catalog.runtimes.clone(), oses: catalog.oses.clone() }
    }
}

/// How the next revision comes about.
pub struct Next<'a> {
    /// The canonical name of the catalog, if this is its first revision.
    pub name: &'a str,
    /// The revision before.
    pub previous: Option<&'a Published>,
    /// When it is made.
    pub now: Timestamp,
    /// How long it counts as fresh.
    pub valid_days: u16,
}

impl Next<'_> {
    /// The next revision, and all that it has and the one before had not.
    pub fn revision(
        &self,
        like: &Names,
        additions: Vec<Addition>,
        edits: Vec<Edit>,
    ) -> Result<(Catalog, Shipment), Failure> {
        let (mut entries, mut shipments, mut listed) = (Vec::new(), Vec::new(), Vec::new());
        for addition in additions {
            let (shipment, item) = Addition::indexed(addition.shipments, &addition.listed, &addition.id);
            entries.push(addition.entry);
            shipments.push(shipment);
            listed.push(item);
        }
        let hours = i64::from(self.valid_days) * HOURS;
        let change = Change {
            created: self.now,
            valid_until: self.now.checked_add(hours.hours()).unwrap_or(Timestamp::MAX),
            tool: concat!("lapstrake ", env!("CARGO_PKG_VERSION")).to_owned(),
            previous: self.previous.map(|previous| previous.index.digest().clone()),
            runtimes: like.runtimes.clone(),
            oses: like.oses.clone(),
            entries,
            edits,
        };
        let refused = |cause| Failure::because(Exit::NotUnderstood, "the revision is refused", cause);
        let next = match self.previous {
            Some(previous) => previous.catalog.next(change).map_err(refused)?,
            None => Catalog::empty(self.name).next(change).map_err(refused)?,
        };
        if let Some(previous) = self.previous {
            next.follows(&previous.catalog, previous.index.digest()).map_err(|cause| {
                Failure::because(Exit::Ours, "the revision would not follow the one before", cause)
            })?;
        }
        let shipment = self.shipment(&next, shipments, listed)?;
        Ok((next, shipment))
    }

    /// The image index of the revision: its catalog, what the one before listed, and what is new.
    fn shipment(
        &self,
        next: &Catalog,
        shipments: Vec<Shipment>,
        listed: Vec<Value>,
    ) -> Result<Shipment, Failure> {
        let json = Blob::bytes(MediaType::from(CATALOG_MEDIA_TYPE), next.to_bytes());
        let empty = Blob::bytes(MediaType::EmptyJSON, &b"{}"[..]);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest,
            "artifactType": CATALOG_ARTIFACT_TYPE,
            "config": empty.descriptor,
            "layers": [json.descriptor],
        });
        let manifest = Document::new(MediaType::ImageManifest, &manifest);
        let mut first = json!(manifest.descriptor());
        first["artifactType"] = json!(CATALOG_ARTIFACT_TYPE);
        // Whoever reads the index need not ask for the manifest (image-spec, descriptor.md, `data`).
        first["data"] = json!(BASE64_STANDARD.encode(manifest.bytes()));
        let before = self.previous.map(|previous| children(&previous.index)).transpose()?.unwrap_or_default();
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageIndex,
            "artifactType": CATALOG_ARTIFACT_TYPE,
            "manifests": std::iter::once(first).chain(before).chain(listed).collect::<Vec<_>>(),
        });
        let index = Document::new(MediaType::ImageIndex, &index);
        // Registries take no larger manifest; said before anything is sent.
        if index.bytes().len() as u64 > DOCUMENT_LIMIT {
            let what = format!(
                "the image index of the revision would have {} bytes, and registries take {DOCUMENT_LIMIT}",
                index.bytes().len()
            );
            return Err(Failure::new(Exit::NotUnderstood, what).hint("begin another catalog"));
        }
        let mut blobs = vec![json, empty];
        let mut manifests = vec![manifest];
        for shipment in shipments {
            blobs.extend(shipment.blobs);
            manifests.extend(shipment.manifests);
            manifests.push(shipment.top);
        }
        Ok(Shipment::new(blobs, manifests, index))
    }
}

/// What an image index lists besides the catalog itself, as it is written there.
fn children(index: &Document) -> Result<Vec<Value>, Failure> {
    let failed = |cause| Failure::because(Exit::Refused, "the revision before is not understood", cause);
    let parsed: ImageIndex = index.parse().map_err(failed)?;
    let document: Value = index.parse().map_err(failed)?;
    let written = document["manifests"].as_array().cloned().unwrap_or_default();
    let pairs = written.into_iter().zip(parsed.manifests());
    Ok(pairs.filter(|(_, descriptor)| !is_catalog(descriptor)).map(|(value, _)| value).collect())
}
