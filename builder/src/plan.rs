//! The plan of a build: every decision, no effect. `lapstrake plan` prints it, `lapstrake build` carries it out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lapstrake_catalog::{EntryId, ImageKind};
use lapstrake_oci::tree::TreePath;
use oci_spec::image::Digest;
use serde::Serialize;

use crate::image_config::RunConfig;
use crate::report::printable;
use crate::steps::{Phase, PlannedStep};

/// Where the source is inside the image.
pub const APP_ROOT: &str = "/app";

/// Every decision of a build.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The source, as far as it decides anything.
    pub source: SourceFacts,
    /// The app file that was read.
    pub app_file: String,
    /// The runtime.
    pub runtime: RuntimeChoice,
    /// The platforms of the image, as `os/architecture`.
    pub platforms: Vec<String>,
    /// The commands, in the order in which they run.
    pub steps: Vec<PlannedStep>,
    /// Variables of the build commands, from the app file.
    pub build_env: Vec<(String, String)>,
    /// What the image starts.
    pub run: RunConfig,
    /// Why the start command has its form.
    pub start: String,
    /// References to secrets, for the platform that deploys: names and where the values are.
    pub secrets: BTreeMap<String, String>,
    /// Where each value came from, for values that could have come from several places.
    pub origins: BTreeMap<String, String>,
    /// Where the image goes.
    pub destinations: Vec<String>,
}

/// The source, as far as it decides anything.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceFacts {
    /// What was given.
    pub given: String,
    /// What it is: a directory, or a kind of archive.
    pub kind: String,
    /// The digest of the archive, or of the content of the directory.
    pub digest: Digest,
    /// The directory of the app inside the source, without a leading slash; empty for the root.
    pub directory: String,
    /// How many paths there are.
    pub paths: usize,
    /// The time of the newest file, in seconds since 1970.
    pub newest: i64,
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
    /// The image whose layers are the lowest of the app image.
    pub run_image: ImageKind,
    /// The image that commands run in.
    pub build_image: ImageKind,
    /// Permissions that were used to take the entry.
    pub overrides: Vec<String>,
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
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<13}{}", printable(value));
        };
        let source = &self.source;
        line(
            "source",
            &format!("{} ({}, {} paths, {})", source.given, source.kind, source.paths, source.digest),
        );
        if !source.directory.is_empty() {
            line("directory", &source.directory);
        }
        line("app file", &self.app_file);
        line(
            "runtime",
            &format!("{} for `{}`: {}", self.runtime.entry, self.runtime.request, self.runtime.reason),
        );
        line("catalog", &format!("{}, revision {}", self.runtime.catalog, self.runtime.revision));
        for used in &self.runtime.overrides {
            line("override", used);
        }
        line("platforms", &self.platforms.join(", "));
        for phase in [Phase::PreBuild, Phase::Build, Phase::PostBuild, Phase::PreRun] {
            for step in self.steps.iter().filter(|step| step.phase == phase) {
                line(phase.prefix(), &step.command);
            }
        }
        for (name, value) in &self.build_env {
            line("build env", &format!("{name}={value}"));
        }
        line("start", &format!("{:?}: {}", self.run.cmd, self.start));
        line("directory", &self.run.working_dir);
        line("user", &self.run.user);
        line("port", &self.run.port.to_string());
        for (name, value) in &self.run.env {
            line("run env", &format!("{name}={value}"));
        }
        for (name, reference) in &self.secrets {
            line("secret", &format!("{name} from {reference}, by the platform that deploys"));
        }
        for (name, origin) in &self.origins {
            line("origin", &format!("{name}: {origin}"));
        }
        let layers =
            format!("{} of {}, then dependencies and app", self.runtime.run_image, self.runtime.entry);
        line("layers", &layers);
        for destination in &self.destinations {
            line("destination", destination);
        }
        text
    }
}
