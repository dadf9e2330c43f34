//! From the tree to the app file.

use lapstrake_catalog::VersionRequest;

use super::diagnostic::{Diagnostic, Report, Severity};
use super::lines::Lines;
use super::node::{Node, Section, Value};
use super::rule::Rule;
use super::variables::{self, can_hold_port};
use super::{AppFile, Build, Located, Network, Run, commands, keys, yaml};
use crate::command_line::Form;

/// The required keys whose values come from elsewhere, so that a file may do without them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Supplied {
    /// `runtime`.
    pub runtime: bool,
    /// `build.commands.build`.
    pub build: bool,
    /// `run.command`.
    pub command: bool,
    /// The port, instead of the one in the file.
    pub port: Option<u16>,
    /// The form that the start command takes.
    pub form: Form,
}

/// Reads an app file and reports all of its problems. There is no app file if one of them is an error.
#[must_use]
pub fn parse(file_name: &str, text: &str) -> (Option<AppFile>, Vec<Diagnostic>) {
    parse_with(file_name, text, Supplied::default())
}

/// Does the same for a file that may do without some of the required keys.
#[must_use]
pub fn parse_with(file_name: &str, text: &str, supplied: Supplied) -> (Option<AppFile>, Vec<Diagnostic>) {
    let (_, app_file, diagnostics) = parse_whole(file_name, text, supplied);
    (app_file, diagnostics)
}

/// What a file asks the catalog for, as far as it can be read, whatever else is wrong with the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The name of a runtime or of a line of it, in lower case.
    pub runtime: Option<Located<String>>,
    /// The version lock.
    pub version: Option<Located<VersionRequest>>,
    /// Whether there is a version lock that cannot be read.
    pub is_version_unread: bool,
}

/// Reports all problems of a file, and what it asks the catalog for.
#[must_use]
pub fn parse_asked(file_name: &str, text: &str) -> (Asked, Vec<Diagnostic>) {
    let (asked, _, diagnostics) = parse_whole(file_name, text, Supplied::default());
    (asked, diagnostics)
}

fn parse_whole(file_name: &str, text: &str, supplied: Supplied) -> (Asked, Option<AppFile>, Vec<Diagnostic>) {
    let mut report = Report::new(file_name);
    let mut asked = Asked::default();
    let app_file =
        yaml::load(text, &mut report).and_then(|node| read(&node, supplied, &mut asked, &mut report));
    asked.is_version_unread = report.diagnostics.iter().any(|found| found.rule == Rule::RuntimeVersion);
    let app_file = app_file.filter(|_| !report.has_errors());
    let mut diagnostics = report.diagnostics;
    if text.len() <= yaml::MAX_BYTES {
        let lines = Lines::of(text);
        for diagnostic in &mut diagnostics {
            diagnostic.at = lines.clamp(diagnostic.at);
        }
    }
    diagnostics.sort_by_key(|diagnostic| diagnostic.at.start);
    shorten(&mut diagnostics);
    (asked, app_file, diagnostics)
}

/// How many problems of one file are told.
const MAX_PROBLEMS: usize = 200;

/// Leaves out what no person would read; a small file can have very many problems.
fn shorten(diagnostics: &mut Vec<Diagnostic>) {
    let more = diagnostics.len().saturating_sub(MAX_PROBLEMS);
    diagnostics.truncate(MAX_PROBLEMS);
    if let Some(last) = diagnostics.last().filter(|_| more > 0) {
        let message = format!("{more} more problems are not shown");
        let note = Diagnostic {
            severity: Severity::Note,
            ..Diagnostic::error(Rule::Limit, &last.file, last.at, message)
        };
        diagnostics.push(note);
    }
}

