//! What this machine has seen of published catalogs, so that none of them goes back unnoticed.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use lapstrake_catalog::PastRevision;
use oci_spec::image::Digest;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::failure::{Exit, Failure};

/// The form of the file.
const SCHEMA: u32 = 1;

/// A catalog as it is seen now.
pub(super) struct Sight<'a> {
    /// The repository and the tag, where that is one that moves.
    pub at: Option<String>,
    /// The catalog's name.
    pub name: &'a str,
    /// The number of the revision.
    pub revision: u64,
    /// The digest of its image index.
    pub digest: &'a Digest,
    /// Its earlier revisions.
    pub history: &'a [PastRevision],
}

/// How a catalog contradicts what was seen before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trespass {
    /// A tag names an earlier revision than before.
    Older { at: String, revision: u64, seen: u64 },
    /// A revision has another digest than before.
    Rewritten { name: String, revision: u64, was: Digest },
    /// A tag names another catalog than before.
    Other { at: String, name: String, was: String },
}

impl Trespass {
    /// The newer revision that was seen.
    pub(super) fn newest(&self) -> Option<u64> {
        match self {
            Self::Older { seen, .. } => Some(*seen),
            _ => None,
        }
    }
}

impl fmt::Display for Trespass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Older { at, revision, seen } => {
                write!(f, "`{at}` is revision {revision}, and revision {seen} was seen there before")
            }
            Self::Rewritten { name, revision, was } => {
                write!(f, "revision {revision} of `{name}` was rewritten: it was seen as `{was}`")
            }
            Self::Other { at, name, was } => write!(f, "`{at}` is the catalog `{name}`, and was `{was}`"),
        }
    }
}

/// What was seen.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    schema: u32,
    /// What tags named, by repository and tag.
    tags: BTreeMap<String, Tag>,
    /// The digests of revisions, by the catalog's name.
    revisions: BTreeMap<String, BTreeMap<u64, Digest>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tag {
    name: String,
    revision: u64,
}

impl Seen {
    fn trespass(&self, sight: &Sight<'_>) -> Option<Trespass> {
        let known = self.revisions.get(sight.name);
        let is_other = |revision: u64, digest: &Digest| {
            let was = known?.get(&revision).filter(|was| *was != digest)?;
            Some(Trespass::Rewritten { name: sight.name.to_owned(), revision, was: was.clone() })
        };
        let here = is_other(sight.revision, sight.digest);
        let earlier = || sight.history.iter().find_map(|past| is_other(past.revision, &past.digest));
        here.or_else(earlier).or_else(|| {
            let at = sight.at.clone()?;
            let tag = self.tags.get(&at)?;
            if tag.name != sight.name {
                return Some(Trespass::Other { at, name: sight.name.to_owned(), was: tag.name.clone() });
            }
            let (revision, seen) = (sight.revision, tag.revision);
            (revision < seen).then_some(Trespass::Older { at, revision, seen })
        })
    }

    /// Remembers; says whether that was news.
    fn take(&mut self, sight: &Sight<'_>) -> bool {
        let (name, revision) = (sight.name.to_owned(), sight.revision);
        let revisions = self.revisions.entry(name.clone()).or_default();
        let mut is_news = revisions.insert(revision, sight.digest.clone()).is_none();
        if let Some(at) = &sight.at {
            let tag = Tag { name, revision };
            is_news |= self.tags.insert(at.clone(), tag.clone()) != Some(tag);
        }
        is_news
    }
}

/// The file in which it is kept.
pub(super) struct Memory {
    file: PathBuf,
}

impl Memory {
    /// That of a data directory.
    pub(super) fn at(data_dir: &Path) -> Self {
        Self { file: data_dir.join("catalogs-seen.json") }
    }

    /// Compares a catalog with what was seen before, and remembers it where that does not contradict it. A look that is
    /// not to leave anything behind needs no place that can be written to.
    pub(super) fn see(&self, sight: &Sight<'_>, keeps: bool) -> Result<Option<Trespass>, Failure> {
        if !keeps {
            return Ok(self.read()?.trespass(sight));
        }
        // Most catalogs were seen before: no lock is taken for them.
        let mut seen = self.read()?;
        if let Some(trespass) = seen.trespass(sight) {
            return Ok(Some(trespass));
        }
        if !seen.take(sight) {
            return Ok(None);
        }
        let failed = |cause| Failure::io("could not remember what was seen of the catalog", cause);
        let directory = self.file.parent().unwrap_or(Path::new("/"));
        fs_err::create_dir_all(directory).map_err(failed)?;
        let lock = fs_err::File::create(self.file.with_extension("lock")).map_err(failed)?;
        flock(lock.file(), FlockOperation::LockExclusive).map_err(|cause| failed(cause.into()))?;
        let mut seen = self.read()?;
        if let Some(trespass) = seen.trespass(sight) {
            return Ok(Some(trespass));
        }
        seen.take(sight);
        let text = serde_json::to_vec(&Seen { schema: SCHEMA, ..seen })
            .map_err(|cause| Failure::because(Exit::Ours, "could not remember the catalog", cause))?;
        let mut new = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
        new.write_all(&text).and_then(|()| new.as_file().sync_data()).map_err(failed)?;
        new.persist(&self.file).map_err(|cause| failed(cause.error))?;
        Ok(None)
    }

