mod reading;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

use super::*;
use reading::as_an_editor_reads;

fn validator() -> &'static Validator {
    static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
        jsonschema::options().with_draft(jsonschema::Draft::Draft7).build(&schema()).unwrap()
    });
    &VALIDATOR
}

/// What the schema says against a file.
fn complaints(text: &str) -> Vec<String> {
    let value = as_an_editor_reads(text);
    validator().iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// A small file with lines added below `run:`.
fn with_run(lines: &str) -> String {
    format!(
        "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n      - make\nrun:\n  command: x\n{lines}"
    )
}

// row 53
#[test]
fn it_is_a_schema_of_draft_seven() {
    let schema = schema();
    let result = jsonschema::draft7::meta::validate(&schema);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
}

// validation lint
#[test]
fn every_key_of_the_reader_has_a_description_and_an_example_and_there_is_no_other() {
    let top = schema();
    let at = |pointer: &str| top.pointer(pointer).unwrap_or_else(|| panic!("{pointer}")).clone();
    let item = |pointer: &str| at(&format!("{pointer}/items"));
    let run = "/properties/run/properties";
    for (path, map) in [
        (&keys::TOP, top.clone()),
        (&keys::BUILD, at("/properties/build")),
        (&keys::COMMANDS, at("/properties/build/properties/commands")),
        (&keys::BUILD_VARIABLE, item("/properties/build/properties/env")),
        (&keys::RUN, at("/properties/run")),
        (&keys::NETWORK, at(&format!("{run}/network"))),
        (&keys::RUN_VARIABLE, item(&format!("{run}/env"))),
        (&keys::SECRET, item(&format!("{run}/secrets"))),
    ] {
        let properties = map["properties"].as_object().unwrap();
        let names: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
        assert_eq!(names, path.keys.iter().copied().collect(), "{}", path.name);
        for (name, property) in properties {
            assert!(property["description"].as_str().is_some_and(|text| text.len() > 20), "{name}");
            let has_keys = property["properties"].is_object();
            assert!(has_keys || property["examples"].is_array(), "{name}");
        }
    }
}

#[test]
fn the_examples_and_defaults_are_valid() {
    fn visit(schema: &Value) {
        if let Some(object) = schema.as_object() {
            let values = object.get("examples").and_then(Value::as_array).into_iter().flatten();
            for value in values.chain(object.get("default")) {
                assert!(jsonschema::draft7::is_valid(schema, value), "{value} {schema}");
            }
            object.values().for_each(visit);
        }
    }
    visit(&schema());
}

#[test]
fn numbers_and_switches_are_taken_where_the_file_takes_text() {
    for lines in [
        "  runtime-version: 3.13\n",
        "  network:\n    port: 8080\n",
        "  network:\n    port: '8080'\n",
        "  env:\n    - {name: A, value: 1}\n    - {name: B, value: False}\n    - {name: C, value: 0.5}\n    - {name: D, value: ~}\n",
        "  env:\n  secrets:\n  network:\n  pre-run:\n",
        "  pre-run: [true, 1]\n",
    ] {
        assert_eq!(complaints(&with_run(lines)), Vec::<String>::new(), "{lines}");
    }
}

#[test]
fn what_is_only_warned_about_is_valid() {
    for text in [
        with_run("health_check: {}\n"),
        with_run("healthCheckConfiguration: {}\nautoScaling: 1\n"),
        with_run("  instance_configuration: {}\n"),
        with_run("").replace("1.0", "1"),
        with_run("").replace("1.0", "1.10"),
        with_run("").replace("python3", "Python3"),
        with_run("").replace("    build:\n      - make", "    - make"),
        with_run("").replace("\n      - make", " []"),
        with_run("").replace("command: x", "command: [x y]"),
        with_run("").replace("command: x", "command: [x, y z, 1]"),
    ] {
        assert_eq!(complaints(&text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn faults_are_found_at_their_place() {
    for (text, place) in [
        (with_run("  environment: []\n"), "/run"),
        (with_run("  runtime-version: latest\n"), "/run/runtime-version"),
        (with_run("  runtime-version: 3.13.05\n"), "/run/runtime-version"),
        (with_run("  runtime-version: 3.13-2\n"), "/run/runtime-version"),
        (with_run("  network:\n    port: 65536\n"), "/run/network/port"),
        (with_run("  network:\n    port: '65536'\n"), "/run/network/port"),
        (with_run("  env:\n    A: b\n"), "/run/env"),
        (with_run("  env:\n    - name: AWSAPPRUNNER_X\n      value: x\n"), "/run/env/0/name"),
        (with_run("  secrets:\n    - name: PORT\n      value-from: x\n"), "/run/secrets/0/name"),
        (with_run("").replace("command: x", "command: ''"), "/run/command"),
        (with_run("").replace("command: x", "command: [x y, z]"), "/run/command/0"),
        (with_run("").replace("command: x", "command: []"), "/run/command"),
        (with_run("").replace("build:\n      - make", "build: make"), "/build/commands/build"),
        (with_run("").replace("1.0", "2.0"), "/version"),
        (with_run("").replace("python3", "python3.11"), "/runtime"),
    ] {
        let found = complaints(&text);
        assert!(found.len() == 1 && found[0].starts_with(&format!("{place}: ")), "{text}\n{found:?}");
    }
}

#[test]
fn a_full_version_with_build_and_digest_is_valid() {
    let digest = "0123456789abcdef".repeat(4);
    for version in ["3", "3.13", "3.13.5", "3.13.5-2", "0.1", &format!("3.13.5-2@sha256:{digest}")] {
        let text = with_run(&format!("  runtime-version: '{version}'\n"));
        assert_eq!(complaints(&text), Vec::<String>::new(), "{version}");
        assert!(version.parse::<lapstrake_catalog::VersionRequest>().is_ok());
    }
}

/// Files of the corpus whose faults no schema can see: what is no YAML, what depends on the catalog, and values that
/// contradict each other.
const BEYOND_A_SCHEMA: &[&str] = &[
    "another-port-in-env",
    "command-with-an-open-quote",
    "major-of-another-line",
    "node-of-another-name",
    "node-out-of-support",
    "parenthesis-for-the-shell",
    "ten-is-not-one",
    "variable-and-secret",
    "version-of-another-line",
    "version-that-never-was",
];

#[test]
fn the_corpus_is_judged_as_far_as_a_schema_can() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lint_corpus");
    let files = |kind: &str| {
        let entries = fs_err::read_dir(format!("{corpus}/{kind}")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.into_iter().map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs_err::read(&path).unwrap())
        })
    };
    for (name, bytes) in files("good") {
        assert_eq!(complaints(std::str::from_utf8(&bytes).unwrap()), Vec::<String>::new(), "{name}");
    }
    let mut beyond = Vec::new();
    for (name, bytes) in files("broken") {
        let Some(value) = std::str::from_utf8(&bytes).ok().and_then(reading::read) else { continue };
        if validator().is_valid(&value) {
            beyond.push(name);
        }
    }
    assert_eq!(beyond, BEYOND_A_SCHEMA);
}
