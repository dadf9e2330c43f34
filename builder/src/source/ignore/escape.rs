//! What a backslash means in Go's regular expressions.

use super::Reason;
use super::class::{Ranges, complement};

/// The character that an escape stands for; the backslash has been read.
pub(super) fn character(rest: &[char]) -> Result<(char, &[char]), Reason> {
    let (first, after) = rest.split_first().ok_or(Reason::NothingEscaped)?;
    let wrong = Reason::Escape { after: *first };
    let escaped = match first {
        'a' => '\x07',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'x' => return hexadecimal(after).ok_or(wrong),
        '0'..='7' => return octal(rest).ok_or(wrong),
        'p' | 'P' => return Err(Reason::UnicodeClass),
        other if other.is_ascii() && !other.is_ascii_alphanumeric() => *other,
        _ => return Err(wrong),
    };
    Ok((escaped, after))
}

/// Two digits after `\x`.
fn hexadecimal(rest: &[char]) -> Option<(char, &[char])> {
    let [high, low, after @ ..] = rest else { return None };
    char::from_u32(high.to_digit(16)? * 16 + low.to_digit(16)?).map(|character| (character, after))
}

/// Up to three digits; a single one that is not zero would be a reference to a group.
fn octal(rest: &[char]) -> Option<(char, &[char])> {
    let digits: Vec<u32> = rest.iter().take(3).map_while(|digit| digit.to_digit(8)).collect();
    if let [1..=7] = digits.as_slice() {
        return None;
    }
    let value = digits.iter().fold(0, |value, digit| value * 8 + digit);
    char::from_u32(value).map(|character| (character, &rest[digits.len()..]))
}

/// `\d`, `\s`, `\w` and their opposites.
pub(super) fn perl_class(rest: &[char]) -> Option<(Ranges, &[char])> {
    let ['\\', name, after @ ..] = rest else { return None };
    let ranges: &[(char, char)] = match name.to_ascii_lowercase() {
        'd' => &[('0', '9')],
        's' => &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')],
        'w' => WORD,
        _ => return None,
    };
    let ranges = if name.is_ascii_uppercase() { complement(ranges) } else { ranges.to_vec() };
    Some((ranges, after))
}

/// What words are made of, to `\w` and `\b`.
pub(super) const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
