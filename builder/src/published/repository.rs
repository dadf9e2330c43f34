//! Where a catalog is published: a repository of a registry, or an image layout.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fs_err::File;
use lapstrake_catalog::format::MAX_BYTES;
use lapstrake_catalog::{CATALOG_ARTIFACT_TYPE, CATALOG_MEDIA_TYPE, Catalog, EntryId};
use lapstrake_oci::destination::{LayoutDestination, PushError, Shipment, push};
use lapstrake_oci::document::Document;
use lapstrake_oci::image::Blob;
use lapstrake_oci::layout::{Layout, LayoutError};
use lapstrake_oci::registry::{Class, Client};
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest, ImageIndex, ImageManifest, MediaType};
use serde::Deserialize;

use super::next::RUNTIME_ID;
use crate::cache::Cache;
use crate::context::Context;
use crate::deliver::Delivery;
use crate::failure::{Exit, Failure};
use crate::output::{DEFAULT_TAG, parse_reference};
use crate::registry;

/// Where a catalog is published.
pub enum Repository {
    /// A repository of a registry.
    Registry {
        /// The repository with its registry, as in `registry.example.com/catalog/runtimes`.
        name: String,
        /// The client.
        client: Arc<Client>,
        /// The surroundings.
        context: Box<Context>,
    },
    /// An image layout.
    Layout {
        /// The layout.
        layout: Layout,
        /// Fetches what is only in a registry so far.
        client: Arc<Client>,
    },
}

/// What says of a manifest or an index which of them it is.
#[derive(Deserialize)]
struct Named {
    #[serde(rename = "mediaType")]
    media_type: MediaType,
}

/// A revision as it is published.
pub struct Published {
    /// The catalog.
    pub catalog: Catalog,
    /// Its image index.
    pub index: Document,
}

impl Repository {
    /// The repository that a user names: `REGISTRY/REPOSITORY`, or `oci:DIR`, which is made if it is not there.
    pub fn open(given: &str, client: &Arc<Client>, context: &Context) -> Result<Self, Failure> {
        if let Some(directory) = given.strip_prefix("oci:") {
            let layout = Layout::create(directory);
            let layout = layout.map_err(|cause| {
                Failure::because(Exit::NotUnderstood, format!("could not open `{given}`"), cause)
            })?;
            return Ok(Self::Layout { layout, client: Arc::clone(client) });
        }
        let refused =
            |why: String| Failure::new(Exit::NotUnderstood, format!("`{given}` is no repository: {why}"));
        let reference = parse_reference(given).map_err(|cause| refused(cause.to_string()))?;
        let name = format!("{}/{}", reference.registry(), reference.repository());
        if name != given {
            return Err(refused("it has a tag or a digest".to_owned()));
        }
        Ok(Self::Registry { name, client: Arc::clone(client), context: Box::new(context.clone()) })
    }

    /// The same, for what is only read: a layout that is not there is an error.
    pub fn look(given: &str, client: &Arc<Client>, context: &Context) -> Result<Self, Failure> {
        let Some(directory) = given.strip_prefix("oci:") else { return Self::open(given, client, context) };
        let layout = Layout::open(directory).map_err(|cause| {
            Failure::because(Exit::NotUnderstood, format!("could not open `{given}`"), cause)
        })?;
        Ok(Self::Layout { layout, client: Arc::clone(client) })
    }

    /// A repository and what is named in it: `REGISTRY/REPOSITORY[:TAG|@DIGEST]`, or `oci:DIR[:TAG|@DIGEST]`. Without a name
    /// it is `latest`.
    pub fn named(given: &str, client: &Arc<Client>, context: &Context) -> Result<(Self, String), Failure> {
        if let Some(path) = given.strip_prefix("oci:") {
            let (directory, name) = named_in_layout(path);
            return Ok((Self::look(&format!("oci:{directory}"), client, context)?, name.to_owned()));
        }
        let reference = parse_reference(given).map_err(|cause| {
            Failure::new(Exit::NotUnderstood, format!("`{given}` is no reference: {cause}"))
        })?;
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        let name = reference.digest().or(reference.tag()).unwrap_or(DEFAULT_TAG).to_owned();
        Ok((Self::look(&repository, client, context)?, name))
    }

