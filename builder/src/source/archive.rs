//! From an archive to a tree, in one pass.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;

use lapstrake_oci::tree::{FileTree, Kind, Node, TreePath};

use super::compression::Failure;
use super::error::SourceError;
use super::limits::Limits;
use super::links::{Escape, Outward};
use super::path::{entry_path, printable};
use super::rule::Rule;
use super::spool::{BUFFER, Spool};
use super::tar::{Member, MemberKind, Reader};
use super::{ReadOptions, Source, SourceKind, SymlinkPolicy, Warning};

/// Reads an archive from its first byte to its last.
pub(crate) fn read(input: impl Read, name: &str, options: &ReadOptions) -> Result<Source, SourceError> {
    let spool = Spool::new(&options.scratch)
        .map_err(|source| SourceError::Spool { scratch: options.scratch.clone(), source })?;
    read_into(input, spool, name, options)
}

/// The same, with the contents into a spool that is there.
pub(super) fn read_into(
    input: impl Read,
    mut spool: Spool,
    name: &str,
    options: &ReadOptions,
) -> Result<Source, SourceError> {
    let context = Context { archive: printable(name.as_bytes()), scratch: &options.scratch };
    let mut reader = Reader::new(input, &options.limits).map_err(|failure| context.whole(failure))?;
    let mut entries = Entries::default();
    let mut buffer = vec![0; BUFFER];
    while let Some(member) = reader.next().map_err(|failure| context.at(&reader, failure))? {
        let node = match &member.kind {
            MemberKind::File { .. } => {
                loop {
                    match reader.read_content(&mut buffer).map_err(|failure| context.at(&reader, failure))? {
                        0 => break,
                        count => spool.write(&buffer[..count]).map_err(|source| context.spool(source))?,
                    }
                }
                Node::file(spool.end(), if member.executable { 0o755 } else { 0o644 })
            }
            MemberKind::Directory => Node::directory(),
            MemberKind::Symlink { target } => Node::symlink(target.clone()),
            MemberKind::Hardlink { target } => {
                entries.hardlink(target, &options.limits).map_err(|rule| context.at(&reader, rule.into()))?
            }
        };
        entries
            .insert(&member, node, reader.index(), &options.limits)
            .map_err(|rule| context.at(&reader, rule.into()))?;
    }
    spool.flush().map_err(|source| context.spool(source))?;
    if entries.tree.is_empty() && !entries.root {
        return Err(context.whole(Rule::Empty.into()));
    }
    let compression = reader.compression();
    let end_marker = reader.end_marker();
    let digest = reader.finish().map_err(|failure| context.whole(failure))?;
    let mut source = Source {
        tree: FileTree::new(),
        aside: FileTree::new(),
        left_out: None,
        times: BTreeMap::new(),
        digest: digest.into(),
        newest_mtime: 0,
        checkout: None,
        kind: SourceKind::Archive(compression),
        warnings: if end_marker { Vec::new() } else { vec![Warning::NoEndMarker] },
    };
    entries.finish(&mut source, options, &context)?;
    Ok(source)
}

/// What an error says about where it happened.
struct Context<'a> {
    archive: String,
    scratch: &'a Path,
}

impl Context<'_> {
    fn whole(&self, failure: Failure) -> SourceError {
        match failure {
            Failure::Rule(rule) => SourceError::Archive { archive: self.archive.clone(), rule },
            Failure::Read(source) => SourceError::Read { path: self.archive.clone(), source },
        }
    }

    fn at<R: Read>(&self, reader: &Reader<R>, failure: Failure) -> SourceError {
        match failure {
            Failure::Rule(rule) if !rule.is_of_archive() => {
                self.entry(reader.index(), reader.current(), rule)
            }
            failure => self.whole(failure),
        }
    }

    fn entry(&self, index: u64, entry: String, rule: Rule) -> SourceError {
        SourceError::Entry { archive: self.archive.clone(), index, entry, rule }
    }

    fn spool(&self, source: io::Error) -> SourceError {
        SourceError::Spool { scratch: self.scratch.to_owned(), source }
    }
}

/// The entries read so far.
#[derive(Default)]
struct Entries {
    tree: FileTree,
    times: BTreeMap<TreePath, i64>,
    /// Directories that no entry names, but that a path below them needs.
    implied: BTreeSet<TreePath>,
    symlinks: Vec<(TreePath, u64)>,
    hardlinks: Vec<TreePath>,
    /// Whether there is an entry for the root itself.
    root: bool,
}

impl Entries {
    fn insert(&mut self, member: &Member, node: Node, index: u64, limits: &Limits) -> Result<(), Rule> {
        let Some(path) = entry_path(&member.name, limits)? else {
            return self.insert_root(&node);
        };
        self.imply_parents(&path)?;
        match self.tree.get(&path) {
            None => {}
            Some(_) if !self.implied.remove(&path) => return Err(Rule::Twice),
            Some(_) if matches!(node.kind, Kind::Directory) => {}
            Some(_) => return Err(Rule::AboveOthers),
        }
        match &node.kind {
            Kind::Symlink(target) => {
                check_target(target, limits)?;
                self.symlinks.push((path.clone(), index));
            }
            Kind::Hardlink(_) => self.hardlinks.push(path.clone()),
            _ => {}
        }
        if let Some(mtime) = member.mtime {
            self.times.insert(path.clone(), mtime);
        }
        self.tree.insert(path, node);
        Ok(())
    }

