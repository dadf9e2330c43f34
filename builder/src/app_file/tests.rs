mod quirks;
mod reading;
mod rendering;
mod rules;
mod samples;
mod yaml_suite;

use super::*;

/// A file to which tests add lines below `run:`.
const SMALL: &str = "\
version: 1.0
runtime: python3
build:
  commands:
    build:
      - pip install -r requirements.txt
run:
  command: python3 app.py
";

/// Reads a file without any problem.
fn good(text: &str) -> AppFile {
    let (app_file, diagnostics) = parse(FILE_NAME, text);
    assert_eq!(diagnostics, [], "{text}");
    app_file.unwrap()
}

/// Returns the problems as lines of position, severity and message, with the hint behind an arrow.
fn problems(text: &str) -> Vec<String> {
    let (app_file, diagnostics) = parse(FILE_NAME, text);
    let is_error = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    assert_eq!(app_file.is_none(), is_error, "{diagnostics:?}");
    let lines = diagnostics.into_iter().map(|diagnostic| {
        let line = diagnostic.to_string().replacen("apprunner.yaml:", "", 1);
        diagnostic.hint.map_or(line.clone(), |hint| format!("{line} -> {hint}"))
    });
    lines.collect()
}

/// The small file with lines added at its end, indented below `run:`.
fn with_run(lines: &str) -> String {
    format!("{SMALL}{lines}")
}

/// The small file with its list of build commands replaced.
fn with_commands(commands: &str) -> String {
    SMALL.replace("    build:\n      - pip install -r requirements.txt\n", commands)
}

/// The small file with its start command replaced.
fn with_start(command: &str) -> String {
    SMALL.replace("  command: python3 app.py\n", command)
}
