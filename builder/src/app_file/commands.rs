//! Lists of commands, and what in them will not work as it looks.

use super::diagnostic::{Report, Span};
use super::node::{Node, Value};
use super::rule::Rule;
use super::{Command, Located};
use crate::command_line::{CommandLine, Form, StartText};

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
    if let Some(found) = second_runtime(text) {
        let message = format!("`{found}` brings a second runtime beside the one of the image");
        report
            .warning(Rule::SecondRuntime, at, message)
            .hint("`runtime` and `run.runtime-version` choose the version, which is in the layers then");
    }
    if let Some(tool) = package_manager(text) {
        let message = format!("`{tool}` is not there: the runtime's layers have no system package manager");
        report
            .warning(Rule::PackageManager, at, message)
            .hint("compilers, git and common headers come with the toolchain layer");
    }
}

/// Finds the archive or the tool of another runtime than the one of the image.
fn second_runtime(text: &str) -> Option<&str> {
    let is_separator = |c: char| c.is_whitespace() || "&|;()'\"<>=`".contains(c);
    let words: Vec<&str> = text.split(is_separator).filter(|word| !word.is_empty()).collect();
    let tool = words.windows(2).find(|pair| {
        matches!(pair[0], "nvm" | "pyenv" | "fnm" | "volta" | "asdf") && matches!(pair[1], "install" | "use")
    });
    tool.map(|pair| pair[0]).or_else(|| words.into_iter().find_map(runtime_archive))
}

/// The last part of an address or path, if it is an archive of Node.js or Python, or a script that sets one up.
fn runtime_archive(word: &str) -> Option<&str> {
    let name = word.rsplit('/').next()?;
    let begins = |prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == '$'))
    };
    let is_archive = [".tar.gz", ".tar.xz", ".tgz", ".txz", ".tar.bz2", ".tar.zst", ".zip"]
        .iter()
        .any(|suffix| name.ends_with(suffix));
    let is_runtime = begins("node-v") || begins("Python-") || begins("cpython-");
    // Node.js is set up by scripts that are called by the line that they install.
    let is_setup = begins("setup_") && name.rsplit('.').next() == Some("x");
    ((is_runtime && is_archive) || is_setup).then_some(name)
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

/// Reads the start command: one text, or a list.
pub(super) fn start(node: &Node, form: Form, report: &mut Report) -> Option<Located<StartText>> {
    let (start, at) = match &node.value {
        Value::List(items) => list_of_words(items, node.at, report)?,
        Value::Empty => (StartText::Line(String::new()), node.at),
        _ => {
            let text = node.text("run.command", report)?;
            (StartText::Line(text.value.trim_end_matches(['\n', '\r']).to_owned()), text.at)
        }
    };
    match CommandLine::of(&start, form) {
        Ok(parsed) => {
            for warning in parsed.warnings {
                report.warning(Rule::StartShell, at, warning.to_string());
            }
            Some(Located { value: start, at })
        }
        Err(error) => {
            let problem = report.error(Rule::StartCommand, at, error.to_string());
            if let Some(hint) = error.hint() {
                problem.hint(hint);
            }
            None
        }
    }
}

/// A list is a program and its arguments, unless its first item shows that each item is a command.
fn list_of_words(items: &[Node], at: Span, report: &mut Report) -> Option<(StartText, Span)> {
    if let [item] = items {
        let hint = "write it as one text";
        report.warning(Rule::StartList, at, "`command` is a list; its one item is taken").hint(hint);
        let text = item.text("run.command", report)?;
        return Some((StartText::Line(text.value), text.at));
    }
    let words: Vec<_> = items.iter().map(|item| item.text("run.command", report)).collect();
    let words: Vec<String> = words.into_iter().map(|word| Some(word?.value)).collect::<Option<_>>()?;
    if words.first().is_some_and(|first| first.trim().contains(char::is_whitespace)) {
        let message = format!("`command` must be one command, not a list of {}", words.len());
        let hint = "join the commands with `&&` in one text, or give a program and its arguments as items";
        report.error(Rule::StartList, at, message).hint(hint);
        return None;
    }
    if !words.is_empty() {
        let message = "`command` is a list: its items are a program and its arguments, as given";
        let hint = "the managed service takes one text only";
        report.warning(Rule::StartList, at, message).hint(hint);
    }
    Some((StartText::Words(words), at))
}
