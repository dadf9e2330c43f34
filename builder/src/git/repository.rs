//! A repository of our own, into which one commit after the other may be fetched.

mod compare;
mod resolve;

use std::path::{Path, PathBuf};
use std::process::ChildStdout;

use super::error::{GitError, Why, said};
use super::object::{Commit, ObjectId};
use super::process::{Job, read_all};
use super::refs::Refs;
use super::remote::{Remote, Transport};
use super::revision::Revision;
use super::{Git, environment};

pub use compare::TreeEntry;
pub use resolve::Expression;

/// Where the reference that was fetched last is kept.
const FETCHED: &str = "refs/lapstrake/fetched";
/// The fewest digits that stand for a commit.
const FEWEST_DIGITS: usize = 7;
/// The largest commit that is read.
const COMMIT: u64 = 1 << 20;
/// What answers for a repository on this machine. Whoever owns it: git's rule on owners is there for the settings and
/// hooks of a repository, and of those this one program obeys none that run anything. It may leave files out.
const UPLOAD_PACK: &str = "--upload-pack=git -c safe.directory=* -c uploadpack.allowFilter=true upload-pack";

/// A bare repository with our settings, no hooks and no templates.
pub struct Repository<'g> {
    git: &'g Git,
    directory: PathBuf,
}

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The commit.
    pub commit: Commit,
    /// The full name of the reference that named it, where one did.
    pub name: Option<String>,
    /// What took longer than it should have, and why.
    pub note: Option<String>,
}

