//! Tenants: what one of them has built or keeps is nothing that another one is given or finds.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::Lapstrake;
use crate::reused::{Built, Scene};

/// A command that reads a file of the app, and one that is given a secret, as all of its phase are.
const COMMANDS: &str = "version: 1.0
runtime: python3
build:
  commands:
    pre-build:
      - cat main.py >copied.txt
    build:
      - cut -c 1-3 /run/secrets/TOKEN | wc -c >counted.txt
run:
  command: python3 main.py
";

fn build(scene: &Scene, machine: &Lapstrake, tenant: &str, cache: &str) -> Built {
    let app = scene.app();
    scene.build(
        machine,
        &app,
        &format!("{tenant}/app:1"),
        &["--cache", cache, "--secret", "id=TOKEN,phases=build"],
    )
}

/// The requests that say anything of a repository.
fn about<'r>(built: &'r Built, repository: &str) -> Vec<&'r String> {
    built.requests.iter().filter(|request| request.contains(repository)).collect()
}

#[test]
fn cac_05_a_tenant_gets_nothing_of_anothers_private_builds() {
    let scene = Scene::new();
    scene.write("apprunner.yaml", COMMANDS);
    let caches = ["team-a/cache", "team-b/cache"].map(|name| scene.registry.reference(name));
    let a = scene.machine("a").with("TOKEN", "the-secret-of-a");
    let first = build(&scene, &a, "team-a", &caches[0]);
    assert_eq!(first.ran(), [true; 2]);

    // The same source to the byte, on a machine, in repositories and with a secret of its own.
    let b = scene.machine("b").with("TOKEN", "the-secret-of-b");
    let other = build(&scene, &b, "team-b", &caches[1]);
    assert_eq!(other.digest(), first.digest());
    assert_eq!(other.ran(), [true; 2], "{}", other.outcome.stderr);
    assert!(other.layers().iter().all(|(_, origin)| origin == "built"), "{:?}", other.layers());
    assert_eq!(about(&other, "team-a"), Vec::<&String>::new());
    assert_eq!(other.became("app"), "uploaded");

    // What is not private to A because B may use its cache is found there, but for what A's secret went into.
    let c = scene.machine("c").with("TOKEN", "the-secret-of-c");
    let shared = build(&scene, &c, "team-c", &caches[0]);
    assert_eq!(shared.ran(), [false, true], "{}", shared.outcome.stderr);
    assert!(!about(&shared, "team-a/cache").is_empty());

    // On one machine another secret is another input, and the same one is the same.
    let other_secret = scene.machine("a").with("TOKEN", "another-secret");
    assert_eq!(build(&scene, &other_secret, "team-a2", &caches[0]).ran(), [false, true]);
    assert_eq!(build(&scene, &a, "team-a3", &caches[0]).ran(), [false, false]);
    println!(
        "figure CAC-05: 0 requests of B name a repository of A, 0 of 2 results and 0 layers of A are taken"
    );
}

#[test]
fn cac_05_nobody_else_on_the_machine_reads_what_is_kept() {
    let scene = Scene::new();
    scene.write("apprunner.yaml", COMMANDS);
    let machine = scene.machine("one").with("TOKEN", "some-secret-text");
    build(&scene, &machine, "team", &scene.registry.reference("team/cache"));
    let is_closed = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode().trailing_zeros() >= 6;
    let mut seen = 0;
    for kind in fs_err::read_dir(machine.data().join("cache")).unwrap().map(|entry| entry.unwrap().path()) {
        assert!(is_closed(&kind) || is_closed(kind.parent().unwrap()), "{}", kind.display());
        seen += 1;
    }
    assert!(seen > 5, "{seen} kinds of entries");
    for scope in fs_err::read_dir(machine.data().join("packages")).unwrap().map(|entry| entry.unwrap().path())
    {
        assert!(is_closed(&scope.join("caches")), "{}", scope.display());
    }
}
