mod oracle;

use super::*;

fn exec(words: &[&str]) -> StartCommand {
    StartCommand::Exec(words.iter().map(|&word| word.to_owned()).collect())
}

fn shell(line: &str) -> StartCommand {
    StartCommand::Shell(line.to_owned())
}

fn command(text: &str) -> StartCommand {
    CommandLine::parse(text).unwrap().command
}

// start examples
#[test]
fn the_examples_of_the_app_files_description_have_their_form() {
    for (text, expected) in [
        ("python3 server.py", exec(&["python3", "server.py"])),
        ("node \"my app.js\"", exec(&["node", "my app.js"])),
        (
            "gunicorn -b 0.0.0.0:8000 app:create_app()",
            exec(&["gunicorn", "-b", "0.0.0.0:8000", "app:create_app()"]),
        ),
        ("gunicorn -b :$PORT app:app", shell("exec gunicorn -b :$PORT app:app")),
        ("npm run migrate up && npm start", shell("npm run migrate up && npm start")),
        ("cd web && npm start", shell("cd web && npm start")),
        ("NODE_ENV=production node .", shell("NODE_ENV=production node .")),
        ("sh -c 'cd web && npm start'", exec(&["sh", "-c", "cd web && npm start"])),
        ("python3 migrate.py\nexec python3 app.py\n", shell("python3 migrate.py\nexec python3 app.py")),
    ] {
        assert_eq!(command(text), expected, "{text}");
    }
}

