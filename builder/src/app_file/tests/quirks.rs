use super::*;

fn one(text: &str, expected: &str) {
    assert_eq!(problems(text), [expected], "{text}");
}

// quirk 1
#[test]
fn commands_as_a_plain_list_are_the_build_phase() {
    let text = SMALL.replace("    build:\n      - pip", "    - pip");
    let hint = "write the list under `build.commands.build`";
    one(
        &text,
        &format!("5:5: warning: `build.commands` is a list; it is read as the phase `build` -> {hint}"),
    );
    assert_eq!(parse(FILE_NAME, &text).0.unwrap().build.build.len(), 1);
}

// quirk 2
#[test]
fn a_file_without_build_is_told_how_to_say_so() {
    let text = "version: 1.0\nruntime: python311\nrun:\n  pre-run: [a]\n  command: b\n";
    let hint = "add `build.commands.build`; `build: []` says that there is nothing to build";
    one(text, &format!("1:1: error: `build.commands.build` is missing -> {hint}"));
}

// quirk 3, quirk 6, quirk 9, validation misplaced
#[test]
fn known_keys_in_the_wrong_place_are_refused_with_the_right_one() {
    let misplaced = |position: &str, key: &str, place: &str| {
        format!(
            "{position}: error: `{key}` does not belong here -> it belongs to `{place}`: check the indentation"
        )
    };
    for (text, position, key, place) in [
        (with_commands("    build: [a]\n    pre-run: [a]\n"), "6:5", "pre-run", "run.pre-run"),
        (with_commands("    build: [a]\n    env: []\n"), "6:5", "env", "build.env"),
        (
            SMALL.replace("run:\n", "  runtime-version: 3.11\nrun:\n"),
            "7:3",
            "runtime-version",
            "run.runtime-version",
        ),
        (with_run("  port: 80\n"), "9:3", "port", "run.network.port"),
        (with_run("network:\n  port: 80\n"), "9:1", "network", "run.network"),
        (with_run("env: []\n"), "9:1", "env", "run.env"),
        (with_run("secrets: []\n"), "9:1", "secrets", "run.secrets"),
        (with_run("command: a\n"), "9:1", "command", "run.command"),
        (with_run("pre-run: []\n"), "9:1", "pre-run", "run.pre-run"),
        (with_run("  runtime: x\n"), "9:3", "runtime", "runtime"),
        (with_run("  network:\n    secrets: []\n"), "10:5", "secrets", "run.secrets"),
        (with_run("  network:\n    port: 80\n    command: a\n"), "11:5", "command", "run.command"),
        (with_run("  network:\n    runtime-version: 3\n"), "10:5", "runtime-version", "run.runtime-version"),
        (with_run("  commands:\n    build: [a]\n"), "9:3", "commands", "build.commands"),
        (with_commands("    build: [a]\n    run: {}\n"), "6:5", "run", "run"),
        (with_commands("    build: [a]\n    command: a\n"), "6:5", "command", "run.command"),
        (SMALL.replace("run:\n", "  network: {}\nrun:\n"), "7:3", "network", "run.network"),
        (SMALL.replace("run:\n", "  build: [a]\nrun:\n"), "7:3", "build", "build.commands.build"),
        (SMALL.replace("run:\n", "  pre-build: [a]\nrun:\n"), "7:3", "pre-build", "build.commands.pre-build"),
    ] {
        one(&text, &misplaced(position, key, place));
    }
}

// quirk 8, quirk 9, validation misspelt
#[test]
fn misspelt_keys_are_refused_with_the_right_spelling() {
    for (text, key, known) in [
        (with_commands("    build: [a]\n    pre_build: [a]\n"), "pre_build", "pre-build"),
        (with_commands("    build: [a]\n    prebuild: [a]\n"), "prebuild", "pre-build"),
        (with_commands("    build: [a]\n    post_build: [a]\n"), "post_build", "post-build"),
        (with_run("  runtime_version: 3.11\n"), "runtime_version", "runtime-version"),
        (with_run("  runtimeVersion: 3.11\n"), "runtimeVersion", "runtime-version"),
        (with_run("  environment: []\n"), "environment", "env"),
        (with_run("  version: 3.11\n"), "version", "runtime-version"),
        (with_run("  Env: []\n"), "Env", "env"),
        (with_run("  netwrok: {}\n"), "netwrok", "network"),
        (with_run("  secret: []\n"), "secret", "secrets"),
        (with_run("  secrets:\n    - name: X\n      value_from: x\n"), "value_from", "value-from"),
    ] {
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with(&format!("error: unknown key `{key}` -> write `{known}`")), "{found:?}");
    }
    let found = problems(&with_start("  start-command: a\n"));
    assert!(found[0].ends_with("error: unknown key `start-command` -> write `command`"), "{found:?}");
}

// quirk 7
#[test]
fn a_reference_among_variables_is_refused() {
    let text = with_run("  env:\n    - name: X\n      value-from: arn\n");
    let hint = "move the item to `run.secrets`; `run.env` holds plain values";
    one(&text, &format!("11:7: error: `value-from` does not belong to a variable -> {hint}"));
}

// quirk 10
#[test]
fn operational_settings_are_ignored_with_a_warning() {
    for key in ["health_check", "healthCheck", "scaling", "service", "instance", "auto-scaling"] {
        let message = format!("`{key}` is ignored: it is an operational setting, not part of an image");
        one(&with_run(&format!("{key}: 1\n")), &format!("9:1: warning: {message}"));
        one(&with_run(&format!("  {key}: 1\n")), &format!("9:3: warning: {message}"));
    }
}

