//! What Docker's own code leaves out, and what no file may do to ours.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The files of a small app.
const APP: &[&str] = &[
    "main.py",
    "src/app.py",
    "src/util/a.py",
    "src/util/b.js",
    "README.md",
    "docs/README.md",
    "docs/img/x.png",
    "node_modules/x/index.js",
    "node_modules/x/README.md",
    ".git/HEAD",
    "sub/node_modules/y/z.js",
];

/// Ignore files, files, and those of them that Docker leaves out: its pattern matcher and the walk of its builder were
/// asked.
const DOCKER: &[(&str, &[&str], &[&str])] = &[
    ("node_modules\n.git\n", APP, &["node_modules/x/index.js", "node_modules/x/README.md", ".git/HEAD"]),
    (
        "**/node_modules\n",
        APP,
        &["node_modules/x/index.js", "node_modules/x/README.md", "sub/node_modules/y/z.js"],
    ),
    ("*.md\n", APP, &["README.md"]),
    ("**/*.md\n!README.md\n", APP, &["docs/README.md", "node_modules/x/README.md"]),
    (
        "*\n!src\n",
        APP,
        &[
            "main.py",
            "README.md",
            "docs/README.md",
            "docs/img/x.png",
            "node_modules/x/index.js",
            "node_modules/x/README.md",
            ".git/HEAD",
            "sub/node_modules/y/z.js",
        ],
    ),
    (
        "*\n!src/**\n!*.py\n",
        APP,
        &[
            "README.md",
            "docs/README.md",
            "docs/img/x.png",
            "node_modules/x/index.js",
            "node_modules/x/README.md",
            ".git/HEAD",
            "sub/node_modules/y/z.js",
        ],
    ),
    (
        "*\n!src/*/**\n",
        APP,
        &[
            "main.py",
            "src/app.py",
            "src/util/a.py",
            "src/util/b.js",
            "README.md",
            "docs/README.md",
            "docs/img/x.png",
            "node_modules/x/index.js",
            "node_modules/x/README.md",
            ".git/HEAD",
            "sub/node_modules/y/z.js",
        ],
    ),
    (
        "*\n!src/**/*.py\n",
        APP,
        &[
            "main.py",
            "src/util/b.js",
            "README.md",
            "docs/README.md",
            "docs/img/x.png",
            "node_modules/x/index.js",
            "node_modules/x/README.md",
            ".git/HEAD",
            "sub/node_modules/y/z.js",
        ],
    ),
    ("docs\n!docs/README.md\n", APP, &["docs/img/x.png"]),
    ("docs/*\n!docs/README.md\n", APP, &["docs/img/x.png"]),
    ("!docs/README.md\ndocs\n", APP, &["docs/README.md", "docs/img/x.png"]),
    ("# comment\n #docs\n/docs/\n", APP, &["docs/README.md", "docs/img/x.png"]),
    ("/docs/../src/./util//\n", APP, &["src/util/a.py", "src/util/b.js"]),
    ("src/util\n!src\n", APP, &["src/util/a.py", "src/util/b.js"]),
    ("src/util/a.py\nsrc\n!src/util\n", APP, &["src/app.py"]),
    ("*\n!a/c\na\n", &["a/c", "a/d"], &["a/d"]),
    ("a\n!a/b\na/b/c\n", &["a/b/c", "a/b/d", "a/e"], &["a/b/c", "a/e"]),
    ("a/**\n", &["a/b", "a/c/d", "ab"], &["a/b", "a/c/d"]),
    ("a/*\n", &["a/b", "a/c/d", "ab"], &["a/b", "a/c/d"]),
    ("**\n", &["a", "b/c"], &["a", "b/c"]),
    ("**/b\n", &["a/b", "ab", "b/c", "a/xb"], &["a/b", "b/c"]),
    ("**b\n", &["b", "a/b", "ab", "a/xb", "bc"], &["b", "a/b", "ab", "a/xb"]),
    ("a**b\n", &["ab", "axb", "a/xb", "a/b", "axbc"], &["ab", "a/b"]),
    ("a/**/b\n", &["a/b", "a/x/b", "a/x/y/b", "ab", "a/xb"], &["a/b", "a/x/b", "a/x/y/b"]),
    ("?\n", &["a", "ab", "é", "d/x"], &["a", "é", "d/x"]),
    ("[a-c]x\n[^a]y\n", &["ax", "dx", "ay", "by", "z"], &["ax", "by"]),
    ("[!a]x\n", &["ax", "!x", "bx"], &["ax", "!x"]),
    ("a[^b]c\n", &["a/c", "abc", "axc"], &["a/c", "axc"]),
    ("\\*\n\\!x\n\\#y\n", &["*", "a", "!x", "#y"], &["*", "!x", "#y"]),
    ("[*]\n", &["*", "[]", "]", "^]", "x]", "[^]"], &["[]", "]", "^]", "[^]"]),
    ("a*|b\n", &["a", "ax", "xb", "x/b", "xbx", "c"], &["a", "ax", "xb", "x/b"]),
    ("x{2}*\n", &["x", "xx", "xxa", "x{2}a"], &["xx", "xxa"]),
    ("*.{js,ts}\n", &["a.js", "a.ts", "a.{js,ts}"], &["a.{js,ts}"]),
    ("*^\n", &["a^", "^", "a"], &[]),
    ("\\d*\n", &["1", "d1", "a"], &["1"]),
    ("[[:alpha:]]\n", &["a", "1", ":]", "a]"], &["a"]),
    ("\u{feff}a\r\nb\r\n", &["a", "b", "c"], &["a", "b"]),
    (" a \n\u{a0}b\t\n", &["a", "b", " a "], &["a", "b"]),
    ("a /\n", &["a", "a "], &["a"]),
    ("!! a\n! b\nb\n", &["! a", "!a", "b"], &["b"]),
    ("*\n! b\n", &["a", "b"], &["a"]),
    (".\n/\n..\n../a\n", &["a", "b/c"], &[]),
    ("foo.\n", &["foo.", "foox"], &["foo."]),
    (
        "**/.env*\n!**/.env.example\n",
        &[".env", ".env.local", "a/.env", "a/.env.example", "env"],
        &[".env", ".env.local", "a/.env"],
    ),
    ("*\n**/*\n!keep\n", &["keep/a", "b"], &["b"]),
    ("a/*[_-]b\n", &["a/x_b", "a/x-b", "a/xb"], &["a/x_b", "a/x-b"]),
    ("*\n!**/x\n", &["a/b/x", "a/b/y", "x"], &["a/b/y"]),
    ("café/?\n", &["café/é", "café/ab"], &["café/é"]),
];

