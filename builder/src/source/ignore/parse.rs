//! Reads the regular expressions that patterns are translated to: what Go understands of them.

use super::Reason;
use super::class::Set;
use super::escape::{character, perl_class};
use super::program::{Program, Step};

/// The largest number of a repetition.
const REPEATED: usize = 1000;
/// The most steps of a program.
const STEPS: usize = 100_000;

/// Reads a regular expression.
pub(super) fn parse(regex: &[char]) -> Result<Program, Reason> {
    let mut parser = Parser { steps: Vec::new(), starts: vec![0], last: Last::Nothing };
    let mut rest = regex;
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            '^' => parser.push(Step::Start, after),
            '$' => parser.push(Step::End, after),
            '|' => parser.alternative(after),
            '(' => parser.directories(&rest["(.*/)?".len()..]),
            '.' => parser.set(Set::all_but('\n'), after),
            '[' => {
                let (set, after) = Set::parse(after)?;
                parser.set(set, after)
            }
            '{' => match repetition(after) {
                Some((least, most, after)) => parser.repeat(least, most, after)?,
                None => parser.push(Step::One(Set::one('{')), after),
            },
            '\\' => parser.escaped(rest)?,
            other => parser.push(Step::One(Set::one(*other)), after),
        };
        if parser.steps.len() > STEPS {
            return Err(Reason::TooLarge);
        }
    }
    parser.steps.push(Step::Match);
    Ok(Program { steps: parser.steps, starts: parser.starts })
}

/// What a repetition would repeat.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    /// The last step.
    Step,
    /// What is repeated already.
    Repetition,
}

struct Parser {
    steps: Vec<Step>,
    starts: Vec<usize>,
    last: Last,
}

impl Parser {
    fn push<'r>(&mut self, step: Step, after: &'r [char]) -> &'r [char] {
        self.steps.push(step);
        self.last = Last::Step;
        after
    }

    /// A set, and the star that may follow it.
    fn set<'r>(&mut self, set: Set, after: &'r [char]) -> &'r [char] {
        let Some(after) = after.strip_prefix(&['*']) else { return self.push(Step::One(set), after) };
        self.push(Step::Many(set), after);
        self.last = Last::Repetition;
        after
    }

    fn alternative<'r>(&mut self, after: &'r [char]) -> &'r [char] {
        self.steps.push(Step::Match);
        self.starts.push(self.steps.len());
        self.last = Last::Nothing;
        after
    }

    /// `(.*/)?`, the only group that there is.
    fn directories<'r>(&mut self, after: &'r [char]) -> &'r [char] {
        self.steps.extend([
            Step::Maybe { steps: 2 },
            Step::Many(Set::all_but('\n')),
            Step::One(Set::one('/')),
        ]);
        self.last = Last::Repetition;
        after
    }

    fn repeat<'r>(
        &mut self,
        least: usize,
        most: Option<usize>,
        after: &'r [char],
    ) -> Result<&'r [char], Reason> {
        let is_ordered = most.is_none_or(|most| least <= most && most <= REPEATED);
        let step = self.steps.pop_if(|_| self.last == Last::Step && least <= REPEATED && is_ordered);
        let step = step.ok_or(Reason::Repetition)?;
        self.steps.extend(std::iter::repeat_n(step.clone(), least));
        match (most, step) {
            (None, Step::One(set)) => self.steps.push(Step::Many(set)),
            (None, _) => {}
            (Some(most), step) => {
                for _ in least..most {
                    self.steps.extend([Step::Maybe { steps: 1 }, step.clone()]);
                }
            }
        }
        self.last = Last::Repetition;
        Ok(after)
    }

    /// What begins with a backslash.
    fn escaped<'r>(&mut self, rest: &'r [char]) -> Result<&'r [char], Reason> {
        let after = rest.get(2..).unwrap_or_default();
        let step = match rest.get(1) {
            Some('Q') => return Ok(self.literal(after)),
            Some('A') => Step::Start,
            Some('z') => Step::End,
            Some('b') => Step::Boundary { is_wanted: true },
            Some('B') => Step::Boundary { is_wanted: false },
            _ => {
                if let Some((ranges, after)) = perl_class(rest) {
                    return Ok(self.push(Step::One(Set::of(&ranges)), after));
                }
                let (character, after) = character(&rest[1..])?;
                return Ok(self.push(Step::One(Set::one(character)), after));
            }
        };
        Ok(self.push(step, after))
    }

    /// What follows `\Q`, up to `\E` or to the end.
    fn literal<'r>(&mut self, rest: &'r [char]) -> &'r [char] {
        let end = rest.windows(2).position(|pair| pair == ['\\', 'E']);
        for character in &rest[..end.unwrap_or(rest.len())] {
            self.push(Step::One(Set::one(*character)), &[]);
        }
        end.map_or(&[], |end| &rest[end + 2..])
    }
}

/// The numbers of `{2}`, `{2,}` or `{2,3}`, of which the `{` has been read; anything else is literal.
fn repetition(rest: &[char]) -> Option<(usize, Option<usize>, &[char])> {
    let (least, rest) = number(rest)?;
    let (most, rest) = match rest {
        [',', '}', ..] => (None, &rest[1..]),
        [',', after @ ..] => {
            let (most, rest) = number(after)?;
            (Some(most), rest)
        }
        _ => (Some(least), rest),
    };
    rest.strip_prefix(&['}']).map(|after| (least, most, after))
}

/// Digits without a leading zero. A number of more than eight is one that is too large.
fn number(rest: &[char]) -> Option<(usize, &[char])> {
    let digits: String = rest.iter().take_while(|digit| digit.is_ascii_digit()).collect();
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    let value = if digits.len() > 8 { usize::MAX } else { digits.parse().ok()? };
    Some((value, &rest[digits.len()..]))
}
