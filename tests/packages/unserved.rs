//! Builds whose package index does not serve.

use std::time::{Duration, Instant};

use super::App;
use super::index::{Index, Serves};
use crate::harness::Outcome;

/// How long a build may take to fail, from its start.
const LONGEST: Duration = Duration::from_mins(1);

/// More requests than any installer makes of a package before it gives up.
const MOST_REQUESTS: usize = 12;

#[derive(Clone, Copy, Debug)]
enum Installer {
    Pip,
    Npm,
}

/// A build with an index that serves in some way, how long it took, and how often the index was asked.
fn built(installer: Installer, serves: Serves) -> (Outcome, Duration, usize, String) {
    let index = Index::start(serves);
    let package = r#"{"name": "app", "version": "1.0.0", "dependencies": {"@team/greeting": "1.0.0"}}"#;
    let app = match installer {
        Installer::Pip => App::pip("greeting==1.0\n", &index),
        Installer::Npm => {
            App::new("nodejs22", "npm install --no-package-lock", &[("package.json", package)], &index)
        }
    };
    let started = Instant::now();
    let outcome = app.build(&[]);
    (outcome, started.elapsed(), index.asked().len(), index.host())
}

#[test]
fn net_06_an_index_that_does_not_serve_fails_the_build_soon_and_by_name() {
    let installers = [Installer::Pip, Installer::Npm];
    // The opposite, which makes the runtimes ready as well.
    for installer in installers {
        let (outcome, ..) = built(installer, Serves::Well);
        outcome.expect(0);
    }
    let faults = [
        (Serves::Nowhere, "could not be reached: "),
        (Serves::Never, "did not answer in time"),
        (Serves::Unavailable, "answered 503"),
        (Serves::Slowly, "sent less than 1 KiB a second"),
        (Serves::Half, "ended its answer too early"),
    ];
    let (mut slowest, mut most) = (Duration::ZERO, 0);
    std::thread::scope(|scope| {
        let cases = faults.iter().flat_map(|fault| installers.map(|installer| (installer, *fault)));
        let builds: Vec<_> = cases
            .map(|(installer, fault)| (installer, fault, scope.spawn(move || built(installer, fault.0))))
            .collect();
        for (installer, (serves, cause), build) in builds {
            let (outcome, took, asked, host) = build.join().unwrap();
            println!("{installer:?} {serves:?}: {} s, {asked} requests", took.as_secs());
            let outcome = outcome.expect(75);
            let said = format!("cause: `{host}` {cause}");
            assert!(outcome.stderr.contains(&said), "{installer:?} {serves:?}: {}", outcome.stderr);
            assert!(outcome.stderr.contains("hint: the package index did not serve"), "{}", outcome.stderr);
            assert!(took <= LONGEST, "{installer:?} {serves:?}: {took:?}");
            assert!(asked <= MOST_REQUESTS, "{installer:?} {serves:?}: {asked} requests");
            slowest = slowest.max(took);
            most = most.max(asked);
        }
    });
    println!(
        "figure NET-06: {} faults by 2 installers fail within {} s and {most} requests, each by name",
        faults.len(),
        slowest.as_secs()
    );
}
