//! Origins that do not serve, and what their clients and the record of the proxy have of it.

use std::io::Read;
use std::sync::atomic::AtomicUsize;

use super::policy::ProxyMode;
use super::*;

/// What an origin does with each connection.
#[derive(Clone)]
enum Does {
    /// Sends this, each piece after so many milliseconds, and closes.
    Sends(Vec<(u64, &'static str)>),
    /// Accepts, and says nothing.
    Nothing,
}

/// An origin, and how many connections it has had.
fn origin(does: Does) -> (HostPort, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = HostPort::new("127.0.0.1", listener.local_addr().unwrap().port());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, does) = (stream.unwrap(), does.clone());
            counted.fetch_add(1, Ordering::Relaxed);
            thread::spawn(move || {
                let _ = request::read_head(&mut stream);
                match does {
                    Does::Sends(pieces) => {
                        for (pause, piece) in pieces {
                            thread::sleep(Duration::from_millis(pause));
                            let _ = stream.write_all(piece.as_bytes());
                        }
                    }
                    Does::Nothing => thread::sleep(Duration::from_secs(20)),
                }
            });
        }
    });
    (host, count)
}

fn proxy(target: &HostPort) -> (Proxy, std::net::SocketAddr) {
    let patience = Patience {
        head: Duration::from_millis(300),
        first_window: Duration::from_millis(300),
        window: Duration::from_millis(300),
        ..Patience::default()
    };
    let policy = ProxyPolicy {
        mode: ProxyMode::ListedOnly,
        listed: vec![target.clone()],
        upstream: None,
        authority: None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (Proxy::start_with(listener, policy, patience).unwrap(), address)
}

/// All that a client gets, and whether the connection ended in order.
fn got(proxy: std::net::SocketAddr, target: &HostPort) -> (String, bool) {
    let mut stream = TcpStream::connect(proxy).unwrap();
    write!(stream, "GET http://{target}/x HTTP/1.1\r\n\r\n").unwrap();
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (String::from_utf8(all).unwrap(), true),
            Ok(count) => all.extend(&buffer[..count]),
            Err(_) => return (String::from_utf8(all).unwrap(), false),
        }
    }
}

/// What a client gets, and what is recorded.
fn told(does: Does) -> (String, bool, Vec<Trouble>) {
    let (target, _) = origin(does);
    let (proxy, address) = proxy(&target);
    let (text, in_order) = got(address, &target);
    let seen = proxy.finish();
    assert!(seen.troubles.is_empty() || seen.fetched.len() <= 1);
    (text, in_order, seen.troubles.into_iter().map(|one| one.trouble).collect())
}

#[test]
fn net_06_an_answer_that_is_cut_short_is_passed_on_as_cut_short() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 120\r\n\r\n0123456789",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n78\r\n0123456789",
    ] {
        let (text, in_order, troubles) = told(Does::Sends(vec![(0, head)]));
        assert_eq!(troubles, [Trouble::CutShort]);
        // An answer of the proxy's own would fill up what is missing.
        assert!(!text.contains("502") && text.len() < 120, "{text}");
        assert!(!in_order, "{text}");
    }
    let (text, in_order, troubles) =
        told(Does::Sends(vec![(0, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")]));
    assert!(text.ends_with("\r\n\r\nabc") && in_order && troubles.is_empty(), "{text} {troubles:?}");
}

#[test]
fn net_06_an_origin_that_is_silent_slow_or_out_of_service_is_named() {
    let (text, _, troubles) = told(Does::Nothing);
    assert!(text.starts_with("HTTP/1.1 504 ") && text.contains("did not answer in time"), "{text}");
    assert_eq!(troubles, [Trouble::Silent]);
    let mut drip = vec![(0, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n")];
    drip.extend([(100, "x"); 50]);
    let (text, in_order, troubles) = told(Does::Sends(drip));
    assert!(text.starts_with("HTTP/1.1 200 ") && !in_order, "{text}");
    assert_eq!(troubles, [Trouble::Slow]);
    let unavailable = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno";
    let (text, in_order, troubles) = told(Does::Sends(vec![(0, unavailable)]));
    assert!(text.starts_with("HTTP/1.1 503 ") && text.ends_with("no") && in_order, "{text}");
    assert_eq!(troubles, [Trouble::Answered(503)]);
    let (_, _, troubles) = told(Does::Sends(Vec::new()));
    assert_eq!(troubles, [Trouble::CutShort]);
    let (text, _, troubles) = told(Does::Sends(vec![(0, "SSH-2.0-x\r\n\r\n")]));
    assert!(
        text.starts_with("HTTP/1.1 502 ") && matches!(troubles[..], [Trouble::Wrong(_)]),
        "{text} {troubles:?}"
    );
}

#[test]
fn net_06_nothing_listens_and_then_something_does() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = HostPort::new("127.0.0.1", listener.local_addr().unwrap().port());
    drop(listener);
    let (proxy, address) = proxy(&target);
    for _ in 0..3 {
        let (text, _) = got(address, &target);
        assert!(text.starts_with("HTTP/1.1 502 ") && text.contains("could not be reached"), "{text}");
    }
    assert_eq!(proxy.shared.troubles.all()[0].times, 3);
    let listener = TcpListener::bind((target.host.as_str(), target.port)).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = request::read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    assert!(got(address, &target).0.starts_with("HTTP/1.1 404 "));
    server.join().unwrap();
    assert_eq!(proxy.finish().troubles, [], "it serves, though not this");
}

#[test]
fn net_06_a_host_that_was_given_up_is_not_asked() {
    let (target, count) = origin(Does::Sends(vec![(0, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]));
    let (proxy, address) = proxy(&target);
    // As if half a minute had been lost on it.
    let now = Instant::now();
    let before = now.checked_sub(Duration::from_secs(31)).unwrap();
    proxy.shared.failed(&target, Trouble::Slow, before);
    let (text, _) = got(address, &target);
    assert!(text.starts_with("HTTP/1.1 504 ") && text.contains("is given up for now"), "{text}");
    assert_eq!(count.load(Ordering::Relaxed), 0);
    let told = proxy.events();
    assert!(
        told.iter().any(|event| matches!(event, Event::Notice { text } if text.contains("given up"))),
        "{told:?}"
    );
    assert_eq!(proxy.finish().troubles[0].to_string(), format!("`{target}` sent less than 1 KiB a second"));
}

#[test]
fn net_06_a_client_that_leaves_is_no_fault_of_the_host() {
    let mut long = vec![(0, "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n")];
    long.extend(vec![(1, "0123456789".repeat(1000).leak() as &str); 400]);
    let (target, _) = origin(Does::Sends(long));
    let (proxy, address) = proxy(&target);
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET http://{target}/x HTTP/1.1\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 100]).unwrap();
    drop(stream);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(proxy.finish().troubles, []);
}
