use super::*;
use crate::command_line::Form;

/// Asserts that a file has exactly this problem: its position, severity and message, and the hint.
fn one(text: &str, expected: &str) {
    assert_eq!(problems(text), [expected], "{text}");
}

// quirk 16, validation version
#[test]
fn the_version_of_the_format_is_one() {
    for (version, expected) in [
        ("1", Some("1:10: warning: version `1` is read as `1.0`, the only one there is")),
        ("1.10", Some("1:10: warning: version `1.10` is read as `1.0`, the only one there is")),
        ("1.0", None),
        ("\"1.0\"", None),
    ] {
        let found = problems(&SMALL.replace("1.0", version));
        assert_eq!(found.first().map(String::as_str), expected);
    }
    let hint = "write `version: 1.0`; a version of the app does not belong here";
    for version in ["2", "2.0", "1.x", "1.", "0.1.0", "v1.0"] {
        let message = format!("1:10: error: version `{version}` of the file's format is not known -> {hint}");
        one(&SMALL.replace("1.0", version), &message);
    }
}

// validation required
#[test]
fn each_required_key_that_is_missing_is_a_message_of_its_own() {
    one(&SMALL.replace("version: 1.0\n", ""), "1:1: error: `version` is missing -> add `version: 1.0`");
    let hint = "add `runtime: python3` or `runtime: nodejs22`, for example";
    one(&SMALL.replace("runtime: python3\n", ""), &format!("1:1: error: `runtime` is missing -> {hint}"));
    let hint = "add the command that starts the app: `command: python3 app.py`";
    one(&with_start("  pre-run: [a]\n"), &format!("8:3: error: `run.command` is missing -> {hint}"));
    let hint = "add `build.commands.build`; `build: []` says that there is nothing to build";
    let message = format!("5:5: error: `build.commands.build` is missing -> {hint}");
    one(&with_commands("    pre-build: [a]\n"), &message);
    assert_eq!(problems("runtime: python3\n").len(), 3);
}

// validation required
#[test]
fn a_required_key_that_is_there_in_another_way_is_not_missing_as_well() {
    for (text, expected) in [
        (SMALL.replace("version:", "Version:"), "1:1: error: unknown key `Version` -> write `version`"),
        (
            SMALL.replace("build:\n  commands", "buidl:\n  commands"),
            "3:1: error: unknown key `buidl` -> write `build`",
        ),
        (SMALL.replace("commands:", "command:"), "4:3: error: unknown key `command` -> write `commands`"),
        (with_start("  commands: python3 app.py\n"), "8:3: error: unknown key `commands` -> write `command`"),
        (
            SMALL.replace("  command: p", "command: p"),
            "8:1: error: `command` does not belong here -> it belongs to `run.command`: check the indentation",
        ),
        (
            SMALL.replace("build:\n  commands:\n    build:\n      - p", "build:\n  build:\n    - p"),
            "4:3: error: `build` does not belong here -> it belongs to `build.commands.build`: check the indentation",
        ),
    ] {
        one(&text, expected);
    }
    let nested =
        "version: 1.0\nruntime: python3\nrun:\n  command: a\n  build:\n    commands:\n      build: [b]\n";
    one(nested, "5:3: error: `build` does not belong here -> it belongs to `build`: check the indentation");
    // What is missing beside it is still told.
    let found = problems("Version: 1.0\nrun:\n  comand: a\n");
    assert_eq!(found.len(), 4, "{found:?}");
}

// reading 3
#[test]
fn a_required_text_must_not_be_empty() {
    for (text, expected) in [
        (SMALL.replace("1.0", ""), "1:1: error: `version` is empty -> write `version: 1.0`"),
        (
            SMALL.replace("python3\n", "''\n"),
            "2:10: error: `runtime` is empty -> add `runtime: python3` or `runtime: nodejs22`, for example",
        ),
        (
            SMALL.replace("python3\n", "\n"),
            "2:1: error: `runtime` is empty -> add `runtime: python3` or `runtime: nodejs22`, for example",
        ),
        (
            with_run("  runtime-version:\n"),
            "9:3: error: `run.runtime-version` is empty -> remove the key: without it the newest version is taken",
        ),
        (
            with_run("  network:\n    port: ''\n"),
            "10:11: error: `run.network.port` is empty -> without `port` it is 8080",
        ),
        (
            with_run("  network:\n    env:\n"),
            "10:5: error: `run.network.env` is empty -> remove the key, or write the name of a variable that holds the port too",
        ),
        (
            with_run("  env:\n    - name:\n      value: x\n"),
            "10:7: error: a variable's name must not be empty or hold `=`, a zero byte or a line end",
        ),
        (
            with_run("  secrets:\n    - name: X\n      value-from:\n"),
            "11:7: error: `value-from` of a secret has 0 characters; it may have 1 to 2048",
        ),
    ] {
        one(&text, expected);
    }
}

