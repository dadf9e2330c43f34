//! Brings an image to where it should be: registries, layouts, archives.

use std::collections::BTreeMap;

use lapstrake_oci::archive::{Top, write_docker_archive, write_oci_archive};
use lapstrake_oci::destination::{self, BlobOutcome, Destination, Progress, PushError, PushReport, Shipment};
use lapstrake_oci::document::Document;
use lapstrake_oci::image::{Image, ImageIndex};
use lapstrake_oci::layout::Layout;
use lapstrake_oci::registry::{Client, RegistryDestination};
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::metadata::PushedTo;
use crate::minor_move::{OpenMinor, entry_of};
use crate::output::Output;
use crate::registry;
use crate::targets::Target;

/// What a build makes: one image, or one for each platform under an index.
pub enum Product {
    /// One image.
    Image(Box<Image>),
    /// An index of images.
    Index(Box<ImageIndex>),
}

impl Product {
    /// Puts images together; a single one needs no index.
    pub fn new(mut images: Vec<Image>, annotations: &BTreeMap<String, String>) -> Result<Self, Failure> {
        if images.len() == 1
            && let Some(image) = images.pop()
        {
            return Ok(Self::Image(Box::new(image)));
        }
        let index = ImageIndex::assemble(images, annotations);
        index
            .map(|index| Self::Index(Box::new(index)))
            .map_err(|cause| Failure::because(Exit::Ours, "could not write the image index", cause))
    }

    /// The topmost document.
    #[must_use]
    pub fn document(&self) -> &Document {
        match self {
            Self::Image(image) => &image.manifest,
            Self::Index(index) => &index.document,
        }
    }

    /// The topmost document and, where that is an index, the manifests that it lists.
    #[must_use]
    pub fn documents(&self) -> Vec<&Document> {
        let images = match self {
            Self::Image(_) => &[][..],
            Self::Index(index) => index.images.as_slice(),
        };
        std::iter::once(self.document()).chain(images.iter().map(|image| &image.manifest)).collect()
    }

    /// The digest by which the product is known.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        self.document().digest()
    }

    fn shipment(&self) -> Shipment {
        match self {
            Self::Image(image) => Shipment::from(&**image),
            Self::Index(index) => Shipment::from(&**index),
        }
    }
}

/// Where things go, and by what means.
pub struct Delivery<'a> {
    /// The client for registries.
    pub client: &'a Client,
    /// The surroundings.
    pub context: &'a Context,
    /// The entry of Python that the image was built on, where the catalog chose its minor.
    pub open_minor: Option<OpenMinor>,
}

