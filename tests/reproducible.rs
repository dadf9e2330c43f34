//! One input, one digest: whoever builds, wherever, whenever.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::copy_tree;

use crate::harness::{Lapstrake, tools, workspace};

/// Builds a copy of an app to a layout and returns the digest.
fn digest(lapstrake: &Lapstrake, app: &App, source: &Path) -> String {
    let layout = source.with_extension("layout");
    let output = format!("oci:{}", layout.display());
    let mut arguments = vec!["build", source.to_str().unwrap(), "--output", &output];
    if let Some(directory) = app.source_dir {
        arguments.extend(["--source-dir", directory]);
    }
    lapstrake.run(arguments).expect(0).digest()
}

/// Lets only the owner read the files, as a strict umask would at checkout.
fn tighten(tree: &Path) {
    for entry in walkdir::WalkDir::new(tree) {
        let entry = entry.unwrap();
        if entry.file_type().is_symlink() {
            continue;
        }
        let mode = entry.metadata().unwrap().permissions().mode() & 0o700;
        fs_err::set_permissions(entry.path(), PermissionsExt::from_mode(mode)).unwrap();
    }
}

/// Builds the app twice, as differently as can be, and expects one digest.
fn same_digest_twice(name: &str) {
    let app = App::named(name);
    let scratch = workspace::scratch();
    let base = Lapstrake::new().with("SOURCE_DATE_EPOCH", "1700000000");

    let first = scratch.path().join("first");
    copy_tree(&app.directory(), &first).unwrap();
    let one = base.clone().with("TZ", "Pacific/Auckland").with_umask(0o022);
    let expected = digest(&one, &app, &first);

    let second = scratch.path().join("elsewhere/deeper/second");
    copy_tree(&app.directory(), &second).unwrap();
    tighten(&second);
    let other = base.with("TZ", "America/Lima").with("LC_ALL", "C").with_umask(0o077);
    assert_eq!(digest(&other, &app, &second), expected, "{name}");
    println!("figure OUT-06: {name}");
}

// row 39, row 40
#[test]
fn apps_without_network_have_one_digest_in_two_directories_time_zones_and_umasks() {
    for name in ["plain-node", "plain-python", "phases"] {
        same_digest_twice(name);
    }
}

#[test]
fn django_has_one_digest() {
    same_digest_twice("django");
}

// row 40
#[test]
fn express_has_one_digest() {
    same_digest_twice("express");
}

#[test]
fn fastapi_has_one_digest() {
    same_digest_twice("fastapi");
}

// row 40
#[test]
fn flask_has_one_digest() {
    same_digest_twice("flask");
}

#[test]
fn the_monorepo_has_one_digest() {
    same_digest_twice("monorepo");
}

#[test]
fn a_compiled_package_has_one_digest() {
    same_digest_twice("sdist-compile");
}

#[test]
fn sveltekit_has_one_digest() {
    same_digest_twice("sveltekit");
}

#[test]
fn typescript_has_one_digest() {
    same_digest_twice("typescript");
}

#[test]
fn one_changed_byte_of_the_source_is_another_digest() {
    let app = App::named("plain-python");
    let scratch = workspace::scratch();
    let source = scratch.path().join("app");
    copy_tree(&app.directory(), &source).unwrap();
    let lapstrake = Lapstrake::new().with("SOURCE_DATE_EPOCH", "1700000000");
    let before = digest(&lapstrake, &app, &source);
    let server = source.join("server.py");
    let text = fs_err::read_to_string(&server).unwrap();
    fs_err::write(&server, text.replace("hello", "hallo")).unwrap();
    assert_ne!(digest(&lapstrake, &app, &source), before);
}

// row 39
#[test]
fn root_and_another_user_get_one_digest() {
    if !tools::is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    for name in ["plain-python", "phases", "flask"] {
        let app = App::named(name);
        let scratch = workspace::scratch();
        let base = Lapstrake::new().with("SOURCE_DATE_EPOCH", "1700000000");
        let source = scratch.path().join("as-root");
        copy_tree(&app.directory(), &source).unwrap();
        let expected = digest(&base, &app, &source);

        let user = base.for_user(1001, scratch.path());
        let source = user.reachable(&source);
        assert_eq!(digest(&user, &app, &source), expected, "{name}");
    }
}
