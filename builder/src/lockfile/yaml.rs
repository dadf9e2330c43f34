//! A YAML document of a package manager as a tree, under limits. Nothing is expanded: such files hold no aliases.

use saphyr_parser::{Event, Parser};

use super::Malformed;

/// How deep lists and maps may be nested; those of package managers have six levels.
const DEEPEST: usize = 32;

/// How many nodes there may be.
const MOST: usize = 4_000_000;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Text(String),
    List,
    Map(Vec<Entry>),
}

/// A key and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Node,
}

impl Node {
    pub(super) fn entries(&self) -> &[Entry] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A list or map that is still open, and the key that waits for its value.
enum Open {
    List,
    Map(Vec<Entry>, Option<(String, usize)>),
}

/// Reads the first document, which has to be a map. What lists hold is passed over.
pub(super) fn document(text: &str) -> Result<Node, Malformed> {
    let (mut open, mut nodes): (Vec<Open>, usize) = (Vec::new(), 0);
    for event in Parser::new_from_str(text) {
        let (event, marks) = event.map_err(|error| {
            Malformed::new(error.marker().line(), format!("this is not YAML: {}", error.info()))
        })?;
        let line = marks.start.line();
        nodes += 1;
        if nodes > MOST {
            return Err(Malformed::new(line, format!("it has more than {MOST} values")));
        }
        let done = match event {
            Event::Scalar(text, ..) => Some(Node::Text(text.into_owned())),
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if open.len() >= DEEPEST {
                    return Err(Malformed::new(
                        line,
                        format!("it is nested more than {DEEPEST} levels deep"),
                    ));
                }
                let is_list = matches!(event, Event::SequenceStart(..));
                open.push(if is_list { Open::List } else { Open::Map(Vec::new(), None) });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::Map(entries, _)) => Some(Node::Map(entries)),
                _ => Some(Node::List),
            },
            Event::Alias(_) => return Err(Malformed::new(line, "it holds an alias")),
            Event::DocumentEnd => break,
            _ => None,
        };
        let Some(value) = done else { continue };
        match open.last_mut() {
            None => return if matches!(value, Node::Map(_)) { Ok(value) } else { Err(no_map(line)) },
            Some(Open::List) => {}
            Some(Open::Map(entries, key)) => match (key.take(), value) {
                (Some((key, line)), value) => entries.push(Entry { key, line, value }),
                (None, Node::Text(text)) => *key = Some((text, line)),
                (None, _) => return Err(Malformed::new(line, "a key is not text")),
            },
        }
    }
    Err(no_map(1))
}

fn no_map(line: usize) -> Malformed {
    Malformed::new(line, "this is not a map of packages")
}