// validation required
#[test]
fn an_empty_list_says_that_there_is_nothing_to_build() {
    let message = "5:12: warning: `build.commands.build` is empty: there is nothing to build";
    one(&with_commands("    build: []\n"), message);
}

// quirk 12, validation runtime
#[test]
fn a_runtime_is_read_in_lower_case() {
    let text = SMALL.replace("python3\n", "Python3\n");
    one(
        &text,
        "2:10: warning: runtime `Python3` is read as `python3` -> names of runtimes are in lower case",
    );
    assert_eq!(runtime(&parse(FILE_NAME, &text).0.unwrap()), "python3");
}

// quirk 15, choice refused
#[test]
fn cfg_03_a_runtime_version_follows_its_grammar() {
    let wrong = [
        ("latest", "remove the key: without it the newest version is taken"),
        ("18.x", "write `18`"),
        ("v22.14.0", "write `22.14.0`"),
    ];
    println!("figure CFG-03: {} versions refused by line and column", wrong.len());
    for (version, hint) in wrong {
        let message = format!(
            "9:20: error: `{version}` is not a version: expected `major[.minor[.patch[-build]]]` -> {hint}"
        );
        one(&with_run(&format!("  runtime-version: {version}\n")), &message);
    }
    good(&with_run("  runtime-version: '3'\n"));
}

// reading 2, validation port
#[test]
fn cfg_03_a_port_is_a_number_quoted_or_not() {
    for port in ["1", "8080", "'65535'", "\"3000\""] {
        good(&with_run(&format!("  network:\n    port: {port}\n")));
    }
    let wrong = ["0", "65536", "-1", "+80", "080", "80.0", "http", "8e1", "0x50"];
    println!("figure CFG-03: {} ports refused by line and column", wrong.len());
    for port in wrong {
        let message = format!(
            "10:11: error: port `{port}` is not a number from 1 to 65535 -> without `port` it is 8080"
        );
        one(&with_run(&format!("  network:\n    port: {port}\n")), &message);
    }
}

// quirk 19, validation port-variable, port reserved
#[test]
fn the_variable_of_the_port_must_have_a_valid_name() {
    good(&with_run("  network:\n    env: PORT\n"));
    for name in ["A-B", "1A", "A=B", "AWSAPPRUNNER_X"] {
        let message = format!(
            "10:10: error: `{name}` cannot be the name of a variable that holds the port -> write a name such as `APP_PORT`"
        );
        one(&with_run(&format!("  network:\n    env: {name}\n")), &message);
    }
    let message = "11:7: error: `run.network.env` must be the name of one variable -> variables of the app belong to `run.env`";
    one(&with_run("  network:\n    env:\n      - name: A\n"), message);
}

// row 13, quirk 19, validation port-variable, port run-env
#[test]
fn port_in_run_env_may_only_repeat_the_port() {
    let env = |value: &str| {
        with_run(&format!("  network:\n    port: 3000\n    env: APP_PORT\n  env:\n    - name: {value}\n"))
    };
    one(
        &env("PORT\n      value: 3000"),
        "13:13: warning: `PORT` is redundant: it always holds the port, 3000",
    );
    let hint = "set `run.network.port` instead, and remove `PORT` from `run.env`";
    let message = format!("14:14: error: `PORT` holds the port, which is 3000, and cannot be 80 -> {hint}");
    one(&env("PORT\n      value: 80"), &message);
    let found = problems(&env("APP_PORT\n      value: 80"));
    assert!(found[0].starts_with("14:14: error: `APP_PORT` holds the port, which is 3000"), "{found:?}");
}

