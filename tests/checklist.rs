//! What the managed service has, what its app file means, and which tests prove that it holds here.
//!
//! Each table has a word; a test says which rows it proves in a comment directly above it, as in `// row 14, quirk 12`.
//! Rows and tests name each other, and both directions are checked.

mod quirks;
mod rows;
mod rules;
mod sources;

use std::collections::{BTreeMap, BTreeSet};

use sources::Test;

/// What the managed service has of a feature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Has {
    Yes,
    Part,
    No,
}

/// A row of a table.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// How tests call it, behind the word of its table.
    id: &'static str,
    /// What it says.
    says: &'static str,
    /// What the managed service has of it.
    has: Has,
    /// The tests that prove it.
    tests: &'static [&'static str],
    /// What is not yet proven, as a sentence; empty if all is.
    gap: &'static str,
}

/// A row that these tests prove whole.
const fn row(id: &'static str, has: Has, says: &'static str, tests: &'static [&'static str]) -> Row {
    Row { id, says, has, tests, gap: "" }
}

/// A row that these tests prove but for this.
const fn open(
    id: &'static str,
    has: Has,
    says: &'static str,
    tests: &'static [&'static str],
    gap: &'static str,
) -> Row {
    Row { id, says, has, tests, gap }
}

/// A rule of the app file, all of which the managed service has.
const fn rule(id: &'static str, says: &'static str, tests: &'static [&'static str]) -> Row {
    row(id, Has::Yes, says, tests)
}

/// The tables, by their words.
const TABLES: [(&str, &[Row]); 14] = [
    ("row", rows::ROWS),
    ("quirk", quirks::QUIRKS),
    ("key", rules::KEYS),
    ("reading", rules::READING),
    ("validation", rules::VALIDATION),
    ("name", rules::NAMES),
    ("lock", rules::LOCKS),
    ("choice", rules::CHOICES),
    ("engines", rules::ENGINES),
    ("scope", rules::SCOPES),
    ("port", rules::PORT),
    ("reference", rules::REFERENCES),
    ("start", rules::START),
    ("error", rules::ERRORS),
];

/// The rows that a comment line names, as `WORD ID`; none where it is anything else.
fn tags(comment: &str) -> Vec<String> {
    let parts: Vec<&str> = comment.trim().split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let is_tag = |part: &&str| {
        part.split_once(' ').is_some_and(|(word, id)| {
            let is_known = TABLES.iter().any(|(known, _)| *known == word);
            is_known && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        })
    };
    if parts.iter().all(is_tag) { parts.into_iter().map(str::to_owned).collect() } else { Vec::new() }
}

fn all_rows() -> impl Iterator<Item = (String, Row)> {
    TABLES.iter().flat_map(|(word, rows)| rows.iter().map(move |row| (format!("{word} {}", row.id), *row)))
}

/// The tests of all sources, by name; some names are those of several tests.
fn tests() -> BTreeMap<String, Vec<Test>> {
    let mut tests: BTreeMap<String, Vec<Test>> = BTreeMap::new();
    for test in sources::tests() {
        tests.entry(test.name.clone()).or_default().push(test);
    }
    tests
}

#[test]
fn the_checklist_has_sixty_rows_and_no_table_says_a_thing_twice() {
    let numbers: Vec<String> = (1..=60).map(|number| number.to_string()).collect();
    assert_eq!(rows::ROWS.iter().map(|row| row.id).collect::<Vec<_>>(), numbers);
    let names: Vec<String> = all_rows().map(|(name, _)| name).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    for (name, row) in all_rows() {
        assert!(row.says.len() > 5, "{name}");
        let tests: BTreeSet<_> = row.tests.iter().collect();
        assert_eq!(tests.len(), row.tests.len(), "{name}");
    }
}

#[test]
fn every_row_names_tests_that_exist_and_name_the_row() {
    let tests = tests();
    let mut wrong = Vec::new();
    for (name, row) in all_rows() {
        for test in row.tests {
            match tests.get(*test) {
                None => wrong.push(format!("{name}: there is no test `{test}`")),
                Some(found) if !found.iter().any(|found| found.proves(&name)) => {
                    wrong.push(format!("{name}: `{test}` in {} has no comment `// {name}`", found[0].file));
                }
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_row_that_a_test_names_names_the_test() {
    let rows: BTreeMap<String, Row> = all_rows().collect();
    let mut wrong = Vec::new();
    for test in tests().into_values().flatten() {
        for tag in &test.tags {
            match rows.get(tag) {
                None => wrong.push(format!("{}: `{}` names `{tag}`, which is no row", test.file, test.name)),
                Some(row) if !row.tests.contains(&test.name.as_str()) => {
                    wrong.push(format!("{tag} does not name `{}` in {}", test.name, test.file));
                }
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_managed_service_has_is_proven_and_what_is_not_says_why() {
    for (name, row) in all_rows() {
        assert!(row.has == Has::No || !row.tests.is_empty(), "{name} ({}) has no test", row.says);
        assert!(
            !row.tests.is_empty() || !row.gap.is_empty(),
            "{name} ({}) has neither test nor reason",
            row.says
        );
        let is_sentence = row.gap.starts_with("not yet: ") || row.gap.starts_with("no need: ");
        assert!(row.gap.is_empty() || is_sentence, "{name}: {}", row.gap);
    }
}

#[test]
fn rows_are_read_from_comments_and_from_names() {
    assert_eq!(tags(" row 14, quirk 12,lock R6"), ["row 14", "quirk 12", "lock R6"]);
    for prose in ["", " a row 14", " row 14 and more", " row, lock", " rows 14"] {
        assert_eq!(tags(prose), Vec::<String>::new(), "{prose}");
    }
    let text = "// quirk 1\n/// Doc.\n#[test]\n// row 2\n#[cfg(x)]\nfn row_3_a_thing_holds() {\n}\n\nfn helper() {}\n\n// row 4\n\n#[test]\nfn other() {\n";
    let found: Vec<(String, Vec<String>)> =
        sources::tests_of("x", text).into_iter().map(|test| (test.name, test.tags)).collect();
    let tags = ["quirk 1", "row 2", "row 3"].map(str::to_owned).to_vec();
    assert_eq!(found, [("row_3_a_thing_holds".to_owned(), tags), ("other".to_owned(), vec![])]);
}