impl Delivery<'_> {
    /// Brings a product to one place, and says what was done there.
    pub fn deliver(&self, product: &Product, target: Target<'_>) -> Result<PushedTo, Failure> {
        self.context.stop.check()?;
        match target {
            Target::Registry { reference, destination } => {
                let shipment = product.shipment();
                let destination = destination.mounting(&shipment.blobs);
                self.push_to(shipment, &reference, &destination)
            }
            Target::Local(output) => self.write(product, &output),
        }
    }

    fn write(&self, product: &Product, output: &Output) -> Result<PushedTo, Failure> {
        let failed = |cause: LocalError| {
            Failure::io(format!("could not write `{output}`"), std::io::Error::other(cause))
        };
        match output {
            Output::Registry(reference) => return self.push(product.shipment(), reference),
            Output::Layout { directory, tag } => write_layout(product, directory, tag).map_err(failed)?,
            Output::OciArchive { file, tag } => {
                let top = match product {
                    Product::Image(image) => Top::Image(image),
                    Product::Index(index) => Top::Index(index),
                };
                write_oci_archive(file, top, Some(tag)).map_err(|cause| failed(cause.into()))?;
            }
            Output::DockerArchive { file, name } => match product {
                Product::Image(image) => {
                    let names: Vec<String> = name.iter().cloned().collect();
                    write_docker_archive(file, image, &names).map_err(|cause| failed(cause.into()))?;
                }
                Product::Index(_) => {
                    return Err(Failure::new(Exit::NotUnderstood, "a docker archive holds one platform")
                        .hint("build one platform for it, or write an `oci-archive:`"));
                }
            },
        }
        Ok(PushedTo {
            destination: output.to_string(),
            requests: None,
            bytes_sent: 0,
            blobs: BTreeMap::new(),
        })
    }

    /// Pushes to a registry.
    pub fn push(&self, shipment: Shipment, reference: &Reference) -> Result<PushedTo, Failure> {
        let target = self
            .client
            .destination_for(reference, &shipment.blobs)
            .map_err(|cause| registry::failure(cause, format!("could not push to `{reference}`")))?;
        self.push_to(shipment, reference, &target)
    }

    fn push_to(
        &self,
        shipment: Shipment,
        reference: &Reference,
        target: &RegistryDestination<'_>,
    ) -> Result<PushedTo, Failure> {
        let what = || format!("could not push to `{reference}`");
        self.warn_of_move(target, reference);
        let total = shipment.blobs.iter().map(|blob| blob.descriptor.size()).sum();
        let bar = self.context.report.bytes(&format!("push {}", reference.repository()), total);
        let mut sent: BTreeMap<String, u64> = BTreeMap::new();
        let pushed = destination::push(shipment, target, &mut |event| match event {
            Progress::Blob { digest, sent: now, .. } => {
                let before = sent.insert(digest.to_string(), now).unwrap_or(0);
                bar.add(now.saturating_sub(before));
            }
            Progress::Done { .. } | Progress::Tagged { .. } => {}
        });
        bar.finish();
        let report = pushed.map_err(|cause| match cause {
            PushError::Registry(cause) => registry::failure(cause, what()),
            cause @ PushError::OtherDigest { .. } => Failure::because(Exit::NotUnderstood, what(), cause),
            cause @ PushError::Layout(_) => Failure::because(Exit::Ours, what(), cause),
        })?;
        self.context.report.note(&summary(&target.name(), &report));
        Ok(PushedTo {
            // Not the tag: many tools refuse a reference that has both, and the digest says it all.
            destination: format!("{}/{}@{}", reference.registry(), reference.repository(), report.digest),
            requests: Some(report.transfer.requests),
            bytes_sent: report.transfer.bytes_sent,
            blobs: report
                .blobs
                .iter()
                .map(|blob| (blob.digest.to_string(), outcome(&blob.outcome)))
                .collect(),
        })
    }
}

impl Delivery<'_> {
    /// Warns where the image that the tag names so far runs another minor of Python. Whatever prevents the look at it is
    /// the push's to report.
    fn warn_of_move(&self, target: &RegistryDestination<'_>, reference: &Reference) {
        let Some(open) = &self.open_minor else { return };
        let Ok(Some(document)) = target.tagged() else { return };
        let before = entry_of(&document, |descriptor| target.manifest_of(descriptor).ok());
        if let Some(warning) = before.and_then(|before| open.warning(&format!("`{reference}`"), &before)) {
            self.context.report.warning(&warning);
        }
    }
}

type LocalError = Box<dyn std::error::Error + Send + Sync>;

fn write_layout(product: &Product, directory: &std::path::Path, tag: &str) -> Result<(), LocalError> {
    let layout = Layout::create(directory)?;
    match product {
        Product::Image(image) => layout.write_image(image)?,
        Product::Index(index) => layout.write_index(index)?,
    }
    layout.tag(tag, product.document().descriptor())?;
    Ok(())
}

fn outcome(outcome: &BlobOutcome) -> String {
    match outcome {
        BlobOutcome::Present => "present".to_owned(),
        BlobOutcome::Mounted { .. } => "mounted".to_owned(),
        BlobOutcome::Uploaded { .. } => "uploaded".to_owned(),
    }
}

fn summary(name: &str, report: &PushReport) -> String {
    if report.up_to_date {
        return format!("{name} was up to date ({} requests)", report.transfer.requests);
    }
    let totals = report.totals();
    format!(
        "pushed to {name}: {} blobs sent ({}), {} mounted, {} there already, {} requests",
        totals.uploaded,
        indicatif::HumanBytes(totals.uploaded_bytes),
        totals.mounted,
        totals.present,
        report.transfer.requests
    )
}
