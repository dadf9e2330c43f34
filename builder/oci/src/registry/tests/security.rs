//! Credentials stay where they belong, and a registry cannot send us everywhere.

use super::*;

fn served_elsewhere() -> (Server, Server, Descriptor) {
    let elsewhere = Server::start();
    elsewhere.add_blob("app", &bytes("a", 1_000));
    let redirect_blobs = Some(format!("http://{}", elsewhere.host()));
    let server = Server::with(Settings { auth: Auth::Token, redirect_blobs, ..Settings::default() });
    server.add_blob("app", &bytes("a", 1_000));
    (server, elsewhere, layer("a", 1_000).descriptor)
}

#[test]
fn reg_s01_a_redirected_download_is_followed_without_credentials() {
    let (server, elsewhere, descriptor) = served_elsewhere();
    let file = tempfile::NamedTempFile::new().unwrap();
    logged_in(&server).fetch_blob(&reference(&server, "app:1"), &descriptor, file.path()).unwrap();
    assert_eq!(fs_err::read(file.path()).unwrap(), bytes("a", 1_000));
    let log = elsewhere.log();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].authorization, None);
    assert!(requests(&server, "GET", "/blobs/").iter().any(|request| request.authorization.is_some()));
}

#[test]
fn reg_s01_no_kind_of_redirect_takes_credentials_along() {
    let kinds = [301, 302, 303, 307, 308];
    for status in kinds {
        let elsewhere = Server::start();
        elsewhere.add_blob("app", &bytes("a", 1_000));
        let server = Server::with(Settings { auth: Auth::Basic, ..Settings::default() });
        let client = logged_in(&server);
        let target = reference(&server, "app:1");
        assert_eq!(client.resolve(&target).unwrap(), None);
        let redirect = |path: &str| {
            let headers = vec![("location", format!("http://{}{path}", elsewhere.host()))];
            Act::Answer { status, headers, body: Vec::new() }
        };
        let descriptor = layer("a", 1_000).descriptor;
        server.fault(Fault::on(
            "GET",
            "/blobs/",
            redirect(&format!("/v2/app/blobs/{}", descriptor.digest())),
        ));
        let file = tempfile::NamedTempFile::new().unwrap();
        client.fetch_blob(&target, &descriptor, file.path()).unwrap();
        assert_eq!(fs_err::read(file.path()).unwrap(), bytes("a", 1_000));

        server.fault(Fault::on("PUT", "/manifests/", redirect("/v2/app/manifests/1")));
        push_to(&client, &image(vec![layer("b", 10)]), &target).unwrap_err();
        let log = elsewhere.log();
        // A write is repeated elsewhere only where the status says that its method stays.
        assert_eq!(log.iter().any(|request| request.method == "PUT"), status >= 307, "{status}");
        assert!(log.iter().all(|request| request.authorization.is_none()), "{status}: {log:#?}");
    }
    println!("figure REG-S01: 0 credentials sent after {} kinds of redirect of GET and PUT", kinds.len());
}