impl<'g> Repository<'g> {
    /// Makes it by hand, so that no template of the machine has a say.
    pub(super) fn create(git: &'g Git, directory: PathBuf) -> Result<Self, GitError> {
        lay_out(&directory).map_err(|source| GitError::Io {
            doing: format!("make a repository at `{}`", directory.display()),
            source,
        })?;
        Ok(Self { git, directory })
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The branches and tags of a remote, and its `HEAD`.
    pub fn refs(&self, remote: &Remote) -> Result<Refs, GitError> {
        self.list(remote, &[], &[])
    }

    /// The branches and tags of a remote alone: servers can leave out the rest, which may be much more.
    pub fn branches_and_tags(&self, remote: &Remote) -> Result<Refs, GitError> {
        self.list(remote, &["--heads", "--tags"], &[])
    }

    /// Lists references of the kinds that options name, and of those whose full names end in a pattern, if any is given.
    fn list(&self, remote: &Remote, kinds: &[&str], patterns: &[&str]) -> Result<Refs, GitError> {
        let doing = format!("list the references of {remote}");
        let words =
            ["ls-remote", "--quiet", "--symref"].iter().chain(kinds).chain(upload_pack(remote)).copied();
        let words = words.chain(["--end-of-options", remote.address()]).chain(patterns.iter().copied());
        let arguments = words.map(str::to_owned).collect();
        let listing = self.run(arguments, Some(remote), &doing, self.git.limits.listing)?;
        Ok(Refs::parse(&String::from_utf8_lossy(&listing)))
    }

    /// Fetches one state of a remote: its one commit, without the history where the server allows that.
    pub fn fetch(&self, remote: &Remote, revision: &Revision) -> Result<Fetched, GitError> {
        match revision {
            Revision::Head => self.fetch_reference(remote, "HEAD", "HEAD"),
            Revision::Name(name) if name.starts_with("refs/") => self.fetch_reference(remote, name, name),
            Revision::Name(name) => self.fetch_name(remote, name),
            Revision::Id(id) => self.fetch_object(remote, id, id.as_str()),
        }
    }

    fn fetch_name(&self, remote: &Remote, name: &str) -> Result<Fetched, GitError> {
        let refs = self.branches_and_tags(remote)?;
        let meanings = refs.meanings(name);
        let mut commits: Vec<&ObjectId> = meanings.iter().filter_map(|name| refs.names.get(*name)).collect();
        commits.dedup();
        match (meanings.first(), commits.len()) {
            (Some(full), 1) => self.fetch_reference(remote, full, name),
            (Some(_), _) => Err(GitError::Ambiguous {
                remote: remote.to_string(),
                wanted: name.to_owned(),
                found: meanings.iter().map(ToString::to_string).collect(),
            }),
            (None, _) if is_digits(name) => self.fetch_digits(remote, &refs, name),
            (None, _) => Err(no_such(remote, name, &refs)),
        }
    }

    fn fetch_reference(&self, remote: &Remote, full: &str, wanted: &str) -> Result<Fetched, GitError> {
        let refspec = format!("+{full}:{FETCHED}");
        match self.fetch_from(remote, &["--depth=1"], &[&refspec]) {
            Ok(()) => {
                let name = (full != "HEAD").then(|| full.to_owned());
                Ok(Fetched { commit: self.commit_of(FETCHED, wanted, remote)?, name, note: None })
            }
            Err(GitError::Failed { why: Why::NoReference, .. }) => {
                let refs = self.branches_and_tags(remote)?;
                Err(no_such(remote, wanted, &refs))
            }
            Err(error) => Err(error),
        }
    }

    /// Fetches an object by its name, or the whole history where the server does not give single objects.
    fn fetch_object(&self, remote: &Remote, id: &ObjectId, wanted: &str) -> Result<Fetched, GitError> {
        let refspec = format!("+{id}:{FETCHED}");
        match self.fetch_from(remote, &["--depth=1"], &[&refspec]) {
            Ok(()) => {
                Ok(Fetched { commit: self.commit_of(FETCHED, wanted, remote)?, name: None, note: None })
            }
            Err(GitError::Failed { why: Why::Unadvertised | Why::NoReference, .. }) => {
                self.fetch_history(remote, &[])?;
                let commit = self.commit_of(id.as_str(), wanted, remote)?;
                let note = format!("{remote} gives no single commits, so its whole history was fetched");
                Ok(Fetched { commit, name: None, note: Some(note) })
            }
            Err(error) => Err(error),
        }
    }

    /// Finds a commit by its first digits: among the references, else in the history.
    fn fetch_digits(&self, remote: &Remote, refs: &Refs, digits: &str) -> Result<Fetched, GitError> {
        let named = refs.beginning_with(digits);
        if let [id] = named[..] {
            return self.fetch_object(remote, id, digits);
        }
        // Commits alone are enough to find it, and servers that cannot leave out the rest send all. They have a place of
        // their own: of what is here already git fetches nothing more.
        let history = Self::create(self.git, self.directory.join("history"))?;
        history.fetch_history(remote, &["--filter=tree:0"])?;
        let commit = history.object(&format!("{digits}^{{commit}}"));
        let id = commit.map_err(|error| match error {
            GitError::Failed { said, .. } if said.contains("ambiguous") => GitError::Ambiguous {
                remote: remote.to_string(),
                wanted: digits.to_owned(),
                found: vec!["the first digits of several objects".to_owned()],
            },
            GitError::Failed { .. } => no_such(remote, digits, refs),
            error => error,
        })?;
        let found = self.fetch_object(remote, &id, digits)?;
        let note =
            format!("the history of {remote} was fetched to find `{digits}`; the full name needs none of it");
        Ok(Fetched { note: found.note.or(Some(note)), ..found })
    }

    fn fetch_history(&self, remote: &Remote, more: &[&str]) -> Result<(), GitError> {
        let all = ["+refs/heads/*:refs/lapstrake/heads/*", "+refs/tags/*:refs/lapstrake/tags/*"];
        self.fetch_from(remote, more, &all)
    }

    fn fetch_from(&self, remote: &Remote, how: &[&str], refspecs: &[&str]) -> Result<(), GitError> {
        let doing = format!("fetch from {remote}");
        let fixed = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"];
        let words = fixed.iter().chain(how).chain(upload_pack(remote)).copied();
        let words = words.chain(["--end-of-options", remote.address()]);
        let arguments: Vec<String> = words.chain(refspecs.iter().copied()).map(str::to_owned).collect();
        match self.run(arguments.clone(), Some(remote), &doing, COMMIT) {
            Err(GitError::Failed { why: Why::Format, .. }) if self.is_new() => {
                self.use_sha256()?;
                self.run(arguments, Some(remote), &doing, COMMIT).map(drop)
            }
            outcome => outcome.map(drop),
        }
    }

    /// Makes it new again.
    fn clear(&self) -> Result<(), GitError> {
        let cleared = fs_err::remove_dir_all(&self.directory).and_then(|()| lay_out(&self.directory));
        cleared.map_err(|source| GitError::Io {
            doing: format!("clear the repository at `{}`", self.directory.display()),
            source,
        })
    }

    fn is_new(&self) -> bool {
        !self.directory.join("objects/pack").exists()
    }

    /// Objects are named by SHA-256 from now on.
    fn use_sha256(&self) -> Result<(), GitError> {
        let text =
            "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n";
        fs_err::write(self.directory.join("config"), text).map_err(|source| GitError::Io {
            doing: format!("change the repository at `{}`", self.directory.display()),
            source,
        })
    }

    /// The commit that a reference or an object of this repository leads to.
    fn commit_of(&self, name: &str, wanted: &str, remote: &Remote) -> Result<Commit, GitError> {
        let id = self.object(&format!("{name}^{{commit}}")).map_err(|error| match error {
            GitError::Failed { .. } => GitError::NoSuchRevision {
                remote: remote.to_string(),
                wanted: wanted.to_owned(),
                near: Vec::new(),
            },
            error => error,
        })?;
        self.commit(&id)
    }

    /// What a commit says of itself.
    pub fn commit(&self, id: &ObjectId) -> Result<Commit, GitError> {
        let arguments = ["cat-file", "commit", id.as_str()].map(str::to_owned).to_vec();
        let bytes = self.run(arguments, None, &format!("read commit {id}"), COMMIT)?;
        Commit::parse(id.clone(), &bytes)
    }

    /// The paths of files that differ between two commits that were fetched, sorted.
    pub fn changed_paths(&self, from: &ObjectId, to: &ObjectId) -> Result<Vec<Vec<u8>>, GitError> {
        let options = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", "--ignore-submodules=none"];
        let words = options.iter().copied().chain(["--end-of-options", from.as_str(), to.as_str()]);
        let doing = format!("compare {from} with {to}");
        let bytes = self.run(words.map(str::to_owned).collect(), None, &doing, self.git.limits.listing)?;
        let mut paths: Vec<Vec<u8>> =
            bytes.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec).collect();
        paths.sort_unstable();
        Ok(paths)
    }

