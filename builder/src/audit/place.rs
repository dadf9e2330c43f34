//! Where images are read from.

use std::error::Error;

use lapstrake_oci::document::Document;
use lapstrake_oci::layout::Layout;
use lapstrake_oci::registry::Client;
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest};

/// Why something could not be read, in one line.
pub type Reason = String;

/// Where images are read from: a registry or a layout.
pub trait Place: Sync {
    /// The tags of a repository.
    fn tags(&self, repository: &str) -> Result<Vec<String>, Reason>;
    /// The digest that a tag or digest of a repository names, without reading what it names.
    fn digest(&self, repository: &str, name: &str) -> Result<Digest, Reason>;
    /// The manifest or image index under a tag or digest.
    fn top(&self, repository: &str, name: &str) -> Result<Document, Reason>;
    /// A manifest that an image index lists.
    fn manifest(&self, repository: &str, descriptor: &Descriptor) -> Result<Document, Reason>;
    /// A config.
    fn config(&self, repository: &str, descriptor: &Descriptor) -> Result<Document, Reason>;
}

/// A registry.
pub struct RegistryPlace<'a> {
    client: &'a Client,
}

impl<'a> RegistryPlace<'a> {
    /// A registry that this client speaks to.
    #[must_use]
    pub fn new(client: &'a Client) -> Self {
        Self { client }
    }
}

impl Place for RegistryPlace<'_> {
    fn tags(&self, repository: &str) -> Result<Vec<String>, Reason> {
        self.client.tags(&reference(repository, "latest")?).map_err(reason)
    }

    fn digest(&self, repository: &str, name: &str) -> Result<Digest, Reason> {
        let found = self.client.resolve(&reference(repository, name)?).map_err(reason)?;
        found.ok_or_else(|| "it is not there".to_owned())
    }

    fn top(&self, repository: &str, name: &str) -> Result<Document, Reason> {
        self.client.manifest(&reference(repository, name)?).map_err(reason)
    }

    fn manifest(&self, repository: &str, descriptor: &Descriptor) -> Result<Document, Reason> {
        self.client.manifest_of(&reference(repository, "latest")?, descriptor).map_err(reason)
    }

    fn config(&self, repository: &str, descriptor: &Descriptor) -> Result<Document, Reason> {
        self.client.blob_document(&reference(repository, "latest")?, descriptor).map_err(reason)
    }
}

/// `REPOSITORY:TAG`, or `REPOSITORY@DIGEST` for a name that is a digest.
fn reference(repository: &str, name: &str) -> Result<Reference, Reason> {
    let separator = if name.contains(':') { '@' } else { ':' };
    format!("{repository}{separator}{name}").parse().map_err(reason)
}

/// An image layout, which is one repository.
pub struct LayoutPlace {
    layout: Layout,
}

impl LayoutPlace {
    /// The images of a layout.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self { layout }
    }

    fn descriptor(&self, name: &str) -> Result<Descriptor, Reason> {
        if !name.contains(':') {
            return self.layout.resolve(name).map_err(reason);
        }
        let listed = self.layout.manifests().map_err(reason)?;
        let found = listed.into_iter().find(|descriptor| descriptor.digest().as_ref() == name);
        found.ok_or_else(|| "the layout does not list it".to_owned())
    }
}

impl Place for LayoutPlace {
    /// Tags, and the digests of what has none.
    fn tags(&self, _: &str) -> Result<Vec<String>, Reason> {
        let tagged = self.layout.tags().map_err(reason)?;
        let listed = self.layout.manifests().map_err(reason)?;
        let is_tagged =
            |descriptor: &Descriptor| tagged.iter().any(|(_, other)| other.digest() == descriptor.digest());
        let untagged = listed.iter().filter(|descriptor| !is_tagged(descriptor));
        let digests = untagged.map(|descriptor| descriptor.digest().to_string());
        Ok(tagged.iter().map(|(tag, _)| tag.clone()).chain(digests).collect())
    }

    fn digest(&self, _: &str, name: &str) -> Result<Digest, Reason> {
        self.descriptor(name).map(|descriptor| descriptor.digest().clone())
    }

    fn top(&self, repository: &str, name: &str) -> Result<Document, Reason> {
        self.manifest(repository, &self.descriptor(name)?)
    }

    fn manifest(&self, _: &str, descriptor: &Descriptor) -> Result<Document, Reason> {
        self.layout.read_document(descriptor).map_err(reason)
    }

    fn config(&self, repository: &str, descriptor: &Descriptor) -> Result<Document, Reason> {
        self.manifest(repository, descriptor)
    }
}

/// An error and its causes in one line.
fn reason(error: impl Error) -> Reason {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
