//! One header block.

use super::super::rule::Rule;
use super::number;

pub(super) const BLOCK: usize = 512;
const BLOCK_U64: u64 = 512;

/// What a header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryType {
    File,
    /// A file of an archive older than the type field, or a directory if its name ends in a slash.
    OldFile,
    Hardlink,
    Symlink,
    Directory,
    PaxNext,
    PaxGlobal,
    GnuName,
    GnuLink,
}

/// A header, as it stands in its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: EntryType,
    pub(super) size: u64,
    pub(super) mode: u64,
    pub(super) mtime: Option<i64>,
}

#[derive(Clone, Copy)]
enum Format {
    V7,
    Ustar,
    Gnu,
}

impl Header {
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self, Rule> {
        if !checksum_matches(block) {
            return Err(Rule::Checksum);
        }
        let name = name(block, format(block)?)?;
        let number =
            |from: usize, to: usize, field| number::unsigned(&block[from..to]).ok_or(Rule::Number { field });
        let mode = number(100, 108, "mode")?;
        number(108, 116, "user id")?;
        number(116, 124, "group id")?;
        let size = number(124, 136, "size")?;
        // No file system has larger files, and sums of sizes must not overflow.
        if i64::try_from(size).is_err() {
            return Err(Rule::Number { field: "size" });
        }
        let mtime = number::time(&block[136..148]);
        let kind = entry_type(block[156])?;
        let link = text(&block[157..257], "link name")?.to_vec();
        Ok(Self { name, link, kind, size, mode, mtime })
    }
}

/// The bytes that pad a size to whole blocks.
pub(super) fn padding(size: u64) -> u64 {
    (BLOCK_U64 - size % BLOCK_U64) % BLOCK_U64
}

fn checksum_matches(block: &[u8; BLOCK]) -> bool {
    let field = 148..156;
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| u64::from(if field.contains(&at) { b' ' } else { *byte }))
        .sum();
    block[field].iter().any(u8::is_ascii_digit) && number::unsigned(&block[148..156]) == Some(sum)
}

fn format(block: &[u8; BLOCK]) -> Result<Format, Rule> {
    // Every reader ignores the version behind `ustar`, and writers have put several things there.
    match &block[257..265] {
        [b'u', b's', b't', b'a', b'r', 0, _, _] => Ok(Format::Ustar),
        b"ustar  \0" => Ok(Format::Gnu),
        [0, 0, 0, 0, 0, 0, 0, 0] => Ok(Format::V7),
        _ => Err(Rule::Magic),
    }
}

fn name(block: &[u8; BLOCK], format: Format) -> Result<Vec<u8>, Rule> {
    let name = text(&block[..100], "name")?;
    let prefix = match format {
        Format::Ustar => ustar_prefix(block)?,
        Format::Gnu => {
            check_gnu_fields(block)?;
            &[]
        }
        // Readers that ignore the magic take a name from here.
        Format::V7 if block[345] != 0 => return Err(Rule::Magic),
        Format::V7 => &[],
    };
    Ok(if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() })
}

/// The directory in front of the name. star ends it 24 bytes earlier and keeps two times there.
fn ustar_prefix(block: &[u8; BLOCK]) -> Result<&[u8], Rule> {
    let star_ends_it = block[475] == 0;
    match (star_ends_it, &block[508..]) {
        (true, _) => text(&block[345..476], "prefix"),
        (false, b"tar\0") => Err(Rule::StarPrefix),
        (false, _) => text(&block[345..500], "prefix"),
    }
}

/// Behind the name of GNU tar's headers stand times that incremental dumps have, and what sparse files and archives in
/// several volumes need; other readers take the name's prefix from there.
fn check_gnu_fields(block: &[u8; BLOCK]) -> Result<(), Rule> {
    if block[345..].iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    Err(if block[156] == b'S' { Rule::Sparse } else { Rule::GnuFields })
}

fn text_until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

fn text<'a>(field: &'a [u8], name: &'static str) -> Result<&'a [u8], Rule> {
    let text = text_until_nul(field);
    if field[text.len()..].iter().any(|byte| *byte != 0) {
        return Err(Rule::AfterNul { field: name });
    }
    Ok(text)
}

fn entry_type(flag: u8) -> Result<EntryType, Rule> {
    Ok(match flag {
        0 => EntryType::OldFile,
        b'0' | b'7' => EntryType::File,
        b'1' => EntryType::Hardlink,
        b'2' => EntryType::Symlink,
        b'3' => return Err(Rule::Type { kind: "character device" }),
        b'4' => return Err(Rule::Type { kind: "block device" }),
        b'5' => EntryType::Directory,
        b'6' => return Err(Rule::Type { kind: "FIFO" }),
        b'x' => EntryType::PaxNext,
        b'g' => EntryType::PaxGlobal,
        b'L' => EntryType::GnuName,
        b'K' => EntryType::GnuLink,
        b'S' => return Err(Rule::Sparse),
        flag => return Err(Rule::UnknownType { flag: flag.escape_ascii().to_string() }),
    })
}
