//! A moved image is started on this machine, before any tag names it.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lapstrake_oci::destination::{LayoutDestination, Shipment, push};
use lapstrake_oci::document::Document;
use lapstrake_oci::image::{Blob, BlobSource};
use lapstrake_oci::layout::Layout;
use lapstrake_sandbox::Event;
use oci_spec::image::{Descriptor, ImageManifest};

use super::Rebased;
use crate::cli::RunNetwork;
use crate::context::{Context, Stop};
use crate::failure::{Exit, Failure};
use crate::load::Stored;
use crate::platform::host_platform;
use crate::published::Repository;
use crate::report::printable;
use crate::scratch::Scratch;
use crate::serve::{Start, prepared};
use crate::steps::sandbox_failure;

/// How long an app may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long to wait between two questions.
const PAUSE: Duration = Duration::from_millis(50);
/// So many lines of what the app said are told when it does not answer.
const LAST_LINES: usize = 10;

/// Starts a moved image and asks its port, by HTTP, for a path. Any answer but a server error will do.
pub fn smoke(
    rebased: &Rebased,
    path: &str,
    repository: &Repository,
    context: &Context,
) -> Result<(), Failure> {
    let platform = host_platform()?;
    let manifest = rebased.manifests.get(&platform).ok_or_else(|| {
        Failure::new(
            Exit::NotUnderstood,
            format!("the moved image has nothing for {platform} that could be started"),
        )
    })?;
    let scratch = Scratch::new(&context.scratch_dir())?;
    let stored = here(rebased, manifest, repository, &scratch)?;
    let start = Start { port: Some(0), env: &[], network: RunNetwork::Forward };
    let (spec, step) = prepared(&stored.image(&platform)?, &start, &scratch, context)?;

    let (address, answer) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
    let ended = Arc::new(AtomicBool::new(false));
    let asking = {
        let (address, answer, ended) = (Arc::clone(&address), Arc::clone(&answer), Arc::clone(&ended));
        let (path, asked) = (path.to_owned(), context.stop.clone());
        thread::spawn(move || ask(&address, &path, &answer, &ended, &asked))
    };
    let mut said = VecDeque::new();
    let outcome = lapstrake_sandbox::serve(&spec, &step, &ended, &mut |event| match event {
        Event::Listening { address: outside } => *lock(&address) = Some(outside),
        Event::Output { line, .. } => {
            said.push_back(line);
            said.drain(..said.len().saturating_sub(LAST_LINES));
        }
        _ => {}
    });
    ended.store(true, Ordering::SeqCst);
    // It ends with the flag.
    let _ = asking.join();
    context.stop.check()?;
    let outcome = outcome.map_err(|cause| sandbox_failure(cause, "could not start the moved image"))?;
    let answer = lock(&answer).take();
    match (answer, outcome.result) {
        (Some(Answer::Status(status)), _) if status < 500 => {
            context.report.note(&format!("the moved image answers on its port: {status} for `{path}`"));
            Ok(())
        }
        (Some(Answer::Status(status)), _) => Err(bad(&format!("it answers {status} for `{path}`"), &said)),
        (None, Err(failed)) => Err(bad(&format!("it stopped: {}", failed.failure), &said)),
        (Some(Answer::Late) | None, _) => {
            Err(bad(&format!("it did not answer within {} s", PATIENCE.as_secs()), &said))
        }
    }
}

/// What came of asking.
enum Answer {
    Status(u16),
    Late,
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bad(why: &str, said: &VecDeque<String>) -> Failure {
    let failure =
        Failure::new(Exit::Refused, format!("the moved image does not work, and no tag names it: {why}"));
    if said.is_empty() {
        return failure;
    }
    let lines: Vec<String> = said.iter().map(|line| printable(line)).collect();
    failure.hint(format!("the last that it said:\n{}", lines.join("\n")))
}

/// Asks again and again, until there is an answer or no time left; then the app is ended.
fn ask(
    address: &Mutex<Option<SocketAddr>>,
    path: &str,
    answer: &Mutex<Option<Answer>>,
    ended: &AtomicBool,
    stop: &Stop,
) {
    let started = Instant::now();
    while !ended.load(Ordering::SeqCst) {
        let listening = *lock(address);
        if let Some(status) = listening.and_then(|address| status(address, path)) {
            *lock(answer) = Some(Answer::Status(status));
            break;
        }
        if stop.is_asked() || started.elapsed() > PATIENCE {
            *lock(answer) = Some(Answer::Late);
            break;
        }
        thread::sleep(PAUSE);
    }
    ended.store(true, Ordering::SeqCst);
}

/// The status of an answer (RFC 9112, section 4); none while nobody answers.
fn status(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    let text = std::str::from_utf8(&head).ok()?;
    text.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()
}

/// The image in a layout of its own.
fn here(
    rebased: &Rebased,
    manifest: &Document,
    repository: &Repository,
    scratch: &Scratch,
) -> Result<Stored, Failure> {
    let parsed: ImageManifest = manifest
        .parse()
        .map_err(|cause| Failure::because(Exit::Refused, "the image is not understood", cause))?;
    let blob = |descriptor: &Descriptor| {
        let new = rebased.shipment.blobs.iter().find(|blob| blob.descriptor.digest() == descriptor.digest());
        new.cloned().map_or_else(|| of_repository(repository, descriptor), Ok)
    };
    let descriptors = std::iter::once(parsed.config()).chain(parsed.layers());
    let blobs = descriptors.map(blob).collect::<Result<Vec<Blob>, Failure>>()?;
    let failed = |cause| Failure::because(Exit::Ours, "could not make a place for the image", cause);
    let layout = Layout::create(scratch.directory("moved")?).map_err(failed)?;
    let to = LayoutDestination { layout: &layout, tag: Some("moved"), client: Some(repository.client()) };
    push(Shipment::new(blobs, Vec::new(), manifest.clone()), &to, &mut |_| {})
        .map_err(|cause| Failure::because(Exit::RegistryRefused, "could not fetch the moved image", cause))?;
    Ok(Stored { layout, top: manifest.descriptor().clone(), name: "the moved image".to_owned() })
}

fn of_repository(repository: &Repository, descriptor: &Descriptor) -> Result<Blob, Failure> {
    Ok(match repository.layout() {
        Some(layout) => Blob::file(descriptor.clone(), layout.blob_path(descriptor.digest())),
        None => Blob {
            descriptor: descriptor.clone(),
            source: BlobSource::Mounted { from: repository.reference("latest")? },
            mount_from: Vec::new(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answering(text: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn the_status_of_an_answer_is_read_and_nothing_else_is_one() {
        assert_eq!(status(answering("HTTP/1.1 404 Not Found\r\n\r\n"), "/"), Some(404));
        assert_eq!(status(answering("HTTP/1.0 200 OK\r\n"), "/"), Some(200));
        assert_eq!(status(answering("SSH-2.0-OpenSSH_9.2\r\n"), "/"), None);
        assert_eq!(status(answering(""), "/"), None);
    }
}
