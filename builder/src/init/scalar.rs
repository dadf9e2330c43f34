//! Texts as YAML scalars that every reader takes for the same text, ours and those that see numbers and switches.

use std::fmt::Write as _;

/// Writes a text as a scalar: plain where nobody can take it for anything else, in quotes otherwise, and several lines as
/// a block whose lines have this indentation.
#[must_use]
pub fn scalar(text: &str, indent: usize) -> String {
    if is_plain(text) {
        text.to_owned()
    } else if is_block(text) {
        block(text, indent)
    } else if text.chars().all(is_printable) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        double_quoted(text)
    }
}

fn is_plain(text: &str) -> bool {
    let begins_plainly = text.starts_with(|c: char| c.is_ascii_alphabetic() || "_./$".contains(c))
        || (text.starts_with(|c: char| c.is_ascii_digit()) && !is_like_a_number(text));
    begins_plainly
        && !is_word_of_yaml(text)
        && !is_like_a_number(text)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && text.chars().all(is_printable)
}

/// Words that some readers take for a switch or for nothing.
fn is_word_of_yaml(text: &str) -> bool {
    let word = text.to_ascii_lowercase();
    matches!(
        word.as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "null" | "nan" | "inf"
    ) || matches!(word.as_str(), ".nan" | ".inf" | "...")
}

/// Whether some reader could take a text for a number, a date or a time.
fn is_like_a_number(text: &str) -> bool {
    let has_digit = text.contains(|c: char| c.is_ascii_digit());
    has_digit && text.chars().all(|c| c.is_ascii_hexdigit() || "xXoO_.:,+-TZ ".contains(c))
}

/// Characters that stand in a file as themselves.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Several lines that a block holds as they are: none is blank, none begins or ends with a space.
fn is_block(text: &str) -> bool {
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
    let is_plain = |line: &&str| !line.is_empty() && line.trim() == *line && line.chars().all(is_printable);
    lines.len() > 1 && lines.iter().all(is_plain)
}

fn block(text: &str, indent: usize) -> String {
    let (mark, lines) = match text.strip_suffix('\n') {
        Some(lines) => ("|", lines),
        None => ("|-", text),
    };
    let margin = " ".repeat(indent);
    let lines: Vec<String> = lines.split('\n').map(|line| format!("{margin}{line}")).collect();
    format!("{mark}\n{}", lines.join("\n"))
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        let _ = match c {
            '"' => quoted.write_str("\\\""),
            '\\' => quoted.write_str("\\\\"),
            '\n' => quoted.write_str("\\n"),
            '\t' => quoted.write_str("\\t"),
            '\r' => quoted.write_str("\\r"),
            '\0' => quoted.write_str("\\0"),
            c if is_printable(c) => quoted.write_char(c),
            c if u32::from(c) <= 0xff => write!(quoted, "\\x{:02x}", u32::from(c)),
            c if u32::from(c) <= 0xffff => write!(quoted, "\\u{:04x}", u32::from(c)),
            c => write!(quoted, "\\U{:08x}", u32::from(c)),
        };
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app_file::{FILE_NAME, Severity, parse};

    /// Reads a scalar back, as a command of a list and as the value of a key.
    fn read_back(text: &str) -> (String, String) {
        let file = format!(
            "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n      - {}\nrun:\n  command: x\n  env:\n    - name: X\n      value: {}\n",
            scalar(text, 8),
            scalar(text, 8)
        );
        let (read, problems) = parse(FILE_NAME, &file);
        assert!(problems.iter().all(|problem| problem.severity != Severity::Error), "{problems:?}\n{file}");
        let read = read.unwrap();
        let command = read.build.build.first().map(|command| command.text.clone()).unwrap_or_default();
        (command, read.run.env[0].value.value.clone())
    }

    #[test]
    fn texts_are_written_as_people_would_write_them() {
        for (text, written) in [
            ("npm ci", "npm ci"),
            ("gunicorn -b 0.0.0.0:8000 app:app", "gunicorn -b 0.0.0.0:8000 app:app"),
            (".venv/bin/pip install -r requirements.txt", ".venv/bin/pip install -r requirements.txt"),
            ("$HOME/x", "$HOME/x"),
            ("3.13-slim", "3.13-slim"),
            ("echo a: b", "'echo a: b'"),
            ("echo a #b", "'echo a #b'"),
            ("it's: x", "'it''s: x'"),
            ("* x", "'* x'"),
            ("- x", "'- x'"),
            ("[ -f x ]", "'[ -f x ]'"),
            ("\"a\" b", "'\"a\" b'"),
            ("x:", "'x:'"),
            (" x", "' x'"),
            ("", "''"),
            ("~", "'~'"),
            ("yes", "'yes'"),
            ("Null", "'Null'"),
            ("3.10", "'3.10'"),
            ("0x1f", "'0x1f'"),
            ("2026-11-26", "'2026-11-26'"),
            ("12:30", "'12:30'"),
            ("1e3", "'1e3'"),
            ("a\nb", "|-\n    a\n    b"),
            ("a\nb\n", "|\n    a\n    b"),
            ("a\n  b", "\"a\\n  b\""),
            ("a\n", "\"a\\n\""),
            ("a\tb", "\"a\\tb\""),
            ("\u{7}\u{2028}\u{e0001}", "\"\\x07\\u2028\u{e0001}\""),
        ] {
            assert_eq!(scalar(text, 4), written, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn every_text_is_read_back_as_it_was(text in "(?s).{0,40}|[-:#\\[\\]{}'\"|>*&!%@`,? \\n\\ta-c0-9.~]{0,12}") {
            // A file cannot hold a zero byte, nor a variable; a command of blanks is none.
            prop_assume!(!text.contains('\0'));
            let (command, value) = read_back(&text);
            prop_assert_eq!(&value, &text);
            if !text.trim().is_empty() {
                prop_assert_eq!(&command, &text);
            }
        }
    }
}
