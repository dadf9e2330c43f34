//! Archives on web servers as sources, and the digest that any archive may be held to.

use std::io::Write;

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::tar_of;
use lapstrake_fixtures::web::{AUTHORITY, Certificate, Page, Site, Web};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::{Lapstrake, Outcome, Repository, workspace};

const SECRET: &str = "s3cret-that-shows-nowhere";

fn archive() -> Vec<u8> {
    let tar = tar_of(&App::named("plain-python").directory(), "app-1.0/").unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&tar).unwrap();
    encoder.finish().unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn page(bytes: &[u8]) -> Page {
    Page::Content("application/gzip", bytes.to_vec())
}

fn served(page: Page) -> Web {
    Web::start(Site::page("/app.tar.gz", page))
}

fn plan(source: &str, more: &[&str]) -> Outcome {
    let command = ["plan", "--format", "json", source];
    Lapstrake::new().run(command.iter().chain(more))
}

#[test]
fn row_46_an_archive_on_a_server_is_a_source() {
    let bytes = archive();
    let web = served(page(&bytes));
    let url = web.url("/app.tar.gz");
    let outcome = plan(&url, &[]).expect(0);
    let plan: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(plan["source"]["digest"], format!("sha256:{}", sha256(&bytes)));
    assert_eq!(plan["source"]["given"], url);
    assert_eq!(plan["source"]["kind"], "tar archive (gzip)");
    assert_eq!(plan["source"]["paths"], 2);
    assert!(outcome.stderr.contains(&sha256(&bytes)), "{}", outcome.stderr);
}

#[test]
fn an_archive_from_a_server_gives_the_image_that_the_same_archive_gives_here() {
    let (bytes, scratch) = (archive(), workspace::scratch());
    let web = served(page(&bytes));
    let here = scratch.path().join("here.tar.gz");
    fs_err::write(&here, &bytes).unwrap();
    let digest = |source: &str, name: &str| {
        let output = format!("oci:{}", scratch.path().join(name).display());
        Lapstrake::new().run(["build", source, "-o", &output, "--sha256", &sha256(&bytes)]).expect(0).digest()
    };
    assert_eq!(digest(&web.url("/app.tar.gz"), "a"), digest(here.to_str().unwrap(), "b"));
}

#[test]
fn an_archive_is_held_to_the_digest_that_is_given() {
    let (bytes, scratch) = (archive(), workspace::scratch());
    let (right, wrong) = (sha256(&bytes), sha256(b"other"));
    let web = served(page(&bytes));
    let url = web.url("/app.tar.gz");
    let here = scratch.path().join("app.tar.gz");
    fs_err::write(&here, &bytes).unwrap();
    let local = here.to_str().unwrap();
    for source in [url.as_str(), local] {
        for given in [right.clone(), format!("sha256:{right}"), right.to_uppercase()] {
            plan(source, &["--sha256", &given]).expect(0);
        }
        let said = plan(source, &["--sha256", &wrong]).expect(5).stderr;
        assert!(said.contains(&right) && said.contains(&wrong), "{said}");
        Lapstrake::new().with("LAPSTRAKE_SHA256", &wrong).run(["plan", source]).expect(5);
        for bad in ["", "abc", &right[1..], &format!("{right}0"), &right.replace(&right[..1], "g")] {
            plan(source, &["--sha256", bad]).expect(2);
        }
    }
    let piped = |given: &str| Lapstrake::new().run_with_input(["plan", "-", "--sha256", given], &here);
    piped(&right).expect(0);
    piped(&wrong).expect(5);
}

#[test]
fn what_is_not_verified_is_not_read() {
    // Were it read, it would be refused for what it is.
    let (junk, scratch) = (b"\x1f\x8bnot gzip at all", workspace::scratch());
    let web = served(page(junk));
    let here = scratch.path().join("app.tar.gz");
    fs_err::write(&here, junk).unwrap();
    let options = ["--sha256", &sha256(b"other")];
    let piped = Lapstrake::new().run_with_input(["plan", "-"].iter().chain(&options), &here);
    for outcome in [plan(&web.url("/app.tar.gz"), &options), plan(here.to_str().unwrap(), &options), piped] {
        let said = outcome.expect(5).stderr;
        assert!(said.contains("has the SHA-256") && !said.contains("damaged"), "{said}");
    }
}

#[test]
fn a_digest_does_not_go_with_what_is_no_archive() {
    let digest = sha256(b"x");
    let app = App::named("plain-python").directory();
    let said = plan(app.to_str().unwrap(), &["--sha256", &digest]).expect(2).stderr;
    assert!(said.contains("`--sha256` is for archives, not for a directory"), "{said}");
    let repository = Repository::new();
    repository.commit_file("a", "1");
    let said = plan(&format!("{}#main", repository.name()), &["--sha256", &digest]).expect(2).stderr;
    assert!(said.contains("the full name of the commit says the same"), "{said}");
    Lapstrake::new().run(["run", "oci:nowhere", "--sha256", &digest]).expect(2);
}

