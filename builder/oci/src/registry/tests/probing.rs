//! What a probe finds that the command cannot be brought to on loopback: TLS, and uploads that go elsewhere.

use lapstrake_fixtures::registry::{AUTHORITY, Certificate};

use super::*;

fn samples() -> (Samples, tempfile::TempDir) {
    let scratch = tempfile::tempdir().unwrap();
    (Samples::new("1-1", scratch.path()).unwrap(), scratch)
}

/// Probes a registry that shows a certificate, trusting it or not.
fn probe_over_tls(settings: Settings, trusted: bool) -> (Server, Probe) {
    let server = Server::with(Settings { certificate: Some(Certificate::Localhost), ..settings });
    let extra = if trusted { vec![AUTHORITY.to_vec()] } else { Vec::new() };
    let secure = vec![server.host().to_owned()];
    let trust = Trust { bundle: None, extra };
    let client = Client::new(Options { secure, trust, ..options() }).unwrap();
    let probe = client.probe(&reference(&server, "app:1"), None, &samples().0).unwrap();
    (server, probe)
}

fn of(probe: &Probe, capability: Capability) -> (Option<bool>, &str) {
    let finding = probe.findings.iter().find(|it| it.capability == capability).unwrap();
    (finding.found, &finding.detail)
}

#[test]
fn a_registry_with_tls_that_names_plain_uploads_is_found_to_and_can_be_pushed_to() {
    let (server, probe) =
        probe_over_tls(Settings { location: Location::Absolute, ..Settings::default() }, true);
    assert!(probe.refusal.is_none(), "{:?}", probe.refusal);
    assert_eq!(
        of(&probe, Capability::Reached),
        (Some(true), "over https, with a certificate that is trusted")
    );
    assert_eq!(
        of(&probe, Capability::UploadLocation),
        (Some(true), "http although the registry has TLS, and followed over https")
    );
    assert!(server.tags("app").is_empty() && probe.left.is_empty());
}

#[test]
fn a_certificate_that_is_not_trusted_is_no_registry_that_was_reached() {
    let (server, probe) = probe_over_tls(Settings::default(), false);
    let (found, detail) = of(&probe, Capability::Reached);
    assert!(found == Some(false) && detail.contains("UnknownIssuer"), "{detail}");
    assert_eq!(probe.refusal.unwrap().class(), Class::Refused);
    assert!(server.log().is_empty());
}

#[test]
fn uploads_to_a_place_that_is_not_gone_to_are_told_and_nothing_is_sent_there() {
    let other = Server::start();
    let other_host = format!("http://{}", other.host().replace("127.0.0.1", "localhost"));
    let settings =
        Settings { location: Location::OtherHost, other_host: other_host.clone(), ..Settings::default() };
    let (_server, probe) = probe_over_tls(settings, true);
    let (found, detail) = of(&probe, Capability::UploadLocation);
    assert_eq!(found, Some(false));
    assert!(
        detail.starts_with(&format!("on another host, {other_host}/v2/app/blobs/uploads/1: ")),
        "{detail}"
    );
    assert!(matches!(probe.refusal, Some(RegistryError::Forbidden { .. })), "{:?}", probe.refusal);
    assert_eq!(of(&probe, Capability::Image), (None, "not tried"));
    assert!(other.log().is_empty());
}
