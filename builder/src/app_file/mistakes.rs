//! What was probably meant by a key that does not belong where it stands.

use super::keys::{self, Path};
use super::node::{Node, Value};

/// What is wrong with a key.
pub(super) enum Mistake {
    /// It is another spelling of this key.
    Misspelt(&'static str),
    /// It belongs to this path.
    Misplaced(&'static str),
    /// It is the reference of a secret, among variables.
    ValueFrom,
    /// It is the value of a secret.
    PlainSecret,
    /// It sets something of the managed service that is not part of an image.
    Operational,
    /// Nothing is known of it.
    Unknown,
}

/// Where a key belongs, spelt without hyphens.
const PLACES: [(&str, &str); 15] = [
    ("version", "version"),
    ("runtime", "runtime"),
    ("run", "run"),
    ("commands", "build.commands"),
    ("prebuild", "build.commands.pre-build"),
    ("build", "build.commands.build"),
    ("postbuild", "build.commands.post-build"),
    ("runtimeversion", "run.runtime-version"),
    ("prerun", "run.pre-run"),
    ("command", "run.command"),
    ("network", "run.network"),
    ("port", "run.network.port"),
    ("env", "run.env"),
    ("secrets", "run.secrets"),
    ("valuefrom", "run.secrets"),
];

const OPERATIONAL: [&str; 14] = [
    "healthcheck",
    "healthcheckconfiguration",
    "health",
    "scaling",
    "autoscaling",
    "autoscalingconfiguration",
    "service",
    "instance",
    "instanceconfiguration",
    "cpu",
    "memory",
    "iam",
    "observability",
    "vpc",
];

pub(super) fn mistake(path: &Path, key: &str, value: &Node) -> Mistake {
    let plain = plain(key);
    if let Some(meant) = meant_by_value(path, &plain, &value.value) {
        return meant;
    }
    let is_variable = path.name == keys::RUN_VARIABLE.name || path.name == keys::BUILD_VARIABLE.name;
    if is_variable && plain == "valuefrom" {
        return Mistake::ValueFrom;
    }
    if path.name == keys::SECRET.name && plain == "value" {
        return Mistake::PlainSecret;
    }
    if is_item(path) && plain == "key" {
        return Mistake::Misspelt("name");
    }
    if let Some(known) = path.keys.iter().find(|known| self::plain(known) == plain) {
        return Mistake::Misspelt(known);
    }
    if OPERATIONAL.contains(&plain.as_str()) {
        return Mistake::Operational;
    }
    if let Some((_, place)) = PLACES.iter().find(|(name, _)| *name == plain).filter(|_| !is_item(path)) {
        return Mistake::Misplaced(place);
    }
    let near = path.keys.iter().find(|known| is_near(&plain, &self::plain(known)));
    near.map_or(Mistake::Unknown, |known| Mistake::Misspelt(known))
}

/// What the form of the value tells, where the name alone could mean several keys.
fn meant_by_value(path: &Path, key: &str, value: &Value) -> Option<Mistake> {
    let is_version = |text: &str| text.starts_with(|c: char| c.is_ascii_digit()) && text != "1.0";
    match (path.name, key, value) {
        ("build", "command", Value::List(_) | Value::Map(_)) => Some(Mistake::Misspelt("commands")),
        ("run", "commands", Value::List(_) | Value::Text(_)) => Some(Mistake::Misspelt("command")),
        ("run", "version", Value::Text(text)) if is_version(text) => {
            Some(Mistake::Misspelt("runtime-version"))
        }
        ("run" | "run.network" | "build.commands", "build", Value::Map(_)) => {
            Some(Mistake::Misplaced("build"))
        }
        ("build.commands", "env", _) => Some(Mistake::Misplaced("build.env")),
        _ => None,
    }
}

/// In the items of a list other names are data that was put there, rather than keys of the file.
fn is_item(path: &Path) -> bool {
    path.keys.contains(&"name")
}

/// Takes away how a key is written, and turns words that people use for it into the key.
fn plain(key: &str) -> String {
    let key = key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    match key.as_str() {
        "environment" | "environments" | "environmentvariables" | "envs" | "envvars" | "variables" => {
            "env".to_owned()
        }
        "cmd" | "start" | "startcommand" | "runcommand" => "command".to_owned(),
        "secret" => "secrets".to_owned(),
        _ => key,
    }
}

/// Tells whether a slip of the finger lies between two keys.
fn is_near(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let common = |x: &mut dyn Iterator<Item = (&u8, &u8)>| x.take_while(|(x, y)| x == y).count();
    let prefix = common(&mut a.iter().zip(b));
    let suffix = common(&mut a.iter().rev().zip(b.iter().rev()));
    let rest = a.len().max(b.len()).saturating_sub(prefix + suffix);
    // One letter more, less or other; or two neighbours exchanged.
    let exchanged =
        rest == 2 && a.len() == b.len() && a[prefix] == b[prefix + 1] && a[prefix + 1] == b[prefix];
    a.len().min(b.len()) >= 4 && (rest <= 1 || exchanged)
}
