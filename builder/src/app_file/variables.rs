//! Variables and secrets.

use std::collections::BTreeMap;

use super::credentials::looks_like_credential;
use super::diagnostic::{Position, Report, Span};
use super::keys::{self, Path};
use super::node::{Node, Value};
use super::rule::Rule;
use super::{Located, Network, Run, Secret, Variable};

/// The longest value of a variable, in characters.
const MAX_VALUE: usize = 51_200;
/// The longest name or reference of a secret, in characters.
const MAX_SECRET: usize = 2_048;
/// From this many on the managed service's console and command line take no more.
const MANY: usize = 50;
/// Names that the managed service keeps for itself.
const RESERVED: &str = "AWSAPPRUNNER";

/// Reads a list of variables.
pub(super) fn variables(node: Option<&Node>, path: &Path, report: &mut Report) -> Vec<Variable> {
    let variables = items(node, path, report).into_iter().filter_map(|item| variable(item, path, report));
    last_wins(variables.collect(), |variable| &variable.name, path, report)
}

/// Reads the list of secrets.
pub(super) fn secrets(node: Option<&Node>, report: &mut Report) -> Vec<Secret> {
    let path = &keys::SECRET;
    let secrets = items(node, path, report).into_iter().filter_map(|item| secret(item, report));
    last_wins(secrets.collect(), |secret| &secret.name, path, report)
}

fn items<'n>(node: Option<&'n Node>, path: &Path, report: &mut Report) -> Vec<&'n Node> {
    let second = path.keys[1];
    let form = format!("write each as an item: `- name: NAME` and, below it, `  {second}: …`");
    match node.map(|node| (&node.value, node.at)) {
        None => Vec::new(),
        Some((Value::List(items), _)) => {
            let mut maps = Vec::new();
            for item in items {
                match &item.value {
                    Value::Map(entries) if entries.iter().any(|(key, _)| is_known(&key.value)) => {
                        maps.push(item);
                    }
                    Value::Empty => {
                        report.warning(
                            Rule::EmptyItem,
                            item.at,
                            format!("an empty item of `{}` is skipped", path.name),
                        );
                    }
                    _ => {
                        let message = format!("an item of `{}` needs `name` and `{second}`", path.name);
                        report.error(Rule::VariableForm, item.at, message).hint(form.clone()).withheld();
                    }
                }
            }
            maps
        }
        Some((_, at)) => {
            let message = format!("`{}` must be a list of `name` and `{second}`", path.name);
            report.error(Rule::VariableForm, at, message).hint(form).withheld();
            Vec::new()
        }
    }
}

/// Tells an item with a slip in it from one that is a `NAME: value` of its own.
fn is_known(key: &str) -> bool {
    matches!(
        key.to_ascii_lowercase().as_str(),
        "name" | "value" | "value-from" | "value_from" | "valuefrom" | "key"
    )
}

fn variable(item: &Node, path: &Path, report: &mut Report) -> Option<Variable> {
    let section = item.section(path, report)?;
    let name = section.bare("name", report);
    let has_reference = has_key(item, "valuefrom");
    let value = match section.text("value", report) {
        None if !has_reference && !has_key(item, "value") => {
            report
                .error(Rule::VariableForm, section.at, "a variable needs `value`")
                .hint("an empty one is written `value: ''`");
            None
        }
        value => value,
    };
    if name.is_none() && !has_name(item) {
        report.error(Rule::VariableForm, section.at, "a variable needs `name`").withheld();
    }
    let (name, value) = (name?, value?);
    let is_good = check_name(&name, report) & check_value(&value, report);
    is_good.then_some(Variable { name, value })
}

fn secret(item: &Node, report: &mut Report) -> Option<Secret> {
    let section = item.section(&keys::SECRET, report)?;
    let name = section.bare("name", report);
    let value_from = section.bare("value-from", report);
    if name.is_none() && !has_name(item) {
        report.error(Rule::VariableForm, section.at, "a secret needs `name`").withheld();
    }
    if value_from.is_none() && !has_key(item, "valuefrom") && !has_key(item, "value") {
        report.error(Rule::VariableForm, section.at, "a secret needs `value-from`");
    }
    let (name, value_from) = (name?, value_from?);
    let mut is_good = check_name(&name, report);
    for (key, text) in [("name", &name), ("value-from", &value_from)] {
        if let Some(fault) = length_fault(key, &text.value) {
            report.error(Rule::SecretReference, text.at, fault).withheld();
            is_good = false;
        }
    }
    if is_good && !is_reference(&value_from.value) {
        let message = "`value-from` is neither an ARN of a secret or parameter nor the name of a parameter";
        report
            .warning(Rule::SecretReference, value_from.at, message)
            .hint("it is recorded as it is")
            .withheld();
    }
    is_good.then_some(Secret { name, value_from })
}

