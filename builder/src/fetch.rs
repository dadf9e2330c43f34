//! Brings sources from where they are: this machine, a git repository, a web server.
//!
//! A login goes to the host that the user named and to no other, whatever a server says. What arrives is read by the
//! rules that hold for every source.

mod archive;
mod commit;
mod login;
mod repository;

use std::io::Read;
use std::path::Path;

use oci_spec::image::Digest;
use url::Url;

use lapstrake_oci::registry::{Client, Options, is_listed};

use crate::cli::RemoteArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::git::GitError;
use crate::limits;
use crate::registry;
use crate::source::{self, ReadOptions, Source, SourceAddress, SourceError, SourceSpec};

/// Brings sources from where they are.
pub struct Fetcher<'a> {
    args: &'a RemoteArgs,
    context: &'a Context,
}

impl<'a> Fetcher<'a> {
    /// Prepares to fetch. Nothing is sent yet.
    #[must_use]
    pub fn new(args: &'a RemoteArgs, context: &'a Context) -> Self {
        Self { args, context }
    }

    /// What a user's text names.
    pub fn parse(&self, given: &str) -> Result<SourceAddress, Failure> {
        SourceAddress::parse(given, &self.args.code_hosts()?).map_err(source::AddressError::into_failure)
    }

    /// Reads a source, wherever it is, with the reader of this command. Standard input is read only when the source is `-`.
    pub fn read(
        &self,
        address: &SourceAddress,
        stdin: impl Read,
        options: &ReadOptions,
    ) -> Result<Source, Failure> {
        let (limits, reader) = (self.context.limits.source, self.context.reader);
        let options = &ReadOptions { limits, reader, ..options.clone() };
        match address {
            SourceAddress::Local(spec) => self.local(spec, stdin, options),
            SourceAddress::Git(address) => {
                self.no_digest("a git source: the full name of the commit says the same, as `#COMMIT`")?;
                self.commit(address, options)
            }
            SourceAddress::Archive(address) => self.archive(address, options),
        }
    }

    fn local(&self, spec: &SourceSpec, stdin: impl Read, options: &ReadOptions) -> Result<Source, Failure> {
        let Some(expected) = self.expected()? else {
            return source::read(spec, stdin, options).map_err(failure);
        };
        match spec {
            SourceSpec::Stdin => self.verified(stdin, "-", &expected, options),
            SourceSpec::Path(path) => {
                let Some(file) = source::open_archive(path).map_err(failure)? else {
                    return Err(self.digest_refusal("a directory"));
                };
                self.verified(file, &path.display().to_string(), &expected, options)
            }
        }
    }

    /// The digest that an archive must have.
    fn expected(&self) -> Result<Option<Digest>, Failure> {
        let Some(given) = self.args.sha256.as_deref() else { return Ok(None) };
        let hex = given.strip_prefix("sha256:").unwrap_or(given).to_ascii_lowercase();
        let digest = format!("sha256:{hex}").parse::<Digest>().ok();
        let digest = digest.filter(|_| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        digest.map(Some).ok_or_else(|| {
            let origin = self.context.origin("sha256");
            Failure::new(
                Exit::NotUnderstood,
                format!("`{origin}` is no SHA-256: it has 64 hexadecimal digits"),
            )
        })
    }

    /// Refuses a digest where there is no archive.
    pub(crate) fn no_digest(&self, what: &str) -> Result<(), Failure> {
        if self.args.sha256.is_none() { Ok(()) } else { Err(self.digest_refusal(what)) }
    }

    fn digest_refusal(&self, what: &str) -> Failure {
        let origin = self.context.origin("sha256");
        Failure::new(Exit::NotUnderstood, format!("`{origin}` is for archives, not for {what}"))
    }

    /// Whether a host may be spoken to by plain http.
    fn permitted(&self, url: &Url, is_loopback: bool) -> Result<(), Failure> {
        if url.scheme() != "http" || is_loopback || is_listed(&self.args.insecure_source, url) {
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default();
        let failure = Failure::new(
            Exit::NotUnderstood,
            format!("the source is fetched by plain http from `{host}`, which anybody on the way can change"),
        );
        Err(failure.hint(format!("use https, or permit it with `--insecure-source {host}`")))
    }

    /// A client for files of web servers.
    fn client(&self) -> Result<Client, Failure> {
        let options = Options {
            insecure: self.args.insecure_source.clone(),
            trust: registry::trust(self.context)?,
            proxies: registry::proxies(self.context),
            ..Options::default()
        };
        Client::new(options)
            .map_err(|cause| registry::failure(cause, "could not prepare to fetch the source"))
    }

    /// A place of its own in the scratch directory.
    fn place(scratch: &Path) -> Result<tempfile::TempDir, Failure> {
        let made = tempfile::Builder::new().prefix("fetch-").tempdir_in(scratch);
        made.map_err(|cause| Failure::io("could not make a scratch directory", cause))
    }

    /// What git could not do, as the failure of a command.
    fn git_failure(&self, cause: GitError, what: &str) -> Failure {
        match cause {
            // Only the signal says how the command ends.
            GitError::Stopped => self.context.stop.failure(),
            cause => cause.into_failure(what),
        }
    }
}

/// A source that could not be read, as the failure of a command.
#[must_use]
pub fn failure(cause: SourceError) -> Failure {
    let what = "could not read the source";
    let exit = match cause {
        SourceError::Git(cause) => return cause.into_failure(what),
        ref cause => match cause.fault() {
            source::Fault::Refused => Exit::Refused,
            source::Fault::NotUnderstood => Exit::NotUnderstood,
            source::Fault::Machine => Exit::Ours,
            source::Fault::Unconfined => Exit::NoIsolation,
        },
    };
    let limit = cause.rule().and_then(limits::exceeded_by_source);
    let failure = Failure::because(exit, what, cause);
    match limit {
        Some(name) => failure.hint(limits::how_to_set(name)),
        None => failure,
    }
}

fn check(expected: Option<&Digest>, found: &Digest, what: &str) -> Result<(), Failure> {
    match expected {
        Some(expected) if expected != found => Err(Failure::new(
            Exit::Refused,
            format!("{what} has the SHA-256 `{}`, not `{}`", found.digest(), expected.digest()),
        )),
        _ => Ok(()),
    }
}
