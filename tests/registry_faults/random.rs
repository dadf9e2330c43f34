//! A real registry behind a proxy that spoils one request in five.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lapstrake_oci::image::Image;

use super::proxy::FaultProxy;
use super::{image, layout_of, wrong_at};
use crate::harness::{Lapstrake, Registry, workspace};

/// Makes the test as long as it is meant to be.
const LONG: &str = "LAPSTRAKE_SECURITY_LONG";
const PUSHES: (u64, u64) = (40, 200);
/// How many pushes run at once: they wait most of the time.
const AT_ONCE: usize = 12;

struct Pushed {
    seed: u64,
    succeeded: bool,
    told: String,
    wrong: Vec<String>,
    requests: u64,
    spoiled: u64,
    took: Duration,
}

/// One layer that is worth asking for, one that is not, and the config.
fn small_image(seed: u64) -> Image {
    image(seed, &[300_000 + usize::try_from(seed).unwrap() * 501, 20_000])
}

/// Pushes an image through a proxy, and looks at what the registry has of it.
fn push_through(registry: u16, seed: u64, faults: Option<u64>) -> Pushed {
    let scratch = workspace::scratch();
    let image = small_image(seed);
    let from = layout_of(&image, &scratch.path().join("layout"));
    let proxy = FaultProxy::start(registry, faults);
    let repository = format!("seed/{seed}");
    let reference = format!("127.0.0.1:{}/{repository}:1", proxy.port());
    let started = Instant::now();
    let outcome = Lapstrake::new().run(["push", &from, "--tag", &reference, "--progress", "plain"]);
    let took = started.elapsed();
    let (requests, spoiled) = proxy.counts();
    let succeeded = outcome.code == Some(0);
    let mut wrong = wrong_at(registry, &repository, "1", &image);
    if !succeeded && wrong.iter().all(|what| what.contains(": 404 and ")) {
        // What is missing after a push that says that it failed is not wrong.
        wrong.clear();
    }
    Pushed { seed, succeeded, told: outcome.stderr, wrong, requests, spoiled, took }
}

#[test]
fn reg_r09_pushes_succeed_through_a_proxy_that_spoils_one_request_in_five() {
    let registry = Registry::start();
    let port: u16 = registry.host().rsplit(':').next().unwrap().parse().unwrap();
    let needed = push_through(port, 1000, None);
    assert!(needed.succeeded && needed.wrong.is_empty() && needed.spoiled == 0, "{}", needed.told);

    let count = if std::env::var_os(LONG).is_some() { PUSHES.1 } else { PUSHES.0 };
    let (next, ended) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= count {
                        return;
                    }
                    let pushed = push_through(port, seed, Some(seed));
                    ended.lock().unwrap().push(pushed);
                }
            });
        }
    });
    let ended = ended.into_inner().unwrap();
    let wrong: Vec<_> =
        ended.iter().filter(|it| !it.wrong.is_empty()).map(|it| (it.seed, &it.wrong)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let failed: Vec<_> = ended.iter().filter(|it| !it.succeeded).map(|it| (it.seed, &it.told)).collect();
    assert!(failed.len() as u64 * 200 <= count, "{failed:#?}");
    let requests: u64 = ended.iter().map(|it| it.requests).sum();
    let spoiled: u64 = ended.iter().map(|it| it.spoiled).sum();
    assert!(requests <= 2 * needed.requests * count, "{requests} requests, {} needed", needed.requests);
    // One in five, give or take what chance does to so many.
    assert!((140..=260).contains(&(spoiled * 1000 / requests)), "{spoiled} of {requests}");
    let slowest = ended.iter().map(|it| it.took).max().unwrap();
    println!(
        "figure REG-R09: {} of {count} pushes, none wrong, {spoiled} of {requests} requests spoiled, {} needed, slowest {:.1} s",
        count - failed.len() as u64,
        needed.requests * count,
        slowest.as_secs_f64(),
    );
}

#[test]
fn an_image_that_was_not_pushed_or_is_another_one_counts_as_wrong() {
    let registry = Registry::start();
    let port: u16 = registry.host().rsplit(':').next().unwrap().parse().unwrap();
    assert!(push_through(port, 1, None).wrong.is_empty());
    assert_eq!(wrong_at(port, "seed/1", "1", &small_image(1)), Vec::<String>::new());
    // The manifest is another one; its layers and its config are not there.
    assert_eq!(wrong_at(port, "seed/1", "1", &small_image(2)).len(), 4);
    assert_eq!(wrong_at(port, "seed/1", "2", &small_image(1)).len(), 1);
}
