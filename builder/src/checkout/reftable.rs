//! References in git's second format: tables of sorted blocks, of which the newest counts.

use super::CheckoutError;
use super::place::Place;
use super::refs::Held;

/// The largest table that is read.
const TABLE: u64 = 64 << 20;
/// The most tables.
const TABLES: usize = 1000;

/// What a reference holds; none when there is none of this name.
pub(super) fn look_up(place: &Place, name: &str) -> Result<Option<Held>, CheckoutError> {
    // A worktree has tables of its own for its `HEAD`.
    for folder in [&place.own, &place.common] {
        let list = folder.read("reftable/tables.list", TABLE)?.unwrap_or_default();
        let list = String::from_utf8(list).map_err(|_| malformed())?;
        let tables: Vec<&str> = list.lines().take(TABLES + 1).collect();
        if tables.len() > TABLES {
            return Err(CheckoutError::TooMuch { what: "its tables of references" });
        }
        for table in tables.into_iter().rev() {
            let bytes = folder.read(&format!("reftable/{table}"), TABLE)?.ok_or_else(malformed)?;
            match find(&bytes, name.as_bytes()).ok_or_else(malformed)? {
                Found::No => {}
                Found::Deleted => return Ok(None),
                Found::Id(bytes) => {
                    let id = hexadecimal(bytes).parse().map_err(|_| malformed())?;
                    return Ok(Some(Held::Id(id)));
                }
                Found::Name(name) => {
                    let name = String::from_utf8(name.to_vec()).map_err(|_| malformed())?;
                    return Ok(Some(Held::Name(name)));
                }
            }
        }
    }
    Ok(None)
}

fn malformed() -> CheckoutError {
    CheckoutError::Malformed { what: "its table of references".to_owned() }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a table says of a name.
enum Found<'t> {
    No,
    Deleted,
    Id(&'t [u8]),
    Name(&'t [u8]),
}

/// Looks through all blocks of references of a table, which begin with `r`; none when it is malformed.
fn find<'t>(table: &'t [u8], wanted: &[u8]) -> Option<Found<'t>> {
    let (header, id_length) = match table.get(..5)? {
        b"REFT\x01" => (24, 20),
        b"REFT\x02" => (28, if table.get(24..28)? == b"s256" { 32 } else { 20 }),
        _ => return None,
    };
    let block_size = number(table.get(5..8)?);
    // The first block begins with the header of the file, which counts as part of it.
    let (mut start, mut skipped) = (0, header);
    while table.get(start + skipped) == Some(&b'r') {
        let length = number(table.get(start + skipped + 1..start + skipped + 4)?);
        let block = table.get(start..start + length)?;
        let found = find_in_block(block, skipped + 4, id_length, wanted)?;
        if !matches!(found, Found::No) {
            return Some(found);
        }
        // Blocks are padded to their size, unless the table has no size for them.
        start += if block_size == 0 { length } else { length.div_ceil(block_size) * block_size };
        skipped = 0;
    }
    Some(Found::No)
}

fn find_in_block<'t>(block: &'t [u8], first: usize, id_length: usize, wanted: &[u8]) -> Option<Found<'t>> {
    let restarts = number(block.get(block.len().checked_sub(2)?..)?);
    let end = block.len().checked_sub(2 + 3 * restarts)?;
    let mut records = Records { bytes: block.get(first..end)? };
    let mut name: Vec<u8> = Vec::new();
    while !records.bytes.is_empty() {
        let shared = records.variable()?;
        let suffix = records.variable()?;
        let (kind, length) = (suffix & 7, suffix >> 3);
        name.truncate(name.get(..shared).map(<[u8]>::len)?);
        name.extend_from_slice(records.take(length)?);
        records.variable()?;
        let value = match kind {
            0 => Found::Deleted,
            1 => Found::Id(records.take(id_length)?),
            2 => {
                let id = records.take(id_length)?;
                records.take(id_length)?;
                Found::Id(id)
            }
            3 => {
                let length = records.variable()?;
                Found::Name(records.take(length)?)
            }
            _ => return None,
        };
        if name == wanted {
            return Some(value);
        }
    }
    Some(Found::No)
}

/// A number of up to three bytes.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

struct Records<'t> {
    bytes: &'t [u8],
}

impl<'t> Records<'t> {
    fn take(&mut self, length: usize) -> Option<&'t [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    /// A number of seven bits a byte, the most significant first, each further byte counting from one.
    fn variable(&mut self) -> Option<usize> {
        let mut byte = self.take(1)?[0];
        let mut number = usize::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.take(1)?[0];
            number = number.checked_add(1)?.checked_mul(128)? | usize::from(byte & 0x7f);
        }
        Some(number)
    }
}
