use super::*;

// row 1, key run.network.port, port default
#[test]
fn the_smallest_file_means_port_8080_and_no_environment() {
    let app_file = good(SMALL);
    assert_eq!((app_file.version.value.as_str(), runtime(&app_file)), ("1.0", "python3"));
    let build = Command { text: "pip install -r requirements.txt".to_owned(), line: 6 };
    assert_eq!(app_file.build, Build { build: vec![build], ..Build::default() });
    assert_eq!(app_file.run.network, Network::default());
    assert_eq!(command(&app_file).value, "python3 app.py");
    assert_eq!(command(&app_file).at.start, Position { line: 8, column: 12 });
    assert_eq!(
        (app_file.run.runtime_version, app_file.run.env, app_file.run.secrets),
        (None, vec![], vec![])
    );
}

/// A file with every key.
pub(super) const WHOLE: &str = "\
---
# every key there is
version: 1.0
runtime: nodejs22
build:
  commands:
    pre-build:
      - npm --version

      - node --version
    build:
    - npm ci
    - |
      npm run build
      npm prune --omit=dev
    post-build: [npm test]
  env:
   - name : NODE_ENV
     value: production
run:
  runtime-version: 22.14.0
  pre-run:
    - npm rebuild
  command: npm start
  network:
    port: \"3000\"
    env: APP_PORT
  env:
    - name: DEBUG
      value: False
    - {name: LEVEL, value: 007}
  secrets:
    - name: DB_PASSWORD
      value-from: \"arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf:password::\"
    - name: API_KEY
      value-from: api-key
";

// row 1, key version, key runtime, key build, key build.commands, key build.commands.pre-build,
// key build.commands.build, key build.commands.post-build, key build.env, key run, key run.runtime-version,
// key run.pre-run, key run.command, key run.network, key run.network.port, key run.network.env, key run.env,
// key run.secrets
#[test]
fn every_key_is_read() {
    let app_file = good(WHOLE);
    let texts =
        |commands: &[Command]| commands.iter().map(|command| command.text.clone()).collect::<Vec<_>>();
    let lines = |commands: &[Command]| commands.iter().map(|command| command.line).collect::<Vec<_>>();
    let build = &app_file.build;
    assert_eq!(texts(&build.pre_build), ["npm --version", "node --version"]);
    assert_eq!(texts(&build.build), ["npm ci", "npm run build\nnpm prune --omit=dev\n"]);
    assert_eq!((lines(&build.pre_build), lines(&build.build)), (vec![8, 10], vec![12, 14]));
    assert_eq!(texts(&build.post_build), ["npm test"]);
    let pairs = |variables: &[Variable]| {
        let pair = |variable: &Variable| (variable.name.value.clone(), variable.value.value.clone());
        variables.iter().map(pair).collect::<Vec<_>>()
    };
    assert_eq!(pairs(&build.env), [("NODE_ENV".to_owned(), "production".to_owned())]);
    let run = &app_file.run;
    assert_eq!(run.runtime_version.as_ref().unwrap().value.text(), "22.14.0");
    assert_eq!(
        (texts(&run.pre_run), command(&app_file).value.as_str()),
        (vec!["npm rebuild".to_owned()], "npm start")
    );
    assert_eq!((run.network.port(), run.network.env.as_ref().unwrap().value.as_str()), (3000, "APP_PORT"));
    assert_eq!(pairs(&run.env), [("DEBUG".into(), "False".into()), ("LEVEL".into(), "007".into())]);
    let secrets = run.secrets.iter().map(|secret| secret.name.value.as_str()).collect::<Vec<_>>();
    assert_eq!(secrets, ["DB_PASSWORD", "API_KEY"]);
}

// reading 9
#[test]
fn all_problems_are_reported_in_one_pass_and_in_order() {
    let text = "version: 2\nruntime:\nbuild:\n  commands:\n    build: npm ci\nrun:\n  network:\n    port: 99999\n  env:\n    - name: PORT\n      value: 1\n";
    let found = problems(text);
    let positions =
        found.iter().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    assert_eq!(
        positions,
        ["1:10 error", "2:1 error", "5:12 error", "7:3 error", "8:11 error", "11:14 error"]
    );
}

#[test]
fn the_sample_apps_have_good_files() {
    let apps = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/apps");
    let files = walkdir::WalkDir::new(apps).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_name() == FILE_NAME).collect::<Vec<_>>();
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let (app_file, problems) = parse(FILE_NAME, &fs_err::read_to_string(file.path()).unwrap());
        let said = problems.iter().filter(|problem| !problem.message.ends_with("there is nothing to build"));
        assert_eq!(said.collect::<Vec<_>>(), Vec::<&Diagnostic>::new(), "{}", file.path().display());
        assert!(app_file.is_some());
    }
}
