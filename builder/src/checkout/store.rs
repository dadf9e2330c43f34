//! The objects of a repository, each checked against its name.

use std::fs::File;
use std::io::Read;

use flate2::read::ZlibDecoder;

use super::CheckoutError;
use super::folder::Folder;
use super::object::{Kind, is_named};
use super::pack::Pack;
use crate::git::ObjectId;

/// The largest object that is read; files are not read as objects.
pub(super) const OBJECT: u64 = 32 << 20;
/// What all objects together may expand to.
const EXPANDED: u64 = 1 << 30;
/// The most packs.
const PACKS: usize = 1000;

/// The objects of a repository.
pub(super) struct Store<'f> {
    folder: &'f Folder,
    packs: Option<Vec<Pack>>,
    allowance: Allowance,
}

/// How many bytes may still be expanded.
pub(super) struct Allowance(u64);

impl Allowance {
    pub(super) fn spend(&mut self, length: u64) -> Result<(), CheckoutError> {
        let left = self.0.checked_sub(length).filter(|_| length <= OBJECT);
        self.0 = left.ok_or(CheckoutError::TooMuch { what: "its objects" })?;
        Ok(())
    }

    /// Reads an expanded stream that is said to have a length.
    pub(super) fn read(&mut self, stream: impl Read, length: u64) -> Result<Vec<u8>, CheckoutError> {
        self.spend(length)?;
        let mut bytes = Vec::new();
        match stream.take(length + 1).read_to_end(&mut bytes) {
            Ok(read) if read as u64 == length => Ok(bytes),
            _ => Err(CheckoutError::Malformed { what: "an object".to_owned() }),
        }
    }
}

impl<'f> Store<'f> {
    pub(super) fn new(folder: &'f Folder) -> Self {
        Self { folder, packs: None, allowance: Allowance(EXPANDED) }
    }

    /// The content of an object.
    pub(super) fn read(&mut self, id: &ObjectId, kind: Kind) -> Result<Vec<u8>, CheckoutError> {
        let (directory, name) = id.as_str().split_at(2);
        let content = match self.folder.file(&format!("objects/{directory}/{name}"))? {
            Some(file) => self.loose(file, id, kind)?,
            None => self.packed(id, kind)?,
        };
        if is_named(id, kind, &content) {
            Ok(content)
        } else {
            Err(CheckoutError::Malformed { what: format!("object {id}") })
        }
    }

    /// An object in a file of its own: its kind, its length and a NUL stand before the content.
    fn loose(&mut self, file: File, id: &ObjectId, kind: Kind) -> Result<Vec<u8>, CheckoutError> {
        let malformed = || CheckoutError::Malformed { what: format!("object {id}") };
        let mut stream = ZlibDecoder::new(file);
        let mut header = Vec::new();
        while header.last() != Some(&0) {
            let mut byte = [0];
            stream.read_exact(&mut byte).map_err(|_| malformed())?;
            header.push(byte[0]);
            if header.len() > 32 {
                return Err(malformed());
            }
        }
        let text = std::str::from_utf8(&header[..header.len() - 1]).map_err(|_| malformed())?;
        let length = text.strip_prefix(kind.name()).and_then(|rest| rest.strip_prefix(' '));
        let length: u64 = length.and_then(|length| length.parse().ok()).ok_or_else(malformed)?;
        self.allowance.read(stream, length)
    }

    fn packed(&mut self, id: &ObjectId, kind: Kind) -> Result<Vec<u8>, CheckoutError> {
        if self.packs.is_none() {
            self.packs = Some(open_packs(self.folder)?);
        }
        for pack in self.packs.iter().flatten() {
            if let Some(content) = pack.read(id, kind, &mut self.allowance)? {
                return Ok(content);
            }
        }
        Err(CheckoutError::Missing {
            id: id.to_string(),
            is_borrowed: self.folder.file("objects/info/alternates")?.is_some(),
        })
    }
}

fn open_packs(folder: &Folder) -> Result<Vec<Pack>, CheckoutError> {
    let names = folder.names("objects/pack")?;
    let stems: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".idx")).collect();
    if stems.len() > PACKS {
        return Err(CheckoutError::TooMuch { what: "its packs" });
    }
    let open = |stem: &&str| Pack::open(folder, &format!("objects/pack/{stem}"));
    stems.iter().filter_map(|stem| open(stem).transpose()).collect()
}
