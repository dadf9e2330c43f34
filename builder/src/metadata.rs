//! The JSON report of a build or a push, for the program that called us. It is written on success and on failure.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oci_spec::image::Digest;
use serde::Serialize;

use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::fetched::FetchedReport;
use crate::layering::Role;
use crate::plan::RuntimeChoice;
use crate::provenance::ProvenanceReport;
use crate::secrets::{Mask, SecretUse};
use crate::sequence::Verdict;
use crate::source::SourceDigest;
use crate::trust::Trusted;

/// What happened. Times are in milliseconds, sizes in bytes.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The form of this report.
    pub schema: u32,
    /// The program that wrote it.
    pub tool: String,
    /// Whether the command did what was asked.
    pub success: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureReport>,
    /// The digest of the manifest or image index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Where the image is, as `REGISTRY/REPOSITORY@DIGEST` or the output that was asked for.
    pub references: Vec<String>,
    /// The catalog that was asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalog: Option<CatalogReport>,
    /// The runtime that was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeChoice>,
    /// The digest of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<SourceDigest>,
    /// The commit that the source was taken from, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkout: Option<Checkout>,
    /// What became of each build command: whether it ran, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Verdict>,
    /// How build commands were isolated: the mode, or `none-needed` where there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<&'static str>,
    /// What the build commands have fetched through the proxy, in this build or in the one whose result was taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fetched: Vec<FetchedReport>,
    /// The secrets of the build commands, without their values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub build_secrets: Vec<SecretUse>,
    /// References to secrets: names and where their values are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// The layers that build commands run in, lowest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub build_layers: Vec<LayerReport>,
    /// What was said of how the image was made, and where that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<ProvenanceReport>,
    /// The images, one for each platform.
    pub images: Vec<ImageReport>,
    /// What was done at each destination.
    pub pushes: Vec<PushedTo>,
    /// How long each part took.
    pub timings: BTreeMap<&'static str, u64>,
    /// The report of an earlier build of the same, whose result was taken.
    #[serde(skip)]
    pub earlier: serde_json::Map<String, serde_json::Value>,
    /// What keeps hidden values out of the report.
    #[serde(skip)]
    pub mask: Arc<Mask>,
}

/// The catalog that a build asked. It may be a later revision than the one that the image names, which is the first that
/// held the entry.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogReport {
    /// Its canonical name.
    pub name: String,
    /// The number of the revision.
    pub revision: u64,
    /// The digest of its image index; none for the local catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Whether a signature was asked for and verified.
    pub is_signed: bool,
    /// Whether later revisions were asked for what they have revoked.
    pub is_checked: bool,
}

impl From<&Trusted> for CatalogReport {
    fn from(trusted: &Trusted) -> Self {
        let catalog = &trusted.catalog;
        Self {
            name: catalog.name.clone(),
            revision: catalog.revision,
            digest: trusted.index.clone(),
            is_signed: trusted.is_signed,
            is_checked: trusted.is_checked,
        }
    }
}

/// Why a command failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureReport {
    /// The class.
    pub class: crate::failure::Exit,
    /// The exit code.
    pub exit_code: u8,
    /// What failed.
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// One image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageReport {
    /// `os/architecture`.
    pub platform: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its layers, lowest first.
    pub layers: Vec<LayerReport>,
}

/// One layer of an image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerReport {
    /// What it is: the role in the catalog, `dependencies` or `app`.
    pub role: String,
    /// The big file or directory of the app that it was made for, by its path in the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The digest of the compressed blob.
    pub digest: Digest,
    /// The digest of the tar archive.
    pub diff_id: Digest,
    /// The size of the blob.
    pub size: u64,
    /// How it came to be here: `built`, or `cached` when nothing had to be done.
    pub origin: &'static str,
}

impl LayerReport {
    /// Whether it is one of the runtime's, and not of the app's.
    #[must_use]
    pub fn is_of_runtime(&self) -> bool {
        Role::ALL.iter().all(|role| role.name() != self.role)
    }
}

/// What was done at one destination.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PushedTo {
    /// The destination.
    pub destination: String,
    /// Requests to the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Bytes of blobs sent.
    pub bytes_sent: u64,
    /// What happened to each blob: `present`, `mounted` or `uploaded`.
    pub blobs: BTreeMap<String, String>,
}

impl Metadata {
    /// An empty report.
    #[must_use]
    pub fn new() -> Self {
        Self {
            schema: 1,
            tool: concat!("lapstrake ", env!("CARGO_PKG_VERSION")).to_owned(),
            ..Self::default()
        }
    }

