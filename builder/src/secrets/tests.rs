use super::*;

fn context(pairs: &[(&str, &str)]) -> Context {
    let env = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Context { env, ..Context::for_tests() }
}

fn read(specs: &[&str], env: &[(&str, &str)]) -> Result<Secrets, Failure> {
    let specs: Vec<String> = specs.iter().map(|spec| (*spec).to_owned()).collect();
    Secrets::read(&specs, &context(env))
}

fn refusal(specs: &[&str], env: &[(&str, &str)]) -> String {
    let failure = read(specs, env).unwrap_err();
    assert_eq!(failure.exit, Exit::NotUnderstood);
    failure.to_string()
}

const ENV: [(&str, &str); 2] = [("TOKEN", "s3cr3t-t0ken"), ("OTHER", "another-value\n")];

#[test]
fn a_secret_is_a_file_of_its_phases_and_a_variable_when_asked() {
    let secrets =
        read(&["id=TOKEN,phases=build+pre-run,variable=NPM_TOKEN", "id=o,env=OTHER"], &ENV).unwrap();
    let targets = |phase| -> Vec<String> {
        secrets.files(phase).iter().map(|file| file.target.display().to_string()).collect()
    };
    assert_eq!(targets(Phase::Build), ["/run/secrets/TOKEN", "/run/secrets/o"]);
    assert_eq!(targets(Phase::PreBuild), ["/run/secrets/o"]);
    assert_eq!(secrets.files(Phase::PostBuild)[0].content, b"another-value\n");
    let variables: Vec<_> = secrets.variables(Phase::PreRun).collect();
    assert_eq!(variables, [("NPM_TOKEN".to_owned(), "s3cr3t-t0ken".to_owned())]);
    assert_eq!(secrets.variables(Phase::PostBuild).count(), 0);
    let marks = [Phase::PreBuild, Phase::Build, Phase::PreRun].map(|phase| secrets.mark(phase, &[1; 32]));
    assert!(marks[0] != marks[1] && marks[1] == marks[2], "{marks:?}");
    assert_ne!(secrets.mark(Phase::Build, &[2; 32]), marks[1]);
    assert!(!marks.concat().contains("s3cr3t"), "{marks:?}");
    let others = read(
        &["id=TOKEN,phases=build+pre-run,variable=NPM_TOKEN", "id=o,env=OTHER"],
        &[("TOKEN", "another-t0ken"), ENV[1]],
    )
    .unwrap();
    assert_ne!(others.mark(Phase::Build, &[1; 32]), marks[1]);
}

#[test]
fn a_file_is_a_source_and_its_last_line_feeds_are_not_part_of_the_variable() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "from-a-file\r\n\n").unwrap();
    let spec = format!("id=t,src={},variable=T", file.display());
    let secrets = read(&[&spec], &[]).unwrap();
    assert_eq!(secrets.files(Phase::Build)[0].content, b"from-a-file\r\n\n");
    assert_eq!(secrets.variables(Phase::Build).next().unwrap().1, "from-a-file");
}

#[test]
fn one_variable_may_hold_several_secrets_a_line_each() {
    let secrets = read(&["id=TOKEN\n\n id=o,env=OTHER \n"], &ENV).unwrap();
    assert_eq!(secrets.uses().iter().map(|secret| secret.id.as_str()).collect::<Vec<_>>(), ["TOKEN", "o"]);
}

