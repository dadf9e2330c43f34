//! From blocks to entries.

use std::io::Read;

use oci_spec::image::Digest;

use super::super::compression::{Compression, Expanded, Failure};
use super::super::limits::Limits;
use super::super::path::printable;
use super::super::rule::Rule;
use super::extended::Extended;
use super::header::{BLOCK, EntryType, Header, padding};
use super::pax::{Records, Scope};

/// Zero blocks after which an archive is taken for one that has no end: 16 MiB, far more than any tool pads with.
const MOST_PADDING: u64 = 32_768;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum MemberKind {
    Directory,
    File { size: u64 },
    Hardlink { target: Vec<u8> },
    Symlink { target: Vec<u8> },
}

/// An entry, with its name as it stands in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Member {
    pub(in super::super) name: Vec<u8>,
    pub(in super::super) kind: MemberKind,
    pub(in super::super) executable: bool,
    pub(in super::super) mtime: Option<i64>,
}

/// Reads the entries of an archive one after the other.
pub(in super::super) struct Reader<R: Read> {
    input: Expanded<R>,
    limits: Limits,
    headers: u64,
    entries: u64,
    /// Bytes of the current entry that nobody has read yet, and the padding after them.
    content: u64,
    padding: u64,
    current: Vec<u8>,
    end_marker: bool,
}

impl<R: Read> Reader<R> {
    pub(in super::super) fn new(input: R, limits: &Limits) -> Result<Self, Failure> {
        Ok(Self {
            input: Expanded::open(input, limits)?,
            limits: *limits,
            headers: 0,
            entries: 0,
            content: 0,
            padding: 0,
            current: Vec::new(),
            end_marker: false,
        })
    }

    /// The number of the entry that was read last, from 1.
    pub(in super::super) fn index(&self) -> u64 {
        self.entries
    }

    /// The name that was read last, made printable.
    pub(in super::super) fn current(&self) -> String {
        printable(&self.current)
    }

    pub(in super::super) fn compression(&self) -> Compression {
        self.input.compression()
    }

    /// Whether the end of the archive was marked as such.
    pub(in super::super) fn end_marker(&self) -> bool {
        self.end_marker
    }

    /// Reads the next entry; none at the end of the archive.
    pub(in super::super) fn next(&mut self) -> Result<Option<Member>, Failure> {
        self.skip_content()?;
        let mut extended = Extended::default();
        while let Some(block) = self.header_block()? {
            if extended.is_empty() {
                self.count_entry()?;
            }
            let header = Header::parse(&block).map_err(|rule| self.explain(rule, &block))?;
            self.current.clone_from(&header.name);
            match header.kind {
                EntryType::PaxNext => {
                    extended.set_pax(Records::parse(&self.extension(&header)?, Scope::Next)?)?;
                }
                EntryType::PaxGlobal if !extended.is_empty() => return Err(Rule::Stacked.into()),
                EntryType::PaxGlobal => {
                    Records::parse(&self.extension(&header)?, Scope::Global)?;
                    self.entries -= 1;
                }
                EntryType::GnuName => extended.set_gnu_name(self.extension(&header)?)?,
                EntryType::GnuLink => extended.set_gnu_link(self.extension(&header)?)?,
                _ => return self.member(header, extended.take()).map(Some),
            }
        }
        if extended.is_empty() { Ok(None) } else { Err(Rule::Orphan.into()) }
    }

    /// Reads content of the current entry, at most a buffer; 0 at its end.
    pub(in super::super) fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let wanted = buffer.len().min(usize::try_from(self.content).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        match self.input.read(&mut buffer[..wanted])? {
            0 => Err(Rule::CutShort.into()),
            count => {
                self.content -= count as u64;
                Ok(count)
            }
        }
    }

    /// The digest of the archive's bytes, once its last entry was read.
    pub(in super::super) fn finish(self) -> Result<Digest, Failure> {
        self.input.finish()
    }

    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, Failure> {
        let mut block = [0; BLOCK];
        match self.input.fill(&mut block)? {
            0 => return Ok(None),
            BLOCK => {}
            _ => return Err(self.explain(Rule::CutShort, &block).into()),
        }
        if block.iter().all(|byte| *byte == 0) {
            self.rest_is_empty()?;
            return Ok(None);
        }
        // An entry has three extended headers at most; global ones alone would otherwise have no limit.
        self.headers += 1;
        if self.headers > self.limits.entries.saturating_mul(4) {
            return Err(Rule::Entries { limit: self.limits.entries }.into());
        }
        self.current = block[..100].split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        Ok(Some(block))
    }

