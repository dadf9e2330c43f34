//! `lapstrake plan`: what `build` would do. It fetches no package, and writes nothing but the catalog that it has read,
//! so that nobody shows it an older one later and it need not be fetched again.

use lapstrake_catalog::{Catalog, ImageKind};
use lapstrake_oci::tree::FileTree;
use oci_spec::image::Digest;

use super::looked;
use crate::app_registries::AppRegistries;
use crate::build::below_app;
use crate::bytecode::Compiler;
use crate::cache::{Cache, Paths};
use crate::changes;
use crate::cli::{Format, PlanArgs};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::inputs::Inputs;
use crate::layering::{AppTrees, app_trees};
use crate::lockfile::{self, enforced};
use crate::plan::{Plan, PlannedLayer};
use crate::platform::host_platform;
use crate::registry;
use crate::report::print_result;
use crate::reuse::Reuse;
use crate::secrets::Secrets;
use crate::sequence::{Judged, Sequence, Surroundings, Verdict};
use crate::steps::PlannedStep;
use crate::tool_env::{Hashes, Indexes, build_env};
use crate::trust::Strictness;

/// Runs the command.
pub fn run(args: &PlanArgs, context: &Context) -> Result<(), Failure> {
    let secrets = Secrets::read(&args.secrets.secrets, context)?;
    let scratch =
        tempfile::tempdir().map_err(|cause| Failure::io("could not make a temporary directory", cause))?;
    let known = Some(Cache::to_look_at(&context.data_dir));
    let inputs = Inputs::read(&args.source, known, scratch.path(), context)?;
    let trusted = looked(&args.source.catalog, &args.registry, Strictness::Refuse, context)?;
    let mut plan = inputs.plan(&args.source, &trusted, &[], context)?;
    plan.build_secrets = secrets.uses();
    lockfile::check(&inputs, &plan.steps, &args.network, context)?;
    if args.why {
        let why = Why { args, secrets: &secrets, catalog: &trusted.catalog, context };
        let judged = why.judge(&plan, inputs)?;
        plan.why = Some(judged.verdicts);
        plan.layers = judged.layers;
    } else if !plan.has_commands() {
        plan.layers = Some(layers(&plan, below_app(inputs.source.tree)?));
    }
    let mask = context.report.mask();
    print_result(&match args.format {
        Format::Text => mask.apply(&plan.to_text()).into_owned(),
        Format::Json => {
            let json = serde_json::to_value(&plan).and_then(|mut json| {
                mask.apply_to(&mut json);
                serde_json::to_string_pretty(&json)
            });
            let json =
                json.map_err(|cause| Failure::because(Exit::Ours, "could not print the plan", cause))?;
            format!("{json}\n")
        }
    })
}

/// What a build would make anew.
struct Why<'a> {
    args: &'a PlanArgs,
    secrets: &'a Secrets,
    catalog: &'a Catalog,
    context: &'a Context,
}

/// What would become of the commands, and of what they make.
struct Answer {
    verdicts: Vec<Verdict>,
    layers: Option<Vec<PlannedLayer>>,
}

impl Why<'_> {
    fn judge(&self, plan: &Plan, inputs: Inputs) -> Result<Answer, Failure> {
        if !plan.has_commands() {
            let layers = layers(plan, below_app(inputs.source.tree)?);
            return Ok(Answer { verdicts: Vec::new(), layers: Some(layers) });
        }
        let client = registry::client(&self.args.registry, self.context)?;
        let reuse = Reuse::look(&self.args.cache, &client, self.context)?;
        let registries = AppRegistries::of(&inputs.source.tree, inputs.directory.as_ref());
        let hashes = enforced(&self.args.network, &inputs.source.tree, inputs.directory.as_ref());
        let Some(surroundings) = self.surroundings(plan, registries, hashes)? else {
            let reason = format!("the runtime {} is yet to be made on this machine", plan.runtime.entry);
            return Ok(Answer { verdicts: verdicts_of_all(plan, &reason), layers: None });
        };
        let compiler = Compiler::of(&plan.runtime.entry, self.catalog);
        let sequence =
            Sequence::new(plan, &surroundings, self.secrets, compiler.as_ref(), &reuse, self.context)?;
        let Judged { verdicts, state } = sequence.judge(inputs.source.tree)?;
        let Some(state) = state else { return Ok(Answer { verdicts, layers: None }) };
        let owner = plan.run.user();
        let paths = |layers: &[Digest]| reuse.value::<Paths>(&Paths::key(layers))?.listing();
        let outside = state.outside_of_image();
        let kept = if outside.is_empty() {
            Some(FileTree::new())
        } else {
            let (build, run) = (paths(&surroundings.build_layers), paths(&surroundings.run_layers));
            build.zip(run).map(|(build, run)| changes::kept(outside, &build, &run))
        };
        let mut app = state.app_of_image(owner)?;
        let layers = kept.map(|mut outside| {
            if let Some(compiler) = &compiler {
                compiler.add(&state, &mut app, &mut outside);
            }
            planned(&app_trees(app, outside, owner))
        });
        Ok(Answer { verdicts, layers })
    }

    /// What the commands would run in; none where an image for them is yet to be made.
    fn surroundings(
        &self,
        plan: &Plan,
        app: AppRegistries,
        hashes: Hashes,
    ) -> Result<Option<Surroundings>, Failure> {
        let host = host_platform()?;
        let Some(entry) = self.catalog.entry(&plan.runtime.entry) else { return Ok(None) };
        let Some(record) = entry.platforms.get(&host) else { return Ok(None) };
        let layers = |kind: ImageKind| -> Option<Vec<Digest>> {
            let image = record.images.get(&kind).filter(|image| !image.layers.is_empty())?;
            Some(image.layers.iter().map(|layer| layer.diff_id.clone()).collect())
        };
        let (Some(build_layers), Some(run_layers)) =
            (layers(plan.runtime.build_image), layers(plan.runtime.run_image))
        else {
            return Ok(None);
        };
        let env = record.config.as_ref().map(|config| config.env.clone()).unwrap_or_default();
        let npm = entry.tools.get("npm").map(String::as_str);
        let indexes = Indexes { app, npm, hashes, ..Indexes::default() };
        let env = build_env(&indexes, &env, &plan.build_env);
        Ok(Some(Surroundings {
            build_layers,
            run_layers,
            env,
            network: self.args.network.clone(),
            isolation: self.context.isolation,
            records_fetches: false,
        }))
    }
}

fn verdicts_of_all(plan: &Plan, reason: &str) -> Vec<Verdict> {
    let verdict = |step: &PlannedStep| Verdict {
        phase: step.phase,
        commands: vec![step.command.clone()],
        runs: true,
        reason: reason.to_owned(),
        milliseconds: None,
    };
    plan.steps.iter().map(verdict).collect()
}

/// The layers of an app without commands.
fn layers(plan: &Plan, app: FileTree) -> Vec<PlannedLayer> {
    planned(&app_trees(app, FileTree::new(), plan.run.user()))
}

fn planned(trees: &AppTrees) -> Vec<PlannedLayer> {
    trees.0.iter().filter(|layer| !layer.tree.is_empty()).map(PlannedLayer::from).collect()
}
