//! Registries that are not reached: a proxy that refuses, no names.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{image, layout_of};
use crate::harness::{Lapstrake, Outcome, tools, workspace};

/// A registry that nobody has.
const NOWHERE: &str = "registry.example.com/team/app:1";

/// More than this is a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pushes to [`NOWHERE`], which must fail in time and with its name.
fn push(lapstrake: &Lapstrake) -> Outcome {
    let scratch = workspace::scratch();
    let layout = layout_of(&image(1, &[100]), &scratch.path().join("layout"));
    let begun = Instant::now();
    let outcome = lapstrake.run(["push", &layout, "-t", NOWHERE]);
    let took = begun.elapsed();
    assert!(took < PATIENCE, "it took {took:?}: {}", outcome.stderr);
    assert!(outcome.stderr.contains("registry.example.com"), "{}", outcome.stderr);
    outcome
}

/// Serves as a proxy that answers every request with this, and pushes through it; also how often it was asked.
fn through_proxy(answer: &str) -> (Outcome, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (asked, is_over) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Relaxed) > 0 {
                    break;
                }
                let mut stream = stream.unwrap();
                asked.fetch_add(1, Ordering::Relaxed);
                let read = stream.read(&mut [0; 4096]).unwrap();
                assert!(read > 0);
                // The client may have gone.
                let _ = write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        let outcome = push(&Lapstrake::new().with("HTTPS_PROXY", &address));
        is_over.store(1, Ordering::Relaxed);
        std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (outcome, asked.load(Ordering::Relaxed))
    })
}

#[test]
fn a_proxy_that_wants_a_login_says_so_and_is_not_asked_again() {
    let (outcome, asked) =
        through_proxy("407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"");
    let outcome = outcome.expect(3);
    assert!(
        outcome.stderr.contains("`http://USER:PASSWORD@HOST:PORT` in `HTTPS_PROXY`"),
        "{}",
        outcome.stderr
    );
    // What is asked first is asked at once.
    assert!((1..=2).contains(&asked), "{asked} times");
    assert!(!outcome.stderr.contains("waiting"), "{}", outcome.stderr);
}

#[test]
fn a_proxy_that_does_not_reach_the_registry_is_asked_again_for_a_while() {
    let (outcome, asked) = through_proxy("502 Bad Gateway");
    let outcome = outcome.expect(75);
    assert!(outcome.stderr.contains("the proxy did not connect to it"), "{}", outcome.stderr);
    assert!((2..10).contains(&asked), "{asked} times");
}

#[test]
fn without_names_the_registry_is_named() {
    let flags = if tools::is_root() { ["-n", "--"] } else { ["-rn", "--"] };
    let alone = Lapstrake::new().behind(["unshare"].iter().chain(&flags).map(Into::into));
    let outcome = push(&alone).expect(75);
    assert!(outcome.stderr.contains("name resolution"), "{}", outcome.stderr);
}
