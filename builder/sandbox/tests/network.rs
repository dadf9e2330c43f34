//! What a step reaches over the network, and what reaches it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lapstrake_sandbox::{
    Event, Failure, Forward, HostPort, Network, ProxyMode, ProxyPolicy, Stream, Upstream, run, serve,
};

use crate::harness::{Bench, Test, sh, shell_in};
use crate::inside::PROGRAM;

pub(crate) const TESTS: &[Test] = &[
    ("SBX-07 without a network nothing outside is reached", nothing),
    ("NET-01 the proxy reaches a listed private host and tells so", listed),
    ("NET-01 the proxy refuses private hosts and tells why", refused),
    ("SBX-07 nothing but the proxy is reached beside it", beside),
    ("NET-01 the proxy goes through the machine's own proxy", upstream),
    ("with the host's network its loopback is reached", host),
    ("connections outside are handed to a served app", forward),
    ("a served app has time to end", grace),
];

/// A server on this machine's loopback that answers every connection with the request's first line.
fn echo_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                request.push(byte[0]);
            }
            let text = String::from_utf8_lossy(&request).into_owned();
            let body = text.replace("\r\n", "|");
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    port
}

/// Where the proxy is, as bash says it: the port differs where the network is shared.
const PROXY: &str = "127.0.0.1/${PROXY##*:}";

/// A line of bash that sends a request and prints the answer.
fn ask(address: &str, request: &str) -> String {
    format!("bash -c \"exec 3<>/dev/tcp/{address} && printf '{request}' >&3 && cat <&3\"")
}

fn proxy(listed: &[u16]) -> Network {
    let listed = listed.iter().map(|&port| HostPort::new("127.0.0.1", port)).collect();
    Network::Proxy(ProxyPolicy { mode: ProxyMode::Public, listed, upstream: None, authority: None })
}

