//! The top level of a YAML file of another tool: its keys, with texts and lists of texts.
//!
//! What lies deeper is passed over; those files are their tools' to check. Nothing is expanded: an alias is nothing.

use saphyr_parser::{Event, Parser};

use crate::app_file::{Diagnostic, Position, Rule, Span};

use super::DetectError;
use super::files::Text;

/// The keys of a file, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys(Vec<(String, usize, Entry)>);

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Text(String),
    Texts(Vec<String>),
    Deeper,
}

impl Keys {
    /// The text that a key holds, and its line.
    pub(super) fn text(&self, key: &str) -> Option<(&str, usize)> {
        self.0.iter().find(|(name, ..)| name == key).and_then(|(_, line, entry)| match entry {
            Entry::Text(text) => Some((text.as_str(), *line)),
            _ => None,
        })
    }

    /// The texts of the list that a key holds.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<String>> {
        self.0.iter().find(|(name, ..)| name == key).and_then(|(_, _, entry)| match entry {
            Entry::Texts(texts) => Some(texts.clone()),
            _ => None,
        })
    }

    /// The keys and their lines.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|(name, line, _)| (name.as_str(), *line))
    }
}

/// Reads the first document of a file.
pub(super) fn read(found: &Text) -> Result<Keys, DetectError> {
    let mut keys = Keys::default();
    let mut depth = 0_usize;
    let mut key: Option<(String, usize)> = None;
    for event in Parser::new_from_str(&found.text) {
        let (event, marks) = event.map_err(|error| {
            let at = Position { line: error.marker().line(), column: error.marker().col() + 1 };
            let diagnostic =
                Diagnostic::error(Rule::ProjectFile, &found.file, Span { start: at, end: at }, error.info());
            DetectError::malformed(diagnostic, &found.text)
        })?;
        match event {
            Event::Scalar(text, ..) => match (depth, key.take()) {
                (1, None) => key = Some((text.into_owned(), marks.start.line())),
                (1, Some((name, line))) => keys.0.push((name, line, Entry::Text(text.into_owned()))),
                (2, _) => {
                    if let Some((_, _, Entry::Texts(texts))) = keys.0.last_mut() {
                        texts.push(text.into_owned());
                    }
                }
                _ => {}
            },
            // Only a map has keys at the top.
            Event::SequenceStart(..) if depth == 0 => break,
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                depth += 1;
                if let Some((name, line)) = key.take().filter(|_| depth == 2) {
                    let is_list = matches!(event, Event::SequenceStart(..));
                    keys.0.push((name, line, if is_list { Entry::Texts(Vec::new()) } else { Entry::Deeper }));
                }
            }
            Event::SequenceEnd | Event::MappingEnd => depth -= 1,
            Event::Alias(_) => key = None,
            Event::DocumentEnd => break,
            _ => {}
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Keys, DetectError> {
        read(&Text { file: ".yarnrc.yml".to_owned(), text: text.to_owned() })
    }

    #[test]
    fn texts_and_lists_of_texts_at_the_top_are_read() {
        let text = "# settings\nnodeLinker: \"node-modules\"\n\nplugins:\n  - path: a.cjs\n    spec: b\npackages:\n  - 'a/*'\n  - b\n\
                    deep:\n  yarnPath: no\nyarnPath: .yarn/y.cjs\n---\nsecond: 1\n";
        let keys = of(text).unwrap();
        assert_eq!(keys.text("nodeLinker"), Some(("node-modules", 2)));
        assert_eq!(keys.texts("packages").unwrap(), ["a/*", "b"]);
        assert_eq!(keys.text("yarnPath"), Some((".yarn/y.cjs", 12)));
        assert_eq!((keys.text("deep"), keys.text("second"), keys.texts("nodeLinker")), (None, None, None));
        let names: Vec<_> = keys.names().map(|(name, _)| name).collect();
        assert_eq!(names, ["nodeLinker", "plugins", "packages", "deep", "yarnPath"]);
    }

    #[test]
    fn an_empty_file_has_no_keys_and_a_broken_one_is_refused_at_its_place() {
        assert_eq!(of("").unwrap(), Keys::default());
        assert_eq!(of("- a\n- b\n").unwrap(), Keys::default());
        let error = of("a: b\nc: [\n").unwrap_err().to_string();
        assert!(error.starts_with(".yarnrc.yml:3:1: error: "), "{error}");
    }
}
