//! Docker's translation of a pattern to a regular expression.
//!
//! The translation knows nothing of brackets, so a `*` between them is translated as well; what a `\` stands before is
//! left to the regular expression to understand, and so are `|` and `{2}`. All of it is part of what Docker matches.

/// How Docker matches a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The path is the pattern.
    Exact,
    /// The path begins with what stands before the `**` at the end.
    Prefix,
    /// The path ends with what stands after the `**` at the start.
    Suffix,
    /// The path is matched by the regular expression.
    Regex,
}

/// What every name is made of.
const IN_A_NAME: &str = "[^/]";

/// Translates a pattern.
pub(super) fn translate(pattern: &[char]) -> (Shape, Vec<char>) {
    let mut shape = Shape::Exact;
    let mut regex = String::from("^");
    // A byte order mark is not seen at the very start.
    let pattern = pattern.strip_prefix(&['\u{feff}']).unwrap_or(pattern);
    let mut rest = pattern.iter().copied().peekable();
    let mut is_first = true;
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                shape = stars(shape, is_first, rest.peek().is_none(), &mut regex);
            }
            '*' => {
                regex.push_str(IN_A_NAME);
                regex.push('*');
                shape = Shape::Regex;
            }
            '?' => {
                regex.push_str(IN_A_NAME);
                shape = Shape::Regex;
            }
            '.' | '+' | '(' | ')' | '$' => regex.extend(['\\', character]),
            '\\' => {
                regex.push('\\');
                if let Some(escaped) = rest.next() {
                    regex.push(escaped);
                    shape = Shape::Regex;
                }
            }
            '[' | ']' => {
                regex.push(character);
                shape = Shape::Regex;
            }
            _ => regex.push(character),
        }
        is_first = false;
    }
    regex.push('$');
    (shape, regex.chars().collect())
}

/// Two stars, and the slash after them.
fn stars(before: Shape, is_first: bool, is_last: bool, regex: &mut String) -> Shape {
    let shape = match (is_last, before) {
        (true, Shape::Exact) => Shape::Prefix,
        (true, _) => {
            regex.push_str(".*");
            Shape::Regex
        }
        (false, _) => {
            regex.push_str("(.*/)?");
            Shape::Regex
        }
    };
    if is_first { Shape::Suffix } else { shape }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(pattern: &str) -> (Shape, String) {
        let (shape, regex) = translate(&pattern.chars().collect::<Vec<_>>());
        (shape, regex.into_iter().collect())
    }

    #[test]
    fn a_pattern_without_wildcards_is_a_path() {
        for pattern in ["a", "a/b.c", "a^b", "a(b)"] {
            assert_eq!(translated(pattern).0, Shape::Exact, "{pattern}");
        }
    }

    #[test]
    fn two_stars_at_an_end_need_no_regular_expression() {
        assert_eq!(translated("a/**").0, Shape::Prefix);
        assert_eq!(translated("**/a.b").0, Shape::Suffix);
        assert_eq!(translated("**").0, Shape::Suffix);
        assert_eq!(translated("**/*.a"), (Shape::Regex, "^(.*/)?[^/]*\\.a$".to_owned()));
        assert_eq!(translated("a/**/b"), (Shape::Regex, "^a/(.*/)?b$".to_owned()));
        assert_eq!(translated("*/**"), (Shape::Regex, "^[^/]*/.*$".to_owned()));
    }

    #[test]
    fn brackets_do_not_keep_stars_from_being_translated() {
        assert_eq!(translated("[*]").1, "^[[^/]*]$");
        assert_eq!(translated("[a\\]b]").1, "^[a\\]b]$");
        assert_eq!(translated("*.{a|b}").1, "^[^/]*\\.{a|b}$");
    }
}