// port run-env
#[test]
fn what_repeats_the_port_is_left_out() {
    let env = "  env:\n    - {name: PORT, value: 80}\n    - {name: X, value: 80}\n";
    let run = |variable: &str| {
        let text = with_run(&format!("  network:\n    port: 80\n    env: {variable}\n{env}"));
        parse(FILE_NAME, &text).0.unwrap().run
    };
    let names = |run: &Run| run.env.iter().map(|variable| variable.name.value.clone()).collect::<Vec<_>>();
    assert_eq!((names(&run("PORT")), run("PORT").network.env), (vec!["X".to_owned()], None));
    assert_eq!(names(&run("X")), Vec::<String>::new());
    assert_eq!(run("X").network.env.unwrap().value, "X");
}

// port build-env
#[test]
fn port_in_build_env_reaches_build_commands_only() {
    let text = SMALL.replace("run:\n", "  env:\n    - name: PORT\n      value: 80\nrun:\n");
    let hint = "set `run.network.port` to change the port of the app";
    one(&text, &format!("8:13: warning: `PORT` in `build.env` reaches build commands only -> {hint}"));
}

// port secret
#[test]
fn port_cannot_be_a_secret() {
    let text = with_run("  secrets:\n    - name: PORT\n      value-from: port\n");
    one(&text, "10:13: error: `PORT` holds the port and cannot be a secret -> set `run.network.port`");
}

// row 13, validation names, port reserved
#[test]
fn cfg_05_names_of_variables_are_checked_in_every_list() {
    for (name, message) in [
        ("''", "error: a variable's name must not be empty or hold `=`, a zero byte or a line end"),
        ("A=B", "error: a variable's name must not be empty or hold `=`, a zero byte or a line end"),
        ("\"A\\nB\"", "error: a variable's name must not be empty or hold `=`, a zero byte or a line end"),
        ("\"A\\0B\"", "error: a variable's name must not be empty or hold `=`, a zero byte or a line end"),
        ("AWSAPPRUNNER_X", "error: `AWSAPPRUNNER_X` is reserved: names must not begin with `AWSAPPRUNNER`"),
        (
            "a-b",
            "warning: shells cannot read a variable named `a-b` -> letters, digits and `_` work everywhere, with no digit first",
        ),
    ] {
        one(
            &with_run(&format!("  env:\n    - name: {name}\n      value: x\n")),
            &format!("10:13: {message}"),
        );
        one(
            &with_run(&format!("  secrets:\n    - name: {name}\n      value-from: x\n")),
            &format!("10:13: {message}"),
        );
        let text = SMALL.replace("run:\n", &format!("  env:\n    - name: {name}\n      value: x\nrun:\n"));
        one(&text, &format!("8:13: {message}"));
    }
}

// validation values
#[test]
fn cfg_05_a_value_is_one_text_of_limited_length() {
    let env = |value: &str| with_run(&format!("  env:\n    - name: X\n      value: {value}\n"));
    let hint = "put the whole value in quotes: `value: '…'`";
    one(&env("{a: 1}"), &format!("11:14: error: `value` must be one text, not a map -> {hint}"));
    one(&env("[1, 2]"), &format!("11:14: error: `value` must be one text, not a list -> {hint}"));
    let message = "11:14: error: a value must not hold a zero byte or more than 51200 characters";
    one(&env("\"a\\0\""), message);
    one(&env(&"x".repeat(51_201)), message);
    good(&env(&"é".repeat(51_200)));
}

/// Variables that programs act on are the app's own affair: they reach its commands in the sandbox and its image, and
/// nothing else, so that they are not refused.
#[test]
fn cfg_05_what_steers_programs_is_an_ordinary_variable_and_what_is_no_variable_is_refused() {
    let million = "x".repeat(1 << 20);
    let table = [
        ("LD_PRELOAD", "/app/evil.so", true),
        ("LD_LIBRARY_PATH", "/app", true),
        ("PATH", "/app/bin:/usr/bin", true),
        ("PYTHONPATH", "/app", true),
        ("NODE_OPTIONS", "--require=/app/x.js", true),
        ("BASH_ENV", "/app/x.sh", true),
        ("HTTPS_PROXY", "http://127.0.0.1:1", true),
        ("A", "x=y; $(touch /tmp/x) `y`", true),
        ("A", "two\\nlines", true),
        ("A=B", "x", false),
        ("A\\nB", "x", false),
        ("A\\0B", "x", false),
        ("A", "x\\0y", false),
        ("", "x", false),
        ("AWSAPPRUNNER_X", "x", false),
        ("A", &million, false),
    ];
    for (name, value, is_good) in table {
        let text = with_run(&format!("  env:\n    - name: \"{name}\"\n      value: \"{value}\"\n"));
        let (app_file, diagnostics) = parse(FILE_NAME, &text);
        assert_eq!(app_file.is_some(), is_good, "{name}: {diagnostics:?}");
    }
    println!("figure CFG-05: {} names and values judged as the table says", table.len());
}