#[test]
fn what_is_no_archive_is_refused_by_what_it_is() {
    let html = "<!doctype html><html><body>Sign in</body></html>\n".repeat(40);
    let web = served(Page::Content("text/html", html.into_bytes()));
    let said = plan(&web.url("/app.tar.gz"), &[]).expect(5).stderr;
    assert!(said.contains("it is no tar archive"), "{said}");
    let web = served(Page::Content("application/zip", [&b"PK\x03\x04"[..], &[0; 600]].concat()));
    let said = plan(&web.url("/app.tar.gz"), &[]).expect(5).stderr;
    assert!(said.contains("it is a zip file"), "{said}");
    let web = served(Page::Content("application/gzip", archive()[..200].to_vec()));
    plan(&web.url("/app.tar.gz"), &[]).expect(5);
    let web = served(Page::Content("application/gzip", Vec::new()));
    plan(&web.url("/app.tar.gz"), &[]).expect(5);
}

#[test]
fn the_address_of_a_git_repository_is_told_from_that_of_an_archive() {
    let repository = Repository::new();
    repository.commit_file("a", "1");
    let root = workspace::scratch();
    for name in ["team/app.git", "team/app"] {
        let copy = root.path().join(name);
        repository.git(["clone", "--quiet", "--mirror", ".", copy.to_str().unwrap()]);
    }
    let web = Web::start(Site::repositories(root.path()));
    let said = plan(&web.url("/team/app.git"), &[]).expect(2).stderr;
    assert!(said.contains(&format!("write `git+{}`", web.url("/team/app.git"))), "{said}");
    assert!(web.log().is_empty());
    let said = plan(&web.url("/team/app"), &[]).expect(2).stderr;
    assert!(said.contains(&format!("write `git+{}`", web.url("/team/app"))), "{said}");
}

#[test]
fn redirects_are_followed_and_end() {
    let bytes = archive();
    let target = served(page(&bytes));
    let mut site = Site::page("/app.tar.gz", Page::Redirect(302, target.url("/app.tar.gz")));
    site.pages.insert("/loop".into(), Page::Redirect(301, "/loop".into()));
    site.pages.insert("/ping".into(), Page::Redirect(307, "/pong".into()));
    site.pages.insert("/pong".into(), Page::Redirect(307, "/ping".into()));
    site.pages.insert("/file".into(), Page::Redirect(302, "file:///etc/passwd".into()));
    site.pages.insert("/plain".into(), Page::Redirect(302, "http://git.example.com/app.tar".into()));
    let web = Web::start(site);
    plan(&web.url("/app.tar.gz"), &["--sha256", &sha256(&bytes)]).expect(0);
    for path in ["/loop", "/ping"] {
        let said = plan(&web.url(path), &[]).expect(5).stderr;
        assert!(said.contains("redirects in circles"), "{said}");
    }
    assert!(plan(&web.url("/file"), &[]).expect(5).stderr.contains("neither http nor https"));
    assert!(plan(&web.url("/plain"), &[]).expect(5).stderr.contains("it is plain http"));
}

#[test]
fn an_archive_that_says_it_is_too_large_is_not_fetched() {
    let web = served(Page::Announced(600 << 20, b"\x1f\x8b".repeat(300)));
    let said = plan(&web.url("/app.tar.gz"), &[]).expect(5).stderr;
    assert!(said.contains("the archive is larger than 536870912 bytes"), "{said}");
}

#[test]
fn a_login_in_the_address_goes_to_its_server_alone_and_shows_nowhere() {
    let bytes = archive();
    let elsewhere = served(page(&bytes));
    let mut site = Site::page("/app.tar.gz", page(&bytes)).private("me", SECRET);
    site.pages.insert("/away".into(), Page::Redirect(302, elsewhere.url("/app.tar.gz")));
    let web = Web::start(site);
    for path in ["/app.tar.gz", "/away"] {
        let source = format!("http://me:{SECRET}@{}{path}?signature={SECRET}", web.host());
        let outcome = plan(&source, &[]).expect(0);
        assert!(outcome.stdout.contains(&web.url(path)));
        assert!(!outcome.stdout.contains(SECRET) && !outcome.stderr.contains(SECRET), "{outcome:?}");
    }
    assert!(elsewhere.log().iter().all(|request| request.authorization.is_none()));
    assert_eq!(web.log()[0].query, [("signature".to_owned(), SECRET.to_owned())]);
    let said = plan(&format!("http://me:{SECRET}not@{}/app.tar.gz?x={SECRET}", web.host()), &[]).expect(3);
    assert!(!said.stderr.contains(SECRET), "{}", said.stderr);
    plan(&web.url("/app.tar.gz"), &[]).expect(3);
}

#[test]
fn servers_that_cannot_be_reached_trusted_or_permitted_are_told_apart() {
    let web = served(page(&archive()));
    plan(&web.url("/missing.tar.gz"), &[]).expect(2);
    let said = plan("http://archives.example.com/app.tar", &[]).expect(2).stderr;
    assert!(said.contains("--insecure-source archives.example.com"), "{said}");
    let tls = Web::start(Site {
        certificate: Some(Certificate::Localhost),
        ..Site::page("/a.tar", page(&archive()))
    });
    plan(&tls.url("/a.tar"), &[]).expect(3);
    let scratch = workspace::scratch();
    let authority = scratch.path().join("ca.pem");
    fs_err::write(&authority, AUTHORITY).unwrap();
    plan(&tls.url("/a.tar"), &["--ca", authority.to_str().unwrap()]).expect(0);
    let gone = web.url("/app.tar.gz");
    drop(web);
    let lapstrake = Lapstrake::new();
    lapstrake.run(["plan", &gone]).expect(75);
}
