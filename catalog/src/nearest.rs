//! Which known name was probably meant.

/// Orders names by how near they are to this one, nearest first.
pub(crate) fn nearest_first<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let name = normalised(name);
    let mut known = known.into_iter().collect::<Vec<_>>();
    known.sort_by_key(|candidate| {
        (distance(&name, candidate), candidate.len(), std::cmp::Reverse(*candidate))
    });
    known
}

/// Returns the nearest name, if it is near enough to have been meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let first = nearest_first(name, known).first().copied()?;
    let same_language = letters(&normalised(name)) == letters(first);
    (same_language || distance(&normalised(name), first) <= 2).then_some(first)
}

/// Takes away what people add to the names of runtimes: capitals, dots, a `node` for `nodejs`.
fn normalised(name: &str) -> String {
    let plain = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    match plain.strip_prefix("node").filter(|rest| !rest.starts_with("js")) {
        Some(line) => format!("nodejs{line}"),
        None => plain,
    }
}

fn letters(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// Counts the insertions, deletions and replacements between two texts. Long texts are cut: they match nothing.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.chars().take(64).collect::<Vec<_>>(), b.chars().take(64).collect::<Vec<_>>());
    let mut row = (0..=b.len()).collect::<Vec<_>>();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    // quirk 13, name near
    #[test]
    fn the_name_that_was_meant_is_found() {
        let known = ["python3", "python311", "python313", "nodejs20", "nodejs22", "nodejs24"];
        for (name, meant) in [
            ("python", Some("python3")),
            ("Python3", Some("python3")),
            ("pyton3", Some("python3")),
            ("python3.11", Some("python311")),
            ("python-3.13", Some("python313")),
            ("node22", Some("nodejs22")),
            ("nodejs", Some("nodejs24")),
            ("NodeJS 20.x", Some("nodejs20")),
            ("docker", None),
            ("go1.x", None),
            ("corretto11", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), meant, "{name}");
        }
    }
}
