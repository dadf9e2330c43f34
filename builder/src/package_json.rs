//! What a `package.json` says of the Node.js version that it needs.

use serde_json::Value;

use crate::app_file::{Diagnostic, Located, Position, Rule, Severity, Span};

/// The name of the file.
pub const FILE_NAME: &str = "package.json";

/// Returns the text of `engines.node` and where it stands.
///
/// A file that is not a JSON object is an error; an `engines.node` that is not text is a warning, and npm ignores
/// it too.
pub fn engines_node(file_name: &str, text: &str) -> Result<Option<Located<String>>, Diagnostic> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let package = parse(file_name, text)?;
    let at = place(text, &["engines", "node"]).unwrap_or(Span::at(1, 1));
    match package.get("engines").and_then(|engines| engines.get("node")) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(value)) => Ok(Some(Located { value: value.clone(), at })),
        Some(_) => {
            let message = "`engines.node` is not text and is ignored";
            Err(Diagnostic {
                severity: Severity::Warning,
                ..Diagnostic::error(Rule::EnginesUnreadable, file_name, at, message)
            })
        }
    }
}

/// Reads a text as a JSON object.
pub(crate) fn parse(file_name: &str, text: &str) -> Result<Value, Diagnostic> {
    let package: Value = serde_json::from_str(text).map_err(|error| not_json(file_name, &error))?;
    if package.is_object() {
        Ok(package)
    } else {
        Err(Diagnostic::error(Rule::ProjectFile, file_name, Span::at(1, 1), "this is not a JSON object"))
    }
}

/// Finds the place of a value in a text that is JSON.
pub(crate) fn place(text: &str, path: &[&str]) -> Option<Span> {
    Scanner { text, offset: 0 }.find(path)
}

fn not_json(file_name: &str, error: &serde_json::Error) -> Diagnostic {
    let at = Span::at(error.line().max(1), error.column().max(1));
    // The library ends its message with the position, which is told already.
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    Diagnostic::error(Rule::ProjectFile, file_name, at, format!("this is not JSON: {message}"))
}

/// Finds values in a text that is known to be JSON; the parser tells values, but not where they stand.
struct Scanner<'a> {
    text: &'a str,
    offset: usize,
}