fn nothing(bench: &Bench) {
    let port = echo_server();
    let begun = Instant::now();
    let addresses: [String; 4] =
        [format!("127.0.0.1/{port}"), "169.254.169.254/80".into(), "1.1.1.1/443".into(), "::1/22".into()];
    for address in &addresses {
        let line = ask(address, "GET / HTTP/1.1\\r\\n\\r\\n");
        let said = shell_in(&bench.spec(), &format!("{line} || echo unreachable"));
        assert_eq!(said.stdout(), "unreachable", "{said:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(4));
    println!(
        "figure SBX-07: 0 of {} addresses reached in mode {} by uid {}",
        addresses.len(),
        bench.isolation.name(),
        bench.uid()
    );
}

fn listed(bench: &Bench) {
    let port = echo_server();
    let mut spec = bench.spec();
    spec.network = proxy(&[port]);
    let plain = ask(PROXY, &format!("GET http://127.0.0.1:{port}/a HTTP/1.1\\r\\n\\r\\n"));
    let tunnel =
        ask(PROXY, &format!("CONNECT 127.0.0.1:{port} HTTP/1.1\\r\\n\\r\\nGET /b HTTP/1.1\\r\\n\\r\\n"));
    let mut text = Vec::new();
    let outcome = run(&spec, &[sh(&plain), sh(&tunnel)], &AtomicBool::new(false), &mut |event| {
        if let Event::Output { line, .. } = event {
            text.push(line);
        }
    })
    .unwrap();
    assert_eq!(outcome.result, Ok(()));
    let text = text.join("\n");
    assert!(text.contains(&format!("GET /a HTTP/1.1|Host: 127.0.0.1:{port}|Connection: close||")), "{text}");
    assert!(text.contains("200 Connection established") && text.contains("GET /b HTTP/1.1||"), "{text}");
    let [used] = outcome.hosts.as_slice() else { panic!("{:?}", outcome.hosts) };
    assert_eq!((used.host.as_str(), used.port, used.connections), ("127.0.0.1", port, 2));
    assert!(used.sent > 30 && used.received > 60, "{used:?}");
}

fn refused(bench: &Bench) {
    let (open, other) = (echo_server(), echo_server());
    let mut spec = bench.spec();
    spec.network = proxy(&[open]);
    let targets = [
        (format!("127.0.0.1:{other}"), "only ports 80 and 443"),
        ("127.0.0.1:443".to_owned(), "loopback"),
        ("localhost:80".to_owned(), "loopback"),
        ("169.254.169.254:80".to_owned(), "link-local"),
        ("[::ffff:10.0.0.1]:443".to_owned(), "private"),
    ];
    for (target, reason) in targets {
        for request in [format!("CONNECT {target}"), format!("GET http://{target}/")] {
            let said = shell_in(&spec, &ask(PROXY, &format!("{request} HTTP/1.1\\r\\n\\r\\n")));
            assert!(said.stdout().starts_with("HTTP/1.1 403 Forbidden"), "{said:?}");
            let told = said.events.iter().any(|event| {
                matches!(event, Event::Refused { target: told, reason: why } if *told == target && why.contains(reason))
            });
            assert!(told, "{target}: {said:?}");
        }
    }
}

fn beside(bench: &Bench) {
    let port = echo_server();
    let mut spec = bench.spec();
    spec.network = proxy(&[port]);
    let line = ask(&format!("127.0.0.1/{port}"), "GET / HTTP/1.1\\r\\n\\r\\n");
    assert_eq!(shell_in(&spec, &format!("{line} || echo unreachable")).stdout(), "unreachable");
}

fn upstream(bench: &Bench) {
    let port = echo_server();
    let url = format!("http://us%40er:word@127.0.0.1:{port}").parse().unwrap();
    let mut spec = bench.spec();
    let upstream = Some(Upstream { url, no_proxy: Vec::new() });
    let listed = vec![HostPort::new("index.invalid", 80)];
    spec.network =
        Network::Proxy(ProxyPolicy { mode: ProxyMode::ListedOnly, listed, upstream, authority: None });
    let said = shell_in(&spec, &ask(PROXY, "GET http://index.invalid/a HTTP/1.1\\r\\n\\r\\n"));
    let expected = "GET http://index.invalid/a HTTP/1.1|Proxy-Authorization: Basic dXNAZXI6d29yZA==|";
    assert!(said.stdout().contains(expected), "{said:?}");
}

fn host(bench: &Bench) {
    let port = echo_server();
    let mut spec = bench.spec();
    spec.network = Network::Host;
    let said = shell_in(&spec, &ask(&format!("127.0.0.1/{port}"), "GET / HTTP/1.1\\r\\n\\r\\n"));
    assert!(said.stdout().contains("GET / HTTP/1.1||"), "{said:?}");
}

fn forward(bench: &Bench) {
    let mut spec = bench.spec();
    spec.mounts = vec![Bench::this_program()];
    spec.network = Network::Forward(Forward { listen: "127.0.0.1:0".parse().unwrap(), port: 8080 });
    let cancel = AtomicBool::new(false);
    let mut address = None;
    thread::scope(|scope| {
        let mut client = None;
        let outcome =
            serve(&spec, &sh(&format!("exec {PROGRAM} --serve 8080")), &cancel, &mut |event| match event {
                Event::Listening { address: found } => address = Some(found),
                Event::Output { .. } => {
                    let address = address.unwrap();
                    let cancel = &cancel;
                    client = Some(scope.spawn(move || {
                        let answers = [(); 3].map(|()| {
                            let mut stream = TcpStream::connect(address).unwrap();
                            stream.write_all(b"hello").unwrap();
                            stream.shutdown(std::net::Shutdown::Write).unwrap();
                            let mut answer = String::new();
                            stream.read_to_string(&mut answer).unwrap();
                            answer
                        });
                        cancel.store(true, Ordering::Relaxed);
                        answers
                    }));
                }
                _ => {}
            });
        assert_eq!(outcome.unwrap().result.unwrap_err().failure, Failure::Cancelled);
        assert_eq!(client.unwrap().join().unwrap(), ["HELLO", "HELLO", "HELLO"]);
    });
}

fn grace(bench: &Bench) {
    let mut spec = bench.spec();
    spec.limits.time = None;
    spec.limits.grace = Duration::from_secs(5);
    let cancel = AtomicBool::new(false);
    let app = sh("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done");
    let mut lines = Vec::new();
    let begun = Instant::now();
    let outcome = serve(&spec, &app, &cancel, &mut |event| {
        if let Event::Output { line, stream: Stream::Stdout, .. } = event {
            cancel.store(true, Ordering::Relaxed);
            lines.push(line);
        }
    });
    assert_eq!(outcome.unwrap().result.unwrap_err().failure, Failure::Cancelled);
    assert_eq!(lines, ["up", "bye"]);
    assert!(begun.elapsed() < Duration::from_secs(3));
}
