//! Comparing two commits of a remote: their trees are fetched, and of their files none but those that are asked for.

use super::super::error::{GitError, Why};
use super::super::object::ObjectId;
use super::super::remote::Remote;
use super::Repository;
use super::resolve::no_such_commit;

/// The largest file that is read.
const FILE: u64 = 1 << 20;

/// An entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Its mode, in octal digits.
    pub mode: String,
    /// What it is: `tree`, `blob` or `commit`.
    pub kind: String,
    /// The object.
    pub id: ObjectId,
}

impl Repository<'_> {
    /// The commit of a branch, by its short name, where the remote has it.
    pub fn branch(&self, remote: &Remote, name: &str) -> Result<Option<ObjectId>, GitError> {
        // A pattern matches the end of names, so others may come along.
        let refs = self.list(remote, &[], &[&format!("refs/heads/{name}")])?;
        Ok(refs.branch(name).cloned())
    }

    /// Fetches commits with their trees into this repository, which must be new, and returns them with annotated tags
    /// resolved. Servers that give no single commits are asked for their history.
    pub fn fetch_trees(&self, remote: &Remote, wanted: &[&ObjectId]) -> Result<Vec<ObjectId>, GitError> {
        let names: Vec<&str> = wanted.iter().map(|id| id.as_str()).collect();
        match self.fetch_from(remote, &["--depth=1", "--filter=blob:none"], &names) {
            Ok(()) => {}
            Err(GitError::Failed { why: Why::Unadvertised | Why::NoReference, .. }) => {
                // What did come is the end of a history, and would be taken for the whole of it.
                self.clear()?;
                self.fetch_all(remote, "--filter=blob:none")?;
            }
            Err(error) => return Err(error),
        }
        wanted.iter().map(|id| self.held(remote, id)).collect()
    }

    /// A commit that was fetched, or the error that the remote does not have it.
    fn held(&self, remote: &Remote, id: &ObjectId) -> Result<ObjectId, GitError> {
        self.object(&format!("{id}^{{commit}}")).map_err(|error| match error {
            GitError::Failed { .. } => no_such_commit(remote, id.as_str()),
            error => error,
        })
    }

    /// The paths of all files of a commit that was fetched.
    pub fn paths(&self, commit: &ObjectId) -> Result<Vec<Vec<u8>>, GitError> {
        let words = ["ls-tree", "-r", "-z", "--name-only", "--full-tree", commit.as_str()];
        let doing = format!("list the files of {commit}");
        let bytes = self.run(words.map(str::to_owned).to_vec(), None, &doing, self.git.limits.listing)?;
        Ok(bytes.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec).collect())
    }

    /// The entry of a commit's tree at a path from its root.
    pub fn entry(&self, commit: &ObjectId, path: &[u8]) -> Result<Option<TreeEntry>, GitError> {
        let name = String::from_utf8_lossy(path);
        let doing = format!("look at {commit}");
        let words = ["--literal-pathspecs", "ls-tree", "-z", "--full-tree", commit.as_str(), &name];
        let bytes = self.run(words.map(str::to_owned).to_vec(), None, &doing, FILE)?;
        let malformed = || GitError::Malformed { what: format!("the tree of {commit}") };
        let Some(line) = bytes.split(|byte| *byte == 0).find(|line| !line.is_empty()) else {
            return Ok(None);
        };
        let tab = line.iter().position(|byte| *byte == b'\t').ok_or_else(malformed)?;
        let text = std::str::from_utf8(&line[..tab]).map_err(|_| malformed())?;
        let [mode, kind, id] = text.split(' ').collect::<Vec<_>>()[..] else { return Err(malformed()) };
        let id = id.parse().map_err(|_| malformed())?;
        Ok(Some(TreeEntry { mode: mode.to_owned(), kind: kind.to_owned(), id }))
    }

    /// Fetches one file of a commit whose tree is here, and reads it.
    pub fn file(&self, remote: &Remote, id: &ObjectId) -> Result<Vec<u8>, GitError> {
        if !self.has(id)? {
            self.fetch_from(remote, &[], &[id.as_str()])?;
        }
        let words = ["cat-file", "blob", id.as_str()].map(str::to_owned).to_vec();
        self.run(words, None, &format!("read file {id}"), FILE)
    }

    fn has(&self, id: &ObjectId) -> Result<bool, GitError> {
        match self.run(
            ["cat-file", "-e", id.as_str()].map(str::to_owned).to_vec(),
            None,
            "look for an object",
            0,
        ) {
            Ok(_) => Ok(true),
            Err(GitError::Failed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
