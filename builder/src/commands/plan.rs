//! `lapstrake plan`: what `build` would do. It fetches no package and writes nothing.

use super::looked;
use crate::cli::{Format, PlanArgs};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::inputs::Inputs;
use crate::report::print_result;
use crate::secrets::Secrets;
use crate::trust::Strictness;

/// Runs the command.
pub fn run(args: &PlanArgs, context: &Context) -> Result<(), Failure> {
    let secrets = Secrets::read(&args.secrets.secrets, context)?;
    let scratch =
        tempfile::tempdir().map_err(|cause| Failure::io("could not make a temporary directory", cause))?;
    let inputs = Inputs::read(&args.source, scratch.path(), context)?;
    let trusted = looked(&args.source.catalog, &args.registry, Strictness::Refuse, context)?;
    let mut plan = inputs.plan(&args.source, &trusted, &[], context)?;
    plan.build_secrets = secrets.uses();
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
