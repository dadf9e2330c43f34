//! A TOML file and where its values stand.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::app_file::{Diagnostic, Located, Rule, Span};

use super::DetectError;
use super::files::Text;

/// A TOML file.
pub(super) struct TomlFile<'t> {
    source: &'t Text,
    root: Spanned<DeTable<'t>>,
}

impl<'t> TomlFile<'t> {
    /// Reads a file; what is not TOML is an error at its place.
    pub(super) fn parse(source: &'t Text) -> Result<Self, DetectError> {
        let root = DeTable::parse(&source.text).map_err(|error| {
            let at = error.span().map_or(Span::at(1, 1), |span| source.span(&span));
            let message = format!("this is not TOML: {}", error.message().replace('\n', ", "));
            DetectError::malformed(
                Diagnostic::error(Rule::ProjectFile, &source.file, at, message),
                &source.text,
            )
        })?;
        Ok(Self { source, root })
    }

    /// The name of the file, relative to the root of the source.
    pub(super) fn file(&self) -> &str {
        &self.source.file
    }

    /// Whether there is a value at a path of keys.
    pub(super) fn has(&self, path: &[&str]) -> bool {
        self.value(path).is_some()
    }

    /// The text at a path of keys.
    pub(super) fn text(&self, path: &[&str]) -> Option<Located<String>> {
        self.located(self.value(path)?)
    }

    /// The truth value at a path of keys.
    pub(super) fn flag(&self, path: &[&str]) -> Option<bool> {
        self.value(path)?.get_ref().as_bool()
    }

    /// The texts of the list at a path of keys.
    pub(super) fn texts(&self, path: &[&str]) -> Vec<Located<String>> {
        let list = self.value(path).and_then(|value| value.get_ref().as_array());
        list.into_iter().flat_map(|list| list.iter()).filter_map(|value| self.located(value)).collect()
    }

    /// The keys of the table at a path of keys, in the order of the file.
    pub(super) fn keys(&self, path: &[&str]) -> Vec<Located<String>> {
        let table = self.value(path).and_then(|value| value.get_ref().as_table());
        let keys = table.into_iter().flat_map(|table| table.keys());
        let mut keys: Vec<_> = keys.map(|key| (key.span(), key.get_ref().as_ref().to_owned())).collect();
        keys.sort_by_key(|(span, _)| span.start);
        keys.into_iter().map(|(span, value)| Located { value, at: self.source.span(&span) }).collect()
    }

    fn value(&self, path: &[&str]) -> Option<&Spanned<DeValue<'t>>> {
        let (first, rest) = path.split_first()?;
        let first = self.root.get_ref().get(*first)?;
        rest.iter().try_fold(first, |value, key| value.get_ref().as_table()?.get(*key))
    }

    fn located(&self, value: &Spanned<DeValue<'t>>) -> Option<Located<String>> {
        let text = value.get_ref().as_str()?;
        Some(Located { value: text.to_owned(), at: self.source.span(&value.span()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Text {
        Text { file: "pyproject.toml".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn values_are_found_with_their_places() {
        let source =
            text("# é\n[project]\nname = 'x'\nrequires-python = \">=3.11\"\n[tool.a]\nz = 1\nb.c = true\n");
        let file = TomlFile::parse(&source).unwrap();
        let found = file.text(&["project", "requires-python"]).unwrap();
        assert_eq!((found.value.as_str(), found.at.start.to_string()), (">=3.11", "4:19".to_owned()));
        assert_eq!(file.flag(&["tool", "a", "b", "c"]), Some(true));
        assert!(
            file.has(&["tool", "a"]) && !file.has(&["tool", "b"]) && !file.has(&["project", "name", "x"])
        );
        assert_eq!(file.text(&["tool", "a", "z"]), None, "a number is no text");
        let keys = file.keys(&["tool", "a"]);
        assert_eq!(keys.iter().map(|key| key.value.as_str()).collect::<Vec<_>>(), ["z", "b"]);
    }

    #[test]
    fn the_texts_of_a_list_are_found_and_nothing_else_of_it() {
        let source = text("a = [\n  'x',\n  1,\n  \"y\",\n]\n");
        let file = TomlFile::parse(&source).unwrap();
        let texts = file.texts(&["a"]);
        let places: Vec<_> = texts.iter().map(|text| format!("{} {}", text.at.start, text.value)).collect();
        assert_eq!(places, ["2:3 x", "4:3 y"]);
        assert!(file.texts(&["b"]).is_empty() && file.keys(&["a"]).is_empty());
    }

    #[test]
    fn what_is_no_toml_is_refused_at_its_place() {
        let source = text("[project]\nname = 'x'\nversion = = 1\n");
        let error = TomlFile::parse(&source).err().unwrap().to_string();
        assert!(error.starts_with("pyproject.toml:3:11: error: this is not TOML: "), "{error}");
        let twice = text("a = 1\na = 2\n");
        let error = TomlFile::parse(&twice).err().unwrap().to_string();
        assert!(error.starts_with("pyproject.toml:2:1: error: this is not TOML: duplicate key"), "{error}");
    }
}
