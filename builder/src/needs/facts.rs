//! What the files of an app are, as far as it says what they need.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use lapstrake_oci::tree::{Content, FileTree, Kind, Node, Place, TreePath};
use object::ReadCache;
use serde::{Deserialize, Serialize};

use super::elf::Elf;
use crate::source::in_parallel;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fact {
    /// Machine code.
    Elf(Elf),
    /// A program that begins with `#!`: the path of its interpreter without the slash before it and, of `env`, the program.
    Script {
        /// The interpreter.
        interpreter: String,
        /// What `env` looks for.
        program: Option<String>,
    },
    /// A link to an absolute path.
    Link(String),
    /// What a wheel says of the Python that it is for.
    Wheel(BTreeSet<String>),
    /// A file that matters by its path alone.
    Other,
}

/// The files that need something, and the names of all others.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    files: BTreeMap<TreePath, Fact>,
    paths: BTreeSet<TreePath>,
    /// The names of those that may be shared libraries.
    libraries: BTreeSet<Vec<u8>>,
}

/// What files are that were looked at before, by their paths in the image.
pub type KnownFacts = BTreeMap<TreePath, Option<Fact>>;

/// How much of a file tells what it is.
pub(super) const HEAD: usize = 512;

impl Facts {
    /// Looks at every file of the trees but those of which it is known what they are, or that they are nothing.
    pub fn of_trees(trees: &[&FileTree], known: &KnownFacts) -> io::Result<Self> {
        let nodes: Vec<(&TreePath, &Node)> = trees.iter().flat_map(|tree| tree.iter()).collect();
        let look = |(path, node): &(&TreePath, &Node)| -> io::Result<Option<Fact>> {
            if let Some(fact) = known.get(path) {
                return Ok(fact.clone());
            }
            match &node.kind {
                Kind::Whiteout | Kind::Directory | Kind::Hardlink(_) => Ok(None),
                Kind::Symlink(target) => Ok(link(target)),
                Kind::File(content) if is_text(path) => Ok(fact(path, b"", || of_content(content))),
                Kind::File(content) => {
                    let mut head = [0; HEAD];
                    let count = read_head(&mut content.open()?, &mut head)?;
                    Ok(fact(path, &head[..count], || of_content(content)))
                }
            }
        };
        let all = in_parallel(&nodes, look);
        let there = || nodes.iter().filter(|(_, node)| !matches!(node.kind, Kind::Whiteout));
        let facts = nodes.iter().zip(all?).filter_map(|((path, _), fact)| Some(((*path).clone(), fact?)));
        Ok(Self {
            files: facts.collect(),
            paths: there().map(|(path, _)| (*path).clone()).collect(),
            libraries: there().filter_map(|(path, _)| library(path)).collect(),
        })
    }

    /// What a file is.
    #[must_use]
    pub fn get(&self, path: &TreePath) -> Option<&Fact> {
        self.files.get(path)
    }

    /// Takes a file by its first bytes; the rest is read only where they are those of ELF.
    pub(super) fn file(&mut self, path: &TreePath, head: &[u8], elf: impl FnOnce() -> Elf) {
        self.files.extend(fact(path, head, elf).map(|fact| (path.clone(), fact)));
    }

    pub(super) fn link(&mut self, path: &TreePath, target: &[u8]) {
        self.files.extend(link(target).map(|fact| (path.clone(), fact)));
    }

    pub(super) fn name(&mut self, path: &TreePath) {
        self.libraries.extend(library(path));
        self.paths.insert(path.clone());
    }

    /// Takes a path away, and everything below it.
    pub(super) fn remove(&mut self, path: &TreePath) {
        let is_below = |other: &TreePath| {
            let rest = other.as_bytes().strip_prefix(path.as_bytes());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        self.files.retain(|other, _| !is_below(other));
        self.paths.retain(|other| !is_below(other));
    }

    /// The files, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Fact)> {
        self.files.iter()
    }

    /// All paths.
    pub(super) fn paths(&self) -> impl Iterator<Item = &TreePath> {
        self.paths.iter()
    }

    /// Whether the app brings a file of this name.
    pub(super) fn brings(&self, name: &str) -> bool {
        let name = name.as_bytes();
        self.libraries.contains(name)
            || !is_library(name) && self.paths.iter().any(|path| path.name() == name)
    }

    /// Whether the app has the absolute path.
    pub(super) fn has(&self, path: &str) -> bool {
        TreePath::new(path.trim_start_matches('/')).is_ok_and(|path| self.paths.contains(&path))
    }

    /// Whether the app brings a program of this name.
    pub(super) fn brings_program(&self, program: &str) -> bool {
        let is_it = |path: &&TreePath| {
            path.name() == program.as_bytes()
                && path.parent().is_some_and(|parent| parent.name() == b"bin" || parent.name() == b".bin")
        };
        self.paths.iter().any(|path| is_it(&path))
    }
}

fn is_library(name: &[u8]) -> bool {
    name.windows(3).any(|part| part == b".so")
}

fn library(path: &TreePath) -> Option<Vec<u8>> {
    Some(path.name().to_vec()).filter(|name| is_library(name))
}

