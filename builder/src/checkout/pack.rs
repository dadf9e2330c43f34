//! Objects that are packed together, most as differences from others (gitformat-pack).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use flate2::read::ZlibDecoder;

use super::CheckoutError;
use super::delta::apply;
use super::folder::Folder;
use super::object::{Kind, binary};
use super::store::{Allowance, OBJECT};
use crate::git::ObjectId;

/// The longest chain of differences: git itself makes none longer than 4095.
const CHAIN: usize = 4096;
/// Where the table of names begins in an index.
const NAMES: u64 = 8 + 256 * 4;

/// A pack and its index.
pub(super) struct Pack {
    index: File,
    pack: File,
}

/// What stands at a place of a pack.
enum Entry {
    Whole(Kind, Vec<u8>),
    Delta {
        base: u64,
        delta: Vec<u8>,
    },
    /// A tag, or what no version of git writes.
    Other,
}

impl Pack {
    /// Opens both files; none when the pack is gone.
    pub(super) fn open(folder: &Folder, stem: &str) -> Result<Option<Self>, CheckoutError> {
        let (index, pack) = (folder.file(&format!("{stem}.idx"))?, folder.file(&format!("{stem}.pack"))?);
        let (Some(index), Some(pack)) = (index, pack) else { return Ok(None) };
        let mut head = [0; 8];
        index.read_exact_at(&mut head, 0).map_err(|_| malformed())?;
        let is_second_version = head == *b"\xfftOc\0\0\0\x02";
        if is_second_version { Ok(Some(Self { index, pack })) } else { Err(malformed()) }
    }

    /// The content of an object; none when it is not in this pack.
    pub(super) fn read(
        &self,
        id: &ObjectId,
        kind: Kind,
        allowance: &mut Allowance,
    ) -> Result<Option<Vec<u8>>, CheckoutError> {
        let Some(mut place) = self.place(&binary(id)).map_err(|_| malformed())? else { return Ok(None) };
        let mut deltas = Vec::new();
        let mut content = loop {
            match self.entry(place, id, allowance)? {
                Entry::Whole(found, content) if found == kind => break content,
                Entry::Delta { base, delta } if deltas.len() < CHAIN => {
                    deltas.push(delta);
                    place = base;
                }
                _ => return Err(malformed()),
            }
        };
        while let Some(delta) = deltas.pop() {
            content = apply(&content, &delta, OBJECT).ok_or_else(malformed)?;
            allowance.spend(content.len() as u64)?;
        }
        Ok(Some(content))
    }

    /// Where an object is, by its name.
    fn place(&self, id: &[u8]) -> io::Result<Option<u64>> {
        let first = u64::from(id[0]);
        let mut low = if first == 0 { 0 } else { self.number(8 + (first - 1) * 4)? };
        let mut high = self.number(8 + first * 4)?;
        let count = self.number(8 + 255 * 4)?;
        let length = id.len() as u64;
        let mut name = vec![0; id.len()];
        while low < high {
            let middle = low + (high - low) / 2;
            self.index.read_exact_at(&mut name, NAMES + middle * length)?;
            match name.as_slice().cmp(id) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let offsets = NAMES + count * (length + 4);
                    let offset = self.number(offsets + middle * 4)?;
                    return if offset & 0x8000_0000 == 0 {
                        Ok(Some(offset))
                    } else {
                        self.long_number(offsets + count * 4 + (offset & 0x7fff_ffff) * 8).map(Some)
                    };
                }
            }
        }
        Ok(None)
    }

    fn number(&self, at: u64) -> io::Result<u64> {
        let mut bytes = [0; 4];
        self.index.read_exact_at(&mut bytes, at)?;
        Ok(u64::from(u32::from_be_bytes(bytes)))
    }

    fn long_number(&self, at: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.index.read_exact_at(&mut bytes, at)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn entry(&self, place: u64, like: &ObjectId, allowance: &mut Allowance) -> Result<Entry, CheckoutError> {
        let mut reader = io::BufReader::with_capacity(4096, Rest { file: &self.pack, at: place });
        let (kind, length) = head(&mut reader).ok_or_else(malformed)?;
        let base = match kind {
            1 => return Ok(Entry::Whole(Kind::Commit, allowance.read(ZlibDecoder::new(reader), length)?)),
            2 => return Ok(Entry::Whole(Kind::Tree, allowance.read(ZlibDecoder::new(reader), length)?)),
            3 => return Ok(Entry::Whole(Kind::Blob, allowance.read(ZlibDecoder::new(reader), length)?)),
            6 => distance(&mut reader).and_then(|distance| place.checked_sub(distance)),
            7 => {
                let mut id = vec![0; like.as_str().len() / 2];
                reader.read_exact(&mut id).ok().and_then(|()| self.place(&id).ok().flatten())
            }
            _ => return Ok(Entry::Other),
        };
        let base = base.filter(|base| *base != place).ok_or_else(malformed)?;
        Ok(Entry::Delta { base, delta: allowance.read(ZlibDecoder::new(reader), length)? })
    }
}

fn malformed() -> CheckoutError {
    CheckoutError::Malformed { what: "one of its packs".to_owned() }
}

/// A file from a place on.
struct Rest<'f> {
    file: &'f File,
    at: u64,
}

impl Read for Rest<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn byte(reader: &mut impl Read) -> Option<u8> {
    let mut byte = [0];
    reader.read_exact(&mut byte).ok().map(|()| byte[0])
}

/// The kind of an entry and the length of what is stored: four bits, then seven a byte, the least significant first.
fn head(reader: &mut impl Read) -> Option<(u8, u64)> {
    let mut next = byte(reader)?;
    let kind = next >> 4 & 7;
    let mut length = u64::from(next & 15);
    let mut shift = 4;
    while next & 0x80 != 0 {
        next = byte(reader)?;
        let part = u64::from(next & 0x7f);
        length |= part.checked_shl(shift).filter(|_| shift < 57)?;
        shift += 7;
    }
    Some((kind, length))
}

/// How far back a base is: seven bits a byte, the most significant first, each further byte counting from one.
fn distance(reader: &mut impl Read) -> Option<u64> {
    let mut next = byte(reader)?;
    let mut distance = u64::from(next & 0x7f);
    while next & 0x80 != 0 {
        next = byte(reader)?;
        distance = distance.checked_add(1)?.checked_mul(128)? | u64::from(next & 0x7f);
    }
    Some(distance)
}