    /// What a user calls it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Registry { name, .. } => name.clone(),
            Self::Layout { layout, .. } => format!("oci:{}", layout.dir().display()),
        }
    }

    /// What it is told from others by: its name, or the path of the layout however it was written.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Registry { name, .. } => name.clone(),
            Self::Layout { layout, .. } => {
                let path = fs_err::canonicalize(layout.dir()).unwrap_or_else(|_| layout.dir().to_owned());
                format!("oci:{}", path.display())
            }
        }
    }

    /// A reference to what a tag or a digest names in it.
    pub fn reference(&self, name: &str) -> Result<Reference, Failure> {
        let separator = if name.contains(':') { '@' } else { ':' };
        let text = format!("{}{separator}{name}", self.name());
        lapstrake_oci::reference::parse(&text).map_err(|cause| {
            Failure::because(Exit::NotUnderstood, format!("`{text}` is no reference"), cause.source)
        })
    }

    /// The numbers of the revisions that have a tag, lowest first.
    pub fn numbers(&self) -> Result<Vec<u64>, Failure> {
        let mut numbers: Vec<u64> = self.tags()?.iter().filter_map(|tag| number_of(tag)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// All tags.
    pub fn tags(&self) -> Result<Vec<String>, Failure> {
        match self {
            Self::Registry { client, .. } => match client.tags(&self.reference("latest")?) {
                Ok(tags) => Ok(tags),
                // A registry knows a repository only once something was pushed to it.
                Err(cause) if cause.status() == Some(404) => Ok(Vec::new()),
                Err(cause) => Err(registry::failure(
                    cause,
                    format!("could not list the revisions of `{}`", self.name()),
                )),
            },
            Self::Layout { layout, .. } => {
                let tags = layout.tags().map_err(|cause| self.unreadable(cause))?;
                Ok(tags.into_iter().map(|(tag, _)| tag).collect())
            }
        }
    }

    /// The digest that a tag names; none where there is no such tag.
    pub fn digest_of(&self, tag: &str) -> Result<Option<Digest>, Failure> {
        match self {
            Self::Registry { client, .. } => client.resolve(&self.reference(tag)?).map_err(|cause| {
                registry::failure(cause, format!("could not read `{tag}` of `{}`", self.name()))
            }),
            Self::Layout { layout, .. } => {
                let tags = layout.tags().map_err(|cause| self.unreadable(cause))?;
                let named = tags.into_iter().find(|(name, _)| name == tag);
                Ok(named.map(|(_, descriptor)| descriptor.digest().clone()))
            }
        }
    }

    /// Refuses to go on where a tag `rN` names something else than the revision does that was published under it.
    pub fn is_unmoved(&self, number: u64, digest: &Digest) -> Result<(), Failure> {
        let tag = format!("r{number}");
        match self.digest_of(&tag)? {
            Some(found) if found != *digest => {
                let what = format!("`{tag}` of `{}` was rewritten: it names `{found}`", self.name());
                Err(Failure::new(Exit::Refused, what)
                    .hint(format!("what was published as {tag} is `{digest}`, and never changes")))
            }
            _ => Ok(()),
        }
    }

    /// The newest revision; none where nothing was published yet.
    pub fn newest(&self) -> Result<Option<Published>, Failure> {
        match self.numbers()?.last() {
            Some(number) => self.revision(&format!("r{number}")).map(Some),
            None => Ok(None),
        }
    }

    /// The revision that a tag or a digest names. One under `rN` must be revision N.
    pub fn revision(&self, name: &str) -> Result<Published, Failure> {
        self.revision_in(name, self.top(name)?)
    }

    /// The revision whose image index was found under a name.
    pub fn revision_in(&self, name: &str, index: Document) -> Result<Published, Failure> {
        let catalog = self.catalog_in(&index)?;
        if number_of(name).is_some_and(|number| number != catalog.revision) {
            let what = format!("`{name}` of `{}` names revision {}", self.name(), catalog.revision);
            return Err(Failure::new(Exit::Refused, what));
        }
        Ok(Published { catalog, index })
    }

    /// The manifest or image index that a tag or a digest names.
    pub fn top(&self, name: &str) -> Result<Document, Failure> {
        let what = || format!("could not read `{name}` of `{}`", self.name());
        match self {
            Self::Registry { client, .. } => {
                client.manifest(&self.reference(name)?).map_err(|cause| registry::failure(cause, what()))
            }
            Self::Layout { layout, .. } => {
                let by_digest = |descriptor: &Descriptor| descriptor.digest().as_ref() == name;
                let descriptor = if name.contains(':') {
                    let listed = layout.manifests().map_err(|cause| self.unreadable(cause))?;
                    listed.into_iter().find(by_digest)
                } else {
                    Some(
                        layout
                            .resolve(name)
                            .map_err(|cause| Failure::because(Exit::NotUnderstood, what(), cause))?,
                    )
                };
                let descriptor = descriptor.ok_or_else(|| Failure::new(Exit::NotUnderstood, what()))?;
                layout
                    .read_document(&descriptor)
                    .map_err(|cause| Failure::because(Exit::Refused, what(), cause))
            }
        }
    }

    /// A manifest or a small blob of the repository.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Document, Failure> {
        let what = || format!("could not read `{}` of `{}`", descriptor.digest(), self.name());
        let is_manifest = *descriptor.media_type() == MediaType::ImageManifest;
        match self {
            Self::Registry { client, .. } => {
                let reference = self.reference("latest")?;
                let read = if is_manifest {
                    client.manifest_of(&reference, descriptor)
                } else {
                    client.blob_document(&reference, descriptor)
                };
                read.map_err(|cause| registry::failure(cause, what()))
            }
            Self::Layout { layout, .. } => layout
                .read_document(descriptor)
                .map_err(|cause| Failure::because(Exit::Refused, what(), cause)),
        }
    }

    /// The catalog that an image index holds.
    pub fn catalog_in(&self, index: &Document) -> Result<Catalog, Failure> {
        let malformed =
            || Failure::new(Exit::Refused, format!("`{}` is no revision of a catalog", index.digest()));
        let parsed: ImageIndex = index.parse().map_err(|cause| malformed_because(malformed(), cause))?;
        let manifest =
            parsed.manifests().iter().find(|descriptor| is_catalog(descriptor)).ok_or_else(malformed)?;
        let document = match embedded(manifest) {
            Some(document) => document,
            None => self.kept_or(manifest, |descriptor| self.document(descriptor))?,
        };
        let manifest: ImageManifest =
            document.parse().map_err(|cause| malformed_because(malformed(), cause))?;
        let json = MediaType::from(CATALOG_MEDIA_TYPE);
        let layer =
            manifest.layers().iter().find(|layer| *layer.media_type() == json).ok_or_else(malformed)?;
        let json = self.kept_or(layer, |descriptor| self.large(descriptor))?;
        Catalog::parse(json.bytes()).map_err(|cause| malformed_because(malformed(), cause))
    }

    /// A document that this machine has read before, or reads now.
    fn kept_or(
        &self,
        descriptor: &Descriptor,
        read: impl FnOnce(&Descriptor) -> Result<Document, Failure>,
    ) -> Result<Document, Failure> {
        let Self::Registry { context, .. } = self else { return read(descriptor) };
        let cache = Cache::of(&context.data_dir);
        if let Some(document) = cache.document(descriptor) {
            return Ok(document);
        }
        let document = read(descriptor)?;
        // What is not kept is read again.
        let _ = cache.keep_document(&document);
        Ok(document)
    }

    /// Any manifest or index of the repository, also one that no tag leads to.
    pub fn manifest(&self, digest: &Digest) -> Result<Document, Failure> {
        let what = || format!("could not read `{digest}` of `{}`", self.name());
        let Some(layout) = self.layout() else { return self.top(digest.as_ref()) };
        let size = fs_err::metadata(layout.blob_path(digest))
            .map_err(|cause| Failure::because(Exit::NotUnderstood, what(), cause))?
            .len();
        let read = |media_type| layout.read_document(&Descriptor::new(media_type, size, digest.clone()));
        let refused = |cause| Failure::because(Exit::Refused, what(), cause);
        let named: Named = read(MediaType::ImageManifest)
            .map_err(refused)?
            .parse()
            .map_err(|cause| Failure::because(Exit::Refused, what(), cause))?;
        read(named.media_type).map_err(refused)
    }

    /// A blob in a file, verified by digest and size.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<File, Failure> {
        let what = || format!("could not read `{}` of `{}`", descriptor.digest(), self.name());
        match self {
            Self::Registry { client, context, .. } => {
                let failed = |cause| Failure::io("could not make a temporary file", cause);
                fs_err::create_dir_all(context.scratch_dir()).map_err(failed)?;
                let file = tempfile::NamedTempFile::new_in(context.scratch_dir()).map_err(failed)?;
                client
                    .fetch_blob(&self.reference("latest")?, descriptor, file.path())
                    .map_err(|cause| registry::failure(cause, what()))?;
                File::open(file.path()).map_err(failed)
            }
            Self::Layout { layout, .. } => {
                layout
                    .open_blob_verified(descriptor)
                    .map_err(|cause| Failure::because(Exit::Refused, what(), cause))?;
                File::open(layout.blob_path(descriptor.digest()))
                    .map_err(|cause| Failure::io("could not read the layout", cause))
            }
        }
    }

    /// Everything that a manifest or an index leads to, to be sent elsewhere.
    pub fn shipment(&self, top: &Document) -> Result<Shipment, Failure> {
        let what = || format!("could not read `{}` of `{}`", top.digest(), self.name());
        match self {
            Self::Registry { client, .. } => {
                let reference = self.reference(top.digest().as_ref())?;
                client.shipment(&reference, top.clone()).map_err(|cause| registry::failure(cause, what()))
            }
            Self::Layout { layout, .. } => Shipment::from_layout(layout, top.descriptor())
                .map_err(|cause| Failure::because(Exit::Refused, what(), cause)),
        }
    }

    /// What a revision lists of an entry: the manifests in the entry's own image index.
    pub fn listed(&self, index: &ImageIndex, id: &EntryId) -> Result<Vec<Descriptor>, Failure> {
        let malformed = |cause| Failure::because(Exit::Refused, "the revision is not understood", cause);
        let id = id.to_string();
        let is_named = |descriptor: &Descriptor| {
            let annotations = descriptor.annotations().as_ref();
            annotations.and_then(|all| all.get(RUNTIME_ID)).is_some_and(|name| *name == id)
        };
        let mut listed = Vec::new();
        for descriptor in index.manifests() {
            if *descriptor.media_type() != MediaType::ImageIndex {
                listed.push(descriptor.clone());
            } else if is_named(descriptor) {
                let of_entry: ImageIndex = self.manifest(descriptor.digest())?.parse().map_err(malformed)?;
                listed.extend(of_entry.manifests().iter().cloned());
            }
        }
        Ok(listed)
    }

    /// The index of a revision and its catalog, without the images: enough to look, to resolve and to audit. Only a layout
    /// takes that (image-spec, image-layout.md, "Blobs").
    pub fn documents(&self, index: &Document) -> Result<Shipment, Failure> {
        let malformed = |cause| Failure::because(Exit::Refused, "the revision is not understood", cause);
        let parsed: ImageIndex = index.parse().map_err(malformed)?;
        let (mut blobs, mut manifests) = (Vec::new(), Vec::new());
        for descriptor in parsed.manifests().iter().filter(|descriptor| is_catalog(descriptor)) {
            let document = self.document(descriptor)?;
            let manifest: ImageManifest = document.parse().map_err(malformed)?;
            for blob in std::iter::once(manifest.config()).chain(manifest.layers()) {
                let bytes = self.large(blob)?.bytes().to_vec();
                blobs.push(Blob::bytes(blob.media_type().clone(), bytes));
            }
            manifests.push(document);
        }
        Ok(Shipment::new(blobs, manifests, index.clone()))
    }

    /// A blob that may be as large as a catalog.
    fn large(&self, descriptor: &Descriptor) -> Result<Document, Failure> {
        match self {
            Self::Registry { client, .. } => client
                .blob_within(&self.reference("latest")?, descriptor, MAX_BYTES as u64)
                .map_err(|cause| registry::failure(cause, "could not read the catalog")),
            Self::Layout { layout, .. } => json_in(layout, descriptor),
        }
    }

    /// The client that reaches registries.
    #[must_use]
    pub fn client(&self) -> &Client {
        match self {
            Self::Registry { client, .. } | Self::Layout { client, .. } => client,
        }
    }

    /// The layout, if it is one.
    #[must_use]
    pub fn layout(&self) -> Option<&Layout> {
        match self {
            Self::Layout { layout, .. } => Some(layout),
            Self::Registry { .. } => None,
        }
    }

    /// Brings everything of a revision here, and puts its index under a tag.
    pub fn ship(&self, shipment: Shipment, tag: &str) -> Result<(), Failure> {
        match self {
            Self::Registry { client, context, .. } => {
                let delivery = Delivery { client, context, open_minor: None };
                delivery.push(shipment, &self.reference(tag)?).map(drop)
            }
            Self::Layout { layout, client } => {
                let to = LayoutDestination { layout, tag: Some(tag), client: Some(client) };
                let done = push(shipment, &to, &mut |_| {});
                let what = || format!("could not write to `{}`", self.name());
                done.map(drop).map_err(|cause| match cause {
                    PushError::Registry(cause) => registry::failure(cause, what()),
                    cause if cause.class() == Class::Mismatch => {
                        Failure::because(Exit::Refused, what(), cause)
                    }
                    cause => Failure::because(Exit::Ours, what(), cause),
                })
            }
        }
    }

    /// Lets a tag name an image index that is here already.
    pub fn point(&self, tag: &str, index: &Document) -> Result<(), Failure> {
        self.ship(Shipment::new([], Vec::new(), index.clone()), tag)
    }

    #[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` takes")]
    fn unreadable(&self, cause: LayoutError) -> Failure {
        Failure::new(Exit::Refused, format!("could not read `{}`: {cause}", self.name()))
    }
}

