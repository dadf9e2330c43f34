use proptest::prelude::*;

use super::samples::WHOLE;
use super::*;

/// Reads one variable's value as it is written after `value: `.
fn value(written: &str) -> String {
    let text = with_run(&format!("  env:\n    - name: X\n      value: {written}\n"));
    let (app_file, _) = parse(FILE_NAME, &text);
    app_file.unwrap_or_else(|| panic!("{written}")).run.env[0].value.value.clone()
}

// quirk 18, reading 1
#[test]
fn scalars_stay_text() {
    for (written, expected) in [
        ("3.10", "3.10"),
        ("1.0", "1.0"),
        ("False", "False"),
        ("5432", "5432"),
        ("007", "007"),
        ("1e3", "1e3"),
        ("null", "null"),
        ("~", "~"),
        ("0x10", "0x10"),
        ("yes", "yes"),
        ("'it''s'", "it's"),
        ("\"a\\tb\\u00e9\"", "a\tb\u{e9}"),
        ("''", ""),
        ("a # comment", "a"),
        ("a#b", "a#b"),
        ("'{\"a\": [1, 2]}'", "{\"a\": [1, 2]}"),
        ("|\n        a\n        b", "a\nb\n"),
        ("|-\n        a\n        b", "a\nb"),
        (">\n        a\n        b", "a b\n"),
        ("http://x:8080/y", "http://x:8080/y"),
    ] {
        assert_eq!(value(written), expected, "{written}");
    }
}

// reading 1
#[test]
fn a_version_is_not_a_decimal_number() {
    let app_file = good(&with_run("  runtime-version: 3.10\n"));
    assert_eq!(app_file.run.runtime_version.unwrap().value.components(), [3, 10]);
}

// reading 3
#[test]
fn a_value_that_is_not_there_is_the_empty_text_with_a_warning() {
    let found = problems(&with_run("  env:\n    - name: X\n      value:\n"));
    assert_eq!(found, ["11:7: warning: `value` has no value, which is read as the empty text"]);
    assert_eq!(value(""), "");
}

// reading 3
#[test]
fn an_empty_list_or_map_counts_as_absent() {
    good(&with_run("  env:\n  secrets:\n  network:\n  pre-run:\n"));
    let found = problems("version: 1.0\nruntime: python3\nbuild:\nrun:\n");
    assert_eq!(found.len(), 2, "{found:?}");
}

// reading 3
#[test]
fn an_empty_item_of_a_command_list_is_skipped_with_a_warning() {
    let found = problems(&with_commands("    build:\n      - a\n      -\n      - ''\n      - b\n"));
    let expected = "warning: an empty item of `build.commands.build` is skipped";
    assert_eq!(
        found.iter().map(|line| line.split_once(": ").unwrap().1).collect::<Vec<_>>(),
        [expected, expected]
    );
}

// reading 4
#[test]
fn a_byte_order_mark_and_carriage_returns_are_accepted() {
    let text = format!("\u{feff}{}", SMALL.replace('\n', "\r\n"));
    let app_file = good(&text);
    assert_eq!((command(&app_file).value.as_str(), command(&app_file).at.start.line), ("python3 app.py", 8));
    assert_eq!(app_file.version.at.start, Position { line: 1, column: 10 });
}

// reading 4
#[test]
fn bytes_that_are_not_utf_8_are_refused_at_their_position() {
    assert_eq!(decode(FILE_NAME, SMALL.as_bytes()), Ok(SMALL));
    let error = decode(FILE_NAME, b"version: 1.0\nruntime: \xff").unwrap_err();
    assert_eq!(error.to_string(), "apprunner.yaml:2:10: error: the file is not UTF-8");
}

// reading 4
#[test]
fn a_second_document_is_refused() {
    let found = problems(&format!("{SMALL}---\nversion: 1.0\n"));
    assert_eq!(found, ["9:1: error: a second document begins here -> one file is one document"]);
}

// reading 5
#[test]
fn a_tab_as_indentation_is_refused_at_its_position() {
    let found = problems(&SMALL.replace("  command:", "\tcommand:"));
    let hint = "indent with spaces: YAML does not allow tabs there";
    assert_eq!(found, [format!("8:1: error: a tab is used as indentation -> {hint}")]);
}

// reading 6
#[test]
fn cfg_02_a_key_given_twice_is_refused_with_both_positions() {
    let found = problems(&with_run("  command: b\n"));
    assert_eq!(found, ["9:3: error: `command` is given twice, first at 8:3"]);
}

