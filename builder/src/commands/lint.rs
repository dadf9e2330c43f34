//! `lapstrake lint`: what is wrong with an app, told without building it. It writes nothing, and fetches nothing
//! but a source that is elsewhere.

use super::looked;
use crate::cli::{LintArgs, LintFormat, NetworkArgs};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::lint::{Subject, Warnings, lint};
use crate::lockfile::{self, Hosts};
use crate::network::registry_hosts;
use crate::planning::{permissions, today};
use crate::platform::host_platform;
use crate::report::print_result;
use crate::runtime_choice::Terms;
use crate::trust::Strictness;

/// Runs the command.
pub fn run(args: &LintArgs, context: &Context) -> Result<(), Failure> {
    let subject = Subject::open(args, context)?;
    let catalog = looked(&args.catalog, &args.registry, Strictness::Refuse, context)?.catalog;
    let platforms = [host_platform()?];
    let permissions = permissions(&args.permissions)?;
    let terms =
        Terms { catalog: &catalog, platforms: &platforms, permissions: &permissions, as_of: today(context) };
    let findings = lint(&subject, &terms)?;
    let known = Hosts::new(registry_hosts(&NetworkArgs::default(), context)?);
    let findings = lockfile::lint(&subject, &known, findings);
    print_result(&match args.format {
        LintFormat::Text => findings.to_text(),
        LintFormat::Json => pretty(&findings.to_json())?,
        LintFormat::Sarif => pretty(&findings.to_sarif())?,
    })?;
    findings.outcome(if args.deny_warnings { Warnings::Denied } else { Warnings::Allowed })
}

fn pretty(value: &serde_json::Value) -> Result<String, Failure> {
    let json = serde_json::to_string_pretty(value)
        .map_err(|cause| Failure::because(Exit::Ours, "could not print the problems", cause))?;
    Ok(format!("{json}\n"))
}
