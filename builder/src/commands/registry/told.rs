//! What was found of a registry, for people and for machines.

use std::fmt::Write as _;

use lapstrake_oci::reference::Reference;
use lapstrake_oci::registry::{Finding, Probe};
use serde_json::json;

use crate::failure::{Exit, Failure};
use crate::report::printable;

/// One line a capability, what was left behind, and what it comes to.
pub(super) fn text(reference: &Reference, probe: &Probe) -> String {
    let width = probe.findings.iter().map(|it| it.capability.name().len()).max().unwrap_or_default();
    let mut text = format!("registry {}, repository {}\n", reference.registry(), reference.repository());
    for Finding { capability, found, detail } in &probe.findings {
        let answer = match found {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        };
        let _ = writeln!(text, "{answer:3}  {:width$}  {}", capability.name(), printable(detail));
    }
    for left in &probe.left {
        let _ = writeln!(text, "left behind: {}", printable(left));
    }
    text.push_str(if probe.refusal.is_none() {
        "an image can be pushed\n"
    } else {
        "an image cannot be pushed\n"
    });
    text
}

/// The same as one document.
pub(super) fn json(reference: &Reference, probe: &Probe) -> Result<String, Failure> {
    let finding = |finding: &Finding| json!({ "capability": finding.capability.name(), "found": finding.found, "detail": finding.detail });
    let document = json!({
        "registry": reference.registry(),
        "repository": reference.repository(),
        "pushable": probe.refusal.is_none(),
        "findings": probe.findings.iter().map(finding).collect::<Vec<_>>(),
        "left": probe.left,
    });
    let text = serde_json::to_string_pretty(&document)
        .map_err(|cause| Failure::because(Exit::Ours, "could not print what was found", cause))?;
    Ok(text + "\n")
}
