use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(&path, text).unwrap();
    path
}

fn find_in(files: Vec<PathBuf>, registry: &str, repository: &str) -> Result<Found, CredentialError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let credentials =
        Credentials { files, helper_timeout: Duration::from_millis(500), ..Credentials::none() };
    runtime.block_on(credentials.find(registry, repository))
}

fn user(found: &Found) -> Option<&str> {
    match found.login.as_ref()? {
        Login::Password { user, .. } => Some(user),
        Login::IdentityToken(_) => Some("<token>"),
    }
}

/// `{"auths": {key: user:password}}`
fn auths(key: &str, pair: &str) -> String {
    let auth = base64::engine::general_purpose::STANDARD.encode(pair);
    format!(r#"{{"auths":{{"{key}":{{"auth":"{auth}"}}}}}}"#)
}

#[test]
fn the_files_are_searched_in_the_documented_order() {
    let path = |text: &str| Some(PathBuf::from(text));
    let mut locations = Locations {
        auth_file: None,
        docker_config: path("/docker"),
        runtime_dir: path("/run/user/1"),
        config_home: None,
        home: path("/home/me"),
    };
    let files = |locations: &Locations| {
        locations.files().iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
    };
    let podman = ["/run/user/1/containers/auth.json", "/home/me/.config/containers/auth.json"];
    assert_eq!(files(&locations), ["/docker/config.json", podman[0], podman[1]]);
    locations.docker_config = None;
    assert_eq!(files(&locations), [podman[0], podman[1], "/home/me/.docker/config.json"]);
    locations.auth_file = path("/given.json");
    assert_eq!(files(&locations), ["/given.json"]);
}

#[test]
fn keys_match_in_all_the_spellings_that_tools_write() {
    let dir = tempfile::tempdir().unwrap();
    for (key, registry) in [
        ("registry.example", "registry.example"),
        ("https://registry.example", "registry.example"),
        ("https://registry.example/v2/", "registry.example"),
        ("registry.example:5000", "registry.example:5000"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("docker.io", "index.docker.io"),
        ("registry-1.docker.io", "docker.io"),
    ] {
        let file = write(dir.path(), "config.json", &auths(key, "me:secret:with:colons"));
        let found = find_in(vec![file], registry, "team/app").unwrap();
        let password = Secret::new("secret:with:colons");
        assert_eq!(found.login, Some(Login::Password { user: "me".into(), password }), "{key} {registry}");
    }
    for (key, registry) in [
        ("registry.example", "registry.example:5000"),
        ("registry.example.evil", "registry.example"),
        ("docker.io", "docker.io.evil"),
    ] {
        let file = write(dir.path(), "config.json", &auths(key, "me:secret"));
        assert_eq!(find_in(vec![file], registry, "team/app").unwrap().login, None, "{key} {registry}");
    }
}

#[test]
fn podmans_entry_for_a_repository_comes_before_the_one_for_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let encode = |pair: &str| base64::engine::general_purpose::STANDARD.encode(pair);
    let text = format!(
        r#"{{"auths":{{"r.example":{{"auth":"{}"}},"r.example/team":{{"auth":"{}"}},"r.example/team/app":{{"auth":"{}"}}}}}}"#,
        encode("host:x"),
        encode("team:x"),
        encode("app:x")
    );
    let file = write(dir.path(), "auth.json", &text);
    let user_of = |repository: &str| {
        user(&find_in(vec![file.clone()], "r.example", repository).unwrap()).map(str::to_owned)
    };
    assert_eq!(user_of("team/app").as_deref(), Some("app"));
    assert_eq!(user_of("team/other").as_deref(), Some("team"));
    assert_eq!(user_of("teamster/app").as_deref(), Some("host"));
}

#[test]
fn an_empty_entry_is_no_login_and_no_error() {
    let dir = tempfile::tempdir().unwrap();
    for text in [r#"{"auths":{"r.example":{}}}"#, r#"{"auths":{"r.example":{"auth":""}}}"#, "{}", ""] {
        let file = write(dir.path(), "config.json", text);
        let found = find_in(vec![file.clone()], "r.example", "app").unwrap();
        assert_eq!(found.login, None, "{text}");
        assert_eq!(found.hints, [AuthHint::NoEntry(file)]);
    }
}

#[test]
fn an_identity_token_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let text = r#"{"auths":{"r.example":{"auth":"MDAwOg==","identitytoken":"refresh"}}}"#;
    let file = write(dir.path(), "config.json", text);
    let found = find_in(vec![file], "r.example", "app").unwrap();
    assert_eq!(found.login, Some(Login::IdentityToken(Secret::new("refresh"))));
}