#[test]
fn what_has_no_usable_value_is_refused_without_repeating_what_was_given() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| {
        std::fs::write(directory.path().join(name), bytes).unwrap();
        format!("id=x,src={}", directory.path().join(name).display())
    };
    let long = path("long", &vec![b'x'; value::LARGEST + 1]);
    let env = [("SHORT", "1234567 "), ("EMPTY", ""), ("BLANK", " \n")];
    for (spec, words) in [
        ("id=TOKEN", "not set\nhint: set `TOKEN`, or say where"),
        ("id=x,env=s3cr3t_t0ken", "not set\nhint: `env` takes the name of a variable"),
        ("id=x,src=/nonexistent/s3cr3t_t0ken", "cannot be read: "),
        ("id=x,src=~/s3cr3t_t0ken", "$HOME"),
        ("id=x,src=/", "cannot be read: "),
        ("id=SHORT", "fewer than 8 bytes"),
        ("id=EMPTY", "it is empty"),
        ("id=BLANK", "it is empty"),
        (&long, "more than 512000 bytes"),
        (&format!("{},variable=X", path("zero", b"12345678\0")), "zero byte"),
        (&format!("{},variable=X", path("binary", b"12345678\xff")), "not UTF-8"),
        (&format!("{},variable=X", path("wide", &vec![b'x'; 128 << 10])), "longer than the system lets"),
        ("s3cr3t_t0ken", "`--secret` number 1 is not understood\ncause: part 1"),
    ] {
        let text = refusal(&[spec], &env);
        assert!(text.contains(words), "{spec}: {text}");
        assert!(!text.contains("s3cr3t_t0ken"), "{text}");
    }
    assert!(read(&[&path("most", &vec![b'x'; value::LARGEST])], &[]).is_ok());
    assert!(read(&[&path("any", b"12345678\xff\0")], &[]).is_ok());
}

#[test]
fn two_secrets_share_neither_a_name_nor_a_variable_nor_more_than_all_may_have() {
    assert!(refusal(&["id=TOKEN", "id=TOKEN,env=OTHER"], &ENV).contains("`TOKEN` is given twice"));
    let text = refusal(&["id=TOKEN,variable=X", "id=OTHER,variable=X"], &ENV);
    assert!(text.contains("`TOKEN` and `OTHER` have the same variable `X`"), "{text}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("large");
    std::fs::write(&file, vec![b'x'; value::LARGEST]).unwrap();
    let specs: Vec<String> = (0..9).map(|number| format!("id=n{number},src={}", file.display())).collect();
    let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
    assert!(refusal(&specs, &[]).contains("together"));
    assert!(read(&specs[..8], &[]).is_ok());
}

#[test]
fn nothing_that_is_shown_of_secrets_has_their_values() {
    let context = context(&ENV);
    let specs = ["id=TOKEN,variable,phases=build".to_owned(), "id=o,env=OTHER".to_owned()];
    let secrets = Secrets::read(&specs, &context).unwrap();
    let shown = format!(
        "{secrets:?} {:?} {} {:?}",
        secrets.hidden(),
        serde_json::to_string(&secrets.uses()).unwrap(),
        secrets.files(Phase::Build)
    );
    assert!(
        !shown.contains("s3cr3t") && !shown.contains("another-value") && !shown.contains("OTHER"),
        "{shown}"
    );
    let texts: Vec<String> = secrets.uses().iter().map(ToString::to_string).collect();
    assert_eq!(texts[0], "TOKEN for build: /run/secrets/TOKEN and variable TOKEN");
    assert_eq!(texts[1], "o for pre-build, build, post-build, pre-run: /run/secrets/o");
    assert_eq!(context.report.mask().apply("a s3cr3t-t0ken"), "a ***");
}

#[test]
fn a_variable_that_the_app_sets_as_well_is_pointed_out() {
    let secrets = read(&["id=TOKEN,variable=A"], &ENV).unwrap();
    let origin = crate::origin::Origin::Default;
    let steps = [PlannedStep { phase: Phase::Build, command: "true".into(), origin }];
    let doubts = secrets.doubts(&steps, &[("A".into(), "x".into())]);
    assert_eq!(doubts, ["variable `A` of the build has the value of secret `TOKEN`, not the app's own"]);
    assert!(secrets.doubts(&steps, &[("B".into(), "x".into())]).is_empty());
}

#[test]
fn a_secret_of_phases_without_commands_is_pointed_out() {
    let secrets = read(&["id=TOKEN,phases=pre-run", "id=o,env=OTHER"], &ENV).unwrap();
    let steps =
        [PlannedStep { phase: Phase::Build, command: "true".into(), origin: crate::origin::Origin::Default }];
    assert_eq!(
        secrets.doubts(&steps, &[]),
        ["nothing uses secret `TOKEN`: there is no command of its phases"]
    );
    assert_eq!(secrets.doubts(&[], &[]).len(), 2);
}
