//! Sources that are an archive: one on a web server, or one that must have a given digest, is brought whole and verified
//! before anything of it is read.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::ops::ControlFlow;
use std::path::Path;

use lapstrake_oci::document::Hasher;
use lapstrake_oci::registry::{Client, Piece};
use oci_spec::image::Digest;
use url::Host;

use super::{Fetcher, check, failure};
use crate::context::Stop;
use crate::failure::{Exit, Failure};
use crate::registry;
use crate::source::{self, ArchiveAddress, Limits, ReadOptions, Rule, Source, SourceError};

/// As much is looked at to tell what a file is.
const FIRST: usize = 512;
/// As much of a local archive is read at a time.
const BUFFER: usize = 1 << 18;
const WHAT: &str = "could not fetch the source";

impl Fetcher<'_> {
    pub(super) fn archive(&self, address: &ArchiveAddress, options: &ReadOptions) -> Result<Source, Failure> {
        let expected = self.expected()?;
        self.permitted(address.url(), is_loopback(address))?;
        let client = self.client()?;
        self.context.report.note(&format!("fetching {address}"));
        let download = self.download(&client, address, options);
        let (file, digest) = download.map_err(|failure| better_hint(failure, &client, address))?;
        check(expected.as_ref(), &digest, &format!("`{address}`"))?;
        if expected.is_none() {
            self.context.report.note(&format!("fetched an archive with the SHA-256 {}", digest.digest()));
        }
        let source = source::read_archive(file, &address.to_string(), options);
        source.map_err(|cause| better_hint(failure(cause), &client, address))
    }

    /// Reads an archive of this machine, once all of it is known to have the digest.
    pub(super) fn verified(
        &self,
        mut stream: impl Read,
        name: &str,
        expected: &Digest,
        options: &ReadOptions,
    ) -> Result<Source, Failure> {
        let unwritable = |source| failure(SourceError::Spool { scratch: options.scratch.clone(), source });
        let mut download = Download::new(options, &self.context.stop).map_err(unwritable)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(failure(SourceError::Read { path: name.to_owned(), source })),
            };
            if download.receive(Piece::Bytes(&buffer[..count])).is_break() {
                break;
            }
        }
        self.context.stop.check()?;
        if let Some(ended) = download.ended {
            return Err(ended.into_failure(name, &options.scratch));
        }
        let (file, digest) = download.finish().map_err(unwritable)?;
        check(Some(expected), &digest, "the archive")?;
        source::read_archive(file, name, options).map_err(failure)
    }

    fn download(
        &self,
        client: &Client,
        address: &ArchiveAddress,
        options: &ReadOptions,
    ) -> Result<(File, Digest), Failure> {
        let mut download = Download::new(options, &self.context.stop)
            .map_err(|source| failure(SourceError::Spool { scratch: options.scratch.clone(), source }))?;
        let receive = &mut |piece: Piece<'_>| download.receive(piece);
        let fetched = client.fetch_file(address.url(), address.login(), receive);
        self.context.stop.check()?;
        if let Some(ended) = download.ended {
            return Err(ended.into_failure(&address.to_string(), &options.scratch));
        }
        let flow = fetched.map_err(|cause| {
            let gone = matches!(cause.status(), Some(404 | 410));
            let failure = registry::failure(cause, WHAT);
            if gone { Failure { exit: Exit::NotUnderstood, ..failure } } else { failure }
        })?;
        debug_assert!(flow.is_continue(), "only what has ended breaks off");
        download
            .finish()
            .map_err(|source| failure(SourceError::Spool { scratch: options.scratch.clone(), source }))
    }
}

fn is_loopback(address: &ArchiveAddress) -> bool {
    match address.url().host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// A file that arrives.
struct Download<'a> {
    file: File,
    limits: Limits,
    stop: &'a Stop,
    hasher: Hasher,
    first: Vec<u8>,
    count: u64,
    promised: Option<u64>,
    ended: Option<Ended>,
}

/// Why a file is not wanted any more.
enum Ended {
    Refused(Rule),
    Unwritable(io::Error),
    Stopped,
}

impl<'a> Download<'a> {
    fn new(options: &ReadOptions, stop: &'a Stop) -> io::Result<Self> {
        let (hasher, first) = (Hasher::default(), Vec::new());
        let file = tempfile::tempfile_in(&options.scratch)?;
        Ok(Self { file, limits: options.limits, stop, hasher, first, count: 0, promised: None, ended: None })
    }

