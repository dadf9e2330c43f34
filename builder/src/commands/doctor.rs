//! `lapstrake doctor`: what works on this machine, and why the rest does not.

use std::fmt::Write as _;

use lapstrake_sandbox::Isolation;
use serde::Serialize;

use crate::cli::{DoctorArgs, Format};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::{print_result, printable};
use crate::scratch::Scratch;
use crate::trace;

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Findings {
    /// The mode that was asked for, or the default.
    chosen: &'static str,
    /// Each mode.
    modes: Vec<Mode>,
    /// Why access times do not tell what commands have read; none when they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    untraceable: Option<String>,
}

/// What was found of one isolation mode.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mode {
    name: &'static str,
    /// Whether commands can run in it here.
    works: bool,
    features: Vec<Found>,
}

/// One thing that a mode needs, or could use.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    name: String,
    /// Whether the mode does without it.
    optional: bool,
    works: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Runs the command. It fails when commands cannot run in the mode that was asked for.
pub fn run(args: &DoctorArgs, context: &Context) -> Result<(), Failure> {
    let scratch = Scratch::new(&context.scratch_dir())?;
    let findings = Findings {
        chosen: context.isolation.name(),
        modes: Isolation::ALL
            .into_iter()
            .map(|mode| examine(mode, &scratch, context.build_uid))
            .collect::<Result<_, _>>()?,
        untraceable: trace::probe_for(context.isolation, scratch.path()).err().map(|cause| cause.to_string()),
    };
    print_result(&match args.format {
        Format::Text => findings.text(),
        Format::Json => {
            let json = serde_json::to_string_pretty(&findings);
            json.map_err(|cause| Failure::because(Exit::Ours, "could not print what was found", cause))?
                + "\n"
        }
    })?;
    let works = |mode: &&Mode| mode.works;
    if findings.modes.iter().filter(works).any(|mode| mode.name == findings.chosen) {
        return Ok(());
    }
    let failure = Failure::new(
        Exit::NoIsolation,
        format!("build commands cannot run here in isolation mode `{}`", findings.chosen),
    );
    Err(match findings.modes.iter().find(works) {
        Some(other) if other.name == Isolation::Host.name() => failure.hint(
            "`--isolation host --trust-source` works here and keeps commands from nothing: only for source that you trust",
        ),
        Some(other) => {
            failure.hint(format!("`--isolation {}` works here and promises less: see the manual", other.name))
        }
        None => failure,
    })
}

fn examine(isolation: Isolation, scratch: &Scratch, build_uid: u32) -> Result<Mode, Failure> {
    let found = lapstrake_sandbox::probe(isolation, &scratch.directory(isolation.name())?, build_uid);
    let features: Vec<Found> = found
        .into_iter()
        .map(|(feature, result)| Found {
            name: feature.to_string(),
            optional: feature.may_be_missing(isolation),
            works: result.is_ok(),
            reason: result.err(),
        })
        .collect();
    let works = features.iter().all(|feature| feature.works || feature.optional);
    Ok(Mode { name: isolation.name(), works, features })
}

impl Findings {
    fn text(&self) -> String {
        let mut text = String::new();
        for mode in &self.modes {
            let chosen = if mode.name == self.chosen { " (chosen)" } else { "" };
            let works = if mode.works { "works" } else { "does not work here" };
            let _ = writeln!(text, "isolation {}{chosen}: {works}", mode.name);
            // One thing that is missing keeps others from being tried, which says nothing about them.
            let mut told: Option<&str> = None;
            for feature in &mode.features {
                let Some(reason) = feature.reason.as_deref() else { continue };
                if told == Some(reason) {
                    continue;
                }
                told = Some(reason);
                let weight = if feature.optional { "without" } else { "missing" };
                let _ = writeln!(text, "  {weight} {}: {}", feature.name, printable(reason));
            }
        }
        match &self.untraceable {
            None => text.push_str("what commands read: known by access times\n"),
            Some(reason) => {
                let _ = writeln!(
                    text,
                    "what commands read: not known, so a change of any file runs them again: {}",
                    printable(reason)
                );
            }
        }
        text
    }
}
