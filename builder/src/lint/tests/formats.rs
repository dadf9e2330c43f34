use serde_json::{Value, json};

use super::*;

const FAULTY: &str = "\
version: 1
runtime: python3
build:
  commands:
    build:
      - make
run:
  comand: x
  secrets:
    - name: KEY
      value: hunter22
";

fn findings() -> Findings {
    lint_with(&alone(FAULTY.as_bytes()), &catalog())
}

#[test]
fn people_see_each_problem_with_its_line_and_then_how_many_there_are() {
    let expected = "\
apprunner.yaml:1:10: warning: version `1` is read as `1.0`, the only one there is
  |
1 | version: 1
  |          ^

apprunner.yaml:8:3: error: unknown key `comand`
  |
8 |   comand: x
  |   ^^^^^^
hint: write `command`

apprunner.yaml:11:7: error: a secret is given by value
hint: write `value-from` with a reference to the secret; its value is never part of the file

apprunner.yaml has 2 errors and 1 warning
";
    assert_eq!(findings().to_text(), expected);
}

#[test]
fn scripts_get_every_problem_with_its_place_and_rule() {
    let json = findings().to_json();
    assert_eq!((&json["schema"], &json["file"]), (&json!(1), &json!("apprunner.yaml")));
    assert_eq!((&json["errors"], &json["warnings"], &json["detected"]), (&json!(2), &json!(1), &Value::Null));
    let expected = json!({
        "severity": "error",
        "rule": "app-file/misspelt-key",
        "file": "apprunner.yaml",
        "line": 8,
        "column": 3,
        "endLine": 8,
        "endColumn": 9,
        "message": "unknown key `comand`",
        "hint": "write `command`",
    });
    assert_eq!(json["diagnostics"][1], expected);
    assert_eq!(json["diagnostics"].as_array().unwrap().len(), 3);
}

#[test]
fn sarif_names_its_rules_and_points_into_the_file() {
    let sarif = findings().to_sarif();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!((rules.len(), results.len()), (3, 3));
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(rules[index]["shortDescription"]["text"].as_str().is_some_and(|text| text.ends_with('.')));
    }
    let expected = json!({
        "ruleId": "app-file/misspelt-key",
        "ruleIndex": 0,
        "level": "error",
        "message": { "text": "unknown key `comand`\nhint: write `command`" },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": "apprunner.yaml", "uriBaseId": "%SRCROOT%" },
            "region": { "startLine": 8, "startColumn": 3, "endLine": 8, "endColumn": 9 },
        }}],
    });
    assert_eq!(results[1], expected);
    assert_eq!((&results[0]["level"], &run["columnKind"]), (&json!("warning"), &json!("unicodeCodePoints")));
}

#[test]
fn no_format_shows_a_secret() {
    let findings = findings();
    for text in [findings.to_text(), findings.to_json().to_string(), findings.to_sarif().to_string()] {
        assert!(text.contains("a secret is given by value"), "{text}");
        assert!(!text.contains("hunter22"), "{text}");
    }
}

#[test]
fn a_path_becomes_a_uri_reference() {
    let with = |name: &str| {
        let diagnostic = Diagnostic::error(Rule::Syntax, name, Span::at(1, 1), "m");
        let findings = Findings { diagnostics: vec![diagnostic], ..Findings::default() };
        let sarif = findings.to_sarif();
        let place = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"];
        (place["uri"].as_str().unwrap().to_owned(), place["uriBaseId"].is_string())
    };
    assert_eq!(with("web app/ä:%.yaml"), ("web%20app/%C3%A4%3A%25.yaml".to_owned(), true));
    assert_eq!(with("/etc/a b.yaml"), ("file:///etc/a%20b.yaml".to_owned(), false));
}

#[test]
fn a_file_without_problems_is_said_to_have_none() {
    let text = FAULTY.replace("comand", "command").replace("version: 1\n", "version: 1.0\n");
    let good = text.split("  secrets").next().unwrap();
    let findings = lint_with(&alone(good.as_bytes()), &catalog());
    assert_eq!(findings.to_text(), "apprunner.yaml has no problems\n");
    assert!(findings.outcome(Warnings::Denied).is_ok());
    assert_eq!(findings.to_sarif()["runs"][0]["results"], json!([]));
}

#[test]
fn errors_fail_and_warnings_where_they_are_denied() {
    let with = |text: &str| lint_with(&alone(text.as_bytes()), &catalog());
    let faulty = with(FAULTY).outcome(Warnings::Allowed).unwrap_err();
    assert_eq!(faulty.exit.code(), 2);
    assert_eq!(faulty.to_string(), "error: apprunner.yaml has 2 errors and 1 warning");
    let good = FAULTY.replace("comand", "command");
    let doubtful = with(good.split("  secrets").next().unwrap());
    assert!(doubtful.outcome(Warnings::Allowed).is_ok());
    assert_eq!(
        doubtful.outcome(Warnings::Denied).unwrap_err().to_string(),
        "error: apprunner.yaml has 1 warning"
    );
}
