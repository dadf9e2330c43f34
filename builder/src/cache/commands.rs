//! What build commands have read and made.
//!
//! A command is looked up in two steps. Its *circumstances* are everything that it could see without reading a file of
//! `/app`: they name the sets of files that it has read under the same ones before. One of those sets, with the contents
//! that its files have now, is the *key* of what the command has made.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use lapstrake_oci::tree::{Content, ContentDigest, FileTree, Kind as NodeKind, Node, Owner, TreePath};
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

use super::{KeptLayer, Key};
use crate::fetched::FetchedReport;
use crate::needs::Fact;
use crate::state::State;

/// The form of keys and entries. A change of what commands run on or of what is kept of them is a new number.
const FORM: &str = "2";

/// How many sets of files are kept for the same circumstances.
const SETS: usize = 8;

/// Everything that a command could see without reading a file of `/app`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// What each of them is about, in words that go on with "has changed", and its value or a hash of it.
    fields: Vec<(&'static str, String)>,
    /// The names in `/app`, as [`State::names`] gives them.
    names: Vec<Vec<u8>>,
}

impl Circumstances {
    /// Circumstances of fields and names.
    #[must_use]
    pub fn new(fields: Vec<(&'static str, String)>, names: Vec<Vec<u8>>) -> Self {
        Self { fields, names }
    }

    /// What the sets of files are found by that were read under the same circumstances.
    #[must_use]
    pub fn key(&self) -> Key {
        let mut parts: Vec<&[u8]> = vec![b"circumstances", FORM.as_bytes()];
        for (name, value) in &self.fields {
            parts.extend([name.as_bytes(), value.as_bytes()]);
        }
        parts.push(b"names");
        parts.extend(self.names.iter().map(Vec::as_slice));
        Key::of(&parts)
    }

    /// What is to be remembered of them, to say another time what has changed.
    #[must_use]
    pub fn remembered(&self) -> Remembered {
        let fields = self.fields.iter();
        Remembered {
            fields: fields.map(|(name, value)| ((*name).to_owned(), hash(value.as_bytes()))).collect(),
            names: self.names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
        }
    }

    /// The first thing that has changed since the circumstances that are remembered.
    #[must_use]
    pub fn changed_since(&self, before: &Remembered) -> Option<String> {
        for (name, value) in &self.fields {
            if before.fields.get(*name).is_none_or(|known| *known != hash(value.as_bytes())) {
                return Some(format!("{name} has changed"));
            }
        }
        let now = self.remembered().names;
        let path = |line: &String| {
            let path = line.splitn(3, ' ').nth(2).unwrap_or_default();
            path.split('\0').next().unwrap_or_default().to_owned()
        };
        let (new, gone) = (now.difference(&before.names).map(path), before.names.difference(&now).map(path));
        let (new, gone): (BTreeSet<String>, BTreeSet<String>) = (new.collect(), gone.collect());
        if let Some(other) = new.intersection(&gone).next() {
            return Some(format!("`{other}` is of another kind or has another mode"));
        }
        let new = new.first().map(|path| format!("`{path}` is new"));
        new.or_else(|| gone.first().map(|path| format!("`{path}` is gone")))
    }
}

/// Circumstances under which a command has run, as far as they are remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    fields: BTreeMap<String, String>,
    names: BTreeSet<String>,
}

/// The files that a command has read, with the digests of their contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadSet {
    /// Files of `/app`.
    files: BTreeMap<String, String>,
    /// All files of git, where one of them was read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    git: Option<Digest>,
    /// All of `/app`, where it could not be told what was read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    all: Option<Digest>,
}

/// The sets of files that were read under the same circumstances, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadSets(Vec<ReadSet>);

impl ReadSet {
    /// All of `/app`.
    pub fn everything(state: &State) -> io::Result<Self> {
        let all = state.app_digest().map_err(|cause| crate::state::unreadable(&cause))?;
        Ok(Self { all: Some(all), ..Self::default() })
    }

    /// Some files of `/app`; none when a path is no text.
    pub fn of(state: &State, read: &BTreeSet<TreePath>) -> io::Result<Option<Self>> {
        let mut set = Self::default();
        for path in read {
            if crate::source::in_git(path) {
                if set.git.is_none() {
                    set.git = Some(state.git_digest().map_err(|cause| crate::state::unreadable(&cause))?);
                }
                continue;
            }
            let (Ok(text), Some(content)) = (std::str::from_utf8(path.as_bytes()), state.content(path))
            else {
                return Ok(None);
            };
            set.files.insert(text.to_owned(), content.digest()?.to_string());
        }
        Ok(Some(set))
    }

