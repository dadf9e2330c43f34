//! The keys that a file may have, and what is probably meant by others.

use super::Located;
use super::diagnostic::Report;
use super::mistakes::{Mistake, mistake};
use super::node::Node;
use super::rule::Rule;

/// A map of the file and the keys that it may have.
pub(crate) struct Path {
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [&'static str],
}

pub(crate) const TOP: Path = Path { name: "", keys: &["version", "runtime", "build", "run"] };
pub(crate) const BUILD: Path = Path { name: "build", keys: &["commands", "env"] };
pub(crate) const COMMANDS: Path =
    Path { name: "build.commands", keys: &["pre-build", "build", "post-build"] };
pub(crate) const RUN: Path =
    Path { name: "run", keys: &["runtime-version", "pre-run", "command", "network", "env", "secrets"] };
pub(crate) const NETWORK: Path = Path { name: "run.network", keys: &["port", "env"] };
pub(crate) const BUILD_VARIABLE: Path = Path { name: "build.env", keys: &["name", "value"] };
pub(crate) const RUN_VARIABLE: Path = Path { name: "run.env", keys: &["name", "value"] };
pub(crate) const SECRET: Path = Path { name: "run.secrets", keys: &["name", "value-from"] };

/// Reports the keys that do not belong here.
pub(super) fn check(path: &Path, entries: &[(Located<String>, Node)], report: &mut Report) {
    for (key, value) in entries.iter().filter(|(key, _)| !path.keys.contains(&key.value.as_str())) {
        let name = &key.value;
        match mistake(path, name, value) {
            Mistake::Misspelt(known) => {
                let parent = if path.name.is_empty() { String::new() } else { format!("{}.", path.name) };
                report.meant(format!("{parent}{known}"));
                report
                    .error(Rule::MisspeltKey, key.at, format!("unknown key `{name}`"))
                    .hint(format!("write `{known}`"));
            }
            Mistake::Misplaced(place) => {
                report.meant(place.to_owned());
                let hint = format!("it belongs to `{place}`: check the indentation");
                report.error(Rule::MisplacedKey, key.at, format!("`{name}` does not belong here")).hint(hint);
            }
            Mistake::ValueFrom => {
                let hint = format!("move the item to `run.secrets`; `{}` holds plain values", path.name);
                report
                    .error(Rule::ReferenceInEnv, key.at, format!("`{name}` does not belong to a variable"))
                    .hint(hint);
            }
            Mistake::PlainSecret => {
                let hint =
                    "write `value-from` with a reference to the secret; its value is never part of the file";
                report.error(Rule::PlainSecret, key.at, "a secret is given by value").hint(hint).withheld();
            }
            Mistake::Operational => {
                let message =
                    format!("`{name}` is ignored: it is an operational setting, not part of an image");
                report.warning(Rule::OperationalKey, key.at, message);
            }
            Mistake::Unknown => {
                let hint = format!("known keys here are {}", listed(path.keys));
                report
                    .warning(Rule::UnknownKey, key.at, format!("unknown key `{name}` is ignored"))
                    .hint(hint);
            }
        }
    }
}

/// Lists keys for a message.
pub(super) fn listed(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}
