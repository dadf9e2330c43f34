//! What went into an image.

use std::collections::BTreeMap;
use std::io;

use oci_spec::image::Digest;
use serde::Serialize;

use crate::metadata::{LayerReport, Metadata};
use crate::plan::{Plan, SourceFacts};

/// What the digest of a directory is called: the algorithm is our own, and no other program's.
const TREE: &str = "lapstrakeTree2";

/// Something that was used or made (in-toto, "`ResourceDescriptor`").
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    digest: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

impl Resource {
    /// Something with a name.
    pub(super) fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// The same, with the hexadecimal digits of its SHA-256.
    #[must_use]
    pub(super) fn sha256(mut self, digits: String) -> Self {
        self.digest.insert("sha256".to_owned(), digits);
        self
    }

    fn uri(mut self, uri: String) -> Self {
        self.uri = Some(uri);
        self
    }

    fn noting(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.annotations.insert(name, value.to_string());
        self
    }
}

/// Everything that is known to have gone in: the source, the catalog, the layers of the runtime below the app and below
/// the commands, and what the commands have fetched.
pub(super) fn of(plan: &Plan, metadata: &Metadata) -> io::Result<Vec<Resource>> {
    let mut all = vec![source(&plan.source)?];
    if let Some(catalog) = &metadata.catalog {
        let mut resource =
            Resource::named("catalog").noting("catalog", &catalog.name).noting("revision", &catalog.revision);
        if let Some(digest) = &catalog.digest {
            resource = resource.sha256(digits(digest));
        }
        // A resource is told by its digest or its address; a local catalog has neither, and its layers say it all.
        if catalog.digest.is_some() {
            all.push(resource);
        }
    }
    let mut layers: Vec<Resource> = Vec::new();
    for image in &metadata.images {
        let runtime = image.layers.iter().filter(|layer| layer.is_of_runtime());
        layers.extend(runtime.map(|layer| of_layer(layer, &plan.runtime.entry.to_string())));
    }
    layers.extend(metadata.build_layers.iter().map(|layer| of_layer(layer, &plan.runtime.entry.to_string())));
    layers.sort();
    layers.dedup();
    all.extend(layers);
    let fetched = metadata.fetched.iter().map(|one| {
        let digits = one.digest.rsplit(':').next().unwrap_or_default().to_owned();
        Resource::default().uri(one.url.clone()).sha256(digits)
    });
    all.extend(fetched);
    Ok(all)
}

fn source(source: &SourceFacts) -> io::Result<Resource> {
    let mut resource = Resource { digest: source_digest(source)?, ..Resource::named("source") };
    if let Some(checkout) = &source.checkout {
        if let Some(repository) = &checkout.repository {
            resource = resource.uri(format!("git+{repository}@{}", checkout.commit));
        }
        resource = resource.noting("dirty", &checkout.dirty);
    }
    if let Some(uri) = &source.uri
        && resource.uri.is_none()
    {
        resource = resource.uri(uri.clone());
    }
    Ok(resource)
}

/// The digests of a source: of the bytes of an archive, or of the content of a directory, and the commit whose files it has.
pub(super) fn source_digest(source: &SourceFacts) -> io::Result<BTreeMap<String, String>> {
    let kind = if source.is_archive { "sha256" } else { TREE };
    let mut digest = BTreeMap::from([(kind.to_owned(), digits(&source.digest.get()?))]);
    if let Some(checkout) = source.checkout.as_ref().filter(|checkout| !checkout.dirty) {
        digest.insert("gitCommit".to_owned(), checkout.commit.to_string());
    }
    Ok(digest)
}

fn of_layer(layer: &LayerReport, entry: &str) -> Resource {
    Resource::named(&format!("{entry}/{}", layer.role))
        .sha256(digits(&layer.digest))
        .noting("diffId", &layer.diff_id)
}

fn digits(digest: &Digest) -> String {
    digest.digest().to_owned()
}