    /// The same files with the contents that they have in another state; none when a file is not there.
    pub fn now(&self, state: &State) -> io::Result<Option<Self>> {
        let mut now = Self::default();
        for text in self.files.keys() {
            let content = TreePath::new(text).ok().and_then(|path| state.content(&path).cloned());
            let Some(content) = content else { return Ok(None) };
            now.files.insert(text.clone(), content.digest()?.to_string());
        }
        if self.git.is_some() {
            now.git = Some(state.git_digest().map_err(|cause| crate::state::unreadable(&cause))?);
        }
        if self.all.is_some() {
            now.all = Some(state.app_digest().map_err(|cause| crate::state::unreadable(&cause))?);
        }
        Ok(Some(now))
    }

    /// What a command's result is found by.
    #[must_use]
    pub fn key(&self, circumstances: &Key) -> Key {
        let mut parts: Vec<&[u8]> = vec![b"command", FORM.as_bytes(), circumstances.as_str().as_bytes()];
        for (path, digest) in &self.files {
            parts.extend([path.as_bytes(), digest.as_bytes()]);
        }
        for (name, digest) in [(b"git", &self.git), (b"all", &self.all)] {
            if let Some(digest) = digest {
                parts.extend([name.as_slice(), digest.as_ref().as_bytes()]);
            }
        }
        Key::of(&parts)
    }

    /// The first thing that differs from what was read before.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Option<String> {
        let changed = self.files.iter().find(|(path, digest)| before.files.get(*path) != Some(digest));
        changed.map(|(path, _)| format!("`{path}` has changed")).or_else(|| {
            let git = (self.git != before.git).then(|| "the repository has changed".to_owned());
            git.or_else(|| (self.all != before.all).then(|| "a file has changed".to_owned()))
        })
    }
}

impl ReadSets {
    /// Each set.
    pub fn iter(&self) -> impl Iterator<Item = &ReadSet> {
        self.0.iter()
    }

    /// Adds a set in front. One that holds the same files with other contents makes room for it.
    pub fn add(&mut self, set: ReadSet) {
        let same = |other: &ReadSet| {
            other.files.keys().eq(set.files.keys())
                && (other.git.is_some(), other.all.is_some()) == (set.git.is_some(), set.all.is_some())
        };
        self.0.retain(|other| !same(other));
        self.0.insert(0, set);
        self.0.truncate(SETS);
    }
}

/// What a command has made of the state that it ran on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// What is new or changed in `/app`.
    app: Vec<Entry>,
    /// What is gone from there.
    gone: Vec<String>,
    /// Everything outside of `/app` that differs from the layers below.
    outside: Vec<Entry>,
    /// The directories there that hide what lower layers have in them.
    opaque: Vec<String>,
    /// `/tmp`.
    temporary: Vec<Entry>,
    /// What the files are, by their paths in the image.
    facts: BTreeMap<String, Fact>,
    /// Layers that have the contents.
    pub blobs: Vec<KeptLayer>,
    /// What it has fetched.
    pub fetched: Vec<FetchedReport>,
}

/// A path, its permission bits, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry(String, u32, What);

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    #[serde(rename = "d")]
    Directory,
    /// The digest of its content and its length.
    #[serde(rename = "f")]
    File(String, u64),
    #[serde(rename = "l")]
    Symlink(String),
    #[serde(rename = "h")]
    Hardlink(String),
    #[serde(rename = "w")]
    Whiteout,
}

impl Made {
    /// What a command made of `before`; `changed` are the paths of `/app` that are not as they were. None when something
    /// of it has a name that is no text. The digests of all contents are known.
    #[must_use]
    pub fn of(before: &State, after: &State, changed: &BTreeSet<TreePath>) -> Option<Self> {
        let is_changed = |path: &TreePath| changed.contains(path);
        let app =
            after.app.iter().filter(|(path, _)| is_changed(path)).map(|(path, node)| Entry::of(path, node));
        let gone = before.app.iter().filter(|(path, _)| after.app.get(path).is_none());
        let entries =
            |tree: &FileTree| tree.iter().map(|(path, node)| Entry::of(path, node)).collect::<Option<_>>();
        let facts = after.facts.iter().filter_map(|(path, fact)| Some((text(path), fact.clone()?)));
        Some(Self {
            app: app.collect::<Option<_>>()?,
            gone: gone.map(|(path, _)| text(path)).collect::<Option<_>>()?,
            outside: entries(&after.outside.tree)?,
            opaque: after.outside.opaque.iter().map(text).collect::<Option<_>>()?,
            temporary: entries(&after.temporary)?,
            facts: facts.map(|(path, fact)| Some((path?, fact))).collect::<Option<_>>()?,
            blobs: Vec::new(),
            fetched: Vec::new(),
        })
    }

