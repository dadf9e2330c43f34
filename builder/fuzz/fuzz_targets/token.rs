//! No answer of a token service makes the client fall over, and none but a token is sent to the registry.

#![no_main]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};

use lapstrake_fuzz::generators::{Choices, token};
use lapstrake_oci::reference::parse;
use lapstrake_oci::registry::{Client, Options};
use libfuzzer_sys::fuzz_target;

/// A registry whose token service gives the answer that is set.
struct Service {
    host: String,
    answer: Arc<Mutex<(Vec<u8>, Option<String>)>>,
}

fn service() -> &'static Service {
    static SERVICE: OnceLock<Service> = OnceLock::new();
    SERVICE.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let answer = Arc::new(Mutex::new((Vec::new(), None)));
        let (own, shared) = (host.clone(), Arc::clone(&answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (host, shared) = (own.clone(), Arc::clone(&shared));
                std::thread::spawn(move || serve(&stream, &host, &shared).is_some());
            }
        });
        Service { host, answer }
    })
}

fn serve(stream: &TcpStream, host: &str, answer: &Mutex<(Vec<u8>, Option<String>)>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let (mut first, mut authorization) = (String::new(), None);
        reader.by_ref().take(1 << 16).read_line(&mut first).ok().filter(|count| *count > 0)?;
        loop {
            let mut line = String::new();
            reader.by_ref().take(1 << 16).read_line(&mut line).ok().filter(|count| *count > 0)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(("authorization", value)) = line
                .split_once(':')
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .as_ref()
                .map(|(name, value)| (name.as_str(), *value))
            {
                authorization = Some(value.trim().to_owned());
            }
        }
        let (status, extra, body) = if first.contains(" /token") {
            ("200 OK", String::new(), answer.lock().ok()?.0.clone())
        } else if authorization.is_some() {
            answer.lock().ok()?.1 = authorization;
            ("404 Not Found", String::new(), Vec::new())
        } else {
            (
                "401 Unauthorized",
                format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"\r\n"),
                Vec::new(),
            )
        };
        let head = format!("HTTP/1.1 {status}\r\n{extra}Content-Length: {}\r\n\r\n", body.len());
        writer.write_all(head.as_bytes()).ok()?;
        if !first.starts_with("HEAD") {
            writer.write_all(&body).ok()?;
        }
    }
}

fn sent(body: &[u8]) -> Option<String> {
    let service = service();
    *service.answer.lock().expect("no panic") = (body.to_vec(), None);
    let client = Client::new(Options::default()).expect("a client");
    let reference = parse(&format!("{}/a/b:1", service.host)).expect("a reference");
    drop(client.resolve(&reference));
    service.answer.lock().expect("no panic").1.take()
}

fuzz_target!(|bytes: &[u8]| {
    drop(sent(bytes));
    let (text, expected) = token(&mut Choices::new(bytes));
    assert_eq!(sent(text.as_bytes()), expected.map(|token| format!("Bearer {token}")), "{text}");
});
