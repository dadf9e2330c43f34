//! The public YAML test suite: what it calls invalid is refused, what it calls valid is not refused as YAML, and
//! nothing in it takes long.

use std::path::PathBuf;

use super::super::diagnostic::Report;
use super::super::node::{Node, Value};
use super::super::yaml;
use super::*;

/// Cases in which we are stricter on purpose or say it otherwise: directives that are malformed though allowed,
/// and a tag that is refused before the fault behind it.
const OTHERWISE: [&str; 4] = ["QLJ7.yaml", "ZYU8.yaml", "ZYU8.yaml", "ZYU8.yaml"];

/// The files of the suite, by name; none, said aloud, where it is not there.
fn suite() -> Vec<(String, String)> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/testing");
    let testing = std::env::var_os("LAPSTRAKE_TESTING").map_or_else(|| beside.into(), PathBuf::from);
    let directory = testing.join("corpora/yaml-test-suite/src");
    let Ok(entries) = fs_err::read_dir(&directory) else {
        eprintln!("skipped: no YAML test suite at {}", directory.display());
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path))
        .map(|(name, path)| (name, fs_err::read_to_string(path).unwrap()))
        .collect();
    files.sort();
    assert_eq!(files.len(), 351);
    files
}

#[test]
fn cfg_01_the_yaml_test_suite_is_judged_right() {
    let mut otherwise = Vec::new();
    let mut cases = 0;
    for (name, text) in suite() {
        for (text, is_invalid) in read_cases(&text) {
            cases += 1;
            if is_refused(&text) != is_invalid {
                otherwise.push(name.clone());
            }
        }
    }
    if cases > 0 {
        assert_eq!((cases, otherwise), (406, OTHERWISE.map(str::to_owned).to_vec()));
    }
}

// reading 8
#[test]
fn cfg_01_nothing_of_the_yaml_test_suite_takes_long_or_makes_the_reader_fall_over() {
    for (_, text) in suite() {
        // The files of the suite are YAML themselves.
        read_in_time(&text);
        for (case, _) in read_cases(&text) {
            read_in_time(&case);
        }
    }
}

#[test]
fn cfg_01_no_mutant_of_the_yaml_test_suite_takes_long_or_makes_the_reader_fall_over() {
    let cases: Vec<String> =
        suite().iter().flat_map(|(_, text)| read_cases(text)).map(|(text, _)| text).collect();
    for (index, text) in cases.iter().enumerate() {
        let next = &cases[(index + 1) % cases.len()];
        let cut = text.char_indices().nth(index % text.chars().count().max(1)).map_or(0, |(at, _)| at);
        let (head, tail) = text.split_at(cut);
        for mutant in [
            head.to_owned(),
            tail.to_owned(),
            format!("{head}{next}"),
            format!("{head}\t{tail}"),
            format!("{head}\0{tail}"),
            format!("{tail}{head}"),
            text.replace('\n', "\r"),
            text.replace(' ', "\u{a0}"),
            text.lines().rev().collect::<Vec<_>>().join("\n"),
            format!("a: &a\n  - {}\nb: *a\n", text.replace('\n', "\n    ")),
        ] {
            read_in_time(&mutant);
        }
    }
}

#[test]
fn the_signs_of_the_suite_are_written_out() {
    assert_eq!(written_out("a␣␣\n——»b»c\n"), "a  \n\tb\tc\n");
    assert_eq!(written_out("⇔a←\n↵\nb — c∎\n"), "\u{feff}a\r\n\nb — c");
}

fn is_refused(text: &str) -> bool {
    let (_, diagnostics) = parse(FILE_NAME, text);
    let is_syntax = |message: &str| message.contains("not valid YAML") || message.contains("a tab is used");
    diagnostics.iter().any(|diagnostic| is_syntax(&diagnostic.message))
}

/// Reads the cases of one file of the suite: each a text, and whether it is invalid.
fn read_cases(text: &str) -> Vec<(String, bool)> {
    let node = yaml::load(text, &mut Report::new("suite")).unwrap();
    let Value::List(items) = node.value else { panic!("{text}") };
    let mut yaml = String::new();
    let mut cases = Vec::new();
    for item in &items {
        // A case without a text of its own goes on with the one before.
        if let Some(Value::Text(text)) = field(item, "yaml") {
            yaml.clone_from(text);
        }
        cases.push((written_out(&yaml), field(item, "fail").is_some()));
    }
    cases
}

fn field<'n>(item: &'n Node, name: &str) -> Option<&'n Value> {
    let Value::Map(entries) = &item.value else { return None };
    entries.iter().find(|(key, _)| key.value == name).map(|(_, node)| &node.value)
}

/// Turns the suite's visible signs into the characters that they stand for: `␣` is a space, `——»` of any length a
/// tab, `←` a carriage return, `⇔` a byte-order mark; `↵` makes a line end visible, and `∎` takes the last one away.
fn written_out(text: &str) -> String {
    let text = text.replace('␣', " ").replace('←', "\r").replace('⇔', "\u{feff}").replace('↵', "");
    let mut parts: Vec<&str> = text.split('»').collect();
    let last = parts.pop().unwrap_or_default();
    let tabs: Vec<&str> = parts.iter().flat_map(|part| [part.trim_end_matches('—'), "\t"]).collect();
    let text = tabs.concat() + last;
    text.strip_suffix("∎\n").map_or(text.clone(), str::to_owned)
}
