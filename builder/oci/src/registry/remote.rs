//! One repository of one registry, with the access that an operation needs.

use std::sync::Arc;

use oci_spec::distribution::Reference;
use url::Url;

use super::auth::Access;
use super::core::{Core, Registry};
use super::error::RegistryError;
use super::uploads::Uploads;

/// A repository that is read from or written to.
pub(super) struct Remote {
    pub(super) core: Arc<Core>,
    pub(super) registry: Arc<Registry>,
    pub(super) access: Access,
    pub(super) reference: Reference,
    /// The uploads that are open here.
    pub(super) uploads: Arc<Uploads>,
}

impl Remote {
    pub(super) fn pulling(core: &Arc<Core>, reference: &Reference) -> Result<Self, RegistryError> {
        Self::new(core, reference, Access::pull(reference.repository()))
    }

    /// `sources` are the repositories of the same registry that blobs may be mounted from.
    pub(super) fn pushing<'a>(
        core: &Arc<Core>,
        reference: &Reference,
        sources: impl Iterator<Item = &'a str>,
    ) -> Result<Self, RegistryError> {
        Self::new(core, reference, Access::push(reference.repository(), sources))
    }

    /// The same repository with another access.
    pub(super) fn with_access(&self, access: Access) -> Self {
        let (core, registry) = (Arc::clone(&self.core), Arc::clone(&self.registry));
        let uploads = Arc::clone(&self.uploads);
        Self { core, registry, access, reference: self.reference.clone(), uploads }
    }

    fn new(core: &Arc<Core>, reference: &Reference, access: Access) -> Result<Self, RegistryError> {
        let registry = core.registry(reference.registry())?;
        let (core, reference, uploads) = (Arc::clone(core), reference.clone(), Arc::default());
        Ok(Self { core, registry, access, reference, uploads })
    }

    /// A URL below the repository.
    pub(super) fn url(&self, rest: &str) -> Url {
        let mut url = self.registry.base.clone();
        url.set_path(&format!("v2/{}/{rest}", self.access.repository));
        url
    }
}
