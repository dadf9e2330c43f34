//! Lists of commands, and what in them will not work as it looks.

use super::diagnostic::{Report, Span};
use super::node::{Node, Value};
use super::rule::Rule;
use super::{Command, Located};
use crate::command_line::CommandLine;

/// Reads a list of commands.
pub(super) fn list(node: Option<&Node>, key: &str, report: &mut Report) -> Vec<Command> {
    let Some(node) = node else { return Vec::new() };
    let Value::List(items) = &node.value else {
        let message = format!("`{key}` must be a list of commands, not {}", node.kind());
        report.error(Rule::WrongType, node.at, message).hint("write each command as an item: `- COMMAND`");
        return Vec::new();
    };
    items.iter().filter_map(|item| command(item, key, report)).collect()
}

fn command(item: &Node, key: &str, report: &mut Report) -> Option<Command> {
    match &item.value {
        Value::Text(text) if text.trim().is_empty() => {
            report.warning(Rule::EmptyItem, item.at, format!("an empty item of `{key}` is skipped"));
            None
        }
        Value::Text(text) => {
            warn(text, item.at, report);
            Some(Command { text: text.clone(), line: item.at.start.line })
        }
        Value::Empty => {
            report.warning(Rule::EmptyItem, item.at, format!("an empty item of `{key}` is skipped"));
            None
        }
        Value::List(_) | Value::Map(_) => {
            let message = format!("a command must be text, but YAML reads {} here", item.kind());
            let hint = "put the whole command in quotes; a `: `, `[` or `{` is YAML's otherwise";
            report.error(Rule::CommandForm, item.at, message).hint(hint);
            None
        }
    }
}

fn warn(text: &str, at: Span, report: &mut Report) {
    let text = text.trim();
    let is_alone = !text.contains(['&', '|', ';', '\n']);
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default();
    if is_alone && matches!(first, "cd" | "export" | "." | "source") {
        let message = format!("`{first}` has no effect on the next item: each item has a shell of its own");
        report
            .warning(Rule::LostEffect, at, message)
            .hint("join it with the command that needs it: `cd DIR && COMMAND`");
    }
    if let Some(tool) = package_manager(text) {
        let message = format!("`{tool}` is not there: the runtime's layers have no system package manager");
        report
            .warning(Rule::PackageManager, at, message)
            .hint("compilers, git and common headers come with the toolchain layer");
    }
}

/// Finds a system package manager where a command begins.
fn package_manager(text: &str) -> Option<&'static str> {
    const TOOLS: [&str; 7] = ["yum", "dnf", "microdnf", "apt-get", "apt", "apk", "amazon-linux-extras"];
    let commands = text.split(['&', '|', ';', '\n']);
    commands.into_iter().find_map(|command| {
        let first = command.split_whitespace().find(|word| *word != "sudo")?;
        TOOLS.into_iter().find(|tool| first.rsplit('/').next() == Some(tool))
    })
}

/// Reads the start command: one text, or a list with one.
pub(super) fn start(node: &Node, report: &mut Report) -> Option<Located<String>> {
    let text = match &node.value {
        Value::List(items) => one_of(items, node.at, report)?,
        _ => node.text("command", report)?,
    };
    let line = text.value.trim_end_matches(['\n', '\r']).to_owned();
    match CommandLine::parse(&line) {
        Ok(parsed) => {
            for warning in parsed.warnings {
                report.warning(Rule::StartShell, text.at, warning.to_string());
            }
            Some(Located { value: line, at: text.at })
        }
        Err(error) => {
            report.error(Rule::StartCommand, text.at, error.to_string());
            None
        }
    }
}

fn one_of(items: &[Node], at: Span, report: &mut Report) -> Option<Located<String>> {
    if let [item] = items {
        report
            .warning(Rule::StartList, at, "`command` is a list; its one item is taken")
            .hint("write it as one text");
        return item.text("command", report);
    }
    let message = format!("`command` must be one text, not a list of {} items", items.len());
    let hint = "write the command as one line, or join commands with `&&`";
    report.error(Rule::StartList, at, message).hint(hint);
    None
}