/// A directory, and the tag or digest after it.
fn named_in_layout(path: &str) -> (&str, &str) {
    if let Some((directory, digest)) = path.rsplit_once('@').filter(|(_, digest)| digest.contains(':')) {
        return (directory, digest);
    }
    path.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((path, DEFAULT_TAG))
}

/// The number in `rN`.
pub(crate) fn number_of(tag: &str) -> Option<u64> {
    let digits = tag.strip_prefix('r').filter(|digits| !digits.starts_with('0'))?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Whether an image index lists the manifest as that of the catalog itself.
pub(super) fn is_catalog(descriptor: &Descriptor) -> bool {
    descriptor.artifact_type().as_ref() == Some(&MediaType::from(CATALOG_ARTIFACT_TYPE))
}

/// The document that a descriptor has in itself (image-spec, descriptor.md, `data`), if it is the right one.
fn embedded(descriptor: &Descriptor) -> Option<Document> {
    let data = BASE64_STANDARD.decode(descriptor.data().as_ref()?).ok()?;
    Document::verified(descriptor, data).ok()
}

/// The document `catalog.json` of a layout: it may be larger than any other document that is read at once.
fn json_in(layout: &Layout, descriptor: &Descriptor) -> Result<Document, Failure> {
    if descriptor.size() > MAX_BYTES as u64 {
        let what = format!("the catalog has {} bytes; at most {MAX_BYTES} are read", descriptor.size());
        return Err(Failure::new(Exit::Refused, what));
    }
    let malformed = |cause| Failure::because(Exit::Refused, "the catalog is not understood", cause);
    let file = File::open(layout.blob_path(descriptor.digest()))
        .map_err(|cause| Failure::because(Exit::Refused, "the catalog is not there", cause))?;
    Document::read_large(descriptor, file).map_err(malformed)
}

fn malformed_because(failure: Failure, cause: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure { cause: Some(Box::new(cause)), ..failure }
}

#[cfg(test)]
mod tests {
    use super::{named_in_layout, number_of};

    #[test]
    fn a_layout_is_named_with_a_tag_or_a_digest() {
        assert_eq!(named_in_layout("/x/y"), ("/x/y", "latest"));
        assert_eq!(named_in_layout("/x/y:r4"), ("/x/y", "r4"));
        assert_eq!(named_in_layout("/x:1/y"), ("/x:1/y", "latest"));
        assert_eq!(named_in_layout("/x@1/y@sha256:aa"), ("/x@1/y", "sha256:aa"));
    }

    #[test]
    fn revisions_are_told_from_other_tags() {
        assert_eq!((number_of("r1"), number_of("r420")), (Some(1), Some(420)));
        for other in ["latest", "r", "r0", "r01", "r1a", "rev1", "R1", "r+1", "r99999999999999999999999"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
