//! The tests of the repository, as its sources have them.

use super::tags;
use crate::harness::workspace;

/// A test and the rows that it says it proves.
#[derive(Clone, Debug)]
pub(super) struct Test {
    /// Its name.
    pub(super) name: String,
    /// The file that has it.
    pub(super) file: String,
    /// The rows, each as `WORD ID`.
    pub(super) tags: Vec<String>,
}

impl Test {
    /// Whether it says that it proves a row.
    pub(super) fn proves(&self, row: &str) -> bool {
        self.tags.iter().any(|tag| tag == row)
    }
}

/// All tests of all sources.
pub(super) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for directory in ["builder", "catalog", "fixtures", "runtimes", "tests"] {
        let walk = walkdir::WalkDir::new(workspace::root().join(directory)).sort_by_file_name();
        for entry in walk.into_iter().map(Result::unwrap) {
            if entry.path().extension().is_some_and(|extension| extension == "rs") {
                let file = entry.path().strip_prefix(workspace::root()).unwrap().display().to_string();
                tests.extend(tests_of(&file, &fs_err::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    assert!(tests.len() > 500, "only {} tests were found", tests.len());
    tests
}

/// The tests of one source: functions below `#[test]`, with the comments and attributes right above them.
pub(super) fn tests_of(file: &str, text: &str) -> Vec<Test> {
    let mut tests = Vec::new();
    let mut above: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("//") || line.starts_with("#[") {
            above.push(line);
            continue;
        }
        if let Some(name) = function(line).filter(|_| above.contains(&"#[test]")) {
            let comments = above.iter().filter_map(|line| line.strip_prefix("//"));
            let tags = comments.flat_map(|comment| tags(comment.trim_start_matches('/')));
            let tags = tags.chain(row_of_name(name)).collect();
            tests.push(Test { name: name.to_owned(), file: file.to_owned(), tags });
        }
        above.clear();
    }
    tests
}

fn function(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("fn ")?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    rest[end..].starts_with('(').then_some(&rest[..end])
}

/// `row_14_…` names its row as well.
fn row_of_name(name: &str) -> Option<String> {
    let (_, rest) =
        name.split_once("row_").filter(|(before, _)| before.is_empty() || before.ends_with('_'))?;
    let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let is_row = rest[number.len()..].starts_with('_') && !number.is_empty();
    is_row.then(|| format!("row {number}"))
}