// quirk 11, validation unknown
#[test]
fn other_unknown_keys_are_ignored_with_a_warning() {
    let hint = "known keys here are `version`, `runtime`, `build`, `run`";
    one(
        &with_run("description: x\n"),
        &format!("9:1: warning: unknown key `description` is ignored -> {hint}"),
    );
}

// quirk 5
#[test]
fn a_compose_file_is_recognised() {
    let hint = "an app file has `version`, `runtime`, `build` and `run`";
    let text = "version: '3'\nservices:\n  web:\n    build: .\n";
    one(text, &format!("1:1: error: this looks like a compose file -> {hint}"));
}

// quirk 17, scope literal
#[test]
fn values_that_nothing_expands_are_taken_literally_with_a_warning() {
    for value in ["${HOST}/x", "'{{resolve:secretsmanager:x}}'"] {
        let text = with_run(&format!("  env:\n    - name: X\n      value: {value}\n"));
        one(&text, "11:14: warning: nothing expands this value: it is taken literally");
    }
    good(&with_run("  env:\n    - name: X\n      value: $5\n"));
}

// quirk 22
#[test]
fn commands_without_effect_on_the_next_item_are_warned_about() {
    for (command, first) in [
        ("cd web", "cd"),
        ("export X=1", "export"),
        (". venv/bin/activate", "."),
        ("source venv/bin/activate", "source"),
    ] {
        let text = with_commands(&format!("    build:\n      - {command}\n      - make\n"));
        let hint = "join it with the command that needs it: `cd DIR && COMMAND`";
        let message = "has no effect on the next item: each item has a shell of its own";
        one(&text, &format!("6:9: warning: `{first}` {message} -> {hint}"));
    }
    good(&with_commands("    build:\n      - cd web && make\n"));
}

// row 28, quirk 23
#[test]
fn system_package_managers_are_warned_about() {
    for (command, tool) in
        [("yum install -y gcc", "yum"), ("a && apt-get update", "apt-get"), ("sudo dnf install x", "dnf")]
    {
        let found = problems(&with_commands(&format!("    build:\n      - {command}\n")));
        let message = format!(
            "6:9: warning: `{tool}` is not there: the runtime's layers have no system package manager"
        );
        assert!(found[0].starts_with(&message), "{found:?}");
    }
    good(&with_commands("    build:\n      - pip install yum\n"));
}

// quirk 23
#[test]
fn a_second_runtime_is_warned_about() {
    for (command, found) in [
        (
            "curl -fsSL https://example.com/dist/v18.1.0/node-v18.1.0-linux-x64.tar.xz | tar xJ",
            "node-v18.1.0-linux-x64.tar.xz",
        ),
        ("wget -q 'https://example.com/v$V/node-v$V-linux-x64.tar.gz'", "node-v$V-linux-x64.tar.gz"),
        (
            "curl -O https://example.com/ftp/3.12.1/Python-3.12.1.tgz && tar xf Python-3.12.1.tgz",
            "Python-3.12.1.tgz",
        ),
        ("curl -sL https://example.com/setup_18.x | bash -", "setup_18.x"),
        ("pyenv install 3.12", "pyenv"),
        (". ~/.nvm/nvm.sh && nvm install 20", "nvm"),
    ] {
        let hint = "`runtime` and `run.runtime-version` choose the version, which is in the layers then";
        let message =
            format!("6:9: warning: `{found}` brings a second runtime beside the one of the image -> {hint}");
        one(&with_commands(&format!("    build:\n      - {command}\n")), &message);
    }
    for command in [
        "npm install node-version",
        "tar xf Python-docs.tgz",
        "pip install pyenv",
        "sh setup_db.x",
        "curl -O https://example.com/tool.tar.gz",
    ] {
        good(&with_commands(&format!("    build:\n      - {command}\n")));
    }
}

// quirk 26
#[test]
fn credentials_in_plain_text_are_warned_about_without_showing_them() {
    let item = "    - {name: DB_PASSWORD, value: hunter22}\n";
    for (text, position, hint) in [
        (with_run(&format!("  env:\n{item}")), "10:14", "name it in `run.secrets`"),
        (
            SMALL.replace("run:\n", &format!("  env:\n{item}run:\n")),
            "8:14",
            "give it to the build with `--secret`",
        ),
    ] {
        let (_, diagnostics) = parse(FILE_NAME, &text);
        assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
        let shown = render(&diagnostics[0], &text);
        let message = "the value of `DB_PASSWORD` looks like a credential in plain text";
        let expected = format!("apprunner.yaml:{position}: warning: {message}\nhint: {hint}");
        assert!(shown.starts_with(&expected), "{shown}");
        assert!(!shown.contains("hunter22"));
    }
    good(&with_run("  env:\n    - {name: TOKEN_TTL, value: 3600000}\n"));
}

// quirk 21, reading 5
#[test]
fn the_layouts_of_real_files_are_read_silently() {
    good(
        "---\nversion: 1.0\nruntime: python3\nbuild:\n commands:\n  build:\n  - a\n\n  - b\nrun:\n command: c\n network:\n  port : 80\n",
    );
    good(&SMALL.replace("  ", "    "));
}

#[test]
fn a_warning_of_the_start_command_stands_at_its_place() {
    let found = problems(&with_start("  command: cd web && npm start\n"));
    assert!(found[0].starts_with("8:12: warning: the shell stays the parent of the app"), "{found:?}");
}