#[test]
fn reg_s06_a_token_service_that_redirects_or_talks_too_much_is_refused() {
    let server = Server::with(Settings { auth: Auth::Token, ..Settings::default() });
    let elsewhere = Server::start();
    let headers = vec![("location", format!("http://{}/token", elsewhere.host()))];
    let redirect = Act::Answer { status: 307, headers, body: Vec::new() };
    server.fault(Fault::on("GET", "/token", redirect));
    let error = logged_in(&server).manifest(&reference(&server, "app:1")).unwrap_err();
    assert_eq!(error.class(), Class::Refused);
    assert!(elsewhere.log().is_empty());

    for (body, class) in [
        (vec![b' '; 2_000_000], "longer than"),
        (b"{}".to_vec(), "holds no token"),
        (b"<html>".to_vec(), "holds no token in JSON"),
        (br#"{"token":"a\r\nX-Evil: 1"}"#.to_vec(), "control characters"),
    ] {
        server.fault(Fault::on("GET", "/token", Act::Answer { status: 200, headers: Vec::new(), body }));
        let error = logged_in(&server).manifest(&reference(&server, "app:1")).unwrap_err();
        assert_eq!(error.class(), Class::Malformed, "{error}");
        assert!(error.to_string().contains(class), "{error}");
    }
}

#[test]
fn reg_s01_an_upload_on_another_host_gets_no_credentials() {
    let elsewhere = Server::start();
    let other_host = format!("http://{}", elsewhere.host());
    let server = Server::with(Settings {
        auth: Auth::Basic,
        location: Location::OtherHost,
        other_host,
        ..Settings::default()
    });
    let retry = RetryPolicy { attempts: 2, ..options().retry };
    let login = Login::Password { user: "user".into(), password: Secret::new("password") };
    let credentials = Credentials::none().with_login(server.host(), login);
    let client = Client::new(Options { credentials, retry, ..options() }).unwrap();
    // The other host knows nothing of the upload; what matters is what it was told.
    push_to(&client, &image(vec![layer("a", 10)]), &reference(&server, "app:1")).unwrap_err();
    let log = elsewhere.log();
    assert!(!log.is_empty());
    assert!(log.iter().all(|request| request.authorization.is_none()), "{log:#?}");
}

#[test]
fn redirects_in_circles_end() {
    let server = Server::start();
    let headers = vec![("location", format!("http://{}/v2/app/manifests/1", server.host()))];
    let act = Act::Answer { status: 307, headers, body: Vec::new() };
    server.fault(Fault::on("GET", "/manifests/", act).always());
    let error = client().manifest(&reference(&server, "app:1")).unwrap_err();
    assert_eq!(error.class(), Class::Malformed);
    assert!(server.log().len() < 10);
}

#[test]
fn reg_s03_a_token_realm_that_is_no_web_address_or_names_a_user_is_refused() {
    let realms = [
        "file:///etc/passwd",
        "ftp://registry.example/token",
        "registry.example/token",
        "",
        "//registry.example/token",
        "javascript:alert(1)",
        "data:,token",
        "unix:///run/token",
        "http:///token",
        "http://",
        "http://user@127.0.0.1:1/token",
        "http://user:word@127.0.0.1:1/token",
        "http://127.0.0.1:1/token#fragment",
        "http://127.0.0.1:99999/token",
        "http://[::1/token",
        "http://registry.example/token",
        "http://10.0.0.1/token",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1.example/token",
        "http://localhost.example/token",
    ];
    for realm in realms {
        let server =
            Server::with(Settings { auth: Auth::Token, realm: Some(realm.into()), ..Settings::default() });
        let error = logged_in(&server).manifest(&reference(&server, "app:1")).unwrap_err();
        assert!(matches!(error, RegistryError::Forbidden { .. }), "{realm}: {error}");
        assert_eq!(error.class(), Class::Malformed);
    }
    println!("figure REG-S03: {} of {} realms refused", realms.len(), realms.len());
}

#[test]
fn reg_s03_a_token_realm_without_tls_gets_credentials_when_its_host_was_allowed() {
    let server = Server::with(Settings { auth: Auth::Token, ..Settings::default() });
    push_to(&logged_in(&server), &image(vec![layer("a", 10)]), &reference(&server, "app:1")).unwrap();
    // Its own address under a name that is none of loopback.
    let realm_host = format!("0.0.0.0:{}", server.host().rsplit(':').next().unwrap());
    server.change(|settings| settings.realm = Some(format!("http://{realm_host}/token")));
    let ask = |allowed: &[&str]| {
        let options = Options {
            realm_allow: allowed.iter().map(ToString::to_string).collect(),
            ..logged_in_options(&server)
        };
        server.clear_log();
        let found = Client::new(options).unwrap().manifest(&reference(&server, "app:1"));
        let tokens = server.log().iter().filter(|request| request.path.starts_with("/token")).count();
        (found, tokens)
    };
    for allowed in [&[][..], &["0.0.0.1"], &["0.0.0.0:1"]] {
        let (found, tokens) = ask(allowed);
        let error = found.unwrap_err();
        assert!(
            matches!(error, RegistryError::Forbidden { can_be_allowed: true, .. }),
            "{allowed:?}: {error}"
        );
        assert_eq!(tokens, 0, "{allowed:?}");
    }
    for allowed in ["0.0.0.0", realm_host.as_str()] {
        let (found, tokens) = ask(&[allowed]);
        found.unwrap();
        assert_eq!(tokens, 1, "{allowed}");
    }
}

/// A registry with a public address, as far as the rules are concerned.
fn public() -> Arc<core::Registry> {
    client().core.registry("1.1.1.1").unwrap()
}

fn goes(target: &str) -> Result<(), String> {
    let client = client();
    let target = url::Url::parse(target).unwrap();
    let checked = client.runtime.block_on(client.core.check_away(&public(), &target));
    checked.map_err(|error| match error {
        RegistryError::Forbidden { reason, .. } => reason,
        other => other.to_string(),
    })
}

#[test]
fn reg_s03_a_public_registry_cannot_send_us_to_private_addresses_or_to_plain_http() {
    assert_eq!(goes("https://8.8.8.8/token"), Ok(()));
    for target in [
        "https://127.0.0.1/token",
        "https://10.0.0.1/token",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/token",
        "https://[::ffff:192.168.0.1]/token",
        "https://0x7f000001/token",
        "https://2130706433/token",
    ] {
        assert_eq!(goes(target), Err("it is a private address".into()), "{target}");
    }
    assert_eq!(goes("http://8.8.8.8/token"), Err("it is plain http".into()));
    assert_eq!(goes("http://127.0.0.1/token"), Err("it is plain http".into()));
    assert_eq!(goes("file:///etc/passwd"), Err("it is neither http nor https".into()));
}

#[test]
fn reg_s03_a_name_that_resolves_to_a_private_address_is_refused_when_connecting() {
    let client = client();
    let server = Server::start();
    let url = format!("http://localhost:{}/v2/", server.host().rsplit(':').next().unwrap());
    let result = client.runtime.block_on(client.core.transport.away.get(url).send());
    let error = result.unwrap_err();
    let mut cause = std::error::Error::source(&error);
    let mut found = false;
    while let Some(inner) = cause {
        found |= inner.to_string().contains("resolves to the private address");
        cause = inner.source();
    }
    assert!(found, "{error:?}");
    assert!(server.log().is_empty());
}

#[test]
fn reg_s03_a_host_that_looks_alike_gets_nothing() {
    let client = client();
    let registry = client.core.registry("registry.example").unwrap();
    for url in [
        "https://registry.example.evil.example/",
        "https://registry.example:444/",
        "http://registry.example/",
        "https://registry.example@evil.example/",
    ] {
        let url = url::Url::parse(url).unwrap();
        assert_ne!(origin::Origin::of(&url).unwrap(), registry.origin, "{url}");
    }
}

#[test]
fn no_credential_is_in_an_errors_words_or_in_debug_output() {
    let login = Login::Password { user: "user".into(), password: Secret::new("hunter2") };
    let credentials = Credentials::none().with_login("registry.example", login);
    assert!(!format!("{credentials:?}").contains("hunter2"));
    let server = Server::start();
    server.fault(Fault::status("PUT", "/blobs/uploads/", 403).always());
    server.change(|settings| settings.location = Location::WithQuery);
    let error = push_to(&client(), &image(vec![layer("a", 10)]), &reference(&server, "app:1")).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("_state"), "{error:?}");
}