    fn read(&self) -> Result<Seen, Failure> {
        let unusable =
            |failure: Failure| failure.hint(format!("remove `{}` to begin anew", self.file.display()));
        let text = match fs_err::read(&self.file) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Seen::default()),
            Err(cause) => return Err(Failure::io("could not read what was seen of catalogs", cause)),
        };
        let seen: Seen = serde_json::from_slice(&text).map_err(|cause| {
            let what = "what was seen of catalogs is not understood";
            unusable(Failure::because(Exit::Ours, what, cause))
        })?;
        if seen.schema != SCHEMA {
            let what = format!("what was seen of catalogs has the form {}", seen.schema);
            return Err(unusable(Failure::new(Exit::Ours, what)));
        }
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapstrake_oci::document::sha256_of;

    fn digest(text: &str) -> Digest {
        sha256_of(text.as_bytes())
    }

    fn past(revision: u64, text: &str) -> PastRevision {
        PastRevision { revision, digest: digest(text), created: jiff::Timestamp::UNIX_EPOCH }
    }

    fn see(memory: &Memory, at: Option<&str>, revision: u64, text: &str) -> Option<Trespass> {
        see_with(memory, at, (revision, text), &[])
    }

    fn see_with(
        memory: &Memory,
        at: Option<&str>,
        (revision, text): (u64, &str),
        history: &[PastRevision],
    ) -> Option<Trespass> {
        let digest = digest(text);
        let at = at.map(str::to_owned);
        memory.see(&Sight { at, name: "example.com/c", revision, digest: &digest, history }, true).unwrap()
    }

    #[test]
    fn a_tag_never_goes_back_and_others_do_not_matter() {
        let directory = tempfile::tempdir().unwrap();
        let memory = Memory::at(&directory.path().join("data"));
        assert_eq!(see(&memory, Some("c:candidate"), 5, "five"), None);
        assert_eq!(see(&memory, Some("c:latest"), 4, "four"), None);
        assert_eq!(see(&memory, Some("c:latest"), 4, "four"), None);
        assert_eq!(see(&memory, None, 2, "two"), None);
        let older = see(&memory, Some("c:latest"), 3, "three").unwrap();
        assert_eq!(older.to_string(), "`c:latest` is revision 3, and revision 4 was seen there before");
        // What was refused is not remembered.
        assert_eq!(see(&memory, None, 3, "other three"), None);
        assert_eq!(see(&memory, Some("c:latest"), 5, "five"), None);
    }

    #[test]
    fn a_revision_is_never_rewritten_also_in_a_history() {
        let directory = tempfile::tempdir().unwrap();
        let memory = Memory::at(directory.path());
        assert_eq!(see(&memory, Some("c:latest"), 4, "four"), None);
        let rewritten = see(&memory, None, 4, "other").unwrap();
        assert!(rewritten.to_string().starts_with("revision 4 of `example.com/c` was rewritten"));
        let history = [past(4, "other"), past(3, "three")];
        assert!(see_with(&memory, Some("c:latest"), (5, "five"), &history).is_some());
        assert_eq!(see_with(&memory, Some("c:latest"), (5, "five"), &[past(4, "four")]), None);
    }

    #[test]
    fn another_catalog_under_a_tag_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let memory = Memory::at(directory.path());
        assert_eq!(see(&memory, Some("c:latest"), 4, "four"), None);
        let digest = digest("other");
        let other = Sight {
            at: Some("c:latest".to_owned()),
            name: "example.com/other",
            revision: 9,
            digest: &digest,
            history: &[],
        };
        let found = memory.see(&other, true).unwrap().unwrap();
        assert_eq!(
            found.to_string(),
            "`c:latest` is the catalog `example.com/other`, and was `example.com/c`"
        );
    }

    #[test]
    fn a_look_leaves_nothing_behind_and_a_broken_memory_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let memory = Memory::at(&data);
        let digest = digest("four");
        let sight = Sight { at: None, name: "c", revision: 4, digest: &digest, history: &[] };
        assert_eq!(memory.see(&sight, false).unwrap(), None);
        assert!(!data.exists());
        assert_eq!(memory.see(&sight, true).unwrap(), None);
        fs_err::write(&memory.file, "{").unwrap();
        let failure = memory.see(&sight, false).unwrap_err();
        assert!(failure.hint.unwrap().starts_with("remove `"));
    }
}
