//! The plan of a build: every decision, no effect. `lapstrake plan` prints it, `lapstrake build` carries it out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lapstrake_catalog::{EntryId, ImageKind};
use lapstrake_oci::tree::{Kind, TreePath};
use oci_spec::image::Digest;
use serde::Serialize;

use crate::checkout::Checkout;
use crate::cli::{FlowArgs, Keep};
use crate::image_config::RunConfig;
use crate::layering::LayerTree;
use crate::report::printable;
use crate::secrets::SecretUse;
use crate::sequence::Verdict;
use crate::source::SourceDigest;
use crate::steps::{Phase, PlannedStep};

/// Where the source is inside the image.
pub const APP_ROOT: &str = "/app";

/// Every decision of a build.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The source, as far as it decides anything.
    pub source: SourceFacts,
    /// The app file that was read; none where the app's own files told everything.
    pub app_file: Option<String>,
    /// The files of the app that decided something, and what, where there is no app file.
    pub detected: Vec<String>,
    /// Where detection had a choice: what it took, and how to choose otherwise.
    pub notes: Vec<String>,
    /// The runtime.
    pub runtime: RuntimeChoice,
    /// The platforms of the image, as `os/architecture`.
    pub platforms: Vec<String>,
    /// The commands, in the order in which they run.
    pub steps: Vec<PlannedStep>,
    /// What is kept of their changes, and whether the build is repeated.
    pub flow: FlowArgs,
    /// Variables of the build commands, from the app file.
    pub build_env: Vec<(String, String)>,
    /// What the image starts.
    pub run: RunConfig,
    /// Why the start command has its form.
    pub start: String,
    /// The secrets of the commands, without their values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub build_secrets: Vec<SecretUse>,
    /// References to secrets, for the platform that deploys: names and where the values are.
    pub secrets: BTreeMap<String, String>,
    /// Annotations of the manifest, and of the image index where there is one.
    pub annotations: BTreeMap<String, String>,
    /// Where each value came from: a place in a file, an option, a variable, or `default`.
    pub origins: BTreeMap<String, String>,
    /// Those values that were given by an option or a variable, and by which.
    #[serde(skip)]
    pub given: BTreeMap<String, String>,
    /// Where the image goes.
    pub destinations: Vec<String>,
    /// What becomes of the commands, and why, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Vec<Verdict>>,
    /// The layers on top of the runtime's, lowest first, where it is known what commands make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<PlannedLayer>>,
}

/// A layer of the app.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedLayer {
    /// `dependencies` or `app`.
    pub role: &'static str,
    /// The big file or directory that it is made for, by its path in the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// How many files it has.
    pub files: usize,
    /// The bytes of their contents.
    pub bytes: u64,
    /// Why it is a layer of its own.
    pub reason: &'static str,
}

impl From<&LayerTree> for PlannedLayer {
    fn from(layer: &LayerTree) -> Self {
        let sizes = layer.tree.iter().filter_map(|(_, node)| match &node.kind {
            Kind::File(content) => Some(content.len()),
            _ => None,
        });
        let (files, bytes) =
            sizes.fold((0, 0_u64), |(files, bytes), size| (files + 1, bytes.saturating_add(size)));
        let part = layer.part.as_ref().map(ToString::to_string);
        Self { role: layer.role.name(), part, files, bytes, reason: layer.reason() }
    }
}

/// The source, as far as it decides anything.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceFacts {
    /// What was given.
    pub given: String,
    /// Where it was taken from, without login and query; none for what is on this machine.
    #[serde(skip)]
    pub uri: Option<String>,
    /// What it is: a directory, or a kind of archive.
    pub kind: String,
    /// Whether it is an archive, whose digest says everything about it.
    #[serde(skip)]
    pub is_archive: bool,
    /// The digest of the archive, or of the content of the directory.
    pub digest: SourceDigest,
    /// The directory of the app inside the source, without a leading slash; empty for the root.
    pub directory: String,
    /// How many paths there are.
    pub paths: usize,
    /// The ignore file, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_file: Option<String>,
    /// How many paths it left out; a directory that went with everything in it counts once.
    pub left_out: usize,
    /// The time of the newest file, in seconds since 1970.
    pub newest: i64,
    /// The commit that it was taken from, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkout: Option<Checkout>,
}

/// The runtime that was chosen.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeChoice {
    /// What was asked for.
    pub request: String,
    /// The entry that was chosen.
    pub entry: EntryId,
    /// Why.
    pub reason: String,
    /// The catalog's name.
    pub catalog: String,
    /// The revision that first held the entry.
    pub revision: u64,
    /// The digest of that revision's image index; none for the local catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_digest: Option<Digest>,
    /// The image whose layers are the lowest of the app image.
    pub run_image: ImageKind,
    /// The image that commands run in.
    pub build_image: ImageKind,
    /// Permissions that were used to take the entry, or the catalog.
    pub overrides: Vec<String>,
    /// Whether later revisions of the catalog were asked for what they have revoked.
    pub is_checked: bool,
}

impl Plan {
    /// Whether any command runs.
    #[must_use]
    pub fn has_commands(&self) -> bool {
        !self.steps.is_empty()
    }

    /// The working directory of commands and of the app.
    #[must_use]
    pub fn working_dir(directory: Option<&TreePath>) -> String {
        directory.map_or_else(|| APP_ROOT.to_owned(), |below| format!("{APP_ROOT}/{below}"))
    }

