//! Fetching from a small server on loopback whose answers can be broken.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};

use super::*;
use crate::mirrors::{Machine, MirrorFlags, NoPrograms};
use crate::progress::Silent;

/// What the server does with a path, request by request; the last answer repeats.
#[derive(Clone)]
enum Answer {
    Body(Vec<u8>),
    /// Promises all, sends that many bytes and hangs up.
    Cut(Vec<u8>, usize),
    Status(u16),
}

struct Server {
    base: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answers: &[(&str, Vec<Answer>)]) -> Self {
        let answers: BTreeMap<String, Vec<Answer>> =
            answers.iter().map(|(path, list)| ((*path).to_owned(), list.clone())).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (answers, log) = (Arc::new(Mutex::new(answers)), Arc::new(Mutex::new(Vec::new())));
        let (shared, lines) = (Arc::clone(&answers), Arc::clone(&log));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (shared, lines) = (Arc::clone(&shared), Arc::clone(&lines));
                std::thread::spawn(move || serve(stream, &shared, &lines));
            }
        });
        Self { base, log }
    }

    fn fetcher(&self, store: &Path) -> Fetcher {
        let flags = MirrorFlags {
            debian: Some(format!("{}/debian", self.base)),
            debian_security: Some(format!("{}/security", self.base)),
            npm: Some(format!("{}/npm", self.base)),
            python: Some(format!("{}/simple", self.base)),
        };
        let machine = Machine { env: &BTreeMap::new(), root: Path::new("/nonexistent"), ask: &NoPrograms };
        let mirrors = Mirrors::discover(&flags, machine).unwrap();
        Fetcher::new(mirrors, Store::open(store).unwrap()).unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, answers: &Mutex<BTreeMap<String, Vec<Answer>>>, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let headers: Vec<String> =
        lines.take_while(|line| !line.is_empty()).map(|line| line.to_ascii_lowercase()).collect();
    let start: usize = headers
        .iter()
        .find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok())
        .unwrap_or(0);
    log.lock().unwrap().push(format!("{path} from {start}"));
    let answer = {
        let mut answers = answers.lock().unwrap();
        match answers.get_mut(&path) {
            Some(list) if list.len() > 1 => list.remove(0),
            Some(list) => list[0].clone(),
            None => Answer::Status(404),
        }
    };
    let mut stream = stream;
    let _ = match answer {
        Answer::Status(status) => {
            write!(stream, "HTTP/1.1 {status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        Answer::Body(body) => send(&mut stream, &body, start, body.len()),
        Answer::Cut(body, len) => send(&mut stream, &body, start, len),
    };
}

fn send(stream: &mut TcpStream, body: &[u8], start: usize, end: usize) -> std::io::Result<()> {
    let total = body.len();
    let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\ncontent-range: bytes {start}-{}/{total}\r\nconnection: close\r\n\r\n",
        total - start,
        total - 1
    )?;
    stream.write_all(&body[start..end])
}

fn deb(name: &str, body: &[u8]) -> Artifact {
    Artifact::Deb(DebArtifact {
        name: name.to_owned(),
        version: "1".to_owned(),
        arch: "amd64".to_owned(),
        suite: "trixie".to_owned(),
        path: format!("pool/{name}.deb"),
        size: body.len() as u64,
        sha256: crate::canonical::hex(&Sha256::digest(body)),
        source: name.to_owned(),
    })
}

#[test]
fn many_files_arrive_and_a_second_call_asks_nobody() {
    let bodies: Vec<Vec<u8>> = (0_u8..12).map(|n| vec![n; 1000]).collect();
    let names: Vec<String> = (0..12).map(|n| format!("p{n}")).collect();
    let paths: Vec<String> = names.iter().map(|name| format!("/debian/pool/{name}.deb")).collect();
    let answers: Vec<(&str, Vec<Answer>)> = paths
        .iter()
        .zip(&bodies)
        .map(|(path, body)| (path.as_str(), vec![Answer::Body(body.clone())]))
        .collect();
    let server = Server::start(&answers);
    let store = tempfile::tempdir().unwrap();
    let fetcher = server.fetcher(store.path());
    let artifacts: Vec<Artifact> = names.iter().zip(&bodies).map(|(name, body)| deb(name, body)).collect();
    let wanted: Vec<&Artifact> = artifacts.iter().collect();
    let files = fetcher.fetch_all(&wanted, &Silent).unwrap();
    for (file, body) in files.iter().zip(&bodies) {
        assert_eq!(&fs_err::read(file).unwrap(), body);
    }
    assert_eq!(fetcher.fetch_all(&wanted, &Silent).unwrap(), files);
    assert_eq!(server.requests().len(), 12);
}