fn read(node: &Node, supplied: Supplied, asked: &mut Asked, report: &mut Report) -> Option<AppFile> {
    let Value::Map(entries) = &node.value else {
        report.error(Rule::WrongType, node.at, format!("the file must be a map, not {}", node.kind()));
        return None;
    };
    let has = |name: &str| entries.iter().any(|(key, _)| key.value == name);
    if has("services") && !has("runtime") {
        report
            .error(Rule::ComposeFile, node.at, "this looks like a compose file")
            .hint("an app file has `version`, `runtime`, `build` and `run`");
        return None;
    }
    let top = node.section(&keys::TOP, report)?;
    let version = version(&top, report);
    let runtime = runtime(&top, supplied, report);
    let build = build(&top, supplied, report);
    let run = run(&top, supplied, report);
    asked.runtime.clone_from(&runtime);
    asked.version = run.as_ref().and_then(|run| run.runtime_version.clone());
    let build_env = build.as_ref().map_or(0, |build| build.env.len());
    let run_env = run.as_ref().map_or(0, |run| run.env.len() + run.secrets.len());
    variables::check_number(build_env + run_env, top.at, report);
    report.report_absent();
    Some(AppFile { version: version?, runtime, build: build?, run: run? })
}

fn version(top: &Section<'_>, report: &mut Report) -> Option<Located<String>> {
    if top.entry("version").is_none() {
        report.absent("version", top.at, "add `version: 1.0`");
    }
    let version = top.filled("version", "write `version: 1.0`", report)?;
    let minor = version.value.strip_prefix("1.");
    let is_one = minor.is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit()));
    if version.value == "1" || (is_one && version.value != "1.0") {
        let message = format!("version `{}` is read as `1.0`, the only one there is", version.value);
        report.warning(Rule::FormatVersion, version.at, message);
    } else if !is_one {
        let message = format!("version `{}` of the file's format is not known", version.value);
        report
            .error(Rule::FormatVersion, version.at, message)
            .hint("write `version: 1.0`; a version of the app does not belong here");
    }
    Some(version)
}

fn runtime(top: &Section<'_>, supplied: Supplied, report: &mut Report) -> Option<Located<String>> {
    let hint = "add `runtime: python3` or `runtime: nodejs22`, for example";
    if top.entry("runtime").is_none() && !supplied.runtime {
        report.absent("runtime", top.at, hint);
    }
    let mut runtime = top.filled("runtime", hint, report)?;
    let lower = runtime.value.to_lowercase();
    if lower != runtime.value {
        let message = format!("runtime `{}` is read as `{lower}`", runtime.value);
        report.warning(Rule::RuntimeCase, runtime.at, message).hint("names of runtimes are in lower case");
        runtime.value = lower;
    }
    Some(runtime)
}

const NOTHING_TO_BUILD: &str = "add `build.commands.build`; `build: []` says that there is nothing to build";

fn build(top: &Section<'_>, supplied: Supplied, report: &mut Report) -> Option<Build> {
    let path = "build.commands.build";
    let absent = |at, report: &mut Report| {
        if !supplied.build {
            report.absent(path, at, NOTHING_TO_BUILD);
        }
    };
    let Some(node) = top.get("build") else {
        absent(top.at, report);
        return Some(Build::default());
    };
    let section = node.section(&keys::BUILD, report)?;
    let env = variables::variables(section.get("env"), &keys::BUILD_VARIABLE, report);
    variables::check_build(&env, report);
    let Some(node) = section.get("commands") else {
        absent(section.at, report);
        return Some(Build { env, ..Build::default() });
    };
    if let Value::List(_) = node.value {
        let hint = "write the list under `build.commands.build`";
        report
            .warning(
                Rule::CommandsList,
                node.at,
                "`build.commands` is a list; it is read as the phase `build`",
            )
            .hint(hint);
        return Some(Build { build: commands::list(Some(node), path, report), env, ..Build::default() });
    }
    let phases = node.section(&keys::COMMANDS, report)?;
    match phases.get("build").map(|node| (&node.value, node.at)) {
        None => absent(phases.at, report),
        Some((Value::List(items), at)) if items.is_empty() => {
            report.warning(
                Rule::NothingToBuild,
                at,
                "`build.commands.build` is empty: there is nothing to build",
            );
        }
        Some(_) => {}
    }
    let mut list = |key: &str| commands::list(phases.get(key), &format!("build.commands.{key}"), report);
    let (pre_build, build, post_build) = (list("pre-build"), list("build"), list("post-build"));
    Some(Build { pre_build, build, post_build, env })
}

