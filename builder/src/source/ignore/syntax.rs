//! Which patterns Docker refuses before it tries them: those in which Go's `filepath.Match` finds a fault while it
//! matches them against the name `.`. It looks no further than to the first part that does not match, so that
//! `a/*[_-]b` is accepted and `[_-]b` is not.

use super::Reason;

/// Checks brackets and backslashes.
pub(super) fn check(pattern: &[u8]) -> Result<(), Reason> {
    let mut name: &[u8] = b".";
    let mut rest = pattern;
    while !rest.is_empty() {
        let (star, part, after) = split(rest);
        rest = after;
        if star && part.is_empty() {
            return Ok(());
        }
        let mut left = None;
        for skipped in 0..=(if star { name.len() } else { 0 }) {
            left = matched(part, &name[skipped..])?.filter(|left| left.is_empty() || !rest.is_empty());
            if left.is_some() {
                break;
            }
        }
        let Some(left) = left else { return Ok(()) };
        name = left;
    }
    Ok(())
}

/// Whether a pattern begins with a star, what follows up to the next one, and the rest.
fn split(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
    let part = &pattern[stars..];
    let (mut in_class, mut at) = (false, 0);
    while at < part.len() && (in_class || part[at] != b'*') {
        match part[at] {
            b'\\' if at + 1 < part.len() => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            _ => {}
        }
        at += 1;
    }
    (stars > 0, &part[..at], &part[at..])
}

/// What is left of a name when a part without stars has matched its start; none when it does not match. The part is
/// read to its end in either case.
fn matched<'n>(mut part: &[u8], mut name: &'n [u8]) -> Result<Option<&'n [u8]>, Reason> {
    let mut failed = false;
    while let Some((first, after)) = part.split_first() {
        let next = if failed { None } else { name.split_first() };
        failed = next.is_none();
        let (byte, left) = next.unwrap_or((&0, name));
        let matches;
        (matches, part) = match first {
            b'[' => class(after, *byte)?,
            b'?' => (*byte != b'/', after),
            b'\\' => {
                let (literal, after) = after.split_first().ok_or(Reason::NothingEscaped)?;
                (literal == byte, after)
            }
            literal => (literal == byte, after),
        };
        failed |= !matches;
        name = left;
    }
    Ok((!failed).then_some(name))
}

/// Whether a class has a character, and what follows the class, of which the `[` has been read.
fn class(pattern: &[u8], byte: u8) -> Result<(bool, &[u8]), Reason> {
    let negated = pattern.strip_prefix(b"^");
    let mut rest = negated.unwrap_or(pattern);
    let mut found = false;
    loop {
        let (low, high);
        (low, rest) = character(rest)?;
        (high, rest) = match rest.strip_prefix(b"-") {
            Some(after) => character(after)?,
            None => (low, rest),
        };
        found |= (low..=high).contains(&char::from(byte));
        if let Some(after) = rest.strip_prefix(b"]") {
            return Ok((found != negated.is_some(), after));
        }
    }
}

/// One character of a class, after which something has to follow.
fn character(pattern: &[u8]) -> Result<(char, &[u8]), Reason> {
    let rest = match pattern.first() {
        None | Some(b'-' | b']') => return Err(Reason::Brackets),
        Some(b'\\') => &pattern[1..],
        Some(_) => pattern,
    };
    let text =
        (1..=4).find_map(|width| std::str::from_utf8(rest.get(..width)?).ok()).ok_or(Reason::Brackets)?;
    let after = &rest[text.len()..];
    let first = text.chars().next().filter(|_| !after.is_empty()).ok_or(Reason::Brackets)?;
    Ok((first, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_close_and_backslashes_have_something_to_escape() {
        for good in
            ["a", "[a]", "[^a]", "[a-z]", "[\\]]", "[\\-]", "a]", "[[]", "[z-a]", "\\[", "[é]", "[a^]", "[!]"]
        {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [
            "[", "[]", "[]a]", "[^]", "[^]a]", "[a", "[-]", "[-a]", "[a-]", "[a-b-c]", "[\\", "a[", "*[",
            "[é",
        ] {
            assert_eq!(check(bad.as_bytes()), Err(Reason::Brackets), "{bad}");
        }
        assert_eq!(check(b"[\xff]"), Err(Reason::Brackets));
        for bad in ["\\", "a\\", "\\\\\\", "*\\"] {
            assert_eq!(check(bad.as_bytes()), Err(Reason::NothingEscaped), "{bad}");
        }
    }

    #[test]
    fn nothing_is_looked_at_after_the_first_part_that_does_not_match() {
        for good in ["a*[", "a/*[_-]b", "a*\\", "**/*[-a]", ".*a*["] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [".*[", "?*[", "[.]*[", "**["] {
            assert_eq!(check(bad.as_bytes()), Err(Reason::Brackets), "{bad}");
        }
    }
}
