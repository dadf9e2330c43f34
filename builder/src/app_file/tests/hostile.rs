//! Files that were written to do harm: they are refused soon, and little memory is taken for them.

use super::*;

/// As large as a file may be.
const LARGE: usize = 256 * 1024;

// reading 8
#[test]
fn cfg_02_no_file_of_one_repeated_piece_takes_long() {
    for piece in [
        "[",
        "{",
        "- ",
        "-\n",
        "? ",
        "a: ",
        "a:\n",
        "&a ",
        "*a ",
        "!t ",
        "'",
        "\"",
        "\\",
        "|\n",
        ">\n",
        "#",
        "%",
        "---\n",
        "...\n",
        "{a: ",
        "[a, ",
        "a: b\n",
        "- a\n",
        " ",
        "\n",
        "\t",
        "\r",
        "\u{85}",
        ":",
        ",",
        "<<: ",
        "x",
        "\u{1f600}",
        "[]",
        "{}",
        "- - - ",
        "''",
        "\"\\x41\" ",
        "@",
        "\0",
    ] {
        let text = piece.repeat(LARGE / piece.len());
        // A file of the largest size is still read in an instant; a debug build may take a few.
        let started = std::time::Instant::now();
        let (_, diagnostics) = parse(FILE_NAME, &text);
        inside(&text, &diagnostics);
        assert!(!diagnostics.is_empty(), "{piece:?}");
        assert!(started.elapsed().as_secs() < 2, "{piece:?} took {:?}", started.elapsed());
    }
}

// reading 8
#[test]
fn cfg_02_ten_thousand_levels_are_refused_by_the_limit() {
    let depth = 10_000;
    let maps: Vec<String> = (0..300).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    let lists = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for text in [lists, "- ".repeat(depth), maps.concat()] {
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with("error: lists and maps are nested more than 32 deep"), "{found:?}");
    }
}

// reading 8
#[test]
fn cfg_02_a_file_of_ten_megabytes_is_refused_unread() {
    let text = format!("version: \"{}\"\n", "x".repeat(10 * 1024 * 1024));
    assert_eq!(problems(&text), ["1:1: error: the file has 10485772 bytes; at most 262144 are read"]);
}

// reading 7
#[test]
fn cfg_02_a_large_text_behind_an_anchor_is_not_multiplied() {
    let text = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(LARGE / 2), "*a,".repeat(15_000));
    let found = problems(&text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].ends_with("error: the aliases of the file stand for more than 1048576 bytes"),
        "{found:?}"
    );
}

// reading 7
#[test]
fn cfg_02_aliases_that_multiply_stop_at_the_limit_of_nodes() {
    let mut lines = vec!["l0: &l0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned()];
    for level in 1..12 {
        let inner = format!("*l{},", level - 1).repeat(10);
        lines.push(format!("l{level}: &l{level} [{inner}]\n"));
    }
    let found = problems(&lines.concat());
    assert!(found.last().unwrap().ends_with("error: the file has more than 20000 nodes"), "{found:?}");
}

// reading 7
#[test]
fn cfg_02_objects_of_other_languages_are_refused_as_tags() {
    let text = with_start("  command: !!python/object/apply:os.system ['id']\n");
    let found = problems(&text);
    let message = "8:12: error: tags such as `!!python/object/apply:os.system` are not supported";
    assert!(found[0].starts_with(message), "{found:?}");
}

// reading 4
#[test]
fn cfg_02_control_characters_are_refused_at_their_position() {
    for (c, code) in [('\0', "0000"), ('\u{1b}', "001B"), ('\u{7}', "0007"), ('\u{c}', "000C")] {
        let text = SMALL.replace("app.py", &format!("a{c}b.py"));
        let message = format!("8:21: error: the control character U+{code} must not stand in the file");
        let hint = "in a text in double quotes it can be written as `\\xNN`";
        assert_eq!(problems(&text), [format!("{message} -> {hint}")]);
    }
    // What stands behind a zero byte would be lost on readers that stop there.
    assert!(problems("\0version: 1.0\n")[0].starts_with("1:1: error: the control character U+0000"));
    good(&with_start("  command: \"a \\x1b\"\n"));
}

#[test]
fn ten_thousand_problems_are_not_all_shown() {
    let text: String = SMALL.chars().chain("x: 1\n".repeat(9_000).chars()).collect();
    let (app_file, diagnostics) = parse(FILE_NAME, &text);
    assert!(app_file.is_none());
    assert_eq!(diagnostics.len(), 201);
    assert_eq!(diagnostics[200].to_string(), "apprunner.yaml:208:1: note: 8800 more problems are not shown");
}

/// The resident size of this process now, and the largest so far, in bytes.
fn memory() -> Option<(u64, u64)> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    Some((of("VmRSS:")?, of("VmHWM:")?))
}

#[test]
fn cfg_02_every_hostile_file_is_refused_in_100_ms_within_32_mib() {
    let levels: Vec<String> = (1..12)
        .map(|level| format!("l{level}: &l{level} [{}]\n", format!("*l{},", level - 1).repeat(10)))
        .collect();
    let bomb = levels.concat();
    let cases = [
        ("alias bomb", format!("l0: &l0 [x,x,x,x,x,x,x,x,x,x]\n{bomb}")),
        ("10 MB scalar", format!("version: \"{}\"\n", "x".repeat(10 << 20))),
        ("depth 10,000", format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))),
        ("repeated keys", format!("{SMALL}version: 1.0\n")),
        ("python object", with_start("  command: !!python/object/apply:os.system ['id']\n")),
        ("merge keys", format!("base: &b {{a: 1}}\n{}", with_run("  <<: *b\n"))),
    ];
    let before = memory();
    let mut slowest = std::time::Duration::ZERO;
    for (name, text) in &cases {
        // A debug build, on a machine with other things to do, gets another chance.
        let read = || {
            let started = std::time::Instant::now();
            let (app_file, _) = parse(FILE_NAME, text);
            assert!(app_file.is_none(), "{name}");
            started.elapsed()
        };
        let best = (0..4).map(|_| read()).min().unwrap();
        assert!(best.as_millis() < 100, "{name} took {best:?}");
        slowest = slowest.max(best);
    }
    // The texts themselves were there before.
    if let (Some((resident, _)), Some((_, largest))) = (before, memory()) {
        let more = largest.saturating_sub(resident);
        println!("figure CFG-02: {} files refused, slowest {slowest:.1?}, {} MiB", cases.len(), more >> 20);
        assert!(more < 32 << 20, "{more}");
    }
}
