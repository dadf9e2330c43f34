//! What a statement says, and how it is written.

use std::collections::{BTreeMap, BTreeSet};

use lapstrake_sandbox::Isolation;
use serde::Serialize;

use super::materials::{self, Resource};
use super::{BUILD_TYPE, PREDICATE_TYPE, STATEMENT_TYPE, sha256_of};
use crate::cli::{BuildArgs, FlowArgs, NetworkMode, Shell, Symlinks};
use crate::deliver::Product;
use crate::failure::{Exit, Failure};
use crate::metadata::Metadata;
use crate::output::Output;
use crate::plan::Plan;
use crate::secrets::{Mask, SecretUse};
use crate::steps::PlannedStep;

/// A build that has come to its end.
pub struct Made<'a> {
    /// What was to be done.
    pub plan: &'a Plan,
    /// What the command was asked.
    pub args: &'a BuildArgs,
    /// What has been done.
    pub metadata: &'a Metadata,
    /// Where the image goes.
    pub outputs: &'a [Output],
}

/// How an image was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Resource>,
    predicate_type: &'static str,
    predicate: Predicate,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: &'static str,
    external_parameters: ExternalParameters,
    internal_parameters: InternalParameters,
    resolved_dependencies: Vec<Resource>,
}

/// What whoever asked for the build has decided, the source included.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalParameters {
    source: Source,
    /// The app file, by its name in the source; none where the app's own files or the options told everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_file: Option<String>,
    runtime: String,
    platforms: Vec<String>,
    flow: FlowArgs,
    compression: String,
    commands: Vec<PlannedStep>,
    /// The names of the variables of the commands.
    build_env: BTreeSet<String>,
    /// The secrets that commands were given, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<SecretUse>,
    network: Network,
    isolation: String,
    /// The values that options and variables of the command gave, by name, and which of them.
    overrides: BTreeMap<String, String>,
    /// What was permitted although it is refused otherwise.
    permissions: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    /// Where it was taken from; none for what was on the machine of the build.
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    digest: BTreeMap<String, String>,
    /// The directory of the app inside it; empty for its root.
    directory: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Network {
    mode: &'static str,
    allow_hosts: Vec<String>,
    /// Whether packages that no strong hash holds were refused.
    require_hashes: bool,
}

/// What the builder has decided.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InternalParameters {
    /// Whether all that commands have fetched is among the resolved dependencies. Otherwise commands may have gone past the
    /// proxy, and what it has not seen is not there.
    fetches_recorded: bool,
    /// Whether the catalog's signature was asked for and verified.
    catalog_signed: bool,
    /// Whether later revisions of the catalog were asked for what they have revoked.
    catalog_checked: bool,
}

#[derive(Debug, Serialize)]
struct RunDetails {
    builder: Builder,
}

#[derive(Debug, Serialize)]
struct Builder {
    id: String,
    version: BTreeMap<&'static str, &'static str>,
}

