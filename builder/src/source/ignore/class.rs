//! Sets of characters, as Go's regular expressions write them.

use super::Reason;
use super::escape::{character, perl_class};

/// Ranges of characters, both ends included.
pub(super) type Ranges = Vec<(char, char)>;

/// A set of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set {
    ranges: Ranges,
    is_negated: bool,
}

impl Set {
    pub(super) fn of(ranges: &[(char, char)]) -> Self {
        Self { ranges: ranges.to_vec(), is_negated: false }
    }

    pub(super) fn one(character: char) -> Self {
        Self::of(&[(character, character)])
    }

    pub(super) fn all_but(character: char) -> Self {
        Self { is_negated: true, ..Self::one(character) }
    }

    pub(super) fn contains(&self, character: char) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&character)) != self.is_negated
    }

    /// Reads what follows a `[`, up to its `]`.
    pub(super) fn parse(mut rest: &[char]) -> Result<(Self, &[char]), Reason> {
        let is_negated = rest.first() == Some(&'^');
        rest = &rest[usize::from(is_negated)..];
        let mut ranges = Ranges::new();
        let mut is_first = true;
        while is_first || rest.first() != Some(&']') {
            is_first = false;
            rest = if let Some((named, after)) = named(rest)? {
                ranges.extend(named);
                after
            } else if let Some((class, after)) = perl_class(rest) {
                ranges.extend(class);
                after
            } else {
                let (range, after) = range(rest)?;
                ranges.push(range);
                after
            };
        }
        Ok((Self { ranges, is_negated }, &rest[1..]))
    }
}

/// One character, or two with a hyphen between them.
fn range(rest: &[char]) -> Result<((char, char), &[char]), Reason> {
    let (low, rest) = in_class(rest)?;
    match rest {
        ['-', after @ ..] if after.first().is_some_and(|next| *next != ']') => {
            let (high, rest) = in_class(after)?;
            if high < low { Err(Reason::Range) } else { Ok(((low, high), rest)) }
        }
        _ => Ok(((low, low), rest)),
    }
}

fn in_class(rest: &[char]) -> Result<(char, &[char]), Reason> {
    match rest {
        [] => Err(Reason::Brackets),
        ['\\', after @ ..] => character(after),
        [first, after @ ..] => Ok((*first, after)),
    }
}

/// A class with a name: `[:alpha:]`, or `[:^alpha:]` for all others.
fn named(rest: &[char]) -> Result<Option<(Ranges, &[char])>, Reason> {
    let ['[', ':', inner @ ..] = rest else { return Ok(None) };
    let Some(end) = inner.windows(2).position(|pair| pair == [':', ']']) else { return Ok(None) };
    let name: String = inner[..end].iter().collect();
    let after = &inner[end + 2..];
    match name.strip_prefix('^') {
        Some(name) => Ok(Some((complement(posix(name).ok_or(Reason::ClassName)?), after))),
        None => Ok(Some((posix(&name).ok_or(Reason::ClassName)?.to_vec(), after))),
    }
}

fn posix(name: &str) -> Option<&'static [(char, char)]> {
    Some(match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    })
}

/// All characters outside of ranges that are in order.
pub(super) fn complement(ranges: &[(char, char)]) -> Ranges {
    let mut others = Ranges::new();
    let mut next = Some('\0');
    for (low, high) in ranges {
        if let Some(from) = next
            && from < *low
        {
            let last = (from..*low).next_back().unwrap_or(from);
            others.push((from, last));
        }
        next = (*high..=char::MAX).nth(1);
    }
    others.extend(next.map(|from| (from, char::MAX)));
    others
}
