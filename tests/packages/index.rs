//! A package index on loopback that serves pip and npm as badly as a test asks for.

use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapstrake_fixtures::proxy::read_head;
use serde_json::json;
use sha2::{Digest as _, Sha256, Sha512};

use crate::harness::package_index::{npm_package, zip};

/// The commands of a build have a loopback of their own at 127.0.0.1; this address leads them through the proxy.
const ADDRESS: &str = "127.0.0.2";

/// How an index serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serves {
    /// As it should.
    Well,
    /// Other bytes of the same package, each time.
    OtherBytes,
    /// Nothing listens.
    Nowhere,
    /// It takes requests and never answers.
    Never,
    /// It is out of service, and says so.
    Unavailable,
    /// A byte a second.
    Slowly,
    /// Half of each package.
    Half,
}

/// An index that lives as long as the process. It has `greeting` for pip and `@team/greeting` for npm.
pub(super) struct Index {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Index {
    pub(super) fn start(serves: Serves) -> Self {
        let listener = TcpListener::bind((ADDRESS, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let journal = Arc::clone(&asked);
        if serves != Serves::Nowhere {
            std::thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    let journal = Arc::clone(&journal);
                    // A client that breaks off is its own concern.
                    std::thread::spawn(move || answer(client, port, serves, &journal));
                }
            });
        }
        Self { port, asked }
    }

    /// `HOST:PORT`.
    pub(super) fn host(&self) -> String {
        format!("{ADDRESS}:{}", self.port)
    }

    /// The address for pip.
    pub(super) fn python(&self) -> String {
        format!("http://{}/simple/", self.host())
    }

    /// The address for npm.
    pub(super) fn npm(&self) -> String {
        format!("http://{}/npm/", self.host())
    }

    /// The paths that were asked for.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The package for pip; those of another edition have other bytes.
pub(super) fn wheel(edition: usize) -> Vec<u8> {
    let info = "greeting-1.0.dist-info";
    zip(&[
        ("greeting.py", &format!("TEXT = 'hello from pip {edition}'\n")),
        (&format!("{info}/METADATA"), "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n"),
        (
            &format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        ),
        (
            &format!("{info}/RECORD"),
            &format!("greeting.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"),
        ),
    ])
}

/// The SHA-256 of an edition, in hexadecimal digits.
pub(super) fn hash(edition: usize) -> String {
    let digest = Sha256::digest(wheel(edition));
    digest.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn answer(mut client: TcpStream, port: u16, serves: Serves, journal: &Mutex<Vec<String>>) -> io::Result<()> {
    let head = read_head(&mut client)?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let before = {
        let mut journal = journal.lock().unwrap();
        journal.push(path.clone());
        journal.iter().filter(|one| **one == path).count() - 1
    };
    let edition = if serves == Serves::OtherBytes { before } else { 0 };
    let (status, body) = match content(&path, port, edition) {
        _ if serves == Serves::Unavailable => ("503 Service Unavailable", b"down for maintenance".to_vec()),
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", Vec::new()),
    };
    if serves == Serves::Never {
        std::thread::sleep(Duration::from_mins(2));
        return Ok(());
    }
    let kind = if path.starts_with("/npm") { "application/json" } else { "text/html" };
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    match serves {
        Serves::Slowly => {
            for byte in body {
                client.write_all(&[byte])?;
                std::thread::sleep(Duration::from_secs(1));
            }
            Ok(())
        }
        Serves::Half if path.contains("greeting-1.0") => {
            client.write_all(&body[..body.len() / 2])?;
            client.shutdown(Shutdown::Both)
        }
        _ => client.write_all(&body),
    }
}

fn content(path: &str, port: u16, edition: usize) -> Option<Vec<u8>> {
    match path {
        "/npm/@team%2fgreeting" => {
            let integrity = format!("sha512-{}", STANDARD.encode(Sha512::digest(npm_package())));
            let tarball = format!("http://{ADDRESS}:{port}/npm/@team/greeting/-/greeting-1.0.0.tgz");
            let version = json!({
                "name": "@team/greeting",
                "version": "1.0.0",
                "dist": {"tarball": tarball, "integrity": integrity},
            });
            let document = json!({
                "name": "@team/greeting",
                "dist-tags": {"latest": "1.0.0"},
                "versions": {"1.0.0": version},
            });
            Some(document.to_string().into_bytes())
        }
        "/npm/@team/greeting/-/greeting-1.0.0.tgz" => Some(npm_package()),
        "/simple/greeting/" => {
            let file = "greeting-1.0-py3-none-any.whl";
            Some(format!("<!DOCTYPE html><a href=\"/files/{file}\">{file}</a>").into_bytes())
        }
        "/files/greeting-1.0-py3-none-any.whl" => Some(wheel(edition)),
        _ => None,
    }
}