/// Every path of some files, directories in front of what is in them.
fn paths(files: &[&str]) -> BTreeMap<Vec<String>, bool> {
    let mut paths = BTreeMap::new();
    for file in files {
        let names: Vec<String> = file.split('/').map(str::to_owned).collect();
        for depth in 1..names.len() {
            paths.insert(names[..depth].to_vec(), true);
        }
        paths.entry(names).or_insert(false);
    }
    paths
}

/// The verdicts on all paths; those below a directory that goes whole are not asked for.
fn verdicts(rules: &Rules, files: &[&str]) -> BTreeMap<String, Verdict> {
    let mut filter = Filter::new(rules);
    let mut verdicts: BTreeMap<String, Verdict> = BTreeMap::new();
    let mut whole: Option<Vec<String>> = None;
    for (names, is_directory) in paths(files) {
        let path = names.join("/");
        if whole.as_ref().is_some_and(|whole| names.starts_with(whole)) {
            verdicts.insert(path, Verdict::LeaveOut);
            continue;
        }
        let verdict = filter.verdict(path.as_bytes(), is_directory).unwrap();
        if verdict == Verdict::LeaveOutWhole {
            whole = Some(names);
        }
        verdicts.insert(path, verdict);
    }
    verdicts
}

#[test]
fn what_docker_leaves_out_is_left_out_and_nothing_else() {
    for (file, files, expected) in DOCKER {
        let verdicts = verdicts(&Rules::parse(file.as_bytes()).unwrap(), files);
        let left_out: Vec<&str> =
            files.iter().copied().filter(|path| verdicts[*path] != Verdict::Keep).collect();
        assert_eq!(left_out, *expected, "{file:?}");
    }
}

#[test]
fn a_directory_goes_whole_unless_an_exception_may_bring_something_back() {
    for (file, verdict) in [
        ("node_modules", Verdict::LeaveOutWhole),
        ("*", Verdict::LeaveOutWhole),
        ("**", Verdict::LeaveOutWhole),
        ("node_modules\n!src", Verdict::LeaveOutWhole),
        ("!node_modules/x\nnode_modules", Verdict::LeaveOutWhole),
        ("!**/*.md\nnode_modules", Verdict::LeaveOutWhole),
        ("node_modules\n!src/*.py", Verdict::LeaveOutWhole),
        ("node_modules\n!node_modules/x/README.md", Verdict::LeaveOut),
        ("node_modules\n!node_modules/*/README.md", Verdict::LeaveOut),
        ("node_modules\n!**/README.md", Verdict::LeaveOut),
        ("node_modules\n!node*/**/x", Verdict::LeaveOut),
        ("node_modules/*", Verdict::Keep),
        ("node_modules\n!node_modules", Verdict::Keep),
    ] {
        let verdicts = verdicts(&Rules::parse(file.as_bytes()).unwrap(), &["node_modules/x/README.md"]);
        assert_eq!(verdicts["node_modules"], verdict, "{file:?}");
    }
}

