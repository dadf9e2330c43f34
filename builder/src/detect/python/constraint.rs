//! Poetry's version constraints, as the specifiers of PEP 440.

/// Turns a constraint into specifiers; none when it is none. `^3.11` becomes `>=3.11,<4`, alternatives stay.
pub(super) fn to_specifiers(constraint: &str) -> Option<String> {
    let alternatives: Option<Vec<String>> = constraint.split("||").map(all_of).collect();
    // Poetry takes a single bar as well.
    Some(alternatives?.join(" || ")).filter(|text| !text.contains('|') || text.contains("||"))
}

/// Clauses that all hold, with commas or spaces between them.
fn all_of(text: &str) -> Option<String> {
    let mut clauses = Vec::new();
    let mut operator = String::new();
    for word in text.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty()) {
        // `>= 3.11` is one clause.
        if word.chars().all(|c| "<>=!~^".contains(c)) {
            operator.push_str(word);
            continue;
        }
        clauses.push(clause(&format!("{operator}{word}"))?);
        operator.clear();
    }
    (operator.is_empty() && !clauses.is_empty()).then(|| {
        let kept: Vec<String> = clauses.into_iter().filter(|clause| !clause.is_empty()).collect();
        kept.join(",")
    })
}

fn clause(text: &str) -> Option<String> {
    if text == "*" {
        return Some(String::new());
    }
    if let Some(version) = text.strip_prefix('^') {
        let numbers = numbers(version)?;
        // The first number that is not zero may not change.
        let kept = numbers.iter().position(|number| *number != 0).unwrap_or(numbers.len() - 1);
        return Some(format!(">={version},<{}", next(&numbers, kept)?));
    }
    if let Some(version) = text.strip_prefix('~').filter(|version| !version.starts_with('=')) {
        let numbers = numbers(version)?;
        let kept = usize::from(numbers.len() > 1);
        return Some(format!(">={version},<{}", next(&numbers, kept)?));
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(format!("=={text}"));
    }
    Some(text.to_owned())
}

fn numbers(version: &str) -> Option<Vec<u64>> {
    version.split('.').map(|number| number.parse().ok()).collect()
}

/// The first version in which the number at a place is higher.
fn next(numbers: &[u64], place: usize) -> Option<String> {
    let mut next = numbers[..=place].to_vec();
    next[place] = next[place].checked_add(1)?;
    Some(next.iter().map(ToString::to_string).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_become_specifiers() {
        for (constraint, specifiers) in [
            ("^3.11", ">=3.11,<4"),
            ("^3.11.2", ">=3.11.2,<4"),
            ("^0.2.3", ">=0.2.3,<0.3"),
            ("^0.0", ">=0.0,<0.1"),
            ("~3.11", ">=3.11,<3.12"),
            ("~3.11.2", ">=3.11.2,<3.12"),
            ("~3", ">=3,<4"),
            ("~=3.11", "~=3.11"),
            ("3.11.*", "==3.11.*"),
            ("3.11", "==3.11"),
            (">=3.9,<3.14", ">=3.9,<3.14"),
            (">=3.9 <3.14", ">=3.9,<3.14"),
            (">= 3.9, < 3.14", ">=3.9,<3.14"),
            ("*", ""),
            ("^3.9, !=3.9.1", ">=3.9,<4,!=3.9.1"),
            ("~3.9 || ^3.11", ">=3.9,<3.10 || >=3.11,<4"),
        ] {
            assert_eq!(to_specifiers(constraint).as_deref(), Some(specifiers), "{constraint}");
        }
    }

    #[test]
    fn what_is_no_constraint_gives_none() {
        for text in
            ["", "^", "^x", "~3.x", ">=", "^3.11 ||", "~99999999999999999999", "^18446744073709551615"]
        {
            assert_eq!(to_specifiers(text), None, "{text}");
        }
    }
}