#[test]
fn a_broken_transfer_goes_on_where_it_broke() {
    let body: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let answers = vec![Answer::Status(503), Answer::Cut(body.clone(), 2000), Answer::Body(body.clone())];
    let server = Server::start(&[("/debian/pool/a.deb", answers)]);
    let store = tempfile::tempdir().unwrap();
    let artifact = deb("a", &body);
    let files = server.fetcher(store.path()).fetch_all(&[&artifact], &Silent).unwrap();
    assert_eq!(fs_err::read(&files[0]).unwrap(), body);
    let requests = server.requests();
    assert_eq!(requests.len(), 3, "{requests:?}");
    assert_eq!(requests[2], "/debian/pool/a.deb from 2000");
}

#[test]
fn gone_is_told_apart_from_changed_and_from_refused() {
    let other = vec![9; 10];
    let server = Server::start(&[
        ("/debian/pool/changed.deb", vec![Answer::Body(other)]),
        ("/debian/pool/refused.deb", vec![Answer::Status(403)]),
    ]);
    let store = tempfile::tempdir().unwrap();
    let fetcher = server.fetcher(store.path());
    let body = vec![7; 10];
    let (gone, changed, refused) = (deb("gone", &body), deb("changed", &body), deb("refused", &body));
    let error = fetcher.fetch_all(&[&gone], &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Gone { status: 404, .. }), "{error}");
    let error = fetcher.fetch_all(&[&refused], &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Refused { status: 403, .. }), "{error}");
    // Even together with one that is gone.
    let gone = deb("gone", &[8; 10]);
    let error = fetcher.fetch_all(&[&gone, &changed], &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Mismatch { ref artifact, .. } if artifact == "changed 1"), "{error}");
    assert_eq!(fs_err::read_dir(store.path().join("sha256")).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_longer_than_the_lock_says_is_not_read_to_its_end() {
    let server = Server::start(&[("/debian/pool/a.deb", vec![Answer::Body(vec![1; 100_000])])]);
    let store = tempfile::tempdir().unwrap();
    let error = server.fetcher(store.path()).fetch_all(&[&deb("a", &[1; 10])], &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Mismatch { .. }), "{error}");
}

#[test]
fn npm_tarballs_and_wheels_are_found_where_the_registry_says() {
    let body = vec![5; 100];
    let sha256 = crate::canonical::hex(&Sha256::digest(&body));
    let page =
        r#"{"files":[{"filename":"pip-26.3-py3-none-any.whl","url":"../../files/pip.whl","hashes":{}}]}"#;
    let answers = [
        ("/simple/pip/", vec![Answer::Body(page.into())]),
        ("/files/pip.whl", vec![Answer::Body(body.clone())]),
        ("/npm/npm/-/npm-11.1.0.tgz", vec![Answer::Body(body.clone())]),
    ];
    let server = Server::start(&answers);
    let store = tempfile::tempdir().unwrap();
    let fetcher = server.fetcher(store.path());
    let wheel = Artifact::Wheel(WheelArtifact {
        name: "pip".to_owned(),
        version: "26.3".to_owned(),
        filename: "pip-26.3-py3-none-any.whl".to_owned(),
        sha256: sha256.clone(),
        size: 100,
    });
    fetcher.fetch_all(&[&wheel], &Silent).unwrap();
    let npm = |version: &str, sha256: String| {
        Artifact::Npm(NpmArtifact {
            name: "npm".to_owned(),
            version: version.to_owned(),
            integrity: String::new(),
            sha256,
            size: 100,
        })
    };
    fs_err::remove_file(fetcher.store().path(&sha256)).unwrap();
    fetcher.fetch_all(&[&npm("11.1.0", sha256)], &Silent).unwrap();
    // The usual place has nothing, and neither has the package's document: gone.
    let error = fetcher.fetch_all(&[&npm("11.1.1", "0".repeat(64))], &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Gone { .. }), "{error}");
}