    fn insert_root(&mut self, node: &Node) -> Result<(), Rule> {
        if !matches!(node.kind, Kind::Directory) {
            return Err(Rule::Path { reason: "it is the root, but not a directory" });
        }
        if std::mem::replace(&mut self.root, true) { Err(Rule::Twice) } else { Ok(()) }
    }

    fn imply_parents(&mut self, path: &TreePath) -> Result<(), Rule> {
        let mut parent = path.parent();
        while let Some(directory) = parent {
            match self.tree.get(&directory).map(|node| &node.kind) {
                Some(Kind::Directory) => return Ok(()),
                Some(_) => return Err(Rule::BelowNoDirectory { ancestor: directory }),
                None => {}
            }
            parent = directory.parent();
            self.implied.insert(directory.clone());
            self.tree.insert(directory, Node::directory());
        }
        Ok(())
    }

    /// A hard link leads to an earlier file, or through an earlier link to that link's file.
    fn hardlink(&self, target: &[u8], limits: &Limits) -> Result<Node, Rule> {
        let refused = || Rule::HardlinkTarget { target: printable(target) };
        let path = entry_path(target, limits).map_err(|_| refused())?.ok_or_else(refused)?;
        let (path, mode) = match self.tree.get(&path) {
            Some(Node { kind: Kind::File(_), mode, .. }) => (path, *mode),
            Some(Node { kind: Kind::Hardlink(file), mode, .. }) => (file.clone(), *mode),
            _ => return Err(refused()),
        };
        Ok(Node { kind: Kind::Hardlink(path), mode, ..Node::directory() })
    }

    /// The first of several names in path order becomes the file, the others its links, so that whoever writes the
    /// tree in order meets the file first.
    fn order_hardlinks(&mut self) {
        let mut names: BTreeMap<TreePath, BTreeSet<TreePath>> = BTreeMap::new();
        for link in &self.hardlinks {
            if let Some(Node { kind: Kind::Hardlink(file), .. }) = self.tree.get(link) {
                names.entry(file.clone()).or_default().insert(link.clone());
            }
        }
        for (file, links) in names {
            let Some(first) = links.first().filter(|link| **link < file).cloned() else { continue };
            let Some(node) = self.tree.get(&file).cloned() else { continue };
            let link = Node { kind: Kind::Hardlink(first.clone()), ..node.clone() };
            self.tree.extend(links.into_iter().chain([file]).map(|name| (name, link.clone())));
            self.tree.insert(first, node);
        }
    }

    /// The directory that holds everything, as code hosts pack a repository. An archive that names its own root
    /// (`tar -C app -c .`) says by that where it begins.
    fn wrapper(&self) -> Option<TreePath> {
        let (first, node) = self.tree.iter().next()?;
        let alone =
            matches!(node.kind, Kind::Directory) && self.tree.iter().all(|(path, _)| path.is_within(first));
        (alone && !self.root).then(|| first.clone())
    }

    fn finish(
        mut self,
        source: &mut Source,
        options: &ReadOptions,
        context: &Context<'_>,
    ) -> Result<(), SourceError> {
        self.order_hardlinks();
        let wrapper = self.wrapper();
        let below = |path: &TreePath| match &wrapper {
            None => Some(path.clone()),
            Some(wrapper) => TreePath::new(path.as_bytes().get(wrapper.as_bytes().len() + 1..)?).ok(),
        };
        let mut tree = FileTree::new();
        for (path, mut node) in self.tree {
            if let Kind::Hardlink(target) = &node.kind {
                let Some(target) = below(target) else { continue };
                node.kind = Kind::Hardlink(target);
            }
            if let Some(path) = below(&path) {
                tree.insert(path, node);
            }
        }
        let kept = super::left_out::leave_out(tree, options)?;
        (source.tree, source.aside, source.left_out) = (kept.tree, kept.aside, kept.left_out);
        source.times = self.times.iter().filter_map(|(path, time)| Some((below(path)?, *time))).collect();
        source.times.retain(|path, _| source.tree.get(path).is_some());
        let mut outward = Outward::new(&source.tree);
        for (entry, index) in &self.symlinks {
            let Some(path) = below(entry) else { continue };
            let refused = |rule| context.entry(*index, entry.to_string(), rule);
            match outward.find(&path) {
                Ok(None) => {}
                Ok(Some(Escape { target })) if options.symlinks == SymlinkPolicy::Refuse => {
                    return Err(refused(Rule::OutwardLink { target: printable(&target) }));
                }
                Ok(Some(Escape { target })) => source.warnings.push(Warning::OutwardLink { path, target }),
                Err(rule) => return Err(refused(rule)),
            }
        }
        super::finish(source, options);
        Ok(())
    }
}

fn check_target(target: &[u8], limits: &Limits) -> Result<(), Rule> {
    if target.contains(&0) {
        return Err(Rule::Nul);
    }
    if target.len() > limits.path {
        return Err(Rule::PathLength { limit: limits.path });
    }
    Ok(())
}