impl Scanner<'_> {
    /// Finds the value at this path of keys; of a key given twice the last one counts.
    fn find(&mut self, path: &[&str]) -> Option<Span> {
        let Some((first, rest)) = path.split_first() else {
            self.skip_space();
            let start = self.offset;
            self.skip_value();
            return Some(Span { start: self.position(start), end: self.position(self.offset) });
        };
        if !self.take(b'{') {
            self.skip_value();
            return None;
        }
        let mut found = None;
        while !self.take(b'}') && self.offset < self.text.len() {
            let key = self.key();
            self.take(b':');
            if key.as_deref() == Some(*first) {
                found = self.find(rest);
            } else {
                self.skip_value();
            }
            self.take(b',');
        }
        found
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn skip_space(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.offset += 1;
        }
    }

    fn take(&mut self, expected: u8) -> bool {
        self.skip_space();
        let is_there = self.byte() == Some(expected);
        self.offset += usize::from(is_there);
        is_there
    }

    fn key(&mut self) -> Option<String> {
        self.skip_space();
        let start = self.offset;
        self.skip_value();
        serde_json::from_str(self.text.get(start..self.offset)?).ok()
    }

    /// Passes over one value: brackets are counted, those in strings are not.
    fn skip_value(&mut self) {
        self.skip_space();
        let mut depth = 0_usize;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => self.skip_string(),
                b'{' | b'[' => depth += 1,
                b'}' | b']' | b',' | b':' if depth == 0 => return,
                b'}' | b']' => depth -= 1,
                byte if depth == 0 && byte.is_ascii_whitespace() => return,
                _ => {}
            }
            self.offset += 1;
            if depth == 0 && matches!(byte, b'"' | b'}' | b']') {
                return;
            }
        }
    }

    /// Goes to the quote that ends the string.
    fn skip_string(&mut self) {
        self.offset += 1;
        while let Some(byte) = self.byte().filter(|&byte| byte != b'"') {
            self.offset += if byte == b'\\' { 2 } else { 1 };
        }
    }

    fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Position { line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_found_with_its_position() {
        let text = "{\n  \"name\": \"é\",\n  \"engines\": {\"npm\": \">=9\", \"node\": \">=18\"}\n}\n";
        let found = engines_node(FILE_NAME, text).unwrap().unwrap();
        let (start, end) = (Position { line: 3, column: 37 }, Position { line: 3, column: 43 });
        assert_eq!(found, Located { value: ">=18".to_owned(), at: Span { start, end } });
    }

    #[test]
    fn the_position_is_found_between_all_kinds_of_values() {
        for before in
            ["1", "-1.5e3", "true", "null", r#""a\"}{,:""#, "[1, [2, {}], \"]\"]", r#"{"node": {"node": 1}}"#]
        {
            let text = format!(r#"{{"x": {before} , "engines":{{"y":{before},"node":"20"}},"z":{before}}}"#);
            let at = engines_node(FILE_NAME, &text).unwrap().unwrap().at;
            assert_eq!(&text[at.start.column - 1..at.end.column - 1], r#""20""#, "{text}");
        }
    }

    #[test]
    fn of_a_key_given_twice_the_last_one_counts() {
        let text = r#"{"engines": {"node": "18"}, "engines": {"node": "20", "node": "22"}}"#;
        let found = engines_node(FILE_NAME, text).unwrap().unwrap();
        assert_eq!((found.value.as_str(), found.at.start.column), ("22", 63));
    }

    #[test]
    fn escapes_of_json_are_read() {
        let text = r#"{"engines": {"node": "\u003e=18"}}"#;
        assert_eq!(engines_node(FILE_NAME, text).unwrap().unwrap().value, ">=18");
    }

    // engines 2
    #[test]
    fn without_a_range_there_is_none() {
        for text in [
            "{}",
            r#"{"engines": {}}"#,
            r#"{"engines": null}"#,
            r#"{"engines": ["node >= 0.8"]}"#,
            r#"{"engines": {"npm": "9"}}"#,
            r#"{"engines": {"node": null}}"#,
            r#"{"a": {"engines": {"node": "9"}}}"#,
        ] {
            assert_eq!(engines_node(FILE_NAME, text), Ok(None), "{text}");
        }
    }

    // engines 6
    #[test]
    fn a_range_that_is_not_text_is_warned_about() {
        let warning = engines_node(FILE_NAME, r#"{"engines": {"node": 22}}"#).unwrap_err();
        assert_eq!(
            warning.to_string(),
            "package.json:1:22: warning: `engines.node` is not text and is ignored"
        );
    }

    #[test]
    fn a_file_that_is_not_json_is_refused_at_its_position() {
        let error = engines_node(FILE_NAME, "{\n  \"a\": 1,\n}\n").unwrap_err();
        assert_eq!(error.to_string(), "package.json:3:1: error: this is not JSON: trailing comma");
        assert!(engines_node(FILE_NAME, "").is_err());
        assert!(engines_node(FILE_NAME, "[]").is_err_and(|error| error.severity == Severity::Error));
    }

    /// The files of the public JSON test suite, by name; none, said aloud, where it is not there.
    fn suite() -> Vec<(String, Vec<u8>)> {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/testing");
        let testing =
            std::env::var_os("LAPSTRAKE_TESTING").map_or_else(|| beside.into(), std::path::PathBuf::from);
        let directory = testing.join("corpora/jsontestsuite/test_parsing");
        let Ok(entries) = fs_err::read_dir(&directory) else {
            eprintln!("skipped: no JSON test suite at {}", directory.display());
            return Vec::new();
        };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .map(|path| {
                (path.file_name().unwrap().to_string_lossy().into_owned(), fs_err::read(&path).unwrap())
            })
            .collect()
    }

    /// Whether a file is read as JSON, whatever it holds; reading takes less than 50 ms, in the best of some tries.
    fn is_json(bytes: &[u8]) -> bool {
        let text = String::from_utf8_lossy(bytes);
        let read = || {
            let started = std::time::Instant::now();
            let found = engines_node(FILE_NAME, &text);
            (started.elapsed(), found)
        };
        let best = (0..4).map(|_| read()).find(|(elapsed, _)| elapsed.as_millis() < 50);
        let (_, found) = best.expect("50 ms were not enough in four tries");
        if let Err(diagnostic) = &found {
            assert!(crate::app_file::render(diagnostic, &text).starts_with(FILE_NAME));
        }
        found.map_or_else(|diagnostic| !diagnostic.message.starts_with("this is not JSON:"), |_| true)
    }

    // engines json
    #[test]
    fn the_json_test_suite_is_judged_right() {
        let files = suite();
        let mut wrong = Vec::new();
        for (name, bytes) in &files {
            let expected = match name.split('_').next() {
                Some("y") => Some(true),
                Some("n") => Some(false),
                _ => None,
            };
            let is_json = is_json(bytes);
            // The same inside of a file that is otherwise good.
            let inside = [b"{\"engines\": {\"node\": \"22\"}, \"x\": ", bytes.as_slice(), b"}"].concat();
            let _ = self::is_json(&inside);
            if expected.is_some_and(|expected| expected != is_json) {
                wrong.push(name.clone());
            }
        }
        assert!(files.is_empty() || files.len() == 318, "{}", files.len());
        assert_eq!(wrong, Vec::<String>::new());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_fall_over(text in "[{}\\[\\]:,\"a-z0-9 \\\\\\n.-]{0,60}|\\PC{0,40}") {
            is_json(text.as_bytes());
            is_json(format!("{{\"engines\": {{\"node\": \"22\"}}, \"x\": {text}}}").as_bytes());
        }
    }
}