/// Tells whether an item has a key, however it is written.
fn has_key(item: &Node, plain: &str) -> bool {
    let Value::Map(entries) = &item.value else { return false };
    entries.iter().any(|(key, _)| key.value.replace(['-', '_'], "").eq_ignore_ascii_case(plain))
}

/// Tells whether an item has a name, however its key is written.
fn has_name(item: &Node) -> bool {
    has_key(item, "name") || has_key(item, "key")
}

fn is_reference(text: &str) -> bool {
    let is_name = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-/".contains(&b));
    let mut parts = text.splitn(6, ':');
    let is_arn =
        parts.next() == Some("arn") && parts.next().is_some_and(|partition| partition.starts_with("aws"));
    let (service, resource) = (parts.next(), parts.nth(2).unwrap_or_default());
    let is_secret = service == Some("secretsmanager") && resource.starts_with("secret:");
    let is_parameter = service == Some("ssm") && resource.starts_with("parameter/");
    is_name || (is_arn && (is_secret || is_parameter))
}

/// Tells whether a text is a name that every shell takes.
pub(crate) fn is_plain_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Tells whether a variable of this name can hold the port.
pub(crate) fn can_hold_port(name: &str) -> bool {
    is_plain_name(name) && !name.starts_with(RESERVED)
}

/// Says why a text cannot be the name of a variable.
pub(crate) fn name_fault(name: &str) -> Option<(Rule, String)> {
    if name.is_empty() || name.contains(['=', '\0', '\n']) {
        let fault = "a variable's name must not be empty or hold `=`, a zero byte or a line end";
        Some((Rule::VariableName, fault.to_owned()))
    } else if name.chars().count() > MAX_VALUE {
        Some((Rule::VariableName, format!("a variable's name has more than {MAX_VALUE} characters")))
    } else if name.starts_with(RESERVED) {
        let fault = format!("`{name}` is reserved: names must not begin with `{RESERVED}`");
        Some((Rule::ReservedName, fault))
    } else {
        None
    }
}

/// Says why a text cannot be the value of a variable.
pub(crate) fn value_fault(value: &str) -> Option<String> {
    let is_good = !value.contains('\0') && value.chars().count() <= MAX_VALUE;
    let fault = || format!("a value must not hold a zero byte or more than {MAX_VALUE} characters");
    (!is_good).then(fault)
}

/// Says why a name and a reference cannot be a secret's.
pub(crate) fn secret_fault(name: &str, value_from: &str) -> Option<String> {
    let of_name = name_fault(name).map(|(_, fault)| fault);
    of_name.or_else(|| length_fault("name", name)).or_else(|| length_fault("value-from", value_from))
}

/// Says why a name or a reference of a secret has not the right length; an empty name is refused as such.
fn length_fault(key: &str, text: &str) -> Option<String> {
    let length = text.chars().count();
    let is_wrong = length > MAX_SECRET || (length == 0 && key == "value-from");
    is_wrong.then(|| format!("`{key}` of a secret has {length} characters; it may have 1 to {MAX_SECRET}"))
}

fn check_name(name: &Located<String>, report: &mut Report) -> bool {
    let text = &name.value;
    if let Some((rule, fault)) = name_fault(text) {
        report.error(rule, name.at, fault);
        return false;
    }
    if !is_plain_name(text) {
        let hint = "letters, digits and `_` work everywhere, with no digit first";
        report
            .warning(Rule::VariableName, name.at, format!("shells cannot read a variable named `{text}`"))
            .hint(hint);
    }
    true
}