    /// What is kept of the report for whoever builds the same again.
    #[must_use]
    pub fn to_keep(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut report = match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(report)) => report,
            _ => serde_json::Map::new(),
        };
        report.retain(|name, _| {
            ["runtime", "sourceDigest", "checkout", "isolation", "fetched", "secrets", "images"]
                .contains(&name.as_str())
        });
        for layer in report.get_mut("images").into_iter().flat_map(layers_of) {
            layer["origin"] = "cached".into();
        }
        for fetched in
            report.get_mut("fetched").and_then(serde_json::Value::as_array_mut).into_iter().flatten()
        {
            fetched["reused"] = true.into();
        }
        report.values_mut().for_each(|value| self.mask.apply_to(value));
        report
    }

    /// Runs a part of the work and keeps how long it took.
    pub fn timed<T>(
        &mut self,
        part: &'static str,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let started = Instant::now();
        let outcome = work();
        self.took(part, started.elapsed());
        outcome
    }

    /// Keeps how long a part took; parts of one name add up.
    pub fn took(&mut self, part: &'static str, elapsed: Duration) {
        *self.timings.entry(part).or_default() += u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    }

    /// Writes the report, with the outcome of the command, and hands the outcome back.
    pub fn finish<T>(mut self, outcome: Result<T, Failure>, file: Option<&Path>) -> Result<T, Failure> {
        let Some(file) = file else { return outcome };
        self.success = outcome.is_ok();
        self.failure = outcome.as_ref().err().map(|failure| FailureReport {
            class: failure.exit,
            exit_code: failure.exit.code(),
            message: failure.what.clone(),
            causes: failure.causes(),
            hint: failure.hint.clone(),
        });
        let written = serde_json::to_value(&self)
            .and_then(|mut report| {
                fill(&mut report, &self.earlier);
                self.mask.apply_to(&mut report);
                serde_json::to_vec_pretty(&report)
            })
            .map_err(std::io::Error::other)
            .and_then(|bytes| write_whole(file, &bytes));
        match (outcome, written) {
            (Err(failure), _) => Err(failure),
            (Ok(_), Err(cause)) => {
                Err(Failure::io(format!("could not write the metadata file `{}`", file.display()), cause))
            }
            (Ok(value), Ok(())) => Ok(value),
        }
    }
}

fn layers_of(images: &mut serde_json::Value) -> impl Iterator<Item = &mut serde_json::Value> {
    let images = images.as_array_mut().into_iter().flatten();
    images.filter_map(|image| image.get_mut("layers")?.as_array_mut()).flatten()
}

/// Adds what an earlier build reported where this one has nothing to say.
fn fill(report: &mut serde_json::Value, earlier: &serde_json::Map<String, serde_json::Value>) {
    const OF_IMAGES: [&str; 6] = ["runtime", "sourceDigest", "checkout", "isolation", "fetched", "secrets"];
    let Some(report) = report.as_object_mut() else { return };
    for name in OF_IMAGES {
        if let Some(value) = earlier.get(name) {
            report.entry(name).or_insert_with(|| value.clone());
        }
    }
    if let Some(images) = earlier.get("images") {
        report.insert("images".to_owned(), images.clone());
    }
}

/// Writes a file whole or not at all, and never through a link.
pub fn write_whole(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let parent = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut partial = tempfile::NamedTempFile::new_in(parent)?;
    std::io::Write::write_all(&mut partial, bytes)?;
    std::io::Write::write_all(&mut partial, b"\n")?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    partial.as_file().set_permissions(readable)?;
    partial.persist(file).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    // row 56
    #[test]
    fn a_failure_is_written_too() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("m.json");
        let outcome: Result<(), _> = Err(Failure::new(Exit::AppFailed, "it failed").hint("fix it"));
        assert!(Metadata::new().finish(outcome, Some(&file)).is_err());
        let json: serde_json::Value = serde_json::from_slice(&fs_err::read(&file).unwrap()).unwrap();
        assert_eq!(json["success"], false);
        assert_eq!(
            (json["failure"]["class"].as_str(), json["failure"]["exitCode"].as_u64()),
            (Some("app-failed"), Some(1))
        );
        assert_eq!(json["failure"]["hint"], "fix it");
    }

    #[test]
    fn what_is_hidden_is_not_in_the_report() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("m.json");
        let mut metadata = Metadata::new();
        metadata.mask = Arc::new(metadata.mask.with(&[crate::secrets::Hidden::value("X", b"hunter22")]));
        metadata.secrets.insert("A".into(), "hunter22".into());
        let outcome: Result<(), _> =
            Err(Failure::because(Exit::AppFailed, "a hunter22", "hunter22").hint("no hunter22"));
        assert!(metadata.finish(outcome, Some(&file)).is_err());
        let text = fs_err::read_to_string(&file).unwrap();
        assert!(!text.contains("hunter22") && text.matches("***").count() == 4, "{text}");
    }

    #[test]
    fn a_metadata_file_that_cannot_be_written_is_a_failure() {
        let outcome = Metadata::new().finish(Ok(()), Some(Path::new("/nonexistent/m.json")));
        assert!(outcome.unwrap_err().what.contains("/nonexistent/m.json"));
    }
}
