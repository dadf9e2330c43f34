//! Listings, page by page.

use lapstrake_fixtures::registry::{Act, Auth, Fault, Settings};

use super::*;

fn fill(server: &Server, repositories: usize) -> Vec<String> {
    let names: Vec<String> = (0..repositories).map(|number| format!("team-{number:03}/app")).collect();
    for name in &names {
        server.add_manifest(name, "1", "application/vnd.oci.image.index.v1+json", b"{}");
    }
    names
}

#[test]
fn the_repositories_of_a_registry_are_listed_page_by_page() {
    let server = Server::with(Settings { page: 40, ..Settings::default() });
    let names = fill(&server, 100);
    assert_eq!(client().repositories(server.host()).unwrap(), names);
    assert_eq!(requests(&server, "GET", "/_catalog").len(), 3);
}

#[test]
fn the_list_of_repositories_is_asked_for_with_a_scope_of_its_own() {
    for auth in [Auth::Basic, Auth::Token] {
        let server = Server::with(Settings { auth, ..Settings::default() });
        let names = fill(&server, 2);
        assert_eq!(logged_in(&server).repositories(server.host()).unwrap(), names);
    }
    let server =
        Server::with(Settings { auth: Auth::Token, denied: vec!["catalog".into()], ..Settings::default() });
    let error = logged_in(&server).repositories(server.host()).unwrap_err();
    assert_eq!(error.class(), Class::Refused);
}

#[test]
fn a_listing_that_leads_elsewhere_or_is_none_is_refused() {
    for (headers, body) in [
        (
            vec![("link", "<http://127.0.0.1:1/v2/_catalog>; rel=\"next\"".to_owned())],
            r#"{"repositories":[]}"#,
        ),
        (Vec::new(), "[1]"),
        (Vec::new(), "no JSON"),
    ] {
        let server = Server::start();
        server.fault(
            Fault::on("GET", "/_catalog", Act::Answer { status: 200, headers, body: body.into() }).always(),
        );
        let error = client().repositories(server.host()).unwrap_err();
        assert!(matches!(error, RegistryError::Malformed { .. }), "{error}");
    }
}