// reading 7
#[test]
fn cfg_02_anchors_are_expanded_and_merge_keys_and_tags_are_refused() {
    let app_file = good(
        &with_run("  pre-run: &x\n    - a\n  env: []\n  secrets: []\n")
            .replace("pip install -r requirements.txt", "&y 'a b'")
            .replace("    - a\n", "    - *y\n"),
    );
    assert_eq!(app_file.run.pre_run[0].text, "a b");
    assert!(problems(&with_run("  <<: {}\n"))[0].contains("9:3: error: merge keys (`<<`) are not supported"));
    let hint = "remove the tag, or put the text in quotes if it is part of the value";
    for (start, position, tag) in [
        ("  command: !Ref x\n", "8:12", "!Ref"),
        ("  command: !!binary x\n", "8:12", "!!binary"),
        ("  command: &a !<x:y> z\n", "8:15", "!<x:y>"),
        ("  command: !a &b z\n", "8:12", "!a"),
        ("  command: !str\n", "8:12", "!str"),
        ("  command: !x\n    z\n", "8:12", "!x"),
        ("  command: !x |\n    z\n", "8:12", "!x"),
        ("  !k command: z\n", "8:3", "!k"),
        ("  command: z\n  secrets: [!s ]\n", "9:13", "!s"),
        ("  command: z\n  secrets: !list\n    - name: X\n      value-from: y\n", "9:12", "!list"),
        ("  command: z\n  network: !m\n    port: 80\n", "9:12", "!m"),
    ] {
        let found = problems(&with_start(start));
        let message = format!("{position}: error: tags such as `{tag}` are not supported -> {hint}");
        assert!(found.contains(&message), "{start}: {found:?}");
    }
}

// reading 8
#[test]
fn limits_are_named_where_they_are_exceeded() {
    let large = format!("{SMALL}#{}", "x".repeat(256 * 1024));
    assert!(problems(&large)[0].contains("bytes; at most 262144 are read"));
    let deep = with_start(&format!("  command: {}a{}\n", "[".repeat(40), "]".repeat(40)));
    assert!(problems(&deep)[0].contains("error: lists and maps are nested more than 32 deep"));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n";
    assert!(problems(bomb)[0].contains("error: the file has more than 20000 nodes"), "{:?}", problems(bomb));
    assert!(problems("a: &a [*a]\n")[0].contains("this alias lies inside of what it stands for"));
}

#[test]
fn a_file_without_a_map_is_refused() {
    assert_eq!(problems(""), ["1:1: error: the file is empty"]);
    assert_eq!(problems("# nothing\n"), ["1:1: error: the file is empty"]);
    assert_eq!(problems("- a\n"), ["1:1: error: the file must be a map, not a list"]);
}

#[test]
fn what_is_not_yaml_is_refused_at_its_position() {
    let found = problems(&with_start("  command: python3 app.py --name a: b\n"));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("8:"), "{found:?}");
    assert!(
        found[0].ends_with(
            "put a value that contains `: ` or ends with `:` in quotes, and check the indentation"
        ),
        "{found:?}"
    );
    assert!(problems(&with_start("  command: \"a\n"))[0].contains("error: this is not valid YAML"));
}

/// Pieces of app files, and what YAML makes special.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "version",
        "runtime",
        "build",
        "commands",
        "pre-build",
        "run",
        "command",
        "network",
        "env",
        "secrets",
        "name",
        "value",
        "value-from",
        ": ",
        ":",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "\r\n",
        "\r",
        "\t",
        "#",
        " #",
        "&a ",
        "*a",
        "!t ",
        "|",
        ">-",
        "'",
        "\"",
        "\\",
        "[",
        "]",
        "{",
        "}",
        ",",
        "? ",
        "<<",
        "%",
        "---\n",
        "...\n",
        "~",
        "1.0",
        "python3",
        "\u{feff}",
        "\u{85}",
        "\u{2028}",
        "\u{1f600}",
        "\0",
    ];
    prop_oneof![prop::sample::select(words.to_vec()).prop_map(str::to_owned), "\\PC{1,3}"]
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_fall_over_or_point_outside_of_it(text in "\\PC{0,60}|(?s).{0,60}") {
        read_in_time(&text);
    }

    // reading 9
    #[test]
    fn no_heap_of_pieces_makes_the_reader_fall_over_or_point_outside_of_it(pieces in prop::collection::vec(piece(), 0..40)) {
        read_in_time(&pieces.concat());
    }

    // reading 9
    #[test]
    fn no_change_of_a_good_file_makes_the_reader_fall_over_or_point_outside_of_it(
        from in 0..WHOLE.len(),
        length in 0..12_usize,
        pieces in prop::collection::vec(piece(), 0..3),
    ) {
        // The file is ASCII: every index lies between characters.
        let to = (from + length).min(WHOLE.len());
        read_in_time(&format!("{}{}{}", &WHOLE[..from], pieces.concat(), &WHOLE[to..]));
    }

    #[test]
    fn no_change_of_one_byte_makes_the_reader_fall_over(index in 0..SMALL.len(), byte in any::<u8>()) {
        let mut bytes = SMALL.as_bytes().to_vec();
        bytes[index] = byte;
        match decode(FILE_NAME, &bytes) {
            Ok(text) => read_in_time(text),
            Err(diagnostic) => {
                // The file is ASCII, and the byte is the only fault: it is what the position names.
                let line = SMALL[..index].matches('\n').count() + 1;
                let column = index - SMALL[..index].rfind('\n').map_or(0, |at| at + 1) + 1;
                prop_assert_eq!(diagnostic.at, Span::at(line, column));
            }
        }
    }
}