impl Statement {
    /// The statement about a build.
    pub fn of(made: &Made<'_>, product: &Product, builder: &str) -> Result<Self, Failure> {
        let Made { plan, args, metadata, .. } = *made;
        let isolation = metadata.isolation.unwrap_or("none-needed").to_owned();
        let read = |cause| Failure::io("could not read the source", cause);
        let source = Source {
            uri: plan.source.uri.clone(),
            digest: materials::source_digest(&plan.source).map_err(read)?,
            directory: plan.source.directory.clone(),
        };
        let external_parameters = ExternalParameters {
            source,
            app_file: plan.app_file.as_deref().map(file_name),
            runtime: plan.runtime.request.clone(),
            platforms: plan.platforms.clone(),
            flow: plan.flow,
            compression: args.compression.to_string(),
            commands: plan.steps.iter().map(without_paths).collect(),
            build_env: plan.build_env.iter().map(|(name, _)| name.clone()).collect(),
            secrets: plan.build_secrets.clone(),
            network: Network {
                mode: args.network.network.name(),
                allow_hosts: args.network.allow_hosts.iter().map(|host| host.0.to_string()).collect(),
                require_hashes: args.network.require_hashes,
            },
            isolation: isolation.clone(),
            overrides: overrides(plan, args),
            permissions: plan.runtime.overrides.clone(),
        };
        let catalog = metadata.catalog.as_ref();
        let internal_parameters = InternalParameters {
            fetches_recorded: !plan.has_commands()
                || args.network.network != NetworkMode::Open && isolation != Isolation::Host.name(),
            catalog_signed: catalog.is_some_and(|catalog| catalog.is_signed),
            catalog_checked: catalog.is_some_and(|catalog| catalog.is_checked),
        };
        let resolved_dependencies = materials::of(plan, metadata).map_err(read)?;
        Ok(Self {
            kind: STATEMENT_TYPE,
            subject: subjects(product, made.outputs),
            predicate_type: PREDICATE_TYPE,
            predicate: Predicate {
                build_definition: BuildDefinition {
                    build_type: BUILD_TYPE,
                    external_parameters,
                    internal_parameters,
                    resolved_dependencies,
                },
                run_details: RunDetails {
                    builder: Builder {
                        id: format!("{builder}/{isolation}"),
                        version: BTreeMap::from([("lapstrake", env!("CARGO_PKG_VERSION"))]),
                    },
                },
            },
        })
    }

    /// Who has built it.
    #[must_use]
    pub fn builder(&self) -> String {
        self.predicate.run_details.builder.id.clone()
    }

    /// Its bytes, with sorted keys and without what is hidden.
    pub fn to_bytes(&self, mask: &Mask) -> Result<Vec<u8>, Failure> {
        let mut value = serde_json::to_value(self)
            .map_err(|cause| Failure::because(Exit::Ours, "could not write the provenance", cause))?;
        mask.apply_to(&mut value);
        value.sort_all_objects();
        Ok(value.to_string().into_bytes())
    }
}

/// The images: the topmost document and, where that is an index, what it lists, under the name of each repository.
fn subjects(product: &Product, outputs: &[Output]) -> Vec<Resource> {
    let names: BTreeSet<String> = outputs
        .iter()
        .filter_map(Output::reference)
        .map(|reference| format!("{}/{}", reference.registry(), reference.repository()))
        .collect();
    // What an artifact is called that has no name worth telling (in-toto, "Statement v1").
    let names = if names.is_empty() { BTreeSet::from(["_".to_owned()]) } else { names };
    let documents = product.documents();
    let of = |name: &String| {
        documents.iter().map(|document| Resource::named(name).sha256(sha256_of(document))).collect::<Vec<_>>()
    };
    names.iter().flat_map(of).collect()
}

/// What options and variables gave instead of the source: names, and where each came from.
fn overrides(plan: &Plan, args: &BuildArgs) -> BTreeMap<String, String> {
    let mut overrides = plan.given.clone();
    let switches = [
        ("symlinks", "--symlinks=keep-dangling", args.source.symlinks == Symlinks::KeepDangling),
        ("shell", "--shell", args.source.settings.shell != Shell::default()),
        ("commit-env", "--commit-env", args.source.commit.commit_env),
    ];
    let given = switches.into_iter().filter(|(_, _, is_on)| *is_on);
    overrides.extend(given.map(|(name, by, _)| (name.to_owned(), by.to_owned())));
    overrides
}

/// A command, whose origin tells no path of this machine.
fn without_paths(step: &PlannedStep) -> PlannedStep {
    let mut step = step.clone();
    if let crate::origin::Origin::File { name, .. } = &mut step.origin {
        *name = file_name(name);
    }
    step
}

/// The name of an app file: what is given by `--config` may lie anywhere on this machine.
fn file_name(name: &str) -> String {
    if name.starts_with('/') || name.split('/').any(|part| part == "..") {
        return name.rsplit('/').next().unwrap_or_default().to_owned();
    }
    name.to_owned()
}
