//! The places that a build brings its image to, opened before the build begins.
//!
//! What a registry has under the tag is looked at while the source is read, and layers are sent there while they are
//! packed.

use std::collections::BTreeMap;

use lapstrake_oci::image::Blob;
use lapstrake_oci::layer::Growing;
use lapstrake_oci::registry::{Client, Following, RegistryDestination};
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

use crate::failure::Failure;
use crate::metadata::PushedTo;
use crate::output::{Output, parse_reference};
use crate::registry;

/// All places, in the order in which they were asked for.
pub struct Targets<'c> {
    all: Vec<Target<'c>>,
}

/// One place.
pub enum Target<'c> {
    /// A repository of a registry.
    Registry {
        /// Its reference.
        reference: Reference,
        /// What pushes to it.
        destination: Box<RegistryDestination<'c>>,
    },
    /// A layout or an archive.
    Local(Output),
}

/// A layer that is being sent while it is packed.
pub struct Sending<'t, 'c> {
    destination: &'t RegistryDestination<'c>,
    following: Option<Following>,
}

impl<'c> Targets<'c> {
    /// Opens the places. The first requests to registries are on their way when this returns. `catalog` is the catalog
    /// that layers may be mounted from.
    pub fn open(outputs: Vec<Output>, catalog: Option<&str>, client: &'c Client) -> Result<Self, Failure> {
        let catalog: Vec<Reference> =
            catalog.and_then(|text| parse_reference(text).ok()).into_iter().collect();
        let open = |output| -> Result<Target<'c>, Failure> {
            match output {
                Output::Registry(reference) => {
                    let destination = client.destination(&reference, &catalog).map_err(|cause| {
                        registry::failure(cause, format!("could not push to `{reference}`"))
                    })?;
                    destination.look();
                    Ok(Target::Registry { reference, destination: Box::new(destination) })
                }
                local => Ok(Target::Local(local)),
            }
        };
        Ok(Self { all: outputs.into_iter().map(open).collect::<Result<_, _>>()? })
    }

    /// Adds a place on this machine where no other was asked for.
    pub fn or_local(&mut self, output: impl FnOnce() -> Output) {
        if self.all.is_empty() {
            self.all.push(Target::Local(output()));
        }
    }

    /// Whether all layers must be on this machine, also because the image goes nowhere.
    #[must_use]
    pub fn need_local_layers(&self) -> bool {
        self.all.is_empty() || self.all.iter().any(|target| matches!(target, Target::Local(_)))
    }

    /// Begins to mount layers that registries have in other repositories.
    pub fn mount_ahead(&self, blobs: &[Blob]) {
        for target in &self.all {
            if let Target::Registry { destination, .. } = target {
                destination.mount_ahead(blobs);
            }
        }
    }

    /// Says that the image is a new one.
    pub fn expect_new(&self) {
        for target in &self.all {
            if let Target::Registry { destination, .. } = target {
                destination.expect_new();
            }
        }
    }

    /// What takes a layer while it is packed: the first registry. The others get it when it is whole.
    #[must_use]
    pub fn sending(&self) -> Option<Sending<'_, 'c>> {
        self.all.iter().find_map(|target| match target {
            Target::Registry { destination, .. } => Some(Sending { destination, following: None }),
            Target::Local(_) => None,
        })
    }

    /// Whether all places are known to have a blob, so that nobody will ask for its bytes.
    #[must_use]
    pub fn have(&self, digest: &Digest) -> bool {
        !self.need_local_layers()
            && self.all.iter().all(|target| match target {
                Target::Registry { destination, .. } => destination.names(digest),
                Target::Local(_) => false,
            })
    }

    /// What there is to say where every place has an image under its tag already; none if one has not.
    #[must_use]
    pub fn up_to_date(&self, digest: &Digest) -> Option<Vec<PushedTo>> {
        let pushed = self.all.iter().map(|target| match target {
            Target::Registry { reference, destination } if destination.has_tagged(digest) => Some(PushedTo {
                destination: format!("{}/{}@{digest}", reference.registry(), reference.repository()),
                requests: Some(1),
                bytes_sent: 0,
                blobs: BTreeMap::new(),
            }),
            _ => None,
        });
        pushed.collect::<Option<Vec<_>>>().filter(|pushed| !pushed.is_empty())
    }

    /// The places as the user named them.
    #[must_use]
    pub fn outputs(&self) -> Vec<Output> {
        self.all.iter().map(Target::output).collect()
    }
}

impl Target<'_> {
    /// The place as the user named it.
    #[must_use]
    pub fn output(&self) -> Output {
        match self {
            Self::Registry { reference, .. } => Output::Registry(reference.clone()),
            Self::Local(output) => output.clone(),
        }
    }
}

impl<'c> IntoIterator for Targets<'c> {
    type Item = Target<'c>;
    type IntoIter = std::vec::IntoIter<Target<'c>>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter()
    }
}

impl Sending<'_, '_> {
    /// Begins to send a layer.
    pub fn begin(&mut self, growing: Growing) {
        self.following = Some(self.destination.follow(growing));
    }

    /// Says what the layer became, so that the push finds what was sent of it.
    pub fn end(self, digest: &Digest) {
        if let Some(following) = self.following {
            self.destination.followed(digest, following);
        }
    }
}
