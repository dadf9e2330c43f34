//! Lines of a YAML file.

use std::fmt::Write as _;

use super::scalar;
use crate::report::printable;

/// A file that is written line by line.
#[derive(Debug, Default)]
pub(super) struct Writer(String);

impl Writer {
    pub(super) fn text(self) -> String {
        self.0
    }

    pub(super) fn blank(&mut self) {
        self.0.push('\n');
    }

    pub(super) fn line(&mut self, indent: usize, text: &str) {
        let _ = writeln!(self.0, "{:indent$}{text}", "");
    }

    /// A comment: one line, whatever the text holds.
    pub(super) fn comment(&mut self, indent: usize, text: &str) {
        self.line(indent, &format!("# {}", printable(text)));
    }

    /// Keys that are not needed, as they would be written.
    pub(super) fn example(&mut self, indent: usize, about: &str, lines: &[&str]) {
        self.comment(indent, about);
        for line in lines {
            self.line(indent, &format!("# {line}"));
        }
    }

    /// A key and its value.
    pub(super) fn key(&mut self, indent: usize, key: &str, value: &str) {
        self.line(indent, &format!("{key}: {}", scalar(value, indent + 2)));
    }

    /// An item of a list.
    pub(super) fn item(&mut self, indent: usize, value: &str) {
        self.line(indent, &format!("- {}", scalar(value, indent + 2)));
    }
}
