//! Matches a path against a translated pattern, in time that grows with both and no faster.

use super::class::Set;
use super::escape::WORD;
use super::{Effort, Exhausted, Reason, parse};

/// A regular expression of the kinds that a pattern can become, as the steps of a machine that is in several places
/// at once.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    /// Where it may begin: one place for each alternative.
    pub(super) starts: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// One character of a set.
    One(Set),
    /// Any number of characters of a set.
    Many(Set),
    /// The next steps, or not.
    Maybe { steps: usize },
    /// The start of the path.
    Start,
    /// The end of the path.
    End,
    /// The start or the end of a word, or neither.
    Boundary { is_wanted: bool },
    /// It matches.
    Match,
}

/// What follows the characters that a program runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    End,
    /// More, not known yet.
    Unknown,
}

/// Where a run ended.
#[derive(Debug)]
pub(super) struct Ending {
    /// Whether it matched.
    pub(super) matched: bool,
    /// Whether it could still match, if more followed.
    pub(super) is_alive: bool,
}

impl Program {
    /// Reads a regular expression that [`translate`](super::regex::translate) made.
    pub(super) fn parse(regex: &[char]) -> Result<Self, Reason> {
        parse::parse(regex)
    }

    /// Runs over a path. What is matched may begin and end anywhere, unless a step says otherwise.
    pub(super) fn run(&self, path: &[char], next: Next, effort: &mut Effort) -> Result<Ending, Exhausted> {
        effort.spend(self.steps.len())?;
        let mut places = Places::new(self);
        places.begin(&Around { path, at: 0, next });
        for (at, character) in path.iter().enumerate() {
            if places.matched {
                break;
            }
            effort.spend(self.starts.len() + places.now.len())?;
            let around = Around { path, at: at + 1, next };
            places.advance(*character, &around);
            places.begin(&around);
        }
        Ok(Ending { matched: places.matched, is_alive: !places.now.is_empty() })
    }
}

/// A position in a path.
struct Around<'p> {
    path: &'p [char],
    at: usize,
    next: Next,
}

impl Around<'_> {
    fn is_end(&self) -> bool {
        self.at == self.path.len() && self.next == Next::End
    }

    /// Whether a word begins or ends here. Where that is not known yet, it may be either.
    fn is_boundary(&self, is_wanted: bool) -> bool {
        let is_word = |character: Option<&char>| character.is_some_and(|one| Set::of(WORD).contains(*one));
        let before = self.at.checked_sub(1).and_then(|before| self.path.get(before));
        let is_unknown = self.at == self.path.len() && self.next == Next::Unknown;
        is_unknown || (is_word(before) != is_word(self.path.get(self.at))) == is_wanted
    }
}

/// All places that a program is in.
struct Places<'p> {
    program: &'p Program,
    now: Vec<usize>,
    /// For each step, the position after the one at which it was last reached; 0 for none.
    reached: Vec<usize>,
    matched: bool,
}

impl<'p> Places<'p> {
    fn new(program: &'p Program) -> Self {
        Self { program, now: Vec::new(), reached: vec![0; program.steps.len()], matched: false }
    }

    fn begin(&mut self, around: &Around<'_>) {
        for start in &self.program.starts {
            self.enter(*start, around);
        }
    }

    /// Adds a place, and those that are reached from it without a character.
    fn enter(&mut self, place: usize, around: &Around<'_>) {
        let mut entered = vec![place];
        while let Some(place) = entered.pop() {
            if std::mem::replace(&mut self.reached[place], around.at + 1) > around.at {
                continue;
            }
            match &self.program.steps[place] {
                Step::One(_) => self.now.push(place),
                Step::Many(_) => {
                    self.now.push(place);
                    entered.push(place + 1);
                }
                Step::Maybe { steps } => entered.extend([place + 1, place + 1 + steps]),
                Step::Start if around.at == 0 => entered.push(place + 1),
                Step::End if around.is_end() => entered.push(place + 1),
                Step::Boundary { is_wanted } if around.is_boundary(*is_wanted) => entered.push(place + 1),
                Step::Start | Step::End | Step::Boundary { .. } => {}
                Step::Match => self.matched = true,
            }
        }
    }

    fn advance(&mut self, character: char, around: &Around<'_>) {
        let before = std::mem::take(&mut self.now);
        for place in before {
            match &self.program.steps[place] {
                Step::One(set) if set.contains(character) => self.enter(place + 1, around),
                Step::Many(set) if set.contains(character) => self.enter(place, around),
                _ => {}
            }
        }
    }
}