    /// The same, with what was fetched for it.
    #[must_use]
    pub fn having(self, fetched: Vec<FetchedReport>) -> Self {
        Self { fetched, ..self }
    }

    /// Whether what is said to have been fetched is what this program writes.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.fetched.iter().all(FetchedReport::is_sound)
    }

    /// The contents of all files.
    pub fn contents(&self) -> impl Iterator<Item = ContentDigest> {
        let entries = [&self.app, &self.outside, &self.temporary];
        entries.into_iter().flatten().filter_map(|entry| match &entry.2 {
            What::File(digest, _) => digest.parse().ok(),
            _ => None,
        })
    }

    /// The state that the command makes of another one in which everything that it reads is the same. Contents that are
    /// new in it are known, and not here. None when an entry is not what this program writes.
    #[must_use]
    pub fn applied(&self, before: State) -> Option<State> {
        let mut after = State { facts: before.facts, app: before.app, ..State::default() };
        for path in &self.gone {
            let path = TreePath::new(path).ok()?;
            after.app.remove(&path);
            after.facts.remove(&in_app(&path)?);
        }
        for entry in &self.app {
            let (path, node) = entry.node()?;
            let of_image = in_app(&path)?;
            if let NodeKind::File(_) = node.kind {
                let fact =
                    std::str::from_utf8(of_image.as_bytes()).ok().and_then(|text| self.facts.get(text));
                after.facts.insert(of_image, fact.cloned());
            } else {
                after.facts.remove(&of_image);
            }
            after.app.insert(path, node);
        }
        let is_of_app = |path: &TreePath| path.components().next() == Some(b"app");
        after.facts.retain(|path, _| is_of_app(path));
        for entry in &self.outside {
            let (path, node) = entry.node()?;
            if let NodeKind::File(_) = node.kind {
                after.facts.insert(path.clone(), self.facts.get(&entry.0).cloned());
            }
            after.outside.tree.insert(path, node);
        }
        after.outside.opaque =
            self.opaque.iter().map(|path| TreePath::new(path).ok()).collect::<Option<_>>()?;
        after.temporary = self.temporary.iter().map(Entry::node).collect::<Option<_>>()?;
        Some(after)
    }
}

/// The path in the image of a path of `/app`.
#[must_use]
pub fn in_app(path: &TreePath) -> Option<TreePath> {
    TreePath::new([b"app/", path.as_bytes()].concat()).ok()
}

impl Entry {
    fn of(path: &TreePath, node: &Node) -> Option<Self> {
        let what = match &node.kind {
            NodeKind::Directory => What::Directory,
            NodeKind::File(content) => What::File(content.known_digest()?.to_string(), content.len()),
            NodeKind::Symlink(target) => What::Symlink(String::from_utf8(target.clone()).ok()?),
            NodeKind::Hardlink(target) => What::Hardlink(text(target)?),
            NodeKind::Whiteout => What::Whiteout,
        };
        Some(Self(text(path)?, node.mode, what))
    }

    fn node(&self) -> Option<(TreePath, Node)> {
        let Self(path, mode, what) = self;
        let kind = match what {
            What::Directory => NodeKind::Directory,
            What::File(digest, len) => NodeKind::File(Content::elsewhere(digest.parse().ok()?, *len)),
            What::Symlink(target) => NodeKind::Symlink(target.clone().into_bytes()),
            What::Hardlink(target) => NodeKind::Hardlink(TreePath::new(target).ok()?),
            What::Whiteout => NodeKind::Whiteout,
        };
        Some((TreePath::new(path).ok()?, Node { kind, mode: mode & 0o1777, owner: Owner::default() }))
    }
}

fn text(path: &TreePath) -> Option<String> {
    std::str::from_utf8(path.as_bytes()).ok().map(str::to_owned)
}

fn hash(value: &[u8]) -> String {
    Key::of(&[value]).to_string()
}