    fn object(&self, name: &str) -> Result<ObjectId, GitError> {
        let words = ["rev-parse", "--verify", "--quiet", name];
        let bytes = self.run(words.map(str::to_owned).to_vec(), None, &format!("find {name}"), 4096)?;
        let text = String::from_utf8_lossy(&bytes);
        text.trim().parse().map_err(|_| GitError::Malformed { what: format!("the name of {name}") })
    }

    /// A setting that a file gives, without those that it includes.
    pub(super) fn setting_of(&self, file: &Path, key: &str) -> Result<Option<String>, GitError> {
        let file = format!("--file={}", file.display());
        let words = ["config", "--no-includes", &file, "--default=", "--get", key];
        let bytes = self.run(words.map(str::to_owned).to_vec(), None, "read settings", 4096)?;
        let value = String::from_utf8_lossy(&bytes).trim().to_owned();
        Ok((!value.is_empty()).then_some(value))
    }

    /// Runs git in this repository and returns all that it writes, up to a limit.
    fn run(
        &self,
        arguments: Vec<String>,
        remote: Option<&Remote>,
        doing: &str,
        limit: u64,
    ) -> Result<Vec<u8>, GitError> {
        Self::handle(self.job(arguments, remote, Vec::new(), doing), remote, |stdout| {
            read_all(stdout, limit, doing)
        })
    }

    /// Runs git on what is in this repository, and hands its output over as it comes.
    pub(super) fn stream<T, E: From<GitError>>(
        &self,
        arguments: Vec<String>,
        input: Vec<u8>,
        doing: &str,
        consume: impl FnOnce(&mut ChildStdout) -> Result<T, E>,
    ) -> Result<T, E> {
        Self::handle(self.job(arguments, None, input, doing), None, consume)
    }

    fn handle<T, E: From<GitError>>(
        job: Job<'_>,
        remote: Option<&Remote>,
        consume: impl FnOnce(&mut ChildStdout) -> Result<T, E>,
    ) -> Result<T, E> {
        let doing = job.doing.to_owned();
        let ended = job.run(consume)?;
        let said = said(&ended.complaints, remote);
        match ended.output {
            Ok(output) if ended.success => Ok(output),
            // Git's own reason says more than that its output ended too early.
            Err(error) if !said.contains("fatal: ") => Err(error),
            _ => Err(GitError::Failed { doing, why: Why::of(&said), said }.into()),
        }
    }

    fn job<'j>(
        &'j self,
        arguments: Vec<String>,
        remote: Option<&Remote>,
        input: Vec<u8>,
        doing: &'j str,
    ) -> Job<'j> {
        let place = format!("--git-dir={}", self.directory.display());
        let front = std::iter::once(place).chain(environment::settings().map(str::to_owned));
        Job {
            arguments: front.chain(arguments).collect(),
            env: &self.git.env,
            more_env: match remote {
                Some(remote) => environment::of_remote(remote, &self.git.env),
                // Nothing that is read here may be fetched from elsewhere.
                None => vec![("GIT_ALLOW_PROTOCOL".to_owned(), String::new())],
            },
            input,
            directory: &self.directory,
            limits: self.git.limits,
            stop: &self.git.stop,
            doing,
        }
    }
}

/// How git is told what answers for a remote, where that is for us to say.
fn upload_pack(remote: &Remote) -> &'static [&'static str] {
    if remote.transport() == Transport::File { &[UPLOAD_PACK] } else { &[] }
}

fn lay_out(directory: &Path) -> std::io::Result<()> {
    fs_err::create_dir_all(directory.join("objects"))?;
    fs_err::create_dir_all(directory.join("refs"))?;
    fs_err::write(directory.join("HEAD"), "ref: refs/heads/none\n")?;
    fs_err::write(directory.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
}

fn is_digits(text: &str) -> bool {
    (FEWEST_DIGITS..64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn no_such(remote: &Remote, wanted: &str, refs: &Refs) -> GitError {
    GitError::NoSuchRevision {
        remote: remote.to_string(),
        wanted: wanted.to_owned(),
        near: refs.near(wanted),
    }
}
