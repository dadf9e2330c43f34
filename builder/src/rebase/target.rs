//! Which entry takes the place of another, and whether it may.

use lapstrake_catalog::{Catalog, Date, Entry, EntryId, ImageKind, PlatformKey, Record, Status};

/// The entry that an image is to be moved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The newest of the line that may be used; for a revoked entry the one that takes its place.
    Latest,
    /// This one.
    Entry(EntryId),
}

/// Why an image is not moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The catalog does not have the entry.
    #[error("the catalog has no entry `{id}`")]
    NoEntry {
        /// The entry.
        id: EntryId,
    },
    /// Apps of one of the entries do not run on the other.
    #[error("`{to}` cannot take the place of `{from}`: {why}")]
    NotInPlace {
        /// The entry that the image is on.
        from: EntryId,
        /// The entry that was asked for.
        to: EntryId,
        /// What differs.
        why: String,
    },
    /// The entry must not be used.
    #[error("`{id}` is {status}")]
    Unusable {
        /// The entry.
        id: EntryId,
        /// Its status.
        status: Status,
    },
}

/// The entry that takes the place of another under images of a kind on a platform; the same one where it is the newest.
pub fn target<'c>(
    catalog: &'c Catalog,
    from: &'c Entry,
    (platform, kind): (&PlatformKey, ImageKind),
    wanted: &Target,
    as_of: Date,
) -> Result<&'c Entry, Box<Refusal>> {
    let usable =
        |entry: &Entry| matches!(catalog.status_at(entry, as_of), Status::Active | Status::Deprecated);
    let to = match wanted {
        Target::Entry(id) => {
            catalog.entry(id).ok_or_else(|| Box::new(Refusal::NoEntry { id: id.clone() }))?
        }
        Target::Latest => {
            let replacement = from.revoked.as_ref().and_then(|revoked| revoked.replacement.as_ref());
            let replacement = replacement.and_then(|id| catalog.entry(id)).filter(|entry| usable(entry));
            let fits = |entry: &&Entry| usable(entry) && fault(from, entry, platform, kind).is_none();
            let newest = catalog.entries.iter().filter(fits).max_by_key(|entry| (entry.version, entry.build));
            match replacement.or(newest) {
                Some(newest)
                    if replacement.is_some()
                        || (newest.version, newest.build) > (from.version, from.build) =>
                {
                    newest
                }
                _ => from,
            }
        }
    };
    if to.id == from.id && usable(from) {
        return Ok(to);
    }
    if let Some(why) = fault(from, to, platform, kind).filter(|_| to.id != from.id) {
        return Err(Box::new(Refusal::NotInPlace { from: from.id.clone(), to: to.id.clone(), why }));
    }
    if !usable(to) {
        let (id, status) = (to.id.clone(), catalog.status_at(to, as_of));
        return Err(Box::new(Refusal::Unusable { id, status }));
    }
    Ok(to)
}

/// Why one entry cannot take the place of another.
fn fault(from: &Entry, to: &Entry, platform: &PlatformKey, kind: ImageKind) -> Option<String> {
    if from.runtime != to.runtime || from.abi != to.abi || from.os != to.os {
        let (from, to) = ((&from.runtime, &from.abi), (&to.runtime, &to.abi));
        return Some(format!(
            "the ABI of apps is `{}` of `{}` and not `{}` of `{}`",
            to.1, to.0, from.1, from.0
        ));
    }
    if let Some(entry) = [from, to].into_iter().find(|entry| !entry.rebaseable) {
        return Some(format!("the catalog forbids to rebase images of `{}`", entry.id));
    }
    let layers = |entry: &Entry| {
        let image = entry.platforms.get(platform)?.images.get(&kind)?;
        Some(image.diff_ids().len())
    };
    if to.record == Record::Short {
        return Some("it was replaced itself".to_owned());
    }
    match (layers(from), layers(to)) {
        (Some(before), Some(after)) if before == after => None,
        (_, None) => Some(format!("it has no `{kind}` image for {platform}")),
        _ => Some("it has another number of layers".to_owned()),
    }
}