// validation env-map
#[test]
fn env_given_as_a_map_is_refused_with_the_form() {
    let hint = "write each as an item: `- name: NAME` and, below it, `  value: …`";
    let message = format!("10:5: error: `run.env` must be a list of `name` and `value` -> {hint}");
    one(&with_run("  env:\n    A: b\n"), &message);
    let message = format!("10:7: error: an item of `run.env` needs `name` and `value` -> {hint}");
    one(&with_run("  env:\n    - A: b\n"), &message);
    one(&with_run("  env:\n    - A=b\n"), &message);
}

#[test]
fn a_variable_needs_a_name_and_a_value() {
    one(&with_run("  env:\n    - value: x\n"), "10:7: error: a variable needs `name`");
    let message = "10:7: error: a variable needs `value` -> an empty one is written `value: ''`";
    one(&with_run("  env:\n    - name: X\n"), message);
}

// validation repeated
#[test]
fn of_a_repeated_name_the_last_one_counts() {
    let text =
        with_run("  env:\n    - {name: X, value: a}\n    - {name: Y, value: b}\n    - {name: X, value: c}\n");
    one(&text, "12:14: warning: `X` is twice in `run.env`, first at 10:14; the last one counts");
    let env = parse(FILE_NAME, &text).0.unwrap().run.env;
    assert_eq!(env.iter().map(|variable| variable.value.value.as_str()).collect::<Vec<_>>(), ["b", "c"]);
}

// validation repeated
#[test]
fn a_name_in_env_and_in_secrets_is_refused() {
    let text = with_run("  env:\n    - {name: X, value: a}\n  secrets:\n    - {name: X, value-from: x}\n");
    one(&text, "12:14: error: `X` is in `run.env`, at 10:14, and in `run.secrets`");
}

// validation secrets
#[test]
fn a_secret_needs_a_name_and_a_reference() {
    one(&with_run("  secrets:\n    - name: X\n"), "10:7: error: a secret needs `value-from`");
    one(&with_run("  secrets:\n    - value-from: x\n"), "10:7: error: a secret needs `name`");
    let long = "x".repeat(2_049);
    let message = "11:19: error: `value-from` of a secret has 2049 characters; it may have 1 to 2048";
    one(&with_run(&format!("  secrets:\n    - name: X\n      value-from: {long}\n")), message);
    let message = "10:13: error: `name` of a secret has 2049 characters; it may have 1 to 2048";
    one(&with_run(&format!("  secrets:\n    - name: {long}\n      value-from: x\n")), message);
}

// validation secrets
#[test]
fn a_secret_given_by_value_is_refused_without_showing_it() {
    let text = with_run("  secrets:\n    - name: X\n      value: hunter22\n");
    let (_, diagnostics) = parse(FILE_NAME, &text);
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
    let shown = render(&diagnostics[0], &text);
    assert!(shown.starts_with("apprunner.yaml:11:7: error: a secret is given by value\nhint: "), "{shown}");
    assert!(!shown.contains("hunter22"));
}

// reference forms, reference unknown
#[test]
fn a_reference_has_one_of_three_forms() {
    for reference in [
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf",
        "'arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf:user::'",
        "arn:aws-cn:ssm:cn-north-1:123456789012:parameter/path/name",
        "path/name",
        "name",
    ] {
        good(&with_run(&format!("  secrets:\n    - name: X\n      value-from: {reference}\n")));
    }
    for reference in ["arn:aws:s3:::bucket", "https://vault.example.com/x", "arn:aws:ssm:x", "a b"] {
        let found =
            problems(&with_run(&format!("  secrets:\n    - name: X\n      value-from: {reference}\n")));
        assert!(found[0].starts_with("11:19: warning: `value-from` is neither an ARN"), "{found:?}");
    }
}

// validation many
#[test]
fn more_than_fifty_variables_are_noted() {
    let line = |i: usize| format!("    - {{name: V{i}, value: x}}\n");
    let lines = |number: usize| (0..number).map(line).collect::<Vec<_>>().concat();
    good(&with_run(&format!("  env:\n{}", lines(50))));
    let message = "1:1: note: 51 variables and secrets; the managed service's tools take 50";
    one(&with_run(&format!("  env:\n{}", lines(51))), message);
}

