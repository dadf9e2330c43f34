//! App files as people write them: each planted fault is found at its place, and nothing is found where there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::*;

/// A planted fault: its place, severity and rule, and a part of its message or hint.
#[derive(Clone, Debug)]
struct Planted {
    place: String,
    severity: String,
    rule: String,
    part: String,
}

fn corpus() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lint_corpus").into()
}

/// The files of one kind, by name.
fn files(kind: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = fs_err::read_dir(corpus().join(kind)).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs_err::read(&path).unwrap()))
        .collect()
}

/// The planted faults of one kind, by the file's name.
fn planted(kind: &str) -> BTreeMap<String, Vec<Planted>> {
    let table = fs_err::read_to_string(corpus().join(format!("{kind}.tsv"))).unwrap();
    let mut planted: BTreeMap<String, Vec<Planted>> = BTreeMap::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let [file, place, severity, rule, part] = line
            .split('\t')
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .try_into()
            .unwrap_or_else(|fields| panic!("{fields:?}"));
        planted.entry(file).or_default().push(Planted { place, severity, rule, part });
    }
    planted
}

/// Holds the problems that are found in a file against those that were planted; returns what differs.
fn differences(name: &str, bytes: &[u8], planted: &[Planted], catalog: &Catalog) -> Vec<String> {
    let findings = lint_with(&alone(bytes), catalog);
    let mut left: Vec<&Planted> = planted.iter().collect();
    let mut differences = Vec::new();
    for found in &findings.diagnostics {
        let is_it = |planted: &&Planted| {
            found.at.start.to_string() == planted.place
                && found.severity.to_string() == planted.severity
                && found.rule.id() == planted.rule
                && (found.message.contains(&planted.part)
                    || found.hint.as_ref().is_some_and(|hint| hint.contains(&planted.part)))
        };
        match left.iter().position(is_it) {
            Some(index) => drop(left.remove(index)),
            None => differences.push(format!(
                "{name}: found {}",
                lines(&Findings { diagnostics: vec![found.clone()], ..Findings::default() })[0]
            )),
        }
    }
    differences.extend(left.into_iter().map(|planted| format!("{name}: not found {planted:?}")));
    differences
}

fn check(kind: &str) -> BTreeMap<String, Vec<u8>> {
    let catalog = catalog();
    let (files, planted) = (files(kind), planted(kind));
    assert_eq!(files.keys().collect::<Vec<_>>(), planted.keys().collect::<Vec<_>>());
    let differences: Vec<String> =
        files.iter().flat_map(|(name, bytes)| differences(name, bytes, &planted[name], &catalog)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    files
}

// row 53, validation lint
#[test]
fn each_planted_fault_of_a_broken_file_is_found_at_its_place_and_no_other() {
    let files = check("broken");
    assert!(files.len() >= 60, "{}", files.len());
    let errors = planted("broken");
    for (name, planted) in errors {
        assert!(planted.iter().any(|planted| planted.severity == "error"), "{name}");
    }
}

#[test]
fn what_is_doubtful_is_warned_about_at_its_place_and_is_no_error() {
    check("doubtful");
    for planted in planted("doubtful").values().flatten() {
        assert_ne!(planted.severity, "error", "{planted:?}");
    }
}

// row 53, validation lint
#[test]
fn there_is_no_false_alarm() {
    let catalog = catalog();
    let files = files("good");
    assert!(files.len() >= 40, "{}", files.len());
    let alarms: Vec<String> =
        files.iter().flat_map(|(name, bytes)| differences(name, bytes, &[], &catalog)).collect();
    assert!(alarms.is_empty(), "{}", alarms.join("\n"));
}

#[test]
fn the_corpus_has_a_file_for_every_rule_of_the_app_file() {
    let planted: BTreeSet<String> = ["broken", "doubtful"]
        .into_iter()
        .flat_map(planted)
        .flat_map(|(_, planted)| planted)
        .map(|planted| planted.rule)
        .collect();
    // Files that are too large are made by the tests of the reader.
    let elsewhere = ["app-file/limit", "app-file/alias", "app-file/variable-value"];
    let rules = Rule::ALL.iter().map(|rule| rule.id()).filter(|id| id.starts_with("app-file/"));
    let missing: Vec<&str> = rules.filter(|id| !planted.contains(*id) && !elsewhere.contains(id)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn every_problem_can_be_shown_and_points_inside_the_file() {
    let catalog = catalog();
    for (name, bytes) in files("broken").into_iter().chain(files("doubtful")) {
        let findings = lint_with(&alone(&bytes), &catalog);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().collect();
        for found in &findings.diagnostics {
            let line = lines.get(found.at.start.line - 1).unwrap_or_else(|| panic!("{name}: {found}"));
            assert!(found.at.start.column <= line.chars().count() + 1, "{name}: {found}");
            assert!(found.at.end >= found.at.start, "{name}: {found}");
        }
        assert!(findings.to_text().ends_with(&format!("{}\n", findings.summary())), "{name}");
    }
}