fn fact(path: &TreePath, head: &[u8], elf: impl FnOnce() -> Elf) -> Option<Fact> {
    if head.starts_with(b"\x7fELF") {
        Some(Fact::Elf(elf()))
    } else if is_program(path)
        && let Some((interpreter, program)) = script(head)
    {
        Some(Fact::Script { interpreter, program })
    } else if let Some(tags) = wheel_tags(path, head) {
        Some(Fact::Wheel(tags))
    } else {
        python_directory(path).map(|_| Fact::Other)
    }
}

fn link(target: &[u8]) -> Option<Fact> {
    const ELSEWHERE: [&str; 6] = ["/proc/", "/sys/", "/dev/", "/run/", "/tmp/", "/var/"];
    let target = std::str::from_utf8(target).ok()?;
    let leads_away = target.starts_with('/') && !ELSEWHERE.iter().any(|top| target.starts_with(top));
    leads_away.then(|| Fact::Link(target.to_owned()))
}

fn of_content(content: &Content) -> Elf {
    match content.place() {
        Place::Path { path, .. } => {
            File::open(path).map(|file| Elf::read(&ReadCache::new(file))).unwrap_or_default()
        }
        Place::Bytes(bytes) => Elf::read(&bytes[..]),
        Place::Range { file, offset, len } => {
            Elf::read(&ReadCache::new(Part { file, start: *offset, len: *len, at: 0 }))
        }
        Place::Elsewhere { .. } => Elf::default(),
    }
}

/// A part of a file, of which no more is read than is looked at.
struct Part<'a> {
    file: &'a File,
    start: u64,
    len: u64,
    at: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..wanted], self.start + self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Part<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

pub(super) fn read_head(reader: &mut dyn Read, head: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < head.len() {
        match reader.read(&mut head[count..])? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

/// Whether the name of a file says that it is text that nobody starts: most files of an app are, and are not opened.
fn is_text(path: &TreePath) -> bool {
    const ENDINGS: [&[u8]; 20] = [
        b"c", b"cjs", b"css", b"cts", b"h", b"html", b"js", b"json", b"jsx", b"less", b"map", b"md", b"mjs",
        b"mts", b"py", b"pyi", b"rst", b"scss", b"ts", b"txt",
    ];
    let ending = path.name().rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    ENDINGS.contains(&ending) && path.name().contains(&b'.') && !is_program(path)
}

/// Whether a path is where programs are looked for; scripts elsewhere are usually never started.
fn is_program(path: &TreePath) -> bool {
    path.parent().is_some_and(|parent| {
        parent.name() == b"bin" && !parent.components().any(|part| part == b"node_modules")
    })
}

/// The interpreter of a script and, of `env`, the program that it looks for.
fn script(head: &[u8]) -> Option<(String, Option<String>)> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
    let interpreter = words.next()?.strip_prefix('/')?.to_owned();
    let is_env = interpreter.rsplit('/').next() == Some("env");
    let program = words.find(|word| !word.starts_with('-') && !word.contains('=')).filter(|_| is_env);
    Some((interpreter, program.map(str::to_owned)))
}

/// What a file says of the Python that can use it.
pub(super) fn python_tags(path: &TreePath, fact: &Fact) -> BTreeSet<String> {
    let mut tags: BTreeSet<String> = python_directory(path).into_iter().collect();
    match fact {
        Fact::Elf(_) => tags.extend(extension_tag(path)),
        Fact::Wheel(of_wheel) => tags.extend(of_wheel.iter().cloned()),
        _ => {}
    }
    tags
}

/// The tag in the name of an extension module for one version of `CPython` (PEP 3149), as in `x.cpython-313-….so`.
fn extension_tag(path: &TreePath) -> Option<String> {
    let name = std::str::from_utf8(path.name()).ok()?;
    let (_, middle) = name.strip_suffix(".so")?.rsplit_once('.')?;
    Some(format!("cp{}", middle.strip_prefix("cpython-")?.split('-').next()?))
}

/// The minor version in whose directory of packages a file lies: it is found by no other one.
fn python_directory(path: &TreePath) -> Option<String> {
    let parts: Vec<&[u8]> = path.components().collect();
    let (_, pair) = parts
        .windows(2)
        .enumerate()
        .find(|(_, pair)| pair[1] == b"site-packages" || pair[1] == b"dist-packages")?;
    let version = std::str::from_utf8(pair[0].strip_prefix(b"python")?).ok()?;
    version.contains('.').then(|| version.to_owned())
}

/// The tags of a wheel with the stable ABI (PEP 425): `cp38-abi3` is for `CPython` 3.8 and all later ones.
fn wheel_tags(path: &TreePath, head: &[u8]) -> Option<BTreeSet<String>> {
    let is_wheel =
        path.name() == b"WHEEL" && path.parent().is_some_and(|parent| parent.name().ends_with(b".dist-info"));
    if !is_wheel {
        return None;
    }
    let text = String::from_utf8_lossy(head);
    let tags = text.lines().filter_map(|line| line.strip_prefix("Tag: "));
    let stable = tags.filter_map(|tag| {
        let mut parts = tag.split('-');
        let (python, abi) = (parts.next()?, parts.next()?);
        (abi == "abi3").then(|| format!("{python}-abi3"))
    });
    Some(stable.collect::<BTreeSet<_>>()).filter(|tags| !tags.is_empty())
}
