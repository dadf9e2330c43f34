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
