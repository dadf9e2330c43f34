//! Files of any web server.

use std::ops::ControlFlow;

use lapstrake_fixtures::web::{Page, Site, Web};

use super::*;

fn page(bytes: &[u8]) -> Page {
    Page::Content("application/octet-stream", bytes.to_vec())
}

fn fetch(url: &str, login: Option<&BasicLogin>) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    let _ = client().fetch_file(&url.parse().unwrap(), login, &mut |piece| {
        match piece {
            Piece::Begin { .. } => bytes.clear(),
            Piece::Bytes(more) => bytes.extend_from_slice(more),
            Piece::Waiting => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok(bytes)
}

#[test]
fn a_file_is_fetched_and_its_login_goes_to_its_server_alone() {
    let login = BasicLogin { user: "me".into(), password: Secret::new("secret") };
    let elsewhere = Web::start(Site::page("/there", page(b"there")));
    let mut site = Site::page("/here", page(b"here")).private("me", "secret");
    site.pages.insert("/away".into(), Page::Redirect(302, elsewhere.url("/there")));
    let server = Web::start(site);
    assert_eq!(fetch(&server.url("/here"), Some(&login)).unwrap(), b"here");
    assert_eq!(fetch(&server.url("/away"), Some(&login)).unwrap(), b"there");
    assert!(server.log().iter().all(|request| request.authorization.is_some()));
    assert_eq!(elsewhere.log()[0].authorization, None);
    let refused = fetch(&server.url("/here"), None).unwrap_err();
    assert_eq!((refused.class(), refused.status()), (Class::Refused, Some(401)));
}

#[test]
fn a_redirect_in_circles_ends() {
    let server = Web::start(Site::page("/a", Page::Redirect(301, "/a".into())));
    let error = fetch(&server.url("/a"), None).unwrap_err();
    assert!(error.to_string().contains("redirects in circles"), "{error}");
    assert_eq!((error.class(), server.log().len()), (Class::Malformed, 6));
}

#[test]
fn plain_http_is_for_this_machine_and_for_what_the_user_permits() {
    let error = fetch("http://host.example/x", None).unwrap_err();
    assert!(error.to_string().contains("plain http is not permitted"), "{error}");
    let server = Web::start(Site::page("/a", Page::Redirect(301, "http://host.example/x".into())));
    let error = fetch(&server.url("/a"), None).unwrap_err();
    assert!(error.to_string().contains("it is plain http"), "{error}");
}

#[test]
fn whoever_receives_a_file_may_end_it_at_any_time() {
    let mut site = Site::page("/endless", Page::Endless);
    site.pages.insert("/silent".into(), Page::Silence);
    let server = Web::start(site);
    for path in ["/endless", "/silent"] {
        let mut pieces = 0;
        let url = server.url(path).parse().unwrap();
        let flow = client().fetch_file(&url, None, &mut |_| {
            pieces += 1;
            if pieces == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((flow.unwrap(), pieces), (ControlFlow::Break(()), 5), "{path}");
    }
}

#[test]
fn a_glance_tells_what_is_at_the_end_of_redirects() {
    let mut site = Site::page("/page", Page::Content("text/html", b"<html>".to_vec()));
    site.pages.insert("/a".into(), Page::Redirect(308, "/page?x=1".into()));
    let server = Web::start(site);
    let glance = client().glance(&server.url("/a").parse().unwrap(), None).unwrap();
    assert_eq!(glance.url.as_str(), server.url("/page?x=1"));
    assert_eq!((glance.status, glance.content_type.as_deref()), (200, Some("text/html")));
    let missing = client().glance(&server.url("/none").parse().unwrap(), None).unwrap();
    assert_eq!(missing.status, 404);
}