// validation commands
#[test]
fn a_command_is_one_text() {
    let hint = "put the whole command in quotes; a `: `, `[` or `{` is YAML's otherwise";
    let message =
        |kind: &str| format!("6:9: error: a command must be text, but YAML reads {kind} here -> {hint}");
    one(&with_commands("    build:\n      - echo done: yes\n"), &message("a map"));
    one(&with_commands("    build:\n      - [ -f x ]\n"), &message("a list"));
    let message = "5:12: error: `build.commands.build` must be a list of commands, not a text -> write each command as an item: `- COMMAND`";
    one(&with_commands("    build: npm ci\n"), message);
}

// validation start
#[test]
fn the_start_command_is_one_text_with_balanced_quotes() {
    let hint = "write the command that starts the app: `python3 app.py`";
    one(&with_start("  command: ''\n"), &format!("8:12: error: the start command is empty -> {hint}"));
    one(&with_start("  command:\n"), &format!("8:3: error: the start command is empty -> {hint}"));
    let hint = "close it, or put a backslash before it where the character itself is meant";
    let message = format!("8:12: error: `\"` is not closed in the start command -> {hint}");
    one(&with_start("  command: node \"a\n"), &message);
    let hint = "put quotes around the word: `'app:make()'`";
    let message = "8:12: error: the shell, needed for `$PORT`, cannot read the parenthesis in `app:make()`";
    one(&with_start("  command: gunicorn -b :$PORT app:make()\n"), &format!("{message} -> {hint}"));
}

// row 33, quirk 20, start list
#[test]
fn a_start_command_as_a_list_is_a_program_and_its_arguments() {
    let hint = "write it as one text";
    let text = with_start("  command: [npm start]\n");
    one(&text, &format!("8:12: warning: `command` is a list; its one item is taken -> {hint}"));
    assert_eq!(command(&parse(FILE_NAME, &text).0.unwrap()).value, "npm start");
    let message = "8:12: warning: `command` is a list: its items are a program and its arguments, as given";
    let message = format!("{message} -> the managed service takes one text only");
    let text = with_start("  command: [node, my app.js, $PORT, '']\n");
    one(&text, &message);
    let words = ["node", "my app.js", "$PORT", ""].map(str::to_owned).to_vec();
    assert_eq!(parse(FILE_NAME, &text).0.unwrap().run.command.unwrap().value, StartText::Words(words));
    let hint = "write the command that starts the app: `python3 app.py`";
    one(&with_start("  command: []\n"), &format!("8:12: error: the start command is empty -> {hint}"));
    let found = problems(&with_start("  command: [npm, {a: b}]\n"));
    assert!(found[0].starts_with("8:18: error: `run.command` must be one text, not a map"), "{found:?}");
}

// quirk 20, start list
#[test]
fn a_list_of_several_start_commands_is_refused() {
    let hint = "join the commands with `&&` in one text, or give a program and its arguments as items";
    let message = format!("9:5: error: `command` must be one command, not a list of 2 -> {hint}");
    one(&with_start("  command:\n    - npm run migrate\n    - npm start\n"), &message);
}

#[test]
fn the_start_command_is_read_in_the_form_that_was_asked_for() {
    let read = |start: &str, form| {
        let supplied = Supplied { form, ..Supplied::default() };
        let (app_file, diagnostics) = parse_with(FILE_NAME, &with_start(start), supplied);
        (app_file.is_some(), diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let literal = |what| {
        format!("apprunner.yaml:8:12: warning: there is no shell: {what} reaches the program as it is")
    };
    assert_eq!(read("  command: a it's\n", Form::Literal), (true, vec![literal("`'`")]));
    assert!(!read("  command: a it's\n", Form::AsNeeded).0);
    assert_eq!(read("  command: a $PORT c()\n", Form::Literal), (true, vec![literal("`$PORT`")]));
    assert!(read("  command: a *\n", Form::Shell).1[0].contains("the shell expands `*`"));
}

// quirk 20, start block
#[test]
fn a_start_command_as_block_scalar_loses_its_last_line_end() {
    let folded = good(&with_start("  command: >\n    python3\n    app.py\n"));
    assert_eq!(command(&folded).value, "python3 app.py");
    let lines = good(&with_start("  command: |\n    python3 migrate.py\n    exec python3 app.py\n"));
    assert_eq!(command(&lines).value, "python3 migrate.py\nexec python3 app.py");
}
