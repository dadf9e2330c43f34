//! The commit that a user means by a text: a reference, a commit, or an expression such as `HEAD~1` on either.

use super::super::error::GitError;
use super::super::object::ObjectId;
use super::super::refs::Refs;
use super::super::remote::{Remote, Transport};
use super::super::revision::{Revision, RevisionError};
use super::{Repository, is_digits, no_such};

/// As many commits back may be named.
const FARTHEST: u32 = 100_000;

/// What a user calls a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    base: Revision,
    /// `~1`, `^2` and their like, and how many commits they lead back.
    back: String,
    steps: u32,
}

impl std::str::FromStr for Expression {
    type Err = RevisionError;

    fn from_str(text: &str) -> Result<Self, RevisionError> {
        let fail = |reason| RevisionError { given: text.escape_debug().to_string(), reason };
        let end = text.find(['~', '^']).unwrap_or(text.len());
        let (base, back) = text.split_at(end);
        let base = base.parse::<Revision>().map_err(|error| fail(error.reason))?;
        let steps = steps(back).ok_or_else(|| fail("of expressions only `~N` and `^N` are known"))?;
        if steps > FARTHEST {
            return Err(fail("it leads back farther than 100000 commits"));
        }
        Ok(Self { base, back: back.to_owned(), steps })
    }
}

/// How many commits an expression leads back.
fn steps(back: &str) -> Option<u32> {
    let mut total = 0_u32;
    let mut rest = back;
    while let Some(sign) = rest.chars().next() {
        let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest[1..].split_at(digits);
        let number: u32 = if number.is_empty() { 1 } else { number.parse().ok()? };
        let count = match sign {
            '~' => number,
            // The second parent is one step away, as the first.
            '^' => number.min(1),
            _ => return None,
        };
        total = total.checked_add(count)?;
        rest = after;
    }
    Some(total)
}

impl Repository<'_> {
    /// The commit that an expression means in a remote. What has to be fetched for that, commits without their trees,
    /// goes into this repository.
    pub fn resolve(&self, remote: &Remote, expression: &Expression) -> Result<ObjectId, GitError> {
        let wanted = format!("{}{}", expression.base, expression.back);
        let refs = match &expression.base {
            Revision::Id(_) => Refs::default(),
            Revision::Head => self.list(remote, &[], &["HEAD"])?,
            Revision::Name(_) if remote.transport() == Transport::File => self.refs(remote)?,
            Revision::Name(_) => self.branches_and_tags(remote)?,
        };
        let base = match &expression.base {
            Revision::Id(id) => Some(id.clone()),
            Revision::Head => refs.head.clone(),
            Revision::Name(name) => named(remote, &refs, name)?,
        };
        match base {
            Some(id) if expression.back.is_empty() => Ok(id),
            Some(id) => self.ancestor(remote, &id, expression, &wanted),
            None if is_digits(&expression.base.to_string()) => {
                self.fetch_all(remote, "--filter=tree:0")?;
                self.object(&format!("{wanted}^{{commit}}")).map_err(|error| match error {
                    GitError::Failed { .. } => no_such_commit(remote, &wanted),
                    error => error,
                })
            }
            None => Err(no_such(remote, &wanted, &refs)),
        }
    }

    fn ancestor(
        &self,
        remote: &Remote,
        id: &ObjectId,
        expression: &Expression,
        wanted: &str,
    ) -> Result<ObjectId, GitError> {
        let depth = format!("--depth={}", expression.steps + 1);
        self.fetch_from(remote, &[&depth, "--filter=tree:0"], &[id.as_str()])?;
        self.object(&format!("{id}{}^{{commit}}", expression.back)).map_err(|error| match error {
            // Its own depth says nothing of that of the remote.
            GitError::Failed { .. } => no_such_commit(remote, wanted),
            error => error,
        })
    }

    /// Fetches the history of all references.
    pub(super) fn fetch_all(&self, remote: &Remote, filter: &str) -> Result<(), GitError> {
        let mut wanted: Vec<String> = ["heads", "tags", "remotes"]
            .map(|kind| format!("+refs/{kind}/*:refs/lapstrake/{kind}/*"))
            .to_vec();
        // A checkout of one commit may have no reference that leads to it.
        wanted.extend(self.list(remote, &[], &["HEAD"])?.head.map(|id| id.to_string()));
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        self.fetch_from(remote, &[filter, "--update-shallow"], &wanted)
    }
}

/// The error that a remote does not have a commit.
pub(super) fn no_such_commit(remote: &Remote, wanted: &str) -> GitError {
    GitError::NoSuchCommit {
        remote: remote.to_string(),
        wanted: wanted.to_owned(),
        shallow: is_shallow(remote),
    }
}

/// Whether a remote on this machine has only the end of its history.
fn is_shallow(remote: &Remote) -> bool {
    let Some(path) = remote.url().to_file_path().ok().filter(|_| remote.transport() == Transport::File)
    else {
        return false;
    };
    [".git/shallow", "shallow"].iter().any(|name| path.join(name).is_file())
}

/// The commit of a reference by its short name, or by that of a remote-tracking branch.
fn named(remote: &Remote, refs: &Refs, name: &str) -> Result<Option<ObjectId>, GitError> {
    let mut found = refs.meanings(name);
    let tracking = format!("refs/remotes/{name}");
    if found.is_empty() {
        found.extend(refs.names.get_key_value(&tracking).map(|(name, _)| name.as_str()));
    }
    let mut commits: Vec<&ObjectId> = found.iter().filter_map(|name| refs.names.get(*name)).collect();
    commits.dedup();
    match commits[..] {
        [] => Ok(None),
        [id] => Ok(Some(id.clone())),
        _ => Err(GitError::Ambiguous {
            remote: remote.to_string(),
            wanted: name.to_owned(),
            found: found.iter().map(ToString::to_string).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_lead_back_from_a_reference_or_a_commit() {
        for (text, base, count) in [
            ("main", "main", 0),
            ("HEAD", "HEAD", 0),
            ("HEAD~1", "HEAD", 1),
            ("HEAD~", "HEAD", 1),
            ("HEAD^", "HEAD", 1),
            ("v1^2~3", "v1", 4),
            ("origin/main~10^0", "origin/main", 10),
            ("abc1234~~", "abc1234", 2),
        ] {
            let expression: Expression = text.parse().unwrap();
            assert_eq!((expression.base.to_string().as_str(), expression.steps), (base, count), "{text}");
        }
    }

    #[test]
    fn other_expressions_are_refused() {
        for bad in [
            "",
            "~1",
            "^main",
            "main..next",
            "main@{1}",
            "HEAD^{tree}",
            "HEAD~x",
            "HEAD^-",
            "-x~1",
            "HEAD~100001",
            "HEAD~99999999999",
        ] {
            assert!(bad.parse::<Expression>().is_err(), "{bad}");
        }
    }
}