    /// After a zero block nothing but zero blocks may follow.
    fn rest_is_empty(&mut self) -> Result<(), Failure> {
        let mut blocks: u64 = 1;
        let mut buffer = [0; 16 * BLOCK];
        loop {
            let count = self.input.fill(&mut buffer)?;
            if buffer[..count].iter().any(|byte| *byte != 0) {
                return Err(Rule::AfterEnd.into());
            }
            if count % BLOCK != 0 {
                return Err(Rule::CutShort.into());
            }
            if count == 0 {
                break;
            }
            blocks += (count / BLOCK) as u64;
            if blocks > MOST_PADDING {
                return Err(Rule::AfterEnd.into());
            }
        }
        self.end_marker = blocks >= 2;
        Ok(())
    }

    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, Failure> {
        if !header.link.is_empty() {
            return Err(Rule::LinkOfNoLink { kind: "extended header" }.into());
        }
        if header.size > self.limits.pax {
            return Err(Rule::ExtendedSize { limit: self.limits.pax }.into());
        }
        let mut data = vec![0; usize::try_from(header.size).unwrap_or(usize::MAX)];
        if self.input.fill(&mut data)? != data.len() {
            return Err(Rule::CutShort.into());
        }
        self.padding = padding(header.size);
        self.skip_content()?;
        Ok(data)
    }

    fn member(&mut self, header: Header, records: Records) -> Result<Member, Failure> {
        let name = records.path.unwrap_or(header.name);
        self.current.clone_from(&name);
        let link = records.link.unwrap_or(header.link);
        let size = records.size.unwrap_or(header.size);
        let kind = match header.kind {
            EntryType::OldFile if name.ends_with(b"/") => MemberKind::Directory,
            EntryType::File if name.ends_with(b"/") => return Err(Rule::FileWithSlash.into()),
            EntryType::Directory => MemberKind::Directory,
            EntryType::Hardlink => MemberKind::Hardlink { target: link.clone() },
            EntryType::Symlink => MemberKind::Symlink { target: link.clone() },
            _ => MemberKind::File { size },
        };
        check(&kind, &link, size)?;
        if let MemberKind::File { size } = kind {
            self.content = size;
            self.padding = padding(size);
        }
        let executable = header.mode & 0o111 != 0;
        Ok(Member { name, kind, executable, mtime: records.mtime.or(header.mtime) })
    }

    fn skip_content(&mut self) -> Result<(), Failure> {
        let mut buffer = [0; 16 * BLOCK];
        while self.read_content(&mut buffer)? != 0 {}
        let padding = usize::try_from(std::mem::take(&mut self.padding)).unwrap_or(BLOCK);
        if self.input.fill(&mut buffer[..padding])? == padding { Ok(()) } else { Err(Rule::CutShort.into()) }
    }

    fn count_entry(&mut self) -> Result<(), Rule> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Rule::Entries { limit: self.limits.entries });
        }
        Ok(())
    }

    /// What is wrong with a first block that looks like nothing says little; that it is no archive says all.
    fn explain(&self, rule: Rule, block: &[u8; BLOCK]) -> Rule {
        let first = self.input.count() <= BLOCK as u64;
        let unknown = matches!(rule, Rule::Checksum | Rule::CutShort) && !block[257..].starts_with(b"ustar");
        if first && unknown { Rule::NotTar } else { rule }
    }
}

/// Type, link and size must not contradict each other.
fn check(kind: &MemberKind, link: &[u8], size: u64) -> Result<(), Rule> {
    let name = match kind {
        MemberKind::Directory => "directory",
        MemberKind::File { .. } => "file",
        MemberKind::Hardlink { .. } => "hard link",
        MemberKind::Symlink { .. } => "symbolic link",
    };
    match kind {
        MemberKind::Directory | MemberKind::File { .. } if !link.is_empty() => {
            Err(Rule::LinkOfNoLink { kind: name })
        }
        MemberKind::Hardlink { .. } | MemberKind::Symlink { .. } if link.is_empty() => Err(Rule::NoTarget),
        MemberKind::Directory | MemberKind::Hardlink { .. } | MemberKind::Symlink { .. } if size != 0 => {
            Err(Rule::SizeOfNoFile { kind: name })
        }
        _ => Ok(()),
    }
}
