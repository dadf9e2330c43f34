//! A YAML document as a tree whose scalars are text and whose nodes know where they stand.

use super::diagnostic::{Report, Span};
use super::rule::Rule;
use super::{Located, keys};

/// A value of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) at: Span,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing was written.
    Empty,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Located<String>, Node)>),
}

/// A map whose keys are known to be right.
pub(super) struct Section<'n> {
    pub(super) at: Span,
    entries: &'n [(Located<String>, Node)],
}

impl Section<'_> {
    /// Returns the value of a key; an empty one counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let entry = self.entries.iter().find(|(name, _)| name.value == key);
        entry.map(|(_, node)| node).filter(|node| node.value != Value::Empty)
    }

    /// Returns the value of a key, even an empty one, which then stands where the key does.
    pub(super) fn entry(&self, key: &str) -> Option<Node> {
        let (name, node) = self.entries.iter().find(|(name, _)| name.value == key)?;
        let at = if node.value == Value::Empty { name.at } else { node.at };
        Some(Node { at, value: node.value.clone() })
    }

    /// Returns the value of a key that is expected to be text; nothing at all is the empty text, with a warning.
    pub(super) fn text(&self, key: &str, report: &mut Report) -> Option<Located<String>> {
        self.entry(key)?.text(key, report)
    }

    /// Returns the value of a key that is expected to be text; what is not there is left to the rules of that text.
    pub(super) fn bare(&self, key: &str, report: &mut Report) -> Option<Located<String>> {
        match self.entry(key)? {
            Node { at, value: Value::Empty } => Some(Located { value: String::new(), at }),
            node => node.text(key, report),
        }
    }

    /// Returns the value of a key at this path that must be text and must not be empty.
    pub(super) fn filled(&self, path: &str, hint: &str, report: &mut Report) -> Option<Located<String>> {
        let node = self.entry(path.rsplit('.').next().unwrap_or(path))?;
        let is_empty = |text: &str| text.trim().is_empty();
        if node.value == Value::Empty || matches!(&node.value, Value::Text(text) if is_empty(text)) {
            report.error(Rule::EmptyValue, node.at, format!("`{path}` is empty")).hint(hint);
            return None;
        }
        node.text(path, report)
    }
}

impl Node {
    /// Reads the node as a map with no other keys than these.
    pub(super) fn section(&self, path: &keys::Path, report: &mut Report) -> Option<Section<'_>> {
        match &self.value {
            Value::Map(entries) => {
                keys::check(path, entries, report);
                Some(Section { at: self.at, entries })
            }
            Value::Empty => None,
            Value::Text(_) | Value::List(_) => {
                let hint = format!("it has the keys {}", keys::listed(path.keys));
                report.error(Rule::WrongType, self.at, format!("`{}` must be a map", path.name)).hint(hint);
                None
            }
        }
    }

    /// Reads the node as one text.
    pub(super) fn text(&self, key: &str, report: &mut Report) -> Option<Located<String>> {
        match &self.value {
            Value::Text(text) => Some(Located { value: text.clone(), at: self.at }),
            Value::Empty => {
                report.warning(
                    Rule::EmptyValue,
                    self.at,
                    format!("`{key}` has no value, which is read as the empty text"),
                );
                Some(Located { value: String::new(), at: self.at })
            }
            Value::List(_) | Value::Map(_) => {
                let name = key.rsplit('.').next().unwrap_or(key);
                let hint = format!("put the whole value in quotes: `{name}: '…'`");
                report
                    .error(Rule::WrongType, self.at, format!("`{key}` must be one text, not {}", self.kind()))
                    .hint(hint);
                None
            }
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Empty => "empty",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}