#[test]
fn a_pattern_that_means_nothing_is_refused_with_its_line() {
    for (file, line, pattern, reason) in [
        ("a\n\n[", 3, "[", Reason::Brackets),
        ("# c\r\na[]b\r\n", 2, "a[]b", Reason::Brackets),
        ("*/[z-a]", 1, "*/[z-a]", Reason::Range),
        ("!", 1, "!", Reason::NothingToBringBack),
        ("! ", 1, "!", Reason::NothingToBringBack),
        ("!/", 1, "!/", Reason::NothingToBringBack),
        ("a\\", 1, "a\\", Reason::NothingEscaped),
        ("dist\\env", 1, "dist\\env", Reason::Escape { after: 'e' }),
        ("[[:foo:]]", 1, "[[:foo:]]", Reason::ClassName),
        ("\\pL", 1, "\\pL", Reason::UnicodeClass),
        ("*{2}", 1, "*{2}", Reason::Repetition),
        ("*a{1001}", 1, "*a{1001}", Reason::Repetition),
        (&format!("*{}", "a{1000}".repeat(101)), 1, &format!("*{}", "a{1000}".repeat(101)), Reason::TooLarge),
    ] {
        let error = Rules::parse(file.as_bytes()).unwrap_err();
        assert_eq!(error, IgnoreError { line, pattern: pattern.to_owned(), reason }, "{file:?}");
    }
    let error = Rules::parse(b"x\n a\x1b[31m").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the pattern `a\\x1b[31m` is refused: a `[` without a `]` after what it may match"
    );
}

#[test]
fn patterns_that_would_take_for_ever_are_given_up() {
    let rules = Rules::parse(format!("{}x", "*a".repeat(200)).as_bytes()).unwrap();
    let verdict = |effort| {
        let mut filter = Filter::new(&rules);
        filter.effort = Effort(effort);
        filter.verdict("a".repeat(300).as_bytes(), false)
    };
    assert_eq!(verdict(30_000), Err(Exhausted));
    assert_eq!(verdict(3_000_000), Ok(Verdict::Keep));
}

/// What a pattern of `*`, `?`, `**` and plain names matches, by trying everything.
fn naive(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (["**"], path) => !path.is_empty(),
        (["**", rest @ ..], path) => (0..=path.len()).any(|skipped| naive(rest, &path[skipped..])),
        ([first, rest @ ..], [name, names @ ..]) => {
            naive_name(first.as_bytes(), name.as_bytes()) && naive(rest, names)
        }
        _ => false,
    }
}

fn naive_name(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], name) => (0..=name.len()).any(|skipped| naive_name(rest, &name[skipped..])),
        ([b'?', rest @ ..], [_, names @ ..]) => naive_name(rest, names),
        ([first, rest @ ..], [next, names @ ..]) => first == next && naive_name(rest, names),
        _ => false,
    }
}

proptest! {
    #[test]
    fn no_file_and_no_path_make_it_panic(file: Vec<u8>, names in prop::collection::vec("[^/\0]{1,8}", 1..4)) {
        if let Ok(rules) = Rules::parse(&file) {
            verdicts(&rules, &[&names.join("/")]);
        }
    }

    #[test]
    fn no_pattern_makes_it_panic(file in "[]!ab*?/.^\\[\\\\{}|\\-(),:0-9\n]{0,20}", path in "[ab.^/]{1,8}") {
        if let Ok(rules) = Rules::parse(file.as_bytes()) {
            let mut filter = Filter::new(&rules);
            prop_assert!(filter.verdict(path.as_bytes(), true).is_ok());
        }
    }

    #[test]
    fn simple_patterns_match_what_they_look_like(
        pattern in prop::collection::vec("[ab]{1,2}|[ab*?]{1,3}|\\*\\*", 1..4),
        path in prop::collection::vec("[ab]{1,3}", 1..4),
    ) {
        let pattern: Vec<&str> = pattern.iter().map(String::as_str).collect();
        // Inside of a name, two stars match slashes as well.
        prop_assume!(pattern.iter().all(|name| *name == "**" || !name.contains("**")));
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let rules = Rules::parse(pattern.join("/").as_bytes()).unwrap();
        let whole = path.join("/");
        let expected = (1..=path.len()).any(|depth| naive(&pattern, &path[..depth]));
        prop_assert_eq!(verdicts(&rules, &[&whole])[&whole] != Verdict::Keep, expected);
    }

    #[test]
    fn an_exception_for_everything_at_the_end_leaves_nothing_out(file in "([ab*?/]{1,6}\n){0,3}", path in "[ab](/[ab]){0,2}") {
        let rules = Rules::parse(format!("{file}!**\n").as_bytes()).unwrap();
        prop_assert_eq!(verdicts(&rules, &[&path])[&path], Verdict::Keep);
    }
}