fn run(top: &Section<'_>, supplied: Supplied, report: &mut Report) -> Option<Run> {
    let path = "run.command";
    let hint = "add the command that starts the app: `command: python3 app.py`";
    let Some(node) = top.get("run") else {
        if !supplied.command {
            report.absent(path, top.at, hint);
        }
        return Some(Run::default());
    };
    let section = node.section(&keys::RUN, report)?;
    let runtime_version = runtime_version(&section, report);
    let pre_run = commands::list(section.get("pre-run"), "run.pre-run", report);
    let network = network(&section, report);
    let env = variables::variables(section.get("env"), &keys::RUN_VARIABLE, report);
    let secrets = variables::secrets(section.get("secrets"), report);
    let start = section.entry("command");
    if start.is_none() && !supplied.command {
        report.absent(path, section.at, hint);
    }
    let command = start.and_then(|node| commands::start(&node, supplied.form, report));
    let run = Run { runtime_version, pre_run, command, network, env, secrets };
    variables::check_run(&run, supplied.port, report);
    Some(without_repeated_port(run))
}

/// Leaves out what says once more that `PORT` holds the port.
fn without_repeated_port(mut run: Run) -> Run {
    run.network.env = run.network.env.filter(|env| env.value != "PORT");
    let second = run.network.env.as_ref().map(|env| env.value.clone());
    run.env.retain(|variable| variable.name.value != "PORT" && Some(&variable.name.value) != second.as_ref());
    run
}

fn runtime_version(run: &Section<'_>, report: &mut Report) -> Option<Located<VersionRequest>> {
    let hint = "remove the key: without it the newest version is taken";
    let text = run.filled("run.runtime-version", hint, report)?;
    match text.value.parse::<VersionRequest>() {
        Ok(value) => Some(Located { value, at: text.at }),
        Err(error) => {
            let problem = report.error(Rule::RuntimeVersion, text.at, error.to_string());
            if let Some(hint) = error.hint() {
                problem.hint(hint);
            }
            None
        }
    }
}

fn network(run: &Section<'_>, report: &mut Report) -> Network {
    let section = run.get("network").and_then(|node| node.section(&keys::NETWORK, report));
    let Some(section) = section else { return Network::default() };
    let hint = format!("without `port` it is {}", super::DEFAULT_PORT);
    let port = section.filled("run.network.port", &hint, report).and_then(|text| port(&text, report));
    Network { port, env: port_variable(&section, report) }
}

/// Reads a port: a number from 1 to 65535, without leading zeros.
pub(crate) fn port_number(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse::<u16>().ok().filter(|_| is_number)
}

fn port(text: &Located<String>, report: &mut Report) -> Option<Located<u16>> {
    let port = port_number(&text.value).map(|value| Located { value, at: text.at });
    if port.is_none() {
        let message = format!("port `{}` is not a number from 1 to 65535", text.value);
        report
            .error(Rule::Port, text.at, message)
            .hint(format!("without `port` it is {}", super::DEFAULT_PORT));
    }
    port
}

fn port_variable(network: &Section<'_>, report: &mut Report) -> Option<Located<String>> {
    let node = network.entry("env")?;
    if let Value::List(_) | Value::Map(_) = node.value {
        let hint = "variables of the app belong to `run.env`";
        report
            .error(Rule::PortVariable, node.at, "`run.network.env` must be the name of one variable")
            .hint(hint);
        return None;
    }
    let hint = "remove the key, or write the name of a variable that holds the port too";
    let env = network.filled("run.network.env", hint, report)?;
    if !can_hold_port(&env.value) {
        let message = format!("`{}` cannot be the name of a variable that holds the port", env.value);
        report.error(Rule::PortVariable, env.at, message).hint("write a name such as `APP_PORT`");
        return None;
    }
    Some(env)
}
