//! The range that `requires-python` of a Python project asks for: version specifiers as PEP 440 has them.

use std::cmp::Ordering;

use crate::Version;

/// The most clauses that one range may have; real ones have fewer than ten.
const CLAUSES: usize = 100;

/// A range of Python versions: `>=3.11`, `~=3.12.1`, `>=3.10,!=3.11.*,<4`.
///
/// Beyond PEP 440, ` || ` joins alternatives, as Poetry has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiresPython {
    /// Alternatives of clauses that all have to hold.
    alternatives: Vec<Vec<Clause>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Clause {
    operator: Operator,
    bound: Bound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Compatible,
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
    Below,
    Above,
}

/// The longest come first, so that `>=` is not read as `>`.
const OPERATORS: &[(&str, Operator)] = &[
    ("===", Operator::Equal),
    ("~=", Operator::Compatible),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("<", Operator::Below),
    (">", Operator::Above),
];

/// The version of a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    /// The numbers between the dots.
    release: Vec<u64>,
    /// Where the version stands beside the release of the same numbers: before it (`rc1`, `.dev2`), at it, or after it.
    beside: Ordering,
    /// Whether it ends in `.*`.
    is_prefix: bool,
}

impl RequiresPython {
    /// Reads a range; a text that is none gives none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let alternatives = text.split("||").map(clauses).collect::<Option<Vec<_>>>()?;
        (alternatives.iter().map(Vec::len).sum::<usize>() <= CLAUSES).then_some(Self { alternatives })
    }

    /// Tells whether a version lies in the range.
    #[must_use]
    pub fn is_satisfied_by(&self, version: Version) -> bool {
        let holds = |clauses: &Vec<Clause>| clauses.iter().all(|clause| clause.holds(version));
        self.alternatives.iter().any(holds)
    }

    /// Tells whether a version of a minor line may lie in the range, be it one that there is or one that will be.
    #[must_use]
    pub fn reaches(&self, major: u64, minor: u64) -> bool {
        // Whether a patch lies in the range changes only at the numbers that the range itself has.
        let numbers = self.alternatives.iter().flatten().flat_map(|clause| &clause.bound.release);
        let patches = numbers.flat_map(|&number| [number, number.saturating_add(1)]).chain([0]);
        let mut versions = patches.map(|patch| Version { major, minor, patch });
        versions.any(|version| self.is_satisfied_by(version))
    }
}

/// Reads clauses with commas between them; nothing between two commas is nothing.
fn clauses(text: &str) -> Option<Vec<Clause>> {
    text.split(',').map(str::trim).filter(|clause| !clause.is_empty()).map(Clause::parse).collect()
}

impl Clause {
    fn parse(text: &str) -> Option<Self> {
        let (sign, operator) = *OPERATORS.iter().find(|(sign, _)| text.starts_with(sign))?;
        let bound = Bound::parse(text[sign.len()..].trim())?;
        let allows_prefix = matches!(sign, "==" | "!=");
        let is_valid = match operator {
            Operator::Compatible => bound.release.len() > 1 && !bound.is_prefix,
            _ => allows_prefix || !bound.is_prefix,
        };
        is_valid.then_some(Self { operator, bound })
    }

    fn holds(&self, version: Version) -> bool {
        let bound = &self.bound;
        match self.operator {
            Operator::Equal if bound.is_prefix => bound.begins(version, bound.release.len()),
            Operator::NotEqual if bound.is_prefix => !bound.begins(version, bound.release.len()),
            Operator::Equal => bound.compare(version).is_eq(),
            Operator::NotEqual => bound.compare(version).is_ne(),
            Operator::AtMost => bound.compare(version).is_le(),
            Operator::AtLeast => bound.compare(version).is_ge(),
            Operator::Below => bound.compare(version).is_lt(),
            Operator::Above => bound.compare(version).is_gt(),
            Operator::Compatible => {
                bound.compare(version).is_ge() && bound.begins(version, bound.release.len() - 1)
            }
        }
    }
}

impl Bound {
    fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let text = text.strip_prefix('v').unwrap_or(&text);
        let (text, is_prefix) = text.strip_suffix(".*").map_or((text, false), |shorter| (shorter, true));
        // A local version counts for packages only; for a language there is none.
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (numbers, suffix) = text.split_at(digits);
        let (numbers, suffix) = match numbers.strip_suffix('.') {
            Some(shorter) if !suffix.is_empty() => (shorter, suffix),
            Some(_) => return None,
            None => (numbers, suffix),
        };
        let release = numbers.split('.').map(number).collect::<Option<Vec<_>>>()?;
        let beside = beside(suffix)?;
        (!is_prefix || suffix.is_empty()).then_some(Self { release, beside, is_prefix })
    }

    /// How a version stands to this one.
    fn compare(&self, version: Version) -> Ordering {
        let length = self.release.len().max(3);
        let padded =
            |numbers: &[u64]| (0..length).map(|at| numbers.get(at).copied().unwrap_or(0)).collect::<Vec<_>>();
        padded(&version.components()).cmp(&padded(&self.release)).then(self.beside.reverse())
    }

    /// Tells whether a version begins with the first numbers of this one; numbers that it does not have are zero.
    fn begins(&self, version: Version, count: usize) -> bool {
        let components = version.components();
        (0..count).all(|at| components.get(at).copied().unwrap_or(0) == self.release[at])
    }
}

