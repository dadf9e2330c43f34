mod hostile;
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
    if let Some(app_file) = app_file {
        assert!(app_file.runtime.is_some() && app_file.run.command.is_some(), "nothing else supplies them");
    }
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

/// The name of the runtime.
fn runtime(app_file: &AppFile) -> &str {
    &app_file.runtime.as_ref().unwrap().value
}

/// The start command, which is one text.
fn command(app_file: &AppFile) -> Located<String> {
    let Located { value, at } = app_file.run.command.clone().unwrap();
    let StartText::Line(value) = value else { panic!("{value:?}") };
    Located { value, at }
}

#[test]
fn a_required_key_may_be_absent_only_where_it_is_supplied_from_elsewhere() {
    let all = Supplied { runtime: true, build: true, command: true, ..Supplied::default() };
    let (app_file, diagnostics) = parse_with(FILE_NAME, "version: 1.0\n", all);
    assert_eq!(diagnostics, []);
    let app_file = app_file.unwrap();
    assert_eq!((app_file.runtime, app_file.build, app_file.run), (None, Build::default(), Run::default()));
    for supplied in [
        Supplied { runtime: false, ..all },
        Supplied { build: false, ..all },
        Supplied { command: false, ..all },
    ] {
        let (app_file, diagnostics) = parse_with(FILE_NAME, "version: 1.0\n", supplied);
        assert!(app_file.is_none());
        assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
    }
    assert!(parse_with(FILE_NAME, "runtime: python3\n", all).0.is_none(), "no flag says the file's version");
}

#[test]
fn a_variable_may_hold_the_port_of_the_file_or_the_one_that_is_supplied() {
    let parse = |network: &str, value: &str, port: Option<u16>| {
        let text = format!(
            "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build: [x]\nrun:\n  command: x\n{network}  \
             env:\n    - name: PORT\n      value: '{value}'\n"
        );
        parse_with(FILE_NAME, &text, Supplied { port, ..Supplied::default() }).0.is_some()
    };
    let own = "  network:\n    port: 3000\n";
    assert!(parse("", "9000", Some(9000)) && parse("", "8080", Some(9000)) && parse(own, "3000", Some(9000)));
    assert!(!parse("", "9000", None) && !parse("", "9001", Some(9000)) && !parse(own, "8080", Some(9000)));
}

/// Asserts that every problem stands inside of the text: in one of its lines or right behind one.
fn inside(text: &str, diagnostics: &[Diagnostic]) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let lengths: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    for diagnostic in diagnostics {
        let Span { start, end } = diagnostic.at;
        for Position { line, column } in [start, end] {
            let length = lengths.get(line.wrapping_sub(1));
            let is_inside = length.is_some_and(|length| (1..=length + 1).contains(&column));
            assert!(is_inside, "{diagnostic} {:?}\n{text:?}", diagnostic.at);
        }
        assert!(start <= end, "{diagnostic} {:?}", diagnostic.at);
    }
}

/// Reads a text, and asserts that it takes less than 50 ms; on a busy machine the best of some tries counts.
fn read_in_time(text: &str) {
    let read = || {
        let started = std::time::Instant::now();
        let (_, diagnostics) = parse(FILE_NAME, text);
        let elapsed = started.elapsed();
        inside(text, &diagnostics);
        for diagnostic in &diagnostics {
            assert!(render(diagnostic, text).starts_with(FILE_NAME));
        }
        elapsed
    };
    let best = (0..4).map(|_| read()).find(|elapsed| elapsed.as_millis() < 50);
    assert!(best.is_some(), "{} bytes took 50 ms each time: {text:?}", text.len());
}
