//! A private package index on loopback: it answers npm and pip, and only those who log in.

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapstrake_fixtures::proxy::read_head;
use serde_json::json;
use sha2::{Digest as _, Sha512};

/// The user whose password the token is, for pip.
const USER: &str = "robot";

/// An index that lives as long as the process. It has `@team/greeting` for npm and `greeting` for pip.
pub(crate) struct PackageIndex {
    port: u16,
    served: Arc<Mutex<Vec<String>>>,
}

impl PackageIndex {
    /// Starts an index for those who know `token`.
    pub(crate) fn start(token: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::new(Mutex::new(Vec::new()));
        let (journal, token) = (Arc::clone(&served), token.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that breaks off is its own concern.
                let _ = answer(client, port, &token, &journal);
            }
        });
        Self { port, served }
    }

    /// `HOST:PORT`.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address for pip, with the login in it.
    pub(crate) fn python_url(&self, token: &str) -> String {
        format!("http://{USER}:{token}@{}/simple/", self.host())
    }

    /// The paths that were given to those who logged in.
    pub(crate) fn served(&self) -> Vec<String> {
        self.served.lock().unwrap().clone()
    }
}

fn answer(mut client: TcpStream, port: u16, token: &str, journal: &Mutex<Vec<String>>) -> io::Result<()> {
    let head = read_head(&mut client)?;
    let path = head.split(' ').nth(1).unwrap_or_default();
    let basic = STANDARD.encode(format!("{USER}:{token}"));
    let logged_in =
        [format!("Bearer {token}"), format!("Basic {basic}")].iter().any(|login| head.contains(login));
    let (status, kind, body) = match content(path, port) {
        _ if !logged_in => ("401 Unauthorized\r\nWWW-Authenticate: Basic", "text/plain", Vec::new()),
        Some((kind, body)) => ("200 OK", kind, body),
        None => ("404 Not Found", "text/plain", Vec::new()),
    };
    if status == "200 OK" {
        journal.lock().unwrap().push(path.to_owned());
    }
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    client.write_all(&body)
}

fn content(path: &str, port: u16) -> Option<(&'static str, Vec<u8>)> {
    match path {
        "/npm/@team%2fgreeting" => {
            let tarball = npm_package();
            let document = json!({
                "name": "@team/greeting",
                "dist-tags": {"latest": "1.0.0"},
                "versions": {"1.0.0": {
                    "name": "@team/greeting",
                    "version": "1.0.0",
                    "dist": {
                        "tarball": format!("http://127.0.0.1:{port}/npm/@team/greeting/-/greeting-1.0.0.tgz"),
                        "integrity": format!("sha512-{}", STANDARD.encode(Sha512::digest(&tarball))),
                    },
                }},
            });
            Some(("application/json", document.to_string().into_bytes()))
        }
        "/npm/@team/greeting/-/greeting-1.0.0.tgz" => Some(("application/octet-stream", npm_package())),
        "/simple/greeting/" => {
            let page = "<!DOCTYPE html><a href=\"/files/greeting-1.0-py3-none-any.whl\">greeting-1.0-py3-none-any.whl</a>";
            Some(("text/html", page.into()))
        }
        "/files/greeting-1.0-py3-none-any.whl" => Some(("application/octet-stream", wheel())),
        _ => None,
    }
}

/// The package for npm. Its install script writes who ran it, to `installed.txt`.
pub(crate) fn npm_package() -> Vec<u8> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(encoder);
    let script = "node -p 'require(`./index.js`) + ` by ` + process.getuid()' >installed.txt";
    let manifest = json!({
        "name": "@team/greeting",
        "version": "1.0.0",
        "main": "index.js",
        "scripts": { "postinstall": script },
    });
    let manifest = manifest.to_string();
    for (path, text) in [
        ("package/package.json", manifest.as_str()),
        ("package/index.js", "module.exports = 'hello from npm';\n"),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn wheel() -> Vec<u8> {
    let info = "greeting-1.0.dist-info";
    zip(&[
        ("greeting.py", "TEXT = 'hello from pip'\n"),
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

/// A zip archive whose files are stored as they are.
pub(crate) fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let mut sum = flate2::Crc::new();
        sum.update(text.as_bytes());
        let size = u32::try_from(text.len()).unwrap().to_le_bytes();
        let mut facts = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0x58];
        facts.extend(sum.sum().to_le_bytes());
        facts.extend(size);
        facts.extend(size);
        facts.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        facts.extend([0, 0]);
        let offset = u32::try_from(archive.len()).unwrap().to_le_bytes();
        archive.extend([&b"PK\x03\x04"[..], &facts, name.as_bytes(), text.as_bytes()].concat());
        let rest = [&[0; 10][..], &offset, name.as_bytes()].concat();
        directory.extend([&b"PK\x01\x02\x14\x00"[..], &facts, &rest].concat());
    }
    let count = u16::try_from(files.len()).unwrap().to_le_bytes();
    let size = u32::try_from(directory.len()).unwrap().to_le_bytes();
    let offset = u32::try_from(archive.len()).unwrap().to_le_bytes();
    let end = [&b"PK\x05\x06\x00\x00\x00\x00"[..], &count, &count, &size, &offset, &[0, 0]].concat();
    [archive, directory, end].concat()
}