    /// The plan for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = Lines::default();
        self.source_text(&mut text);
        self.runtime_text(&mut text);
        for phase in Phase::ALL {
            for step in self.steps.iter().filter(|step| step.phase == phase) {
                text.line(
                    phase.prefix(),
                    &format!("{}{}", step.command, from(Some(&step.origin.to_string()))),
                );
            }
        }
        if self.flow.repeat_build {
            text.line(
                "repeat",
                "the commands of [Build] run again on the tree of the image, before [PreRun]",
            );
        }
        if self.flow.keep == Keep::App {
            text.line("keep", "of [PreBuild] and [Build] only what lies below /app");
        }
        for (name, value) in &self.build_env {
            text.line("build env", &format!("{name}={value}{}", self.origin(&format!("build-env.{name}"))));
        }
        for secret in &self.build_secrets {
            text.line("build secret", &secret.to_string());
        }
        self.run_text(&mut text);
        for verdict in self.why.iter().flatten() {
            text.line("why", &verdict.to_string());
        }
        self.layers_text(&mut text);
        for destination in &self.destinations {
            text.line("destination", destination);
        }
        text.0
    }

    fn layers_text(&self, text: &mut Lines) {
        let runtime = format!("{} of {}", self.runtime.run_image, self.runtime.entry);
        let Some(layers) = &self.layers else {
            text.line("layers", &format!("{runtime}, then dependencies and app, big parts of them apart"));
            return;
        };
        text.line("layers", &format!("{runtime}, then"));
        for layer in layers {
            let part = layer.part.as_ref().map(|part| format!(", {part}")).unwrap_or_default();
            let size = indicatif::HumanBytes(layer.bytes);
            let line = format!("{}{part}: {} files, {size}: {}", layer.role, layer.files, layer.reason);
            text.line("layer", &line);
        }
    }

    fn source_text(&self, text: &mut Lines) {
        let source = &self.source;
        text.line(
            "source",
            &format!("{} ({}, {} paths, {})", source.given, source.kind, source.paths, source.digest),
        );
        if let Some(checkout) = &source.checkout {
            let repository = checkout.repository.as_ref().map(|url| format!(" of {url}"));
            text.line("commit", &format!("{}{}", checkout.revision(), repository.unwrap_or_default()));
        }
        if let Some(file) = &source.ignore_file {
            let paths = if source.left_out == 1 { "path" } else { "paths" };
            text.line("ignore file", &format!("{file}, {} {paths} left out", source.left_out));
        }
        if !source.directory.is_empty() {
            text.line("directory", &format!("{}{}", source.directory, self.origin("source-dir")));
        }
        match &self.app_file {
            Some(name) => text.line("app file", &format!("{name}{}", self.origin("config"))),
            None if self.detected.is_empty() => text.line("app file", "none: the options say everything"),
            None => text.line("app file", "none: the app's own files tell"),
        }
        for finding in &self.detected {
            text.line("detected", finding);
        }
        for note in &self.notes {
            text.line("note", note);
        }
    }

    fn runtime_text(&self, text: &mut Lines) {
        let runtime = &self.runtime;
        let origins = match self.origins.get("runtime-version").filter(|origin| *origin != "default") {
            Some(version) => format!("{}, version{}", self.origin("runtime"), from(Some(version))),
            None => self.origin("runtime"),
        };
        text.line(
            "runtime",
            &format!("{} for `{}`{origins}: {}", runtime.entry, runtime.request, runtime.reason),
        );
        text.line("catalog", &format!("{}, revision {}", runtime.catalog, runtime.revision));
        for used in &runtime.overrides {
            text.line("override", used);
        }
        text.line("platforms", &self.platforms.join(", "));
    }

    fn run_text(&self, text: &mut Lines) {
        let run = &self.run;
        text.line("start", &format!("{:?}{}: {}", run.cmd, self.origin("command"), self.start));
        text.line("directory", &run.working_dir);
        let user = run.user.map_or("the runtime's".to_owned(), |user| format!("{}:{}", user.uid, user.gid));
        text.line("user", &format!("{user}{}", self.origin("user")));
        text.line("port", &format!("{}{}", run.port, self.origin("port")));
        for (name, value) in &run.env {
            let origin = match name.as_str() {
                "PORT" => " (the port)".to_owned(),
                name if self.origins.contains_key(&format!("env.{name}")) => {
                    self.origin(&format!("env.{name}"))
                }
                _ => format!(" (the port){}", self.origin("port-env")),
            };
            text.line("run env", &format!("{name}={value}{origin}"));
        }
        for (name, reference) in &self.secrets {
            let origin = self.origin(&format!("run-secret.{name}"));
            text.line("secret", &format!("{name} from {reference}, by the platform that deploys{origin}"));
        }
        for (name, value) in &run.labels {
            text.line("label", &format!("{name}={value}{}", self.origin(&format!("label.{name}"))));
        }
        for (name, value) in &self.annotations {
            text.line("annotation", &format!("{name}={value}{}", self.origin(&format!("annotation.{name}"))));
        }
    }

    fn origin(&self, name: &str) -> String {
        from(self.origins.get(name))
    }
}

fn from(origin: Option<&String>) -> String {
    origin.map(|origin| format!(" ({origin})")).unwrap_or_default()
}

/// Lines of a name and a value.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.0, "{name:<13}{}", printable(value));
    }
}
