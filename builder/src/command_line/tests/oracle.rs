//! What other readers of command lines say: the crate `shell-words`, and the shell of this machine.

use std::process::Command;

use proptest::prelude::*;

use super::*;

/// The words that `/bin/sh` makes of a text, without expanding patterns; none where it cannot read the text.
fn words_of_the_shell(text: &str) -> Option<Vec<String>> {
    let empty = tempfile::tempdir().unwrap();
    // The `printf` comes first, so that no word of the text is a program, a builtin or an assignment.
    let script = format!("set -f\nprintf '%s\\0' {text}");
    let output =
        Command::new("/bin/sh").args(["-c", &script]).env_clear().current_dir(&empty).output().unwrap();
    let words = String::from_utf8(output.stdout).ok()?;
    let is_good = output.status.success() && output.stderr.is_empty();
    is_good.then(|| words.split_terminator('\0').map(str::to_owned).collect())
}

/// What a program called `prog` gets when the shell runs a line, and whether the line ran.
fn arguments_from_the_shell(line: &str) -> (bool, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    // A link, since a program that was just written cannot be started while another test forks.
    fs_err::os::unix::fs::symlink("/bin/echo", directory.path().join("prog")).unwrap();
    let output = Command::new("/bin/sh")
        .args(["-c", line])
        .env_clear()
        .env("PATH", directory.path())
        .env("A", "x y")
        .current_dir(&directory)
        .output()
        .unwrap();
    (output.status.success(), output.stdout)
}

fn exec_words(text: &str) -> Option<Vec<String>> {
    match CommandLine::parse(text) {
        Ok(CommandLine { command: StartCommand::Exec(words), .. }) => Some(words),
        _ => None,
    }
}

/// A first word that no shell acts on by itself.
fn program() -> impl Strategy<Value = String> {
    "[./]{0,2}prog[a-z0-9_.-]{0,6}"
}

/// Texts full of what shells honour.
fn wild() -> impl Strategy<Value = String> {
    "[ab=~#!{}*?\\[\\]()<>&|;$`'\"\\\\ \t\nA1_-]{0,14}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // start words
    #[test]
    fn words_of_exec_form_are_those_of_another_reader(program in program(), rest in wild()) {
        let text = format!("{program} {rest}");
        if let Some(words) = exec_words(&text) {
            prop_assert_eq!(words, shell_words::split(&text).unwrap());
        }
    }

    // start exec
    #[test]
    fn words_that_another_tool_quoted_come_back_without_a_shell(
        program in program(),
        words in prop::collection::vec("[^\0]{0,8}", 0..5),
    ) {
        let words: Vec<String> = std::iter::once(program).chain(words).collect();
        let line = CommandLine::parse(&shell_words::join(&words)).unwrap();
        prop_assert_eq!(line.reason, Reason::NoShellNeeded);
        prop_assert_eq!((line.command, line.warnings), (StartCommand::Exec(words), vec![]));
    }

    #[test]
    fn no_text_makes_the_reader_fall_over_in_any_form(text in "\\PC{0,40}|[$`'\"(){}<>&|;\\\\ \nab]{0,40}") {
        for form in [Form::AsNeeded, Form::Literal, Form::Shell] {
            if let Ok(line) = CommandLine::parse_as(&text, form) {
                prop_assert!(!line.command.to_cmd().is_empty());
                let _ = (line.command.programs(), line.command.uses_npm(), line.command.uses_shell());
            }
        }
    }

    #[test]
    fn without_a_shell_no_byte_but_white_space_is_lost(text in "[a$&|'\"\\\\ \t\n]{1,20}") {
        prop_assume!(!text.trim().is_empty());
        let line = CommandLine::parse_as(&text, Form::Literal).unwrap();
        let words: Vec<&str> = text.split_whitespace().collect();
        prop_assert_eq!(line.command.to_cmd(), words);
    }
}

proptest! {
    // Each case is a process.
    #![proptest_config(ProptestConfig::with_cases(150))]

    // start words
    #[test]
    fn the_shell_reads_the_words_of_exec_form_as_they_are(rest in wild()) {
        let text = format!("prog {rest}");
        // Parentheses inside words are literal here, and a fault to the shell.
        if let Some(words) = exec_words(&text).filter(|_| !rest.contains(['(', ')'])) {
            prop_assert_eq!(words_of_the_shell(&text), Some(words), "{:?}", text);
        }
    }

    #[test]
    fn words_that_the_shell_was_given_in_quotes_come_back(words in prop::collection::vec("[^\0]{0,8}", 1..5)) {
        let text = shell_words::join(&words);
        prop_assert_eq!(words_of_the_shell(&text), Some(words));
    }

    // start list
    #[test]
    fn a_list_reaches_a_program_through_the_shell_as_it_is(words in prop::collection::vec("[^\0]{0,8}", 1..4)) {
        let list = [vec!["prog".to_owned(), "-e".to_owned()], words].concat();
        let shell = CommandLine::of(&StartText::Words(list.clone()), Form::Shell).unwrap().command.to_cmd();
        let line = shell[2].strip_prefix("exec ").unwrap();
        prop_assert_eq!(words_of_the_shell(line), Some(list));
    }

    #[test]
    fn what_is_refused_as_unbalanced_the_shell_cannot_read_either(rest in "[ab'\"\\\\ $`{]{0,12}") {
        let text = format!("prog {rest}");
        if let Err(CommandLineError::Unbalanced { opened }) = CommandLine::parse(&text) {
            // A backslash at the very end is a fault of the text, which shells let pass.
            prop_assume!(opened != "\\");
            prop_assert_eq!(words_of_the_shell(&text), None, "{:?}", text);
        }
    }

    // start signals
    #[test]
    fn exec_before_a_simple_command_changes_nothing(rest in "[ab=~#<>$A`'\"\\\\ \n1]{0,12}") {
        // The shell's own process id is another one each time.
        prop_assume!(!rest.contains("$$"));
        let text = format!("prog {rest}");
        if let Ok(CommandLine { command: StartCommand::Shell(line), .. }) = CommandLine::parse(&text) {
            prop_assert_eq!(arguments_from_the_shell(&line), arguments_from_the_shell(&text), "{:?}", line);
        }
    }
}