// start words
#[test]
fn words_follow_the_quoting_rules_of_posix() {
    for (text, words) in [
        ("a  b\tc", &["a", "b", "c"][..]),
        ("a 'b c' d", &["a", "b c", "d"]),
        (r#"a "b \" c" d"#, &["a", "b \" c", "d"]),
        (r#"a "b\n" 'c\n'"#, &["a", r"b\n", r"c\n"]),
        (r"a b\ c", &["a", "b c"]),
        ("a '' b", &["a", "", "b"]),
        ("a x'y'\"z\"", &["a", "xyz"]),
        (r"a \$PORT", &["a", "$PORT"]),
        ("a '$PORT'", &["a", "$PORT"]),
        (r#"a "\$PORT""#, &["a", "$PORT"]),
        ("a $ b$ $.", &["a", "$", "b$", "$."]),
        ("a 'x && y' \"p | q; r\"", &["a", "x && y", "p | q; r"]),
        ("a b~ c#d", &["a", "b~", "c#d"]),
        ("a '~' \"#\" ", &["a", "~", "#"]),
        ("a X=y --opt=z", &["a", "X=y", "--opt=z"]),
        ("a cd export", &["a", "cd", "export"]),
        ("'cd' x", &["cd", "x"]),
        ("'A=b' x", &["A=b", "x"]),
        ("\\A=b x", &["A=b", "x"]),
        ("A''=b x", &["A=b", "x"]),
        ("a \\\n b", &["a", "b"]),
    ] {
        assert_eq!(command(text), exec(words), "{text}");
    }
}

// start literal
#[test]
fn literal_characters_of_server_arguments_need_no_shell() {
    for text in [
        "a --forwarded-allow-ips *",
        "a app:create_app()",
        "a {x,y}",
        "a [x]",
        "a b?",
        "a 'app:create(x=\"y\")'",
    ] {
        let line = CommandLine::parse(text).unwrap();
        assert_eq!((line.reason, line.warnings), (Reason::NoShellNeeded, vec![]), "{text}");
    }
}

// start shell
#[test]
fn what_needs_a_shell_is_named() {
    let operator = |text: &str| Trigger::Operator(text.to_owned());
    let expansion = |text: &str| Trigger::Expansion(text.to_owned());
    for (text, trigger) in [
        ("a && b", operator("&&")),
        ("a || b", operator("||")),
        ("a & b", operator("&")),
        ("a; b", operator(";")),
        ("a | b", operator("|")),
        ("a < b", operator("<")),
        ("a > b", operator(">")),
        ("a 2>&1", operator("2>&")),
        ("a >> b", operator(">>")),
        ("a `b`", expansion("`b`")),
        ("a \"x`b`\"", expansion("`b`")),
        ("a\nb", Trigger::Lines),
        ("a $PORT", expansion("$PORT")),
        ("a \"$PORT\"", expansion("$PORT")),
        ("a ${PORT:-80}", expansion("${PORT:-80}")),
        ("a $(nproc; x)", expansion("$(nproc; x)")),
        ("a $1", expansion("$1")),
        ("a $$", expansion("$$")),
        ("a ~/b", Trigger::Home),
        ("a #b", Trigger::Comment),
        ("(a)", Trigger::Subshell),
        ("A=b c", Trigger::Assignment("A".to_owned())),
        ("A='b c' d", Trigger::Assignment("A".to_owned())),
    ] {
        assert_eq!(CommandLine::parse(text).unwrap().reason, Reason::Needs(trigger), "{text}");
    }
    for word in [
        "cd", "exec", "export", "set", "unset", ".", "source", "eval", "ulimit", "umask", "trap", "if",
        "for", "while", "until", "case", "{", "!", ":", "exit", "command", "read", "wait",
    ] {
        let reason = CommandLine::parse(&format!("{word} x")).unwrap().reason;
        assert_eq!(reason, Reason::Needs(Trigger::Builtin(word.to_owned())));
    }
}

// start signals
#[test]
fn a_single_command_in_a_shell_gets_exec_and_others_a_warning() {
    for (text, line) in [
        ("a $PORT", "exec a $PORT"),
        ("a $(b; c && d)", "exec a $(b; c && d)"),
        ("a 2>&1 >log", "exec a 2>&1 >log"),
        ("~/a", "exec ~/a"),
        ("a # b && c", "exec a # b && c"),
        ("exec a $PORT", "exec a $PORT"),
        ("X=1 exec a", "X=1 exec a"),
        ("a && exec b", "a && exec b"),
        ("a\nexec b", "a\nexec b"),
    ] {
        let parsed = CommandLine::parse(text).unwrap();
        assert_eq!((parsed.command, parsed.warnings), (shell(line), vec![]), "{text}");
    }
    for text in ["a && b", "exec a && b", "cd x; b", "X=1 a", "(a)", "a\nb", "a & "] {
        let parsed = CommandLine::parse(text).unwrap();
        assert_eq!(
            (parsed.command, parsed.warnings),
            (shell(text.trim()), vec![Warning::ShellStays]),
            "{text}"
        );
    }
}

// start literal
#[test]
fn a_pattern_that_the_shell_would_expand_is_warned_about() {
    let parsed = CommandLine::parse("a --allow * -p $PORT").unwrap();
    assert_eq!(parsed.warnings, [Warning::Glob { word: "*".to_owned() }]);
    assert_eq!(CommandLine::parse("a --allow '*' -p $PORT").unwrap().warnings, []);
}

// start literal
#[test]
fn a_parenthesis_that_the_shell_would_stumble_over_is_refused() {
    let error = CommandLine::parse("gunicorn -b :$PORT app:create_app()").unwrap_err();
    let (word, trigger) = ("app:create_app()".to_owned(), "`$PORT`".to_owned());
    assert_eq!(error, CommandLineError::Parenthesis { word, trigger });
    let quoted = "gunicorn -b :$PORT 'app:create_app()'";
    assert_eq!(command(quoted), shell(&format!("exec {quoted}")));
}

#[test]
fn parentheses_that_are_the_shells_are_left_to_it() {
    for text in ["(cd web; npm start)", "a && (b; c)", "start() { exec a; }\nstart", "case $X in a) b;; esac"]
    {
        assert_eq!(command(text), shell(text), "{text}");
    }
}

// start words
#[test]
fn what_is_opened_must_be_closed() {
    for (text, opened) in [
        ("a 'b", "'"),
        ("a \"b", "\""),
        ("a b\\", "\\"),
        ("a `b", "`"),
        ("a $(b", "$("),
        ("a ${b", "${"),
        ("a \"b\\\"", "\""),
    ] {
        assert_eq!(
            CommandLine::parse(text),
            Err(CommandLineError::Unbalanced { opened: opened.to_owned() }),
            "{text}"
        );
    }
}

#[test]
fn an_empty_command_and_a_zero_byte_are_refused() {
    assert_eq!(CommandLine::parse(" \n "), Err(CommandLineError::Empty));
    assert_eq!(CommandLine::parse("a\0b"), Err(CommandLineError::ZeroByte));
}

// start forced
#[test]
fn without_a_shell_the_words_are_what_white_space_separates_and_nothing_is_honoured() {
    let literal = |text: &str| CommandLine::parse_as(text, Form::Literal).unwrap();
    for (text, words) in [
        ("python3 server.py", &["python3", "server.py"][..]),
        ("node \"my app.js\"", &["node", "\"my", "app.js\""]),
        (
            "gunicorn -b 0.0.0.0:8000 app:create_app()",
            &["gunicorn", "-b", "0.0.0.0:8000", "app:create_app()"],
        ),
        ("gunicorn -b :$PORT app:app", &["gunicorn", "-b", ":$PORT", "app:app"]),
        ("npm run migrate up && npm start", &["npm", "run", "migrate", "up", "&&", "npm", "start"]),
        ("cd web && npm start", &["cd", "web", "&&", "npm", "start"]),
        ("NODE_ENV=production node .", &["NODE_ENV=production", "node", "."]),
        ("sh -c 'cd web'", &["sh", "-c", "'cd", "web'"]),
        ("a it's \\d+", &["a", "it's", "\\d+"]),
        (" a\n  b\t", &["a", "b"]),
    ] {
        let parsed = literal(text);
        assert_eq!((parsed.command, parsed.reason), (exec(words), Reason::AskedFor), "{text}");
    }
    for empty in ["", " \n", "\u{c}\r"] {
        assert_eq!(CommandLine::parse_as(empty, Form::Literal), Err(CommandLineError::Empty));
    }
    assert_eq!(CommandLine::parse_as("a\0", Form::Literal), Err(CommandLineError::ZeroByte));
}

// start forced
#[test]
fn without_a_shell_what_looks_like_the_shells_is_warned_about() {
    let warnings = |text: &str| {
        let warnings = CommandLine::parse_as(text, Form::Literal).unwrap().warnings;
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let literal = |what: &str| format!("there is no shell: {what} reaches the program as it is");
    assert_eq!(warnings("a -b * c:d()"), Vec::<String>::new());
    assert_eq!(warnings("a $PORT"), [literal("`$PORT`")]);
    assert_eq!(warnings("A=1 b"), [literal("the assignment to `A`")]);
    assert_eq!(warnings("a 'b c' && d"), [literal("`&&`"), literal("`'`")]);
    assert_eq!(warnings("a it's"), [literal("`'`")]);
    assert_eq!(warnings("a \\d \"b\""), [literal("`\"`"), literal("`\\`")]);
}

// start forced
#[test]
fn a_shell_can_be_asked_for() {
    let parsed = CommandLine::parse_as("a b", Form::Shell).unwrap();
    assert_eq!((parsed.command, parsed.reason), (shell("exec a b"), Reason::AskedFor));
}

// start npm
#[test]
fn the_programs_tell_whether_npm_and_a_shell_must_be_there() {
    for (text, programs, npm, shell) in [
        ("npm start", &["npm"][..], true, false),
        ("node npm.js", &["node"], false, false),
        ("cd web && exec /usr/bin/npx serve", &["/usr/bin/npx"], true, true),
        ("X=1 npm start", &["npm"], true, true),
        ("if test -f x; then npm start; else node .; fi", &["test", "npm", "node", "fi"], true, true),
        ("{ npm start; }", &["npm", "}"], true, true),
        ("sh -c 'cd web && npm start'", &["sh", "npm"], true, true),
        ("/bin/sh start.sh", &["/bin/sh"], false, true),
        ("python3 app.py npm", &["python3"], false, false),
    ] {
        let command = command(text);
        assert_eq!(
            (command.programs().as_slice(), command.uses_npm(), command.uses_shell()),
            (&programs.iter().map(ToString::to_string).collect::<Vec<_>>()[..], npm, shell),
            "{text}"
        );
    }
}

#[test]
fn the_vector_of_a_shell_command_names_the_shell() {
    assert_eq!(shell("exec a").to_cmd(), ["/bin/sh", "-c", "exec a"]);
    assert_eq!(exec(&["a", "b"]).to_cmd(), ["a", "b"]);
}

// start list
#[test]
fn a_list_is_taken_as_it_is() {
    let words = |words: &[&str]| StartText::Words(words.iter().map(|&word| word.to_owned()).collect());
    let given = ["node", "my app.js", "$PORT", "", "it's", "&&"];
    for form in [Form::AsNeeded, Form::Literal] {
        let line = CommandLine::of(&words(&given), form).unwrap();
        assert_eq!((line.command, line.reason, line.warnings), (exec(&given), Reason::AsGiven, vec![]));
    }
    let line = CommandLine::of(&words(&given), Form::Shell).unwrap();
    let text = r"exec node 'my app.js' '$PORT' '' 'it'\''s' '&&'";
    assert_eq!((line.command, line.reason), (shell(text), Reason::AskedFor));
    assert_eq!(CommandLine::of(&words(&[]), Form::AsNeeded), Err(CommandLineError::Empty));
    assert_eq!(CommandLine::of(&words(&["", "a"]), Form::AsNeeded), Err(CommandLineError::Empty));
    assert_eq!(CommandLine::of(&words(&["a", "\0"]), Form::AsNeeded), Err(CommandLineError::ZeroByte));
    let line = CommandLine::of(&StartText::Line("a $PORT".to_owned()), Form::AsNeeded).unwrap();
    assert_eq!(line.command, shell("exec a $PORT"));
}

#[test]
fn a_refusal_says_what_to_write_instead() {
    let hint = |text: &str| CommandLine::parse(text).unwrap_err().hint();
    assert_eq!(hint("a :$PORT b()").unwrap(), "put quotes around the word: `'b()'`");
    assert!(hint("a 'b").unwrap().starts_with("close it"));
    assert!(hint("a \\").unwrap().starts_with("a backslash at the end"));
    assert_eq!(hint("a\0"), None);
}
