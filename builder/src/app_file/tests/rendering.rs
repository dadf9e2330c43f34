use super::*;

fn span(line: usize, from: usize, to: usize) -> Span {
    Span { start: Position { line, column: from }, end: Position { line, column: to } }
}

#[test]
fn a_problem_is_shown_with_its_line_a_pointer_and_a_hint() {
    let text = "version: 1.0\nruntime: pyton3\n";
    let diagnostic =
        Diagnostic::error(Rule::Syntax, FILE_NAME, span(2, 10, 16), "runtime `pyton3` is not in the catalog")
            .with_hint("did you mean `python3`?");
    let expected = "\
apprunner.yaml:2:10: error: runtime `pyton3` is not in the catalog
  |
2 | runtime: pyton3
  |          ^^^^^^
hint: did you mean `python3`?
";
    assert_eq!(render(&diagnostic, text), expected);
}

#[test]
fn a_problem_without_extent_gets_one_pointer() {
    let shown = render(&Diagnostic::error(Rule::Syntax, "x", Span::at(1, 3), "m"), "abc");
    assert_eq!(shown, "x:1:3: error: m\n  |\n1 | abc\n  |   ^\n");
}

#[test]
fn a_position_outside_of_the_text_shows_no_line() {
    assert_eq!(
        render(&Diagnostic::error(Rule::Syntax, "x", Span::at(9, 9), "m"), "abc"),
        "x:9:9: error: m\n"
    );
}

#[test]
fn a_long_line_is_cut_around_the_pointer() {
    let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
    let shown = render(&Diagnostic::error(Rule::Syntax, "x", span(1, 501, 502), "m"), &text);
    let lines = shown.lines().collect::<Vec<_>>();
    let (source, pointer) = (lines[2].strip_prefix("1 | ").unwrap(), lines[3].strip_prefix("  | ").unwrap());
    assert_eq!(source.len(), 120);
    assert_eq!(source.find('X'), pointer.find('^'));
}

#[test]
fn what_could_steer_a_terminal_is_not_shown() {
    let text = "a: \u{1b}[31m\u{202e}x\ty";
    let shown = render(&Diagnostic::error(Rule::Syntax, "x", Span::at(1, 1), "bad \u{1b}\u{7}"), text);
    assert_eq!(shown, "x:1:1: error: bad \u{fffd}\u{fffd}\n  |\n1 | a: \u{fffd}[31m\u{fffd}x y\n  | ^\n");
}

#[test]
fn the_catalogs_refusal_stands_where_the_file_asks() {
    use lapstrake_catalog::ResolveError;
    let app_file = good(&with_run("  runtime-version: 3.10\n"));
    let unknown =
        ResolveError::UnknownRuntime { runtime: "x".into(), nearest: None, known: vec!["python3".into()] };
    let diagnostic = refusal(FILE_NAME, &app_file, &unknown);
    assert_eq!(diagnostic.to_string(), "apprunner.yaml:2:10: error: runtime `x` is not in the catalog");
    let version = ResolveError::UnknownVersion {
        runtime: "python3".into(),
        version: "3.10".into(),
        available: vec!["3.13.5".parse().unwrap()],
        builds: vec![],
    };
    let diagnostic = refusal(FILE_NAME, &app_file, &version);
    assert_eq!(
        diagnostic.to_string(),
        "apprunner.yaml:9:20: error: the catalog has no version `3.10` of `python3`"
    );
    assert_eq!(diagnostic.hint.unwrap(), "the line has `3.13.5`");
}

#[test]
fn a_conflict_with_engines_names_both_places() {
    use lapstrake_catalog::ResolveError;
    let conflict = ResolveError::EnginesConflict {
        engines: ">=24".into(),
        request: "nodejs22".into(),
        chosen: None,
        satisfying: None,
    };
    let diagnostic =
        refusal_with_engines(FILE_NAME, &good(SMALL), &conflict, ("package.json", Span::at(3, 37).start));
    let message =
        "no version of `nodejs22` satisfies `engines.node`, which asks for `>=24`, at package.json:3:37";
    assert_eq!(diagnostic.to_string(), format!("apprunner.yaml:2:10: error: {message}"));
    let other = ResolveError::UnknownRuntime { runtime: "x".into(), nearest: None, known: vec![] };
    let diagnostic =
        refusal_with_engines(FILE_NAME, &good(SMALL), &other, ("package.json", Span::at(3, 37).start));
    assert_eq!(diagnostic.message, "runtime `x` is not in the catalog");
}
