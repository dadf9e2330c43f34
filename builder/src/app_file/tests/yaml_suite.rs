//! The public YAML test suite: what it calls invalid is refused, what it calls valid is not refused as YAML.

use super::super::diagnostic::Report;
use super::super::node::{Node, Value};
use super::super::yaml;
use super::*;

const SUITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/testing/corpora/yaml-test-suite/src");

/// Cases in which we are stricter on purpose or say it otherwise: directives that are malformed though allowed,
/// and a tag that is refused before the fault behind it.
const OTHERWISE: [&str; 4] = ["QLJ7.yaml", "ZYU8.yaml", "ZYU8.yaml", "ZYU8.yaml"];

#[test]
fn the_yaml_test_suite_is_judged_right() {
    let Ok(files) = std::fs::read_dir(SUITE) else {
        eprintln!("skipped: no YAML test suite at {SUITE}");
        return;
    };
    let mut otherwise = Vec::new();
    let mut cases = 0;
    for file in files {
        let file = file.unwrap().path();
        for (text, is_invalid) in read_cases(&fs_err::read_to_string(&file).unwrap()) {
            cases += 1;
            if is_refused(&text) != is_invalid {
                otherwise.push(file.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }
    otherwise.sort();
    assert!(cases > 400, "{cases}");
    assert_eq!(otherwise, OTHERWISE);
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

/// Turns the suite's visible signs into the characters that they stand for.
fn written_out(text: &str) -> String {
    let text = text.replace('␣', " ").replace('←', "\r").replace('⇔', "\u{feff}").replace('↵', "");
    let text = text.split('»').map(|part| part.trim_end_matches('—')).collect::<Vec<_>>().join("\t");
    text.split('∎').next().unwrap_or_default().to_owned()
}
