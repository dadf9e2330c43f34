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

/// Returns what the pointer stands under: the signs of the shown line in the same cells.
fn pointed_at(span: Span, text: &str) -> String {
    use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
    let shown = render(&Diagnostic::error(Rule::Syntax, "x", span, "m"), text);
    let lines = shown.lines().collect::<Vec<_>>();
    let (source, pointer) = (lines[2].split_once(" | ").unwrap().1, lines[3].split_once(" | ").unwrap().1);
    let (from, to) = (pointer.find('^').unwrap(), pointer.width());
    let mut cell = 0;
    let mut found = String::new();
    for c in source.chars() {
        if (from..to).contains(&cell) {
            found.push(c);
        }
        cell += c.width().unwrap_or(0);
    }
    found
}

#[test]
fn the_pointer_stands_under_what_is_meant_in_every_alphabet() {
    for text in ["- meant: x", "é: meant, x", "日本語: meant", "😀 и: meant", "\tmeant", "a\u{301} meant"]
    {
        let column = text.split("meant").next().unwrap().chars().count() + 1;
        assert_eq!(pointed_at(span(1, column, column + 5), text), "meant", "{text:?}");
    }
    assert_eq!(pointed_at(span(1, 3, 6), "a 日本語 b"), "日本語");
}

#[test]
fn a_pointer_into_a_long_line_ends_where_the_shown_part_ends() {
    let text = format!("{}{}", "a".repeat(300), "日".repeat(300));
    assert_eq!(pointed_at(span(1, 301, 601), &text), "日".repeat(60));
    assert_eq!(pointed_at(span(1, 1, 601), &text), "a".repeat(120));
}

#[test]
fn a_place_behind_the_end_of_a_line_is_pointed_at() {
    let shown = render(&Diagnostic::error(Rule::Syntax, "x", Span::at(1, 6), "m"), "é b");
    assert_eq!(shown, "x:1:6: error: m\n  |\n1 | é b\n  |      ^\n");
}

#[test]
fn what_could_steer_a_terminal_is_not_shown() {
    let text = "a: \u{1b}[31m\u{202e}x\ty";
    let shown = render(&Diagnostic::error(Rule::Syntax, "x", Span::at(1, 1), "bad \u{1b}\u{7}"), text);
    assert_eq!(shown, "x:1:1: error: bad \u{fffd}\u{fffd}\n  |\n1 | a: \u{fffd}[31m\u{fffd}x y\n  | ^\n");
}
