//! Trust in certificates, and none without.

use lapstrake_fixtures::registry::{AUTHORITY, Certificate};

use super::*;

/// Pushes to a registry that shows a certificate, trusting it or not.
fn push_over_tls(certificate: Certificate, trusted: bool) -> (Server, Result<PushReport, RegistryError>) {
    let server = Server::with(Settings { certificate: Some(certificate), ..Settings::default() });
    let extra = if trusted { vec![AUTHORITY.to_vec()] } else { Vec::new() };
    let trust = Trust { bundle: None, extra };
    let secure = vec![server.host().to_owned()];
    let client = Client::new(Options { secure, trust, ..options() }).unwrap();
    let result = push_to(&client, &image(vec![layer("a", 300_000)]), &reference(&server, "app:1"));
    (server, result.map_err(registry_error))
}

#[test]
fn reg_s11_an_authority_that_the_user_names_is_trusted() {
    let (server, result) = push_over_tls(Certificate::Localhost, true);
    result.unwrap();
    assert_eq!(server.tags("app"), ["1"]);
}

#[test]
fn reg_s11_a_bundle_in_a_file_is_trusted_instead_of_the_systems() {
    let server = Server::with(Settings { certificate: Some(Certificate::Localhost), ..Settings::default() });
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), AUTHORITY).unwrap();
    let trust = Trust { bundle: Some(file.path().to_owned()), extra: Vec::new() };
    let secure = vec![server.host().to_owned()];
    let client = Client::new(Options { secure, trust, ..options() }).unwrap();
    assert_eq!(client.resolve(&reference(&server, "app:1")).unwrap(), None);
}

#[test]
fn reg_s11_a_certificate_that_is_unknown_expired_or_anothers_is_refused_at_once_and_nothing_is_sent() {
    let certificates = [
        (Certificate::Localhost, false, "UnknownIssuer"),
        (Certificate::Expired, true, "expired"),
        (Certificate::OtherHost, true, "not valid for name"),
    ];
    let count = certificates.len();
    for (certificate, trusted, problem) in certificates {
        let started = Instant::now();
        let (server, result) = push_over_tls(certificate, trusted);
        let error = result.unwrap_err();
        assert_eq!(error.class(), Class::Refused, "{error}");
        assert!(error.to_string().contains(problem), "{error}");
        assert!(server.log().is_empty());
        assert!(started.elapsed() < Duration::from_secs(2));
    }
    println!("figure REG-S11: {count} of {count} wrong certificates refused before anything was sent");
}

#[test]
fn reg_s11_a_registry_without_tls_is_not_spoken_to_where_tls_is_expected() {
    let server = Server::start();
    let secure = vec![server.host().to_owned()];
    let retry = RetryPolicy { attempts: 2, connects: 2, ..options().retry };
    let client = Client::new(Options { secure, retry, ..options() }).unwrap();
    client.resolve(&reference(&server, "app:1")).unwrap_err();
    assert!(server.log().is_empty());
}

#[test]
fn reg_s11_what_is_no_certificate_is_said_to_be_so() {
    let trust = Trust { bundle: None, extra: vec![b"nonsense".to_vec()] };
    let error = Client::new(Options { trust, ..options() }).err().unwrap();
    assert_eq!(error.class(), Class::Malformed);
    assert!(error.to_string().ends_with("holds no PEM certificate"), "{error}");
}
