//! Which paths of a source an ignore file leaves out: the rules of Docker's `.dockerignore`, to the letter.
//!
//! Docker has two readings of the same file. This is the one of its builder since version 23: a walk from the top, in
//! which a pattern that matched a directory counts for everything below it, and a pattern is not even tried where it
//! could not change the answer. The older reading, path by path, differs where a later pattern was not tried for a
//! directory and an exception then brings back what lies in it.
//!
//! Everything here is a value: bytes in, answers out. [`Rules`] come from the file; a [`Filter`] walks with them.

mod class;
mod escape;
mod filter;
mod lines;
mod parse;
mod pattern;
mod program;
mod regex;
mod syntax;

pub(crate) use filter::{Filter, Verdict};

use lines::lines;
use pattern::Pattern;

/// The patterns of an ignore file, in order.
#[derive(Debug)]
pub(crate) struct Rules {
    patterns: Vec<Pattern>,
    /// Whether every exception names a path, up to stars at its end.
    has_plain_exceptions: bool,
}

/// Why an ignore file is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern `{pattern}` is refused: {reason}")]
pub struct IgnoreError {
    /// The line, counted from 1.
    pub line: usize,
    /// The pattern, made printable.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum Reason {
    #[error("the line is longer than {limit} bytes")]
    LineLength { limit: usize },
    #[error("nothing follows the `!`")]
    NothingToBringBack,
    #[error("a `[` without a `]` after what it may match")]
    Brackets,
    #[error("nothing follows the `\\`")]
    NothingEscaped,
    #[error("a range that ends before it begins")]
    Range,
    #[error("Docker gives no meaning to a `\\` before `{after}`; directories are separated by `/`")]
    Escape { after: char },
    #[error("Docker knows no character class of this name")]
    ClassName,
    #[error("a repetition such as `{{2}}` with nothing to repeat, or with too large a number")]
    Repetition,
    #[error("it is too large")]
    TooLarge,
    #[error("classes of Unicode (`\\p`) are not supported")]
    UnicodeClass,
}

/// What the patterns say of one path. What they say of a directory is needed for everything in it.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// For each pattern, whether it matched this path or one above it.
    matched: Vec<bool>,
    /// The pattern that left the path out; none where it stays.
    left_out_by: Option<usize>,
}

/// How many steps of matching are left: patterns and paths that are made for it could take hours.
#[derive(Debug)]
pub(crate) struct Effort(u64);

/// The effort that was allowed has been spent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("its patterns take too long to be matched against so many paths")]
pub struct Exhausted;

impl Effort {
    fn spend(&mut self, steps: usize) -> Result<(), Exhausted> {
        self.0 = self.0.checked_sub(steps as u64).ok_or(Exhausted)?;
        Ok(())
    }
}

impl Rules {
    /// Reads an ignore file.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, IgnoreError> {
        let mut patterns = Vec::new();
        for line in lines(file) {
            let fail = |reason| IgnoreError {
                line: line.number,
                pattern: super::path::printable(&line.pattern),
                reason,
            };
            if let Some(limit) = line.too_long {
                return Err(fail(Reason::LineLength { limit }));
            }
            patterns.extend(Pattern::parse(&line.pattern).map_err(fail)?);
        }
        let mut exceptions = patterns.iter().filter(|pattern| pattern.is_exception);
        let has_plain_exceptions = exceptions.all(|exception| exception.stem().is_some());
        Ok(Self { patterns, has_plain_exceptions })
    }

    /// What the patterns say of a path, given what they say of the directory that holds it; none at the top.
    fn standing(
        &self,
        path: &pattern::Text<'_>,
        above: Option<&Standing>,
        effort: &mut Effort,
    ) -> Result<Standing, Exhausted> {
        let mut standing = Standing { matched: vec![false; self.patterns.len()], left_out_by: None };
        for (index, pattern) in self.patterns.iter().enumerate() {
            let inherited = above.is_some_and(|above| above.matched[index]);
            // Not tried where it could not change the answer; what is below a directory then inherits that as well.
            let is_tried = pattern.is_exception == standing.left_out_by.is_some();
            if inherited || (is_tried && pattern.matches(path, effort)?) {
                standing.matched[index] = true;
                standing.left_out_by = (!pattern.is_exception).then_some(index);
            }
        }
        Ok(standing)
    }

    /// Whether something below a directory that is left out may be brought back. The path ends in a slash.
    ///
    /// Only an exception that comes after the pattern that left the directory out can do so, since all that matched the
    /// directory also match below it.
    fn may_bring_back(
        &self,
        below: &pattern::Text<'_>,
        left_out_by: usize,
        effort: &mut Effort,
    ) -> Result<bool, Exhausted> {
        if self.is_passed_over(below) {
            return Ok(false);
        }
        for exception in self.patterns[left_out_by + 1..].iter().filter(|pattern| pattern.is_exception) {
            if exception.may_match_below(below, effort)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether Docker does not look into a directory that is left out: when every exception names a path, and none a
    /// path in it. To that question `a/*/**` names `a`, so it brings nothing back from `a/b` that `a/b` itself has not
    /// brought back.
    fn is_passed_over(&self, below: &pattern::Text<'_>) -> bool {
        let mut exceptions = self.patterns.iter().filter(|pattern| pattern.is_exception);
        self.has_plain_exceptions
            && !exceptions
                .any(|one| one.stem().is_some_and(|stem| [stem, b"/"].concat().starts_with(below.bytes)))
    }
}

#[cfg(test)]
mod tests;