    fn receive(&mut self, piece: Piece<'_>) -> ControlFlow<()> {
        let outcome = match piece {
            _ if self.stop.is_asked() => Err(Ended::Stopped),
            Piece::Begin { size } => {
                self.promised = size;
                self.begin().map_err(Ended::Unwritable)
            }
            Piece::Bytes(bytes) => self.take(bytes),
            Piece::Waiting => Ok(()),
        };
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(ended) => {
                self.ended = Some(ended);
                ControlFlow::Break(())
            }
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        (self.hasher, self.count) = (Hasher::default(), 0);
        self.first.clear();
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        let missing = FIRST.saturating_sub(self.first.len());
        self.first.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        self.count += bytes.len() as u64;
        if self.first.len() == FIRST {
            let limit = source::stored_limit(&self.first, &self.limits).map_err(Ended::Refused)?;
            if self.count.max(self.promised.unwrap_or(0)) > limit {
                return Err(Ended::Refused(Rule::CompressedSize { limit }));
            }
        }
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(Ended::Unwritable)
    }

    fn finish(mut self) -> io::Result<(File, Digest)> {
        self.file.rewind()?;
        Ok((self.file, self.hasher.finish().0))
    }
}

impl Ended {
    fn into_failure(self, archive: &str, scratch: &Path) -> Failure {
        match self {
            Self::Refused(rule) => failure(SourceError::Archive { archive: archive.to_owned(), rule }),
            Self::Unwritable(source) => failure(SourceError::Spool { scratch: scratch.to_owned(), source }),
            Self::Stopped => Failure::new(Exit::Interrupted, "interrupted"),
        }
    }
}

/// Looks whether what is no archive is a git repository.
fn better_hint(failure: Failure, client: &Client, address: &ArchiveAddress) -> Failure {
    if failure.hint.is_some() || !matches!(failure.exit, Exit::Refused | Exit::NotUnderstood) {
        return failure;
    }
    let text = address.to_string();
    let first = format!("{}/info/refs?service=git-upload-pack", text.trim_end_matches('/'));
    let glance = first.parse().ok().and_then(|url| client.glance(&url, address.login()).ok());
    let is_repository = glance.is_some_and(|glance| {
        glance.status == 200 && glance.content_type.is_some_and(|kind| kind.starts_with("application/x-git-"))
    });
    if is_repository { failure.hint(format!("it is a git repository: write `git+{text}`")) } else { failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(pieces: &[Piece<'_>], limits: Limits) -> Option<Rule> {
        let scratch = tempfile::tempdir().unwrap();
        let options = ReadOptions { limits, ..ReadOptions::new(scratch.path()) };
        let stop = Stop::default();
        let mut download = Download::new(&options, &stop).unwrap();
        let broke = pieces.iter().any(|piece| download.receive(*piece).is_break());
        match download.ended {
            Some(Ended::Refused(rule)) => {
                assert!(broke, "nothing more is read");
                Some(rule)
            }
            Some(_) => panic!("neither the disk nor a signal ended it"),
            None => None,
        }
    }

    #[test]
    fn a_body_is_held_to_the_limit_whether_its_length_was_announced_or_not() {
        let limits = Limits { compressed: 2000, ..Limits::default() };
        let rule = Rule::CompressedSize { limit: 2000 };
        let mut bytes = vec![0; 1000];
        bytes[..4].copy_from_slice(b"\x1f\x8b\x08\x00");
        let piece = Piece::Bytes(&bytes);
        let begin = |size| Piece::Begin { size };
        assert_eq!(refusal(&[begin(None), piece, piece], limits), None);
        assert_eq!(refusal(&[begin(None), piece, piece, piece], limits), Some(rule.clone()));
        assert_eq!(refusal(&[begin(Some(2001)), piece], limits), Some(rule.clone()));
        assert_eq!(
            refusal(&[begin(Some(3)), piece, piece, piece], limits),
            Some(rule),
            "a promise is no limit"
        );
        // Another try begins anew.
        assert_eq!(refusal(&[begin(None), piece, piece, begin(None), piece, piece], limits), None);
    }
}