/// Reads a number; PEP 440 allows leading zeros.
fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Reads what follows the release: `a1`, `-beta.2`, `rc`, `.post1`, `.dev3`.
fn beside(suffix: &str) -> Option<Ordering> {
    const WORDS: &[(&str, Ordering)] = &[
        ("alpha", Ordering::Less),
        ("beta", Ordering::Less),
        ("preview", Ordering::Less),
        ("pre", Ordering::Less),
        ("post", Ordering::Greater),
        ("rev", Ordering::Greater),
        ("dev", Ordering::Less),
        ("rc", Ordering::Less),
        ("a", Ordering::Less),
        ("b", Ordering::Less),
        ("c", Ordering::Less),
        ("r", Ordering::Greater),
    ];
    let mut rest = suffix;
    let mut first = None;
    while !rest.is_empty() {
        let word = rest.trim_start_matches(['.', '-', '_']);
        let (name, order) = WORDS.iter().find(|(name, _)| word.starts_with(name))?;
        first.get_or_insert(*order);
        let after = word[name.len()..].trim_start_matches(['.', '-', '_']);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    Some(first.unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn satisfies(range: &str, version: &str) -> bool {
        RequiresPython::parse(range).unwrap().is_satisfied_by(version.parse().unwrap())
    }

    #[test]
    fn a_range_reaches_the_lines_of_which_a_version_may_lie_in_it() {
        let reaches = |range: &str| RequiresPython::parse(range).unwrap().reaches(3, 13);
        for range in [
            "",
            ">=3.9",
            ">=3.13.7",
            "~=3.13.2",
            "==3.13.1",
            ">3.13.0,<3.13.2",
            "!=3.13.0,<3.13.2",
            "<3.13.1",
            "==3.13.*",
            "<3 || >3.12.9",
        ] {
            assert!(reaches(range), "{range}");
        }
        for range in ["<3.13", ">=3.14", "!=3.13.*", ">3.13.0,<3.13.1", "~=3.12.2", "<3.13.1,!=3.13.0", ">=4"]
        {
            assert!(!reaches(range), "{range}");
        }
    }

    #[test]
    fn ranges_are_those_of_pep_440() {
        for (range, inside, outside) in [
            (">=3.11", &["3.11.0", "3.13.5", "4.0.0"][..], &["3.10.99", "2.7.18"][..]),
            (">= 3.11 , < 3.13", &["3.11.0", "3.12.9"], &["3.13.0", "3.10.1"]),
            ("<3.13", &["3.12.9"], &["3.13.0", "3.13.5"]),
            ("<=3.12", &["3.11.9", "3.12.0"], &["3.12.1"]),
            (">3.11", &["3.11.1", "3.12.0"], &["3.11.0"]),
            ("~=3.11", &["3.11.0", "3.13.5"], &["3.10.9", "4.0.0"]),
            ("~=3.11.4", &["3.11.4", "3.11.9"], &["3.11.3", "3.12.0"]),
            ("==3.11", &["3.11.0"], &["3.11.1"]),
            ("==3.11.*", &["3.11.0", "3.11.9"], &["3.12.0", "3.1.1"]),
            ("===3.11.2", &["3.11.2"], &["3.11.3"]),
            (">=3.10,!=3.11.*,<4", &["3.10.1", "3.12.0"], &["3.11.5", "4.0.0"]),
            ("!=3.12.1", &["3.12.0"], &["3.12.1"]),
            (">=3.13.0rc1", &["3.13.0"], &["3.12.9"]),
            ("<3.14.0a1", &["3.13.9"], &["3.14.0"]),
            ("<3.14.0.post1", &["3.14.0"], &["3.14.1"]),
            (">3.13.0.dev2", &["3.13.0"], &["3.12.1"]),
            ("==3.13.0-beta.2", &[], &["3.13.0"]),
            (">=3,<4", &["3.0.0", "3.99.99"], &["4.0.0"]),
            (">=03.011", &["3.11.0"], &["3.10.9"]),
            ("==3.11.2.0", &["3.11.2"], &["3.11.3"]),
            ("", &["2.7.18", "3.13.5"], &[]),
            (">=3.9,,<4,", &["3.9.0"], &["3.8.0", "4.0.0"]),
            (">=3.9,<3.10 || >=3.12,<3.14", &["3.9.1", "3.12.0"], &["3.10.1", "3.11.0", "3.14.0"]),
        ] {
            assert!(inside.iter().all(|version| satisfies(range, version)), "{range}");
            assert!(!outside.iter().any(|version| satisfies(range, version)), "{range}");
        }
    }

    #[test]
    fn a_text_that_is_no_range_gives_none() {
        for text in [
            "3.11",
            "^3.11",
            "~3.11",
            ">3.x",
            ">=",
            ">=3.11;",
            ">=3.11 <3.13",
            ">=3.*",
            "~=3",
            "===3.*",
            "==3.*.1",
            ">=3.11.",
            ">=3..1",
            ">=3.11foo",
            "python>=3",
            "=>3.11",
            ">=99999999999999999999",
        ] {
            assert_eq!(RequiresPython::parse(text), None, "{text}");
        }
        assert_eq!(RequiresPython::parse(&vec![">=3"; 101].join(",")), None);
    }
}
