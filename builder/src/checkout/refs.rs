//! Which commit is checked out.

use super::folder::Folder;
use super::place::Place;
use super::{CheckoutError, reftable};
use crate::git::ObjectId;

/// The longest file of one reference.
const REFERENCE: u64 = 4 << 10;
/// The largest file of packed references.
const PACKED: u64 = 64 << 20;
/// How many references lead to one another at most.
const STEPS: usize = 5;

/// What a reference holds.
pub(super) enum Held {
    Id(ObjectId),
    /// The name of another reference.
    Name(String),
}

/// The commit that `HEAD` leads to; none in a repository without one.
pub(super) fn head(place: &Place) -> Result<Option<ObjectId>, CheckoutError> {
    let is_table = place.common.has("reftable")?;
    let mut name = "HEAD".to_owned();
    for _ in 0..STEPS {
        let held = if is_table { reftable::look_up(place, &name)? } else { look_up(place, &name)? };
        match held {
            None => return Ok(None),
            Some(Held::Id(id)) => return Ok(Some(id)),
            Some(Held::Name(next)) if next.starts_with("refs/") => name = next,
            Some(Held::Name(_)) => break,
        }
    }
    Err(CheckoutError::Malformed { what: "its `HEAD`".to_owned() })
}

fn look_up(place: &Place, name: &str) -> Result<Option<Held>, CheckoutError> {
    for folder in [&place.own, &place.common] {
        if let Some(bytes) = folder.read(name, REFERENCE)? {
            return held(&bytes).map(Some);
        }
    }
    packed(&place.common, name)
}

fn held(bytes: &[u8]) -> Result<Held, CheckoutError> {
    let malformed = || CheckoutError::Malformed { what: "a reference".to_owned() };
    let text = std::str::from_utf8(bytes).map_err(|_| malformed())?.trim_end();
    match text.strip_prefix("ref:") {
        Some(name) => Ok(Held::Name(name.trim_start().to_owned())),
        None => text.parse().map(Held::Id).map_err(|_| malformed()),
    }
}

fn packed(folder: &Folder, name: &str) -> Result<Option<Held>, CheckoutError> {
    let bytes = folder.read("packed-refs", PACKED)?.unwrap_or_default();
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let mut named = lines.filter_map(|line| line.split_once(' ')).filter(|(_, other)| *other == name);
    let id = named.next().map(|(id, _)| id.parse().map(Held::Id));
    id.transpose().map_err(|_| CheckoutError::Malformed { what: "its packed references".to_owned() })
}