#[test]
fn a_broken_file_is_an_error_that_does_not_quote_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "config.json", r#"{"auths": {"r.example": {"auth": "#);
    let error = find_in(vec![file.clone()], "r.example", "app").err().unwrap();
    assert_eq!(error.to_string(), format!("`{}` is not a credentials file", file.display()));
    let text = r#"{"auths":{"r.example":{"auth":"c2VjcmV0"}}}"#;
    let file = write(dir.path(), "config.json", text);
    let error = find_in(vec![file.clone()], "r.example", "app").err().unwrap();
    let expected = format!("the entry for `r.example` in `{}` does not hold `user:password`", file.display());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_next_file_is_searched_and_the_search_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let first = write(dir.path(), "a.json", &auths("other.example", "x:y"));
    let second = dir.path().join("missing.json");
    let third = write(dir.path(), "c.json", &auths("r.example", "me:secret"));
    let files = vec![first.clone(), second.clone(), third.clone()];
    let found = find_in(files, "r.example", "app").unwrap();
    assert_eq!(user(&found), Some("me"));
    let used = AuthHint::Used { file: Some(third), program: None };
    assert_eq!(found.hints, [AuthHint::NoEntry(first), AuthHint::NoFile(second), used]);
}

/// Runs a helper that is a script, by its path, as the search path belongs to the whole process.
fn helper(script: &str, timeout: Duration) -> Result<Option<Login>, CredentialError> {
    let dir = tempfile::tempdir().unwrap();
    let program = write(dir.path(), "docker-credential-test", &format!("#!/bin/sh\n{script}\n"));
    fs_err::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let program = program.display().to_string();
    runtime.block_on(super::helper::ask(&program, Path::new("config.json"), "r.example", timeout))
}

#[test]
fn a_helper_is_asked_for_the_registry_and_answers_in_json() {
    let script = r#"[ "$1" = get ] && read -r server; echo "{\"Username\":\"$server\",\"Secret\":\"s\"}""#;
    let login = helper(script, Duration::from_secs(5)).unwrap();
    let password = Secret::new("s");
    assert_eq!(login, Some(Login::Password { user: "r.example".into(), password }));
    let token = r#"echo '{"Username":"<token>","Secret":"refresh"}'"#;
    let login = helper(token, Duration::from_secs(5)).unwrap();
    assert_eq!(login, Some(Login::IdentityToken(Secret::new("refresh"))));
}

#[test]
fn a_helper_without_credentials_is_no_error_but_one_that_fails_is() {
    let none = "echo 'credentials not found in native keychain'; exit 1";
    assert_eq!(helper(none, Duration::from_secs(5)).unwrap(), None);
    let error = helper("echo locked >&2; exit 3", Duration::from_secs(5)).unwrap_err();
    assert!(error.to_string().ends_with("failed (exit status: 3): locked"), "{error}");
    let error = helper("echo nonsense", Duration::from_secs(5)).unwrap_err();
    assert!(error.to_string().ends_with("gave no credentials in JSON"), "{error}");
}

#[test]
fn a_helper_that_hangs_is_killed() {
    let error = helper("exec sleep 30", Duration::from_millis(200)).unwrap_err();
    assert!(error.to_string().contains("did not answer"), "{error}");
}

#[test]
fn a_helper_that_is_missing_or_no_plain_name_is_said_to_be_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "config.json", r#"{"credsStore":"surely-not-installed"}"#);
    let error = find_in(vec![file.clone()], "r.example", "app").err().unwrap();
    let expected =
        format!("could not run `docker-credential-surely-not-installed`, which `{}` names", file.display());
    assert_eq!(error.to_string(), expected);
    let file = write(dir.path(), "config.json", r#"{"credHelpers":{"r.example":"../evil"}}"#);
    let error = find_in(vec![file], "r.example", "app").err().unwrap();
    assert!(matches!(error, CredentialError::HelperName { .. }), "{error}");
}
