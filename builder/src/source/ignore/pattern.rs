//! One pattern: how it is read, and what it matches.

use super::lines::{clean, trim};
use super::program::{Next, Program};
use super::regex::{Shape, translate};
use super::{Effort, Exhausted, Reason, syntax};

/// A pattern of an ignore file.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Whether it brings back what earlier patterns left out.
    pub(super) is_exception: bool,
    path: Vec<u8>,
    form: Form,
}

/// How a pattern is matched.
#[derive(Debug)]
enum Form {
    /// The path is that of the pattern.
    Exact,
    /// The path begins so.
    Prefix(Vec<u8>),
    /// The path ends so, or is all of it but a leading slash.
    Suffix(Vec<u8>),
    /// The path as a whole runs through a program.
    Program(Program),
}

/// A path, as bytes and as characters. A byte that is no UTF-8 counts as one replacement character.
pub(super) struct Text<'p> {
    pub(super) bytes: &'p [u8],
    characters: Vec<char>,
}

impl<'p> Text<'p> {
    pub(super) fn new(bytes: &'p [u8]) -> Self {
        Self { bytes, characters: characters(bytes) }
    }
}

pub(super) fn characters(bytes: &[u8]) -> Vec<char> {
    let chunks = bytes.utf8_chunks();
    let replaced = |count| std::iter::repeat_n(char::REPLACEMENT_CHARACTER, count);
    chunks.flat_map(|chunk| chunk.valid().chars().chain(replaced(chunk.invalid().len()))).collect()
}

impl Pattern {
    /// Reads a pattern; one that is empty once trimmed is none.
    pub(super) fn parse(line: &[u8]) -> Result<Option<Self>, Reason> {
        // Cleaning may have uncovered white space (`a /`): Docker trims and cleans a second time.
        let line = trim(line);
        if line.is_empty() {
            return Ok(None);
        }
        let line = clean(line);
        let (is_exception, path) = match line.strip_prefix(b"!") {
            Some(b"") => return Err(Reason::NothingToBringBack),
            Some(path) => (true, path),
            None => (false, line.as_slice()),
        };
        syntax::check(path)?;
        Ok(Some(Self { is_exception, form: form(path)?, path: path.to_vec() }))
    }

    /// The path without stars at its end, when it has no other wildcard.
    pub(super) fn stem(&self) -> Option<&[u8]> {
        let path = self.path.strip_suffix(b"/**").unwrap_or(&self.path);
        let path = path.strip_suffix(b"/*").unwrap_or(path);
        (!path.iter().any(|byte| br"*[]?^\".contains(byte))).then_some(path)
    }

    pub(super) fn matches(&self, path: &Text<'_>, effort: &mut Effort) -> Result<bool, Exhausted> {
        effort.spend(1)?;
        Ok(match &self.form {
            Form::Exact => path.bytes == self.path,
            Form::Prefix(prefix) => path.bytes.starts_with(prefix),
            Form::Suffix(suffix) => {
                path.bytes.ends_with(suffix)
                    || suffix.strip_prefix(b"/").is_some_and(|name| path.bytes == name)
            }
            Form::Program(program) => program.run(&path.characters, Next::End, effort)?.matched,
        })
    }

    /// Whether it may match a path that begins so: a directory with its slash. It never says no where it does.
    pub(super) fn may_match_below(
        &self,
        directory: &Text<'_>,
        effort: &mut Effort,
    ) -> Result<bool, Exhausted> {
        effort.spend(1)?;
        Ok(match &self.form {
            Form::Exact => self.path.starts_with(directory.bytes),
            Form::Prefix(prefix) => {
                prefix.starts_with(directory.bytes) || directory.bytes.starts_with(prefix)
            }
            Form::Suffix(_) => true,
            Form::Program(program) => {
                let end = program.run(&directory.characters, Next::Unknown, effort)?;
                end.matched || end.is_alive
            }
        })
    }
}

fn form(path: &[u8]) -> Result<Form, Reason> {
    let (shape, regex) = translate(&characters(path));
    Ok(match shape {
        Shape::Exact => Form::Exact,
        Shape::Prefix => Form::Prefix(path[..path.len() - 2].to_vec()),
        Shape::Suffix => Form::Suffix(path[2..].to_vec()),
        Shape::Regex => Form::Program(Program::parse(&regex)?),
    })
}
