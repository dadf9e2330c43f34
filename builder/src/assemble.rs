//! From layers to an image: the config, the manifest and their labels and annotations.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lapstrake_catalog::PlatformKey;
use lapstrake_oci::document::Document;
use lapstrake_oci::image::{Blob, Image};
use lapstrake_oci::tree::TreePath;
use oci_spec::image::{Digest, MediaType};

use crate::failure::{Exit, Failure};
use crate::image_config::{ConfigLayer, RunConfig, image_config};
use crate::layering::Role;
use crate::metadata::LayerReport;
use crate::needs::{self, Needs};
use crate::plan::Plan;
use crate::runtime::RuntimeImage;

/// The prefix of our own labels and annotations.
pub(crate) const PREFIX: &str = "dev.lapstrake.";

/// The label and annotation that names the entry of the catalog.
pub const RUNTIME_ID: &str = "dev.lapstrake.runtime.id";

/// A layer of the app itself.
pub struct AppLayer {
    /// What it holds.
    pub role: Role,
    /// The file or directory that it was made for.
    pub part: Option<TreePath>,
    /// The blob.
    pub blob: Blob,
    /// The digest of its tar archive.
    pub diff_id: Digest,
    /// Whether it was packed before.
    pub is_kept: bool,
}

/// Puts the layers of the runtime and of the app together.
pub fn assemble(
    plan: &Plan,
    platform: &PlatformKey,
    runtime: &RuntimeImage,
    app: Vec<AppLayer>,
    needs: &Needs,
    created: Timestamp,
) -> Result<(Image, Vec<LayerReport>), Failure> {
    let labels = labels(plan, runtime, created);
    let run = RunConfig {
        env: runtime
            .env
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .chain(plan.run.env.clone())
            .collect(),
        // What the user says of the image counts before what is derived; `settings` keeps our own names out of it.
        labels: labels
            .clone()
            .into_iter()
            .chain([(needs::LABEL.to_owned(), needs.to_text())])
            .chain(plan.run.labels.clone())
            .collect(),
        ..plan.run.clone()
    };
    let runtime_layers = runtime.layers.iter().map(|layer| ConfigLayer {
        diff_id: &layer.diff_id,
        created_by: format!("lapstrake: {} layer of {}", layer.role, runtime.entry),
    });
    let app_layers = app.iter().map(|layer| ConfigLayer {
        diff_id: &layer.diff_id,
        created_by: match &layer.part {
            Some(part) => format!("lapstrake: {} layer of {part}", layer.role.name()),
            None => format!("lapstrake: {} layer", layer.role.name()),
        },
    });
    let layers: Vec<ConfigLayer<'_>> = runtime_layers.chain(app_layers).collect();
    let config = image_config(&run, &platform.os(), &platform.architecture(), &layers, created)
        .map_err(|cause| Failure::because(Exit::Ours, "could not write the image config", cause))?;
    let config = Document::new(MediaType::ImageConfig, &config);

    let reports = runtime
        .layers
        .iter()
        .map(crate::runtime::RuntimeLayer::report)
        .chain(app.iter().map(report))
        .collect();
    let blobs = runtime
        .layers
        .iter()
        .map(crate::runtime::RuntimeLayer::blob)
        .chain(app.into_iter().map(|layer| layer.blob))
        .collect();
    let annotations = labels.into_iter().chain(plan.annotations.clone()).collect();
    Ok((Image::assemble(config, blobs, &annotations), reports))
}

fn report(layer: &AppLayer) -> LayerReport {
    LayerReport {
        role: layer.role.name().to_owned(),
        part: layer.part.as_ref().map(ToString::to_string),
        digest: layer.blob.descriptor.digest().clone(),
        diff_id: layer.diff_id.clone(),
        size: layer.blob.descriptor.size(),
        origin: if layer.is_kept { "cached" } else { "built" },
    }
}

/// Names of secrets that the app needs when it runs, sorted and between commas. Where their values are is not the image's
/// to say: it is for the platform that deploys, which has the report of the build.
fn names<'n>(names: impl Iterator<Item = &'n String>) -> String {
    let encoded = |name: &String| name.replace('%', "%25").replace(',', "%2C");
    names.map(encoded).collect::<Vec<_>>().join(",")
}

/// What an app image says of its making. Only facts that are the same on every machine are in it, so that the digest
/// is as well; where and when it was built stands in the metadata file.
fn labels(plan: &Plan, runtime: &RuntimeImage, created: Timestamp) -> BTreeMap<String, String> {
    let choice = &plan.runtime;
    let mut labels = BTreeMap::from([(RUNTIME_ID.to_owned(), choice.entry.to_string())]);
    let mut ours = |name: &str, value: String| {
        labels.insert(format!("{PREFIX}{name}"), value);
    };
    ours("runtime.request", choice.request.clone());
    ours("catalog.ref", choice.catalog.clone());
    ours("catalog.revision", choice.revision.to_string());
    ours("layers.runtime", runtime.layers.len().to_string());
    ours("source.digest", plan.source.digest.to_string());
    if let Some(digest) = &choice.revision_digest {
        ours("catalog.digest", digest.to_string());
    }
    if !choice.is_checked {
        ours("catalog.checked", "false".to_owned());
    }
    if !choice.overrides.is_empty() {
        ours("overrides", choice.overrides.join("; "));
    }
    if !plan.secrets.is_empty() {
        ours("run.secrets", names(plan.secrets.keys()));
    }
    let mut standard = |name: &str, value: String| {
        labels.insert(format!("org.opencontainers.image.{name}"), value);
    };
    standard("created", created.to_string());
    standard("base.name", format!("{}:{}", choice.catalog, choice.entry));
    if let Some(manifest) = &runtime.manifest {
        standard("base.digest", manifest.to_string());
    }
    if let Some(checkout) = &plan.source.checkout {
        standard("revision", checkout.revision());
        if let Some(repository) = &checkout.repository {
            standard("source", repository.to_string());
        }
    }
    labels
}

#[cfg(test)]
mod golden;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_secrets_stay_apart() {
        let secrets = ["DB_PASSWORD", "A,B", "API%KEY"].map(|name| (name.to_owned(), "reference".to_owned()));
        assert_eq!(names(BTreeMap::from(secrets).keys()), "A%2CB,API%25KEY,DB_PASSWORD");
    }
}