fn check_value(value: &Located<String>, report: &mut Report) -> bool {
    let text = &value.value;
    if let Some(fault) = value_fault(text) {
        report.error(Rule::VariableValue, value.at, fault).withheld();
        return false;
    }
    if text.contains("${") || text.contains("{{resolve:") {
        report.warning(Rule::UnexpandedValue, value.at, "nothing expands this value: it is taken literally");
    }
    true
}

/// Keeps the last of those that share a name, as the managed service's API does.
fn last_wins<T>(
    all: Vec<T>,
    name: impl Fn(&T) -> &Located<String>,
    path: &Path,
    report: &mut Report,
) -> Vec<T> {
    let mut last = BTreeMap::new();
    for item in &all {
        let Located { value, at } = name(item);
        if let Some(first) = last.insert(value.clone(), *at) {
            let first: Span = first;
            let message = format!(
                "`{value}` is twice in `{}`, first at {}; the last one counts",
                path.name, first.start
            );
            report.warning(Rule::RepeatedName, *at, message);
        }
    }
    all.into_iter().filter(|item| last.get(&name(item).value) == Some(&name(item).at)).collect()
}

/// Warns about variables of the build that look as if they were meant for the app.
pub(super) fn check_build(variables: &[Variable], report: &mut Report) {
    check_credentials(
        variables,
        "give it to the build with `--secret`, and keep its value out of the file",
        report,
    );
    for variable in variables.iter().filter(|variable| variable.name.value == "PORT") {
        let hint = "set `run.network.port` to change the port of the app";
        report
            .warning(Rule::PortInEnv, variable.name.at, "`PORT` in `build.env` reaches build commands only")
            .hint(hint);
    }
}

/// Checks that the names of one app do not contradict each other, nor the port that an option gives.
pub(super) fn check_run(run: &Run, option: Option<u16>, report: &mut Report) {
    for variable in &run.env {
        check_port(variable, &run.network, option, report);
    }
    check_credentials(&run.env, "name it in `run.secrets`, and keep its value out of the file", report);
    let seen: BTreeMap<&str, Position> =
        run.env.iter().map(|variable| (variable.name.value.as_str(), variable.name.at.start)).collect();
    for Secret { name, .. } in &run.secrets {
        let holds_port = run.network.env.as_ref().is_some_and(|env| env.value == name.value);
        if name.value == "PORT" || holds_port {
            let message = format!("`{}` holds the port and cannot be a secret", name.value);
            report.error(Rule::PortInEnv, name.at, message).hint("set `run.network.port`");
        }
        if let Some(first) = seen.get(name.value.as_str()) {
            report.error(
                Rule::RepeatedName,
                name.at,
                format!("`{}` is in `run.env`, at {first}, and in `run.secrets`", name.value),
            );
        }
    }
}

fn check_port(variable: &Variable, network: &Network, option: Option<u16>, report: &mut Report) {
    let own = network.port();
    let (name, value) = (&variable.name.value, &variable.value.value);
    let is_second = network.env.as_ref().is_some_and(|env| env.value == *name);
    if name != "PORT" && !is_second {
        return;
    }
    let port = option.unwrap_or(own);
    // A file that is right by itself stays right when an option moves the port.
    if [own, port].iter().any(|port| *value == port.to_string()) {
        report.warning(
            Rule::PortInEnv,
            variable.name.at,
            format!("`{name}` is redundant: it always holds the port, {port}"),
        );
        return;
    }
    let message = format!("`{name}` holds the port, which is {port}, and cannot be {value}");
    let hint = format!("set `run.network.port` instead, and remove `{name}` from `run.env`");
    report.error(Rule::PortInEnv, variable.value.at, message).hint(hint);
}

/// Warns about values that look like credentials, without showing them.
fn check_credentials(variables: &[Variable], hint: &str, report: &mut Report) {
    for Variable { name, value } in variables {
        if looks_like_credential(&name.value, &value.value) {
            let message = format!("the value of `{}` looks like a credential in plain text", name.value);
            report.warning(Rule::PlainCredential, name.at, message).hint(hint).withheld();
        }
    }
}

/// Notes a number of variables that the managed service's own tools would refuse.
pub(super) fn check_number(number: usize, at: Span, report: &mut Report) {
    if number > MANY {
        let message = format!("{number} variables and secrets; the managed service's tools take {MANY}");
        report.note(Rule::ManyVariables, at, message);
    }
}
